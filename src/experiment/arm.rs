use super::Source;
use crate::error::{Error, Result};
use crate::masked;
use crate::select::{Preset, Weighting, respelled};
use crate::train::TrainConfig;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One line of a comparison: whose answers a model is trained on, which of their tokens, and perhaps another way of training than the rest.
///
/// It is its name. A source alone learns every token: `self_output`. A rule alone is applied to the ground truth, and is written as a published
/// method, such as `stm(2.5)` or `dft`, or as `weights: keep(ppl_base <= 2.5) & !class(end_of_turn)`; see [`select`](crate::select). Both together are
/// `stm(2.5) on self_output`. What stands behind an `@` is the recipe's [`Variant`]: `stm(2.5)@dora`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arm {
    /// Whose answers.
    pub source: Source,
    /// How much each of their tokens is learned.
    pub rule: Weighting,
    /// The recipe's [`Variant`] by which it is trained; `None` is the recipe's own way.
    pub variant: Option<String>,
}

/// Another way of training than the recipe's own: its own fine-tuning, and the rates that are tried with it.
///
/// In a recipe file a variant says only what differs, for example `[variants.dora.finetune.method.lora]` with `dora = true`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// How training goes.
    pub finetune: TrainConfig,
    /// Peak rates tried.
    pub learning_rates: Vec<f64>,
}

impl Arm {
    /// Every token of the answers of `source`.
    pub fn all(source: Source) -> Self {
        Self { source, rule: Weighting::all(), variant: None }
    }

    /// The ground truth, weighed by `rule`.
    pub fn weighed(rule: Weighting) -> Self {
        Self { source: Source::GroundTruth, rule, variant: None }
    }

    /// The threshold of the token perplexity, for arms that have one.
    pub fn threshold(&self) -> Option<f64> {
        self.rule.threshold()
    }

    /// Its name for folders, without brackets: `stm_2.5@dora`.
    pub fn label(&self) -> String {
        self.to_string().replace('(', "_").replace(')', "")
    }

    /// Refuses a rule that needs what scoring does not give.
    ///
    /// # Errors
    /// Names the arm, and what its rule needs.
    pub fn check(&self) -> Result<()> {
        masked::check(&self.rule)
            .map_err(|problem| Error::invalid(format!("arm `{self}`"), problem))
    }
}

/// What an arm of a rule begins with, if the rule is not one published method.
const WEIGHTS: &str = "weights:";
/// What stands between a rule and the source it is applied to.
const ON: &str = " on ";

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.rule.to_string();
        match (self.source, self.rule == Weighting::all()) {
            (source, true) => write!(f, "{source}")?,
            (source, false) => {
                if !published(&rule) {
                    write!(f, "{WEIGHTS} ")?;
                }
                f.write_str(&rule)?;
                if source != Source::GroundTruth {
                    write!(f, "{ON}{source}")?;
                }
            }
        }
        self.variant.iter().try_for_each(|variant| write!(f, "@{variant}"))
    }
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
        let (arm, variant) = match name.rsplit_once('@') {
            None => (name, None),
            Some((_, "")) => {
                let problem = "names no variant after the `@`";
                return Err(Error::invalid(format!("arm `{name}`"), problem));
            }
            Some((arm, variant)) => (arm, Some(variant.to_owned())),
        };
        if let Some(source) = Source::named(arm) {
            return Ok(Self { variant, ..Self::all(source) });
        }
        let (line, source) = match arm.rsplit_once(ON) {
            Some((line, source)) => match Source::named(source.trim()) {
                Some(source) => (line, source),
                None => return Err(unknown(source.trim())),
            },
            None => (arm, Source::GroundTruth),
        };
        let rule = match line.strip_prefix(WEIGHTS) {
            Some(rule) => rule.trim().to_owned(),
            None if published(line) => line.to_owned(),
            None => respelled(line).ok_or_else(|| unknown(arm))?,
        };
        let rule = rule.parse().map_err(|error| match error {
            Error::Invalid { problem, .. } => Error::invalid(format!("arm `{arm}`"), problem),
            other => other,
        })?;
        Ok(Self { source, rule, variant })
    }
}

/// The error of a name that is none, with the nearest one that is.
fn unknown(name: &str) -> Error {
    const RULES: [&str; 5] = [
        "stm(2.5)",
        "random_mask(2.5)",
        "lowest_mask(2.5)",
        "dpf(0)",
        "weights: keep(ppl_base <= 2.5)",
    ];
    let known: Vec<&str> = Source::ALL.iter().map(|(_, name)| *name).chain(RULES).collect();
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    let problem = format!(
        "is not known; did you mean `{}`? known: {}",
        nearest.copied().unwrap_or_default(),
        known.join(", ")
    );
    Error::invalid(format!("arm `{name}`"), problem)
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
            "stm(2.5)@dora",
            "rephrase@full",
            "stm(2.5) on self_output",
            "weights: keep(ppl_base <= 2.5) over batch on rephrase@dora",
        ] {
            assert_eq!(name.parse::<Arm>().unwrap().to_string(), name);
        }
        assert!("stm_-1".parse::<Arm>().unwrap_err().to_string().contains("above 0"));
        assert!("stm_nan".parse::<Arm>().is_err());
        assert!("rephrase@".parse::<Arm>().is_err());
        for (name, nearest) in [
            ("self_ouput", "`self_output`"),
            ("stm(2.5) on self_outptu", "`self_output`"),
            ("stm(2.5) on", "`stm(2.5)`"),
        ] {
            let error = name.parse::<Arm>().unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean {nearest}")), "{error}");
        }
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
                assert_eq!(other, one, "{spelling}");
                assert_eq!(
                    (other.to_string(), other.threshold()),
                    (one.to_string(), one.threshold())
                );
            }
        }
        let dora: Arm = "stm_2.5@dora".parse().unwrap();
        assert_eq!(
            (dora.label().as_str(), dora.variant.as_deref()),
            ("stm_2.5@dora", Some("dora"))
        );
        assert_eq!("weights: all".parse::<Arm>().unwrap(), Arm::all(Source::GroundTruth));
        assert_eq!("stm(2.5)".parse::<Arm>().unwrap(), Arm::weighed(Weighting::stm(2.5).unwrap()));
        // a rule that says more is another one, with the same threshold
        let more: Arm = "weights: stm(2.5) over batch".parse().unwrap();
        assert_ne!(more.rule, Weighting::stm(2.5).unwrap());
        assert_eq!(more.threshold(), Some(2.5));
        assert_eq!("dft".parse::<Arm>().unwrap().threshold(), None);
    }

    #[test]
    fn a_rule_brings_what_its_loss_is_divided_by() {
        let of = |name: &str| {
            let arm: Arm = name.parse().unwrap();
            arm.check().map(|()| masked::config(&arm.rule, &TrainConfig::lab()).normalizer())
        };
        assert_eq!(of("stm(2.5)").unwrap(), Normalizer::Kept);
        assert_eq!(of("flow").unwrap(), Normalizer::Completion);
        assert_eq!(of("weights: flow over batch").unwrap(), Normalizer::Batch);
        assert_eq!(of("ground_truth").unwrap(), Normalizer::Kept);
        assert_eq!(of("dft").unwrap(), Normalizer::Completion);
        let unknown = of("weights: entropy_top_base").unwrap_err().to_string();
        assert!(unknown.contains("20 most probable"), "{unknown}");
    }
}
