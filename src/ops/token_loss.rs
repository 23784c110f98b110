use super::composed::{constant, nothing_without};
use super::host::{Matrix, Write, exp, maximum, product, tanh, values, vectorised};
use super::wide::product as wide_product;
use super::{Path, Weight, linear, wide};
use candle_core::{D, DType, Result, Tensor, bail};
use rayon::prelude::*;

/// What [`token_loss`] returns, one entry for each row of the hidden states.
#[derive(Debug, Default)]
pub struct TokenLoss {
    /// `Σ weight · surprisal`, in nats.
    pub loss: f64,
    /// `ln p(target | context)`, at most 0.
    pub log_prob: Vec<f32>,
    /// Entropy of the whole next-token distribution, in nats.
    pub entropy: Vec<f32>,
    /// How many tokens of the vocabulary are more probable than the target; 0 is the greedy choice.
    pub rank: Vec<u32>,
    /// Entropy among the most probable tokens, in nats, their probabilities made to sum to 1; empty unless it was asked for.
    pub top_entropy: Vec<f32>,
    /// `d loss / d hidden`, of `hidden`'s shape, if asked for.
    pub hidden_gradient: Option<Tensor>,
    /// `d loss / d head`, of `head`'s shape, if asked for; f32 also where the head is not.
    pub head_gradient: Option<Tensor>,
}

/// Which gradients [`token_loss`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradients {
    /// None: scoring.
    None,
    /// Of the hidden states: the head is frozen.
    Hidden,
    /// Of the hidden states and the head.
    HiddenAndHead,
}

/// What one predicted token adds to the loss, as a function of its log-probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowLoss {
    /// Its part of the loss.
    pub value: f64,
    /// `−d value / d ln p(target)`: its weight, where the value is a weighted surprisal.
    pub slope: f32,
}

/// Logits that exist at one time, so that a large vocabulary never makes a large tensor.
const LOGITS_AT_ONCE: usize = 1 << 20;

/// The same of a head in blocks or panels, which is read once for each chunk: with fewer rows reading it would take longer than multiplying.
const LOGITS_AT_ONCE_OF_PACKED: usize = 1 << 24;

/// The same of composed operators: a GPU reads the head once for each chunk, and starts a kernel for each step of it.
const LOGITS_AT_ONCE_COMPOSED: usize = 1 << 27;

/// Rows of `rows` whose logits exist at one time.
pub(super) fn rows_at_once(path: Path, head: &Weight, vocabulary: usize, rows: usize) -> usize {
    let logits = match (path, head) {
        (Path::Composed, _) => LOGITS_AT_ONCE_COMPOSED,
        (_, Weight::Dense(_)) => LOGITS_AT_ONCE,
        _ => LOGITS_AT_ONCE_OF_PACKED,
    };
    (logits / vocabulary).clamp(16, rows.max(16))
}

/// `cap · tanh(logits / cap)`: Gemma 2's bound on the logits; no gradients.
pub fn soft_cap(logits: &Tensor, cap: Option<f64>) -> Result<Tensor> {
    match cap {
        None => Ok(logits.clone()),
        Some(cap) => (logits / cap)?.tanh()? * cap,
    }
}

/// Head and cross-entropy in chunks: `loss = Σ_i weights[i] · −ln softmax(hidden_i headᵀ)[targets[i]]`, the logits bounded as in
/// [`soft_cap`] where `cap` is given.
///
/// `hidden` is `(rows, width)` and holds only the positions that are learned or scored; `head` is `(vocabulary, width)`. Log-probability,
/// entropy and rank come at no extra pass. Weights carry the normalizer: divide them by it beforehand.
pub fn token_loss(
    path: Path,
    hidden: &Tensor,
    head: impl Into<Weight>,
    targets: &[u32],
    weights: &[f32],
    cap: Option<f64>,
    want: Gradients,
) -> Result<TokenLoss> {
    let head = head.into();
    let ((rows, width), (vocabulary, _)) = (hidden.dims2()?, head.dims2()?);
    if targets.len() != rows || weights.len() != rows {
        bail!("{rows} hidden states, {} targets, {} weights", targets.len(), weights.len())
    }
    if let Some(id) = targets.iter().find(|id| **id as usize >= vocabulary) {
        bail!("target {id} is outside the vocabulary of {vocabulary}")
    }
    if head.is_packed() && want == Gradients::HiddenAndHead {
        bail!("a head in blocks or panels is frozen")
    }
    let (hidden, head) = (hidden.detach().contiguous()?, head.plain()?);
    let chunk = rows_at_once(path, &head, vocabulary, rows);
    if head.fused(path, &hidden)? {
        return on_host(
            &hidden,
            &head,
            targets,
            weights,
            (cap, want),
            (rows, width, vocabulary, chunk),
        );
    }
    let mut whole = TokenLoss::default();
    let mut hidden_gradients = Vec::new();
    for from in (0..rows).step_by(chunk) {
        let to = (from + chunk).min(rows);
        let part = composed(
            &hidden.narrow(0, from, to - from)?,
            head.tensor()?,
            &targets[from..to],
            &weights[from..to],
            (cap, want),
        )?;
        whole.loss += part.loss;
        whole.log_prob.extend(part.log_prob);
        whole.entropy.extend(part.entropy);
        whole.rank.extend(part.rank);
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

/// As [`token_loss`], for losses that are any function of what the head says of each token: `rows` turns these facts into each
/// token's [`RowLoss`], all at once, so that it may also look at them together.
///
/// One product with the head serves facts and gradient where the head is frozen, since a row's gradient is its slope times the
/// gradient of its surprisal; a trained head costs another product. `top` asks for the entropy among that many tokens.
#[expect(clippy::too_many_arguments, reason = "those of the loss, and what it is made of")]
pub fn token_loss_by<E: From<candle_core::Error>>(
    path: Path,
    hidden: &Tensor,
    head: impl Into<Weight>,
    targets: &[u32],
    cap: Option<f64>,
    want: Gradients,
    top: Option<usize>,
    rows: impl FnOnce(&TokenLoss) -> std::result::Result<Vec<RowLoss>, E>,
) -> std::result::Result<TokenLoss, E> {
    let head = &head.into();
    let ones = vec![1.0; targets.len()];
    let first = match want {
        Gradients::HiddenAndHead => Gradients::None,
        other => other,
    };
    let mut facts = token_loss(path, hidden, head, targets, &ones, cap, first)?;
    if let Some(top) = top {
        facts.top_entropy = top_entropy(path, hidden, head, top, cap)?;
    }
    let rows = rows(&facts)?;
    if rows.len() != targets.len() {
        return Err(candle_core::Error::Msg(format!(
            "{} losses for {} predicted tokens",
            rows.len(),
            targets.len()
        ))
        .into());
    }
    let slopes: Vec<f32> = rows.iter().map(|row| row.slope).collect();
    if want == Gradients::HiddenAndHead {
        let again = token_loss(path, hidden, head, targets, &slopes, cap, want)?;
        facts.hidden_gradient = again.hidden_gradient;
        facts.head_gradient = again.head_gradient;
    } else if let Some(gradient) = facts.hidden_gradient.take() {
        let (dtype, wide) = (gradient.dtype(), wide(gradient.dtype()));
        let slopes = constant(&slopes, (targets.len(), 1), gradient.device())?.to_dtype(wide)?;
        let scaled = gradient.to_dtype(wide)?.broadcast_mul(&slopes)?;
        facts.hidden_gradient = Some(scaled.to_dtype(dtype)?);
    }
    facts.loss = rows.iter().map(|row| row.value).sum();
    Ok(facts)
}

/// Entropy in nats among the `top` most probable tokens of each row, their probabilities made to sum to 1 (EAFT, arXiv 2601.02151,
/// which divides it by `ln top`). No gradients.
pub fn top_entropy(
    path: Path,
    hidden: &Tensor,
    head: impl Into<Weight>,
    top: usize,
    cap: Option<f64>,
) -> Result<Vec<f32>> {
    let head = head.into();
    let (rows, (vocabulary, _)) = (hidden.dim(0)?, head.dims2()?);
    let (hidden, head) = (hidden.detach(), head.detach());
    let chunk = rows_at_once(path, &head, vocabulary, rows);
    let mut entropies = Vec::with_capacity(rows);
    for from in (0..rows).step_by(chunk) {
        let hidden = hidden.narrow(0, from, chunk.min(rows - from))?;
        let logits = match &head {
            Weight::Dense(head) => wide_product(&hidden.contiguous()?, &head.t()?)?,
            packed => linear(path, &hidden, packed)?,
        };
        let logits = soft_cap(&logits.to_dtype(DType::F32)?, cap)?;
        let mut logits = logits.flatten_all()?.to_vec1::<f32>()?;
        let of_row = |row: &mut [f32]| entropy_of_largest(row, top);
        entropies.par_extend(logits.par_chunks_mut(vocabulary).map(of_row));
    }
    Ok(entropies)
}

/// Entropy of the softmax over the `top` largest values of a row, whose order is lost.
fn entropy_of_largest(row: &mut [f32], top: usize) -> f32 {
    let top = top.clamp(1, row.len());
    row.select_nth_unstable_by(top - 1, |a, b| b.total_cmp(a));
    let kept = &mut row[..top];
    // in one order, so that the sums do not depend on how they were selected
    kept.sort_unstable_by(|a, b| b.total_cmp(a));
    let largest = kept[0];
    let (mut sum, mut moment) = (0f64, 0f64);
    for value in kept.iter() {
        let x = f64::from(value - largest);
        sum += x.exp();
        moment += x * x.exp();
    }
    (sum.ln() - moment / sum) as f32
}

fn on_host(
    hidden: &Tensor,
    head: &Weight,
    targets: &[u32],
    weights: &[f32],
    (cap, want): (Option<f64>, Gradients),
    (rows, width, vocabulary, chunk): (usize, usize, usize, usize),
) -> Result<TokenLoss> {
    let (h, w) = (values(hidden)?, head.host()?);
    let mut logits = vec![0f32; chunk.min(rows) * vocabulary];
    let mut d_hidden = vec![0f32; if want == Gradients::None { 0 } else { rows * width }];
    let mut d_head =
        vec![0f32; if want == Gradients::HiddenAndHead { vocabulary * width } else { 0 }];
    let mut result = TokenLoss::default();
    for from in (0..rows).step_by(chunk) {
        let to = (from + chunk).min(rows);
        let count = to - from;
        let logits = &mut logits[..count * vocabulary];
        let h = &h[from * width..to * width];
        w.forward_into(h, logits);
        let facts: Vec<(f32, f32, u32)> = logits
            .par_chunks_mut(vocabulary)
            .zip(&targets[from..to])
            .zip(&weights[from..to])
            .map(|((row, &target), &weight)| {
                let target = target as usize;
                vectorised(|| match cap {
                    None => row_loss(row, target, weight),
                    Some(cap) => capped_row_loss(row, target, weight, cap as f32),
                })
            })
            .collect();
        for ((log_prob, entropy, rank), weight) in facts.into_iter().zip(&weights[from..to]) {
            result.loss -= f64::from(*weight) * f64::from(log_prob);
            result.log_prob.push(log_prob);
            result.entropy.push(entropy);
            result.rank.push(rank);
        }
        if want != Gradients::None {
            w.backward_into(logits, &mut d_hidden[from * width..to * width]);
        }
        if want == Gradients::HiddenAndHead {
            product(
                (vocabulary, width, count),
                &mut d_head,
                width,
                Matrix::rows(logits, vocabulary).t(),
                Matrix::rows(h, width),
                1.0,
                Write::Add,
                true,
            );
        }
    }
    if want != Gradients::None {
        result.hidden_gradient = Some(Tensor::from_vec(d_hidden, (rows, width), hidden.device())?);
    }
    if want == Gradients::HiddenAndHead {
        result.head_gradient =
            Some(Tensor::from_vec(d_head, (vocabulary, width), hidden.device())?);
    }
    Ok(result)
}

/// [`row_loss`] of bounded logits; the gradient is that of the plain ones.
#[inline(always)]
fn capped_row_loss(row: &mut [f32], target: usize, weight: f32, cap: f32) -> (f32, f32, u32) {
    let inverse = 1.0 / cap;
    let slopes: Vec<f32> = row
        .iter_mut()
        .map(|logit| {
            let t = tanh(*logit * inverse);
            *logit = t * cap;
            1.0 - t * t
        })
        .collect();
    let facts = row_loss(row, target, weight);
    for (gradient, slope) in row.iter_mut().zip(&slopes) {
        *gradient *= slope;
    }
    facts
}

/// Log-probability, entropy and rank of one row of logits, which becomes `weight · (softmax − onehot)`.
#[inline(always)]
fn row_loss(row: &mut [f32], target: usize, weight: f32) -> (f32, f32, u32) {
    let largest = maximum(row);
    let wanted = row[target];
    let mut rank = 0u32;
    let (mut sums, mut moments) = ([0f32; 16], [0f32; 16]); // Σ eˣ and Σ x eˣ, x relative to the largest
    let (parts, rest) = row.as_chunks_mut::<16>();
    for part in parts {
        for lane in 0..16 {
            let x = part[lane] - largest;
            rank += u32::from(part[lane] > wanted);
            let e = exp(x);
            part[lane] = e;
            sums[lane] += e;
            moments[lane] += if e > 0.0 { x * e } else { 0.0 }; // −∞ · 0 is no number
        }
    }
    for (lane, value) in rest.iter_mut().enumerate() {
        let x = *value - largest;
        rank += u32::from(*value > wanted);
        *value = exp(x);
        sums[lane] += *value;
        moments[lane] += if *value > 0.0 { x * *value } else { 0.0 };
    }
    let sum: f32 = sums.iter().sum();
    let moment: f32 = moments.iter().sum();
    let log_sum = sum.ln();
    let factor = weight / sum;
    for value in row.iter_mut() {
        *value *= factor;
    }
    row[target] -= weight;
    (wanted - largest - log_sum, log_sum - moment / sum, rank)
}

/// One chunk with candle operations: any device and precision. Logits are wide, whatever their factors are.
fn composed(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
    (cap, want): (Option<f64>, Gradients),
) -> Result<TokenLoss> {
    let (rows, device) = (targets.len(), hidden.device());
    let logits = soft_cap(&wide_product(hidden, &head.t()?)?, cap)?;
    let wide = logits.dtype();
    let largest = logits.max_keepdim(D::Minus1)?;
    let shifted = logits.broadcast_sub(&largest)?;
    let p = shifted.exp()?;
    let sum = p.sum_keepdim(1)?;
    let log_sum = sum.log()?;
    let ids = constant(targets, (rows, 1), device)?;
    let wanted = logits.gather(&ids, 1)?;
    let log_prob = ((&wanted - &largest)? - &log_sum)?;
    let moment = nothing_without(&p, &(&p * &shifted)?)?.sum_keepdim(1)?;
    let entropy = (&log_sum - (moment / &sum)?)?;
    let rank = logits.broadcast_gt(&wanted)?.to_dtype(DType::F32)?.sum_keepdim(1)?;
    // one copy to the host for all three; a GPU is waited for at each
    let narrow = [log_prob, entropy, rank].map(|fact| fact.to_dtype(DType::F32));
    let [log_prob, entropy, rank] = narrow;
    let facts = Tensor::cat(&[log_prob?, entropy?, rank?], 1)?.to_vec2::<f32>()?;
    let fact = |at: usize| facts.iter().map(move |row| row[at]);
    let log_prob: Vec<f32> = fact(0).collect();
    let mut result = TokenLoss {
        loss: -weights
            .iter()
            .zip(&log_prob)
            .map(|(w, l)| f64::from(*w) * f64::from(*l))
            .sum::<f64>(),
        log_prob,
        entropy: fact(1).collect(),
        rank: fact(2).map(|rank| rank as u32).collect(),
        ..TokenLoss::default()
    };
    if want != Gradients::None {
        let weight = constant(weights, (rows, 1), device)?.to_dtype(wide)?;
        let d_logits = p.broadcast_mul(&(&weight / &sum)?)?;
        let d_logits = d_logits.scatter_add(&ids, &weight.neg()?, 1)?;
        let d_logits = match cap {
            None => d_logits,
            Some(cap) => (d_logits * (&logits / cap)?.sqr()?.affine(-1.0, 1.0)?)?,
        };
        let d_logits = d_logits.to_dtype(hidden.dtype())?;
        result.hidden_gradient = Some(d_logits.matmul(head)?);
        if want == Gradients::HiddenAndHead {
            result.head_gradient = Some(wide_product(&d_logits.t()?, hidden)?);
        }
    }
    Ok(result)
}
