//! Every arm against every other, on the same items: which differences are there, and what it would take to see a smaller one.

use super::forgetting::{Of, Row, design, number, p_value, pairs, range};
use super::grid::{Grid, NOTHING};
use super::palette::{BASE, label};
use super::summary::arms;
use super::table::plus;
use crate::error::{Error, Result};
use crate::experiment::results::Results;
use crate::stats::{Adjusted, Comparison, Test};

/// `second` − `first`, each an arm at its chosen rate or `base`.
///
/// # Errors
/// The two have no seed and no task of at least two items in common.
pub fn between(results: &Results, of: Of, first: &str, second: &str) -> Result<Comparison> {
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
pub fn family(results: &Results, of: Of) -> Result<Vec<(String, String, Comparison)>> {
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
pub fn rows(results: &Results, of: Of) -> Result<Vec<Row>> {
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
pub fn grid(results: &Results, of: Of) -> Result<Grid> {
    let rows = rows(results, of)?;
    let cells = |row: &Row| {
        let counts = |value: fn(crate::stats::mcnemar::Discordant) -> usize| match row.comparison.test {
            Test::McNemar(counts) => value(counts).to_string(),
            _ => NOTHING.to_owned(),
        };
        vec![
            format!("{} − {}", label(&row.arm), label(&row.against)),
            plus(row.comparison.difference.value),
            range(row.comparison.interval),
            counts(|counts| counts.gained),
            counts(|counts| counts.lost),
            p_value(row.comparison.p),
            p_value(row.adjusted.p),
            if row.adjusted.differs { "yes" } else { "cannot tell" }.to_owned(),
            number(row.comparison.smallest_effect),
        ]
    };
    let tasks = match of {
        Of::Target => results.target.clone(),
        Of::NonTarget => "the mean of the other tasks".to_owned(),
    };
    let mut tests: Vec<String> = rows.iter().map(|row| row.comparison.test.to_string()).collect();
    tests.sort_unstable();
    tests.dedup();
    let seeds = rows.first().map_or(0, |row| row.comparison.seeds);
    Ok(Grid {
        title: format!("Every two arms on {tasks}, {seeds} seed{}", if seeds == 1 { "" } else { "s" }),
        legend: format!(
            "points: the first − the second, paired by item. 95 %: where the difference lies, over items{}. right: items that only the first answers rightly; wrong: only the second. p: by \
             {}. Holm: p adjusted for all pairs of the table. least: the smallest difference that these items and seeds find with a probability of 80 %.",
            if seeds > 1 { " and seeds" } else { "; another seed may differ more" },
            tests.join(" or ")
        ),
        columns: ["arms", "points", "95 %", "right", "wrong", "p", "Holm", "differ", "least"]
            .map(str::to_owned)
            .to_vec(),
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
        let rows = rows(&results, Of::NonTarget).unwrap();
        assert_eq!(rows.len(), count * (count - 1) / 2);
        assert!(rows.iter().all(|row| row.adjusted.p >= row.comparison.p));
        let text = grid(&results, Of::NonTarget).unwrap().text(super::super::table::WIDTH);
        assert!(text.contains("seeds") && text.contains("− ground truth"), "{text}");
    }

    #[test]
    fn one_seed_of_the_target_counts_items() {
        let mut results = sample::results();
        results.runs.retain(|run| run.seed == 0);
        let rows = rows(&results, Of::Target).unwrap();
        assert!(rows.iter().all(|row| matches!(row.comparison.test, Test::McNemar(_))));
        let error = between(&results, Of::Target, "base", "stm").unwrap_err().to_string();
        assert!(error.contains("`stm`") && error.contains("ground_truth"), "{error}");
    }
}
