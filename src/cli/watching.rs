//! Options for what is looked at while a model is trained.

use super::data::{self, skippable};
use super::output::Reads;
use super::terminal::{print_lines, say};
use super::word;
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};
use unforget::context::Context;
use unforget::dataset::{Dataset, Row as DataRow, rows};
use unforget::error::{Error, Result};
use unforget::experiment::split_file;
use unforget::model::Checkpoint;
use unforget::probe::{LOG_FILES, ProbeSet, Role, Row, Stopped, Watch, WhenForgotten};
use unforget::scored::Scored;
use unforget::store::Output;
use unforget::table::{Cell, Table};

/// Probing a model while it trains.
#[derive(Args)]
pub struct Watching {
    /// A probe set of skills to keep: a file of items, which are asked and graded; `lab` for the lab's validation split of that
    /// name; or any data set, whose answers are only scored. Repeat for several
    #[arg(long, value_name = "NAME=FILE", help_heading = "While it trains")]
    probe: Vec<String>,
    /// A probe set of the skill that is trained
    #[arg(long, value_name = "NAME=FILE", help_heading = "While it trains")]
    target_probe: Vec<String>,
    /// Optimizer steps between two probes; the base model and the final one are always probed
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = "While it trains")]
    probe_every: usize,
    /// Largest share of the work that probes in between may take, such as 0.2; the rest are skipped
    #[arg(
        long,
        value_name = "SHARE",
        allow_negative_numbers = true,
        help_heading = "While it trains"
    )]
    probe_share: Option<f64>,
    /// Use only the first N examples of each set
    #[arg(long, value_name = "N", default_value_t = 50, help_heading = "While it trains")]
    probe_items: usize,
    /// Longest answer of a graded set in tokens
    #[arg(long, value_name = "N", default_value_t = 128, help_heading = "While it trains")]
    probe_max_new_tokens: usize,
    /// Points that the score of any --probe set may fall below the base model's
    #[arg(
        long,
        value_name = "POINTS",
        allow_negative_numbers = true,
        help_heading = "While it trains"
    )]
    forget_at_most: Option<f64>,
    /// When more is lost, end the training with the model as it is, or as it was at the last probe within the budget
    #[arg(
        long,
        value_parser = word::<WhenForgotten>(["stop", "roll-back"]),
        default_value = "stop",
        requires = "forget_at_most",
        help_heading = "While it trains"
    )]
    when_forgotten: WhenForgotten,
    /// Write steps and probes into this folder while training: steps.jsonl, probes.jsonl, an event file for TensorBoard, and at the end
    /// probes.html with the curves
    #[arg(long, value_name = "FOLDER", help_heading = "While it trains")]
    pub log: Option<PathBuf>,
}

impl Watching {
    /// The folder of the log, if one is named.
    pub fn log(&self) -> Option<Output> {
        let names = [LOG_FILES.as_slice(), &["probes.html"]].concat();
        self.log.as_ref().map(|folder| Output::within("--log", folder, &names))
    }

    /// The sets' files.
    pub fn read(&self, reads: Reads) -> Reads {
        let named = self.probe.iter().map(|text| ("--probe", text));
        let named = named.chain(self.target_probe.iter().map(|text| ("--target-probe", text)));
        named.fold(reads, |reads, (option, text)| match text.split_once('=') {
            Some((_, file)) => reads.data(option, Path::new(file)),
            None => reads,
        })
    }

    /// What the options ask for; nothing, if they name no set. Some of the training examples are looked at beside the sets.
    pub fn watch(
        &self,
        cx: &Context,
        checkpoint: &Checkpoint,
        data: &Scored,
        seed: u64,
        skip_unusable: bool,
    ) -> Result<Option<Watch>> {
        if self.probe.is_empty() && self.target_probe.is_empty() {
            if self.forget_at_most.is_some() {
                let problem = "needs a set to lose points on; name one with --probe";
                return Err(Error::invalid("--forget-at-most", problem));
            }
            return Ok(None);
        }
        if self.probe_items == 0 {
            return Err(Error::invalid("--probe-items", "must be at least 1"));
        }
        let named = self.target_probe.iter().map(|text| (text, Role::Target));
        let named = named.chain(self.probe.iter().map(|text| (text, Role::NonTarget)));
        let mut sets = vec![ProbeSet::of_training(data, seed, self.probe_items)];
        for (text, role) in named {
            sets.push(self.set(cx, checkpoint, text, role, skip_unusable)?);
        }
        let watch = Watch {
            sets,
            every: self.probe_every,
            share: self.probe_share,
            max_new_tokens: self.probe_max_new_tokens,
            forget_at_most: self.forget_at_most,
            when_forgotten: self.when_forgotten,
        };
        watch.check()?;
        Ok(Some(watch))
    }

    fn set(
        &self,
        cx: &Context,
        checkpoint: &Checkpoint,
        text: &str,
        role: Role,
        skip: bool,
    ) -> Result<ProbeSet> {
        let Some((name, file)) =
            text.split_once('=').filter(|(name, file)| !name.is_empty() && !file.is_empty())
        else {
            let problem = format!("`{text}` is not NAME=FILE, such as word=word/validation.jsonl");
            return Err(Error::invalid("--probe", problem));
        };
        let file = match file {
            "lab" => split_file(&unforget::lab::folder()?, name, "validation")?,
            file => Path::new(file).to_path_buf(),
        };
        let tokenizer = cx.tokenizer(checkpoint)?;
        let context = checkpoint.config()?.max_position_embeddings;
        let is_item = |row: &DataRow| row.fields.get("check").is_some_and(Value::is_object);
        let (mut set, mut unusable) = if rows(&file)?.iter().any(is_item) {
            let (mut items, unusable) = data::items(&file, skip)?;
            items.truncate(self.probe_items);
            let set = |skip| ProbeSet::of_items(name, role, &items, &tokenizer, context, skip);
            (set(skip).map_err(|error| skippable(error, &file, set(true)))?, unusable)
        } else {
            let data = match skip {
                true => Dataset::read_usable(&file)?,
                false => Dataset::read(&file)
                    .map_err(|error| skippable(error, &file, Dataset::read_usable(&file)))?,
            };
            let Dataset { mut examples, unusable, unread, .. } = data;
            data::note_columns(cx, &file, &unread);
            examples.truncate(self.probe_items);
            cx.progress.note(&format!(
                "{} holds no items that can be graded: the answers of probe set {name} are only scored",
                file.display()
            ));
            let set = |skip| {
                ProbeSet::of_examples(name, role, examples.clone(), &tokenizer, context, skip)
            };
            let set = set(skip).map_err(|error| skippable(error, &file, set(true)))?;
            cx.mention_unread(&tokenizer, &examples);
            (set, unusable)
        };
        unusable.append(&mut set.unusable);
        data::note_unusable(cx, &unusable);
        set.unusable = unusable;
        Ok(set)
    }
}

/// The first and the last look as a table; nothing if there was none.
pub fn print(rows: &[Row], stopped: Option<&Stopped>) {
    let Some(last) = rows.last().map(|row| row.step) else {
        return;
    };
    let ends: Vec<&Row> = rows.iter().filter(|row| row.step == 0 || row.step == last).collect();
    let table = Table::default()
        .rows(&ends)
        .column("probe", |row| &row.probe)
        .column("step", |row| row.step)
        .column("loss", |row| Cell::number(row.loss, 3))
        .column("KL", |row| Cell::number(row.kl, 3))
        .column("score", |row| Cell::number(row.score, 3))
        .column("skill", |row| Cell::number(row.skill, 3))
        .column("form", |row| Cell::number(row.form, 3))
        .table();
    say!();
    print_lines(&table);
    if let Some(stopped) = stopped {
        let then = match stopped.back_to {
            Some(step) => format!("went back to step {step}"),
            None => "ended there".into(),
        };
        say!(
            "after step {} `{}` had lost {:.1} points, more than may be forgotten: the training {then}",
            stopped.step,
            stopped.probe,
            stopped.lost
        );
    }
    say!();
}
