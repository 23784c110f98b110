//! The record of scored data, one row for each token: what heat maps, class shares and threshold curves are queries over.
//!
//! | column | |
//! |---|---|
//! | `example` | the example's id |
//! | `position`, `token_id` | place in the sequence from 0, number in the vocabulary |
//! | `text`, `char_start`, `char_end` | the piece, and its place in the rendered text, in characters |
//! | `role` | `prompt` or `completion` |
//! | `class` | what kind of text it is: see [`TokenClass`] |
//! | `style` | whether the writer's own style shows in it, where that is known |
//! | `log_prob`, `entropy`, `rank` | see [`TokenScores`]; null for the first token, which has no context |
//! | `log_prob_reference` | the log-probability under another model, if one was asked |
//! | `weight` | weight in the training loss: 0 for the prompt and for masked tokens |
//!
//! A ledger is one Parquet file, or a folder of them that are read in the order of their names. Each file carries its [`Origin`] under the key
//! `unforget`: the hashes of weights, tokenizer, template and data that it was made from. [`Ledger::open`] refuses files of different
//! models, and a ledger whose model or data have changed since.
//!
//! Files are written and read in row groups of at most [`BLOCK`] rows, only the columns that a query needs, so that memory does not grow with
//! the ledger, except where a query keeps a value of each token. Ten million tokens, six million of them in answers (26 November 2026; resident
//! memory at most, CPU seconds): written in 11 files of 74 MB together with 90 MB and 3.5 s; thresholds, precision and recall, classes and
//! quantiles with 79 MB and 1 s; a rule, which may look at the whole set, with 663 MB and 2.8 s. `tests/ledger.rs` does the like with
//! `--ignored`. Polars' lazy frames could do the queries, too, but the feature `lazy` adds 128 crates to the 136 that polars is now, an HTTP
//! client and a TLS library among them: too much to build for queries that are one pass over blocks.

mod matched;
mod origin;
mod read;
mod tally;
mod write;

pub use origin::Origin;
pub use read::Ledger;
pub use tally::{ClassShare, Tally, ThresholdPoint};
pub use write::{Writer, output, write};

use crate::error::{Error, Result};
use crate::perplexity::TokenScores;
use crate::select::TokenClass;
use crate::tokens::Sequence;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use std::ops::Range;

/// Most rows of a row group, which is what is read at one time.
pub const BLOCK: usize = 1 << 17;

/// Scored sequences, of which rows are made; every list has one entry for each sequence, and that has one for each token.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// What was scored.
    pub sequences: &'a [Sequence],
    /// What the model says of it.
    pub scores: &'a [TokenScores],
    /// What another model says; empty if none was asked.
    pub reference: &'a [TokenScores],
    /// What kind of text each token is.
    pub classes: &'a [Vec<TokenClass>],
    /// Where the writer's own style shows; empty if that is not known.
    pub style: &'a [Vec<bool>],
    /// Weights in the training loss.
    pub weights: &'a [Vec<f32>],
}

impl<'a> Rows<'a> {
    /// Those of the sequences in `range`.
    pub fn part(&self, range: Range<usize>) -> Self {
        let some = |all: &'a [Vec<bool>]| {
            if all.is_empty() { all } else { &all[range.clone()] }
        };
        Self {
            sequences: &self.sequences[range.clone()],
            scores: &self.scores[range.clone()],
            reference: match self.reference.is_empty() {
                true => &[],
                false => &self.reference[range.clone()],
            },
            classes: &self.classes[range.clone()],
            style: some(self.style),
            weights: &self.weights[range.clone()],
        }
    }

    /// Refuses lists of other lengths.
    fn check(&self) -> Result<()> {
        let lists = [self.scores.len(), self.classes.len(), self.weights.len()];
        let optional = |length: usize| length == 0 || length == self.sequences.len();
        if lists == [self.sequences.len(); 3]
            && optional(self.reference.len())
            && optional(self.style.len())
        {
            return Ok(());
        }
        let problem = format!(
            "{} sequences, {} scores, {} lists of classes, {} of weights, {} of style and {} scores of a reference do not belong together",
            self.sequences.len(),
            self.scores.len(),
            self.classes.len(),
            self.weights.len(),
            self.style.len(),
            self.reference.len()
        );
        Err(Error::invalid("ledger", problem))
    }
}

/// The rows as a frame, in the order of the sequences.
///
/// # Errors
/// When the lists are not equally long or do not have one entry for each token.
pub fn frame(rows: &Rows<'_>) -> Result<DataFrame> {
    rows.check()?;
    let &Rows { sequences, scores, reference, classes, style, weights } = rows;
    let compared = !reference.is_empty();
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
    let mut styled = Vec::<bool>::new();
    for (index, (sequence, scores)) in sequences.iter().zip(scores).enumerate() {
        let (classes, weights) = (&classes[index], &weights[index]);
        let other = reference.get(index).map(|scores| &scores.log_prob);
        let lengths = [scores.log_prob.len(), classes.len(), weights.len()];
        let others = other.map_or(sequence.len(), Vec::len);
        let style = style.get(index);
        let styles = style.map_or(sequence.len(), Vec::len);
        if lengths != [sequence.len(); 3] || [others, styles] != [sequence.len(); 2] {
            let problem = format!(
                "{} scores, {} classes, {} weights, {styles} styles and {others} scores of a reference for {} tokens",
                lengths[0],
                lengths[1],
                lengths[2],
                sequence.len()
            );
            return Err(Error::invalid(&sequence.id, problem));
        }
        let characters = characters_before(&sequence.text);
        for (at, span) in sequence.spans.iter().enumerate() {
            example.push(&sequence.id);
            position.push(at as u32);
            token_id.push(sequence.ids[at]);
            text.push(sequence.token_text(at));
            char_start.push(characters[span.start]);
            char_end.push(characters[span.end]);
            role.push(if sequence.completion.learns(at) { "completion" } else { "prompt" });
        }
        class.extend(classes.iter().map(|class| class.name()));
        weight.extend(weights);
        styled.extend(style.into_iter().flatten());
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
    ];
    if !style.is_empty() {
        columns.push(column("style", styled));
    }
    columns.extend([
        column("log_prob", log_prob),
        column("entropy", entropy),
        column("rank", rank),
    ]);
    if compared {
        columns.push(column("log_prob_reference", log_prob_reference));
    }
    columns.push(column("weight", weight));
    DataFrame::new_infer_height(columns).map_err(Error::library("making the ledger"))
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
    use crate::perplexity::Summary;
    use crate::select::LossMask;
    use crate::tokens::Form;

    /// `<u>é?<a>ja<e>`: a prompt of two tokens, a completion of two.
    fn sequence() -> Sequence {
        Sequence {
            weights: Vec::new(),
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
        let (sequences, scores, classes) = ([sequence()], [scores()], classes());
        let weights = [vec![0.0, 0.0, 1.0, 0.0]];
        let rows = Rows {
            sequences: &sequences,
            scores: &scores,
            reference: &scores,
            classes: &classes,
            style: &[],
            weights: &weights,
        };
        let made = frame(&rows).unwrap();
        assert_eq!(made.height(), 4);
        let numbers = |name: &str| -> Vec<u32> {
            let column = made.column(name).unwrap();
            column.u32().unwrap().into_no_null_iter().collect()
        };
        assert_eq!(numbers("char_start"), [0, 1, 2, 4]);
        assert_eq!(numbers("char_end"), [1, 2, 4, 4]);
        assert_eq!(made.column("log_prob").unwrap().null_count(), 1);
        assert!(made.column("style").is_err());
        let weight = made.column("weight").unwrap();
        let weight = weight.f32().unwrap();
        assert_eq!((weight.get(2), weight.get(3)), (Some(1.0), Some(0.0)));
        let short = [vec![true; 3]];
        let error = frame(&Rows { style: &short, ..rows }).unwrap_err().to_string();
        assert!(error.contains("3 styles"), "{error}");
    }

    #[test]
    fn style_is_marked_where_the_answer_stands() {
        // "ja" is the token 2; its second letter is marked
        assert_eq!(sequence().marked("ja", &[(1, 2)]), [false, false, true, false]);
        assert_eq!(sequence().marked("nein", &[(0, 4)]), [false; 4]);
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
        let (sequences, classes) = ([sequence()], classes());
        let error = frame(&Rows {
            sequences: &sequences,
            scores: &[TokenScores::default()],
            reference: &[],
            classes: &classes,
            style: &[],
            weights: &[vec![0.0; 4]],
        });
        assert!(error.unwrap_err().to_string().contains("for 4 tokens"));
    }
}
