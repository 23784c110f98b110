//! Making the lab model from nothing: tokenizer, weights, and the log of how they came to be.

use super::corpus::{Corpus, CorpusExample};
use super::{LabTask, Split, benchmark};
use crate::chat::Conversation;
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::files::read_text;
use crate::generate::{Finish, Sampling, generate};
use crate::model::{Batch, Decoder, Family, ModelConfig, read_file, write_model, write_tensors};
use crate::optimizer::{AdamW, AdamWConfig, Muon, Schedule, clip_factor, global_norm};
use crate::rng::Rng;
use crate::store::{bytes_hash, write_atomic};
use crate::task::{Form, Item};
use crate::tokens::{self, BpeTraining, Tokenizer, train_bpe};
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// The file beside a model that says how it was made.
const RECIPE: &str = "pretraining.toml";

/// How the lab model is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pretraining {
    /// Seed of weights and texts.
    pub seed: u64,
    /// Optimizer steps.
    pub steps: usize,
    /// Texts of one step.
    pub batch: usize,
    /// Parts of a batch whose gradients are computed side by side; part of the recipe, so that any machine gives the same bytes.
    pub parts: usize,
    /// Peak rate of Muon, for the matrices of the blocks.
    pub matrix_rate: f64,
    /// Peak rate of AdamW, for embedding and norms.
    pub vector_rate: f64,
    /// Steps of rising rate.
    pub warmup_steps: usize,
    /// Share of the steps over which the rate falls to 0.
    pub decay: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// Weight of a question's tokens in the loss; an answer's and a page's have 1.
    pub prompt_weight: f32,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Whether the embedding is the head too.
    pub tied: bool,
    /// Ids of the tokenizer.
    pub vocab_size: usize,
    /// Longest text in tokens.
    pub context: usize,
    /// What it reads.
    pub corpus: Corpus,
}

impl Default for Pretraining {
    fn default() -> Self {
        Self {
            seed: 1,
            steps: 5500,
            batch: 32,
            parts: 2,
            matrix_rate: 4e-3,
            vector_rate: 1e-2,
            warmup_steps: 100,
            decay: 0.5,
            clip: 1.0,
            prompt_weight: 0.3,
            hidden_size: 128,
            intermediate_size: 384,
            layers: 4,
            heads: 4,
            kv_heads: 2,
            tied: false,
            vocab_size: 1024,
            context: 384,
            corpus: Corpus::default(),
        }
    }
}

/// Steps between two checkpoints.
const SAVE_EVERY: usize = 200;

/// Steps between two looks at the tasks, and items of each.
const LOOK_EVERY: usize = 500;
const LOOK_ITEMS: usize = 60;

/// One line of the log.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    step: usize,
    loss: f64,
    learning_rate: f64,
    tokens_per_second: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    validation: Vec<(String, f64, f64)>,
}

impl Pretraining {
    /// Reads a recipe from TOML.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, "reading the recipe")?;
        toml::from_str(&text).map_err(|e| Error::file(path, e.to_string()))
    }

    fn model(&self, vocab_size: usize) -> ModelConfig {
        ModelConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.kv_heads,
            head_dim: self.hidden_size / self.heads,
            vocab_size,
            max_position_embeddings: self.context,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: self.tied,
            ..ModelConfig::defaults(Family::Llama)
        }
    }

    /// The tokenizer, trained on the first texts of the corpus.
    pub fn tokenizer(&self, folder: &Path) -> Result<Tokenizer> {
        let rng = Rng::new(self.seed, "tokenizer");
        let texts = (0..6000u64).flat_map(|at| match self.corpus.example(&mut rng.fork(at), 0.0) {
            CorpusExample::Chat { user, assistant } => vec![user, assistant],
            CorpusExample::Document { text } => vec![text],
        });
        let texts: Vec<String> = texts.collect();
        let training = BpeTraining {
            vocab_size: self.vocab_size,
            max_length: self.context,
            ..BpeTraining::lab()
        };
        train_bpe(texts.into_iter(), &training, folder)
    }

    /// The texts of step `step` as batches, one for each part.
    fn batches(&self, tokenizer: &Tokenizer, step: usize) -> Result<Vec<Batch>> {
        let progress = step as f64 / self.steps as f64;
        let rng = Rng::new(self.seed, "corpus").fork(step as u64);
        let mut sequences = Vec::with_capacity(self.batch);
        let mut at = 0;
        while sequences.len() < self.batch {
            let text = self.corpus.example(&mut rng.fork(at), progress);
            at += 1;
            let sequence = match text {
                CorpusExample::Document { text } => tokens::document(tokenizer, "", &text)?,
                CorpusExample::Chat { user, assistant } => {
                    let conversation = Conversation::pair(user, assistant);
                    tokens::sequence(tokenizer, &Example::new("", conversation))?
                }
            };
            if sequence.ids.len() <= self.context {
                sequences.push(sequence);
            }
        }
        let weights = |sequence: &tokens::Sequence| -> Vec<f32> {
            let weight = |learn: &bool| if *learn { 1.0 } else { self.prompt_weight };
            sequence.completion.as_slice().iter().map(weight).collect()
        };
        let sum: f32 = sequences.iter().flat_map(|s| weights(s).into_iter().skip(1)).sum();
        // long and short ones dealt out alike, so that the parts take equally long
        sequences.sort_by_key(|s| s.ids.len());
        let mut batches = vec![Batch::new(); self.parts];
        for (at, sequence) in sequences.iter().enumerate() {
            let weights: Vec<f32> = weights(sequence).iter().map(|weight| weight / sum).collect();
            batches[at % self.parts].push(&sequence.ids, &weights);
        }
        Ok(batches)
    }

    /// Refuses a folder that holds anything but a model that this recipe makes.
    pub(super) fn refuse_others(&self, folder: &Path) -> Result<()> {
        let recipe = folder.join(RECIPE);
        let mut there = std::fs::read_dir(folder).into_iter().flatten();
        match std::fs::read_to_string(&recipe) {
            Ok(old) if old != self.text()? => Err(Error::file(
                recipe,
                "made by another recipe; give another folder or remove this one",
            )),
            Ok(_) => Ok(()),
            Err(_) if there.next().is_none() && !folder.is_file() => Ok(()),
            Err(_) => {
                let problem =
                    format!("holds no {RECIPE}, so it was not made here; name another folder");
                Err(Error::file(folder, problem))
            }
        }
    }

    fn text(&self) -> Result<String> {
        toml::to_string(self).map_err(Error::library("writing the recipe"))
    }

    /// Makes the model in `folder`, going on from where an earlier call was stopped. `report` gets a line now and then.
    pub fn run(&self, folder: &Path, mut report: impl FnMut(&str)) -> Result<()> {
        self.corpus.check()?;
        self.refuse_others(folder)?;
        write_atomic(&folder.join(RECIPE), self.text()?.as_bytes())?;
        let log_path = folder.join("training-log.jsonl");
        let state = folder.join("state.safetensors");
        let last = read_log(&log_path)?.last().map(|(step, _)| *step);
        if last == Some(self.steps) && !state.exists() {
            report("the model is made already");
            return Ok(());
        }
        let tokenizer = if folder.join("tokenizer.json").exists() {
            Tokenizer::open(folder)?
        } else {
            self.tokenizer(folder)?
        };
        let mut decoder =
            Decoder::random(&self.model(tokenizer.vocab_size()), self.seed, &Device::Cpu)?;
        decoder.train_in_full()?;
        let is_matrix = |(name, var): &&(String, Var)| {
            var.dims().len() == 2 && !name.contains("embed") && !name.contains("lm_head")
        };
        let matrices: Vec<_> = decoder.trainable().iter().filter(is_matrix).cloned().collect();
        let vectors: Vec<_> =
            decoder.trainable().iter().filter(|p| !is_matrix(p)).cloned().collect();
        let mut muon = Muon::new(&matrices)?;
        let mut adamw = AdamW::new(
            crate::ops::Path::Host,
            &vectors,
            AdamWConfig { beta2: 0.98, ..AdamWConfig::default() },
        )?;
        let mut step = 0;
        let saved = if state.exists() { read_state(&state)? } else { None };
        if state.exists() && saved.is_none() {
            report("state.safetensors is not as it was written: the training starts over");
        }
        if let Some(saved) = saved {
            for (name, var) in decoder.trainable() {
                match saved.get(name) {
                    Some(value) => var.set(value)?,
                    None => return Err(Error::file(&state, format!("has no {name}"))),
                }
            }
            muon.restore(&saved)?;
            step =
                saved.get("step").map_or(Ok(0), |s| s.to_vec1::<u32>().map(|s| s[0] as usize))?;
            adamw.restore(&saved, step)?;
            report(&format!("going on after step {step}"));
        }
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pools = (0..self.parts).map(pool).collect::<std::result::Result<Vec<_>, _>>();
        let pools = pools.map_err(Error::library("starting the threads"))?;
        // steps after the checkpoint are taken again, and logged again
        let lines: Vec<String> = read_log(&log_path)?
            .into_iter()
            .filter(|(at, _)| *at <= step)
            .map(|(_, line)| line + "\n")
            .collect();
        write_atomic(&log_path, lines.concat().as_bytes())?;
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .open(&log_path)
            .map_err(Error::io("opening the log", &log_path))?;
        let schedule = Schedule::Trapezoid { decay: self.decay };
        let (mut started, mut tokens, mut losses) = (Instant::now(), 0, Vec::new());
        while step < self.steps {
            let batches = self.batches(&tokenizer, step)?;
            tokens += batches.iter().map(Batch::tokens).sum::<usize>();
            let parts: Vec<_> = std::thread::scope(|scope| {
                let (decoder, work) = (&decoder, batches.iter().zip(&pools));
                let handles: Vec<_> = work
                    .map(|(batch, pool)| {
                        scope.spawn(move || pool.install(|| decoder.gradient(batch, false, None)))
                    })
                    .collect();
                handles.into_iter().map(|h| h.join().expect("a part does not panic")).collect()
            });
            let mut sum: Option<(f64, Vec<Tensor>)> = None;
            for part in parts {
                let part = part?;
                let gradients: Vec<Tensor> = part.gradients.into_iter().flatten().collect();
                sum = Some(match sum {
                    None => (part.loss.loss, gradients),
                    Some((loss, old)) => {
                        let added = old
                            .iter()
                            .zip(&gradients)
                            .map(|(a, b)| a + b)
                            .collect::<candle_core::Result<_>>()?;
                        (loss + part.loss.loss, added)
                    }
                });
            }
            let (loss, gradients) = sum.expect("one part at least");
            if !loss.is_finite() {
                let problem = format!("the loss is {loss}; lower the rates");
                return Err(Error::Training { step: step + 1, problem });
            }
            let factor = schedule.factor(step, self.steps, self.warmup_steps);
            let clip =
                clip_factor(global_norm(crate::ops::Path::Host, &gradients)?, Some(self.clip));
            let (mut of_matrices, mut of_vectors) = (Vec::new(), Vec::new());
            for (parameter, gradient) in decoder.trainable().iter().zip(gradients) {
                if is_matrix(&parameter) {
                    of_matrices.push(gradient)
                } else {
                    of_vectors.push(gradient)
                }
            }
            muon.step(&of_matrices, self.matrix_rate * factor)?;
            adamw.step(&of_vectors, self.vector_rate * factor, clip)?;
            step += 1;
            losses.push(loss);
            if step % 50 == 0 || step == self.steps {
                let mut line = Line {
                    step,
                    loss: losses.iter().sum::<f64>() / losses.len() as f64,
                    learning_rate: self.matrix_rate * factor,
                    tokens_per_second: (tokens as f64 / started.elapsed().as_secs_f64()).round(),
                    validation: Vec::new(),
                };
                if step % LOOK_EVERY == 0 || step == self.steps {
                    line.validation = look(&decoder, &tokenizer, LOOK_ITEMS)?;
                }
                let text =
                    serde_json::to_string(&line).map_err(Error::library("writing the log"))?;
                writeln!(log, "{text}").map_err(Error::io("writing the log", &log_path))?;
                report(&text);
                (started, tokens) = (Instant::now(), 0);
                losses.clear();
            }
            if step % SAVE_EVERY == 0 && step < self.steps {
                let mut tensors = muon.state();
                tensors.extend(adamw.state()?);
                tensors.extend(
                    decoder
                        .trainable()
                        .iter()
                        .map(|(name, var)| (name.clone(), var.as_detached_tensor())),
                );
                tensors.insert("step".into(), Tensor::new(&[step as u32], &Device::Cpu)?);
                tensors.insert(SUM.into(), sum_of(&tensors)?);
                let beside = folder.join("state.tmp");
                write_tensors(&beside, &tensors)?;
                std::fs::rename(&beside, &state)
                    .map_err(Error::io("keeping the checkpoint", &state))?;
                write_model(folder, &decoder, &tokenizer.stop_ids())?;
            }
        }
        write_model(folder, &decoder, &tokenizer.stop_ids())?;
        if state.exists() {
            std::fs::remove_file(&state)
                .map_err(Error::io("removing the last checkpoint", &state))?;
        }
        Ok(())
    }
}

/// Name of the tensor that holds the hash of the others.
const SUM: &str = "sha256";

/// The hash of a state's tensors.
fn sum_of(tensors: &BTreeMap<String, Tensor>) -> Result<Tensor> {
    let bytes =
        safetensors::serialize(tensors, None).map_err(Error::library("packing the state"))?;
    Ok(Tensor::new(bytes_hash(&bytes).as_bytes(), &Device::Cpu)?)
}

/// A state that was saved; `None` if it is not as it was written.
fn read_state(path: &Path) -> Result<Option<BTreeMap<String, Tensor>>> {
    let mut saved = read_file(path, &Device::Cpu)?;
    let Some(noted) = saved.remove(SUM).and_then(|sum| sum.to_vec1::<u8>().ok()) else {
        return Ok(None);
    };
    let whole = noted == sum_of(&saved)?.to_vec1::<u8>()?;
    Ok(whole.then_some(saved))
}

/// The lines of a log with their steps; none if there is no log yet.
fn read_log(path: &Path) -> Result<Vec<(usize, String)>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).map_err(Error::io("reading the log", path))?;
    let step = |line: &str| Some((serde_json::from_str::<Line>(line).ok()?.step, line.to_string()));
    Ok(text.lines().filter_map(step).collect())
}

/// Strict score and share of kept form of each task, greedily, on the first validation items.
pub fn look(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    items: usize,
) -> Result<Vec<(String, f64, f64)>> {
    let merged = decoder.merged()?;
    LabTask::ALL
        .iter()
        .map(|task| {
            let items: Vec<Item> = benchmark(*task, Split::Validation, items, 0)?;
            let prompts = items
                .iter()
                .map(|item| {
                    Ok(tokens::prompt(tokenizer, &Conversation::question(&item.prompt).messages)?
                        .ids)
                })
                .collect::<Result<Vec<_>>>()?;
            let answers = generate(
                &merged,
                &prompts,
                1,
                &tokenizer.stop_ids(),
                &Sampling::greedy(160),
                |_, _, _| {},
            )?;
            let (mut value, mut kept) = (0.0, 0.0);
            for (item, answer) in items.iter().zip(&answers) {
                let text = tokenizer.decode(answer[0].content())?;
                let score = item.grade(&text, answer[0].finish == Finish::Length);
                value += score.value / items.len() as f64;
                kept += f64::from(u8::from(score.form == Form::Kept)) / items.len() as f64;
            }
            Ok((task.name().to_string(), value, kept))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_which_one_bit_was_flipped_is_not_gone_on_from() -> Result<()> {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("state.safetensors");
        let weights = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu)?;
        let step = Tensor::new(&[7u32], &Device::Cpu)?;
        let mut tensors = BTreeMap::from([("w".to_string(), weights), ("step".into(), step)]);
        tensors.insert(SUM.into(), sum_of(&tensors)?);
        write_tensors(&path, &tensors)?;
        let whole = std::fs::read(&path).expect("it is there");
        let saved = read_state(&path)?.expect("it is as it was written");
        assert_eq!(saved["w"].to_vec1::<f32>()?, [1.0, 2.0, 3.0]);
        for back in [1, 66, 70, 80] {
            let mut bytes = whole.clone();
            let at = bytes.len() - back;
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).expect("scratch is writable");
            assert!(read_state(&path)?.is_none(), "{back} bytes before the end");
        }
        Ok(())
    }
}
