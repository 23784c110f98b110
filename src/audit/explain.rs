//! Which slip of a spreadsheet gives a printed change that does not follow from its row.
//!
//! Every slip below is tried on every such row, one at a time, in one order; none is chosen by hand for a row. A slip that gives the printed
//! number to its last digit is named. With many slips tried, one may fit by chance: [`Explained::by_chance`] says how many would be
//! expected to, from how densely their values lie around the printed one. A slip that fits many rows is no chance.

use super::bases::{Bases, TOLERANCE, transfer};
use super::raw_digits::{ARC, Line, TASKS};
use crate::metric::{relative_change, target_improvement};
use std::collections::BTreeMap;

/// A slip and what it gives.
struct Tried {
    slip: String,
    value: f64,
}

/// What was found for one printed change.
pub(super) struct Explained {
    /// The first slip that fits, with its value.
    pub slip: Option<(String, f64)>,
    /// Slips tried that give a number.
    pub tried: usize,
    /// How many of them would fit if the printed number were unrelated to the row.
    pub by_chance: f64,
    /// The slip that comes nearest, where none fits and it is nearer than 0.05 points.
    pub nearest: Option<(String, f64)>,
}

impl Explained {
    /// The diagnosis in words.
    pub fn words(&self) -> String {
        let tried = format!("{} slips tried", self.tried);
        match (&self.slip, &self.nearest) {
            (Some((slip, value)), _) if self.by_chance >= 0.005 => format!(
                "{slip} gives {value:.2} ({tried}, {:.2} expected to fit by chance)",
                self.by_chance
            ),
            (Some((slip, value)), _) => format!("{slip} gives {value:.2} ({tried})"),
            (None, Some((slip, value))) => {
                format!("no slip gives it ({tried}); nearest: {slip} gives {value:.4}")
            }
            (None, None) if self.tried == 0 => String::new(),
            (None, None) => format!("no slip gives it ({tried})"),
        }
    }
}

/// How a printed BWT may have come about.
pub(super) fn of_transfer(
    line: &Line,
    printed: f64,
    tolerance: f64,
    bases: &Bases,
    lines: &[Line],
) -> Explained {
    let mut tried = transfer_slips(line, bases);
    tried.extend(copies(line, lines, |other| {
        other.model.and_then(|model| transfer(other, bases.of(model)?))
    }));
    explain(tried, printed, tolerance)
}

/// How a printed TI may have come about.
pub(super) fn of_improvement(
    line: &Line,
    printed: f64,
    tolerance: f64,
    bases: &Bases,
) -> Explained {
    explain(improvement_slips(line, bases), printed, tolerance)
}

/// Room for a slip's value: the score that it takes from elsewhere may have been longer than the four digits that are known.
const ROOM: f64 = 0.0075;

fn explain(tried: Vec<Tried>, printed: f64, tolerance: f64) -> Explained {
    let tolerance = tolerance.max(ROOM);
    let off = |tried: &Tried| (tried.value - printed).abs();
    let slip = tried.iter().find(|tried| off(tried) <= tolerance);
    let slip = slip.map(|tried| (tried.slip.clone(), tried.value));
    let nearest = tried
        .iter()
        .min_by(|a, b| off(a).total_cmp(&off(b)))
        .filter(|nearest| slip.is_none() && off(nearest) <= 0.05)
        .map(|tried| (tried.slip.clone(), tried.value));
    // different slips of one value are one chance
    let mut values: Vec<i64> = tried.iter().map(|t| (t.value * 1e4).round() as i64).collect();
    values.sort_unstable();
    values.dedup();
    const AROUND: f64 = 10.0;
    let near =
        values.iter().filter(|value| (**value as f64 / 1e4 - printed).abs() <= AROUND).count();
    Explained { by_chance: near as f64 * tolerance / AROUND, tried: values.len(), slip, nearest }
}

/// The mean over `tasks` of `after[task] / before[task] − 1`, divided by `by`, in percent.
fn mean_change(
    tasks: &[usize],
    after: &[Option<f64>; 5],
    before: &[Option<f64>; 5],
    by: usize,
) -> Option<f64> {
    let mut sum = 0.0;
    for task in tasks {
        sum += relative_change(before[*task]?, after[*task]?)?;
    }
    (by > 0).then(|| sum / by as f64)
}

fn transfer_slips(line: &Line, bases: &Bases) -> Vec<Tried> {
    let mut tried = Vec::new();
    let (Some(model), Some(target)) = (line.model, line.target) else {
        return tried;
    };
    let Some(before) = bases.of(model) else {
        return tried;
    };
    let after = line.scores;
    let others: Vec<usize> = (0..5).filter(|task| *task != target).collect();
    let mut add = |slip: String, value: Option<f64>| {
        if let Some(value) = value {
            tried.push(Tried { slip, value });
        }
    };
    let with = |scores: &[Option<f64>; 5], task: usize, score: Option<f64>| {
        let mut scores = *scores;
        scores[task] = score;
        scores
    };
    // missing cells
    if others.iter().any(|task| after[*task].is_none()) {
        let zero = after.map(|score| score.or(Some(0.0)));
        let count = others.iter().filter(|task| after[**task].is_none()).count();
        add(format!("{count} missing scores counted as 0"), mean_change(&others, &zero, before, 4));
        let there: Vec<usize> = others.iter().copied().filter(|t| after[*t].is_some()).collect();
        add(
            format!("the mean over the {} tasks that have scores", there.len()),
            mean_change(&there, &after, before, there.len()),
        );
        let with_cot = with(&after, ARC, line.arc_cot);
        let cot_base = with(before, ARC, bases.arc_cot(model));
        let there: Vec<usize> = others.iter().copied().filter(|t| with_cot[*t].is_some()).collect();
        add(
            format!("the mean over {} tasks, ARC with chain of thought", there.len()),
            mean_change(&there, &with_cot, &cot_base, there.len()),
        );
        for task in &there {
            add(
                format!("the change of {} alone", TASKS[*task]),
                mean_change(&[*task], &with_cot, &cot_base, 1),
            );
        }
    }
    // the other ARC
    let (after_cot, before_cot) =
        (with(&after, ARC, line.arc_cot), with(before, ARC, bases.arc_cot(model)));
    for (slip, after, before) in [
        ("ARC with chain of thought", &after_cot, &before_cot),
        ("ARC's score with chain of thought, its base without", &after_cot, before),
        ("ARC's base with chain of thought, its score without", &after, &before_cot),
    ] {
        add(slip.to_string(), mean_change(&others, after, before, 4));
    }
    // the wrong column
    for (one, name) in TASKS.iter().enumerate() {
        for (other, second) in TASKS.iter().enumerate().skip(one + 1) {
            let mut exchanged = *before;
            exchanged.swap(one, other);
            add(
                format!("the bases of {name} and {second} exchanged"),
                mean_change(&others, &after, &exchanged, 4),
            );
        }
    }
    for &task in &others {
        for other in (0..5).filter(|other| *other != task) {
            add(
                format!("the score of {} in the place of {}'s", TASKS[other], TASKS[task]),
                mean_change(&others, &with(&after, task, after[other]), before, 4),
            );
            add(
                format!("the base of {} in the place of {}'s", TASKS[other], TASKS[task]),
                mean_change(&others, &after, &with(before, task, before[other]), 4),
            );
        }
        let left: Vec<usize> = others.iter().copied().filter(|t| *t != task).collect();
        let with_target: Vec<usize> = left.iter().copied().chain([target]).collect();
        add(
            format!("{} left out, the others' mean", TASKS[task]),
            mean_change(&left, &after, before, 3),
        );
        add(
            format!("{} left out, the others' sum by four", TASKS[task]),
            mean_change(&left, &after, before, 4),
        );
        add(
            format!("the target in the place of {}", TASKS[task]),
            mean_change(&with_target, &after, before, 4),
        );
    }
    add("the mean over all five tasks".into(), mean_change(&[0, 1, 2, 3, 4], &after, before, 5));
    add("the sum instead of the mean".into(), mean_change(&others, &after, before, 1));
    // the wrong row
    for (other, scores) in bases.models().filter(|(other, _)| *other != model) {
        add(format!("the bases of {}", other.name()), mean_change(&others, &after, scores, 4));
        for &task in &others {
            add(
                format!("{}'s base of {}", TASKS[task], other.name()),
                mean_change(&others, &after, &with(before, task, scores[task]), 4),
            );
        }
    }
    tried
}

/// The right values of other rows: a formula or a value that was copied with its references.
fn copies(line: &Line, lines: &[Line], right: impl Fn(&Line) -> Option<f64>) -> Vec<Tried> {
    lines
        .iter()
        .filter(|other| (other.csv, other.line) != (line.csv, line.line))
        .filter(|other| other.csv == line.csv && other.model == line.model)
        .filter_map(|other| {
            Some(Tried { slip: format!("the value of {}", other.short()), value: right(other)? })
        })
        .collect()
}

fn improvement_slips(line: &Line, bases: &Bases) -> Vec<Tried> {
    let mut tried = Vec::new();
    let (Some(target), Some(model)) = (line.target, line.model) else {
        return tried;
    };
    let after = line.scores[target];
    let before = bases.of(model).and_then(|scores| scores[target]);
    let mut add = |slip: String, value: Option<f64>| {
        if let Some(value) = value {
            tried.push(Tried { slip, value });
        }
    };
    let change = |before: Option<f64>, after: Option<f64>| target_improvement(before?, after?);
    if let Some(own) = line.before {
        add(format!("the row's own base {own}"), change(line.before, after));
    }
    if let Some(own) = line.in_domain {
        add(
            format!("the score {own} of the column for the target"),
            change(before, line.in_domain),
        );
    }
    for known in KNOWN_BASES.iter().filter(|known| (known.0, known.1) == (model, target)) {
        add(format!("the base {} ({})", known.2, known.3), change(Some(known.2), after));
    }
    if let (Some(before), Some(after)) = (before, after) {
        add(
            "the difference relative to the score after training".into(),
            (after != 0.0).then(|| 100.0 * (after - before) / after),
        );
        add("the difference in points, not relative".into(), Some(100.0 * (after - before)));
    }
    for other in (0..5).filter(|other| *other != target) {
        add(
            format!("the score of {} in the place of the target's", TASKS[other]),
            change(before, line.scores[other]),
        );
        let base = bases.of(model).and_then(|scores| scores[other]);
        add(
            format!("the base of {} in the place of the target's", TASKS[other]),
            change(base, after),
        );
        add(format!("the change of {}", TASKS[other]), change(base, line.scores[other]));
    }
    for (other, scores) in bases.models().filter(|(other, _)| *other != model) {
        add(format!("the base of {}", other.name()), change(scores[target], after));
    }
    tried
}

/// Other scores of untouched models that the authors' files and figures carry for a target.
const KNOWN_BASES: [(super::raw_digits::Model, usize, f64, &str); 3] = [
    (
        super::raw_digits::Model::Llama,
        super::raw_digits::MBPP,
        0.5979,
        "self-output.csv, column `original base`",
    ),
    (
        super::raw_digits::Model::Gemma2b,
        super::raw_digits::MBPP,
        0.5079,
        "self-output.csv, column `original base`",
    ),
    (
        super::raw_digits::Model::Gemma2b,
        super::raw_digits::MBPP,
        0.51058,
        "self-output.csv, column `original base`",
    ),
];

/// The base score that each row's change implies, where a model's base is not in the files: lowest and highest.
pub(super) fn implied(rows: &[(f64, f64)]) -> Option<(f64, f64)> {
    let bases = rows.iter().map(|(after, percent)| after / (1.0 + percent / 100.0));
    bases.fold(None, |range, base| match range {
        None => Some((base, base)),
        Some((low, high)) => Some((base.min(low), base.max(high))),
    })
}

/// Counts slips over rows, the most frequent first.
pub(super) fn tally(slips: &[String]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for slip in slips {
        *counts.entry(slip).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> =
        counts.into_iter().map(|(slip, count)| (slip.to_string(), count)).collect();
    counts.sort_by_key(|(slip, count)| (std::cmp::Reverse(*count), slip.clone()));
    counts
}

/// The room for rounding of a printed change.
pub(super) fn tolerance(decimals: usize) -> f64 {
    (0.5 * 10f64.powi(-(decimals as i32))).max(TOLERANCE)
}
