//! One training loop for every experiment: it knows tokens and weights, and not why a token is masked.
//!
//! A [`Trainer`] holds the decoder, the data and the optimiser's state, takes one optimiser step at a time, and can save and
//! restore itself between any two steps so exactly that nobody can tell.

use crate::adapter::{self, LoraConfig};
use crate::error::{Error, Result};
use crate::model::{Batch, Decoder, Dropout};
use crate::optimizer::{AdamW, AdamWConfig, Schedule, clip_factor, global_norm};
use crate::rng::Rng;
pub use crate::select::Normalizer;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// One training example: a rendered conversation and how much each token counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Names the example in messages.
    pub id: String,
    /// Token ids, prompt and completion.
    pub ids: Vec<u32>,
    /// Weight of each token's surprisal in the loss, one for each id: 0 for the prompt and for masked tokens.
    pub weights: Vec<f32>,
    /// Tokens of the completion, learned or not.
    pub completion_tokens: usize,
}

/// What is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A low-rank adapter; the model's own weights stay.
    Lora(LoraConfig),
    /// Every weight.
    Full,
}

/// How to fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// What is trained.
    pub method: Method,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How the rate goes over the steps.
    pub schedule: Schedule,
    /// Optimiser steps over which the rate rises from 0.
    pub warmup_steps: usize,
    /// Passes over the data.
    pub epochs: usize,
    /// Examples of one optimiser step.
    pub batch: usize,
    /// Most tokens computed at one time; a larger batch is accumulated in parts, to the same gradient.
    pub micro_tokens: usize,
    /// What a step's loss is divided by.
    pub normalizer: Normalizer,
    /// Largest norm of a step's gradient; longer ones are scaled down.
    pub clip: Option<f64>,
    /// The optimiser's constants.
    pub adamw: AdamWConfig,
    /// Compute blocks again in the backward pass instead of keeping them: less memory, more time, same bits.
    pub replay: bool,
    /// Seed of the adapter's start, the order of examples and dropout.
    pub seed: u64,
}

impl Finetune {
    /// The authors' masking script (`train_with_mask.py`, January 2025) with the paper's learning rate of 2e-5 and three epochs; batch 4
    /// as two GPUs with two sequences each had it. Where their other arms differ (rank 32, alpha 16, cosine), this is kept for all arms.
    pub fn paper() -> Self {
        Self {
            method: Method::Lora(LoraConfig::paper()),
            learning_rate: 2e-5,
            schedule: Schedule::Linear,
            warmup_steps: 10,
            epochs: 3,
            batch: 4,
            micro_tokens: 8192,
            normalizer: Normalizer::Kept,
            clip: Some(1.0),
            adamw: AdamWConfig::default(),
            replay: true,
            seed: 42,
        }
    }

    /// For the lab model: batch 16, cosine, larger rates, as a model a thousand times smaller needs.
    pub fn lab() -> Self {
        Self {
            method: Method::Lora(LoraConfig::lab()),
            learning_rate: 1e-3,
            schedule: Schedule::Cosine,
            warmup_steps: 5,
            batch: 16,
            replay: false,
            ..Self::paper()
        }
    }

    /// Refuses values that make no sense, by name.
    pub fn check(&self) -> Result<()> {
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            let problem = format!("must be a number above 0, got {}", self.learning_rate);
            return Err(Error::invalid("learning_rate", problem));
        }
        for (name, value) in [
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("micro_tokens", self.micro_tokens),
        ] {
            if value == 0 {
                return Err(Error::invalid(name, "must be at least 1"));
            }
        }
        if let Some(clip) = self.clip.filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
            return Err(Error::invalid(
                "clip",
                format!("must be a number above 0, got {clip}"),
            ));
        }
        match &self.method {
            Method::Lora(lora) => lora.check(),
            Method::Full => Ok(()),
        }
    }
}

/// What one optimiser step did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Loss, divided by the normaliser, before the step.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The learning rate used.
    pub learning_rate: f64,
    /// Tokens read, prompts included.
    pub tokens: usize,
    /// Tokens learned.
    pub learned: usize,
}

/// A fine-tuning under way.
#[derive(Debug)]
pub struct Trainer<'a> {
    decoder: Decoder,
    data: Vec<&'a Example>,
    config: Finetune,
    optimizer: AdamW,
    steps: Vec<Step>,
    total: usize,
    /// Examples left out because no token of theirs is learned.
    left_out: Vec<&'a str>,
}

/// The part of a trainer's state that is not tensors.
#[derive(Serialize, Deserialize)]
struct Saved {
    steps: Vec<Step>,
}

impl<'a> Trainer<'a> {
    /// Makes `decoder` trainable and sets everything up; nothing is computed yet.
    pub fn new(mut decoder: Decoder, data: &'a [Example], config: &Finetune) -> Result<Self> {
        config.check()?;
        if data.is_empty() {
            return Err(Error::invalid("training data", "holds no example"));
        }
        let learns =
            |example: &&Example| example.weights.iter().skip(1).any(|weight| *weight != 0.0);
        let (kept, left_out): (Vec<_>, Vec<_>) = data.iter().partition(learns);
        if kept.is_empty() {
            let problem = format!(
                "every token of all {} examples is masked, so there is nothing to learn; raise the threshold",
                data.len()
            );
            return Err(Error::invalid("training data", problem));
        }
        for example in &kept {
            if example.weights.len() != example.ids.len() {
                let (weights, ids) = (example.weights.len(), example.ids.len());
                let problem = format!("{}: {weights} weights for {ids} tokens", example.id);
                return Err(Error::invalid("training data", problem));
            }
        }
        let vocabulary = decoder.config.vocab_size;
        for example in &kept {
            if let Some(id) = example.ids.iter().find(|id| **id as usize >= vocabulary) {
                let problem = format!(
                    "{}: token id {id} is outside the model's vocabulary of {vocabulary}; render the data with this model's tokenizer",
                    example.id
                );
                return Err(Error::invalid("training data", problem));
            }
        }
        match &config.method {
            Method::Lora(lora) => adapter::attach(&mut decoder, lora, config.seed)?,
            Method::Full => decoder.train_in_full()?,
        }
        let total = config.epochs * kept.len().div_ceil(config.batch);
        Ok(Self {
            optimizer: AdamW::new(decoder.trainable(), config.adamw)?,
            left_out: left_out.iter().map(|example| example.id.as_str()).collect(),
            data: kept,
            config: config.clone(),
            steps: Vec::new(),
            decoder,
            total,
        })
    }

    /// Examples that are left out because every token of theirs is masked.
    pub fn left_out(&self) -> &[&'a str] {
        &self.left_out
    }

    /// Optimiser steps in all.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Steps taken so far.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether all steps are taken.
    pub fn done(&self) -> bool {
        self.steps.len() >= self.total
    }

    /// The model as it is now.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The examples of optimiser step `step`, from 0: each epoch in an order of its own.
    fn examples(&self, step: usize) -> Vec<&'a Example> {
        let in_epoch = self.data.len().div_ceil(self.config.batch);
        let mut order: Vec<usize> = (0..self.data.len()).collect();
        Rng::new(self.config.seed, "order")
            .fork((step / in_epoch) as u64)
            .shuffle(&mut order);
        let from = step % in_epoch * self.config.batch;
        order
            .iter()
            .skip(from)
            .take(self.config.batch)
            .map(|at| self.data[*at])
            .collect()
    }

    /// Takes one optimiser step.
    pub fn step(&mut self) -> Result<Step> {
        let at = self.steps.len();
        assert!(at < self.total, "all steps are taken");
        let examples = self.examples(at);
        let (loss, gradients, tokens, learned) = self.accumulate(at, &examples)?;
        let stopped = |problem: String| {
            Err(Error::Training {
                step: at + 1,
                problem,
            })
        };
        let named = || {
            let ids: Vec<&str> = examples.iter().map(|example| example.id.as_str()).collect();
            let more = if ids.len() > 5 { ", …" } else { "" };
            ids[..ids.len().min(5)].join(", ") + more
        };
        if !loss.is_finite() {
            return stopped(format!(
                "the loss is {loss} on {}; try a lower learning rate than {:e}, or look at these examples",
                named(),
                self.config.learning_rate
            ));
        }
        if at == 0 {
            self.guard(&gradients)?;
        }
        let gradients: Vec<Tensor> = gradients.into_iter().flatten().collect();
        let gradient_norm = global_norm(&gradients)?;
        if !gradient_norm.is_finite() {
            return stopped(format!(
                "the gradient's norm is {gradient_norm} on {}; try a lower learning rate than {:e}, or look at these examples",
                named(),
                self.config.learning_rate
            ));
        }
        let factor = self.config.schedule.factor(
            at,
            self.total,
            self.config.warmup_steps.min(self.total / 2),
        );
        let learning_rate = self.config.learning_rate * factor;
        self.optimizer.step(
            &gradients,
            learning_rate,
            clip_factor(gradient_norm, self.config.clip),
        )?;
        let step = Step {
            loss,
            gradient_norm,
            learning_rate,
            tokens,
            learned,
        };
        self.steps.push(step);
        Ok(step)
    }

    /// Loss and gradient of one optimiser step, in parts of at most `micro_tokens` tokens.
    fn accumulate(
        &self,
        at: usize,
        examples: &[&Example],
    ) -> Result<(f64, Vec<Option<Tensor>>, usize, usize)> {
        let kept = |example: &Example| {
            example
                .weights
                .iter()
                .skip(1)
                .filter(|weight| **weight != 0.0)
                .count()
        };
        let learned: usize = examples.iter().map(|example| kept(example)).sum();
        let divisor = match self.config.normalizer {
            Normalizer::Kept => learned as f64,
            Normalizer::Completion => examples
                .iter()
                .map(|example| example.completion_tokens as f64)
                .sum(),
            Normalizer::Weights => examples
                .iter()
                .flat_map(|e| e.weights.iter().skip(1))
                .map(|w| f64::from(*w))
                .sum(),
            Normalizer::Batch => examples.len() as f64,
        };
        let dropout = match &self.config.method {
            Method::Lora(lora) if lora.dropout > 0.0 => Some(lora.dropout),
            _ => None,
        };
        let (mut loss, mut sums, mut tokens) = (0.0, Vec::<Option<Tensor>>::new(), 0);
        for (part, batch) in self.parts(examples, divisor).into_iter().enumerate() {
            tokens += batch.tokens();
            let rng = Rng::new(self.config.seed, "dropout")
                .fork(at as u64)
                .fork(part as u64);
            let dropout = dropout.map(|share| Dropout { share, rng });
            let gradient = self
                .decoder
                .gradient(&batch, self.config.replay, dropout.as_ref())?;
            loss += gradient.loss.loss;
            if sums.is_empty() {
                sums = gradient.gradients;
                continue;
            }
            for (sum, more) in sums.iter_mut().zip(gradient.gradients) {
                *sum = match (sum.take(), more) {
                    (Some(sum), Some(more)) => Some((sum + more)?),
                    (sum, more) => sum.or(more),
                };
            }
        }
        Ok((loss, sums, tokens, learned))
    }

    fn parts(&self, examples: &[&Example], divisor: f64) -> Vec<Batch> {
        let mut parts = vec![Batch::new()];
        for example in examples {
            let last = parts.last_mut().expect("never empty");
            let full =
                last.tokens() > 0 && last.tokens() + example.ids.len() > self.config.micro_tokens;
            let weights: Vec<f32> = example
                .weights
                .iter()
                .map(|w| (f64::from(*w) / divisor) as f32)
                .collect();
            if full {
                parts.push(Batch::new());
            }
            parts
                .last_mut()
                .expect("never empty")
                .push(&example.ids, &weights);
        }
        parts
    }

    /// At the first step: every trained tensor received a finite gradient, and not all of them are zero.
    fn guard(&self, gradients: &[Option<Tensor>]) -> Result<()> {
        let mut problems = Vec::new();
        let mut any = false;
        for ((name, _), gradient) in self.decoder.trainable().iter().zip(gradients) {
            let Some(gradient) = gradient else {
                problems.push(format!("{name} got none"));
                continue;
            };
            let size = global_norm(std::slice::from_ref(gradient))?;
            any |= size > 0.0;
            if !size.is_finite() {
                problems.push(format!("{name} got {size}"));
            }
        }
        if problems.is_empty() && any {
            return Ok(());
        }
        if problems.is_empty() {
            problems.push("all gradients are zero".into());
        }
        let problem = format!(
            "the gradients of the first step are not sound: {}",
            problems.join("; ")
        );
        Err(Error::Training { step: 1, problem })
    }

    /// Writes everything needed to go on, into an existing folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut tensors = self.optimizer.state()?;
        for (name, var) in self.decoder.trainable() {
            tensors.insert(format!("p.{name}"), var.as_detached_tensor());
        }
        crate::model::write_tensors(&folder.join("state.safetensors"), &tensors)?;
        let path = folder.join("steps.json");
        let text = serde_json::to_string(&Saved {
            steps: self.steps.clone(),
        })
        .map_err(Error::library("packing the training's state"))?;
        std::fs::write(&path, text).map_err(Error::io("saving the training's state", &path))
    }

    /// Goes back to what [`Trainer::save`] wrote.
    pub fn restore(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join("steps.json");
        let text = std::fs::read_to_string(&path)
            .map_err(Error::io("reading the training's state", &path))?;
        let saved: Saved = serde_json::from_str(&text)
            .map_err(|e| Error::file(&path, format!("not a saved state: {e}")))?;
        let file = folder.join("state.safetensors");
        let tensors: BTreeMap<String, Tensor> = crate::model::read_file(&file, &Device::Cpu)?;
        for (name, var) in self.decoder.trainable() {
            match tensors.get(&format!("p.{name}")) {
                Some(value) if value.shape() == var.shape() => {
                    var.set(&value.to_device(var.device())?)?
                }
                _ => {
                    return Err(Error::file(
                        &file,
                        format!("has no {name} of shape {:?}", var.shape()),
                    ));
                }
            }
        }
        self.optimizer.restore(&tensors, saved.steps.len())?;
        self.steps = saved.steps;
        Ok(())
    }

    /// Frobenius norm of the change of all adapted weights together, relative to the weights' own; `base` is the model before.
    pub fn relative_weight_change(&self, base: &Decoder) -> Result<f64> {
        let (mut change, mut size) = (0f64, 0f64);
        for ((_, tuned), (_, before)) in self.decoder.projections().zip(base.projections()) {
            let before = before.merged_weight()?;
            let difference = (tuned.merged_weight()? - &before)?;
            change += global_norm(&[difference])?.powi(2);
            size += global_norm(&[before])?.powi(2);
        }
        Ok((change / size.max(f64::MIN_POSITIVE)).sqrt())
    }
}
