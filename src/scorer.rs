//! What models say of the tokens of a data set, as rules of weights read it.
//!
//! A scorer need not split a text as the trainee does: what it says of a text is carried over by character spans
//! ([`carry_over`]), answer by answer, since two chat templates agree on nothing but the answers.

use crate::chat::Role;
use crate::context::Context;
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::model::Checkpoint;
use crate::perplexity::TokenScores;
use crate::select::{ModelSignals, Signals, TokenClass, Weighting, carry_over};
use crate::tokens::{Sequence, Tokenizer, sequence};
use crate::verbs;
use std::collections::HashMap;
use std::ops::Range;

/// The signals of each sequence: `class` has the classes of its tokens, `base` and `reference` what these models say of them. Lists that
/// were not computed are empty.
pub fn signals(
    sequences: &[Sequence],
    class: &[Vec<TokenClass>],
    base: &[TokenScores],
    reference: &[TokenScores],
) -> Vec<Signals> {
    let signals = sequences.iter().enumerate().map(|(at, sequence)| Signals {
        completion: sequence.completion.clone(),
        class: class.get(at).cloned().unwrap_or_default(),
        base: base.get(at).map(ModelSignals::from),
        current: None,
        reference: reference.get(at).map(ModelSignals::from),
    });
    signals.collect()
}

/// Scores `sequences` under `scorer`, which may split texts in its own way. They were rendered from `examples` with the tokenizer
/// `trainee`; `label` names the result's folder for people.
///
/// With the same tokenizer and template the scorer reads the same tokens. Otherwise it reads each conversation in its own template, its
/// surprisal is carried over to the trainee's tokens of each answer, and the end of a turn gets that of the scorer's; there is no entropy and
/// no rank then, and no value for tokens that are part of neither.
///
/// # Errors
/// When the scorer cannot be read, an example is longer than its context, or an answer does not stand in the rendered text as it is.
pub fn score(
    cx: &Context,
    scorer: &Checkpoint,
    label: &str,
    trainee: &Tokenizer,
    examples: &[Example],
    sequences: &[Sequence],
) -> Result<Vec<TokenScores>> {
    let own = cx.tokenizer(scorer)?;
    let context = scorer.config()?.max_position_embeddings;
    let alike = own.fingerprint() == trainee.fingerprint();
    let by_id: HashMap<&str, &Example> = examples.iter().map(|e| (e.id.as_str(), e)).collect();
    let example = |of: &Sequence| {
        by_id.get(of.id.as_str()).copied().ok_or_else(|| {
            Error::invalid(
                &of.id,
                "has no conversation from which the scorer could render it",
            )
        })
    };
    let read: Vec<Sequence> = match alike {
        true => sequences.to_vec(),
        false => sequences
            .iter()
            .map(|of| sequence(&own, example(of)?))
            .collect::<Result<_>>()?,
    };
    if let Some(long) = read.iter().find(|sequence| sequence.len() > context) {
        let problem = format!(
            "has {} tokens for the scorer, whose context is {context}; leave it out, or take another scorer",
            long.len()
        );
        return Err(Error::invalid(&long.id, problem));
    }
    let ids: Vec<&[u32]> = read
        .iter()
        .map(|sequence| sequence.ids.as_slice())
        .collect();
    let scores = verbs::score(cx, scorer, label, &ids)?;
    for (sequence, scores) in read.iter().zip(&scores) {
        scores.check(scorer, &sequence.id)?;
    }
    if alike {
        return Ok(scores);
    }
    let pairs = sequences.iter().zip(read.iter().zip(&scores));
    pairs
        .map(|(of, (read, scores))| carried(example(of)?, of, read, scores))
        .collect()
}

/// The scores of `read`, on the tokens of `onto`: both are `example`, each in the template of its tokenizer.
fn carried(
    example: &Example,
    onto: &Sequence,
    read: &Sequence,
    scores: &TokenScores,
) -> Result<TokenScores> {
    let mut log_prob = vec![None; onto.len()];
    let messages = example.conversation.messages.iter();
    let answers = messages.filter(|message| message.role == Role::Assistant);
    let mut places = (0, 0);
    for answer in answers {
        let answer = answer.content.trim();
        let (Some(here), Some(there)) = (
            Answer::find(onto, answer, places.0),
            Answer::find(read, answer, places.1),
        ) else {
            let problem = "an answer does not stand in the rendered text as it is, so that it cannot be carried over to other tokens; \
                           is it cut off, or does the template change it?";
            return Err(Error::invalid(&onto.id, problem));
        };
        places = (here.text.end, there.text.end);
        let surprisal = |at: usize| scores.log_prob[at].map(|log_prob| -log_prob);
        let scored: Vec<(Range<usize>, Option<f32>)> = there
            .tokens
            .iter()
            .map(|(at, span)| (span.clone(), surprisal(*at)))
            .collect();
        let spans: Vec<Range<usize>> = here.tokens.iter().map(|(_, span)| span.clone()).collect();
        for ((at, _), value) in here.tokens.iter().zip(carry_over(&scored, &spans)) {
            log_prob[*at] = value.map(|surprisal| -surprisal);
        }
        if let (Some(end), Some(of)) = (here.end, there.end) {
            log_prob[end] = scores.log_prob[of];
        }
    }
    Ok(TokenScores {
        entropy: vec![None; log_prob.len()],
        rank: vec![None; log_prob.len()],
        log_prob,
    })
}

/// Where an answer stands in a sequence.
struct Answer {
    /// Its bytes in the rendered text.
    text: Range<usize>,
    /// The tokens of it, with their characters counted from its first one. What a token has outside the answer is the template's.
    tokens: Vec<(usize, Range<usize>)>,
    /// The token that ends its turn.
    end: Option<usize>,
}

impl Answer {
    /// The first place after byte `from` at which `text` stands in the completion of `sequence`.
    fn find(sequence: &Sequence, text: &str, from: usize) -> Option<Self> {
        let of_completion = sequence.completion.positions();
        let first = of_completion
            .map(|at| sequence.spans[at].clone())
            .find(|span| span.end > from && !span.is_empty())?;
        let from = first.start.max(from);
        let start = from + sequence.text.get(from..)?.find(text)?;
        let text = start..start + text.len();
        let characters = |byte: usize| {
            let byte = byte.clamp(text.start, text.end);
            sequence.text[text.start..byte].chars().count()
        };
        let within = |at: &usize| {
            let span = &sequence.spans[*at];
            span.start < text.end && span.end > text.start
        };
        let tokens: Vec<(usize, Range<usize>)> = sequence
            .completion
            .positions()
            .filter(within)
            .map(|at| {
                let span = &sequence.spans[at];
                (at, characters(span.start)..characters(span.end))
            })
            .collect();
        let last = tokens.last().map_or(0, |(at, _)| *at);
        let ends = |at: &usize| *at > last && Some(sequence.ids[*at]) == sequence.end_of_turn;
        let end = sequence.completion.positions().find(ends);
        Some(Self { text, tokens, end })
    }
}

/// Weights that follow the model while it learns: the rule, with everything of its signals that does not change.
#[derive(Debug, Clone)]
pub struct Following {
    weighting: Weighting,
    signals: HashMap<String, Signals>,
    seed: u64,
}

impl Following {
    /// `signals` has those of each example by its name, without the current model's.
    pub fn new(weighting: Weighting, signals: HashMap<String, Signals>, seed: u64) -> Self {
        Self {
            weighting,
            signals,
            seed,
        }
    }

    /// One weight for each token of the examples named `ids`, from what the model says of them at optimiser step `step`.
    ///
    /// # Errors
    /// When an example is not known, and those of [`Weighting::weights`].
    pub fn weights(
        &self,
        ids: &[&str],
        current: &[ModelSignals],
        step: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let known = ids.iter().zip(current).map(|(id, current)| {
            let unknown = || Error::invalid(*id, "has no signals to make weights of");
            let signals = self.signals.get(*id).ok_or_else(unknown)?;
            Ok(Signals {
                current: Some(current.clone()),
                ..signals.clone()
            })
        });
        let known = known.collect::<Result<Vec<_>>>()?;
        self.weighting
            .weights(&known, self.seed.wrapping_add(step as u64))
    }
}
