//! Fine-tune a language model without forgetting.

pub mod error;
pub mod rng;
