use super::fields::Fields;
use serde_json::{Value, json};

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

impl RopeScaling {
    /// Base and scaling that a config names: `rope_scaling` beside `rope_theta` (version 4), or both in `rope_parameters`
    /// (version 5). Where both are there the former counts, as in transformers.
    pub(super) fn parse(config: &Fields<'_>, context: usize) -> Result<(f64, Self), String> {
        let empty = serde_json::Map::new();
        let mut rope = Fields::of(&empty, "rope_parameters");
        for name in ["rope_parameters", "rope_scaling"] {
            match config.get(name) {
                None => {}
                Some(Value::Object(fields)) if fields.is_empty() => {}
                Some(Value::Object(fields)) => rope = Fields::of(fields, name),
                Some(other) => return Err(format!("`{name}` must be an object, got {other}")),
            }
        }
        if let Some(layers) = rope.first_object() {
            return Err(format!(
                "{} differ by kind of layer (`{layers}`), which none of the known families does",
                rope.name()
            ));
        }
        if config.number("partial_rotary_factor", 1.0)? != 1.0
            || rope.number("partial_rotary_factor", 1.0)? != 1.0
        {
            return Err("`partial_rotary_factor` is not known here; whole heads are rotated".into());
        }
        let theta = rope.positive("rope_theta", config.positive("rope_theta", 10_000.0)?)?;
        let need = |name: &str| match rope.get(name) {
            Some(_) => rope.positive(name, 1.0),
            None => Err(format!("rope scaling without a positive `{name}`")),
        };
        let kind = rope.text("rope_type")?.or(rope.text("type")?);
        let scaling = match kind {
            None | Some("default") => Self::None,
            Some("linear") => Self::Linear { factor: need("factor")? },
            Some("llama3") => Self::Llama3 {
                factor: need("factor")?,
                low_freq_factor: need("low_freq_factor")?,
                high_freq_factor: need("high_freq_factor")?,
                original: {
                    let name = "original_max_position_embeddings";
                    let inner = rope.positive(name, context as f64)?;
                    config.positive(name, inner)?
                },
            },
            Some(other) => {
                return Err(format!(
                    "rope type `{other}` is not known here; known: default, linear, llama3"
                ));
            }
        };
        Ok((theta, scaling))
    }

    /// `rope_scaling` of version 4.
    pub(super) fn to_json(self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original } => json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor, "original_max_position_embeddings": original as usize,
            }),
        }
    }

    /// Angular frequency of each pair of a head's dimensions, in radians per position.
    ///
    /// Computed in f32 in transformers' order (`modeling_rope_utils.py`), so that long contexts agree with it.
    pub(super) fn frequencies(self, theta: f64, head_dim: usize) -> Vec<f32> {
        let plain = (0..head_dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / head_dim as f32;
            1.0 / (theta as f32).powf(exponent)
        });
        match self {
            Self::None => plain.collect(),
            Self::Linear { factor } => plain.map(|f| f / factor as f32).collect(),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original } => plain
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
