use super::kept;
use crate::adapter;
use crate::context::Context;
use crate::dataset::Unusable;
use crate::error::{Error, Result, Word};
use crate::export;
use crate::interruption;
use crate::masked::{Masked, Prepared};
use crate::model::{Checkpoint, Model, Precision, write_tuned};
use crate::probe::{Log, Monitor, Row, Stopped, Watch};
use crate::provenance::MaskRecord;
use crate::select::Weighting;
use crate::store::fault;
use crate::tokens::Sequence;
use crate::train::{Example, Method, OnlineWeights, Step, TrainConfig, Trainer, divergence};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

/// A fine-tuned model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The base plus an adapter on disk, or a whole model after training in full.
    pub checkpoint: Checkpoint,
    /// What each optimizer step did.
    pub steps: Vec<Step>,
    /// Frobenius norm of the weight change relative to the weights.
    pub relative_weight_change: f64,
    /// Examples left out because every token of theirs is masked.
    pub left_out: Vec<String>,
    /// Wall seconds of training. If it was stopped and went on: of all tries, each up to the last checkpoint that it kept.
    pub seconds: f64,
    /// What the probe sets said while it was trained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Row>,
    /// Why it ended before its last step, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// The model after each epoch, the last one included, where [`Training::keep_epochs`] asks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs: Vec<Epoch>,
}

impl Tuned {
    /// Why the training has diverged, if it has.
    pub fn diverged(&self) -> Option<String> {
        divergence(self.relative_weight_change)
    }
}

/// The model as it was after an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The base plus the adapter of then.
    pub checkpoint: Checkpoint,
    /// Optimizer steps taken by then.
    pub steps: usize,
    /// Frobenius norm of the weight change relative to the weights.
    pub relative_weight_change: f64,
}

/// Everything a fine-tuning may be given.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// What is learned.
    pub data: &'a [Example],
    /// How.
    pub config: &'a TrainConfig,
    /// Who makes the token weights while the model learns, with the words that name it among the inputs.
    pub reweigh: Option<(&'a dyn OnlineWeights, &'a str)>,
    /// What is looked at while it goes on.
    pub watch: Option<&'a Watch>,
    /// A folder for steps and probes as they come: JSON lines and an event file.
    pub log: Option<&'a Path>,
    /// The rule that made the weights of `data`, and the sequences they are of, in the order of `data`: for the run's card, and so that the
    /// mask can be made again.
    pub rule: Option<(&'a Weighting, &'a [Sequence])>,
    /// Rows of the data that could not be used and were left out: for the run's card.
    pub unusable: &'a [Unusable],
    /// Keeps the model after each epoch, too. For a LoRA or DoRA.
    pub keep_epochs: bool,
}

impl<'a> Training<'a> {
    /// With fixed weights, nothing watched and no log.
    pub fn new(data: &'a [Example], config: &'a TrainConfig) -> Self {
        Self {
            data,
            config,
            reweigh: None,
            watch: None,
            log: None,
            rule: None,
            unusable: &[],
            keep_epochs: false,
        }
    }

    /// On masked data, with nothing watched and no log.
    pub fn of(prepared: &'a Prepared<'_>) -> Self {
        let scored = prepared.scored();
        let online = prepared.online();
        Self {
            reweigh: online.map(|rule| (rule as &dyn OnlineWeights, rule.name())),
            rule: prepared.rule().map(|rule| (rule, scored.sequences.as_slice())),
            unusable: &scored.unusable,
            ..Self::new(&prepared.examples, &prepared.config)
        }
    }
}

/// Seconds between two checkpoints of a training.
const SAVE_EVERY: Duration = Duration::from_secs(20);

/// Fine-tunes `base` on masked data. What its loss is divided by, and how often its weights are made anew, is as `config` says, else as the rule does;
/// the seed of `config` draws what is random in it ([`Masked::prepare`]).
///
/// # Errors
/// As [`Masked::prepare`] and [`train`].
pub fn finetune(
    cx: &Context,
    base: &Checkpoint,
    masked: &Masked,
    config: &TrainConfig,
) -> Result<Tuned> {
    let label = format!("{}-{}", masked.scored.name, masked.rule);
    train(cx, base, &label, &Training::of(&masked.prepare(config)?))
}

/// As [`finetune`], with probe sets that are looked at while it goes on, and a log. `label` names the result's folder for people.
///
/// # Errors
/// The base cannot be read or carries an adapter, the configuration makes no sense, or a loss is no number.
pub fn train(
    cx: &Context,
    base: &Checkpoint,
    label: &str,
    training: &Training<'_>,
) -> Result<Tuned> {
    let &Training { data, config, reweigh, watch, log, rule, unusable, keep_epochs } = training;
    config.check()?;
    if let (None, Some(steps)) = (reweigh, config.reweigh_every) {
        let problem = format!(
            "is {steps}, but no rule of this training looks at the model while it learns; leave it out, or take such a rule as `dft`"
        );
        return Err(Error::invalid("reweigh_every", problem));
    }
    // with nothing left open, as a card shows it and the store names it
    let config = &TrainConfig { normalizer: Some(config.normalizer()), ..config.clone() };
    if keep_epochs && config.method == Method::Full {
        let problem = "keeps every epoch of an adapter only; choose a LoRA";
        return Err(Error::invalid("method", problem));
    }
    if keep_epochs && config.max_steps.is_some() {
        let problem =
            "may end within an epoch, and the model is kept after each; set num_epochs instead";
        return Err(Error::invalid("max_steps", problem));
    }
    watch.map(Watch::check).transpose()?;
    if base.adapter.is_some() {
        let problem = "carries an adapter already; write it as a merged model first";
        return Err(Error::invalid("base checkpoint", problem));
    }
    // weights that are trained are f32 whatever the precision of frozen ones
    let asked = base.precision;
    let base = &match config.method {
        Method::Full => base.clone().in_precision(Some(Precision::F32)),
        Method::Lora(_) => base.clone(),
    };
    let of_base = match watch {
        None if config.method != Method::Full => cx.fingerprint(base)?,
        _ => {
            let sets = watch.into_iter().flat_map(|watch| &watch.sets);
            cx.fingerprint_of_answers(base, sets.flat_map(|set| &set.items))?
        }
    };
    let mut inputs = of_base.with("data", data)?.with("config", config)?;
    if let Some((_, name)) = reweigh {
        inputs = inputs.with("reweigh", name)?;
    }
    if let Some(watch) = watch {
        inputs = inputs.with("watch", watch)?;
    }
    if !unusable.is_empty() {
        inputs = inputs.with("unusable", unusable)?;
    }
    if keep_epochs {
        inputs = inputs.with("keep_epochs", &true)?;
    }
    let (mut tuned, made) = kept(cx, ("finetune", label), base, &inputs, |work, card| {
        let named = reweigh.map(|(_, name)| name.to_string());
        card.training(data, rule.map(|(rule, _)| rule.to_string()).or(named));
        if let Some((rule, sequences)) = rule {
            MaskRecord::new(rule, config.seed, sequences).write(work)?;
        }
        let Model { decoder, stop_ids } = cx.load_base(base)?;
        // a training in full copies all weights: those before are read again when they are needed, unless they are needed all the time
        let shared = watch.is_some() || config.method != Method::Full;
        let before = shared.then(|| decoder.detached()).transpose()?;
        let mut trainer = Trainer::new(decoder, data, config)?;
        if let Some((reweigh, _)) = reweigh {
            trainer = trainer.reweighed(reweigh);
        }
        let mut monitor = match (watch, &before) {
            (Some(watch), Some(before)) => Some(Monitor::new(
                watch,
                cx.loaded(base, Model { decoder: before.detached()?, stop_ids })?,
                before.detached()?,
            )?),
            _ => None,
        };
        let left_out: Vec<String> = trainer.left_out().iter().map(|id| id.to_string()).collect();
        if !left_out.is_empty() {
            let first: Vec<String> =
                left_out.iter().take(5).map(|id| Word(id).to_string()).collect();
            cx.progress.note(&format!(
                "{label}: {} of {} examples have no token to learn and are left out: {}{}",
                left_out.len(),
                data.len(),
                first.join(", "),
                if left_out.len() > first.len() { ", …" } else { "" }
            ));
        }
        let change = |trainer: &Trainer<'_>| match &before {
            Some(before) => trainer.relative_weight_change(before),
            None => trainer.relative_weight_change(&cx.load_base(base)?.decoder),
        };
        let mut epochs: Vec<Epoch> = Vec::new();
        work.resume(|_, folder| {
            let saved = watch.map(|_| Monitor::read(folder)).transpose()?;
            let over = if keep_epochs { read_epochs(folder)? } else { Vec::new() };
            trainer.restore(folder)?;
            epochs = over;
            if let (Some(monitor), Some(saved)) = (&mut monitor, saved) {
                monitor.restore(saved);
            }
            Ok(())
        })?;
        let rows = |monitor: &Option<Monitor<'_>>| match monitor {
            Some(monitor) => monitor.rows().to_vec(),
            None => Vec::new(),
        };
        let open = |folder| Log::open(folder, trainer.steps(), &rows(&monitor));
        let mut log = log.map(open).transpose()?;
        let bar = cx.progress.bar(&format!("training {label}"), trainer.total());
        bar.resume_at(trainer.steps().len());
        let (begun, mut tokens) = (Instant::now(), 0);
        let in_epoch = trainer.in_epoch();
        let mut saved = Instant::now();
        loop {
            if let Some(monitor) = &mut monitor {
                let found = monitor.look(&trainer, config)?;
                note(cx, label, &found, monitor);
                if let Some(log) = &mut log {
                    log.rows(&found)?;
                }
                if !found.is_empty() {
                    saved = Instant::now() - SAVE_EVERY * 2; // a look is not made twice
                }
            }
            let stopped = monitor.as_ref().is_some_and(|monitor| monitor.stopped().is_some());
            if trainer.done() || stopped {
                break;
            }
            let steps = trainer.steps().len();
            fault::point(&format!("step {steps}"));
            let going_on = interruption::check();
            let asked = fault::is_named(&format!("checkpoint {steps}"));
            if saved.elapsed() > SAVE_EVERY || going_on.is_err() || asked {
                work.save_checkpoint(steps as u64, |folder| {
                    if let Some(monitor) = &mut monitor {
                        monitor.save(folder)?;
                    }
                    if keep_epochs {
                        write_epochs(folder, &epochs)?;
                    }
                    trainer.save(folder)
                })?;
                saved = Instant::now();
            }
            going_on?;
            let step = trainer.step()?;
            let steps = trainer.steps().len();
            tokens += step.tokens;
            bar.set_with(steps, || {
                let speed = tokens as f64 / begun.elapsed().as_secs_f64();
                format!("loss {:.3}  {speed:.0} tokens/s", step.loss)
            });
            if let Some(log) = &mut log {
                log.step(&step)?;
            }
            if let (true, Method::Lora(lora)) =
                (keep_epochs && steps % in_epoch == 0, &config.method)
            {
                let adapter = work.path(&epoch_folder(epochs.len() + 1))?;
                adapter::save(trainer.decoder(), lora, &base.model.to_string_lossy(), &adapter)?;
                let relative_weight_change = change(&trainer)?;
                epochs.push(Epoch { checkpoint: base.clone(), steps, relative_weight_change });
                saved = Instant::now() - SAVE_EVERY * 2; // an epoch is not trained twice
            }
        }
        if let Some(monitor) = &monitor {
            monitor.roll_back(&trainer)?;
        }
        let checkpoint = match &config.method {
            Method::Lora(lora) => {
                let base_name = base.model.to_string_lossy();
                adapter::save(trainer.decoder(), lora, &base_name, &work.path("adapter")?)?;
                base.clone()
            }
            Method::Full => {
                let folder = work.path("model")?;
                std::fs::create_dir_all(&folder).map_err(Error::io("making", &folder))?;
                export::copy_beside(&base.model, &folder)?;
                write_tuned(&folder, trainer.decoder(), &base.model)?;
                base.clone()
            }
        };
        let relative_weight_change = change(&trainer)?;
        if let Some(warning) = divergence(relative_weight_change) {
            card.warn(warning);
        }
        Ok(Tuned {
            checkpoint,
            relative_weight_change,
            steps: trainer.steps().to_vec(),
            left_out,
            seconds: work.seconds(),
            probes: rows(&monitor),
            stopped: monitor.as_ref().and_then(|monitor| monitor.stopped().cloned()),
            epochs,
        })
    })?;
    if let Some(warning) = tuned.diverged() {
        cx.progress.note(&format!("warning: {label}: {warning}"));
    }
    if let Some(folder) = log {
        // a finished training that is asked for again has a log as well
        Log::open(folder, &tuned.steps, &tuned.probes)?;
    }
    // the store may have moved since, so the place is not part of what is stored
    tuned.checkpoint = match &config.method {
        Method::Lora(_) => base.with_adapter(made.join("adapter")),
        Method::Full => {
            let model = made.join("model");
            Checkpoint { model, adapter: None, precision: asked, ..base.clone() }
        }
    };
    for (at, epoch) in tuned.epochs.iter_mut().enumerate() {
        epoch.checkpoint = base.with_adapter(made.join(epoch_folder(at + 1)));
    }
    Ok(tuned)
}

/// Where the adapter of an epoch lies in its entry.
fn epoch_folder(epoch: usize) -> String {
    format!("epoch-{epoch}")
}

/// The epochs that are over, beside the state of the training.
const EPOCHS: &str = "epochs.json";

fn read_epochs(folder: &Path) -> Result<Vec<Epoch>> {
    let path = folder.join(EPOCHS);
    let text = std::fs::read(&path).map_err(Error::io("reading the epochs", &path))?;
    serde_json::from_slice(&text)
        .map_err(|problem| Error::file(&path, format!("holds no epochs: {problem}")))
}

fn write_epochs(folder: &Path, epochs: &[Epoch]) -> Result<()> {
    let path = folder.join(EPOCHS);
    let text = serde_json::to_vec(epochs).map_err(Error::library("packing the epochs"))?;
    std::fs::write(&path, text).map_err(Error::io("saving the epochs", &path))
}

/// Says on stderr what a look at the model found.
fn note(cx: &Context, label: &str, rows: &[Row], monitor: &Monitor<'_>) {
    let Some(first) = rows.first() else { return };
    let base = |row: &Row| {
        let rows = monitor.rows().iter();
        rows.clone().find(|other| other.step == 0 && other.probe == row.probe)
    };
    let of_row = |row: &Row| match (row.score, row.kl, row.loss) {
        (Some(score), ..) => {
            let before = base(row).and_then(|base| base.score).unwrap_or(score);
            format!("{} {score:.3} ({:+.1} points)", row.probe, 100.0 * (score - before))
        }
        (None, Some(kl), _) => format!("{} KL {kl:.4}", row.probe),
        (None, None, Some(loss)) => format!("{} loss {loss:.3}", row.probe),
        _ => row.probe.clone(),
    };
    let all: Vec<String> = rows.iter().map(of_row).collect();
    cx.progress.note(&format!("{label}, step {}: {}", first.step, all.join(", ")));
    if let Some(stopped) = monitor.stopped() {
        let then = match stopped.back_to {
            Some(step) => format!("back to step {step}"),
            None => "the training ends here".into(),
        };
        cx.progress.note(&format!(
            "{label}: {} has lost {:.1} points, more than may be forgotten: {then}",
            stopped.probe, stopped.lost
        ));
    }
}
