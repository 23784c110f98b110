//! The whole front of each arm: over all its rates, what it gains on the target against what it keeps of the other tasks.
//!
//! With the points `(gain, kept)` of an arm, both changes against base in points, one for each rate:
//!
//! ```text
//! area       = area of { (x, y) ≥ (0, 0) : some rate has gain ≥ x and kept ≥ y }       above the base's own point
//! equal gain = min(max gain of the arm, max gain of the ground truth)
//! kept there = max { kept : gain ≥ equal gain }                                        the least forgetting
//! ```
//!
//! Intervals are of the bootstrap over seeds and items ([`Bootstrap::of_statistics`]), in which each draw finds its own equal gain.

use super::forgetting::range;
use super::summary::{arms, tested};
use crate::error::{Error, Result};
use crate::experiment::results::{Results, Run};
use crate::pareto::{area, highest_from, reached_by_both};
use crate::plot::palette::label;
use crate::stats::{Bootstrap, Design, Interval};
use crate::table::{Cell, Table};

/// The arm whose front the others are compared with.
const TRUTH: &str = "ground_truth";
/// Draws of seeds and items: the ends of an interval are then known to about a 15th of the standard error.
const DRAWS: usize = 2000;

/// A number and where it lies, at 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// The number.
    pub value: f64,
    /// Its interval; `None` where no draw has one.
    pub interval: Option<Interval>,
}

/// One arm's front.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmFront {
    /// The arm.
    pub arm: String,
    /// Rates that were tried.
    pub rates: usize,
    /// Area above the base's point, in points × points.
    pub area: Bounded,
    /// The same against the ground truth.
    pub against_truth: Option<FrontAgainst>,
}

/// One arm's front against the ground truth's.
#[derive(Debug, Clone, PartialEq)]
pub struct FrontAgainst {
    /// Area − the ground truth's.
    pub area: Bounded,
    /// The largest gain on the target, in points, that both reach.
    pub equal_gain: f64,
    /// The least change of the other tasks with at least that gain.
    pub kept: f64,
    /// The ground truth's.
    pub truth_kept: f64,
    /// The first − the second: above 0 where the arm forgets less.
    pub kept_more: Bounded,
}

/// The fronts of all arms, in the recipe's order; none where no arm has two rates, or without other tasks.
///
/// # Errors
/// Scores that are not of the same items as base's.
pub fn rows(results: &Results) -> Result<Vec<ArmFront>> {
    if !super::protocol::several_rates(results) || results.base.len() < 2 {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = arms(results)
        .into_iter()
        .filter(|arm| tested(results).any(|run| run.arm == *arm))
        .collect();
    // the models: each arm at each of its rates
    let mut models = Vec::new();
    let mut of_arm: Vec<Vec<usize>> = Vec::new();
    let most = most_seeds(results);
    for arm in &names {
        let mut own = Vec::new();
        for rate in rates(results, arm) {
            let mut runs: Vec<&Run> = tested(results)
                .filter(|run| run.arm == *arm && run.learning_rate == rate)
                .collect();
            if runs.len() != most {
                runs.truncate(1);
            }
            own.push(models.len());
            models.push(changes(results, &runs)?);
        }
        of_arm.push(own);
    }
    let points = |means: &[Vec<f64>], arm: usize| -> Vec<(f64, f64)> {
        let point = |model: &usize| {
            let others = &means[*model][1..];
            (means[*model][0], others.iter().sum::<f64>() / others.len() as f64)
        };
        of_arm[arm].iter().map(point).collect()
    };
    let truth = names.iter().position(|arm| *arm == TRUTH);
    const EACH: usize = 3;
    let statistics = |means: &[Vec<f64>]| -> Vec<f64> {
        let of_truth = truth.map(|truth| points(means, truth));
        let base = (0.0, 0.0);
        (0..names.len())
            .flat_map(|arm| {
                let own = points(means, arm);
                let area_of = |points: &[(f64, f64)]| area(points, base);
                let against = of_truth.as_deref();
                let equal = against.and_then(|truth| equal(&own, truth));
                [
                    area_of(&own),
                    against.map_or(f64::NAN, |truth| area_of(&own) - area_of(truth)),
                    equal.map_or(f64::NAN, |(_, kept, truth)| kept - truth),
                ]
            })
            .collect()
    };
    let mean = |rows: &Vec<Vec<f64>>| {
        rows.iter().flatten().sum::<f64>() / rows.iter().map(Vec::len).sum::<usize>() as f64
    };
    let means: Vec<Vec<f64>> =
        models.iter().map(|model: &Changes| model.iter().map(mean).collect()).collect();
    let found = statistics(&means);
    let design = Design::default();
    let drawn = Bootstrap::of_statistics(&models, DRAWS, design.seed, statistics)?;
    let bounded = |at: usize| Bounded {
        value: found[at],
        interval: drawn[at].as_ref().map(|drawn| drawn.interval(design.level)),
    };
    let of_truth = truth.map(|truth| points(&means, truth));
    let row = |(at, arm): (usize, &&str)| {
        let against = of_truth.as_deref().filter(|_| Some(at) != truth);
        let against = against.and_then(|truth| {
            let (equal_gain, kept, truth_kept) = equal(&points(&means, at), truth)?;
            Some(FrontAgainst {
                area: bounded(EACH * at + 1),
                equal_gain,
                kept,
                truth_kept,
                kept_more: bounded(EACH * at + 2),
            })
        });
        ArmFront {
            arm: (*arm).to_owned(),
            rates: of_arm[at].len(),
            area: bounded(EACH * at),
            against_truth: against,
        }
    };
    Ok(names.iter().enumerate().map(row).collect())
}

/// The gain that both reach, and what each keeps there.
fn equal(own: &[(f64, f64)], truth: &[(f64, f64)]) -> Option<(f64, f64, f64)> {
    let gain = reached_by_both(own, truth)?;
    Some((gain, highest_from(own, gain)?, highest_from(truth, gain)?))
}

/// By task, seed and item.
type Changes = Vec<Vec<Vec<f64>>>;

/// Tuned − base in points.
fn changes(results: &Results, runs: &[&Run]) -> Result<Changes> {
    let of_task = |(at, base): (usize, &crate::experiment::results::TaskScore)| {
        let of_run = |run: &&Run| {
            let own = run
                .test
                .get(at)
                .filter(|own| own.task == base.task && own.items.len() == base.items.len());
            let own = own.ok_or_else(|| {
                let problem = format!(
                    "{} with seed {} has no score for the {} items of {} that base has",
                    run.arm,
                    run.seed,
                    base.items.len(),
                    base.task
                );
                Error::invalid("results", problem)
            })?;
            let pairs = base.items.iter().zip(&own.items);
            Ok(pairs.map(|(base, own)| 100.0 * (own.value - base.value)).collect())
        };
        runs.iter().map(of_run).collect()
    };
    results.base.iter().enumerate().map(of_task).collect()
}

/// The rates of an arm, the lowest first.
fn rates(results: &Results, arm: &str) -> Vec<f64> {
    let mut rates: Vec<f64> =
        tested(results).filter(|run| run.arm == arm).map(|run| run.learning_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

/// The largest number of runs of an arm at a rate.
fn most_seeds(results: &Results) -> usize {
    let count = |run: &Run| {
        let same = |other: &&Run| other.arm == run.arm && other.learning_rate == run.learning_rate;
        tested(results).filter(same).count()
    };
    tested(results).map(count).max().unwrap_or(1)
}

/// The table for reading.
pub fn table(rows: &[ArmFront]) -> Table {
    let interval = |of: Option<Interval>| of.map(range);
    let against = |value: fn(&FrontAgainst) -> f64| {
        move |row: &ArmFront| Cell::points(row.against_truth.as_ref().map(value))
    };
    Table::new("The whole front: every rate of each arm")
        .named("fronts")
        .legend(
            "area: of the places (points gained on the target, points gained on the other tasks) above base that some rate reaches or exceeds. at gain: the largest gain on the target that both \
             the arm and the ground truth reach; others: the least change of the other tasks with at least that gain, of the arm and of the ground truth; kept more: the first − the \
             second. 95 %: bootstrap over seeds and items; rates with fewer seeds than others count with their first.",
        )
        .rows(rows)
        .keyed("arm", "arm", |row| super::tables::arm(&row.arm))
        .keyed("rates", "rates", |row| row.rates)
        .keyed("area", "area", |row| Cell::number(row.area.value, 1))
        .keyed("95 %", "area_interval", move |row| interval(row.area.interval))
        .keyed("at gain", "equal_gain", against(|of| of.equal_gain))
        .keyed("others", "kept", against(|of| of.kept))
        .keyed("of truth", "truth_kept", against(|of| of.truth_kept))
        .keyed("kept more", "kept_more", against(|of| of.kept_more.value))
        .keyed("95 %", "kept_more_interval", move |row| {
            interval(row.against_truth.as_ref().and_then(|of| of.kept_more.interval))
        })
        .table()
}

/// What the fronts say, as a sentence; `None` where there is nothing to compare.
pub fn title(rows: &[ArmFront]) -> Option<String> {
    let best = rows
        .iter()
        .filter_map(|row| Some((row, row.against_truth.as_ref()?)))
        .filter(|(_, of)| of.kept_more.interval.is_some_and(|interval| interval.low > 0.0))
        .max_by(|one, other| one.1.kept_more.value.total_cmp(&other.1.kept_more.value));
    let compared = rows.iter().any(|row| row.against_truth.is_some());
    match best {
        Some((row, of)) => Some(format!(
            "At an equal gain on the target, {} keeps {:.1} points more of the other tasks than {}",
            label(&row.arm),
            of.kept_more.value,
            label(TRUTH)
        )),
        None => compared.then(|| {
            format!(
                "At an equal gain on the target, no arm is shown to keep more of the other tasks than {}",
                label(TRUTH)
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_statistics_are_those_of_the_points() {
        let results = sample::results();
        let rows = rows(&results).unwrap();
        assert_eq!(rows.len(), arms(&results).len());
        let point = |arm: &str, rate: f64| {
            let runs: Vec<&Run> = tested(&results)
                .filter(|run| run.arm == arm && run.learning_rate == rate)
                .collect();
            let of = |run: &&Run| {
                let point = crate::report::tables::front_point(&results, run);
                (point.target_points.unwrap(), point.non_target_points.unwrap())
            };
            let all: Vec<(f64, f64)> = runs.iter().map(of).collect();
            let mean = |value: fn(&(f64, f64)) -> f64| {
                all.iter().map(value).sum::<f64>() / all.len() as f64
            };
            (mean(|at| at.0), mean(|at| at.1))
        };
        let points = |arm: &str| [1e-4, 3e-4, 1e-3].map(|rate| point(arm, rate));
        for row in &rows {
            assert_eq!(row.rates, 3);
            let own = points(&row.arm);
            assert!((row.area.value - area(&own, (0.0, 0.0))).abs() < 1e-9, "{}", row.arm);
            let held = |of: &Bounded| {
                of.interval.is_some_and(|at| at.low <= of.value && of.value <= at.high)
            };
            assert!(held(&row.area), "{row:?}");
            let Some(against) = &row.against_truth else {
                assert_eq!(row.arm, TRUTH);
                continue;
            };
            let gain = reached_by_both(&own, &points(TRUTH)).unwrap();
            let kept = highest_from(&own, gain).unwrap();
            assert!((against.equal_gain - gain).abs() < 1e-9 && (against.kept - kept).abs() < 1e-9);
            assert!(held(&against.kept_more), "{row:?}");
        }
        // made up to keep more
        let stm = rows.iter().find(|row| row.arm == "stm(2.5)").unwrap();
        let more = stm.against_truth.as_ref().unwrap().kept_more;
        assert!(more.interval.unwrap().low > 0.0, "{more:?}");
        assert!(title(&rows).unwrap().contains("keeps"), "{:?}", title(&rows));
        assert_eq!(table(&rows).height(), rows.len());
    }

    #[test]
    fn rates_with_fewer_seeds_count_with_the_first() {
        let mut results = sample::results();
        results.runs.retain(|run| run.chosen || run.seed == 0);
        assert!(rows(&results).unwrap().iter().all(|row| row.area.interval.is_some()));
    }

    #[test]
    fn one_rate_is_no_front_and_what_does_not_differ_is_not_said_to() {
        let mut results = sample::results();
        results.runs.retain(|run| run.learning_rate == 3e-4);
        assert_eq!(rows(&results).unwrap(), []);
        assert_eq!(title(&[]), None);
        let mut results = sample::results();
        let truth: Vec<Run> = results.runs.iter().filter(|run| run.arm == TRUTH).cloned().collect();
        results.runs.retain(|run| run.arm == "stm(2.5)" || run.arm == TRUTH);
        for (run, same) in results.runs.iter_mut().filter(|run| run.arm != TRUTH).zip(truth) {
            run.test = same.test;
        }
        assert!(title(&rows(&results).unwrap()).unwrap().contains("no arm is shown"));
    }
}
