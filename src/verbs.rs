//! What one does: score, sample, fine-tune, evaluate. Verbs are functions, context first; results are plain data.
//!
//! Every verb is cached and resumable. Its inputs (weights, data, config, seed) name a folder in the store: a finished one is
//! returned at once, an unfinished one goes on from its last checkpoint.

use crate::adapter;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evaluate::{self, Graded};
use crate::export;
use crate::generate::Sampling;
use crate::model::{Checkpoint, write_model};
use crate::perplexity::{self, TokenScores};
use crate::self_output::{self, Pool, SelfOutput, Shown};
use crate::task::Item;
use crate::train::{Example, Finetune, Method, Step, Trainer};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Scores every token of every sequence under `checkpoint`. `label` names the result's folder for people.
pub fn score(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    sequences: &[&[u32]],
) -> Result<Vec<TokenScores>> {
    let inputs = cx.fingerprint(checkpoint)?.with("sequences", sequences)?;
    cx.store.entry("scores", label, &inputs)?.run(|_| {
        let model = cx.open(checkpoint)?;
        let bar = cx
            .progress
            .bar(&format!("scoring {label}"), sequences.len());
        perplexity::score(&model.decoder, sequences, |done| bar.set(done))
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
    let inputs = cx
        .fingerprint(checkpoint)?
        .with("items", items)?
        .with("shown", &shown)?
        .with("config", config)?;
    cx.store.entry("pool", label, &inputs)?.run(|work| {
        let model = cx.open(checkpoint)?;
        let bar = cx
            .progress
            .bar(&format!("sampling {label}"), items.len() * config.samples);
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
            let made = self_output::sample(&model, items, part * PART, shown, config, done)?;
            for item in made.into_iter().skip(known) {
                lines.push(&item)?;
                pool.push(item);
            }
        }
        Ok(Pool { items: pool })
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
    /// Wall seconds of training; of the last try only, if it was stopped and went on.
    pub seconds: f64,
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
    config.check()?;
    if base.adapter.is_some() {
        let problem = "carries an adapter already; write it as a merged model first";
        return Err(Error::invalid("base checkpoint", problem));
    }
    let inputs = cx
        .fingerprint(base)?
        .with("data", data)?
        .with("config", config)?;
    let entry = cx.store.entry("finetune", label, &inputs)?;
    let mut tuned: Tuned = entry.run(|work| {
        let model = base.load_base(&cx.device)?;
        let before = model.decoder.detached()?;
        let mut trainer = Trainer::new(model.decoder, data, config)?;
        let left_out: Vec<String> = trainer.left_out().iter().map(|id| id.to_string()).collect();
        if !left_out.is_empty() {
            let first: Vec<&str> = left_out.iter().take(5).map(String::as_str).collect();
            cx.progress.note(&format!(
                "{label}: {} of {} examples have no token to learn and are left out: {}{}",
                left_out.len(),
                data.len(),
                first.join(", "),
                if left_out.len() > first.len() {
                    ", …"
                } else {
                    ""
                }
            ));
        }
        work.resume(|_, folder| trainer.restore(folder))?;
        let bar = cx
            .progress
            .bar(&format!("training {label}"), trainer.total());
        let (started, mut saved) = (Instant::now(), Instant::now());
        while !trainer.done() {
            trainer.step()?;
            bar.set(trainer.steps().len());
            if saved.elapsed() > SAVE_EVERY {
                work.save_checkpoint(trainer.steps().len() as u64, |folder| trainer.save(folder))?;
                saved = Instant::now();
            }
        }
        let checkpoint = match &config.method {
            Method::Lora(lora) => {
                let base_name = base.model.to_string_lossy();
                adapter::save(trainer.decoder(), lora, &base_name, &work.path("adapter")?)?;
                base.clone()
            }
            Method::Full => {
                let folder = work.path("model")?;
                write_model(&folder, trainer.decoder(), &cx.open(base)?.stop_ids)?;
                copy_tokenizer(base, &folder)?;
                base.clone()
            }
        };
        Ok(Tuned {
            checkpoint,
            relative_weight_change: trainer.relative_weight_change(&before)?,
            steps: trainer.steps().to_vec(),
            left_out,
            seconds: started.elapsed().as_secs_f64(),
        })
    })?;
    // the store may have moved since, so the place is not part of what is stored
    tuned.checkpoint = match &config.method {
        Method::Lora(_) => base.with_adapter(entry.folder().join("adapter")),
        Method::Full => Checkpoint {
            model: entry.folder().join("model"),
            adapter: None,
        },
    };
    Ok(tuned)
}

/// As [`finetune`], with the model as it was after each epoch, the last one included. For a LoRA or DoRA; what is stopped begins anew.
pub fn finetune_by_epoch(
    cx: &Context,
    base: &Checkpoint,
    label: &str,
    data: &[Example],
    config: &Finetune,
) -> Result<Vec<Tuned>> {
    config.check()?;
    let Method::Lora(lora) = &config.method else {
        let problem = "keeps every epoch of an adapter only; choose a LoRA";
        return Err(Error::invalid("method", problem));
    };
    let inputs = cx
        .fingerprint(base)?
        .with("data", data)?
        .with("config", config)?;
    let entry = cx.store.entry("finetune-by-epoch", label, &inputs)?;
    let folder = |epoch: usize| format!("epoch-{epoch}");
    let mut all: Vec<Tuned> = entry.run(|work| {
        let model = base.load_base(&cx.device)?;
        let before = model.decoder.detached()?;
        let mut trainer = Trainer::new(model.decoder, data, config)?;
        let bar = cx
            .progress
            .bar(&format!("training {label}"), trainer.total());
        let (started, in_epoch) = (Instant::now(), trainer.total() / config.epochs);
        let mut all = Vec::new();
        for epoch in 1..=config.epochs {
            for _ in 0..in_epoch {
                trainer.step()?;
                bar.set(trainer.steps().len());
            }
            let base_name = base.model.to_string_lossy();
            adapter::save(trainer.decoder(), lora, &base_name, &work.path(&folder(epoch))?)?;
            all.push(Tuned {
                checkpoint: base.clone(),
                steps: trainer.steps().to_vec(),
                relative_weight_change: trainer.relative_weight_change(&before)?,
                left_out: trainer.left_out().iter().map(|id| id.to_string()).collect(),
                seconds: started.elapsed().as_secs_f64(),
            });
        }
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
    let inputs = cx.fingerprint(checkpoint)?;
    let entry = cx.store.entry("merged", label, &inputs)?;
    let _layers: usize = entry.run(|work| {
        let out = work.path(MODEL)?;
        // what an earlier try left there is not whole
        if out.exists() {
            std::fs::remove_dir_all(&out).map_err(Error::io("removing", &out))?;
        }
        Ok(export::merged(checkpoint, &out, export::SHARD)?.layers)
    })?;
    Checkpoint::open(entry.folder().join(MODEL))
}

fn copy_tokenizer(base: &Checkpoint, folder: &std::path::Path) -> Result<()> {
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    ] {
        let from = base.model.join(name);
        if from.exists() {
            std::fs::copy(&from, folder.join(name))
                .map_err(Error::io("copying the tokenizer", &from))?;
        }
    }
    Ok(())
}

/// Answers and grades the items of several benchmarks, given as (name, items), with one reading of the weights.
pub fn evaluate(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    tasks: &[(String, Vec<Item>)],
    sampling: &Sampling,
) -> Result<Vec<Vec<Graded>>> {
    let inputs = cx
        .fingerprint(checkpoint)?
        .with("tasks", tasks)?
        .with("sampling", sampling)?;
    cx.store.entry("evaluate", label, &inputs)?.run(|work| {
        let model = cx.open(checkpoint)?;
        let total = tasks.iter().map(|(_, items)| items.len()).sum();
        let bar = cx.progress.bar(&format!("evaluating {label}"), total);
        let mut before = 0;
        let mut all = Vec::new();
        for (task, items) in tasks {
            let graded = evaluate::answer(&model, items, sampling, |done| bar.set(before + done))?;
            before += items.len();
            work.write_with(&format!("{task}.jsonl"), |file| write_lines(file, &graded))?;
            all.push(graded);
        }
        Ok(all)
    })
}

fn write_lines(file: &mut impl std::io::Write, rows: &[Graded]) -> Result<()> {
    for row in rows {
        serde_json::to_writer(&mut *file, row).map_err(Error::library("writing the answers"))?;
        file.write_all(b"\n")
            .map_err(|e| Error::library("writing the answers")(e))?;
    }
    Ok(())
}
