//! The experiment one step at a time, as a notebook takes it: read, learn, fine-tune, evaluate, compare.
//!
//! A [`Recipe`] runs all of it at once; here every step returns a value that can be looked at before the next. All are plain
//! data, and what takes long is kept in the store: after an interruption, run the same step again and it goes on.
//!
//! ```no_run
//! use unforget::prelude::*;
//! let cx = Context::in_notebook()?;
//! let recipe = Recipe::quick();
//! let base = lesson::base(&cx, &recipe)?;
//! let items = recipe.items("code", "train", 128)?;
//! let truth = lesson::read(&cx, &base, "ground truth", &items)?;
//! let low = truth.learn("stm(2.5)")?;
//! let tuned = lesson::finetune(&cx, &base, &low, &recipe.finetune)?;
//! let tasks = Tasks::of(&recipe)?;
//! let (before, after) = (
//!     lesson::evaluate(&cx, &base, "base", &tasks)?,
//!     lesson::evaluate(&cx, &tuned.checkpoint, "STM 2.5", &tasks)?,
//! );
//! println!("{}", lesson::compare(&before, &[&after])?.grid().text(100));
//! # Ok::<(), Error>(())
//! ```

mod answers;
mod comparison;
pub mod exercise;
mod kinds;
mod loss;
mod masks;
mod movement;
mod nudge;
mod pool;
mod spread;
mod surprise;
mod tasks;

pub use answers::{Answers, Forgotten, Lost, answers, forgotten};
pub use comparison::{Change, Comparison, compare};
pub use kinds::{Kind, Kinds};
pub use loss::{Losses, TaskLoss, losses};
pub use masks::{Masking, Masks, ThresholdCurve, masks};
pub use movement::{Front, Movement, Place, by_block, front, movement};
pub use nudge::{Nudged, nudge};
pub use pool::{
    Acceptance, Accepted, Kept, Likeness, OfPool, Picked, Picks, Pools, Questions, acceptance,
    kept, likeness, picks, pools, questions_with_a_right_one,
};
pub use spread::{Bins, Share, Spread, spread, weights_by_perplexity};
pub use surprise::{OfAnswers, Peak, Peaks, Perplexities, perplexities, same_questions};
pub use tasks::{Scores, Tasks, evaluate};

use crate::card::Card;
use crate::context::Context;
use crate::dataset::{self, Dataset};
use crate::error::{Error, Result};
use crate::experiment::results::TokenExample;
use crate::experiment::{Recipe, views};
use crate::ledger;
use crate::model::Checkpoint;
use crate::perplexity::{self, TokenScores};
use crate::scorer::{self, Weighted};
use crate::select::{Counts, LossMask, ModelSignals, Signals, TokenClass, Weighting};
use crate::stats;
use crate::task::Item;
use crate::tokens::{Sequence, TooLong, sequences};
use crate::train::{Example, Finetune};
use crate::verbs::{self, Tuned};
use serde::{Deserialize, Serialize};

/// Items as a model reads them: tokens, which of them are the answer's, and what the model says of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Whose answers they are, such as `ground truth`.
    pub name: String,
    /// What was read; empty for a data set, whose rows have no grader.
    pub items: Vec<Item>,
    /// Each item's tokens and the mask of its answer.
    pub sequences: Vec<Sequence>,
    /// What the model says of each token.
    pub scores: Vec<TokenScores>,
    /// What kind of text each token is.
    pub classes: Vec<Vec<TokenClass>>,
}

/// The model that a recipe starts from.
///
/// # Errors
/// It is not there, and cannot be fetched.
pub fn base(cx: &Context, recipe: &Recipe) -> Result<Checkpoint> {
    recipe.base(&cx.progress)
}

/// Renders `items` in the model's chat template and scores every token under `checkpoint`.
///
/// # Errors
/// There is no item, the model cannot be read, or an item does not fit its context.
pub fn read(cx: &Context, checkpoint: &Checkpoint, name: &str, items: &[Item]) -> Result<Reading> {
    if items.is_empty() {
        return Err(Error::invalid("items", "there is none to read"));
    }
    let examples: Vec<dataset::Example> = items.iter().map(dataset::Example::from).collect();
    let reading = read_examples(cx, checkpoint, name, &examples)?;
    Ok(Reading { items: items.to_vec(), ..reading })
}

/// The same of the conversations of a data set, whatever was said in them.
///
/// # Errors
/// The model cannot be read, or a conversation does not fit its context.
pub fn read_data(cx: &Context, checkpoint: &Checkpoint, data: &Dataset) -> Result<Reading> {
    read_examples(cx, checkpoint, &data.name, &data.examples)
}

fn read_examples(
    cx: &Context,
    checkpoint: &Checkpoint,
    name: &str,
    examples: &[dataset::Example],
) -> Result<Reading> {
    let tokenizer = cx.tokenizer(checkpoint)?;
    let context = checkpoint.config()?.max_position_embeddings;
    let sequences = sequences(&tokenizer, examples, context, TooLong::Refuse)?.sequences;
    cx.mention_unread(&tokenizer, examples);
    let ids: Vec<&[u32]> = sequences.iter().map(|s| s.ids.as_slice()).collect();
    let scores = verbs::score(cx, checkpoint, name, &ids)?;
    for (sequence, scores) in sequences.iter().zip(&scores) {
        scores.check(checkpoint, &sequence.id)?;
    }
    Ok(Reading {
        name: name.to_owned(),
        items: Vec::new(),
        classes: sequences.iter().map(|s| s.classes(&tokenizer)).collect(),
        sequences,
        scores,
    })
}

impl Reading {
    /// Mean over the items of `exp(mean surprisal of the answer, given the question)`: the paper's Table 1.
    pub fn perplexity(&self) -> f64 {
        let each = perplexity::given_prompt(&self.sequences, &self.scores);
        let each: Vec<f64> = each.into_iter().flatten().collect();
        stats::mean(&each).unwrap_or(f64::NAN)
    }

    /// Share of the answers' tokens whose perplexity is above `threshold`.
    pub fn share_above(&self, threshold: f64) -> f64 {
        let perplexities: Vec<f32> = self
            .sequences
            .iter()
            .zip(&self.scores)
            .flat_map(|(sequence, scores)| {
                let perplexity = scores.perplexity();
                let of_answer = sequence.completion.positions();
                of_answer.filter_map(|at| perplexity[at]).collect::<Vec<f32>>()
            })
            .collect();
        let above = perplexities.iter().filter(|p| f64::from(**p) > threshold);
        above.count() as f64 / perplexities.len().max(1) as f64
    }

    /// The tokens of item `at`, counted from 0, all of its answer learned.
    ///
    /// # Errors
    /// There are fewer items.
    pub fn tokens(&self, at: usize) -> Result<TokenExample> {
        let mask = self.sequences.get(at).map(|sequence| sequence.completion.clone());
        self.masked(at, &mask.unwrap_or_default())
    }

    fn masked(&self, at: usize, mask: &LossMask) -> Result<TokenExample> {
        let Some(sequence) = self.sequences.get(at) else {
            let problem =
                format!("there is no number {at}, only 0 to {}", self.sequences.len() - 1);
            return Err(Error::invalid("item", problem));
        };
        let style = match self.items.get(at) {
            Some(item) => ledger::marked(sequence, &item.truth, &item.style),
            None => vec![false; sequence.len()],
        };
        Ok(TokenExample {
            arm: self.name.clone(),
            item: sequence.id.clone(),
            tokens: views(sequence, &self.scores[at], mask, &style),
        })
    }

    /// What a rule of token weights learns of these answers: `all`, `stm(2.5)`, or any other that `unforget weights --list` shows or that its
    /// language can say. What is random is drawn by seed 1 to be looked at; [`finetune`] draws it by the training's own seed.
    ///
    /// # Errors
    /// The rule cannot be read, or needs what a second model says.
    pub fn learn(&self, rule: &str) -> Result<Lesson> {
        Lesson::new(self, rule, Vec::new())
    }

    /// As [`learn`](Self::learn), by a rule that compares two models, such as `dpf(0)`: `reference` is what the second one says of the same
    /// items.
    ///
    /// # Errors
    /// The rule cannot be read, or `reference` is of other tokens.
    pub fn learn_against(&self, rule: &str, reference: &Reading) -> Result<Lesson> {
        let ids = |reading: &Self| -> Vec<Vec<u32>> {
            reading.sequences.iter().map(|s| s.ids.clone()).collect()
        };
        if ids(self) != ids(reference) {
            let problem =
                format!("reads other tokens than {}; let it read the same items", self.name);
            return Err(Error::invalid(format!("reference {}", reference.name), problem));
        }
        Lesson::new(self, rule, reference.scores.clone())
    }
}

/// What is learned of a [`Reading`]: a weight for each token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// What was read.
    pub reading: Reading,
    /// The rule of the weights.
    pub rule: Weighting,
    /// One for each token of each item; 0 is not learned. What is random is drawn by seed 1 here, and by its own seed in a training. Where
    /// they follow the model while it learns, those before the first step, all answers taken as one batch.
    pub weights: Vec<Vec<f32>>,
    /// What a second model says of each token; empty where the rule asks none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference: Vec<TokenScores>,
}

/// Draws what is random in a rule.
const SEED: u64 = 1;

impl Lesson {
    fn new(reading: &Reading, rule: &str, reference: Vec<TokenScores>) -> Result<Self> {
        let weighting: Weighting = rule.parse()?;
        let wrong = |problem: &str| Err(Error::invalid(format!("rule {rule}"), problem));
        let needs = weighting.needs();
        if needs.reference && reference.is_empty() {
            return wrong(
                "needs a second model: let it read the same items, and use `learn_against`",
            );
        }
        if needs.top_entropy {
            return wrong(
                "needs the entropy of the 20 most probable tokens, which the trainer alone computes: recipes and `unforget finetune` train by it; \
                 entropy_current is that of all tokens",
            );
        }
        let mut lesson =
            Self { reading: reading.clone(), rule: weighting, weights: Vec::new(), reference };
        lesson.weights = lesson.drawn()?;
        Ok(lesson)
    }

    /// What the rule gives each token, before the first step.
    fn drawn(&self) -> Result<Vec<Vec<f32>>> {
        let mut signals = self.signals();
        if self.rule.needs().online() {
            // before the first step the model that learns is the base
            for (signals, scores) in signals.iter_mut().zip(&self.reading.scores) {
                signals.current = Some(ModelSignals::from(scores));
            }
        }
        self.rule.weights(&signals, SEED)
    }

    fn signals(&self) -> Vec<Signals> {
        let Reading { sequences, classes, scores, .. } = &self.reading;
        scorer::signals(sequences, classes, scores, &self.reference)
    }

    fn mask(&self, at: usize) -> LossMask {
        let weights = self.weights.get(at).into_iter().flatten();
        weights.map(|weight| *weight != 0.0).collect()
    }

    /// How many of the answers' tokens are learned.
    pub fn counts(&self) -> Counts {
        let sequences = self.reading.sequences.iter().enumerate();
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
        let tokens = self.reading.masked(at, &self.mask(at))?;
        let arm = format!("{}, {}", self.reading.name, self.rule);
        Ok(TokenExample { arm, ..tokens })
    }

    /// The tokens of item `at`, counted from 0, with the weight of each.
    ///
    /// # Errors
    /// There are fewer items.
    pub fn weighed(&self, at: usize) -> Result<Weighed> {
        Ok(Weighed { tokens: self.tokens(at)?, weights: self.weights[at].clone() })
    }

    /// What the trainer is given at seed 1; 1 for each token of an answer where the weights follow the model.
    pub fn examples(&self) -> Vec<Example> {
        let weights = match self.rule.needs().online() {
            true => scorer::every_token(&self.reading.sequences),
            false => self.weights.clone(),
        };
        scorer::examples(&self.reading.sequences, weights)
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

/// The card of a training: what it was made from, how and where.
///
/// # Errors
/// The store has lost it.
pub fn card(cx: &Context, tuned: &Tuned) -> Result<Card> {
    let checkpoint = &tuned.checkpoint;
    let made = checkpoint.adapter.as_ref().unwrap_or(&checkpoint.model);
    let folder = made.parent().unwrap_or(made);
    Card::of(&cx.store.find(&folder.to_string_lossy())?)
}

/// What was decided otherwise in the trainings of two cards, by the names of the cards' fields: data, mask and weights are one thing each, and what
/// follows from a decision (the files that were made) is left out, as are the seeds, which the recipe has too.
///
/// # Errors
/// A card cannot be read.
pub fn decided_otherwise(one: &Card, other: &Card) -> Result<Vec<String>> {
    let mut decided: Vec<String> = Vec::new();
    for difference in one.differences(other)? {
        let thing = match difference.field.split('.').next().unwrap_or_default() {
            "files" | "seeds" => continue,
            whole @ ("mask" | "data" | "weights") => whole.to_owned(),
            _ => difference.field,
        };
        if !decided.contains(&thing) {
            decided.push(thing);
        }
    }
    Ok(decided)
}

/// Fine-tunes `base` on `lesson`. What its loss is divided by, and how often its weights are made anew, is as `config` says, else as the rule
/// does ([`scorer::config`]); the seed of `config` draws what is random in it. Weights that were changed since the rule gave them are trained
/// by as they are, and the card then names no rule.
///
/// # Errors
/// As [`verbs::train`], and if weights were changed that are made anew while the model learns.
pub fn finetune(
    cx: &Context,
    base: &Checkpoint,
    lesson: &Lesson,
    config: &Finetune,
) -> Result<Tuned> {
    let Lesson { rule, reading, .. } = lesson;
    let label = format!("{}-{rule}", reading.name);
    if lesson.weights != lesson.drawn()? {
        if rule.needs().online() {
            let problem = format!(
                "were changed, but `{rule}` makes them anew while the model learns; write a rule that gives them"
            );
            return Err(Error::invalid("weights of the lesson", problem));
        }
        // no rule makes these again, so that none is on the card
        let config = scorer::config(rule, config);
        return verbs::finetune(cx, base, &label, &lesson.examples(), &config);
    }
    let weighted = Weighted::new(rule, &reading.sequences, lesson.signals(), config)?;
    verbs::train(cx, base, &label, &weighted.training())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceChoice;
    use crate::progress::Progress;
    use crate::store::Store;
    use crate::train::Objective;

    /// Four items of the lab, read by its model, and a short training.
    fn lab(folder: &std::path::Path) -> (Context, Checkpoint, Reading, Finetune) {
        let store = Store::open(folder).unwrap();
        let cx = Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap();
        let recipe = Recipe::quick();
        let base = super::base(&cx, &recipe).unwrap();
        let items = recipe.items("code", "train", 4).unwrap();
        let truth = read(&cx, &base, "ground truth", &items).unwrap();
        let config =
            Finetune { learning_rate: 3e-3, seed: 1, epochs: 2, batch: 2, ..recipe.finetune };
        (cx, base, truth, config)
    }

    #[test]
    fn a_rule_that_needs_a_second_model_is_refused() {
        let reading = kinds::made::reading_of(&[-0.1]);
        let error = reading.learn("rho1(0.6)").unwrap_err().to_string();
        assert!(error.contains("second model"), "{error}");
    }

    #[test]
    fn a_rule_that_follows_the_model_is_trained_so() {
        let folder = tempfile::tempdir().unwrap();
        let (cx, base, truth, config) = lab(folder.path());
        let dft = finetune(&cx, &base, &truth.learn("dft").unwrap(), &config).unwrap();
        // the same gradient by another name
        let bounded = Finetune { objective: Objective::Probability { q: 1.0 }, ..config.clone() };
        let bounded = finetune(&cx, &base, &truth.learn("all").unwrap(), &bounded).unwrap();
        let ratio = dft.relative_weight_change / bounded.relative_weight_change;
        assert!((ratio - 1.0).abs() < 1e-3, "{ratio}");
        let frozen = finetune(&cx, &base, &truth.learn("p_base").unwrap(), &config).unwrap();
        assert_ne!(frozen.relative_weight_change, dft.relative_weight_change);
        let profit = finetune(&cx, &base, &truth.learn("profit(0.1)").unwrap(), &config).unwrap();
        let churn: Vec<bool> = profit.steps.iter().map(|s| s.churn.is_some()).collect();
        assert_eq!(churn, [false, false, true, true]);
        let mask = card(&cx, &dft).unwrap().mask.unwrap();
        assert_eq!(mask.rule.as_deref(), Some("dft"));
    }

    #[test]
    fn a_second_model_reads_the_same_items() {
        let folder = tempfile::tempdir().unwrap();
        let (cx, base, truth, _) = lab(folder.path());
        // the model against itself: nothing became harder
        let all = truth.learn_against("dpf(0)", &truth).unwrap();
        assert_eq!(all.masked_share(), 0.0);
        let fewer = read(&cx, &base, "two", &truth.items[..2]).unwrap();
        let error = truth.learn_against("dpf(0)", &fewer).unwrap_err();
        assert!(error.to_string().contains("other tokens"), "{error}");
        for (rule, part) in [("dpf(0)", "second model"), ("eaft(1)", "trainer alone")] {
            let error = truth.learn(rule).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_data_set_is_read_without_graders() {
        let folder = tempfile::tempdir().unwrap();
        let (cx, base, ..) = lab(folder.path());
        let rows = "{\"question\": \"2 + 2?\", \"answer\": \"4\"}\n";
        let data = Dataset::parse(rows.as_bytes(), "sums.jsonl".as_ref()).unwrap();
        let reading = read_data(&cx, &base, &data).unwrap();
        assert!(reading.items.is_empty() && reading.perplexity() > 1.0);
        let shown = reading.tokens(0).unwrap();
        assert_eq!(shown.item, "sums:1");
        assert!(shown.tokens.iter().all(|token| !token.style));
        assert!(reading.tokens(1).is_err());
    }
}
