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

mod comparison;
pub mod exercise;
mod kinds;
mod masks;
mod pool;
mod surprise;
mod tasks;

pub use comparison::{Change, Comparison, compare};
pub use kinds::{Kind, Kinds};
pub use masks::{Masking, Masks, ThresholdCurve, masks};
pub use pool::{
    Acceptance, Accepted, Kept, Likeness, OfPool, Picked, Picks, Pools, Questions, acceptance,
    kept, likeness, picks, pools,
};
pub use surprise::{OfAnswers, Peak, Peaks, Perplexities, perplexities, same_questions};
pub use tasks::{Scores, Tasks, evaluate};

use crate::context::Context;
use crate::dataset;
use crate::error::{Error, Result};
use crate::experiment::results::TokenExample;
use crate::experiment::{Recipe, token_views};
use crate::model::Checkpoint;
use crate::perplexity::{self, TokenScores};
use crate::scorer;
use crate::select::{Counts, LossMask, Signals, TokenClass, Weighting};
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
    /// What was read.
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
    Checkpoint::open(recipe.model_folder(&cx.progress)?)
}

/// Renders `items` in the model's chat template and scores every token under `checkpoint`.
///
/// # Errors
/// There is no item, the model cannot be read, or an item does not fit its context.
pub fn read(cx: &Context, checkpoint: &Checkpoint, name: &str, items: &[Item]) -> Result<Reading> {
    if items.is_empty() {
        return Err(Error::invalid("items", "there is none to read"));
    }
    let tokenizer = cx.tokenizer(checkpoint)?;
    let context = checkpoint.config()?.max_position_embeddings;
    let examples: Vec<dataset::Example> = items.iter().map(dataset::Example::from).collect();
    let sequences = sequences(&tokenizer, &examples, context, TooLong::Refuse)?.sequences;
    let ids: Vec<&[u32]> = sequences.iter().map(|s| s.ids.as_slice()).collect();
    let scores = verbs::score(cx, checkpoint, name, &ids)?;
    for (sequence, scores) in sequences.iter().zip(&scores) {
        scores.check(checkpoint, &sequence.id)?;
    }
    Ok(Reading {
        name: name.to_owned(),
        items: items.to_vec(),
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
                of_answer
                    .filter_map(|at| perplexity[at])
                    .collect::<Vec<f32>>()
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
        let mask = self
            .sequences
            .get(at)
            .map(|sequence| sequence.completion.clone());
        self.masked(at, &mask.unwrap_or_default())
    }

    fn masked(&self, at: usize, mask: &LossMask) -> Result<TokenExample> {
        let (Some(item), Some(sequence)) = (self.items.get(at), self.sequences.get(at)) else {
            let problem = format!(
                "there is no number {at}, only 0 to {}",
                self.items.len() - 1
            );
            return Err(Error::invalid("item", problem));
        };
        Ok(TokenExample {
            arm: self.name.clone(),
            item: item.id.clone(),
            tokens: token_views(item, sequence, &self.scores[at], mask),
        })
    }

    /// What a rule of token weights learns of these answers: `all`, `stm(2.5)`, or any other that `unforget weights --list` shows or that its
    /// language can say. What is random is drawn by seed 1.
    ///
    /// # Errors
    /// The rule cannot be read, or needs what the base model alone does not say.
    pub fn learn(&self, rule: &str) -> Result<Lesson> {
        let weighting: Weighting = rule.parse()?;
        let needs = weighting.needs();
        if needs.online() || needs.reference {
            let problem = "needs a second model, or one that is being trained; recipes and `unforget finetune` have them";
            return Err(Error::invalid(format!("rule {rule}"), problem));
        }
        Ok(Lesson {
            weights: weighting.weights(&self.signals(), 1)?,
            rule: weighting,
            reading: self.clone(),
        })
    }

    fn signals(&self) -> Vec<Signals> {
        scorer::signals(&self.sequences, &self.classes, &self.scores, &[])
    }
}

/// What is learned of a [`Reading`]: a weight for each token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// What was read.
    pub reading: Reading,
    /// The rule of the weights.
    pub rule: Weighting,
    /// One for each token of each item; 0 is not learned.
    pub weights: Vec<Vec<f32>>,
}

impl Lesson {
    fn mask(&self, at: usize) -> LossMask {
        let weights = self.weights.get(at).into_iter().flatten();
        weights.map(|weight| *weight != 0.0).collect()
    }

    /// How many of the answers' tokens are learned.
    pub fn counts(&self) -> Counts {
        let sequences = self.reading.sequences.iter().enumerate();
        // a rule gives no weight outside the answer, so that its counts are defined
        sequences
            .filter_map(|(at, sequence)| sequence.completion.counts(&self.mask(at)).ok())
            .sum()
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

    /// What the trainer is given.
    pub fn examples(&self) -> Vec<Example> {
        let pairs = self.reading.sequences.iter().zip(&self.weights);
        let example = |(sequence, weights): (&Sequence, &Vec<f32>)| Example {
            id: sequence.id.clone(),
            ids: sequence.ids.clone(),
            weights: weights.clone(),
            completion_tokens: sequence.completion.learned(),
        };
        pairs.map(example).collect()
    }
}

/// Fine-tunes `base` on `lesson`.
///
/// # Errors
/// As [`verbs::finetune`].
pub fn finetune(
    cx: &Context,
    base: &Checkpoint,
    lesson: &Lesson,
    config: &Finetune,
) -> Result<Tuned> {
    let label = format!("{}-{}", lesson.reading.name, lesson.rule);
    verbs::finetune(cx, base, &label, &lesson.examples(), config)
}
