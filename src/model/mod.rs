//! The language model: one decoder for scoring, training and sampling alike.
//!
//! A [`Checkpoint`] is a folder on disk in Hugging Face layout, perhaps with an adapter: plain data that notebooks can keep. A
//! [`Decoder`] is its weights in memory. Only this module knows model families: one decoder computes all of them, and a
//! [`Family`] is a description of fields of [`ModelConfig`].

mod batch;
mod block;
mod cache;
mod checkpoint;
mod config;
mod config_json;
mod decoder;
mod device;
mod family;
mod fields;
mod memory;
mod precision;
mod projection;
mod rope_scaling;
mod settings;
mod stored;
mod weights;

pub use batch::Batch;
pub use block::Dropout;
pub(crate) use block::PROJECTIONS;
pub use cache::Cache;
pub use checkpoint::{AdapterScale, Checkpoint, Model, write_model, write_tuned};
pub(crate) use checkpoint::{adapter_files, write_tensors};
pub use config::{BlockNorms, Family, FeedForward, Layers, ModelConfig, QueryKeyNorms};
pub use decoder::{Anchor, BatchLoss, BatchRow, Decoder, Gradient};
pub use device::{Backend, DeviceChoice, open_device};
pub use memory::{gigabytes, memory_left};
pub use precision::Precision;
pub use projection::{AdaptedWeight, Projection};
pub use rope_scaling::{RopeParameters, RopeScaling};
pub(crate) use stored::{BROKEN, Entry, Stored, float, not_finite};
pub(crate) use weights::{own_head, read_file, read_finite};
