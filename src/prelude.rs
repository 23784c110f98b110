//! The names that a notebook needs.
//!
//! ```no_run
//! use unforget::prelude::*;
//! let cx: Context = Context::in_notebook()?;
//! let results: Results = run_recipe(&cx, &Recipe::quick())?;
//! println!("{}", results.media().text);
//! # Ok::<(), Error>(())
//! ```
//!
//! Thirty names and two crates, and no more: what a page needs beside them it names itself, such as `use unforget::analysis::Kinds;`.
//! `help("Scored")` shows what a name is and what can be called on it, `help("")` all names.
//!
//! A notebook writes the type of every variable that later cells use: `let truth: Scored = ...`. The kernel cannot look into this crate to find it.

pub use crate::answers::{Answers, Comparison, Tasks, compare};
pub use crate::context::Context;
pub use crate::display::{Show, help};
pub use crate::error::{Error, Result};
pub use crate::exercise::Judgment;
pub use crate::experiment::results::Results;
pub use crate::experiment::{Recipe, run as run_recipe};
pub use crate::masked::Masked;
pub use crate::model::Checkpoint;
pub use crate::scored::Scored;
pub use crate::self_output::{Candidates, Conditioning, Pool};
pub use crate::task::Item;
pub use crate::train::TrainConfig;
pub use crate::verbs::{Tuned, evaluate, finetune, rephrase, score, self_output};
pub use crate::{analysis, exercise, stats, verbs};
pub use candle_core;
pub use polars;
