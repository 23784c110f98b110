//! The bootstrap: what else the mean could have been, by drawing seeds and items again.

use super::crossed::{Block, check};
use super::distribution::{normal_below, normal_quantile};
use super::{Interval, variance};
use crate::error::{Error, Result};
use crate::rng::Rng;
use rayon::prelude::*;
use serde::Serialize;

/// How an interval is read from the replicates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Method {
    /// Bias-corrected and accelerated (Efron 1987): right to the second order where items alone are drawn.
    Bca {
        /// Median bias of the replicates, as a standard normal value.
        bias: f64,
        /// How fast the standard error changes with the mean.
        acceleration: f64,
    },
    /// The replicates' own quantiles. There is no acceleration for items crossed with seeds.
    Percentile,
}

/// The bootstrap of `Σ weight · mean` over tasks.
///
/// Each replicate draws, with replacement, the seeds, which all tasks share, and then each task's items. With differences to base on
/// the same items as values it is a paired bootstrap. One seed is kept as it is: items alone are drawn then, and intervals are BCa.
///
/// Of S seeds it draws S − 1, not S: the mean of S values drawn from themselves varies by (S − 1) / S too little, which for three seeds is a
/// third of the variance. How often a 95 % interval holds the truth with 100 items and values −1, 0 and 1, in 1500 simulations
/// each (`tests/reference/coverage.py`); the spread between seeds is in units of that between items:
///
/// ```text
/// seeds  spread   draws S   draws S − 1   Student (Satterthwaite)   the wider of the last two
///   2      0       0.97        0.99             0.99                    0.99
///   2     0.33     0.86        0.89             0.95                    0.95
///   2     0.83     0.68        0.72             0.90                    0.90
///   3      0       0.98        0.99             0.98                    0.99
///   3     0.33     0.91        0.94             0.95                    0.96
///   3     0.83     0.80        0.85             0.93                    0.93
///   5      0       0.98        0.98             0.96                    0.98
///   5     0.33     0.94        0.95             0.95                    0.96
///   5     0.83     0.87        0.89             0.94                    0.94
/// ```
///
/// No resampling makes up for seeds that were never run: this is why [`super::Comparison`] takes the wider interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// In ascending order.
    replicates: Vec<f64>,
    method: Method,
}

impl Bootstrap {
    /// Draws `draws` replicates. The n-th depends on `seed` and n alone.
    ///
    /// Errors: as [`super::crossed()`], or no draw.
    pub fn of(blocks: &[Block], draws: usize, seed: u64) -> Result<Self> {
        let seeds = check(blocks)?;
        if draws == 0 {
            return Err(Error::invalid("draws", "must be at least 1"));
        }
        let tasks: Vec<Columns> = blocks.iter().map(Columns::of).collect();
        let stream = Rng::new(seed, "bootstrap");
        let replicate = |draw: usize| -> f64 {
            let mut rng = stream.fork(draw as u64);
            let drawn: Vec<usize> = match seeds {
                1 => vec![0],
                _ => (1..seeds).map(|_| rng.below(seeds)).collect(),
            };
            tasks.iter().map(|task| task.drawn(&drawn, &mut rng)).sum()
        };
        let mut replicates: Vec<f64> = (0..draws).into_par_iter().map(replicate).collect();
        replicates.sort_by(f64::total_cmp);
        let method = match seeds {
            1 => bca(blocks, &replicates),
            _ => Method::Percentile,
        };
        Ok(Self { replicates, method })
    }

    /// The bootstrap of statistics of several means together, such as the area below a front: `models[m][t]` are the values of model m on task t,
    /// one row for each seed, one column for each item. A draw takes the same items, and the same seeds, of all models, so that what they share
    /// is shared; `statistics` gets the mean of each model on each task. A statistic that is not a number in a draw is left out there; one that is
    /// none in every draw is `None`.
    ///
    /// A model has one seed or as many as the others; one seed is kept as it is. Intervals are the replicates' own quantiles.
    ///
    /// # Errors
    /// Models of other tasks, items or numbers of seeds, or no draw.
    pub fn of_statistics(
        models: &[Vec<Vec<Vec<f64>>>],
        draws: usize,
        seed: u64,
        statistics: impl Fn(&[Vec<f64>]) -> Vec<f64> + Sync,
    ) -> Result<Vec<Option<Self>>> {
        if draws == 0 {
            return Err(Error::invalid("draws", "must be at least 1"));
        }
        let seeds = |model: &Vec<Vec<Vec<f64>>>| model.first().map_or(0, Vec::len);
        let most = models.iter().map(seeds).max().unwrap_or(0);
        let items: Vec<usize> = models
            .first()
            .into_iter()
            .flatten()
            .map(|rows| rows.first().map_or(0, Vec::len))
            .collect();
        let fits = |model: &Vec<Vec<Vec<f64>>>| {
            let own = seeds(model);
            let rectangular = |(rows, items): (&Vec<Vec<f64>>, &usize)| {
                rows.len() == own && *items > 0 && rows.iter().all(|row| row.len() == *items)
            };
            (own == most || own == 1)
                && model.len() == items.len()
                && model.iter().zip(&items).all(rectangular)
        };
        if most == 0 || !models.iter().all(fits) {
            let problem = "every model needs a value for each item of each task, under one seed or as many as the others";
            return Err(Error::invalid("scores", problem));
        }
        let stream = Rng::new(seed, "bootstrap of statistics");
        let replicate = |draw: usize| -> Vec<f64> {
            let mut rng = stream.fork(draw as u64);
            let drawn: Vec<usize> = match most {
                1 => vec![0],
                _ => (1..most).map(|_| rng.below(most)).collect(),
            };
            // how often each item is drawn
            let counts: Vec<Vec<f64>> = items
                .iter()
                .map(|items| {
                    let mut counts = vec![0.0; *items];
                    (0..*items).for_each(|_| counts[rng.below(*items)] += 1.0);
                    counts
                })
                .collect();
            let mean = |(rows, counts): (&Vec<Vec<f64>>, &Vec<f64>)| -> f64 {
                let of_row = |row: &Vec<f64>| -> f64 {
                    row.iter().zip(counts).map(|(value, count)| value * count).sum()
                };
                let of_seed = |seed: &usize| of_row(&rows[(*seed).min(rows.len() - 1)]);
                match rows.len() {
                    1 => of_row(&rows[0]) / counts.len() as f64,
                    _ => {
                        drawn.iter().map(of_seed).sum::<f64>() / (counts.len() * drawn.len()) as f64
                    }
                }
            };
            let means: Vec<Vec<f64>> =
                models.iter().map(|model| model.iter().zip(&counts).map(mean).collect()).collect();
            statistics(&means)
        };
        let drawn: Vec<Vec<f64>> = (0..draws).into_par_iter().map(replicate).collect();
        let count = drawn.first().map_or(0, Vec::len);
        let one = |at: usize| {
            let mut replicates: Vec<f64> =
                drawn.iter().map(|all| all[at]).filter(|value| value.is_finite()).collect();
            replicates.sort_by(f64::total_cmp);
            (!replicates.is_empty()).then_some(Self { replicates, method: Method::Percentile })
        };
        Ok((0..count).map(one).collect())
    }

    /// How intervals are read.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The two-sided interval of `level`, such as 0.95. Where nothing varied it is a point, which is not to be believed.
    pub fn interval(&self, level: f64) -> Interval {
        let end = |p: f64| {
            let share = match self.method {
                Method::Percentile => p,
                Method::Bca { bias, acceleration } => {
                    let z = bias + normal_quantile(p);
                    normal_below(bias + z / (1.0 - acceleration * z))
                }
            };
            quantile(&self.replicates, share)
        };
        let tail = (1.0 - level) / 2.0;
        Interval { low: end(tail), high: end(1.0 - tail) }
    }
}

/// One task's values item by item, so that a drawn item's seeds lie together.
struct Columns {
    weight: f64,
    seeds: usize,
    items: usize,
    values: Vec<f64>,
}

impl Columns {
    fn of(block: &Block) -> Self {
        let items = block.rows[0].len();
        let item = |item: usize| block.rows.iter().map(move |row| row[item]);
        Self {
            weight: block.weight,
            seeds: block.rows.len(),
            items,
            values: (0..items).flat_map(item).collect(),
        }
    }

    /// `weight · mean` over newly drawn items under the drawn seeds.
    fn drawn(&self, seeds: &[usize], rng: &mut Rng) -> f64 {
        let mut sum = 0.0;
        for _ in 0..self.items {
            let at = rng.below(self.items) * self.seeds;
            sum += seeds.iter().map(|seed| self.values[at + seed]).sum::<f64>();
        }
        self.weight * sum / (self.items * seeds.len()) as f64
    }
}

/// BCa for one seed: tasks are samples of their own, whose jackknife gives the acceleration as in `scipy.stats.bootstrap`.
fn bca(blocks: &[Block], replicates: &[f64]) -> Method {
    let (mut observed, mut cubes, mut squares) = (0.0, 0.0, 0.0);
    for Block { weight, rows } in blocks {
        let row = &rows[0];
        let items = row.len() as f64;
        let mean = row.iter().sum::<f64>() / items;
        observed += weight * mean;
        // (items − 1) · (mean of the means without one item − each of them)
        let influence = row.iter().map(|value| weight * (value - mean));
        cubes += influence.clone().map(|u| u.powi(3)).sum::<f64>() / items.powi(3);
        squares += influence.map(|u| u * u).sum::<f64>() / items.powi(2);
    }
    // What differs by rounding alone is equal: means of the same items in another order.
    let slack = 1e-12 * (1.0 + observed.abs());
    let below = replicates.partition_point(|value| *value < observed - slack);
    let at_most = replicates.partition_point(|value| *value <= observed + slack);
    let share = (below + at_most) as f64 / (2 * replicates.len()) as f64;
    if squares == 0.0 || share == 0.0 || share == 1.0 || variance(replicates).is_none() {
        return Method::Percentile;
    }
    Method::Bca { bias: normal_quantile(share), acceleration: cubes / (6.0 * squares.powf(1.5)) }
}

/// The `p`-quantile of values in ascending order, between neighbors linearly (numpy's default).
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = p.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(weight: f64, rows: Vec<Vec<f64>>) -> Block {
        Block { weight, rows }
    }

    fn close(found: Interval, expected: (f64, f64), tolerance: f64) {
        let near = |a: f64, b: f64| (a - b).abs() <= tolerance;
        assert!(
            near(found.low, expected.0) && near(found.high, expected.1),
            "{found:?} is not {expected:?}"
        );
    }

    /* scipy 1.17.1: tests/reference/statistics.py, which keeps 400 replicates and the intervals that scipy makes of them:
    bootstrap((x,), np.mean, n_resamples=400, method='BCa', confidence_level=.95, rng=...) */
    #[test]
    fn the_bca_interval_of_given_replicates_equals_scipy() {
        let text = include_str!("../../tests/reference/statistics.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<f64> {
            let values = value.as_array().unwrap().iter();
            values.map(|value| value.as_f64().unwrap()).collect()
        };
        for case in file["bca"].as_array().unwrap() {
            let samples = case["samples"].as_array().unwrap();
            let weight = 1.0 / samples.len() as f64;
            let blocks: Vec<Block> =
                samples.iter().map(|sample| block(weight, vec![numbers(sample)])).collect();
            let mut replicates = numbers(&case["replicates"]);
            replicates.sort_by(f64::total_cmp);
            let method = bca(&blocks, &replicates);
            let found = Bootstrap { replicates, method }.interval(0.95);
            let expected = numbers(&case["interval"]);
            close(found, (expected[0], expected[1]), 1e-9);
        }
    }

    /// The variance that the plug-in formulas give for what is drawn: between seeds, between items, and what is left.
    #[test]
    fn replicates_vary_as_they_should() {
        let rows = vec![
            vec![1., 0., 0., -1., 0., 1.],
            vec![1., 0., 1., 0., 0., 1.],
            vec![1., -1., 0., -1., -1., 0.],
        ];
        let found = Bootstrap::of(&[block(1.0, rows.clone())], 40_000, 3).unwrap();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let seed_means: Vec<f64> = rows.iter().map(|row| mean(row.clone())).collect();
        let item_means: Vec<f64> =
            (0..6).map(|i| mean(rows.iter().map(|row| row[i]).collect())).collect();
        let all = mean(seed_means.clone());
        let spread = |values: &[f64]| {
            values.iter().map(|v| (v - all).powi(2)).sum::<f64>() / values.len() as f64
        };
        let total = spread(&rows.concat());
        let (seeds, items) = (spread(&seed_means), spread(&item_means));
        let left = total - seeds - items;
        // two seeds and six items are drawn
        let expected = seeds / 2.0 + items / 6.0 + left / 12.0;
        let found = variance(&found.replicates).unwrap();
        assert!((found / expected - 1.0).abs() < 0.03, "{found} is not {expected}");
    }

    /// A statistic that is a mean has the mean's own interval, and the difference of a model to itself has none.
    #[test]
    fn statistics_of_several_means_are_drawn_together() {
        let rows = |seed: u64| -> Vec<Vec<f64>> {
            let mut rng = Rng::new(seed, "values");
            (0..3).map(|_| (0..80).map(|_| f64::from(rng.chance(0.4))).collect()).collect()
        };
        let model = vec![rows(1), rows(2)];
        let alone = vec![vec![model[0][0].clone()], vec![model[1][0].clone()]];
        let found =
            Bootstrap::of_statistics(&[model.clone(), model.clone(), alone], 4000, 7, |means| {
                let mean = |model: usize| (means[model][0] + means[model][1]) / 2.0;
                vec![mean(0), mean(0) - mean(1), f64::NAN, mean(2)]
            })
            .unwrap();
        let blocks: Vec<Block> = model.iter().map(|rows| block(0.5, rows.clone())).collect();
        let expected = Bootstrap::of(&blocks, 4000, 7).unwrap().interval(0.95);
        let interval = |at: usize| found[at].as_ref().unwrap().interval(0.95);
        close(interval(0), (expected.low, expected.high), 0.01);
        close(interval(1), (0.0, 0.0), 1e-12);
        assert!(found[2].is_none());
        let blocks: Vec<Block> = model.iter().map(|rows| block(0.5, rows[..1].to_vec())).collect();
        let expected = Bootstrap::of(&blocks, 4000, 7).unwrap().interval(0.95);
        close(interval(3), (expected.low, expected.high), 0.02);
        let other = vec![rows(3)];
        assert!(Bootstrap::of_statistics(&[model.clone(), other], 10, 0, |_| vec![]).is_err());
        let two = vec![rows(3)[..2].to_vec(), rows(4)[..2].to_vec()];
        assert!(Bootstrap::of_statistics(&[model, two], 10, 0, |_| vec![]).is_err());
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let blocks = [block(1.0, vec![vec![1., 0., 0., 1., 1.]])];
        let draw = |seed| Bootstrap::of(&blocks, 50, seed).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1).replicates, draw(2).replicates);
    }

    #[test]
    fn where_nothing_varies_the_interval_is_a_point() {
        let found = Bootstrap::of(&[block(1.0, vec![vec![0.0; 9]])], 20, 0).unwrap();
        close(found.interval(0.95), (0.0, 0.0), 0.0);
        assert!(Bootstrap::of(&[block(1.0, vec![vec![0.0; 9]])], 0, 0).is_err());
    }

    /// np.quantile([1, 2, 4, 8], [0, .1, .5, 1])
    #[test]
    fn quantiles_equal_numpy() {
        let found = [0.0, 0.1, 0.5, 1.0].map(|p| quantile(&[1., 2., 4., 8.], p));
        assert_eq!(found, [1.0, 1.3, 3.0, 8.0]);
    }
}
