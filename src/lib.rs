//! Fine-tune a language model without forgetting.

pub mod chat;
pub mod dataset;
pub mod error;
pub mod experiment;
pub mod rng;
pub mod select;
pub mod task;
pub mod tokens;
