//! "Does it forget? Does it learn?": each arm against base and against the ground truth, with what may be concluded.

use super::grid::{Grid, NOTHING, minus};
use super::summary::{arms, chosen};
use super::table::{counts, frame, numbers, plus, text};
use crate::error::{Error, Result};
use crate::experiment::results::{Results, Run, TaskScore};
use crate::plot::palette::{BASE, label};
use crate::select::canonical;
use crate::stats::{Adjusted, Comparison, Design, Interval, Pair, Test, Verdict};
use polars::prelude::DataFrame;

/// The arm that the others are compared with beside base.
const TRUTH: &str = "ground_truth";

/// Which scores are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskGroup {
    /// The mean of the non-target tasks, each weighed alike.
    NonTarget,
    /// The target task.
    Target,
}

/// One arm at its chosen rate against another, or against base.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The arm.
    pub arm: String,
    /// `base`, or the arm that it is compared with.
    pub against: String,
    /// Of which tasks.
    pub of: TaskGroup,
    /// The arm − the other, in points.
    pub comparison: Comparison,
    /// Adjusted over all arms that were compared with the same on the same tasks.
    pub adjusted: Adjusted,
}

/// Every arm against base, then against the ground truth, first on the non-target tasks, then on the target.
///
/// Runs are compared with base item by item, and with the ground truth's run of the same seed; an arm without such a seed is left
/// out there, as are tasks of a single item, with which nothing can be told. Errors: scores that are not of the same items as base's.
pub fn rows(results: &Results) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for of in [TaskGroup::NonTarget, TaskGroup::Target] {
        for against in [BASE, TRUTH] {
            rows.extend(family(results, of, against)?);
        }
    }
    Ok(rows)
}

/// The design of the experiment: the recipe's margin, else the usual.
pub(super) fn design(results: &Results) -> Result<Design> {
    Design::with_margin(results.margin)
}

fn family(results: &Results, of: TaskGroup, against: &str) -> Result<Vec<Row>> {
    let design = design(results)?;
    let mut found: Vec<(&str, Comparison)> = Vec::new();
    for arm in arms(results) {
        let pairs = if arm == against { Vec::new() } else { pairs(results, of, against, arm)? };
        let told = |pair: &Pair| pair.first.first().is_some_and(|row| row.len() > 1);
        if !pairs.is_empty() && pairs.iter().all(told) {
            found.push((arm, Comparison::of(&pairs, &design)?));
        }
    }
    let comparisons: Vec<&Comparison> = found.iter().map(|(_, comparison)| comparison).collect();
    let adjusted = Adjusted::of(&comparisons, &design);
    let row = |((arm, comparison), adjusted): ((&str, Comparison), Adjusted)| Row {
        arm: arm.to_owned(),
        against: against.to_owned(),
        of,
        comparison,
        adjusted,
    };
    Ok(found.into_iter().zip(adjusted).map(row).collect())
}

/// The outcomes of `first` (base or an arm) and `second` on the same items under the same seeds, each at its chosen rate; no pair where they
/// have no seed or no such task.
///
/// Errors: scores that are not of the same items.
pub fn pairs(results: &Results, of: TaskGroup, first: &str, second: &str) -> Result<Vec<Pair>> {
    let count = results.base.len();
    let tasks: Vec<usize> = match of {
        TaskGroup::Target => (0..count.min(1)).collect(),
        TaskGroup::NonTarget => (1..count).collect(),
    };
    pairs_of(results, &tasks, first, second)
}

/// As [`pairs`], for the tasks at these places: 0 is the target.
pub fn pairs_of(
    results: &Results,
    tasks: &[usize],
    first: &str,
    second: &str,
) -> Result<Vec<Pair>> {
    let (first, second) = (&*canonical(first), &*canonical(second));
    let sides = side_by_side(results, first, second)?;
    if sides.is_empty() {
        return Ok(Vec::new());
    }
    let weight = 1.0 / tasks.len().max(1) as f64;
    let values = |test: &[TaskScore], task: usize| -> Result<Vec<f64>> {
        let wanted = &results.base[task];
        let fits = |score: &&TaskScore| {
            score.task == wanted.task && score.items.len() == wanted.items.len()
        };
        let score = test.get(task).filter(fits).ok_or_else(|| {
            let (items, task) = (wanted.items.len(), &wanted.task);
            let problem = format!(
                "{first} or {second} has no score for the {items} items of {task} that base has"
            );
            Error::invalid("results", problem)
        })?;
        Ok(score.items.iter().map(|item| item.value).collect())
    };
    let pair = |task: &usize| {
        let rows = |of: fn(Side) -> &[TaskScore]| -> Result<Vec<Vec<f64>>> {
            sides.iter().map(|side| values(of(*side), *task)).collect()
        };
        Ok(Pair { weight, first: rows(|side| side.0)?, second: rows(|side| side.1)? })
    };
    tasks.iter().map(pair).collect()
}

/// The test scores of the two under one seed.
type Side<'a> = (&'a [TaskScore], &'a [TaskScore]);

fn side_by_side<'a>(results: &'a Results, first: &str, second: &str) -> Result<Vec<Side<'a>>> {
    let base = || results.base.as_slice();
    Ok(match (first == BASE, second == BASE) {
        (true, true) => vec![(base(), base())],
        (true, false) => {
            chosen(results, second)?.iter().map(|run| (base(), &run.test[..])).collect()
        }
        (false, true) => {
            chosen(results, first)?.iter().map(|run| (&run.test[..], base())).collect()
        }
        (false, false) => {
            let others = chosen(results, first)?;
            let beside = |run: &&'a Run| {
                let other = others.iter().find(|other| other.seed == run.seed)?;
                Some((&other.test[..], &run.test[..]))
            };
            chosen(results, second)?.iter().filter_map(beside).collect()
        }
    })
}

/// The two tables for reading, of those `rows` that there are.
pub fn grids(results: &Results, rows: &[Row]) -> Vec<Grid> {
    let margin = results.margin;
    let titles = [
        (
            TaskGroup::NonTarget,
            format!("Does it forget? Non-target mean; a loss below {margin} points counts as none"),
            "does not forget",
        ),
        (TaskGroup::Target, format!("Does it learn? Target ({})", results.target), "learns"),
    ];
    let against = |of: TaskGroup, against: &str, arm: &str| {
        rows.iter().find(|row| row.of == of && row.against == against && row.arm == arm)
    };
    let mut grids = Vec::new();
    for (of, title, claim) in titles {
        let base = rows.iter().filter(|row| row.of == of && row.against == BASE);
        let cells = |row: &Row| {
            let verdict = match of {
                TaskGroup::NonTarget => row.adjusted.not_lower,
                TaskGroup::Target => learns(row),
            };
            let mut cells = vec![label(&row.arm)];
            cells.extend(difference(Some(row)));
            cells.push(verdict.to_string());
            cells.push(number(row.comparison.smallest_effect));
            cells.extend(difference(against(of, TRUTH, &row.arm)));
            cells
        };
        let rows: Vec<Vec<String>> = base.clone().map(cells).collect();
        let columns = ["arm", "points", "95 %", "p", claim, "least", "vs truth", "95 %", "p"];
        grids.push(Grid {
            title,
            legend: legend(of, margin, base.clone().map(|row| row.comparison.test)),
            columns: columns.map(str::to_owned).to_vec(),
            rows,
        });
    }
    grids
}

/// The one of [`grids`] that is about these tasks.
///
/// # Errors
/// As [`rows`].
pub fn grid(results: &Results, of: TaskGroup) -> Result<Grid> {
    let mut grids = grids(results, &rows(results)?);
    let at = usize::from(of == TaskGroup::Target);
    Ok(grids.swap_remove(at))
}

/// Whether the target score rose: yes, no (it fell), or these data cannot tell.
fn learns(row: &Row) -> Verdict {
    match (row.adjusted.differs, row.comparison.difference.value > 0.0) {
        (true, true) => Verdict::Yes,
        (true, false) => Verdict::No,
        _ => Verdict::CannotTell,
    }
}

fn difference(row: Option<&Row>) -> [String; 3] {
    match row {
        None => [NOTHING, NOTHING, NOTHING].map(str::to_owned),
        Some(row) => [
            plus(row.comparison.difference.value),
            range(row.comparison.interval),
            p_value(row.adjusted.p),
        ],
    }
}

fn legend(of: TaskGroup, margin: f64, tests: impl Iterator<Item = Test>) -> String {
    // Student's t gives way to sign flips where all items moved alike, so one row does not speak for all.
    let mut names: Vec<&str> = tests
        .map(|test| match test {
            Test::McNemar(_) => "McNemar's exact test",
            Test::SignFlip => "sign flips over items",
            Test::T => "Student's t over items and seeds",
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    let test = names.join(" or ");
    let claim = match of {
        TaskGroup::NonTarget => format!(
            "does not forget: yes if a loss of {margin} points or more can be ruled out (TOST's lower test adjusted by Holm, and the 90 % interval), no if any smaller \
             loss can."
        ),
        TaskGroup::Target => "learns: yes or no (it lost) if p is at most 0.05.".to_owned(),
    };
    format!(
        "points: change against base, paired by item. 95 %: the wider of the bootstrap's interval over seeds and items and Student's. p: by {test}, adjusted by \
         Holm over the arms. {claim} least: the smallest change that these items and seeds find with a probability of 80 %. vs truth: against ground truth, seed by seed."
    )
}

/// `−1.2 to +0.3`
pub fn range(interval: Interval) -> String {
    format!("{} to {}", plus(interval.low), plus(interval.high))
}

/// Three decimals, or `<.001`.
pub fn p_value(p: f64) -> String {
    match p < 0.001 {
        true => "<.001".to_owned(),
        false => format!("{p:.3}"),
    }
}

/// One decimal, or nothing.
pub fn number(value: Option<f64>) -> String {
    value.map_or(NOTHING.to_owned(), |value| minus(&format!("{value:.1}")))
}

/// Every comparison with everything that led to it.
pub fn forgetting_frame(results: &Results) -> Result<DataFrame> {
    let rows = rows(results)?;
    let of = |row: &Row| match row.of {
        TaskGroup::NonTarget => "non-target mean".to_owned(),
        TaskGroup::Target => results.target.clone(),
    };
    let value = |name: &str, value: fn(&Row) -> Option<f64>| numbers(name, rows.iter().map(value));
    let word = |name: &str, value: &dyn Fn(&Row) -> String| text(name, rows.iter().map(value));
    frame(vec![
        word("arm", &|row| row.arm.clone()),
        word("against", &|row| row.against.clone()),
        word("tasks", &of),
        counts("seeds", rows.iter().map(|row| row.comparison.seeds)),
        counts("items", rows.iter().map(|row| row.comparison.items)),
        value("points", |row| Some(row.comparison.difference.value)),
        value("points_se", |row| row.comparison.difference.se),
        value("degrees_of_freedom", |row| row.comparison.degrees_of_freedom),
        value("low", |row| Some(row.comparison.interval.low)),
        value("high", |row| Some(row.comparison.interval.high)),
        value("bootstrap_low", |row| Some(row.comparison.bootstrap.low)),
        value("bootstrap_high", |row| Some(row.comparison.bootstrap.high)),
        value("student_low", |row| Some(row.comparison.student?.low)),
        value("student_high", |row| Some(row.comparison.student?.high)),
        word("test", &|row| row.comparison.test.to_string()),
        value("p", |row| Some(row.comparison.p)),
        value("p_holm", |row| Some(row.adjusted.p)),
        numbers("margin", rows.iter().map(|_| Some(results.margin))),
        value("p_not_lower", |row| Some(row.comparison.equivalence.lower)),
        value("p_not_higher", |row| Some(row.comparison.equivalence.higher)),
        value("p_not_lower_holm", |row| Some(row.adjusted.not_lower_p)),
        word("not_lower", &|row| row.adjusted.not_lower.to_string()),
        word("equal", &|row| row.comparison.equal.to_string()),
        value("smallest_effect", |row| row.comparison.smallest_effect),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn found(results: &Results) -> Vec<Row> {
        rows(results).unwrap()
    }

    #[test]
    fn changes_are_those_of_the_summary() {
        let results = sample::results();
        let rows = found(&results);
        for summary in crate::report::summary::rows(&results).unwrap().iter().skip(1) {
            let change = summary.change.as_ref().unwrap();
            let row = |of: TaskGroup| {
                let mut rows = rows.iter().filter(|row| row.arm == summary.arm && row.of == of);
                rows.find(|row| row.against == BASE).unwrap()
            };
            let check = |of: TaskGroup, expected: crate::stats::Estimate| {
                let found = row(of).comparison.difference;
                assert!((found.value - expected.value).abs() < 1e-9, "{}", summary.arm);
                assert!((found.se.unwrap() - expected.se.unwrap()).abs() < 1e-9);
            };
            check(TaskGroup::Target, change.target_points);
            check(TaskGroup::NonTarget, change.non_target_points.unwrap());
            assert_eq!(row(TaskGroup::Target).comparison.test, Test::T);
        }
    }

    #[test]
    fn every_arm_is_compared_with_base_and_all_but_itself_with_the_ground_truth() {
        let results = sample::results();
        let rows = found(&results);
        let count = arms(&results).len();
        assert_eq!(rows.len(), 2 * (count + count - 1));
        assert!(rows.iter().all(|row| row.arm != row.against));
        for row in &rows {
            let Comparison { interval, bootstrap, student, difference, .. } = &row.comparison;
            let held = |low: f64, high: f64| interval.low <= low && interval.high >= high;
            assert!(
                held(bootstrap.low, bootstrap.high) && held(difference.value, difference.value)
            );
            assert!(student.is_none_or(|student| held(student.low, student.high)));
            assert!(row.adjusted.p >= row.comparison.p);
        }
        // made up to forget much
        let truth =
            rows.iter().find(|row| row.arm == TRUTH && row.of == TaskGroup::NonTarget).unwrap();
        assert_eq!(truth.adjusted.not_lower, Verdict::No, "{truth:?}");
    }

    #[test]
    fn one_seed_is_tested_over_items() {
        let mut results = sample::results();
        results.runs.retain(|run| run.seed == 0);
        let tests: Vec<(TaskGroup, Test)> =
            found(&results).iter().map(|row| (row.of, row.comparison.test)).collect();
        assert!(tests.iter().all(|(of, test)| match of {
            TaskGroup::Target => matches!(test, Test::McNemar(_)),
            TaskGroup::NonTarget => *test == Test::SignFlip,
        }));
    }

    #[test]
    fn the_margin_decides_and_is_stated() {
        let mut results = sample::results();
        let yes = |results: &Results| {
            let rows = found(results);
            let kept = |row: &&Row| row.adjusted.not_lower == Verdict::Yes;
            rows.iter().filter(kept).count()
        };
        let narrow = yes(&results);
        results.margin = 60.0;
        assert!(yes(&results) > narrow);
        let grids = grids(&results, &found(&results));
        assert!(grids[0].title.contains("60 points") && grids[0].legend.contains("60 points"));
        results.margin = -1.0;
        assert!(rows(&results).unwrap_err().to_string().contains("margin"));
    }

    #[test]
    fn a_single_item_tells_nothing_and_is_left_out() {
        let mut results = sample::results();
        let tests = results.runs.iter_mut().map(|run| &mut run.test);
        for tasks in tests.chain([&mut results.base]) {
            tasks[0].items.truncate(1);
        }
        assert!(found(&results).iter().all(|row| row.of == TaskGroup::NonTarget));
    }
}
