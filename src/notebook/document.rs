//! A notebook's file, in Jupyter's format 4.

use crate::error::{Error, Result};
use crate::progress;
use crate::store::write_atomic;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A notebook; what it holds beside cells is kept as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Notebook {
    /// The file.
    pub path: PathBuf,
    /// All cells, in order.
    pub cells: Vec<NotebookCell>,
    rest: Map<String, Value>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub struct NotebookCell {
    /// Whether it is run.
    pub code: bool,
    /// Its text.
    pub source: String,
    /// What it showed; only code shows something.
    pub outputs: Vec<CellOutput>,
    rest: Map<String, Value>,
}

/// One thing that a cell showed.
#[derive(Debug, Clone, PartialEq)]
pub enum CellOutput {
    /// Printed text; `error` tells stderr from stdout.
    Printed {
        /// Whether it went to stderr.
        error: bool,
        /// All of it.
        text: String,
    },
    /// The cell's value: media type and content.
    Shown(Map<String, Value>),
    /// The cell could not be compiled or run.
    Failed {
        /// The message.
        message: String,
        /// With the place in the cell.
        lines: Vec<String>,
    },
}

impl Notebook {
    /// Reads a notebook.
    ///
    /// # Errors
    /// The file cannot be read or is no notebook of format 4.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(Error::io("reading the notebook", path))?;
        Self::parse(&text)
            .map_err(|problem| Error::file(path, problem))
            .map(|document| Self { path: path.to_owned(), ..document })
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut rest: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("is no notebook: {error}"))?;
        if rest.get("nbformat").and_then(Value::as_u64) != Some(4) {
            return Err("is no notebook of format 4; save it again with a present Jupyter".into());
        }
        let Some(Value::Array(cells)) = rest.remove("cells") else {
            return Err("has no list of cells".into());
        };
        let cell = |(at, cell): (usize, Value)| {
            NotebookCell::parse(cell).map_err(|problem| format!("cell {}: {problem}", at + 1))
        };
        Ok(Self {
            path: PathBuf::new(),
            cells: cells
                .into_iter()
                .enumerate()
                .map(cell)
                .collect::<std::result::Result<_, String>>()?,
            rest,
        })
    }

    /// The notebook as Jupyter writes it: keys sorted, one blank a level.
    pub fn text(&self) -> String {
        let mut all = self.rest.clone();
        all.insert("cells".into(), self.cells.iter().map(NotebookCell::json).collect());
        let mut value = Value::Object(all);
        value.sort_all_objects();
        let mut text = Vec::new();
        let mut writer =
            serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
        serde::Serialize::serialize(&value, &mut writer)
            .expect("plain JSON can be written to memory");
        text.push(b'\n');
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    /// Writes it to its file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self) -> Result<()> {
        write_atomic(&self.path, self.text().as_bytes())
    }

    /// All code, one cell after the other in a function, to be compiled without a kernel. Commands of the kernel are left out; a variable that a cell
    /// ends in is only looked at, as the kernel does.
    pub fn program(&self) -> String {
        let code = self.cells.iter().filter(|cell| cell.code);
        let cells: String = code
            .enumerate()
            .map(|(at, cell)| {
                let lines = cell.source.trim_end().lines();
                let lines = lines.filter(|line| !line.trim_start().starts_with(':'));
                let mut lines: Vec<String> = lines.map(str::to_owned).collect();
                let name =
                    |line: &&mut String| line.chars().all(|c| c.is_alphanumeric() || c == '_');
                if let Some(last) = lines.last_mut().filter(name) {
                    last.insert(0, '&');
                }
                format!("// cell {}\n{}\n;\n", at + 1, lines.join("\n"))
            })
            .collect();
        format!(
            "#![allow(unused)]\nuse unforget::prelude::*;\npub fn cells() -> std::result::Result<(), Box<dyn std::error::Error>> {{\n{cells}Ok(())\n}}\n"
        )
    }
}

/// A text of JSON that may be a list of lines.
fn lines(value: Option<Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text),
        Value::Array(lines) => lines.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The lines of a text with their ends, as Jupyter keeps them.
fn list(text: &str) -> Value {
    text.split_inclusive('\n').map(Value::from).collect()
}

impl NotebookCell {
    fn parse(cell: Value) -> std::result::Result<Self, String> {
        let Value::Object(mut rest) = cell else {
            return Err("is no object".into());
        };
        let source = lines(rest.remove("source")).ok_or("has no source")?;
        let code = rest.get("cell_type").and_then(Value::as_str) == Some("code");
        let outputs = match rest.remove("outputs") {
            Some(Value::Array(outputs)) => {
                outputs.into_iter().filter_map(CellOutput::parse).collect()
            }
            _ => Vec::new(),
        };
        rest.remove("execution_count");
        Ok(Self { code, source, outputs, rest })
    }

    fn json(&self) -> Value {
        let mut cell = self.rest.clone();
        cell.insert("source".into(), list(&self.source));
        if self.code {
            cell.insert("execution_count".into(), Value::Null);
            cell.insert("outputs".into(), self.outputs.iter().map(CellOutput::json).collect());
        }
        Value::Object(cell)
    }

    /// Whether editors fold its code away: it checks what the page says, which readers need not see.
    pub fn hidden(&self) -> bool {
        let folded =
            self.rest.get("metadata").and_then(|all| all.pointer("/jupyter/source_hidden"));
        folded.and_then(Value::as_bool).unwrap_or(false)
    }

    /// Its first line, to name it in messages.
    pub fn title(&self) -> &str {
        self.source.lines().find(|line| !line.trim().is_empty()).unwrap_or("(empty)")
    }
}

impl CellOutput {
    /// From what a notebook keeps, or from the content of a kernel's message with its type added as `output_type`.
    pub(super) fn parse(output: Value) -> Option<Self> {
        let Value::Object(mut output) = output else {
            return None;
        };
        let kind = output.get("output_type")?.as_str()?.to_owned();
        match kind.as_str() {
            "stream" => Some(Self::Printed {
                error: output.get("name").and_then(Value::as_str) == Some("stderr"),
                text: lines(output.remove("text"))?,
            }),
            "execute_result" | "display_data" => match output.remove("data")? {
                Value::Object(data) => {
                    let whole = |(media_type, content): (String, Value)| {
                        let content = match content {
                            Value::Array(_) => lines(Some(content)).map(Value::String)?,
                            other => other,
                        };
                        Some((media_type, content))
                    };
                    Some(Self::Shown(data.into_iter().filter_map(whole).collect()))
                }
                _ => None,
            },
            "error" => {
                let of = |key: &str| {
                    output.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
                };
                let lines = output.get("traceback").and_then(Value::as_array);
                let lines = lines.into_iter().flatten().filter_map(Value::as_str).map(plain);
                Some(Self::Failed {
                    message: plain(
                        match of("evalue") {
                            empty if empty.is_empty() => of("ename"),
                            message => message,
                        }
                        .as_str(),
                    ),
                    lines: lines.collect(),
                })
            }
            _ => None,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Printed { error, text } => json!({
                "output_type": "stream",
                "name": if *error { "stderr" } else { "stdout" },
                "text": list(text),
            }),
            Self::Shown(data) => {
                let split = |(media_type, content): (&String, &Value)| {
                    let content = match content {
                        // a picture is one line
                        Value::String(text) if media_type != "image/png" => list(text),
                        other => other.clone(),
                    };
                    (media_type.clone(), content)
                };
                json!({
                    "output_type": "execute_result",
                    "execution_count": null,
                    "metadata": {},
                    "data": data.iter().map(split).collect::<Map<String, Value>>(),
                })
            }
            Self::Failed { message, lines } => json!({
                "output_type": "error",
                "ename": "Error",
                "evalue": message,
                "traceback": lines,
            }),
        }
    }

    /// What is kept in the file: lines of progress say how fast a machine was and are left out; nothing, if nothing else was printed.
    pub(super) fn kept(self) -> Option<Self> {
        match self {
            Self::Printed { error: false, text } => {
                let kept =
                    text.split_inclusive('\n').filter(|line| !line.starts_with(progress::LINE));
                let text: String = kept.collect();
                (!text.is_empty()).then_some(Self::Printed { error: false, text })
            }
            other => Some(other),
        }
    }
}

/// `text` without a terminal's codes for colors.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let code = &rest[at + 2..];
        let end = code.find(|c: char| c.is_ascii_alphabetic()).map_or(code.len(), |end| end + 1);
        rest = &code[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r##"{"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": "unforget"}}, "cells": [
        {"id": "a", "cell_type": "markdown", "metadata": {}, "source": ["# One\n", "two"]},
        {"id": "b", "cell_type": "code", "metadata": {}, "execution_count": 7, "source": ":version\nlet x: i32 = 1;\nx", "outputs": [
            {"output_type": "stream", "name": "stdout", "text": ["· training: 3 of 9\n", "kept\n"]},
            {"output_type": "execute_result", "execution_count": 7, "metadata": {}, "data": {"text/plain": ["1\n", "2"]}},
            {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["\u001b[31mred\u001b[0m"]}]}]}"##;

    #[test]
    fn a_notebook_is_written_as_it_was_read_without_counts() {
        let document = Notebook::parse(SMALL).unwrap();
        assert_eq!(document.cells[0].source, "# One\ntwo");
        let text = document.text();
        assert!(text.contains("\"execution_count\": null") && text.ends_with("}\n"), "{text}");
        assert!(text.contains("\"kernelspec\"") && text.contains("\"id\": \"b\""), "{text}");
        assert_eq!(Notebook::parse(&text).unwrap(), document);
        let cell = text.find("\"cell_type\"").unwrap();
        assert!(cell < text.find("\"id\"").unwrap(), "keys are sorted: {text}");
    }

    #[test]
    fn progress_is_not_kept_and_colors_are_not_shown() {
        let outputs = Notebook::parse(SMALL).unwrap().cells[1].outputs.clone();
        let kept: Vec<CellOutput> = outputs.into_iter().filter_map(CellOutput::kept).collect();
        assert_eq!(kept[0], CellOutput::Printed { error: false, text: "kept\n".into() });
        assert_eq!(kept[2], CellOutput::Failed { message: "E".into(), lines: vec!["red".into()] });
    }

    #[test]
    fn the_program_has_the_code_and_not_the_commands() {
        let program = Notebook::parse(SMALL).unwrap().program();
        assert!(program.contains("let x: i32 = 1;\n&x\n;"), "{program}");
        assert!(!program.contains(":version") && !program.contains("# One"), "{program}");
    }

    #[test]
    fn what_is_no_notebook_is_said_to_be_none() {
        let check = |text: &str, part: &str| {
            let problem = Notebook::parse(text).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        };
        check("[]", "is no notebook");
        check("{\"nbformat\": 3}", "format 4");
        check("{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\"}]}", "cell 1: has no source");
    }
}
