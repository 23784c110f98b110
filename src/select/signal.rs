use super::{LossMask, TokenClass};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is known of each token of one example: columns as long as the sequence. A model that was not asked is `None`, and so is a single
/// value that a model could not give (the first token has no context).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signals {
    /// The tokens that the assistant wrote: weights are 0 outside.
    pub completion: LossMask,
    /// What the data themselves say of how much each token is learned; every rule's weight is multiplied by it. Empty where each is 1.
    pub given: Vec<f32>,
    /// What kind of text each token is; may be empty where no weight depends on it ([`Needs::class`](super::Needs)).
    pub class: Vec<TokenClass>,
    /// The model before fine-tuning.
    pub base: Option<ModelSignals>,
    /// The model as it is in training, without gradient.
    pub current: Option<ModelSignals>,
    /// Another model: a larger one, one that was fine-tuned, or one trained on good data.
    pub reference: Option<ModelSignals>,
}

/// What one model says of each token of one example.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelSignals {
    /// `ln p(token | all before)`, at most 0.
    pub log_prob: Vec<Option<f32>>,
    /// Entropy of the whole next-token distribution, in nats.
    pub entropy: Vec<Option<f32>>,
    /// Tokens that would have been more probable; 0 is the greedy choice.
    pub rank: Vec<Option<u32>>,
    /// Entropy of the [`TOP`] most probable tokens, their probabilities divided by their sum, in nats.
    pub top_entropy: Option<Vec<Option<f32>>>,
}

/// Most probable tokens of which [`ModelSignals::top_entropy`] is the entropy: EAFT's number.
pub const TOP: usize = 20;

/// Which model a signal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scorer {
    Base,
    Current,
    Reference,
}

/// What of a model's distribution a signal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Perplexity,
    Probability,
    LogProb,
    Surprisal,
    Entropy,
    TopEntropy,
    Rank,
}

/// One number for each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signal {
    pub quantity: Quantity,
    pub scorer: Scorer,
}

const SCORERS: [(&str, Scorer); 3] =
    [("base", Scorer::Base), ("current", Scorer::Current), ("reference", Scorer::Reference)];

const QUANTITIES: [(&str, Quantity); 7] = [
    ("ppl", Quantity::Perplexity),
    ("p", Quantity::Probability),
    ("log_prob", Quantity::LogProb),
    ("surprisal", Quantity::Surprisal),
    ("entropy", Quantity::Entropy),
    ("entropy_top", Quantity::TopEntropy),
    ("rank", Quantity::Rank),
];

impl Signal {
    /// The signal called `name`, such as `ppl_base`.
    pub fn named(name: &str) -> Option<Self> {
        let (quantity, scorer) = name.rsplit_once('_')?;
        let quantity = QUANTITIES.iter().find(|(known, _)| *known == quantity)?.1;
        let scorer = SCORERS.iter().find(|(known, _)| *known == scorer)?.1;
        Some(Self { quantity, scorer })
    }

    pub fn name(self) -> String {
        let quantity = QUANTITIES[self.quantity as usize].0;
        format!("{quantity}_{}", self.scorer.name())
    }

    /// The names of all signals.
    pub fn names() -> impl Iterator<Item = String> {
        let all = SCORERS.iter().flat_map(|s| QUANTITIES.iter().map(move |q| (q, s)));
        all.map(|((quantity, _), (scorer, _))| format!("{quantity}_{scorer}"))
    }

    /// Its values in `signals`, the `at`-th example; a value that is not a number is none.
    pub fn values(self, signals: &Signals, at: usize) -> Result<Vec<Option<f64>>> {
        let model = match self.scorer {
            Scorer::Base => &signals.base,
            Scorer::Current => &signals.current,
            Scorer::Reference => &signals.reference,
        };
        let missing = |what: &str| {
            let problem = format!(
                "needs {what} of the {} model, which example {at} does not have; it was not computed",
                self.scorer.name()
            );
            Error::invalid(format!("signal {}", self.name()), problem)
        };
        let model = model.as_ref().ok_or_else(|| missing("the scores"))?;
        let known = |values: &[Option<f32>], of: fn(f32) -> f64| {
            let value = |value: &Option<f32>| value.map(of).filter(|value| !value.is_nan());
            values.iter().map(value).collect::<Vec<_>>()
        };
        let log_prob = model.log_prob.as_slice();
        let values = match self.quantity {
            // in single precision, as every other place computes a perplexity, so that a threshold falls alike everywhere
            Quantity::Perplexity => known(log_prob, |l| f64::from((-l).exp())),
            Quantity::Probability => known(log_prob, |l| f64::from(l).exp()),
            Quantity::LogProb => known(log_prob, f64::from),
            Quantity::Surprisal => known(log_prob, |l| -f64::from(l)),
            Quantity::Entropy => known(&model.entropy, f64::from),
            Quantity::TopEntropy => {
                let top = model.top_entropy.as_ref();
                known(
                    top.ok_or_else(|| missing("the entropy of the 20 most probable tokens"))?,
                    f64::from,
                )
            }
            Quantity::Rank => model.rank.iter().map(|rank| rank.map(f64::from)).collect(),
        };
        if values.len() != signals.completion.len() {
            let problem = format!(
                "has {} values for the {} tokens of example {at}; score and render the example again after editing it",
                values.len(),
                signals.completion.len()
            );
            return Err(Error::invalid(format!("signal {}", self.name()), problem));
        }
        Ok(values)
    }
}

impl Scorer {
    pub fn name(self) -> &'static str {
        SCORERS[self as usize].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_signal_are_one() {
        let mut count = 0;
        for name in Signal::names() {
            assert_eq!(Signal::named(&name).unwrap().name(), name);
            count += 1;
        }
        assert_eq!(count, 21);
        for name in ["ppl", "ppl_", "_base", "ppl_tuned", "base", "entropy_top"] {
            assert_eq!(Signal::named(name), None, "{name}");
        }
    }

    #[test]
    fn a_model_that_was_not_asked_is_an_error_that_names_it() {
        let signals = Signals {
            completion: LossMask::new(vec![false, true]),
            base: Some(ModelSignals {
                log_prob: vec![None, Some(-1.0)],
                entropy: vec![None],
                ..ModelSignals::default()
            }),
            ..Signals::default()
        };
        let values = |name: &str| Signal::named(name).unwrap().values(&signals, 3);
        assert_eq!(values("surprisal_base").unwrap(), [None, Some(1.0)]);
        for (name, part) in [
            ("p_current", "current model, which example 3 does not have"),
            ("entropy_top_base", "20 most probable"),
            ("entropy_base", "has 1 values for the 2 tokens"),
        ] {
            let error = values(name).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(name), "{error}");
        }
    }
}
