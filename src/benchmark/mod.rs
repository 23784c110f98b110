//! Benchmarks that people know: a published file as [`Item`]s.
//!
//! Each benchmark is one file here, which turns a published row into a question, its reference answer and what is needed to grade
//! an answer, and one data card in `datasets/`. The file opens with a raw row, its traps, and the file in `src/task` that grades the
//! answers, which names it in turn. Graders stand there and not here: an [`Item`] of a file is graded without its benchmark.
//!
//! A trap: what a model is asked, and what is taken for its answer, decide much of its score. [`Ask`] names both.

mod arc;
mod bird;
mod gsm8k;
mod ifeval;
mod math;
mod mmlu;
mod spider;

pub mod humaneval;
pub mod mbpp;

use crate::dataset::{self, Row, Unusable};
use crate::error::{Error, Result, there_are};
use crate::store::bytes_hash;
use crate::task::{Accuracy, Check, Extraction, Grading, Item, Take};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Whose words a question is put in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompts {
    /// As the paper's code puts it.
    #[default]
    Paper,
    /// As EleutherAI's lm-evaluation-harness puts it, where it has the task.
    Harness,
    /// As the benchmark's own authors put it, where they say how.
    Official,
}

/// How a benchmark is asked and graded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Whose words a question is put in.
    pub prompts: Prompts,
    /// Whose rule says what is taken for the answer.
    pub grading: Grading,
    /// Which of several marked answers counts, by the robust rule.
    pub take: Take,
    /// Only rows with these values in these columns, such as `("db_id", "superhero")`.
    pub only: Vec<(String, String)>,
    /// Whether the model chats, as one with a chat template does: where answers are code, lm-evaluation-harness has another task for it.
    #[serde(default)]
    pub chat: bool,
    /// For questions with options: by which measure these are scored, instead of asking for a written answer. The words are then
    /// lm-evaluation-harness's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Accuracy>,
    /// Whether a question whose options are scored is put by the model's chat template.
    #[serde(default, skip_serializing_if = "is_false")]
    pub apply_chat_template: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A benchmark by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Benchmark {
    /// Questions of science with three to five options: ARC, challenge or easy.
    Arc,
    /// Questions about databases, answered by a query: BIRD and its mini-dev.
    Bird,
    /// Word problems of primary school: GSM8K.
    Gsm8k,
    /// Python functions to complete: see [`humaneval`].
    Humaneval,
    /// Prompts with instructions that a program can check: IFEval.
    Ifeval,
    /// Problems of mathematics competitions: MATH and MATH-500.
    Math,
    /// Python functions to write, MBPP, its sanitized part and MBPP+: see [`mbpp`].
    Mbpp,
    /// Questions of 57 subjects with four options: MMLU.
    Mmlu,
    /// Questions about databases, answered by a query: Spider and its translations.
    Spider,
}

impl Benchmark {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Arc,
        Self::Bird,
        Self::Gsm8k,
        Self::Humaneval,
        Self::Ifeval,
        Self::Math,
        Self::Mbpp,
        Self::Mmlu,
        Self::Spider,
    ];

    /// Its name on the command line and in recipes, which is its data card's folder too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arc => "arc",
            Self::Bird => "bird",
            Self::Gsm8k => "gsm8k",
            Self::Humaneval => "humaneval",
            Self::Ifeval => "ifeval",
            Self::Math => "math",
            Self::Mbpp => "mbpp",
            Self::Mmlu => "mmlu",
            Self::Spider => "spider",
        }
    }

    /// The benchmark called `name`.
    ///
    /// # Errors
    /// Lists the names there are.
    pub fn named(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|b| b.name() == name).ok_or_else(|| {
            let known = there_are(name, Self::ALL.map(Self::name));
            Error::invalid("benchmark", format!("none is called {name:?}; {known}"))
        })
    }

    /// Longest answer in tokens, as the paper's code has it, or for IFEval the harness.
    pub fn max_new_tokens(self) -> usize {
        match self {
            Self::Arc | Self::Bird | Self::Gsm8k | Self::Math | Self::Spider => 512,
            Self::Humaneval | Self::Mbpp => 1_024,
            Self::Ifeval => 1_280,
            Self::Mmlu => 2_048,
        }
    }

    /// Whether its questions have options, which can be scored by their likelihood.
    pub fn has_options(self) -> bool {
        matches!(self, Self::Arc | Self::Mmlu)
    }

    /// Worked examples in each prompt of the harness's; the other prompts have none.
    pub fn shots(self, prompts: Prompts) -> usize {
        match (self, prompts) {
            (Self::Gsm8k, Prompts::Harness) => 8,
            (Self::Math, Prompts::Harness) => 4,
            (Self::Mbpp, Prompts::Harness | Prompts::Official) => 3,
            _ => 0,
        }
    }

    /// The file of `split` in `data`: `data` itself if that is a file, else the one whose name says so.
    ///
    /// In a folder that is `<split>.<ending>`, a folder `<split>`, the only file whose name has `split` in it as a word, or the one
    /// file that a benchmark is published as; where there is none of these, `data`, for the data set's reader to judge.
    ///
    /// # Errors
    /// When `data` is not there or several files fit.
    pub fn locate(self, data: &Path, split: &str) -> Result<PathBuf> {
        if !data.exists() {
            return Err(Error::missing(
                format!("data of {}", self.name()),
                data,
                "give the published file, or a folder with it",
            ));
        }
        if data.is_file() {
            return Ok(data.to_path_buf());
        }
        for ending in ["jsonl", "json", "parquet", "csv", "jsonl.gz"] {
            let file = data.join(format!("{split}.{ending}"));
            if file.is_file() {
                return Ok(file);
            }
        }
        if data.join(split).is_dir() {
            return Ok(data.join(split));
        }
        let mut named = Vec::new();
        for entry in std::fs::read_dir(data).map_err(Error::io("listing the folder", data))? {
            let file = entry.map_err(Error::io("listing the folder", data))?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let ending = [".jsonl", ".json", ".parquet", ".csv", ".gz"];
            let words = || name.split(|c: char| !c.is_alphanumeric());
            if ending.iter().any(|e| name.ends_with(e)) && words().any(|word| word == split) {
                named.push(file);
            }
        }
        named.sort();
        match &named[..] {
            [file] => return Ok(file.clone()),
            [] => {}
            several => {
                let names: Vec<_> = several
                    .iter()
                    .filter_map(|file| file.file_name())
                    .map(|name| name.to_string_lossy())
                    .collect();
                let problem = format!(
                    "has {} files of the split {split}: {}; name one of them",
                    names.len(),
                    names.join(", ")
                );
                return Err(Error::file(data, problem));
            }
        }
        let published: &[&str] = match self {
            Self::Bird => &["mini_dev.json", "mini_dev_sqlite.json", "dev.json"],
            Self::Spider => &["dev.json"],
            Self::Ifeval => &["input_data.jsonl"],
            _ => &[],
        };
        let file = published.iter().map(|name| data.join(name));
        Ok(file.into_iter().find(|file| file.is_file()).unwrap_or_else(|| data.to_path_buf()))
    }

    /// Those of `items` that are in `split`, where one file holds all splits, as MBPP's; elsewhere all of them.
    ///
    /// # Errors
    /// When none is; `file` is for the message.
    pub fn of_split(self, mut items: Vec<Item>, split: &str, file: &Path) -> Result<Vec<Item>> {
        if self != Self::Mbpp {
            return Ok(items);
        }
        let found = items.len();
        items.retain(|item| item.id.split('/').nth(1) == Some(split));
        if items.is_empty() {
            let problem = format!("none of its {found} tasks is in the split `{split}`");
            return Err(Error::file(file, problem));
        }
        Ok(items)
    }

    /// The items of a published file, in its order.
    ///
    /// # Errors
    /// Names the file and the row that does not fit, and what was expected.
    pub fn read(self, path: &Path, prompts: Prompts) -> Result<Vec<Item>> {
        self.read_as(path, &Ask { prompts, ..Ask::default() })
    }

    /// As [`Self::read`], with the grading and the rows that `ask` names.
    ///
    /// # Errors
    /// As [`Self::read`]; and when no row is left.
    pub fn read_as(self, path: &Path, ask: &Ask) -> Result<Vec<Item>> {
        Ok(self.read_rows(path, ask, false)?.0)
    }

    /// As [`Self::read_as`], but rows that cannot be used are left out, and listed: one whose form is wrong, or whose reference no answer can
    /// match.
    ///
    /// # Errors
    /// No row is left, the file is damaged, or `ask` does not fit the benchmark.
    pub fn read_usable(self, path: &Path, ask: &Ask) -> Result<(Vec<Item>, Vec<Unusable>)> {
        self.read_rows(path, ask, true)
    }

    fn read_rows(self, path: &Path, ask: &Ask, skip: bool) -> Result<(Vec<Item>, Vec<Unusable>)> {
        let mut databases = Databases::default();
        let mut items: Vec<Item> = Vec::new();
        let mut unusable = Vec::new();
        let mut first = None;
        let mut seen = HashMap::new();
        let rows = dataset::rows(path)?;
        for row in &rows {
            let given = Given { path, row, ask };
            if !given.is_wanted() {
                continue;
            }
            let item = self.given(&given, &mut databases).and_then(|item| {
                item.check_reference().map_err(|problem| given.problem(problem))?;
                Ok(item)
            });
            let item = match item {
                Ok(item) => item,
                Err(error @ Error::Row { .. }) => {
                    let id = row.number.to_string();
                    let problem = error.to_string();
                    unusable.push(Unusable { id, problem });
                    first.get_or_insert(error);
                    continue;
                }
                // what is wrong with more than one row
                Err(error) => return Err(error),
            };
            if let Some(first) = seen.insert(item.id.clone(), row.number) {
                let problem = format!("the id {:?} stands already in row {first}", item.id);
                return Err(Error::row(path, row.number, problem));
            }
            items.push(item);
        }
        if let Some(Error::Row { path, line, problem }) = first
            && (!skip || items.is_empty())
        {
            let numbers: Vec<&str> = unusable.iter().skip(1).map(|of| of.id.as_str()).collect();
            let others = match numbers.len() {
                0 => String::new(),
                _ => format!(
                    "\n{} of {} rows cannot be used, the others are {}{}",
                    unusable.len(),
                    unusable.len() + items.len(),
                    numbers[..numbers.len().min(10)].join(", "),
                    if numbers.len() > 10 { ", …" } else { "" }
                ),
            };
            return Err(Error::row(path, line, problem + &others));
        }
        if items.is_empty() {
            let problem = if rows.is_empty() {
                "holds no row".to_string()
            } else {
                format!(
                    "none of its {} rows has {}",
                    rows.len(),
                    ask.only
                        .iter()
                        .map(|(key, value)| format!("{key}={value}"))
                        .collect::<Vec<_>>()
                        .join(" and ")
                )
            };
            return Err(Error::file(path, problem));
        }
        Ok((items, unusable))
    }

    /// The item of one row; `path` is for messages, and for databases beside the file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn item(self, path: &Path, row: &Row, ask: &Ask) -> Result<Item> {
        self.given(&Given { path, row, ask }, &mut Databases::default())
    }

    fn given(self, given: &Given<'_>, databases: &mut Databases) -> Result<Item> {
        match self {
            Self::Arc => arc::item(given),
            Self::Bird => bird::item(given, databases),
            Self::Gsm8k => gsm8k::item(given),
            Self::Humaneval => humaneval::item(given),
            Self::Ifeval => ifeval::item(given),
            Self::Math => math::item(given),
            Self::Mbpp => mbpp::item(given),
            Self::Mmlu => mmlu::item(given),
            Self::Spider => spider::item(given, databases),
        }
    }
}

/// A row of a published file, and what is to become of it.
struct Given<'a> {
    path: &'a Path,
    row: &'a Row,
    ask: &'a Ask,
}

impl Given<'_> {
    fn is_wanted(&self) -> bool {
        self.ask.only.iter().all(|(key, value)| match self.row.fields.get(key) {
            Some(Value::String(text)) => text == value,
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
            Some(other) => {
                let text = other.to_string();
                text == *value
            }
        })
    }

    fn problem(&self, problem: impl Into<String>) -> Error {
        Error::row(self.path, self.row.number, problem)
    }

    /// The text in the column `key`.
    fn text(&self, key: &str) -> Result<&str> {
        self.row.fields.get(key).and_then(Value::as_str).ok_or_else(|| {
            let keys: Vec<&str> = self.row.fields.keys().map(String::as_str).collect();
            self.problem(format!("expected a text in {key}; the row has {}", keys.join(", ")))
        })
    }

    /// The text or number in the first of these columns that is there, else the row's number.
    fn name(&self, keys: &[&str]) -> String {
        let found = keys.iter().find_map(|key| match self.row.fields.get(*key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        found.unwrap_or_else(|| self.row.number.to_string())
    }

    /// How code is found in an answer: as `completion` in words that ask for one, as `instruct` in those for chat models, which the
    /// harness's rule takes with the paper's words too. Our own rule finds it whatever the words.
    fn extraction(&self, completion: Extraction, instruct: Extraction) -> Extraction {
        let completes = match self.ask.prompts {
            Prompts::Paper => false,
            Prompts::Harness => !self.ask.chat,
            Prompts::Official => true,
        };
        match (self.ask.grading, completes) {
            (Grading::Robust, _) => Extraction::Better,
            (_, true) => completion,
            (Grading::Paper, false) => Extraction::Paper,
            (Grading::Harness, false) => instruct,
        }
    }

    /// For words that a preset has none of.
    fn no_prompt(&self, benchmark: &str, way_out: &str) -> Error {
        let whose = match self.ask.prompts {
            Prompts::Paper => "the paper's code has",
            Prompts::Harness => "lm-evaluation-harness has",
            Prompts::Official => "the benchmark's authors have",
        };
        Error::invalid("prompts", format!("{whose} no prompt for {benchmark}; {way_out}"))
    }
}

/// Items whose options are scored, each behind the first `count` of `examples` that have its description, with their right options: the
/// sampler `first_n` of lm-evaluation-harness.
///
/// # Errors
/// There are not as many.
pub fn few_shot(items: Vec<Item>, examples: &[Item], count: usize) -> Result<Vec<Item>> {
    let of = |item: &Item| match &item.check {
        Check::Likelihood { description, .. } => Some(description.clone()),
        _ => None,
    };
    let worked = |example: &Item| match &example.check {
        Check::Likelihood { options, gold, target_delimiter, .. } => {
            let option = options.get(*gold).map_or("", String::as_str);
            format!("{}{target_delimiter}{option}\n\n", example.prompt)
        }
        _ => String::new(),
    };
    let mut before: HashMap<Option<String>, String> = HashMap::new();
    for kind in items.iter().map(of) {
        if before.contains_key(&kind) {
            continue;
        }
        let own: Vec<String> =
            examples.iter().filter(|one| of(one) == kind).take(count).map(worked).collect();
        if own.len() < count {
            let problem = format!(
                "there are {} examples of {:?}, {count} are asked for; give fewer, or a whole split dev",
                own.len(),
                kind.as_deref().unwrap_or_default().trim()
            );
            return Err(Error::invalid("few-shot examples", problem));
        }
        before.insert(kind, own.concat());
    }
    let one = |item: Item| Item {
        prompt: format!("{}{}", before.get(&of(&item)).map_or("", String::as_str), item.prompt),
        ..item
    };
    Ok(items.into_iter().map(one).collect())
}

/// What is read of each database once.
#[derive(Default)]
struct Databases {
    known: HashMap<PathBuf, Database>,
}

/// One database file.
#[derive(Clone)]
struct Database {
    file: PathBuf,
    sha256: String,
    tables: Vec<String>,
}

impl Databases {
    /// The database `name` that lies beside the file of questions, in one of the folders in which it is published.
    fn find(&mut self, given: &Given<'_>, name: &str) -> Result<Database> {
        const FOLDERS: [&str; 6] =
            ["database", "databases", "dev_databases", "test_database", "train_databases", "."];
        let beside = if given.path.is_dir() {
            given.path
        } else {
            given.path.parent().unwrap_or(Path::new("."))
        };
        let place = |folder: &str| beside.join(folder).join(name).join(format!("{name}.sqlite"));
        let file = FOLDERS
            .iter()
            .map(|folder| place(folder))
            .find(|file| file.is_file())
            .ok_or_else(|| {
                given.problem(format!(
                    "its database is not there: {}; get it, or take the rows of other databases with --only db_id=NAME",
                    place(FOLDERS[0]).display()
                ))
            })?;
        if let Some(known) = self.known.get(&file) {
            return Ok(known.clone());
        }
        let whole = std::fs::canonicalize(&file).map_err(Error::io("looking up", &file))?;
        let bytes = std::fs::read(&whole).map_err(Error::io("reading the database", &whole))?;
        let database = Database {
            sha256: bytes_hash(&bytes),
            tables: crate::task::table_definitions(&whole)
                .map_err(|problem| Error::file(&whole, problem))?,
            file: whole,
        };
        self.known.insert(file, database.clone());
        Ok(database)
    }
}

#[cfg(test)]
mod tests;
