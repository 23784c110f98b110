use super::Common;
use super::terminal::say;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use unforget::card::RunCard;
use unforget::error::{Error, Result};
use unforget::provenance::{Difference, differences};
use unforget::store::Store;
use unforget::verify::{Finding, Replay, verify};

const CARD_EXAMPLES: &str = "\
Examples:
  What a run was made from (its folder in the store, or the beginning of its label or hash):
    unforget card finetune/train-3f1c
  How two runs differ, field by field:
    unforget card stm_2.5-0.001-1 stm_2.5-0.003-1 --json

Every result in the store has a card: recipe; hashes of weights, tokenizer, chat template, data, mask and files; versions, device, dtype,
threads, processor, seeds and times. Of two runs only what differs is shown, without their names and times. What that did to the scores
is `unforget compare`'s to say.";

/// `unforget card`
#[derive(Args)]
#[command(after_help = CARD_EXAMPLES)]
pub struct ShowCard {
    /// A run: its folder, verb/label-hash in the store, or the beginning of its label or hash
    run: String,
    /// Another run, to show how they differ
    other: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Two cards with `--json`.
#[derive(Serialize)]
struct Differences<'a> {
    first: &'a str,
    second: &'a str,
    differences: &'a [Difference],
}

impl ShowCard {
    pub fn run(&self, common: &Common) -> Result<()> {
        let store = Store::choose(common.store.as_deref())?;
        let card_of = |run: &str| {
            let kept = store.find(run)?;
            kept.check()?;
            RunCard::of(&kept)
        };
        let card = card_of(&self.run)?;
        let Some(other) = &self.other else {
            if self.json {
                return super::print_json(&card);
            }
            print(&card)?;
            return Ok(());
        };
        let other = card_of(other)?;
        let found = card.differences(&other)?;
        if self.json {
            return super::print_json(&Differences {
                first: &card.run,
                second: &other.run,
                differences: &found,
            });
        }
        say!("{} → {}", card.run, other.run);
        for difference in &found {
            say!("  {difference}");
        }
        if found.is_empty() {
            say!("  no field differs");
        }
        Ok(())
    }
}

/// A card, one field in a line.
fn print(card: &RunCard) -> Result<()> {
    let value = serde_json::to_value(card).map_err(Error::library("reading the card"))?;
    let nothing = serde_json::Value::Object(serde_json::Map::new());
    for Difference { field, first, .. } in differences(&value, &nothing) {
        match first {
            Some(serde_json::Value::String(text)) => say!("{field:<40} {text}"),
            Some(value) => say!("{field:<40} {value}"),
            None => {}
        }
    }
    Ok(())
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  The first steps of a training made again, and its mask:
    unforget verify finetune/train-3f1c
  All of it:
    unforget verify finetune/train-3f1c --steps 0
  The first 20 answers of each task of an evaluation:
    unforget verify evaluate/base --items 20

A run is looked at in full (inputs, weights, tokenizer, template, data, mask and files by their hashes) and made again in part: of `finetune` its first
steps, and the mask where its rule needs no more than the model's scores; of `evaluate` its first answers; of `scores` those of its first
sequences. Runs of other verbs are compared by their hashes alone, which is not enough for exit code 0.

With the processor and versions of the run, on a CPU, numbers must be the same to the last bit, whatever the number of threads. Otherwise they must agree
within 0.001 of the larger one (0.03 with a GPU), or --tolerance. The exit code is 0 only if all is the same.";

/// `unforget verify`
#[derive(Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct Verify {
    /// A run: its folder, verb/label-hash in the store, or the beginning of its label or hash
    run: String,
    /// Repeat the first N optimizer steps of a training; 0 for all
    #[arg(long, value_name = "N", default_value_t = Replay::default().steps)]
    steps: usize,
    /// Repeat the first N items of each task, or sequences; 0 for all
    #[arg(long, value_name = "N", default_value_t = Replay::default().items)]
    items: usize,
    /// Largest relative difference that counts as equal; 0 for equal to the last bit
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    tolerance: Option<f64>,
    /// The model's folder, if it has moved
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
    /// The adapter's folder, if it has moved
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(&self, common: &Common) -> Result<()> {
        if let Some(tolerance) = self.tolerance.filter(|x| !(x.is_finite() && *x >= 0.0)) {
            let problem = format!("must be a number of at least 0, got {tolerance}");
            return Err(Error::invalid("--tolerance", problem));
        }
        let cx = common.context()?;
        let kept = cx.store.find(&self.run)?;
        let verdict = verify(
            &cx,
            &kept,
            &Replay {
                steps: self.steps,
                items: self.items,
                tolerance: self.tolerance,
                model: self.model.clone(),
                adapter: self.adapter.clone(),
            },
        )?;
        if self.json {
            super::print_json(&verdict)?;
        } else {
            say!("{}", verdict.run);
            say!("allowed difference {}: {}", verdict.tolerance, verdict.because);
            for check in &verdict.checks {
                let mark = match check.finding {
                    Finding::Same => "ok",
                    Finding::Different => "NO",
                    Finding::Unknown => "??",
                };
                say!("{mark}  {:<10} {}", check.what, check.detail);
            }
        }
        let named = |finding: Finding| {
            let checks = verdict.checks.iter().filter(|check| check.finding == finding);
            checks.map(|check| check.what).collect::<Vec<_>>().join(", ")
        };
        match (verdict.holds(), verdict.differs()) {
            (true, _) => {
                if !self.json {
                    say!("verdict: reproduced");
                }
                Ok(())
            }
            (_, true) => Err(Error::file(
                kept.folder(),
                format!(
                    "the run is not reproduced: {} differ; see the lines marked NO",
                    named(Finding::Different)
                ),
            )),
            _ => Err(Error::file(
                kept.folder(),
                format!(
                    "nothing differs, but not all could be made again: {}; see the lines marked ??",
                    named(Finding::Unknown)
                ),
            )),
        }
    }
}
