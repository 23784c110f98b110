//! Sampling: many answers to many prompts.
//!
//! The answers of one prompt share its prefill and its memory; each row has its own length, so finished rows leave the batch
//! and waiting prompts take their place. Every `(prompt, sample)` has its own random stream, and the log-probability of each
//! sampled token under the model itself (temperature 1, nothing cut) is kept.

use crate::error::{Error, Result};
use crate::interruption;
use crate::model::{Cache, Decoder};
use crate::ops::largest_and_exp_sum;
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
    cache: Cache,
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
            let (caches, logits) = decoder.prefill(&ids)?;
            let width = logits.dim(1)?;
            let logits = logits.flatten_all()?.to_vec1::<f32>()?;
            for ((prompt, mut cache), logits) in
                joining.into_iter().zip(caches).zip(logits.chunks_exact(width))
            {
                cache.share();
                for sample in 0..samples {
                    let mut row = Row {
                        prompt,
                        sample,
                        cache: cache.clone(),
                        rng: streams.fork(prompt as u64).fork(sample as u64),
                        answer: Answer {
                            ids: Vec::new(),
                            log_probs: Vec::new(),
                            finish: Finish::Length,
                        },
                    };
                    row.choose(logits, sampling)?;
                    rows.push(row);
                }
            }
        }
        // finished rows leave
        let mut kept = Vec::with_capacity(rows.len());
        for mut row in rows {
            if row.over(stop_ids, sampling, context) {
                finished(row.prompt, row.sample, &row.answer);
                answers[row.prompt][row.sample] = Some(row.answer);
            } else {
                kept.push(row);
            }
        }
        rows = kept;
        if !rows.is_empty() {
            let tokens: Vec<u32> = rows
                .iter()
                .map(|row| *row.answer.ids.last().expect("one token at least"))
                .collect();
            let mut caches: Vec<&mut Cache> = rows.iter_mut().map(|row| &mut row.cache).collect();
            let logits = decoder.step(&tokens, &mut caches)?;
            choose_all(&mut rows, &logits, sampling)?;
        }
    }
    let complete = |answers: Vec<Option<Answer>>| answers.into_iter().flatten().collect();
    Ok(answers.into_iter().map(complete).collect())
}

fn choose_all(rows: &mut [Row], logits: &Tensor, sampling: &Sampling) -> Result<()> {
    let width = logits.dim(1)?;
    let logits = logits.flatten_all()?.to_vec1::<f32>()?;
    rows.par_iter_mut()
        .zip(logits.par_chunks_exact(width))
        .try_for_each(|(row, logits)| row.choose(logits, sampling))
}

impl Row {
    fn choose(&mut self, logits: &[f32], sampling: &Sampling) -> Result<()> {
        // without an early end, so that many are looked at at once
        if !logits.iter().fold(true, |fine, logit| fine & logit.is_finite()) {
            let (token, prompt) = (self.answer.ids.len() + 1, self.prompt);
            let what = format!("a logit of token {token} of the answer to prompt {prompt}");
            return Err(Error::NotANumber { what });
        }
        let id = choose(logits, sampling, &mut self.rng);
        let (largest, sum) = largest_and_exp_sum(logits);
        let log_prob = f64::from(logits[id as usize] - largest) - f64::from(sum).ln();
        self.answer.ids.push(id);
        self.answer.log_probs.push(log_prob as f32);
        Ok(())
    }

    /// Whether the row has ended, and if so how.
    fn over(&mut self, stop_ids: &[u32], sampling: &Sampling, context: usize) -> bool {
        if self.answer.ids.last().is_some_and(|id| stop_ids.contains(id)) {
            self.answer.finish = Finish::Stop;
            return true;
        }
        self.answer.ids.len() >= sampling.max_new_tokens || self.cache.length() + 1 >= context
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
