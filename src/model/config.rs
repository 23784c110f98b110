use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What `config.json` says, in either of transformers' spellings.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
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
    /// Whether q, k, v and o have biases.
    pub attention_bias: bool,
    /// Whether gate, up and down have biases.
    pub mlp_bias: bool,
}

/// How rotary frequencies are stretched for longer contexts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All frequencies divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1's: long waves divided by a factor, short ones kept, a smooth passage between.
    Llama3 {
        /// The divisor of long waves.
        factor: f64,
        /// Waves longer than `original / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Waves shorter than `original / high_freq_factor` are short.
        high_freq_factor: f64,
        /// Context length before stretching.
        original: f64,
    },
}

/// `config.json` as it is written: every field optional, both spellings.
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    hidden_act: Option<String>,
}

#[derive(Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

impl ModelConfig {
    /// Reads `config.json`.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(Error::io("reading the model's config", path))?;
        Self::parse(&text).map_err(|problem| Error::file(path, problem))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let raw: Raw =
            serde_json::from_str(text).map_err(|e| format!("not a model config: {e}"))?;
        let family = raw
            .model_type
            .clone()
            .or_else(|| raw.architectures.clone()?.into_iter().next());
        match family.as_deref() {
            Some("llama" | "LlamaForCausalLM") => {}
            Some(other) => {
                return Err(format!(
                    "architecture `{other}` is not known here; known: llama (LlamaForCausalLM)"
                ));
            }
            None => return Err("names no architecture: `model_type` is missing".into()),
        }
        if let Some(act) = raw
            .hidden_act
            .as_deref()
            .filter(|act| !matches!(*act, "silu" | "swish"))
        {
            return Err(format!(
                "hidden_act `{act}` is not known for llama; known: silu"
            ));
        }
        let need = |name: &str, value: Option<usize>| match value {
            Some(0) | None => Err(format!("`{name}` is missing or 0")),
            Some(value) => Ok(value),
        };
        let hidden_size = need("hidden_size", raw.hidden_size)?;
        let heads = need("num_attention_heads", raw.num_attention_heads)?;
        let kv_heads = raw.num_key_value_heads.unwrap_or(heads);
        if kv_heads == 0 || heads % kv_heads != 0 {
            return Err(format!(
                "{heads} attention heads cannot share {kv_heads} key-value heads evenly"
            ));
        }
        let head_dim = raw.head_dim.unwrap_or(hidden_size / heads);
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(format!(
                "a head width of {head_dim} cannot be rotated in pairs"
            ));
        }
        let rope = raw.rope_parameters.or(raw.rope_scaling);
        let rope_theta = rope
            .as_ref()
            .and_then(|r| r.rope_theta)
            .or(raw.rope_theta)
            .unwrap_or(10_000.0);
        Ok(Self {
            hidden_size,
            intermediate_size: need("intermediate_size", raw.intermediate_size)?,
            num_hidden_layers: need("num_hidden_layers", raw.num_hidden_layers)?,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim,
            vocab_size: need("vocab_size", raw.vocab_size)?,
            max_position_embeddings: raw.max_position_embeddings.unwrap_or(2048),
            rms_norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
            rope_theta,
            rope_scaling: rope.map_or(Ok(RopeScaling::None), |rope| rope.scaling())?,
            tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(false),
            attention_bias: raw.attention_bias.unwrap_or(false),
            mlp_bias: raw.mlp_bias.unwrap_or(false),
        })
    }

    /// The config as transformers reads it (version 4's spelling, which version 5 reads too).
    pub fn to_json(&self) -> serde_json::Value {
        let rope_scaling = match self.rope_scaling {
            RopeScaling::None => serde_json::Value::Null,
            RopeScaling::Linear { factor } => {
                serde_json::json!({"rope_type": "linear", "factor": factor})
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original,
            } => serde_json::json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor, "original_max_position_embeddings": original as usize,
            }),
        };
        serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": self.hidden_size, "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers, "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads, "head_dim": self.head_dim,
            "vocab_size": self.vocab_size, "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps, "rope_theta": self.rope_theta, "rope_scaling": rope_scaling,
            "tie_word_embeddings": self.tie_word_embeddings, "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias, "torch_dtype": "float32",
        })
    }

    /// Angular frequency of each pair of a head's dimensions, in radians per position.
    ///
    /// Computed in f32 in transformers' order (`modeling_rope_utils.py`), so that long contexts agree with it.
    pub fn rope_frequencies(&self) -> Vec<f32> {
        let plain = (0..self.head_dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / self.head_dim as f32;
            1.0 / (self.rope_theta as f32).powf(exponent)
        });
        match self.rope_scaling {
            RopeScaling::None => plain.collect(),
            RopeScaling::Linear { factor } => plain.map(|f| f / factor as f32).collect(),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original,
            } => plain
                .map(|f| {
                    let wave = std::f64::consts::TAU / f64::from(f);
                    if wave < original / high_freq_factor {
                        f
                    } else if wave > original / low_freq_factor {
                        f / factor as f32
                    } else {
                        let smooth = (original / wave - low_freq_factor)
                            / (high_freq_factor - low_freq_factor);
                        ((1.0 - smooth) * f64::from(f) / factor + smooth * f64::from(f)) as f32
                    }
                })
                .collect(),
        }
    }
}

impl RawRope {
    fn scaling(&self) -> std::result::Result<RopeScaling, String> {
        let need = |name: &str, value: Option<f64>| {
            value
                .filter(|v| *v > 0.0)
                .ok_or_else(|| format!("rope scaling without a positive `{name}`"))
        };
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear {
                factor: need("factor", self.factor)?,
            }),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: need("factor", self.factor)?,
                low_freq_factor: need("low_freq_factor", self.low_freq_factor)?,
                high_freq_factor: need("high_freq_factor", self.high_freq_factor)?,
                original: need(
                    "original_max_position_embeddings",
                    self.original_max_position_embeddings,
                )?,
            }),
            Some(other) => Err(format!(
                "rope type `{other}` is not known here; known: default, linear, llama3"
            )),
        }
    }
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
        let text =
            std::fs::read_to_string(path).map_err(Error::io("reading the stop ids", path))?;
        let config: Self = serde_json::from_str(&text).map_err(|e| {
            Error::file(
                path,
                format!("`eos_token_id` must be a number or a list of numbers: {e}"),
            )
        })?;
        Ok(match config.eos_token_id {
            None => Vec::new(),
            Some(OneOrMany::One(id)) => vec![id],
            Some(OneOrMany::Many(ids)) => ids,
        })
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

    #[test]
    fn both_spellings_mean_the_same() {
        let four = parse(r#", "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}"#)
            .unwrap();
        let five = parse(
            r#", "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500000}"#,
        )
        .unwrap();
        assert_eq!(four, five);
        assert_eq!(
            ModelConfig::parse(&four.to_json().to_string()).unwrap(),
            four
        );
    }

    #[test]
    fn what_is_not_known_is_named() {
        let gpt2 = ModelConfig::parse(r#"{"model_type": "gpt2"}"#).unwrap_err();
        assert!(
            gpt2.contains("`gpt2`") && gpt2.contains("known: llama"),
            "{gpt2}"
        );
        assert!(
            parse(r#", "rope_scaling": {"rope_type": "yarn"}"#)
                .unwrap_err()
                .contains("`yarn`")
        );
        assert!(
            parse(r#", "num_key_value_heads": 3"#)
                .unwrap_err()
                .contains("3 key-value heads")
        );
    }
}
