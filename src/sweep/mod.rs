//! A recipe on one machine or on many: its steps as units that anybody may do.
//!
//! A [`Plan`] lists the units of a recipe, each with those that it needs. What a unit is made from names it, so it has its name before anything is
//! computed, and two recipes that share a unit do it once. A unit that is done is an entry of the store (`unit/NAME-HASH`), which says what entries it
//! made; that is the only mark that counts.
//!
//! ```text
//! recipe ── Plan ──► units ── work (on this machine, in an array of Slurm, in pods) ──► store ── gather ──► Results
//! ```
//!
//! There is no scheduler here. [`local`] does all units in this process; [`slurm`] writes an array of jobs for each kind of unit and lets Slurm order
//! them; any other engine calls [`work`] with a number. Whatever runs where, and however often, the store lets each unit be done once: who comes second
//! waits.

mod plan;
mod record;
pub mod slurm;
mod status;
mod submission;
mod work;

pub use plan::{Plan, Step};
pub use record::{Done, Outcome, Try};
pub use status::{State, Status};
pub use submission::{Array, Submission};
pub use work::{gather, local, run, work};
