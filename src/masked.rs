//! Which tokens of a scored data set are trained on, and with what weight.
//!
//! [`Masked`] is a rule applied to [`Scored`]. [`Masked::prepare`] makes of it what the trainer is given; notebooks, recipes and the command line
//! all go this way, so that a rule means the same to each.

use crate::error::{Error, Result};
use crate::scored::{Scored, TokenExample};
use crate::select::{Counts, LossMask, ModelSignals, Signals, TOP, Weighting};
use crate::stats;
use crate::train::{Example, OnlineWeights, TrainConfig};
#[cfg(feature = "tables")]
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// A data set with a weight for each token.
#[derive(Debug, Clone, PartialEq)]
pub struct Masked {
    /// The data set.
    pub scored: Arc<Scored>,
    /// The rule of the weights.
    pub rule: Weighting,
    /// Draws what is random in the rule.
    pub seed: u64,
    /// One for each token of each sequence; 0 is not learned. Where they follow the model while it learns, those before the first step, all
    /// answers taken as one batch; 1 for each token of an answer where the rule reads more than scoring says.
    pub weights: Vec<Vec<f32>>,
}

/// Whether what `rule` needs can be computed; else why not.
///
/// Scoring gives no entropy of the most probable tokens: only the trainer does, of the current model.
pub fn check(rule: &Weighting) -> std::result::Result<(), String> {
    let needs = rule.needs();
    let only_current = needs.current && !needs.base && !needs.reference;
    match needs.top_entropy && !only_current {
        true => Err(format!(
            "`{rule}` needs the entropy of the {TOP} most probable tokens, which is known of the model in training only, and then without base or reference signals; entropy_base is that of all tokens"
        )),
        false => Ok(()),
    }
}

/// `config` as a training by `rule` has it: everything that a rule decides of a training beside the weights.
///
/// What `config` says itself counts; what it leaves open is as the rule says. The loss is divided by what stands after the rule's `over`,
/// else as its method was published, else by the learned tokens. Weights that follow the model are made anew as often as its `every` says;
/// where they do not, nothing is made anew.
pub fn config(rule: &Weighting, config: &TrainConfig) -> TrainConfig {
    let every = config.reweigh_every.unwrap_or(rule.every());
    let normalizer = config.normalizer.or(rule.normalizer());
    let config = TrainConfig {
        normalizer,
        // 1 is said only where the rule says another number, so that this may be applied to its own result
        reweigh_every: (rule.needs().online() && every.max(rule.every()) > 1).then_some(every),
        ..config.clone()
    };
    TrainConfig { normalizer: Some(config.normalizer()), ..config }
}

impl Scored {
    /// What `rule` learns of these answers: `all`, `stm(2.5)`, or any other that `unforget weights --list` shows or that its language can say.
    /// What is random is drawn by seed 1 to be looked at; a training draws it by its own seed.
    ///
    /// # Errors
    /// The rule cannot be read, or needs what a second model says.
    pub fn mask(&self, rule: &str) -> Result<Masked> {
        const SEED: u64 = 1;
        let weighting: Weighting = rule.parse()?;
        let needs = weighting.needs();
        let wrong = |problem: &str| Err(Error::invalid(format!("rule {rule}"), problem));
        if needs.reference && self.reference.is_empty() {
            return wrong(
                "needs a second model: let it score the same items, and use `mask_against`",
            );
        }
        if needs.top_entropy {
            return wrong(
                "needs the entropy of the 20 most probable tokens, which the trainer alone computes: recipes and `unforget finetune` train by it; \
                 entropy_current is that of all tokens",
            );
        }
        Masked::new(Arc::new(self.clone()), &weighting, SEED)
    }

    /// As [`mask`](Self::mask), by a rule that compares two models, such as `dpf(0)`: `reference` is what the second one says of the same items.
    ///
    /// # Errors
    /// The rule cannot be read, or `reference` is of other tokens.
    pub fn mask_against(&self, rule: &str, reference: &Scored) -> Result<Masked> {
        if self.ids() != reference.ids() {
            let problem = format!(
                "is of other tokens than {}; let its model score the same items",
                self.name
            );
            return Err(Error::invalid(format!("reference {}", reference.name), problem));
        }
        Self { reference: reference.scores.clone(), ..self.clone() }.mask(rule)
    }
}

impl Masked {
    /// `rule` applied to `scored`; `seed` draws what is random in it.
    ///
    /// # Errors
    /// What a model says is missing that the rule reads, or a weight is no weight.
    pub fn new(scored: Arc<Scored>, rule: &Weighting, seed: u64) -> Result<Self> {
        let mut masked = Self { scored, rule: rule.clone(), seed, weights: Vec::new() };
        masked.weights = masked.drawn(&masked.scored.signals(), seed)?;
        Ok(masked)
    }

    /// What the rule gives each token, before the first step.
    fn drawn(&self, signals: &[Signals], seed: u64) -> Result<Vec<Vec<f32>>> {
        let (needs, scores) = (self.rule.needs(), &self.scored.scores);
        if !needs.online() {
            return self.rule.weights(signals, seed);
        }
        if needs.top_entropy || scores.is_empty() {
            return Ok(self.scored.every_token());
        }
        // before the first step the model that learns is the base
        let first = signals.iter().zip(scores).map(|(signals, scores)| Signals {
            current: Some(ModelSignals::from(scores)),
            ..signals.clone()
        });
        self.rule.weights(&first.collect::<Vec<_>>(), seed)
    }

    /// Which tokens of sequence `at` are learned at all.
    pub fn mask(&self, at: usize) -> LossMask {
        let weights = self.weights.get(at).into_iter().flatten();
        weights.map(|weight| *weight != 0.0).collect()
    }

    /// How many of the answers' tokens are learned.
    pub fn counts(&self) -> Counts {
        let sequences = self.scored.sequences.iter().enumerate();
        // a rule gives no weight outside the answer, so that its counts are defined
        sequences.filter_map(|(at, sequence)| sequence.completion.counts(&self.mask(at)).ok()).sum()
    }

    /// Share of the answers' tokens that are not learned.
    pub fn masked_share(&self) -> f64 {
        self.counts().masked_share()
    }

    /// The tokens of item `at`, counted from 0, with what is learned of them.
    ///
    /// # Errors
    /// There are fewer items.
    pub fn tokens(&self, at: usize) -> Result<TokenExample> {
        let tokens = self.scored.masked_tokens(at, &self.mask(at))?;
        let arm = format!("{}, {}", self.scored.name, self.rule);
        Ok(TokenExample { arm, ..tokens })
    }

    /// The tokens of item `at`, counted from 0, with the weight of each.
    ///
    /// # Errors
    /// There are fewer items.
    pub fn weighed(&self, at: usize) -> Result<Weighed> {
        Ok(Weighed { tokens: self.tokens(at)?, weights: self.weights[at].clone() })
    }

    /// A training on it as `config` says. What is random in the rule is drawn by the seed of `config`. Weights that were changed since the rule
    /// gave them are trained by as they are, and then no rule stands on the card.
    ///
    /// # Errors
    /// What a model says is missing that the rule reads, or a weight is no weight. Where weights follow the model: two sequences have one name,
    /// or weights were changed.
    pub fn prepare(&self, config: &TrainConfig) -> Result<Prepared<'_>> {
        let Self { scored, rule, seed, .. } = self;
        let online = rule.needs().online();
        if online {
            // they are found again by their names
            stats::distinct("ids of the training data", scored.sequences.iter().map(|of| &of.id))?;
        }
        let signals = scored.signals();
        let changed = self.weights != self.drawn(&signals, *seed)?;
        if changed && online {
            let problem = format!(
                "were changed, but `{rule}` recomputes them while the model learns; write a rule that gives them"
            );
            return Err(Error::invalid("weights of the masked data", problem));
        }
        let weights = match (changed, online) {
            (true, _) => self.weights.clone(),
            (false, true) => scored.every_token(),
            (false, false) if config.seed == *seed => self.weights.clone(),
            (false, false) => rule.weights(&signals, config.seed)?,
        };
        let ids = || scored.sequences.iter().map(|of| of.id.clone()).collect();
        Ok(Prepared {
            masked: self,
            online: online.then(|| OnlineRule::new(rule.clone(), ids(), signals, config.seed)),
            changed,
            examples: examples(scored, weights),
            config: self::config(rule, config),
        })
    }
}

#[cfg(feature = "tables")]
impl Masked {
    /// One row for each token, with the columns of a [ledger](crate::ledger); `weight` is what the rule gives.
    ///
    /// # Errors
    /// No model was asked yet.
    pub fn frame(&self) -> Result<DataFrame> {
        self.scored.frame_of(&self.weights)
    }
}

/// Examples as the trainer is given them, from one weight for each token.
pub fn examples(scored: &Scored, weights: Vec<Vec<f32>>) -> Vec<Example> {
    let example = |(sequence, weights): (&crate::tokens::Sequence, Vec<f32>)| Example {
        id: sequence.id.clone(),
        ids: sequence.ids.clone(),
        weights,
        completion_tokens: sequence.completion.learned(),
    };
    scored.sequences.iter().zip(weights).map(example).collect()
}

/// A training on masked data, with nothing left open.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    masked: &'a Masked,
    online: Option<OnlineRule>,
    changed: bool,
    /// What the trainer is given, in the order of the sequences; 1 for each token of an answer where the weights follow the model.
    pub examples: Vec<Example>,
    /// The configuration as [`config()`] makes it.
    pub config: TrainConfig,
}

impl Prepared<'_> {
    /// The data set.
    pub fn scored(&self) -> &Scored {
        &self.masked.scored
    }

    /// The rule, whether or not its weights were changed since.
    pub fn weights(&self) -> &Weighting {
        &self.masked.rule
    }

    /// The rule that gave the weights; none where they were changed by hand.
    pub fn rule(&self) -> Option<&Weighting> {
        (!self.changed).then_some(&self.masked.rule)
    }

    /// Who makes the weights while the model learns; nobody where they are fixed.
    pub fn online(&self) -> Option<&OnlineRule> {
        self.online.as_ref()
    }

    /// How many of the answers' tokens may be learned.
    ///
    /// # Errors
    /// A token outside an answer is learned.
    pub fn counts(&self) -> Result<Counts> {
        let pairs = self.scored().sequences.iter().zip(&self.examples);
        pairs
            .map(|(sequence, example)| {
                let learned = example.weights.iter().map(|weight| *weight != 0.0);
                sequence.completion.counts(&learned.collect::<LossMask>())
            })
            .sum()
    }
}

/// The tokens of one item with the weight of each, where weights are more than yes and no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// The tokens, and which have a weight at all.
    pub tokens: TokenExample,
    /// One for each token.
    pub weights: Vec<f32>,
}

/// Weights that follow the model while it learns: the rule, with everything of its signals that does not change.
#[derive(Debug, Clone)]
pub struct OnlineRule {
    rule: Weighting,
    signals: HashMap<String, Signals>,
    seed: u64,
    name: String,
}

impl OnlineRule {
    /// `signals` are those of the examples called `ids`, without the current model's.
    pub fn new(rule: Weighting, ids: Vec<String>, signals: Vec<Signals>, seed: u64) -> Self {
        let mut hash = Sha256::new();
        for signals in &signals {
            for model in [&signals.base, &signals.reference] {
                let values = model.iter().flat_map(|model| &model.log_prob);
                for value in values {
                    hash.update(value.unwrap_or(f32::NAN).to_le_bytes());
                }
                hash.update([u8::from(model.is_some())]);
            }
        }
        Self {
            name: format!("{rule} of {:x} with seed {seed}", hash.finalize()),
            signals: ids.into_iter().zip(signals).collect(),
            rule,
            seed,
        }
    }

    /// Names the rule and what it is computed from among the inputs of a training.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl OnlineWeights for OnlineRule {
    fn weights(
        &self,
        examples: &[&Example],
        current: &[ModelSignals],
        step: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let known = examples.iter().zip(current).map(|(example, current)| {
            let unknown = || Error::invalid(&example.id, "has no signals to make weights of");
            let signals = self.signals.get(&example.id).ok_or_else(unknown)?;
            Ok(Signals { current: Some(current.clone()), ..signals.clone() })
        });
        let known = known.collect::<Result<Vec<_>>>()?;
        self.rule.weights(&known, self.seed.wrapping_add(step as u64))
    }

    fn top_entropy(&self) -> Option<usize> {
        self.rule.needs().top_entropy.then_some(TOP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_follows_the_model_is_given_what_does_not_change() {
        let base = ModelSignals {
            log_prob: vec![None, Some(-1.0), Some(-1.0)],
            ..ModelSignals::default()
        };
        let known = Signals {
            completion: LossMask::new(vec![false, true, true]),
            base: Some(base.clone()),
            ..Signals::default()
        };
        let weighting = "keep(surprisal_current < surprisal_base)".parse().unwrap();
        let following = OnlineRule::new(weighting, vec!["one".into()], vec![known], 0);
        let current = ModelSignals {
            log_prob: vec![None, Some(-0.5), Some(-2.0)],
            ..ModelSignals::default()
        };
        let example = |id: &str| Example {
            id: id.into(),
            ids: vec![0; 3],
            weights: vec![0.0, 1.0, 1.0],
            completion_tokens: 2,
        };
        let weights = following.weights(&[&example("one")], std::slice::from_ref(&current), 4);
        assert_eq!(weights.unwrap(), [[0.0, 1.0, 0.0]]);
        let unknown = following.weights(&[&example("two")], &[current], 4).unwrap_err();
        assert!(unknown.to_string().contains("two"));
    }
}
