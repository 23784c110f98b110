//! The figures and short tables that chapters and README show where they speak of them, made from the results that are kept.

use super::kept::Kept;
use crate::error::{Error, Result};
use crate::plot::palette::{BASE, BLUE, GRAY, look};
use crate::plot::{Axis, Panel, Plot};
use crate::table::plus;
use std::fmt::Write as _;
use std::path::Path;

/// The rate at which arms are compared as the paper compares them.
const RATE: &str = "3e-3";
/// Narrow enough for a phone: letters stay readable when 350 pixels show it.
const SIZE: (u32, u32) = (480, 400);

/// All of them by name, from the tables below `results`.
///
/// # Errors
/// A table that is missing, or lacks a row or a column.
pub(super) fn files(results: &Path) -> Result<Vec<(&'static str, String)>> {
    let rates = Kept::read(&results.join("as-published/tables/rates-code.csv"))?;
    let masks = Kept::read(&results.join("table-3/tables/rates-code.csv"))?;
    Ok(vec![
        ("thresholds.svg", thresholds(&masks)?.svg()?),
        (
            "epochs.svg",
            epochs(&Kept::read(&results.join("figure-4/tables/convergence.csv"))?)?.svg()?,
        ),
        ("distance.svg", distance(&rates)?.svg()?),
        ("one-rate.md", one_rate(&rates, &["ground truth", "STM 2.5", "self-output", "rephrase"])?),
        ("own-answers.md", one_rate(&rates, &["ground truth", "self-output", "rephrase"])?),
        (
            "masks.md",
            one_rate(&masks, &["ground truth", "STM 2.5", "random mask 2.5", "lowest mask 2.5"])?,
        ),
        (
            "published.md",
            one_rate(
                &rates,
                &["ground truth, axolotl", "ground truth", "STM 2.5, stm script", "STM 2.5"],
            )?,
        ),
        ("rates.md", by_rate(&rates, &["ground truth", "STM 2.5"])?),
        ("movement.md", movement(&rates, &["ground truth", "STM 2.5", "rephrase", "self-output"])?),
    ])
}

/// One run of an arm at a rate: changes against base in points, with standard errors over seeds where there are several.
struct Run {
    arm: String,
    rate: String,
    seeds: f64,
    target: (f64, Option<f64>),
    others: (f64, Option<f64>),
    moved: f64,
}

fn runs(table: &Kept) -> Result<Vec<Run>> {
    let (arms, rates) = (table.words("arm")?, table.words("rate")?);
    let columns = [
        "seeds",
        "target points",
        "target points se",
        "others points",
        "others points se",
        "‖Δ‖/‖W‖ %",
    ];
    let columns = columns.iter().map(|name| table.numbers(name)).collect::<Result<Vec<_>>>()?;
    let rows = arms.into_iter().zip(rates).enumerate();
    let run = |(at, (arm, rate)): (usize, (String, String))| {
        let number = |column: usize| columns[column][at];
        Some(Run {
            arm,
            rate: written(&rate),
            seeds: number(0)?,
            target: (number(1)?, number(2)),
            others: (number(3)?, number(4)),
            moved: number(5)?,
        })
    };
    Ok(rows.filter_map(run).collect())
}

/// A rate as tables write it, however the file had it.
fn written(rate: &str) -> String {
    rate.parse::<f64>().map_or_else(|_| rate.to_owned(), |rate| format!("{rate:e}"))
}

fn find<'a>(runs: &'a [Run], arm: &str, rate: &str) -> Result<&'a Run> {
    runs.iter().find(|run| run.arm == arm && run.rate == rate).ok_or_else(|| {
        Error::invalid("the book's results", format!("have no run of {arm} at {rate}"))
    })
}

fn points((value, error): (f64, Option<f64>)) -> String {
    match error {
        Some(error) => format!("{} ± {error:.1}", plus(value)),
        None => plus(value),
    }
}

/// A line of a Markdown table for each arm at the one rate.
fn one_rate(table: &Kept, arms: &[&str]) -> Result<String> {
    let runs = runs(table)?;
    let mut text = format!(
        "| learned at {RATE} | seeds | code, the target | five other tasks |\n| --- | --: | --: | --: |\n"
    );
    for arm in arms {
        let run = find(&runs, arm, RATE)?;
        let _ = writeln!(
            text,
            "| {arm} | {} | {} | {} |",
            run.seeds,
            points(run.target),
            points(run.others)
        );
    }
    Ok(text)
}

/// Target and others, side by side, for each rate.
fn by_rate(table: &Kept, arms: &[&str]) -> Result<String> {
    let runs = runs(table)?;
    let mut text = "| rate |".to_owned();
    for arm in arms {
        let _ = write!(text, " {arm}: code | others |");
    }
    let _ = write!(text, "\n| --- |{}\n", " --: | --: |".repeat(arms.len()));
    let mut rates: Vec<&str> = Vec::new();
    for run in runs.iter().filter(|run| run.arm == arms[0]) {
        rates.push(&run.rate);
    }
    for rate in rates {
        let _ = write!(text, "| {rate} |");
        for arm in arms {
            let run = find(&runs, arm, rate)?;
            let _ = write!(text, " {} | {} |", points(run.target), points(run.others));
        }
        text.push('\n');
    }
    Ok(text)
}

/// How far the weights moved at the one rate, beside what was lost.
fn movement(table: &Kept, arms: &[&str]) -> Result<String> {
    let runs = runs(table)?;
    let mut text = format!(
        "| learned at {RATE} | weights changed by | five other tasks, points |\n| --- | --: | --: |\n"
    );
    for arm in arms {
        let run = find(&runs, arm, RATE)?;
        let _ = writeln!(text, "| {arm} | {:.1} % | {} |", run.moved, points(run.others));
    }
    Ok(text)
}

/// What each threshold costs at the one rate: the curve below the slider.
fn thresholds(table: &Kept) -> Result<Plot> {
    let runs = runs(table)?;
    // no threshold stands at the right end, a decade above the largest
    const NONE: f64 = 1e4;
    let mut curve: Vec<(f64, &Run)> = Vec::new();
    for run in runs.iter().filter(|run| run.rate == RATE) {
        match run.arm.strip_prefix("STM ").map(str::parse) {
            Some(Ok(threshold)) => curve.push((threshold, run)),
            _ if run.arm == "ground truth" => curve.push((NONE, run)),
            _ => {}
        }
    }
    curve.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (none, paper) = (find(&runs, "ground truth", RATE)?, find(&runs, "STM 2.5", RATE)?);
    let panel = |name: &str, of: fn(&Run) -> f64| {
        let marks: Vec<(f64, f64)> = curve.iter().map(|(x, run)| (*x, of(run))).collect();
        let x = Axis::log("threshold of the perplexity (10000: none)", 1.0, NONE * 1.2);
        let y = Axis::around("points", marks.iter().map(|mark| mark.1).chain([0.0]), 10.0);
        Panel::new(x, y)
            .heading(name, BLUE)
            .level(0.0, BASE, GRAY)
            .line(marks.clone(), BLUE.stroke(2.0))
            .marks(marks, crate::plot::palette::STM, 5.0)
    };
    let title = format!(
        "Other skills: {} points without a threshold, {} at 2.5",
        plus(none.others.0),
        plus(paper.others.0)
    );
    Ok(Plot::new(title)
        .note(
            "Change against base after training on code at 3e-3, first seed, 200 questions a task.",
        )
        .panel(panel("five other tasks", |run| run.others.0))
        .panel(panel("code, the target", |run| run.target.0))
        .size(SIZE.0, 460))
}

/// The target's score over ten epochs.
fn epochs(table: &Kept) -> Result<Plot> {
    let (arms, epoch) = (table.words("arm")?, table.numbers("epoch")?);
    let score = table.numbers("target %")?;
    let all = ["ground truth", "self-output", "STM 2.5"];
    let short = ["ground_truth", "self_output", "stm(2.5)"];
    let mut panel =
        Panel::new(Axis::new("epoch", 0.0, 10.0), Axis::new("right on code, percent", 0.0, 75.0));
    let (mut keys, mut title) = (Vec::new(), Vec::new());
    for (name, one) in all.iter().zip(short) {
        let rows = arms.iter().enumerate().filter(|(_, arm)| arm == name);
        let curve: Vec<(f64, f64)> =
            rows.filter_map(|(at, _)| Some((epoch[at]?, score[at]?))).collect();
        let Some(last) = curve.last() else {
            return Err(Error::invalid("the book's results", format!("have no epochs of {name}")));
        };
        let look = look(one, &short);
        title.push(format!("{name} {:.0} %", last.1));
        panel = panel.line(curve.clone(), look.stroke(2.0)).marks(curve, look, 4.0);
        keys.push(look.line_key(*name));
    }
    let base = arms.iter().zip(&score).find(|(arm, _)| *arm == all[0]).and_then(|row| *row.1);
    if let Some(base) = base {
        panel = panel.level(base, BASE, GRAY);
    }
    Ok(Plot::new(format!("After ten epochs: {}", title.join(", ")))
        .note("The skill that is trained for, at 1e-3, means over seeds.")
        .panel(panel)
        .legend(keys)
        .size(560, 340))
}

/// What was lost against how far the weights moved, a mark for each arm and rate.
fn distance(table: &Kept) -> Result<Plot> {
    let runs = runs(table)?;
    let arms = [
        ("ground truth", "ground_truth"),
        ("STM 2.5", "stm(2.5)"),
        ("self-output", "self_output"),
        ("rephrase", "rephrase"),
    ];
    let names: Vec<&str> = arms.iter().map(|arm| arm.1).collect();
    let x = Axis::new("change of the weights, percent of their norm", 0.0, 7.0);
    let mut panel =
        Panel::new(x, Axis::new("five other tasks, points", -55.0, 10.0)).level(0.0, BASE, GRAY);
    let mut keys = Vec::new();
    for (arm, short) in arms {
        let of = runs.iter().filter(|run| run.arm == arm);
        let marks: Vec<(f64, f64)> = of.map(|run| (run.moved, run.others.0)).collect();
        let look = look(short, &names);
        panel = panel.line(marks.clone(), look.stroke(1.5)).marks(marks, look, 5.0);
        keys.push(look.line_key(arm));
    }
    let (all, stm) = (find(&runs, "ground truth", "1e-3")?, find(&runs, "STM 2.5", RATE)?);
    let title = format!(
        "Moved by {:.1} %, ground truth loses {:.1} points; moved by {:.1} %, STM loses {:.1}",
        all.moved, -all.others.0, stm.moved, -stm.others.0
    );
    Ok(Plot::new(title)
        .note("Each arm at the rates 3e-4, 1e-3 and 3e-3, from left to right; five seeds.")
        .panel(panel)
        .legend(keys)
        .size(560, SIZE.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_rounds_to_nothing_has_no_sign() {
        assert_eq!(points((-0.04, Some(0.06))), "0.0 ± 0.1");
        assert_eq!(points((9.3, None)), "+9.3");
    }

    #[test]
    fn a_run_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rates.csv");
        let head = "arm,rate,seeds,target points,target points se,others points,others points se,‖Δ‖/‖W‖ %";
        std::fs::write(&file, format!("{head}\nground truth,3e-3,5,-20.5,1.5,-47.3,0.4,6.1\n"))
            .unwrap();
        let kept = Kept::read(&file).unwrap();
        let text = one_rate(&kept, &["ground truth"]).unwrap();
        assert!(text.ends_with("| ground truth | 5 | −20.5 ± 1.5 | −47.3 ± 0.4 |\n"), "{text}");
        let error = one_rate(&kept, &["STM 2.5"]).unwrap_err().to_string();
        assert!(error.contains("no run of STM 2.5 at 3e-3"), "{error}");
    }
}
