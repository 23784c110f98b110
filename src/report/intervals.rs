//! Where each arm's change against base lies: intervals as a figure, with the margin of what counts as none.

use super::figure::Figure;
use super::forgetting::{ForgettingRow, TaskGroup, rows};
use super::palette::{BASE, Look, label, look};
use super::plot::{Axis, INK, Layer, Panel, Plot};
use super::summary::arms;
use crate::error::{Error, Result};
use crate::experiment::canonical;
use crate::experiment::results::Results;
use crate::stats::{self, Verdict};
use crate::table::Table;

/// The 95 % interval of each of `shown` arms' change against base, in each of `all`: the same arms with more and more seeds.
///
/// # Errors
/// There are no results, an arm is not among them, or scores are not of the same items.
pub fn figure(all: &[Results], of: TaskGroup, shown: &[&str]) -> Result<Figure> {
    let last = all.last().ok_or_else(|| Error::invalid("results", "there are none to draw"))?;
    let names = arms(last);
    stats::distinct("arms", shown)?;
    let shown: Vec<String> = shown.iter().map(|arm| canonical(arm)).collect();
    if let Some(unknown) = shown.iter().find(|arm| !names.contains(&arm.as_str())) {
        let problem = format!("there is no `{unknown}`, only {}", names.join(", "));
        return Err(Error::invalid("arm", problem));
    }
    let found: Vec<Vec<ForgettingRow>> = all
        .iter()
        .map(|results| {
            let rows = rows(results)?.into_iter();
            Ok(rows
                .filter(|row| row.of == of && row.against == BASE && shown.contains(&row.arm))
                .collect())
        })
        .collect::<Result<_>>()?;
    let mut layers =
        vec![Layer::Level { y: 0.0, label: BASE.to_owned(), color: look(BASE, &names).color }];
    if of == TaskGroup::NonTarget {
        layers.push(Layer::Level {
            y: -last.margin,
            label: format!("a loss of {} points", last.margin),
            color: INK,
        });
    }
    let mut drawn: Vec<&ForgettingRow> = Vec::new();
    for (at, name) in shown.iter().enumerate() {
        let Look { color, mark } = look(name, &names);
        // side by side around the number of seeds
        let beside = 0.12 * (at as f64 - (shown.len() as f64 - 1.0) / 2.0);
        for row in found.iter().flatten().filter(|row| row.arm == *name) {
            let x = row.comparison.seeds as f64 + beside;
            let (y, interval) = (row.comparison.difference.value, row.comparison.interval);
            layers.push(Layer::Spread {
                at: (x, y),
                x: (x, x),
                y: (interval.low, interval.high),
                color,
            });
            layers.push(Layer::Marks {
                points: vec![(x, y)],
                color,
                mark,
                size: 6.0,
                filled: true,
            });
            drawn.push(row);
        }
    }
    let ends =
        drawn.iter().flat_map(|row| [row.comparison.interval.low, row.comparison.interval.high]);
    let kept: Vec<String> = found
        .last()
        .into_iter()
        .flatten()
        .filter(|row| row.adjusted.not_lower == Verdict::Yes)
        .map(|row| label(&row.arm))
        .collect();
    let title = match of {
        TaskGroup::Target => format!("Change on the target ({}) against base", last.target),
        TaskGroup::NonTarget if kept.is_empty() => {
            format!(
                "Of no arm a loss of {} points on the other tasks can be ruled out",
                last.margin
            )
        }
        TaskGroup::NonTarget => format!(
            "A loss of {} points on the other tasks is ruled out for {}",
            last.margin,
            kept.join(" and ")
        ),
    };
    let most = drawn.iter().map(|row| row.comparison.seeds).max();
    let plot = Plot {
        title,
        note: "Mark: change against base; bar: 95 % interval, over items with one seed and over items and seeds with more.".to_owned(),
        panels: vec![Panel {
            heading: None,
            x: Axis {
                label: "seeds".to_owned(),
                from: 0.5,
                // room for the names of the lines beside the bars
                to: most.unwrap_or(1) as f64 + 1.3,
                log: false,
            },
            y: Axis::around("change, points", ends.chain([0.0, -last.margin]), 4.0),
            layers,
        }],
        legend: shown
            .iter()
            .map(|name| look(name, &names).key(label(name)))
            .collect(),
        size: (720, 380),
    };
    let table = Table::default()
        .rows(&drawn)
        .file("arm", |row| &row.arm)
        .file("seeds", |row| row.comparison.seeds)
        .file("items", |row| row.comparison.items)
        .file("points", |row| row.comparison.difference.value)
        .file("low", |row| row.comparison.interval.low)
        .file("high", |row| row.comparison.interval.high)
        .table();
    Ok(Figure { name: "intervals", plot, table })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn every_arm_has_a_bar_for_each_of_the_results() {
        let results = sample::results();
        let mut one = results.clone();
        one.runs.retain(|run| run.seed == 0);
        let shown = ["ground_truth", "stm(2.5)"];
        let figure = figure(&[one, results.clone()], TaskGroup::NonTarget, &shown).unwrap();
        assert_eq!(figure.table.height(), 2 * shown.len());
        assert!(figure.plot.title.contains("points"), "{}", figure.plot.title);
        assert!(super::figure(&[], TaskGroup::Target, &shown).is_err());
        let error = super::figure(&[results], TaskGroup::Target, &["stm"]).unwrap_err();
        assert!(error.to_string().contains("`stm`"), "{error}");
    }
}
