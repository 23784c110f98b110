//! One row for each arm at its chosen rate: the numbers behind the main table.

use crate::error::{Error, Result};
use crate::experiment::results::{DataSummary, ItemScore, Results, Run, TaskScore};
use crate::metric;
use crate::stats::{self, Block, Estimate, Spread};
use crate::task::Form;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// What an experiment found, and what it comes to for each arm: computed once, for all that is shown of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultsSummary {
    /// The results, whole.
    pub results: Rc<Results>,
    /// Base and each arm at its chosen rate; see [`rows`].
    pub arms: Vec<ArmSummary>,
}

impl ResultsSummary {
    /// Errors: as [`rows`].
    pub fn of(results: Rc<Results>) -> Result<Self> {
        Ok(Self { arms: rows(&results)?, results })
    }
}

/// The base model, or one arm at its chosen rate, over all seeds. Scores are shares; changes are against base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// `base`, or the arm's short name.
    pub arm: String,
    /// Peak learning rate; `None` for base.
    pub learning_rate: Option<f64>,
    /// Runs that are averaged; 0 for base.
    pub seeds: usize,
    /// Score on the target task.
    pub target: Estimate,
    /// Lowest and highest target score of a seed.
    pub target_spread: Spread,
    /// Mean score on the non-target tasks, each task weighed alike; `None` where the recipe has none.
    pub non_target: Option<Estimate>,
    /// Lowest and highest mean non-target score of a seed.
    pub non_target_spread: Option<Spread>,
    /// What the training changed; `None` for base.
    pub change: Option<ArmChange>,
    /// Share of target answers that keep the form they were asked for in.
    pub target_form_kept: f64,
    /// The same on the non-target tasks, each task weighed alike.
    pub non_target_form_kept: Option<f64>,
    /// Share of completion tokens that were not learned, mean over seeds.
    pub masked_share: Option<f64>,
    /// Mean over examples of exp(mean surprisal of the completion given the prompt), under base.
    pub perplexity_given_prompt: Option<f64>,
    /// Mean over examples of exp(mean surprisal of the bare answer text), under base.
    pub perplexity_of_text_alone: Option<f64>,
    /// Medians of the two, which say what is usual where a few examples make the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_given_prompt: Option<f64>,
    /// The second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_of_text_alone: Option<f64>,
    /// Norm of the weight change relative to the weights' own, mean over seeds.
    pub relative_weight_change: Option<f64>,
    /// Score of each task, target first.
    pub tasks: Vec<TaskRow>,
}

/// What training changed, with paired errors over the same items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmChange {
    /// Target score, in points.
    pub target_points: Estimate,
    /// The paper's TI, in percent; `None` where base scores 0.
    pub target_improvement: Option<Estimate>,
    /// Mean non-target score, in points.
    pub non_target_points: Option<Estimate>,
    /// The part of it that is skill: the change of the lenient score, which takes a right answer in any form.
    pub skill_points: Option<Estimate>,
    /// The rest: right answers that are still there but lost (or found) the form.
    pub form_points: Option<Estimate>,
    /// The paper's BWT, in percent; `None` without non-target tasks or where base scores 0 on one.
    pub backward_transfer: Option<Estimate>,
}

/// One task's score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    /// The task's name.
    pub task: String,
    /// Score, a share.
    pub score: Estimate,
    /// Lenient score: a right answer in any form, a share.
    pub skill: Estimate,
    /// ArmChange of the score in points; `None` for base.
    pub points: Option<Estimate>,
    /// Share of answers that keep the form.
    pub form_kept: f64,
}

impl TaskRow {
    /// Of one model trained once, `tuned`, beside `base`, on the same items.
    pub(super) fn of_pair(base: &TaskScore, tuned: &TaskScore, changed: bool) -> Result<Self> {
        Aligned { base, tuned: vec![tuned] }.row(changed)
    }
}

/// Base first, then each arm at its chosen rate, in the order of the recipe.
///
/// An arm none of whose tested runs is marked as chosen is left out. Errors: scores that are not of the same tasks and items as base, and a
/// seed that stands there twice.
pub fn rows(results: &Results) -> Result<Vec<ArmSummary>> {
    let mut rows = vec![ArmSummary::of(results, None, &[])?];
    for arm in arms(results) {
        let runs = chosen(results, arm)?;
        if !runs.is_empty() {
            rows.push(ArmSummary::of(results, Some(arm), &runs)?);
        }
    }
    Ok(rows)
}

/// The arms' names, in the order of the recipe.
pub fn arms(results: &Results) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for run in &results.runs {
        if !names.contains(&run.arm.as_str()) {
            names.push(&run.arm);
        }
    }
    names
}

/// One score of a checkpoint: the mean of its items' values; `None` for no items.
pub fn score(task: &TaskScore) -> Option<f64> {
    let values: Vec<f64> = task.items.iter().map(|item| item.value).collect();
    stats::mean(&values)
}

/// Mean over the non-target tasks of one checkpoint's scores, target first; `None` without any.
pub fn non_target_score(tasks: &[TaskScore]) -> Option<f64> {
    let scores: Option<Vec<f64>> = tasks.iter().skip(1).map(score).collect();
    stats::mean(&scores?)
}

/// `(base, tuned)` scores of the non-target tasks.
pub(super) fn non_target_pairs(results: &Results, run: &Run) -> Vec<(f64, f64)> {
    let tuned = run.test.iter().skip(1);
    let pairs = results.base.iter().skip(1).zip(tuned);
    pairs.filter_map(|(base, tuned)| score(base).zip(score(tuned))).collect()
}

/// Runs that were evaluated on the test split.
pub(crate) fn tested(results: &Results) -> impl Iterator<Item = &Run> {
    results.runs.iter().filter(|run| !run.test.is_empty())
}

/// The tested runs of an arm at its chosen rate, each seed once.
///
/// # Errors
/// A seed that stands there twice, and would be counted as two.
pub(crate) fn chosen<'a>(results: &'a Results, arm: &str) -> Result<Vec<&'a Run>> {
    let runs: Vec<&Run> = tested(results).filter(|run| run.arm == arm && run.chosen).collect();
    stats::distinct(&format!("seeds of {arm}"), runs.iter().map(|run| run.seed))?;
    Ok(runs)
}

impl ArmSummary {
    /// Base for `arm` `None`, else the mean over `runs`.
    fn of(results: &Results, arm: Option<&str>, runs: &[&Run]) -> Result<Self> {
        let tasks = aligned(results, runs)?;
        let (target, others) =
            tasks.split_first().ok_or_else(|| Error::invalid("results", "base has no scores"))?;
        let weight = 1.0 / others.len() as f64;
        // Of all non-target tasks together; each value gets an item under base and the same item tuned.
        let together = |value: fn(&ItemScore, &ItemScore) -> f64| -> Result<Option<Estimate>> {
            let blocks: Vec<Block> = others.iter().map(|task| task.block(weight, value)).collect();
            (!blocks.is_empty()).then(|| stats::crossed(&blocks)).transpose()
        };
        let change = match arm {
            None => None,
            Some(_) => Some(ArmChange {
                target_points: stats::crossed(&[
                    target.block(100.0, |base, tuned| tuned.value - base.value)
                ])?,
                target_improvement: relative(std::slice::from_ref(target))?,
                non_target_points: together(|base, tuned| 100.0 * (tuned.value - base.value))?,
                skill_points: together(|base, tuned| 100.0 * (tuned.skill - base.skill))?,
                form_points: together(|base, tuned| {
                    100.0 * ((tuned.value - base.value) - (tuned.skill - base.skill))
                })?,
                backward_transfer: relative(others)?,
            }),
        };
        let data = arm.and_then(|arm| results.data.iter().find(|data| data.arm == arm));
        let kept: Vec<f64> = others.iter().map(Aligned::form_kept).collect();
        let of_runs = |value: &dyn Fn(&Run) -> Option<f64>| -> Option<f64> {
            let values: Option<Vec<f64>> = runs.iter().map(|run| value(run)).collect();
            stats::mean(&values?)
        };
        let spread = |value: &dyn Fn(&[TaskScore]) -> Option<f64>| -> Option<Spread> {
            let each: Vec<f64> = match arm {
                None => value(&results.base).into_iter().collect(),
                Some(_) => runs.iter().filter_map(|run| value(&run.test)).collect(),
            };
            Spread::of(&each)
        };
        let rows: Result<Vec<TaskRow>> = tasks.iter().map(|task| task.row(arm.is_some())).collect();
        Ok(Self {
            arm: arm.unwrap_or(crate::plot::palette::BASE).to_owned(),
            learning_rate: runs.first().map(|run| run.learning_rate),
            seeds: runs.len(),
            target: stats::crossed(&[target.block(1.0, |_, tuned| tuned.value)])?,
            target_spread: spread(&|tasks| tasks.first().and_then(score))
                .ok_or_else(|| Error::invalid("results", "the target task has no items"))?,
            non_target: together(|_, tuned| tuned.value)?,
            non_target_spread: spread(&non_target_score),
            change,
            target_form_kept: target.form_kept(),
            non_target_form_kept: stats::mean(&kept),
            masked_share: of_runs(&|run| {
                metric::masked_share(run.completion_tokens, run.learned_tokens)
            }),
            perplexity_given_prompt: data.map(|data| data.perplexity_given_prompt),
            perplexity_of_text_alone: data.map(|data| data.perplexity_of_text_alone),
            median_given_prompt: data.and_then(DataSummary::spread).map(|spread| spread.median),
            median_of_text_alone: data.and_then(|data| data.median_of_text_alone),
            relative_weight_change: of_runs(&|run| Some(run.relative_weight_change)),
            tasks: rows?,
        })
    }
}

/// One task under base and under each run, with the same items in the same order.
struct Aligned<'a> {
    base: &'a TaskScore,
    /// Base itself when there are no runs.
    tuned: Vec<&'a TaskScore>,
}

/// The tasks of `runs` beside base's; without runs, base beside itself.
fn aligned<'a>(results: &'a Results, runs: &[&'a Run]) -> Result<Vec<Aligned<'a>>> {
    let mut tasks = Vec::new();
    for (index, base) in results.base.iter().enumerate() {
        let mut tuned: Vec<&TaskScore> = Vec::new();
        for run in runs {
            let task = run
                .test
                .get(index)
                .filter(|task| task.task == base.task && task.items.len() == base.items.len());
            tuned.push(task.ok_or_else(|| {
                let problem = format!(
                    "{} with seed {} has no score for the {} items of {} that base has",
                    run.arm,
                    run.seed,
                    base.items.len(),
                    base.task
                );
                Error::invalid("results", problem)
            })?);
        }
        if runs.is_empty() {
            tuned.push(base);
        }
        tasks.push(Aligned { base, tuned });
    }
    Ok(tasks)
}

impl Aligned<'_> {
    fn block(&self, weight: f64, value: impl Fn(&ItemScore, &ItemScore) -> f64) -> Block {
        let row = |tuned: &&TaskScore| -> Vec<f64> {
            let pairs = self.base.items.iter().zip(&tuned.items);
            pairs.map(|(base, tuned)| value(base, tuned)).collect()
        };
        Block { weight, rows: self.tuned.iter().map(row).collect() }
    }

    fn form_kept(&self) -> f64 {
        let items = self.tuned.iter().flat_map(|task| &task.items);
        let kept: Vec<f64> = items.map(|item| f64::from(item.form == Form::Kept)).collect();
        stats::mean(&kept).unwrap_or(0.0)
    }

    fn row(&self, changed: bool) -> Result<TaskRow> {
        let points = self.block(100.0, |base, tuned| tuned.value - base.value);
        Ok(TaskRow {
            task: self.base.task.clone(),
            score: stats::crossed(&[self.block(1.0, |_, tuned| tuned.value)])?,
            skill: stats::crossed(&[self.block(1.0, |_, tuned| tuned.skill)])?,
            points: changed.then(|| stats::crossed(&[points])).transpose()?,
            form_kept: self.form_kept(),
        })
    }

    /// Scores under base and, as the mean over seeds, tuned.
    fn scores(&self) -> Option<(f64, f64)> {
        let tuned: Option<Vec<f64>> = self.tuned.iter().map(|task| score(task)).collect();
        score(self.base).zip(stats::mean(&tuned?))
    }
}

/// Mean relative change over `tasks` in percent; `None` without tasks or where base scores 0.
///
/// The base score is itself uncertain, so the error is the delta method's: that of the values `(tuned − ratio · base) / base score`,
/// where `ratio` is tuned score / base score.
fn relative(tasks: &[Aligned]) -> Result<Option<Estimate>> {
    let Some(scores) = tasks.iter().map(Aligned::scores).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let Some(value) = metric::backward_transfer(&scores) else {
        return Ok(None);
    };
    let blocks: Vec<Block> = tasks
        .iter()
        .zip(&scores)
        .map(|(task, &(base_score, tuned_score))| {
            let ratio = tuned_score / base_score;
            let weight = 100.0 / (tasks.len() as f64 * base_score);
            task.block(weight, |base, tuned| tuned.value - ratio * base.value)
        })
        .collect();
    let se = stats::crossed(&blocks)?.se;
    Ok(Some(Estimate { value, se }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn row(rows: &[ArmSummary], arm: &str) -> ArmSummary {
        rows.iter().find(|row| row.arm == arm).expect("the arm is in the sample").clone()
    }

    #[test]
    fn base_comes_first_and_changes_nothing() {
        let rows = rows(&sample::results()).unwrap();
        assert_eq!((rows[0].arm.as_str(), rows[0].seeds, &rows[0].change), ("base", 0, &None));
        assert_eq!(rows[0].target_spread.min, rows[0].target_spread.max);
    }

    #[test]
    fn what_is_lost_is_skill_and_form_together() {
        for row in rows(&sample::results()).unwrap().iter().skip(1) {
            let change = row.change.as_ref().unwrap();
            let parts = change.skill_points.unwrap().value + change.form_points.unwrap().value;
            assert!((change.non_target_points.unwrap().value - parts).abs() < 1e-9, "{}", row.arm);
        }
    }

    #[test]
    fn relative_changes_agree_with_the_metric_on_the_printed_scores() {
        let rows = rows(&sample::results()).unwrap();
        let (base, tuned) = (&rows[0], row(&rows, "ground_truth"));
        let pairs: Vec<(f64, f64)> = (1..base.tasks.len())
            .map(|task| (base.tasks[task].score.value, tuned.tasks[task].score.value))
            .collect();
        let change = tuned.change.unwrap();
        let expected = metric::backward_transfer(&pairs).unwrap();
        assert!((change.backward_transfer.unwrap().value - expected).abs() < 1e-9);
        let expected = metric::target_improvement(base.target.value, tuned.target.value).unwrap();
        assert!((change.target_improvement.unwrap().value - expected).abs() < 1e-9);
    }

    #[test]
    fn a_seed_counts_once() {
        let mut results = sample::results();
        let run = results.runs.iter().find(|run| run.chosen).unwrap().clone();
        let (arm, seed) = (run.arm.clone(), run.seed);
        results.runs.push(run);
        let says = |error: Error| {
            let error = error.to_string();
            let parts = [format!("seeds of {arm}"), format!("{seed} stands there twice")];
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        };
        says(rows(&results).unwrap_err());
        use crate::report::{arms, forgetting};
        says(forgetting::rows(&results).unwrap_err());
        says(arms::between(&results, forgetting::TaskGroup::Target, "base", &arm).unwrap_err());
    }

    #[test]
    fn an_arm_is_found_by_the_name_that_it_had_before() {
        let results = sample::results();
        use crate::report::{arms, forgetting::TaskGroup};
        let change =
            |arm: &str| arms::between(&results, TaskGroup::NonTarget, "base", arm).unwrap();
        assert_eq!(change("stm_2.5"), change("stm(2.5)"));
        // and results of then are read as those of today
        let text = serde_json::to_string(&results).unwrap();
        let then = text.replace("\"arm\":\"stm(2.5)", "\"arm\":\"stm_2.5");
        assert!(then != text);
        let read = |text: &str| serde_json::from_str::<Results>(text).unwrap();
        assert!(read(&then) == read(&text));
    }

    #[test]
    fn a_base_of_zero_has_no_relative_change() {
        let mut results = sample::results();
        results.base[1].items.iter_mut().for_each(|item| item.value = 0.0);
        let change = row(&rows(&results).unwrap(), "ground_truth").change.unwrap();
        assert_eq!(change.backward_transfer, None);
        assert!(change.non_target_points.is_some() && change.target_improvement.is_some());
    }

    #[test]
    fn scores_of_other_items_are_refused() {
        let mut results = sample::results();
        let run = results.runs.iter_mut().find(|run| run.chosen).unwrap();
        run.test[1].items.pop();
        let error = rows(&results).unwrap_err().to_string();
        assert!(error.contains("items of"), "{error}");
    }
}
