//! The dozen names that a notebook needs.
//!
//! ```no_run
//! use unforget::prelude::*;
//! let cx = Context::new(Store::choose(None)?, DeviceChoice::Cpu, Progress::quiet())?;
//! let results = run_recipe(&cx, &Recipe::quick())?;
//! println!("{}", table::print(&results));
//! # Ok::<(), Error>(())
//! ```

pub use crate::context::Context;
pub use crate::dataset::Dataset;
pub use crate::error::{Error, Result};
pub use crate::experiment::{Arm, Recipe, results::Results, run as run_recipe};
pub use crate::generate::Sampling;
pub use crate::model::{Checkpoint, DeviceChoice};
pub use crate::progress::Progress;
pub use crate::report::table;
pub use crate::select::LossMask;
pub use crate::self_output::SelfOutput;
pub use crate::store::Store;
pub use crate::train::Finetune;
pub use crate::verbs;
