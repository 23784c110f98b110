//! Two one-sided tests (TOST): is a difference so small that it counts as none?

use super::Interval;
use super::distribution::student_above;
use serde::{Deserialize, Serialize};

/// What the data say to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// These data cannot tell.
    CannotTell,
}

impl Verdict {
    /// `Yes` and `No` by their p values at `alpha`.
    pub fn at(alpha: f64, yes: f64, no: f64) -> Self {
        match (yes <= alpha, no <= alpha) {
            (true, false) => Self::Yes,
            (false, true) => Self::No,
            _ => Self::CannotTell,
        }
    }

    /// What two ways to judge the same claim agree on.
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::CannotTell }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::CannotTell => "cannot tell",
        })
    }
}

/// The two one-sided tests of a difference against a margin (Schuirmann 1987).
///
/// To show that nothing is lost, "lost more than the margin" is what has to be rejected. The margin is a decision about what
/// would matter, made before looking. Both rejected: the difference lies within ±margin, with the larger p value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Equivalence {
    /// p value of "the difference is −margin or lower".
    pub lower: f64,
    /// p value of "the difference is +margin or higher".
    pub higher: f64,
}

impl Equivalence {
    /// From a difference, its standard error above 0 and that error's degrees of freedom, by Student's t.
    ///
    /// Equals statsmodels' `ttost_paired` for the mean of paired differences.
    pub fn of(difference: f64, se: f64, degrees_of_freedom: f64, margin: f64) -> Self {
        Self {
            lower: student_above((difference + margin) / se, degrees_of_freedom),
            higher: student_above((margin - difference) / se, degrees_of_freedom),
        }
    }

    /// From `items` that all have the same `difference`, where there is no standard error: the probability that items that go another way,
    /// if they were frequent enough to bring the mean to the margin, were all missed.
    ///
    /// Differences and margin are shares; an item's own difference lies between −1 and 1.
    pub fn of_constant(difference: f64, items: usize, margin: f64) -> Self {
        let missed = |distance: f64| {
            let share = (distance / (1.0 + difference.abs())).clamp(0.0, 1.0);
            (1.0 - share).powi(items as i32)
        };
        Self { lower: missed(difference + margin), higher: missed(margin - difference) }
    }

    /// p value of the claim that the difference lies within ±margin.
    pub fn p(&self) -> f64 {
        self.lower.max(self.higher)
    }

    /// Whether the difference lies within ±margin.
    pub fn equal(&self, alpha: f64) -> Verdict {
        let outside = (1.0 - self.lower).min(1.0 - self.higher);
        Verdict::at(alpha, self.p(), outside)
    }

    /// Whether the difference lies above −margin, however far: nothing that matters is lost.
    pub fn not_lower(&self, alpha: f64) -> Verdict {
        Verdict::at(alpha, self.lower, 1.0 - self.lower)
    }
}

impl Interval {
    /// Whether the value lies within ±margin; with an interval of level 1 − 2α this is TOST at α.
    pub fn equal(&self, margin: f64) -> Verdict {
        match (self.low > -margin && self.high < margin, self.high < -margin || self.low > margin) {
            (true, _) => Verdict::Yes,
            (_, true) => Verdict::No,
            _ => Verdict::CannotTell,
        }
    }

    /// Whether the value lies above −margin.
    pub fn not_lower(&self, margin: f64) -> Verdict {
        match (self.low > -margin, self.high < -margin) {
            (true, _) => Verdict::Yes,
            (_, true) => Verdict::No,
            _ => Verdict::CannotTell,
        }
    }

    /// The smallest interval that holds both.
    pub fn with(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Block, Crossed};

    /* statsmodels 0.15.0: tests/reference/statistics.py
    ttost_paired(tuned, base, -margin, margin) gives p, (t, p of lower, df), (t, p of higher, df) */
    #[test]
    fn p_values_equal_statsmodels() {
        for (margin, lower, higher) in STATSMODELS {
            let rows = vec![DIFFERENCES.to_vec()];
            let crossed = Crossed::of(&[Block { weight: 1.0, rows }]).unwrap();
            let (value, se) = (crossed.estimate.value, crossed.estimate.se.unwrap());
            let found = Equivalence::of(value, se, crossed.degrees_of_freedom.unwrap(), margin);
            let close = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
            assert!(close(found.lower, lower) && close(found.higher, higher), "{found:?}");
        }
    }
    const DIFFERENCES: [f64; 20] =
        [0., 0., 1., 0., -1., 0., 0., 0., 0., 0., 0., -1., 0., 0., 0., 0., 0., 0., 0., 0.];
    const STATSMODELS: [(f64, f64, f64); 3] = [
        (0.05, 0.5, 0.1352537937828168),
        (0.2, 0.05248882048721205, 0.0052641899701684775),
        (0.4, 0.00040806195564539494, 3.129591927762667e-05),
    ];

    #[test]
    fn a_margin_is_kept_missed_or_beyond_what_the_data_tell() {
        let check = |difference: f64, equal: Verdict, not_lower: Verdict| {
            let found = Equivalence::of(difference, 0.5, 100.0, 2.0);
            assert_eq!(
                (found.equal(0.05), found.not_lower(0.05)),
                (equal, not_lower),
                "{difference}"
            );
            let interval = Interval { low: difference - 0.83, high: difference + 0.83 };
            assert_eq!(
                (interval.equal(2.0), interval.not_lower(2.0)),
                (equal, not_lower),
                "{difference}"
            );
        };
        check(0.0, Verdict::Yes, Verdict::Yes);
        check(-1.5, Verdict::CannotTell, Verdict::CannotTell);
        check(-4.0, Verdict::No, Verdict::No);
        check(4.0, Verdict::No, Verdict::Yes); // a gain is no loss
    }

    #[test]
    fn items_that_never_differ_are_evidence_by_their_number() {
        let found = Equivalence::of_constant(0.0, 100, 0.02);
        assert!((found.p() - 0.98f64.powi(100)).abs() < 1e-12);
        assert_eq!(found.equal(0.05), Verdict::CannotTell);
        assert_eq!(Equivalence::of_constant(0.0, 200, 0.02).equal(0.05), Verdict::Yes);
        assert_eq!(Equivalence::of_constant(-0.5, 200, 0.02).not_lower(0.05), Verdict::No);
    }
}
