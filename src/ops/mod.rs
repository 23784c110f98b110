//! The differentiable operators that the decoder is made of.
//!
//! candle's fused softmax, norms and rotary embedding drop gradients without a word, and its matmul builds a gradient for
//! every frozen weight. Each operator here is a custom op with its own backward, proven against finite differences:
//!
//! | operator | forward | who gets a gradient |
//! |---|---|---|
//! | [`linear`] | `x Wᵀ` | `x`; `W` only if it is a variable |
//! | [`lora_linear`] | `x Wᵀ + s x Aᵀ Bᵀ` | `x`, `A`, `B`; never `W` |
//! | [`rms_norm`] | `x / rms(x) · w`, or `· (1 + w)` | `x`; `w` only if it is a variable |
//! | [`gated`] | `silu(gate) · up`, or with GeLU | both |
//! | [`attention`] | rotary, causal, grouped-query attention over sequences laid end to end; windowed, soft-capped | `q`, `k`, `v` |
//! | [`token_loss`], [`token_loss_by`] | head and cross-entropy in chunks, logits perhaps soft-capped | the hidden states; the head if asked |
//! | [`token_kl`] | head and divergence from another model in chunks, over all tokens or the most probable ones | the hidden states; the head if asked |
//! | [`seed_gradient`] | none | starts a backward pass from a known gradient |
//!
//! A frozen weight may stay in the blocks of a GGUF file ([`Weight::Blocks`]), and be held in bf16 ([`Weight::Panels`]) for products of processors
//! that multiply bf16 by an instruction of their own.
//!
//! On a CPU in f32 they are fused and run on the current rayon pool. Everywhere else, and in f64, they are composed of candle
//! operations that do keep their gradients; the tests hold the two against each other.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! let x = Var::from_tensor(&Tensor::new(&[[1f32, -2.0]], &Device::Cpu)?)?;
//! let w = Tensor::new(&[[3f32, 4.0]], &Device::Cpu)?;
//! let grads = unforget::ops::linear(&x, &w)?.sum_all()?.backward()?;
//! assert_eq!(grads.get(&x).unwrap().to_vec2::<f32>()?, [[3.0, 4.0]]);
//! assert!(grads.get(&w).is_none(), "a frozen weight gets no gradient");
//! # Ok::<(), candle_core::Error>(())
//! ```

mod attention;
mod blocks;
mod gated;
mod host;
mod linear;
mod norm;
mod panels;
mod rope;
mod seed;
mod token_kl;
mod token_loss;
mod weight;

pub use attention::{Attention, CachedRow, attention, cached_attention};
pub use gated::{Activation, gated};
pub(crate) use host::largest_and_exp_sum;
pub use linear::{linear, lora_linear};
pub use norm::{NormWeight, rms_norm};
pub use panels::{Panels, bf16_instructions};
pub use rope::{Rope, RopeTable};
pub use seed::seed_gradient;
pub use token_kl::{Divergence, KlDirection, TokenKl, token_kl};
pub use token_loss::{
    Gradients, RowLoss, TokenLoss, soft_cap, token_loss, token_loss_by, top_entropy,
};
pub use weight::Weight;

use candle_core::{DType, Tensor};

/// Whether the fused path applies: f32 on a CPU.
fn fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}
