//! Fine-tune a language model without forgetting.

// ground
pub mod error;

pub mod rng;

pub mod stats;

pub mod metric;

pub mod store;

pub mod progress;

// words
pub mod chat;

pub mod select;

pub mod task;

pub mod dataset;

pub mod tokens;

// model
pub mod ops;

pub mod model;

pub mod adapter;

pub mod optimizer;

// method
pub mod context;

pub mod train;

pub mod generate;

pub mod perplexity;

pub mod ledger;

pub mod self_output;

pub mod evaluate;

pub mod verbs;

pub mod lab;

// experiment
pub mod experiment;

// roof
pub mod report;
