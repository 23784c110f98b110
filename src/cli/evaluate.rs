use super::Common;
use clap::Args;
use std::path::{Path, PathBuf};
use unforget::benchmark::{Benchmark, Prompts};
use unforget::dataset::read_items;
use unforget::error::{Error, Result};
use unforget::evaluate::{Graded, TaskScore};
use unforget::experiment::read_split;
use unforget::generate::Sampling;
use unforget::model::Checkpoint;
use unforget::stats;
use unforget::task::{Check, Extraction, Form, Item};
use unforget::verbs;

const EXAMPLES: &str = "\
Examples:
  Grade the lab's model on three tasks, and show two answers of each:
    unforget evaluate --model lab --task code,algebra,word --show 2
  The same with an adapter on it:
    unforget evaluate --model lab --adapter adapter --task code,algebra,word
  Grade a model on the first 20 tasks of MBPP's test split:
    unforget evaluate --model gemma-2-2b-it --benchmark mbpp --data mbpp.jsonl --limit 20 --max-new-tokens 1024";

/// `unforget evaluate`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Evaluate {
    /// Model folder in Hugging Face layout, or `lab`
    #[arg(long)]
    model: String,
    /// Adapter folder in PEFT's format, put on the model
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Tasks of the lab, or of the folder given with --tasks; several with commas
    #[arg(long, value_delimiter = ',', required_unless_present_any = ["items", "benchmark"])]
    task: Vec<String>,
    /// Folder with <task>/<split>.jsonl [default: the lab's]
    #[arg(long)]
    tasks: Option<PathBuf>,
    /// train, validation or test
    #[arg(long, default_value = "test")]
    split: String,
    /// Items of each task
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// A file of items in this crate's form, instead of tasks
    #[arg(long, conflicts_with_all = ["task", "tasks"])]
    items: Option<PathBuf>,
    /// A benchmark that people know, such as mbpp or humaneval; its rows come from --data
    #[arg(long, requires = "data", conflicts_with_all = ["task", "tasks", "items"])]
    benchmark: Option<String>,
    /// The benchmark's published file
    #[arg(long, requires = "benchmark")]
    data: Option<PathBuf>,
    /// Whose words the questions are put in: paper or harness
    #[arg(long, default_value = "paper", requires = "benchmark")]
    prompts: String,
    /// How code is found in an answer: paper, labels or better [default: as the prompts have it]
    #[arg(long, requires = "benchmark")]
    extraction: Option<String>,
    /// Longest answer in tokens
    #[arg(long, default_value_t = 128)]
    max_new_tokens: usize,
    /// Print this many answers of each task with their grades
    #[arg(long, value_name = "N", default_value_t = 0)]
    show: usize,
    /// Print grades and answers as JSON
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    pub fn run(&self, common: &Common) -> Result<()> {
        let cx = common.context()?;
        let mut checkpoint = Checkpoint::open(super::model_folder(&self.model)?)?;
        checkpoint.adapter = self.adapter.clone();
        let (tasks, refused) = gradable(self.benchmarks()?);
        if tasks.is_empty() {
            return refused.map_or(Ok(()), Err);
        }
        let sampling = Sampling::greedy(self.max_new_tokens);
        let graded = verbs::evaluate(&cx, &checkpoint, "evaluate", &tasks, &sampling)?;
        if self.json {
            let all: Vec<_> = tasks
                .iter()
                .zip(&graded)
                .map(|((task, _), rows)| (task, rows))
                .collect();
            let text =
                serde_json::to_string_pretty(&all).map_err(Error::library("writing the grades"))?;
            println!("{text}");
            return refused.map_or(Ok(()), Err);
        }
        println!(
            "{:12} {:>5}  {:>14}  {:>6}  {:>6} {:>8} {:>9} {:>6}",
            "task", "items", "score ± se", "skill", "kept", "no parse", "truncated", "empty"
        );
        for ((task, items), rows) in tasks.iter().zip(&graded) {
            println!("{}", summary(task, rows));
            for (item, row) in items.iter().zip(rows).take(self.show) {
                println!(
                    "--- {}\n{}\n>>>\n{}\n=== {}: {}",
                    item.id, item.prompt, row.answer, row.score.value, row.score.why
                );
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn benchmarks(&self) -> Result<Vec<(String, Vec<Item>)>> {
        if let (Some(name), Some(data)) = (&self.benchmark, &self.data) {
            return Ok(vec![(name.clone(), self.published(name, data)?)]);
        }
        if let Some(file) = &self.items {
            let mut items = read_items(file)?;
            items.truncate(self.limit);
            let name = file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            return Ok(vec![(name, items)]);
        }
        let folder = match &self.tasks {
            Some(folder) => folder.clone(),
            None => unforget::lab::folder()?,
        };
        self.task
            .iter()
            .map(|task| {
                Ok((
                    task.clone(),
                    read_split(&folder, task, &self.split, self.limit)?,
                ))
            })
            .collect()
    }

    /// The items of one split of a published file.
    fn published(&self, name: &str, data: &Path) -> Result<Vec<Item>> {
        let benchmark = Benchmark::named(name)?;
        let prompts = one_of(
            "prompts",
            &self.prompts,
            &[("paper", Prompts::Paper), ("harness", Prompts::Harness)],
        )?;
        let mut items = benchmark.read(data, prompts)?;
        let found = items.len();
        items.retain(|item| item.id.split('/').nth(1) == Some(self.split.as_str()));
        if items.is_empty() {
            return Err(Error::file(
                data,
                format!("none of its {found} tasks is in the split `{}`", self.split),
            ));
        }
        items.truncate(self.limit);
        if let Some(wanted) = &self.extraction {
            let wanted = one_of(
                "extraction",
                wanted,
                &[
                    ("paper", Extraction::Paper),
                    ("labels", Extraction::Labels),
                    ("better", Extraction::Better),
                ],
            )?;
            for item in &mut items {
                if let Check::Python { extraction, .. } = &mut item.check {
                    *extraction = wanted;
                }
            }
        }
        Ok(items)
    }
}

/// The value that goes by the name `given`.
fn one_of<T: Copy>(option: &str, given: &str, values: &[(&str, T)]) -> Result<T> {
    values
        .iter()
        .find(|(name, _)| *name == given)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
            Error::invalid(
                option,
                format!("`{given}` is not among {}", names.join(", ")),
            )
        })
}

/// The tasks that this machine can grade, and why not the others, which stderr says at once.
fn gradable(tasks: Vec<(String, Vec<Item>)>) -> (Vec<(String, Vec<Item>)>, Option<Error>) {
    let mut refused = None;
    let mut kept = Vec::new();
    for (name, items) in tasks {
        match items.iter().try_for_each(|item| item.check.ready()) {
            Ok(()) => kept.push((name, items)),
            Err(error) => {
                eprintln!("task {name} is left out: {error}");
                refused = Some(error);
            }
        }
    }
    (kept, refused)
}

/// One line of the table.
fn summary(task: &str, rows: &[Graded]) -> String {
    let score = TaskScore::of(task, rows);
    let n = score.items.len() as f64;
    let share = |form: Form| score.items.iter().filter(|item| item.form == form).count() as f64 / n;
    let values: Vec<f64> = score.items.iter().map(|item| item.value).collect();
    let error = stats::standard_error(&values).map_or("–".to_string(), |se| format!("{se:.3}"));
    let skill = score.items.iter().map(|item| item.skill).sum::<f64>() / n;
    format!(
        "{task:12} {:5}  {:6.3} ± {error:>5}  {skill:6.3}  {:6.3} {:8.3} {:9.3} {:6.3}",
        rows.len(),
        score.value(),
        share(Form::Kept),
        share(Form::NoParse),
        share(Form::Truncated),
        share(Form::Empty)
    )
}
