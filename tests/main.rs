//! All tests of the crate from outside, one module for each subject.

mod architecture;
mod audit;
mod benchmarks;
mod cards;
mod checkpoints;
mod cli;
mod datasets;
mod families;
mod golden;
mod hub;
mod interop;
mod notebooks;
mod objectives;
mod operators;
mod paper;
mod peft;
mod probes;
mod python_code;
mod real;
mod support;
mod templates;
mod training;
mod weights;
