use super::composed::{constant, nothing_without};
use super::host::{Matrix, exp, multiplied, tanh, values, vectorised};
use super::largest_and_exp_sum;
use super::token_loss::{Gradients, rows_at_once, soft_cap};
use super::wide::product as wide_product;
use super::{Path, Weight};
use candle_core::{D, DType, Result, Tensor, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Which way a divergence is measured between the reference model `π₀` and the model that is trained, `π`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlDirection {
    /// `KL(π₀ ‖ π) = Σ π₀ ln(π₀ / π)`: what the reference finds probable must stay so.
    #[default]
    Forward,
    /// `KL(π ‖ π₀) = Σ π ln(π / π₀)`: what the model finds probable must have been so.
    Reverse,
}

/// A divergence between two next-token distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Divergence {
    /// Which way.
    pub direction: KlDirection,
    /// Only this many tokens, those that the reference finds most probable, count one by one, and all others together as one: never
    /// more than the divergence over the whole vocabulary, and 0 only if it agrees on all of these. `None` is the whole vocabulary.
    pub top: Option<usize>,
}

/// What [`token_kl`] returns.
#[derive(Debug, Default)]
pub struct TokenKl {
    /// `Σ weight · divergence`, in nats.
    pub loss: f64,
    /// The divergence of each row, in nats.
    pub kl: Vec<f32>,
    /// `d loss / d hidden`, if asked for.
    pub hidden_gradient: Option<Tensor>,
    /// `d loss / d head`, if asked for.
    pub head_gradient: Option<Tensor>,
}

/// Head and divergence in chunks: `loss = Σ_i weights[i] · KL_i` between the next-token distributions of two models.
///
/// `hidden` is `(rows, width)`, `head` is `(vocabulary, width)`; `reference_hidden` and `reference_head` are the reference's and get no
/// gradient. Both models' logits are bounded as in [`soft_cap`] where `cap` is given. Logits of a chunk exist at one time, twice.
#[expect(clippy::too_many_arguments, reason = "two models, each a hidden state and a head")]
pub fn token_kl(
    path: Path,
    hidden: &Tensor,
    head: impl Into<Weight>,
    reference_hidden: &Tensor,
    reference_head: impl Into<Weight>,
    weights: &[f32],
    cap: Option<f64>,
    divergence: Divergence,
    want: Gradients,
) -> Result<TokenKl> {
    let (head, reference_head) = (head.into(), reference_head.into());
    let ((rows, width), (vocabulary, _)) = (hidden.dims2()?, head.dims2()?);
    if reference_hidden.dims() != [rows, width]
        || reference_head.dims2()? != (vocabulary, width)
        || weights.len() != rows
    {
        bail!(
            "hidden states {:?} and {:?}, heads {:?} and {:?}, {} weights",
            hidden.dims(),
            reference_hidden.dims(),
            head.dims2()?,
            reference_head.dims2()?,
            weights.len()
        )
    }
    if head.is_packed() && want == Gradients::HiddenAndHead {
        bail!("a head in blocks or panels is frozen")
    }
    let plain = |tensor: &Tensor| tensor.detach().contiguous();
    let (hidden, head) = (plain(hidden)?, head.plain()?);
    let (reference_hidden, reference_head) = (plain(reference_hidden)?, reference_head.plain()?);
    let fused = head.fused(path, &hidden)? && reference_head.fused(path, &hidden)?;
    let chunk = rows_at_once(path, &head, vocabulary, rows);
    let mut whole = TokenKl::default();
    let mut hidden_gradients = Vec::new();
    for from in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - from);
        let states = [hidden.narrow(0, from, count)?, reference_hidden.narrow(0, from, count)?];
        let weights = &weights[from..from + count];
        let of_chunk = if fused { on_host } else { composed };
        let heads = [&head, &reference_head];
        let part = of_chunk(&states, heads, weights, cap, divergence, want)?;
        whole.loss += part.loss;
        whole.kl.extend(part.kl);
        hidden_gradients.extend(part.hidden_gradient);
        whole.head_gradient = match (whole.head_gradient, part.head_gradient) {
            (Some(sum), Some(more)) => Some((sum + more)?),
            (sum, more) => sum.or(more),
        };
    }
    if !hidden_gradients.is_empty() {
        whole.hidden_gradient = Some(Tensor::cat(&hidden_gradients, 0)?);
    }
    Ok(whole)
}

/// `Σ weight · kl`.
fn weighted(weights: &[f32], kl: &[f32]) -> f64 {
    let pairs = weights.iter().zip(kl);
    pairs.map(|(w, kl)| f64::from(*w) * f64::from(*kl)).sum()
}

fn on_host(
    [hidden, reference]: &[Tensor; 2],
    [head, reference_head]: [&Weight; 2],
    weights: &[f32],
    cap: Option<f64>,
    divergence: Divergence,
    want: Gradients,
) -> Result<TokenKl> {
    let ((rows, width), (vocabulary, _)) = (hidden.dims2()?, head.dims2()?);
    let logits = |hidden: &Tensor, head: &Weight| -> Result<Vec<f32>> {
        Ok(head.host()?.forward(&values(hidden)?, rows))
    };
    let (mut own, mut others) = (logits(hidden, head)?, logits(reference, reference_head)?);
    let cap = cap.map(|cap| cap as f32);
    let kl: Vec<f32> = own
        .par_chunks_mut(vocabulary)
        .zip(others.par_chunks_mut(vocabulary))
        .zip(weights)
        .map(|((row, reference), weight)| {
            vectorised(|| capped_row_kl(row, reference, *weight, cap, divergence))
        })
        .collect();
    let mut result = TokenKl { loss: weighted(weights, &kl), kl, ..TokenKl::default() };
    if want != Gradients::None {
        let gradient = head.host()?.backward(&own, rows);
        result.hidden_gradient = Some(Tensor::from_vec(gradient, (rows, width), hidden.device())?);
    }
    if want == Gradients::HiddenAndHead {
        let h = values(hidden)?;
        let (h, shape) = (Matrix::rows(&h, width), (vocabulary, width, rows));
        let d_logits = Matrix::rows(&own, vocabulary);
        let gradient = multiplied(shape, d_logits.t(), h, 1.0);
        let shape = (vocabulary, width);
        result.head_gradient = Some(Tensor::from_vec(gradient, shape, hidden.device())?);
    }
    Ok(result)
}

/// [`row_kl`] of perhaps bounded logits; the gradient is that of the plain ones.
#[inline(always)]
fn capped_row_kl(
    row: &mut [f32],
    reference: &mut [f32],
    weight: f32,
    cap: Option<f32>,
    divergence: Divergence,
) -> f32 {
    let Some(cap) = cap else {
        return row_kl(row, reference, weight, divergence);
    };
    let bound = |row: &mut [f32]| row.iter_mut().for_each(|x| *x = tanh(*x / cap) * cap);
    bound(row);
    bound(reference);
    let slopes: Vec<f32> = row.iter().map(|x| 1.0 - (x / cap) * (x / cap)).collect();
    let kl = row_kl(row, reference, weight, divergence);
    for (gradient, slope) in row.iter_mut().zip(&slopes) {
        *gradient *= slope;
    }
    kl
}

/// The divergence of one row of logits from another. `row` becomes `weight · d kl / d row`.
#[inline(always)]
fn row_kl(row: &mut [f32], reference: &[f32], weight: f32, divergence: Divergence) -> f32 {
    let log_sum = |row: &[f32]| {
        let (largest, sum) = largest_and_exp_sum(row);
        largest + sum.ln()
    };
    let (own_sum, other_sum) = (log_sum(row), log_sum(reference));
    // what counts one by one
    let least = match divergence.top {
        Some(top) if top < row.len() => nth_largest(reference, top),
        _ => f32::NEG_INFINITY,
    };
    let (mut kl, mut rest, mut other_rest) = (0f64, 0f64, 0f64);
    for (x, y) in row.iter().zip(reference) {
        let (l, l0) = (x - own_sum, y - other_sum);
        let (p, p0) = (exp(l), exp(l0));
        let counts = *y >= least;
        let part = match divergence.direction {
            // −∞ · 0 is no number
            KlDirection::Forward if p0 == 0.0 => 0.0,
            KlDirection::Reverse if p == 0.0 => 0.0,
            KlDirection::Forward => p0 * (l0 - l),
            KlDirection::Reverse => p * (l - l0),
        };
        kl += f64::from(if counts { part } else { 0.0 });
        rest += f64::from(if counts { 0.0 } else { p });
        other_rest += f64::from(if counts { 0.0 } else { p0 });
    }
    // all others as one
    let tiny = f64::from(f32::MIN_POSITIVE);
    let of_rest = (other_rest.max(tiny) / rest.max(tiny)).ln();
    kl += match divergence.direction {
        KlDirection::Forward => other_rest * of_rest,
        KlDirection::Reverse => -rest * of_rest,
    };
    let ratio = (other_rest / rest.max(tiny)) as f32;
    for (x, y) in row.iter_mut().zip(reference) {
        let (l, l0) = (*x - own_sum, y - other_sum);
        let p = exp(l);
        let slope = match (divergence.direction, *y >= least) {
            (KlDirection::Forward, true) => p - exp(l0),
            (KlDirection::Forward, false) => p * (1.0 - ratio),
            (KlDirection::Reverse, true) if p == 0.0 => 0.0,
            (KlDirection::Reverse, true) => p * (l - l0 - kl as f32),
            (KlDirection::Reverse, false) => p * (-of_rest - kl) as f32,
        };
        *x = weight * slope;
    }
    kl as f32
}

/// The `n`-th largest value, `n` from 1.
fn nth_largest(row: &[f32], n: usize) -> f32 {
    let mut values = row.to_vec();
    let at = n.clamp(1, row.len()) - 1;
    *values.select_nth_unstable_by(at, |a, b| b.total_cmp(a)).1
}

/// One chunk with candle operations: any device and precision.
fn composed(
    [hidden, reference]: &[Tensor; 2],
    [head, reference_head]: [&Weight; 2],
    weights: &[f32],
    cap: Option<f64>,
    divergence: Divergence,
    want: Gradients,
) -> Result<TokenKl> {
    let (rows, device) = (weights.len(), hidden.device());
    let (head, reference_head) = (head.tensor()?, reference_head.tensor()?);
    let logits = |hidden: &Tensor, head: &Tensor| soft_cap(&wide_product(hidden, &head.t()?)?, cap);
    let log_p =
        |logits: &Tensor| logits.broadcast_sub(&logits.log_sum_exp(D::Minus1)?.unsqueeze(1)?);
    let (own, others) = (logits(hidden, head)?, logits(reference, reference_head)?);
    let wide = own.dtype();
    let (l, l0) = (log_p(&own)?, log_p(&others)?);
    let (p, p0) = (l.exp()?, l0.exp()?);
    let counts = match divergence.top {
        Some(top) if top < head.dim(0)? => {
            // candle cannot select on a GPU, so the bound is found on the host
            let rows: Vec<Vec<f32>> = others.to_dtype(DType::F32)?.to_vec2()?;
            let least: Vec<f32> = rows.par_iter().map(|row| nth_largest(row, top)).collect();
            let least = constant(&least, (rows.len(), 1), device)?;
            others.to_dtype(DType::F32)?.broadcast_ge(&least)?.to_dtype(wide)?
        }
        _ => own.ones_like()?,
    };
    let beyond = counts.affine(-1.0, 1.0)?;
    let tiny = f64::from(f32::MIN_POSITIVE);
    let rest = (&p * &beyond)?.sum_keepdim(1)?;
    let other_rest = (&p0 * &beyond)?.sum_keepdim(1)?;
    let of_rest = (other_rest.maximum(tiny)? / rest.maximum(tiny)?)?.log()?;
    let (kl, slope) = match divergence.direction {
        KlDirection::Forward => {
            let parts = nothing_without(&counts, &nothing_without(&p0, &(&p0 * (&l0 - &l)?)?)?)?;
            let parts = parts.sum_keepdim(1)?;
            let kl = (parts + (&other_rest * &of_rest)?)?;
            let ratio = (&other_rest / rest.maximum(tiny)?)?;
            let of_beyond = p.broadcast_mul(&ratio.affine(-1.0, 1.0)?)?;
            let slope = (((&p - &p0)? * &counts)? + (of_beyond * &beyond)?)?;
            (kl, slope)
        }
        KlDirection::Reverse => {
            let parts = nothing_without(&counts, &nothing_without(&p, &(&p * (&l - &l0)?)?)?)?;
            let parts = parts.sum_keepdim(1)?;
            let kl = (parts - (&rest * &of_rest)?)?;
            // −∞ of a token that does not count is no number times 0
            let apart = nothing_without(&counts, &(&l - &l0)?)?;
            let each = (apart - beyond.broadcast_mul(&of_rest)?)?;
            let slope = nothing_without(&p, &(&p * each.broadcast_sub(&kl)?)?)?;
            (kl, slope)
        }
    };
    let kl: Vec<f32> = kl.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let mut result = TokenKl { loss: weighted(weights, &kl), kl, ..TokenKl::default() };
    if want != Gradients::None {
        let weight = constant(weights, (rows, 1), device)?.to_dtype(wide)?;
        let d_logits = slope.broadcast_mul(&weight)?;
        let d_logits = match cap {
            None => d_logits,
            Some(cap) => (d_logits * (&own / cap)?.sqr()?.affine(-1.0, 1.0)?)?,
        };
        let d_logits = d_logits.to_dtype(hidden.dtype())?;
        result.hidden_gradient = Some(d_logits.matmul(head)?);
        if want == Gradients::HiddenAndHead {
            result.head_gradient = Some(wide_product(&d_logits.t()?, hidden)?);
        }
    }
    Ok(result)
}
