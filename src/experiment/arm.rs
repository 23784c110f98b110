use crate::error::{Error, Result};
use crate::select::Rule;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a model is trained on, or which of its tokens: the only thing in which runs of one rate and seed differ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Arm {
    /// The reference answers.
    GroundTruth,
    /// The reference answers of those items only for which Self-Output found a right answer: tells the effect of fewer and easier
    /// items from that of their wording.
    GroundTruthOnSelfOutputItems,
    /// The model's own right answers.
    SelfOutput,
    /// The model's right rewrites of the reference answers.
    Rephrase,
    /// The reference answers without tokens whose perplexity is above the threshold.
    Stm(f64),
    /// As many tokens masked in each example as by STM at the threshold, drawn at random.
    RandomMask(f64),
    /// As many tokens masked in each example as by STM at the threshold, those of lowest perplexity.
    LowestMask(f64),
}

impl Arm {
    /// The threshold of the token perplexity, for arms that have one.
    pub fn threshold(self) -> Option<f64> {
        match self {
            Self::Stm(t) | Self::RandomMask(t) | Self::LowestMask(t) => Some(t),
            _ => None,
        }
    }
}

impl Arm {
    /// Which completion tokens the arm learns.
    pub fn rule(self) -> Rule {
        match self {
            Self::Stm(threshold) => Rule::LowPerplexity(threshold),
            Self::RandomMask(threshold) => Rule::Random(threshold),
            Self::LowestMask(threshold) => Rule::WithoutLowest(threshold),
            _ => Rule::All,
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GroundTruth => f.write_str("ground_truth"),
            Self::GroundTruthOnSelfOutputItems => f.write_str("ground_truth_on_self_output_items"),
            Self::SelfOutput => f.write_str("self_output"),
            Self::Rephrase => f.write_str("rephrase"),
            Self::Stm(t) => write!(f, "stm_{t}"),
            Self::RandomMask(t) => write!(f, "random_mask_{t}"),
            Self::LowestMask(t) => write!(f, "lowest_mask_{t}"),
        }
    }
}

impl FromStr for Arm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let threshold = |text: &str| match text.parse::<f64>() {
            Ok(t) if t.is_finite() && t > 0.0 => Ok(t),
            _ => Err(Error::invalid(
                format!("arm `{name}`"),
                "the threshold must be a number above 0",
            )),
        };
        match name {
            "ground_truth" => Ok(Self::GroundTruth),
            "ground_truth_on_self_output_items" => Ok(Self::GroundTruthOnSelfOutputItems),
            "self_output" => Ok(Self::SelfOutput),
            "rephrase" => Ok(Self::Rephrase),
            _ => {
                if let Some(t) = name.strip_prefix("stm_") {
                    return threshold(t).map(Self::Stm);
                }
                if let Some(t) = name.strip_prefix("random_mask_") {
                    return threshold(t).map(Self::RandomMask);
                }
                if let Some(t) = name.strip_prefix("lowest_mask_") {
                    return threshold(t).map(Self::LowestMask);
                }
                let known = [
                    "ground_truth",
                    "ground_truth_on_self_output_items",
                    "self_output",
                    "rephrase",
                    "stm_2.5",
                    "random_mask_2.5",
                    "lowest_mask_2.5",
                ];
                let nearest = known.iter().max_by(|a, b| {
                    strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name))
                });
                let nearest = nearest.copied().unwrap_or_default();
                Err(Error::invalid(
                    format!("arm `{name}`"),
                    format!(
                        "is not known; did you mean `{nearest}`? known: {}",
                        known.join(", ")
                    ),
                ))
            }
        }
    }
}

impl TryFrom<String> for Arm {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Arm> for String {
    fn from(arm: Arm) -> Self {
        arm.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_arm_are_one() {
        for name in [
            "ground_truth",
            "self_output",
            "stm_2.5",
            "random_mask_25",
            "lowest_mask_1.5",
        ] {
            assert_eq!(name.parse::<Arm>().unwrap().to_string(), name);
        }
        assert!(
            "stm_-1"
                .parse::<Arm>()
                .unwrap_err()
                .to_string()
                .contains("above 0")
        );
        assert!(
            "stm_nan"
                .parse::<Arm>()
                .unwrap_err()
                .to_string()
                .contains("above 0")
        );
        let error = "self_ouput".parse::<Arm>().unwrap_err().to_string();
        assert!(error.contains("did you mean `self_output`"), "{error}");
    }
}
