//! What work with a model takes on this machine, measured on the model itself within seconds.

use crate::adapter::{self, LoraConfig};
use crate::context::Context;
use crate::error::Result;
use crate::generate::{Sampling, generate};
use crate::model::{Batch, Checkpoint, ModelConfig};
use std::time::{Duration, Instant};

/// Tokens of the text that is read, and of the prompt.
const LENGTH: usize = 128;
/// Answers that are written together, and tokens of each.
const ANSWERS: (usize, usize) = (16, 8);
/// Numbers that a token keeps in each block for the backward pass, in sizes of its hidden state, its wide one, its keys. Fitted to the resident
/// memory of LoRA steps on 128 and 512 tokens (`benches/timed.rs`) of a Llama of 30 million parameters, SmolLM2 135M and Qwen2.5 0.5B: off by at most 13 %.
const KEPT: (u64, u64, u64) = (8, 3, 20);
/// Numbers that a token has at once while it is read.
const PASSING: (u64, u64) = (6, 3);
/// Numbers in memory for each one that is trained: itself, its gradient, and AdamW's two.
const TRAINED: u64 = 4;
/// Bytes of the logits that exist at one time.
const LOGITS: u64 = 1 << 26;
/// Each kind of work is repeated until it took as long.
const ENOUGH: Duration = Duration::from_millis(500);

/// How fast a model is here, in tokens per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Read for their log-probabilities, texts of 128 tokens.
    pub scoring: f64,
    /// Read and learned by a LoRA of rank 16 in all linear layers.
    pub training: f64,
    /// Written: sixteen answers to one prompt at once.
    pub sampling: f64,
}

impl Speed {
    /// Loads the model and measures, for about two seconds beside the loading where the model is small.
    ///
    /// # Errors
    /// When the model cannot be loaded.
    pub fn of(cx: &Context, checkpoint: &Checkpoint) -> Result<Self> {
        let mut decoder = cx.load_base(checkpoint)?.decoder;
        let length = LENGTH.min(decoder.config.max_position_embeddings / 2).max(2);
        let vocabulary = decoder.config.vocab_size;
        let ids: Vec<u32> =
            (0..length).map(|at| ((104_729 * at + 31 * at * at) % vocabulary) as u32).collect();
        let mut batch = Batch::new();
        batch.push(&ids, &vec![1.0; length]);
        let scoring = rate(length, || decoder.score(&batch).map(|_| ()))?;
        let (answers, new) = ANSWERS;
        let sampling = Sampling { max_new_tokens: new, ..Sampling::paper() };
        let prompt = [ids.clone()];
        // no stop ids: every answer has its full length
        let sampling = rate(answers * new, || {
            generate(&decoder, &prompt, answers, &[], &sampling, |_, _, _| {}).map(|_| ())
        })?;
        adapter::attach(&mut decoder, &LoraConfig::lab(), 1)?;
        let training = rate(length, || decoder.gradient(&batch, false, None).map(|_| ()))?;
        Ok(Self { scoring, training, sampling })
    }
}

/// Bytes that work takes on a processor beside the weights, for a thousand tokens that are in memory together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Reading for log-probabilities.
    pub scoring: u64,
    /// Learning with a LoRA of rank 16 in all linear layers.
    pub training: u64,
    /// The same with blocks computed again in the backward pass.
    pub replayed: u64,
    /// Keys and values of prompts and answers.
    pub sampling: u64,
}

impl Memory {
    /// Estimated from the model's sizes, see the constants of this file; answers to the byte.
    pub fn of(config: &ModelConfig) -> Self {
        let [layers, hidden, wide, keys, heads] = [
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.num_key_value_heads * config.head_dim,
            config.num_attention_heads * config.head_dim,
        ]
        .map(|size| size as u64);
        let bytes = |numbers: u64| 4 * numbers;
        let thousand = |numbers: u64| bytes(1000 * numbers);
        let block = KEPT.0 * hidden + KEPT.1 * wide + KEPT.2 * keys;
        // inner and outer sizes of q, k, v, o, gate, up and down
        let sides = 4 * hidden + 2 * (heads + keys) + 3 * (hidden + wide);
        let adapter = bytes(TRAINED * LoraConfig::lab().rank as u64 * layers * sides);
        let passing = thousand(PASSING.0 * hidden + PASSING.1 * wide) + LOGITS;
        Self {
            scoring: passing,
            training: adapter + thousand(layers * block) + LOGITS,
            replayed: adapter + thousand(layers * hidden + block) + LOGITS,
            sampling: thousand(2 * layers * keys),
        }
    }
}

/// Units per second of `work`, which does so many of them; the first run is not counted where it was short.
fn rate(units: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    let first = began.elapsed();
    if first >= ENOUGH {
        return Ok(units as f64 / first.as_secs_f64());
    }
    let (began, mut done) = (Instant::now(), 0);
    while began.elapsed() < ENOUGH {
        work()?;
        done += units;
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Family;

    /// Qwen2.5 0.5B as a GGUF file, one text of 512 tokens, of 128 in brackets: `timed --what lora --steps 1 --threads 2` with `MIMALLOC_PURGE_DELAY=0` took
    /// 1,512 (630) MiB beside the weights, with `--replay` 380 (334), `--what score` 132 (138).
    #[test]
    fn memory_is_about_what_was_measured() {
        let config = ModelConfig {
            hidden_size: 896,
            intermediate_size: 4864,
            num_hidden_layers: 24,
            num_attention_heads: 14,
            num_key_value_heads: 2,
            head_dim: 64,
            vocab_size: 151_936,
            ..ModelConfig::defaults(Family::Qwen2)
        };
        let memory = Memory::of(&config);
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        // by two points of each line to a thousand tokens
        for (estimated, measured) in
            [(memory.training, 2632.0), (memory.replayed, 439.0), (memory.scoring, 135.0)]
        {
            let ratio = mebibytes(estimated) / measured;
            assert!((0.75..1.35).contains(&ratio), "{ratio} of {measured}");
        }
        // two numbers of 128 in each of 24 blocks
        assert_eq!(memory.sampling, 1000 * 2 * 24 * 128 * 4);
    }
}
