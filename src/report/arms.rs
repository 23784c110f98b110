//! Every arm against every other, on the same items: which differences are there, and what it would take to see a smaller one.

use super::forgetting::{ForgettingRow, TaskGroup, design, p_value, pairs, range};
use super::summary::arms;
use crate::error::{Error, Result};
use crate::experiment::results::Results;
use crate::plot::palette::{BASE, label};
use crate::stats::{Adjusted, Comparison, Test};
use crate::table::{Cell, Table};

/// `second` − `first`, each an arm at its chosen rate or `base`.
///
/// # Errors
/// The two have no seed and no task of at least two items in common.
pub fn between(results: &Results, of: TaskGroup, first: &str, second: &str) -> Result<Comparison> {
    let pairs = pairs(results, of, first, second)?;
    if pairs.is_empty() {
        let known: Vec<&str> = std::iter::once(BASE).chain(arms(results)).collect();
        let problem = format!(
            "`{first}` and `{second}` were not run under one seed; there are {}",
            known.join(", ")
        );
        return Err(Error::invalid("arms", problem));
    }
    Comparison::of(&pairs, &design(results)?)
}

/// Every two arms: the one that comes later in the recipe, the one that comes before, and the first − the second.
///
/// # Errors
/// Scores that are not of the same items.
pub fn family(results: &Results, of: TaskGroup) -> Result<Vec<(String, String, Comparison)>> {
    let names = arms(results);
    let mut found = Vec::new();
    for (at, second) in names.iter().enumerate() {
        for first in &names[..at] {
            let comparison = between(results, of, first, second)?;
            found.push(((*second).to_owned(), (*first).to_owned(), comparison));
        }
    }
    Ok(found)
}

/// The same, adjusted by Holm for all of them.
///
/// # Errors
/// As [`family`].
pub fn rows(results: &Results, of: TaskGroup) -> Result<Vec<ForgettingRow>> {
    let found = family(results, of)?;
    let comparisons: Vec<&Comparison> = found.iter().map(|(.., comparison)| comparison).collect();
    let adjusted = Adjusted::of(&comparisons, &design(results)?);
    let pairs = found.into_iter().zip(adjusted);
    Ok(pairs
        .map(|((arm, against, comparison), adjusted)| ForgettingRow {
            arm,
            against,
            of,
            comparison,
            adjusted,
        })
        .collect())
}

/// The table of [`rows`] for reading.
///
/// # Errors
/// As [`rows`].
pub fn table(results: &Results, of: TaskGroup) -> Result<Table> {
    let rows = rows(results, of)?;
    let counted = |row: &ForgettingRow| match row.comparison.test {
        Test::McNemar(counts) => Some(counts),
        _ => None,
    };
    // one seed of one task, or several: it is the same for all pairs
    let counts = rows.iter().any(|row| counted(row).is_some());
    let tasks = match of {
        TaskGroup::Target => results.target.clone(),
        TaskGroup::NonTarget => "the mean of the other tasks".to_owned(),
    };
    let mut tests: Vec<String> = rows.iter().map(|row| row.comparison.test.to_string()).collect();
    tests.sort_unstable();
    tests.dedup();
    let (seeds, over) = match rows.first().map_or(0, |row| row.comparison.seeds) {
        1 => ("1 seed".to_owned(), "items; another seed may differ more"),
        seeds => (format!("{seeds} seeds"), "items and seeds"),
    };
    let items = match counts {
        true => " right: items that only the first answers rightly; wrong: only the second.",
        false => "",
    };
    let title = format!("Every two arms on {tasks}, {seeds}");
    let legend = format!(
        "points: the first − the second, paired by item. 95 %: where the difference lies, over {over}.{items} p: by {}. Holm: p adjusted for all pairs of the table. differ: if that is at \
         most 0.05 and the interval leaves out 0. least: the smallest difference that these items and seeds find with a probability of 80 %.",
        tests.join(" or ")
    );
    let mut table = Table::new(title)
        .legend(legend)
        .rows(&rows)
        .column("arms", |row| format!("{} − {}", label(&row.arm), label(&row.against)))
        .column("points", |row| Cell::points(row.comparison.difference.value))
        .column("95 %", |row| range(row.comparison.interval));
    if counts {
        table = table
            .column("right", |row| counted(row).map(|counts| counts.gained))
            .column("wrong", |row| counted(row).map(|counts| counts.lost));
    }
    Ok(table
        .column("p", |row| p_value(row.comparison.p))
        .column("Holm", |row| p_value(row.adjusted.p))
        .column("differ", |row| if row.adjusted.differs { "yes" } else { "cannot tell" })
        .column("least", |row| Cell::number(row.comparison.smallest_effect, 1))
        .table())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn every_two_arms_are_compared_once_and_adjusted_together() {
        let results = sample::results();
        let count = arms(&results).len();
        let rows = rows(&results, TaskGroup::NonTarget).unwrap();
        assert_eq!(rows.len(), count * (count - 1) / 2);
        assert!(rows.iter().all(|row| row.adjusted.p >= row.comparison.p));
        let text = table(&results, TaskGroup::NonTarget).unwrap().text(crate::table::WIDTH);
        assert!(text.contains("seeds") && text.contains("− ground truth"), "{text}");
    }

    #[test]
    fn one_seed_of_the_target_counts_items() {
        let mut results = sample::results();
        results.runs.retain(|run| run.seed == 0);
        let rows = rows(&results, TaskGroup::Target).unwrap();
        assert!(rows.iter().all(|row| matches!(row.comparison.test, Test::McNemar(_))));
        let error = between(&results, TaskGroup::Target, "base", "stm").unwrap_err().to_string();
        assert!(error.contains("`stm`") && error.contains("ground_truth"), "{error}");
    }
}
