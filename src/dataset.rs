//! A data set: a file as examples.
//!
//! Each line of a JSON-lines file becomes a conversation. The keys of a row say how, and rows of different forms may stand in
//! one file:
//!
//! | keys | meaning |
//! |---|---|
//! | `messages` or `conversations` | a list of messages, each with `role` and `content` or with `from` and `value` |
//! | `prompt`, `completion` | texts, or two such lists |
//! | `prompt`, `truth` | an [`Item`] |
//! | `instruction`, `output` | Alpaca; also `input`, `system`, `history` |
//! | `question`, `answer` | GSM8K |
//! | `problem`, `solution` | MATH |
//! | `text`, `code` | MBPP |
//!
//! ```
//! use unforget::dataset::Dataset;
//! let rows = "{\"question\": \"What is 2 + 2?\", \"answer\": \"4\"}\n";
//! let data = Dataset::parse(rows.as_bytes(), "sums.jsonl".as_ref())?;
//! assert_eq!(data.examples[0].conversation.completion(), Some("4"));
//! # Ok::<(), unforget::error::Error>(())
//! ```

use crate::chat::{Conversation, Message, Role};
use crate::error::{Error, Result};
use crate::task::Item;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One conversation of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Unique within its data set: the row's own `id`, `task_id` or `unique_id`, else the file's name and the line.
    pub id: String,
    /// What is said.
    pub conversation: Conversation,
}

/// The examples of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// The file they were read from.
    pub path: PathBuf,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// The examples, in the order of the file; at least one.
    pub examples: Vec<Example>,
}

impl Example {
    /// A question and its answer.
    pub fn pair(
        id: impl Into<String>,
        prompt: impl Into<String>,
        completion: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            conversation: Conversation::pair(prompt, completion),
        }
    }
}

impl From<&Item> for Example {
    /// The item's question with its reference answer.
    fn from(item: &Item) -> Self {
        Self::pair(&item.id, &item.prompt, &item.truth)
    }
}

impl Dataset {
    /// Reads a `.jsonl` file, or the only `.jsonl` file of a folder.
    ///
    /// Errors when there is no such file, or with the line, what was expected and what stands there for the first row that does
    /// not fit: one that cannot be learned from ([`Conversation::check_for_training`]) or whose id was seen before.
    pub fn read(path: &Path) -> Result<Self> {
        let path = data_file(path)?;
        let bytes = std::fs::read(&path).map_err(Error::io("reading the data set", &path))?;
        Self::parse(&bytes, &path)
    }

    /// The content of a file as examples; `path` is for messages, and for ids where rows have none.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut examples = Vec::new();
        let mut seen = HashMap::new();
        for (line, text) in lines(bytes, path)? {
            let problem =
                |problem: String| Error::row(path, line, format!("{problem}: {}", shorten(text)));
            let row: Value = serde_json::from_str(text)
                .map_err(|error| problem(format!("expected one JSON object ({error})")))?;
            let Value::Object(row) = row else {
                return Err(problem("expected one JSON object".to_string()));
            };
            let conversation = conversation(&row).map_err(problem)?;
            conversation
                .check_for_training()
                .map_err(|error| problem(error.to_string()))?;
            let id = row_id(&row).unwrap_or_else(|| format!("{stem}:{line}"));
            if let Some(first) = seen.insert(id.clone(), line) {
                return Err(problem(format!(
                    "the id {id:?} stands already in line {first}"
                )));
            }
            examples.push(Example { id, conversation });
        }
        if examples.is_empty() {
            return Err(Error::file(
                path,
                "is empty; a data set needs at least one row, a JSON object in one line",
            ));
        }
        Ok(Self {
            path: path.to_path_buf(),
            sha256: sha256(bytes),
            examples,
        })
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
    /// Where it stands: its line in a text file, its number from 1 elsewhere.
    pub number: usize,
    /// Its columns.
    pub fields: Map<String, Value>,
}

/// Reads the rows of a `.jsonl` file (or the only one of a folder), one JSON object in a line.
pub fn rows(path: &Path) -> Result<Vec<Row>> {
    let path = data_file(path)?;
    let bytes = std::fs::read(&path).map_err(Error::io("reading the data", &path))?;
    let row = |(number, text): (usize, &str)| {
        let fields = serde_json::from_str(text).map_err(|error| {
            let problem = format!("expected one JSON object ({error}): {}", shorten(text));
            Error::row(&path, number, problem)
        })?;
        Ok(Row { number, fields })
    };
    lines(&bytes, &path)?.into_iter().map(row).collect()
}

/// Reads the items of a benchmark from a `.jsonl` file (or the only one of a folder), one [`Item`] in a line.
///
/// Errors as [`Dataset::read`] does.
pub fn read_items(path: &Path) -> Result<Vec<Item>> {
    let path = data_file(path)?;
    let bytes = std::fs::read(&path).map_err(Error::io("reading the benchmark", &path))?;
    let mut items: Vec<Item> = Vec::new();
    let mut seen = HashMap::new();
    for (line, text) in lines(&bytes, &path)? {
        let problem =
            |problem: String| Error::row(&path, line, format!("{problem}: {}", shorten(text)));
        let item: Item = serde_json::from_str(text).map_err(|error| {
            problem(format!(
                "expected an item with id, prompt, truth and check ({error})"
            ))
        })?;
        if let Some(first) = seen.insert(item.id.clone(), line) {
            return Err(problem(format!(
                "the id {:?} stands already in line {first}",
                item.id
            )));
        }
        items.push(item);
    }
    if items.is_empty() {
        return Err(Error::file(
            &path,
            "is empty; a benchmark needs at least one item",
        ));
    }
    Ok(items)
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

/// SHA-256 of `bytes`, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// `path` itself, or the only `.jsonl` file in it.
fn data_file(path: &Path) -> Result<PathBuf> {
    const HINT: &str = "give a .jsonl file, or a folder with one";
    if !path.exists() {
        return Err(Error::missing("data set", path, HINT));
    }
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io("listing the folder", path))? {
        let file = entry.map_err(Error::io("listing the folder", path))?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "jsonl")
            && file.is_file()
        {
            files.push(file);
        }
    }
    files.sort();
    match &files[..] {
        [file] => Ok(file.clone()),
        [] => Err(Error::missing(".jsonl file", path, HINT)),
        several => {
            let names: Vec<_> = several
                .iter()
                .filter_map(|file| file.file_name())
                .map(|name| name.to_string_lossy())
                .collect();
            Err(Error::file(
                path,
                format!(
                    "has {} data sets: {}; name one of them",
                    names.len(),
                    names.join(", ")
                ),
            ))
        }
    }
}

/// The lines that are not blank, with their numbers from 1.
fn lines<'a>(bytes: &'a [u8], path: &Path) -> Result<Vec<(usize, &'a str)>> {
    // A byte-order mark is what some editors put before the first line.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let text = std::str::from_utf8(line).map_err(|error| {
            Error::row(
                path,
                index + 1,
                format!(
                    "expected text in UTF-8, found another byte at {}: {}",
                    error.valid_up_to(),
                    shorten(&String::from_utf8_lossy(line))
                ),
            )
        })?;
        if !text.trim().is_empty() {
            lines.push((index + 1, text.trim()));
        }
    }
    Ok(lines)
}

fn row_id(row: &Map<String, Value>) -> Option<String> {
    ["id", "task_id", "unique_id"]
        .iter()
        .find_map(|key| match row.get(*key)? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        })
}

/// The conversation of a row; the error says what was expected.
fn conversation(row: &Map<String, Value>) -> std::result::Result<Conversation, String> {
    let has = |keys: &[&str]| keys.iter().all(|key| row.contains_key(*key));
    for key in ["messages", "conversations"] {
        if has(&[key]) {
            return Ok(Conversation::new(messages(row, key)?));
        }
    }
    if has(&["prompt", "completion"]) {
        let mut turns = turn(row, "prompt", Role::User)?;
        turns.extend(turn(row, "completion", Role::Assistant)?);
        return Ok(Conversation::new(turns));
    }
    if has(&["instruction", "output"]) {
        return alpaca(row);
    }
    for (question, answer) in [
        ("prompt", "truth"),
        ("question", "answer"),
        ("problem", "solution"),
        ("text", "code"),
    ] {
        if has(&[question, answer]) {
            return Ok(Conversation::pair(text(row, question)?, text(row, answer)?));
        }
    }
    let keys: Vec<&str> = row.keys().map(String::as_str).collect();
    Err(format!(
        "expected the keys messages, conversations, prompt and completion, instruction and output, question and answer, problem and solution, or text and code; found {}",
        if keys.is_empty() {
            "none".to_string()
        } else {
            keys.join(", ")
        }
    ))
}

fn alpaca(row: &Map<String, Value>) -> std::result::Result<Conversation, String> {
    let optional = |key: &str| match row.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => text(row, key).map(|text| (!text.is_empty()).then_some(text)),
    };
    let mut turns: Vec<Message> = optional("system")?
        .map(Message::system)
        .into_iter()
        .collect();
    if let Some(Value::Array(history)) = row.get("history") {
        for (index, pair) in history.iter().enumerate() {
            let texts = (
                pair.get(0).and_then(Value::as_str),
                pair.get(1).and_then(Value::as_str),
            );
            let (Some(question), Some(answer)) = texts else {
                return Err(format!(
                    "expected a question and an answer in entry {} of history",
                    index + 1
                ));
            };
            turns.extend([Message::user(question), Message::assistant(answer)]);
        }
    }
    let mut question = text(row, "instruction")?.to_string();
    if let Some(input) = optional("input")? {
        question = format!("{question}\n{input}");
    }
    turns.push(Message::user(question));
    turns.push(Message::assistant(text(row, "output")?));
    Ok(Conversation::new(turns))
}

/// A text as one message, or a list of messages.
fn turn(
    row: &Map<String, Value>,
    key: &str,
    role: Role,
) -> std::result::Result<Vec<Message>, String> {
    match row.get(key) {
        Some(Value::String(text)) => Ok(vec![Message::new(role, text)]),
        _ => messages(row, key),
    }
}

fn text<'a>(row: &'a Map<String, Value>, key: &str) -> std::result::Result<&'a str, String> {
    row.get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("expected {key} to be a text"))
}

fn messages(row: &Map<String, Value>, key: &str) -> std::result::Result<Vec<Message>, String> {
    let Some(Value::Array(list)) = row.get(key) else {
        return Err(format!("expected {key} to be a list of messages"));
    };
    list.iter()
        .enumerate()
        .map(|(index, message)| {
            let field = |names: [&str; 2]| {
                names
                    .iter()
                    .find_map(|name| message.get(*name)?.as_str())
                    .ok_or_else(|| {
                        format!(
                            "expected message {} of {key} to have the text {} (or {})",
                            index + 1,
                            names[0],
                            names[1]
                        )
                    })
            };
            let name = field(["role", "from"])?;
            let role = Role::parse(name).ok_or_else(|| {
                format!(
                    "expected message {} of {key} to be from the system, the user (human) or the assistant (gpt), not from {name:?}",
                    index + 1
                )
            })?;
            Ok(Message::new(role, field(["content", "value"])?))
        })
        .collect()
}

/// The beginning of a line, for a message.
fn shorten(line: &str) -> String {
    let mut short: String = line.chars().take(80).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rows: &str) -> Result<Dataset> {
        Dataset::parse(rows.as_bytes(), Path::new("rows.jsonl"))
    }

    #[test]
    fn every_form_becomes_the_same_conversation() {
        let check = |row: &str| {
            let data = parse(row).unwrap();
            assert_eq!(
                data.examples[0].conversation,
                Conversation::pair("q", "a"),
                "{row}"
            );
        };
        check(
            r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}"#,
        );
        check(
            r#"{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}"#,
        );
        check(
            r#"{"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}"#,
        );
        check(r#"{"prompt": "q", "completion": "a"}"#);
        check(
            r#"{"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}"#,
        );
        check(r#"{"instruction": "q", "input": "", "output": "a"}"#);
        check(r#"{"question": "q", "answer": "a", "more": 1}"#);
        check(r#"{"task_id": 601, "text": "q", "code": "a", "test_list": []}"#);
        check(
            r#"{"id": "x", "prompt": "q", "truth": "a", "check": {"kind": "number", "value": "1"}}"#,
        );
    }

    #[test]
    fn alpaca_has_more_to_say() {
        let row = r#"{"instruction": "i", "input": "n", "output": "o", "system": "s", "history": [["q", "a"]]}"#;
        let expected = Conversation::new(vec![
            Message::system("s"),
            Message::user("q"),
            Message::assistant("a"),
            Message::user("i\nn"),
            Message::assistant("o"),
        ]);
        assert_eq!(parse(row).unwrap().examples[0].conversation, expected);
    }

    #[test]
    fn ids_come_from_the_row_or_the_line() {
        let rows = "\u{feff}{\"id\": \"x\", \"prompt\": \"q\", \"completion\": \"a\"}\r\n\n{\"prompt\": \"q\", \"completion\": \"a\"}\r\n{\"task_id\": 7, \"text\": \"q\", \"code\": \"a\"}";
        let data = parse(rows).unwrap();
        let ids: Vec<&str> = data.examples.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["x", "rows:3", "7"]);
        // python3 -c 'import hashlib; print(hashlib.sha256(b"abc").hexdigest())'
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_row_that_does_not_fit_is_named_and_quoted() {
        let check = |rows: &str, expected: &str| {
            let message = parse(rows).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        };
        let good = "{\"prompt\": \"q\", \"completion\": \"a\"}\n";
        check("", "rows.jsonl: is empty");
        check(" \n", "rows.jsonl: is empty");
        check(
            &format!("{good}{{"),
            "rows.jsonl:2: expected one JSON object",
        );
        check("[1]", "rows.jsonl:1: expected one JSON object: [1]");
        check("{\"x\": 1}", "rows.jsonl:1: expected the keys messages,");
        check(
            "{\"question\": \"q\", \"answer\": 4}",
            "rows.jsonl:1: expected answer to be a text: {\"question\"",
        );
        check(
            "{\"prompt\": \"q\", \"completion\": \"\"}",
            "rows.jsonl:1: message 2 of 2: the assistant's answer is empty",
        );
        check(
            "{\"messages\": [{\"role\": \"tool\", \"content\": \"x\"}]}",
            "rows.jsonl:1: expected message 1 of messages to be from",
        );
        check(
            "{\"messages\": [{\"role\": \"user\"}]}",
            "rows.jsonl:1: expected message 1 of messages to have the text content",
        );
        check(
            "{\"id\": 1, \"prompt\": \"q\", \"completion\": \"a\"}\n{\"id\": 1, \"prompt\": \"q\", \"completion\": \"a\"}",
            "rows.jsonl:2: the id \"1\" stands already in line 1",
        );
        let long = format!("{{\"x\": \"{}\"}}", "y".repeat(500));
        assert!(parse(&long).unwrap_err().to_string().len() < 400);
        let message = Dataset::parse(b"{\"a\": \"\xff\"}", Path::new("x")).unwrap_err();
        assert!(message.to_string().contains("UTF-8"), "{message}");
    }

    #[test]
    fn a_folder_with_one_file_is_that_file() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| Dataset::read(path).unwrap_err().to_string();
        assert!(message(&folder.path().join("none")).contains("no data set here"));
        assert!(message(folder.path()).contains("no .jsonl file here"));
        let row = "{\"prompt\": \"q\", \"completion\": \"a\"}\n";
        std::fs::write(folder.path().join("a.jsonl"), row).unwrap();
        let data = Dataset::read(folder.path()).unwrap();
        assert_eq!((data.len(), data.sha256), (1, sha256(row.as_bytes())));
        std::fs::write(folder.path().join("b.jsonl"), row).unwrap();
        assert!(message(folder.path()).contains("has 2 data sets: a.jsonl, b.jsonl"));
    }

    #[test]
    fn real_files_are_read() {
        let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/real/datasets");
        for (file, rows) in [
            ("gsm8k/test.jsonl", 1319),
            ("math500/test.jsonl", 500),
            ("mbpp/mbpp.jsonl", 974),
        ] {
            let path = shared.join(file);
            if !path.exists() {
                println!("skipped: {} is not here", path.display());
                continue;
            }
            assert_eq!(Dataset::read(&path).unwrap().len(), rows);
        }
    }
}
