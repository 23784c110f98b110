use super::composed::{explicit, softmax, unseen};
use super::host::{
    Matrix, Write, dot, exp_and_sum, floats, maximum, product, tanh, values, vectorised,
};
use super::rope::{RopeTable, turned};
use super::wide::product as wide_product;
use super::{Path, wide};
use candle_core::{CpuStorage, CustomOp3, D, DType, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The shape of one attention layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads` is a multiple of it.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// What scores are multiplied by, usually `1 / sqrt(head_dim)`.
    pub scale: f64,
    /// How many tokens a token sees, itself included: `j` is seen from `i` if `i - j < window`. `None` is all before it.
    pub window: Option<usize>,
    /// Gemma 2's bound on scores: `c · tanh(score / c)`, before the softmax.
    pub softcap: Option<f64>,
}

impl Attention {
    /// The first position seen from `position`.
    #[inline(always)]
    fn first(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// What a mask depends on: rows and columns, window and precision.
type Mask = (Span, Option<usize>, DType);

/// Where sequences that are laid end to end begin, and what the layers of a pass need of that.
#[derive(Debug)]
pub struct Sequences {
    /// Sequence `s` is the rows `starts[s]..starts[s + 1]`.
    pub starts: Arc<[usize]>,
    /// Scores of all heads that composed attention makes at one time, so that a long text makes no large tensor.
    pub scores_at_once: usize,
    /// What rows do not see.
    masks: Mutex<HashMap<Mask, Tensor>>,
}

impl From<&[usize]> for Sequences {
    fn from(starts: &[usize]) -> Self {
        Self { starts: starts.into(), scores_at_once: SCORES_AT_ONCE, masks: Mutex::default() }
    }
}

impl Sequences {
    /// `0` where the rows of `span` see its columns and `−∞` elsewhere, made once.
    fn mask(&self, span: Span, shape: &Attention, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut masks = self.masks.lock().unwrap_or_else(|broken| broken.into_inner());
        let key = (span, shape.window, dtype);
        if let Some(found) = masks.get(&key) {
            return Ok(found.clone());
        }
        let Span { from, to, first } = span;
        let first_seen: Vec<u32> =
            (from..to).map(|row| (shape.first(row) - first) as u32).collect();
        let end: Vec<u32> = (from..to).map(|row| (row + 1 - first) as u32).collect();
        let mask = unseen(&first_seen, &end, to - first, dtype, device)?;
        masks.insert(key, mask.clone());
        Ok(mask)
    }
}

/// Causal attention with rotary positions over sequences laid end to end.
///
/// `q` is `(tokens, heads · head_dim)`, `k` and `v` are `(tokens, kv_heads · head_dim)`, all before rotation; sequence `s` is the rows
/// `starts[s]..starts[s + 1]`, and its positions count from 0. The result has `q`'s shape. No token sees another sequence, so
/// there is no padding and no mask to get wrong.
pub fn attention(
    path: Path,
    [q, k, v]: [&Tensor; 3],
    shape: &Attention,
    sequences: &Arc<Sequences>,
    table: &Arc<RopeTable>,
) -> Result<Tensor> {
    let starts = &sequences.starts;
    check(q, k, v, shape, starts, table)?;
    if path.fused(q) {
        let op = Fused { shape: *shape, starts: starts.clone(), table: table.clone() };
        return q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op);
    }
    let composed = Composed {
        inputs: [q, k, v].map(Tensor::detach),
        shape: *shape,
        sequences: sequences.clone(),
        table: table.clone(),
    };
    if composed.runs().is_empty() {
        return Ok(q.clone());
    }
    let value = composed.forward()?;
    explicit(&[q, k, v], value, move |grad| composed.backward(grad))
}

/// Refuses shapes that do not fit together: slices of plain numbers would hide it.
fn check(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    shape: &Attention,
    starts: &[usize],
    table: &RopeTable,
) -> Result<()> {
    let Attention { heads, kv_heads, head_dim, .. } = *shape;
    if kv_heads == 0 || heads % kv_heads != 0 || head_dim % 2 != 0 {
        bail!("{heads} heads cannot share {kv_heads} key heads of width {head_dim}")
    }
    if shape.window == Some(0) || shape.softcap.is_some_and(|cap| cap.is_nan() || cap <= 0.0) {
        bail!("a window or a cap of nothing: {shape:?}")
    }
    let rows = q.dim(0)?;
    let (wide, narrow) = ([rows, heads * head_dim], [rows, kv_heads * head_dim]);
    if q.dims() != wide || k.dims() != narrow || v.dims() != narrow {
        bail!(
            "q is {:?}, k is {:?}, v is {:?}; {wide:?} and twice {narrow:?} are needed",
            q.shape(),
            k.shape(),
            v.shape()
        )
    }
    let ends = (starts.first(), starts.last());
    if ends != (Some(&0), Some(&rows)) || !starts.is_sorted() {
        bail!("sequences that start at {starts:?} do not make up {rows} rows")
    }
    let longest = starts.windows(2).map(|range| range[1] - range[0]).max();
    if longest > Some(table.positions) {
        bail!("{longest:?} positions, but angles for {}", table.positions)
    }
    Ok(())
}

/// With candle's operations: any device and precision. Scores and their softmax are wide.
struct Composed {
    inputs: [Tensor; 3],
    shape: Attention,
    sequences: Arc<Sequences>,
    table: Arc<RopeTable>,
}

/// Sequences of one length, one behind the other, that are computed together.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    count: usize,
    length: usize,
}

/// [`Sequences::scores_at_once`] where nothing else is said: half a gigabyte.
const SCORES_AT_ONCE: usize = 1 << 27;

impl Composed {
    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for range in self.sequences.starts.windows(2) {
            let (start, length) = (range[0], range[1] - range[0]);
            match runs.last_mut() {
                // a sequence of no token has nothing to compute, and a GPU starts no kernel of nothing
                _ if length == 0 => (),
                Some(run)
                    if run.length == length
                        && (run.count + 1) * self.shape.heads * length * length
                            <= self.sequences.scores_at_once =>
                {
                    run.count += 1
                }
                _ => runs.push(Run { start, count: 1, length }),
            }
        }
        runs
    }

    /// The query rows of a run that are scored together, with the keys that they see.
    fn spans(&self, run: &Run) -> Vec<Span> {
        let row = run.count * self.shape.heads * run.length;
        let rows = (self.sequences.scores_at_once / row.max(1)).clamp(1, run.length);
        let span = |from: usize| Span {
            from,
            to: (from + rows).min(run.length),
            first: self.shape.first(from),
        };
        (0..run.length).step_by(rows).map(span).collect()
    }

    /// The rotation of positions `0..length`.
    fn angles(&self, length: usize) -> Result<[Tensor; 2]> {
        let (device, dtype) = (self.inputs[0].device(), wide(self.inputs[0].dtype()));
        let [cos, sin] = self.table.placed(device, dtype)?;
        let part = |t: Tensor| t.narrow(0, 0, length)?.unsqueeze(0)?.unsqueeze(2);
        Ok([part(cos)?, part(sin)?])
    }

    /// A run's rows of `x`, `heads` of them in each, as `(sequences · kv_heads, heads / kv_heads, length, head_dim)`; turned if `angles` are given.
    fn by_head(
        &self,
        x: &Tensor,
        heads: usize,
        run: &Run,
        angles: Option<&[Tensor; 2]>,
    ) -> Result<Tensor> {
        let Run { start, count, length } = *run;
        let (kv_heads, d) = (self.shape.kv_heads, self.shape.head_dim);
        let x = x.narrow(0, start, count * length)?.reshape((count, length, heads, d))?;
        let x = match angles {
            Some(angles) => turned(&x, angles, 1.0)?,
            None => x,
        };
        let x = x.transpose(1, 2)?.contiguous()?;
        x.reshape((count * kv_heads, heads / kv_heads, length, d))
    }

    /// The other way round, for gradients: rows `(sequences · length, heads · head_dim)`.
    fn by_row(
        &self,
        x: &Tensor,
        heads: usize,
        run: &Run,
        angles: Option<&[Tensor; 2]>,
    ) -> Result<Tensor> {
        let (Run { count, length, .. }, d) = (*run, self.shape.head_dim);
        let x = x.reshape((count, heads, length, d))?.transpose(1, 2)?;
        let x = match angles {
            Some(angles) => turned(&x, angles, -1.0)?,
            None => x.contiguous()?,
        };
        x.reshape((count * length, heads * d))?.to_dtype(self.inputs[0].dtype())
    }

    /// Queries, keys and values of a run by head.
    fn of_run(&self, run: &Run, angles: &[Tensor; 2]) -> Result<[Tensor; 3]> {
        let Attention { heads, kv_heads, .. } = self.shape;
        let [q, k, v] = &self.inputs;
        Ok([
            self.by_head(q, heads, run, Some(angles))?,
            self.by_head(k, kv_heads, run, Some(angles))?.squeeze(1)?,
            self.by_head(v, kv_heads, run, None)?.squeeze(1)?,
        ])
    }

    /// The attention weights of the span's rows `q (kv, group · rows, head_dim)` on its keys, wide, and how fast capped scores follow the plain ones.
    fn weights(&self, q: &Tensor, k: &Tensor, span: &Span) -> Result<(Tensor, Option<Tensor>)> {
        let (rows, seen) = (span.to - span.from, span.to - span.first);
        let scores = (wide_product(q, &k.t()?)? * self.shape.scale)?;
        let (scores, slopes) = match self.shape.softcap {
            None => (scores, None),
            Some(cap) => {
                let bound = (scores / cap)?.tanh()?;
                let slopes = bound.sqr()?.affine(-1.0, 1.0)?;
                ((bound * cap)?, Some(slopes))
            }
        };
        let mask = self.sequences.mask(*span, &self.shape, scores.dtype(), scores.device())?;
        let whole = scores.shape().clone();
        let scores = scores.reshape(((), rows, seen))?.broadcast_add(&mask)?;
        Ok((softmax(&scores)?.reshape(whole)?, slopes))
    }

    /// A span's rows of `x (kv, group, length, head_dim)` as `(kv, group · rows, head_dim)`.
    fn rows(x: &Tensor, span: &Span) -> Result<Tensor> {
        let (kv, group, _, d) = x.dims4()?;
        let rows = span.to - span.from;
        x.narrow(2, span.from, rows)?.contiguous()?.reshape((kv, group * rows, d))
    }

    /// A span's keys of `x (kv, length, head_dim)`.
    fn keys(x: &Tensor, span: &Span) -> Result<Tensor> {
        x.narrow(1, span.first, span.to - span.first)?.contiguous()
    }

    fn forward(&self) -> Result<Tensor> {
        let runs = self.runs();
        let parts = runs.iter().map(|run| {
            let [q, k, v] = self.of_run(run, &self.angles(run.length)?)?;
            let (kv, group, _, d) = q.dims4()?;
            let parts = self.spans(run).into_iter().map(|span| {
                let rows = span.to - span.from;
                let (weights, _) =
                    self.weights(&Self::rows(&q, &span)?, &Self::keys(&k, &span)?, &span)?;
                let weights = weights.to_dtype(v.dtype())?;
                let out = weights.matmul(&Self::keys(&v, &span)?)?;
                out.reshape((kv, group, rows, d))
            });
            let out = joined(parts.collect::<Result<Vec<_>>>()?, 2)?;
            self.by_row(&out, self.shape.heads, run, None)
        });
        joined(parts.collect::<Result<Vec<_>>>()?, 0)
    }

    fn backward(&self, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let Attention { heads, kv_heads, scale, .. } = self.shape;
        let mut whole: [Vec<Tensor>; 3] = Default::default();
        for run in &self.runs() {
            let angles = self.angles(run.length)?;
            let [q, k, v] = self.of_run(run, &angles)?;
            let grad = self.by_head(grad, heads, run, None)?;
            let (kv, group, length, d) = q.dims4()?;
            let mut dq = Vec::new();
            let (mut dk, mut dv): (Option<Tensor>, Option<Tensor>) = (None, None);
            for span in self.spans(run) {
                let [rows, grad] = [&q, &grad].map(|x| Self::rows(x, &span));
                let [keys, values] = [&k, &v].map(|x| Self::keys(x, &span));
                let (rows, grad, keys, values) = (rows?, grad?, keys?, values?);
                let (weights, slopes) = self.weights(&rows, &keys, &span)?;
                let d_weights = wide_product(&grad, &values.t()?)?;
                let along = (&weights * &d_weights)?.sum_keepdim(D::Minus1)?;
                let d_scores = (&weights * d_weights.broadcast_sub(&along)?)?;
                let d_scores = match slopes {
                    None => d_scores,
                    Some(slopes) => (d_scores * slopes)?,
                };
                let d_scores = (d_scores * scale)?.to_dtype(rows.dtype())?;
                let part = wide_product(&d_scores, &keys)?;
                dq.push(part.reshape((kv, group, span.to - span.from, d))?);
                // what comes from these rows, in its place among all keys
                let add = |sum: &mut Option<Tensor>, part: Tensor| -> Result<()> {
                    let part = part.pad_with_zeros(1, span.first, length - span.to)?;
                    *sum = Some(match sum.take() {
                        Some(sum) => (sum + part)?,
                        None => part,
                    });
                    Ok(())
                };
                add(&mut dk, wide_product(&d_scores.t()?, &rows)?)?;
                let weights = weights.to_dtype(rows.dtype())?;
                add(&mut dv, wide_product(&weights.t()?, &grad)?)?;
            }
            let (Some(dk), Some(dv)) = (dk, dv) else { continue };
            whole[0].push(self.by_row(&joined(dq, 2)?, heads, run, Some(&angles))?);
            whole[1].push(self.by_row(&dk, kv_heads, run, Some(&angles))?);
            whole[2].push(self.by_row(&dv, kv_heads, run, None)?);
        }
        whole.into_iter().map(|parts| joined(parts, 0).map(Some)).collect()
    }
}

/// The parts as one; a single one is not copied.
fn joined(mut parts: Vec<Tensor>, dim: usize) -> Result<Tensor> {
    match parts.len() {
        1 => Ok(parts.remove(0)),
        _ => Tensor::cat(&parts, dim),
    }
}

struct Fused {
    shape: Attention,
    starts: Arc<[usize]>,
    table: Arc<RopeTable>,
}

/// Query rows that are scored together; the triangle above them is skipped block by block.
const BLOCK: usize = 48;

/// Query rows `from..to`, which see the keys `first..to` between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Span {
    from: usize,
    to: usize,
    first: usize,
}

impl Span {
    fn rows(&self) -> usize {
        self.to - self.from
    }
}

/// One key head of one sequence: the unit of parallel work.
struct Task {
    start: usize,
    length: usize,
    kv_head: usize,
}

impl Fused {
    fn tasks(&self) -> Vec<Task> {
        let task = |range: &[usize], kv_head| Task {
            start: range[0],
            length: range[1] - range[0],
            kv_head,
        };
        self.starts
            .windows(2)
            .flat_map(|r| (0..self.shape.kv_heads).map(move |g| task(r, g)))
            .collect()
    }

    /// One head's rows of `x (tokens, heads · head_dim)`, turned by their position: `(length, head_dim)`.
    fn turned(&self, x: &[f32], heads: usize, head: usize, task: &Task) -> Vec<f32> {
        let d = self.shape.head_dim;
        let mut out = vec![0f32; task.length * d];
        vectorised(|| {
            for (position, out) in out.chunks_exact_mut(d).enumerate() {
                let at = (task.start + position) * heads * d + head * d;
                self.table.turn(position, &x[at..at + d], out, 1.0);
            }
        });
        out
    }

    /// Attention weights of the block's query rows on the keys that any of them sees: `(rows, seen)`, what a row does not see zero.
    ///
    /// With a soft-cap, `slopes` of the same shape, if given, receives how fast the capped scores follow the plain ones.
    fn weights(
        &self,
        q: &[f32],
        k: &[f32],
        block: &Span,
        out: &mut [f32],
        slopes: Option<&mut [f32]>,
    ) {
        let d = self.shape.head_dim;
        let scale = self.shape.scale as f32;
        let seen = block.to - block.first;
        let q = Matrix::rows(&q[block.from * d..block.to * d], d);
        let k = Matrix::rows(&k[block.first * d..], d);
        product((block.rows(), seen, d), out, seen, q, k.t(), scale, Write::Overwrite, false);
        if let Some(cap) = self.shape.softcap {
            vectorised(|| soft_cap(out, slopes, cap as f32));
        }
        vectorised(|| {
            for (row, scores) in out.chunks_exact_mut(seen).enumerate() {
                let position = block.from + row;
                let (past, future) = scores.split_at_mut(position + 1 - block.first);
                future.fill(0.0);
                let (past, scores) = past.split_at_mut(self.shape.first(position) - block.first);
                past.fill(0.0);
                let largest = maximum(scores);
                let inverse = 1.0 / exp_and_sum(scores, largest);
                for weight in scores {
                    *weight *= inverse;
                }
            }
        });
    }

    /// The blocks of query rows of a sequence.
    fn blocks(&self, length: usize) -> impl Iterator<Item = Span> {
        (0..length).step_by(BLOCK).map(move |from| Span {
            from,
            to: (from + BLOCK).min(length),
            first: self.shape.first(from),
        })
    }

    fn forward(&self, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        let Attention { heads, kv_heads, head_dim: d, .. } = self.shape;
        let group = heads / kv_heads;
        let tasks = self.tasks();
        let parts: Vec<Vec<f32>> = tasks
            .par_iter()
            .map(|task| {
                let keys = self.turned(k, kv_heads, task.kv_head, task);
                let v = &v[task.start * kv_heads * d + task.kv_head * d..];
                let mut out = vec![0f32; task.length * group * d];
                let mut weights = vec![0f32; BLOCK.min(task.length) * task.length];
                for member in 0..group {
                    let queries = self.turned(q, heads, task.kv_head * group + member, task);
                    for block in self.blocks(task.length) {
                        let seen = block.to - block.first;
                        let weights = &mut weights[..block.rows() * seen];
                        self.weights(&queries, &keys, &block, weights, None);
                        let out = &mut out[block.from * group * d + member * d..];
                        let p = Matrix::rows(weights, seen);
                        let v = Matrix::rows(&v[block.first * kv_heads * d..], kv_heads * d);
                        product(
                            (block.rows(), d, seen),
                            out,
                            group * d,
                            p,
                            v,
                            1.0,
                            Write::Overwrite,
                            false,
                        );
                    }
                }
                out
            })
            .collect();
        let mut out = vec![0f32; q.len()];
        for (task, part) in tasks.iter().zip(&parts) {
            place(&mut out, part, heads * d, task.kv_head * group * d, group * d, task);
        }
        out
    }

    fn backward(&self, q: &[f32], k: &[f32], v: &[f32], o: &[f32], grad: &[f32]) -> [Vec<f32>; 3] {
        let Attention { heads, kv_heads, head_dim: d, scale, .. } = self.shape;
        let group = heads / kv_heads;
        let tasks = self.tasks();
        let parts: Vec<[Vec<f32>; 3]> = tasks
            .par_iter()
            .map(|task| {
                let length = task.length;
                let keys = self.turned(k, kv_heads, task.kv_head, task);
                let v = &v[task.start * kv_heads * d + task.kv_head * d..];
                let mut dq = vec![0f32; length * group * d];
                let mut d_keys = vec![0f32; length * d]; // before turning back
                let mut dv = vec![0f32; length * d];
                let mut weights = vec![0f32; BLOCK.min(length) * length];
                let mut d_scores = weights.clone();
                let capped = self.shape.softcap.is_some();
                let mut slopes = if capped { weights.clone() } else { Vec::new() };
                let mut d_queries = vec![0f32; length * d];
                for member in 0..group {
                    let head = task.kv_head * group + member;
                    let queries = self.turned(q, heads, head, task);
                    for block in self.blocks(length) {
                        let Span { from, to, first } = block;
                        let (rows, seen) = (block.rows(), to - first);
                        let at = (task.start + from) * heads * d + head * d;
                        let (o, grad) = (&o[at..], &grad[at..]);
                        let weights = &mut weights[..rows * seen];
                        let d_scores = &mut d_scores[..rows * seen];
                        let mut slopes = capped.then(|| &mut slopes[..rows * seen]);
                        self.weights(&queries, &keys, &block, weights, slopes.as_deref_mut());
                        let gradient = Matrix::rows(grad, heads * d);
                        let p = Matrix::rows(weights, seen);
                        product(
                            (seen, d, rows),
                            &mut dv[first * d..],
                            d,
                            p.t(),
                            gradient,
                            1.0,
                            Write::Add,
                            false,
                        );
                        let values = Matrix::rows(&v[first * kv_heads * d..], kv_heads * d);
                        product(
                            (rows, seen, d),
                            d_scores,
                            seen,
                            gradient,
                            values.t(),
                            1.0,
                            Write::Overwrite,
                            false,
                        );
                        vectorised(|| {
                            for row in 0..rows {
                                let at = row * heads * d;
                                let along = dot(&o[at..at + d], &grad[at..at + d]);
                                let weights = &weights[row * seen..][..seen];
                                let d_scores = &mut d_scores[row * seen..][..seen];
                                for (ds, p) in d_scores.iter_mut().zip(weights) {
                                    *ds = p * (*ds - along);
                                }
                            }
                            if let Some(slopes) = slopes {
                                for (ds, slope) in d_scores.iter_mut().zip(slopes) {
                                    *ds *= *slope;
                                }
                            }
                        });
                        let ds = Matrix::rows(d_scores, seen);
                        let d_queries = &mut d_queries[from * d..to * d];
                        let scale = scale as f32;
                        product(
                            (rows, d, seen),
                            d_queries,
                            d,
                            ds,
                            Matrix::rows(&keys[first * d..], d),
                            scale,
                            Write::Overwrite,
                            false,
                        );
                        let q = Matrix::rows(&queries[from * d..to * d], d);
                        product(
                            (seen, d, rows),
                            &mut d_keys[first * d..],
                            d,
                            ds.t(),
                            q,
                            scale,
                            Write::Add,
                            false,
                        );
                    }
                    vectorised(|| {
                        for (position, turned) in d_queries.chunks_exact(d).enumerate() {
                            let out = &mut dq[position * group * d + member * d..][..d];
                            self.table.turn(position, turned, out, -1.0);
                        }
                    });
                }
                let mut dk = vec![0f32; length * d];
                vectorised(|| {
                    for (position, (turned, out)) in
                        d_keys.chunks_exact(d).zip(dk.chunks_exact_mut(d)).enumerate()
                    {
                        self.table.turn(position, turned, out, -1.0);
                    }
                });
                [dq, dk, dv]
            })
            .collect();
        let (mut dq, mut dk, mut dv) =
            (vec![0f32; q.len()], vec![0f32; k.len()], vec![0f32; k.len()]);
        for (task, [q, k, v]) in tasks.iter().zip(&parts) {
            place(&mut dq, q, heads * d, task.kv_head * group * d, group * d, task);
            place(&mut dk, k, kv_heads * d, task.kv_head * d, d, task);
            place(&mut dv, v, kv_heads * d, task.kv_head * d, d, task);
        }
        [dq, dk, dv]
    }
}

/// Bounds scores by `cap`, and notes the slope `1 - tanh²` of each.
#[inline(always)]
fn soft_cap(scores: &mut [f32], slopes: Option<&mut [f32]>, cap: f32) {
    let inverse = 1.0 / cap;
    match slopes {
        None => {
            for score in scores {
                *score = tanh(*score * inverse) * cap;
            }
        }
        Some(slopes) => {
            for (score, slope) in scores.iter_mut().zip(slopes) {
                let t = tanh(*score * inverse);
                *score = t * cap;
                *slope = 1.0 - t * t;
            }
        }
    }
}

/// Copies a task's rows, `width` wide, to their columns of the whole.
fn place(whole: &mut [f32], part: &[f32], row: usize, column: usize, width: usize, task: &Task) {
    for (i, part) in part.chunks_exact(width).enumerate() {
        whole[(task.start + i) * row + column..][..width].copy_from_slice(part);
    }
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        "causal-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = self.forward(floats(q, lq)?, floats(k, lk)?, floats(v, lv)?);
        Ok((CpuStorage::F32(out), lq.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let [dq, dk, dv] =
            self.backward(&values(q)?, &values(k)?, &values(v)?, &values(out)?, &values(&grad)?);
        let tensor =
            |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some);
        Ok((tensor(dq, q)?, tensor(dk, k)?, tensor(dv, v)?))
    }
}

/// What one row of a generating batch remembers in one layer, in up to two pieces (shared prompt, own answer).
///
/// Each piece is `(tokens, kv_heads · head_dim)`; keys are turned already.
pub struct CachedRow<'a> {
    /// Keys of the shared piece and of the row's own.
    pub keys: [&'a [f32]; 2],
    /// Values of the shared piece and of the row's own.
    pub values: [&'a [f32]; 2],
}

/// Attention of the newest token of each row to what the row remembers, that token included and as far as the window reaches;
/// no gradients.
///
/// `q` is `(rows, heads · head_dim)` before rotation; so is the result's shape.
pub fn cached_attention(
    q: &[f32],
    rows: &[CachedRow<'_>],
    shape: &Attention,
    table: &RopeTable,
) -> Vec<f32> {
    let Attention { heads, kv_heads, head_dim: d, scale, .. } = *shape;
    let (width, group) = (kv_heads * d, heads / kv_heads);
    let mut out = vec![0f32; q.len()];
    out.par_chunks_mut(heads * d).zip(q.par_chunks(heads * d)).zip(rows).for_each(
        |((out, q), row)| {
            let [shared, own] = row.keys.map(|keys| keys.len() / width);
            let length = shared + own;
            // what lies before the window is left out of both pieces
            let first = shape.first(length - 1);
            let skipped = [first.min(shared), first.saturating_sub(shared)];
            let [keys, values] = [row.keys, row.values]
                .map(|[shared, own]| [&shared[skipped[0] * width..], &own[skipped[1] * width..]]);
            let shared = shared - skipped[0];
            let mut turned = vec![0f32; d];
            let mut weights = vec![0f32; length - first];
            vectorised(|| {
                for head in 0..heads {
                    let column = head / group * d;
                    table.turn(length - 1, &q[head * d..][..d], &mut turned, 1.0);
                    let (before, after) = weights.split_at_mut(shared);
                    for (weights, keys) in [before, after].into_iter().zip(keys) {
                        for (weight, key) in weights.iter_mut().zip(keys.chunks_exact(width)) {
                            *weight = dot(&turned, &key[column..column + d]) * scale as f32;
                        }
                    }
                    if let Some(cap) = shape.softcap {
                        soft_cap(&mut weights, None, cap as f32);
                    }
                    let largest = maximum(&weights);
                    let inverse = 1.0 / exp_and_sum(&mut weights, largest);
                    for weight in &mut weights {
                        *weight *= inverse;
                    }
                    let out = &mut out[head * d..][..d];
                    let (before, after) = weights.split_at(shared);
                    for (weights, values) in [before, after].into_iter().zip(values) {
                        add_weighted(out, weights, values, width, column);
                    }
                }
            });
        },
    );
    out
}

/// Adds to `out` the rows of `values`, `width` wide, from `column` on, each times its weight.
#[inline(always)]
fn add_weighted(out: &mut [f32], weights: &[f32], values: &[f32], width: usize, column: usize) {
    // sixteen sums stay in registers while the rows go by
    let (parts, rest) = out.as_chunks_mut::<16>();
    let done = parts.len() * 16;
    for (at, part) in parts.iter_mut().enumerate() {
        let mut sums = *part;
        for (weight, row) in weights.iter().zip(values.chunks_exact(width)) {
            let row = &row[column + at * 16..][..16];
            for lane in 0..16 {
                sums[lane] += weight * row[lane];
            }
        }
        *part = sums;
    }
    for (weight, row) in weights.iter().zip(values.chunks_exact(width)) {
        for (out, value) in rest.iter_mut().zip(&row[column + done..]) {
            *out += weight * value;
        }
    }
}
