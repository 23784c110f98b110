use super::decoder::Decoder;
use crate::error::Result;
use crate::ops::{Divergence, RowLoss, TokenLoss};

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
