//! Files of text: JSON lines, JSON, and tables separated by commas or tabs.

use super::{Row, quote, shorten};
use crate::error::{Error, Result, Word};
use crate::files::line_number;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::Path;

/// Keys under which a JSON object keeps its rows.
const ROWS: [&str; 4] = ["rows", "data", "examples", "instances"];

/// Keys whose numbers name a row, here and in published benchmarks.
const NAMES: [&str; 6] = ["id", "task_id", "unique_id", "question_id", "key", "doc_id"];

/// One JSON object in a line; `number` is the line. A list, or one object over several lines, is read as [`json`].
pub(super) fn json_lines(text: &str, path: &Path) -> Result<Vec<Row>> {
    let begin = text.trim_start();
    if begin.starts_with('[') || begin.starts_with('{') && is_one_value(text) {
        return json(text, path);
    }
    let row = |(number, text): (usize, &str)| {
        let problem =
            |problem: String| Error::row(path, number, format!("{problem}: {}", shorten(text)));
        match serde_json::from_str(&with_whole_names(text)) {
            Ok(Value::Object(fields)) => Ok(Row { number, fields }),
            Ok(_) => Err(problem("expected one JSON object".to_string())),
            Err(error) => Err(problem(format!("expected one JSON object ({error})"))),
        }
    };
    lines(text).into_iter().map(row).collect()
}

/// Whether more than the first line is one JSON value.
fn is_one_value(text: &str) -> bool {
    let whole = lines(text);
    let first = whole.first().map_or("", |(_, line)| line);
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    whole.len() > 1 && !is_json(first) && is_json(text)
}

/// A text file as one document.
pub(super) fn document(text: &str, path: &Path) -> Result<Vec<Row>> {
    // what was read as lines before it could be a document
    if text.trim_start().starts_with(['{', '['])
        && let Ok(rows) = json_lines(text, path)
    {
        return Ok(rows);
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let fields = Map::from_iter([("text".to_string(), Value::from(text))]);
    Ok(vec![Row { number: 1, fields }])
}

/// The same JSON, in which a number that names a row and would not be kept digit by digit, such as one beyond 64 bits, is a text.
fn with_whole_names(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut made, mut copied) = (String::new(), 0);
    // the text between quotes that ended last, and where
    let (mut at, mut last) = (0, (0..0, 0));
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let from = at + 1;
                at = from;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
                last = (from..at.saturating_sub(1).max(from), at);
            }
            b'-' | b'0'..=b'9' => {
                let from = at;
                let part = |b: &u8| b.is_ascii_digit() || b"+-.eE".contains(b);
                at += bytes[from..].iter().take_while(|b| part(b)).count();
                let named = bytes[last.1..from].trim_ascii() == b":"
                    && text.get(last.0.clone()).is_some_and(|key| NAMES.contains(&key));
                let number = &text[from..at];
                let kept = || {
                    let read: Option<serde_json::Number> = serde_json::from_str(number).ok();
                    read.is_none_or(|read| read.to_string() == number)
                };
                if named && !kept() {
                    made += &text[copied..from];
                    made += &format!("\"{number}\"");
                    copied = at;
                }
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::from(text);
    }
    made += &text[copied..];
    Cow::from(made)
}

/// A list of objects, or an object with such a list; many a `.json` file holds JSON lines, and is read as that.
pub(super) fn json(text: &str, path: &Path) -> Result<Vec<Row>> {
    let whole: Value = match serde_json::from_str(&with_whole_names(text)) {
        Ok(whole) => whole,
        Err(_) if is_json_lines(text) => return json_lines(text, path),
        Err(error) => {
            let problem = format!("is no JSON ({error}); a data set is a list of objects");
            return Err(Error::file(path, problem));
        }
    };
    let list = match whole {
        Value::Array(list) => list,
        Value::Object(fields) => match rows_within(&fields) {
            Ok(Some(key)) => match fields.into_iter().find(|(name, _)| *name == key) {
                Some((_, Value::Array(list))) => list,
                _ => Vec::new(),
            },
            Ok(None) => vec![Value::Object(fields)],
            Err(problem) => return Err(Error::file(path, problem)),
        },
        other => {
            let problem =
                format!("expected a list of objects, found {}", shorten(&other.to_string()));
            return Err(Error::file(path, problem));
        }
    };
    let rows = list.into_iter().zip(1..).map(|(row, number)| match row {
        Value::Object(fields) => Ok(Row { number, fields }),
        other => {
            let found = shorten(&other.to_string());
            Err(Error::row(path, number, format!("expected one JSON object: {found}")))
        }
    });
    rows.collect()
}

/// The first line is an object of its own, and others follow.
fn is_json_lines(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let first = matches!(values.next(), Some(Ok(Value::Object(_))));
    let rest = text.get(values.byte_offset()..).unwrap_or_default();
    first && rest.trim_start().starts_with('{')
}

/// The key whose list is the rows; `None` where the object is itself a row.
fn rows_within(fields: &Map<String, Value>) -> std::result::Result<Option<String>, String> {
    let is_rows = |value: &Value| {
        let Value::Array(list) = value else {
            return false;
        };
        !list.is_empty() && list.iter().all(Value::is_object)
    };
    if let Some(key) = ROWS.iter().find(|key| fields.get(**key).is_some_and(is_rows)) {
        return Ok(Some(key.to_string()));
    }
    if super::conversation::said(fields).is_ok() {
        return Ok(None);
    }
    let lists: Vec<&String> = fields.iter().filter(|(_, v)| is_rows(v)).map(|(k, _)| k).collect();
    match &lists[..] {
        [only] => Ok(Some(only.to_string())),
        [] => Err(format!(
            "expected a list of objects, or an object that holds one under {}; found {}",
            ROWS.join(", "),
            quote(fields)
        )),
        several => {
            let names: Vec<String> = several.iter().map(|name| Word(name).to_string()).collect();
            Err(format!(
                "holds several lists of objects: {}; keep the one that is the data set, in a file of its own",
                names.join(", ")
            ))
        }
    }
}

/// A table with a line of names; every cell is text, so that ids keep their zeros. `number` is the line where a row begins.
pub(super) fn separated(text: &str, delimiter: u8, path: &Path) -> Result<Vec<Row>> {
    let mut records = records(text, delimiter, path)?.into_iter();
    let Some((_, names)) = records.next() else {
        return Ok(Vec::new());
    };
    let twice = (1..names.len()).find(|at| names[..*at].contains(&names[*at]));
    if let Some(at) = twice {
        let problem = format!("the column {:?} stands twice", names[at]);
        return Err(Error::row(path, 1, problem));
    }
    let row = |(number, cells): (usize, Vec<String>)| {
        if cells.len() != names.len() {
            let problem = format!(
                "expected {} cells as in the first line, found {}; a cell with a separator or a line break stands in quotes",
                names.len(),
                cells.len()
            );
            return Err(Error::row(path, number, problem));
        }
        let cells = names.iter().cloned().zip(cells.into_iter().map(Value::from));
        Ok(Row { number, fields: cells.collect() })
    };
    records.map(row).collect()
}

/// The cells of each record, with the line where it begins. Blank lines are none; a line may end with `\r` alone.
pub(super) fn records(
    content: &str,
    delimiter: u8,
    path: &Path,
) -> Result<Vec<(usize, Vec<String>)>> {
    let bytes = content.as_bytes();
    const MOST: usize = 4096;
    let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    let (mut text, mut places) = (vec![0; bytes.len() + 1], vec![0; MOST]);
    let (mut at, mut line) = (0, 1);
    // lines that end between two places; a `\r\n` across the second one is counted with what follows it
    let ends = |from: usize, to: usize| {
        let cut = bytes[..to].ends_with(b"\r") && bytes.get(to) == Some(&b'\n');
        line_number(&bytes[from..to]) - 1 - usize::from(cut && to > from)
    };
    let mut records = Vec::new();
    loop {
        let blank = at;
        while let Some(b'\r' | b'\n') = bytes.get(at) {
            at += 1;
        }
        line += ends(blank, at);
        if at == bytes.len() {
            return Ok(records);
        }
        let begins = at;
        let (mut written, mut cells) = (0, 0);
        loop {
            let (result, read, wrote, ended) =
                reader.read_record(&bytes[at..], &mut text[written..], &mut places[cells..]);
            at += read;
            written += wrote;
            cells += ended;
            match result {
                csv_core::ReadRecordResult::Record | csv_core::ReadRecordResult::End => break,
                // the end of the bytes is told by asking once more, with none
                csv_core::ReadRecordResult::InputEmpty => {}
                _ => {
                    let problem = format!("has more than {MOST} cells");
                    return Err(Error::row(path, line, problem));
                }
            }
        }
        let starts = std::iter::once(0).chain(places[..cells].iter().copied());
        let cells = starts
            .zip(&places[..cells])
            .map(|(start, end)| String::from_utf8_lossy(&text[start..*end]).into_owned());
        records.push((line, cells.collect()));
        line += ends(begins, at);
    }
}

/// The lines that are not blank, with their numbers from 1; a line may end with `\r` alone, which no JSON has within.
fn lines(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut number = 0;
    for part in text.split('\n') {
        for line in part.strip_suffix('\r').unwrap_or(part).split('\r') {
            number += 1;
            if !line.trim().is_empty() {
                lines.push((number, line.trim()));
            }
        }
    }
    lines
}
