//! Models against the one they were made from, on the same items.

use super::{Answers, Scores};
use crate::error::{Error, Result};
use crate::evaluate::TaskScore;
use crate::stats::{self, Design, Pair, Verdict};
use serde::Serialize;

/// What each model gained on the target and lost elsewhere, against base.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The untouched model.
    pub base: Scores,
    /// One for each model that was made from it.
    pub changes: Vec<Change>,
}

/// What one model gained and lost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The model.
    pub name: String,
    /// Its scores.
    #[serde(skip)]
    pub scores: Scores,
    /// On the target.
    pub target: stats::Comparison,
    /// In the mean over the other tasks; `None` where there is none.
    pub non_target: Option<stats::Comparison>,
}

/// Compares each of `tuned` with `base`, item by item.
///
/// # Errors
/// They were not asked the same tasks and items.
pub fn compare(base: &Answers, tuned: &[&Answers]) -> Result<Comparison> {
    let tuned: Vec<Scores> = tuned.iter().map(|answers| answers.scores()).collect();
    Comparison::of_scores(&base.scores(), &tuned.iter().collect::<Vec<_>>())
}

/// The scores of both models on task `task`, counted from 0, checked to be of the same items.
///
/// # Errors
/// They were not asked the same tasks and items.
pub fn paired<'a>(
    base: &'a Scores,
    tuned: &'a Scores,
    task: usize,
) -> Result<(&'a TaskScore, &'a TaskScore)> {
    let (Some(one), Some(other)) = (base.tasks.get(task), tuned.tasks.get(task)) else {
        let problem = format!("{} and {} were not asked the same tasks", base.name, tuned.name);
        return Err(Error::invalid("scores", problem));
    };
    if one.task != other.task || one.items.len() != other.items.len() {
        let problem = format!(
            "{} was asked {} items of {}, {} {} of {}",
            base.name,
            one.items.len(),
            one.task,
            tuned.name,
            other.items.len(),
            other.task
        );
        return Err(Error::invalid("scores", problem));
    }
    Ok((one, other))
}

fn pair(base: &Scores, tuned: &Scores, task: usize, count: usize) -> Result<Pair> {
    let (one, other) = paired(base, tuned, task)?;
    let values = |score: &TaskScore| vec![score.items.iter().map(|item| item.value).collect()];
    Ok(Pair { weight: 1.0 / count as f64, first: values(one), second: values(other) })
}

impl Comparison {
    /// The same of scores alone.
    ///
    /// # Errors
    /// As [`compare`].
    pub fn of_scores(base: &Scores, tuned: &[&Scores]) -> Result<Self> {
        let change = |tuned: &&Scores| -> Result<Change> {
            let between = |tasks: std::ops::Range<usize>| -> Result<Option<stats::Comparison>> {
                let count = tasks.len();
                let pairs: Vec<Pair> =
                    tasks.map(|task| pair(base, tuned, task, count)).collect::<Result<_>>()?;
                match pairs.is_empty() {
                    true => Ok(None),
                    false => stats::Comparison::of(&pairs, &Design::default()).map(Some),
                }
            };
            let target = between(0..1)?.ok_or_else(|| Error::invalid("scores", "hold no task"))?;
            Ok(Change {
                name: tuned.name.clone(),
                scores: (*tuned).clone(),
                target,
                non_target: between(1..base.tasks.len())?,
            })
        };
        Ok(Comparison {
            base: base.clone(),
            changes: tuned.iter().map(change).collect::<Result<_>>()?,
        })
    }

    /// The change of one model.
    ///
    /// # Errors
    /// There is no model of this name.
    pub fn of(&self, name: &str) -> Result<&Change> {
        let names = || {
            self.changes.iter().map(|change| change.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let found = self.changes.iter().find(|change| change.name == name);
        found.ok_or_else(|| {
            Error::invalid("model", format!("there is no `{name}`, only {}", names()))
        })
    }
}

impl Change {
    /// Points gained on the target.
    pub fn gained(&self) -> f64 {
        self.target.difference.value
    }

    /// Points lost in the mean over the other tasks; below 0 where the model became better.
    pub fn lost(&self) -> f64 {
        self.non_target.as_ref().map_or(0.0, |change| -change.difference.value)
    }

    /// Whether what was lost is shown to be less than 2 points.
    pub fn kept(&self) -> Verdict {
        self.non_target.as_ref().map_or(Verdict::Yes, |change| change.not_lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::ItemScore;
    use crate::task::Form;

    fn scores(name: &str, tasks: &[(&str, &[f64])]) -> Scores {
        let item = |value: &f64| ItemScore { value: *value, skill: *value, form: Form::Kept };
        let task = |(task, values): &(&str, &[f64])| TaskScore {
            task: (*task).to_owned(),
            items: values.iter().map(item).collect(),
        };
        Scores { name: name.to_owned(), tasks: tasks.iter().map(task).collect() }
    }

    #[test]
    fn points_are_those_of_the_items() {
        let base = scores(
            "base",
            &[("code", &[1.0, 0.0, 0.0, 0.0]), ("word", &[1.0, 1.0]), ("sql", &[1.0, 0.0])],
        );
        let tuned = scores(
            "tuned",
            &[("code", &[1.0, 1.0, 0.0, 0.0]), ("word", &[1.0, 0.0]), ("sql", &[1.0, 0.0])],
        );
        let comparison = Comparison::of_scores(&base, &[&tuned]).unwrap();
        let change = comparison.of("tuned").unwrap();
        assert!((change.gained() - 25.0).abs() < 1e-9 && (change.lost() - 25.0).abs() < 1e-9);
        let error = comparison.of("other").unwrap_err().to_string();
        assert!(error.contains("`other`") && error.contains("tuned"), "{error}");
    }

    #[test]
    fn other_items_are_refused() {
        let base = scores("base", &[("code", &[1.0, 0.0])]);
        for other in [
            scores("a", &[("code", &[1.0])]),
            scores("b", &[("word", &[1.0, 0.0])]),
            scores("c", &[]),
        ] {
            assert!(Comparison::of_scores(&base, &[&other]).is_err(), "{}", other.name);
        }
    }
}
