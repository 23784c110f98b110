//! A data set as a model reads it: tokens, which of them are the answers', and what the model says of each.
//!
//! [`Scored`] is what rules of weights are applied to. [`Scored::mask`] gives [`Masked`](crate::masked::Masked), and that is trained on.
//! All of it is plain data; [`verbs::score`](crate::verbs::score) makes it.

mod span;

pub(crate) use span::carried;

use crate::dataset::{Example, Unusable};
use crate::error::{Error, Result};
#[cfg(feature = "tables")]
use crate::ledger::{self, Rows};
use crate::model::Checkpoint;
use crate::perplexity::{self, Summary, TokenScores};
use crate::select::{LossMask, ModelSignals, Signals, TokenClass, canonical};
use crate::stats;
use crate::task::Item;
use crate::tokens::{
    LongExample, Sequence, Sequences, Tokenizer, TooLong, sequences, usable_sequences,
};
#[cfg(feature = "tables")]
use polars::prelude::DataFrame;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{HashMap, HashSet};

/// A rendered data set, and what models say of its tokens. Lists have one entry for each sequence, and that has one for each token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Whose answers they are, such as `ground truth`.
    pub name: String,
    /// The items that were read; empty for a data set, whose rows have no grader.
    pub items: Vec<Item>,
    /// The conversations that were rendered.
    pub examples: Vec<Example>,
    /// Each example's tokens and the mask of its answer.
    pub sequences: Vec<Sequence>,
    /// What kind of text each token is.
    pub classes: Vec<Vec<TokenClass>>,
    /// What the model says of each token; empty until it is asked.
    pub scores: Vec<TokenScores>,
    /// What another model says of each token; empty unless one is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference: Vec<TokenScores>,
    /// Examples that are longer than the context.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub too_long: Vec<LongExample>,
    /// Examples that cannot be used, and were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<Unusable>,
}

/// How a data set becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rendering {
    /// The context that examples have to fit, in tokens.
    pub context: usize,
    /// What to do with longer ones.
    pub too_long: TooLong,
    /// Leaves out examples that cannot be rendered, and lists them, instead of refusing all.
    pub skip_unusable: bool,
}

/// One example token by token, as it is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenExample {
    /// The arm whose data it is from.
    #[serde(deserialize_with = "named")]
    pub arm: String,
    /// The item's id; the same item appears under several arms.
    pub item: String,
    /// Prompt, completion and template tokens in order.
    pub tokens: Vec<TokenView>,
}

/// One token of a [`TokenExample`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenView {
    /// The token's text.
    pub text: String,
    /// Whether it belongs to the completion.
    pub completion: bool,
    /// Whether it is learned.
    pub learned: bool,
    /// Whether it is a style token of the writer's (where that is known).
    pub style: bool,
    /// exp(surprisal) under the base model; `None` for the first token.
    pub perplexity: Option<f64>,
}

/// Reads an arm's name out of results, whatever version wrote them.
pub(crate) fn named<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    String::deserialize(from).map(|name| canonical(&name))
}

impl Scored {
    /// Renders `examples`, which no model has scored yet.
    ///
    /// # Errors
    /// An example cannot be used, or is too long, and `how` does not leave it out; none is left.
    pub fn rendered(
        name: &str,
        examples: Vec<Example>,
        tokenizer: &Tokenizer,
        how: Rendering,
    ) -> Result<Self> {
        let render = if how.skip_unusable { usable_sequences } else { sequences };
        let Sequences { sequences, too_long, unusable } =
            render(tokenizer, &examples, how.context, how.too_long)?;
        Ok(Self {
            name: name.to_owned(),
            classes: sequences.iter().map(|of| of.classes(tokenizer)).collect(),
            examples,
            sequences,
            too_long,
            unusable,
            ..Self::default()
        })
    }

    /// The same of items, which have graders; those that are left out are not among [`Scored::items`].
    ///
    /// # Errors
    /// There is no item; otherwise as [`Scored::rendered`].
    pub fn of_items(
        name: &str,
        items: &[Item],
        tokenizer: &Tokenizer,
        how: Rendering,
    ) -> Result<Self> {
        if items.is_empty() {
            return Err(Error::invalid("items", "there is none to score"));
        }
        let examples = items.iter().map(Example::from).collect();
        let rendered = Self::rendered(name, examples, tokenizer, how)?;
        let used: HashSet<&str> = rendered.sequences.iter().map(|of| of.id.as_str()).collect();
        let items = items.iter().filter(|item| used.contains(item.id.as_str())).cloned().collect();
        Ok(Self { items, ..rendered })
    }

    /// The tokens' numbers, as models are asked.
    pub fn ids(&self) -> Vec<&[u32]> {
        self.sequences.iter().map(|sequence| sequence.ids.as_slice()).collect()
    }

    /// The same with what `checkpoint` says of each token.
    pub(crate) fn with_scores(self, scores: Vec<TokenScores>, by: &Checkpoint) -> Result<Self> {
        for (sequence, scores) in self.sequences.iter().zip(&scores) {
            scores.check(by, &sequence.id)?;
        }
        Ok(Self { scores, ..self })
    }

    /// The same with what is known of each token already, as from a ledger.
    pub fn with_signals(self, signals: Vec<Signals>) -> Self {
        let all = |of: fn(Signals) -> Option<ModelSignals>| -> Vec<TokenScores> {
            signals.iter().cloned().filter_map(of).map(TokenScores::from).collect()
        };
        Self { scores: all(|of| of.base), reference: all(|of| of.reference), ..self }
    }

    /// The bare text of each answer, without template: the last answer of the conversation, or what is left of it where it was cut off.
    pub fn answers(&self) -> Vec<&str> {
        let whole: HashMap<&str, &Example> =
            self.examples.iter().map(|example| (example.id.as_str(), example)).collect();
        let cut: HashSet<&str> = self.too_long.iter().map(|long| long.id.as_str()).collect();
        let answer = |sequence: &Sequence| {
            let example =
                whole.get(sequence.id.as_str()).filter(|of| !cut.contains(of.id.as_str()));
            example.and_then(|example| example.conversation.completion())
        };
        let text = |sequence| answer(sequence).unwrap_or_else(|| sequence.completion_text());
        self.sequences.iter().map(text).collect()
    }

    /// What is known of each token of each sequence, as rules read it. What no model was asked is absent.
    pub fn signals(&self) -> Vec<Signals> {
        let signals = self.sequences.iter().enumerate().map(|(at, sequence)| Signals {
            completion: sequence.completion.clone(),
            given: sequence.weights.clone(),
            class: self.classes.get(at).cloned().unwrap_or_default(),
            base: self.scores.get(at).map(Into::into),
            current: None,
            reference: self.reference.get(at).map(Into::into),
        });
        signals.collect()
    }

    /// Weight 1 for each token of the answers: what may be learned at all.
    pub fn every_token(&self) -> Vec<Vec<f32>> {
        let ones = |sequence: &Sequence| {
            let completion = sequence.completion.as_slice().iter();
            completion.map(|own| f32::from(u8::from(*own))).collect()
        };
        self.sequences.iter().map(ones).collect()
    }

    /// Perplexity of each answer given its prompt: `exp(mean surprisal)`, end of turn included.
    pub fn perplexities(&self) -> Vec<Option<f64>> {
        perplexity::given_prompt(&self.sequences, &self.scores)
    }

    /// Mean over the items of `exp(mean surprisal of the answer, given the question)`: the paper's Table 1.
    pub fn perplexity(&self) -> f64 {
        let each: Vec<f64> = self.perplexities().into_iter().flatten().collect();
        stats::mean(&each).unwrap_or(f64::NAN)
    }

    /// All of it in a few numbers; `text_alone` has the perplexity of each bare answer ([`verbs::text_alone`](crate::verbs::text_alone)).
    pub fn summary(&self, text_alone: &[Option<f64>]) -> Summary {
        Summary::of(&self.sequences, &self.scores, text_alone)
    }

    /// Share of the answers' tokens whose perplexity is above `threshold`.
    pub fn share_above(&self, threshold: f64) -> f64 {
        let perplexities: Vec<f32> = self
            .sequences
            .iter()
            .zip(&self.scores)
            .flat_map(|(sequence, scores)| {
                let perplexity = scores.perplexity();
                let of_answer = sequence.completion.positions();
                of_answer.filter_map(|at| perplexity[at]).collect::<Vec<f32>>()
            })
            .collect();
        let above = perplexities.iter().filter(|p| f64::from(**p) > threshold);
        above.count() as f64 / perplexities.len().max(1) as f64
    }

    /// Where the writer's own style shows in sequence `at`; nowhere if that is not known.
    pub fn style(&self, at: usize) -> Vec<bool> {
        let sequence = &self.sequences[at];
        match self.items.get(at) {
            Some(item) => sequence.marked(&item.truth, &item.style),
            None => vec![false; sequence.len()],
        }
    }

    /// The same of all sequences; empty if no item says it.
    pub fn styles(&self) -> Vec<Vec<bool>> {
        match self.items.iter().all(|item| item.style.is_empty()) {
            true => Vec::new(),
            false => (0..self.sequences.len()).map(|at| self.style(at)).collect(),
        }
    }

    /// The tokens of item `at`, counted from 0, all of its answer learned.
    ///
    /// # Errors
    /// There are fewer items.
    pub fn tokens(&self, at: usize) -> Result<TokenExample> {
        let mask = self.sequences.get(at).map(|sequence| sequence.completion.clone());
        self.masked_tokens(at, &mask.unwrap_or_default())
    }

    /// The tokens of item `at`, counted from 0, of which `mask` says which are learned.
    pub(crate) fn masked_tokens(&self, at: usize, mask: &LossMask) -> Result<TokenExample> {
        let Some(sequence) = self.sequences.get(at) else {
            let problem =
                format!("there is no number {at}, only 0 to {}", self.sequences.len() - 1);
            return Err(Error::invalid("item", problem));
        };
        let (perplexity, style) = (self.scores[at].perplexity(), self.style(at));
        let view = |position: usize| TokenView {
            text: sequence.token_text(position).to_string(),
            completion: sequence.completion.learns(position),
            learned: mask.learns(position),
            style: style[position],
            perplexity: perplexity[position].map(f64::from),
        };
        Ok(TokenExample {
            arm: self.name.clone(),
            item: sequence.id.clone(),
            tokens: (0..sequence.len()).map(view).collect(),
        })
    }
}

#[cfg(feature = "tables")]
impl Scored {
    /// One row for each token, with the columns of a [ledger]; every token of an answer weighs 1.
    ///
    /// # Errors
    /// No model was asked yet.
    pub fn frame(&self) -> Result<DataFrame> {
        self.frame_of(&self.every_token())
    }

    pub(crate) fn frame_of(&self, weights: &[Vec<f32>]) -> Result<DataFrame> {
        ledger::frame(&self.rows(&self.styles(), weights))
    }

    /// As a ledger is written, with where the writer's style shows ([`Scored::styles`]) and one weight for each token.
    pub fn rows<'a>(&'a self, style: &'a [Vec<bool>], weights: &'a [Vec<f32>]) -> Rows<'a> {
        Rows {
            sequences: &self.sequences,
            scores: &self.scores,
            reference: &self.reference,
            classes: &self.classes,
            style,
            weights,
        }
    }
}
