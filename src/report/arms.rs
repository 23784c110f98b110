//! Every arm against every other, on the same items: which differences are there, and what it would take to see a smaller one.

use super::forgetting::{Row, TaskGroup, design, number, p_value, pairs, range};
use super::grid::{Grid, NOTHING};
use super::summary::arms;
use super::table::plus;
use crate::error::{Error, Result};
use crate::experiment::results::Results;
use crate::plot::palette::{BASE, label};
use crate::stats::{Adjusted, Comparison, Test};

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
pub fn rows(results: &Results, of: TaskGroup) -> Result<Vec<Row>> {
    let found = family(results, of)?;
    let comparisons: Vec<&Comparison> = found.iter().map(|(.., comparison)| comparison).collect();
    let adjusted = Adjusted::of(&comparisons, &design(results)?);
    let pairs = found.into_iter().zip(adjusted);
    Ok(pairs
        .map(|((arm, against, comparison), adjusted)| Row {
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
pub fn grid(results: &Results, of: TaskGroup) -> Result<Grid> {
    let rows = rows(results, of)?;
    let counted = |row: &Row| match row.comparison.test {
        Test::McNemar(counts) => Some([counts.gained.to_string(), counts.lost.to_string()]),
        _ => None,
    };
    // one seed of one task, or several: it is the same for all pairs
    let counts = rows.iter().any(|row| counted(row).is_some());
    let cells = |row: &Row| {
        let mut cells = vec![
            format!("{} − {}", label(&row.arm), label(&row.against)),
            plus(row.comparison.difference.value),
            range(row.comparison.interval),
        ];
        if counts {
            cells.extend(counted(row).unwrap_or([NOTHING, NOTHING].map(str::to_owned)));
        }
        cells.extend([
            p_value(row.comparison.p),
            p_value(row.adjusted.p),
            match row.adjusted.differs {
                true => "yes".to_owned(),
                false => "cannot tell".to_owned(),
            },
            number(row.comparison.smallest_effect),
        ]);
        cells
    };
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
    let columns = ["arms", "points", "95 %"]
        .into_iter()
        .chain(["right", "wrong"].into_iter().filter(|_| counts))
        .chain(["p", "Holm", "differ", "least"]);
    Ok(Grid {
        title: format!("Every two arms on {tasks}, {seeds}"),
        legend: format!(
            "points: the first − the second, paired by item. 95 %: where the difference lies, over {over}.{items} p: by {}. Holm: p adjusted for all pairs of the table. differ: if that is at \
             most 0.05 and the interval leaves out 0. least: the smallest difference that these items and seeds find with a probability of 80 %.",
            tests.join(" or ")
        ),
        columns: columns.map(str::to_owned).collect(),
        rows: rows.iter().map(cells).collect(),
    })
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
        let text = grid(&results, TaskGroup::NonTarget).unwrap().text(super::super::table::WIDTH);
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
