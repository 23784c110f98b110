//! What models say of the tokens of an example: the signals from which token weights are made, and what kind of text a token is.

use serde::{Deserialize, Serialize};

/// What one model says of each token of one sequence; nothing of the first token, which has no context, nor of tokens that were not
/// asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelSignals {
    /// `ln p(token | all before)`.
    pub log_prob: Vec<Option<f32>>,
    /// Entropy of the next-token distribution, in nats.
    pub entropy: Vec<Option<f32>>,
    /// Tokens that would have been more probable.
    pub rank: Vec<Option<u32>>,
    /// Entropy among the most probable tokens, in nats.
    pub top_entropy: Option<Vec<Option<f32>>>,
}

/// What kind of text a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenClass {
    /// Has a letter.
    Words,
    /// Has a digit and no letter.
    Numbers,
    /// Has neither, but something that is seen.
    Symbols,
    /// Nothing but white space.
    Whitespace,
    /// The token with which an answer ends.
    EndOfTurn,
}

impl TokenClass {
    /// The class of a token by its `text`.
    pub fn of(text: &str) -> Self {
        if text.chars().any(char::is_alphabetic) {
            Self::Words
        } else if text.chars().any(char::is_numeric) {
            Self::Numbers
        } else if text.chars().all(char::is_whitespace) {
            Self::Whitespace
        } else {
            Self::Symbols
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Numbers => "numbers",
            Self::Symbols => "symbols",
            Self::Whitespace => "whitespace",
            Self::EndOfTurn => "end_of_turn",
        }
    }
}
