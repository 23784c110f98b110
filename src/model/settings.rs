use super::config::{Layers, ModelConfig};
use super::fields::{Fields, WHOLE, WINDOWED};
use serde_json::{Value, json};

type Parsed<T> = Result<T, String>;

/// What some families' `config.json` says and others' does not: how it is read into a [`ModelConfig`] and written again. A family's
/// description lists its settings in the order in which they are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Setting {
    /// `attention_bias`: of q, k, v and o.
    AttentionBias,
    /// `mlp_bias`.
    MlpBias,
    /// `query_pre_attn_scalar`.
    QueryPreAttnScalar,
    /// `attn_logit_softcapping`.
    AttnLogitSoftcapping,
    /// `final_logit_softcapping`.
    FinalLogitSoftcapping,
    /// `embedding_multiplier`, `residual_multiplier`, `attention_multiplier` and `logits_scaling`.
    Multipliers,
    /// `no_rope_layers`, else every layer whose number `no_rope_layer_interval` divides. A window, where there is one, is in these layers.
    NoRopeLayers,
    /// `sliding_window`.
    SlidingWindow,
    /// `sliding_window` where `use_sliding_window` is true; the number stands for an absent one.
    SwitchedWindow(Option<usize>),
    /// `max_window_layers`: the layers from this one on see a window.
    MaxWindowLayers,
    /// `sliding_window_pattern`: all but every n-th layer see a window.
    SlidingWindowPattern,
    /// `layer_types`, which overrule what the settings before it say of windows.
    LayerTypes,
    /// `pad_token_id` null, which is not read: the one that transformers' class takes else may lie outside a small vocabulary.
    NoPadTokenId,
    /// Granite 4's: `shared_intermediate_size`; no experts, attention in every layer, and rotation if `position_embedding_type` says so.
    DenseGranite4,
}

/// The number called `name`, where null is none.
fn cap(fields: &Fields<'_>, name: &str, default: Option<f64>) -> Parsed<Option<f64>> {
    fields.or_null(name, default, |fields, name| fields.positive(name, 1.0))
}

fn window(fields: &Fields<'_>, default: Option<usize>) -> Parsed<Option<usize>> {
    fields.or_null("sliding_window", default, |fields, name| fields.size(name, 1))
}

/// `layer_types`, one for each layer.
fn layer_types<'a>(fields: &Fields<'a>, layers: usize) -> Parsed<Option<Vec<&'a str>>> {
    let types = fields.texts("layer_types")?;
    match &types {
        Some(types) if types.len() != layers => Err(format!(
            "`layer_types` names {} layers, `num_hidden_layers` is {layers}",
            types.len()
        )),
        _ => Ok(types),
    }
}

impl Setting {
    /// Reads it; the sizes in `config` are those of the file already.
    pub fn read(self, fields: &Fields<'_>, config: &mut ModelConfig) -> Parsed<()> {
        let layers = config.num_hidden_layers;
        match self {
            Self::AttentionBias => {
                config.attention_bias = fields.flag("attention_bias", config.attention_bias)?;
                config.output_bias = config.attention_bias;
            }
            Self::MlpBias => config.mlp_bias = fields.flag("mlp_bias", config.mlp_bias)?,
            Self::QueryPreAttnScalar => {
                let default = config.query_pre_attn_scalar.unwrap_or(config.head_dim as f64);
                let scalar = fields.positive("query_pre_attn_scalar", default)?;
                config.query_pre_attn_scalar = Some(scalar);
            }
            Self::AttnLogitSoftcapping => {
                let default = config.attn_logit_softcapping;
                config.attn_logit_softcapping = cap(fields, "attn_logit_softcapping", default)?;
            }
            Self::FinalLogitSoftcapping => {
                let default = config.final_logit_softcapping;
                config.final_logit_softcapping = cap(fields, "final_logit_softcapping", default)?;
            }
            Self::Multipliers => {
                let read = |name: &str| fields.positive(name, 1.0);
                config.embedding_multiplier = read("embedding_multiplier")?;
                config.residual_multiplier = read("residual_multiplier")?;
                config.attention_multiplier = Some(read("attention_multiplier")?);
                config.logits_scaling = read("logits_scaling")?;
            }
            Self::NoRopeLayers => {
                config.no_rope_layers = match fields.flags("no_rope_layers")? {
                    // more than there are layers is allowed, as in transformers
                    Some(turned) if turned.len() < layers => {
                        return Err(format!(
                            "`no_rope_layers` names {} layers, `num_hidden_layers` is {layers}",
                            turned.len()
                        ));
                    }
                    // 1 means that a layer has rotation
                    Some(turned) => {
                        Layers::Listed(turned[..layers].iter().map(|turned| !turned).collect())
                    }
                    None => Layers::Every(fields.size("no_rope_layer_interval", 4)?),
                };
                config.sliding_layers = config.no_rope_layers.clone();
            }
            Self::SlidingWindow => config.sliding_window = window(fields, config.sliding_window)?,
            Self::SwitchedWindow(default) => {
                config.sliding_window = match fields.flag("use_sliding_window", false)? {
                    true => window(fields, default)?,
                    false => None,
                };
            }
            Self::MaxWindowLayers => {
                let Layers::From(default) = config.sliding_layers else { return Ok(()) };
                config.sliding_layers = match fields.get("max_window_layers") {
                    // 0 means every layer, and is no size
                    Some(value) if value.as_u64() == Some(0) => Layers::From(0),
                    _ => Layers::From(fields.size("max_window_layers", default)?),
                };
            }
            Self::SlidingWindowPattern => {
                let Layers::AllButEvery(default) = config.sliding_layers else { return Ok(()) };
                let pattern = fields.size("sliding_window_pattern", default)?;
                config.sliding_layers = Layers::AllButEvery(pattern);
            }
            Self::LayerTypes => {
                if let Some(types) = layer_types(fields, layers)? {
                    let other = types.iter().find(|kind| ![WINDOWED, WHOLE].contains(kind));
                    if let Some(other) = other {
                        return Err(format!(
                            "layers of type `{other}` are not known here; known: {WHOLE}, {WINDOWED}"
                        ));
                    }
                    let windowed = types.iter().map(|kind| *kind == WINDOWED);
                    config.sliding_layers = Layers::Listed(windowed.collect());
                }
                let named = match &config.sliding_layers {
                    Layers::Listed(_) if fields.get("layer_types").is_none() => false,
                    Layers::Listed(types) => types.contains(&true),
                    Layers::AllButEvery(_) => true,
                    _ => false,
                };
                if named && config.sliding_window.is_none() {
                    return Err(format!(
                        "layers are of type `{WINDOWED}`, but `sliding_window` names no window"
                    ));
                }
            }
            Self::NoPadTokenId => {}
            Self::DenseGranite4 => {
                if fields.get("num_local_experts").and_then(Value::as_f64) != Some(0.0) {
                    return Err(
                        "is a mixture of experts (`num_local_experts` is not 0), which is not known here; of Granite 4 the dense models are: granite-4.0-350m, granite-4.0-1b, granite-4.0-micro"
                            .into(),
                    );
                }
                let types = layer_types(fields, layers)?.unwrap_or(vec!["mamba"]);
                let attention = |kind: &&&str| !["attention", WHOLE].contains(*kind);
                if let Some(other) = types.iter().find(attention) {
                    return Err(format!(
                        "layers of type `{other}` are a recurrence, which is not known here; of Granite 4 the dense models are: granite-4.0-350m, granite-4.0-1b, granite-4.0-micro"
                    ));
                }
                let shared = fields.size("shared_intermediate_size", config.intermediate_size)?;
                config.intermediate_size = shared;
                config.no_rope_layers = match fields.text("position_embedding_type")? {
                    Some("rope") => Layers::None,
                    None => Layers::All,
                    Some(other) => {
                        return Err(format!(
                            "`position_embedding_type` `{other}` is not known here; known: rope, null"
                        ));
                    }
                };
            }
        }
        Ok(())
    }

    /// Writes it as transformers reads it.
    pub fn write(self, config: &ModelConfig, json: &mut Value) {
        match self {
            Self::AttentionBias => json["attention_bias"] = json!(config.attention_bias),
            Self::MlpBias => json["mlp_bias"] = json!(config.mlp_bias),
            Self::QueryPreAttnScalar => {
                // transformers takes a whole number only
                json["query_pre_attn_scalar"] = match config.query_pre_attn_scalar {
                    Some(scalar) if scalar.fract() == 0.0 => json!(scalar as u64),
                    scalar => json!(scalar),
                };
            }
            Self::AttnLogitSoftcapping => {
                json["attn_logit_softcapping"] = json!(config.attn_logit_softcapping);
            }
            Self::FinalLogitSoftcapping => {
                json["final_logit_softcapping"] = json!(config.final_logit_softcapping);
            }
            Self::Multipliers => {
                json["embedding_multiplier"] = json!(config.embedding_multiplier);
                json["residual_multiplier"] = json!(config.residual_multiplier);
                json["attention_multiplier"] = json!(config.attention_scale());
                json["logits_scaling"] = json!(config.logits_scaling);
            }
            Self::NoRopeLayers => match config.no_rope_layers {
                Layers::Every(interval) => json["no_rope_layer_interval"] = json!(interval),
                _ => {
                    let turned = |layer| u8::from(!config.no_rope_layers.has(layer));
                    json["no_rope_layers"] = (0..config.num_hidden_layers).map(turned).collect();
                }
            },
            Self::SlidingWindow => json["sliding_window"] = json!(config.sliding_window),
            Self::SwitchedWindow(_) => {
                json["use_sliding_window"] = json!(config.sliding_window.is_some());
                json["sliding_window"] = json!(config.sliding_window);
            }
            Self::MaxWindowLayers => {
                if let Layers::From(first) = config.sliding_layers {
                    json["max_window_layers"] = json!(first);
                }
            }
            Self::SlidingWindowPattern => {
                if let Layers::AllButEvery(pattern) = config.sliding_layers {
                    json["sliding_window_pattern"] = json!(pattern);
                }
            }
            Self::LayerTypes => {
                let Layers::Listed(layers) = &config.sliding_layers else { return };
                if config.sliding_layers != config.no_rope_layers {
                    let name = |windowed: &bool| if *windowed { WINDOWED } else { WHOLE };
                    json["layer_types"] = layers.iter().map(name).collect();
                }
            }
            Self::NoPadTokenId => json["pad_token_id"] = Value::Null,
            Self::DenseGranite4 => {
                json["shared_intermediate_size"] = json!(config.intermediate_size);
                json["num_local_experts"] = json!(0);
                json["num_experts_per_tok"] = json!(0);
                json["layer_types"] = vec!["attention"; config.num_hidden_layers].into();
                json["position_embedding_type"] = match config.no_rope_layers {
                    Layers::None => json!("rope"),
                    _ => Value::Null,
                };
                // sizes of the recurrence that no layer has; transformers checks that they fit together
                json["mamba_n_heads"] = json!(1);
                json["mamba_expand"] = json!(1);
            }
        }
    }
}
