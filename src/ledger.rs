//! The record of a scored data set, one row for each token: what heat maps, class shares and threshold curves are queries over.
//!
//! | column | |
//! |---|---|
//! | `example` | the example's id |
//! | `position`, `token_id` | place in the sequence from 0, number in the vocabulary |
//! | `text`, `char_start`, `char_end` | the piece, and where it stands in the rendered text, in characters |
//! | `role` | `prompt` or `completion` |
//! | `class` | what kind of text it is: see [`TokenClass`] |
//! | `log_prob`, `entropy`, `rank` | see [`TokenScores`]; null for the first token, which has no context |
//! | `log_prob_reference` | the log-probability under another model, if one was asked |
//! | `weight` | weight in the training loss: 0 for the prompt and for masked tokens |

use crate::error::{Error, Result};
use crate::perplexity::{TokenScores, given_prompt};
use crate::select::{LossMask, ModelSignals, Signals, TokenClass};
use crate::tokens::Sequence;
use polars::prelude::{Column, DataFrame, NamedFrom, ParquetReader, SerReader, Series};
use serde::Serialize;
use std::path::Path;

/// The perplexities for which a [`Summary`] says how many tokens are above.
pub const LEVELS: [f64; 6] = [1.5, 2.5, 10.0, 25.0, 100.0, 1000.0];

/// A scored data set in a few numbers. Means are `None` where there is nothing to average.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Sequences.
    pub examples: usize,
    /// Tokens, prompts included.
    pub tokens: usize,
    /// Tokens that the assistant wrote.
    pub completion_tokens: usize,
    /// Mean over examples of the completion's perplexity given its prompt (the paper's Table 1).
    pub perplexity_given_prompt: Option<f64>,
    /// Mean over examples of the bare answer's perplexity, without prompt or template (the paper's selector and Figure 2).
    pub perplexity_of_text_alone: Option<f64>,
    /// `exp` of the mean surprisal over all completion tokens: tokens weighed alike, not texts.
    pub perplexity_per_token: Option<f64>,
    /// Share of the completion tokens whose perplexity is above each of [`LEVELS`].
    pub above: Vec<Above>,
}

/// How many tokens are above a level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Above {
    /// The perplexity.
    pub perplexity: f64,
    /// Share of the completion tokens above it.
    pub share: f64,
}

impl Summary {
    /// Sums up; `text_alone` has the perplexity of each bare answer.
    pub fn of(sequences: &[Sequence], scores: &[TokenScores], text_alone: &[Option<f64>]) -> Self {
        let mut surprisals: Vec<f64> = Vec::new();
        for (sequence, scores) in sequences.iter().zip(scores) {
            let known = sequence.completion.positions();
            surprisals.extend(known.filter_map(|at| Some(-f64::from(scores.log_prob[at]?))));
        }
        let share = |level: f64| {
            let above = surprisals.iter().filter(|nats| **nats > level.ln());
            above.count() as f64 / surprisals.len().max(1) as f64
        };
        Self {
            examples: sequences.len(),
            tokens: sequences.iter().map(Sequence::len).sum(),
            completion_tokens: sequences.iter().map(|s| s.completion.learned()).sum(),
            perplexity_given_prompt: mean(given_prompt(sequences, scores).into_iter().flatten()),
            perplexity_of_text_alone: mean(text_alone.iter().copied().flatten()),
            perplexity_per_token: mean(surprisals.iter().copied()).map(f64::exp),
            above: LEVELS
                .map(|perplexity| Above {
                    perplexity,
                    share: share(perplexity),
                })
                .to_vec(),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The rows, in the order of the sequences: `classes` and `weights` have one entry for each token, `reference` is empty if no other model
/// was asked.
///
/// Errors when the lists are not equally long or do not have one entry for each token.
pub fn frame(
    sequences: &[Sequence],
    scores: &[TokenScores],
    reference: &[TokenScores],
    classes: &[Vec<TokenClass>],
    weights: &[Vec<f32>],
) -> Result<DataFrame> {
    let lists = [scores.len(), classes.len(), weights.len()];
    let compared = !reference.is_empty();
    if lists != [sequences.len(); 3] || compared && reference.len() != sequences.len() {
        let problem = format!(
            "{} sequences, {} scores, {} lists of classes, {} of weights and {} scores of a reference do not belong together",
            sequences.len(),
            scores.len(),
            classes.len(),
            weights.len(),
            reference.len()
        );
        return Err(Error::invalid("ledger", problem));
    }
    let rows: usize = sequences.iter().map(Sequence::len).sum();
    let (mut example, mut text, mut role) = (
        Vec::<&str>::with_capacity(rows),
        Vec::<&str>::with_capacity(rows),
        Vec::<&str>::with_capacity(rows),
    );
    let (mut position, mut token_id) = (Vec::<u32>::with_capacity(rows), Vec::<u32>::new());
    let (mut char_start, mut char_end) = (Vec::<u32>::with_capacity(rows), Vec::<u32>::new());
    let (mut log_prob, mut entropy) = (Vec::<Option<f32>>::new(), Vec::<Option<f32>>::new());
    let (mut rank, mut weight) = (Vec::<Option<u32>>::new(), Vec::<f32>::new());
    let (mut class, mut log_prob_reference) = (Vec::<&str>::new(), Vec::<Option<f32>>::new());
    for (index, (sequence, scores)) in sequences.iter().zip(scores).enumerate() {
        let (classes, weights) = (&classes[index], &weights[index]);
        let other = reference.get(index).map(|scores| &scores.log_prob);
        let lengths = [scores.log_prob.len(), classes.len(), weights.len()];
        let others = other.map_or(sequence.len(), Vec::len);
        if lengths != [sequence.len(); 3] || others != sequence.len() {
            let problem = format!(
                "{} scores, {} classes, {} weights and {others} scores of a reference for {} tokens",
                lengths[0],
                lengths[1],
                lengths[2],
                sequence.len()
            );
            return Err(Error::invalid(&sequence.id, problem));
        }
        let characters = characters_before(&sequence.text);
        for at in 0..sequence.len() {
            let span = &sequence.spans[at];
            example.push(&sequence.id);
            position.push(at as u32);
            token_id.push(sequence.ids[at]);
            text.push(sequence.token_text(at));
            char_start.push(characters[span.start]);
            char_end.push(characters[span.end]);
            role.push(if sequence.completion.learns(at) {
                "completion"
            } else {
                "prompt"
            });
        }
        class.extend(classes.iter().map(|class| class.name()));
        weight.extend(weights);
        log_prob_reference.extend(other.into_iter().flatten());
        log_prob.extend(&scores.log_prob);
        entropy.extend(&scores.entropy);
        rank.extend(&scores.rank);
    }
    let mut columns = vec![
        column("example", example),
        column("position", position),
        column("token_id", token_id),
        column("text", text),
        column("char_start", char_start),
        column("char_end", char_end),
        column("role", role),
        column("class", class),
        column("log_prob", log_prob),
        column("entropy", entropy),
        column("rank", rank),
    ];
    if compared {
        columns.push(column("log_prob_reference", log_prob_reference));
    }
    columns.push(column("weight", weight));
    DataFrame::new_infer_height(columns).map_err(Error::library("making the ledger"))
}

/// Reads the record of tokens at `path`, as `unforget perplexity --out` writes it: each example's name and what is known of its tokens, the
/// scored model being the base.
///
/// # Errors
/// When the file cannot be read, or lacks a column or a value that every token has.
pub fn read(path: &Path) -> Result<Vec<(String, Signals)>> {
    let file =
        std::fs::File::open(path).map_err(Error::io("reading the record of tokens", path))?;
    let frame = ParquetReader::new(file)
        .finish()
        .map_err(|e| Error::file(path, format!("not a Parquet file that can be read: {e}")))?;
    signals(&frame).map_err(|problem| {
        let way_out = "write it with `unforget perplexity --out`";
        Error::file(path, format!("{problem}; {way_out}"))
    })
}

/// The examples of a record of tokens, or what is wrong with it.
fn signals(frame: &DataFrame) -> std::result::Result<Vec<(String, Signals)>, String> {
    let of = |name: &str| {
        frame
            .column(name)
            .map_err(|_| format!("has no column `{name}`"))
    };
    let kind = |name: &'static str| move |_| format!("column `{name}` is of another type");
    let text = |name: &'static str| of(name)?.str().map_err(kind(name));
    let number = |name: &'static str| of(name)?.f32().map_err(kind(name));
    let (example, role, class) = (text("example")?, text("role")?, text("class")?);
    let (log_prob, entropy) = (number("log_prob")?, number("entropy")?);
    let rank = of("rank")?.u32().map_err(kind("rank"))?;
    let reference = match frame.column("log_prob_reference") {
        Ok(_) => Some(number("log_prob_reference")?),
        Err(_) => None,
    };
    let mut examples: Vec<(String, Signals)> = Vec::new();
    let mut completion: Vec<Vec<bool>> = Vec::new();
    for row in 0..frame.height() {
        let missing = |name: &str| format!("row {row} has no `{name}`");
        let id = example.get(row).ok_or_else(|| missing("example"))?;
        if examples.last().is_none_or(|(last, _)| last != id) {
            let signals = Signals {
                base: Some(ModelSignals::default()),
                reference: reference.map(|_| ModelSignals::default()),
                ..Signals::default()
            };
            examples.push((id.to_string(), signals));
            completion.push(Vec::new());
        }
        let ((_, signals), completion) = (examples.last_mut())
            .zip(completion.last_mut())
            .ok_or_else(|| missing("example"))?;
        completion.push(role.get(row).ok_or_else(|| missing("role"))? == "completion");
        let named = class.get(row).ok_or_else(|| missing("class"))?;
        let known = TokenClass::named(named);
        let unknown = || format!("row {row} has the class `{named}`, which is not known");
        signals.class.push(known.ok_or_else(unknown)?);
        if let Some(base) = &mut signals.base {
            base.log_prob.push(log_prob.get(row));
            base.entropy.push(entropy.get(row));
            base.rank.push(rank.get(row));
        }
        if let (Some(model), Some(column)) = (&mut signals.reference, reference) {
            model.log_prob.push(column.get(row));
        }
    }
    for ((_, signals), completion) in examples.iter_mut().zip(completion) {
        signals.completion = LossMask::new(completion);
    }
    Ok(examples)
}

fn column<T>(name: &str, values: Vec<T>) -> Column
where
    Series: NamedFrom<Vec<T>, [T]>,
{
    Series::new(name.into(), values).into()
}

/// For each byte of `text`, and for its end, the number of characters that begin before it.
fn characters_before(text: &str) -> Vec<u32> {
    let mut before = Vec::with_capacity(text.len() + 1);
    let mut count = 0;
    for byte in 0..=text.len() {
        before.push(count);
        count += u32::from(byte < text.len() && text.is_char_boundary(byte));
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Form;

    /// `<u>é?<a>ja<e>`: a prompt of two tokens, a completion of two.
    fn sequence() -> Sequence {
        Sequence {
            id: "one".into(),
            text: "é?ja".into(),
            ids: vec![7, 8, 9, 1],
            spans: vec![0..2, 2..3, 3..5, 5..5],
            completion: LossMask::new(vec![false, false, true, true]),
            prompt_tokens: 2,
            form: Form::Plain,
            end_of_turn: Some(1),
        }
    }

    fn classes() -> Vec<Vec<TokenClass>> {
        vec![vec![TokenClass::Words; 4]]
    }

    fn scores() -> TokenScores {
        TokenScores {
            log_prob: vec![None, Some(-0.1), Some(-(2f32.ln())), Some(-(8f32.ln()))],
            entropy: vec![None, Some(0.1), Some(0.2), Some(0.3)],
            rank: vec![None, Some(0), Some(1), Some(4)],
        }
    }

    #[test]
    fn there_is_one_row_for_each_token_and_places_are_in_characters() {
        let weights = [vec![0.0, 0.0, 1.0, 0.0]];
        let frame = frame(
            &[sequence()],
            &[scores()],
            &[scores()],
            &classes(),
            &weights,
        )
        .unwrap();
        assert_eq!(frame.height(), 4);
        let numbers = |name: &str| -> Vec<u32> {
            let column = frame.column(name).unwrap();
            column.u32().unwrap().into_no_null_iter().collect()
        };
        assert_eq!(numbers("char_start"), [0, 1, 2, 4]);
        assert_eq!(numbers("char_end"), [1, 2, 4, 4]);
        assert_eq!(frame.column("log_prob").unwrap().null_count(), 1);
        let weight = frame.column("weight").unwrap();
        let weight = weight.f32().unwrap();
        assert_eq!((weight.get(2), weight.get(3)), (Some(1.0), Some(0.0)));
    }

    #[test]
    fn a_record_is_read_back_as_what_is_known_of_the_tokens() {
        let weights = [vec![0.0; 4]];
        let with = frame(
            &[sequence()],
            &[scores()],
            &[scores()],
            &classes(),
            &weights,
        )
        .unwrap();
        let read = signals(&with).unwrap();
        let [(id, of)] = read.as_slice() else {
            panic!("one example, not {}", read.len())
        };
        assert_eq!(id, "one");
        assert_eq!(
            (&of.completion, &of.class),
            (&sequence().completion, &classes()[0])
        );
        assert_eq!(of.base, Some(ModelSignals::from(&scores())));
        assert_eq!(of.reference.as_ref().unwrap().log_prob, scores().log_prob);
        let without = frame(&[sequence()], &[scores()], &[], &classes(), &weights).unwrap();
        assert_eq!(signals(&without).unwrap()[0].1.reference, None);
        let error = signals(&without.drop("rank").unwrap()).unwrap_err();
        assert_eq!(error, "has no column `rank`");
    }

    #[test]
    fn the_two_means_of_a_summary_are_those_of_their_names() {
        let summary = Summary::of(&[sequence()], &[scores()], &[Some(3.0)]);
        // surprisals ln 2 and ln 8: their mean is ln 4
        assert!((summary.perplexity_given_prompt.unwrap() - 4.0).abs() < 1e-5);
        assert!((summary.perplexity_per_token.unwrap() - 4.0).abs() < 1e-5);
        assert_eq!(summary.perplexity_of_text_alone, Some(3.0));
        let above: Vec<f64> = summary.above.iter().map(|above| above.share).collect();
        assert_eq!(above, [1.0, 0.5, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn scores_of_another_sequence_are_refused() {
        let error = frame(
            &[sequence()],
            &[TokenScores::default()],
            &[],
            &classes(),
            &[vec![0.0; 4]],
        );
        assert!(error.unwrap_err().to_string().contains("for 4 tokens"));
    }
}
