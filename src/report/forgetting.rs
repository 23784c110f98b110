//! "Does it forget? Does it learn?": each arm against base and against the ground truth, with what may be concluded.

use super::summary::{arms, chosen};
use crate::error::{Error, Result};
use crate::experiment::results::{Results, Run, TaskScore};
use crate::plot::palette::{BASE, label};
use crate::select::canonical;
use crate::stats::{Adjusted, Comparison, Design, Interval, Pair, Test, Verdict};
use crate::table::{Cell, Table, plus};

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
pub struct ForgettingRow {
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
pub fn rows(results: &Results) -> Result<Vec<ForgettingRow>> {
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

fn family(results: &Results, of: TaskGroup, against: &str) -> Result<Vec<ForgettingRow>> {
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
    let row = |((arm, comparison), adjusted): ((&str, Comparison), Adjusted)| ForgettingRow {
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
pub fn tables(results: &Results, rows: &[ForgettingRow]) -> [Table; 2] {
    [TaskGroup::NonTarget, TaskGroup::Target].map(|of| of_rows(results, of, rows))
}

/// The one of [`tables`] that is about these tasks.
///
/// # Errors
/// As [`rows`].
pub fn table(results: &Results, of: TaskGroup) -> Result<Table> {
    let rows = [family(results, of, BASE)?, family(results, of, TRUTH)?].concat();
    Ok(of_rows(results, of, &rows))
}

fn of_rows(results: &Results, of: TaskGroup, rows: &[ForgettingRow]) -> Table {
    let margin = results.margin;
    let (title, claim) = match of {
        TaskGroup::NonTarget => (
            format!("Does it forget? Non-target mean; a loss below {margin} points counts as none"),
            "does not forget",
        ),
        TaskGroup::Target => (format!("Does it learn? Target ({})", results.target), "learns"),
    };
    let against =
        |name: &'static str| rows.iter().filter(move |row| row.of == of && row.against == name);
    // each arm against base, and against the ground truth
    let pairs: Vec<(&ForgettingRow, Option<&ForgettingRow>)> =
        against(BASE).map(|row| (row, against(TRUTH).find(|other| other.arm == row.arm))).collect();
    let points = |row: &ForgettingRow| Cell::points(row.comparison.difference.value);
    let interval = |row: &ForgettingRow| range(row.comparison.interval);
    let p = |row: &ForgettingRow| p_value(row.adjusted.p);
    Table::new(title)
        .legend(legend(of, margin, pairs.iter().map(|(row, _)| row.comparison.test)))
        .rows(&pairs)
        .column("arm", |(row, _)| label(&row.arm))
        .column("points", |(row, _)| points(row))
        .column("95 %", |(row, _)| interval(row))
        .column("p", |(row, _)| p(row))
        .column(claim, |(row, _)| match of {
            TaskGroup::NonTarget => row.adjusted.not_lower.to_string(),
            TaskGroup::Target => learns(row).to_string(),
        })
        .column("least", |(row, _)| Cell::number(row.comparison.smallest_effect, 1))
        .column("vs truth", |(_, truth)| truth.map(points))
        .column("95 %", |(_, truth)| truth.map(interval))
        .column("p", |(_, truth)| truth.map(p))
        .table()
}

/// Whether the target score rose: yes, no (it fell), or these data cannot tell.
fn learns(row: &ForgettingRow) -> Verdict {
    match (row.adjusted.differs, row.comparison.difference.value > 0.0) {
        (true, true) => Verdict::Yes,
        (true, false) => Verdict::No,
        _ => Verdict::CannotTell,
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

/// Every comparison with everything that led to it.
pub fn comparisons(results: &Results, rows: &[ForgettingRow]) -> Table {
    Table::default()
        .named("forgetting")
        .rows(rows)
        .file("arm", |row| &row.arm)
        .file("against", |row| &row.against)
        .file("tasks", |row| match row.of {
            TaskGroup::NonTarget => "non-target mean",
            TaskGroup::Target => results.target.as_str(),
        })
        .file("seeds", |row| row.comparison.seeds)
        .file("items", |row| row.comparison.items)
        .file("points", |row| Cell::change(row.comparison.difference))
        .file("degrees_of_freedom", |row| row.comparison.degrees_of_freedom)
        .file("low", |row| row.comparison.interval.low)
        .file("high", |row| row.comparison.interval.high)
        .file("bootstrap_low", |row| row.comparison.bootstrap.low)
        .file("bootstrap_high", |row| row.comparison.bootstrap.high)
        .file("student_low", |row| row.comparison.student.map(|student| student.low))
        .file("student_high", |row| row.comparison.student.map(|student| student.high))
        .file("test", |row| row.comparison.test.to_string())
        .file("p", |row| row.comparison.p)
        .file("p_holm", |row| row.adjusted.p)
        .file("margin", |_| results.margin)
        .file("p_not_lower", |row| row.comparison.equivalence.lower)
        .file("p_not_higher", |row| row.comparison.equivalence.higher)
        .file("p_not_lower_holm", |row| row.adjusted.not_lower_p)
        .file("not_lower", |row| row.adjusted.not_lower.to_string())
        .file("equal", |row| row.comparison.equal.to_string())
        .file("smallest_effect", |row| row.comparison.smallest_effect)
        .table()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn found(results: &Results) -> Vec<ForgettingRow> {
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
            let kept = |row: &&ForgettingRow| row.adjusted.not_lower == Verdict::Yes;
            rows.iter().filter(kept).count()
        };
        let narrow = yes(&results);
        results.margin = 60.0;
        assert!(yes(&results) > narrow);
        let [table, _] = tables(&results, &found(&results));
        assert!(table.title.contains("60 points") && table.legend.contains("60 points"));
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
