//! All tests of the crate from outside, one module for each subject.

mod architecture;
mod cards;
mod checkpoints;
mod cli;
mod golden;
mod operators;
mod peft;
mod python_code;
mod support;
mod training;
