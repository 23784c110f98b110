use super::fields::{Fields, WHOLE, WINDOWED};
use serde_json::{Map, Value, json};

/// Base and stretching of rotary frequencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeParameters {
    /// Base of the frequencies.
    pub rope_theta: f64,
    /// How they are stretched.
    pub scaling: RopeScaling,
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
    /// YaRN: pairs of dimensions that turn seldom within the original context are divided by a factor, those that turn often are kept, a
    /// straight passage between; queries and keys grow by a factor.
    Yarn {
        /// The divisor of slow pairs.
        factor: f64,
        /// Context length before stretching.
        original: f64,
        /// What turned queries and keys are multiplied by.
        attention_factor: f64,
        /// Pairs that turn more often than this are kept.
        beta_fast: f64,
        /// Pairs that turn less often than this are divided.
        beta_slow: f64,
        /// Whether the passage begins and ends at whole pairs.
        truncate: bool,
    },
}

type Parsed<T> = Result<T, String>;

const BY_LAYER: [&str; 2] = [WHOLE, WINDOWED];

/// The object called `name`; nothing if it is absent, null or empty.
fn object<'a>(config: &Fields<'a>, name: &str) -> Parsed<Option<&'a Map<String, Value>>> {
    match config.get(name) {
        None => Ok(None),
        Some(Value::Object(fields)) => Ok(Some(fields).filter(|fields| !fields.is_empty())),
        Some(other) => Err(format!("`{name}` must be an object, got {other}")),
    }
}

impl RopeParameters {
    /// Unstretched, of this base.
    pub fn plain(rope_theta: f64) -> Self {
        Self { rope_theta, scaling: RopeScaling::None }
    }

    /// What a config names for all layers alike: `rope_scaling` beside `rope_theta` (version 4), or both in `rope_parameters`
    /// (version 5). Where both are there the former counts, as in transformers.
    pub(super) fn parse(config: &Fields<'_>, context: usize, theta: f64) -> Parsed<Self> {
        let empty = Map::new();
        let mut rope = Fields::of(&empty, "rope_parameters");
        for name in ["rope_parameters", "rope_scaling"] {
            if let Some(fields) = object(config, name)? {
                rope = Fields::of(fields, name);
            }
        }
        if let Some(layers) = rope.first_object() {
            return Err(format!(
                "{} differ by kind of layer (`{layers}`), which this family does not",
                rope.name()
            ));
        }
        let name = "original_max_position_embeddings";
        let original = config.positive(name, rope.positive(name, context as f64)?)?;
        let truncate = rope.flag("truncate", true)?;
        let theta = rope.positive("rope_theta", config.positive("rope_theta", theta)?)?;
        Self::of(theta, RopeScaling::parse(config, &rope, original, truncate)?)
    }

    fn of(rope_theta: f64, scaling: RopeScaling) -> Parsed<Self> {
        if matches!(scaling, RopeScaling::Yarn { .. }) && rope_theta <= 1.0 {
            return Err(format!("`rope_theta` must be above 1 for yarn, got {rope_theta}"));
        }
        Ok(Self { rope_theta, scaling })
    }

    /// What a config names for layers that see everything and for those that see a window: an object for each in `rope_parameters`
    /// (version 5), or `rope_theta` and `rope_scaling` for the former and `local`, if the family has it, for the latter (version 4).
    ///
    /// As in transformers, `rope_scaling` is for the former alone; so is `rope_theta`, and a family without `local` takes its own base for
    /// the latter.
    pub(super) fn parse_by_layer(
        config: &Fields<'_>,
        context: usize,
        theta: [f64; 2],
        local: Option<&str>,
    ) -> Parsed<[Self; 2]> {
        let kinds = object(config, "rope_parameters")?;
        let empty = Map::new();
        let kinds = Fields::of(kinds.unwrap_or(&empty), "rope_parameters");
        if let Some(other) = kinds.names().find(|name| !BY_LAYER.contains(name)) {
            return Err(format!(
                "`rope_parameters` has `{other}`, where this family needs an object for each kind of layer: {}",
                BY_LAYER.join(", ")
            ));
        }
        let kind = |name| Ok::<_, String>(object(&kinds, name)?.cloned().unwrap_or_default());
        let mut whole = kind(BY_LAYER[0])?;
        whole.extend(object(config, "rope_scaling")?.cloned().unwrap_or_default());
        let read = |fields: &Map<String, Value>, name: &str, outside: f64| {
            let rope = Fields::of(fields, name);
            let original = rope.positive("original_max_position_embeddings", context as f64)?;
            // transformers looks for `truncate` beside the kinds of layers, where it never is
            let scaling = RopeScaling::parse(config, &rope, original, true)?;
            Self::of(rope.positive("rope_theta", outside)?, scaling)
        };
        let outside = match local {
            Some(name) => config.positive(name, theta[1])?,
            None => theta[1],
        };
        Ok([
            read(&whole, BY_LAYER[0], config.positive("rope_theta", theta[0])?)?,
            read(&kind(BY_LAYER[1])?, BY_LAYER[1], outside)?,
        ])
    }

    /// One kind of layer's object of `rope_parameters`, as version 5 writes it.
    pub(super) fn to_json(self) -> Value {
        let mut rope = match self.scaling.to_json() {
            Value::Null => json!({"rope_type": "default"}),
            scaling => scaling,
        };
        rope["rope_theta"] = json!(self.rope_theta);
        rope
    }

    /// `rope_parameters` of both kinds of layers.
    pub(super) fn by_layer_to_json(whole: Self, windowed: Self) -> Value {
        json!({(BY_LAYER[0]): whole.to_json(), (BY_LAYER[1]): windowed.to_json()})
    }

    /// Angular frequency of each pair of a head's dimensions, in radians per position, and what turned vectors are multiplied by.
    ///
    /// Computed in f32 in transformers' order (`modeling_rope_utils.py`), so that long contexts agree with it.
    pub(super) fn frequencies(self, head_dim: usize) -> (Vec<f32>, f32) {
        let theta = self.rope_theta;
        let waves = (0..head_dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / head_dim as f32;
            (theta as f32).powf(exponent)
        });
        let plain = waves.clone().map(|wave| 1.0 / wave);
        match self.scaling {
            RopeScaling::None => (plain.collect(), 1.0),
            RopeScaling::Linear { factor } => (plain.map(|f| f / factor as f32).collect(), 1.0),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                let stretched = plain.map(|f| {
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
                });
                (stretched.collect(), 1.0)
            }
            RopeScaling::Yarn {
                factor,
                original,
                attention_factor,
                beta_fast,
                beta_slow,
                truncate,
            } => {
                // the pair that turns this often within the original context
                let dim = head_dim as f64;
                let pair = |turns: f64| {
                    dim * (original / (turns * std::f64::consts::TAU)).ln() / (2.0 * theta.ln())
                };
                let (mut low, mut high) = (pair(beta_fast), pair(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(dim - 1.0));
                if low == high {
                    high += 0.001;
                }
                let stretched = waves.enumerate().map(|(at, wave)| {
                    let ramp = ((at as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                    let kept = 1.0 - ramp;
                    1.0 / (factor as f32 * wave) * (1.0 - kept) + 1.0 / wave * kept
                });
                (stretched.collect(), attention_factor as f32)
            }
        }
    }
}

impl RopeScaling {
    /// The stretching that `rope` names, of a context of `original` tokens.
    fn parse(
        config: &Fields<'_>,
        rope: &Fields<'_>,
        original: f64,
        truncate: bool,
    ) -> Parsed<Self> {
        if config.number("partial_rotary_factor", 1.0)? != 1.0
            || rope.number("partial_rotary_factor", 1.0)? != 1.0
        {
            return Err("`partial_rotary_factor` is not known here; whole heads are rotated".into());
        }
        let need = |name: &str| match rope.get(name) {
            Some(_) => rope.positive(name, 1.0),
            None => Err(format!("rope scaling without a positive `{name}`")),
        };
        let kind = rope.text("rope_type")?.or(rope.text("type")?);
        Ok(match kind {
            None | Some("default") => Self::None,
            Some("linear") => Self::Linear { factor: need("factor")? },
            Some("llama3") => Self::Llama3 {
                factor: need("factor")?,
                low_freq_factor: need("low_freq_factor")?,
                high_freq_factor: need("high_freq_factor")?,
                original,
            },
            Some("yarn") => {
                let context = config.positive("max_position_embeddings", original)?;
                let factor = rope.positive("factor", context / original)?;
                let scale =
                    |of: f64| if factor <= 1.0 { 1.0 } else { 0.1 * of * factor.ln() + 1.0 };
                let scales = [rope.number("mscale", 0.0)?, rope.number("mscale_all_dim", 0.0)?];
                let usual = match scales {
                    [above, below] if above != 0.0 && below != 0.0 => scale(above) / scale(below),
                    _ => scale(1.0),
                };
                // 0 means the usual number, as in transformers
                let beta = |name: &str, usual: f64| match rope.number(name, usual)? {
                    0.0 => Ok(usual),
                    _ => rope.positive(name, usual),
                };
                Self::Yarn {
                    factor,
                    original,
                    attention_factor: rope.positive("attention_factor", usual)?,
                    beta_fast: beta("beta_fast", 32.0)?,
                    beta_slow: beta("beta_slow", 1.0)?,
                    truncate,
                }
            }
            Some(other) => {
                return Err(format!(
                    "rope type `{other}` is not known here; known: default, linear, llama3, yarn"
                ));
            }
        })
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
            Self::Yarn { factor, original, attention_factor, beta_fast, beta_slow, truncate } => {
                let mut rope = json!({
                    "rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original as usize,
                    "attention_factor": attention_factor, "beta_fast": beta_fast, "beta_slow": beta_slow,
                });
                if !truncate {
                    rope["truncate"] = json!(false);
                }
                rope
            }
        }
    }
}
