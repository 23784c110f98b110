//! The experiment as tables: polars frames for work, text for a terminal.
//!
//! In a frame, scores are shares, changes are in points or percent as their name says, and `_se` is the standard error over items and seeds
//! ([`crate::stats::crossed`]). What does not exist is null.

use super::forgetting;
use super::grid::{Grid, NOTHING, minus};
use super::summary::{self, Row};
use crate::error::{Error, Result};
use crate::experiment::results::{Results, Run, ThresholdPoint};
use crate::metric;
use crate::plot::palette::label;
use crate::stats::Estimate;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};

/// Width of a terminal that the printed tables fit in.
pub const WIDTH: usize = 120;

/// Every table of the experiment for a terminal, at most [`WIDTH`] columns wide.
///
/// Results that cannot be tabulated, such as scores of other items than base's, give the sentence that says so; [`super::write()`]
/// refuses them with the same sentence.
pub fn print(results: &Results) -> String {
    match grids(results) {
        Ok(grids) => {
            let texts: Vec<String> = grids.iter().map(|grid| grid.text(WIDTH)).collect();
            texts.join("\n")
        }
        Err(error) => format!("no table: {error}\n"),
    }
}

/// The tables that [`print()`] prints, in its order; tables without rows are left out.
pub fn grids(results: &Results) -> Result<Vec<Grid>> {
    let rows = summary::rows(results)?;
    let mut all = vec![main_grid(results, &rows)];
    all.extend(forgetting::grids(results, &forgetting::rows(results)?));
    all.extend([
        reasons_grid(&rows),
        tasks_grid(&rows),
        data_grid(results),
        threshold_grid(results),
        super::probes::grid(&super::probes::Watched::of(results)),
    ]);
    Ok(all.into_iter().filter(|grid| !grid.rows.is_empty()).collect())
}

fn main_grid(results: &Results, rows: &[Row]) -> Grid {
    let cells = |row: &Row| -> Vec<String> {
        let change = row.change.as_ref();
        vec![
            label(&row.arm),
            if row.seeds == 0 { NOTHING.to_owned() } else { row.seeds.to_string() },
            share(Some(row.target)),
            signed(change.map(|change| change.target_points)),
            signed(change.and_then(|change| change.target_improvement)),
            share(row.non_target),
            signed(change.and_then(|change| change.non_target_points)),
            signed(change.and_then(|change| change.backward_transfer)),
        ]
    };
    Grid {
        title: format!("Target ({}) against non-target ({}), each arm at its chosen rate", results.target, results.non_target.join(", ")),
        legend: "Scores in percent. points: change against base. TI, BWT: the paper's target improvement and backward transfer, changes relative to base, \
                 in percent. ± one standard error over items and seeds, of changes paired with base on the same items."
            .to_owned(),
        columns: words(&["arm", "seeds", "target %", "points", "TI %", "non-target %", "points", "BWT %"]),
        rows: rows.iter().map(cells).collect(),
    }
}

fn reasons_grid(rows: &[Row]) -> Grid {
    let cells = |row: &Row| -> Vec<String> {
        let change = row.change.as_ref();
        vec![
            label(&row.arm),
            row.learning_rate.map_or(NOTHING.to_owned(), rate),
            signed(change.and_then(|change| change.skill_points)),
            signed(change.and_then(|change| change.form_points)),
            percent(Some(row.target_form_kept)),
            percent(row.non_target_form_kept),
            percent(row.masked_share),
            row.perplexity_given_prompt.map_or(NOTHING.to_owned(), |ppl| format!("{ppl:.2}")),
            row.perplexity_of_text_alone.map_or(NOTHING.to_owned(), |ppl| format!("{ppl:.2}")),
        ]
    };
    Grid {
        title: "What was lost on the non-target tasks, and what was trained on".to_owned(),
        legend: "skill + form = change in non-target points: skill is the change when a right answer counts in any form, form \
                 is the rest. form %, others %: answers that keep the form they were asked for in, on the target and on the non-target \
                 tasks. masked %: completion tokens not learned. ppl: perplexity of the training answers under base, mean over \
                 examples; given the prompt (the paper's Table 1), or of the text alone (its selector and Figure 2)."
            .to_owned(),
        columns: words(&["arm", "rate", "skill", "form", "form %", "others %", "masked %", "ppl | prompt", "ppl alone"]),
        rows: rows.iter().map(cells).collect(),
    }
}

fn tasks_grid(rows: &[Row]) -> Grid {
    let mut columns = words(&["arm"]);
    if let Some(base) = rows.first() {
        columns.extend(base.tasks.iter().map(|task| task.task.clone()));
    }
    let cells = |row: &Row| -> Vec<String> {
        let scores = row.tasks.iter().map(|task| share(Some(task.score)));
        std::iter::once(label(&row.arm)).chain(scores).collect()
    };
    Grid {
        title: "Score on each task, the target first".to_owned(),
        legend: "Percent ± one standard error over items and seeds.".to_owned(),
        columns,
        rows: rows.iter().map(cells).collect(),
    }
}

fn data_grid(results: &Results) -> Grid {
    let rows = results.data.iter().map(|data| {
        vec![
            label(&data.arm),
            data.asked.to_string(),
            data.kept.to_string(),
            data.sampled.to_string(),
            percent(data.accepted),
            format!("{:.2}", data.perplexity_given_prompt),
            format!("{:.2}", data.perplexity_of_text_alone),
            percent(Some(data.share_above_2_5)),
        ]
    });
    Grid {
        title: "How each arm's training data was made".to_owned(),
        legend: "accepted: share of the sampled answers that were right. >2.5: completion tokens with a perplexity above 2.5."
            .to_owned(),
        columns: words(&["arm", "items", "kept", "sampled", "accepted %", "ppl | prompt", "ppl alone", ">2.5 %"]),
        rows: rows.collect(),
    }
}

fn threshold_grid(results: &Results) -> Grid {
    let rows = results.thresholds.iter().map(|point| {
        vec![
            point.threshold.to_string(),
            percent(Some(point.masked)),
            percent(Some(point.surprisal_masked)),
            percent(point.precision),
            percent(point.recall),
        ]
    });
    Grid {
        title: "What a threshold masks in the ground truth".to_owned(),
        legend: "masked: of the completion tokens. surprisal: share of its sum that the masked tokens carry. precision: of the masked tokens, those in the writer's \
                 own style. recall: of the style tokens, those masked."
            .to_owned(),
        columns: words(&["threshold", "masked %", "surprisal %", "precision %", "recall %"]),
        rows: rows.collect(),
    }
}

/// The front for reading: every arm and rate with its seeds.
pub fn front_grid(results: &Results) -> Grid {
    let rows = results.runs.iter().map(|run| {
        let points = front_point(results, run);
        vec![
            label(&run.arm),
            rate(run.learning_rate),
            run.seed.to_string(),
            if run.chosen { "yes" } else { "" }.to_owned(),
            percent(Some(run.validation)),
            percent(points.target),
            percent(points.non_target),
            points.target_points.map_or(NOTHING.to_owned(), plus),
            points.non_target_points.map_or(NOTHING.to_owned(), plus),
        ]
    });
    Grid {
        title: "Every arm, rate and seed".to_owned(),
        legend: "validation: target score on the validation split. points: change against base."
            .to_owned(),
        columns: words(&[
            "arm",
            "rate",
            "seed",
            "chosen",
            "validation %",
            "target %",
            "non-target %",
            "target points",
            "non-target points",
        ]),
        rows: rows.collect(),
    }
}

/// The main table: base, then one row for each arm at its chosen rate.
pub fn summary_frame(results: &Results) -> Result<DataFrame> {
    let rows = summary::rows(results)?;
    let mut columns = vec![
        text("arm", rows.iter().map(|row| row.arm.clone())),
        numbers("learning_rate", rows.iter().map(|row| row.learning_rate)),
        counts("seeds", rows.iter().map(|row| row.seeds)),
    ];
    columns.extend(estimate("target", &rows, |row| Some(row.target)));
    columns.push(numbers("target_min", rows.iter().map(|row| Some(row.target_spread.min))));
    columns.push(numbers("target_max", rows.iter().map(|row| Some(row.target_spread.max))));
    columns
        .extend(estimate("target_points", &rows, |row| Some(row.change.as_ref()?.target_points)));
    columns.extend(estimate("target_improvement_percent", &rows, |row| {
        row.change.as_ref()?.target_improvement
    }));
    columns.extend(estimate("non_target", &rows, |row| row.non_target));
    columns
        .push(numbers("non_target_min", rows.iter().map(|row| Some(row.non_target_spread?.min))));
    columns
        .push(numbers("non_target_max", rows.iter().map(|row| Some(row.non_target_spread?.max))));
    columns
        .extend(estimate("non_target_points", &rows, |row| row.change.as_ref()?.non_target_points));
    columns.extend(estimate("skill_points", &rows, |row| row.change.as_ref()?.skill_points));
    columns.extend(estimate("form_points", &rows, |row| row.change.as_ref()?.form_points));
    columns.extend(estimate("backward_transfer_percent", &rows, |row| {
        row.change.as_ref()?.backward_transfer
    }));
    type Value = fn(&Row) -> Option<f64>;
    let plain: [(&str, Value); 6] = [
        ("target_form_kept", |row| Some(row.target_form_kept)),
        ("non_target_form_kept", |row| row.non_target_form_kept),
        ("masked_share", |row| row.masked_share),
        ("perplexity_given_prompt", |row| row.perplexity_given_prompt),
        ("perplexity_of_text_alone", |row| row.perplexity_of_text_alone),
        ("relative_weight_change", |row| row.relative_weight_change),
    ];
    columns.extend(plain.iter().map(|(name, value)| numbers(name, rows.iter().map(value))));
    frame(columns)
}

/// One row for each arm at its chosen rate and each task.
pub fn tasks_frame(results: &Results) -> Result<DataFrame> {
    let rows = summary::rows(results)?;
    let all: Vec<_> =
        rows.iter().flat_map(|row| row.tasks.iter().map(|task| (row.arm.clone(), task))).collect();
    let se = |estimate: Option<Estimate>| estimate.and_then(|estimate| estimate.se);
    frame(vec![
        text("arm", all.iter().map(|(arm, _)| arm.clone())),
        text("task", all.iter().map(|(_, task)| task.task.clone())),
        numbers("score", all.iter().map(|(_, task)| Some(task.score.value))),
        numbers("score_se", all.iter().map(|(_, task)| task.score.se)),
        numbers("skill", all.iter().map(|(_, task)| Some(task.skill.value))),
        numbers("skill_se", all.iter().map(|(_, task)| task.skill.se)),
        numbers("points", all.iter().map(|(_, task)| Some(task.points?.value))),
        numbers("points_se", all.iter().map(|(_, task)| se(task.points))),
        numbers("form_kept", all.iter().map(|(_, task)| Some(task.form_kept))),
    ])
}

/// Every arm, rate and seed.
pub fn front_frame(results: &Results) -> Result<DataFrame> {
    let runs = &results.runs;
    let points: Vec<FrontPoint> = runs.iter().map(|run| front_point(results, run)).collect();
    let value = |value: fn(&Run) -> Option<f64>| runs.iter().map(value);
    let point = |value: fn(&FrontPoint) -> Option<f64>| points.iter().map(value);
    frame(vec![
        text("arm", runs.iter().map(|run| run.arm.clone())),
        numbers("learning_rate", value(|run| Some(run.learning_rate))),
        Column::new("seed".into(), runs.iter().map(|run| run.seed).collect::<Vec<u64>>()),
        Column::new("chosen".into(), runs.iter().map(|run| run.chosen).collect::<Vec<_>>()),
        numbers("threshold", value(|run| run.threshold)),
        numbers("validation", value(|run| Some(run.validation))),
        numbers("target", point(|point| point.target)),
        numbers("non_target", point(|point| point.non_target)),
        numbers("target_points", point(|point| point.target_points)),
        numbers("non_target_points", point(|point| point.non_target_points)),
        numbers("target_improvement_percent", point(|point| point.target_improvement)),
        numbers("backward_transfer_percent", point(|point| point.backward_transfer)),
        numbers(
            "masked_share",
            value(|run| metric::masked_share(run.completion_tokens, run.learned_tokens)),
        ),
        counts("items", runs.iter().map(|run| run.items)),
        counts("steps", runs.iter().map(|run| run.losses.len())),
        numbers("last_loss", value(|run| run.losses.last().copied())),
        numbers("relative_weight_change", value(|run| Some(run.relative_weight_change))),
        numbers("train_seconds", value(|run| Some(run.train_seconds))),
        text("run", runs.iter().map(|run| run.run.clone())),
    ])
}

/// How each arm's training data was made.
pub fn data_frame(results: &Results) -> Result<DataFrame> {
    let data = &results.data;
    frame(vec![
        text("arm", data.iter().map(|data| data.arm.clone())),
        counts("asked", data.iter().map(|data| data.asked)),
        counts("kept", data.iter().map(|data| data.kept)),
        counts("sampled", data.iter().map(|data| data.sampled)),
        numbers("accepted", data.iter().map(|data| data.accepted)),
        numbers(
            "perplexity_given_prompt",
            data.iter().map(|data| Some(data.perplexity_given_prompt)),
        ),
        numbers(
            "perplexity_of_text_alone",
            data.iter().map(|data| Some(data.perplexity_of_text_alone)),
        ),
        numbers("share_above_2_5", data.iter().map(|data| Some(data.share_above_2_5))),
        numbers("seconds", data.iter().map(|data| Some(data.seconds))),
    ])
}

/// What each threshold masks in the ground truth.
pub fn threshold_frame(results: &Results) -> Result<DataFrame> {
    of_thresholds(&results.thresholds)
}

/// The columns of [`threshold_frame`].
pub(super) fn of_thresholds(points: &[ThresholdPoint]) -> Result<DataFrame> {
    frame(vec![
        numbers("threshold", points.iter().map(|point| Some(point.threshold))),
        numbers("masked", points.iter().map(|point| Some(point.masked))),
        numbers("surprisal_masked", points.iter().map(|point| Some(point.surprisal_masked))),
        numbers("precision", points.iter().map(|point| point.precision)),
        numbers("recall", points.iter().map(|point| point.recall)),
    ])
}

/// One run's place on the front.
pub(crate) struct FrontPoint {
    pub target: Option<f64>,
    pub non_target: Option<f64>,
    pub target_points: Option<f64>,
    pub non_target_points: Option<f64>,
    pub target_improvement: Option<f64>,
    pub backward_transfer: Option<f64>,
}

pub(crate) fn front_point(results: &Results, run: &Run) -> FrontPoint {
    let target = run.test.first().and_then(summary::score);
    let base = results.base.first().and_then(summary::score);
    let pairs = summary::non_target_pairs(results, run);
    FrontPoint {
        target,
        non_target: summary::non_target_score(&run.test),
        target_points: base.zip(target).map(|(base, tuned)| metric::points(base, tuned)),
        non_target_points: metric::backward_transfer_points(&pairs),
        target_improvement: base
            .zip(target)
            .and_then(|(base, tuned)| metric::target_improvement(base, tuned)),
        backward_transfer: metric::backward_transfer(&pairs),
    }
}

/// Builds a frame; the columns of one table are equally long.
pub(crate) fn frame(columns: Vec<Column>) -> Result<DataFrame> {
    DataFrame::new_infer_height(columns).map_err(Error::library("making a table"))
}

pub(crate) fn numbers(name: &str, values: impl Iterator<Item = Option<f64>>) -> Column {
    Series::new(name.into(), values.collect::<Vec<Option<f64>>>()).into()
}

pub(crate) fn counts(name: &str, values: impl Iterator<Item = usize>) -> Column {
    Series::new(name.into(), values.map(|count| count as i64).collect::<Vec<i64>>()).into()
}

pub(crate) fn text(name: &str, values: impl Iterator<Item = String>) -> Column {
    Series::new(name.into(), values.collect::<Vec<String>>()).into()
}

/// A column of values and one of their standard errors.
fn estimate(name: &str, rows: &[Row], value: fn(&Row) -> Option<Estimate>) -> [Column; 2] {
    [
        numbers(name, rows.iter().map(|row| Some(value(row)?.value))),
        numbers(&format!("{name}_se"), rows.iter().map(|row| value(row)?.se)),
    ]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `63.2 ± 1.2`: a share, in percent.
pub(crate) fn share(estimate: Option<Estimate>) -> String {
    with_error(estimate.map(|estimate| estimate.times(100.0)), |value| {
        minus(&format!("{value:.1}"))
    })
}

/// `−12.3 ± 1.2`: a change, with its sign.
pub(crate) fn signed(estimate: Option<Estimate>) -> String {
    with_error(estimate, plus)
}

fn with_error(estimate: Option<Estimate>, show: impl Fn(f64) -> String) -> String {
    match estimate {
        None => NOTHING.to_owned(),
        Some(Estimate { value, se: None }) => show(value),
        Some(Estimate { value, se: Some(se) }) => format!("{} ± {se:.1}", show(value)),
    }
}

/// With a sign, one decimal.
pub fn plus(value: f64) -> String {
    let text = format!("{value:+.1}");
    if text == "-0.0" || text == "+0.0" { "0.0".to_owned() } else { minus(&text) }
}

/// A share in percent, one decimal.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or(NOTHING.to_owned(), |share| minus(&format!("{:.1}", 100.0 * share)))
}

/// A learning rate as people write it: `3e-4`.
pub(crate) fn rate(rate: f64) -> String {
    format!("{rate:e}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_printed_tables_fit_the_terminal_and_name_every_arm() {
        let results = sample::results();
        let text = print(&results);
        println!("{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        for arm in summary::arms(&results).into_iter().chain(["base"]) {
            assert!(text.matches(&label(arm)).count() >= 3, "{arm} is missing in\n{text}");
        }
        assert!(!text.contains("NaN") && !text.contains('…'), "{text}");
    }

    #[test]
    fn what_does_not_exist_is_null() {
        let frame = summary_frame(&sample::results()).unwrap();
        let at =
            |column: &str, row: usize| frame.column(column).unwrap().get(row).unwrap().is_null();
        assert!(at("target_points", 0) && at("learning_rate", 0));
        assert!(!at("target_points", 1) && !at("target_points_se", 1));
    }

    #[test]
    fn every_run_is_on_the_front_even_if_it_was_not_tested() {
        let mut results = sample::results();
        results.runs[0].test.clear();
        results.runs[0].chosen = false;
        let frame = front_frame(&results).unwrap();
        assert_eq!(frame.height(), results.runs.len());
        assert!(frame.column("target").unwrap().get(0).unwrap().is_null());
        assert!(!frame.column("target").unwrap().get(1).unwrap().is_null());
    }

    #[test]
    fn results_that_do_not_fit_say_so_instead_of_printing() {
        let mut results = sample::results();
        results.runs.iter_mut().for_each(|run| run.test.truncate(1));
        assert!(print(&results).starts_with("no table: results: "));
    }

    #[test]
    fn a_change_that_rounds_to_nothing_has_no_sign() {
        let check = |value: f64, expected: &str| assert_eq!(plus(value), expected);
        check(-0.04, "0.0");
        check(0.04, "0.0");
        check(-1.0, "−1.0");
        check(2.0, "+2.0");
    }
}
