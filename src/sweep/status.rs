//! How far a plan is, and what mends it. Marks in the store decide; Slurm is asked for what waits and why something vanished.

use super::plan::{Plan, Step};
use super::record::{Done, Outcome};
use super::submission::{Submission, quoted};
use crate::cluster::{self, Place};
use crate::error::Result;
use crate::store::{Store, worker};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// How far a unit is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", content = "of", rename_all = "snake_case")]
pub enum State {
    /// Finished.
    Done,
    /// Finished, but these entries that it made are gone from the store.
    Gone(Vec<String>),
    /// Somebody works on it.
    Running(Place),
    /// It is in Slurm's queue, in this state.
    Queued(String),
    /// It was tried, and this is what it said.
    Failed(String),
    /// It was asked to stop, or was killed; what it kept is there.
    Stopped(String),
    /// It was given to Slurm, which does not have it any more.
    Vanished(String),
    /// Nobody has it, and it could be done.
    Open,
    /// Nobody has it, and the unit of this number must be done before.
    Waiting(usize),
}

/// How far a plan is.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Of each unit, in order.
    pub states: Vec<State>,
    /// Bytes that are free where the store lies, where the system says it.
    pub free: Option<u64>,
    /// What mends it, if something is to mend: what to see to first, and then the command.
    pub mend: Vec<String>,
}

/// With less than this, the disk counts as full.
const FULL: u64 = 64 << 20;

impl State {
    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Gone(_) => "gone",
            Self::Running(_) => "running",
            Self::Queued(_) => "queued",
            Self::Failed(_) => "failed",
            Self::Stopped(_) => "stopped",
            Self::Vanished(_) => "vanished",
            Self::Open => "open",
            Self::Waiting(_) => "waiting",
        }
    }

    /// Whether it goes on by itself.
    fn goes_on(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Queued(_))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Done | Self::Open => Ok(()),
            Self::Gone(made) => {
                write!(f, ": {} not in the store as it was written", made.join(", "))
            }
            Self::Running(place) => write!(f, ": {place}"),
            Self::Waiting(unit) => write!(f, ": for unit {unit}"),
            Self::Queued(why) | Self::Failed(why) | Self::Stopped(why) | Self::Vanished(why) => {
                write!(f, ": {why}")
            }
        }
    }
}

impl Plan {
    /// How far it is. The files of entries are not read.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn status(&self, store: &Store) -> Result<Status> {
        self.status_by(store, |made| Ok(made.gone(store)))
    }

    /// How far it is; `gone` says what a unit made that is not there.
    pub(super) fn status_by(
        &self,
        store: &Store,
        gone: impl Fn(&Done) -> Result<Vec<String>>,
    ) -> Result<Status> {
        let mut done = Vec::new();
        for step in &self.steps {
            done.push(match step.done(store)? {
                None => None,
                Some(made) => Some(match gone(&made)? {
                    gone if gone.is_empty() => State::Done,
                    gone => State::Gone(gone),
                }),
            });
        }
        let submissions = Submission::read(self)?;
        // Slurm is asked for the jobs of units that are not done
        let mut latest: BTreeMap<usize, String> = BTreeMap::new();
        for array in submissions.iter().flat_map(|submission| &submission.arrays) {
            for unit in &array.units {
                latest.insert(*unit, format!("{}_{unit}", array.job));
            }
        }
        let mut jobs: Vec<String> = latest
            .iter()
            .filter(|(unit, _)| done.get(**unit).is_some_and(|done| *done != Some(State::Done)))
            .filter_map(|(_, task)| Some(task.split_once('_')?.0.to_owned()))
            .collect();
        jobs.sort();
        jobs.dedup();
        let queue: Option<BTreeMap<String, String>> =
            cluster::queue(&jobs).map(|queue| queue.into_iter().collect());
        let accounts: BTreeMap<String, String> = cluster::accounts(&jobs).into_iter().collect();
        let known: Vec<bool> = done.iter().map(|done| *done == Some(State::Done)).collect();
        let mut states = Vec::new();
        for (step, done) in self.steps.iter().zip(done) {
            let task = latest.get(&step.index);
            let slurm = Slurm {
                queued: task.and_then(|task| queue.as_ref()?.get(task)).cloned(),
                account: task.and_then(|task| accounts.get(task)).cloned(),
                task: task.cloned(),
                answers: queue.is_some(),
            };
            states.push(match done {
                Some(state) => state,
                None => step.state(store, &slurm, &known)?,
            });
        }
        let free = free(store.root());
        let mend = self.mend(&states, free, submissions.last());
        Ok(Status { states, free, mend })
    }

    /// What to do, last of all the command that does it.
    fn mend(&self, states: &[State], free: Option<u64>, last: Option<&Submission>) -> Vec<String> {
        let stuck = |state: &&State| **state != State::Done && !state.goes_on();
        // what waits for something that goes on is no trouble if it is queued; else it must be given to somebody as well
        let stuck: Vec<&State> = states.iter().filter(stuck).collect();
        if stuck.is_empty() {
            return match states.iter().all(|state| *state == State::Done) {
                true => vec![format!(
                    "unforget sweep gather {}",
                    quoted(&self.folder().display().to_string())
                )],
                false => Vec::new(),
            };
        }
        let mut lines = Vec::new();
        let full = stuck.iter().any(|state| match state {
            State::Failed(why) => why.contains("No space left") || why.contains("Disk quota"),
            _ => false,
        });
        if full || free.is_some_and(|free| free < FULL) {
            let free = free.map_or(String::new(), |free| format!(", {} MB are free", free >> 20));
            lines.push(format!("the disk of the store is or was full{free}: make room first"));
        }
        if stuck.iter().any(|state| matches!(state, State::Failed(_))) {
            lines.push(format!(
                "what failed says why; its whole log is below {}",
                self.logs().display()
            ));
        }
        let all_wait = stuck.iter().all(|state| matches!(state, State::Waiting(_)));
        if all_wait && states.iter().any(State::goes_on) && last.is_none() {
            return lines;
        }
        lines.push(match last {
            Some(last) => last.command.clone(),
            None => {
                let folder = quoted(&self.folder().display().to_string());
                format!("unforget sweep submit {folder} --engine local")
            }
        });
        lines
    }
}

/// What Slurm says of a unit.
struct Slurm {
    task: Option<String>,
    queued: Option<String>,
    account: Option<String>,
    answers: bool,
}

impl Step {
    fn state(&self, store: &Store, slurm: &Slurm, done: &[bool]) -> Result<State> {
        let at_work = worker(&self.folder(store))?;
        if let Some((place, lives)) = &at_work
            && *lives != Some(false)
        {
            return Ok(State::Running(place.clone()));
        }
        let tries = self.tries(store);
        if let Some(state) = &slurm.queued {
            let task = slurm.task.as_deref().unwrap_or_default();
            return Ok(State::Queued(format!("{} as {task}", state.to_lowercase())));
        }
        let account = |before: String| match &slurm.account {
            Some(account) => format!("{before}; Slurm says {account}"),
            None => before,
        };
        if let Some(last) = tries.last() {
            let of = &last.place;
            return Ok(match last.outcome {
                Some(Outcome::Failed) => State::Failed(last.problem.clone()),
                Some(Outcome::Stopped) => {
                    State::Stopped(account(format!("{of} was asked to stop at {}", last.ended)))
                }
                // it was done, and its record is gone or was changed
                Some(Outcome::Done) => State::Open,
                None => State::Stopped(account(format!(
                    "{of}, which began at {}, ended without a word: killed, or its machine went down",
                    last.began
                ))),
            });
        }
        if let Some(needed) = self.needs.iter().find(|at| !done[**at]) {
            return Ok(State::Waiting(*needed));
        }
        Ok(match (&slurm.task, slurm.answers) {
            (Some(task), true) => State::Vanished(account(format!(
                "{task} is not in the queue and never began this unit: it was canceled, or could not begin it (see its log)"
            ))),
            _ => State::Open,
        })
    }
}

/// Bytes that are free where `path` lies.
#[cfg(unix)]
fn free(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut seen = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a zero, and the system fills the place if it returns 0.
    let seen = unsafe {
        match libc::statvfs(path.as_ptr(), seen.as_mut_ptr()) {
            0 => seen.assume_init(),
            _ => return None,
        }
    };
    #[allow(clippy::unnecessary_cast, reason = "other systems have other types here")]
    Some(seen.f_bavail as u64 * seen.f_frsize as u64)
}

#[cfg(not(unix))]
fn free(_path: &Path) -> Option<u64> {
    None
}
