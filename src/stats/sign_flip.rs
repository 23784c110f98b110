//! The sign-flip test: McNemar's for values that are not only right and wrong, and for several tasks together.
//!
//! If two models are equally good, an item's difference could as well have had the other sign. The p value is the share of all ways
//! to flip the signs that give a sum at least as far from 0. It holds for the items at hand whatever their distribution.

use crate::rng::Rng;

/// Up to this many differences all 2ⁿ ways are counted; beyond, random ones.
const COUNTED: usize = 16;

/// Two-sided p value that the differences' sum is 0.
///
/// Differences of items that weigh differently, of tasks of other sizes say, come multiplied by their weights. Zeros say
/// nothing and cost nothing. With more than 16 differences, `draws` random flips and the observed one stand for all (Phipson and Smyth 2010), so
/// that p is at least `1 / (draws + 1)`. The flips depend on `seed`.
///
/// ```
/// use unforget::stats::sign_flip::p_value;
/// assert_eq!(p_value(&[1.0, 1.0, 1.0], 1000, 0), 0.25); // two of eight ways: +++ and −−−
/// ```
pub fn p_value(differences: &[f64], draws: usize, seed: u64) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let observed = moved.iter().sum::<f64>().abs();
    // Sums that are equal but were added in another order count as equal.
    let least = observed - 1e-9 * moved.iter().map(|d| d.abs()).sum::<f64>();
    let sum = |mut bits: u64, part: &[f64]| -> f64 {
        let mut sum = 0.0;
        for difference in part {
            sum += if bits & 1 == 1 { -difference } else { *difference };
            bits >>= 1;
        }
        sum
    };
    if moved.len() <= COUNTED {
        let ways = 1u64 << moved.len();
        let far = (0..ways).filter(|way| sum(*way, &moved).abs() >= least);
        return far.count() as f64 / ways as f64;
    }
    let mut rng = Rng::new(seed, "sign flip");
    let far = (0..draws).filter(|_| {
        let total: f64 = moved.chunks(64).map(|part| sum(rng.next_u64(), part)).sum();
        total.abs() >= least
    });
    (1 + far.count()) as f64 / (1 + draws) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mcnemar::Discordant;

    /* scipy 1.17.1: tests/reference/statistics.py
    permutation_test((x,), lambda x, axis: x.mean(axis), permutation_type='samples', vectorized=True, n_resamples=np.inf).pvalue */
    #[test]
    fn all_ways_equal_scipy() {
        for (differences, expected) in SCIPY {
            let found = p_value(differences, 0, 0);
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }
    const SCIPY: [(&[f64], f64); 3] = [
        (&[1.0, 1.0, -1.0, 1.0, 1.0, 0.0], 0.375),
        (&[0.25, -0.5, 0.75, 1.0, 0.5, 0.5, 0.25], 0.109375),
        (&[0.3, 0.1, -0.7, -0.2, -0.9, -0.4, -0.6, -0.3], 0.0703125),
    ];

    #[test]
    fn of_right_and_wrong_it_is_mcnemar() {
        for (gained, lost) in [(9, 2), (5, 5), (40, 22)] {
            let mut differences = vec![1.0; gained];
            differences.extend(vec![-1.0; lost]);
            differences.extend([0.0; 30]);
            let (found, exact) =
                (p_value(&differences, 40_000, 1), Discordant { gained, lost }.exact());
            // four standard errors of the random flips
            let error = 4.0 * (exact * (1.0 - exact) / 40_000.0).sqrt();
            assert!((found - exact).abs() <= error, "{found} is not {exact}");
        }
    }

    #[test]
    fn no_difference_is_no_evidence() {
        assert_eq!(p_value(&[0.0; 40], 100, 0), 1.0);
    }
}
