//! What was given to an engine, as the plan's folder remembers it.

use super::plan::Plan;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::Write;

/// What was given to Slurm by one call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submission {
    /// Its arrays, in the order of their depth.
    pub arrays: Vec<Array>,
    /// The call that gives it what is missing.
    pub command: String,
}

/// An array of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Array {
    /// Its number.
    pub job: String,
    /// Numbers of the units that are its tasks.
    pub units: Vec<usize>,
}

const SUBMISSIONS: &str = "submissions.jsonl";

impl Submission {
    /// Those of a plan, first one first.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn read(plan: &Plan) -> Result<Vec<Self>> {
        let path = plan.folder().join(SUBMISSIONS);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(Error::io("reading", &path))?,
        };
        // a line that was cut off is of a call that was killed
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    pub(super) fn keep(&self, plan: &Plan) -> Result<()> {
        let path = plan.folder().join(SUBMISSIONS);
        let line = serde_json::to_string(self).map_err(Error::library("packing a submission"))?;
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let mut file = opened.map_err(Error::io("opening", &path))?;
        writeln!(file, "{line}").map_err(Error::io("writing", &path))?;
        file.sync_data().map_err(Error::io("writing", &path))
    }
}

/// A word of a command for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,%+@".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted("/a/b-1.toml"), "/a/b-1.toml");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }
}
