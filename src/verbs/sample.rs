use super::kept;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::Checkpoint;
use crate::self_output::{self, Pool, SelfOutput, Shown};
use crate::stats;
use crate::task::Item;

/// Samples answers to the questions of `items`, and grades them: *Self-Output* keeps the most plausible right one of each
/// ([`Pool::chosen`]). `label` names the result's folder for people.
///
/// # Errors
/// The model cannot be read, this machine cannot grade an answer, or an item stands there twice.
pub fn self_output(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    items: &[Item],
    config: &SelfOutput,
) -> Result<Pool> {
    sample(cx, checkpoint, label, items, Shown::Question, config)
}

/// The same, each question shown with its reference answer: *Rephrase*.
///
/// # Errors
/// As [`self_output()`].
pub fn rephrase(
    cx: &Context,
    checkpoint: &Checkpoint,
    label: &str,
    items: &[Item],
    config: &SelfOutput,
) -> Result<Pool> {
    sample(cx, checkpoint, label, items, Shown::QuestionAndReference, config)
}

fn sample(
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
    let (pool, _) = kept(cx, ("pool", label), checkpoint, &inputs, |work, _| {
        let model = cx.open(checkpoint)?;
        let bar = cx.progress.bar(&format!("sampling {label}"), items.len() * config.samples);
        let (mut pool, mut lines) = work.lines::<self_output::PoolItem>("pool.jsonl")?;
        // a part is kept whole or made again, so that its random streams start where they should
        let whole = pool.len() / PART * PART;
        let mut count = pool.len() * config.samples;
        bar.resume_at(count);
        for (part, items) in items.chunks(PART).enumerate().skip(whole / PART) {
            let known = pool.len().saturating_sub(part * PART);
            let done = || {
                count += 1;
                bar.set(count);
            };
            let made = self_output::sample(&model, items, part * PART, shown, config, done)?;
            work.keep_time()?;
            for item in made.into_iter().skip(known) {
                lines.push(&item)?;
                pool.push(item);
            }
        }
        Ok(Pool { items: pool, seconds: work.seconds() })
    })?;
    Ok(pool)
}
