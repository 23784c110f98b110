use super::composed::explicit;
use super::host::{exp, floats, values, vectorised};
use super::{Path, wide};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// What bends the gate of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x σ(x)`, also called swish.
    Silu,
    /// GeLU in its tanh form, `x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    GeluTanh,
}

/// `act(gate) · up`, elementwise; both of one shape.
pub fn gated(path: Path, gate: &Tensor, up: &Tensor, activation: Activation) -> Result<Tensor> {
    if gate.shape() != up.shape() {
        bail!("gate is {:?}, up is {:?}", gate.shape(), up.shape())
    }
    if path.fused(gate) {
        let (gate, up) = (gate.contiguous()?, up.contiguous()?);
        return match activation {
            Activation::Silu => gate.apply_op2(&up, Gated(identity)),
            Activation::GeluTanh => gate.apply_op2(&up, Gated(cubic)),
        };
    }
    composed(gate, up, activation)
}

/// With candle's operations: any device and precision. Constants and what lies between are not rounded.
fn composed(gate: &Tensor, up: &Tensor, activation: Activation) -> Result<Tensor> {
    let (dtype, wide) = (gate.dtype(), wide(gate.dtype()));
    let (kept_gate, kept_up) = (gate.detach(), up.detach());
    // σ(z), and how fast z follows the gate
    let sigmoid = move |gate: &Tensor| -> Result<(Tensor, Option<Tensor>)> {
        let z = |gate: &Tensor| candle_nn::ops::sigmoid(gate);
        match activation {
            Activation::Silu => Ok((z(gate)?, None)),
            Activation::GeluTanh => {
                let square = (gate.sqr()? * (2.0 * SLOPE * CUBE))?;
                let slope = square.affine(3.0, 2.0 * SLOPE)?;
                Ok((z(&(gate * (square + 2.0 * SLOPE)?)?)?, Some(slope)))
            }
        }
    };
    let y = {
        let gate = kept_gate.to_dtype(wide)?;
        ((&gate * sigmoid(&gate)?.0)? * kept_up.to_dtype(wide)?)?.to_dtype(dtype)?
    };
    explicit(&[gate, up], y, move |grad| {
        let (gate, grad) = (kept_gate.to_dtype(wide)?, grad.to_dtype(wide)?);
        let (sigmoid, slope) = sigmoid(&gate)?;
        let bent = (gate * &sigmoid)?;
        let d_up = (&grad * &bent)?.to_dtype(dtype)?;
        let rest = (bent * sigmoid.affine(-1.0, 1.0)?)?;
        let rest = match slope {
            None => rest,
            Some(slope) => (rest * slope)?,
        };
        let d_gate = ((grad * kept_up.to_dtype(wide)?)? * (sigmoid + rest)?)?.to_dtype(dtype)?;
        Ok(vec![Some(d_gate), Some(d_up)])
    })
}

const SLOPE: f64 = 0.797_884_560_802_865_4; // √(2/π)
const CUBE: f64 = 0.044_715;

/// Both activations are `x σ(z(x))`: `(1 + tanh(u)) / 2 = σ(2u)`. The function gives `z` and its slope.
struct Gated<F: Fn(f32) -> (f32, f32)>(F);

/// SiLU's `z`.
#[inline(always)]
fn identity(x: f32) -> (f32, f32) {
    (x, 1.0)
}

/// GeLU's `z`.
#[inline(always)]
fn cubic(x: f32) -> (f32, f32) {
    const ONCE: f32 = (2.0 * SLOPE) as f32;
    const THRICE: f32 = (2.0 * SLOPE * CUBE) as f32;
    let square = THRICE * x * x;
    (x * (ONCE + square), ONCE + 3.0 * square)
}

/// Values that one task works on: large enough to be worth a task, small enough for the first cache.
const PART: usize = 8192;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

impl<F: Fn(f32) -> (f32, f32) + Copy + Send + Sync> CustomOp2 for Gated<F> {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (floats(s1, l1)?, floats(s2, l2)?);
        let bend = self.0;
        let mut out = vec![0f32; gate.len()];
        out.par_chunks_mut(PART).zip(gate.par_chunks(PART)).zip(up.par_chunks(PART)).for_each(
            |((out, gate), up)| {
                vectorised(|| {
                    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                        *out = gate * sigmoid(bend(gate).0) * up;
                    }
                })
            },
        );
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let shape = gate.shape();
        let grad = grad.contiguous()?;
        let (gate, up, grad) = (values(gate)?, values(up)?, values(&grad)?);
        let bend = self.0;
        let mut d_gate = vec![0f32; grad.len()];
        let mut d_up = vec![0f32; grad.len()];
        d_gate
            .par_chunks_mut(PART)
            .zip(d_up.par_chunks_mut(PART))
            .zip(gate.par_chunks(PART).zip(up.par_chunks(PART)))
            .zip(grad.par_chunks(PART))
            .for_each(|(((d_gate, d_up), (gate, up)), grad)| {
                vectorised(|| {
                    for i in 0..grad.len() {
                        let (z, slope) = bend(gate[i]);
                        let s = sigmoid(z);
                        let act = gate[i] * s;
                        d_up[i] = grad[i] * act;
                        d_gate[i] = grad[i] * up[i] * (s + act * (1.0 - s) * slope);
                    }
                })
            });
        let cpu = candle_core::Device::Cpu;
        Ok((
            Some(Tensor::from_vec(d_gate, shape, &cpu)?),
            Some(Tensor::from_vec(d_up, shape, &cpu)?),
        ))
    }
}
