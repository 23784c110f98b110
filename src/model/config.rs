use super::family::{BlockNorms, Family};
use super::fields::Fields;
use super::rope_scaling::RopeScaling;
use crate::error::{Error, Result};
use crate::files::read_text;
use crate::ops::{Activation, NormWeight};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

/// What `config.json` says, in either of transformers' spellings.
///
/// All differences between families are fields; [`ModelConfig::defaults`] gives a family's.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// What `config.json` calls itself; nothing is computed by it.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Longest sequence the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Added to the mean square in the norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: RopeScaling,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether q, k and v have biases.
    pub attention_bias: bool,
    /// Whether o has a bias.
    pub output_bias: bool,
    /// Whether gate, up and down have biases.
    pub mlp_bias: bool,
    /// What bends the gate.
    pub hidden_act: Activation,
    /// Where a block has norms.
    pub block_norms: BlockNorms,
    /// How the norms' weights enter.
    pub norm_weight: NormWeight,
    /// Whether all queries of a token, and all its keys, are normed before rotation.
    pub query_key_norms: bool,
    /// Whether embeddings are multiplied by `√hidden_size`.
    pub scaled_embedding: bool,
    /// Scores are divided by the root of this; `None` is `head_dim`.
    pub query_pre_attn_scalar: Option<f64>,
    /// Bound on attention scores.
    pub attn_logit_softcapping: Option<f64>,
    /// Bound on logits.
    pub final_logit_softcapping: Option<f64>,
    /// How many tokens a token sees in windowed layers, itself included: `i - j < window`.
    pub sliding_window: Option<usize>,
    /// Which layers are windowed, where there is a window.
    pub sliding_layers: SlidingLayers,
}

/// Which layers see a window only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlidingLayers {
    /// All of them.
    All,
    /// The first, the third and so on.
    EverySecond,
    /// Those from this one on, counted from 0.
    From(usize),
    /// Those marked true.
    Listed(Vec<bool>),
}

impl ModelConfig {
    /// Reads `config.json`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, "reading the model's config")?;
        Self::parse(&text).map_err(|problem| Error::file(path, problem))
    }

    /// Reads the text of a `config.json`.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|e| format!("not a model config: {e}"))?;
        let Value::Object(fields) = &value else {
            return Err("not a model config: an object is needed".into());
        };
        let fields = Fields::of(fields, "config.json");
        let family = family(&fields)?;
        if let Some(quantised) = fields.get("quantization_config") {
            let method = quantised.get("quant_method").and_then(Value::as_str);
            return Err(format!(
                "the weights are quantised ({}), and such weights are not known here; take the model in bf16, f16 or f32",
                method.unwrap_or("quantization_config")
            ));
        }
        if fields.flag("use_bidirectional_attention", false)? {
            return Err("`use_bidirectional_attention` is not known here".into());
        }
        let base = Self::defaults(family);
        let size = |name: &str, default: usize| fields.size(name, default);

        let hidden_size = size("hidden_size", base.hidden_size)?;
        let heads = size("num_attention_heads", base.num_attention_heads)?;
        // the older classes take as many key heads as query heads where nothing is said, the newer ones where it is null
        let kv_default = match family {
            Family::Llama | Family::Olmo2 => Some(heads),
            Family::Mistral | Family::Qwen2 | Family::Gemma2 => Some(base.num_key_value_heads),
        };
        let kv_heads = fields
            .or_null("num_key_value_heads", kv_default, |f, name| f.size(name, 1))?
            .unwrap_or(heads);
        if heads % kv_heads != 0 {
            return Err(format!(
                "{heads} attention heads cannot share {kv_heads} key-value heads evenly"
            ));
        }
        let head_dim = match family {
            Family::Gemma2 => base.head_dim,
            _ => hidden_size / heads,
        };
        let head_dim = match fields.get("head_dim") {
            Some(_) => size("head_dim", head_dim)?,
            None => head_dim,
        };
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(format!("a head width of {head_dim} cannot be rotated in pairs"));
        }
        let act = match family {
            Family::Gemma2 => "hidden_activation",
            _ => "hidden_act",
        };
        let hidden_act = match fields.text(act)? {
            None => base.hidden_act,
            Some("silu" | "swish") => Activation::Silu,
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Activation::GeluTanh,
            Some(other) => {
                return Err(format!(
                    "{act} `{other}` is not known here; known: silu, gelu_pytorch_tanh"
                ));
            }
        };
        let biases = match family {
            Family::Llama | Family::Gemma2 | Family::Olmo2 => {
                [fields.flag("attention_bias", false)?; 2]
            }
            Family::Mistral | Family::Qwen2 => [base.attention_bias, base.output_bias],
        };
        let gemma = family == Family::Gemma2;
        let cap = |name: &str, default: Option<f64>| {
            let positive = |f: &Fields<'_>, name: &str| f.positive(name, 1.0);
            match gemma {
                true => fields.or_null(name, default, positive),
                false => Ok(default),
            }
        };
        let layers = size("num_hidden_layers", base.num_hidden_layers)?;
        let (sliding_window, sliding_layers) = windows(&fields, &base, layers)?;
        let context = size("max_position_embeddings", base.max_position_embeddings)?;
        let (rope_theta, rope_scaling) = RopeScaling::parse(&fields, context)?;
        Ok(Self {
            hidden_size,
            intermediate_size: size("intermediate_size", base.intermediate_size)?,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim,
            vocab_size: size("vocab_size", base.vocab_size)?,
            max_position_embeddings: context,
            rms_norm_eps: fields.positive("rms_norm_eps", base.rms_norm_eps)?,
            rope_theta,
            rope_scaling,
            tie_word_embeddings: fields.flag("tie_word_embeddings", base.tie_word_embeddings)?,
            attention_bias: biases[0],
            output_bias: biases[1],
            mlp_bias: family == Family::Llama && fields.flag("mlp_bias", false)?,
            hidden_act,
            query_pre_attn_scalar: match base.query_pre_attn_scalar {
                Some(default) => Some(fields.positive("query_pre_attn_scalar", default)?),
                None => None,
            },
            attn_logit_softcapping: cap("attn_logit_softcapping", base.attn_logit_softcapping)?,
            final_logit_softcapping: cap("final_logit_softcapping", base.final_logit_softcapping)?,
            sliding_window,
            sliding_layers,
            ..base
        })
    }

    /// The config as transformers reads it (version 4's spelling, which version 5 reads too).
    pub fn to_json(&self) -> Value {
        let act = match self.hidden_act {
            Activation::Silu => "silu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
        };
        let gemma = self.family == Family::Gemma2;
        let mut config = json!({
            "architectures": [self.family.architecture()], "model_type": self.family.model_type(),
            (if gemma { "hidden_activation" } else { "hidden_act" }): act,
            "hidden_size": self.hidden_size, "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers, "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads, "head_dim": self.head_dim,
            "vocab_size": self.vocab_size, "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps, "rope_theta": self.rope_theta, "rope_scaling": self.rope_scaling.to_json(),
            "tie_word_embeddings": self.tie_word_embeddings,
        });
        match self.family {
            Family::Llama => {
                config["attention_bias"] = json!(self.attention_bias);
                config["mlp_bias"] = json!(self.mlp_bias);
            }
            Family::Mistral => config["sliding_window"] = json!(self.sliding_window),
            Family::Qwen2 => {
                config["use_sliding_window"] = json!(self.sliding_window.is_some());
                config["sliding_window"] = json!(self.sliding_window);
            }
            Family::Gemma2 => {
                config["attention_bias"] = json!(self.attention_bias);
                // transformers takes a whole number only
                config["query_pre_attn_scalar"] = match self.query_pre_attn_scalar {
                    Some(scalar) if scalar.fract() == 0.0 => json!(scalar as u64),
                    scalar => json!(scalar),
                };
                config["attn_logit_softcapping"] = json!(self.attn_logit_softcapping);
                config["final_logit_softcapping"] = json!(self.final_logit_softcapping);
                config["sliding_window"] = json!(self.sliding_window);
            }
            Family::Olmo2 => config["attention_bias"] = json!(self.attention_bias),
        }
        match &self.sliding_layers {
            SlidingLayers::All | SlidingLayers::EverySecond => {}
            SlidingLayers::From(first) => config["max_window_layers"] = json!(first),
            SlidingLayers::Listed(layers) => {
                let name = |windowed: &bool| if *windowed { WINDOWED } else { WHOLE };
                config["layer_types"] = layers.iter().map(name).collect();
            }
        }
        config["torch_dtype"] = json!("float32");
        config
    }

    /// How far back layer `layer` sees, in tokens, its own included; `None` is everything.
    pub fn window(&self, layer: usize) -> Option<usize> {
        let windowed = match &self.sliding_layers {
            SlidingLayers::All => true,
            SlidingLayers::EverySecond => layer.is_multiple_of(2),
            SlidingLayers::From(first) => layer >= *first,
            SlidingLayers::Listed(layers) => layers.get(layer).copied().unwrap_or(false),
        };
        self.sliding_window.filter(|_| windowed)
    }

    /// What attention scores are multiplied by.
    pub fn attention_scale(&self) -> f64 {
        let divisor = self.query_pre_attn_scalar.unwrap_or(self.head_dim as f64);
        1.0 / divisor.sqrt()
    }

    /// Angular frequency of each pair of a head's dimensions, in radians per position.
    pub fn rope_frequencies(&self) -> Vec<f32> {
        self.rope_scaling.frequencies(self.rope_theta, self.head_dim)
    }
}

/// What `model_type` or, where it is absent, `architectures` names.
fn family(fields: &Fields<'_>) -> std::result::Result<Family, String> {
    let architectures = fields.texts("architectures")?.unwrap_or_default();
    let name = fields.text("model_type")?;
    let Some(name) = name.or(architectures.first().copied()) else {
        return Err("names no architecture: `model_type` is missing".into());
    };
    Family::named(name).ok_or_else(|| {
        let known = Family::ALL.map(|f| format!("{} ({})", f.model_type(), f.architecture()));
        format!("architecture `{name}` is not known here; known: {}", known.join(", "))
    })
}

const WINDOWED: &str = "sliding_attention";
const WHOLE: &str = "full_attention";

/// The window and the layers that see no further.
fn windows(
    fields: &Fields<'_>,
    base: &ModelConfig,
    layers: usize,
) -> std::result::Result<(Option<usize>, SlidingLayers), String> {
    let window = |default| fields.or_null("sliding_window", default, |f, name| f.size(name, 1));
    let window = match base.family {
        Family::Llama | Family::Olmo2 => return Ok((None, SlidingLayers::All)),
        // transformers, too, looks at no `layer_types` of a Mistral
        Family::Mistral => return Ok((window(base.sliding_window)?, SlidingLayers::All)),
        Family::Qwen2 if !fields.flag("use_sliding_window", false)? => None,
        Family::Qwen2 => window(Some(4096))?,
        Family::Gemma2 => window(base.sliding_window)?,
    };
    let which = match fields.texts("layer_types")? {
        Some(types) if types.len() != layers => {
            return Err(format!(
                "`layer_types` names {} layers, `num_hidden_layers` is {layers}",
                types.len()
            ));
        }
        Some(types) => {
            if let Some(other) = types.iter().find(|kind| ![WINDOWED, WHOLE].contains(kind)) {
                return Err(format!(
                    "layers of type `{other}` are not known here; known: {WHOLE}, {WINDOWED}"
                ));
            }
            SlidingLayers::Listed(types.iter().map(|kind| *kind == WINDOWED).collect())
        }
        None => match base.sliding_layers {
            // 0 would mean every layer, and is no size
            SlidingLayers::From(default) => match fields.get("max_window_layers") {
                Some(value) if value.as_u64() == Some(0) => SlidingLayers::From(0),
                _ => SlidingLayers::From(fields.size("max_window_layers", default)?),
            },
            ref rule => rule.clone(),
        },
    };
    let named = match &which {
        SlidingLayers::Listed(types) => types.contains(&true),
        SlidingLayers::EverySecond => true,
        SlidingLayers::All | SlidingLayers::From(_) => false,
    };
    if named && window.is_none() {
        return Err(format!(
            "layers are of type `{WINDOWED}`, but `sliding_window` names no window"
        ));
    }
    Ok((window, which))
}

/// `generation_config.json`, as far as it is used: where generation stops.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct GenerationConfig {
    #[serde(default)]
    eos_token_id: Option<OneOrMany>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl GenerationConfig {
    /// Reads the stop ids of a `generation_config.json` or `config.json`; empty if it names none.
    pub(super) fn stop_ids(path: &Path) -> Result<Vec<u32>> {
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = read_text(path, "reading the stop ids")?;
        let config = serde_json::from_str(&text).map_err(|e| Error::file(path, Self::wrong(&e)))?;
        Self::of(config).map_err(|problem| Error::file(path, problem))
    }

    /// The stop ids that the fields of a config name.
    pub(super) fn of(config: Value) -> std::result::Result<Vec<u32>, String> {
        let config: Self = serde_json::from_value(config).map_err(|e| Self::wrong(&e))?;
        Ok(match config.eos_token_id {
            None => Vec::new(),
            Some(OneOrMany::One(id)) => vec![id],
            Some(OneOrMany::Many(ids)) => ids,
        })
    }

    fn wrong(error: &serde_json::Error) -> String {
        format!("`eos_token_id` must be a number or a list of numbers: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: &str = r#""model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 100"#;

    fn parse(more: &str) -> std::result::Result<ModelConfig, String> {
        ModelConfig::parse(&format!("{{{SIZES}{more}}}"))
    }

    /// A config of `family` with four layers, `more` added.
    fn of(family: Family, more: &str) -> std::result::Result<ModelConfig, String> {
        let name = family.model_type();
        ModelConfig::parse(&format!(
            r#"{{"model_type": "{name}", "num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 8{more}}}"#
        ))
    }

    fn windows_of(family: Family, more: &str) -> [Option<usize>; 4] {
        let config = of(family, more).unwrap();
        [0, 1, 2, 3].map(|layer| config.window(layer))
    }

    #[test]
    fn both_spellings_mean_the_same() {
        let four = parse(r#", "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}"#)
            .unwrap();
        let five = parse(
            r#", "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500000}"#,
        )
        .unwrap();
        assert_eq!(four, five);
        // both names of the type at once, as version 4.43 to 4.57 wrote them
        let both = parse(
            r#", "rope_theta": 5e5, "rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 2}"#,
        );
        assert_eq!(both.unwrap(), four);
        assert_eq!(ModelConfig::parse(&four.to_json().to_string()).unwrap(), four);
        let three = |more: &str| {
            let text = format!(
                r#", "max_position_embeddings": 128, "rope_scaling": {{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1,
                    "high_freq_factor": 4{more}}}"#
            );
            parse(&text).unwrap().rope_scaling
        };
        let original = |scaling| match scaling {
            RopeScaling::Llama3 { original, .. } => original,
            _ => panic!("{scaling:?}"),
        };
        assert_eq!(original(three(r#", "original_max_position_embeddings": 64"#)), 64.0);
        assert_eq!(original(three("")), 128.0, "else the context's length");
    }

    #[test]
    fn what_is_absent_is_as_in_transformers_config_classes() {
        for family in Family::ALL {
            let name = family.model_type();
            let bare = ModelConfig::parse(&format!(r#"{{"model_type": "{name}"}}"#)).unwrap();
            assert_eq!(bare, ModelConfig::defaults(family));
            let name = family.architecture();
            let bare = ModelConfig::parse(&format!(r#"{{"architectures": ["{name}"]}}"#)).unwrap();
            assert_eq!(bare, ModelConfig::defaults(family));
        }
        let kv = |family, more: &str| of(family, more).unwrap().num_key_value_heads;
        assert_eq!(kv(Family::Llama, ""), 8);
        assert_eq!(kv(Family::Olmo2, ""), 8);
        assert_eq!(kv(Family::Mistral, ""), 8);
        assert_eq!(kv(Family::Gemma2, ""), 4);
        assert_eq!(kv(Family::Mistral, r#", "num_key_value_heads": null"#), 8);
        assert!(of(Family::Qwen2, "").is_err(), "32 key heads for 8");
        assert_eq!(kv(Family::Qwen2, r#", "num_key_value_heads": null"#), 8);
        assert_eq!(of(Family::Mistral, r#", "head_dim": null"#).unwrap().head_dim, 8);
        assert_eq!(of(Family::Gemma2, "").unwrap().head_dim, 256);
    }

    #[test]
    fn null_is_not_absent_for_caps_and_windows() {
        let gemma = |more: &str| of(Family::Gemma2, more).unwrap();
        let caps =
            |config: ModelConfig| (config.attn_logit_softcapping, config.final_logit_softcapping);
        assert_eq!(caps(gemma("")), (Some(50.0), Some(30.0)));
        let nulls = r#", "attn_logit_softcapping": null, "final_logit_softcapping": null"#;
        assert_eq!(caps(gemma(nulls)), (None, None));
        let window = windows_of;
        assert_eq!(window(Family::Mistral, ""), [Some(4096); 4]);
        assert_eq!(window(Family::Mistral, r#", "sliding_window": null"#), [None; 4]);
        assert_eq!(window(Family::Llama, r#", "sliding_window": 4"#), [None; 4]);
    }

    #[test]
    fn windows_are_in_the_layers_that_the_config_names() {
        let some = Some(5);
        let gemma =
            |more: &str| windows_of(Family::Gemma2, &format!(r#", "sliding_window": 5{more}"#));
        assert_eq!(gemma(""), [some, None, some, None]);
        let types = r#", "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]"#;
        assert_eq!(gemma(types), [None, some, None, None]);
        let qwen = |more: &str| {
            let sizes = r#", "num_key_value_heads": 2, "sliding_window": 5"#;
            windows_of(Family::Qwen2, &format!("{sizes}{more}"))
        };
        assert_eq!(qwen(""), [None; 4]);
        let on = r#", "use_sliding_window": true"#;
        assert_eq!(qwen(on), [None; 4], "from layer 28 on");
        assert_eq!(qwen(&format!(r#"{on}, "max_window_layers": 2"#)), [None, None, some, some]);
        assert_eq!(qwen(&format!(r#"{on}, "max_window_layers": 0"#)), [some; 4]);
        assert_eq!(
            qwen(&format!(r#"{on}, "max_window_layers": 2{types}"#)),
            [None, some, None, None]
        );
    }

    #[test]
    fn every_family_is_written_as_it_is_read() {
        let cases = [
            (
                Family::Llama,
                r#", "attention_bias": true, "mlp_bias": true, "hidden_act": "gelu_pytorch_tanh""#,
            ),
            (Family::Mistral, r#", "head_dim": 12, "sliding_window": null"#),
            (Family::Mistral, r#", "sliding_window": 9"#),
            (
                Family::Qwen2,
                r#", "num_key_value_heads": 4, "use_sliding_window": true, "max_window_layers": 3"#,
            ),
            (Family::Qwen2, r#", "num_key_value_heads": 4, "sliding_window": 9"#),
            (Family::Gemma2, r#", "query_pre_attn_scalar": 144, "attn_logit_softcapping": null"#),
            (
                Family::Gemma2,
                r#", "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]"#,
            ),
            (Family::Olmo2, r#", "attention_bias": true, "tie_word_embeddings": true"#),
        ];
        for (family, more) in cases {
            let config = of(family, more).unwrap();
            let written = config.to_json().to_string();
            assert_eq!(ModelConfig::parse(&written).unwrap(), config, "{written}");
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        let gpt2 = ModelConfig::parse(r#"{"model_type": "gpt2"}"#).unwrap_err();
        assert!(
            gpt2.contains("`gpt2`") && gpt2.contains("known: llama") && gpt2.contains("gemma2"),
            "{gpt2}"
        );
        let cases = [
            (r#""rope_scaling": {"rope_type": "yarn", "factor": 4.0}"#, "`yarn`"),
            (
                r#""rope_parameters": {"full_attention": {"rope_type": "default"}}"#,
                "`full_attention`",
            ),
            (r#""rope_parameters": {"partial_rotary_factor": 0.5}"#, "partial_rotary_factor"),
            (r#""rope_scaling": {"rope_type": "linear"}"#, "`factor`"),
            (r#""num_key_value_heads": 3"#, "3 key-value heads"),
            (r#""num_key_value_heads": 0"#, "`num_key_value_heads`"),
            (r#""hidden_size": -64"#, "`hidden_size`"),
            (r#""hidden_size": "big""#, "`hidden_size`"),
            (r#""head_dim": 7"#, "7 cannot be rotated"),
            (r#""hidden_act": "relu""#, "`relu`"),
            (r#""quantization_config": {"quant_method": "gptq", "bits": 4}"#, "quantised (gptq)"),
            (r#""tie_word_embeddings": 1"#, "`tie_word_embeddings`"),
        ];
        for (more, want) in cases {
            let error = parse(&format!(", {more}")).unwrap_err();
            assert!(error.contains(want), "{more}: {error}");
        }
        let cases = [
            (r#""sliding_window": null"#, "no window"),
            (r#""sliding_window": 0"#, "`sliding_window`"),
            (r#""layer_types": ["full_attention"]"#, "names 1 layers"),
            (
                r#""layer_types": ["full_attention", "chunked_attention", "full_attention", "full_attention"]"#,
                "`chunked_attention`",
            ),
            (r#""final_logit_softcapping": -1.0"#, "`final_logit_softcapping`"),
            (r#""use_bidirectional_attention": true"#, "use_bidirectional_attention"),
        ];
        for (more, want) in cases {
            let error = of(Family::Gemma2, &format!(", {more}")).unwrap_err();
            assert!(error.contains(want), "{more}: {error}");
        }
    }
}
