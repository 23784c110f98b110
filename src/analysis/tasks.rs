//! What a model is asked to see what it learned and what it lost, and how it did.

use super::answers;
use crate::context::Context;
use crate::error::Result;
use crate::evaluate::TaskScore;
use crate::experiment::Recipe;
use crate::model::Checkpoint;
use crate::task::Item;
use serde::{Deserialize, Serialize};

/// Test items of the target task, and of the tasks that should not be lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tasks {
    /// Name and items of each; the target first.
    pub tasks: Vec<(String, Vec<Item>)>,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
}

impl Tasks {
    /// The test items of a recipe.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn of(recipe: &Recipe) -> Result<Self> {
        let names = std::iter::once(&recipe.target).chain(&recipe.non_target);
        let items = |name: &String| {
            let items = recipe.items(name, "test", recipe.sizes.test)?;
            Ok((name.clone(), items))
        };
        Ok(Self {
            tasks: names.map(items).collect::<Result<_>>()?,
            max_new_tokens: recipe.max_new_tokens,
        })
    }

    /// The same tasks with another one in front as the target: all others are what should not be lost.
    pub fn with_target(self, name: &str, items: &[Item]) -> Self {
        let target = (name.to_owned(), items.to_vec());
        Self { tasks: std::iter::once(target).chain(self.tasks).collect(), ..self }
    }
}

/// How one model did on [`Tasks`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// What the model is called in tables.
    pub name: String,
    /// One for each task, the target first.
    pub tasks: Vec<TaskScore>,
}

/// Asks the model every question once, greedily, and grades its answers; [`answers`] keeps what it said.
///
/// # Errors
/// The model cannot be read, or this machine cannot grade an answer.
pub fn evaluate(
    cx: &Context,
    checkpoint: &Checkpoint,
    name: &str,
    tasks: &Tasks,
) -> Result<Scores> {
    Ok(answers(cx, checkpoint, name, tasks)?.scores())
}
