//! What can be seen of scored data, of masks, of samples, of trainings and of answers, step by step, as the notebooks look at them.
//!
//! The steps themselves are [`verbs`](crate::verbs). All of this is plain data.
//!
//! ```no_run
//! use unforget::prelude::*;
//! let cx = Context::in_notebook()?;
//! let recipe = Recipe::quick();
//! let base = recipe.base(&cx.progress)?;
//! let items = recipe.items("code", "train", 128)?;
//! let truth = score(&cx, &base, "ground truth", &items)?;
//! let low = truth.mask("stm(2.5)")?;
//! let tuned = finetune(&cx, &base, &low, &recipe.finetune)?;
//! let tasks = recipe.test()?;
//! let before = evaluate(&cx, &base, "base", &tasks)?;
//! let after = evaluate(&cx, &tuned.checkpoint, "STM 2.5", &tasks)?;
//! println!("{}", compare(&before, &[&after])?.media().text);
//! println!("{}", analysis::regressions(&before, &after, "word")?.len());
//! # Ok::<(), Error>(())
//! ```

mod kinds;
mod loss;
mod masks;
mod movement;
mod nudge;
mod pool;
mod regression;
mod spread;
mod surprise;

pub use kinds::{Kind, Kinds};
#[cfg(test)]
pub(crate) use loss::changes;
pub use loss::{TaskChange, TaskChanges, task_changes};
pub use masks::{Masking, Masks, ThresholdCurve, masks};
pub use movement::{Front, Movement, Place, by_block, front, movement};
pub use nudge::{Nudged, nudge};
pub use pool::{
    Acceptance, Accepted, KeptQuestions, Likeness, OfPool, Picked, Picks, Pools, Questions,
    acceptance, kept, likeness, picks, pools, solved_at_k,
};
pub use regression::{LostPart, Regression, regressions};
pub use spread::{Bins, Share, Spread, spread, weights_by_perplexity};
pub use surprise::{OfAnswers, Peak, Peaks, Perplexities, perplexities, same_questions};

use crate::card::RunCard;
use crate::context::Context;
use crate::error::Result;
use crate::verbs::Tuned;

/// The card of a training: what it was made from, how and where.
///
/// # Errors
/// The store has lost it.
pub fn card(cx: &Context, tuned: &Tuned) -> Result<RunCard> {
    let checkpoint = &tuned.checkpoint;
    let made = checkpoint.adapter.as_ref().unwrap_or(&checkpoint.model);
    let folder = made.parent().unwrap_or(made);
    RunCard::of(&cx.store.find(&folder.to_string_lossy())?)
}

/// What was decided otherwise in the trainings of two cards, by the names of the cards' fields: data, mask and weights are one thing each, and what
/// follows from a decision (the files that were made) is left out, as are the seeds, which the recipe has too.
///
/// # Errors
/// A card cannot be read.
pub fn decided_otherwise(one: &RunCard, other: &RunCard) -> Result<Vec<String>> {
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
