//! A linear layer as the decoder uses it: frozen, with a low-rank update, or trained itself.

use crate::ops;
use candle_core::{Result, Tensor};

/// A linear layer `x Wᵀ + bias`, perhaps with an adapter.
#[derive(Debug, Clone)]
pub struct Projection {
    /// `(out, in)`; a variable when the layer is trained in full.
    pub weight: Tensor,
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
}

impl Projection {
    /// A layer without an adapter.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self {
            weight,
            bias,
            adapted: None,
        }
    }

    /// `(rows, in)` to `(rows, out)`; `dropped` is `x` after dropout, which only the update sees.
    pub fn forward(&self, x: &Tensor, dropped: Option<&Tensor>) -> Result<Tensor> {
        let y = match &self.adapted {
            None => ops::linear(x, &self.weight)?,
            Some(update) => {
                let y = match dropped {
                    None => ops::lora_linear(x, &self.weight, &update.a, &update.b, update.scale)?,
                    Some(dropped) => {
                        let low = ops::linear(&ops::linear(dropped, &update.a)?, &update.b)?;
                        (ops::linear(x, &self.weight)? + (low * update.scale)?)?
                    }
                };
                match &update.magnitude {
                    None => y,
                    Some(magnitude) => {
                        // the norm counts as a constant in the backward pass (DoRA § 4.3, and PEFT)
                        let norm = update.row_norms(&self.weight)?;
                        y.broadcast_mul(&magnitude.broadcast_div(&norm)?)?
                    }
                }
            }
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// The weight with its update folded in, outside any graph.
    pub fn merged_weight(&self) -> Result<Tensor> {
        let weight = self.weight.detach();
        let Some(update) = &self.adapted else {
            return Ok(weight);
        };
        let merged = update.sum(&weight)?;
        match &update.magnitude {
            None => Ok(merged),
            Some(magnitude) => {
                let factor = (magnitude.detach() / update.row_norms(&weight)?)?;
                merged.broadcast_mul(&factor.unsqueeze(1)?)
            }
        }
    }

    /// The same layer outside any graph: for inference, and for a forward pass that will be replayed.
    pub fn detached(&self) -> Self {
        let adapted = self.adapted.as_ref().map(|update| AdaptedWeight {
            a: update.a.detach(),
            b: update.b.detach(),
            scale: update.scale,
            magnitude: update.magnitude.as_ref().map(Tensor::detach),
        });
        Self {
            weight: self.weight.detach(),
            bias: self.bias.as_ref().map(Tensor::detach),
            adapted,
        }
    }

    /// The layer with its update folded in.
    pub fn merged(&self) -> Result<Self> {
        Ok(Self::new(
            self.merged_weight()?,
            self.bias.as_ref().map(Tensor::detach),
        ))
    }
}

impl AdaptedWeight {
    /// `W + scale · B A`, detached.
    fn sum(&self, weight: &Tensor) -> Result<Tensor> {
        let update = self.b.detach().matmul(&self.a.detach())?;
        weight.detach() + (update.to_dtype(weight.dtype())? * self.scale)?
    }

    /// Euclidean norm of each row of `W + scale · B A`, detached: `(out)`.
    pub fn row_norms(&self, weight: &Tensor) -> Result<Tensor> {
        self.sum(weight)?.sqr()?.sum(1)?.sqrt()
    }
}
