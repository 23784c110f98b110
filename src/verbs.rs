//! What one does: score, sample, fine-tune, evaluate. Verbs are functions, context first; results are plain data.
//!
//! Every verb is cached. Its inputs (weights, data, config, seed) name a folder in the store, and a finished one is returned at once. Of an
//! unfinished one, trainings and samples go on from what was kept last; what scores, evaluates or merges a model begins anew.
//! [`Context::fingerprint`] lists what each verb reads of a model.

use crate::adapter;
use crate::card::Card;
use crate::context::Context;
use crate::dataset::Unusable;
use crate::error::{Error, Result, Word};
use crate::evaluate::{self, Graded};
use crate::export;
use crate::generate::Sampling;
use crate::interruption;
use crate::model::{Checkpoint, Precision, write_tuned};
use crate::perplexity::{self, TokenScores};
use crate::probe::{Log, Monitor, Row, Stopped, Watch};
use crate::select::Weighting;
use crate::self_output::{self, Pool, SelfOutput, Shown};
use crate::stats;
use crate::store::fault;
use crate::task::Item;
use crate::tokens::Sequence;
use crate::train::{Example, Finetune, Method, Reweigh, Step, Trainer};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

/// Scores every token of every sequence under `checkpoint`. `label` names the result's folder for people.
pub fn score(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    sequences: &[&[u32]],
) -> Result<Vec<TokenScores>> {
    score_usable(cx, checkpoint, label, sequences, &[])
}

/// The same of what is left of data of which `unusable` could not be used: the run's card counts that.
pub fn score_usable(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    sequences: &[&[u32]],
    unusable: &[Unusable],
) -> Result<Vec<TokenScores>> {
    let mut inputs = cx.fingerprint(checkpoint)?.with("sequences", sequences)?;
    if !unusable.is_empty() {
        inputs = inputs.with("unusable", unusable)?;
    }
    let entry = cx.store.entry("scores", label, &inputs)?;
    entry.run(|work| {
        let card = Card::begin(cx, &entry, checkpoint)?;
        let model = cx.open(checkpoint)?;
        let bar = cx.progress.bar(&format!("scoring {label}"), sequences.len());
        let scores = perplexity::score(&model.decoder, sequences, |done| bar.set(done))
            .map_err(|error| error.blaming(checkpoint.changed()))?;
        card.write(work)?;
        Ok(scores)
    })
}

/// Samples the pool of Self-Output (`Shown::Question`) or Rephrase (`Shown::QuestionAndReference`).
pub fn sample(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    items: &[Item],
    shown: Shown,
    config: &SelfOutput,
) -> Result<Pool> {
    /// Items that are worked off and kept together.
    const PART: usize = 32;
    config.sampling.check()?;
    if items.is_empty() {
        return Err(Error::invalid("items", "there is none to answer"));
    }
    stats::distinct("ids of the items", items.iter().map(|item| &item.id))?;
    let inputs = cx
        .fingerprint_of_answers(checkpoint, items)?
        .with("items", items)?
        .with("shown", &shown)?
        .with("config", config)?;
    let entry = cx.store.entry("pool", label, &inputs)?;
    entry.run(|work| {
        let card = Card::begin(cx, &entry, checkpoint)?;
        let model = cx.open(checkpoint)?;
        let bar = cx.progress.bar(&format!("sampling {label}"), items.len() * config.samples);
        let (mut pool, mut lines) = work.lines::<self_output::PoolItem>("pool.jsonl")?;
        // a part is kept whole or made again, so that its random streams start where they should
        let whole = pool.len() / PART * PART;
        let mut count = pool.len() * config.samples;
        for (part, items) in items.chunks(PART).enumerate().skip(whole / PART) {
            let known = pool.len().saturating_sub(part * PART);
            let done = || {
                count += 1;
                bar.set(count);
            };
            let made = self_output::sample(&model, items, part * PART, shown, config, done)
                .map_err(|error| error.blaming(checkpoint.changed()))?;
            work.keep_time()?;
            for item in made.into_iter().skip(known) {
                lines.push(&item)?;
                pool.push(item);
            }
        }
        card.write(work)?;
        Ok(Pool { items: pool, seconds: work.seconds() })
    })
}

/// A fine-tuned model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The base plus an adapter on disk, or a whole model after training in full.
    pub checkpoint: Checkpoint,
    /// What each optimiser step did.
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
}

/// Everything a fine-tuning may be given.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// What is learned.
    pub data: &'a [Example],
    /// How.
    pub config: &'a Finetune,
    /// Who makes the token weights while the model learns, with the words that name it among the inputs.
    pub reweigh: Option<(&'a dyn Reweigh, &'a str)>,
    /// What is looked at while it goes on.
    pub watch: Option<&'a Watch>,
    /// A folder for steps and probes as they come: JSON lines and an event file.
    pub log: Option<&'a Path>,
    /// The rule that made the weights of `data`, and the sequences they are of, in the order of `data`: for the run's card, and so that the
    /// mask can be made again.
    pub rule: Option<(&'a Weighting, &'a [Sequence])>,
    /// Rows of the data that could not be used and were left out: for the run's card.
    pub unusable: &'a [Unusable],
}

/// How the weights of a training's data were made: `mask.json` beside the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskOrigin {
    /// The rule.
    pub rule: Weighting,
    /// Seed of what it drew.
    pub seed: u64,
    /// For each example, the ranges of tokens that are its completion: first, and the one after the last.
    pub completion: Vec<Vec<(usize, usize)>>,
    /// What the data themselves said of how much each token is learned; empty where they said nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<Vec<f32>>,
}

impl MaskOrigin {
    /// The file beside the result.
    pub const FILE: &str = "mask.json";

    fn new(rule: &Weighting, seed: u64, sequences: &[Sequence]) -> Self {
        let ranges = |sequence: &Sequence| {
            let mut ranges: Vec<(usize, usize)> = Vec::new();
            for at in sequence.completion.positions() {
                match ranges.last_mut() {
                    Some((_, end)) if *end == at => *end += 1,
                    _ => ranges.push((at, at + 1)),
                }
            }
            ranges
        };
        let mut given: Vec<Vec<f32>> = sequences.iter().map(|of| of.weights.clone()).collect();
        if given.iter().all(Vec::is_empty) {
            given.clear();
        }
        let completion = sequences.iter().map(ranges).collect();
        Self { rule: rule.clone(), seed, completion, given }
    }
}

impl<'a> Training<'a> {
    /// With fixed weights, nothing watched and no log.
    pub fn new(data: &'a [Example], config: &'a Finetune) -> Self {
        Self { data, config, reweigh: None, watch: None, log: None, rule: None, unusable: &[] }
    }
}

/// Seconds between two checkpoints of a training.
const SAVE_EVERY: Duration = Duration::from_secs(20);

/// Fine-tunes `base` on `data`.
pub fn finetune(
    cx: &Context,
    base: &Checkpoint,
    label: &str,
    data: &[Example],
    config: &Finetune,
) -> Result<Tuned> {
    train(cx, base, label, &Training::new(data, config))
}

/// As [`finetune`], with token weights that follow the model, probe sets that are looked at while it goes on, and a log.
pub fn train(
    cx: &Context,
    base: &Checkpoint,
    label: &str,
    training: &Training<'_>,
) -> Result<Tuned> {
    let &Training { data, config, reweigh, watch, log, rule, unusable } = training;
    config.check()?;
    if let (None, Some(steps)) = (reweigh, config.reweigh_every) {
        let problem = format!(
            "is {steps}, but no rule of this training looks at the model while it learns; leave it out, or take such a rule as `dft`"
        );
        return Err(Error::invalid("reweigh_every", problem));
    }
    let config = &settled(config);
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
    let entry = cx.store.entry("finetune", label, &inputs)?;
    let mut tuned: Tuned = entry.run(|work| {
        let mut card = Card::begin(cx, &entry, base)?;
        let named = reweigh.map(|(_, name)| name.to_string());
        card.training(data, rule.map(|(rule, _)| rule.to_string()).or(named));
        if let Some((rule, sequences)) = rule {
            let origin = MaskOrigin::new(rule, config.seed, sequences);
            let text =
                serde_json::to_vec(&origin).map_err(Error::library("packing the mask's origin"))?;
            work.write(MaskOrigin::FILE, &text)?;
        }
        let model = cx.load_base(base)?;
        let before = model.decoder.detached()?;
        let mut trainer = Trainer::new(model.decoder, data, config)?;
        if let Some((reweigh, _)) = reweigh {
            trainer = trainer.reweighed(reweigh);
        }
        let monitor = |watch| Monitor::new(watch, cx.open(base)?, before.detached()?);
        let mut monitor = watch.map(monitor).transpose()?;
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
        work.resume(|_, folder| {
            let saved = watch.map(|_| Monitor::read(folder)).transpose()?;
            trainer.restore(folder)?;
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
                    trainer.save(folder)
                })?;
                saved = Instant::now();
            }
            going_on?;
            let step = trainer.step()?;
            bar.set(trainer.steps().len());
            if let Some(log) = &mut log {
                log.step(&step)?;
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
        card.write(work)?;
        Ok(Tuned {
            checkpoint,
            relative_weight_change: trainer.relative_weight_change(&before)?,
            steps: trainer.steps().to_vec(),
            left_out,
            seconds: work.seconds(),
            probes: rows(&monitor),
            stopped: monitor.as_ref().and_then(|monitor| monitor.stopped().cloned()),
        })
    })?;
    if let Some(folder) = log {
        // a finished training that is asked for again has a log as well
        Log::open(folder, &tuned.steps, &tuned.probes)?;
    }
    // the store may have moved since, so the place is not part of what is stored
    tuned.checkpoint = match &config.method {
        Method::Lora(_) => base.with_adapter(entry.folder().join("adapter")),
        Method::Full => {
            let model = entry.folder().join("model");
            Checkpoint { model, adapter: None, precision: asked, ..base.clone() }
        }
    };
    Ok(tuned)
}

/// `config` with nothing left open, as a card shows it and the store names it.
fn settled(config: &Finetune) -> Finetune {
    Finetune { normalizer: Some(config.normalizer()), ..config.clone() }
}

/// As [`finetune`], with the model as it was after each epoch, the last one included. For a LoRA or DoRA.
pub fn finetune_by_epoch(
    cx: &Context,
    base: &Checkpoint,
    label: &str,
    data: &[Example],
    config: &Finetune,
) -> Result<Vec<Tuned>> {
    config.check()?;
    let config = &settled(config);
    let Method::Lora(lora) = &config.method else {
        let problem = "keeps every epoch of an adapter only; choose a LoRA";
        return Err(Error::invalid("method", problem));
    };
    let inputs = cx.fingerprint(base)?.with("data", data)?.with("config", config)?;
    let entry = cx.store.entry("finetune-by-epoch", label, &inputs)?;
    let folder = |epoch: usize| format!("epoch-{epoch}");
    let mut all: Vec<Tuned> = entry.run(|work| {
        let mut card = Card::begin(cx, &entry, base)?;
        card.training(data, None);
        let model = cx.load_base(base)?;
        let before = model.decoder.detached()?;
        let mut trainer = Trainer::new(model.decoder, data, config)?;
        // the epochs that are over, beside the state of the training
        const EPOCHS: &str = "epochs.json";
        let over = work.resume(|_, saved| {
            trainer.restore(saved)?;
            let path = saved.join(EPOCHS);
            let text = std::fs::read(&path).map_err(Error::io("reading the epochs", &path))?;
            serde_json::from_slice(&text)
                .map_err(|problem| Error::file(&path, format!("holds no epochs: {problem}")))
        })?;
        let mut all: Vec<Tuned> = over.map_or_else(Vec::new, |(_, epochs)| epochs);
        let bar = cx.progress.bar(&format!("training {label}"), trainer.total());
        let in_epoch = trainer.total() / config.epochs;
        let mut saved = Instant::now();
        while all.len() < config.epochs {
            let going_on = interruption::check();
            if saved.elapsed() > SAVE_EVERY || going_on.is_err() {
                work.save_checkpoint(trainer.steps().len() as u64, |folder| {
                    let path = folder.join(EPOCHS);
                    let text =
                        serde_json::to_vec(&all).map_err(Error::library("packing the epochs"))?;
                    std::fs::write(&path, text).map_err(Error::io("saving the epochs", &path))?;
                    trainer.save(folder)
                })?;
                saved = Instant::now();
            }
            going_on?;
            trainer.step()?;
            bar.set(trainer.steps().len());
            if trainer.steps().len() < in_epoch * (all.len() + 1) {
                continue;
            }
            let base_name = base.model.to_string_lossy();
            let adapter = work.path(&folder(all.len() + 1))?;
            adapter::save(trainer.decoder(), lora, &base_name, &adapter)?;
            all.push(Tuned {
                checkpoint: base.clone(),
                steps: trainer.steps().to_vec(),
                relative_weight_change: trainer.relative_weight_change(&before)?,
                left_out: trainer.left_out().iter().map(|id| id.to_string()).collect(),
                seconds: work.seconds(),
                probes: Vec::new(),
                stopped: None,
            });
            saved = Instant::now() - SAVE_EVERY * 2; // an epoch is not trained twice
        }
        card.write(work)?;
        Ok(all)
    })?;
    for (at, tuned) in all.iter_mut().enumerate() {
        tuned.checkpoint = base.with_adapter(entry.folder().join(folder(at + 1)));
    }
    Ok(all)
}

/// Folds a checkpoint's adapter into its weights: a model of its own, which can be trained again. One without an adapter stays as it is.
pub fn merge(cx: &Context, checkpoint: &Checkpoint, label: &str) -> Result<Checkpoint> {
    const MODEL: &str = "model";
    if checkpoint.adapter.is_none() {
        return Ok(checkpoint.clone());
    }
    let inputs = cx.fingerprint_of_answers(checkpoint, [])?;
    let entry = cx.store.entry("merged", label, &inputs)?;
    let _layers: usize = entry.run(|work| {
        let card = Card::begin(cx, &entry, checkpoint)?;
        let out = work.path(MODEL)?;
        // what an earlier try left there is not whole
        if out.exists() {
            std::fs::remove_dir_all(&out).map_err(Error::io("removing", &out))?;
        }
        std::fs::create_dir_all(&out).map_err(Error::io("making", &out))?;
        let layers = export::merged(checkpoint, &out, export::SHARD)?.layers;
        card.write(work)?;
        Ok(layers)
    })?;
    let merged = Checkpoint::open(entry.folder().join(MODEL))?;
    Ok(merged.with_template(checkpoint.template.clone()).in_precision(checkpoint.precision))
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

/// Answers and grades the items of several benchmarks, given as (name, items), with one reading of the weights.
pub fn evaluate(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    tasks: &[(String, Vec<Item>)],
    sampling: &Sampling,
) -> Result<Vec<Vec<Graded>>> {
    // names may stand there twice: a recipe's target has items of two splits
    for (task, items) in tasks {
        stats::distinct(&format!("ids of the items of {task}"), items.iter().map(|item| &item.id))?;
    }
    let items = tasks.iter().flat_map(|(_, items)| items);
    let of_model = cx.fingerprint_of_answers(checkpoint, items)?;
    let inputs = of_model.with("tasks", tasks)?.with("sampling", sampling)?;
    let entry = cx.store.entry("evaluate", label, &inputs)?;
    entry.run(|work| {
        let card = Card::begin(cx, &entry, checkpoint)?;
        let model = cx.open(checkpoint)?;
        let total = tasks.iter().map(|(_, items)| items.len()).sum();
        let bar = cx.progress.bar(&format!("evaluating {label}"), total);
        let mut before = 0;
        let mut all = Vec::new();
        for (task, items) in tasks {
            let graded = evaluate::answer(&model, items, sampling, |done| bar.set(before + done))
                .map_err(|error| error.blaming(checkpoint.changed()))?;
            before += items.len();
            work.write_with(&format!("{task}.jsonl"), |file| write_lines(file, &graded))?;
            all.push(graded);
        }
        card.write(work)?;
        Ok(all)
    })
}

/// [`evaluate()`] at each of `scales` of the adapter's change of the weights, which draws the whole front between the base (0) and the tuned model
/// (1) from one training.
pub fn evaluate_scales(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    tasks: &[(String, Vec<Item>)],
    sampling: &Sampling,
    scales: &[f64],
) -> Result<Vec<(f64, Vec<Vec<Graded>>)>> {
    stats::distinct("scales of the adapter", scales)?;
    let at = |scale: &f64| {
        let scaled = checkpoint.scaled(*scale)?;
        let label = format!("{label}-scale-{scale}");
        Ok((*scale, evaluate(cx, &scaled, &label, tasks, sampling)?))
    };
    scales.iter().map(at).collect()
}

fn write_lines(file: &mut impl std::io::Write, rows: &[Graded]) -> Result<()> {
    for row in rows {
        serde_json::to_writer(&mut *file, row).map_err(Error::library("writing the answers"))?;
        file.write_all(b"\n").map_err(|e| Error::library("writing the answers")(e))?;
    }
    Ok(())
}
