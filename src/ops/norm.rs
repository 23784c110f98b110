use super::composed::explicit;
use super::host::{dot, floats, values, vectorised};
use super::{Path, wide};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::borrow::Cow;

/// How a norm's weight enters. In f32 the first two are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormWeight {
    /// `x / rms(x)` is rounded to the precision of `x`, then multiplied by the weight: Llama, Mistral, Qwen 2.
    Rounded,
    /// The product is taken in f32 and rounded then: OLMo 2.
    Wide,
    /// One plus the weight multiplies, all in f32: Gemma, whose checkpoints store how far a weight is from 1.
    OnePlus,
}

/// Root-mean-square norm over the last dimension: `x / sqrt(mean(x²) + eps) · weight`, computed in f32.
///
/// `x` is `(…, hidden)`, `weight` is `(hidden)`; `form` says how it enters. The weight gets a gradient only if it is a variable.
pub fn rms_norm(
    path: Path,
    x: &Tensor,
    weight: &Tensor,
    eps: f64,
    form: NormWeight,
) -> Result<Tensor> {
    if weight.dims1()? != x.dim(D::Minus1)? {
        bail!("x is {:?}, the norm's weight is {:?}", x.shape(), weight.shape())
    }
    let weight = &weight.contiguous()?;
    if path.fused(x) {
        let norm = RmsNorm {
            eps: eps as f32,
            one_plus: form == NormWeight::OnePlus,
            frozen: (!weight.track_op()).then(|| weight.clone()),
        };
        return if weight.track_op() {
            x.contiguous()?.apply_op2(weight, norm)
        } else {
            x.contiguous()?.apply_op1(norm)
        };
    }
    composed(x, weight, eps, form)
}

/// With candle's operations: any device and precision.
fn composed(x: &Tensor, weight: &Tensor, eps: f64, form: NormWeight) -> Result<Tensor> {
    let (dtype, shape, width) = (x.dtype(), x.shape().clone(), weight.elem_count());
    let wide = wide(dtype);
    let narrow = x.detach().reshape(((), width))?;
    let factor = match form {
        // a product of two numbers of `dtype` is rounded once, wherever it is taken
        NormWeight::Rounded => weight.detach().to_dtype(dtype)?.to_dtype(wide)?,
        NormWeight::Wide => weight.detach().to_dtype(wide)?,
        NormWeight::OnePlus => (weight.detach().to_dtype(wide)? + 1.0)?,
    };
    let normed = move |x: &Tensor| -> Result<(Tensor, Tensor)> {
        let x = x.to_dtype(wide)?;
        let mean_square = (x.sqr()?.sum_keepdim(D::Minus1)? / width as f64)?;
        let inverse = (mean_square + eps)?.sqrt()?.recip()?;
        Ok((x.broadcast_mul(&inverse)?, inverse))
    };
    let (y, _) = normed(&narrow)?;
    let y = if form == NormWeight::Rounded { y.to_dtype(dtype)?.to_dtype(wide)? } else { y };
    let y = y.broadcast_mul(&factor)?.to_dtype(dtype)?.reshape(&shape)?;
    let (of_x, of_weight, kind) = (x.track_op(), weight.track_op(), weight.dtype());
    explicit(&[x, weight], y, move |grad| {
        let (normed, inverse) = normed(&narrow)?;
        let grad = grad.reshape(((), width))?.to_dtype(wide)?;
        let dx = of_x.then(|| {
            let grad = grad.broadcast_mul(&factor)?;
            let along = ((&grad * &normed)?.sum_keepdim(D::Minus1)? / width as f64)?;
            let dx = (grad - normed.broadcast_mul(&along)?)?.broadcast_mul(&inverse)?;
            dx.to_dtype(dtype)?.reshape(&shape)
        });
        let dw = of_weight.then(|| (&grad * &normed)?.sum(0)?.to_dtype(kind));
        Ok(vec![dx.transpose()?, dw.transpose()?])
    })
}

struct RmsNorm {
    eps: f32,
    one_plus: bool,
    frozen: Option<Tensor>,
}

/// Rows that one task works on.
const ROWS: usize = 64;

impl RmsNorm {
    /// What multiplies.
    fn factors<'a>(&self, weight: &'a [f32]) -> Cow<'a, [f32]> {
        if self.one_plus {
            weight.iter().map(|weight| 1.0 + weight).collect()
        } else {
            weight.into()
        }
    }

    fn forward(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let weight = &*self.factors(weight);
        let width = weight.len();
        let mut out = vec![0f32; x.len()];
        out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).for_each(|(out, x)| {
            vectorised(|| {
                for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    let inverse = self.inverse(x);
                    for i in 0..width {
                        out[i] = x[i] * inverse * weight[i];
                    }
                }
            })
        });
        out
    }

    #[inline(always)]
    fn inverse(&self, x: &[f32]) -> f32 {
        1.0 / (dot(x, x) / x.len() as f32 + self.eps).sqrt()
    }

    fn gradient(&self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let grad = grad.contiguous()?;
        let (xs, weight, grad) = (values(x)?, values(weight)?, values(&grad)?);
        let weight = &*self.factors(&weight);
        let width = weight.len();
        let mut out = vec![0f32; xs.len()];
        out.par_chunks_mut(ROWS * width)
            .zip(xs.par_chunks(ROWS * width).zip(grad.par_chunks(ROWS * width)))
            .for_each(|(out, (x, grad))| {
                vectorised(|| {
                    let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
                    for (out, (x, grad)) in out.chunks_exact_mut(width).zip(rows) {
                        let inverse = self.inverse(x);
                        for i in 0..width {
                            out[i] = grad[i] * weight[i];
                        }
                        let along = dot(out, x) * inverse * inverse / width as f32;
                        for i in 0..width {
                            out[i] = (out[i] - x[i] * along) * inverse;
                        }
                    }
                })
            });
        Tensor::from_vec(out, x.shape(), x.device())
    }

    fn weight_gradient(&self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let grad = grad.contiguous()?;
        let (xs, grad) = (values(x)?, values(&grad)?);
        let width = weight.elem_count();
        let mut out = vec![0f32; width];
        vectorised(|| {
            for (x, grad) in xs.chunks_exact(width).zip(grad.chunks_exact(width)) {
                let inverse = self.inverse(x);
                for i in 0..width {
                    out[i] += grad[i] * x[i] * inverse;
                }
            }
        });
        Tensor::from_vec(out, weight.shape(), x.device())
    }
}

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }
    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let weight = self.frozen.as_ref().expect("the unary form holds its weight");
        let out = self.forward(floats(storage, layout)?, &values(weight)?);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let weight = self.frozen.as_ref().expect("the unary form holds its weight");
        self.gradient(x, weight, grad).map(Some)
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }
    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.forward(floats(s1, l1)?, floats(s2, l2)?)), l1.shape().clone()))
    }
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(self.gradient(x, weight, grad)?), Some(self.weight_gradient(x, weight, grad)?)))
    }
}
