//! From text to ids, and back.
//!
//! A [`Tokenizer`] is a folder's `tokenizer.json` with what stands around it: the special tokens and the [`ChatTemplate`], which
//! [`TemplateOptions`] give a date and variables.
//! [`sequence`] turns a conversation into a [`Sequence`]: its ids, and the mask that says which of them the assistant wrote.
//! [`prompt`] turns a question into the ids after which a model writes.
//! [`continuation`] turns a text and what may follow it into ids, for the likelihood of the second.
//! [`train_bpe`] makes a new tokenizer.
//!
//! The trap is the place where prompt and completion meet. Counting the tokens of the prompt alone is wrong whenever a token
//! reaches across that place, so the mask is made from offsets in the rendered text, and then the ids of the prompt must be
//! the beginning of the ids of the whole. Where they are not, there is an error, not a shifted mask.

mod added;
mod asked;
mod date;
mod sequence;
mod template;
mod tokenizer;
mod train;
mod turn;
mod unread;

#[cfg(test)]
mod tests;

pub use date::DateTime;
pub use sequence::{
    Form, LongExample, Prompt, Sequence, Sequences, TooLong, continuation, document, prompt,
    sequence, sequences, usable_sequences,
};
pub use template::{ChatTemplate, Rendered, TemplateOptions};
pub use tokenizer::{Encoding, SpecialToken, Tokenizer, TurnEnd};
pub use train::{BpeTraining, train_bpe};
