//! A part of a run made again, and held against what the store says of it.
//!
//! What the run was made from is looked at first: the inputs by the hash in the folder's name, the model's and the adapter's files by those on the
//! run's [`RunCard`], and what it wrote. Then a part is computed again: the first steps of a training and the mask it learned by, the first
//! answers of an evaluation, or the scores of the first sequences.
//!
//! On the processor that made the run, with the same versions, numbers must be the same to the last bit. Elsewhere they must agree within a
//! tolerance, relative to the larger of the two.

use crate::card::{self, RunCard};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evaluate::{self, Graded};
use crate::generate::Sampling;
use crate::interruption;
use crate::masked::{OnlineRule, check};
use crate::model::Checkpoint;
use crate::perplexity::{self, TokenScores};
use crate::provenance::{
    CANDLE, DataDigest, HashedFiles, Machine, MaskDigest, MaskRecord, Tokenization, VERSION,
};
use crate::select::{LossMask, ModelSignals, Signals};
use crate::store::{Fingerprint, StoredRun};
use crate::task::{Item, graders};
use crate::train::{Example, TrainConfig, Trainer};
use crate::verbs::Tuned;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Largest relative difference of f32 numbers that other machines, versions or batches may give.
pub const TOLERANCE: f64 = 1e-3;

/// The same where bf16 or another kind of device takes part.
pub const TOLERANCE_ON_GPU: f64 = 3e-2;

/// How much is made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// First optimizer steps of a training; 0 for all.
    pub steps: usize,
    /// First items of each task, or first sequences that were scored; 0 for all.
    pub items: usize,
    /// Instead of the tolerance that the device asks for; 0 asks for the last bit.
    pub tolerance: Option<f64>,
    /// Where the model is, if not where it was.
    pub model: Option<PathBuf>,
    /// Where the adapter on it is, if not where it was.
    pub adapter: Option<PathBuf>,
}

impl Default for Replay {
    fn default() -> Self {
        Self { steps: 8, items: 8, tolerance: None, model: None, adapter: None }
    }
}

/// What came of one comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The same, or within the tolerance.
    Same,
    /// Not the same.
    Different,
    /// It cannot be made again from what the store has.
    Unknown,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayCheck {
    /// What was compared.
    pub what: &'static str,
    /// What came of it.
    pub finding: Finding,
    /// What exactly is the same, or where it is not.
    pub detail: String,
}

/// Everything that was compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// `verb/label-hash`.
    pub run: String,
    /// Largest relative difference allowed; 0 for none.
    pub tolerance: f64,
    /// Why that one.
    pub because: String,
    /// In the order in which they were made.
    pub checks: Vec<ReplayCheck>,
}

impl Finding {
    fn when(same: bool) -> Self {
        if same { Self::Same } else { Self::Different }
    }
}

impl Verification {
    /// Whether everything was made again and is the same.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.finding == Finding::Same)
    }

    /// Whether something is not the same.
    pub fn differs(&self) -> bool {
        self.checks.iter().any(|check| check.finding == Finding::Different)
    }

    fn add(&mut self, what: &'static str, finding: Finding, detail: impl Into<String>) {
        let detail = detail.into();
        self.checks.push(ReplayCheck { what, finding, detail });
    }

    /// Whether `found` is what the card has: what is the same, or else both.
    fn equal(&mut self, what: &'static str, found: &str, noted: &str, same: impl Into<String>) {
        if found == noted {
            self.add(what, Finding::Same, same);
        } else {
            self.add(what, Finding::Different, format!("{noted} on the card, {found} now"));
        }
    }

    /// Whether pairs (recorded, made again) agree: what is the same, or else where the first pair that differs too much is.
    fn agree(
        &mut self,
        what: &'static str,
        pairs: impl Iterator<Item = (f64, f64)>,
        same: &str,
        off: impl Fn(usize, f64, f64) -> String,
    ) {
        match self.first_off(pairs) {
            None => self.add(what, Finding::Same, format!("{same}: {}", self.how())),
            Some((at, noted, made)) => self.add(what, Finding::Different, off(at, noted, made)),
        }
    }

    /// The first of pairs (recorded, made again) that differ too much, with its place.
    fn first_off(&self, pairs: impl Iterator<Item = (f64, f64)>) -> Option<(usize, f64, f64)> {
        let same = |a: f64, b: f64| {
            a == b
                || (a - b).abs() <= self.tolerance * a.abs().max(b.abs())
                || a.is_nan() && b.is_nan()
        };
        let mut numbered = pairs.enumerate();
        numbered.find_map(|(at, (a, b))| (!same(a, b)).then_some((at, a, b)))
    }

    fn how(&self) -> String {
        match self.tolerance {
            0.0 => "the same to the last bit".into(),
            tolerance => format!("the same within {tolerance}"),
        }
    }
}

/// Makes a part of the run `kept` again.
///
/// # Errors
/// When the run is not finished or has no card that this version reads; when its inputs were changed; when the model's or the adapter's files are not there or
/// not those it was made with. A difference is no error here: see [`Verification`].
pub fn verify(cx: &Context, kept: &StoredRun, replay: &Replay) -> Result<Verification> {
    let card = RunCard::of(kept)?;
    let inputs = kept.inputs()?;
    let checkpoint = Checkpoint {
        model: replay.model.clone().unwrap_or_else(|| card.weights.folder.clone()),
        adapter: (card.adapter.as_ref())
            .map(|adapter| replay.adapter.clone().unwrap_or_else(|| adapter.folder.clone())),
        adapter_scale: inputs.find("adapter_scale")?,
        template: card.tokenization.options(),
        precision: Some(card.precision()?),
    };
    if let Some(precision) = checkpoint.precision
        && precision.usable(&cx.device) != precision
    {
        let problem = format!(
            "the run was computed in {precision}, for which this processor or device lacks the instruction; verify it where it was made"
        );
        return Err(Error::invalid("precision", problem));
    }
    let (tolerance, because) = tolerance(cx, &card, replay);
    let mut verdict = Verification { run: kept.name(), tolerance, because, checks: Vec::new() };
    verdict.add("inputs", Finding::Same, "their hash is the one in the folder's name");
    card.weights.check(cx, &checkpoint.model, "--model")?;
    verdict.add("weights", Finding::Same, names(&card.weights));
    if let (Some(noted), Some(folder)) = (&card.adapter, &checkpoint.adapter) {
        noted.check(cx, folder, "--adapter")?;
        verdict.add("adapter", Finding::Same, names(noted));
    }
    let text = |hash: &Option<String>| hash.clone().unwrap_or_else(|| "none".into());
    let (now, noted) =
        (Tokenization::of(&cx.tokenizer(&checkpoint)?, &checkpoint.template)?, &card.tokenization);
    verdict.equal("template", &text(&now.template), &text(&noted.template), "the chat template");
    let same = "vocabulary, special tokens and template";
    verdict.equal("tokenizer", &now.tokenizer, &noted.tokenizer, same);
    let made = card::files_below(kept.folder())?;
    let changed =
        card.files.keys().chain(made.keys()).find(|name| card.files.get(*name) != made.get(*name));
    let damaged = kept.damaged()?;
    match changed {
        None if !damaged.is_empty() => verdict.add(
            "files",
            Finding::Different,
            format!("not as the run wrote it, or missing: {}", damaged.join(", ")),
        ),
        None if made.is_empty() => {}
        None => {
            verdict.add("files", Finding::Same, made.keys().cloned().collect::<Vec<_>>().join(", "))
        }
        Some(name) => {
            let hash = |files: &BTreeMap<String, String>| text(&files.get(name).cloned());
            let detail = format!("{name}: {} on the card, {} now", hash(&card.files), hash(&made));
            verdict.add("files", Finding::Different, detail);
        }
    }
    // what ends an answer and what grades it, of runs that have answers
    if let Ok(noted) = inputs.input::<Option<String>>("stops") {
        let now = cx.stops(&checkpoint.model)?;
        verdict.equal("stop ids", &text(&now), &text(&noted), "what says where an answer ends");
    }
    let again = Again { cx, kept, card: &card, inputs: &inputs, checkpoint: &checkpoint, replay };
    match kept.verb().as_str() {
        "finetune" => again.training(&mut verdict)?,
        "evaluate" => again.answers(&mut verdict)?,
        "scores" => again.scores(&mut verdict)?,
        verb => verdict.add(
            "replay",
            Finding::Unknown,
            format!("a run of `{verb}` is compared by its hashes alone; remove its folder and make the call again to compare all of it"),
        ),
    }
    Ok(verdict)
}

/// Whether the last bit counts, and why.
fn tolerance(cx: &Context, card: &RunCard, replay: &Replay) -> (f64, String) {
    let here = Machine::this();
    let device = if cx.device.device.is_cpu() { "cpu" } else { "gpu" };
    let version = |name: &str| card.versions.get(name).cloned().unwrap_or_default();
    let mut other = Vec::new();
    let of_run = &card.computation.device;
    if of_run != device {
        other.push(format!("the run is of device {of_run}"));
    }
    for (name, own) in [("unforget", VERSION), ("candle", CANDLE)] {
        if version(name) != own {
            other.push(format!("the run is of {name} {}, this is {own}", version(name)));
        }
    }
    if card.machine != here {
        other.push("the processor is another one".into());
    }
    let stated = |because: String| match replay.tolerance {
        Some(tolerance) => (tolerance, "as asked for".to_string()),
        None if of_run != "cpu" || device != "cpu" => (TOLERANCE_ON_GPU, because),
        None if other.is_empty() => (0.0, because),
        None => (TOLERANCE, because),
    };
    match (other.is_empty(), device) {
        (true, _) => stated("same device, processor and versions".into()),
        (false, "cpu") => stated(other.join("; ")),
        _ => stated("a GPU adds in an order of its own".into()),
    }
}

fn names(hashed: &HashedFiles) -> String {
    hashed.files.keys().cloned().collect::<Vec<_>>().join(", ")
}

fn first(count: usize, of: usize) -> usize {
    if count == 0 { of } else { count.min(of) }
}

/// A run, and all that is needed to make a part of it again.
#[derive(Clone, Copy)]
struct Again<'a> {
    cx: &'a Context,
    kept: &'a StoredRun,
    card: &'a RunCard,
    inputs: &'a Fingerprint,
    checkpoint: &'a Checkpoint,
    replay: &'a Replay,
}

impl Again<'_> {
    fn training(&self, verdict: &mut Verification) -> Result<()> {
        let Self { cx, kept, card, inputs, checkpoint, replay } = *self;
        let tuned: Tuned = kept.result()?;
        let data: Vec<Example> = inputs.input("data")?;
        let config: TrainConfig = inputs.input("config")?;
        let found = DataDigest::of_training(&data);
        let noted = card.data.get("data").map(|data| data.hash.clone()).unwrap_or_default();
        let tokens = found.tokens.unwrap_or_default();
        verdict.equal(
            "data",
            &found.hash,
            &noted,
            format!("{} examples, {tokens} tokens", found.count),
        );
        let Some(noted) = &card.mask else {
            let path = kept.folder().join("card.json");
            return Err(Error::file(path, "is the card of a training and has no mask"));
        };
        let mask = MaskDigest::of(&data, None);
        let learned = format!(
            "{} of {} completion tokens learned",
            mask.learned_tokens, mask.completion_tokens
        );
        verdict.equal("mask", &mask.hash, &noted.hash, learned);
        let origin = MaskRecord::of(kept)?;
        let signals = match &origin {
            None => None,
            Some(origin) => self.signals(origin, &data)?,
        };
        match (&origin, &signals) {
        (None, _) => {}
        (Some(origin), None) => verdict.add("rule", Finding::Unknown, format!("`{}` needs a reference model or the classes of tokens, which the run does not keep", origin.rule)),
        (Some(origin), Some(signals)) if !origin.rule.needs().online() => {
            let weights = origin.rule.weights(signals, origin.seed)?;
            let pairs = weights.iter().zip(&data).flat_map(|(made, one)| one.weights.iter().zip(made));
            let off = pairs.clone().filter(|(a, b)| (**a != 0.0) != (**b != 0.0)).count();
            let count = pairs.clone().count();
            // near a threshold the last bit decides
            let allowed = if verdict.tolerance == 0.0 { 0 } else { count / 1000 };
            let values = pairs.map(|(a, b)| (f64::from(*a), f64::from(*b)));
            let soft = verdict.first_off(values.filter(|(a, b)| (*a != 0.0) == (*b != 0.0)));
            let same = off <= allowed && soft.is_none();
            let found = match same {
                true => format!("{} of {count} weights the same", count - off),
                false => format!("{off} of {count} tokens are learned in one and not in the other"),
            };
            let detail = format!("`{}`, computed again from the model's scores: {found}", origin.rule);
            verdict.add("rule", Finding::when(same), detail);
        }
        (Some(_), Some(_)) => {}
    }
        let reweigh: Option<String> = inputs.find("reweigh")?;
        let following = match (&reweigh, origin, signals) {
            (None, ..) => None,
            (Some(name), Some(origin), Some(signals)) => {
                let ids = data.iter().map(|one| one.id.clone()).collect();
                let following = OnlineRule::new(origin.rule, ids, signals, origin.seed);
                // the name holds a hash of all scores
                let same = following.name() == name || verdict.tolerance > 0.0;
                let detail = format!("{}, computed again", following.name());
                verdict.add("rule", Finding::when(same), detail);
                Some(following)
            }
            (Some(name), ..) => {
                verdict.add(
                "loss",
                Finding::Unknown,
                format!(
                    "weights follow the model by `{name}`, from scores that the run does not keep"
                ),
            );
                return Ok(());
            }
        };
        let model = cx.load_base(checkpoint)?;
        let before = model.decoder.detached()?;
        let mut trainer = Trainer::new(model.decoder, &data, &config)?;
        if let Some(following) = &following {
            trainer = trainer.reweighed(following);
        }
        let steps = first(replay.steps, tuned.steps.len());
        let bar = cx.progress.bar("training again", steps);
        for step in 1..=steps {
            interruption::check()?;
            trainer.step()?;
            bar.set(step);
        }
        type Value = fn(&crate::train::Step) -> f64;
        let values: [(&'static str, Value); 2] =
            [("loss", |step| step.loss), ("gradient", |step| step.gradient_norm)];
        for (what, value) in values {
            let pairs = tuned.steps.iter().zip(trainer.steps());
            let pairs = pairs.map(|(noted, made)| (value(noted), value(made)));
            let same = format!("the first {steps} of {} steps made again", tuned.steps.len());
            verdict.agree(what, pairs, &same, |at, noted, made| {
                format!("step {}: {noted} in the run, {made} made again", at + 1)
            });
        }
        // a training that went back to an earlier model has other weights than those after its steps
        if steps == tuned.steps.len()
            && tuned.stopped.as_ref().is_none_or(|stopped| stopped.back_to.is_none())
        {
            let pair = (tuned.relative_weight_change, trainer.relative_weight_change(&before)?);
            let same = format!("relative weight change {}", pair.0);
            verdict.agree("tuned", std::iter::once(pair), &same, |_, noted, made| {
                format!("relative weight change {noted} in the run, {made} made again")
            });
        }
        Ok(())
    }

    /// What the rule of `origin` reads, as far as it can be computed from the model; `None` where more is needed.
    fn signals(&self, origin: &MaskRecord, data: &[Example]) -> Result<Option<Vec<Signals>>> {
        let Self { cx, checkpoint, .. } = *self;
        let needs = origin.rule.needs();
        if needs.reference
            || needs.class
            || check(&origin.rule).is_err()
            || origin.completion.len() != data.len()
        {
            return Ok(None);
        }
        let base = match needs.base {
            false => None,
            true => {
                let ids: Vec<&[u32]> = data.iter().map(|one| one.ids.as_slice()).collect();
                let bar = cx.progress.bar("scoring again", ids.len());
                Some(perplexity::score(&cx.open(checkpoint)?.decoder, &ids, |done| bar.set(done))?)
            }
        };
        let of = |at: usize| {
            let (one, ranges) = (&data[at], &origin.completion[at]);
            let written = |at: usize| ranges.iter().any(|(from, to)| (*from..*to).contains(&at));
            Signals {
                completion: LossMask::new((0..one.ids.len()).map(written).collect()),
                given: origin.given.get(at).cloned().unwrap_or_default(),
                base: base.as_ref().map(|base| ModelSignals::from(&base[at])),
                ..Signals::default()
            }
        };
        // as many ranges as examples, see above
        Ok(Some((0..data.len()).map(of).collect()))
    }

    fn answers(&self, verdict: &mut Verification) -> Result<()> {
        let Self { cx, kept, inputs, checkpoint, replay, .. } = *self;
        let noted: Vec<Vec<Graded>> = kept.result()?;
        let tasks: Vec<(String, Vec<Item>)> = inputs.input("tasks")?;
        let sampling: Sampling = inputs.input("sampling")?;
        let noted_graders: BTreeMap<String, String> = inputs.input("graders").unwrap_or_default();
        let now = graders(tasks.iter().flat_map(|(_, items)| items));
        let listed = |all: &mut dyn Iterator<Item = (&str, &String)>| {
            all.map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
        };
        let now = listed(&mut now.iter().map(|(name, version)| (*name, version)));
        let then =
            listed(&mut noted_graders.iter().map(|(name, version)| (name.as_str(), version)));
        verdict.equal("graders", &now, &then, &now);
        let model = cx.open(checkpoint)?;
        for ((task, items), noted) in tasks.iter().zip(&noted) {
            let count = first(replay.items, items.len());
            let bar = cx.progress.bar(&format!("answering {task} again"), count);
            let made = evaluate::answer(&model, &items[..count], &sampling, |done| bar.set(done))?;
            // options are scored in batches, and those of a part round in another way
            let tolerance = match count < items.len() {
                true => verdict.tolerance.max(TOLERANCE),
                false => verdict.tolerance,
            };
            let other = |(noted, made): &(&Graded, &Graded)| match verdict.tolerance {
                _ if !noted.likelihoods.is_empty() && tolerance > 0.0 => {
                    let pairs = noted.likelihoods.iter().zip(&made.likelihoods);
                    noted.likelihoods.len() != made.likelihoods.len()
                        || pairs.into_iter().any(|(noted, made)| {
                            let (noted, made) = (noted.log_likelihood, made.log_likelihood);
                            (noted - made).abs() > tolerance * (1.0 + noted.abs())
                        })
                }
                0.0 => noted != made,
                // one token that was nearly as probable changes the rest of an answer
                _ => noted.score.value != made.score.value,
            };
            let off: Vec<(&Graded, &Graded)> = noted.iter().zip(&made).filter(other).collect();
            let (finding, detail) = match off.first() {
                None => (
                    Finding::Same,
                    format!(
                        "{task}: the first {count} of {} items answered again, the same answers and grades",
                        items.len()
                    ),
                ),
                Some((noted, made)) => {
                    let whole = if count < items.len() {
                        "; --items 0 answers all, in the run's own batches"
                    } else {
                        ""
                    };
                    let detail = format!(
                        "{task}: {} of {count} differ, first {}: `{}` graded {} in the run, `{}` graded {} made again{whole}",
                        off.len(),
                        noted.id,
                        cut(&noted.answer),
                        noted.score.value,
                        cut(&made.answer),
                        made.score.value
                    );
                    (Finding::Different, detail)
                }
            };
            verdict.add("answers", finding, detail);
        }
        Ok(())
    }

    fn scores(&self, verdict: &mut Verification) -> Result<()> {
        let Self { cx, kept, inputs, checkpoint, replay, .. } = *self;
        let noted: Vec<TokenScores> = kept.result()?;
        let sequences: Vec<Vec<u32>> = inputs.input("sequences")?;
        let count = first(replay.items, sequences.len());
        if count < sequences.len() && verdict.tolerance == 0.0 {
            // sequences are scored in batches by length, and other batches round in another way
            verdict.tolerance = TOLERANCE;
            verdict.because +=
                "; a part is scored in other batches than the run's, --items 0 scores all";
        }
        let ids: Vec<&[u32]> = sequences.iter().take(count).map(Vec::as_slice).collect();
        let bar = cx.progress.bar("scoring again", count);
        let made = perplexity::score(&cx.open(checkpoint)?.decoder, &ids, |done| bar.set(done))?;
        for (at, (noted, made)) in noted.iter().zip(&made).enumerate() {
            // of small surprisals the difference counts, of large ones its share
            let value =
                |log_prob: &Option<f32>| log_prob.map_or(0.0, |log_prob| 1.0 - f64::from(log_prob));
            let pairs =
                noted.log_prob.iter().zip(&made.log_prob).map(|(a, b)| (value(a), value(b)));
            let lengths = (noted.log_prob.len(), made.log_prob.len());
            if lengths.0 != lengths.1 {
                verdict.add(
                    "scores",
                    Finding::Different,
                    format!(
                        "sequence {at}: {} tokens in the run, {} made again",
                        lengths.0, lengths.1
                    ),
                );
                return Ok(());
            }
            if let Some((token, noted, made)) = verdict.first_off(pairs) {
                let detail = format!(
                    "sequence {at}, token {token}: surprisal {} in the run, {} made again",
                    noted - 1.0,
                    made - 1.0
                );
                verdict.add("scores", Finding::Different, detail);
                return Ok(());
            }
        }
        let detail = format!(
            "the first {count} of {} sequences scored again: {}",
            sequences.len(),
            verdict.how()
        );
        verdict.add("scores", Finding::Same, detail);
        Ok(())
    }
}

/// The beginning of an answer, on one line.
fn cut(text: &str) -> String {
    const LENGTH: usize = 60;
    let line: String =
        text.chars().take(LENGTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > LENGTH { line + "…" } else { line }
}
