//! Fine-tune a language model without forgetting: low-perplexity token learning, measured.
//!
//! Training on answers that people wrote makes a model lose other skills. The paper
//! ([arXiv 2501.14315](https://arxiv.org/abs/2501.14315)) traces that to the answers' tokens of high perplexity, and offers three
//! cures: train on the model's own right answers (*Self-Output*), on its rewrites of the given ones (*Rephrase*), or on the given ones
//! without the tokens that surprise it (*Selective Token Masking*). This crate runs all of it on candle, with one trainer for
//! every arm, and measures what is learned and what is forgotten.
//!
//! # In one page
//!
//! ```no_run
//! use unforget::prelude::*;
//! let cx = Context::in_notebook()?;                             // where results are kept, where to compute
//! let recipe = Recipe::quick();                                 // the lab: a small model and six tasks that come with the crate
//! let base = recipe.base(&cx.progress)?;
//! let items = recipe.items("code", "train", 128)?;
//! let truth = score(&cx, &base, "ground truth", &items)?;       // what surprises the model
//! let low = truth.mask("stm(2.5)")?;                            // learn what it gives a probability of at least 0.4
//! let tuned = finetune(&cx, &base, &low, &recipe.finetune)?;
//! let tasks = recipe.test()?;
//! let before = evaluate(&cx, &base, "base", &tasks)?;
//! let after = evaluate(&cx, &tuned.checkpoint, "STM 2.5", &tasks)?;
//! println!("{}", compare(&before, &[&after])?.media().text);
//! # Ok::<(), Error>(())
//! ```
//!
//! # The types that matter
//!
//! ```text
//! items ── score ──► Scored ── mask(rule) ──► Masked ── finetune ──► Tuned ── evaluate ──► Answers
//! ```
//!
//! - [`Checkpoint`]: a model's folder or file, perhaps with an adapter. A path, so that no tensor outlives a step.
//! - [`Scored`]: rendered answers, and what the model says of each token.
//! - [`Masked`]: the same with a weight for each token, given by a rule ([`Weighting`]).
//! - [`Tuned`]: what came of training on them: another [`Checkpoint`].
//! - [`Answers`]: what a model was asked and answered, graded.
//!
//! The steps between them are functions of [`verbs`]. Each is cached in a [`Store`](store::Store): call it again, and it resumes or returns at once.
//! A [`Recipe`] is these steps in a loop over arms, rates and seeds; [`report`] shows what came out. `Scored`, `Masked` and `Answers` come as polars
//! frames, one row for each token or item (`frame()`).
//!
//! # The rule itself
//!
//! It needs no model. The comparison made here is the one that decides in every training.
//!
//! ```
//! use unforget::select::{LossMask, low_perplexity};
//! let answer = LossMask::from_iter([false, true, true, true]);
//! let perplexity = [None, Some(1.1), Some(40.0), Some(2.0)];
//! assert_eq!(low_perplexity(&answer, &perplexity, 2.5)?.as_slice(), [false, true, false, true]);
//! # Ok::<(), unforget::error::Error>(())
//! ```
//!
//! # What it does not do
//!
//! Serve models, share one training among several machines, or compute models of other families than [`model::Family`] names.
//!
//! Modules are listed from the ground up; a module uses only modules listed above it.

pub use answers::{Answers, Comparison, Task, Tasks, compare};
pub use context::Context;
pub use error::{Error, Result};
#[cfg(feature = "tables")]
pub use experiment::{Arm, Recipe, Source};
pub use masked::Masked;
pub use model::Checkpoint;
pub use scored::Scored;
pub use select::Weighting;
pub use task::Item;
pub use train::TrainConfig;
pub use verbs::{Tuned, evaluate, finetune, rephrase, score, score_data, self_output};

// ground
pub mod error;

pub mod files;

pub mod rng;

pub mod stats;

#[cfg(feature = "tables")]
pub mod table;

pub mod metric;

pub mod pareto;

pub mod diversity;

pub mod interruption;

pub mod cluster;

pub mod store;

pub mod progress;

pub mod hub;

pub mod sandbox;

// words
pub mod chat;

pub mod select;

pub mod task;

pub mod dataset;

pub mod benchmark;

pub mod gguf;

pub mod tokens;

// model
pub mod ops;

pub mod model;

pub mod adapter;

pub mod optimizer;

// method
pub mod context;

pub mod train;

pub mod provenance;

pub mod card;

pub mod generate;

pub mod forecast;

pub mod perplexity;

#[cfg(feature = "tables")]
pub mod ledger;

pub mod scored;

pub mod masked;

pub mod export;

pub mod weight_change;

pub mod self_output;

pub mod evaluate;

pub mod answers;

pub mod probe;

pub mod samples;

pub mod verbs;

pub mod influence;

pub mod verify;

pub mod lab;

// experiment
#[cfg(feature = "tables")]
pub mod experiment;

#[cfg(feature = "tables")]
pub mod sweep;

#[cfg(feature = "tables")]
pub mod analysis;

pub mod exercise;

// roof
#[cfg(feature = "report")]
pub mod plot;

#[cfg(feature = "report")]
pub mod report;

#[cfg(feature = "report")]
pub mod audit;

#[cfg(feature = "report")]
pub mod paper;

#[cfg(feature = "report")]
pub mod display;

#[cfg(feature = "report")]
pub mod notebook;

#[cfg(feature = "report")]
pub mod book;

#[cfg(feature = "report")]
pub mod prelude;
