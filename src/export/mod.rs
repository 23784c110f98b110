#![doc = include_str!("python.md")]

mod labels;
mod lora;
mod merged;
pub(crate) mod svd;
mod tensors;

#[cfg(feature = "tables")]
pub use labels::frame;
pub use labels::{
    IGNORED, Labelled, Messages, Segment, Segments, Weighed, end_is_masked, labelled, messages,
    segments,
};
pub use lora::{Approximated, as_lora};
pub(crate) use merged::copy_beside;
pub use merged::{Merged, SHARD, merged};

use crate::error::{Error, Result};
use crate::model::Checkpoint;

/// An adapter is exported as it was trained; a part of it would be another adapter under the same name.
fn refuse_scaled(checkpoint: &Checkpoint) -> Result<()> {
    match checkpoint.adapter_scale {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            "adapter_scale",
            "an adapter is exported whole; scale it where it is used, or change lora_alpha in its config",
        )),
    }
}
