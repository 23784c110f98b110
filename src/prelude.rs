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

pub use crate::adapter::PeftAdapter;
pub use crate::analysis::{
    self, Acceptance, Front, Kinds, Likeness, Masks, Movement, Nudged, Perplexities, Picks, Pools,
    Regression, Spread, TaskChanges, ThresholdCurve,
};
pub use crate::answers::{Answers, Comparison, Task, Tasks, compare};
pub use crate::audit::{self, Audit, AuditPart, Fact, Table2, Table2Row, table_2};
pub use crate::card::{self, RunCard};
pub use crate::context::Context;
pub use crate::dataset::{Dataset, read_items};
pub use crate::display::{self, Show, spikes_figure, surprise_figure, weight_figure};
pub use crate::error::{Error, Result};
pub use crate::exercise::{self, Judgment};
pub use crate::experiment::results::{Results, Run};
pub use crate::experiment::{Arm, Recipe, Source, run as run_recipe};
pub use crate::generate::Sampling;
pub use crate::masked::{Masked, Weighed};
pub use crate::metric;
pub use crate::model::{Checkpoint, DeviceChoice};
pub use crate::progress::Progress;
pub use crate::report::figure::{self, Figure};
pub use crate::report::forgetting::{self, TaskGroup};
pub use crate::report::{arms, intervals, power, tables};
pub use crate::scored::{Scored, TokenExample};
pub use crate::select::{LossMask, PRESETS, TokenClass, Weighting};
pub use crate::self_output::{
    Candidates, Conditioning, Pool, PoolItem, Selection, SelfOutput, Shown,
};
pub use crate::stats::{self, Design, Pair, Verdict};
pub use crate::store::Store;
pub use crate::table::Table;
pub use crate::task::{Item, Score};
pub use crate::tokens::TemplateOptions;
pub use crate::train::TrainConfig;
pub use crate::verbs::{self, Tuned, evaluate, finetune, rephrase, score, score_data, self_output};
pub use candle_core;
pub use polars;
