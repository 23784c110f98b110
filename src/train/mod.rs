//! One training loop for every experiment: it knows tokens and weights, and not why a token is masked.
//!
//! A [`Trainer`] holds the decoder, the data and the optimizer's state, takes one optimizer step at a time, and can save and
//! restore itself between any two steps so exactly that nobody can tell.
//!
//! What a step minimizes, over the learned tokens `t` of its examples:
//!
//! ```text
//! 1/Z Σ w_t · ℓ(p_t)              an Objective of each token's probability, in the field the surprisal −ln p; weights; a Normalizer
//! + kl · mean KL(base ‖ model)    how far the next-token distributions have gone from the base model's
//! + l2_sp/2 · ‖θ − θ_base‖²       how far the weights have gone
//! ```
//!
//! Weights are fixed, or an implementation of [`OnlineWeights`] computes them again while the model learns.
//!
//! ```
//! use unforget::train::{TrainConfig, Objective};
//! let anchored = TrainConfig { objective: Objective::Probability { q: 1.0 }, kl: Some(0.1), ..TrainConfig::paper() };
//! anchored.check()?; // ASFT: the gradient of DFT, and a pull back to the base model
//! # Ok::<(), unforget::error::Error>(())
//! ```

mod config;
mod divergence;
mod example;
mod objective;
mod online;
mod penalty;
mod trainer;

pub use crate::select::Normalizer;
pub use config::{Method, TrainConfig};
pub use divergence::divergence;
pub use example::{Example, OnlineWeights};
pub use objective::Objective;
pub use trainer::{Step, Trainer};
