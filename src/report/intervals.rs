//! Where each arm's change against base lies: intervals as a figure, with the margin of what counts as none.

use super::figure::Figure;
use super::forgetting::{ForgettingRow, TaskGroup, rows};
use super::summary::arms;
use crate::error::{Error, Result};
use crate::experiment::results::Results;
use crate::plot::palette::{BASE, GRAY, INK, label, look};
use crate::plot::{Axis, Measured, Panel, Plot, SCORES, keys};
use crate::select::canonical;
use crate::stats::{self, Verdict};
use crate::table::{Table, plus};

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
    // arm by arm, each with its place among them
    let drawn: Vec<(usize, &ForgettingRow)> = shown
        .iter()
        .enumerate()
        .flat_map(|(at, name)| {
            found.iter().flatten().filter(move |row| row.arm == *name).map(move |row| (at, row))
        })
        .collect();
    let all = || drawn.iter().map(|(_, row)| *row);
    let ends = all().flat_map(|row| [row.comparison.interval.low, row.comparison.interval.high]);
    let y = Axis::around("change, points", ends.chain([0.0, -last.margin]), SCORES);
    let most = all().map(|row| row.comparison.seeds).max().unwrap_or(1);
    // room for the names of the lines beside the bars
    let x = Axis::new("seeds", 0.5, most as f64 + 1.3);
    let mut panel = Panel::new(x, y).level(0.0, BASE, GRAY);
    if of == TaskGroup::NonTarget {
        panel = panel.level(-last.margin, format!("a loss of {} points", last.margin), INK);
    }
    for (at, row) in &drawn {
        // side by side around the number of seeds
        let beside = 0.12 * (*at as f64 - (shown.len() as f64 - 1.0) / 2.0);
        let stats::Comparison { seeds, difference, interval, .. } = &row.comparison;
        let change = Measured {
            x: *seeds as f64 + beside,
            y: difference.value,
            low: interval.low,
            high: interval.high,
        };
        panel = panel.interval(change, look(&row.arm, &names));
    }
    let kept: Vec<String> = found
        .last()
        .into_iter()
        .flatten()
        .filter(|row| row.adjusted.not_lower == Verdict::Yes)
        .map(|row| label(&row.arm))
        .collect();
    let title = match of {
        TaskGroup::Target => {
            let of_last = found.last().into_iter().flatten();
            let words = of_last.map(|row| {
                format!("{} by {}", label(&row.arm), plus(row.comparison.difference.value))
            });
            let words: Vec<String> = words.collect();
            format!("The target ({}) changes with {}", last.target, words.join(", "))
        }
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
    let plot = Plot::new(title)
        .note("Mark: change against base; bar: 95 % interval, over items with one seed and over items and seeds with more.")
        .panel(panel)
        .legend(keys(&shown, &names))
        .size(720, 380);
    let drawn: Vec<&ForgettingRow> = all().collect();
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
        let target =
            super::figure(std::slice::from_ref(&results), TaskGroup::Target, &shown).unwrap();
        let rows = rows(&results).unwrap();
        let stm = rows.iter().find(|row| row.arm == "stm(2.5)" && row.of == TaskGroup::Target);
        let by = format!("STM 2.5 by {}", plus(stm.unwrap().comparison.difference.value));
        assert!(target.plot.title.contains(&by), "{}", target.plot.title);
        assert!(super::figure(&[], TaskGroup::Target, &shown).is_err());
        let error = super::figure(&[results], TaskGroup::Target, &["stm"]).unwrap_err();
        assert!(error.to_string().contains("`stm`"), "{error}");
    }
}
