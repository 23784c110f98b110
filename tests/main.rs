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
mod operators;
mod peft;
mod python_code;
mod real;
mod support;
mod templates;
mod training;
