//! The mean over items under several seeds, with a standard error that counts both.

use super::{Estimate, variance};
use crate::error::{Error, Result};

/// One task's values, such as differences to base.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The task's weight in the sum, such as `1 / tasks`.
    pub weight: f64,
    /// One row for each seed, one column for each item: the same items in every row.
    pub rows: Vec<Vec<f64>>,
}

/// `Σ weight · mean` over tasks, with a standard error over items and seeds: [`Crossed::of`] in short.
///
/// Errors: as there.
pub fn crossed(blocks: &[Block]) -> Result<Estimate> {
    Ok(Crossed::of(blocks)?.estimate)
}

/// An estimate from items crossed with seeds, and how well its standard error is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossed {
    /// `Σ weight · mean` and its standard error.
    pub estimate: Estimate,
    /// Degrees of freedom of the standard error: few if most of it comes from few seeds. `None` where the error is `None` or 0.
    pub degrees_of_freedom: Option<f64>,
}

impl Crossed {
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
    /// The parts of `se²` are known from N − 1 items each and from S − 1 seeds; their sum has Satterthwaite's degrees of freedom,
    /// `se⁴ / Σ part² / (its own degrees)`. With three seeds that differ much that is about 2, and 95 % need 4.3 standard errors.
    ///
    /// Errors: no task, no seed or no item; rows of different lengths; tasks with different numbers of seeds.
    pub fn of(blocks: &[Block]) -> Result<Self> {
        let seeds = check(blocks)?;
        let (mut value, mut between_items, mut left) = (0.0, Some(0.0), Some(0.0));
        // Σ part² / its degrees of freedom
        let mut spread = 0.0;
        let mut of_seed = vec![0.0; seeds];
        for Block { weight, rows } in blocks {
            let squares = Squares::of(rows);
            value += weight * squares.mean;
            for (sum, mean) in of_seed.iter_mut().zip(&squares.seed_means) {
                *sum += weight * mean;
            }
            let share = weight * weight / rows[0].len() as f64;
            let (items, error) = (squares.items, squares.error.unwrap_or(0.0));
            between_items = between_items.zip(items).map(|(sum, items)| {
                let part = share * (items - error).max(0.0) / seeds as f64;
                spread += part * part / (rows[0].len() - 1) as f64;
                sum + part
            });
            left = left.zip(squares.error).map(|(sum, error)| sum + share * error);
        }
        let between_seeds = match (variance(&of_seed), left) {
            (Some(variance), Some(left)) => variance.max(left) / seeds as f64,
            // One seed: nothing is known of seeds. One item: `between_items` is already unknown.
            _ => 0.0,
        };
        if seeds > 1 {
            spread += between_seeds * between_seeds / (seeds - 1) as f64;
        }
        let variance = between_items.map(|items| items + between_seeds);
        let se = variance.map(f64::sqrt);
        Ok(Self {
            estimate: Estimate { value, se },
            degrees_of_freedom: variance
                .filter(|variance| *variance > 0.0)
                .map(|variance| variance * variance / spread),
        })
    }
}

/// The number of seeds of tasks that are rectangular and have as many seeds as each other.
pub(super) fn check(blocks: &[Block]) -> Result<usize> {
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
    Ok(seeds)
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
        let seed_means: Vec<f64> = rows.iter().map(|row| row.iter().sum::<f64>() / items).collect();
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
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    fn block(weight: f64, rows: &[&[f64]]) -> Block {
        Block { weight, rows: rows.iter().map(|row| row.to_vec()).collect() }
    }

    const MATH: [&[f64]; 3] =
        [&[1., 0., 0., -1., 0.], &[1., 0., 0., 0., 0.], &[1., -1., 0., -1., -1.]];
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
        check(&[block(0.5, &MATH), block(0.5, &ARC)], NUMPY[1].0, NUMPY[1].1);
        check(&[block(1.0, &MATH[..1])], NUMPY[2].0, NUMPY[2].1);
    }
    const NUMPY: [(f64, f64); 3] = [
        (-0.06666666666666667, 0.3231786571610886),
        (-0.11666666666666667, 0.25495097567963926),
        (0.0, 0.31622776601683794),
    ];

    /// The degrees of freedom from the same parts: `se**4 / (sum(b*b/(N-1) for b, N in between) + seed**2/(S-1))`.
    #[test]
    fn degrees_of_freedom_equal_numpy() {
        let check = |blocks: &[Block], expected: f64| {
            let found = Crossed::of(blocks).expect("rectangular");
            close(found.degrees_of_freedom.expect("an error"), expected);
        };
        check(&[block(1.0, &MATH[..1])], 4.0);
        check(&[block(1.0, &MATH)], NUMPY_DEGREES[0]);
        check(&[block(0.5, &MATH), block(0.5, &ARC)], NUMPY_DEGREES[1]);
        let same = Crossed::of(&[block(1.0, &[&[1.0, 1.0]])]).unwrap();
        assert_eq!((same.estimate.se, same.degrees_of_freedom), (Some(0.0), None));
    }
    const NUMPY_DEGREES: [f64; 2] = [5.966239027683996, 5.086577493586834];

    #[test]
    fn equal_seeds_add_no_information() {
        let (one, three) = (block(1.0, &MATH[..1]), block(1.0, &[MATH[0]; 3]));
        let (one, three) = (crossed(&[one]).unwrap(), crossed(&[three]).unwrap());
        close(one.se.unwrap(), three.se.unwrap());
    }

    #[test]
    fn one_item_has_no_standard_error() {
        let found = crossed(&[block(1.0, &[&[1.0], &[0.0]])]).unwrap();
        assert_eq!(found, Estimate { value: 0.5, se: None });
    }

    #[test]
    fn ragged_scores_are_refused() {
        for rows in [&[&[1.0, 0.0][..], &[1.0][..]][..], &[&[]], &[]] {
            assert!(crossed(&[block(1.0, rows)]).is_err());
        }
        assert!(crossed(&[]).is_err());
        assert!(crossed(&[block(1.0, &MATH), block(1.0, &ARC[..2])]).is_err());
    }
}
