//! Means with their uncertainty.
//!
//! Every score here comes from the same items under several seeds: items are *crossed* with seeds. Two things could have been
//! otherwise, which items were drawn and which seeds, and [`crossed`] counts both.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The arithmetic mean; `None` for no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The sample standard deviation (divisor n − 1); `None` for fewer than two values.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    variance(values).map(f64::sqrt)
}

/// Standard error of the mean of independent values; `None` for fewer than two values.
pub fn standard_error(values: &[f64]) -> Option<f64> {
    variance(values).map(|variance| (variance / values.len() as f64).sqrt())
}

fn variance(values: &[f64]) -> Option<f64> {
    let center = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - center).powi(2)).sum();
    (values.len() > 1).then(|| squares / (values.len() - 1) as f64)
}

/// The smallest and the largest of some values: what seeds alone did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Spread {
    /// `None` for no values.
    pub fn of(values: &[f64]) -> Option<Self> {
        (!values.is_empty()).then(|| Self {
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// A mean and how far off it may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Its standard error, over items and (if there are two or more) seeds; `None` if there is only one item.
    pub se: Option<f64>,
}

impl Estimate {
    /// The same estimate in another unit.
    pub fn times(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            se: self.se.map(|se| se * factor.abs()),
        }
    }
}

/// One task's values for [`crossed`].
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The task's weight in the sum, such as `1 / tasks`.
    pub weight: f64,
    /// One row for each seed, one column for each item: the same items in every row.
    pub rows: Vec<Vec<f64>>,
}

/// `Σ weight · mean` over tasks, with a standard error over items and seeds.
///
/// Tasks are fixed, their items independent, and all tasks of one seed share the same model, so a seed's luck is counted once
/// and not once per task. With `S` seeds, `N` items of a task, item means `x̄ᵢ`, seed means `x̄ₛ` and mean `x̄`:
///
/// ```text
/// items = S · Σᵢ (x̄ᵢ − x̄)² / (N − 1)                          mean square between items
/// error = Σₛᵢ (xₛᵢ − x̄ₛ − x̄ᵢ + x̄)² / ((S − 1)(N − 1))          mean square of what is left
/// seeds = variance over s of Σ_tasks weight · x̄ₛ              divisor S − 1
/// se²   = Σ_tasks weight² · max(0, items − error) / (S N)  +  max(seeds, Σ_tasks weight² · error / N) / S
/// ```
///
/// This is the two-way random-effects estimate (items and seeds both sampled), with negative components set to 0. With one seed
/// it is `Σ weight² · variance / N`: what another seed would give is then not known. Give differences to base as values, and
/// the error is a paired one.
///
/// Errors: no task, no seed or no item; rows of different lengths; tasks with different numbers of seeds.
pub fn crossed(blocks: &[Block]) -> Result<Estimate> {
    let seeds = blocks.first().map_or(0, |block| block.rows.len());
    let fits = |block: &Block| {
        let items = block.rows.first().map_or(0, Vec::len);
        items > 0 && block.rows.len() == seeds && block.rows.iter().all(|row| row.len() == items)
    };
    if seeds == 0 || !blocks.iter().all(fits) {
        return Err(Error::invalid(
            "scores",
            "every seed needs a value for each item of each task, in the same order",
        ));
    }
    let (mut value, mut between_items, mut left) = (0.0, Some(0.0), Some(0.0));
    let mut of_seed = vec![0.0; seeds];
    for Block { weight, rows } in blocks {
        let squares = Squares::of(rows);
        value += weight * squares.mean;
        for (sum, mean) in of_seed.iter_mut().zip(&squares.seed_means) {
            *sum += weight * mean;
        }
        let share = weight * weight / rows[0].len() as f64;
        let (items, error) = (squares.items, squares.error.unwrap_or(0.0));
        between_items = between_items
            .zip(items)
            .map(|(sum, items)| sum + share * (items - error).max(0.0) / seeds as f64);
        left = left
            .zip(squares.error)
            .map(|(sum, error)| sum + share * error);
    }
    let between_seeds = match (variance(&of_seed), left) {
        (Some(variance), Some(left)) => variance.max(left) / seeds as f64,
        // One seed: nothing is known of seeds. One item: `between_items` is already unknown.
        _ => 0.0,
    };
    let se = between_items.map(|items| (items + between_seeds).sqrt());
    Ok(Estimate { value, se })
}

/// Mean squares of one task's seeds × items.
struct Squares {
    mean: f64,
    seed_means: Vec<f64>,
    /// `None` for one item.
    items: Option<f64>,
    /// `None` for one item or one seed.
    error: Option<f64>,
}

impl Squares {
    fn of(rows: &[Vec<f64>]) -> Self {
        let (seeds, items) = (rows.len() as f64, rows[0].len() as f64);
        let seed_means: Vec<f64> = rows
            .iter()
            .map(|row| row.iter().sum::<f64>() / items)
            .collect();
        let item_means: Vec<f64> = (0..rows[0].len())
            .map(|item| rows.iter().map(|row| row[item]).sum::<f64>() / seeds)
            .collect();
        let mean = seed_means.iter().sum::<f64>() / seeds;
        let mut error = 0.0;
        for (row, seed_mean) in rows.iter().zip(&seed_means) {
            for (value, item_mean) in row.iter().zip(&item_means) {
                error += (value - seed_mean - item_mean + mean).powi(2);
            }
        }
        Self {
            mean,
            items: variance(&item_means).map(|variance| seeds * variance),
            error: (rows.len() > 1 && rows[0].len() > 1)
                .then(|| error / ((seeds - 1.0) * (items - 1.0))),
            seed_means,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-12,
            "{found} is not {expected}"
        );
    }

    fn block(weight: f64, rows: &[&[f64]]) -> Block {
        Block {
            weight,
            rows: rows.iter().map(|row| row.to_vec()).collect(),
        }
    }

    const MATH: [&[f64]; 3] = [
        &[1., 0., 0., -1., 0.],
        &[1., 0., 0., 0., 0.],
        &[1., -1., 0., -1., -1.],
    ];
    const ARC: [&[f64]; 3] = [&[0., 0., -1., 0.], &[0., 1., 0., 0.], &[-1., 0., -1., 0.]];

    /* import numpy as np
    def crossed(blocks):
        S = len(blocks[0][1]); value = between = left = 0; of_seed = np.zeros(S)
        for w, x in blocks:
            x = np.array(x, float); N = x.shape[1]; g = x.mean(); i = x.mean(0); s = x.mean(1)
            value += w * g; of_seed += w * s
            ms_i = S * ((i - g)**2).sum() / (N - 1)
            ms_e = ((x - s[:, None] - i[None] + g)**2).sum() / ((S - 1) * (N - 1)) if S > 1 else 0
            between += w*w * max(0, ms_i - ms_e) / (S * N); left += w*w * ms_e / N
        seed = max(of_seed.var(ddof=1), left) / S if S > 1 else 0
        return value, (between + seed)**.5
    math = [[1,0,0,-1,0],[1,0,0,0,0],[1,-1,0,-1,-1]]; arc = [[0,0,-1,0],[0,1,0,0],[-1,0,-1,0]]
    print(crossed([(1, math)]), crossed([(.5, math), (.5, arc)]), crossed([(1, math[:1])])) */
    #[test]
    fn crossed_equals_numpy() {
        let check = |blocks: &[Block], value: f64, se: f64| {
            let found = crossed(blocks).expect("rectangular");
            close(found.value, value);
            close(found.se.expect("more than one item"), se);
        };
        check(&[block(1.0, &MATH)], NUMPY[0].0, NUMPY[0].1);
        check(
            &[block(0.5, &MATH), block(0.5, &ARC)],
            NUMPY[1].0,
            NUMPY[1].1,
        );
        check(&[block(1.0, &MATH[..1])], NUMPY[2].0, NUMPY[2].1);
    }
    const NUMPY: [(f64, f64); 3] = [
        (-0.06666666666666667, 0.3231786571610886),
        (-0.11666666666666667, 0.25495097567963926),
        (0.0, 0.31622776601683794),
    ];

    #[test]
    fn equal_seeds_add_no_information() {
        let (one, three) = (block(1.0, &MATH[..1]), block(1.0, &[MATH[0]; 3]));
        let (one, three) = (crossed(&[one]).unwrap(), crossed(&[three]).unwrap());
        close(one.se.unwrap(), three.se.unwrap());
    }

    #[test]
    fn one_item_has_no_standard_error() {
        let found = crossed(&[block(1.0, &[&[1.0], &[0.0]])]).unwrap();
        assert_eq!(
            found,
            Estimate {
                value: 0.5,
                se: None
            }
        );
    }

    #[test]
    fn ragged_scores_are_refused() {
        for rows in [&[&[1.0, 0.0][..], &[1.0][..]][..], &[&[]], &[]] {
            assert!(crossed(&[block(1.0, rows)]).is_err());
        }
        assert!(crossed(&[]).is_err());
        assert!(crossed(&[block(1.0, &MATH), block(1.0, &ARC[..2])]).is_err());
    }

    /* np.std([1,2,4,8], ddof=1); np.std([1,2,4,8], ddof=1) / 2 */
    #[test]
    fn simple_statistics_equal_numpy() {
        let values = [1.0, 2.0, 4.0, 8.0];
        close(standard_deviation(&values).unwrap(), 3.095695936834452);
        close(standard_error(&values).unwrap(), 1.547847968417226);
        assert_eq!(Spread::of(&values), Some(Spread { min: 1.0, max: 8.0 }));
        assert_eq!(
            (mean(&[]), standard_deviation(&[1.0]), Spread::of(&[])),
            (None, None, None)
        );
    }
}
