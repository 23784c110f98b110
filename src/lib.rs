//! Fine-tune a language model without forgetting.

pub mod error;
pub mod experiment;
pub mod model;
pub mod ops;
pub mod rng;
pub mod store;
pub mod task;
