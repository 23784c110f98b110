//! All tests of the crate from outside, one module for each subject.

mod architecture;
mod cards;
mod checkpoints;
mod cli;
mod datasets;
mod golden;
mod hub;
mod operators;
mod peft;
mod support;
mod training;
