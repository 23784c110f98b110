use super::Common;
use clap::Args;
use std::path::PathBuf;
use unforget::dataset::read_items;
use unforget::error::{Error, Result};
use unforget::evaluate::{Graded, TaskScore};
use unforget::experiment::read_split;
use unforget::generate::Sampling;
use unforget::model::Checkpoint;
use unforget::stats;
use unforget::task::{Form, Item};
use unforget::verbs;

const EXAMPLES: &str = "\
Examples:
  Grade the lab's model on three tasks, and show two answers of each:
    unforget evaluate --model lab --task code,algebra,word --show 2
  The same with an adapter on it:
    unforget evaluate --model lab --adapter adapter --task code,algebra,word";

/// `unforget evaluate`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Evaluate {
    /// Model folder in Hugging Face layout, owner/name[@revision] of the hub, or `lab`
    #[arg(long)]
    model: String,
    /// Adapter folder in PEFT's format, put on the model
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Tasks of the lab, or of the folder given with --tasks; several with commas
    #[arg(long, value_delimiter = ',', required_unless_present = "items")]
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
        let mut checkpoint = Checkpoint::open(super::model_folder(&cx, &self.model)?)?;
        checkpoint.adapter = self.adapter.clone();
        let tasks = self.benchmarks()?;
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
            return Ok(());
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
        Ok(())
    }

    fn benchmarks(&self) -> Result<Vec<(String, Vec<Item>)>> {
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
