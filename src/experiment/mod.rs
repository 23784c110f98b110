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
mod source;
mod unit;

pub use arm::{Arm, Variant};
pub use recipe::{DataSizes, RENAMED, Recipe, read_split, renamed_keys, split_file, task_names};
pub use run::{Experiment, run};
pub(crate) use run::{chosen, side_by_side};
pub use source::Source;
pub use unit::Unit;
