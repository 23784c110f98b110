//! What `perplexity` and `finetune` do alike: read and render a data set, score it, choose the tokens to learn.

use clap::ValueEnum;
use std::path::Path;
use unforget::context::Context;
use unforget::dataset::{Dataset, Example};
use unforget::error::{Error, Result};
use unforget::model::Checkpoint;
use unforget::perplexity::TokenScores;
use unforget::select::{LossMask, Rule};
use unforget::tokens::{LongExample, Sequence, Sequences, TooLong, sequences};
use unforget::verbs;

/// What to do with examples that are longer than the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhenTooLong {
    /// Stop with an error that names them
    Refuse,
    /// Leave them out, and name them
    Drop,
    /// Cut off their end, and name them
    Truncate,
}

/// A rendered data set.
pub struct Data {
    /// Names its results for people: the data set's name.
    pub label: String,
    /// The examples that were read.
    pub examples: Vec<Example>,
    /// The context they had to fit, in tokens.
    pub context: usize,
    /// Those that can be used.
    pub sequences: Vec<Sequence>,
    /// Those that were too long.
    pub too_long: Vec<LongExample>,
}

impl Data {
    /// Reads `path` and renders its first `limit` examples with the tokenizer of `checkpoint`. `max_length` shortens the model's context.
    pub fn read(
        cx: &Context,
        checkpoint: &Checkpoint,
        path: &Path,
        limit: Option<usize>,
        max_length: Option<usize>,
        when_too_long: WhenTooLong,
    ) -> Result<Self> {
        if limit == Some(0) {
            return Err(Error::invalid("--limit", "must be at least 1"));
        }
        let longest = checkpoint.config()?.max_position_embeddings;
        let context = max_length.unwrap_or(longest);
        if !(2..=longest).contains(&context) {
            let problem =
                format!("must be from 2 to the model's context of {longest}, got {context}");
            return Err(Error::invalid("--max-length", problem));
        }
        let tokenizer = cx.tokenizer(checkpoint)?;
        let Dataset {
            path,
            name,
            mut examples,
            ..
        } = Dataset::read(path)?;
        examples.truncate(limit.unwrap_or(usize::MAX));
        let rule = match when_too_long {
            WhenTooLong::Refuse => TooLong::Refuse,
            WhenTooLong::Drop => TooLong::Drop,
            WhenTooLong::Truncate => TooLong::Truncate,
        };
        let Sequences {
            sequences,
            too_long,
        } = sequences(&tokenizer, &examples, context, rule).map_err(|error| match error {
            // the library's message cannot know the option's name
            Error::Invalid { what, problem } if what == "context" => Error::invalid(
                path.display().to_string(),
                format!("{problem} (--too-long drop or truncate)"),
            ),
            other => other,
        })?;
        note_too_long(cx, &too_long, examples.len(), context);
        if sequences.is_empty() {
            let problem =
                format!("every example is longer than {context} tokens, so nothing is left");
            return Err(Error::file(path, problem));
        }
        Ok(Self {
            label: name,
            examples,
            context,
            sequences,
            too_long,
        })
    }

    /// Scores every token; refuses a model that gives one no probability.
    pub fn score(&self, cx: &Context, checkpoint: &Checkpoint) -> Result<Vec<TokenScores>> {
        let ids: Vec<&[u32]> = self
            .sequences
            .iter()
            .map(|sequence| sequence.ids.as_slice())
            .collect();
        let scores = verbs::score(cx, checkpoint, &self.label, &ids)?;
        for (sequence, scores) in self.sequences.iter().zip(&scores) {
            scores.check(checkpoint, &sequence.id)?;
        }
        Ok(scores)
    }
}

fn note_too_long(cx: &Context, too_long: &[LongExample], examples: usize, context: usize) {
    for (cut, what) in [(false, "left out"), (true, "cut off there")] {
        let ids: Vec<&str> = too_long
            .iter()
            .filter(|long| long.truncated == cut)
            .map(|long| long.id.as_str())
            .collect();
        if !ids.is_empty() {
            cx.progress.note(&format!(
                "{} of {examples} examples are longer than {context} tokens and are {what}: {}",
                ids.len(),
                first_names(&ids)
            ));
        }
    }
}

/// The first few of many names.
pub fn first_names(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names[..names.len().min(SHOWN)].join(", ") + more
}

/// The rule that `--threshold T` and `--mask random:T|lowest:T` ask for.
pub fn rule(threshold: Option<f64>, mask: Option<&str>) -> Result<Rule> {
    let checked = |name: &str, value: f64| match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err(Error::invalid(
            name,
            format!(
                "the threshold must be a perplexity above 0, got {value}; leave it out to learn every token"
            ),
        )),
    };
    if let Some(threshold) = threshold {
        return Ok(Rule::LowPerplexity(checked("--threshold", threshold)?));
    }
    let Some(mask) = mask else {
        return Ok(Rule::All);
    };
    let wrong = || {
        Error::invalid(
            "--mask",
            format!(
                "`{mask}` is none of random:T, lowest:T with a threshold T, such as random:2.5"
            ),
        )
    };
    let (kind, threshold) = mask.split_once(':').ok_or_else(wrong)?;
    let threshold = checked("--mask", threshold.parse().map_err(|_| wrong())?)?;
    match kind {
        "random" => Ok(Rule::Random(threshold)),
        "lowest" => Ok(Rule::WithoutLowest(threshold)),
        _ => Err(wrong()),
    }
}

/// The tokens of each sequence that `rule` learns, under `scores` of the base model. `seed` draws random masks, the same ones as in
/// an experiment.
pub fn learned(
    rule: Rule,
    sequences: &[Sequence],
    scores: &[TokenScores],
    seed: u64,
) -> Result<Vec<LossMask>> {
    let perplexity = |at: usize| {
        scores
            .get(at)
            .map(TokenScores::perplexity)
            .unwrap_or_default()
    };
    let examples = sequences
        .iter()
        .enumerate()
        .map(|(at, s)| (&s.completion, perplexity(at)));
    rule.masks(examples, seed)
}
