//! All tests of the crate from outside, one module for each subject.

mod architecture;
mod audit;
mod audit_copy;
mod benchmarks;
mod book;
mod cards;
mod checkpoints;
mod cli;
mod datasets;
mod families;
mod golden;
mod hub;
mod interop;
mod ledger;
#[path = "../book/listings/mod.rs"]
mod listings;
mod notebooks;
mod objectives;
mod operators;
mod paper;
mod peft;
mod probes;
mod python_code;
mod real;
mod store;
mod support;
mod templates;
mod training;
mod verify;
mod weights;
