//! McNemar's test: did as many items get worse as got better?
//!
//! Of two models on the same items only the *discordant* items tell: those that one of them gets right and the other does not. If
//! neither model is better, each is a fair coin, and the binomial distribution gives the p value exactly; there is no reason to
//! approximate it (statsmodels: `mcnemar(table, exact=True)`).

use super::distribution::fair_coins;
use serde::Serialize;

/// Items that two models answered differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Discordant {
    /// Wrong by the first model, right by the second.
    pub gained: usize,
    /// Right by the first model, wrong by the second.
    pub lost: usize,
}

impl Discordant {
    /// Counts the items; `None` if a value is neither 0 nor 1, where there is nothing to count.
    ///
    /// ```
    /// use unforget::stats::mcnemar::Discordant;
    /// let found = Discordant::of(&[1.0, 1.0, 0.0], &[0.0, 1.0, 1.0]);
    /// assert_eq!(found, Some(Discordant { gained: 1, lost: 1 }));
    /// ```
    pub fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        let whole = |value: &f64| *value == 0.0 || *value == 1.0;
        if !first.iter().chain(second).all(whole) {
            return None;
        }
        let count = |from: f64, to: f64| {
            let pairs = first.iter().zip(second);
            pairs.filter(|(a, b)| **a == from && **b == to).count()
        };
        Some(Self { gained: count(0.0, 1.0), lost: count(1.0, 0.0) })
    }

    /// Two-sided exact p value: never too small, and too large where items are few.
    pub fn exact(self) -> f64 {
        let (at_most, _) = self.fewer();
        (2.0 * at_most).min(1.0)
    }

    /// Two-sided mid-p value: the exact one less the probability of just what was seen. Closer to the stated level than the exact
    /// one, at the price that it may be slightly too small (Fagerland, Lydersen and Laake 2013).
    pub fn mid_p(self) -> f64 {
        let (_, just) = self.fewer();
        self.exact() - just
    }

    /// Probabilities of at most, and of exactly, the smaller count.
    fn fewer(self) -> (f64, f64) {
        let few = self.gained.min(self.lost) as u64;
        fair_coins(few, (self.gained + self.lost) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /* statsmodels 0.15.0: tests/reference/statistics.py
    mcnemar([[0, gained], [lost, 0]], exact=True).pvalue; mid-p = that - binom.pmf(min, n, .5) */
    #[test]
    fn p_values_equal_statsmodels() {
        for (gained, lost, exact, mid) in STATSMODELS {
            let counts = Discordant { gained, lost };
            let close =
                |found: f64, expected: f64| (found - expected).abs() < 1e-12 + 1e-9 * expected;
            assert!(close(counts.exact(), exact), "{counts:?}: {}", counts.exact());
            assert!(close(counts.mid_p(), mid), "{counts:?}: {}", counts.mid_p());
        }
    }
    const STATSMODELS: [(usize, usize, f64, f64); 6] = [
        (1, 0, 1.0, 0.5),
        (3, 9, 0.14599609375, 0.09228515624999999),
        (5, 5, 1.0, 0.75390625),
        (12, 2, 0.012939453125, 0.007385253906249991),
        (40, 61, 0.046044066929342785, 0.0370667674385605),
        (300, 240, 0.011050481081929898, 0.009827007761139428),
    ];

    #[test]
    fn nothing_discordant_proves_nothing() {
        let none = Discordant { gained: 0, lost: 0 };
        assert_eq!(none.exact(), 1.0);
    }

    #[test]
    fn shares_are_not_counted() {
        assert_eq!(Discordant::of(&[0.5], &[1.0]), None);
    }
}
