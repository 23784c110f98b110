use super::fused;
use super::host::{exp, floats, values, vectorised};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// `silu(gate) · up`, elementwise; both of one shape.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if gate.shape() != up.shape() {
        bail!("gate is {:?}, up is {:?}", gate.shape(), up.shape())
    }
    if fused(gate) {
        gate.contiguous()?.apply_op2(&up.contiguous()?, SwiGlu)
    } else {
        gate.silu()? * up
    }
}

struct SwiGlu;

/// Values that one task works on: large enough to be worth a task, small enough for the first cache.
const PART: usize = 8192;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (floats(s1, l1)?, floats(s2, l2)?);
        let mut out = vec![0f32; gate.len()];
        out.par_chunks_mut(PART)
            .zip(gate.par_chunks(PART))
            .zip(up.par_chunks(PART))
            .for_each(|((out, gate), up)| {
                vectorised(|| {
                    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                        *out = gate * sigmoid(gate) * up;
                    }
                })
            });
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
                        let s = sigmoid(gate[i]);
                        let silu = gate[i] * s;
                        d_up[i] = grad[i] * silu;
                        d_gate[i] = grad[i] * up[i] * (s + silu * (1.0 - s));
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
