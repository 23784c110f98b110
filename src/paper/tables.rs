//! The paper's tables, and two of ours.

use super::outcome::{
    self, ArmAtRate, arms_and_rates, beside, cost, every_rate, is_base, names, over_seeds, scores,
};
use super::printed::{self, Printed, benchmark};
use super::{Desk, Shown};
use crate::error::Result;
use crate::experiment::results::{DataSummary, Results, Run};
use crate::perplexity::{Quantiles, usual};
use crate::plot::palette::label;
use crate::report::summary;
use crate::report::summary::ArmSummary;
use crate::report::tables::{arm, thresholds as thresholds_table};
use crate::stats;
use crate::table::{Cell, Table};
use crate::weight_change::{self, THRESHOLD, effective_rank, entropy_rank};

/// The two targets.
const TARGETS: [&str; 2] = ["code", "algebra"];

/// Table 1.
pub(super) fn perplexity(desk: &Desk) -> Result<Shown> {
    let of_target = |target| {
        let data = desk.experiment("table-1", Some(target))?.data();
        let arms: Vec<&str> = data.iter().map(|data| data.arm.as_str()).collect();
        let title = format!(
            "Perplexity of the answers of {target} (the paper's {}) under base",
            benchmark(target)
        );
        let table = Table::new(title)
            .named(format!("perplexity-{target}"))
            .legend(
                "perplexity: mean over examples of exp(mean surprisal of the answer given its prompt, end of turn included); variance: population variance of the \
                 same. alone: of the bare text, without prompt and template, which the paper's selector and Figure 2 use. >2.5: tokens above.",
            )
            .rows(&data)
            .column("answers", |data| arm(&data.arm))
            .column("items", |data| data.kept)
            .column("perplexity", |data| usual(data.perplexity_given_prompt, median(data)))
            .column("variance", |data| {
                let typical = data.spread().is_none_or(|spread| spread.mean_is_typical());
                Cell::number(typical.then_some(data.perplexity_variance), 2)
            })
            .column("alone", |data| usual(data.perplexity_of_text_alone, data.median_of_text_alone))
            .column(">2.5 %", |data| Cell::percent(data.share_above_2_5))
            .table();
        let table = with_quantiles(table, &data);
        beside(table, "table-1", benchmark(target), &arms, &["perplexity", "variance"])
    };
    let tables = TARGETS.into_iter().map(of_target).collect::<Result<_>>()?;
    Ok(Shown { tables, figures: Vec::new() })
}

fn median(data: &DataSummary) -> Option<f64> {
    data.spread().map(|spread| spread.median)
}

/// The same with quantiles, where a few examples make some mean.
fn with_quantiles(mut table: Table, data: &[DataSummary]) -> Table {
    let spreads: Vec<Option<Quantiles>> = data.iter().map(DataSummary::spread).collect();
    if spreads.iter().flatten().all(Quantiles::mean_is_typical) {
        return table;
    }
    for (name, of) in [("5 %", (|of| of.q05) as fn(Quantiles) -> f64), ("95 %", |of| of.q95)] {
        table = table.column(name, spreads.iter().map(|spread| spread.map(of)));
    }
    table.note(&format!(
        "median: where the mean is more than {} medians, a few answers make it, and neither it nor the variance says what is usual. 5 %, 95 %: quantiles over the answers.",
        Quantiles::TYPICAL
    ));
    table
}

/// Table 2.
pub(super) fn main(desk: &Desk) -> Result<Shown> {
    let mut shown = Shown::default();
    for target in TARGETS {
        shown.tables.extend(outcome::shown(desk, "table-2", Some(target), "table-2")?.tables);
    }
    Ok(shown)
}

/// Table 3.
pub(super) fn masks(desk: &Desk) -> Result<Shown> {
    let mut shown = outcome::shown(desk, "table-3", None, "table-3")?;
    shown.tables.push(threshold_curve(&*desk.results("table-3", None)?));
    shown.tables[0].note(
        "The paper's last row, scores of a larger model of the same family, has no counterpart: there is one lab model.",
    );
    Ok(shown)
}

/// What each threshold masks, and whether it hits the annotators' style.
fn threshold_curve(results: &Results) -> Table {
    let mut table = thresholds_table(&results.thresholds).as_read().legend(
        "surprisal: share of its sum that the masked tokens carry. precision: of the masked tokens, those in the writer's own style. recall: of the style tokens, \
         those masked.",
    );
    table.title = "What each threshold masks in the ground truth".to_owned();
    table
}

/// Table 4.
pub(super) fn techniques(desk: &Desk) -> Result<Shown> {
    outcome::shown(desk, "table-4", None, "table-4")
}

/// Table 16: the same runs beside what the paper prints of its other model.
pub(super) fn techniques_again(desk: &Desk) -> Result<Shown> {
    outcome::shown(desk, "table-4", None, "table-16")
}

/// Table 5.
pub(super) fn rates(desk: &Desk) -> Result<Shown> {
    let results = desk.results("table-5", None)?;
    let every_rate = every_rate(&results, "Every rate, every seed");
    Ok(Shown { tables: vec![every_rate, printed_rates()?, cost(&results)], figures: Vec::new() })
}

/// The paper's Table 5 as printed: its rates are those of models a thousand times larger, so the two do not share rows.
fn printed_rates() -> Result<Table> {
    let printed = printed::of("table-5", "MBPP")?;
    let mut keys: Vec<(&str, &str, &str)> = Vec::new();
    for row in &printed {
        let Some((_, rate)) = row.quantity.split_once(" at ") else {
            continue;
        };
        let key = (row.model.as_str(), row.arm.as_str(), rate);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let value = |(model, arm, rate): &(&str, &str, &str), what: &str| {
        let quantity = format!("{what} at {rate}");
        let row = printed
            .iter()
            .find(|row| row.model == *model && row.arm == *arm && row.quantity == quantity);
        Cell::number(row.map(|row| row.value), 2)
    };
    Ok(Table::new("What the paper prints")
        .named("printed")
        .rows(&keys)
        .column("model", |key| key.0)
        .column("arm", |key| label(key.1))
        .column("rate", |key| key.2)
        .column("TI %", |key| value(key, "TI"))
        .column("BWT %", |key| value(key, "BWT"))
        .table())
}

/// Table 7.
pub(super) fn norms(desk: &Desk) -> Result<Shown> {
    let results = desk.results("table-7", None)?;
    let points = arms_and_rates(&results);
    let mean = |(.., runs): &ArmAtRate, value: &dyn Fn(&Run) -> Option<f64>| {
        over_seeds(runs, value).map(|estimate| estimate.value)
    };
    let norm = |run: &Run| (!run.layers.is_empty()).then(|| weight_change::total_norm(&run.layers));
    let rank = |point: &ArmAtRate, value: &dyn Fn(&[f64]) -> Option<f64>| {
        let of_run = |run: &Run| {
            let values = run.layers.iter().filter_map(|layer| layer.singular_values.as_deref());
            stats::mean(&values.filter_map(value).collect::<Vec<_>>())
        };
        Cell::number(mean(point, &of_run), 1)
    };
    let above = |values: &[f64], threshold: f64| Some(effective_rank(values, threshold) as f64);
    let table = Table::new("How far the weights moved, and in how many directions")
        .named("norms")
        .legend(format!(
            "‖Δ‖: Frobenius norm of scale · B A over all adapted layers together (root of the sum of squares), mean over seeds; se over seeds. relative: to the norm \
             of the weights. ranks: mean over layers and seeds of the number of singular values above {THRESHOLD}, above a tenth of the largest, and of exp(entropy) of \
             the singular values' shares."
        ))
        .rows(&points)
        .column("arm", |(arm, ..)| label(arm))
        .column("rate", |(_, rate, _)| Cell::rate(*rate))
        .column("chosen", |(.., runs)| Cell::yes(runs[0].chosen))
        .column("seeds", |(.., runs)| runs.len())
        .column("‖Δ‖", |point| Cell::number(mean(point, &norm), 3))
        .column("se", |(.., runs)| Cell::number(over_seeds(runs, norm).and_then(|norm| norm.se), 3))
        .column("relative %", |point| {
            Cell::number(mean(point, &|run| Some(100.0 * run.relative_weight_change)), 2)
        })
        .column(format!("rank > {THRESHOLD}"), |point| rank(point, &|values| above(values, THRESHOLD)))
        .column("rank > max/10", |point| {
            rank(point, &|values| above(values, values.first()? / 10.0))
        })
        .column("entropy rank", |point| rank(point, &entropy_rank))
        .table();
    let arms: Vec<&str> = points.iter().map(|(arm, ..)| *arm).collect();
    let table = beside(table, "table-7", benchmark(&results.target), &arms, &["norm"])?;
    Ok(Shown { tables: vec![table, cost(&results)], figures: Vec::new() })
}

/// Table 8.
pub(super) fn regularisation(desk: &Desk) -> Result<Shown> {
    let summary = desk.summary("table-8", None)?;
    let (results, rows) = (&summary.results, &summary.arms);
    let norm = |row: &ArmSummary| {
        let runs = summary::tested(results).filter(|run| run.arm == row.arm && run.chosen);
        let norm = |run: &Run| Some(weight_change::total_norm(&run.layers));
        Cell::number(over_seeds(&runs.collect::<Vec<_>>(), norm).map(|norm| norm.value), 3)
    };
    let table = outcome::outcome(&summary, "table-8")?.column("‖Δ‖", rows.iter().map(norm));
    let table = beside(table, "table-8", benchmark(&results.target), &names(rows), &["norm"])?;
    Ok(Shown { tables: vec![table, cost(results)], figures: Vec::new() })
}

/// Table 9: the lab's task of following instructions, at every rate.
pub(super) fn instructions(desk: &Desk) -> Result<Shown> {
    const TASK: &str = "follow";
    let results = desk.results("table-5", None)?;
    let points = arms_and_rates(&results);
    let score = |tasks: &[crate::experiment::results::TaskScore]| {
        tasks.iter().find(|task| task.task == TASK).and_then(summary::score)
    };
    // base is the first row
    let rows: Vec<Option<&ArmAtRate>> =
        std::iter::once(None).chain(points.iter().map(Some)).collect();
    let table = Table::new("Instructions followed, strictly")
        .named("instructions")
        .legend(format!(
            "Share of the prompts of {TASK} (the shape of IFEval) whose every instruction is followed, in percent; mean over seeds ± its standard error over seeds."
        ))
        .rows(&rows)
        .column("arm", |row| label(row.map_or("base", |(arm, ..)| arm)))
        .column("rate", |row| Cell::rate(row.map(|(_, rate, _)| *rate)))
        .column("followed %", |row| match row {
            None => Cell::percent(score(&results.base)),
            Some((.., runs)) => Cell::share(over_seeds(runs, |run| score(&run.test))),
        })
        .table();
    let rows = printed::of("table-9", "MBPP")?;
    let paper = Table::new("What the paper prints")
        .named("printed")
        .rows(&rows)
        .column("arm", |row| format!("{}, {}", row.model, label(&row.arm)))
        .column("rate", |row| row.quantity.split_once(" at ").map(|(_, rate)| rate))
        .column("followed %", |row| Cell::number(row.value, 2))
        .table();
    Ok(Shown { tables: vec![table, paper], figures: Vec::new() })
}

/// Table 11.
pub(super) fn higher_threshold(desk: &Desk) -> Result<Shown> {
    outcome::shown(desk, "table-11", None, "table-11")
}

/// Table 12.
pub(super) fn accuracies(desk: &Desk) -> Result<Shown> {
    let mut shown = Shown::default();
    for target in TARGETS {
        let summary = desk.summary("table-2", Some(target))?;
        let title = format!("Score on each task after training on {target}");
        shown.tables.push(scores(&summary.arms, &format!("scores-{target}"), &title));
        shown.tables.push(printed_scores("table-12", benchmark(target))?);
    }
    Ok(shown)
}

/// The paper's accuracies for one target.
fn printed_scores(exhibit: &str, target: &str) -> Result<Table> {
    const TASKS: [&str; 5] = ["MBPP", "MATH", "GSM8K", "ARC", "BIRD"];
    let rows = printed::of(exhibit, target)?;
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for row in &rows {
        let key = (row.model.as_str(), row.arm.as_str());
        if TASKS.contains(&row.quantity.as_str()) && !keys.contains(&key) {
            keys.push(key);
        }
    }
    let table = Table::new(format!("What the paper prints for {target}"))
        .named(format!("printed-{}", target.to_lowercase()))
        .rows(&keys)
        .column("model", |key| key.0)
        .column("arm", |key| label(key.1));
    let found = |key: &(&str, &str), task: &str| {
        let of_key = |row: &&Printed| (row.model.as_str(), row.arm.as_str()) == *key;
        let row = rows.iter().filter(of_key).find(|row| row.quantity == task);
        Cell::number(row.map(|row| row.value), 2)
    };
    let mut table = TASKS
        .into_iter()
        .fold(table, |table, task| table.column(task, |key| found(key, task)))
        .table();
    for row in rows.iter().filter(|row| !row.note.is_empty()) {
        table.note(&format!("{}, {}, {}: {}.", row.model, label(&row.arm), row.quantity, row.note));
    }
    Ok(table)
}

/// Table 13.
pub(super) fn thresholds(desk: &Desk) -> Result<Shown> {
    of_thresholds(desk, "table-13", "table-13")
}

/// Each arm's scores on every task, beside the paper's on the target.
fn of_thresholds(desk: &Desk, recipe: &str, exhibit: &str) -> Result<Shown> {
    let summary = desk.summary(recipe, None)?;
    let (results, rows) = (&summary.results, &summary.arms);
    let title = format!("Thresholds, target {}", results.target);
    let masked = rows.iter().map(|row| Cell::percent(row.masked_share));
    let table = scores(rows, "scores", &title).column("masked %", masked);
    let target = benchmark(&results.target);
    Ok(Shown {
        tables: vec![
            beside(table, exhibit, target, &names(rows), &["masked", target])?,
            outcome::outcome(&summary, exhibit)?,
            threshold_curve(results),
            cost(results),
        ],
        figures: Vec::new(),
    })
}

/// Table 14.
pub(super) fn differences(desk: &Desk) -> Result<Shown> {
    of_thresholds(desk, "table-14", "table-14")
}

/// Table 15.
pub(super) fn masks_of_both(desk: &Desk) -> Result<Shown> {
    let mut shown = Shown::default();
    for recipe in ["table-3", "table-13"] {
        shown.tables.extend(outcome::shown(desk, recipe, None, "table-15")?.tables);
    }
    Ok(shown)
}

/// Table 17.
fn cost_of_data(desk: &Desk, target: &str) -> Result<Table> {
    let data = desk.experiment("table-2", Some(target))?.data();
    let arms: Vec<&str> = data.iter().map(|data| data.arm.as_str()).collect();
    let table = Table::new(format!("What the training data of {target} costs"))
        .named(format!("data-{target}"))
        .legend(
            "Seconds: wall time of sampling, grading and scoring, of the call that computed them. right: of the sampled answers. sampled/right: answers that had to be \
             sampled for each right one.",
        )
        .rows(&data)
        .column("arm", |data| arm(&data.arm))
        .column("asked", |data| data.asked)
        .column("kept", |data| data.kept)
        .column("kept %", |data| Cell::percent(data.kept as f64 / data.asked.max(1) as f64))
        .column("sampled", |data| data.sampled)
        .column("right %", |data| Cell::percent(data.accepted))
        .column("sampled/right", |data| {
            let right = data.accepted.filter(|share| *share > 0.0);
            Cell::number(right.map(|share| 1.0 / share), 2)
        })
        .column("seconds", |data| Cell::number(data.seconds, 1))
        .table();
    beside(table, "table-17", benchmark(target), &arms, &["kept", "GPU hours"])
}

/// Table 17.
pub(super) fn cost_of_both(desk: &Desk) -> Result<Shown> {
    let tables = TARGETS.map(|target| cost_of_data(desk, target));
    Ok(Shown { tables: tables.into_iter().collect::<Result<_>>()?, figures: Vec::new() })
}

/// Table 18.
pub(super) fn scorers(desk: &Desk) -> Result<Shown> {
    let mut shown = of_thresholds(desk, "table-18", "table-18")?;
    shown.tables[0].note(
        "The paper's rows scored by a larger model have no counterpart: there is one lab model.",
    );
    Ok(shown)
}

/// Table 20.
pub(super) fn correctness(desk: &Desk) -> Result<Shown> {
    of_pools(desk, "table-20")
}

/// Table 21: the same runs beside what the paper prints of its other model.
pub(super) fn correctness_again(desk: &Desk) -> Result<Shown> {
    of_pools(desk, "table-21")
}

fn of_pools(desk: &Desk, exhibit: &str) -> Result<Shown> {
    let summary = desk.summary("table-20", None)?;
    let (results, rows) = (&summary.results, &summary.arms);
    let tokens = |row: &ArmSummary| {
        let run = results.runs.iter().find(|run| run.arm == row.arm && run.chosen);
        let run = run.filter(|_| !is_base(&row.arm));
        Cell::number(run.map(|run| run.completion_tokens as f64), 0)
    };
    let table = scores(rows, "scores", "Right, mixed and wrong answers to the same questions")
        .column("answer tokens", rows.iter().map(tokens));
    let others = ["tokens", "MBPP", "MATH", "GSM8K", "ARC", "BIRD"];
    let mut table = beside(table, exhibit, benchmark(&results.target), &names(rows), &others)?;
    table.note("The paper counts tokens of prompts and answers without the template.");
    Ok(Shown {
        tables: vec![table, outcome::outcome(&summary, exhibit)?, cost(results)],
        figures: Vec::new(),
    })
}

/// Ours: what carriage returns and prose around the code do.
pub(super) fn format(desk: &Desk) -> Result<Shown> {
    let mut shown = outcome::shown(desk, "format", None, "format")?;
    let data = desk.experiment("format", None)?.data();
    let table = Table::new("Perplexity of the answers under base")
        .named("perplexity")
        .rows(&data)
        .column("arm", |data| arm(&data.arm))
        .column("perplexity", |data| usual(data.perplexity_given_prompt, median(data)))
        .column(">2.5 %", |data| Cell::percent(data.share_above_2_5))
        .table();
    shown.tables.push(table);
    shown.tables[0].note(
        "crlf: with a carriage return at every line end, as 373 of MBPP's 374 reference answers have; lf: without any, which on the lab's own data is the ground truth itself; code: \
         the fenced block alone.",
    );
    Ok(shown)
}

/// Ours: what the two trainers of the published arms do to the comparison.
pub(super) fn as_published(desk: &Desk) -> Result<Shown> {
    let results = desk.results("as-published", None)?;
    let mut table = every_rate(
        &results,
        "The published arms, each by the trainer it was published with, and the same arms by one trainer",
    );
    table.note(
        "axolotl, stm script: rank, alpha, schedule and warm-up as published; batch, epochs and rates are the lab's. The paper used one rate for all arms: compare rows of \
         one rate.",
    );
    Ok(Shown { tables: vec![table, cost(&results)], figures: Vec::new() })
}
