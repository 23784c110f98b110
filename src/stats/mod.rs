//! Means with their uncertainty, and what may be concluded from them.
//!
//! Every score here comes from the same items under several seeds: items are *crossed* with seeds. Two things could have been
//! otherwise, which items were drawn and which seeds, and everything here counts both: [`crossed()`] as a standard error,
//! [`Bootstrap`] by drawing seeds and items again. [`Comparison`] asks of two models on the same items all that can be asked:
//! how large the difference is, whether it is there ([`mcnemar`], [`sign_flip`], t), whether it is small enough to be none
//! ([`Equivalence`]), and what these items and seeds could have shown at all ([`power`]). [`holm`] is for asking several times.
//!
//! ```
//! use unforget::stats::{Comparison, Design, Pair, Verdict};
//! // one task, one seed, five hundred items: one is learned, two are lost
//! let base = vec![vec![1.0; 500]];
//! let mut tuned = base.clone();
//! tuned[0][..2].fill(0.0);
//! let pair = Pair { weight: 1.0, first: base, second: tuned };
//! let found = Comparison::of(&[pair], &Design::default())?;
//! assert_eq!(found.difference.value, -0.4);
//! assert_eq!(found.not_lower, Verdict::Yes); // what was lost is less than the margin of 2 points
//! # Ok::<(), unforget::error::Error>(())
//! ```
//!
//! Trap: a difference that is not significant is not a difference that is not there. "Does not forget" is a separate claim, with
//! a margin, and too few items answer it with [`Verdict::CannotTell`].

mod bootstrap;
mod comparison;
mod crossed;
mod distribution;
mod equivalence;
mod holm;
pub mod mcnemar;
pub mod power;
pub mod sign_flip;

pub use bootstrap::{Bootstrap, Method, quantile};
pub use comparison::{Adjusted, Comparison, Design, Pair, Test};
pub use crossed::{Block, Crossed, crossed};
pub use equivalence::{Equivalence, Verdict};
pub use holm::holm;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt::Display;

/// Refuses values that stand there twice: what is counted as one of n (a seed, an item) may count once only, or n is too large and every
/// p value too small.
///
/// # Errors
/// Names `what` they are and the first one that is repeated.
///
/// ```
/// use unforget::stats::distinct;
/// assert!(distinct("seeds", [1, 2]).is_ok());
/// assert!(distinct("seeds", [1, 2, 1]).unwrap_err().to_string().contains("1 stands there twice"));
/// ```
pub fn distinct(what: &str, values: impl IntoIterator<Item = impl Display>) -> Result<()> {
    let mut seen = HashSet::new();
    for value in values {
        let text = value.to_string();
        if seen.contains(&text) {
            let problem =
                format!("{text} stands there twice, and would be counted twice; name each once");
            return Err(Error::invalid(what, problem));
        }
        seen.insert(text);
    }
    Ok(())
}

/// The arithmetic mean; `None` for no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
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
        Self { value: self.value * factor, se: self.se.map(|se| se * factor.abs()) }
    }
}

/// Where a value lies, with a stated confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /* np.std([1,2,4,8], ddof=1) / 2 */
    #[test]
    fn simple_statistics_equal_numpy() {
        let values = [1.0, 2.0, 4.0, 8.0];
        let found = standard_error(&values).unwrap();
        assert!((found - 1.547847968417226).abs() < 1e-12, "{found}");
        assert_eq!(Spread::of(&values), Some(Spread { min: 1.0, max: 8.0 }));
        assert_eq!((mean(&[]), standard_error(&[1.0]), Spread::of(&[])), (None, None, None));
    }
}
