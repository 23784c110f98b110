//! Two models on the same items: everything that may be asked of their difference, in points.

use super::distribution::student_quantile;
use super::mcnemar::Discordant;
use super::{Block, Bootstrap, Crossed, Equivalence, Estimate, Interval, Method, Verdict};
use super::{crossed, distribution, holm, power, sign_flip};
use crate::error::{Error, Result};
use serde::Serialize;

/// One task's outcomes under two models: one row for each seed, one column for each item, the same items in every row.
///
/// Where a model has no seeds, as base, its row is repeated. A seed of the first model stands beside a seed of the second; whether the two
/// have anything in common does not matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The task's weight in the mean, such as `1 / tasks`.
    pub weight: f64,
    /// Shares between 0 and 1, such as 1 for right.
    pub first: Vec<Vec<f64>>,
    /// The same of the other model.
    pub second: Vec<Vec<f64>>,
}

/// What is decided before looking.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Design {
    /// The difference in points that would not matter.
    pub margin: f64,
    /// Confidence of intervals; tests are at the level 1 − this.
    pub level: f64,
    /// Probability with which the smallest effect is found.
    pub power: f64,
    /// Bootstrap replicates, and sign flips where they cannot all be counted.
    pub draws: usize,
    /// Seed of both.
    pub seed: u64,
}

impl Default for Design {
    /// 2 points, 95 %, a power of 80 %, and 5000 draws: the ends of an interval are then known to about a 25th of the standard error.
    fn default() -> Self {
        Self { margin: 2.0, level: 0.95, power: 0.8, draws: 5000, seed: 0 }
    }
}

impl Design {
    /// The default with another margin. Errors: not a number above 0 and below 100.
    pub fn with_margin(margin: f64) -> Result<Self> {
        if margin > 0.0 && margin < 100.0 {
            Ok(Self { margin, ..Self::default() })
        } else {
            let problem = format!("must be points above 0 and below 100, got {margin}");
            Err(Error::invalid("margin", problem))
        }
    }

    fn alpha(&self) -> f64 {
        1.0 - self.level
    }
}

/// Which test a p value is from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum Test {
    /// One task of right and wrong answers under one seed: exact, over the items that the models answered differently.
    #[serde(rename = "mcnemar")]
    McNemar(Discordant),
    /// Several tasks, or shares, under one seed: over the items.
    SignFlip,
    /// Several seeds: Student's t over items and seeds.
    T,
}

impl std::fmt::Display for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::McNemar(_) => "McNemar",
            Self::SignFlip => "sign flip",
            Self::T => "t",
        })
    }
}

/// The second model against the first, in points.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Seeds that were compared.
    pub seeds: usize,
    /// Items of all tasks together.
    pub items: usize,
    /// Score of the first model, in percent.
    pub first: f64,
    /// Score of the second model, in percent.
    pub second: f64,
    /// Second − first, paired by item, with its standard error over items and seeds.
    pub difference: Estimate,
    /// Of the standard error; `None` where all items moved alike.
    pub degrees_of_freedom: Option<f64>,
    /// Where the difference lies: the wider of the two below. Where all items moved alike, from their number alone
    /// ([`Equivalence::of_constant`]).
    pub interval: Interval,
    /// The bootstrap's, over seeds and items.
    pub bootstrap: Interval,
    /// How it was read.
    pub method: Method,
    /// Student's; `None` where all items moved alike.
    pub student: Option<Interval>,
    /// The test for a difference.
    pub test: Test,
    /// Its two-sided p value.
    pub p: f64,
    /// Mid-p value of McNemar's test, if it is that.
    pub mid_p: Option<f64>,
    /// The one-sided tests against the margin.
    pub equivalence: Equivalence,
    /// Whether the difference lies within ±margin: what [`Equivalence`] and `equivalence_interval` agree on.
    pub equal: Verdict,
    /// Whether it lies above −margin: nothing that matters was lost.
    pub not_lower: Verdict,
    /// As `interval`, of level 1 − 2α: that of two one-sided tests at α.
    pub equivalence_interval: Interval,
    /// The smallest difference that these items and seeds find with the stated power; `None` where all items moved alike.
    pub smallest_effect: Option<f64>,
    /// Items that McNemar's test would need to find a difference as large as the margin; `None` for other tests, or where too few items
    /// are discordant for such a difference.
    pub items_to_differ: Option<usize>,
    /// Items that it would take to show that two equally good models lie within the margin; `None` for other tests.
    pub items_to_equal: Option<usize>,
}

impl Comparison {
    /// Share of the items that only one of the two models answers rightly, where [`Test::McNemar`] counts them.
    pub fn discordant(&self) -> Option<f64> {
        match self.test {
            Test::McNemar(counts) => Some((counts.gained + counts.lost) as f64 / self.items as f64),
            Test::SignFlip | Test::T => None,
        }
    }

    /// Compares two models on the tasks of `pairs` together.
    ///
    /// Errors: no task, fewer than two items of a task, rows that differ in length or number.
    pub fn of(pairs: &[Pair], design: &Design) -> Result<Self> {
        let blocks = differences(pairs)?;
        let Crossed { estimate, degrees_of_freedom } = Crossed::of(&blocks)?;
        let difference = estimate.times(100.0);
        let Some(se) = difference.se else {
            return Err(Error::invalid(
                "items",
                "a comparison needs two items or more of each task",
            ));
        };
        let alpha = design.alpha();
        let seeds = blocks[0].rows.len();
        let items: usize = blocks.iter().map(|block| block.rows[0].len()).sum();
        let drawn = Bootstrap::of(&blocks, design.draws, design.seed)?;
        let bootstrap = |level: f64| drawn.interval(level).times(100.0);
        let student = |level: f64| {
            degrees_of_freedom.map(|degrees| {
                let half = student_quantile((1.0 + level) / 2.0, degrees) * se;
                Interval::around(difference.value, half)
            })
        };
        let constant = |level: f64| {
            let missed = 1.0 - (1.0 - level).powf(1.0 / items as f64);
            let half = (100.0 + difference.value.abs()) * missed;
            Interval::around(difference.value, half)
        };
        let interval = |level: f64| match student(level) {
            Some(student) => bootstrap(level).with(student),
            None => constant(level),
        };
        let counted = match pairs {
            [Pair { first, second, .. }] if seeds == 1 => Discordant::of(&first[0], &second[0]),
            _ => None,
        };
        let (test, p) = match (counted, degrees_of_freedom) {
            (Some(counts), _) => (Test::McNemar(counts), counts.exact()),
            (None, Some(degrees)) if seeds > 1 => {
                let above = distribution::student_above(difference.value.abs() / se, degrees);
                (Test::T, 2.0 * above)
            }
            _ => {
                let moved: Vec<f64> = blocks.iter().flat_map(of_items).collect();
                (Test::SignFlip, sign_flip::p_value(&moved, design.draws, design.seed))
            }
        };
        let equivalence = match degrees_of_freedom {
            Some(degrees) => Equivalence::of(difference.value, se, degrees, design.margin),
            None => Equivalence::of_constant(estimate.value, items, design.margin / 100.0),
        };
        let equivalence_interval = interval(1.0 - 2.0 * alpha);
        let share = counted.map(|counts| (counts.gained + counts.lost) as f64 / items as f64);
        let margin = design.margin / 100.0;
        let score = |of: fn(&Pair) -> &Vec<Vec<f64>>| -> Result<f64> {
            let block = |pair: &Pair| Block { weight: 100.0 * pair.weight, rows: of(pair).clone() };
            Ok(crossed(&pairs.iter().map(block).collect::<Vec<_>>())?.value)
        };
        Ok(Self {
            seeds,
            items,
            first: score(|pair| &pair.first)?,
            second: score(|pair| &pair.second)?,
            difference,
            degrees_of_freedom,
            interval: interval(design.level),
            bootstrap: bootstrap(design.level),
            method: drawn.method(),
            student: student(design.level),
            test,
            p,
            mid_p: counted.map(Discordant::mid_p),
            equivalence,
            equal: equivalence.equal(alpha).and(equivalence_interval.equal(design.margin)),
            not_lower: equivalence
                .not_lower(alpha)
                .and(equivalence_interval.not_lower(design.margin)),
            equivalence_interval,
            smallest_effect: degrees_of_freedom
                .map(|degrees| power::smallest_effect(se, degrees, alpha, design.power)),
            items_to_differ: share
                .and_then(|share| power::needed_items(share, margin, alpha, design.power)),
            items_to_equal: share.and_then(|share| {
                power::needed_items_for_equivalence(share, margin, alpha, design.power)
            }),
        })
    }
}

/// One of several comparisons that were made together, such as all arms against base.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Adjusted {
    /// p value of the difference.
    pub p: f64,
    /// p value of the claim that nothing that matters was lost.
    pub not_lower_p: f64,
    /// That claim.
    pub not_lower: Verdict,
    /// Whether there is a difference: its adjusted p value is at most the level and the interval leaves out 0.
    pub differs: bool,
}

impl Adjusted {
    /// Each of `family` adjusted by Holm's method for all of them, in their order.
    pub fn of(family: &[&Comparison], design: &Design) -> Vec<Self> {
        let alpha = design.alpha();
        let adjusted = |p: fn(&Comparison) -> f64| -> Vec<f64> {
            holm(&family.iter().map(|one| p(one)).collect::<Vec<_>>())
        };
        let p = adjusted(|one| one.p);
        let kept = adjusted(|one| one.equivalence.lower);
        let lost = adjusted(|one| 1.0 - one.equivalence.lower);
        let one = |(at, one): (usize, &&Comparison)| Self {
            p: p[at],
            not_lower_p: kept[at],
            not_lower: Verdict::at(alpha, kept[at], lost[at])
                .and(one.equivalence_interval.not_lower(design.margin)),
            differs: p[at] <= alpha && (one.interval.low > 0.0 || one.interval.high < 0.0),
        };
        family.iter().enumerate().map(one).collect()
    }
}

impl Interval {
    fn around(center: f64, half: f64) -> Self {
        Self { low: center - half, high: center + half }
    }

    fn times(self, factor: f64) -> Self {
        Self { low: self.low * factor, high: self.high * factor }
    }
}

/// Second − first, each task a block.
fn differences(pairs: &[Pair]) -> Result<Vec<Block>> {
    let block = |pair: &Pair| {
        let same = pair.first.len() == pair.second.len()
            && pair.first.iter().zip(&pair.second).all(|(a, b)| a.len() == b.len());
        if !same {
            let problem = "both models need a value for each seed and item, in the same order";
            return Err(Error::invalid("scores", problem));
        }
        let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| b - a).collect();
        Ok(Block {
            weight: pair.weight,
            rows: pair.first.iter().zip(&pair.second).map(row).collect(),
        })
    };
    pairs.iter().map(block).collect()
}

/// What each item adds to `weight · mean`, over all seeds.
fn of_items(block: &Block) -> Vec<f64> {
    let (seeds, items) = (block.rows.len(), block.rows[0].len());
    let share = block.weight / (seeds * items) as f64;
    let of = |item: usize| share * block.rows.iter().map(|row| row[item]).sum::<f64>();
    (0..items).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// `items` under base, of which `lost` and then `gained` go the other way.
    fn pair(weight: f64, items: usize, gained: usize, lost: usize) -> Pair {
        let first: Vec<f64> = (0..items).map(|item| f64::from(item % 2 == 0)).collect();
        let mut second = first.clone();
        let (mut gains, mut losses) = (gained, lost);
        for value in &mut second {
            let left = if *value == 0.0 { &mut gains } else { &mut losses };
            if *left > 0 {
                *left -= 1;
                *value = 1.0 - *value;
            }
        }
        assert_eq!((gains, losses), (0, 0));
        Pair { weight, first: vec![first], second: vec![second] }
    }

    #[test]
    fn one_seed_of_one_task_is_mcnemar() {
        let found = Comparison::of(&[pair(1.0, 200, 4, 16)], &Design::default()).unwrap();
        assert_eq!(found.test, Test::McNemar(Discordant { gained: 4, lost: 16 }));
        assert_eq!((found.first, found.second, found.difference.value), (50.0, 44.0, -6.0));
        assert!((found.p - 0.01181793212890625).abs() < 1e-12); // binomtest(4, 20).pvalue
        assert!(found.interval.low < -6.0 && found.interval.high < 0.0);
        assert!(matches!(found.method, Method::Bca { .. }));
        assert_eq!(found.discordant(), Some(0.1));
        let needed = found.items_to_differ.unwrap();
        assert_eq!(needed, power::needed_items(0.1, 0.02, 0.05, 0.8).unwrap());
    }

    #[test]
    fn several_tasks_are_flipped_and_several_seeds_go_by_t() {
        let tasks = [pair(0.5, 100, 2, 9), pair(0.5, 60, 1, 5)];
        let found = Comparison::of(&tasks, &Design::default()).unwrap();
        assert_eq!(found.test, Test::SignFlip);
        assert!((found.difference.value - (-7.0 - 100.0 * 4.0 / 60.0) / 2.0).abs() < 1e-9);
        assert!(found.p < 0.05, "{found:?}");
        let twice = |pair: &Pair| Pair {
            weight: pair.weight,
            first: [&pair.first[..], &pair.first].concat(),
            second: [&pair.second[..], &pair.second].concat(),
        };
        let found = Comparison::of(&tasks.each_ref().map(twice), &Design::default()).unwrap();
        assert_eq!((found.test, found.seeds, found.items), (Test::T, 2, 160));
        assert_eq!(found.method, Method::Percentile);
    }

    #[test]
    fn a_model_that_changed_nothing_needs_many_items_to_show_it() {
        let of =
            |items: usize| Comparison::of(&[pair(1.0, items, 0, 0)], &Design::default()).unwrap();
        assert_eq!((of(100).p, of(100).not_lower), (1.0, Verdict::CannotTell));
        assert!(of(100).interval.high > 2.0 && of(500).interval.high < 2.0);
        assert_eq!((of(500).equal, of(500).smallest_effect), (Verdict::Yes, None));
    }

    #[test]
    fn of_many_claims_fewer_hold() {
        let one = Comparison::of(&[pair(1.0, 1000, 20, 24)], &Design::default()).unwrap();
        assert_eq!(one.not_lower, Verdict::Yes, "{:?}", one.equivalence);
        let alone = Adjusted::of(&[&one], &Design::default());
        assert_eq!((alone[0].p, alone[0].not_lower), (one.p, one.not_lower));
        let many = Adjusted::of(&[&one; 12], &Design::default());
        assert!(many[0].not_lower_p > alone[0].not_lower_p);
        assert_eq!(many[0].not_lower, Verdict::CannotTell);
    }

    /// Three seeds that differ, items that are hard or easy for all: the interval has to hold the truth, 0, about as often as it says.
    #[test]
    fn intervals_hold_what_they_promise() {
        let design = Design { draws: 300, ..Design::default() };
        let stream = Rng::new(5, "coverage");
        let held = (0..300).filter(|at| {
            let mut rng = stream.fork(*at);
            let hard: Vec<f64> = (0..60).map(|_| rng.normal()).collect();
            let row = |shift: f64, rng: &mut Rng| -> Vec<f64> {
                let right = |hard: &f64| f64::from(hard + shift + 0.7 * rng.normal() > 0.0);
                hard.iter().map(right).collect()
            };
            let mut rows =
                || -> Vec<Vec<f64>> { (0..3).map(|_| row(0.4 * rng.normal(), &mut rng)).collect() };
            let pair = Pair { weight: 1.0, first: rows(), second: rows() };
            let found = Comparison::of(&[pair], &design).unwrap().interval;
            found.low <= 0.0 && 0.0 <= found.high
        });
        let held = held.count();
        assert!((270..=299).contains(&held), "{held} of 300");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let check = |pairs: &[Pair]| Comparison::of(pairs, &Design::default()).is_err();
        let mut ragged = pair(1.0, 10, 1, 1);
        ragged.second[0].pop();
        assert!(check(&[]) && check(&[ragged]) && check(&[pair(1.0, 1, 0, 0)]));
        assert!(Design::with_margin(0.0).is_err() && Design::with_margin(f64::NAN).is_err());
    }
}
