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
//! A kept variable of a notebook has its type written: the kernel cannot look into this crate to find it.

pub use crate::context::Context;
pub use crate::dataset::Dataset;
pub use crate::display::Show;
pub use crate::display::{spikes_figure, surprise_figure};
pub use crate::error::{Error, Result};
pub use crate::experiment::results::{Results, Run, TokenExample};
pub use crate::experiment::{Arm, Recipe, run as run_recipe};
pub use crate::generate::Sampling;
pub use crate::lesson::exercise::{self, Judgement};
pub use crate::lesson::{self, Comparison, Lesson, Reading, Scores, Tasks};
pub use crate::lesson::{
    Acceptance, Kinds, Likeness, Masks, Perplexities, Picks, Pools, ThresholdCurve,
};
pub use crate::model::{Checkpoint, DeviceChoice};
pub use crate::progress::Progress;
pub use crate::report::figure::{self, Figure};
pub use crate::report::grid::Grid;
pub use crate::report::table;
pub use crate::select::{LossMask, TokenClass};
pub use crate::self_output::{Among, Pick, Pool, PoolItem, SelfOutput, Shown, Which};
pub use crate::store::Store;
pub use crate::task::{Item, Score};
pub use crate::train::Finetune;
pub use crate::verbs::{self, Tuned};
pub use candle_core;
pub use polars;
