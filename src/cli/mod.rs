//! Verbs on the command line: the same names as in the library. Tables go to stdout, progress and notes to stderr.

mod audit;
mod benchmark;
mod book;
mod card;
mod compare;
mod data;
mod doctor;
mod ending;
mod evaluate;
mod experiment;
mod export;
mod finetune;
mod generate;
mod habits;
mod influence;
mod items;
mod lab;
mod ledger;
mod notebook;
mod output;
mod paper;
mod perplexity;
mod replace;
mod report;
mod sweep;
mod template;
mod terminal;
mod watching;
mod weights;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::de::{DeserializeOwned, IntoDeserializer, value};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use unforget::context::Context;
use unforget::error::{Error, Plain, Result};
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
    /// Folder of cached results; finished ones are reused, unfinished ones resume
    #[arg(long, global = true, value_name = "FOLDER", env = "UNFORGET_STORE")]
    store: Option<PathBuf>,
    /// Where to compute: cpu, cuda, cuda:N (the N-th NVIDIA GPU, from 0) or metal
    #[arg(long, global = true, default_value = "cpu")]
    device: String,
    /// Precision of products with frozen weights on a CPU: f32, bf16x2 (activations in two bf16 terms) or bf16; f32 where the CPU has no
    /// instruction for bf16 (see doctor) [default: the recipe's, else bf16x2 for a model in bf16 and f32 for others]
    #[arg(long, global = true, value_name = "PRECISION")]
    precision: Option<String>,
    /// Runs computed side by side on a CPU, each on one thread [default: the number of processors]
    #[arg(long, global = true, value_name = "N")]
    workers: Option<usize>,
    /// Show no progress
    #[arg(long, short, global = true)]
    quiet: bool,
    /// All columns of tables, as a file or a pipe gets them [default: those that fit the terminal, or COLUMNS]
    #[arg(long, global = true)]
    wide: bool,
    /// Colors for signs, verdicts and headings
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto")]
    color: terminal::Color,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the whole comparison on the lab model that ships with the crate; start with `lab --quick`
    Lab(experiment::Lab),
    /// Run an experiment described in a TOML file
    Run(experiment::RunRecipe),
    /// Run an experiment in units: on this machine, as arrays of jobs in Slurm, or by any engine that counts
    Sweep(sweep::Sweep),
    /// Compute a table of the paper at lab scale, beside what the paper prints
    Table(paper::Table),
    /// Compute a figure of the paper at lab scale
    Figure(paper::Figure),
    /// Test each of the paper's hypotheses at lab scale: recipe, statistic, interval, verdict
    Claims(paper::Claims),
    /// Score every token of a data set: how surprising it is to a model
    Perplexity(perplexity::Perplexity),
    /// Say what learning each token of some answers would do to other data: which tokens do the damage
    Influence(influence::InfluenceOfTokens),
    /// Query scored tokens: what thresholds mask, classes, quantiles
    Ledger(ledger::QueryLedger),
    /// Let a model write the training answers: its own correct ones, or the given ones in its words
    Generate(generate::Generate),
    /// Explain a rule of token weights: what it means, what it needs, and what it keeps of a scored data set
    Weights(weights::Weights),
    /// Fine-tune a model on a data set, on all tokens or on those of low perplexity
    #[command(alias = "train")]
    Finetune(Box<finetune::FinetuneModel>),
    /// Grade a model's answers on benchmarks
    Evaluate(evaluate::Evaluate),
    /// Compare two models on the same items: the change, whether it is real, and whether it is small enough to ignore
    Compare(compare::Compare),
    /// Show what a run was made from, or how two runs differ
    Card(card::ShowCard),
    /// Repeat a part of a run and compare it with the store
    Verify(card::Verify),
    /// Write a published benchmark as a file of items, which recipes and other verbs can use as a task
    Items(items::Items),
    /// Write a merged model, a plain LoRA, or masked data for Python trainers
    Export(export::Export),
    /// Write tables, figures and the report again from an experiment's results
    Report(report::WriteReport),
    /// Recompute the numbers of the paper from the files its authors published
    Audit(audit::AuditFiles),
    /// Build the book: notebooks as pages, results as computed, every link checked
    Book(book::Book),
    /// Open the notebooks in Jupyter with the Rust kernel set up, or run them without a browser
    Notebook(notebook::Notebook),
    /// Build the lab from scratch: its benchmarks, tokenizer and model
    MakeLab(lab::MakeLab),
    /// Check what this machine has and lacks
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
    unforget::interruption::end_soon();
    let result = check_names().and_then(|()| {
        match Cli::try_parse_from(habits::renamed(std::env::args_os())) {
            Ok(cli) => {
                terminal::set_layout(cli.common.color, cli.common.wide);
                run(cli).map(|()| ExitCode::SUCCESS)
            }
            Err(other) => Ok(no_call(&other)),
        }
    });
    let code = result.unwrap_or_else(|error| match error {
        Error::Interrupted => {
            tell!("{}", unforget::interruption::RESUMES);
            ExitCode::from(130)
        }
        error => {
            tell!("error: {error}");
            ExitCode::FAILURE
        }
    });
    terminal::end_if_lost(std::io::stdout().flush());
    code
}

/// Prints the help that was asked for, or why the arguments are no call.
fn no_call(other: &clap::Error) -> ExitCode {
    let text = other.render().to_string();
    let text = text.trim_end();
    if other.use_stderr() {
        match habits::tip(other) {
            None => tell!("{text}"),
            // clap's own tip is the option that is spelled most alike
            Some(tip) => {
                let lines: Vec<&str> =
                    text.lines().filter(|line| !line.trim_start().starts_with("tip: ")).collect();
                tell!("{}\n\n  tip: {tip}", lines.join("\n").replace("\n\n\n", "\n\n"));
            }
        }
        return ExitCode::from(2);
    }
    // what was asked for is not parsed where help is
    let mut words = std::env::args().skip_while(|word| !word.starts_with("--color"));
    let color = words.next().and_then(|word| match word.split_once('=') {
        Some((_, when)) => Some(when.to_owned()),
        None => words.next(),
    });
    let color = color.and_then(|when| terminal::Color::from_str(&when, true).ok());
    match color.unwrap_or(terminal::Color::Auto).wanted() {
        // an environment variable that the help quotes may hold anything
        true => terminal::print_painted(&terminal::painted_help(&Plain(text).to_string())),
        false => say!("{text}"),
    }
    ExitCode::SUCCESS
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
        Verb::Influence(verb) => verb.run(&cli.common),
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
