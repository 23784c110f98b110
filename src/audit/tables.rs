//! The paper's tables against the rows that they are made of.

use super::bases::{Bases, TOLERANCE, transfer};
use super::explain;
use super::fact::Facts;
use super::printed::{ENTRIES, Entry, Quantity, TABLE_12};
use super::raw_digits::{ARC, Line, Model, TASKS};
use crate::metric::{backward_transfer, target_improvement};

/// Every cell.
pub(super) fn audit(lines: &[Line], bases: &Bases, facts: &mut Facts) {
    for entry in ENTRIES.iter() {
        match entry.pick.find(lines) {
            Some(line) => cells(entry, line, lines, bases, facts),
            None => {
                let file = entry.pick.csv.file().name();
                for (quantity, printed, decimals) in &entry.cells {
                    facts
                        .claim(what(entry, *quantity), &file, &entry.table)
                        .cannot(format!("{printed:.decimals$}"), "no such row in this copy");
                }
            }
        }
    }
    from_table_12(bases, facts);
    facts
        .claim(
            "Llama 3 8B on MATH: GSM8K and ARC stand in each other's column",
            "–",
            "Tables 13 and 14; earlier count",
        )
        .cannot("exchanged", "the tables' cells are not in these files");
    for row in ["DoRA", "DoRA with STM"] {
        facts
            .claim(
                format!("Table 4, Gemma 2 2B, MBPP, {row}: BWT"),
                "raw_digits/rho-sft.csv",
                "Table 4",
            )
            .cannot(
                if row == "DoRA" { "-8.54" } else { "-0.01" },
                "no row of the authors' tables is about it",
            );
    }
}

fn what(entry: &Entry, quantity: Quantity) -> String {
    format!("{}, {}: {}", entry.table, entry.row, quantity.name())
}

/// The value of `quantity` that a row gives.
fn value(quantity: Quantity, line: &Line, bases: &Bases) -> Option<f64> {
    let before = line.model.and_then(|model| bases.of(model));
    match quantity {
        Quantity::Transfer => transfer(line, before?),
        Quantity::Improvement => {
            let target = line.target?;
            target_improvement(before?[target]?, line.scores[target]?)
        }
        Quantity::Filtered => line.filtered,
        Quantity::Score(task) => line.scores[task],
        Quantity::Percent(task) => line.scores[task].map(|score| 100.0 * score),
    }
}

fn cells(entry: &Entry, line: &Line, lines: &[Line], bases: &Bases, facts: &mut Facts) {
    for (quantity, printed, decimals) in &entry.cells {
        let (printed, decimals) = (*printed, *decimals);
        let half = 0.5 * 10f64.powi(-(decimals as i32));
        let tolerance = match quantity {
            Quantity::Transfer | Quantity::Improvement => half.max(TOLERANCE),
            _ => half,
        };
        let fits = |value: f64| (value - printed).abs() <= tolerance + 1e-9;
        let found = value(*quantity, line, bases);
        let claim = facts.claim(what(entry, *quantity), line.place(), &entry.table);
        match found {
            None => {
                let own = own_cell(*quantity, line)
                    .filter(|own| fits(*own))
                    .map_or("", |_| "; the row's own cell has the printed number");
                claim.cannot(
                    format!("{printed:.decimals$}"),
                    format!("the row or the untouched model lacks a score{own}"),
                );
            }
            Some(found) => {
                let note = match fits(found) {
                    true => String::new(),
                    false => diagnosis(*quantity, printed, tolerance, line, lines, bases),
                };
                claim.note(note).within(printed, decimals, tolerance, Some(found));
            }
        }
    }
}

/// The change that the row itself states.
fn own_cell(quantity: Quantity, line: &Line) -> Option<f64> {
    match quantity {
        Quantity::Transfer => line.backward_transfer.map(|own| own.value),
        Quantity::Improvement => line.target_improvement.map(|own| own.value),
        _ => None,
    }
}

/// Where a printed number that does not follow may come from.
fn diagnosis(
    quantity: Quantity,
    printed: f64,
    tolerance: f64,
    line: &Line,
    lines: &[Line],
    bases: &Bases,
) -> String {
    let fits = |value: f64| (value - printed).abs() <= tolerance + 1e-9;
    let mut said = Vec::new();
    let other = match quantity {
        Quantity::Transfer => Some(Quantity::Improvement),
        Quantity::Improvement => Some(Quantity::Transfer),
        _ => None,
    };
    if let Some(own) = own_cell(quantity, line) {
        match fits(own) {
            true => said.push("printed as the row's own cell has it".to_string()),
            false => said.push(format!("the row's own cell has {own:.2}")),
        }
    }
    if let Some(other) = other
        && value(other, line, bases).into_iter().chain(own_cell(other, line)).any(fits)
    {
        said.push(format!("it is the row's {}: exchanged", other.name()));
    }
    match quantity {
        Quantity::Transfer => {
            said.push(explain::of_transfer(line, printed, tolerance, bases, lines).words());
        }
        Quantity::Improvement => {
            said.push(explain::of_improvement(line, printed, tolerance, bases).words());
        }
        _ => {}
    }
    said.extend(elsewhere(quantity, printed, tolerance, line, lines));
    said.retain(|part| !part.is_empty());
    match said.is_empty() {
        true => "no other cell of this model's rows has it".into(),
        false => said.join("; "),
    }
}

/// Other cells of the model's rows that have the printed number: of the same row first, then of the same column, then others.
fn elsewhere(
    quantity: Quantity,
    printed: f64,
    tolerance: f64,
    line: &Line,
    lines: &[Line],
) -> Option<String> {
    let fits = |value: f64| (value - printed).abs() <= tolerance + 1e-9;
    let same_row = |other: &Line| (other.csv, other.line) == (line.csv, line.line);
    let of_model = || lines.iter().filter(|other| other.model == line.model);
    match quantity {
        Quantity::Score(task) | Quantity::Percent(task) => {
            let factor = match quantity {
                Quantity::Percent(_) => 100.0,
                _ => 1.0,
            };
            let cell = |line: &Line, task: usize| {
                line.scores[task].filter(|score| *score > 0.0 && fits(factor * score))
            };
            if task == ARC && line.arc_cot.is_some_and(|score| fits(factor * score)) {
                return Some("it is the row's ARC with chain of thought".into());
            }
            let other = (0..5).find(|other| *other != task && cell(line, *other).is_some());
            if let Some(other) = other {
                return Some(format!("it is the row's {}", TASKS[other]));
            }
            of_model()
                .filter(|other| !same_row(other))
                .find(|other| cell(other, task).is_some())
                .map(|other| {
                    format!("it is {}'s {}: {}", other.short(), TASKS[task], other.title())
                })
        }
        Quantity::Filtered => of_model()
            .filter(|other| !same_row(other))
            .find(|other| other.filtered.is_some_and(fits))
            .map(|other| format!("it is {}'s: {}", other.short(), other.title())),
        Quantity::Transfer | Quantity::Improvement => of_model()
            .filter(|other| !same_row(other))
            .find(|other| own_cell(quantity, other).is_some_and(fits))
            .map(|other| format!("{} has it: {}", other.short(), other.title())),
    }
}

/// Table 2 against Table 12: the paper against itself.
fn from_table_12(bases: &Bases, facts: &mut Facts) {
    for entry in ENTRIES.iter().filter(|entry| entry.table == "Table 2") {
        let scores =
            ENTRIES.iter().find(|other| other.table == "Table 12" && other.row == entry.row);
        let Some(scores) = scores.and_then(table_12) else {
            continue;
        };
        let (model, target) = (entry.pick.model, entry.pick.target);
        let printed_bases =
            TABLE_12.iter().find_map(|(own, scores)| (*own == model).then_some(*scores));
        let Some(printed_bases) = printed_bases else {
            continue;
        };
        // The base score that the authors' rows need, where that is another one.
        let used = bases.of(model).map_or(printed_bases, |own| {
            std::array::from_fn(|task| own[task].unwrap_or(printed_bases[task]))
        });
        let transfer = |before: &[f64; 5]| {
            let pairs: Vec<(f64, f64)> = (0..5)
                .filter(|task| *task != target)
                .map(|task| (before[task], scores[task]))
                .collect();
            backward_transfer(&pairs)
        };
        let improvement = |before: &[f64; 5]| target_improvement(before[target], scores[target]);
        for (quantity, printed, decimals) in &entry.cells {
            let of = |before: &[f64; 5]| match quantity {
                Quantity::Transfer => transfer(before),
                _ => improvement(before),
            };
            let note = match (model, quantity, of(&printed_bases)) {
                (Model::Llama, Quantity::Transfer, Some(other)) if used != printed_bases => {
                    format!(
                        "with the base score that the rows need; with Table 12's own {other:.2}"
                    )
                }
                _ => String::new(),
            };
            facts
                .claim(
                    format!("{}, from Table 12's scores", what(entry, *quantity)),
                    "–",
                    &entry.table,
                )
                .note(note)
                .within(*printed, *decimals, TOLERANCE, of(&used));
        }
    }
}

/// The five scores of a line of Table 12.
fn table_12(entry: &Entry) -> Option<[f64; 5]> {
    let mut scores = [None; 5];
    for (quantity, printed, _) in &entry.cells {
        if let Quantity::Score(task) = quantity {
            scores[*task] = Some(*printed);
        }
    }
    let all: Option<Vec<f64>> = scores.into_iter().collect();
    all?.try_into().ok()
}
