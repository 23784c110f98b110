//! Fine-tune a language model without forgetting.

pub mod error;
pub mod experiment;
pub mod metric;
pub mod report;
pub mod rng;
pub mod stats;
pub mod task;
