use serde::{Deserialize, Serialize};

/// How the learning rate goes over the steps, after a linear warm-up. Same values as transformers' `get_scheduler`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Stays at the peak.
    Constant,
    /// Falls linearly to 0 at the end.
    Linear,
    /// Falls along half a cosine to 0 at the end.
    Cosine,
    /// Stays at the peak, then falls linearly to 0 over the last `decay` share of the steps.
    Trapezoid {
        /// Share of all steps over which the rate falls.
        decay: f64,
    },
}

impl Schedule {
    /// What the peak rate is multiplied by at `step` (from 0) of `total`, the first `warmup` of which rise linearly from 0.
    pub fn factor(&self, step: usize, total: usize, warmup: usize) -> f64 {
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => (1.0 - progress).max(0.0),
            Self::Cosine => (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0),
            Self::Trapezoid { decay } => {
                let left = 1.0 - step as f64 / total.max(1) as f64;
                (left / decay.max(1e-9)).min(1.0)
            }
        }
    }
}
