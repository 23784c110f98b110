//! What a model is asked, what it answered, item by item, and how it did.
//!
//! [`verbs::evaluate`](crate::verbs::evaluate) makes [`Answers`]; [`compare`] sets their [`Scores`] beside those of the model that others were made from;
//! [`BeforeAfter`] shows one question with its answers.

mod before_after;
mod comparison;
mod row;

pub use before_after::{BeforeAfter, GivenAnswer, first_difference};
pub use comparison::{Change, Comparison, compare, paired};
pub use row::{AnswerRow, Asked};

use crate::error::{Error, Result};
use crate::evaluate::{Graded, TaskScore};
#[cfg(feature = "tables")]
use crate::task::Form;
use crate::task::Item;
#[cfg(feature = "tables")]
use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use serde::{Deserialize, Serialize};
use std::iter::once;

/// A benchmark: its name and its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name in tables.
    pub name: String,
    /// Its items.
    pub items: Vec<Item>,
}

/// What is asked to see what a model learned and what it lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tasks {
    /// What is trained for.
    pub target: Task,
    /// What should not be lost.
    pub others: Vec<Task>,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
}

impl Task {
    /// A task of this name.
    pub fn new(name: impl Into<String>, items: Vec<Item>) -> Self {
        Self { name: name.into(), items }
    }
}

impl Tasks {
    /// All of them, the target first.
    pub fn all(&self) -> impl Iterator<Item = &Task> {
        once(&self.target).chain(&self.others)
    }

    /// The same tasks with another one in front as the target: all of these are then what should not be lost.
    pub fn with_target(self, name: &str, items: &[Item]) -> Self {
        let others = once(self.target).chain(self.others).collect();
        Self { target: Task::new(name, items.to_vec()), others, ..self }
    }
}

/// One model's answers to [`Tasks`], graded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// What the model is called in tables.
    pub name: String,
    /// What it was asked.
    pub asked: Tasks,
    /// Its answers to each task, the target first, in the order of what it was asked.
    pub graded: Vec<Vec<Graded>>,
}

/// How one model did on [`Tasks`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// What the model is called in tables.
    pub name: String,
    /// One for each task, the target first.
    pub tasks: Vec<TaskScore>,
}

impl Answers {
    /// The grades alone.
    pub fn scores(&self) -> Scores {
        let pairs = self.asked.all().zip(&self.graded);
        Scores {
            name: self.name.clone(),
            tasks: pairs.map(|(task, graded)| TaskScore::of(&task.name, graded)).collect(),
        }
    }

    /// The questions of `task` and the answers to them.
    ///
    /// # Errors
    /// It was not asked.
    pub fn of(&self, task: &str) -> Result<(&[Item], &[Graded])> {
        let mut all = self.asked.all().zip(&self.graded);
        let found = all.find(|(asked, _)| asked.name == task);
        let (asked, graded) = found.ok_or_else(|| {
            let names: Vec<&str> = self.asked.all().map(|asked| asked.name.as_str()).collect();
            let problem = format!("`{task}` was not asked, only {}", names.join(", "));
            Error::invalid("task", problem)
        })?;
        Ok((&asked.items, graded))
    }

    /// The questions of `task` that it answered rightly, each with its own answer in the place of the given one.
    ///
    /// # Errors
    /// As [`Answers::of`].
    pub fn own(&self, task: &str) -> Result<Vec<Item>> {
        let (items, graded) = self.of(task)?;
        let right = items.iter().zip(graded).filter(|(_, graded)| graded.score.value == 1.0);
        let own = right.map(|(item, graded)| Item {
            truth: graded.answer.clone(),
            // where style shows in another text says nothing of this one
            style: Vec::new(),
            ..item.clone()
        });
        Ok(own.collect())
    }
}

#[cfg(feature = "tables")]
impl Answers {
    /// One row for each item: the model, its task, whether that is the target, the item's id, the answer, and its grade (`value` is 1 for a
    /// right answer in the right form, `skill` 1 for one in any form).
    ///
    /// # Errors
    /// There are other numbers of answers than of questions.
    pub fn frame(&self) -> Result<DataFrame> {
        let pairs = self.asked.all().zip(&self.graded).enumerate();
        let rows: Vec<(usize, &Task, &Graded)> = pairs
            .flat_map(|(at, (task, graded))| graded.iter().map(move |one| (at, task, one)))
            .collect();
        let words = |name: &str, value: &dyn Fn(&(usize, &Task, &Graded)) -> String| {
            Column::from(Series::new(name.into(), rows.iter().map(value).collect::<Vec<_>>()))
        };
        let numbers = |name: &str, value: &dyn Fn(&Graded) -> f64| {
            let all: Vec<f64> = rows.iter().map(|(_, _, graded)| value(graded)).collect();
            Column::from(Series::new(name.into(), all))
        };
        let flags = |name: &str, value: &dyn Fn(&(usize, &Task, &Graded)) -> bool| {
            Column::from(Series::new(name.into(), rows.iter().map(value).collect::<Vec<_>>()))
        };
        DataFrame::new(
            rows.len(),
            vec![
                words("model", &|_| self.name.clone()),
                words("task", &|(_, task, _)| task.name.clone()),
                flags("target", &|(at, ..)| *at == 0),
                words("item", &|(_, _, graded)| graded.id.clone()),
                words("answer", &|(_, _, graded)| graded.answer.clone()),
                numbers("value", &|graded| graded.score.value),
                numbers("skill", &|graded| graded.score.skill),
                flags("form_kept", &|(_, _, graded)| graded.score.form == Form::Kept),
                flags("truncated", &|(_, _, graded)| graded.truncated),
            ],
        )
        .map_err(Error::library("making the table of answers"))
    }
}
