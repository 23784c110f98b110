//! A linear layer as the decoder uses it: frozen, with a low-rank update, or trained itself.

use crate::ops::{self, Path, Weight};
use candle_core::{DType, Result, Tensor};
use std::sync::{Arc, OnceLock};

/// A linear layer `x Wᵀ + bias`, perhaps with an adapter.
#[derive(Debug, Clone)]
pub struct Projection {
    /// `(out, in)`; a variable when the layer is trained in full.
    pub weight: Weight,
    /// `(out)`.
    pub bias: Option<Tensor>,
    /// The low-rank update, if there is one.
    pub adapted: Option<AdaptedWeight>,
}

/// A low-rank update of a weight: LoRA, or DoRA when it has a magnitude. The three are variables while they are trained.
#[derive(Debug, Clone)]
pub struct AdaptedWeight {
    /// `(rank, in)`.
    pub a: Tensor,
    /// `(out, rank)`.
    pub b: Tensor,
    /// `alpha / rank`, or `alpha / sqrt(rank)` for rank-stabilised LoRA.
    pub scale: f64,
    /// DoRA's length of each row of the weight, `(out)`.
    pub magnitude: Option<Tensor>,
    /// Squared length of each row of the frozen weight, for DoRA by composed operators: the first pass finds it.
    pub(crate) squares: Arc<OnceLock<Tensor>>,
}

impl Projection {
    /// A layer without an adapter.
    pub fn new(weight: impl Into<Weight>, bias: Option<Tensor>) -> Self {
        Self { weight: weight.into(), bias, adapted: None }
    }

    /// `(rows, in)` to `(rows, out)`; `dropped` is `x` after dropout, which only the update sees.
    pub fn forward(&self, path: Path, x: &Tensor, dropped: Option<&Tensor>) -> Result<Tensor> {
        let y = match &self.adapted {
            None => ops::linear(path, x, self.weight.cast(x.dtype())?)?,
            Some(update) => match &update.magnitude {
                None => update.lora(path, x, dropped, &self.weight)?,
                Some(magnitude) => update.dora(path, x, dropped, &self.weight, magnitude)?,
            },
        };
        match &self.bias {
            Some(bias) => ops::add_bias(path, &y, bias),
            None => Ok(y),
        }
    }

    /// The weight with its update folded in, outside any graph; of a weight in blocks or panels in f32.
    pub fn merged_weight(&self) -> Result<Tensor> {
        self.merged_in_f32()?.to_dtype(self.weight.dtype())
    }

    /// The same before it is rounded to the weight's own precision: of bf16 weights a small change would be lost in that.
    pub(crate) fn merged_in_f32(&self) -> Result<Tensor> {
        let weight = self.weight.dense()?;
        let Some(update) = &self.adapted else {
            return match weight.dtype() {
                DType::BF16 | DType::F16 => weight.to_dtype(DType::F32),
                _ => Ok(weight),
            };
        };
        let merged = update.sum(&weight)?;
        let merged = match &update.magnitude {
            None => merged,
            Some(magnitude) => {
                let factor = (magnitude.detach() / update.norms_of(&weight)?)?;
                merged.broadcast_mul(&factor.unsqueeze(1)?)?
            }
        };
        Ok(merged)
    }

    /// The same layer outside any graph: for inference, and for a forward pass that will be replayed.
    pub fn detached(&self) -> Self {
        let adapted = self.adapted.as_ref().map(|update| AdaptedWeight {
            a: update.a.detach(),
            b: update.b.detach(),
            scale: update.scale,
            magnitude: update.magnitude.as_ref().map(Tensor::detach),
            squares: update.squares.clone(),
        });
        Self { weight: self.weight.detach(), bias: self.bias.as_ref().map(Tensor::detach), adapted }
    }

    /// The same layer outside any graph, with copies of its variables.
    pub fn snapshot(&self) -> Result<Self> {
        let copy = |tensor: &Tensor| match tensor.is_variable() {
            true => tensor.detach().copy(),
            false => Ok(tensor.detach()),
        };
        let adapted = match &self.adapted {
            None => None,
            Some(update) => Some(AdaptedWeight {
                a: copy(&update.a)?,
                b: copy(&update.b)?,
                scale: update.scale,
                magnitude: update.magnitude.as_ref().map(copy).transpose()?,
                squares: update.squares.clone(),
            }),
        };
        Ok(Self {
            weight: match &self.weight {
                Weight::Dense(weight) => copy(weight)?.into(),
                frozen => frozen.clone(),
            },
            bias: self.bias.as_ref().map(copy).transpose()?,
            adapted,
        })
    }

    /// As [`Projection::merged`], with `scale` of the update's change of the weight.
    pub fn merged_by(&self, scale: f64) -> Result<Self> {
        let mut scaled = self.clone();
        let weight = match &mut scaled.adapted {
            Some(update) if update.magnitude.is_none() => {
                update.scale *= scale;
                return scaled.merged();
            }
            // the length of a row is no multiple of the scale
            Some(_) => {
                let before = self.weight.dense()?.to_dtype(DType::F32)?;
                let change = (self.merged_in_f32()?.to_dtype(DType::F32)? - &before)?;
                (before + (change * scale)?)?.to_dtype(self.weight.dtype())?.into()
            }
            None => self.weight.detach(),
        };
        Ok(Self::new(weight, self.bias.as_ref().map(Tensor::detach)))
    }

    /// The layer for inference, outside any graph, a copy where training would change it: the update folded in.
    ///
    /// On a weight in blocks or panels a LoRA stays apart, as bf16 would lose it and f32 would take several times the memory; a DoRA is folded in and
    /// computed in f32. On a weight in bf16 both stay apart: rounded into it, the model would not be the one that was trained.
    pub fn merged(&self) -> Result<Self> {
        let lora = self.adapted.as_ref().is_none_or(|update| update.magnitude.is_none());
        let rounded = matches!(self.weight.dtype(), DType::BF16 | DType::F16);
        match (self.weight.is_packed() && lora) || (rounded && self.adapted.is_some()) {
            true => self.snapshot(),
            false => Ok(Self::new(self.merged_weight()?, self.bias.as_ref().map(Tensor::detach))),
        }
    }
}

impl AdaptedWeight {
    /// `x Wᵀ + scale · dropped Aᵀ Bᵀ`.
    fn lora(
        &self,
        path: Path,
        x: &Tensor,
        dropped: Option<&Tensor>,
        weight: &Weight,
    ) -> Result<Tensor> {
        // adapters are kept in f32 also where the weights are bf16
        let (a, b) = (self.a.to_dtype(x.dtype())?, self.b.to_dtype(x.dtype())?);
        match dropped {
            None => ops::lora_linear(path, x, weight, &a, &b, self.scale),
            Some(dropped) => {
                let low = ops::linear(path, &ops::linear(path, dropped, &a)?, &b)?;
                ops::linear(path, x, weight)? + ops::scaled(&low, self.scale)?
            }
        }
    }

    /// `m / ‖W + scale · B A‖ · (x Wᵀ + scale · dropped Aᵀ Bᵀ)`, a norm for each row. It counts as a constant in the backward pass (DoRA § 4.3, and
    /// PEFT).
    ///
    /// The whole result is scaled. PEFT scales the part beyond 1 of a result that saw dropout as well; without dropout, and on average with it, the
    /// two are the same.
    fn dora(
        &self,
        path: Path,
        x: &Tensor,
        dropped: Option<&Tensor>,
        weight: &Weight,
        magnitude: &Tensor,
    ) -> Result<Tensor> {
        let y = self.lora(path, x, dropped, weight)?;
        if path == Path::Composed {
            let lengths = self.lengths(weight.tensor()?)?;
            return ops::scaled_columns(&y, magnitude, &lengths);
        }
        let norm = self.row_norms(weight)?;
        y.broadcast_mul(&magnitude.broadcast_div(&norm)?.to_dtype(y.dtype())?)
    }

    /// As [`AdaptedWeight::row_norms`] without a sum as large as the weight: `‖w‖² + 2 s ⟨w, b A⟩ + s² ‖b A‖²` of each row, of which the first is a
    /// constant and the others are products with `A`.
    fn lengths(&self, weight: &Tensor) -> Result<Tensor> {
        let (a, b) = (self.a.detach(), self.b.detach());
        let of_weight = match self.squares.get() {
            Some(found) => found.clone(),
            None => {
                let found = weight.detach().to_dtype(b.dtype())?.sqr()?.sum(1)?;
                self.squares.get_or_init(|| found).clone()
            }
        };
        let crossed = ops::product(&weight.detach(), &a.to_dtype(weight.dtype())?.t()?)?;
        let crossed = (crossed.to_dtype(b.dtype())? * &b)?.sum(1)?;
        let of_update = (b.matmul(&a.matmul(&a.t()?)?)? * &b)?.sum(1)?;
        let squares =
            ((of_weight + (crossed * (2.0 * self.scale))?)? + (of_update * self.scale.powi(2))?)?;
        squares.sqrt()
    }

    /// `W + scale · B A` in the adapter's precision, detached.
    fn sum(&self, weight: &Tensor) -> Result<Tensor> {
        let update = self.b.detach().matmul(&self.a.detach())?;
        weight.detach().to_dtype(update.dtype())? + (update * self.scale)?
    }

    /// Euclidean norm of each row of `W + scale · B A`, detached: `(out)`.
    pub fn row_norms(&self, weight: &Weight) -> Result<Tensor> {
        self.norms_of(&weight.dense()?)
    }

    fn norms_of(&self, weight: &Tensor) -> Result<Tensor> {
        self.sum(weight)?.sqr()?.sum(1)?.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use candle_core::{Device, Var};

    fn random(shape: (usize, usize), name: &str) -> Tensor {
        let mut rng = Rng::new(1, name);
        let values = (0..shape.0 * shape.1).map(|_| rng.normal() as f32);
        Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(shape).unwrap()
    }

    /// Output, merged weight and the gradients of A, B and the magnitude, with the frozen weight and the input in `dtype`.
    fn run(dtype: DType, dora: bool, dropped: bool) -> Vec<Tensor> {
        let var = |tensor: Tensor| Var::from_tensor(&tensor).unwrap();
        let (a, b) = (var(random((2, 5), "a")), var(random((3, 2), "b")));
        let magnitude = var(random((1, 3), "magnitude").flatten_all().unwrap());
        let mut projection = Projection::new(random((3, 5), "w").to_dtype(dtype).unwrap(), None);
        projection.adapted = Some(AdaptedWeight {
            a: a.as_tensor().clone(),
            b: b.as_tensor().clone(),
            scale: 1.5,
            magnitude: dora.then(|| magnitude.as_tensor().clone()),
            squares: Default::default(),
        });
        let x = random((4, 5), "x").to_dtype(dtype).unwrap();
        let seen = (&x * 2.0).unwrap();
        let y = projection.forward(Path::Host, &x, dropped.then_some(&seen)).unwrap();
        let merged = projection.merged_weight().unwrap();
        assert_eq!((y.dtype(), merged.dtype()), (dtype, dtype));
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let mut results = vec![y, merged];
        for var in [Some(&a), Some(&b), dora.then_some(&magnitude)] {
            let gradient = var.map(|var| grads.get(var).unwrap().clone());
            assert!(gradient.iter().all(|g| g.dtype() == DType::F32));
            results.extend(gradient);
        }
        results
    }

    #[test]
    fn an_adapter_in_f32_fits_weights_of_another_precision() {
        // f64 stands for the bf16 of a GPU, which candle cannot multiply on a CPU
        for (dora, dropped) in [(false, false), (false, true), (true, false), (true, true)] {
            let (other, same) = (run(DType::F64, dora, dropped), run(DType::F32, dora, dropped));
            for (a, b) in other.iter().zip(&same) {
                let flat = |t: &Tensor| {
                    let t = t.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
                    t.to_vec1::<f32>().unwrap()
                };
                for (a, b) in flat(a).iter().zip(flat(b)) {
                    assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a}, {b}");
                }
            }
        }
    }
}
