//! What was lost of each task: items, form and skill, in points and relative to base.

use crate::answers::paired;
use crate::answers::{Answers, Scores};
use crate::error::Result;
use crate::evaluate::{ItemScore, TaskScore};
use crate::metric;
use crate::stats::mcnemar::Discordant;
use crate::stats::{self, Block, Estimate};
use crate::task::Form;
use serde::Serialize;

/// What became of each task under one model, against base.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskChanges {
    /// The model.
    pub name: String,
    /// One for each task, the target first.
    pub tasks: Vec<TaskChange>,
}

/// What became of one task. TaskChanges are below 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskChange {
    /// The task.
    pub task: String,
    /// Share of right answers under base.
    pub base: f64,
    /// Share of right answers now.
    pub tuned: f64,
    /// Change in points, paired by item.
    pub points: Estimate,
    /// The part of it that is skill: the change of the lenient score, which takes a right answer in any form.
    pub skill: Estimate,
    /// The rest: right answers that are still there but lost, or found, the form.
    pub form: Estimate,
    /// Items that went the one way and the other; `None` where a grade is neither 0 nor 1.
    pub items: Option<Discordant>,
    /// Share of answers that keep the form.
    pub form_kept: f64,
}

/// What `tuned` lost of each task that `base` was asked.
///
/// # Errors
/// They were not asked the same tasks and items.
pub fn task_changes(base: &Answers, tuned: &Answers) -> Result<TaskChanges> {
    changes(&base.scores(), &tuned.scores())
}

/// The same of scores alone.
pub(crate) fn changes(base: &Scores, tuned: &Scores) -> Result<TaskChanges> {
    let task = |at: usize| {
        let (one, other) = paired(base, tuned, at)?;
        TaskChange::of(one, other)
    };
    Ok(TaskChanges {
        name: tuned.name.clone(),
        tasks: (0..base.tasks.len()).map(task).collect::<Result<_>>()?,
    })
}

impl TaskChange {
    fn of(base: &TaskScore, tuned: &TaskScore) -> Result<Self> {
        let points = |value: fn(&ItemScore) -> f64| -> Result<Estimate> {
            let pairs = base.items.iter().zip(&tuned.items);
            let row = pairs.map(|(base, tuned)| 100.0 * (value(tuned) - value(base)));
            let block = Block { weight: 1.0, rows: vec![row.collect()] };
            stats::crossed(&[block])
        };
        let values =
            |score: &TaskScore| -> Vec<f64> { score.items.iter().map(|item| item.value).collect() };
        let kept = tuned.items.iter().filter(|item| item.form == Form::Kept);
        Ok(Self {
            task: base.task.clone(),
            base: base.value(),
            tuned: tuned.value(),
            points: points(|item| item.value)?,
            skill: points(|item| item.skill)?,
            form: points(|item| item.value - item.skill)?,
            items: Discordant::of(&values(base), &values(tuned)),
            form_kept: kept.count() as f64 / tuned.items.len().max(1) as f64,
        })
    }

    /// Change relative to base, in percent: what the paper averages; `None` where base scores 0.
    pub fn relative(&self) -> Option<f64> {
        metric::relative_change(self.base, self.tuned)
    }
}

impl TaskChanges {
    /// The tasks that should not be lost: all but the target.
    pub fn others(&self) -> &[TaskChange] {
        self.tasks.get(1..).unwrap_or_default()
    }

    /// `(base, tuned)` scores of the tasks that should not be lost.
    pub fn pairs(&self) -> Vec<(f64, f64)> {
        let others = self.others().iter();
        others.map(|task| (task.base, task.tuned)).collect()
    }

    /// The paper's BWT, in percent: see [`metric::backward_transfer`].
    pub fn backward_transfer(&self) -> Option<f64> {
        metric::backward_transfer(&self.pairs())
    }

    /// The same in points: see [`metric::backward_transfer_points`].
    pub fn backward_transfer_points(&self) -> Option<f64> {
        metric::backward_transfer_points(&self.pairs())
    }

    /// The paper's TI, in percent: see [`metric::target_improvement`].
    pub fn target_improvement(&self) -> Option<f64> {
        let target = self.tasks.first()?;
        metric::target_improvement(target.base, target.tuned)
    }

    /// The part of the change in points of the tasks that should not be lost that is skill, in the mean.
    pub fn skill(&self) -> Option<f64> {
        let each: Vec<f64> = self.others().iter().map(|task| task.skill.value).collect();
        stats::mean(&each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::regression::tests::{BEFORE, answered};

    #[test]
    fn skill_and_form_are_the_whole_loss() {
        let before = answered("base", BEFORE);
        let after = answered("tuned", ["Answer: A", BEFORE[1], "That makes 5.", "Answer: 8"]);
        let found = task_changes(&before, &after).unwrap();
        let word = &found.tasks[1];
        assert_eq!((word.base, word.tuned, word.form_kept), (1.0, 0.0, 0.5));
        assert_eq!((word.points.value, word.skill.value, word.form.value), (-100.0, -50.0, -50.0));
        assert_eq!(word.items, Some(Discordant { gained: 0, lost: 2 }));
        assert_eq!(found.skill(), Some(-50.0));
        assert_eq!(
            (found.target_improvement(), found.backward_transfer()),
            (Some(-50.0), Some(-100.0))
        );
    }

    #[test]
    fn what_base_cannot_do_has_no_relative_change() {
        let before = answered("base", ["Answer: B", "Answer: B", "", ""]);
        let after = answered("tuned", BEFORE);
        let found = task_changes(&before, &after).unwrap();
        assert_eq!((found.others()[0].relative(), found.backward_transfer()), (None, None));
        assert_eq!(found.backward_transfer_points(), Some(100.0));
    }
}
