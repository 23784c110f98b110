//! What one does: score, sample, fine-tune, evaluate. Verbs are functions, context first; results are plain data.
//!
//! ```text
//! items ── score ──► Scored ── mask(rule) ──► Masked ── finetune ──► Tuned ── evaluate ──► Answers
//! ```
//!
//! Every verb is cached. Its inputs (weights, data, config, seed) name a folder in the store, and a finished one is returned at once. Of an
//! unfinished one, trainings and samples resume from what was kept last; what scores, evaluates or merges a model begins again.
//! [`Context::fingerprint`] lists what each verb reads of a model.

mod evaluate;
mod merge;
mod sample;
mod score;
mod train;

pub use evaluate::{ask, ask_at_scales, evaluate};
pub use merge::merge;
pub use sample::{rephrase, self_output};
pub use score::{score, score_against, score_data, score_rendered, text_alone, token_scores};
pub use train::{Epoch, Training, Tuned, finetune, train};

use crate::card::{Draft, RunCard};
use crate::context::Context;
use crate::error::Result;
use crate::model::Checkpoint;
use crate::store::{Fingerprint, Work};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// What `make` gives, out of the store if it is there; beside it the folder of the entry. The entry's card is of `checkpoint`, and is written when the
/// work is done.
pub(crate) fn kept<T: Serialize + DeserializeOwned>(
    cx: &Context,
    (kind, label): (&str, &str),
    checkpoint: &Checkpoint,
    inputs: &Fingerprint,
    make: impl FnOnce(&Work, &mut Draft) -> Result<T>,
) -> Result<(T, PathBuf)> {
    let entry = cx.store.entry(kind, label, inputs)?;
    let made = entry.run(|work| {
        let mut card = RunCard::begin(cx, &entry, checkpoint)?;
        let made = make(work, &mut card).map_err(|error| error.blaming(checkpoint.changed()))?;
        card.write(work)?;
        Ok(made)
    })?;
    cx.use_result(entry.folder());
    Ok((made, entry.folder().to_path_buf()))
}
