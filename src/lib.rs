//! Fine-tune a language model without forgetting: low-perplexity token learning, measured.
//!
//! Training on answers that people wrote makes a model lose other skills. The paper
//! ([arXiv 2501.14315](https://arxiv.org/abs/2501.14315)) traces that to the answers' tokens of high perplexity, and offers three
//! cures: train on the model's own right answers (*Self-Output*), on its rewrites of the given ones (*Rephrase*), or on the given ones
//! without the tokens that surprise it (*Selective Token Masking*). This crate runs all of it on candle, with one trainer for
//! every arm, and measures what is learned and what is forgotten.
//!
//! The rule itself needs no model:
//!
//! ```
//! use unforget::select::{LossMask, low_perplexity};
//! let answer = LossMask::from_iter([false, true, true, true]);
//! let perplexity = [None, Some(1.1), Some(40.0), Some(2.0)];
//! assert_eq!(low_perplexity(&answer, &perplexity, 2.5)?.as_slice(), [false, true, false, true]);
//! # Ok::<(), unforget::error::Error>(())
//! ```
//!
//! A [`model::Checkpoint`] is a folder on disk, plain data. The [`verbs`] score it, sample from it, fine-tune and evaluate it; each is
//! cached, and trainings and samples go on where they were stopped. A [`experiment::Recipe`] puts them together, [`report`] shows what came out.
//!
//! What the crate does not do: serve models, train on several machines, or compute models of other families than [`model::Family`] names.
//!
//! Modules are listed from the ground up; a module uses only modules listed above it.

// ground
pub mod error;

pub mod files;

pub mod rng;

pub mod stats;

pub mod metric;

pub mod pareto;

pub mod diversity;

pub mod interruption;

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

pub mod perplexity;

pub mod ledger;

pub mod export;

pub mod weight_change;

pub mod self_output;

pub mod evaluate;

pub mod probe;

pub mod samples;

pub mod verbs;

pub mod scorer;

pub mod verify;

pub mod lab;

// experiment
pub mod experiment;

pub mod lesson;

pub mod audit;

// roof
pub mod report;

pub mod paper;

pub mod display;

pub mod notebook;

pub mod book;

pub mod prelude;
