//! How gradients become steps: AdamW, Muon for training from nothing, schedules, clipping.
//!
//! ```
//! use unforget::optimizer::Schedule;
//! let cosine = Schedule::Cosine;
//! assert_eq!(cosine.factor(0, 10, 2), 0.0); // as in transformers, a warm-up starts at 0
//! assert_eq!(cosine.factor(2, 10, 2), 1.0);
//! assert!(cosine.factor(9, 10, 2) < 0.05);
//! ```

mod adamw;
mod muon;
mod schedule;

pub use adamw::{AdamW, AdamWConfig};
pub use muon::Muon;
pub use schedule::Schedule;

use candle_core::{Result, Tensor};

/// Euclidean norm over all gradients together.
pub fn global_norm(gradients: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for gradient in gradients {
        sum += f64::from(
            gradient.sqr()?.sum_all()?.to_dtype(candle_core::DType::F32)?.to_scalar::<f32>()?,
        );
    }
    Ok(sum.sqrt())
}

/// What gradients of norm `norm` are multiplied by so that they are at most `limit` long: as `torch.nn.utils.clip_grad_norm_`.
pub fn clip_factor(norm: f64, limit: Option<f64>) -> f64 {
    limit.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0))
}
