#![doc = include_str!("python.md")]

mod labels;
mod lora;
mod merged;
pub(crate) mod svd;
mod tensors;

pub use labels::{
    IGNORED, Labelled, Messages, Segment, Segments, Weighed, end_is_masked, frame, labelled,
    messages, segments,
};
pub use lora::{Approximated, as_lora};
pub use merged::{Merged, SHARD, merged};
