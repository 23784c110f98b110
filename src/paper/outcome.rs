//! Parts that most exhibits share: what came out for each arm, what it cost, and what the paper prints beside it.

use super::printed::{self, Printed};
use super::sheet::{Cell, Sheet};
use super::{Desk, Shown};
use crate::error::Result;
use crate::experiment::results::{DataSummary, Results, Run};
use crate::pareto;
use crate::plot::palette::{BASE, label};
use crate::report::summary::{self, Row};
use crate::report::table::front_point;
use crate::stats::{self, Estimate};

/// Base and each arm at its chosen rate, with the paper's TI and BWT beside ours, then what it cost.
pub(super) fn shown(
    desk: &Desk,
    recipe: &str,
    target: Option<&str>,
    exhibit: &str,
) -> Result<Shown> {
    let results = desk.results(recipe, target)?;
    Ok(Shown {
        sheets: vec![
            outcome(&results, exhibit)?,
            every_rate(
                &results,
                "Every rate that was run: compare arms at one rate, as the paper does",
            )?,
            cost(&results),
        ],
        figures: Vec::new(),
    })
}

/// Base and each arm at its chosen rate.
pub(super) fn outcome(results: &Results, exhibit: &str) -> Result<Sheet> {
    let rows = summary::rows(results)?;
    let benchmark = printed::benchmark(&results.target);
    let change = |value: fn(&summary::Change) -> Option<stats::Estimate>| {
        let cells = rows.iter();
        cells.map(move |row| Cell::change(row.change.as_ref().and_then(value)))
    };
    let mut sheet = Sheet::new(
        &format!("outcome-{}", results.target),
        &format!(
            "Target {} (the paper's {benchmark}), each arm at its best validated rate",
            results.target
        ),
        "arm",
        rows.iter().map(|row| label(&row.arm)),
    )
    .legend(
        "Points: change against base. TI, BWT: the paper's target improvement and backward transfer, changes relative to base in percent. \
         ± one standard error over items and seeds, of changes paired with base on the same items.",
    )
    .column("rate", rows.iter().map(|row| rate(row.learning_rate)))
    .column("seeds", rows.iter().map(|row| Cell::from(row.seeds)))
    .column("masked %", rows.iter().map(|row| percent(row.masked_share)))
    .column("target points", change(|change| Some(change.target_points)))
    .column("others points", change(|change| change.non_target_points))
    .column("TI %", change(|change| change.target_improvement))
    .column("BWT %", change(|change| change.backward_transfer));
    let arms: Vec<&str> = rows.iter().map(|row| row.arm.as_str()).collect();
    beside(&mut sheet, exhibit, benchmark, &arms, &["masked", "TI", "BWT"])?;
    Ok(sheet)
}

/// What the paper prints of the same arms, a column for each model and quantity, and what is known of these numbers.
pub(super) fn beside(
    sheet: &mut Sheet,
    exhibit: &str,
    target: &str,
    arms: &[&str],
    quantities: &[&str],
) -> Result<()> {
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
            *sheet = std::mem::replace(sheet, Sheet::new("", "", "", []))
                .column(&format!("{quantity}, {model}"), cells);
        }
    }
    if !used.is_empty() {
        sheet.note("Columns with a model's name: the paper's.");
    }
    for row in used.iter().filter(|row| !row.note.is_empty()) {
        sheet.note(&format!("{}, {}, {}: {}.", row.model, label(&row.arm), row.quantity, row.note));
    }
    Ok(())
}

/// What each arm cost, and the front of all its rates.
pub(super) fn cost(results: &Results) -> Sheet {
    let arms = summary::arms(results);
    let chosen = |arm: &str| -> Vec<&Run> {
        let runs = summary::tested(results);
        runs.filter(|run| run.arm == arm && run.chosen).collect()
    };
    let mean = |value: fn(&Run) -> f64| -> Vec<Option<f64>> {
        let of = |arm: &&str| {
            let values: Vec<f64> = chosen(arm).into_iter().map(value).collect();
            stats::mean(&values)
        };
        arms.iter().map(of).collect()
    };
    let data = |value: fn(&DataSummary) -> Option<f64>| -> Vec<Option<f64>> {
        let of = |arm: &&str| results.data.iter().find(|data| data.arm == **arm).and_then(value);
        arms.iter().map(of).collect()
    };
    let cells = |values: Vec<Option<f64>>, decimals: usize| -> Vec<Cell> {
        values.into_iter().map(|value| Cell::number(value, decimals)).collect()
    };
    let base =
        results.base.first().and_then(summary::score).zip(summary::non_target_score(&results.base));
    let area_of_base = base.map_or(0.0, |(target, others)| 100.0 * target * others);
    let areas = arms.iter().map(|arm| Some(100.0 * front(results, arm).1));
    Sheet::new(
        &format!("cost-{}", results.target),
        "What it cost, and the front over all rates",
        "arm",
        arms.iter().map(|arm| label(arm)),
    )
    .legend(&format!(
        "Items, tokens and steps: of training at the chosen rate, mean over seeds; tokens read include prompts. train s, data s (sampling and grading): wall seconds, of one \
         core each, as busy as the machine then was. sampled/kept: answers sampled for each item that was kept. rates: tried with the first seed. area: of the places (target score, mean other score) \
         that some rate reaches or exceeds, in percent of the square from (0, 0) to (1, 1), first seed; base alone has {area_of_base:.1}."
    ))
    .column("items", cells(mean(|run| run.items as f64), 0))
    .column("steps", cells(mean(|run| run.losses.len() as f64), 0))
    .column("tokens read", cells(mean(|run| run.tokens_seen as f64), 0))
    .column("learned", cells(mean(|run| run.tokens_learned as f64), 0))
    .column("train s", cells(mean(|run| run.train_seconds), 1))
    .column("data s", cells(data(|data| Some(data.seconds)), 1))
    .column(
        "sampled/kept",
        cells(data(|data| (data.sampled > 0).then(|| data.sampled as f64 / data.kept.max(1) as f64)), 1),
    )
    .column("rates", arms.iter().map(|arm| Cell::from(front(results, arm).0)))
    .column("area %", cells(areas.collect(), 1))
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

/// The rows of base and of each arm at its chosen rate, with one task's score in percent in each column.
pub(super) fn scores(results: &Results, name: &str, title: &str) -> Result<(Sheet, Vec<Row>)> {
    let rows = summary::rows(results)?;
    let mut sheet = Sheet::new(name, title, "arm", rows.iter().map(|row| label(&row.arm)))
        .legend("Percent ± one standard error over items and seeds.");
    for at in 0..results.base.len() {
        let task = &results.base[at].task;
        let cells = rows.iter().map(|row| Cell::share(row.tasks.get(at).map(|task| task.score)));
        sheet = sheet.column(&format!("{task} ({})", printed::benchmark(task)), cells);
    }
    Ok((sheet, rows))
}

/// Whether the arm is the untouched model.
pub(super) fn is_base(arm: &str) -> bool {
    arm == BASE
}

/// A learning rate as people write it.
pub(super) fn rate(rate: Option<f64>) -> Cell {
    rate.map_or(Cell::Nothing, |rate| Cell::Text(crate::report::table::rate(rate)))
}

/// A share in percent, one decimal.
pub(super) fn percent(share: Option<f64>) -> Cell {
    Cell::number(share.map(|share| 100.0 * share), 1)
}

/// A row for each arm and rate.
pub(super) fn every_rate(results: &Results, title: &str) -> Result<Sheet> {
    let points = arms_and_rates(results);
    let of = |value: fn(&Results, &Run) -> Option<f64>| {
        points.iter().map(move |(_, _, runs)| Cell::change(over_seeds(results, runs, value)))
    };
    Ok(Sheet::new(&format!("rates-{}", results.target), title, "arm", points.iter().map(|(arm, ..)| label(arm)))
        .legend(
            "Mean over seeds ± its standard error over seeds, where there are two or more. chosen: the rate with the best validation score with the first \
             seed. ‖Δ‖/‖W‖: the weights' change, in percent.",
        )
        .column("rate", points.iter().map(|(_, r, _)| rate(Some(*r))))
        .column("chosen", points.iter().map(|(_, _, runs)| Cell::from(if runs[0].chosen { "yes" } else { "" })))
        .column("seeds", points.iter().map(|(_, _, runs)| Cell::from(runs.len())))
        .column("target points", of(|results, run| front_point(results, run).target_points))
        .column("others points", of(|results, run| front_point(results, run).non_target_points))
        .column("TI %", of(|results, run| front_point(results, run).target_improvement))
        .column("BWT %", of(|results, run| front_point(results, run).backward_transfer))
        .column(
            "‖Δ‖/‖W‖ %",
            points.iter().map(|(_, _, runs)| {
                let values: Vec<f64> = runs.iter().map(|run| 100.0 * run.relative_weight_change).collect();
                Cell::number(stats::mean(&values), 2)
            }),
        ))
}

/// Each arm at each rate with its runs, in the recipe's order.
pub(super) fn arms_and_rates(results: &Results) -> Vec<(&str, f64, Vec<&Run>)> {
    let mut points: Vec<(&str, f64, Vec<&Run>)> = Vec::new();
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
pub(super) fn over_seeds(
    results: &Results,
    runs: &[&Run],
    value: impl Fn(&Results, &Run) -> Option<f64>,
) -> Option<Estimate> {
    let values: Option<Vec<f64>> = runs.iter().map(|run| value(results, run)).collect();
    let values = values?;
    Some(Estimate { value: stats::mean(&values)?, se: stats::standard_error(&values) })
}
