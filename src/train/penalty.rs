//! L2-SP: a pull of the weights to where they started.

use crate::error::Result;
use crate::model::Decoder;
use crate::optimizer::squares;
use candle_core::Tensor;

/// `½ ‖θ − θ_base‖²` (L2-SP, arXiv 1802.01483) of `decoder`, and its gradient for each of [`Decoder::trainable`].
///
/// With low-rank adapters `θ − θ_base` is `s B A`, and its square is `s² ⟨Bᵀ B, A Aᵀ⟩`, products of `rank × rank`. Trained in full, `base` has
/// the weights before.
pub fn squared_distance(
    decoder: &Decoder,
    base: Option<&Decoder>,
) -> Result<(f64, Vec<Option<Tensor>>)> {
    match base {
        Some(base) => of_all_weights(decoder, base),
        None => of_updates(decoder),
    }
}

fn of_updates(decoder: &Decoder) -> Result<(f64, Vec<Option<Tensor>>)> {
    let trainable = decoder.trainable();
    let place = |tensor: &Tensor| {
        let found = trainable.iter().position(|(_, var)| var.as_tensor().id() == tensor.id());
        found.expect("an adapter's matrices are trained")
    };
    let (mut value, mut gradients) = (0.0, vec![None; trainable.len()]);
    for (_, projection) in decoder.projections() {
        let Some(update) = &projection.adapted else {
            continue;
        };
        let (a, b) = (update.a.detach(), update.b.detach());
        let square = update.scale * update.scale;
        let of_a = a.matmul(&a.t()?)?;
        let of_b = b.t()?.matmul(&b)?;
        let size = (&of_a * &of_b)?.sum_all()?.to_scalar::<f32>()?;
        value += 0.5 * square * f64::from(size);
        gradients[place(&update.a)] = Some((of_b.matmul(&a)? * square)?);
        gradients[place(&update.b)] = Some((b.matmul(&of_a)? * square)?);
    }
    Ok((value, gradients))
}

fn of_all_weights(decoder: &Decoder, base: &Decoder) -> Result<(f64, Vec<Option<Tensor>>)> {
    let before = base.tensors()?;
    let (mut value, mut gradients) = (0.0, Vec::new());
    for (name, var) in decoder.trainable() {
        let before = before.get(name).expect("a trained weight has a name in the checkpoint");
        let change = (var.as_detached_tensor() - before.to_dtype(var.dtype())?)?;
        value += 0.5 * squares(decoder.backend().path, std::slice::from_ref(&change))?[0];
        gradients.push(Some(change));
    }
    Ok((value, gradients))
}
