//! What fine-tuning did to the weights: the size of each layer's change and how many directions it has.
//!
//! A LoRA changes a layer by `Δ = scale · B A`, with `A` `(rank, in)` and `B` `(out, rank)`. Its singular values come from the small
//! matrices alone: with `B = Q R` and `Aᵀ = P S`, both `Q` and `P` orthogonal, they are those of the `rank × rank` matrix
//! `scale · R Sᵀ`. The change itself is never written out.
//!
//! The paper's Table 7 prints norms without saying which, and its Figure 13 counts singular values above a threshold without saying
//! which. Here: the Frobenius norm, over all changed layers together the root of the sum of squares; and two ranks, one with the
//! threshold [`THRESHOLD`], one without any ([`entropy_rank`]).
//!
//! ```
//! use unforget::weight_change::{effective_rank, entropy_rank};
//! let singular_values = [2.0, 2.0, 0.01, 0.0];
//! assert_eq!(effective_rank(&singular_values, 0.05), 2);
//! assert!((entropy_rank(&singular_values).unwrap() - 2.0).abs() < 0.1);
//! ```

use crate::adapter::PeftAdapter;
use crate::error::{Error, Result};
use crate::export::svd;
use crate::model::Decoder;
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A singular value above this counts in [`effective_rank`], where nothing else is said. The paper's first values lie between .15 and .78, and
/// its figure of counts, which names no threshold, fits values of this size.
pub const THRESHOLD: f64 = 0.05;

/// What happened to one layer's weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerChange {
    /// The layer's path, such as `model.layers.0.self_attn.q_proj`.
    pub layer: String,
    /// Frobenius norm of the change.
    pub norm: f64,
    /// Singular values of the change, the largest first; `None` where it is not of low rank (DoRA, training in full).
    pub singular_values: Option<Vec<f64>>,
}

/// The changes of a LoRA's layers, by their path.
///
/// # Errors
/// An adapter that is no plain LoRA, or cannot be read: see [`of_models`] for others.
pub fn of_lora(folder: &Path) -> Result<Vec<LayerChange>> {
    let adapter = PeftAdapter::read(folder)?;
    if adapter.config.dora {
        let problem = "is a DoRA, whose change is not of low rank; compare the whole weights";
        return Err(Error::file(folder, problem));
    }
    let layers = adapter.modules.iter().filter_map(|(path, module)| {
        let (a, b) = (module.a.as_ref()?, module.b.as_ref()?);
        Some((path, a, b))
    });
    let change = |(path, a, b): (&String, &Tensor, &Tensor)| {
        let singular_values = of_product(a, b, adapter.config.scale(path))?;
        Ok(LayerChange {
            layer: path.clone(),
            norm: norm(&singular_values),
            singular_values: Some(singular_values),
        })
    };
    layers.map(change).collect()
}

/// The changes of every linear layer between two models of one shape; their size only.
pub fn of_models(before: &Decoder, after: &Decoder) -> Result<Vec<LayerChange>> {
    let pairs = before.projections().zip(after.projections());
    let change = |((layer, before), (_, after)): ((String, _), (String, _))| {
        let (before, after): (&crate::model::Projection, &crate::model::Projection) =
            (before, after);
        // on the host, since not every device knows f64
        let wide = |weight: Tensor| weight.to_device(&Device::Cpu)?.to_dtype(DType::F64);
        let change = (wide(after.merged_in_f32()?)? - wide(before.merged_in_f32()?)?)?;
        Ok(LayerChange {
            layer,
            norm: change.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt(),
            singular_values: None,
        })
    };
    pairs.map(change).collect()
}

/// Singular values of `scale · B A`, the largest first, `rank` of them; `a` is `(rank, in)`, `b` `(out, rank)`.
pub fn of_product(a: &Tensor, b: &Tensor, scale: f64) -> Result<Vec<f64>> {
    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.contiguous();
    let (a, b) = (wide(a)?, wide(b)?);
    let (rank, _) = a.dims2()?;
    let turned = a.t()?.contiguous()?;
    // Q R with R = Qᵀ B, and the same for Aᵀ
    let triangle = |matrix: &Tensor| -> Result<Tensor> {
        Ok(svd::orthonormal(matrix)?.t()?.contiguous()?.matmul(matrix)?)
    };
    let small = triangle(&b)?.matmul(&triangle(&turned)?.t()?.contiguous()?)?;
    let mut values = svd::leading(&(small * scale)?, rank, 0)?.values;
    values.resize(rank, 0.0);
    Ok(values)
}

/// Norm of all changes together: the root of the sum of squares.
pub fn total_norm(changes: &[LayerChange]) -> f64 {
    norm(&changes.iter().map(|change| change.norm).collect::<Vec<_>>())
}

/// How many of the singular values are above `threshold`.
pub fn effective_rank(singular_values: &[f64], threshold: f64) -> usize {
    singular_values.iter().filter(|value| **value > threshold).count()
}

/// `exp` of the entropy of the singular values' shares of their sum (Roy and Vetterli 2007): 1 for a single direction, `n` for `n`
/// equal ones. `None` if nothing changed.
pub fn entropy_rank(singular_values: &[f64]) -> Option<f64> {
    let sum: f64 = singular_values.iter().sum();
    let shares = singular_values.iter().map(|value| value / sum);
    let entropy: f64 = shares.filter(|share| *share > 0.0).map(|share| -share * share.ln()).sum();
    (sum > 0.0).then(|| entropy.exp())
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(rows: usize, columns: usize, turn: f64) -> Tensor {
        let values: Vec<f32> = (0..rows * columns)
            .map(|at| {
                let (row, column) = ((at / columns) as f64, (at % columns) as f64);
                ((turn * row + 0.7 * column).sin() + (row * column) % 5.0) as f32
            })
            .collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    /* import numpy as np                                                              # numpy 2.4.6
    def made(r, c, t): i, j = np.mgrid[0:r, 0:c].astype(float); return (np.sin(t * i + .7 * j) + i * j % 5).astype(np.float32).astype(float)
    s = np.linalg.svd(2 * made(9, 3, .3) @ made(3, 7, 1.1), compute_uv=False)[:3]; print(s, np.sqrt((s ** 2).sum()))
    p = s / s.sum(); print(np.exp(-(p * np.log(p)).sum())) */
    #[test]
    fn singular_values_of_the_product_are_those_of_numpy() {
        let values = of_product(&made(3, 7, 1.1), &made(9, 3, 0.3), 2.0).unwrap();
        assert_eq!(values.len(), 3);
        for (found, expected) in values.iter().zip(NUMPY) {
            assert!((found - expected).abs() < 1e-6, "{values:?}");
        }
        assert!((norm(&values) - NUMPY_NORM).abs() < 1e-6);
        assert!((entropy_rank(&values).unwrap() - NUMPY_ENTROPY_RANK).abs() < 1e-6);
    }

    const NUMPY: [f64; 3] = [167.08615018294975, 18.42426311172394, 2.2210523654854204];
    const NUMPY_NORM: f64 = 168.113557239681;
    const NUMPY_ENTROPY_RANK: f64 = 1.4681539831441939;

    #[test]
    fn an_update_that_is_still_zero_changed_nothing() {
        let b = Tensor::zeros((9, 3), DType::F32, &Device::Cpu).unwrap();
        let values = of_product(&made(3, 7, 1.0), &b, 2.0).unwrap();
        assert_eq!(values, [0.0; 3]);
        assert_eq!(entropy_rank(&values), None);
        assert_eq!(effective_rank(&values, 0.0), 0);
    }

    #[test]
    fn equal_directions_are_counted_in_full() {
        assert!((entropy_rank(&[3.0; 5]).unwrap() - 5.0).abs() < 1e-12);
        assert_eq!(effective_rank(&[3.0, 0.05, 0.04], THRESHOLD), 1);
    }
}
