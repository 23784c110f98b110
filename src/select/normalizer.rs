use serde::{Deserialize, Serialize};

/// What the weighted sum of surprisals of one optimizer step is divided by. Same mask, four effective learning rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalizer {
    /// Tokens whose weight is not 0, as transformers does with labels of -100: the paper's.
    #[default]
    Kept,
    /// All completion tokens, masked ones too.
    Completion,
    /// The sum of the weights.
    Weights,
    /// Examples.
    Batch,
}

impl Normalizer {
    /// Every one, with the name that recipes, options and [`Weighting`](super::Weighting) share.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("kept", Self::Kept),
        ("completion", Self::Completion),
        ("weights", Self::Weights),
        ("batch", Self::Batch),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}
