//! A conversation as ids and loss mask, built together.

use super::{Encoding, Tokenizer};
use crate::chat::{Conversation, Message, Role};
use crate::dataset::Example;
use crate::error::{Error, Result, Word};
use crate::select::{LossMask, TokenClass};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The ids and the loss mask of one rendered example. `ids`, `spans` and `completion` have one entry for each token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The example it was made from.
    pub id: String,
    /// The rendered text, special tokens included as the template writes them.
    pub text: String,
    /// The tokens' numbers.
    pub ids: Vec<u32>,
    /// Where each token stands in `text`, in bytes; see [`Encoding::spans`].
    pub spans: Vec<Range<usize>>,
    /// The tokens that the assistant wrote, the one that ends its turn included.
    pub completion: LossMask,
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sequences {
    /// Those that can be used, in the order of the data.
    pub sequences: Vec<Sequence>,
    /// Those that did not fit, in the order of the data.
    pub too_long: Vec<LongExample>,
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
pub fn sequence(tokenizer: &Tokenizer, example: &Example) -> Result<Sequence> {
    let named = |error| name_example(error, &example.id);
    example.conversation.check_for_training().map_err(named)?;
    match tokenizer.template() {
        Some(_) => chat_sequence(tokenizer, example),
        None => plain_sequence(tokenizer, example),
    }
    .map_err(named)
}

/// Renders many examples; see [`sequence`]. `context` is the greatest length in tokens.
pub fn sequences(
    tokenizer: &Tokenizer,
    examples: &[Example],
    context: usize,
    too_long: TooLong,
) -> Result<Sequences> {
    let rendered: Vec<Result<Sequence>> =
        examples.par_iter().map(|example| sequence(tokenizer, example)).collect();
    let mut result = Sequences::default();
    for (index, sequence) in rendered.into_iter().enumerate() {
        let mut sequence = sequence?;
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
        ids,
        spans,
        prompt_tokens: added,
        form: Form::Plain,
        end_of_turn: None,
    };
    sequence.end(tokenizer);
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
        self.completion = self.completion.as_slice()[..length.min(self.completion.len())]
            .iter()
            .copied()
            .collect();
        self.end_of_turn = None;
    }

    /// What kind of text each token is; the token that ends a turn is known by its number, special tokens by `tokenizer`.
    pub fn classes(&self, tokenizer: &Tokenizer) -> Vec<TokenClass> {
        let class = |(at, id): (usize, &u32)| match self.end_of_turn == Some(*id) {
            true => TokenClass::EndOfTurn,
            false => TokenClass::of(self.token_text(at), tokenizer.is_special(*id)),
        };
        self.ids.iter().enumerate().map(class).collect()
    }

    /// Ends a plain text with the tokenizer's end of text.
    fn end(&mut self, tokenizer: &Tokenizer) {
        let Some(eos) = tokenizer.eos() else { return };
        let end = self.text.len();
        self.ids.push(eos.id);
        self.spans.push(end..end);
        self.completion = (self.completion.as_slice().iter().copied()).chain([true]).collect();
        self.end_of_turn = Some(eos.id);
    }
}

fn chat_sequence(tokenizer: &Tokenizer, example: &Example) -> Result<Sequence> {
    let template =
        tokenizer.template().expect("a chat sequence is made only where there is a template");
    let messages = &example.conversation.messages;
    let rendered = template.render_marked(messages)?;
    let text = rendered.text;
    let Encoding { ids, spans } = tokenizer.encode(&text, false)?;
    if let Some(bos) = tokenizer.bos()
        && ids.starts_with(&[bos.id, bos.id])
    {
        return Err(Error::file(
            template.path(),
            format!("the chat template writes {} twice at the beginning", bos.text),
        ));
    }

    let mut learned = vec![false; ids.len()];
    let (mut prompt_tokens, mut end_of_turn) = (0, None);
    for (index, message) in messages.iter().enumerate() {
        if message.role != Role::Assistant {
            continue;
        }
        let opening = template.render(&messages[..index], true)?;
        let tokens = tokenizer.encode(&opening, false)?.ids;
        let place = Place { tokenizer, message: index + 1, messages: messages.len() };
        place.check_text(&text, &opening)?;
        place.check_blocks(&rendered.generation, &text, opening.len())?;
        place.check_ids(&ids, &tokens)?;
        let end = place.end_of_content(&text, opening.len(), &message.content)?;
        prompt_tokens = tokens.len();
        end_of_turn = None;
        for token in prompt_tokens..ids.len() {
            if spans[token].start < end {
                learned[token] = true;
            } else if tokenizer.is_special(ids[token]) {
                // White space between the answer and the end of the turn has to be written by the model, too.
                learned[prompt_tokens..=token].fill(true);
                end_of_turn = Some(ids[token]);
                break;
            } else if !text[spans[token].clone()].trim().is_empty() {
                break;
            }
        }
    }
    if !rendered.generation.is_empty() {
        follow_generation_blocks(
            &mut learned,
            &rendered.generation,
            &text,
            &ids,
            &spans,
            tokenizer,
        )?;
    }
    Ok(Sequence {
        id: example.id.clone(),
        text,
        ids,
        spans,
        completion: LossMask::new(learned),
        prompt_tokens,
        form: Form::Chat,
        end_of_turn,
    })
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
        Err(self.problem(format!(
            "the chat template changes the answer: expected {:?}, found {:?}",
            excerpt(content),
            excerpt(rest),
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
        return Err(Error::file(
            tokenizer.folder().join("tokenizer_config.json"),
            "has neither a chat_template nor an eos_token: without one a model cannot learn where an answer ends",
        ));
    }
    let messages = &example.conversation.messages;
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
        ids,
        spans,
        prompt_tokens: tokens.len(),
        form: Form::Plain,
        end_of_turn: None,
    };
    sequence.end(tokenizer);
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
