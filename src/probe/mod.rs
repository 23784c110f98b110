//! What a training learns and forgets on its way: probe sets, scored and graded between two steps.
//!
//! A [`Watch`] names the sets, how often they are looked at, and how much may be lost on those that are not the target. A
//! [`Monitor`] does it: it measures the base model before the first step and then the model as it becomes, and says when the budget of
//! forgetting is spent. What it finds are [`Row`]s, plain data, which a [`Log`] writes while they come: as JSON lines, and as
//! an event file that TensorBoard shows.
//!
//! Nothing here depends on a clock, so a training that resumes finds the same: where probing may take only a
//! share of the time ([`Watch::share`]), time is counted in tokens that pass through the model.
//!
//! ```
//! use unforget::probe::{Watch, WhenForgotten};
//! let watch = Watch { every: 20, forget_at_most: Some(2.0), when_forgotten: WhenForgotten::RollBack, ..Watch::default() };
//! assert!(watch.check().unwrap_err().to_string().contains("no probe set")); // two points of what?
//! ```

mod events;
mod log;
mod monitor;
mod set;

pub use log::{LOG_FILES, Log};
pub use monitor::{Monitor, Row, Saved, Stopped};
pub use set::{ClassLoss, ProbeExample, ProbeSet, Role};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is looked at while a model is trained, and when that ends the training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The probe sets.
    pub sets: Vec<ProbeSet>,
    /// Steps between two looks. The base model is looked at before the first step, the tuned one after the last.
    pub every: usize,
    /// Largest share of the work that looks may take, those before the first step and after the last apart; a look that would go
    /// beyond is left out. Work is counted in tokens that pass forward through the model, a trained one as three passes, as four
    /// where blocks are computed again, and as one more with each model that the training is held against.
    pub share: Option<f64>,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
    /// Most points of a score (of 100) that any non-target set may lie below the base.
    pub forget_at_most: Option<f64>,
    /// What happens when more is lost.
    pub when_forgotten: WhenForgotten,
}

/// What happens when more is forgotten than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenForgotten {
    /// The training ends with the model as it is.
    #[default]
    Stop,
    /// The training ends with the model as it was at the last look that was within the budget; the base itself, if none was.
    RollBack,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            sets: Vec::new(),
            every: 20,
            share: None,
            max_new_tokens: 128,
            forget_at_most: None,
            when_forgotten: WhenForgotten::Stop,
        }
    }
}

impl Watch {
    /// Refuses what makes no sense, by name.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("probe_every", self.every), ("max_new_tokens", self.max_new_tokens)]
        {
            if value == 0 {
                return Err(Error::invalid(name, "must be at least 1"));
            }
        }
        if let Some(share) = self.share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
            let problem = format!("must be above 0 and below 1, got {share}");
            return Err(Error::invalid("probe_share", problem));
        }
        if let Some(points) = self.forget_at_most {
            if !(points.is_finite() && points >= 0.0) {
                let problem = format!("must be a number of points of at least 0, got {points}");
                return Err(Error::invalid("forget_at_most", problem));
            }
            let counts = |set: &ProbeSet| set.role == Role::NonTarget && !set.items.is_empty();
            if !self.sets.iter().any(counts) {
                let problem = "there is no probe set of graded items beside the target's to lose points on; name one";
                return Err(Error::invalid("forget_at_most", problem));
            }
        }
        for (at, set) in self.sets.iter().enumerate() {
            set.check()?;
            if self.sets[..at].iter().any(|other| other.name == set.name) {
                let problem = format!("two of them are called {}", set.name);
                return Err(Error::invalid("probe sets", problem));
            }
        }
        Ok(())
    }
}
