//! What a benchmark asks, and how an answer is graded.
//!
//! An [`Item`] is one question with its reference answer and what is needed to grade an answer. [`Item::grade`] returns a
//! [`Score`] that tells a wrong answer from a lost form: much of what is called forgetting may be lost form.

use serde::{Deserialize, Serialize};

/// One question of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Unique within its task and split, such as `code/train/17`.
    pub id: String,
    /// What the user asks: the content of the one user turn.
    pub prompt: String,
    /// The reference answer, as a person wrote it: the content of the assistant's turn.
    pub truth: String,
    /// Where in `truth` the writer's own style shows, as ranges of bytes `[start, end)`: text that another writer with the same
    /// content would have put otherwise. Empty where it is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub style: Vec<(usize, usize)>,
    /// What a right answer has to do.
    pub check: Check,
}

/// What a right answer has to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// The last integer or fraction after `Answer:`.
    Number {
        /// The exact value, such as `-3` or `5/2`.
        value: String,
    },
}

/// Whether an answer keeps the form in which it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// An answer was found where it belongs.
    Kept,
    /// There is text, but no answer where it belongs.
    NoParse,
    /// The answer ran into the length limit before an answer was found.
    Truncated,
    /// Nothing but white space.
    Empty,
}

/// The grade of one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// 1 for a right answer in the right form, else 0.
    pub value: f64,
    /// 1 if the right answer is there in any form, else 0: the ability apart from the form. Never below `value`.
    pub skill: f64,
    /// Whether the form was kept.
    pub form: Form,
    /// What was taken for the answer.
    pub extracted: Option<String>,
    /// One sentence that says why this grade.
    pub why: String,
}
