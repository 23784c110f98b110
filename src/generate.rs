//! Sampling: many answers to many prompts.
//!
//! The answers of one prompt share its prefill and its memory; each row has its own length, so finished rows leave the batch
//! and waiting prompts take their place. Every `(prompt, sample)` has its own random stream, and the log-probability of each
//! sampled token under the model itself (temperature 1, nothing cut) is kept.
//!
//! On a CPU an answer is a function of model, prompt, sample and seed. On a GPU the stream is the same, but a product's last bits depend on how many rows
//! share it, so that an answer may depend on which others were sampled with it, and a draw near the edge between two tokens may fall on either.

use crate::error::{Error, Result};
use crate::interruption;
use crate::model::Decoder;
use crate::ops::{Sieve, SievedRow, largest_and_exp_sum, most_probable};
use crate::rng::Rng;
use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the most probable token.
    pub temperature: f64,
    /// Only the smallest set of tokens whose probabilities sum to at least this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Only this many most probable tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
    /// Seed of all choices.
    pub seed: u64,
}

impl Sampling {
    /// The most probable token each time: how everything is evaluated.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self { temperature: 0.0, top_p: None, top_k: None, max_new_tokens, seed: 0 }
    }

    /// Temperature 0.7, top-p 0.95, at most 512 tokens: Self-Output's (paper § 2.2, `generate_self-output_training_data.py`).
    pub fn paper() -> Self {
        Self { temperature: 0.7, top_p: Some(0.95), top_k: None, max_new_tokens: 512, seed: 42 }
    }

    /// Refuses values that make no sense, by name.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            let problem = format!("must be 0 (greedy) or a number above, got {}", self.temperature);
            return Err(Error::invalid("temperature", problem));
        }
        if let Some(p) = self.top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            return Err(Error::invalid("top_p", format!("must be above 0 and at most 1, got {p}")));
        }
        if self.top_k == Some(0) {
            return Err(Error::invalid("top_k", "must be at least 1"));
        }
        if self.max_new_tokens == 0 {
            return Err(Error::invalid("max_new_tokens", "must be at least 1"));
        }
        Ok(())
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model stopped.
    Stop,
    /// The longest length, or the end of the context, was reached.
    Length,
}

/// One sampled answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Token ids; the stop id that ended it is the last one.
    pub ids: Vec<u32>,
    /// Log-probability of each id under the model, the stop id's too.
    pub log_probs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

impl Answer {
    /// The ids without the stop id.
    pub fn content(&self) -> &[u32] {
        match self.finish {
            Finish::Stop => &self.ids[..self.ids.len() - 1],
            Finish::Length => &self.ids,
        }
    }
}

/// Rows that are decoded together.
const ROWS: usize = 96;

/// Prompt tokens that are read together.
const PREFILL_TOKENS: usize = 4096;

struct Row {
    prompt: usize,
    sample: usize,
    rng: Rng,
    answer: Answer,
}

/// Samples `samples` answers for each prompt; `decoder` should have its adapters merged. `finished` is told of each finished answer.
///
/// # Errors
/// A prompt that is empty or leaves no room in the model's context, by its index; [`Error::NotANumber`] where a logit is not finite.
pub fn generate(
    decoder: &Decoder,
    prompts: &[Vec<u32>],
    samples: usize,
    stop_ids: &[u32],
    sampling: &Sampling,
    mut finished: impl FnMut(usize, usize, &Answer),
) -> Result<Vec<Vec<Answer>>> {
    sampling.check()?;
    let context = decoder.config.max_position_embeddings;
    for (at, prompt) in prompts.iter().enumerate() {
        if prompt.is_empty() || prompt.len() >= context {
            let problem = format!(
                "prompt {at} has {} tokens; 1 to {} fit the context",
                prompt.len(),
                context - 1
            );
            return Err(Error::invalid("prompt", problem));
        }
    }
    let streams = Rng::new(sampling.seed, "sample");
    let mut answers: Vec<Vec<Option<Answer>>> =
        prompts.iter().map(|_| vec![None; samples]).collect();
    let mut waiting: VecDeque<usize> = (0..prompts.len()).collect();
    let mut rows: Vec<Row> = Vec::new();
    let mut cache = decoder.cache();
    while samples > 0 && (!rows.is_empty() || !waiting.is_empty()) {
        interruption::check()?;
        // let waiting prompts in
        let (mut joining, mut tokens) = (Vec::new(), 0);
        while let Some(&next) = waiting.front() {
            let room = rows.len() + (joining.len() + 1) * samples <= ROWS
                || (rows.is_empty() && joining.is_empty());
            let fits = joining.is_empty() || tokens + prompts[next].len() <= PREFILL_TOKENS;
            if !room || !fits {
                break;
            }
            tokens += prompts[next].len();
            joining.push(next);
            waiting.pop_front();
        }
        if !joining.is_empty() {
            let ids: Vec<&[u32]> = joining.iter().map(|at| prompts[*at].as_slice()).collect();
            let logits = decoder.prefill(&mut cache, &ids, samples)?;
            let mut fresh = Vec::with_capacity(joining.len() * samples);
            for prompt in joining {
                fresh.extend((0..samples).map(|sample| Row {
                    prompt,
                    sample,
                    rng: streams.fork(prompt as u64).fork(sample as u64),
                    answer: Answer {
                        ids: Vec::new(),
                        log_probs: Vec::new(),
                        finish: Finish::Length,
                    },
                }));
            }
            choose_all(decoder, &mut fresh, samples, &logits, sampling)?;
            rows.append(&mut fresh);
        }
        // finished rows leave
        let (mut left, mut kept) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for (at, mut row) in rows.into_iter().enumerate() {
            if row.over(stop_ids, sampling, cache.lengths()[at], context) {
                finished(row.prompt, row.sample, &row.answer);
                answers[row.prompt][row.sample] = Some(row.answer);
            } else {
                left.push(row);
                kept.push(at);
            }
        }
        rows = left;
        cache.keep(&kept)?;
        if !rows.is_empty() {
            let tokens: Vec<u32> = rows
                .iter()
                .map(|row| *row.answer.ids.last().expect("one token at least"))
                .collect();
            let logits = decoder.step(&mut cache, &tokens)?;
            choose_all(decoder, &mut rows, 1, &logits, sampling)?;
        }
    }
    let complete = |answers: Vec<Option<Answer>>| answers.into_iter().flatten().collect();
    Ok(answers.into_iter().map(complete).collect())
}

/// Chooses the next token of each row; row `r` of `logits` is that of the rows `r · each` up to `(r + 1) · each`.
fn choose_all(
    decoder: &Decoder,
    rows: &mut [Row],
    each: usize,
    logits: &Tensor,
    sampling: &Sampling,
) -> Result<()> {
    if !decoder.backend().is_host() {
        return match sampling.temperature {
            0.0 => choose_greedily(rows, each, logits),
            _ => choose_by_sieve(rows, each, logits, sampling),
        };
    }
    let width = logits.dim(1)?;
    let logits = logits.flatten_all()?.to_vec1::<f32>()?;
    let pairs = rows.par_chunks_mut(each).zip(logits.par_chunks_exact(width));
    pairs.try_for_each(|(rows, logits)| {
        rows.par_iter_mut().try_for_each(|row| row.choose(logits, sampling))
    })
}

/// As [`Row::choose`] at temperature 0, on the device that has the logits.
fn choose_greedily(rows: &mut [Row], each: usize, logits: &Tensor) -> Result<()> {
    for (rows, most) in rows.chunks_mut(each).zip(most_probable(logits)?) {
        for row in rows {
            row.push(most.finite, most.id, most.log_prob)?;
        }
    }
    Ok(())
}

/// Blocks of the vocabulary that are looked at for each row before all of them are.
const BLOCKS: usize = 32;

/// As [`Row::choose`] above temperature 0, on the device that has the logits: of each row the blocks with the largest leave it, and those in which
/// draws fall.
fn choose_by_sieve(
    rows: &mut [Row],
    each: usize,
    logits: &Tensor,
    sampling: &Sampling,
) -> Result<()> {
    let sieve = Sieve::new(logits, sampling.temperature)?;
    let weigh = |of: &SievedRow<'_>, logit: f32| {
        (f64::from(logit - of.largest) / sampling.temperature).exp()
    };
    let cut = sampling.top_k.is_some() || sampling.top_p.is_some_and(|p| p < 1.0);
    let mut drawn: Vec<Option<(u32, f32)>> = vec![None; rows.len()];
    if !cut {
        // the block is found by the blocks' sums, the token by the block's logits
        let mut wanted = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter_mut().enumerate() {
            let of = sieve.row(at / each);
            let mass: f64 = of.weights.iter().map(|weight| f64::from(*weight)).sum();
            let (mut left, mut block) = (row.rng.uniform() * mass, 0);
            while left >= f64::from(of.weights[block]) && block + 1 < of.weights.len() {
                left -= f64::from(of.weights[block]);
                block += 1;
            }
            wanted.push((at / each, block, left));
        }
        let places: Vec<(usize, usize)> =
            wanted.iter().map(|(row, block, _)| (*row, *block)).collect();
        let blocks = sieve.fetch(&places)?;
        for ((drawn, (row, block, mut left)), logits) in drawn.iter_mut().zip(wanted).zip(blocks) {
            let of = sieve.row(row);
            for (id, logit) in (Sieve::first_id(block)..).zip(logits) {
                if logit.is_finite() && (left >= 0.0 || drawn.is_none()) {
                    left -= weigh(&of, logit);
                    *drawn = Some((id, logit));
                }
            }
        }
    } else {
        let mut blocks = vec![BLOCKS; sieve.rows()];
        while drawn.iter().any(Option::is_none) {
            let open: Vec<usize> =
                (0..sieve.rows()).filter(|row| drawn[row * each].is_none()).collect();
            let mut places = Vec::new();
            for &row in &open {
                let maxima = sieve.row(row).maxima;
                let mut order: Vec<usize> = (0..maxima.len()).collect();
                order.sort_unstable_by(|a, b| maxima[*b].total_cmp(&maxima[*a]).then(a.cmp(b)));
                places.push(order.into_iter().take(blocks[row]).collect::<Vec<_>>());
            }
            let flat = open.iter().zip(&places);
            let flat: Vec<(usize, usize)> =
                flat.flat_map(|(row, blocks)| blocks.iter().map(|block| (*row, *block))).collect();
            let mut fetched = sieve.fetch(&flat)?.into_iter();
            for (row, places) in open.into_iter().zip(places) {
                let of = sieve.row(row);
                let mut candidates = Vec::new();
                for block in &places {
                    let logits = fetched.next().unwrap_or_default();
                    let ids = Sieve::first_id(*block)..;
                    candidates.extend(ids.zip(logits).filter(|(_, logit)| logit.is_finite()));
                }
                candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                let all = places.len() == of.maxima.len();
                // what is less than the largest of all that was left there may be missing
                let rest = (0..of.maxima.len()).filter(|block| !places.contains(block));
                let rest = rest.map(|block| of.maxima[block]).fold(f32::NEG_INFINITY, f32::max);
                let known = match all {
                    true => candidates.len(),
                    false => candidates.partition_point(|(_, logit)| *logit > rest),
                };
                candidates.truncate(known);
                if let Some(k) = sampling.top_k {
                    candidates.truncate(k);
                }
                let enough_of_k = all || sampling.top_k.is_some_and(|k| candidates.len() == k);
                let weights: Vec<f64> =
                    candidates.iter().map(|(_, logit)| weigh(&of, *logit)).collect();
                let sum: f64 = weights.iter().sum();
                let mass = match enough_of_k {
                    true => sum,
                    false => of.weights.iter().map(|weight| f64::from(*weight)).sum(),
                };
                let p = sampling.top_p.filter(|p| *p < 1.0);
                let kept = match p {
                    // those that reach p together
                    Some(p) => {
                        let mut reached = 0.0;
                        let at = weights.iter().position(|weight| {
                            reached += weight;
                            reached >= p * mass
                        });
                        at.map(|at| at + 1).or(all.then_some(weights.len()))
                    }
                    None => enough_of_k.then_some(weights.len()),
                };
                // with top-k, what p asks for is a part of the k
                let kept = kept.filter(|_| sampling.top_k.is_none() || enough_of_k);
                let Some(kept) = kept.filter(|kept| *kept > 0 || all) else {
                    blocks[row] = of.maxima.len();
                    continue;
                };
                let mass: f64 = weights[..kept].iter().sum();
                for at in row * each..(row + 1) * each {
                    let mut left = rows[at].rng.uniform() * mass;
                    let found = weights[..kept].iter().position(|weight| {
                        left -= weight;
                        left < 0.0
                    });
                    let found = found.unwrap_or(kept.saturating_sub(1));
                    drawn[at] = Some(candidates.get(found).copied().unwrap_or((0, f32::NAN)));
                }
            }
        }
    }
    for (at, (row, drawn)) in rows.iter_mut().zip(drawn).enumerate() {
        let of = sieve.row(at / each);
        let (id, logit) = drawn.unwrap_or((0, f32::NAN));
        row.push(of.finite && logit.is_finite(), id, logit - of.largest - of.log_sum)?;
    }
    Ok(())
}

impl Row {
    fn choose(&mut self, logits: &[f32], sampling: &Sampling) -> Result<()> {
        // without an early end, so that many are looked at at once
        if !logits.iter().fold(true, |fine, logit| fine & logit.is_finite()) {
            return self.push(false, 0, f32::NAN);
        }
        let id = choose(logits, sampling, &mut self.rng);
        let (largest, sum) = largest_and_exp_sum(logits);
        let log_prob = f64::from(logits[id as usize] - largest) - f64::from(sum).ln();
        self.push(true, id, log_prob as f32)
    }

    /// Adds a token, if all logits were `finite`.
    fn push(&mut self, finite: bool, id: u32, log_prob: f32) -> Result<()> {
        if !finite {
            let (token, prompt) = (self.answer.ids.len() + 1, self.prompt);
            let what = format!("a logit of token {token} of the answer to prompt {prompt}");
            return Err(Error::NotANumber { what });
        }
        self.answer.ids.push(id);
        self.answer.log_probs.push(log_prob);
        Ok(())
    }

    /// Whether the row has ended, and if so how.
    fn over(
        &mut self,
        stop_ids: &[u32],
        sampling: &Sampling,
        length: usize,
        context: usize,
    ) -> bool {
        if self.answer.ids.last().is_some_and(|id| stop_ids.contains(id)) {
            self.answer.finish = Finish::Stop;
            return true;
        }
        self.answer.ids.len() >= sampling.max_new_tokens || length + 1 >= context
    }
}

/// The next token: the most probable one, or a draw after temperature, top-k and top-p in transformers' order.
pub fn choose(logits: &[f32], sampling: &Sampling, rng: &mut Rng) -> u32 {
    let greedy = || {
        let better = |best: usize, at: usize| if logits[at] > logits[best] { at } else { best };
        (0..logits.len()).fold(0, better)
    };
    let largest = greedy();
    if sampling.temperature == 0.0 {
        return largest as u32;
    }
    let weigh = |logit: f32| (f64::from(logit - logits[largest]) / sampling.temperature).exp();
    let mut candidates: Vec<(u32, f64)> =
        (0u32..).zip(logits.iter().map(|logit| weigh(*logit))).collect();
    let by_weight = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if let Some(k) = sampling.top_k.filter(|k| *k < candidates.len()) {
        candidates.select_nth_unstable_by(k - 1, by_weight);
        candidates.truncate(k);
    }
    let mut mass: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    if let Some(p) = sampling.top_p.filter(|p| *p < 1.0) {
        // what is lighter than this cannot sum to 1 - p, so the set sought is among the others
        let least = mass * (1.0 - p) / candidates.len() as f64;
        candidates.retain(|(_, weight)| *weight >= least);
        candidates.sort_unstable_by(by_weight);
        let (mut sum, mut kept) = (0.0, 0);
        for (_, weight) in &candidates {
            sum += weight;
            kept += 1;
            if sum >= p * mass {
                break;
            }
        }
        candidates.truncate(kept);
        mass = sum;
    }
    let mut left = rng.uniform() * mass;
    for (id, weight) in &candidates {
        left -= weight;
        if left < 0.0 {
            return *id;
        }
    }
    candidates.last().map_or(largest as u32, |(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(sampling: &Sampling, logits: &[f32]) -> Vec<f64> {
        let mut rng = Rng::new(5, "test");
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..40_000 {
            counts[choose(logits, sampling, &mut rng) as usize] += 1.0 / 40_000.0;
        }
        counts
    }

    fn close(got: &[f64], want: &[f64]) {
        assert!(
            got.iter().zip(want).all(|(a, b)| (a - b).abs() < 0.01),
            "{got:?}, wanted {want:?}"
        );
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits: Vec<f32> = [0.5f32, 0.2, 0.2, 0.1].iter().map(|p| p.ln()).collect();
        let plain = Sampling { temperature: 1.0, ..Sampling::greedy(1) };
        close(&shares(&plain, &logits), &[0.5, 0.2, 0.2, 0.1]);
        // squared and renormalized
        let cold = Sampling { temperature: 0.5, ..plain.clone() };
        close(&shares(&cold, &logits), &[0.25 / 0.34, 0.04 / 0.34, 0.04 / 0.34, 0.01 / 0.34]);
        let top = Sampling { top_p: Some(0.6), ..plain.clone() };
        close(&shares(&top, &logits), &[0.5 / 0.7, 0.2 / 0.7, 0.0, 0.0]);
        let two = Sampling { top_k: Some(2), ..plain };
        close(&shares(&two, &logits), &[0.5 / 0.7, 0.2 / 0.7, 0.0, 0.0]);
    }

    #[test]
    fn a_rare_token_is_drawn_as_often_as_it_should() {
        // candle's Gumbel sampler never draws these
        let mut logits = vec![0.0f32; 10_000];
        logits[0] = (10_000.0f32).ln();
        let plain = Sampling { temperature: 1.0, ..Sampling::greedy(1) };
        let first = shares(&plain, &logits)[0];
        assert!((first - 0.5).abs() < 0.01, "{first}");
    }
}
