//! An executed notebook as a page of the book.

use crate::notebook::{CellOutput, Notebook};
use fancy_regex::Regex;
use serde_json::{Map, Value};
use std::fmt::Write;

/// The page, in Markdown: text as it stands, code in fences, outputs as the kernel gave them (HTML or SVG before a picture before text).
///
/// # Errors
/// An output is an error, or there is none at all: the notebook was never run.
pub(super) fn page(notebook: &Notebook) -> std::result::Result<String, String> {
    let mut page = String::new();
    let mut outputs = 0;
    for (at, cell) in notebook.cells.iter().enumerate() {
        let source = cell.source.trim_end();
        if cell.hidden() {
            continue;
        }
        if !cell.code {
            let _ = write!(page, "{}\n\n", in_the_book(source));
            continue;
        }
        let _ = write!(page, "```rust\n{source}\n```\n\n");
        for output in &cell.outputs {
            let shown = match output {
                CellOutput::Printed { text, .. } => fenced(text),
                CellOutput::Shown(data) => shown(data),
                CellOutput::Failed { message, .. } => {
                    return Err(format!("cell {} ended in an error: {message}", at + 1));
                }
            };
            page.push_str(&shown);
            outputs += 1;
        }
    }
    match outputs {
        0 => Err(
            "has no output; `unforget notebook --refresh` runs it and keeps what its cells show"
                .to_owned(),
        ),
        _ => Ok(page),
    }
}

/// Links as they lead from the book's folder of notebooks: into the book, or nowhere if it holds no such page (the words stay).
fn in_the_book(text: &str) -> String {
    let solution = Regex::new(r"\[([^\]]*)\]\(solutions/[^)]*\)").expect("a pattern of ours");
    let result = Regex::new(r"\]\(\.\./book/src/([^)]*)README\.md\)").expect("a pattern of ours");
    let page = Regex::new(r"\]\(\.\./book/src/").expect("a pattern of ours");
    let next = Regex::new(r"\]\(([0-9a-z_]+)\.ipynb\)").expect("a pattern of ours");
    let text = solution.replace_all(text, "$1");
    let text = result.replace_all(&text, "](../${1}index.html)");
    let text = next.replace_all(&text, "](${1}.md)");
    page.replace_all(&text, "](../").into_owned()
}

fn shown(data: &Map<String, Value>) -> String {
    let text = |media_type: &str| data.get(media_type).and_then(Value::as_str);
    for media_type in ["text/html", "image/svg+xml"] {
        if let Some(html) = text(media_type) {
            // an empty line would end the block of HTML
            let lines: Vec<&str> = html.lines().filter(|line| !line.trim().is_empty()).collect();
            return format!("<div class=\"cell-output\">\n{}\n</div>\n\n", lines.join("\n"));
        }
    }
    let plain = text("text/plain").unwrap_or_default();
    match text("image/png") {
        Some(picture) => {
            let picture: String = picture.split_whitespace().collect();
            let what = plain.replace(['[', ']', '\n'], " ");
            format!("![{}](data:image/png;base64,{picture})\n\n", what.trim())
        }
        None => fenced(plain),
    }
}

/// Text in a fence that no line of it closes.
fn fenced(text: &str) -> String {
    let longest =
        text.lines().map(|line| line.chars().take_while(|c| *c == '`').count()).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}text\n{}\n{fence}\n\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page_of(cells: Value) -> std::result::Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ipynb");
        std::fs::write(&path, json!({"nbformat": 4, "cells": cells}).to_string()).unwrap();
        page(&Notebook::read(&path).unwrap())
    }

    #[test]
    fn text_code_and_outputs_stand_in_their_order() {
        let page = page_of(json!([
            {"cell_type": "markdown", "source": ["# Title\n", "words"]},
            {"cell_type": "code", "source": "let x = 1;", "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["a\n", "```\n"]},
                {"output_type": "execute_result", "data": {"text/html": "<table>\n\n</table>", "text/plain": "T"}},
                {"output_type": "display_data", "data": {"image/png": "QUJD\n", "text/plain": "a [picture]"}},
            ]},
        ]));
        let want = "# Title\nwords\n\n```rust\nlet x = 1;\n```\n\n````text\na\n```\n````\n\n<div class=\"cell-output\">\n<table>\n</table>\n</div>\n\n\
                    ![a  picture](data:image/png;base64,QUJD)\n\n";
        assert_eq!(page.unwrap(), want);
    }

    #[test]
    fn code_that_editors_fold_away_is_left_out() {
        let output = json!([{"output_type": "stream", "name": "stdout", "text": "shown"}]);
        let page = page_of(json!([
            {"cell_type": "code", "source": "1", "outputs": output},
            {"cell_type": "code", "source": "assert!(true);", "outputs": output, "metadata": {"jupyter": {"source_hidden": true}}},
        ]));
        assert_eq!(page.unwrap(), "```rust\n1\n```\n\n```text\nshown\n```\n\n");
    }

    #[test]
    fn links_lead_to_pages_of_the_book() {
        let text = "[a](../book/src/results/table-2/README.md) [b](solutions/01.ipynb) [c](../book/src/masking.md) [d](https://x.org/) [e](02_next.ipynb)";
        let want = "[a](../results/table-2/index.html) b [c](../masking.md) [d](https://x.org/) [e](02_next.md)";
        assert_eq!(in_the_book(text), want);
    }

    #[test]
    fn what_was_not_run_or_failed_is_no_page() {
        let never = page_of(json!([{"cell_type": "code", "source": "1", "outputs": []}]));
        assert!(never.unwrap_err().contains("--refresh"));
        let failed = page_of(
            json!([{"cell_type": "code", "source": "1", "outputs": [{"output_type": "error", "evalue": "no such model"}]}]),
        );
        let problem = failed.unwrap_err();
        assert!(problem.contains("cell 1 ended in an error: no such model"), "{problem}");
    }
}
