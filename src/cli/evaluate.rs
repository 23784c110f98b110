use super::Common;
use super::benchmark::Benchmarks;
use super::data::{self, WhenTooLong, tell_unusable};
use super::output::Reads;
use super::template::Template;
use super::terminal::{print_lines, say, tell};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use unforget::answers::Task;
use unforget::card::written_options;
use unforget::error::{Error, Result, Word};
use unforget::evaluate::{self, Graded, ItemScore, TaskScore};
use unforget::experiment::{split_file, task_names};
use unforget::generate::Sampling;
use unforget::samples::{self, Evaluated, Evaluation};
use unforget::stats;
use unforget::store::Output;
use unforget::table::{Cell, NOTHING, Table};
use unforget::task::{Accuracy, Check, Form, Item};
use unforget::tokens::Tokenizer;
use unforget::verbs;

const EXAMPLES: &str = "\
Examples:
  Grade the lab's model on three tasks, and show two answers of each:
    unforget evaluate --model lab --task code,algebra,word --show 2
  The same with an adapter on it:
    unforget evaluate --model lab --adapter adapter --task code,algebra,word
  The whole range between the base and the tuned model:
    unforget evaluate --model lab --adapter adapter --adapter-scale 0,0.25,0.5,0.75,1 --task code,algebra,word
  Grade a model on the first 200 questions of two published benchmarks, and save every answer:
    unforget evaluate --model gemma-2-2b-it --benchmark gsm8k=gsm8k/test.jsonl --benchmark arc=arc/test.jsonl --limit 200 --out samples
  The first 20 tasks of MBPP's test split:
    unforget evaluate --model gemma-2-2b-it --benchmark mbpp=mbpp.jsonl --limit 20
  ARC by the likelihood of its options, without a written answer, as lm-evaluation-harness's arc_challenge:
    unforget evaluate --model gemma-2-2b-it --benchmark arc=arc/test.jsonl --choices acc_norm --limit 0
  As lm-evaluation-harness asks and grades:
    unforget evaluate --model gemma-2-2b-it --benchmark gsm8k=gsm8k/test.jsonl --prompts harness --grading harness --limit 0";

/// `unforget evaluate`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Evaluate {
    /// Model folder in Hugging Face layout, GGUF file, owner/name[@revision] of the hub, or `lab`
    #[arg(long, value_name = "FOLDER")]
    model: String,
    /// Adapter in PEFT's format, a folder or owner/name on the hub, put on the model
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// Scale of the adapter's change of the weights: 0 is the base, 1 the tuned model. Several with commas
    #[arg(
        long,
        value_name = "SCALE",
        value_delimiter = ',',
        requires = "adapter",
        allow_negative_numbers = true
    )]
    adapter_scale: Vec<f64>,
    /// Tasks of the lab, or of the folder given with --tasks; several with commas
    #[arg(long, value_delimiter = ',')]
    task: Vec<String>,
    /// Folder with <task>/<split>.jsonl [default: the lab's]
    #[arg(long, value_name = "FOLDER")]
    tasks: Option<PathBuf>,
    /// train, validation or test
    #[arg(long, default_value = "test")]
    split: String,
    /// Ask only the first N items of each task; 0 for all [default: 100]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// A file of items in this crate's format, instead of tasks
    #[arg(long, value_name = "FILE", conflicts_with_all = ["task", "tasks"])]
    items: Option<PathBuf>,
    #[command(flatten)]
    benchmarks: Benchmarks,
    #[command(flatten)]
    template: Template,
    /// Longest answer in tokens [default: 128, for benchmarks as the paper has it]
    #[arg(long)]
    max_new_tokens: Option<usize>,
    /// What to do with questions that leave no room for an answer in the model's context; truncate cuts off their beginning
    #[arg(long, value_enum, default_value = "refuse")]
    too_long: WhenTooLong,
    /// Write results and every answer with its grade, in the format of lm-evaluation-harness
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print the first N answers of each task with their grades
    #[arg(long, value_name = "N", default_value_t = 0)]
    show: usize,
    /// Print grades and answers as JSON
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    pub fn run(&self, common: &Common) -> Result<()> {
        if let Some(out) = &self.out {
            // every call's files have names of their own
            let reads = Reads::new(common)?.model(&self.model);
            let reads = reads.given("--adapter", self.adapter.as_ref());
            let reads = reads.given("--items", self.items.as_ref());
            let reads = self.benchmarks.files(reads.given("--tasks", self.tasks.as_ref()));
            reads.check(&[Output::within::<&str>("--out", out, &[])])?;
        }
        let cx = common.context()?;
        let mut checkpoint = self.template.checkpoint(&cx, &self.model)?;
        checkpoint.adapter = super::adapter_folder(&cx, self.adapter.as_deref())?;
        let tokenizer = cx.tokenizer(&checkpoint)?;
        let mut asked = self.asked(tokenizer.template().is_some())?;
        let context = checkpoint.config()?.max_position_embeddings;
        asked.iter_mut().try_for_each(|task| self.fit(task, &tokenizer, context))?;
        let (asked, refused) = gradable(asked);
        if asked.is_empty() {
            return refused.map_or(Ok(()), Err);
        }
        let longest = asked.iter().map(|task| task.max_new_tokens).max();
        let max_new_tokens = self.max_new_tokens.or(longest).unwrap_or(128);
        let sampling = Sampling::greedy(max_new_tokens);
        let tasks: Vec<Task> =
            asked.iter().map(|task| Task::new(&task.name, task.items.clone())).collect();
        let checkpoint = match &self.adapter_scale[..] {
            [] => checkpoint,
            [scale] => checkpoint.scaled(*scale)?,
            _ if self.out.is_some() => {
                let problem = "writes the answers of one model; give one --adapter-scale";
                return Err(Error::invalid("--out", problem));
            }
            scales => {
                let front =
                    verbs::ask_at_scales(&cx, &checkpoint, "evaluate", &tasks, &sampling, scales)?;
                self.print_front(&tasks, &front)?;
                return refused.map_or(Ok(()), Err);
            }
        };
        let started = SystemTime::now();
        let graded = verbs::ask(&cx, &checkpoint, "evaluate", &tasks, &sampling)?;
        if let Some(folder) = &self.out {
            let adapter = checkpoint.adapter.as_ref().map(|adapter| {
                let scale = checkpoint.adapter_scale.map(f64::from);
                let scale = scale.map_or(String::new(), |scale| format!(",adapter_scale={scale}"));
                format!("{}{scale}", adapter.display())
            });
            let tokenizer = cx.tokenizer(&checkpoint)?;
            let applied = |item: &Item| match item.check {
                Check::Likelihood { apply_chat_template, .. } => apply_chat_template,
                _ => true,
            };
            let any = asked.iter().flat_map(|task| &task.items).any(applied);
            let template = tokenizer.template().filter(|_| any);
            let about = Evaluation {
                model: &self.model,
                adapter: adapter.as_deref(),
                chat_template: template.map(|template| template.source()),
                template: written_options(template),
                device: &common.device,
                sampling: serde_json::json!({"do_sample": false, "temperature": 0.0}),
                max_new_tokens,
                limit: (self.limit() > 0).then_some(self.limit()),
                started,
                ended: SystemTime::now(),
            };
            let evaluated: Vec<Evaluated<'_>> = asked
                .iter()
                .zip(&graded)
                .map(|(task, graded)| Evaluated {
                    task: &task.name,
                    of: task.of,
                    shots: task.shots,
                    items: &task.items,
                    graded,
                    config: &task.config,
                })
                .collect();
            let file = samples::write(folder, &about, &evaluated)?;
            cx.progress.note(&format!("results and samples: {}", file.display()));
        }
        if self.json {
            let all: Vec<_> =
                tasks.iter().zip(&graded).map(|(task, rows)| (&task.name, rows)).collect();
            super::print_json(&all)?;
            return refused.map_or(Ok(()), Err);
        }
        let lines = tasks.iter().zip(&graded).map(|(task, rows)| Line::of(None, &task.name, rows));
        print_lines(&table(&lines.collect::<Vec<_>>()));
        for (Task { items, .. }, rows) in tasks.iter().zip(&graded) {
            for (item, row) in items.iter().zip(rows).take(self.show) {
                say!(
                    "--- {}\n{}\n>>>\n{}\n=== {}: {}",
                    Word(&item.id),
                    item.prompt,
                    row.answer,
                    row.score.value,
                    row.score.why
                );
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// One line for each scale and task.
    fn print_front(&self, tasks: &[Task], front: &[(f64, Vec<Vec<Graded>>)]) -> Result<()> {
        if self.json {
            let of_scale = |(scale, graded): &(f64, Vec<Vec<Graded>>)| {
                let named = tasks.iter().zip(graded);
                let named: Vec<_> = named.map(|(task, rows)| (&task.name, rows)).collect();
                serde_json::json!({"adapter_scale": scale, "tasks": named})
            };
            return super::print_json(&front.iter().map(of_scale).collect::<Vec<_>>());
        }
        let lines = front.iter().flat_map(|(scale, graded)| {
            let tasks = tasks.iter().zip(graded);
            tasks.map(|(task, rows)| Line::of(Some(*scale), &task.name, rows))
        });
        print_lines(&table(&lines.collect::<Vec<_>>()));
        Ok(())
    }

    /// Has the items of a task fit the context, as --too-long says.
    fn fit(&self, task: &mut Asked, tokenizer: &Tokenizer, context: usize) -> Result<()> {
        let mut long = Vec::new();
        let mut kept = Vec::new();
        for item in std::mem::take(&mut task.items) {
            // what cannot be asked at all is said where it is asked
            if evaluate::length(tokenizer, &item).is_ok_and(|length| length > context) {
                long.push(item.id.clone());
                if self.too_long == WhenTooLong::Truncate {
                    kept.push(shortened(item, tokenizer, context, task.max_new_tokens)?);
                }
            } else {
                kept.push(item);
            }
        }
        task.items = kept;
        if long.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = long.iter().map(String::as_str).collect();
        let (count, of, names) = (long.len(), task.items.len(), data::first_names(&ids));
        let what = match self.too_long {
            WhenTooLong::Refuse => {
                let problem = format!(
                    "{count} of {} questions leave no room for an answer in the context of {context} tokens: {names}; --too-long drop leaves them out, truncate cuts off their beginning, and --prompts may ask in fewer words",
                    of + count
                );
                return Err(Error::invalid(format!("task {}", task.name), problem));
            }
            WhenTooLong::Drop if of == 0 => {
                let problem =
                    format!("every question is longer than {context} tokens, so nothing is left");
                return Err(Error::invalid(format!("task {}", task.name), problem));
            }
            WhenTooLong::Drop => "are left out, so that this is no score of all",
            WhenTooLong::Truncate => "lose their beginning",
        };
        tell!(
            "{}: {count} questions leave no room for an answer in the context of {context} tokens and {what}: {names}",
            Word(&task.name)
        );
        task.config["too_long"] = serde_json::json!({"items": long, "what": what});
        Ok(())
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or(100)
    }

    /// Everything that is asked of a model that has a chat template or none: tasks, a file of items, benchmarks.
    fn asked(&self, chat: bool) -> Result<Vec<Asked>> {
        if self.task.is_empty() && self.items.is_none() && self.benchmarks.benchmark.is_empty() {
            let folder = self.tasks.clone().map_or_else(unforget::lab::folder, Ok)?;
            let problem = format!(
                "name a --task (of {}: {}), a --benchmark, or a file of --items; --tasks is the folder that tasks are in",
                folder.display(),
                task_names(&folder).join(", ")
            );
            return Err(Error::invalid("what to evaluate", problem));
        }
        let mut asked = Vec::new();
        if let Some(file) = &self.items {
            let stem = file.file_stem().unwrap_or_default();
            asked.push(self.items_of(
                &stem.to_string_lossy(),
                file,
                serde_json::json!({"items": file}),
            )?);
        }
        let folder = match &self.tasks {
            Some(folder) => folder.clone(),
            None if self.task.is_empty() => PathBuf::new(),
            None => unforget::lab::folder()?,
        };
        for task in &self.task {
            let file = split_file(&folder, task, &self.split)?;
            let config = serde_json::json!({"task": task, "split": self.split});
            asked.push(self.items_of(task, &file, config)?);
        }
        let ask = self.benchmarks.ask(chat)?;
        for one in self.benchmarks.read(&self.split, chat)? {
            let mut config = serde_json::json!({
                "task": one.name,
                "dataset_path": one.file,
                "test_split": self.split,
                "ask": ask,
            });
            if one.unusable > 0 {
                config["unusable_rows"] = one.unusable.into();
            }
            let mut task = self.first(&one.name, one.items, config);
            task.shots = one.shots;
            task.max_new_tokens = one.benchmark.max_new_tokens();
            asked.push(task);
        }
        self.benchmarks.check_scored(asked.iter().flat_map(|task| &task.items))?;
        for (at, task) in asked.iter().enumerate() {
            if asked[..at].iter().any(|other| other.name == task.name) {
                let problem = format!("two of them are called {}", task.name);
                return Err(Error::invalid("tasks and benchmarks", problem));
            }
        }
        Ok(asked)
    }

    /// The first items of a task that has a file of them.
    fn items_of(&self, name: &str, file: &Path, mut config: serde_json::Value) -> Result<Asked> {
        let (items, unusable) = data::items(file, self.benchmarks.skip_unusable)?;
        tell_unusable(&unusable);
        if !unusable.is_empty() {
            config["unusable_rows"] = unusable.len().into();
        }
        Ok(self.first(name, items, config))
    }

    /// The first items of a task.
    fn first(&self, name: &str, mut items: Vec<Item>, config: serde_json::Value) -> Asked {
        let of = items.len();
        if let Some(limit) = self.limit.filter(|limit| *limit > of) {
            tell!("{} has {of} items; --limit {limit} takes all of them", Word(name));
        }
        if self.limit() > 0 {
            items.truncate(self.limit());
        }
        let items = items.into_iter().map(|item| self.benchmarks.scored(item)).collect();
        Asked { name: name.to_owned(), of, shots: 0, items, max_new_tokens: 128, config }
    }
}

/// The item without the beginning of its question, as lm-evaluation-harness cuts one: what is left fits the context with an answer of the longest
/// length, or of a quarter of the context if that is longer.
fn shortened(
    mut item: Item,
    tokenizer: &Tokenizer,
    context: usize,
    max_new_tokens: usize,
) -> Result<Item> {
    /// Tokens may come out otherwise where a text is cut.
    const TRIES: usize = 8;
    let answer = match item.check.by_likelihood() {
        true => 0,
        false => max_new_tokens.min(context / 4),
    };
    for _ in 0..TRIES {
        let length = evaluate::length(tokenizer, &item)? + answer;
        let Some(over) = length.checked_sub(context).filter(|over| *over > 0) else {
            return Ok(item);
        };
        let ids = tokenizer.encode(&item.prompt, false)?.ids;
        if over >= ids.len() {
            break;
        }
        item.prompt = tokenizer.decode(&ids[over..])?;
    }
    let problem = format!(
        "cannot be cut to fit the context of {context} tokens; leave it out with --too-long drop"
    );
    Err(Error::invalid(format!("item {}", item.id), problem))
}

/// One task that was graded, with the scale of the adapter where several were tried.
struct Line<'a> {
    scale: Option<f64>,
    task: &'a str,
    rows: &'a [Graded],
    score: TaskScore,
}

/// One task to ask.
struct Asked {
    name: String,
    /// Items before the limit.
    of: usize,
    shots: usize,
    items: Vec<Item>,
    max_new_tokens: usize,
    /// How it is asked, for the record.
    config: serde_json::Value,
}

/// The tasks that this machine can grade, and why not the others, which stderr says at once.
fn gradable(asked: Vec<Asked>) -> (Vec<Asked>, Option<Error>) {
    let mut refused = None;
    let mut kept = Vec::new();
    for task in asked {
        match task.items.iter().try_for_each(|item| item.check.ready()) {
            Ok(()) => kept.push(task),
            Err(error) => {
                tell!("task {} is left out: {error}", task.name);
                refused = Some(error);
            }
        }
    }
    (kept, refused)
}

impl<'a> Line<'a> {
    fn of(scale: Option<f64>, task: &'a str, rows: &'a [Graded]) -> Self {
        Self { scale, task, rows, score: TaskScore::of(task, rows) }
    }

    /// The score with its standard error over the items.
    fn score(&self) -> String {
        let values: Vec<f64> = self.score.items.iter().map(|item| item.value).collect();
        let error = stats::standard_error(&values);
        let error = error.map_or(NOTHING.to_owned(), |se| format!("{se:.3}"));
        format!("{:.3} ± {error}", self.score.value())
    }

    /// Mean over the items of written answers; there is none where nothing was written.
    fn written(&self, value: impl Fn(&ItemScore) -> f64) -> Cell {
        let written = self.rows.iter().any(|row| row.likelihoods.is_empty());
        let values = self.score.items.iter().map(value).collect::<Vec<_>>();
        Cell::number(stats::mean(&values).filter(|_| written), 3)
    }

    /// Share that is right by a measure of likelihood.
    fn likely(&self, measure: Accuracy) -> Cell {
        let parts = self.rows.iter().flat_map(|row| &row.score.parts);
        let right: Vec<f64> = parts
            .filter(|part| part.name == measure.name())
            .map(|part| f64::from(part.strict))
            .collect();
        Cell::number(stats::mean(&right), 3)
    }
}

/// One row for each task; columns that say nothing of any are left out.
fn table(lines: &[Line<'_>]) -> Table {
    let of_form = |form: Form| move |item: &ItemScore| f64::from(item.form == form);
    let mut table = Table::default().rows(lines);
    if lines.iter().any(|line| line.scale.is_some()) {
        table = table.column("scale", |line| line.scale.map(|scale| scale.to_string()));
    }
    table = table
        .column("task", |line| line.task)
        .column("items", |line| line.rows.len())
        .column("score ± se", Line::score)
        .column("skill", |line| line.written(|item| item.skill));
    let forms = [
        ("kept", Form::Kept),
        ("no parse", Form::NoParse),
        ("truncated", Form::Truncated),
        ("empty", Form::Empty),
    ];
    for (name, form) in forms {
        table = table.column(name, |line| line.written(of_form(form)));
    }
    for measure in Accuracy::ALL {
        table = table.column(measure.name(), |line| line.likely(measure));
    }
    table.table().without_empty()
}
