//! A data set: files as examples.
//!
//! Each row becomes a conversation. Its columns say how, and rows of different forms may stand in one file:
//!
//! | columns | meaning |
//! |---|---|
//! | `messages` or `conversations` | a list of messages, each with `role` and `content` or with `from` and `value` |
//! | `prompt`, `completion` | texts, or two such lists |
//! | `prompt`, `truth` | an [`Item`] |
//! | `instruction`, `output` | Alpaca; also `input`, `system`, `history` |
//! | `question`, `answer` | GSM8K |
//! | `problem`, `solution` | MATH |
//! | `text`, `code` or `prompt`, `code` | MBPP |
//! | `text` | a document: all of it is learned, and no template stands around it |
//! | `input_ids` | tokens that were made elsewhere; also `labels`, `weights`, `loss_mask` and other such columns |
//!
//! Beside a conversation may stand `system`, the chat template's `tools`, `documents` and `chat_template_kwargs`, and `weight`. A message keeps
//! whatever else it has, such as `tool_calls`: see [`Message`](crate::chat::Message). Other columns are named in [`Dataset::unread`].
//!
//! | files | rows |
//! |---|---|
//! | `.jsonl`, `.ndjson` | one JSON object in a line |
//! | `.json` | a list of objects, or an object that holds one, under `rows` or `data` for example |
//! | `.csv`, `.tsv` | the first line names the columns; every cell is text |
//! | `.parquet` | columns, also in shards such as `train-00000-of-00002.parquet` |
//! | `.arrow` | a stream or a file, as Hugging Face `datasets` caches it |
//! | `.txt` | one document |
//!
//! Text may be packed, as in `.jsonl.gz`, begin with a byte-order mark, or be UTF-16 that has one. A folder means the one data set in it; what `datasets` saved with `save_to_disk` is such a
//! folder. Where there are splits, one is named after a colon: `mbpp:train`.
//!
//! ```
//! use unforget::dataset::Dataset;
//! let rows = "{\"question\": \"What is 2 + 2?\", \"answer\": \"4\"}\n";
//! let data = Dataset::parse(rows.as_bytes(), "sums.jsonl".as_ref())?;
//! assert_eq!(data.examples[0].conversation.completion(), Some("4"));
//! # Ok::<(), unforget::error::Error>(())
//! ```
//!
//! A trap: a table has every column in every row, so that what a row lacks is null there. Null is read as absent, everywhere.

#[cfg(feature = "tables")]
mod arrow;
#[cfg(not(feature = "tables"))]
#[path = "without_arrow.rs"]
mod arrow;
mod conversation;
mod source;
#[cfg(test)]
mod tests;
mod text;

use crate::chat::Conversation;
use crate::error::{Error, Result};
use crate::files;
use crate::store::bytes_hash;
use crate::task::Item;
use conversation::Said;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use source::{Format, Source};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One row of a data set: a conversation, a document, or tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Unique within its data set: the row's own `id`, `task_id` or `unique_id`, else the data set's name and the row's number.
    pub id: String,
    /// What is said: of a document one message, of tokens none.
    pub conversation: Conversation,
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// How much all of it is learned, from 0 to 1; a message or a token may have a weight of its own.
    #[serde(default = "one")]
    pub weight: f32,
}

fn one() -> f32 {
    1.0
}

/// What an [`Example`] is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its answers are learned.
    #[default]
    Conversation,
    /// A text that is no conversation: all of it is learned.
    Document,
    /// Tokens that were made elsewhere, of a tokenizer that must be the model's.
    Tokens(Tokens),
}

/// Tokens with how much each is learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// The tokens' numbers.
    pub ids: Vec<u32>,
    /// One for each: 0 is not learned.
    pub weights: Vec<f32>,
}

/// A row, or what was made of it, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    /// The row's id, or where it stands.
    pub id: String,
    /// Why.
    pub problem: String,
}

impl Unusable {
    /// An error of a row of `path` with the way out: `option` leaves such rows out. `usable` is what that would give; where it is an error, too,
    /// as of a damaged file, that is no way out.
    pub fn skippable<T>(error: Error, path: &Path, option: &str, usable: Result<T>) -> Error {
        let way_out = format!("({option} leaves such rows out and counts them)");
        match error {
            error if usable.is_err() => error,
            Error::Row { path, line, problem } => {
                Error::row(path, line, format!("{problem} {way_out}"))
            }
            Error::Invalid { what, problem } if what.starts_with("example ") => {
                let place = path.display().to_string();
                Error::invalid(place, format!("{what}: {problem}\n{way_out}"))
            }
            // a template that refuses a conversation
            Error::File { path, problem } if problem.contains("(example ") => {
                Error::file(path, format!("{problem}\n{way_out}"))
            }
            other => other,
        }
    }

    /// What a person is told of rows that are left out; `None` where there are none.
    pub fn told(unusable: &[Self]) -> Option<String> {
        const SHOWN: usize = 5;
        if unusable.is_empty() {
            return None;
        }
        let mut text = format!("{} rows cannot be used and are left out:", unusable.len());
        for Self { id, problem } in unusable.iter().take(SHOWN) {
            let line = problem.lines().next().unwrap_or_default();
            text += &match line.contains(id.as_str()) {
                true => format!("\n  {line}"),
                false => format!("\n  {id}: {line}"),
            };
        }
        if unusable.len() > SHOWN {
            text += &format!("\n  and {} more", unusable.len() - SHOWN);
        }
        Some(text)
    }
}

/// The examples of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// The file they were read from; the folder where there were several.
    pub path: PathBuf,
    /// The file's name without its ending, or the names of folder and split.
    pub name: String,
    /// SHA-256 of the file, in hex; of the hashes of all files, each on a line, where there were several.
    pub sha256: String,
    /// The examples, in the order of the file; at least one.
    pub examples: Vec<Example>,
    /// Rows that cannot be used; none, unless [`Dataset::read_usable`] read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<Unusable>,
    /// Columns in which some row has a value that is not part of what it says, such as `difficulty`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

impl Example {
    /// A conversation, to be learned.
    pub fn new(id: impl Into<String>, conversation: Conversation) -> Self {
        Self { id: id.into(), conversation, kind: Kind::Conversation, weight: 1.0 }
    }

    /// A question and its answer.
    pub fn pair(
        id: impl Into<String>,
        prompt: impl Into<String>,
        completion: impl Into<String>,
    ) -> Self {
        Self::new(id, Conversation::pair(prompt, completion))
    }
}

impl From<&Item> for Example {
    /// The item's question with its reference answer.
    fn from(item: &Item) -> Self {
        Self::pair(&item.id, &item.prompt, &item.truth)
    }
}

impl Dataset {
    /// Reads the data set at `path`: a file, a folder with one, or `folder:split`.
    ///
    /// Errors when there is no such data set, or with the row, what was expected and what stands there for the first row that does
    /// not fit: one that cannot be learned from ([`Conversation::check_for_training`]) or whose id was seen before. More such rows are named
    /// with it.
    pub fn read(path: &Path) -> Result<Self> {
        let source = Source::find(path)?;
        let (rows, hashes) = read_files(&source)?;
        Self::of(source, rows, hash_of(&hashes))
    }

    /// As [`Dataset::read`], but rows that cannot be used are left out and listed.
    ///
    /// # Errors
    /// No row is left, or the file is damaged: it cannot be read as rows, or an id stands twice.
    pub fn read_usable(path: &Path) -> Result<Self> {
        let source = Source::find(path)?;
        let (rows, hashes) = read_files(&source)?;
        Self::with(source, rows, hash_of(&hashes), true, conversation::said)
    }

    /// The content of a file as examples; `path` tells its format, and is for messages, and for ids where rows have none.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let source = Source::file(path);
        let rows = parse_rows(bytes, path)?;
        Self::of(source, rows, bytes_hash(bytes))
    }

    /// As [`Dataset::read`], for tables whose columns have other names: the texts of the column `prompt` are what is asked, those of `completion`
    /// what is answered.
    ///
    /// # Errors
    /// As [`Dataset::read`], and the first row that does not have both as text.
    pub fn read_columns(path: &Path, prompt: &str, completion: &str) -> Result<Self> {
        let source = Source::find(path)?;
        let (rows, hashes) = read_files(&source)?;
        let pair = |fields: &Map<String, Value>| {
            let text = |column: &str| {
                fields.get(column).and_then(Value::as_str).ok_or_else(|| {
                    let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                    let known = known.join(", ");
                    format!("expected text in the column `{column}`; there are {known}")
                })
            };
            Ok(Said::of(Conversation::pair(text(prompt)?, text(completion)?), &[]))
        };
        let data = Self::with(source, rows, hash_of(&hashes), false, pair)?;
        Ok(Self { unread: Vec::new(), ..data })
    }

    fn of(source: Source, rows: Vec<Row>, sha256: String) -> Result<Self> {
        Self::with(source, rows, sha256, false, conversation::said)
    }

    fn with(
        source: Source,
        rows: Vec<Row>,
        sha256: String,
        skip: bool,
        read: impl Fn(&Map<String, Value>) -> std::result::Result<Said, String>,
    ) -> Result<Self> {
        let Source { path, name, .. } = source;
        let (mut examples, mut unread) = (Vec::new(), Vec::new());
        let mut unusable = Problems::default();
        let mut seen = Seen::default();
        let count = rows.len();
        for Row { number, fields } in rows {
            let id = row_id(&fields).unwrap_or_else(|| format!("{name}:{number}"));
            let said = read(&fields).and_then(|said| {
                if said.kind == Kind::Conversation {
                    let checked = said.conversation.check_for_training();
                    checked.map_err(|error| error.to_string())?;
                }
                Ok(said)
            });
            let Said { conversation, kind, weight, read } = match said {
                Ok(said) => said,
                Err(problem) => {
                    unusable.push(number, format!("{problem}: {}", quote(&fields)));
                    continue;
                }
            };
            seen.insert(&id, number).map_err(|problem| {
                Error::row(&path, number, format!("{problem}: {}", quote(&fields)))
            })?;
            let others = fields.iter().filter(|(key, value)| {
                !(value.is_null() || IDS.contains(&key.as_str()) || read.contains(&key.as_str()))
            });
            for (key, _) in others {
                if !unread.contains(key) {
                    unread.push(key.clone());
                }
            }
            examples.push(Example { id, conversation, kind, weight });
        }
        if !skip || examples.is_empty() {
            unusable.refuse(&path, count)?;
        }
        if examples.is_empty() {
            return Err(Error::file(path, "is empty; a data set needs at least one row"));
        }
        let unusable = unusable.list(&path);
        Ok(Self { path, name, sha256, examples, unusable, unread })
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there are no examples; a data set that was read has at least one.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }
}

/// One row of a file, whatever the file's format.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it stands: its line in JSON lines and tables of text, its number from 1 elsewhere and where there are several files.
    pub number: usize,
    /// Its columns. Every cell of a `.csv` file is text.
    pub fields: Map<String, Value>,
}

/// Reads the rows of a data set, as [`Dataset::read`] finds it, without asking what they mean.
pub fn rows(path: &Path) -> Result<Vec<Row>> {
    Ok(read_files(&Source::find(path)?)?.0)
}

/// Reads the cells of a `.csv` or `.tsv` file, each record with the line where it begins, without taking the first record for names:
/// for tables whose columns have no names or the same one twice.
///
/// # Errors
/// The file cannot be read or is no text in UTF-8.
pub fn records(path: &Path) -> Result<Vec<(usize, Vec<String>)>> {
    let bytes = std::fs::read(path).map_err(Error::io("reading the table", path))?;
    let delimiter = match source::format(path) {
        Some(Format::Separated(delimiter)) => delimiter,
        _ => b',',
    };
    text::records(&files::text(&bytes, path)?, delimiter, path)
}

/// The files that a data set's path means, in their order: [`Dataset::read`] reads these.
///
/// # Errors
/// When there are none.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(Source::find(path)?.files)
}

/// Reads the items of a benchmark, one [`Item`] in a row.
///
/// Errors as [`Dataset::read`] does, and with the rows whose reference no answer can match ([`Item::check_reference`]).
pub fn read_items(path: &Path) -> Result<Vec<Item>> {
    Ok(items(path, false)?.0)
}

/// As [`read_items`], but rows that cannot be used are left out, and listed.
///
/// # Errors
/// No row is left, or the file is damaged.
pub fn read_usable_items(path: &Path) -> Result<(Vec<Item>, Vec<Unusable>)> {
    items(path, true)
}

fn items(path: &Path, skip: bool) -> Result<(Vec<Item>, Vec<Unusable>)> {
    let source = Source::find(path)?;
    let (rows, _) = read_files(&source)?;
    let mut items: Vec<Item> = Vec::new();
    let mut unusable = Problems::default();
    let mut seen = Seen::default();
    let count = rows.len();
    for Row { number, mut fields } in rows {
        if let Some(Value::Number(id)) = fields.get("id") {
            let id = id.to_string();
            fields.insert("id".into(), Value::from(id));
        }
        let quoted = |problem: String| format!("{problem}: {}", quote(&fields));
        let item: std::result::Result<Item, _> =
            serde_json::from_value(Value::Object(fields.clone()));
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                let problem =
                    format!("expected an item with id, prompt, truth and check ({error})");
                unusable.push(number, quoted(problem));
                continue;
            }
        };
        if let Err(problem) = item.check_reference() {
            unusable.push(number, quoted(problem));
            continue;
        }
        let twice = seen.insert(&item.id, number);
        twice.map_err(|problem| Error::row(&source.path, number, quoted(problem)))?;
        items.push(item);
    }
    if !skip || items.is_empty() {
        unusable.refuse(&source.path, count)?;
    }
    if items.is_empty() {
        return Err(Error::file(source.path, "is empty; a benchmark needs at least one item"));
    }
    Ok((items, unusable.list(&source.path)))
}

/// Writes items as [`read_items`] reads them, one JSON object in a line.
pub fn items_to_jsonl(items: &[Item]) -> Result<String> {
    let mut text = String::new();
    for item in items {
        text += &serde_json::to_string(item).map_err(Error::library("writing an item"))?;
        text.push('\n');
    }
    Ok(text)
}

/// The hash of a file, or that of the hashes of several, each on a line.
fn hash_of(hashes: &[String]) -> String {
    match hashes {
        [one] => one.clone(),
        several => bytes_hash((several.join("\n") + "\n").as_bytes()),
    }
}

/// The rows of all files of a data set, and each file's SHA-256.
fn read_files(source: &Source) -> Result<(Vec<Row>, Vec<String>)> {
    let mut rows: Vec<Row> = Vec::new();
    let mut hashes = Vec::new();
    for file in &source.files {
        let bytes = std::fs::read(file).map_err(Error::io("reading the data set", file))?;
        hashes.push(bytes_hash(&bytes));
        rows.append(&mut parse_rows(&bytes, file)?);
    }
    if source.files.len() > 1 {
        for (row, number) in rows.iter_mut().zip(1..) {
            row.number = number;
        }
    }
    Ok((rows, hashes))
}

/// The rows of one file: Arrow, parquet and gzip say themselves what they are, text by the name's ending.
fn parse_rows(bytes: &[u8], path: &Path) -> Result<Vec<Row>> {
    let problem = |problem: String| Error::file(path, problem);
    let bytes = match bytes {
        [0x1f, 0x8b, ..] => Cow::from(arrow::unpack(bytes).map_err(problem)?),
        _ => Cow::from(bytes),
    };
    if let Some(rows) = arrow::rows(&bytes) {
        let rows = rows.map_err(problem)?.into_iter().zip(1..).map(|(mut fields, number)| {
            let seen = fields.iter_mut().filter(|(column, _)| SEEN.contains(&column.as_str()));
            seen.for_each(|(_, value)| without_nulls(value));
            Row { number, fields }
        });
        return Ok(rows.collect());
    }
    if source::format(path) == Some(Format::Columns) {
        let what = "is neither parquet nor Arrow; copy or download it again";
        return Err(problem(files::packed(&bytes).unwrap_or_else(|| what.to_string())));
    }
    let text = files::text(&bytes, path)?;
    match source::format(path) {
        Some(Format::Json) => text::json(&text, path),
        Some(Format::Separated(delimiter)) => text::separated(&text, delimiter, path),
        None if source::is_plain_text(path) => text::document(&text, path),
        _ => text::json_lines(&text, path),
    }
}

/// Columns whose values a chat template sees.
const SEEN: [&str; 7] = [
    "messages",
    "conversations",
    "prompt",
    "completion",
    "tools",
    "documents",
    "chat_template_kwargs",
];

/// Takes out what is null in objects: a table has every field in every one of them. A message's content may be none.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        Value::Object(fields) => {
            fields.retain(|key, value| !value.is_null() || key == "content");
            fields.values_mut().for_each(without_nulls);
        }
        _ => {}
    }
}

/// Rows that cannot be used, each with its number and why.
#[derive(Default)]
struct Problems(Vec<(usize, String)>);

impl Problems {
    fn push(&mut self, number: usize, problem: String) {
        self.0.push((number, problem));
    }

    /// Refuses a file that has any: the first with its reason, and the numbers of those behind it.
    fn refuse(&self, path: &Path, rows: usize) -> Result<()> {
        const SHOWN: usize = 10;
        let Some((number, problem)) = self.0.first() else { return Ok(()) };
        let mut problem = problem.clone();
        if let [_, others @ ..] = &self.0[..]
            && !others.is_empty()
        {
            let numbers: Vec<String> =
                others.iter().take(SHOWN).map(|(number, _)| number.to_string()).collect();
            let more = if others.len() > SHOWN { ", …" } else { "" };
            problem += &format!(
                "; {} of {rows} rows cannot be used, the others are {}{more}",
                self.0.len(),
                numbers.join(", ")
            );
        }
        Err(Error::row(path, *number, problem))
    }

    fn list(self, path: &Path) -> Vec<Unusable> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let unusable = |(number, problem)| Unusable { id: format!("{name}:{number}"), problem };
        self.0.into_iter().map(unusable).collect()
    }
}

/// Columns that name a row.
const IDS: [&str; 3] = ["id", "task_id", "unique_id"];

/// Where ids were seen first.
#[derive(Default)]
struct Seen(HashMap<String, usize>);

impl Seen {
    fn insert(&mut self, id: &str, number: usize) -> std::result::Result<(), String> {
        match self.0.insert(id.to_string(), number) {
            Some(first) => Err(format!("the id {id:?} stands already in row {first}")),
            None => Ok(()),
        }
    }
}

fn row_id(row: &Map<String, Value>) -> Option<String> {
    IDS.iter().find_map(|key| match row.get(*key)? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    })
}

/// A row for a message: long texts in it are shortened, so that every column is seen.
fn quote(row: &Map<String, Value>) -> String {
    fn short(value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(cut(text, 40)),
            Value::Array(list) => list.iter().take(3).map(short).collect(),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| (key.clone(), short(value)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }
    let row = row.iter().map(|(key, value)| (key.clone(), short(value)));
    cut(&Value::Object(row.collect()).to_string(), 300)
}

/// The beginning of a line, for a message.
fn shorten(line: &str) -> String {
    cut(line, 80)
}

fn cut(text: &str, length: usize) -> String {
    let mut short: String = text.chars().take(length).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
