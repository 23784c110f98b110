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
    /// The reference answers with plain line ends, where they have carriage returns: nearly all of MBPP's do, and to a model they are noise.
    GroundTruthLf,
    /// The reference answers with a carriage return at every line end, as nearly all of MBPP's have: what such noise alone does.
    GroundTruthCrlf,
    /// The reference answers cut down to their first fenced block of code; those without one stay as they are.
    GroundTruthCode,
    /// The model's own right answers.
    SelfOutput,
    /// The model's own right answers to those questions that it answered both rightly and wrongly (the paper's "100 % correct").
    SelfOutputRight,
    /// To the same questions, its answers of lowest perplexity, right or wrong (the paper's "mixed").
    SelfOutputAny,
    /// To the same questions, its wrong answers of lowest perplexity (the paper's "0 % correct").
    SelfOutputWrong,
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
            Self::GroundTruthLf => f.write_str("ground_truth_lf"),
            Self::GroundTruthCrlf => f.write_str("ground_truth_crlf"),
            Self::GroundTruthCode => f.write_str("ground_truth_code"),
            Self::SelfOutput => f.write_str("self_output"),
            Self::SelfOutputRight => f.write_str("self_output_right"),
            Self::SelfOutputAny => f.write_str("self_output_any"),
            Self::SelfOutputWrong => f.write_str("self_output_wrong"),
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
            "ground_truth_lf" => Ok(Self::GroundTruthLf),
            "ground_truth_crlf" => Ok(Self::GroundTruthCrlf),
            "ground_truth_code" => Ok(Self::GroundTruthCode),
            "self_output" => Ok(Self::SelfOutput),
            "self_output_right" => Ok(Self::SelfOutputRight),
            "self_output_any" => Ok(Self::SelfOutputAny),
            "self_output_wrong" => Ok(Self::SelfOutputWrong),
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
                    "ground_truth_lf",
                    "ground_truth_crlf",
                    "ground_truth_code",
                    "self_output",
                    "self_output_right",
                    "self_output_any",
                    "self_output_wrong",
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
            "ground_truth_crlf",
            "self_output",
            "self_output_wrong",
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
