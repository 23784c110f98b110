//! A recipe and its runs: the paper's comparison, every arm by the same trainer.
//!
//! A [`Recipe`] says which model, which tasks, which arms, which rates and seeds. [`run`] computes what is not in the store yet
//! and returns [`results::Results`].

mod arm;
mod data;
mod recipe;
pub mod results;
mod rewrite;
mod run;
mod setting;

pub use arm::Arm;
pub use data::views;
pub use recipe::{DataSizes, Recipe, read_split, split_file};
pub use run::{Experiment, run};
pub use setting::{Setting, Variant, canonical};
