//! Any adapter as a plain LoRA, for programs that know nothing else.

use super::merged::{layer, layers_of, open};
use super::svd::{leading, tensor};
use crate::adapter::{LoraConfig, Patterns, PeftAdapter};
use crate::error::{Error, Result};
use crate::model::{BROKEN, Checkpoint};
use candle_core::{DType, Tensor};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// How well the plain update of one layer stands for the adapter's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Approximated {
    /// The layer's path.
    pub layer: String,
    /// `‖Δ − B A‖ / ‖Δ‖`: what the plain update misses of the weight's change, in Frobenius norms; 0 if nothing changes.
    pub error: f64,
    /// `‖Δ‖ / ‖W‖`: how large that change is.
    pub change: f64,
}

/// Writes the adapter of `checkpoint` as a plain LoRA of `rank` to the folder `out`, and says for each layer what is lost.
///
/// The change `Δ = W' − W` of each weight, DoRA's turning and stretching of rows included, is cut down to its largest singular values:
/// no update of that rank is closer. `Δ` of a DoRA has full rank wherever a length changed, so something is lost at any rank. An adapter that is a LoRA already
/// loses nothing at its own rank; its scale then becomes 1. Without `rank` it is the adapter's own, the largest where layers differ.
pub fn as_lora(
    checkpoint: &Checkpoint,
    out: &Path,
    rank: Option<usize>,
    done: impl Fn() + Sync,
) -> Result<Vec<Approximated>> {
    super::refuse_scaled(checkpoint)?;
    let Some(folder) = &checkpoint.adapter else {
        let problem = "names no adapter to write as a plain LoRA";
        return Err(Error::invalid("checkpoint", problem));
    };
    if rank == Some(0) {
        return Err(Error::invalid("rank", "must be at least 1"));
    }
    let adapter = PeftAdapter::read(folder)?;
    if adapter.modules.keys().any(|path| adapter.changes_bias(path)) {
        let problem = "the adapter brings biases, for which a plain LoRA has no place; write the merged model instead";
        return Err(Error::file(folder, problem));
    }
    let stored = open(checkpoint)?;
    let mut problems = Vec::new();
    let layers = layers_of(&stored);
    adapter.check_names(&layers, &mut problems);
    adapter.check_whole(&layers, &mut problems);
    let paths: Vec<&String> = adapter.modules.keys().collect();
    let own = paths.iter().map(|path| adapter.config.rank(path)).max();
    let rank = rank.or(own).unwrap_or(adapter.config.rank);
    let parts = paths
        .par_iter()
        .enumerate()
        .map(|(at, path)| {
            let mut problems = Vec::new();
            let projection = layer(&stored, &adapter, path, &mut problems)?;
            if !problems.is_empty() {
                return Ok(Err(problems));
            }
            let weight = projection.weight.dense()?.to_dtype(DType::F64)?;
            let change = (exact(&projection)? - &weight)?;
            let (a, b) = factors(&change, rank, at as u64)?;
            let kept = b.to_dtype(DType::F64)?.matmul(&a.to_dtype(DType::F64)?)?;
            let (size, missed) = (norm(&change)?, norm(&(&change - kept)?)?);
            if !(size.is_finite() && missed.is_finite()) {
                let problem = format!("{path}: the change of the weight is infinite, {BROKEN}");
                return Err(Error::file(folder, problem));
            }
            let ratio = |a: f64, b: f64| if a == 0.0 { 0.0 } else { a / b };
            let approximated = Approximated {
                layer: path.to_string(),
                error: ratio(missed, size),
                change: ratio(size, norm(&weight)?),
            };
            done();
            Ok(Ok((approximated, a, b)))
        })
        .collect::<Result<Vec<_>>>()?;
    let (mut layers, mut tensors) = (Vec::new(), BTreeMap::new());
    for part in parts {
        match part {
            Ok((approximated, a, b)) => {
                let path = &approximated.layer;
                tensors.insert(format!("base_model.model.{path}.lora_A.weight"), a);
                tensors.insert(format!("base_model.model.{path}.lora_B.weight"), b);
                layers.push(approximated);
            }
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(Error::Weights { path: folder.clone(), problems });
    }
    let mut plain = adapter.clone();
    plain.config = LoraConfig {
        rank,
        alpha: rank as f64,
        dora: false,
        rslora: false,
        rank_pattern: Patterns::new(),
        alpha_pattern: Patterns::new(),
        ..adapter.config
    };
    plain.write(&tensors, out)?;
    Ok(layers)
}

/// The weight with its update folded in, in f64: a small change must not drown in rounding.
fn exact(projection: &crate::model::Projection) -> Result<Tensor> {
    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64);
    let weight = wide(&projection.weight.dense()?)?;
    let Some(update) = &projection.adapted else {
        return Ok(weight);
    };
    let low = wide(&update.b)?.matmul(&wide(&update.a)?)?;
    let sum = (weight + (low * update.scale)?)?;
    Ok(match &update.magnitude {
        None => sum,
        Some(magnitude) => {
            let lengths = sum.sqr()?.sum(1)?.sqrt()?;
            sum.broadcast_mul(&(wide(magnitude)? / lengths)?.unsqueeze(1)?)?
        }
    })
}

/// `A`, `(rank, in)`, and `B`, `(out, rank)`, in f32, with `B A` as close to `change` as can be. Each gets the root of the singular values.
fn factors(change: &Tensor, rank: usize, seed: u64) -> Result<(Tensor, Tensor)> {
    let (out, inner) = change.dims2()?;
    let leading = leading(change, rank, seed)?;
    let scaled = |columns: Vec<Vec<f64>>, length: usize| {
        let columns = columns.into_iter().zip(&leading.values);
        let mut columns: Vec<Vec<f64>> = columns
            .map(|(column, value)| column.iter().map(|x| x * value.sqrt()).collect())
            .collect();
        // a layer smaller than the rank has no more directions
        columns.resize(rank, vec![0.0; length]);
        tensor(&columns, length)
    };
    let a = scaled(leading.right, inner)?.t()?.to_dtype(DType::F32)?;
    let b = scaled(leading.left, out)?.to_dtype(DType::F32)?;
    Ok((a.contiguous()?, b))
}

fn norm(matrix: &Tensor) -> Result<f64> {
    Ok(matrix.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt())
}
