use super::fused;
use super::host::{dot, floats, values, vectorised};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, D, DType, Layout, Result, Shape, Tensor, bail,
};
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
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64, form: NormWeight) -> Result<Tensor> {
    if weight.dims1()? != x.dim(D::Minus1)? {
        bail!("x is {:?}, the norm's weight is {:?}", x.shape(), weight.shape())
    }
    let weight = &weight.contiguous()?;
    if fused(x) {
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
    let dtype = x.dtype();
    let wide = if dtype == DType::F64 { dtype } else { DType::F32 };
    let xs = x.to_dtype(wide)?;
    let mean_square = xs.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = xs.broadcast_div(&(mean_square + eps)?.sqrt()?)?;
    let weight = weight.to_dtype(match form {
        NormWeight::Rounded => dtype,
        NormWeight::Wide | NormWeight::OnePlus => wide,
    })?;
    match form {
        NormWeight::Rounded => normed.to_dtype(dtype)?.broadcast_mul(&weight),
        NormWeight::Wide => normed.broadcast_mul(&weight)?.to_dtype(dtype),
        NormWeight::OnePlus => normed.broadcast_mul(&(weight + 1.0)?)?.to_dtype(dtype),
    }
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
