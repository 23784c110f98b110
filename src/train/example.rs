use crate::error::Result;
use crate::select::ModelSignals;
use serde::{Deserialize, Serialize};

/// One training example: a rendered conversation and how much each token counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Names the example in messages.
    pub id: String,
    /// Token ids, prompt and completion.
    pub ids: Vec<u32>,
    /// Weight of each token's surprisal in the loss, one for each id: 0 for the prompt and for masked tokens.
    pub weights: Vec<f32>,
    /// Tokens of the completion, learned or not.
    pub completion_tokens: usize,
}

/// Token weights that follow the model while it learns; the trainer calls it and does not know what it does.
///
/// An example's own weights then only say which tokens may be learned at all: those that are not 0.
pub trait OnlineWeights: std::fmt::Debug + Sync {
    /// One weight for each token of each of `examples`, from what the model says of them now.
    ///
    /// `current` has a value for each token that may be learned, and none for others. `step` counts optimizer steps from 0. Weights
    /// are constants to the gradient.
    ///
    /// # Errors
    /// Whatever keeps the weights from being made; the training then stops.
    fn weights(
        &self,
        examples: &[&Example],
        current: &[ModelSignals],
        step: usize,
    ) -> Result<Vec<Vec<f32>>>;

    /// Among how many most probable tokens [`ModelSignals::top_entropy`] is taken; `None` where it is not needed.
    fn top_entropy(&self) -> Option<usize> {
        None
    }
}
