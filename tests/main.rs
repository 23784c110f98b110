//! All tests of the crate from outside, one module for each subject.

mod architecture;
mod cards;
mod checkpoints;
mod cli;
mod golden;
mod interop;
mod operators;
mod peft;
mod support;
mod templates;
mod training;
