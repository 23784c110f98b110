//! What is known of a unit: that it is done, and how often it was tried.

use super::plan::Step;
use crate::cluster::Place;
use crate::error::{Error, Result};
use crate::provenance::utc;
use crate::store::{Store, Work};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::SystemTime;

/// The result of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The entries of the store that it made, or found made.
    pub made: Vec<String>,
    /// Of an arm that was graded: its rate, and its score on the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored: Option<(f64, f64)>,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The unit was done.
    Done,
    /// It could not be done.
    Failed,
    /// It was asked to stop, and kept what it had.
    Stopped,
}

/// One try at a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Try {
    /// When it began.
    pub began: String,
    /// Who tried.
    pub place: Place,
    /// How it ended; `None` while it goes on, and for ever if it was killed.
    pub outcome: Option<Outcome>,
    /// Why it ended so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ended: String,
}

const TRIES: &str = "tries.jsonl";
/// Bytes of a try's line. All are there from the beginning, so that a failure can be written down on a full disk.
const LINE: usize = 2048;
/// Of them, bytes that may say why.
const PROBLEM: usize = 1200;

/// A try that goes on.
pub(super) struct Trying {
    path: PathBuf,
    from: u64,
    now: Try,
}

impl Trying {
    pub fn begin(work: &Work) -> Result<Self> {
        let path = work.path(TRIES)?;
        let now = Try {
            began: utc(SystemTime::now()),
            place: Place::here(),
            outcome: None,
            problem: String::new(),
            ended: String::new(),
        };
        let length = std::fs::metadata(&path).map_or(0, |seen| seen.len());
        // half a line of a killed process is written over
        let from = length / LINE as u64 * LINE as u64;
        let trying = Self { path, from, now };
        trying.write()?;
        Ok(trying)
    }

    pub fn end(&mut self, outcome: Outcome, problem: &str) -> Result<()> {
        let mut cut = problem.len().min(PROBLEM);
        while !problem.is_char_boundary(cut) {
            cut -= 1;
        }
        self.now.problem = problem[..cut].to_owned();
        self.now.outcome = Some(outcome);
        self.now.ended = utc(SystemTime::now());
        self.write()
    }

    fn write(&self) -> Result<()> {
        let mut line = serde_json::to_vec(&self.now).map_err(Error::library("packing a try"))?;
        // what escapes make too long says less
        if line.len() >= LINE {
            let shorter =
                Try { problem: "too long to be kept; see the log".into(), ..self.now.clone() };
            line = serde_json::to_vec(&shorter).map_err(Error::library("packing a try"))?;
        }
        line.resize(LINE - 1, b' ');
        line.push(b'\n');
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path);
        let mut file = opened.map_err(Error::io("opening", &self.path))?;
        let written = file
            .seek(SeekFrom::Start(self.from))
            .and_then(|_| file.write_all(&line))
            .and_then(|()| file.sync_data());
        written.map_err(Error::io("writing", &self.path))
    }
}

impl Step {
    /// The folder in which it is recorded.
    pub(super) fn folder(&self, store: &Store) -> PathBuf {
        store.root().join(self.name())
    }

    /// Its result, if it is done.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn done(&self, store: &Store) -> Result<Option<Done>> {
        store.kept(&self.name())
    }

    /// How it was tried, first try first.
    pub fn tries(&self, store: &Store) -> Vec<Try> {
        let text = std::fs::read_to_string(self.folder(store).join(TRIES)).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Done {
    /// Entries that it made and that are not there any more.
    pub fn gone(&self, store: &Store) -> Vec<String> {
        self.made.iter().filter(|name| !store.is_finished(name)).cloned().collect()
    }

    /// The same, and those with a file that is not as it was written: all are read.
    pub(super) fn damaged(&self, store: &Store) -> Result<Vec<String>> {
        let mut damaged = Vec::new();
        for name in &self.made {
            if !store.is_whole(name)? {
                damaged.push(name.clone());
            }
        }
        Ok(damaged)
    }
}
