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
//! A [`Path`] says how they are computed: fused on a CPU in f32, or composed of candle's operations on any device and in any precision, with
//! an explicit backward pass, so that no gradient is kept for a constant. The tests hold the two against each other, on a CPU.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use unforget::ops::{self, Path};
//! let x = Var::from_tensor(&Tensor::new(&[[1f32, -2.0]], &Device::Cpu)?)?;
//! let w = Tensor::new(&[[3f32, 4.0]], &Device::Cpu)?;
//! let grads = ops::linear(Path::Host, &x, &w)?.sum_all()?.backward()?;
//! assert_eq!(grads.get(&x).unwrap().to_vec2::<f32>()?, [[3.0, 4.0]]);
//! assert!(grads.get(&w).is_none(), "a frozen weight gets no gradient");
//! # Ok::<(), candle_core::Error>(())
//! ```

mod attention;
mod blocks;
mod composed;
mod gated;
mod host;
mod linear;
mod norm;
mod panels;
mod remembered;
mod rope;
mod seed;
mod sieve;
mod token_kl;
mod token_loss;
mod weight;
mod wide;

pub use attention::{Attention, CachedRow, Sequences, attention, cached_attention};
pub(crate) use composed::constant;
pub use composed::{add_bias, check_size, dropped, host_constants, scaled, scaled_columns};
pub use gated::{Activation, gated};
pub(crate) use host::largest_and_exp_sum;
pub use linear::{linear, lora_linear};
pub use norm::{NormWeight, rms_norm};
pub use panels::{Panels, bf16_instructions};
pub use remembered::{Reach, Reached, Remembered, angles, remembered_attention, turned_at};
pub use rope::{Rope, RopeTable};
pub use seed::seed_gradient;
pub use sieve::{MostProbable, Sieve, SievedRow, most_probable};
pub use token_kl::{Divergence, KlDirection, TokenKl, token_kl};
pub use token_loss::{
    Gradients, RowLoss, TokenLoss, soft_cap, token_loss, token_loss_by, top_entropy,
};
pub use weight::Weight;
pub(crate) use wide::product;

use candle_core::{DType, Tensor};

/// How operators are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Path {
    /// Fused, on the current rayon pool: f32 on a CPU. What is something else is composed all the same.
    #[default]
    Host,
    /// Composed of candle's operations, as on a GPU.
    Composed,
}

impl Path {
    /// Whether `x` meets the fused operators.
    fn fused(self, x: &Tensor) -> bool {
        self == Self::Host && x.device().is_cpu() && x.dtype() == DType::F32
    }
}

/// The precision of sums and of what is not linear: f64 stays, all else is f32.
fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { dtype } else { DType::F32 }
}
