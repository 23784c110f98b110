//! Files of text: JSON lines, JSON, and tables separated by commas or tabs.

use super::{Row, quote, shorten};
use crate::error::{Error, Result, Word};
use serde_json::{Map, Value};
use std::path::Path;

/// Keys under which a JSON object keeps its rows.
const ROWS: [&str; 4] = ["rows", "data", "examples", "instances"];

/// One JSON object in a line; `number` is the line.
pub(super) fn json_lines(bytes: &[u8], path: &Path) -> Result<Vec<Row>> {
    let row = |(number, text): (usize, &str)| {
        let problem =
            |problem: String| Error::row(path, number, format!("{problem}: {}", shorten(text)));
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Row { number, fields }),
            Ok(_) => Err(problem("expected one JSON object".to_string())),
            Err(error) => Err(problem(format!("expected one JSON object ({error})"))),
        }
    };
    lines(bytes, path)?.into_iter().map(row).collect()
}

/// A list of objects, or an object with such a list; many a `.json` file holds JSON lines, and is read as that.
pub(super) fn json(bytes: &[u8], path: &Path) -> Result<Vec<Row>> {
    let bytes = without_mark(bytes);
    let whole: Value = match serde_json::from_slice(bytes) {
        Ok(whole) => whole,
        Err(_) if is_json_lines(bytes) => return json_lines(bytes, path),
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
fn is_json_lines(bytes: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let first = matches!(values.next(), Some(Ok(Value::Object(_))));
    let rest = bytes.get(values.byte_offset()..).unwrap_or_default();
    first && rest.trim_ascii_start().starts_with(b"{")
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
    if super::conversation::conversation(fields).is_ok() {
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
pub(super) fn separated(bytes: &[u8], delimiter: u8, path: &Path) -> Result<Vec<Row>> {
    let mut records = records(bytes, delimiter, path)?.into_iter();
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

/// The cells of each record, with the line where it begins. Blank lines are none.
pub(super) fn records(
    bytes: &[u8],
    delimiter: u8,
    path: &Path,
) -> Result<Vec<(usize, Vec<String>)>> {
    let bytes = without_mark(bytes);
    let line_at = |at: usize| 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    if let Err(error) = std::str::from_utf8(bytes) {
        let line = line_at(error.valid_up_to());
        return Err(Error::row(path, line, "expected text in UTF-8"));
    }
    const MOST: usize = 4096;
    let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    let (mut text, mut ends) = (vec![0; bytes.len() + 1], vec![0; MOST]);
    let (mut at, mut line) = (0, 1);
    let mut records = Vec::new();
    loop {
        while let Some(b'\r' | b'\n') = bytes.get(at) {
            line += usize::from(bytes[at] == b'\n');
            at += 1;
        }
        if at == bytes.len() {
            return Ok(records);
        }
        let begins = at;
        let (mut written, mut cells) = (0, 0);
        loop {
            let (result, read, wrote, ended) =
                reader.read_record(&bytes[at..], &mut text[written..], &mut ends[cells..]);
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
        let starts = std::iter::once(0).chain(ends[..cells].iter().copied());
        let cells = starts
            .zip(&ends[..cells])
            .map(|(start, end)| String::from_utf8_lossy(&text[start..*end]).into_owned());
        records.push((line, cells.collect()));
        line += bytes[begins..at].iter().filter(|byte| **byte == b'\n').count();
    }
}

/// Without the byte-order mark that some editors put before the first line.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The lines that are not blank, with their numbers from 1.
fn lines<'a>(bytes: &'a [u8], path: &Path) -> Result<Vec<(usize, &'a str)>> {
    let mut lines = Vec::new();
    for (index, line) in without_mark(bytes).split(|byte| *byte == b'\n').enumerate() {
        let text = std::str::from_utf8(line).map_err(|error| {
            let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
            let problem = match wide {
                true => "expected text in UTF-8, found UTF-16; save the file as UTF-8".to_string(),
                false => format!(
                    "expected text in UTF-8, found another byte at {}: {}",
                    error.valid_up_to(),
                    shorten(&String::from_utf8_lossy(line))
                ),
            };
            Error::row(path, index + 1, problem)
        })?;
        if !text.trim().is_empty() {
            lines.push((index + 1, text.trim()));
        }
    }
    Ok(lines)
}
