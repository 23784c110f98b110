//! Benchmarks that people know: a published file as [`Item`]s.
//!
//! Each benchmark is one file here, which turns a published row into a question, its reference answer and what is needed to grade
//! an answer, and one data card in `datasets/`. How answers are graded is [`crate::task`]'s.
//!
//! A trap: what a model is asked decides much of its score. [`Prompts`] names whose words are used.

pub mod humaneval;
pub mod mbpp;

use crate::dataset::{self, Row};
use crate::error::{Error, Result};
use crate::task::Item;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Whose words a question is put in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompts {
    /// As the paper's code puts it.
    #[default]
    Paper,
    /// As EleutherAI's lm-evaluation-harness puts it, where it has the task.
    Harness,
}

/// A benchmark by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Benchmark {
    /// MBPP, sanitized MBPP and MBPP+: see [`mbpp`].
    Mbpp,
    /// HumanEval: see [`humaneval`].
    Humaneval,
}

impl Benchmark {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Mbpp, Self::Humaneval];

    /// Its name on the command line and in recipes, which is its data card's folder too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mbpp => "mbpp",
            Self::Humaneval => "humaneval",
        }
    }

    /// The benchmark called `name`.
    ///
    /// # Errors
    /// Lists the names there are.
    pub fn named(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|b| b.name() == name)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                Error::invalid(
                    "benchmark",
                    format!("none is called {name:?}; there are {names}"),
                )
            })
    }

    /// The items of a published file, in its order.
    ///
    /// # Errors
    /// Names the file and the row that does not fit, and what was expected.
    pub fn read(self, path: &Path, prompts: Prompts) -> Result<Vec<Item>> {
        let rows = dataset::rows(path)?;
        rows.iter()
            .map(|row| self.item(path, row, prompts))
            .collect()
    }

    /// The item of one row; `path` is for messages.
    ///
    /// # Errors
    /// As [`Benchmark::read`].
    pub fn item(self, path: &Path, row: &Row, prompts: Prompts) -> Result<Item> {
        match self {
            Self::Mbpp => mbpp::item(path, row, prompts),
            Self::Humaneval => humaneval::item(path, row, prompts),
        }
    }
}
