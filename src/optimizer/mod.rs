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

use crate::ops::Path;
use candle_core::{DType, Result, Tensor};

/// Euclidean norm over all gradients together.
pub fn global_norm(path: Path, gradients: &[Tensor]) -> Result<f64> {
    Ok(squares(path, gradients)?.iter().sum::<f64>().sqrt())
}

/// The sum of squares of each tensor, summed in f32 whatever its precision.
pub fn squares(path: Path, tensors: &[Tensor]) -> Result<Vec<f64>> {
    let square = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.sqr();
    if path == Path::Host {
        let sum = |tensor| Ok(f64::from(square(tensor)?.sum_all()?.to_scalar::<f32>()?));
        return tensors.iter().map(sum).collect();
    }
    if tensors.is_empty() {
        return Ok(Vec::new());
    }
    // a sum over a row is one block of threads of a GPU, and a copy to the host waits for all of it
    let sums = tensors.iter().map(|tensor| {
        let squares = square(tensor)?;
        let rows = if squares.rank() > 1 { squares.sum(squares.rank() - 1)? } else { squares };
        rows.sum_all()?.reshape(1)
    });
    let sums = Tensor::cat(&sums.collect::<Result<Vec<_>>>()?, 0)?.to_vec1::<f32>()?;
    Ok(sums.into_iter().map(f64::from).collect())
}

/// What gradients of norm `norm` are multiplied by so that they are at most `limit` long: as `torch.nn.utils.clip_grad_norm_`.
pub fn clip_factor(norm: f64, limit: Option<f64>) -> f64 {
    limit.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0))
}
