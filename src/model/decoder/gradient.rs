//! Loss and gradient of a batch.

use super::{Batch, Block, Decoder, Drop, Dropout, Pass};
use crate::error::Result;
use crate::ops::{self, Divergence, Gradients, RowLoss, TokenLoss, Weight};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

/// What a batch is trained on, where that is more than its weighted surprisal.
pub struct BatchLoss<'a> {
    /// Turns what the head says of each predicted token into its loss.
    pub rows: &'a dyn Fn(&TokenLoss) -> Result<Vec<BatchRow>>,
    /// Asks for the entropy among that many most probable tokens.
    pub top_entropy: Option<usize>,
    /// A model to stay close to.
    pub anchor: Option<Anchor<'a>>,
}

/// What one predicted token adds to a batch's loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchRow {
    /// The part that depends on its own probability.
    pub loss: RowLoss,
    /// Weight of its divergence from the anchor.
    pub kl_weight: f32,
}

/// A model whose next-token distributions the trained one is kept close to.
#[derive(Clone, Copy)]
pub struct Anchor<'a> {
    /// The model, which gets no gradient.
    pub reference: &'a Decoder,
    /// How distance is measured.
    pub divergence: Divergence,
}

/// The gradient of one batch.
#[derive(Debug)]
pub struct Gradient {
    /// Loss and the predicted tokens' facts.
    pub loss: TokenLoss,
    /// Divergence of each predicted token from the anchor, in nats; empty without one.
    pub kl: Vec<f32>,
    /// One for each of [`Decoder::trainable`], in that order; `None` where none arrived.
    pub gradients: Vec<Option<Tensor>>,
}

impl Decoder {
    /// Loss and gradient of one batch.
    ///
    /// With `replay`, blocks are computed again in the backward pass instead of kept: the same bits for about a third more time and
    /// a fraction of the memory.
    pub fn gradient(
        &self,
        batch: &Batch,
        replay: bool,
        dropout: Option<&Dropout>,
    ) -> Result<Gradient> {
        self.gradient_by(batch, replay, dropout, None)
    }

    /// As [`Decoder::gradient`], of another loss than the weighted surprisal; the batch's weights then only say which tokens are
    /// predicted.
    pub fn gradient_of(
        &self,
        batch: &Batch,
        replay: bool,
        dropout: Option<&Dropout>,
        loss: &BatchLoss<'_>,
    ) -> Result<Gradient> {
        self.gradient_by(batch, replay, dropout, Some(loss))
    }

    fn gradient_by(
        &self,
        batch: &Batch,
        replay: bool,
        dropout: Option<&Dropout>,
        of: Option<&BatchLoss<'_>>,
    ) -> Result<Gradient> {
        let pass = self.pass(&batch.starts, batch.longest())?;
        let drop = |layer| Drop { dropout, layer };
        if batch.rows.is_empty() {
            let gradients = self.trainable.iter().map(|_| None).collect();
            return Ok(Gradient { loss: TokenLoss::default(), kl: Vec::new(), gradients });
        }
        let embedded = self.embed(&batch.ids)?;
        let (loss, kl, grads) = if replay {
            let bare = self.detached()?;
            let mut inputs = Vec::with_capacity(self.layers.len());
            let mut x = embedded.detach();
            for (layer, block) in bare.layers.iter().enumerate() {
                let next = pass.block(block, &x, &drop(layer))?;
                inputs.push(std::mem::replace(&mut x, next));
            }
            let top = Var::from_tensor(&x)?;
            let (loss, kl, mut grads) = self.loss_and_seed(top.as_tensor(), batch, of)?;
            let mut dx = take(&mut grads, &top)?;
            for (layer, block) in self.layers.iter().enumerate().rev() {
                let input = Var::from_tensor(&inputs.pop().expect("one input for each block"))?;
                let mut more = of_block(&pass, block, &input, &dx, &drop(layer))?;
                dx = take(&mut more, &input)?;
                self.refuse_frozen_gradients(&more)?;
                self.add(&mut grads, more)?;
            }
            if embedded.track_op() {
                self.add(&mut grads, ops::seed_gradient(&embedded, &dx)?.backward()?)?;
            }
            (loss, kl, grads)
        } else {
            let mut x = embedded;
            for (layer, block) in self.layers.iter().enumerate() {
                x = pass.block(block, &x, &drop(layer))?;
            }
            self.loss_and_seed(&x, batch, of)?
        };
        self.refuse_frozen_gradients(&grads)?;
        let mut grads = grads;
        let gradients = self.trainable.iter().map(|(_, var)| grads.remove(var)).collect();
        Ok(Gradient { loss, kl, gradients })
    }

    /// Adds the gradients of what is trained in `more` to `grads`. candle keeps some for constants, too, which are as large as the activations.
    fn add(&self, grads: &mut GradStore, mut more: GradStore) -> Result<()> {
        for (_, var) in &self.trainable {
            if let Some(new) = more.remove(var) {
                let sum = match grads.remove(var) {
                    Some(old) => (old + new)?,
                    None => new,
                };
                grads.insert(var, sum);
            }
        }
        Ok(())
    }

    /// Loss on top of the last block's output, divergences from the anchor, and the gradients that flow back from both.
    fn loss_and_seed(
        &self,
        x: &Tensor,
        batch: &Batch,
        of: Option<&BatchLoss<'_>>,
    ) -> Result<(TokenLoss, Vec<f32>, GradStore)> {
        let normed = self.final_norm(&self.select(x, &batch.rows)?)?;
        let (path, head) = (self.path(), self.head_as_used()?);
        let want =
            if self.head().track_op() { Gradients::HiddenAndHead } else { Gradients::Hidden };
        let (targets, cap) = (&batch.targets, self.config.final_logit_softcapping);
        let (mut loss, kl) = match of {
            None => {
                let loss =
                    ops::token_loss(path, &normed, &head, targets, &batch.weights, cap, want)?;
                (loss, Vec::new())
            }
            Some(of) => self.loss_of(&normed, batch, of, want)?,
        };
        let seed = loss.hidden_gradient.take().expect("asked for");
        let mut grads = ops::seed_gradient(&normed, &seed)?.backward()?;
        if let (Some(more), Weight::Dense(head)) = (loss.head_gradient.take(), self.head()) {
            let more = more.to_dtype(head.dtype())?;
            let sum = match grads.remove(head) {
                Some(grad) => (grad + more)?,
                None => more,
            };
            grads.insert(head, sum);
        }
        Ok((loss, kl, grads))
    }

    /// The loss that `of` asks for, at the normed hidden states of the predicted tokens.
    fn loss_of(
        &self,
        normed: &Tensor,
        batch: &Batch,
        of: &BatchLoss<'_>,
        want: Gradients,
    ) -> Result<(TokenLoss, Vec<f32>)> {
        let (path, head) = (self.path(), &self.head_as_used()?);
        let cap = self.config.final_logit_softcapping;
        let mut kl_weights = Vec::new();
        let rows = |facts: &TokenLoss| -> Result<Vec<RowLoss>> {
            let rows: Vec<BatchRow> = (of.rows)(facts)?;
            kl_weights = rows.iter().map(|row| row.kl_weight).collect();
            Ok(rows.into_iter().map(|row| row.loss).collect())
        };
        let mut loss = ops::token_loss_by(
            path,
            normed,
            head,
            &batch.targets,
            cap,
            want,
            of.top_entropy,
            rows,
        )?;
        let Some(anchor) = of.anchor else {
            return Ok((loss, Vec::new()));
        };
        let reference = anchor.reference.detached()?;
        let kl = ops::token_kl(
            path,
            normed,
            head,
            &reference.predicted(batch, None)?,
            reference.head_as_used()?,
            &kl_weights,
            cap,
            anchor.divergence,
            want,
        )?;
        let sum = |a: Option<Tensor>, b: Option<Tensor>| match (a, b) {
            (Some(a), Some(b)) => (a + b).map(Some),
            (a, b) => Ok(a.or(b)),
        };
        loss.loss += kl.loss;
        loss.hidden_gradient = sum(loss.hidden_gradient, kl.hidden_gradient)?;
        loss.head_gradient = sum(loss.head_gradient, kl.head_gradient)?;
        Ok((loss, kl.kl))
    }

    /// A frozen weight with a gradient would be a broken invariant: memory and time lost in silence.
    fn refuse_frozen_gradients(&self, grads: &GradStore) -> Result<()> {
        for (name, projection) in self.projections() {
            if let Weight::Dense(weight) = &projection.weight
                && !weight.is_variable()
                && grads.get(weight).is_some()
            {
                return Err(candle_core::Error::Msg(format!(
                    "{name} is frozen and got a gradient"
                ))
                .into());
            }
        }
        Ok(())
    }
}

/// All gradients that the gradient `dy` of a block's output leaves behind.
fn of_block(
    pass: &Pass,
    block: &Block,
    input: &Var,
    dy: &Tensor,
    drop: &Drop<'_>,
) -> candle_core::Result<GradStore> {
    let y = pass.block(block, input.as_tensor(), drop)?;
    ops::seed_gradient(&y, dy)?.backward()
}

/// Removes the gradient of a block's input, which always has one.
fn take(grads: &mut GradStore, input: &Var) -> Result<Tensor> {
    grads.remove(input).ok_or_else(|| {
        candle_core::Error::Msg("a block passed no gradient to its input".into()).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{self, LoraConfig};
    use crate::model::{DeviceChoice, Family, ModelConfig, open_device};
    use crate::rng::Rng;

    /// candle keeps a gradient for each constant that a tracked tensor is multiplied with or added to: masks, cosines, norms' weights, biases.
    #[test]
    fn a_step_keeps_no_gradient_but_the_trained() {
        let config = ModelConfig {
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 6,
            vocab_size: 40,
            ..ModelConfig::defaults(Family::Qwen2)
        };
        for choice in [DeviceChoice::CpuComposed, DeviceChoice::CpuBf16] {
            for dora in [false, true] {
                let backend = open_device(choice).unwrap();
                let mut decoder = Decoder::random(&config, 1, &backend).unwrap();
                assert!(decoder.biases().iter().any(Option::is_some), "a model with biases");
                adapter::attach(&mut decoder, &LoraConfig { dora, ..LoraConfig::lab() }, 1)
                    .unwrap();
                let pass = decoder.pass(&[0, 3, 6], 3).unwrap();
                let dropout = Dropout { share: 0.3, rng: Rng::new(1, "dropout") };
                for dropout in [None, Some(&dropout)] {
                    let x = decoder.embed(&[3, 4, 5, 6, 7, 8]).unwrap();
                    let (input, dy) = (Var::from_tensor(&x).unwrap(), x.ones_like().unwrap());
                    let drop = Drop { dropout, layer: 0 };
                    let block = &decoder.layers[0];
                    let mut grads = of_block(&pass, block, &input, &dy, &drop).unwrap();
                    assert!(grads.remove(&input).is_some());
                    let trained = decoder.trainable().iter();
                    let trained = trained.filter(|(_, var)| grads.remove(var).is_some()).count();
                    assert_eq!(
                        trained,
                        decoder.trainable().len() / 2,
                        "those of one of two blocks"
                    );
                    assert_eq!(grads.get_ids().count(), 0, "{choice:?}, DoRA {dora}");
                }
            }
        }
    }
}
