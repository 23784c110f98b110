use super::set::{ClassLoss, ProbeSet, Role};
use super::{Watch, WhenForgotten};
use crate::context::LoadedModel;
use crate::error::{Error, Result};
use crate::evaluate::{self, TaskScore};
use crate::generate::Sampling;
use crate::model::{Batch, Decoder};
use crate::ops::Divergence;
use crate::perplexity;
use crate::task::Form;
use crate::train::{Objective, TrainConfig, Trainer};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// One probe set after one step: what a curve is drawn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Steps taken before; 0 is the base model.
    pub step: usize,
    /// The probe set's name.
    pub probe: String,
    /// What it is for.
    pub role: Role,
    /// Its examples.
    pub examples: usize,
    /// Mean surprisal of the given answers' tokens, in nats; `None` if nothing is scored.
    pub loss: Option<f64>,
    /// The same for each kind of text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, ClassLoss>,
    /// Mean divergence `KL(base ‖ model)` at the given answers' tokens, over the whole vocabulary, in nats; of the training data only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// Share of its questions answered rightly and in the right form; `None` if nothing is graded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Share of its questions of which the right answer is there in any form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<f64>,
    /// Share of its questions answered in the form that was asked for, right or wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<f64>,
}

/// Why a training ended before its last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// Steps taken before.
    pub step: usize,
    /// The probe set that lost most.
    pub probe: String,
    /// Points that it lies below the base.
    pub lost: f64,
    /// The step whose model the training went back to.
    pub back_to: Option<usize>,
}

/// Looks at a model while it is trained.
#[derive(Debug)]
pub struct Monitor<'a> {
    watch: &'a Watch,
    /// Tokenizer and stop ids, and the model that is looked at.
    model: LoadedModel,
    /// The model before.
    base: Decoder,
    state: State,
    /// Step and trained values of the last look that was within the budget.
    within: Option<(usize, BTreeMap<String, Tensor>)>,
}

/// What is kept on disk between two tries.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    rows: Vec<Row>,
    /// Token passes of all looks but the first.
    looked: u64,
    /// Token passes of the last look.
    last: u64,
    within: Option<usize>,
    stopped: Option<Stopped>,
}

/// A monitor's state read from disk.
#[derive(Debug)]
pub struct Saved {
    state: State,
    within: Option<(usize, BTreeMap<String, Tensor>)>,
}

impl<'a> Monitor<'a> {
    /// For a training of `base`; nothing is computed yet. `model` is the base as it is opened for inference.
    pub fn new(watch: &'a Watch, model: LoadedModel, base: Decoder) -> Result<Self> {
        watch.check()?;
        Ok(Self { watch, model, base, state: State::default(), within: None })
    }

    /// Everything found so far.
    pub fn rows(&self) -> &[Row] {
        &self.state.rows
    }

    /// Why the training is to end, if it is.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.state.stopped.as_ref()
    }

    /// Looks at the model if it is time to; returns what it found.
    pub fn look(&mut self, trainer: &Trainer<'_>, config: &TrainConfig) -> Result<Vec<Row>> {
        let step = trainer.steps().len();
        let seen = self.state.rows.last().is_some_and(|row| row.step == step);
        if seen || !self.is_due(step, trainer, config) {
            return Ok(Vec::new());
        }
        self.model.decoder = trainer.decoder().merged()?;
        let (mut rows, mut passes) = (Vec::new(), 0);
        for set in &self.watch.sets {
            let broken = |error| match error {
                Error::NotANumber { what } => {
                    let problem = format!(
                        "{what} of probe set {} is no number any more; try a lower learning rate",
                        set.name
                    );
                    Error::Training { step, problem }
                }
                other => other,
            };
            let (row, of_set) = self.measure(set, step).map_err(broken)?;
            rows.push(row);
            passes += of_set;
        }
        // the next look is at another model
        self.model.decoder = self.base.detached()?;
        self.state.last = passes;
        if step > 0 && !trainer.done() {
            self.state.looked += passes;
        }
        self.state.rows.extend(rows.iter().cloned());
        self.keep_the_budget(step, trainer)?;
        Ok(rows)
    }

    fn is_due(&self, step: usize, trainer: &Trainer<'_>, config: &TrainConfig) -> bool {
        if step == 0 || trainer.done() {
            return true;
        }
        if !step.is_multiple_of(self.watch.every) {
            return false;
        }
        let Some(share) = self.watch.share else {
            return true;
        };
        let held_against = usize::from(config.kl.is_some())
            + usize::from(matches!(config.objective, Objective::Clipped { .. }));
        let passes = 3 + usize::from(config.gradient_checkpointing) + held_against;
        let trained: usize = trainer.steps().iter().map(|step| step.tokens * passes).sum();
        let looks = (self.state.looked + self.state.last) as f64;
        looks <= share * (looks + trained as f64)
    }

    /// One set under the model as it is now, and the token passes that took.
    fn measure(&self, set: &ProbeSet, step: usize) -> Result<(Row, u64)> {
        let ids: Vec<&[u32]> = set.scored.iter().map(|scored| scored.ids.as_slice()).collect();
        let scores = perplexity::score(&self.model.decoder, &ids, |_| {})?;
        let (loss, classes) = set.losses(&scores);
        let mut row = Row {
            step,
            probe: set.name.clone(),
            role: set.role,
            examples: set.scored.len().max(set.items.len()),
            loss,
            classes,
            kl: None,
            score: None,
            skill: None,
            form: None,
        };
        let mut passes = set.tokens() as u64;
        if set.role == Role::Training {
            row.kl = self.drift(set)?;
            passes *= 3;
        }
        if !set.items.is_empty() {
            let sampling = Sampling::greedy(self.watch.max_new_tokens);
            let graded = evaluate::answer(&self.model, &set.items, &sampling, |_| {})?;
            let tokens = graded.iter().zip(&set.items).map(|(graded, item)| {
                let answer = self.model.tokenizer.encode(&graded.answer, false)?.ids.len();
                Ok((answer + self.model.question(&item.prompt)?.len()) as u64)
            });
            passes += tokens.sum::<Result<u64>>()?;
            let score = TaskScore::of(&set.name, &graded);
            let n = score.items.len() as f64;
            row.score = Some(score.value());
            row.skill = Some(score.items.iter().map(|item| item.skill).sum::<f64>() / n);
            let kept = score.items.iter().filter(|item| item.form == Form::Kept).count();
            row.form = Some(kept as f64 / n);
        }
        Ok((row, passes))
    }

    /// Mean divergence from the base over the completion tokens.
    fn drift(&self, set: &ProbeSet) -> Result<Option<f64>> {
        const TOKENS: usize = 8192;
        let (mut sum, mut count) = (0f64, 0usize);
        let mut rest = set.scored.as_slice();
        while !rest.is_empty() {
            let (mut batch, mut taken) = (Batch::new(), 0);
            while taken < rest.len()
                && (taken == 0 || batch.tokens() + rest[taken].ids.len() <= TOKENS)
            {
                let weight = |class: &Option<_>| f32::from(u8::from(class.is_some()));
                let weights: Vec<f32> = rest[taken].class.iter().map(weight).collect();
                batch.push(&rest[taken].ids, &weights);
                taken += 1;
            }
            let kl = self.model.decoder.divergence(&self.base, &batch, Divergence::default())?;
            sum += kl.iter().map(|kl| f64::from(*kl)).sum::<f64>();
            count += kl.len();
            rest = &rest[taken..];
        }
        Ok((count > 0).then(|| sum / count as f64))
    }

    /// Notes whether what was found now is within the budget of forgetting.
    fn keep_the_budget(&mut self, step: usize, trainer: &Trainer<'_>) -> Result<()> {
        let Some(at_most) = self.watch.forget_at_most else {
            return Ok(());
        };
        let of_step = |step: usize| {
            let rows = self.state.rows.iter();
            rows.filter(move |row| row.step == step && row.role == Role::NonTarget)
        };
        let lost = |now: &Row| {
            let base = of_step(0).find(|row| row.probe == now.probe)?;
            Some((100.0 * (base.score? - now.score?), now.probe.clone()))
        };
        let most = of_step(step).filter_map(lost).max_by(|a, b| a.0.total_cmp(&b.0));
        // scores are shares of few items: what is lost is a multiple of 100 / items up to rounding
        if let Some((lost, probe)) = most.filter(|(lost, _)| *lost > at_most + 1e-9) {
            let back_to = match self.watch.when_forgotten {
                WhenForgotten::Stop => None,
                WhenForgotten::RollBack => self.within.as_ref().map(|(step, _)| *step),
            };
            self.state.stopped = Some(Stopped { step, probe, lost, back_to });
        } else if self.watch.when_forgotten == WhenForgotten::RollBack {
            self.within = Some((step, trainer.values()?));
        }
        Ok(())
    }

    /// Puts the trained values back to the last look within the budget, where the watch asks for it and the budget is spent.
    pub fn roll_back(&self, trainer: &Trainer<'_>) -> Result<()> {
        match (&self.state.stopped, &self.within) {
            (Some(Stopped { back_to: Some(_), .. }), Some((_, values))) => {
                trainer.set_values(values)
            }
            _ => Ok(()),
        }
    }

    /// Writes everything needed to go on, into an existing folder.
    pub fn save(&mut self, folder: &Path) -> Result<()> {
        self.state.within = self.within.as_ref().map(|(step, _)| *step);
        let path = folder.join("probes.json");
        let text = serde_json::to_string(&self.state)
            .map_err(Error::library("packing the state of the probes"))?;
        std::fs::write(&path, text).map_err(Error::io("saving the state of the probes", &path))?;
        match &self.within {
            Some((_, values)) => {
                crate::model::write_tensors(&folder.join("within.safetensors"), values)
            }
            None => Ok(()),
        }
    }

    /// Reads what [`Monitor::save`] wrote, for [`Monitor::restore`].
    pub fn read(folder: &Path) -> Result<Saved> {
        let path = folder.join("probes.json");
        let text = std::fs::read_to_string(&path)
            .map_err(Error::io("reading the state of the probes", &path))?;
        let state: State = serde_json::from_str(&text)
            .map_err(|e| Error::file(&path, format!("not a saved state: {e}")))?;
        let within = match state.within {
            None => None,
            Some(step) => {
                let file = folder.join("within.safetensors");
                Some((step, crate::model::read_file(&file, &Device::Cpu)?))
            }
        };
        Ok(Saved { state, within })
    }

    /// Goes on from what was saved.
    pub fn restore(&mut self, saved: Saved) {
        (self.state, self.within) = (saved.state, saved.within);
    }
}
