//! Loss masks in the forms that Python trainers read.

use crate::chat::{Conversation, Message, Role};
use crate::dataset::{Example, Kind};
use crate::error::{Error, Result};
use crate::select::LossMask;
use crate::tokens::{Sequence, Tokenizer};
use serde::Serialize;
use std::ops::Range;

/// What PyTorch's cross-entropy leaves out.
pub const IGNORED: i64 = -100;

/// One example with its tokens: the columns that trainers call pre-tokenized. All three have one entry for each token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Labelled {
    /// The tokens' numbers.
    pub input_ids: Vec<u32>,
    /// 1 everywhere: there is no padding.
    pub attention_mask: Vec<u8>,
    /// The number of each token that is learned, [`IGNORED`] for the others. Not shifted: the trainer does that.
    pub labels: Vec<i64>,
}

/// A piece of an example's text whose tokens are all learned, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Whether its tokens are learned.
    pub label: bool,
    /// The piece, special tokens as the template writes them.
    pub text: String,
}

/// A message, or a piece of an answer, with its share in the loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weighed {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Whether an answer's piece is learned; the other speakers have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<bool>,
}

/// One example in Axolotl's `input_output` form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segments {
    /// The pieces, one after the other.
    pub segments: Vec<Segment>,
}

/// One example in ms-swift's form: the pieces of an answer follow each other as messages of the assistant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Messages {
    /// The messages, the oldest first.
    pub messages: Vec<Weighed>,
}

/// The pre-tokenized form.
pub fn labelled(sequence: &Sequence, learned: &LossMask) -> Result<Labelled> {
    check(sequence, learned)?;
    let label = |(id, learned): (&u32, &bool)| if *learned { i64::from(*id) } else { IGNORED };
    Ok(Labelled {
        input_ids: sequence.ids.clone(),
        attention_mask: vec![1; sequence.len()],
        labels: sequence.ids.iter().zip(learned.as_slice()).map(label).collect(),
    })
}

/// The form of segments. A trainer splits each of them into tokens by itself, so they are refused if that would give other tokens than those
/// that were scored: where a learned token and its masked neighbor are one token when they stand at the edge of a text.
pub fn segments(
    tokenizer: &Tokenizer,
    sequence: &Sequence,
    learned: &LossMask,
) -> Result<Segments> {
    check(sequence, learned)?;
    let mut segments: Vec<Segment> = Vec::new();
    for run in runs(sequence, learned) {
        let mut text = String::new();
        for token in run.tokens.clone() {
            // a BOS or EOS that the tokenizer adds has no place in the text
            let span = &sequence.spans[token];
            if span.is_empty() && tokenizer.is_special(sequence.ids[token]) {
                text.push_str(&tokenizer.piece(sequence.ids[token]));
            } else if span.end > run.text.start && token == run.first_in_text {
                text.push_str(&sequence.text[run.text.clone()]);
            }
        }
        if tokenizer.encode(&text, false)?.ids != sequence.ids[run.tokens] {
            return Err(differs(sequence, &text));
        }
        segments.push(Segment { label: run.learned, text });
    }
    Ok(Segments { segments })
}

/// ms-swift's form. It writes the text around the answers by a template of its own, and always learns the token that ends the last answer;
/// the pieces of the answers must give the tokens that were scored, as in [`segments`].
pub fn messages(
    tokenizer: &Tokenizer,
    example: &Example,
    sequence: &Sequence,
    learned: &LossMask,
) -> Result<Messages> {
    let Conversation { messages: said, variables } = &example.conversation;
    let plain = |message: &Message| message.is_plain() && message.role != Role::Tool;
    if example.kind != Kind::Conversation || !variables.is_empty() || !said.iter().all(plain) {
        return Err(Error::invalid(
            format!("example {}", sequence.id),
            "is more than a conversation of texts (tools, thoughts, parts, a document or tokens), which this form cannot say",
        ));
    }
    segments(tokenizer, sequence, learned)?;
    // the answers are the runs of the completion, in order
    let mut answers = runs(sequence, &sequence.completion).into_iter().filter(|run| run.learned);
    let mut messages = Vec::new();
    for message in &example.conversation.messages {
        let weight = message.weight()?;
        if message.role != Role::Assistant || weight == 0.0 || example.weight == 0.0 {
            messages.push(Weighed {
                role: message.role,
                content: message.content.clone(),
                loss: (message.role == Role::Assistant).then_some(false),
            });
            continue;
        }
        let Some(answer) = answers.next() else {
            return Err(Error::invalid(
                format!("example {}", sequence.id),
                "has fewer answers in its tokens than in its messages, as after truncation; leave long examples out",
            ));
        };
        let place = place_of(sequence, &answer.text, &message.content)?;
        for run in runs(sequence, learned) {
            let piece = run.text.start.max(place.start)..run.text.end.min(place.end);
            if piece.start < piece.end {
                messages.push(Weighed {
                    role: Role::Assistant,
                    content: sequence.text[piece].to_string(),
                    loss: Some(run.learned),
                });
            }
        }
    }
    Ok(Messages { messages })
}

#[cfg(feature = "tables")]
/// The pre-tokenized form as a table, for Parquet.
pub fn frame(rows: &[Labelled]) -> Result<polars::prelude::DataFrame> {
    use polars::prelude::{Column, DataFrame, ListBuilderTrait, ListPrimitiveChunkedBuilder};
    use polars::prelude::{DataType, Int64Type, IntoSeries};
    let values = rows.iter().map(|row| row.labels.len()).sum();
    let column = |name: &str, row: &dyn Fn(&Labelled) -> Vec<i64>| -> Column {
        let mut list = ListPrimitiveChunkedBuilder::<Int64Type>::new(
            name.into(),
            rows.len(),
            values,
            DataType::Int64,
        );
        for labelled in rows {
            list.append_slice(&row(labelled));
        }
        list.finish().into_series().into()
    };
    let columns = vec![
        column("input_ids", &|row| row.input_ids.iter().map(|id| i64::from(*id)).collect()),
        column("attention_mask", &|row| {
            row.attention_mask.iter().map(|one| i64::from(*one)).collect()
        }),
        column("labels", &|row| row.labels.clone()),
    ];
    DataFrame::new(rows.len(), columns).map_err(Error::library("making the table of labels"))
}

/// Whether the token that ends the last answer is masked though the answer has learned tokens: ms-swift learns it all the same.
pub fn end_is_masked(sequence: &Sequence, learned: &LossMask) -> bool {
    let last = sequence.completion.positions().last();
    let end = last.filter(|at| Some(sequence.ids[*at]) == sequence.end_of_turn);
    end.is_some_and(|at| !learned.learns(at))
}

/// Tokens that follow each other and are alike in being learned.
struct Run {
    learned: bool,
    tokens: Range<usize>,
    /// What they stand for, in bytes of the text.
    text: Range<usize>,
    /// The first of them that stands for any text.
    first_in_text: usize,
}

fn runs(sequence: &Sequence, learned: &LossMask) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut reached = 0;
    for (token, span) in sequence.spans.iter().enumerate() {
        let learned = learned.learns(token);
        // tokens that share a character have the same span; the text of the second is that of the first
        let start = span.start.max(reached);
        let end = span.end.max(start);
        reached = reached.max(span.end);
        match runs.last_mut() {
            Some(run) if run.learned == learned => {
                if run.text.is_empty() && end > start {
                    (run.text, run.first_in_text) = (start..end, token);
                }
                run.text.end = run.text.end.max(end);
                run.tokens.end = token + 1;
            }
            _ => runs.push(Run {
                learned,
                tokens: token..token + 1,
                text: start..end,
                first_in_text: token,
            }),
        }
    }
    runs
}

/// Where the answer `content` stands in the text, within `answer`. The template may have trimmed it.
fn place_of(sequence: &Sequence, answer: &Range<usize>, content: &str) -> Result<Range<usize>> {
    let text = &sequence.text[answer.clone()];
    for content in [content, content.trim()] {
        if let Some(offset) = text.find(content)
            && text[..offset].trim().is_empty()
        {
            let start = answer.start + offset;
            return Ok(start..start + content.len());
        }
    }
    Err(Error::invalid(
        format!("example {}", sequence.id),
        "an answer is cut off, so its pieces cannot be told; leave long examples out",
    ))
}

fn check(sequence: &Sequence, learned: &LossMask) -> Result<()> {
    if learned.len() == sequence.len() {
        return Ok(());
    }
    let problem = format!(
        "its mask has {} entries for {} tokens; score and mask it again",
        learned.len(),
        sequence.len()
    );
    Err(Error::invalid(format!("example {}", sequence.id), problem))
}

fn differs(sequence: &Sequence, text: &str) -> Error {
    let short: String = text.chars().take(30).collect();
    Error::invalid(
        format!("example {}", sequence.id),
        format!(
            "a trainer that splits the piece {short:?} by itself gets other tokens than those that were scored; write the pre-tokenized form instead"
        ),
    )
}
