use crate::ops::Path;
use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Tensor, Var, bail};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// AdamW's constants; the defaults are PyTorch's but for the weight decay, which is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// AdamW (Loshchilov and Hutter 2019) with f32 moments, updated in place; its state can be saved.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    parameters: Vec<(String, Var)>,
    moments: Vec<Moments>,
    step: usize,
}

/// First and second moment of one parameter, where the parameter is.
#[derive(Debug)]
enum Moments {
    Host(RefCell<(Vec<f32>, Vec<f32>)>),
    Device(Tensor, Tensor),
}

impl AdamW {
    /// For `parameters`, with moments at 0.
    ///
    /// # Errors
    /// Where one is in bf16 or f16: a step is smaller than what such a number tells apart, so that most would never move.
    pub fn new(path: Path, parameters: &[(String, Var)], config: AdamWConfig) -> Result<Self> {
        let moments = parameters
            .iter()
            .map(|(name, var)| {
                if matches!(var.dtype(), DType::BF16 | DType::F16) {
                    bail!(
                        "{name} is trained in {:?}, which loses small steps; keep it in f32",
                        var.dtype()
                    )
                }
                if path == Path::Host && on_host(var) {
                    let zeros = vec![0f32; var.elem_count()];
                    return Ok(Moments::Host(RefCell::new((zeros.clone(), zeros))));
                }
                let zeros = Tensor::zeros(var.shape(), DType::F32, var.device())?;
                Ok(Moments::Device(zeros.clone(), zeros))
            })
            .collect::<Result<_>>()?;
        Ok(Self { config, parameters: parameters.to_vec(), moments, step: 0 })
    }

    /// One step; `gradients` are in the parameters' order and are multiplied by `factor` (clipping) first.
    pub fn step(&mut self, gradients: &[Tensor], learning_rate: f64, factor: f64) -> Result<()> {
        if gradients.len() != self.parameters.len() {
            bail!("{} gradients for {} parameters", gradients.len(), self.parameters.len())
        }
        self.step += 1;
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let correct1 = 1.0 - beta1.powi(self.step as i32);
        let correct2 = 1.0 - beta2.powi(self.step as i32);
        for (((_, var), moments), gradient) in
            self.parameters.iter().zip(&mut self.moments).zip(gradients)
        {
            match moments {
                Moments::Host(moments) => var.as_tensor().inplace_op1(&Update {
                    gradient: gradient.contiguous()?.flatten_all()?.to_vec1()?,
                    moments,
                    constants: [
                        factor as f32,
                        beta1 as f32,
                        (1.0 - beta1) as f32, // 1 - 0.999 is wrong in the fifth digit in f32
                        beta2 as f32,
                        (1.0 - beta2) as f32,
                        eps as f32,
                        (learning_rate / correct1) as f32,
                        correct2.sqrt().recip() as f32,
                        (1.0 - learning_rate * weight_decay) as f32,
                    ],
                })?,
                Moments::Device(m, v) => {
                    let gradient = (gradient.to_dtype(DType::F32)? * factor)?;
                    *m = ((&*m * beta1)? + (&gradient * (1.0 - beta1))?)?;
                    *v = ((&*v * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
                    let direction = ((&*m / correct1)? / ((&*v / correct2)?.sqrt()? + eps)?)?;
                    let old = var.as_detached_tensor().to_dtype(DType::F32)?;
                    let new = ((old * (1.0 - learning_rate * weight_decay))?
                        - (direction * learning_rate)?)?;
                    var.set(&new.to_dtype(var.dtype())?)?;
                }
            }
        }
        Ok(())
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// Moments by name (`m.…`, `v.…`), to be saved beside the parameters.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for ((name, var), moments) in self.parameters.iter().zip(&self.moments) {
            let (m, v) = match moments {
                Moments::Host(moments) => {
                    let moments = moments.borrow();
                    let tensor =
                        |values: &[f32]| Tensor::from_slice(values, var.shape(), var.device());
                    (tensor(&moments.0)?, tensor(&moments.1)?)
                }
                Moments::Device(m, v) => (m.clone(), v.clone()),
            };
            state.insert(format!("m.{name}"), m);
            state.insert(format!("v.{name}"), v);
        }
        Ok(state)
    }

    /// Takes back what [`AdamW::state`] gave, after `step` steps.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, step: usize) -> Result<()> {
        for ((name, var), moments) in self.parameters.iter().zip(&mut self.moments) {
            let saved = |kind: &str| match state.get(&format!("{kind}.{name}")) {
                Some(saved) if saved.shape() == var.shape() => Ok(saved.clone()),
                _ => bail!("the saved state has no {kind}.{name} of shape {:?}", var.shape()),
            };
            let (m, v) = (saved("m")?, saved("v")?);
            *moments = match moments {
                Moments::Host(_) => Moments::Host(RefCell::new((
                    m.flatten_all()?.to_vec1()?,
                    v.flatten_all()?.to_vec1()?,
                ))),
                Moments::Device(..) => {
                    Moments::Device(m.to_device(var.device())?, v.to_device(var.device())?)
                }
            };
        }
        self.step = step;
        Ok(())
    }
}

fn on_host(var: &Var) -> bool {
    var.device().is_cpu() && var.dtype() == DType::F32
}

/// One parameter's step on the CPU, one pass over its values.
struct Update<'a> {
    gradient: Vec<f32>,
    moments: &'a RefCell<(Vec<f32>, Vec<f32>)>,
    /// Clipping factor, beta1 and its rest to 1, beta2 and its rest, eps, rate over the first correction, root of the second's
    /// inverse, what decay leaves.
    constants: [f32; 9],
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw-step"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(values), Some((from, to))) = (storage, layout.contiguous_offsets())
        else {
            bail!("AdamW steps contiguous f32 parameters in place")
        };
        let (m, v) = &mut *self.moments.borrow_mut();
        let [factor, beta1, rest1, beta2, rest2, eps, rate, root, left] = self.constants;
        let parameters = values[from..to].iter_mut().zip(&self.gradient);
        for ((value, gradient), (m, v)) in parameters.zip(m.iter_mut().zip(v.iter_mut())) {
            let gradient = gradient * factor;
            *m = *m * beta1 + gradient * rest1;
            *v = *v * beta2 + gradient * gradient * rest2;
            *value = *value * left - rate * *m / (v.sqrt() * root + eps);
        }
        Ok(())
    }
}
