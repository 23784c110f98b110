//! BWT and TI of every row of the tables of raw results, recomputed, with the slip that explains those that do not follow.

use super::bases::{Bases, transfer};
use super::explain::{self, Explained};
use super::fact::Facts;
use super::raw_digits::{BIRD, Csv, ITEMS, Line, Model, TASKS};
use crate::metric::target_improvement;
use std::collections::BTreeMap;

/// Every fact about the rows.
pub(super) fn audit(lines: &[Line], bases: &Bases, facts: &mut Facts) {
    let mut slips = Vec::new();
    for line in lines {
        backward_transfer(line, lines, bases, &mut slips, facts);
        improvement(line, bases, facts);
        in_domain(line, facts);
    }
    systematic(&slips, facts);
    implied_bases(lines, bases, facts);
    granularity(lines, facts);
    repeated(lines, facts);
    within_rows(lines, bases, facts);
}

fn backward_transfer(
    line: &Line,
    lines: &[Line],
    bases: &Bases,
    slips: &mut Vec<String>,
    facts: &mut Facts,
) {
    let Some(printed) = line.backward_transfer else {
        return;
    };
    let tolerance = explain::tolerance(printed.decimals);
    let claim = facts.claim(format!("BWT, {}", line.title()), line.place(), "the row's own cell");
    let found =
        line.model.and_then(|model| bases.of(model)).and_then(|bases| transfer(line, bases));
    let explained = |found: Option<f64>| {
        let off = found.is_none_or(|found| (found - printed.value).abs() > tolerance);
        off.then(|| explain::of_transfer(line, printed.value, tolerance, bases, lines))
    };
    let explained = explained(found);
    if let Some((slip, _)) = explained.as_ref().and_then(|e| e.slip.as_ref()) {
        slips.push(slip.clone());
    }
    let words = explained.as_ref().map_or(String::new(), Explained::words);
    match found {
        Some(found) => {
            claim.note(&words).within(printed.value, printed.decimals, tolerance, Some(found));
        }
        None => {
            let missing = missing(line, bases);
            // A printed number that a missing score cannot give is a finding about the number.
            let lacks_scores = line.target.is_some_and(|target| {
                (0..5).any(|task| task != target && line.scores[task].is_none())
            });
            let explained = explained
                .as_ref()
                .is_some_and(|e| e.slip.is_some() || (lacks_scores && e.nearest.is_some()));
            match explained {
                true => claim.note(missing).note(words).finding(
                    format!("{:.*}", printed.decimals, printed.value),
                    "undefined",
                    false,
                ),
                false => claim
                    .note(missing)
                    .cannot(format!("{:.*}", printed.decimals, printed.value), words),
            }
        }
    }
}

/// Why a row's BWT has no value.
fn missing(line: &Line, bases: &Bases) -> String {
    let (Some(model), Some(target)) = (line.model, line.target) else {
        return "the row does not say its model and its task".into();
    };
    if line.scores.iter().all(Option::is_none) {
        return "the row has no scores; it repeats another".into();
    }
    let names = |missing: &dyn Fn(usize) -> bool| -> String {
        let tasks = (0..5).filter(|task| *task != target && missing(*task));
        tasks.map(|task| TASKS[task]).collect::<Vec<_>>().join(" and ")
    };
    let scores = names(&|task| line.scores[task].is_none());
    if !scores.is_empty() {
        return format!("the row has no score of {scores}");
    }
    match bases.of(model) {
        None => format!("the untouched {} is not in these files", model.name()),
        Some(bases) => format!(
            "the untouched {}'s {} is not in these files",
            model.name(),
            names(&|task| bases[task].is_none())
        ),
    }
}

fn improvement(line: &Line, bases: &Bases, facts: &mut Facts) {
    let Some(printed) = line.target_improvement else {
        return;
    };
    let tolerance = explain::tolerance(printed.decimals);
    let claim = facts.claim(format!("TI, {}", line.title()), line.place(), "the row's own cell");
    let stated = format!("{:.*}", printed.decimals, printed.value);
    let after = line.target.and_then(|target| line.scores[target]);
    let Some((after, target)) = after.zip(line.target) else {
        claim.cannot(stated, "the row has no score of its task");
        return;
    };
    let own = line.model.and_then(|model| bases.of(model)).and_then(|scores| scores[target]);
    let found = own.and_then(|before| target_improvement(before, after));
    let fits = |value: f64| (value - printed.value).abs() <= tolerance;
    // Rows of one table may be relative to a base of their own, which they state.
    let stated_base = line
        .before
        .and_then(|before| Some((before, target_improvement(before, after)?)))
        .filter(|(_, value)| fits(*value));
    match (found, stated_base) {
        (found, Some((before, value))) if !found.is_some_and(fits) => {
            let other = found.map_or(String::new(), |found| {
                format!("; against Table 12's base it would be {found:.2}")
            });
            claim
                .note(format!("relative to {before}, the base that the row states{other}"))
                .within(printed.value, printed.decimals, tolerance, Some(value));
        }
        (Some(found), _) => {
            let words = match fits(found) {
                true => String::new(),
                false => explain::of_improvement(line, printed.value, tolerance, bases).words(),
            };
            claim.note(words).within(printed.value, printed.decimals, tolerance, Some(found));
        }
        (None, _) => {
            let model = line.model.map_or("model", Model::name);
            claim.cannot(
                stated,
                format!(
                    "the untouched {model}'s {} is not in these files; the row implies {:.4}",
                    TASKS[target],
                    after / (1.0 + printed.value / 100.0)
                ),
            );
        }
    }
}

/// The column for the target's score against the target's own column.
fn in_domain(line: &Line, facts: &mut Facts) {
    let Some((stated, own)) =
        line.in_domain.zip(line.target.and_then(|target| line.scores[target]))
    else {
        return;
    };
    if (stated - own).abs() > 5e-5 {
        facts
            .claim(
                format!("score on the target, {}", line.title()),
                line.place(),
                "column `in domain score`",
            )
            .note("the task's own column has another number")
            .number(stated, 4, own);
    }
}

/// A slip that explains many rows is not chance.
fn systematic(slips: &[String], facts: &mut Facts) {
    for (slip, count) in explain::tally(slips).into_iter().filter(|(_, count)| *count > 1) {
        facts
            .claim(format!("rows of BWT explained by: {slip}"), "raw_digits/*.csv", "earlier count")
            .note("one slip in many rows is no chance")
            .finding("–", count.to_string(), true);
    }
}

/// Where one base score of a model is missing, every row implies one; they should agree.
fn implied_bases(lines: &[Line], bases: &Bases, facts: &mut Facts) {
    let mut by_model: BTreeMap<Model, Vec<(&Line, f64)>> = BTreeMap::new();
    for line in lines {
        let (Some(model), Some(target), Some(printed)) =
            (line.model, line.target, line.backward_transfer)
        else {
            continue;
        };
        let Some(before) = bases.of(model).filter(|_| target != BIRD) else {
            continue;
        };
        if before[BIRD].is_some() {
            continue;
        }
        // 4 (1 + BWT) is the sum of the four ratios; three are known.
        let mut rest = 4.0 * (1.0 + printed.value / 100.0);
        let known = (0..5).filter(|task| *task != target && *task != BIRD).all(|task| match before
            [task]
            .zip(line.scores[task])
        {
            Some((before, after)) if before > 0.0 => {
                rest -= after / before;
                true
            }
            _ => false,
        });
        if let Some(after) = line.scores[BIRD].filter(|_| known) {
            by_model.entry(model).or_default().push((line, after / rest));
        }
    }
    for (model, rows) in by_model {
        let said: Vec<String> =
            rows.iter().map(|(line, base)| format!("{base:.4} (line {})", line.line)).collect();
        let of = |pick: fn(f64, f64) -> f64| rows.iter().map(|row| row.1).reduce(pick);
        let agree = of(f64::min).zip(of(f64::max)).is_some_and(|(low, high)| high - low < 0.001);
        facts
            .claim(
                format!("{}, untouched, BIRD: what the rows' BWT imply", model.name()),
                Csv::Masks.file().name(),
                "earlier count",
            )
            .note("the other three base scores are known, so each row's BWT gives the fourth; if rows disagree, no base explains them")
            .finding("one score", said.join(", "), agree);
    }
    for model in [Model::OlmoSft, Model::Qwen] {
        let mut by_task: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.model == Some(model)) {
            // TI of the first table is in points for these rows.
            if let (Some(target), Some(printed), Csv::Masks) =
                (line.target, line.target_improvement, line.csv)
                && let Some(after) = line.scores[target]
            {
                by_task.entry(target).or_default().push((after, printed.value));
            }
        }
        for (task, rows) in by_task {
            let Some((low, high)) = explain::implied(&rows) else {
                continue;
            };
            facts
                .claim(
                    format!(
                        "{}, untouched, {}: what {} rows' TI imply",
                        model.name(),
                        TASKS[task],
                        rows.len()
                    ),
                    Csv::Masks.file().name(),
                    "earlier count",
                )
                .finding("one score", format!("{low:.4} to {high:.4}"), high - low < 0.001);
        }
    }
}

/// Whether scores are a whole number of the task's test items.
fn granularity(lines: &[Line], facts: &mut Facts) {
    for (task, items) in ITEMS.into_iter().enumerate() {
        let scores: Vec<(&Line, f64)> = lines
            .iter()
            .filter_map(|line| Some((line, line.scores[task].filter(|score| *score > 0.0)?)))
            .collect();
        let odd: Vec<String> = scores
            .iter()
            .filter(|(_, score)| !is_share(*score, items))
            .map(|(line, score)| format!("{score} ({})", line.short()))
            .collect();
        if scores.is_empty() {
            continue;
        }
        facts
            .claim(
                format!("{} scores that are k/{items}", TASKS[task]),
                "raw_digits/*.csv",
                "earlier count",
            )
            .note(match odd.is_empty() {
                true => "rounded or cut off at the last digit shown".to_string(),
                false => format!("not even when cut off instead of rounded: {}", odd.join(", ")),
            })
            .count(scores.len(), scores.len() - odd.len());
    }
}

/// Whether `score`, as it is shown, is a number of `items`, rounded or cut off.
fn is_share(score: f64, items: usize) -> bool {
    let shown = score.to_string();
    let decimals = shown.split_once('.').map_or(0, |(_, digits)| digits.len());
    let unit = 10f64.powi(-(decimals.min(6) as i32));
    let near = (score * items as f64).round() as i64;
    (near - 1..=near + 1).any(|k| {
        let exact = k as f64 / items as f64;
        let rounded = (exact - score).abs() <= unit / 2.0 + 1e-9;
        let cut = exact >= score - 1e-9 && exact - score < unit + 1e-9;
        rounded || cut
    })
}

/// Rows that have the same scores under another name.
fn repeated(lines: &[Line], facts: &mut Facts) {
    const ENOUGH: usize = 3;
    for (at, line) in lines.iter().enumerate() {
        for other in &lines[..at] {
            let relabelled = (line.model, line.target) != (other.model, other.target);
            let cells = |line: &Line| [line.scores.to_vec(), vec![line.arc_cot]].concat();
            let (own, theirs) = (cells(line), cells(other));
            // ARC with and without chain of thought share no column in all tables.
            let same = own
                .iter()
                .flatten()
                .filter(|score| **score > 0.0 && theirs.contains(&Some(**score)))
                .count();
            let filled = own.iter().flatten().filter(|score| **score > 0.0).count();
            if relabelled && same >= ENOUGH && same == filled {
                facts
                    .claim(
                        format!("scores of {}", line.title()),
                        line.place(),
                        "the row's own cells",
                    )
                    .note(format!(
                        "all {same} scores are those of {}, {}",
                        other.title(),
                        other.short()
                    ))
                    .finding("a row of its own", "another row's scores", false);
            }
        }
    }
}

/// A score that is another cell of its row, or another task's base.
fn within_rows(lines: &[Line], bases: &Bases, facts: &mut Facts) {
    for line in lines {
        let Some(model) = line.model else { continue };
        let mut found = Vec::new();
        for (one, name) in TASKS.iter().enumerate() {
            let Some(score) = line.scores[one].filter(|score| *score > 0.0) else {
                continue;
            };
            for (other, second) in TASKS.iter().enumerate().skip(one + 1) {
                if line.scores[other] == Some(score) {
                    found.push(format!("{name} and {second} are both {score}"));
                }
            }
            for (other, base) in bases.of(model).into_iter().flatten().enumerate() {
                if other != one && *base == Some(score) && !line.base {
                    found.push(format!(
                        "{name} is {score}, which is the untouched model's {}",
                        TASKS[other]
                    ));
                }
            }
        }
        if let Some(score) = line.arc_cot {
            for (task, own) in line.scores.iter().enumerate() {
                if task != super::raw_digits::ARC && *own == Some(score) {
                    found.push(format!(
                        "ARC with chain of thought and {} are both {score}",
                        TASKS[task]
                    ));
                }
            }
        }
        if !found.is_empty() {
            facts
                .claim(format!("scores of {}", line.title()), line.place(), "the row's own cells")
                .note("a score of one task in the column of another is a copy, unless chance")
                .finding("a number of its own", found.join("; "), false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_may_be_rounded_or_cut_off() {
        assert!(is_share(0.5926, 378)); // 224 of 378 is 0.59259…
        assert!(is_share(0.5291, 1319)); // 698 of 1319 is 0.52918…, cut off
        assert!(!is_share(0.5969, 378));
        assert!(is_share(0.334, 1000));
        assert!(!is_share(0.2373, 1000));
    }
}
