use crate::error::{Error, Result};
use crate::scorer;
use crate::select::{Preset, Weighting};
use crate::train::TrainConfig;
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
    /// The reference answers, each token weighed by a rule: written as a published method, such as `dpf(0)` or `dft`, or as
    /// `weights: keep(ppl_base <= 2.5) & !class(end_of_turn)`. See [`select`](crate::select). A rule lives as long as the program, so that
    /// an arm stays a small value that is copied; a recipe has a handful.
    Weights(&'static Weighting),
}

impl Arm {
    /// The threshold of the token perplexity, for arms that have one.
    pub fn threshold(self) -> Option<f64> {
        match self {
            Self::Stm(t) | Self::RandomMask(t) | Self::LowestMask(t) => Some(t),
            Self::Weights(weighting) => weighting.threshold(),
            _ => None,
        }
    }

    /// How much each completion token weighs.
    ///
    /// # Errors
    /// When its threshold is not above 0.
    pub fn weighting(self) -> Result<Weighting> {
        match self {
            Self::Stm(threshold) => Weighting::stm(threshold),
            Self::RandomMask(threshold) => format!("random_mask({threshold})").parse(),
            Self::LowestMask(threshold) => format!("lowest_mask({threshold})").parse(),
            Self::Weights(weighting) => Ok(weighting.clone()),
            _ => "all".parse(),
        }
    }

    /// `config` as the arm is trained: see [`scorer::config`].
    ///
    /// # Errors
    /// When the rule needs what scoring does not give.
    pub fn finetune(self, config: &TrainConfig) -> Result<TrainConfig> {
        let weighting = self.weighting()?;
        scorer::check(&weighting)
            .map_err(|problem| Error::invalid(format!("arm `{self}`"), problem))?;
        Ok(scorer::config(&weighting, config))
    }

    /// The arm that weighs tokens by `line`: a rule has one arm, however it is spelled.
    fn weighed(name: &str, line: &str) -> Result<Self> {
        let weighting: Weighting = line.parse().map_err(|error: Error| match error {
            Error::Invalid { problem, .. } => Error::invalid(format!("arm `{name}`"), problem),
            other => other,
        })?;
        let masks: [fn(f64) -> Self; 3] = [Self::Stm, Self::RandomMask, Self::LowestMask];
        let known = masks.map(|mask| weighting.threshold().map(mask)).into_iter().flatten();
        for arm in known {
            if arm.weighting()? == weighting {
                return Ok(arm);
            }
        }
        Ok(Self::Weights(Box::leak(Box::new(weighting))))
    }
}

/// What an arm of a rule begins with, if the rule is not one published method.
const WEIGHTS: &str = "weights:";

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
            Self::Stm(t) => write!(f, "stm({t})"),
            Self::RandomMask(t) => write!(f, "random_mask({t})"),
            Self::LowestMask(t) => write!(f, "lowest_mask({t})"),
            Self::Weights(weighting) => match published(&weighting.to_string()) {
                true => write!(f, "{weighting}"),
                false => write!(f, "{WEIGHTS} {weighting}"),
            },
        }
    }
}

/// What earlier recipes and results call `stm_2.5` as it is written today: `stm(2.5)`.
pub(super) fn respelled(name: &str) -> Option<String> {
    let of = |preset: &str| {
        let threshold = name.strip_prefix(preset)?.strip_prefix('_')?.parse::<f64>().ok()?;
        Some(format!("{preset}({threshold})"))
    };
    ["stm", "random_mask", "lowest_mask"].into_iter().find_map(of)
}

/// Whether `name` is a published method, with its numbers if it has any and nothing behind them.
fn published(name: &str) -> bool {
    let (preset, numbers) = match name.split_once('(') {
        Some((preset, rest)) => (preset, rest.find(')') == Some(rest.len() - 1)),
        None => (name, true),
    };
    let preset = Preset::named(preset);
    let takes = |preset: &Preset| preset.by_class || !preset.parameters.is_empty();
    numbers && preset.is_some_and(|preset| takes(preset) == name.contains('('))
}

impl FromStr for Arm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
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
                if let Some(line) = name.strip_prefix(WEIGHTS) {
                    return Self::weighed(name, line.trim());
                }
                if published(name) {
                    return Self::weighed(name, name);
                }
                if let Some(line) = respelled(name) {
                    return Self::weighed(name, &line);
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
                    "stm(2.5)",
                    "random_mask(2.5)",
                    "lowest_mask(2.5)",
                    "dpf(0)",
                    "weights: keep(ppl_base <= 2.5)",
                ];
                let nearest = known.iter().max_by(|a, b| {
                    strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name))
                });
                let nearest = nearest.copied().unwrap_or_default();
                Err(Error::invalid(
                    format!("arm `{name}`"),
                    format!("is not known; did you mean `{nearest}`? known: {}", known.join(", ")),
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
    use crate::select::Normalizer;

    #[test]
    fn a_name_and_its_arm_are_one() {
        for name in [
            "ground_truth",
            "ground_truth_crlf",
            "self_output",
            "self_output_wrong",
            "stm(2.5)",
            "random_mask(25)",
            "lowest_mask(1.5)",
            "dft",
            "dpf(0)",
            "stm_by_class(words: 2.5, else: 10)",
            "weights: keep(ppl_base <= 2.5) & !class(end_of_turn)",
            "weights: dpf(0) over batch",
            "weights: stm(2.5) & stm_scorer(3)",
        ] {
            assert_eq!(name.parse::<Arm>().unwrap().to_string(), name);
        }
        assert!("stm_-1".parse::<Arm>().unwrap_err().to_string().contains("above 0"));
        assert!("stm_nan".parse::<Arm>().is_err());
        let error = "self_ouput".parse::<Arm>().unwrap_err().to_string();
        assert!(error.contains("did you mean `self_output`"), "{error}");
        let error = "weights: keep(ppl_bas <= 2)".parse::<Arm>().unwrap_err();
        let error = error.to_string();
        assert!(error.contains("arm `weights: keep(ppl_bas <= 2)`: `ppl_bas` is not known"));
        assert!(error.ends_with("\n  keep(ppl_bas <= 2)\n       ^^^^^^^"), "{error}");
        assert!("dpf".parse::<Arm>().is_err(), "its number is part of its name");
    }

    #[test]
    fn a_rule_has_one_arm_however_it_is_spelled() {
        for (name, spellings) in [
            ("stm(2.5)", ["stm_2.5", "stm( 2.50 )", "weights: stm(2.5)"]),
            (
                "random_mask(25)",
                ["random_mask_25", "random_mask(25.0)", "weights: random_mask(25)"],
            ),
            (
                "lowest_mask(1.5)",
                ["lowest_mask_1.5", "lowest_mask(15e-1)", "weights:lowest_mask(1.5)"],
            ),
        ] {
            let one: Arm = name.parse().unwrap();
            assert_eq!(one.to_string(), name);
            assert!(one.threshold().is_some());
            for spelling in spellings {
                let other: Arm = spelling.parse().unwrap();
                assert_eq!((other, other.to_string()), (one, name.to_owned()), "{spelling}");
                assert_eq!(other.threshold(), one.threshold());
                let config = |arm: Arm| arm.finetune(&TrainConfig::lab()).unwrap();
                assert_eq!(config(other), config(one), "{spelling}");
            }
        }
        // a rule that says more is another one, with the same threshold
        let more: Arm = "weights: stm(2.5) over batch".parse().unwrap();
        assert_ne!(more, Arm::Stm(2.5));
        assert_eq!(more.threshold(), Some(2.5));
        assert_eq!("dft".parse::<Arm>().unwrap().threshold(), None);
    }

    #[test]
    fn a_rule_brings_what_its_loss_is_divided_by() {
        let of = |name: &str| {
            let arm: Arm = name.parse().unwrap();
            arm.finetune(&TrainConfig::lab()).map(|config| config.normalizer())
        };
        assert_eq!(of("stm(2.5)").unwrap(), Normalizer::Kept);
        assert_eq!(of("flow").unwrap(), Normalizer::Completion);
        assert_eq!(of("weights: flow over batch").unwrap(), Normalizer::Batch);
        assert_eq!(of("weights: all").unwrap(), Normalizer::Kept);
        assert_eq!(of("dft").unwrap(), Normalizer::Completion);
        let unknown = of("weights: entropy_top_base").unwrap_err().to_string();
        assert!(unknown.contains("20 most probable"), "{unknown}");
    }
}
