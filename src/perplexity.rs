//! How surprising each token is to a model.
//!
//! Two perplexities of a whole answer are in use, and they differ: given its prompt in the chat template (the paper's Table 1), and
//! of the bare text without prompt or template (its selector and Figure 2). Functions here say which.

use crate::error::{Error, Result};
use crate::interruption;
use crate::model::{Batch, Checkpoint, Decoder};
use crate::select::ModelSignals;
use crate::stats;
#[cfg(feature = "tables")]
use crate::table::{Cell, significant};
use crate::tokens::{Sequence, Tokenizer};
use serde::{Deserialize, Serialize};

/// What a model says of each token of one sequence; the first token has no context and so no value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenScores {
    /// `ln p(token | all before)`, at most 0.
    pub log_prob: Vec<Option<f32>>,
    /// Entropy of the distribution that the token was drawn against, in nats.
    pub entropy: Vec<Option<f32>>,
    /// Tokens that would have been more probable; 0 is the greedy choice.
    pub rank: Vec<Option<u32>>,
}

impl TokenScores {
    /// Token perplexity `exp(surprisal)` of each token.
    pub fn perplexity(&self) -> Vec<Option<f32>> {
        self.log_prob.iter().map(|log_prob| log_prob.map(|l| (-l).exp())).collect()
    }

    /// Refuses scores of a broken model: the first token has no context, every other one must have a log-probability. `id` names
    /// the sequence in the message.
    pub fn check(&self, checkpoint: &Checkpoint, id: &str) -> Result<()> {
        let broken = |log_prob: &Option<f32>| log_prob.is_none_or(|value| !value.is_finite());
        match self.log_prob.iter().skip(1).position(broken) {
            None => Ok(()),
            Some(at) => {
                let problem = format!(
                    "the log-probability of token {} of {id} is not a number; the weights are broken, get or train them again",
                    at + 1
                );
                Err(Error::file(&checkpoint.model, problem))
            }
        }
    }

    /// Mean surprisal over the positions in `which`, in nats; `None` if none of them has one.
    pub fn mean_surprisal(&self, which: impl Iterator<Item = usize>) -> Option<f64> {
        let values: Vec<f64> = which
            .filter_map(|at| self.log_prob.get(at).copied().flatten())
            .map(|l| -f64::from(l))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

impl From<&TokenScores> for ModelSignals {
    fn from(scores: &TokenScores) -> Self {
        Self {
            log_prob: scores.log_prob.clone(),
            entropy: scores.entropy.clone(),
            rank: scores.rank.clone(),
            top_entropy: None,
        }
    }
}

impl From<ModelSignals> for TokenScores {
    fn from(signals: ModelSignals) -> Self {
        let ModelSignals { log_prob, entropy, rank, .. } = signals;
        Self { log_prob, entropy, rank }
    }
}

/// Tokens that are scored together.
const TOKENS: usize = 8192;

/// Scores every token of every sequence, batched by length; `done` is told how many sequences are done.
///
/// # Errors
/// [`Error::NotANumber`] where a token has no log-probability.
pub fn score(
    decoder: &Decoder,
    sequences: &[&[u32]],
    mut done: impl FnMut(usize),
) -> Result<Vec<TokenScores>> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|at| (sequences[*at].len(), *at));
    let mut scores = vec![TokenScores::default(); sequences.len()];
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        interruption::check()?;
        let mut batch = Batch::new();
        let mut count = 0;
        while count < rest.len() {
            let ids = sequences[rest[count]];
            if count > 0 && batch.tokens() + ids.len() > TOKENS {
                break;
            }
            batch.push(ids, &vec![1.0; ids.len()]);
            count += 1;
        }
        let facts = decoder.score(&batch)?;
        let mut from = 0;
        for at in &rest[..count] {
            let predicted = sequences[*at].len().saturating_sub(1);
            let range = from..from + predicted;
            let of = facts.log_prob[range.clone()].iter().zip(&facts.entropy[range.clone()]);
            let broken =
                |(log_prob, entropy): (&f32, &f32)| !(log_prob.is_finite() && entropy.is_finite());
            if let Some(token) = of.into_iter().position(broken) {
                let what = format!("the log-probability of token {} of sequence {at}", token + 1);
                return Err(Error::NotANumber { what });
            }
            scores[*at] = TokenScores {
                log_prob: lead(&facts.log_prob[range.clone()]),
                entropy: lead(&facts.entropy[range.clone()]),
                rank: lead(&facts.rank[range]),
            };
            if sequences[*at].is_empty() {
                scores[*at] = TokenScores::default();
            }
            from += predicted;
        }
        rest = &rest[count..];
        done(sequences.len() - rest.len());
    }
    Ok(scores)
}

/// Nothing for the first token, then the values.
fn lead<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    std::iter::once(None).chain(values.iter().copied().map(Some)).collect()
}

/// Perplexity of each sequence's completion given its prompt: `exp(mean surprisal)` over the completion, end of turn included.
pub fn given_prompt(sequences: &[Sequence], scores: &[TokenScores]) -> Vec<Option<f64>> {
    let pairs = sequences.iter().zip(scores);
    pairs
        .map(|(sequence, scores)| {
            scores.mean_surprisal(sequence.completion.positions()).map(f64::exp)
        })
        .collect()
}

/// Perplexity of each bare text, without prompt or template: the tokenizer's own beginning, if it has one, is the only context.
pub fn of_text_alone(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    texts: &[&str],
) -> Result<Vec<Option<f64>>> {
    let ids = texts
        .iter()
        .map(|text| Ok(tokenizer.encode(text, true)?.ids))
        .collect::<Result<Vec<_>>>()?;
    let refs: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let scores = score(decoder, &refs, |_| {})?;
    Ok(scores.iter().map(|s| s.mean_surprisal(0..s.log_prob.len()).map(f64::exp)).collect())
}

/// The perplexities for which a [`Summary`] says how many tokens are above.
pub const LEVELS: [f64; 6] = [1.5, 2.5, 10.0, 25.0, 100.0, 1000.0];

/// How the perplexities of examples are spread.
///
/// Their mean says what is usual only as long as no few examples make it: one answer that a model finds impossible has a perplexity of
/// millions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub median: f64,
    /// The quantile at 5 %.
    pub q05: f64,
    /// The quantile at 95 %.
    pub q95: f64,
}

impl Quantiles {
    /// A mean of more than this many medians is made by few examples.
    pub const TYPICAL: f64 = 10.0;

    /// Of these perplexities; `None` where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let mean = stats::mean(&sorted)?;
        let [median, q05, q95] = [0.5, 0.05, 0.95].map(|share| stats::quantile(&sorted, share));
        Some(Self { mean, median, q05, q95 })
    }

    /// Whether the mean says what is usual.
    pub fn mean_is_typical(&self) -> bool {
        self.mean <= Self::TYPICAL * self.median
    }
}

/// A mean perplexity of examples as people read it: the median, named so, where a few examples make the mean.
///
/// ```
/// use unforget::perplexity::usual;
/// assert_eq!(usual(4.8, Some(3.1)).shown(), "4.80");
/// assert_eq!(usual(128_608.84, Some(3.1)).shown(), "median 3.100");
/// ```
#[cfg(feature = "tables")]
pub fn usual(mean: impl Into<Option<f64>>, median: Option<f64>) -> Cell {
    let mean = mean.into();
    let cell = Cell::number(mean, 2);
    match (mean, median) {
        (Some(mean), Some(median)) if mean.is_nan() || mean > Quantiles::TYPICAL * median => {
            cell.read(format!("median {}", significant(median)))
        }
        _ => cell,
    }
}

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
    /// How the first is spread over the examples.
    pub spread_given_prompt: Option<Quantiles>,
    /// How the second is.
    pub spread_of_text_alone: Option<Quantiles>,
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
        let given_prompt = given_prompt(sequences, scores);
        Self {
            examples: sequences.len(),
            tokens: sequences.iter().map(Sequence::len).sum(),
            completion_tokens: sequences.iter().map(|s| s.completion.learned()).sum(),
            perplexity_given_prompt: mean(given_prompt.iter().copied().flatten()),
            perplexity_of_text_alone: mean(text_alone.iter().copied().flatten()),
            spread_given_prompt: Quantiles::of(given_prompt.iter().copied().flatten()),
            spread_of_text_alone: Quantiles::of(text_alone.iter().copied().flatten()),
            perplexity_per_token: mean(surprisals.iter().copied()).map(f64::exp),
            above: LEVELS.map(|perplexity| Above { perplexity, share: share(perplexity) }).to_vec(),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_that_few_examples_make_is_not_taken_for_usual() {
        // np.quantile([1, 2, 3, 4, 5], [.05, .95]) is 1.2, 4.8
        let spread = Quantiles::of([3.0, 1.0, 5.0, 2.0, 4.0]).unwrap();
        assert_eq!((spread.mean, spread.median), (3.0, 3.0));
        assert!((spread.q05 - 1.2).abs() < 1e-12 && (spread.q95 - 4.8).abs() < 1e-12);
        assert!(spread.mean_is_typical());
        let mut values = vec![3.0; 30];
        values[7] = 5e6;
        let spread = Quantiles::of(values).unwrap();
        assert!(!spread.mean_is_typical(), "{spread:?}");
        assert_eq!(usual(spread.mean, Some(spread.median)).shown(), "median 3.000");
        assert_eq!(usual(f64::INFINITY, Some(3.0)).shown(), "median 3.000");
        assert_eq!(Quantiles::of([]), None);
    }
}
