//! The four cases that every benchmark here times, on token ids that benches/pytorch.py makes too.

use std::path::Path;
use unforget::adapter::LoraConfig;
use unforget::error::Result;
use unforget::generate::{Sampling, generate};
use unforget::model::{Backend, Batch, Checkpoint, Decoder, Family, ModelConfig, Precision};
use unforget::optimizer::Schedule;
use unforget::train::{Example, Method, TrainConfig, Trainer};

/// Keeps candle's own workers from starting, as the program does: they spin while they wait, and all that is large runs on rayon.
/// To be called first thing in `main`.
pub fn set_candle_aside() {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// One training step: rank 16 on all linear layers, forward, backward, AdamW.
    Lora,
    /// One training step of all weights.
    Full,
    /// Log-probability of every token, no gradient.
    Score,
    /// Many answers to each of some prompts.
    Sample,
}

impl Case {
    pub const ALL: [(&'static str, Case); 4] = [
        ("lora", Case::Lora),
        ("full", Case::Full),
        ("score", Case::Score),
        ("sample", Case::Sample),
    ];
}

/// How much one run of a case does.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Sequences read together.
    pub batch: usize,
    /// Prompts that are answered together.
    pub prompts: usize,
    /// Tokens of a sequence, or of the prompt.
    pub length: usize,
    /// Answers to each prompt.
    pub samples: usize,
    /// Tokens of each answer.
    pub new_tokens: usize,
    /// Whether training computes blocks again instead of keeping them.
    pub replay: bool,
}

impl Size {
    /// Tokens that one run of `case` reads, or writes when it samples.
    pub fn tokens(&self, case: Case) -> usize {
        match case {
            Case::Sample => self.prompts * self.samples * self.new_tokens,
            _ => self.batch * self.length,
        }
    }
}

/// The shape of the lab model.
pub fn lab() -> ModelConfig {
    ModelConfig {
        hidden_size: 128,
        intermediate_size: 384,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 32,
        vocab_size: 1024,
        max_position_embeddings: 384,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        ..ModelConfig::defaults(Family::Llama)
    }
}

/// 30 million parameters: the shape of `benches/make_random.py 30m`.
pub fn thirty_million() -> ModelConfig {
    ModelConfig {
        hidden_size: 384,
        intermediate_size: 1536,
        num_hidden_layers: 8,
        num_attention_heads: 6,
        num_key_value_heads: 2,
        head_dim: 64,
        vocab_size: 16_000,
        max_position_embeddings: 1024,
        tie_word_embeddings: false,
        ..lab()
    }
}

/// The weights in `folder`, which needs no tokenizer.
#[allow(dead_code, reason = "one of the two benchmarks makes its models up")]
pub fn open(folder: &Path, backend: &Backend, precision: Precision) -> Result<Decoder> {
    let checkpoint = Checkpoint {
        model: folder.to_path_buf(),
        adapter: None,
        adapter_scale: None,
        template: Default::default(),
        precision: None,
    };
    Ok(checkpoint.load_base_in(backend, precision)?.decoder)
}

/// Sequence `row`: token `t` is `(7919 row + 104729 t + 31 t²) mod vocabulary`.
fn ids(row: usize, size: &Size, vocabulary: usize) -> Vec<u32> {
    (0..size.length)
        .map(|t| ((7919 * row + 104_729 * t + 31 * t * t) % vocabulary) as u32)
        .collect()
}

/// Sets `case` up and hands `body` a function that runs it once and returns the mean surprisal, where there is one.
pub fn set_up<R>(
    case: Case,
    decoder: Decoder,
    size: &Size,
    body: impl FnOnce(&mut dyn FnMut() -> Result<Option<f64>>) -> R,
) -> Result<R> {
    let vocabulary = decoder.config.vocab_size;
    let rows: Vec<Vec<u32>> = (0..size.batch).map(|row| ids(row, size, vocabulary)).collect();
    let predicted = size.batch * (size.length - 1);
    Ok(match case {
        Case::Lora | Case::Full => {
            let example = |(row, ids): (usize, Vec<u32>)| Example {
                id: format!("row {row}"),
                weights: vec![1.0; ids.len()],
                completion_tokens: ids.len() - 1,
                ids,
            };
            let examples: Vec<Example> = rows.into_iter().enumerate().map(example).collect();
            let config = TrainConfig {
                method: match case {
                    Case::Lora => Method::Lora(LoraConfig::lab()),
                    _ => Method::Full,
                },
                learning_rate: 1e-4,
                schedule: Schedule::Constant,
                warmup_steps: 0,
                num_epochs: 1_000_000,
                batch_size: size.batch,
                max_tokens_per_forward: usize::MAX,
                max_grad_norm: None,
                gradient_checkpointing: size.replay,
                ..TrainConfig::lab()
            };
            let mut trainer = Trainer::new(decoder, &examples, &config)?;
            body(&mut || Ok(Some(trainer.step()?.loss)))
        }
        Case::Score => {
            let mut batch = Batch::new();
            for ids in &rows {
                batch.push(ids, &vec![1.0; ids.len()]);
            }
            body(&mut || {
                let facts = decoder.score(&batch)?;
                let sum: f64 = facts.log_prob.iter().map(|l| -f64::from(*l)).sum();
                Ok(Some(sum / predicted as f64))
            })
        }
        Case::Sample => {
            let prompts: Vec<Vec<u32>> =
                (0..size.prompts).map(|row| ids(row, size, vocabulary)).collect();
            let sampling = Sampling { max_new_tokens: size.new_tokens, ..Sampling::paper() };
            body(&mut || {
                // no stop ids: every answer has its full length
                let answers =
                    generate(&decoder, &prompts, size.samples, &[], &sampling, |_, _, _| {})?;
                let whole =
                    |answer: &unforget::generate::Answer| answer.ids.len() == size.new_tokens;
                assert!(answers.iter().flatten().all(whole), "an answer is too short");
                Ok(None)
            })
        }
    })
}
