//! The three distributions that the tests need, by `statrs`.

use statrs::distribution::{Binomial, ContinuousCDF, Discrete, DiscreteCDF, Normal, StudentsT};

/// Above this many degrees of freedom Student's t is the normal distribution to seven digits.
const MANY: f64 = 1e7;

fn standard_normal() -> Normal {
    Normal::standard()
}

/// Share of the standard normal distribution below `z`.
pub(super) fn normal_below(z: f64) -> f64 {
    standard_normal().cdf(z)
}

/// The value with the share `p` of the standard normal distribution below it; infinite for 0 and 1.
pub(super) fn normal_quantile(p: f64) -> f64 {
    standard_normal().inverse_cdf(p.clamp(0.0, 1.0))
}

fn student(degrees_of_freedom: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees_of_freedom.max(1e-3))
        .expect("a positive number of degrees of freedom")
}

/// Share of Student's distribution above `t`.
pub(super) fn student_above(t: f64, degrees_of_freedom: f64) -> f64 {
    if degrees_of_freedom < MANY {
        student(degrees_of_freedom).sf(t)
    } else {
        standard_normal().sf(t)
    }
}

/// The value with the share `p`, between 0 and 1, of Student's distribution below it.
pub(super) fn student_quantile(p: f64, degrees_of_freedom: f64) -> f64 {
    if degrees_of_freedom < MANY {
        student(degrees_of_freedom).inverse_cdf(p)
    } else {
        normal_quantile(p)
    }
}

/// Of `n` fair coins: the probability of at most `k` heads, and of exactly `k`.
pub(super) fn fair_coins(k: u64, n: u64) -> (f64, f64) {
    let coins = Binomial::new(0.5, n).expect("a half is a probability");
    (coins.cdf(k), coins.pmf(k))
}

#[cfg(test)]
mod tests {
    use super::*;

    /* scipy 1.17.1: tests/reference/statistics.py
    st.t.ppf(.975, [1, 2, 2.5, 17.3, 99]), st.t.sf(2.1, [1, 2, 2.5, 17.3, 99]), st.norm.ppf([1e-8, .025, .8]) */
    #[test]
    fn quantiles_and_tails_equal_scipy() {
        let check = |found: f64, expected: f64| {
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} is not {expected}");
        };
        for (degrees, quantile, tail) in STUDENT {
            check(student_quantile(0.975, degrees), quantile);
            check(student_quantile(0.025, degrees), -quantile);
            check(student_above(2.1, degrees), tail);
        }
        for (p, quantile) in NORMAL {
            check(normal_quantile(p), quantile);
            check(normal_below(quantile), p);
        }
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        check(student_quantile(0.975, 1e9), 1.959963984540054);
    }
    const STUDENT: [(f64, f64, f64); 5] = [
        (1.0, 12.706204736174694, 0.141463028121509),
        (2.0, 4.302652729749462, 0.08527493459498375),
        (2.5, 3.5746548420036817, 0.07225122237742189),
        (17.3, 2.1070320037534676, 0.025344111511433762),
        (99.0, 1.9842169515864174, 0.01913542565628563),
    ];
    const NORMAL: [(f64, f64); 3] =
        [(1e-8, -5.612001244174789), (0.025, -1.9599639845400545), (0.8, 0.8416212335729143)];
}
