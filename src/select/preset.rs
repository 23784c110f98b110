//! Published methods, each as an expression of this algebra.

use super::Normalizer;

/// A published method: its name, what may be said of it, what it is in this algebra, and where it comes from.
#[derive(Debug)]
pub struct Preset {
    /// As it is written in an expression.
    pub name: &'static str,
    /// Its numbers, in order.
    pub parameters: &'static [Parameter],
    /// Whether it takes a number for each class of tokens, by name, and one for all others.
    pub by_class: bool,
    /// Its expression, with the parameters' names in braces; `{by_class}` stands for the numbers of the classes.
    pub expression: &'static str,
    /// What its loss is divided by in the publication: the code where there is one, else the text.
    pub normalizer: Normalizer,
    /// What it is, in a few words.
    pub what: &'static str,
    /// Where it is published.
    pub source: &'static str,
}

/// A number that a preset takes.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its value where it is not given.
    pub default: Option<f64>,
    /// What it may be.
    pub range: Bounds,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// Any finite number.
    Any,
    /// Above 0, or infinite.
    Positive,
    /// 0 or more.
    NotNegative,
    /// From 0 to 1.
    Share,
    /// Above 0.5, below 1.
    MoreThanHalf,
}

impl Bounds {
    /// Whether `value` may be.
    pub fn allows(self, value: f64) -> bool {
        match self {
            Self::Any => value.is_finite(),
            Self::Positive => value > 0.0,
            Self::NotNegative => value >= 0.0 && value.is_finite(),
            Self::Share => (0.0..=1.0).contains(&value),
            Self::MoreThanHalf => value > 0.5 && value < 1.0,
        }
    }

    /// What a value must be, for a message.
    pub fn says(self) -> &'static str {
        match self {
            Self::Any => "a finite number",
            Self::Positive => "above 0",
            Self::NotNegative => "at least 0",
            Self::Share => "from 0 to 1",
            Self::MoreThanHalf => "above 0.5 and below 1",
        }
    }
}

const fn with(name: &'static str, default: f64, range: Bounds) -> Parameter {
    Parameter { name, default: Some(default), range }
}

const fn needed(name: &'static str, range: Bounds) -> Parameter {
    Parameter { name, default: None, range }
}

const STM: &str = "arXiv 2501.14315, § 3";
const DPF: &str = "arXiv 2501.14315, App. G";
const CONTROL: &str =
    "arXiv 2501.14315, § 5.1, with equal counts in each example, which its code does not have";
const PROFIT: &str = "arXiv 2601.09195 and its code, profit_loss_func";
const BEYOND: &str = "arXiv 2510.00526 and its code, objective_trans";

/// Every preset, in the order in which the table shows them.
pub static PRESETS: &[Preset] = &[
    Preset {
        name: "stm",
        parameters: &[with("threshold", 2.5, Bounds::Positive)],
        by_class: false,
        expression: "keep(ppl_base <= {threshold})",
        normalizer: Normalizer::Kept,
        what: "Selective Token Masking",
        source: STM,
    },
    Preset {
        name: "stm_quantile",
        parameters: &[needed("share", Bounds::Share)],
        by_class: false,
        expression: "keep(ppl_base <= quantile({share}, ppl_base, per: data))",
        normalizer: Normalizer::Kept,
        what: "STM at the perplexity below which a share of all completion tokens lies",
        source: STM,
    },
    Preset {
        name: "stm_by_class",
        parameters: &[],
        by_class: true,
        expression: "keep(ppl_base <= by_class({by_class}))",
        normalizer: Normalizer::Kept,
        what: "STM with a threshold for each class of tokens",
        source: STM,
    },
    Preset {
        name: "stm_scorer",
        parameters: &[with("threshold", 2.5, Bounds::Positive)],
        by_class: false,
        expression: "keep(ppl_reference <= {threshold})",
        normalizer: Normalizer::Kept,
        what: "STM by another scorer, such as a larger model of the family",
        source: "arXiv 2501.14315, Table 3, last row",
    },
    Preset {
        name: "dpf",
        parameters: &[with("rise", 0.0, Bounds::Any)],
        by_class: false,
        expression: "keep(ppl_reference - ppl_base <= {rise})",
        normalizer: Normalizer::Kept,
        what: "Differential Perplexity Filtering: what a first fine-tune (the reference) made no harder",
        source: DPF,
    },
    Preset {
        name: "stm_dpf",
        parameters: &[with("threshold", 100.0, Bounds::Positive), with("rise", 0.0, Bounds::Any)],
        by_class: false,
        expression: "keep(ppl_base <= {threshold}) & keep(ppl_reference - ppl_base <= {rise})",
        normalizer: Normalizer::Kept,
        what: "DPF, without what the base finds very hard",
        source: DPF,
    },
    Preset {
        name: "random_mask",
        parameters: &[with("threshold", 2.5, Bounds::Positive)],
        by_class: false,
        expression: "random(like: keep(ppl_base <= {threshold}))",
        normalizer: Normalizer::Kept,
        what: "Control: as many tokens of each example as STM keeps, drawn at random",
        source: CONTROL,
    },
    Preset {
        name: "lowest_mask",
        parameters: &[with("threshold", 2.5, Bounds::Positive)],
        by_class: false,
        expression: "highest(ppl_base, like: keep(ppl_base <= {threshold}))",
        normalizer: Normalizer::Kept,
        what: "Control: as many as STM keeps; those of lowest perplexity are masked",
        source: CONTROL,
    },
    Preset {
        name: "shuffled_mask",
        parameters: &[with("threshold", 2.5, Bounds::Positive)],
        by_class: false,
        expression: "shuffled(like: keep(ppl_base <= {threshold}))",
        normalizer: Normalizer::Kept,
        what: "Control: as many of each class in each example as STM keeps, drawn at random",
        source: "ours: tells whether STM does more than leave out some classes",
    },
    Preset {
        name: "rho1",
        parameters: &[needed("share", Bounds::Share)],
        by_class: false,
        expression: "top({share}, surprisal_current - surprisal_reference, per: batch)",
        normalizer: Normalizer::Kept,
        what: "Selective Language Modeling: what a reference trained on good data finds easier than the model does now",
        source: "arXiv 2404.07965 (RHO-1)",
    },
    Preset {
        name: "token_cleaning",
        parameters: &[with("share", 0.6, Bounds::Share)],
        by_class: false,
        expression: "top({share}, surprisal_base - surprisal_reference, per: data)",
        normalizer: Normalizer::Kept,
        what: "Token Cleaning over the data set; self-evolving if the reference is the last round's model",
        source: "arXiv 2502.01968 and its code, select_token_level global",
    },
    Preset {
        name: "token_cleaning_per_sample",
        parameters: &[with("share", 0.6, Bounds::Share)],
        by_class: false,
        expression: "top({share}, surprisal_base - surprisal_reference, per: example)",
        normalizer: Normalizer::Kept,
        what: "Token Cleaning within each example",
        source: "arXiv 2502.01968, code, select_token_level sample",
    },
    Preset {
        name: "profit",
        parameters: &[with("probability", 0.1, Bounds::Share)],
        by_class: false,
        expression: "keep(p_current >= {probability})",
        normalizer: Normalizer::Completion,
        what: "ProFit: leaves out what the model now finds improbable",
        source: PROFIT,
    },
    Preset {
        name: "profit_lower",
        parameters: &[needed("probability", Bounds::Share)],
        by_class: false,
        expression: "keep(p_current <= {probability})",
        normalizer: Normalizer::Completion,
        what: "ProFit's control: only what is improbable",
        source: PROFIT,
    },
    Preset {
        name: "profit_middle",
        parameters: &[needed("low", Bounds::Share), needed("high", Bounds::Share)],
        by_class: false,
        expression: "keep(p_current >= {low}) & keep(p_current <= {high})",
        normalizer: Normalizer::Completion,
        what: "ProFit's control: neither end",
        source: PROFIT,
    },
    Preset {
        name: "profit_random",
        parameters: &[needed("share", Bounds::Share)],
        by_class: false,
        expression: "keep(uniform >= {share})",
        normalizer: Normalizer::Completion,
        what: "ProFit's control: leaves out a share at random, drawn once; counts are not equal",
        source: PROFIT,
    },
    Preset {
        name: "dft",
        parameters: &[],
        by_class: false,
        expression: "p_current",
        normalizer: Normalizer::Completion,
        what: "Dynamic Fine-Tuning",
        source: "arXiv 2508.05629 and its code; LLaMA-Factory's and TRL's divide alike",
    },
    Preset {
        name: "asft",
        parameters: &[],
        by_class: false,
        expression: "p_current",
        normalizer: Normalizer::Completion,
        what: "Anchored SFT: DFT's weights; its anchor, 0.1 KL(base || model), is a term of the loss and no weight",
        source: "arXiv 2509.23753 and its code, mode asft",
    },
    Preset {
        name: "eaft",
        parameters: &[with("alpha", 1.0, Bounds::NotNegative)],
        by_class: false,
        expression: "(entropy_top_current / ln(20)) ^ {alpha}",
        normalizer: Normalizer::Completion,
        what: "Entropy-Adaptive Fine-Tuning, its entropy from 0 to 1",
        source: "arXiv 2601.02151; newer versions of Axolotl's code",
    },
    Preset {
        name: "eaft_llamafactory",
        parameters: &[with("alpha", 1.0, Bounds::NotNegative)],
        by_class: false,
        expression: "(entropy_top_current / 3) ^ {alpha}",
        normalizer: Normalizer::Completion,
        what: "EAFT with its entropy divided by 3",
        source: "LLaMA-Factory's code, eaft_loss_func",
    },
    Preset {
        name: "eaft_axolotl",
        parameters: &[with("alpha", 1.0, Bounds::NotNegative)],
        by_class: false,
        expression: "entropy_top_current ^ {alpha}",
        normalizer: Normalizer::Completion,
        what: "EAFT with its entropy in nats: steps three times as long",
        source: "Axolotl's code, eaft_loss, before it could normalize",
    },
    Preset {
        name: "talr",
        parameters: &[with("least", 0.01, Bounds::Share)],
        by_class: false,
        expression: "max({least}, p_current ^ (1 / median(mean(surprisal_current, per: example), per: batch)))",
        normalizer: Normalizer::Completion,
        what: "Token-Adaptive Loss Reweighting; its divisor is not published, so all completion tokens",
        source: "arXiv 2509.20758",
    },
    Preset {
        name: "flow",
        parameters: &[],
        by_class: false,
        expression: "exp(-mean(surprisal_base, per: example) / median(mean(surprisal_base, per: example), per: data))",
        normalizer: Normalizer::Completion,
        what: "FLOW: one weight for each example, more for easy ones",
        source: "arXiv 2502.02797 and its code, loss_type sequence",
    },
    Preset {
        name: "flow_token",
        parameters: &[],
        by_class: false,
        expression: "exp(-surprisal_base / median(surprisal_base, per: data))",
        normalizer: Normalizer::Completion,
        what: "FLOW for each token",
        source: "arXiv 2502.02797, code, loss_type token",
    },
    Preset {
        name: "psft",
        parameters: &[with("high", 0.28, Bounds::NotNegative)],
        by_class: false,
        expression: "if(keep(p_current / p_reference <= 1 + {high}), p_current / p_reference, 0)",
        normalizer: Normalizer::Completion,
        what: "Proximal SFT as the weight that has its gradient; the reference is the model before the step. Its lower bound (0.2) never acts on a positive advantage",
        source: "arXiv 2508.17784 and its code (clip ratios 0.2 and 0.28)",
    },
    Preset {
        name: "probability",
        parameters: &[with("q", 1.0, Bounds::NotNegative)],
        by_class: false,
        expression: "p_current ^ {q}",
        normalizer: Normalizer::Completion,
        what: "The objective (1 - p^q) / q as the weight that has its gradient: 0 is cross-entropy, 1 is DFT's",
        source: BEYOND,
    },
    Preset {
        name: "probability_top",
        parameters: &[needed("probability", Bounds::Share)],
        by_class: false,
        expression: "if(keep(p_current >= {probability}), p_current, 0)",
        normalizer: Normalizer::Kept,
        what: "The objective 1 - p on probable tokens only",
        source: BEYOND,
    },
    Preset {
        name: "probability_bottom",
        parameters: &[needed("probability", Bounds::Share)],
        by_class: false,
        expression: "if(keep(p_current <= {probability}), p_current, 0)",
        normalizer: Normalizer::Kept,
        what: "The objective 1 - p on improbable tokens only",
        source: BEYOND,
    },
    Preset {
        name: "infosft",
        parameters: &[with("probability", 0.93, Bounds::MoreThanHalf)],
        by_class: false,
        expression: "max(0, p_current * (1 - (log_prob_current - ln(1 - p_current)) / ln({probability} / (1 - {probability}))))",
        normalizer: Normalizer::Completion,
        what: "InfoSFT: most for the middle, little for improbable tokens, nothing from a probability on",
        source: "arXiv 2605.14967 and its code, infosft_normalized_loss (P 0.93)",
    },
    Preset {
        name: "trsft",
        parameters: &[with("probability", 0.1, Bounds::Share)],
        by_class: false,
        expression: "min(1, p_current / {probability})",
        normalizer: Normalizer::Completion,
        what: "Trust-region SFT: cross-entropy above a probability, DFT's falling weight below it",
        source: "arXiv 2512.17636 and its code, mix_core_alg clip_low",
    },
    Preset {
        name: "trsft_shift",
        parameters: &[with("probability", 0.1, Bounds::Share)],
        by_class: false,
        expression: "p_current * (1 / max(p_current, {probability}) - 0.5)",
        normalizer: Normalizer::Completion,
        what: "The same, its objective less half of the probability",
        source: "arXiv 2512.17636, code, clip_low_and_shift",
    },
    Preset {
        name: "chord_phi",
        parameters: &[],
        by_class: false,
        expression: "p_current * (1 - p_current)",
        normalizer: Normalizer::Completion,
        what: "CHORD's weight alone: most where the model is undecided; its RL half is no weight",
        source: "arXiv 2508.11408 and Trinity-RFT's code, phi_function",
    },
    Preset {
        name: "deft_cayley",
        parameters: &[],
        by_class: false,
        expression: "p_current ^ min(1, max(0.001, 0.5 * mean(p_current, per: batch) + (1 - 0.5 * mean(p_current, per: batch)) * p_current / (2 - p_current)))",
        normalizer: Normalizer::Completion,
        what: "DEFT's loss with an exponent for each token: near cross-entropy where all is improbable, near DFT where all is probable",
        source: "arXiv 2602.11424, code, objective_trans Cayley_Trans",
    },
    Preset {
        name: "eksft_entropy",
        parameters: &[with("share", 0.2, Bounds::Share)],
        by_class: false,
        expression: "!top({share}, entropy_current, per: batch)",
        normalizer: Normalizer::Kept,
        what: "EKSFT's entropy half: leaves out the share of a batch at which the model is most undecided",
        source: "arXiv 2605.29303; its code masks the token before the one it means, and needs the KL of each place for its other half",
    },
];

impl Preset {
    /// The preset called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// As it is called, with the names of its numbers and their values where they have one: `stm(threshold = 2.5)`.
    pub fn signature(&self) -> String {
        let number = |parameter: &Parameter| match parameter.default {
            Some(value) => format!("{} = {value}", parameter.name),
            None => parameter.name.to_string(),
        };
        let mut numbers: Vec<String> = self.parameters.iter().map(number).collect();
        if self.by_class {
            numbers.push("CLASS: threshold, …, else: threshold".into());
        }
        if numbers.is_empty() {
            self.name.to_string()
        } else {
            format!("{}({})", self.name, numbers.join(", "))
        }
    }

    /// Its expression with the numbers put in; `by_class` are the classes' numbers as they are written.
    pub(super) fn expanded(&self, numbers: &[f64], by_class: &str) -> String {
        let mut text = self.expression.replace("{by_class}", by_class);
        for (parameter, value) in self.parameters.iter().zip(numbers) {
            text = text.replace(&format!("{{{}}}", parameter.name), &value.to_string());
        }
        text
    }
}
