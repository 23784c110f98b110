//! A recipe as steps that can be done one by one, on one machine or on many.

use super::run::Experiment;
use super::{Arm, Recipe, Source};
use crate::error::{Error, Result};
use crate::generate::Sampling;
use crate::store::{Fingerprint, bytes_hash};
use crate::verbs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One step of a recipe. It makes entries of the store, and finds there what the steps made that it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Unit {
    /// Grades the untouched model on every task.
    Base,
    /// Samples the answers from which a source chooses.
    Pool {
        /// Self-Output, for all that choose from its pool, or Rephrase.
        source: Source,
    },
    /// Scores the answers of a source.
    Score {
        /// Whose answers.
        source: Source,
    },
    /// Trains a reference model on the answers of a source, and scores them under it.
    Reference {
        /// Whose answers.
        source: Source,
    },
    /// Trains an arm.
    Train {
        /// The arm.
        arm: Arm,
        /// The peak rate; `None` for the one that scored best with the first seed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        learning_rate: Option<f64>,
        /// The seed.
        seed: u64,
    },
    /// Grades the trained arm on every task.
    Evaluate {
        /// The arm.
        arm: Arm,
        /// As it was trained.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        learning_rate: Option<f64>,
        /// The seed.
        seed: u64,
    },
}

impl Unit {
    /// The word that tells kinds apart.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Pool { .. } => "pool",
            Self::Score { .. } => "score",
            Self::Reference { .. } => "reference",
            Self::Train { .. } => "train",
            Self::Evaluate { .. } => "evaluate",
        }
    }

    /// Whether it trains an arm or grades one, as many do side by side.
    pub fn is_of_arm(&self) -> bool {
        self.arm().is_some()
    }

    /// Whether what a stopped try computed is kept. The others begin again.
    pub(crate) fn keeps_parts(&self) -> bool {
        matches!(self, Self::Train { .. } | Self::Reference { .. } | Self::Pool { .. })
    }

    pub(crate) fn arm(&self) -> Option<&Arm> {
        match self {
            Self::Train { arm, .. } | Self::Evaluate { arm, .. } => Some(arm),
            _ => None,
        }
    }

    /// What tells it apart among those of its kind, for names of files.
    fn label(&self) -> String {
        match self {
            Self::Base => String::new(),
            Self::Pool { source } | Self::Score { source } | Self::Reference { source } => {
                source.name().replace('_', "-")
            }
            Self::Train { arm, learning_rate, seed }
            | Self::Evaluate { arm, learning_rate, seed } => match learning_rate {
                Some(rate) => format!("{}-{rate}-{seed}", arm.label()),
                None => format!("{}-chosen-{seed}", arm.label()),
            },
        }
    }

    /// Its name for the folder in which it is recorded.
    pub fn name(&self) -> String {
        match self {
            // not `base`, by which commands find the evaluation itself
            Self::Base => "evaluate-base".into(),
            _ => format!("{}-{}", self.kind(), self.label()),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("evaluate base"),
            Self::Pool { source } => write!(f, "pool {source}"),
            Self::Score { source } => write!(f, "score {source}"),
            Self::Reference { source } => write!(f, "reference {source}"),
            Self::Train { arm, learning_rate, seed }
            | Self::Evaluate { arm, learning_rate, seed } => {
                write!(f, "{} {arm} ", self.kind())?;
                match learning_rate {
                    Some(rate) => write!(f, "rate {rate} seed {seed}"),
                    None => write!(f, "chosen rate seed {seed}"),
                }
            }
        }
    }
}

impl Recipe {
    /// The steps of the recipe, each with the places of those that must be done before it. They stand in an order in which they can be done.
    pub fn units(&self) -> Vec<(Unit, Vec<usize>)> {
        let mut units = vec![(Unit::Base, Vec::new())];
        let mut add = |unit: Unit, needs: Vec<usize>| {
            units.push((unit, needs));
            units.len() - 1
        };
        let mut sources: BTreeSet<Source> = self.arms.iter().map(|arm| arm.source).collect();
        sources.insert(Source::GroundTruth);
        let pool = |source: Source| Unit::Pool { source };
        let own = sources.iter().any(|source| source.of_self_output());
        let own = own.then(|| add(pool(Source::SelfOutput), Vec::new()));
        let rewrites = sources.contains(&Source::Rephrase);
        let rewrites = rewrites.then(|| add(pool(Source::Rephrase), Vec::new()));
        let scored: Vec<(Source, usize)> = sources
            .iter()
            .map(|&source| {
                let needs = match source {
                    Source::Rephrase => rewrites,
                    _ => own.filter(|_| source.of_self_output()),
                };
                (source, add(Unit::Score { source }, needs.into_iter().collect()))
            })
            .collect();
        let place = |list: &[(Source, usize)], source: Source| {
            list.iter().find(|(other, _)| *other == source).map(|(_, at)| *at)
        };
        let compared = |source: Source| {
            let needs = |arm: &&Arm| arm.source == source && arm.rule.needs().reference;
            self.arms.iter().any(|arm| needs(&arm))
        };
        let references: Vec<(Source, usize)> = scored
            .iter()
            .filter(|(source, _)| compared(*source))
            .map(|&(source, at)| (source, add(Unit::Reference { source }, vec![at])))
            .collect();
        let data = |arm: &Arm| {
            let reference = arm.rule.needs().reference.then(|| place(&references, arm.source));
            let found = reference.flatten().or_else(|| place(&scored, arm.source));
            found.into_iter().collect::<Vec<usize>>()
        };
        // rates with the first seed; then the other seeds
        let [first, rest @ ..] = &self.seeds[..] else { return units };
        let mut pairs = |wanted: Vec<(&Arm, Option<f64>, u64, Vec<usize>)>| {
            let trained: Vec<usize> = wanted
                .iter()
                .map(|(arm, learning_rate, seed, more)| {
                    let needs = data(arm).into_iter().chain(more.iter().copied()).collect();
                    let (arm, learning_rate, seed) = ((*arm).clone(), *learning_rate, *seed);
                    add(Unit::Train { arm, learning_rate, seed }, needs)
                })
                .collect();
            let graded = wanted.into_iter().zip(trained);
            let graded = graded.map(|((arm, learning_rate, seed, more), trained)| {
                let needs = std::iter::once(trained).chain(more).collect();
                add(Unit::Evaluate { arm: arm.clone(), learning_rate, seed }, needs)
            });
            graded.collect::<Vec<usize>>()
        };
        let every =
            |arm| self.tried(arm).into_iter().map(move |rate| (arm, Some(rate), *first, vec![]));
        let wanted: Vec<(&Arm, Option<f64>, u64, Vec<usize>)> =
            self.arms.iter().flat_map(every).collect();
        let own = |arm: &Arm, rate: &Option<f64>| {
            rate.is_some_and(|rate| self.rates_of(arm).contains(&rate))
        };
        let arms: Vec<(&Arm, bool)> =
            wanted.iter().map(|(arm, rate, ..)| (*arm, own(arm, rate))).collect();
        // of an arm's own rates one is chosen
        let swept = arms.into_iter().zip(pairs(wanted)).filter(|((_, own), _)| *own);
        let swept: Vec<(&Arm, usize)> = swept.map(|((arm, _), at)| (arm, at)).collect();
        let more = self.arms.iter().flat_map(|arm| {
            let tried = self.tried(arm);
            let mut rates: Vec<(Option<f64>, Vec<usize>)> = Vec::new();
            if self.seeds_at_every_rate || tried.len() == 1 {
                rates.extend(tried.iter().map(|rate| (Some(*rate), vec![])));
            } else {
                let of_arm = swept.iter().filter(|(other, _)| *other == arm);
                rates.push((None, of_arm.map(|(_, at)| *at).collect()));
                rates.extend(self.common_learning_rate.map(|rate| (Some(rate), vec![])));
            }
            let with = move |(rate, needs): (Option<f64>, Vec<usize>)| {
                rest.iter().map(move |seed| (arm, rate, *seed, needs.clone()))
            };
            rates.into_iter().flat_map(with)
        });
        pairs(more.collect());
        units
    }
}

/// The hash of what would be long: the entries that a unit makes have it whole.
fn digest(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_vec(value).map_err(Error::library("packing the items"))?;
    Ok(bytes_hash(&text))
}

impl Experiment<'_> {
    /// What `unit` is made from; `needs` has the hashes of the units that it needs. So it has a name before anything is computed.
    ///
    /// # Errors
    /// The model or the items cannot be read.
    pub fn inputs(&self, unit: &Unit, needs: &[String]) -> Result<Fingerprint> {
        let (cx, recipe, base) = (self.context(), self.recipe(), self.base());
        let graded = || self.graded().flat_map(|task| &task.items);
        let answered = |inputs: Fingerprint| {
            let tasks: Vec<_> = self.graded().collect();
            let sampling = Sampling::greedy(self.test().max_new_tokens);
            inputs.with("tasks", &digest(&tasks)?)?.with("sampling", &sampling)
        };
        let inputs = match unit {
            Unit::Base => answered(cx.fingerprint_of_answers(base, graded())?)?,
            Unit::Pool { source } => {
                let items = self.items()?;
                let config = match source {
                    Source::Rephrase => &recipe.rephrase,
                    _ => &recipe.self_output,
                };
                let inputs = cx.fingerprint_of_answers(base, &items)?;
                inputs.with("items", &digest(&items)?)?.with("config", config)?
            }
            Unit::Score { .. } => {
                let inputs = cx.fingerprint(base)?.with("items", &digest(&self.items()?)?)?;
                let chosen = (recipe.self_output.lowest, recipe.rephrase.lowest);
                inputs.with("chosen", &chosen)?.with("skip_unusable", &recipe.skip_unusable)?
            }
            Unit::Reference { .. } => {
                let config = (&recipe.finetune, recipe.seeds[0]);
                cx.fingerprint(base)?.with("config", &config)?
            }
            Unit::Train { arm, learning_rate, seed } => {
                let config = self.config(arm, learning_rate.unwrap_or_default(), *seed);
                // a whole model takes what ends an answer along
                let inputs = cx.fingerprint_of_answers(base, [])?.with("config", &config)?;
                match recipe.probe.is_empty() {
                    true => inputs,
                    false => {
                        let probed = recipe.probe.iter();
                        let items =
                            |task: &String| recipe.items(task, "validation", recipe.probe_items());
                        let items = probed.map(items).collect::<Result<Vec<_>>>()?;
                        let graders = crate::task::graders(items.iter().flatten());
                        let when = (recipe.probe_every, recipe.probe_share);
                        let limit = (recipe.forget_at_most, recipe.when_forgotten);
                        let how = (when, limit, recipe.max_new_tokens);
                        inputs.with("probes", &(digest(&items)?, how, graders))?
                    }
                }
            }
            Unit::Evaluate { .. } => answered(cx.fingerprint_of_answers(base, graded())?)?,
        };
        inputs.with("unit", unit)?.with("needs", needs)
    }

    /// Does `unit`, of which the needs are done; an evaluation of an arm gives its rate and its score on the validation split. `chosen` says the arm's
    /// best rate, for units that take it.
    ///
    /// # Errors
    /// Those of the verbs.
    pub fn perform(&self, unit: &Unit, chosen: Option<f64>) -> Result<Option<(f64, f64)>> {
        let (cx, recipe, base) = (self.context(), self.recipe(), self.base());
        let rate = |given: &Option<f64>| {
            given.or(chosen).ok_or_else(|| {
                Error::invalid(
                    unit.to_string(),
                    "takes the arm's best rate, and none was evaluated",
                )
            })
        };
        match unit {
            Unit::Base => drop(self.measure(base, "base")?),
            Unit::Pool { source: Source::Rephrase } => {
                verbs::rephrase(cx, base, "rephrase", &self.items()?, &recipe.rephrase)?;
            }
            Unit::Pool { .. } => {
                verbs::self_output(cx, base, "self-output", &self.items()?, &recipe.self_output)?;
            }
            Unit::Score { source } => self.score(*source, false)?,
            Unit::Reference { source } => self.score(*source, true)?,
            Unit::Train { arm, learning_rate, seed } => {
                self.tuned(arm, rate(learning_rate)?, *seed)?;
            }
            Unit::Evaluate { arm, learning_rate, seed } => {
                let (run, _) = self.one(cx, arm, rate(learning_rate)?, *seed)?;
                return Ok(Some((run.learning_rate, run.validation)));
            }
        }
        Ok(None)
    }
}
