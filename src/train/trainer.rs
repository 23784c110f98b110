use super::Normalizer;
use super::config::{Method, TrainConfig};
use super::example::{Example, OnlineWeights};
use super::objective::Objective;
use super::online::{self, Online};
use super::penalty::squared_distance;
use crate::adapter;
use crate::error::{Error, Result, Word};
use crate::model::{Anchor, Batch, BatchLoss, BatchRow, Decoder, Dropout, Gradient};
use crate::ops::TokenLoss;
use crate::optimizer::{AdamW, clip_factor, global_norm, squares};
use crate::rng::Rng;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

/// What one optimizer step did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Loss, divided by the normalizer, before the step; with what the divergence from the base and L2-SP add to it.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The learning rate used.
    pub learning_rate: f64,
    /// Tokens read, prompts included.
    pub tokens: usize,
    /// Tokens learned.
    pub learned: usize,
    /// Mean divergence from the base model over the learned tokens, in nats, before it is weighted; where [`TrainConfig::kl`] asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// `½ ‖θ − θ_base‖²`, before it is weighted; where [`TrainConfig::l2_sp`] asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squared_distance: Option<f64>,
    /// Of the tokens whose weights were made anew, the share that went from learned to not learned or back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<f64>,
}

/// A fine-tuning under way.
#[derive(Debug)]
pub struct Trainer<'a> {
    decoder: Decoder,
    data: Vec<&'a Example>,
    config: TrainConfig,
    optimizer: AdamW,
    steps: Vec<Step>,
    total: usize,
    /// Examples left out because no token of theirs is learned.
    left_out: Vec<&'a str>,
    /// The model before, where something is measured from it.
    base: Option<Decoder>,
    /// The old model of [`Objective::Clipped`] that is taken anew from time to time.
    old: Option<Old>,
    online: Option<Online<'a>>,
}

/// A model of an earlier step.
#[derive(Debug)]
struct Old {
    decoder: Decoder,
    /// Its trained tensors by name, to be saved.
    values: BTreeMap<String, Tensor>,
}

/// What one optimizer step computes before it moves anything.
#[derive(Debug, Default)]
struct Accumulated {
    loss: f64,
    gradients: Vec<Option<Tensor>>,
    tokens: usize,
    totals: Totals,
    /// Sum over the learned tokens.
    kl: f64,
    churn: Option<f64>,
}

/// Of all examples of one step together.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    learned: usize,
    /// What the sum of losses is divided by.
    divisor: f64,
}

/// The part of a trainer's state that is not tensors.
#[derive(Serialize, Deserialize)]
struct Saved {
    steps: Vec<Step>,
}

impl<'a> Trainer<'a> {
    /// Makes `decoder` trainable and sets everything up; nothing is computed yet.
    pub fn new(mut decoder: Decoder, data: &'a [Example], config: &TrainConfig) -> Result<Self> {
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
        let from_base = matches!(config.objective, Objective::Clipped { refresh: None, .. });
        let in_full = config.method == Method::Full;
        let base = (config.kl.is_some() || from_base || (config.l2_sp.is_some() && in_full))
            .then(|| decoder.detached())
            .transpose()?;
        match &config.method {
            Method::Lora(lora) => adapter::attach(&mut decoder, lora, config.seed)?,
            Method::Full => decoder.train_in_full()?,
        }
        let in_epoch = kept.len().div_ceil(config.batch_size);
        let total = config.max_steps.unwrap_or(config.num_epochs * in_epoch);
        Ok(Self {
            optimizer: AdamW::new(decoder.backend().path, decoder.trainable(), config.adamw)?,
            left_out: left_out.iter().map(|example| example.id.as_str()).collect(),
            data: kept,
            config: config.clone(),
            steps: Vec::new(),
            decoder,
            total,
            base,
            old: None,
            online: None,
        })
    }

    /// Has the token weights made by `reweigh` while the model learns; see [`TrainConfig::reweigh_every`].
    pub fn reweighed(mut self, reweigh: &'a dyn OnlineWeights) -> Self {
        let every = self.config.reweigh_every.unwrap_or(1);
        self.online = Some(Online::new(reweigh, every, self.data.len()));
        self
    }

    /// Examples that are left out because every token of theirs is masked.
    pub fn left_out(&self) -> &[&'a str] {
        &self.left_out
    }

    /// Optimizer steps in all.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Optimizer steps of one pass over the data.
    pub fn in_epoch(&self) -> usize {
        self.data.len().div_ceil(self.config.batch_size)
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

    /// The places in the data of the examples of optimizer step `step`, from 0: each epoch in an order of its own.
    fn examples(&self, step: usize) -> Vec<usize> {
        let in_epoch = self.in_epoch();
        let mut order: Vec<usize> = (0..self.data.len()).collect();
        Rng::new(self.config.seed, "order").fork((step / in_epoch) as u64).shuffle(&mut order);
        let from = step % in_epoch * self.config.batch_size;
        order.into_iter().skip(from).take(self.config.batch_size).collect()
    }

    /// Takes one optimizer step.
    pub fn step(&mut self) -> Result<Step> {
        let at = self.steps.len();
        assert!(at < self.total, "all steps are taken");
        let which = self.examples(at);
        if let Objective::Clipped { refresh: Some(every), .. } = self.config.objective
            && at.is_multiple_of(every)
        {
            self.old = Some(self.take_old()?);
        }
        let mut online = self.online.take();
        let accumulated = self.accumulate(at, &which, online.as_mut());
        self.online = online;
        let mut now = accumulated?;
        let squared_distance = self.pull_back(&mut now)?;
        let Accumulated { loss, gradients, tokens, totals, kl, churn } = now;
        let stopped = |problem: String| Err(Error::Training { step: at + 1, problem });
        let named = || {
            let id = |at: &usize| Word(&self.data[*at].id).to_string();
            let ids: Vec<String> = which.iter().map(id).collect();
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
        // weights that are made while the model learns may leave nothing to learn in the first steps
        if totals.learned > 0 && self.steps.iter().all(|step| step.learned == 0) {
            self.guard(&gradients)?;
        }
        let gradients = self.whole(gradients, totals)?;
        let gradient_norm = global_norm(self.decoder.backend().path, &gradients)?;
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
            clip_factor(gradient_norm, self.config.max_grad_norm),
        )?;
        let step = Step {
            loss,
            gradient_norm,
            learning_rate,
            tokens,
            learned: totals.learned,
            kl: self.config.kl.map(|_| kl / totals.learned.max(1) as f64),
            squared_distance,
            churn,
        };
        self.steps.push(step);
        Ok(step)
    }

    /// Adds what L2-SP asks for to loss and gradient; returns half the squared distance from the base.
    fn pull_back(&self, now: &mut Accumulated) -> Result<Option<f64>> {
        let Some(strength) = self.config.l2_sp else {
            return Ok(None);
        };
        let (distance, pulls) = squared_distance(&self.decoder, self.base_in_full())?;
        now.loss += strength * distance;
        for (gradient, pull) in now.gradients.iter_mut().zip(pulls) {
            *gradient = match (gradient.take(), pull) {
                (Some(gradient), Some(pull)) => Some((gradient + (pull * strength)?)?),
                (None, Some(pull)) => Some((pull * strength)?),
                (gradient, None) => gradient,
            };
        }
        Ok(Some(distance))
    }

    fn base_in_full(&self) -> Option<&Decoder> {
        match self.config.method {
            Method::Full => self.base.as_ref(),
            Method::Lora(_) => None,
        }
    }

    /// One gradient for each trained tensor: where no token is learned at all, they are 0.
    fn whole(&self, gradients: Vec<Option<Tensor>>, totals: Totals) -> Result<Vec<Tensor>> {
        if totals.learned > 0 {
            return Ok(gradients.into_iter().flatten().collect());
        }
        let pairs = self.decoder.trainable().iter().zip(gradients);
        let whole = pairs.map(|((_, var), gradient)| match gradient {
            Some(gradient) => Ok(gradient),
            None => Ok(var.as_tensor().zeros_like()?.detach()),
        });
        whole.collect()
    }

    /// Loss and gradient of one optimizer step, in parts of at most `micro_tokens` tokens.
    fn accumulate(
        &self,
        at: usize,
        which: &[usize],
        mut online: Option<&mut Online<'a>>,
    ) -> Result<Accumulated> {
        let parts = self.parts(which);
        let mut churn = None;
        if let Some(online) = online.as_deref_mut() {
            if online.every > 1 {
                if at.is_multiple_of(online.every) {
                    churn = online.make_all(&self.decoder, &self.data, at)?;
                }
            } else if let [_] = parts[..] {
                return self.in_one_pass(at, which, online);
            } else {
                // what the step is divided by depends on all parts, so they are looked at before any is learned
                let of = |part: &Vec<usize>| part.iter().map(|at| self.data[*at]).collect();
                let parts: Vec<Vec<&Example>> = parts.iter().map(of).collect();
                let signals =
                    online.signals(&self.decoder, &parts, |part| self.dropout(at, part))?;
                churn = online.make(&self.data, which, &signals, at)?;
            }
        }
        let weights = |place: usize| -> Cow<'_, [f32]> {
            match &online {
                Some(online) => Cow::Owned(online.of(place).to_vec()),
                None => Cow::Borrowed(&self.data[place].weights),
            }
        };
        let totals = self.totals(which, weights);
        let mut now = Accumulated { totals, churn, ..Accumulated::default() };
        for (part, places) in parts.iter().enumerate() {
            let dropout = self.dropout(at, part);
            let weights: Vec<Cow<'_, [f32]>> = places.iter().map(|place| weights(*place)).collect();
            let gradient = if self.is_plain() {
                let batch = self.batch(places, |at| {
                    // where nothing at all is learned the divisor may be 0
                    let share = |w: &f32| match *w == 0.0 {
                        true => 0.0,
                        false => (f64::from(*w) / totals.divisor) as f32,
                    };
                    weights[at].iter().map(share).collect()
                });
                now.tokens += batch.tokens();
                self.decoder.gradient(
                    &batch,
                    self.config.gradient_checkpointing,
                    dropout.as_ref(),
                )?
            } else {
                let batch = self.batch(places, |at| weights[at].to_vec());
                now.tokens += batch.tokens();
                let weights: Vec<f32> = weights.iter().flat_map(|w| predicted(w)).collect();
                let old = self.old_log_probs(&batch)?;
                let rows = |facts: &TokenLoss| Ok(self.rows(&weights, facts, &old, totals));
                self.gradient_of(&batch, dropout.as_ref(), None, &rows)?
            };
            now.add(gradient, |_| true)?;
        }
        Ok(now)
    }

    /// As [`Trainer::accumulate`] for a step of one part whose weights are made from its own forward pass.
    fn in_one_pass(
        &self,
        at: usize,
        which: &[usize],
        online: &mut Online<'a>,
    ) -> Result<Accumulated> {
        let batch = self.batch(which, |at| online::allowed(self.data[which[at]]));
        let (dropout, old) = (self.dropout(at, 0), self.old_log_probs(&batch)?);
        let examples: Vec<&Example> = which.iter().map(|at| self.data[*at]).collect();
        let top = online.top_entropy();
        let (online, made) = (RefCell::new(online), RefCell::new(None));
        let rows = |facts: &TokenLoss| {
            let mut online = online.borrow_mut();
            let signals = online::signals_of(&examples, facts);
            let churn = online.make(&self.data, which, &signals, at)?;
            let totals = self.totals(which, |place| Cow::Owned(online.of(place).to_vec()));
            // one weight for each predicted token: those that may be learned
            let of_example = |(example, place): (&&Example, &usize)| {
                let weights = online.of(*place);
                let may = (1..weights.len()).filter(|at| example.weights[*at] != 0.0);
                may.map(|at| weights[at]).collect::<Vec<f32>>()
            };
            let weights: Vec<f32> = examples.iter().zip(which).flat_map(of_example).collect();
            let rows = self.rows(&weights, facts, &old, totals);
            *made.borrow_mut() = Some((churn, totals, weights));
            Ok(rows)
        };
        let gradient = self.gradient_of(&batch, dropout.as_ref(), top, &rows)?;
        let (churn, totals, weights) = made.into_inner().unwrap_or_default();
        let mut now =
            Accumulated { tokens: batch.tokens(), totals, churn, ..Accumulated::default() };
        now.add(gradient, |row| weights[row] != 0.0)?;
        Ok(now)
    }

    /// Whether the loss is nothing but the weighted surprisal.
    fn is_plain(&self) -> bool {
        self.config.objective == Objective::Surprisal && self.config.kl.is_none()
    }

    fn gradient_of(
        &self,
        batch: &Batch,
        dropout: Option<&Dropout>,
        top_entropy: Option<usize>,
        rows: &dyn Fn(&TokenLoss) -> Result<Vec<BatchRow>>,
    ) -> Result<Gradient> {
        let base = self.config.kl.and(self.base.as_ref());
        let loss = BatchLoss {
            rows,
            top_entropy,
            anchor: base
                .map(|reference| Anchor { reference, divergence: self.config.divergence() }),
        };
        self.decoder.gradient_of(batch, self.config.gradient_checkpointing, dropout, &loss)
    }

    /// What each predicted token adds to the loss, from one weight for each.
    fn rows(
        &self,
        weights: &[f32],
        facts: &TokenLoss,
        old: &[f32],
        totals: Totals,
    ) -> Vec<BatchRow> {
        let strength = self.config.kl.unwrap_or(0.0) / totals.learned.max(1) as f64;
        let row = |(at, weight): (usize, &f32)| {
            let learned = *weight != 0.0;
            let share = if learned { f64::from(*weight) / totals.divisor } else { 0.0 };
            let old = old.get(at).copied();
            BatchRow {
                loss: self.config.objective.row(share, facts.log_prob[at], old),
                kl_weight: if learned { strength as f32 } else { 0.0 },
            }
        };
        weights.iter().enumerate().map(row).collect()
    }

    /// Log-probabilities of the predicted tokens under the old model of [`Objective::Clipped`]; empty where there is none.
    fn old_log_probs(&self, batch: &Batch) -> Result<Vec<f32>> {
        let old = match self.config.objective {
            Objective::Clipped { refresh: Some(_), .. } => {
                self.old.as_ref().map(|old| &old.decoder)
            }
            Objective::Clipped { refresh: None, .. } => self.base.as_ref(),
            _ => None,
        };
        match old {
            Some(old) => Ok(old.score(batch)?.log_prob),
            None => Ok(Vec::new()),
        }
    }

    /// The model as it is now, to be kept.
    fn take_old(&self) -> Result<Old> {
        Ok(Old { decoder: self.decoder.snapshot()?, values: self.values()? })
    }

    /// What the examples at `which` have together, with the weights that `weights` says.
    fn totals<'b>(&self, which: &[usize], weights: impl Fn(usize) -> Cow<'b, [f32]>) -> Totals {
        let examples = || which.iter().map(|at| self.data[*at]);
        let learned: usize = which.iter().map(|at| predicted(&weights(*at)).count()).sum();
        let divisor = match self.config.normalizer() {
            Normalizer::Kept => learned as f64,
            Normalizer::Completion => examples().map(|e| e.completion_tokens as f64).sum(),
            Normalizer::Weights => which
                .iter()
                .flat_map(|at| weights(*at).iter().skip(1).copied().collect::<Vec<f32>>())
                .map(f64::from)
                .sum(),
            Normalizer::Batch => which.len() as f64,
        };
        Totals { learned, divisor }
    }

    fn dropout(&self, at: usize, part: usize) -> Option<Dropout> {
        let Method::Lora(lora) = &self.config.method else {
            return None;
        };
        let rng = Rng::new(self.config.seed, "dropout").fork(at as u64).fork(part as u64);
        (lora.dropout > 0.0).then_some(Dropout { share: lora.dropout, rng })
    }

    /// The examples at `places`, the `n`-th with the weights `weights(n)`.
    fn batch(&self, places: &[usize], weights: impl Fn(usize) -> Vec<f32>) -> Batch {
        let mut batch = Batch::new();
        for (at, place) in places.iter().enumerate() {
            batch.push(&self.data[*place].ids, &weights(at));
        }
        batch
    }

    /// The examples of a step in parts that are computed one after the other.
    fn parts(&self, which: &[usize]) -> Vec<Vec<usize>> {
        let (mut parts, mut tokens) = (vec![Vec::new()], 0);
        for at in which {
            let length = self.data[*at].ids.len();
            if tokens > 0 && tokens + length > self.config.max_tokens_per_forward {
                parts.push(Vec::new());
                tokens = 0;
            }
            parts.last_mut().expect("never empty").push(*at);
            tokens += length;
        }
        parts
    }

    /// At the first step: every trained tensor received a finite gradient, and not all of them are zero.
    fn guard(&self, gradients: &[Option<Tensor>]) -> Result<()> {
        let mut problems = Vec::new();
        let mut any = false;
        let all: Vec<Tensor> = gradients.iter().flatten().cloned().collect();
        let mut sizes = squares(self.decoder.backend().path, &all)?.into_iter();
        for ((name, _), gradient) in self.decoder.trainable().iter().zip(gradients) {
            let size = gradient.as_ref().and_then(|_| sizes.next()).map(f64::sqrt);
            let Some(size) = size else {
                problems.push(format!("{name} got none"));
                continue;
            };
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
        let problem =
            format!("the gradients of the first step are not sound: {}", problems.join("; "));
        Err(Error::Training { step: 1, problem })
    }

    /// Writes everything needed to go on, into an existing folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut tensors = self.optimizer.state()?;
        for (name, var) in self.decoder.trainable() {
            tensors.insert(format!("p.{name}"), var.as_detached_tensor());
        }
        if let Some(old) = &self.old {
            let named = old.values.iter();
            tensors.extend(named.map(|(name, value)| (format!("old.{name}"), value.clone())));
        }
        if let Some(online) = &self.online {
            tensors.extend(online.state()?);
        }
        crate::model::write_tensors(&folder.join("state.safetensors"), &tensors)?;
        let path = folder.join("steps.json");
        let text = serde_json::to_string(&Saved { steps: self.steps.clone() })
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
        if let Objective::Clipped { refresh: Some(_), .. } = self.config.objective
            && !saved.steps.is_empty()
        {
            self.set("old.", &tensors, &file)?;
            self.old = Some(self.take_old()?);
        }
        self.set("p.", &tensors, &file)?;
        if let Some(online) = &mut self.online {
            let problem = "the token weights in it do not fit the data";
            let restored = online.restore(&tensors, &self.data);
            restored.ok_or_else(|| Error::file(&file, problem))?;
        }
        self.optimizer.restore(&tensors, saved.steps.len())?;
        self.steps = saved.steps;
        Ok(())
    }

    /// Sets every trained tensor to the one of its name after `prefix`.
    fn set(&self, prefix: &str, tensors: &BTreeMap<String, Tensor>, file: &Path) -> Result<()> {
        for (name, var) in self.decoder.trainable() {
            match tensors.get(&format!("{prefix}{name}")) {
                Some(value) if value.shape() == var.shape() => {
                    var.set(&value.to_device(var.device())?)?
                }
                _ => {
                    let problem = format!("has no {name} of shape {:?}", var.shape());
                    return Err(Error::file(file, problem));
                }
            }
        }
        Ok(())
    }

    /// Copies of the trained tensors as they are now, by name.
    pub fn values(&self) -> Result<BTreeMap<String, Tensor>> {
        let copy = |(name, var): &(String, candle_core::Var)| {
            Ok((name.clone(), var.as_detached_tensor().copy()?))
        };
        self.decoder.trainable().iter().map(copy).collect()
    }

    /// Puts the trained tensors back to what [`Trainer::values`] gave; the steps that were taken stay on record.
    pub fn set_values(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        self.set("", values, Path::new("the values kept"))
    }

    /// Frobenius norm of the change of all adapted weights together, relative to the weights' own; `base` is the model before.
    pub fn relative_weight_change(&self, base: &Decoder) -> Result<f64> {
        let (mut change, mut size) = (0f64, 0f64);
        for ((_, tuned), (_, before)) in self.decoder.projections().zip(base.projections()) {
            // before it is rounded to the weights' precision, in which a small change is lost
            let before = before.merged_in_f32()?;
            let difference = (tuned.merged_in_f32()? - &before)?;
            let path = self.decoder.backend().path;
            change += global_norm(path, &[difference])?.powi(2);
            size += global_norm(path, &[before])?.powi(2);
        }
        Ok((change / size.max(f64::MIN_POSITIVE)).sqrt())
    }
}

/// The weights of the tokens of a sequence that are predicted.
fn predicted(weights: &[f32]) -> impl Iterator<Item = f32> + '_ {
    weights.iter().skip(1).copied().filter(|weight| *weight != 0.0)
}

impl Accumulated {
    /// Adds a part; `learned` says of a predicted token of it whether it is learned.
    fn add(&mut self, part: Gradient, learned: impl Fn(usize) -> bool) -> Result<()> {
        self.loss += part.loss.loss;
        let kl = part.kl.iter().enumerate().filter(|(row, _)| learned(*row));
        self.kl += kl.map(|(_, kl)| f64::from(*kl)).sum::<f64>();
        if self.gradients.is_empty() {
            self.gradients = part.gradients;
            return Ok(());
        }
        for (sum, more) in self.gradients.iter_mut().zip(part.gradients) {
            *sum = match (sum.take(), more) {
                (Some(sum), Some(more)) => Some((sum + more)?),
                (sum, more) => sum.or(more),
            };
        }
        Ok(())
    }
}
