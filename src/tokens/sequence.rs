//! A conversation as ids and loss mask, built together.

use super::turn::open_tag;
use super::{ChatTemplate, Encoding, Tokenizer, TurnEnd};
use crate::chat::{Conversation, Message, Role};
use crate::dataset::{Example, Kind, Tokens, Unusable};
use crate::error::{Error, Result, Word};
use crate::select::{LossMask, TokenClass};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The ids and the loss mask of one rendered example. `ids`, `spans` and `completion` have one entry for each token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    /// The example it was made from.
    pub id: String,
    /// The rendered text, special tokens included as the template writes them.
    pub text: String,
    /// The tokens' numbers.
    pub ids: Vec<u32>,
    /// Where each token stands in `text`, in bytes; see [`Encoding::spans`].
    pub spans: Vec<Range<usize>>,
    /// The tokens that the assistant wrote, the one that ends its turn included, but for those that the data say are not to be learned.
    pub completion: LossMask,
    /// How much the data say that each token is learned, one for each; empty where each weighs 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f32>,
    /// Number of tokens before the last answer: what [`prompt`] gives for the same conversation.
    pub prompt_tokens: usize,
    /// How the conversation became a text.
    pub form: Form,
    /// The token that ends the last answer; `None` if the form has none, and then a model trained on it does not learn to
    /// stop.
    pub end_of_turn: Option<u32>,
}

/// How a conversation becomes a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// By the model's chat template.
    Chat,
    /// The model has no chat template: the prompt (its messages one after the other, a blank line between them), a new line
    /// unless the prompt ends in white space, the completion, and the token that ends a text. The tokenizer's BOS comes first
    /// if it has one. Where a token would reach from the prompt into the completion, the two are split into tokens apart.
    Plain,
}

/// A rendered prompt: the model writes what comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The rendered text, up to where the answer begins.
    pub text: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// How the messages became a text.
    pub form: Form,
}

/// What to do with examples that are longer than the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TooLong {
    /// Stop with an error that names them.
    #[default]
    Refuse,
    /// Leave them out, and list them.
    Drop,
    /// Cut off what does not fit at the end, and list them. Such an answer has no end, and one of which nothing is left is left
    /// out.
    Truncate,
}

/// Rendered examples, and which of them were too long.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sequences {
    /// Those that can be used, in the order of the data.
    pub sequences: Vec<Sequence>,
    /// Those that did not fit, in the order of the data.
    pub too_long: Vec<LongExample>,
    /// Those that cannot be rendered; none, unless [`usable_sequences`] made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<Unusable>,
}

/// An example that is longer than the context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongExample {
    /// Its place in the data, from 0.
    pub index: usize,
    /// Its name.
    pub id: String,
    /// Its length in tokens.
    pub tokens: usize,
    /// Whether a shortened form of it is among the sequences.
    pub truncated: bool,
}

/// Renders `example` and says which of its tokens the assistant wrote.
///
/// Every answer of the conversation is part of the completion, with the special token that ends it. For each, the ids of what
/// comes before it, rendered alone with the opening of the answer, must be the beginning of all ids: what the model is trained
/// on is then what it is asked for. Where that does not hold, or the template does not agree, there is an error that says
/// which example it is and why.
///
/// A document is rendered by [`document()`], and tokens stay as they are. What the data say is not to be learned is not part of the
/// completion.
pub fn sequence(tokenizer: &Tokenizer, example: &Example) -> Result<Sequence> {
    let named = |error| name_example(error, &example.id);
    let mut sequence = match (&example.kind, tokenizer.template()) {
        (Kind::Tokens(tokens), _) => given_tokens(tokenizer, &example.id, tokens).map_err(named)?,
        (Kind::Document, _) => {
            let text = example.conversation.completion().unwrap_or_default();
            document(tokenizer, &example.id, text)?
        }
        (Kind::Conversation, template) => {
            example.conversation.check_for_training().map_err(named)?;
            match template {
                Some(template) => chat_sequence(tokenizer, template, example),
                None => plain_sequence(tokenizer, example),
            }
            .map_err(named)?
        }
    };
    sequence.weigh(0..sequence.len(), example.weight);
    Ok(sequence)
}

/// Renders many examples; see [`sequence`]. `context` is the greatest length in tokens.
///
/// # Errors
/// Some cannot be rendered: the first with its reason, and the names of the others. Some are too long, and `too_long` refuses them.
pub fn sequences(
    tokenizer: &Tokenizer,
    examples: &[Example],
    context: usize,
    too_long: TooLong,
) -> Result<Sequences> {
    render(tokenizer, examples, context, too_long, false)
}

/// As [`sequences`], but examples that cannot be rendered are left out and listed.
///
/// # Errors
/// None can be rendered. Some are too long, and `too_long` refuses them.
pub fn usable_sequences(
    tokenizer: &Tokenizer,
    examples: &[Example],
    context: usize,
    too_long: TooLong,
) -> Result<Sequences> {
    render(tokenizer, examples, context, too_long, true)
}

fn render(
    tokenizer: &Tokenizer,
    examples: &[Example],
    context: usize,
    too_long: TooLong,
    skip: bool,
) -> Result<Sequences> {
    let rendered: Vec<Result<Sequence>> =
        examples.par_iter().map(|example| sequence(tokenizer, example)).collect();
    let mut result = Sequences::default();
    let mut first = None;
    for (index, sequence) in rendered.into_iter().enumerate() {
        let mut sequence = match sequence {
            Ok(sequence) => sequence,
            Err(error) => {
                let (id, problem) = (examples[index].id.clone(), error.to_string());
                result.unusable.push(Unusable { id, problem });
                first.get_or_insert(error);
                continue;
            }
        };
        let tokens = sequence.ids.len();
        if tokens <= context {
            result.sequences.push(sequence);
            continue;
        }
        let id = sequence.id.clone();
        sequence.truncate(context);
        let truncated = too_long == TooLong::Truncate && sequence.completion.learned() > 0;
        if truncated {
            result.sequences.push(sequence);
        }
        result.too_long.push(LongExample { index, id, tokens, truncated });
    }
    if let Some(first) = first
        && (!skip || result.unusable.len() == examples.len())
    {
        return Err(with_others(first, &result.unusable, examples.len()));
    }
    if too_long == TooLong::Refuse && !result.too_long.is_empty() {
        let longest = result.too_long.iter().map(|long| long.tokens).max();
        let names: Vec<String> =
            result.too_long.iter().take(3).map(|long| Word(&long.id).to_string()).collect();
        let more = if result.too_long.len() > 3 { ", …" } else { "" };
        return Err(Error::invalid(
            "context",
            format!(
                "{} of {} examples are longer than {context} tokens (the longest has {}): {}{more}; allow a longer context, or say that they be dropped or truncated",
                result.too_long.len(),
                examples.len(),
                longest.unwrap_or(0),
                names.join(", "),
            ),
        ));
    }
    Ok(result)
}

/// Renders `messages` up to where the assistant's answer begins.
pub fn prompt(tokenizer: &Tokenizer, messages: &[Message]) -> Result<Prompt> {
    Conversation::new(messages.to_vec()).check_for_generation()?;
    let (text, form) = match tokenizer.template() {
        Some(template) => (template.render(messages, true)?, Form::Chat),
        None => (plain_prompt(messages), Form::Plain),
    };
    let ids = match form {
        Form::Chat => tokenizer.encode(&text, false)?.ids,
        Form::Plain => plain_encode(tokenizer, &text)?.ids,
    };
    Ok(Prompt { text, ids, form })
}

/// The ids of a text and of what follows it, and where the second begins.
///
/// Both are split into tokens together, and cut where the tokens of `context` alone end. White space at the end of `context` counts as
/// the beginning of `continuation`. A context without tokens is the token that begins, or else ends, a text. This is how
/// lm-evaluation-harness 0.4.13 does it (`TemplateLM._encode_pair` and `loglikelihood` in `lm_eval/api/model.py`).
///
/// # Errors
/// Nothing of `continuation` is left behind the tokens of `context`.
pub fn continuation(
    tokenizer: &Tokenizer,
    context: &str,
    continuation: &str,
) -> Result<(Vec<u32>, usize)> {
    let trimmed = context.trim_end();
    let whole = format!("{context}{continuation}");
    let before = match trimmed.is_empty() {
        true => Vec::new(),
        false => plain_encode(tokenizer, trimmed)?.ids,
    };
    let (ids, from) = match before.is_empty() {
        false => (plain_encode(tokenizer, &whole)?.ids, before.len()),
        true => {
            let first = tokenizer.bos().or(tokenizer.eos()).ok_or_else(|| {
                let problem = "has neither a bos_token nor an eos_token, and without one the first token of a text has no likelihood";
                Error::file(tokenizer.folder().join("tokenizer_config.json"), problem)
            })?;
            let mut ids = tokenizer.encode(&whole, false)?.ids;
            if ids.first() != Some(&first.id) {
                ids.insert(0, first.id);
            }
            (ids, 1)
        }
    };
    if ids.len() <= from {
        let problem = format!(
            "{:?} adds no token to what stands before it, so that it has no likelihood",
            excerpt(continuation)
        );
        return Err(Error::invalid("option", problem));
    }
    Ok((ids, from))
}

/// A text that is no conversation, as a model is pre-trained on it: BOS if the tokenizer has one, the text, the token that
/// ends a text. All of it but BOS is learned from.
pub fn document(tokenizer: &Tokenizer, id: &str, text: &str) -> Result<Sequence> {
    let Encoding { ids, spans } =
        plain_encode(tokenizer, text).map_err(|error| name_example(error, id))?;
    let added = usize::from(spans.first().is_some_and(Range::is_empty));
    let mut sequence = Sequence {
        id: id.to_string(),
        text: text.to_string(),
        completion: (0..ids.len()).map(|token| token >= added).collect(),
        weights: Vec::new(),
        ids,
        spans,
        prompt_tokens: added,
        form: Form::Plain,
        end_of_turn: None,
    };
    sequence.end(tokenizer)?;
    Ok(sequence)
}

impl Sequence {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The part of the text that token `position` stands for.
    pub fn token_text(&self, position: usize) -> &str {
        // Spans begin and end at characters, see `Encoding::spans`.
        self.text.get(self.spans[position].clone()).unwrap_or_default()
    }

    /// The text of the last answer, without the token that ends it.
    pub fn completion_text(&self) -> &str {
        let tokens = self.prompt_tokens..self.ids.len();
        let start = self.spans.get(self.prompt_tokens).map_or(self.text.len(), |span| span.start);
        let end = tokens
            .filter(|token| {
                self.completion.learns(*token) && Some(self.ids[*token]) != self.end_of_turn
            })
            .map(|token| self.spans[token].end)
            .max();
        self.text.get(start..end.unwrap_or(start)).unwrap_or_default()
    }

    fn truncate(&mut self, length: usize) {
        self.ids.truncate(length);
        self.spans.truncate(length);
        self.weights.truncate(length);
        self.completion = self.completion.as_slice()[..length.min(self.completion.len())]
            .iter()
            .copied()
            .collect();
        self.end_of_turn = None;
    }

    /// Where `spans` of `answer`, in bytes, stand in the tokens; nowhere if the answer does not stand in the text as it is.
    pub fn marked(&self, answer: &str, spans: &[(usize, usize)]) -> Vec<bool> {
        let Some(offset) = self.text.rfind(answer) else {
            return vec![false; self.len()];
        };
        let marked = |span: &Range<usize>| {
            let mut spans = spans.iter();
            spans.any(|(from, to)| span.start < offset + to && offset + from < span.end)
        };
        self.spans.iter().map(marked).collect()
    }

    /// What kind of text each token is; the token that ends a turn is known by its number, special tokens by `tokenizer`.
    pub fn classes(&self, tokenizer: &Tokenizer) -> Vec<TokenClass> {
        let class = |(at, id): (usize, &u32)| {
            if self.end_of_turn == Some(*id) {
                TokenClass::EndOfTurn
            } else {
                TokenClass::of(self.token_text(at), tokenizer.is_special(*id))
            }
        };
        self.ids.iter().enumerate().map(class).collect()
    }

    /// Ends a plain text with the tokenizer's end of text.
    fn end(&mut self, tokenizer: &Tokenizer) -> Result<()> {
        let Some(eos) = tokenizer.eos() else { return Ok(()) };
        tokenizer.check(&[eos.id])?;
        let end = self.text.len();
        self.ids.push(eos.id);
        self.spans.push(end..end);
        self.completion = (self.completion.as_slice().iter().copied()).chain([true]).collect();
        self.end_of_turn = Some(eos.id);
        Ok(())
    }

    /// Multiplies what the data say of `tokens` by `weight`; tokens of weight 0 leave the completion.
    fn weigh(&mut self, tokens: Range<usize>, weight: f32) {
        if weight == 0.0 {
            self.completion = self.completion.keep_where(|token| !tokens.contains(&token));
        } else if weight != 1.0 {
            self.weights.resize(self.ids.len(), 1.0);
            self.weights[tokens].iter_mut().for_each(|of| *of *= weight);
        }
    }
}

/// What a trainer elsewhere would read as it is.
fn given_tokens(tokenizer: &Tokenizer, id: &str, tokens: &Tokens) -> Result<Sequence> {
    let Tokens { ids, weights } = tokens;
    let known = tokenizer.vocab_size();
    if let Some(unknown) = ids.iter().find(|id| **id as usize >= known) {
        let problem = format!(
            "holds the token {unknown}, but the model's tokenizer has {known}; were the tokens made by another one?"
        );
        return Err(Error::invalid("input_ids", problem));
    }
    if ids.len() != weights.len() {
        let problem = format!("has {} weights for {} tokens", weights.len(), ids.len());
        return Err(Error::invalid("input_ids", problem));
    }
    let pieces: Vec<String> = ids.iter().map(|id| tokenizer.piece(*id)).collect();
    let text = pieces.concat();
    let encoded = tokenizer.encode(&text, false)?;
    let spans = if encoded.ids == *ids {
        encoded.spans
    } else {
        // other pieces than the tokenizer would make, or half a character
        let mut end = 0;
        let spans = pieces.iter().map(|piece| {
            let start = end;
            end += piece.len();
            start..end
        });
        spans.collect()
    };
    let learned = |token: &usize| weights[*token] != 0.0;
    let tokens = 0..ids.len();
    let last = tokens.clone().rev().find(learned);
    let end_of_turn = last.map(|last| ids[last]).filter(|id| tokenizer.is_special(*id));
    // the last run of learned tokens is taken for the answer
    let begin = last.map_or(ids.len(), |last| {
        (0..last).rev().find(|token| !learned(token)).map_or(0, |before| before + 1)
    });
    let mut sequence = Sequence {
        id: id.to_string(),
        text,
        ids: ids.clone(),
        spans,
        completion: tokens.map(|token| learned(&token)).collect(),
        weights: Vec::new(),
        prompt_tokens: begin,
        form: Form::Plain,
        end_of_turn,
    };
    if weights.iter().any(|weight| ![0.0, 1.0].contains(weight)) {
        sequence.weights = weights.clone();
    }
    Ok(sequence)
}

fn chat_sequence(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    example: &Example,
) -> Result<Sequence> {
    let Conversation { messages, variables } = &example.conversation;
    let rendered = template.render_marked(messages, variables)?;
    let text = rendered.text;
    check_written(template, &example.conversation, &text)?;
    let Encoding { ids, spans } = tokenizer.encode(&text, false)?;
    if let Some(bos) = tokenizer.bos()
        && ids.starts_with(&[bos.id, bos.id])
    {
        return Err(Error::file(
            template.path(),
            format!("the chat template writes {} twice at the beginning", bos.text),
        ));
    }

    // A mark that is no token of its own can reach into the answer's last token: it is learned whole, never by half.
    let mark = match tokenizer.turn_end() {
        Some(TurnEnd::Text(mark, _)) if rendered.generation.is_empty() => Some(mark),
        _ => None,
    };
    let mut learned = vec![false; ids.len()];
    let (mut prompt_tokens, mut end_of_turn) = (ids.len(), None);
    // where each answer that is learned begins, and how much it is learned
    let mut answers: Vec<(usize, f32)> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if message.role != Role::Assistant || message.weight()? == 0.0 {
            continue;
        }
        let opening = template.render_with(&messages[..index], variables, true)?;
        let tokens = tokenizer.encode(&opening, false)?.ids;
        let place = Place { tokenizer, message: index + 1, messages: messages.len() };
        place.check_text(&text, &opening)?;
        place.check_blocks(&rendered.generation, &text, opening.len())?;
        place.check_ids(&ids, &tokens)?;
        prompt_tokens = tokens.len();
        end_of_turn = None;
        answers.push((prompt_tokens, message.weight()?));
        if !message.is_plain() {
            let through = template.render_with(&messages[..=index], variables, false)?;
            let end = place.end_of_message(&text, opening.len(), &through, message)?;
            let within = |token: &usize| spans[*token].start < end;
            let turn = (prompt_tokens..ids.len()).take_while(within);
            let last = turn.clone().filter(|token| tokenizer.ends_turns(ids[*token])).last();
            end_of_turn = last.map(|last| ids[last]);
            if let Some(last) = last.or(turn.last()) {
                learned[prompt_tokens..=last].fill(true);
            }
            continue;
        }
        let end = place.end_of_content(&text, opening.len(), &message.content)?;
        let end = end + mark.as_deref().map_or(0, |mark| reach(&text[end..], mark));
        for token in prompt_tokens..ids.len() {
            if spans[token].start < end {
                learned[token] = true;
            } else if tokenizer.ends_turns(ids[token]) {
                // White space between the answer and the end of the turn has to be written by the model, too.
                learned[prompt_tokens..=token].fill(true);
                end_of_turn = Some(ids[token]);
                break;
            } else if !text[spans[token].clone()].trim().is_empty() {
                break;
            }
        }
    }
    let mut blocks = rendered.generation;
    if answers.len() < messages.iter().filter(|m| m.role == Role::Assistant).count() {
        // blocks of answers that are not to be learned
        let overlaps = |block: &Range<usize>| {
            let tokens = spans.iter().zip(&learned).filter(|(_, learned)| **learned);
            tokens.into_iter().any(|(span, _)| span.start < block.end && block.start < span.end)
        };
        blocks.retain(overlaps);
    }
    if !blocks.is_empty() {
        follow_generation_blocks(&mut learned, &blocks, &text, &ids, &spans, tokenizer)?;
    }
    let mut sequence = Sequence {
        id: example.id.clone(),
        text,
        ids,
        spans,
        completion: LossMask::new(learned),
        weights: Vec::new(),
        prompt_tokens,
        form: Form::Chat,
        end_of_turn,
    };
    let ends = answers.iter().skip(1).map(|(start, _)| *start).chain([sequence.len()]);
    for ((start, weight), end) in answers.iter().zip(ends.collect::<Vec<_>>()) {
        sequence.weigh(*start..end, *weight);
    }
    Ok(sequence)
}

/// Refuses a conversation of which the template leaves something out: it writes the same text without it.
fn check_written(template: &ChatTemplate, conversation: &Conversation, text: &str) -> Result<()> {
    let Conversation { messages, variables } = conversation;
    let refuse = |key: &str| {
        let problem = format!(
            "is not written by the model's chat template ({}), so it would be lost; take it out of the data, or take a model whose template writes it",
            template.path().display()
        );
        Err(Error::invalid(key, problem))
    };
    let mut seen: Vec<&[&str]> = Vec::new();
    for keys in messages.iter().flat_map(Message::written) {
        if seen.contains(&keys) {
            continue;
        }
        seen.push(keys);
        let without = |message: &Message| {
            let mut message = message.clone();
            message.given.retain(|key, _| !keys.contains(&key.as_str()));
            message
        };
        let without: Vec<Message> = messages.iter().map(without).collect();
        let same =
            template.render_with(&without, variables, false).is_ok_and(|other| other == text);
        if same {
            let named = |key: &&&str| messages.iter().any(|m| m.given.contains_key(**key));
            return refuse(keys.iter().find(named).unwrap_or(&keys[0]));
        }
    }
    if let Some(at) = unwritten(template, conversation, text) {
        let (number, count) = (at + 1, messages.len());
        return refuse(&format!("content of message {number} of {count} ({})", messages[at].role));
    }
    for key in ["tools", "documents"] {
        let given = variables.get(key).and_then(|list| list.as_array());
        if given.is_none_or(Vec::is_empty) {
            continue;
        }
        let mut fewer = variables.clone();
        fewer.remove(key);
        if template.render_with(messages, &fewer, false).is_ok_and(|other| other == text) {
            return refuse(key);
        }
    }
    Ok(())
}

/// The first message that is no answer, and with another content of which the template writes the same text.
fn unwritten(template: &ChatTemplate, conversation: &Conversation, text: &str) -> Option<usize> {
    /// Shorter ones may stand in a text by chance.
    const LONG: usize = 16;
    let Conversation { messages, variables } = conversation;
    let other = |at: usize| {
        let mut messages = messages.clone();
        let message = &mut messages[at];
        message.content.push_str(" zqx");
        if let Some(content) = message.given.get_mut("content") {
            *content = message.content.as_str().into();
        }
        template.render_with(&messages, variables, false)
    };
    messages.iter().enumerate().position(|(at, message)| {
        let said = message.content.trim();
        let written = said.len() >= LONG && text.contains(said);
        // answers and parts are looked for elsewhere
        let asked = message.role != Role::Assistant && message.parts().is_none();
        asked && !said.is_empty() && !written && other(at).is_ok_and(|other| other == text)
    })
}

/// How far `mark` reaches in the text behind an answer; 0 if it does not stand there.
fn reach(after: &str, mark: &str) -> usize {
    let blank = after.len() - after.trim_start().len();
    if after[blank..].starts_with(mark) { blank + mark.len() } else { 0 }
}

/// One answer in a rendered conversation, for checks that explain themselves.
struct Place<'a> {
    tokenizer: &'a Tokenizer,
    /// Counted from 1.
    message: usize,
    messages: usize,
}

impl Place<'_> {
    fn problem(&self, problem: String) -> Error {
        Error::invalid(format!("answer in message {} of {}", self.message, self.messages), problem)
    }

    /// The text before the answer is the beginning of the whole text.
    fn check_text(&self, text: &str, opening: &str) -> Result<()> {
        if text.starts_with(opening) {
            return Ok(());
        }
        let common = text
            .chars()
            .zip(opening.chars())
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len_utf8())
            .sum::<usize>();
        if let Some(tag) = open_tag(&opening[common..]) {
            return Err(self.problem(format!(
                "the chat template opens a thinking block ({tag}) where it asks for an answer, and leaves it out where the answer is given, so a model would never be asked as it is trained{}; save the template without it as chat_template.jinja in a copy of the model's folder",
                self.tokenizer.thinking_way_out()
            )));
        }
        Err(self.problem(format!(
            "the chat template writes what comes before this answer in another way once later messages follow: it changes at {:?}, which is {:?} when asked for the answer; make one example of each answer",
            excerpt(&text[common..]),
            excerpt(&opening[common..]),
        )))
    }

    /// No `generation` block reaches from the opening of the turn into the answer: what opens it is given to the model, not written by it.
    fn check_blocks(&self, blocks: &[Range<usize>], text: &str, start: usize) -> Result<()> {
        let mut blocks = blocks.iter();
        match blocks.find(|block| block.start < start && start < block.end) {
            None => Ok(()),
            Some(block) => Err(self.problem(format!(
                "the chat template's `generation` block begins before the answer, at {:?}, with what opens the assistant's turn; the block must begin after it",
                excerpt(&text[block.start..start]),
            ))),
        }
    }

    /// The ids before the answer are the beginning of all ids.
    fn check_ids(&self, ids: &[u32], prompt: &[u32]) -> Result<()> {
        if ids.starts_with(prompt) {
            return Ok(());
        }
        let common = ids.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let piece =
            |ids: &[u32]| ids.get(common).map_or(String::new(), |id| self.tokenizer.piece(*id));
        Err(self.problem(format!(
            "its first characters merge with the end of the prompt into one token: token {common} is {:?} in the whole text and {:?} in the prompt alone, so the model would never be asked from here; remove white space at the start of the answer",
            piece(ids),
            piece(prompt),
        )))
    }

    /// Where the whole turn of a message ends that has more than its text, in bytes of the rendered text. `through` is the rendering up
    /// to and with the message.
    fn end_of_message(
        &self,
        text: &str,
        start: usize,
        through: &str,
        message: &Message,
    ) -> Result<usize> {
        if !text.starts_with(through) {
            return Err(self.problem(
                "the chat template writes it in another way once later messages follow, as where it leaves out what was thought before; make one example of each answer, or say `\"weight\": 0` of this message".into(),
            ));
        }
        let turn = through.get(start..).unwrap_or_default();
        let whole = [message.content.as_str()];
        let parts = message.parts();
        for said in parts.as_deref().unwrap_or(&whole) {
            let quoted = serde_json::Value::from(said.trim()).to_string();
            if !(turn.contains(said.trim()) || turn.contains(&quoted[1..quoted.len() - 1])) {
                return Err(self.problem(format!(
                    "the chat template leaves out or changes its text: expected {:?}, found {:?}",
                    excerpt(said),
                    excerpt(turn),
                )));
            }
        }
        if turn.trim().is_empty() {
            return Err(self.problem("the chat template writes nothing for it".into()));
        }
        Ok(start + turn.trim_end().len())
    }

    /// Where the answer's own text ends, in bytes of the rendered text. A template may trim the answer or set white space
    /// before it; it may not write it in other words.
    fn end_of_content(&self, text: &str, start: usize, content: &str) -> Result<usize> {
        let rest = &text[start..];
        for content in [content, content.trim()] {
            if let Some(offset) = rest.find(content)
                && rest[..offset].trim().is_empty()
            {
                return Ok(start + offset + content.len());
            }
        }
        let thinks = rest.trim_start().starts_with('<')
            && rest.lines().next().is_some_and(|line| line.contains("think"));
        Err(self.problem(format!(
            "the chat template changes the answer: expected {:?}, found {:?}{}",
            excerpt(content),
            excerpt(rest),
            if thinks { self.tokenizer.thinking_way_out() } else { String::new() },
        )))
    }
}

/// Takes over what the template's own `generation` blocks mark, after checking that they and the offsets agree on every token
/// of the answers' text. The token that ends a turn stays learned even if the blocks leave it out.
fn follow_generation_blocks(
    learned: &mut [bool],
    blocks: &[Range<usize>],
    text: &str,
    ids: &[u32],
    spans: &[Range<usize>],
    tokenizer: &Tokenizer,
) -> Result<()> {
    for (token, span) in spans.iter().enumerate() {
        let marked = blocks.iter().any(|block| span.start < block.end && block.start < span.end);
        let slight = tokenizer.is_special(ids[token]) || text[span.clone()].trim().is_empty();
        if marked != learned[token] && !slight {
            let (says, but) = if marked {
                ("marks", "it is not part of an answer")
            } else {
                ("leaves out", "it is part of an answer")
            };
            return Err(Error::invalid(
                "generation block",
                format!(
                    "the chat template {says} token {token}, {:?}, though {but}; the block must hold the answer and the end of its turn",
                    &text[span.clone()]
                ),
            ));
        }
        learned[token] |= marked;
    }
    Ok(())
}

fn plain_sequence(tokenizer: &Tokenizer, example: &Example) -> Result<Sequence> {
    let eos = tokenizer.eos();
    if eos.is_none() {
        let folder = tokenizer.folder();
        let file = "tokenizer_config.json";
        let place = if folder.is_file() { folder.to_path_buf() } else { folder.join(file) };
        return Err(Error::file(
            place,
            "has neither a chat_template nor an eos_token: without one a model cannot learn where an answer ends",
        ));
    }
    let Conversation { messages, variables } = &example.conversation;
    let mut more = messages.iter().flat_map(Message::written).flatten();
    let more = more.find(|key| messages.iter().any(|m| m.given.contains_key(**key)));
    let beside = ["tools", "documents"].iter().find(|key| variables.contains_key(**key));
    let tool = messages.iter().any(|m| m.role == Role::Tool).then_some(&"tool");
    if let Some(what) = more.or(beside).or(tool) {
        return Err(Error::invalid(
            *what,
            "the model has no chat template, and so no way to write it; take it out of the data, or take a model that has one",
        ));
    }
    if messages.iter().any(|m| m.parts().is_some_and(|parts| parts.len() > 1)) {
        return Err(Error::invalid(
            "content",
            "has several parts, and the model has no chat template that says how they are joined; join them to one text",
        ));
    }
    if messages.iter().filter(|m| m.role == Role::Assistant).count() > 1 {
        return Err(Error::invalid(
            "conversation",
            "has more than one answer, but the model has no chat template to tell the speakers apart; make one example of each answer",
        ));
    }
    let opening = plain_prompt(example.conversation.prompt());
    let completion = example.conversation.completion().unwrap_or_default();
    let text = format!("{opening}{completion}");
    let before = plain_encode(tokenizer, &opening)?;
    let tokens = before.ids.clone();
    let mut whole = plain_encode(tokenizer, &text)?;
    if !whole.ids.starts_with(&tokens) {
        // A token would reach from the prompt into the answer. The form is ours, so the answer is split on its own instead.
        let answer = tokenizer.encode(completion, false)?;
        let moved = |span: Range<usize>| opening.len() + span.start..opening.len() + span.end;
        whole = before;
        whole.ids.extend(answer.ids);
        whole.spans.extend(answer.spans.into_iter().map(moved));
    }
    let Encoding { ids, spans } = whole;
    let mut sequence = Sequence {
        id: example.id.clone(),
        text,
        completion: (0..ids.len()).map(|token| token >= tokens.len()).collect(),
        weights: Vec::new(),
        ids,
        spans,
        prompt_tokens: tokens.len(),
        form: Form::Plain,
        end_of_turn: None,
    };
    sequence.end(tokenizer)?;
    let weight = messages.last().map_or(Ok(1.0), Message::weight)?;
    sequence.weigh(0..sequence.len(), weight);
    Ok(sequence)
}

fn plain_prompt(messages: &[Message]) -> String {
    let contents: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
    let mut text = contents.join("\n\n");
    if !text.ends_with(char::is_whitespace) {
        text.push('\n');
    }
    text
}

/// Encodes with the tokenizer's BOS, but without an end of text that it may add.
fn plain_encode(tokenizer: &Tokenizer, text: &str) -> Result<Encoding> {
    let mut encoding = tokenizer.encode(text, true)?;
    let added = |encoding: &Encoding| encoding.spans.last().is_some_and(Range::is_empty);
    while encoding.ids.len() > 1 && added(&encoding) {
        encoding.ids.pop();
        encoding.spans.pop();
    }
    Ok(encoding)
}

/// The first error, and which other examples cannot be used either.
fn with_others(first: Error, unusable: &[Unusable], examples: usize) -> Error {
    const SHOWN: usize = 10;
    let [_, others @ ..] = unusable else { return first };
    if others.is_empty() {
        return first;
    }
    let names: Vec<&str> = others.iter().take(SHOWN).map(|of| of.id.as_str()).collect();
    let more = if others.len() > SHOWN { ", …" } else { "" };
    let behind = format!(
        "\n{} of {examples} examples cannot be used, the others are {}{more}",
        unusable.len(),
        names.join(", ")
    );
    match first {
        Error::Invalid { what, problem } => Error::invalid(what, problem + &behind),
        Error::File { path, problem } => Error::file(path, problem + &behind),
        other => other,
    }
}

/// Says of which example an error speaks.
fn name_example(error: Error, id: &str) -> Error {
    match error {
        Error::Invalid { what, problem } => {
            Error::invalid(format!("example {id}"), format!("{what}: {problem}"))
        }
        Error::File { path, problem } => Error::file(path, format!("{problem} (example {id})")),
        other => other,
    }
}

/// The beginning of a text, for a message.
fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
