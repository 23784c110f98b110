//! Runs a notebook in a real kernel, and compares what it shows with what it showed.

use super::document::{CellOutput, Notebook};
use super::installation::Installation;
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::path::Path;
use std::time::{Duration, Instant};

/// A notebook that was run to its end.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The notebook with what its cells showed.
    pub document: Notebook,
    /// Cells of code.
    pub cells: usize,
    /// From the start of the kernel to the last cell.
    pub took: Duration,
    /// From the start of the kernel until it answered.
    pub ready: Duration,
}

/// Runs all cells of a notebook, in order, in a kernel of its own that is started in the notebook's folder. `limit` is the longest time of one cell.
///
/// # Errors
/// A cell fails, panics, or prints anything to stderr: a kernel counts a panic and a failed `?` as success, so that what is printed decides.
pub fn run(installation: &Installation, path: &Path, limit: Duration) -> Result<Ran> {
    let mut document = Notebook::read(path)?;
    let began = Instant::now();
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut kernel = installation.start(folder)?;
    let mut cells = 0;
    for (at, cell) in document.cells.iter_mut().enumerate().filter(|(_, cell)| cell.code) {
        let named = |problem: String| {
            let title = format!("{}: cell {} ({})", path.display(), at + 1, cell.title());
            Error::invalid(title, problem)
        };
        let outputs = kernel
            .execute(&cell.source, limit, &mut |_| {})
            .map_err(|error| named(error.to_string()))?;
        if let Some(problem) = problem(&outputs) {
            return Err(named(problem));
        }
        cell.outputs = outputs.into_iter().filter_map(CellOutput::kept).collect();
        cells += 1;
    }
    Ok(Ran { cells, took: began.elapsed(), ready: kernel.ready, document })
}

/// What went wrong in a cell, if something did.
fn problem(outputs: &[CellOutput]) -> Option<String> {
    outputs.iter().find_map(|output| match output {
        CellOutput::Failed { message, lines } if lines.is_empty() => Some(message.clone()),
        CellOutput::Failed { lines, .. } => Some(lines.join("\n")),
        CellOutput::Printed { error: true, text } => {
            Some(format!("wrote to stderr: {}", text.trim()))
        }
        _ => None,
    })
}

/// Compares what cells show now with what they showed: printed text and the text of values, without times and paths, numbers within 2 %. Of
/// pictures it is compared whether there is one.
///
/// # Errors
/// The first cell that shows something else.
pub fn verify(kept: &Notebook, now: &Notebook) -> Result<()> {
    let pairs = kept.cells.iter().zip(&now.cells).enumerate();
    for (at, (kept, now)) in pairs {
        let (kept_text, now_text) = (seen(&kept.outputs), seen(&now.outputs));
        if !alike(&kept_text, &now_text) {
            let title = format!("cell {} ({})", at + 1, now.title());
            let problem = format!(
                "shows something else than what is kept; `unforget notebook --refresh` keeps what it shows now\n--- kept\n{}\n--- now\n{}",
                kept_text.trim(),
                now_text.trim()
            );
            return Err(Error::invalid(title, problem));
        }
    }
    Ok(())
}

/// What is compared of a cell's outputs.
fn seen(outputs: &[CellOutput]) -> String {
    let one = |output: &CellOutput| match output {
        CellOutput::Printed { text, .. } => text.clone(),
        CellOutput::Shown(data) => shown(data),
        CellOutput::Failed { message, .. } => format!("failed: {message}"),
    };
    outputs.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn shown(data: &Map<String, Value>) -> String {
    let text = data.get("text/plain").and_then(Value::as_str).unwrap_or_default();
    let mut forms: Vec<&str> =
        data.keys().map(String::as_str).filter(|form| *form != "text/plain").collect();
    forms.sort_unstable();
    match forms.is_empty() {
        true => text.to_owned(),
        false => format!("{text}\n[{}]", forms.join(", ")),
    }
}

/// Whether two texts say the same: words alike, numbers close, times and paths left out.
fn alike(one: &str, other: &str) -> bool {
    let (one, other) = (words(one), words(other));
    let near = |(a, b): (&Word, &Word)| match (a, b) {
        (Word::Number(a), Word::Number(b)) => (a - b).abs() <= 0.02 + 0.02 * a.abs().max(b.abs()),
        _ => a == b,
    };
    one.len() == other.len() && one.iter().zip(&other).all(near)
}

#[derive(Debug, PartialEq)]
enum Word {
    Number(f64),
    Text(String),
}

fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for word in text.split_whitespace() {
        if word.starts_with('/') || word.contains(":\\") {
            continue; // a path
        }
        let bare = word
            .trim_matches(|c: char| matches!(c, ',' | ';' | ':' | '(' | ')' | '%' | '─' | '|'))
            .replace('−', "-");
        let bare = bare.trim_end_matches('.');
        let time = matches!(bare, "s" | "ms" | "min" | "h");
        if time && matches!(words.last(), Some(Word::Number(_))) {
            words.pop();
            continue;
        }
        if bare.is_empty() {
            continue; // a rule of a table, which is as long as the numbers are
        }
        words.push(match bare.parse() {
            Ok(number) => Word::Number(number),
            Err(_) => Word::Text(bare.to_owned()),
        });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_paths_and_last_digits_do_not_matter() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(alike(one, other), expected, "{one} / {other}")
        };
        check("took 3.1 s in all", "took 12 s in all", true);
        check("in /home/a/x.csv.", "in /tmp/b/x.csv.", true);
        check("54.0 ± 5.0", "54.3 ± 5.05", true);
        check("54.0 ± 5.0", "57.0 ± 5.0", false);
        check("−0.5 points", "0.5 points", false);
        check("a  b\n────", "a b\n──────", true);
        check("2 items", "2 rows", false);
        check("2 items", "2 items more", false);
    }

    #[test]
    fn stderr_and_errors_are_problems_and_stdout_is_none() {
        let printed = |error, text: &str| CellOutput::Printed { error, text: text.into() };
        assert_eq!(problem(&[printed(false, "fine"), CellOutput::Shown(Map::new())]), None);
        let stderr =
            problem(&[printed(false, "fine"), printed(true, "thread 'main' panicked\n")]).unwrap();
        assert!(stderr.contains("panicked"), "{stderr}");
        let failed =
            CellOutput::Failed { message: "E0308".into(), lines: vec!["a".into(), "b".into()] };
        assert_eq!(problem(&[failed]).unwrap(), "a\nb");
    }
}
