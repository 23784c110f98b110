//! Parts that most exhibits share: what came out for each arm, what it cost, and what the paper prints beside it.

use super::printed::{self, Printed};
use super::{Desk, Shown};
use crate::error::Result;
use crate::experiment::results::{DataSummary, Results, Run};
use crate::pareto;
use crate::plot::palette::{BASE, label};
use crate::report::front;
use crate::report::protocol::Protocol;
use crate::report::summary::{self, ArmSummary, ResultsSummary};
use crate::report::tables::{self, FrontPoint, front_point};
use crate::stats::{self, Estimate};
use crate::table::{Cell, Table};
use std::rc::Rc;

/// Base and each arm by each protocol: all at one rate, the whole front, each at its validated rate, the paper's TI and BWT beside ours; then every rate
/// and what it cost.
pub(super) fn shown(
    desk: &Desk,
    recipe: &str,
    target: Option<&str>,
    exhibit: &str,
) -> Result<Shown> {
    let summary = desk.summary(recipe, target)?;
    let results = &summary.results;
    let mut tables = Vec::new();
    for protocol in Protocol::all(results) {
        tables.push(match protocol {
            Protocol::OneRate(_) => match protocol.view(results) {
                Some(view) => {
                    let view = ResultsSummary::of(Rc::new(view))?;
                    let name = format!("one-rate-{}", results.target);
                    outcome_by(protocol, &view, exhibit)?.named(name)
                }
                None => continue,
            },
            Protocol::Front => {
                let fronts = front::table(&front::rows(results)?);
                fronts.named(format!("front-{}", results.target))
            }
            Protocol::Validated => outcome(&summary, exhibit)?,
        });
    }
    tables.extend([every_rate(results, "Every rate that was run"), cost(results)]);
    Ok(Shown { tables, figures: Vec::new() })
}

/// Base and each arm at its validated rate.
pub(super) fn outcome(summary: &ResultsSummary, exhibit: &str) -> Result<Table> {
    outcome_by(Protocol::Validated, summary, exhibit)
}

fn outcome_by(protocol: Protocol, summary: &ResultsSummary, exhibit: &str) -> Result<Table> {
    let target = &summary.results.target;
    let benchmark = printed::benchmark(target);
    let columns = [
        ("arm", "arm"),
        ("rate", "learning_rate"),
        ("seeds", "seeds"),
        ("masked %", "masked_share"),
        ("target points", "target_points"),
        ("others points", "non_target_points"),
        ("TI %", "target_improvement_percent"),
        ("BWT %", "backward_transfer_percent"),
    ];
    let title = format!("Target {target} (the paper's {benchmark}), {}", protocol.words());
    let table = tables::arm_summaries(&summary.arms)
        .view(title, &columns)
        .named(format!("outcome-{target}"))
        .legend(
            "Points: change against base. TI, BWT: the paper's target improvement and backward transfer, changes relative to base in percent. \
             ± one standard error over items and seeds, of changes paired with base on the same items.",
        );
    let mut table = table;
    table.note(protocol.reason());
    beside(table, exhibit, benchmark, &names(&summary.arms), &["masked", "TI", "BWT"])
}

/// The arms' short names.
pub(super) fn names(rows: &[ArmSummary]) -> Vec<&str> {
    rows.iter().map(|row| row.arm.as_str()).collect()
}

/// What the paper prints of the same arms, a column for each model and quantity, and what is known of these numbers.
pub(super) fn beside(
    mut table: Table,
    exhibit: &str,
    target: &str,
    arms: &[&str],
    quantities: &[&str],
) -> Result<Table> {
    let printed = printed::of(exhibit, target)?;
    let mut models: Vec<&str> = Vec::new();
    for row in &printed {
        if !models.contains(&row.model.as_str()) {
            models.push(&row.model);
        }
    }
    let mut used: Vec<&Printed> = Vec::new();
    for model in models {
        for quantity in quantities {
            let of_arm = |arm: &&str| {
                printed
                    .iter()
                    .find(|row| row.model == model && row.quantity == *quantity && row.arm == **arm)
            };
            let found: Vec<Option<&Printed>> = arms.iter().map(of_arm).collect();
            if found.iter().all(Option::is_none) {
                continue;
            }
            used.extend(found.iter().flatten());
            let cells = found.iter().map(|row| Cell::number(row.map(|row| row.value), 2));
            table = table.column(format!("{quantity}, {model}"), cells);
        }
    }
    if !used.is_empty() {
        table.note("Columns with a model's name: the paper's.");
    }
    for row in used.iter().filter(|row| !row.note.is_empty()) {
        table.note(&format!("{}, {}, {}: {}.", row.model, label(&row.arm), row.quantity, row.note));
    }
    Ok(table)
}

/// What each arm cost, and the front of all its rates.
pub(super) fn cost(results: &Results) -> Table {
    let arms = summary::arms(results);
    let mean = |arm: &str, value: fn(&Run) -> f64| {
        let runs = summary::tested(results).filter(|run| run.arm == arm && run.chosen);
        stats::mean(&runs.map(value).collect::<Vec<_>>())
    };
    let data = |arm: &str| results.data.iter().find(|data| data.arm == arm);
    let sampled = |data: &DataSummary| {
        (data.sampled > 0).then(|| data.sampled as f64 / data.kept.max(1) as f64)
    };
    let base =
        results.base.first().and_then(summary::score).zip(summary::non_target_score(&results.base));
    let area_of_base = base.map_or(0.0, |(target, others)| 100.0 * target * others);
    Table::new("What it cost, and the front over all rates")
        .named(format!("cost-{}", results.target))
        .legend(format!(
            "Items, tokens and steps: of training at the chosen rate, mean over seeds; tokens read include prompts. train s, data s (sampling and grading): wall seconds, of one \
             core each, as busy as the machine then was. sampled/kept: answers sampled for each item that was kept. rates: tried with the first seed. area: of the places (target score, mean other score) \
             that some rate reaches or exceeds, in percent of the square from (0, 0) to (1, 1), first seed; base alone has {area_of_base:.1}."
        ))
        .rows(&arms)
        .column("arm", |arm| label(arm))
        .column("items", |arm| Cell::number(mean(arm, |run| run.items as f64), 0))
        .column("steps", |arm| Cell::number(mean(arm, |run| run.losses.len() as f64), 0))
        .column("tokens read", |arm| Cell::number(mean(arm, |run| run.tokens_seen as f64), 0))
        .column("learned", |arm| Cell::number(mean(arm, |run| run.tokens_learned as f64), 0))
        .column("train s", |arm| Cell::number(mean(arm, |run| run.train_seconds), 1))
        .column("data s", |arm| Cell::number(data(arm).map(|data| data.seconds), 1))
        .column("sampled/kept", |arm| Cell::number(data(arm).and_then(sampled), 1))
        .column("rates", |arm| front(results, arm).0)
        .column("area %", |arm| Cell::number(100.0 * front(results, arm).1, 1))
        .table()
}

/// Rates of an arm that were tried with the first seed, and the area below their front.
fn front(results: &Results, arm: &str) -> (usize, f64) {
    let first = results.runs.first().map(|run| run.seed);
    let points: Vec<(f64, f64)> = summary::tested(results)
        .filter(|run| run.arm == arm && Some(run.seed) == first)
        .filter_map(|run| {
            let point = front_point(results, run);
            point.target.zip(point.non_target)
        })
        .collect();
    (points.len(), pareto::area(&points, (0.0, 0.0)))
}

/// Base and each arm at its chosen rate, with one task's score in percent in each column.
pub(super) fn scores(rows: &[ArmSummary], name: &str, title: &str) -> Table {
    let heading = |task: &str| format!("{task} ({})", printed::benchmark(task));
    tables::scores(rows, title, heading).named(name)
}

/// Whether the arm is the untouched model.
pub(super) fn is_base(arm: &str) -> bool {
    arm == BASE
}

/// A row for each arm and rate.
pub(super) fn every_rate(results: &Results, title: &str) -> Table {
    let points = arms_and_rates(results);
    let of = |value: fn(&FrontPoint) -> Option<f64>| {
        move |(.., runs): &ArmAtRate| {
            Cell::change(over_seeds(runs, |run| value(&front_point(results, run))))
        }
    };
    let moved = |(.., runs): &ArmAtRate| {
        let values: Vec<f64> = runs.iter().map(|run| 100.0 * run.relative_weight_change).collect();
        Cell::number(stats::mean(&values), 2)
    };
    Table::new(title)
        .named(format!("rates-{}", results.target))
        .legend(
            "Mean over seeds ± its standard error over seeds, where there are two or more. chosen: the rate with the best validation score with the first \
             seed. ‖Δ‖/‖W‖: the weights' change, in percent.",
        )
        .rows(&points)
        .column("arm", |(arm, ..)| label(arm))
        .column("rate", |(_, rate, _)| Cell::rate(*rate))
        .column("chosen", |(.., runs)| Cell::yes(runs[0].chosen))
        .column("seeds", |(.., runs)| runs.len())
        .column("target points", of(|point| point.target_points))
        .column("others points", of(|point| point.non_target_points))
        .column("TI %", of(|point| point.target_improvement))
        .column("BWT %", of(|point| point.backward_transfer))
        .column("‖Δ‖/‖W‖ %", moved)
        .table()
}

/// An arm at a rate with its runs.
pub(super) type ArmAtRate<'a> = (&'a str, f64, Vec<&'a Run>);

/// Each arm at each rate, in the recipe's order.
pub(super) fn arms_and_rates(results: &Results) -> Vec<ArmAtRate<'_>> {
    let mut points: Vec<ArmAtRate> = Vec::new();
    for run in summary::tested(results) {
        let known =
            points.iter_mut().find(|(arm, rate, _)| *arm == run.arm && *rate == run.learning_rate);
        match known {
            Some((_, _, runs)) => runs.push(run),
            None => points.push((&run.arm, run.learning_rate, vec![run])),
        }
    }
    points
}

/// Mean over seeds with its standard error over seeds.
pub(super) fn over_seeds(runs: &[&Run], value: impl Fn(&Run) -> Option<f64>) -> Option<Estimate> {
    let values: Option<Vec<f64>> = runs.iter().map(|run| value(run)).collect();
    let values = values?;
    Some(Estimate { value: stats::mean(&values)?, se: stats::standard_error(&values) })
}
