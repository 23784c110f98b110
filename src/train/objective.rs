use crate::error::Error;
use crate::ops::RowLoss;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is minimized at each learned token, as a function of the probability `p` that the model gives it.
///
/// Written and read as `surprisal`, `probability:Q`, `psft:EPSILON` or `psft:EPSILON:REFRESH`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Objective {
    /// `−ln p`: cross-entropy.
    #[default]
    Surprisal,
    /// `(1 − p^q) / q` (arXiv 2510.00526): its gradient is that of the surprisal times `p^q`, so that `q = 1` steps as DFT
    /// (arXiv 2508.05629) does, and a small `q` as the surprisal.
    Probability {
        /// The power, above 0.
        q: f64,
    },
    /// `−min(r, clip(r, 1 − ε, 1 + ε))` with `r = p / p_old` (PSFT, arXiv 2508.17784): a token whose probability has grown by more than
    /// the factor `1 + ε` pulls no more. The lower bound of the published formula never holds anything back, because the advantage
    /// is always 1: where `r < 1 − ε`, `r` itself is the smaller one.
    Clipped {
        /// How much a probability may grow; 0.28 in the authors' code.
        epsilon: f64,
        /// Steps after which the old model is the one of that moment; without, it is always the base model.
        refresh: Option<usize>,
    },
}

impl Objective {
    /// Loss and slope of a token with weight `weight` and log-probability `log_prob`; `old` is its log-probability under the old model,
    /// which only [`Objective::Clipped`] looks at.
    pub fn row(&self, weight: f64, log_prob: f32, old: Option<f32>) -> RowLoss {
        let log_prob = f64::from(log_prob);
        let (value, slope) = match *self {
            Self::Surprisal => (-log_prob, 1.0),
            Self::Probability { q } => {
                let power = (q * log_prob).exp();
                // 1 − p^q without loss of digits where p is near 1
                (-(q * log_prob).exp_m1() / q, power)
            }
            Self::Clipped { epsilon, .. } => {
                let ratio = (log_prob - old.map_or(log_prob, f64::from)).exp();
                match ratio > 1.0 + epsilon {
                    true => (-(1.0 + epsilon), 0.0),
                    false => (-ratio, ratio),
                }
            }
        };
        RowLoss { value: weight * value, slope: (weight * slope) as f32 }
    }

    /// Refuses numbers that make no sense.
    pub fn check(&self) -> crate::error::Result<()> {
        let wrong = |problem: String| Err(Error::invalid("objective", problem));
        match *self {
            Self::Surprisal => Ok(()),
            Self::Probability { q } if q.is_finite() && q > 0.0 => Ok(()),
            Self::Probability { q } => wrong(format!(
                "the power of probability:Q must be a number above 0, got {q}; as it goes to 0 this becomes `surprisal`"
            )),
            Self::Clipped { refresh: Some(0), .. } => {
                wrong("the steps of psft:EPSILON:STEPS must be at least 1".into())
            }
            Self::Clipped { epsilon, .. } if epsilon.is_finite() && epsilon > 0.0 => Ok(()),
            Self::Clipped { epsilon, .. } => {
                wrong(format!("the bound of psft:EPSILON must be a number above 0, got {epsilon}"))
            }
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Surprisal => f.write_str("surprisal"),
            Self::Probability { q } => write!(f, "probability:{q}"),
            Self::Clipped { epsilon, refresh: None } => write!(f, "psft:{epsilon}"),
            Self::Clipped { epsilon, refresh: Some(steps) } => write!(f, "psft:{epsilon}:{steps}"),
        }
    }
}

impl FromStr for Objective {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(
                "objective",
                format!(
                    "`{name}` is none of surprisal, probability:Q such as probability:1, psft:EPSILON such as psft:0.28, psft:EPSILON:STEPS such as psft:0.28:8"
                ),
            )
        };
        let mut parts = name.split(':');
        let kind = parts.next().unwrap_or_default();
        let numbers: Vec<&str> = parts.collect();
        let number = |text: &str| text.parse::<f64>().map_err(|_| wrong());
        let objective = match (kind, &numbers[..]) {
            ("surprisal", []) => Self::Surprisal,
            ("probability", [q]) => Self::Probability { q: number(q)? },
            ("psft", [epsilon]) => Self::Clipped { epsilon: number(epsilon)?, refresh: None },
            ("psft", [epsilon, steps]) => Self::Clipped {
                epsilon: number(epsilon)?,
                refresh: Some(steps.parse().map_err(|_| wrong())?),
            },
            _ => return Err(wrong()),
        };
        objective.check()?;
        Ok(objective)
    }
}

impl TryFrom<String> for Objective {
    type Error = Error;
    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_objective_are_one() {
        for name in ["surprisal", "probability:0.5", "psft:0.28", "psft:0.2:8"] {
            assert_eq!(name.parse::<Objective>().unwrap().to_string(), name);
        }
        for name in
            ["", "nll", "probability", "probability:0", "probability:x", "psft:-1", "psft:0.2:0"]
        {
            let error = name.parse::<Objective>().unwrap_err().to_string();
            assert!(error.starts_with("objective: "), "{error}");
        }
    }

    #[test]
    fn a_slope_is_the_values_derivative() {
        let objectives = [
            Objective::Surprisal,
            Objective::Probability { q: 0.3 },
            Objective::Probability { q: 1.0 },
            Objective::Clipped { epsilon: 0.2, refresh: None },
        ];
        for objective in objectives {
            for log_prob in [-4.0, -1.3, -0.7, -0.01] {
                let at = |x: f64| objective.row(0.7, x as f32, Some(-1.0)).value;
                // steps that f32 can hold
                let step = 2f64.powi(-10);
                let slope = -(at(log_prob + step) - at(log_prob - step)) / (2.0 * step);
                let got = f64::from(objective.row(0.7, log_prob as f32, Some(-1.0)).slope);
                assert!((slope - got).abs() < 2e-4, "{objective} at {log_prob}: {got}, {slope}");
            }
        }
    }

    #[test]
    fn a_small_power_is_the_surprisal() {
        for log_prob in [-6.0, -1.0, -0.1f32] {
            let small = Objective::Probability { q: 1e-6 }.row(2.0, log_prob, None);
            let plain = Objective::Surprisal.row(2.0, log_prob, None);
            assert!((small.value - plain.value).abs() < 1e-4);
            assert!((small.slope - plain.slope).abs() < 1e-4);
        }
    }
}
