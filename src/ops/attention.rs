use super::fused;
use super::host::{Into, Matrix, dot, exp_and_sum, floats, maximum, product, values, vectorised};
use super::rope::RopeTable;
use candle_core::{CpuStorage, CustomOp3, D, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;

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
}

/// Causal attention with rotary positions over sequences laid end to end.
///
/// `q` is `(tokens, heads · head_dim)`, `k` and `v` are `(tokens, kv_heads · head_dim)`, all before rotation; sequence `s` is the rows
/// `starts[s]..starts[s + 1]`, and its positions count from 0. The result has `q`'s shape. No token sees another sequence, so
/// there is no padding and no mask to get wrong.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    shape: &Attention,
    starts: &Arc<[usize]>,
    table: &Arc<RopeTable>,
) -> Result<Tensor> {
    check(q, k, v, shape, starts, table)?;
    if fused(q) {
        let op = Fused {
            shape: *shape,
            starts: starts.clone(),
            table: table.clone(),
        };
        return q
            .contiguous()?
            .apply_op3(&k.contiguous()?, &v.contiguous()?, op);
    }
    let outs = starts
        .windows(2)
        .map(|range| {
            let rows = |t: &Tensor| t.narrow(0, range[0], range[1] - range[0]);
            composed(&rows(q)?, &rows(k)?, &rows(v)?, shape, table)
        })
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&outs, 0)
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
    let Attention {
        heads,
        kv_heads,
        head_dim,
        ..
    } = *shape;
    if kv_heads == 0 || heads % kv_heads != 0 || head_dim % 2 != 0 {
        bail!("{heads} heads cannot share {kv_heads} key heads of width {head_dim}")
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

/// One sequence with candle operations that keep their gradients.
fn composed(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    shape: &Attention,
    table: &RopeTable,
) -> Result<Tensor> {
    let Attention {
        heads,
        kv_heads,
        head_dim,
        scale,
    } = *shape;
    let length = q.dim(0)?;
    let group = heads / kv_heads;
    let q = table.turn_tensor(&q.reshape((length, heads, head_dim))?)?;
    let k = table.turn_tensor(&k.reshape((length, kv_heads, head_dim))?)?;
    let v = v.reshape((length, kv_heads, head_dim))?;
    let by_head = |t: &Tensor, repeat: usize| {
        let t = t.transpose(0, 1)?.contiguous()?.unsqueeze(1)?;
        t.repeat((1, repeat, 1, 1))?
            .reshape((heads, length, head_dim))
    };
    let (q, k, v) = (by_head(&q, 1)?, by_head(&k, group)?, by_head(&v, group)?);
    let scores = (q.matmul(&k.t()?)? * scale)?;
    let future: Vec<f32> = (0..length * length)
        .map(|at| {
            if at % length > at / length {
                f32::NEG_INFINITY
            } else {
                0.0
            }
        })
        .collect();
    let future =
        Tensor::from_vec(future, (1, length, length), scores.device())?.to_dtype(scores.dtype())?;
    let weights = candle_nn::ops::softmax(&scores.broadcast_add(&future)?, D::Minus1)?;
    weights
        .matmul(&v)?
        .transpose(0, 1)?
        .reshape((length, heads * head_dim))
}

struct Fused {
    shape: Attention,
    starts: Arc<[usize]>,
    table: Arc<RopeTable>,
}

/// Query rows that are scored together; the triangle above them is skipped block by block.
const BLOCK: usize = 48;

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

    /// Attention weights of query rows `from..to`: `(to - from, to)`, the future zero.
    fn weights(&self, q: &[f32], k: &[f32], from: usize, to: usize, out: &mut [f32]) {
        let d = self.shape.head_dim;
        let scale = self.shape.scale as f32;
        let (q, k) = (Matrix::rows(&q[from * d..to * d], d), Matrix::rows(k, d));
        product(
            (to - from, to, d),
            out,
            to,
            q,
            k.t(),
            scale,
            Into::Overwrite,
            false,
        );
        vectorised(|| {
            for (row, scores) in out.chunks_exact_mut(to).enumerate() {
                let (past, future) = scores.split_at_mut(from + row + 1);
                future.fill(0.0);
                let largest = maximum(past);
                let inverse = 1.0 / exp_and_sum(past, largest);
                for weight in past {
                    *weight *= inverse;
                }
            }
        });
    }

    fn forward(&self, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        let Attention {
            heads,
            kv_heads,
            head_dim: d,
            ..
        } = self.shape;
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
                    for from in (0..task.length).step_by(BLOCK) {
                        let to = (from + BLOCK).min(task.length);
                        let weights = &mut weights[..(to - from) * to];
                        self.weights(&queries, &keys, from, to, weights);
                        let out = &mut out[from * group * d + member * d..];
                        let (p, v) = (Matrix::rows(weights, to), Matrix::rows(v, kv_heads * d));
                        product(
                            (to - from, d, to),
                            out,
                            group * d,
                            p,
                            v,
                            1.0,
                            Into::Overwrite,
                            false,
                        );
                    }
                }
                out
            })
            .collect();
        let mut out = vec![0f32; q.len()];
        for (task, part) in tasks.iter().zip(&parts) {
            place(
                &mut out,
                part,
                heads * d,
                task.kv_head * group * d,
                group * d,
                task,
            );
        }
        out
    }

    fn backward(&self, q: &[f32], k: &[f32], v: &[f32], o: &[f32], grad: &[f32]) -> [Vec<f32>; 3] {
        let Attention {
            heads,
            kv_heads,
            head_dim: d,
            scale,
        } = self.shape;
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
                let mut d_queries = vec![0f32; length * d];
                for member in 0..group {
                    let head = task.kv_head * group + member;
                    let queries = self.turned(q, heads, head, task);
                    for from in (0..length).step_by(BLOCK) {
                        let to = (from + BLOCK).min(length);
                        let rows = to - from;
                        let at = (task.start + from) * heads * d + head * d;
                        let (o, grad) = (&o[at..], &grad[at..]);
                        let weights = &mut weights[..rows * to];
                        let d_scores = &mut d_scores[..rows * to];
                        self.weights(&queries, &keys, from, to, weights);
                        let gradient = Matrix::rows(grad, heads * d);
                        let p = Matrix::rows(weights, to);
                        product(
                            (to, d, rows),
                            &mut dv,
                            d,
                            p.t(),
                            gradient,
                            1.0,
                            Into::Add,
                            false,
                        );
                        let values = Matrix::rows(v, kv_heads * d);
                        product(
                            (rows, to, d),
                            d_scores,
                            to,
                            gradient,
                            values.t(),
                            1.0,
                            Into::Overwrite,
                            false,
                        );
                        vectorised(|| {
                            for row in 0..rows {
                                let at = row * heads * d;
                                let along = dot(&o[at..at + d], &grad[at..at + d]);
                                let weights = &weights[row * to..][..to];
                                for (ds, p) in d_scores[row * to..][..to].iter_mut().zip(weights) {
                                    *ds = p * (*ds - along);
                                }
                            }
                        });
                        let ds = Matrix::rows(d_scores, to);
                        let d_queries = &mut d_queries[from * d..to * d];
                        let scale = scale as f32;
                        product(
                            (rows, d, to),
                            d_queries,
                            d,
                            ds,
                            Matrix::rows(&keys, d),
                            scale,
                            Into::Overwrite,
                            false,
                        );
                        let q = Matrix::rows(&queries[from * d..to * d], d);
                        product(
                            (to, d, rows),
                            &mut d_keys,
                            d,
                            ds.t(),
                            q,
                            scale,
                            Into::Add,
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
                    for (position, (turned, out)) in d_keys
                        .chunks_exact(d)
                        .zip(dk.chunks_exact_mut(d))
                        .enumerate()
                    {
                        self.table.turn(position, turned, out, -1.0);
                    }
                });
                [dq, dk, dv]
            })
            .collect();
        let (mut dq, mut dk, mut dv) = (
            vec![0f32; q.len()],
            vec![0f32; k.len()],
            vec![0f32; k.len()],
        );
        for (task, [q, k, v]) in tasks.iter().zip(&parts) {
            place(
                &mut dq,
                q,
                heads * d,
                task.kv_head * group * d,
                group * d,
                task,
            );
            place(&mut dk, k, kv_heads * d, task.kv_head * d, d, task);
            place(&mut dv, v, kv_heads * d, task.kv_head * d, d, task);
        }
        [dq, dk, dv]
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
        let [dq, dk, dv] = self.backward(
            &values(q)?,
            &values(k)?,
            &values(v)?,
            &values(out)?,
            &values(&grad)?,
        );
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

/// Attention of the newest token of each row to everything the row remembers, that token included; no gradients.
///
/// `q` is `(rows, heads · head_dim)` before rotation; so is the result's shape.
pub fn cached_attention(
    q: &[f32],
    rows: &[CachedRow<'_>],
    shape: &Attention,
    table: &RopeTable,
) -> Vec<f32> {
    let Attention {
        heads,
        kv_heads,
        head_dim: d,
        scale,
    } = *shape;
    let (width, group) = (kv_heads * d, heads / kv_heads);
    let mut out = vec![0f32; q.len()];
    out.par_chunks_mut(heads * d)
        .zip(q.par_chunks(heads * d))
        .zip(rows)
        .for_each(|((out, q), row)| {
            let length = (row.keys[0].len() + row.keys[1].len()) / width;
            let mut turned = vec![0f32; d];
            let mut weights = vec![0f32; length];
            vectorised(|| {
                for head in 0..heads {
                    let column = head / group * d;
                    table.turn(length - 1, &q[head * d..][..d], &mut turned, 1.0);
                    let (shared, own) = weights.split_at_mut(row.keys[0].len() / width);
                    for (weights, keys) in [shared, own].into_iter().zip(row.keys) {
                        for (weight, key) in weights.iter_mut().zip(keys.chunks_exact(width)) {
                            *weight = dot(&turned, &key[column..column + d]) * scale as f32;
                        }
                    }
                    let largest = maximum(&weights);
                    let inverse = 1.0 / exp_and_sum(&mut weights, largest);
                    for weight in &mut weights {
                        *weight *= inverse;
                    }
                    let out = &mut out[head * d..][..d];
                    let (shared, own) = weights.split_at(row.keys[0].len() / width);
                    for (weights, values) in [shared, own].into_iter().zip(row.values) {
                        add_weighted(out, weights, values, width, column);
                    }
                }
            });
        });
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
