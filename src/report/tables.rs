//! The tables that every experiment has. Each is defined once: what people read of it and what its files hold are views of the same cells.
//!
//! In files, scores are shares, changes are in points or percent as their name says, and `_se` is the standard error over items and seeds
//! ([`crate::stats::crossed`]). What does not exist is null.

use super::protocol::Protocol;
use super::summary::{self, ArmChange, ArmSummary, ResultsSummary, TaskRow};
use crate::experiment::results::{DataSummary, Results, Run, ThresholdPoint};
use crate::metric;
use crate::perplexity::usual;
use crate::plot::palette::label;
use crate::stats::Estimate;
use crate::table::{Cell, Table};

/// An arm: files have its short name, people read what it is.
pub(crate) fn arm(name: &str) -> Cell {
    Cell::from(name).read(label(name))
}

/// What training changed, of an arm; nothing of base.
fn change(of: fn(&ArmChange) -> Option<Estimate>) -> impl Fn(&ArmSummary) -> Cell {
    move |row| Cell::change(row.change.as_ref().and_then(of))
}

/// All that is known of base and of each arm at its chosen rate.
pub fn arm_summaries(rows: &[ArmSummary]) -> Table {
    Table::default()
        .named("summary")
        .rows(rows)
        .file("arm", |row| arm(&row.arm))
        .file("learning_rate", |row| Cell::rate(row.learning_rate))
        .file("seeds", |row| row.seeds)
        .file("target", |row| Cell::share(row.target))
        .file("target_min", |row| row.target_spread.min)
        .file("target_max", |row| row.target_spread.max)
        .file("target_points", change(|of| Some(of.target_points)))
        .file("target_improvement_percent", change(|of| of.target_improvement))
        .file("non_target", |row| Cell::share(row.non_target))
        .file("non_target_min", |row| row.non_target_spread.map(|spread| spread.min))
        .file("non_target_max", |row| row.non_target_spread.map(|spread| spread.max))
        .file("non_target_points", change(|of| of.non_target_points))
        .file("skill_points", change(|of| of.skill_points))
        .file("form_points", change(|of| of.form_points))
        .file("backward_transfer_percent", change(|of| of.backward_transfer))
        .file("target_form_kept", |row| Cell::percent(row.target_form_kept))
        .file("non_target_form_kept", |row| Cell::percent(row.non_target_form_kept))
        .file("masked_share", |row| Cell::percent(row.masked_share))
        .file("perplexity_given_prompt", |row| {
            usual(row.perplexity_given_prompt, row.median_given_prompt)
        })
        .file("perplexity_of_text_alone", |row| {
            usual(row.perplexity_of_text_alone, row.median_of_text_alone)
        })
        .file("relative_weight_change", |row| row.relative_weight_change)
        .table()
}

/// Target against non-target, of arms that `protocol` compares.
pub fn main(summary: &ResultsSummary, protocol: Protocol) -> Table {
    let results = &summary.results;
    let title = format!(
        "Target ({}) against non-target ({}), {}",
        results.target,
        results.non_target.join(", "),
        protocol.words()
    );
    let columns = [
        ("arm", "arm"),
        ("seeds", "seeds"),
        ("target %", "target"),
        ("points", "target_points"),
        ("TI %", "target_improvement_percent"),
        ("non-target %", "non_target"),
        ("points", "non_target_points"),
        ("BWT %", "backward_transfer_percent"),
    ];
    let mut main = arm_summaries(&summary.arms).view(title, &columns).legend(
        "Scores in percent. points: change against base. TI, BWT: the paper's target improvement and backward transfer, changes relative to base, \
         in percent. ± one standard error over items and seeds, of changes paired with base on the same items.",
    );
    main = main.first(&["target %", "points", "non-target %", "seeds"]);
    main.note(protocol.reason());
    if let Some(seeds) = main.cell_mut(0, "seeds") {
        // base has none
        *seeds = Cell::NOTHING;
    }
    main
}

/// What was lost on the non-target tasks.
pub fn reasons(rows: &[ArmSummary], protocol: Protocol) -> Table {
    let columns = [
        ("arm", "arm"),
        ("rate", "learning_rate"),
        ("skill", "skill_points"),
        ("form", "form_points"),
        ("form %", "target_form_kept"),
        ("others %", "non_target_form_kept"),
        ("masked %", "masked_share"),
        ("ppl | prompt", "perplexity_given_prompt"),
        ("ppl alone", "perplexity_of_text_alone"),
    ];
    let title = format!(
        "What was lost on the non-target tasks, and what was trained on; {}",
        protocol.words()
    );
    arm_summaries(rows).view(title, &columns).legend(
        "skill + form = change in non-target points: skill is the change when a right answer counts in any form, form \
         is the rest. form %, others %: answers that keep the form they were asked for in, on the target and on the non-target \
         tasks. masked %: completion tokens not learned. ppl: perplexity of the training answers under base, mean over \
         examples; given the prompt (the paper's Table 1), or of the text alone (its selector and Figure 2).",
    )
}

/// Each arm's score on each task, with what stands above a task's column.
pub(crate) fn scores(rows: &[ArmSummary], title: &str, heading: impl Fn(&str) -> String) -> Table {
    let table = Table::new(title).legend("Percent ± one standard error over items and seeds.");
    let table = table.rows(rows).column("arm", |row| arm(&row.arm)).table();
    with_scores(table, rows, heading)
}

/// The same with a column for each task.
pub(crate) fn with_scores(
    table: Table,
    rows: &[ArmSummary],
    heading: impl Fn(&str) -> String,
) -> Table {
    let tasks = rows.first().map_or(&[][..], |base| &base.tasks);
    tasks.iter().enumerate().fold(table, |table, (at, task)| {
        let score = |row: &ArmSummary| Cell::share(row.tasks.get(at).map(|task| task.score));
        table.column(heading(&task.task), rows.iter().map(score))
    })
}

/// One row for each arm at its chosen rate and each task.
pub fn tasks(rows: &[ArmSummary]) -> Table {
    let all: Vec<(&str, &TaskRow)> =
        rows.iter().flat_map(|row| row.tasks.iter().map(|task| (&*row.arm, task))).collect();
    Table::default()
        .named("tasks")
        .rows(&all)
        .file("arm", |(name, _)| arm(name))
        .file("task", |(_, task)| &task.task)
        .file("score", |(_, task)| Cell::share(task.score))
        .file("skill", |(_, task)| Cell::share(task.skill))
        .file("points", |(_, task)| Cell::change(task.points))
        .file("form_kept", |(_, task)| Cell::percent(task.form_kept))
        .table()
}

/// How each arm's training data was made.
pub fn data(all: &[DataSummary]) -> Table {
    Table::new("How each arm's training data was made")
        .named("data")
        .legend("accepted: share of the sampled answers that were right. >2.5: completion tokens with a perplexity above 2.5.")
        .rows(all)
        .keyed("arm", "arm", |data| arm(&data.arm))
        .keyed("items", "asked", |data| data.asked)
        .keyed("kept", "kept", |data| data.kept)
        .keyed("sampled", "sampled", |data| data.sampled)
        .keyed("accepted %", "accepted", |data| Cell::percent(data.accepted))
        .keyed("ppl | prompt", "perplexity_given_prompt", |data| usual(data.perplexity_given_prompt, data.spread().map(|spread| spread.median)))
        .keyed("ppl alone", "perplexity_of_text_alone", |data| usual(data.perplexity_of_text_alone, data.median_of_text_alone))
        .keyed(">2.5 %", "share_above_2_5", |data| Cell::percent(data.share_above_2_5))
        .file("seconds", |data| data.seconds)
        .table()
}

/// What each threshold masks in the ground truth.
pub fn thresholds(points: &[ThresholdPoint]) -> Table {
    Table::new("What a threshold masks in the ground truth")
        .named("thresholds")
        .legend(
            "masked: of the completion tokens. surprisal: share of its sum that the masked tokens carry. precision: of the masked tokens, those in the writer's \
             own style. recall: of the style tokens, those masked.",
        )
        .rows(points)
        .keyed("threshold", "threshold", |point| Cell::from(point.threshold).read(point.threshold.to_string()))
        .keyed("masked %", "masked", |point| Cell::percent(point.masked))
        .keyed("surprisal %", "surprisal_masked", |point| Cell::percent(point.surprisal_masked))
        .keyed("precision %", "precision", |point| Cell::percent(point.precision))
        .keyed("recall %", "recall", |point| Cell::percent(point.recall))
        .table()
}

/// Every arm, rate and seed.
pub fn front(results: &Results) -> Table {
    let points: Vec<(&Run, FrontPoint)> =
        results.runs.iter().map(|run| (run, front_point(results, run))).collect();
    Table::new("Every arm, rate and seed")
        .named("front")
        .legend("validation: target score on the validation split. points: change against base.")
        .rows(&points)
        .keyed("arm", "arm", |(run, _)| arm(&run.arm))
        .keyed("rate", "learning_rate", |(run, _)| Cell::rate(run.learning_rate))
        .keyed("seed", "seed", |(run, _)| run.seed)
        .keyed("chosen", "chosen", |(run, _)| Cell::yes(run.chosen))
        .file("threshold", |(run, _)| run.threshold)
        .keyed("validation %", "validation", |(run, _)| Cell::percent(run.validation))
        .keyed("target %", "target", |(_, point)| Cell::percent(point.target))
        .keyed("non-target %", "non_target", |(_, point)| Cell::percent(point.non_target))
        .keyed("target points", "target_points", |(_, point)| Cell::points(point.target_points))
        .keyed("non-target points", "non_target_points", |(_, point)| {
            Cell::points(point.non_target_points)
        })
        .file("target_improvement_percent", |(_, point)| point.target_improvement)
        .file("backward_transfer_percent", |(_, point)| point.backward_transfer)
        .file("masked_share", |(run, _)| {
            metric::masked_share(run.completion_tokens, run.learned_tokens)
        })
        .file("items", |(run, _)| run.items)
        .file("steps", |(run, _)| run.losses.len())
        .file("last_loss", |(run, _)| run.losses.last().copied())
        .file("relative_weight_change", |(run, _)| run.relative_weight_change)
        .file("train_seconds", |(run, _)| run.train_seconds)
        .file("run", |(run, _)| &run.run)
        .table()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Report, sample};
    use crate::table::WIDTH;

    #[test]
    fn the_printed_tables_fit_the_terminal_and_name_every_arm() {
        let results = sample::results();
        let text = Report::of(results.clone()).unwrap().text();
        println!("{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        for arm in summary::arms(&results).into_iter().chain(["base"]) {
            assert!(text.matches(&label(arm)).count() >= 3, "{arm} is missing in\n{text}");
        }
        assert!(!text.contains("NaN") && !text.contains('…'), "{text}");
    }

    #[test]
    fn what_does_not_exist_is_null() {
        let frame = arm_summaries(&summary::rows(&sample::results()).unwrap()).frame().unwrap();
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
        let front = front(&results);
        assert_eq!(front.height(), results.runs.len());
        let target = front.cells("target").unwrap();
        assert!(target[0].is_nothing() && !target[1].is_nothing());
    }

    #[test]
    fn results_that_do_not_fit_say_so() {
        let mut results = sample::results();
        results.runs.iter_mut().for_each(|run| run.test.truncate(1));
        let error = Report::of(results).err().unwrap().to_string();
        assert!(error.starts_with("results: "), "{error}");
    }
}
