//! The language model: one decoder for scoring, training and sampling alike.
//!
//! A [`Checkpoint`] is a folder on disk in Hugging Face layout, perhaps with an adapter: plain data that notebooks can keep. A
//! [`Decoder`] is its weights in memory. Only this module knows model families.

mod cache;
mod checkpoint;
mod config;
mod decoder;
mod device;
mod projection;
mod weights;

pub use cache::Cache;
pub(crate) use checkpoint::write_tensors;
pub use checkpoint::{Checkpoint, Model, write_model};
pub use config::{ModelConfig, RopeScaling};
pub(crate) use decoder::PROJECTIONS;
pub use decoder::{Batch, Decoder, Dropout, Gradient};
pub use device::{DeviceChoice, open_device};
pub use projection::{AdaptedWeight, Projection};
pub(crate) use weights::read_file;
