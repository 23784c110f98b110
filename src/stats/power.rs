//! What a design can show: the smallest effect that it would find, and the items that an effect needs.
//!
//! For items that are right or wrong under two models the variance of a difference comes from the discordant items alone. Their share ψ is
//! what has to be guessed beforehand: between two nearly equal models it is often a tenth. With a difference δ (a share), level α
//! and power 1 − β (Connor 1987):
//!
//! ```text
//! √items · δ = z(1 − α/2) · √ψ + z(1 − β) · √(ψ − δ²)
//! ```

use super::distribution::{normal_quantile, student_quantile};

/// The difference that a two-sided test at `alpha` finds with probability `power`, in the unit of `se`.
///
/// For any estimate with a standard error: `(t(1 − α/2) + t(power)) · se`.
pub fn smallest_effect(se: f64, degrees_of_freedom: f64, alpha: f64, power: f64) -> f64 {
    let quantile = |p: f64| student_quantile(p, degrees_of_freedom);
    (quantile(1.0 - alpha / 2.0) + quantile(power)) * se
}

/// The smallest difference, a share, that McNemar's test finds on `items` of which the share `discordant` is discordant; `None` where
/// not even the largest possible one, `discordant` itself, would be found.
///
/// ```
/// use unforget::stats::power::smallest_difference;
/// let found = smallest_difference(0.1, 500, 0.05, 0.8).unwrap();
/// assert_eq!(format!("{:.1} points", 100.0 * found), "4.0 points");
/// ```
pub fn smallest_difference(discordant: f64, items: usize, alpha: f64, power: f64) -> Option<f64> {
    let (a, b) = quantiles(alpha, power);
    // √items · δ − a√ψ = b√(ψ − δ²), squared: (items + b²) δ² − 2a√(items ψ) δ + (a² − b²) ψ = 0
    let items = items as f64;
    let half = a * (items * discordant).sqrt();
    let root = half * half - (items + b * b) * (a * a - b * b) * discordant;
    let found = (half + root.max(0.0).sqrt()) / (items + b * b);
    (discordant > 0.0 && found <= discordant).then_some(found)
}

/// The items that McNemar's test needs to find `difference`, a share, where the share `discordant` of items is discordant; `None` where
/// there is no such difference, 0 or more than the discordant items make.
///
/// ```
/// use unforget::stats::power::needed_items;
/// assert_eq!(needed_items(0.1, 0.02, 0.05, 0.8), Some(1960));
/// ```
pub fn needed_items(discordant: f64, difference: f64, alpha: f64, power: f64) -> Option<usize> {
    let difference = difference.abs();
    if difference == 0.0 || difference > discordant || discordant > 1.0 {
        return None;
    }
    let (a, b) = quantiles(alpha, power);
    let sum = a * discordant.sqrt() + b * (discordant - difference * difference).max(0.0).sqrt();
    Some((sum / difference).powi(2).ceil() as usize)
}

/// The items that it takes to show, with probability `power`, that two models which are equally good lie within ±`margin`, a share, if the share
/// `discordant` of items is discordant; `None` for a margin of 0.
///
/// TOST at `alpha`: `ψ · ((z(1 − α) + z((1 + power) / 2)) / margin)²`.
pub fn needed_items_for_equivalence(
    discordant: f64,
    margin: f64,
    alpha: f64,
    power: f64,
) -> Option<usize> {
    let sum = normal_quantile(1.0 - alpha) + normal_quantile((1.0 + power) / 2.0);
    (margin > 0.0).then(|| (discordant * (sum / margin).powi(2)).ceil() as usize)
}

fn quantiles(alpha: f64, power: f64) -> (f64, f64) {
    (normal_quantile(1.0 - alpha / 2.0), normal_quantile(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    /* scipy 1.17.1: tests/reference/statistics.py, the formulas in Python, and the power that the test really has at that n,
    by summing over all outcomes: binom.pmf(discordant items) · binom.pmf(gained among them) */
    #[test]
    fn items_and_effects_equal_scipy() {
        for (discordant, difference, items, equivalence) in SCIPY {
            assert_eq!(needed_items(discordant, difference, 0.05, 0.8), Some(items));
            assert_eq!(
                needed_items_for_equivalence(discordant, difference, 0.05, 0.8),
                Some(equivalence)
            );
            let found = smallest_difference(discordant, items, 0.05, 0.8).unwrap();
            assert!(found <= difference && found > 0.99 * difference, "{found}");
        }
    }
    const SCIPY: [(f64, f64, usize, usize); 4] = [
        (0.1, 0.02, 1960, 2141), // real power 0.803
        (0.1, 0.05, 312, 343),   // 0.826
        (0.3, 0.05, 940, 1028),  // 0.802
        (0.04, 0.03, 347, 381),  // 0.846
    ];

    #[test]
    fn what_no_design_can_show_is_none() {
        assert_eq!(needed_items(0.01, 0.02, 0.05, 0.8), None);
        assert_eq!(needed_items(0.1, 0.0, 0.05, 0.8), None);
        assert_eq!(smallest_difference(0.01, 100, 0.05, 0.8), None);
        assert_eq!(smallest_difference(0.0, 100, 0.05, 0.8), None);
    }

    /// (st.t.ppf(.975, 20) + st.t.ppf(.8, 20)) * 1.5
    #[test]
    fn the_smallest_effect_grows_where_the_error_is_little_known() {
        let found = smallest_effect(1.5, 20.0, 0.05, 0.8);
        assert!((found - 4.418891830497376).abs() < 1e-8, "{found}");
        assert!(smallest_effect(1.5, 2.0, 0.05, 0.8) > found);
    }
}
