//! Verbs on the command line: the same names as in the library. Tables go to stdout, progress and notes to stderr.

mod audit;
mod benchmark;
mod book;
mod card;
mod compare;
mod data;
mod doctor;
mod evaluate;
mod experiment;
mod export;
mod finetune;
mod generate;
mod items;
mod lab;
mod ledger;
mod notebook;
mod output;
mod paper;
mod perplexity;
mod report;
mod sweep;
mod template;
mod terminal;
mod watching;
mod weights;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use serde::de::{DeserializeOwned, IntoDeserializer, value};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use unforget::context::Context;
use unforget::error::{Error, Result};
use unforget::model::{DeviceChoice, Precision};
use unforget::progress::Progress;
use unforget::store::Store;

use terminal::{print_json, say, tell};

/// Fine-tune a language model without forgetting: low-perplexity token learning, measured.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

/// Options of every verb.
#[derive(Args)]
struct Common {
    /// Folder of cached results; finished ones are returned at once, unfinished ones go on
    #[arg(long, global = true, value_name = "FOLDER", env = "UNFORGET_STORE")]
    store: Option<PathBuf>,
    /// Where to compute: cpu, cuda, cuda:N (the N-th NVIDIA GPU, from 0) or metal
    #[arg(long, global = true, default_value = "cpu")]
    device: String,
    /// In what products with frozen weights are computed on a processor: f32, bf16x2 (activations in two bf16 terms) or bf16; without an
    /// instruction for bf16 (see doctor) all are f32 [default: the recipe's, else bf16x2 where the
    /// model's weights are bf16 and f32 where they are not]
    #[arg(long, global = true, value_name = "PRECISION")]
    precision: Option<String>,
    /// Runs computed side by side on a CPU, each on one thread [default: the number of processors]
    #[arg(long, global = true, value_name = "N")]
    workers: Option<usize>,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the whole comparison on the lab model that ships with the crate: table, figures, report
    Lab(experiment::Lab),
    /// Run an experiment described in a TOML file
    Run(experiment::RunRecipe),
    /// Run an experiment in units: on this machine, as arrays of jobs in Slurm, or by any engine that counts
    Sweep(sweep::Sweep),
    /// Compute a table of the paper at lab scale, beside what the paper prints
    Table(paper::Table),
    /// Compute a figure of the paper at lab scale
    Figure(paper::Figure),
    /// Judge each of the paper's hypotheses at lab scale: recipe, statistic, interval, verdict
    Claims(paper::Claims),
    /// Score every token of a data set: how surprising it is to a model
    Perplexity(perplexity::Perplexity),
    /// Query scored tokens: what thresholds mask, classes, quantiles
    Ledger(ledger::QueryLedger),
    /// Let a model write the training answers: its own right ones, or the given ones in its words
    Generate(generate::Generate),
    /// Read a rule of token weights: what it is, what it needs, and what it keeps of a scored data set
    Weights(weights::Weights),
    /// Fine-tune a model on a data set, on all tokens or on those of low perplexity
    Finetune(Box<finetune::FinetuneModel>),
    /// Grade a model's answers on benchmarks
    Evaluate(evaluate::Evaluate),
    /// Compare two models on the same items: how much changed, whether it is there, whether it is small enough to be none
    Compare(compare::Compare),
    /// Show what a run was made from, or in what two runs differ
    Card(card::ShowCard),
    /// Make a part of a run again and hold it against what the store says
    Verify(card::Verify),
    /// Write a published benchmark as a file of items, which recipes and other verbs can use as a task
    Items(items::Items),
    /// Write a merged model, a plain LoRA, or masked data for Python trainers
    Export(export::Export),
    /// Write tables, figures and the report again from an experiment's results
    Report(report::WriteReport),
    /// Recompute the numbers of the paper from the files its authors published
    Audit(audit::AuditFiles),
    /// Build the book: notebooks as pages, results as computed, every link followed
    Book(book::Book),
    /// Open the notebooks in Jupyter with the Rust kernel set up, or run them without a browser
    Notebook(notebook::Notebook),
    /// Make the lab from nothing: its benchmarks, tokenizer and model
    MakeLab(lab::MakeLab),
    /// Say what this machine has and lacks
    Doctor(doctor::Doctor),
}

/// One of these words, which recipes have for the same value, with `_` for `-`.
fn word<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    words: impl Into<PossibleValuesParser>,
) -> impl TypedValueParser<Value = T> {
    words.into().try_map(|word| {
        let word = word.replace('-', "_");
        T::deserialize(IntoDeserializer::<value::Error>::into_deserializer(word))
    })
}

/// A word with what it means.
fn means(word: &'static str, help: &'static str) -> PossibleValue {
    PossibleValue::new(word).help(help)
}

impl Common {
    fn context(&self) -> Result<Context> {
        let progress = if self.quiet { Progress::quiet() } else { Progress::on_stderr() };
        let mut cx = Context::new(
            Store::choose(self.store.as_deref())?,
            self.device.parse::<DeviceChoice>()?,
            progress,
        )?;
        if let Some(workers) = self.workers {
            cx.workers = workers.max(1);
        }
        cx.precision = self.precision()?;
        Ok(cx)
    }

    /// The precision asked for.
    fn precision(&self) -> Result<Option<Precision>> {
        self.precision.as_deref().map(str::parse).transpose()
    }
}

/// The folder of a model given on the command line: `lab` is the one that ships with the crate, others are folders or models of
/// the hub.
fn model_folder(cx: &Context, name: &str) -> Result<PathBuf> {
    match name {
        "lab" => Ok(unforget::lab::folder()?.join("model")),
        _ => unforget::hub::folder(name, &cx.progress),
    }
}

/// The folder of an adapter given on the command line: a local one, or an adapter of the hub.
fn adapter_folder(cx: &Context, name: Option<&Path>) -> Result<Option<PathBuf>> {
    name.map(|name| unforget::hub::adapter_folder(name, &cx.progress)).transpose()
}

/// Lets `unforget ... | head` end quietly when the reader has seen enough, as other programs do, instead of panicking.
fn end_with_the_reader() {
    #[cfg(unix)]
    {
        const SIGPIPE: i32 = 13;
        const SIG_DFL: usize = 0;
        unsafe extern "C" {
            fn signal(number: i32, action: usize) -> usize;
        }
        // SAFETY: the C library's own function, called with a signal and an action that every Unix has.
        unsafe { signal(SIGPIPE, SIG_DFL) };
    }
}

/// Refuses names that are not in UTF-8 before any work: cards, ledgers and JSON are, and could not name what they were made from.
fn check_names() -> Result<()> {
    for (at, argument) in std::env::args_os().enumerate().skip(1) {
        if argument.to_str().is_none() {
            let problem = format!("{argument:?} is not in UTF-8; give the file another name");
            return Err(Error::invalid(format!("argument {at}"), problem));
        }
    }
    match std::env::current_dir() {
        Ok(folder) if folder.to_str().is_none() => {
            let problem = format!("the name of {folder:?} is not in UTF-8; work in another folder");
            Err(Error::invalid("current folder", problem))
        }
        _ => Ok(()),
    }
}

/// Parses the command line and runs the verb; exit code 0 only when its work is whole.
pub fn main() -> ExitCode {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: no other thread runs yet. candle's own pool spins on waiting, which costs more than it gives beside ours.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
    end_with_the_reader();
    let result = check_names().and_then(|()| {
        match Cli::try_parse_from(finetune::renamed(std::env::args_os())) {
            Ok(cli) => run(cli).map(|()| ExitCode::SUCCESS),
            Err(other) => {
                let (text, code) = (other.render().to_string(), u8::from(other.use_stderr()) * 2);
                match other.use_stderr() {
                    true => tell!("{}", text.trim_end()),
                    false => say!("{}", text.trim_end()),
                }
                Ok(ExitCode::from(code))
            }
        }
    });
    let code = result.unwrap_or_else(|error| {
        tell!("error: {error}");
        ExitCode::FAILURE
    });
    terminal::end_if_lost(std::io::stdout().flush());
    code
}

fn run(cli: Cli) -> Result<()> {
    match cli.verb {
        Verb::Lab(verb) => verb.run(&cli.common),
        Verb::Run(verb) => verb.run(&cli.common),
        Verb::Sweep(verb) => verb.run(&cli.common),
        Verb::Table(verb) => verb.run(&cli.common),
        Verb::Figure(verb) => verb.run(&cli.common),
        Verb::Claims(verb) => verb.run(&cli.common),
        Verb::Perplexity(verb) => verb.run(&cli.common),
        Verb::Ledger(verb) => verb.run(&cli.common),
        Verb::Generate(verb) => verb.run(&cli.common),
        Verb::Weights(verb) => verb.run(),
        Verb::Finetune(verb) => verb.run(&cli.common),
        Verb::Evaluate(verb) => verb.run(&cli.common),
        Verb::Compare(verb) => verb.run(),
        Verb::Card(verb) => verb.run(&cli.common),
        Verb::Verify(verb) => verb.run(&cli.common),
        Verb::Items(verb) => verb.run(&cli.common),
        Verb::Export(verb) => verb.run(&cli.common),
        Verb::Report(verb) => verb.run(&cli.common),
        Verb::Audit(verb) => verb.run(&cli.common),
        Verb::Book(verb) => verb.run(&cli.common),
        Verb::Notebook(verb) => verb.run(&cli.common),
        Verb::MakeLab(verb) => verb.run(&cli.common),
        Verb::Doctor(verb) => verb.run(&cli.common),
    }
}
