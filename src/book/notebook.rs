//! An executed notebook as a page of the book.

use fancy_regex::Regex;
use serde_json::Value;
use std::fmt::Write;

/// The page, in Markdown: text as it stands, code in fences, outputs as the kernel gave them (HTML or SVG before a picture before text).
///
/// # Errors
/// What is wrong with the notebook: no JSON, no cells, an output that is an error, or no output at all, which means that it was never run.
pub fn page(notebook: &str) -> std::result::Result<String, String> {
    let document: Value = serde_json::from_str(notebook).map_err(|e| e.to_string())?;
    let cells = document["cells"].as_array().ok_or("has no `cells`")?;
    let mut page = String::new();
    let mut outputs = 0;
    for (at, cell) in cells.iter().enumerate() {
        let source = text(&cell["source"]);
        match cell["cell_type"].as_str() {
            Some("markdown") => {
                let _ = write!(page, "{}\n\n", in_the_book(source.trim_end()));
            }
            Some("code") => {
                let _ = write!(page, "```rust\n{}\n```\n\n", source.trim_end());
                for output in cell["outputs"].as_array().into_iter().flatten() {
                    let shown = shown(output).map_err(|e| format!("cell {}: {e}", at + 1))?;
                    page.push_str(&shown);
                    outputs += 1;
                }
            }
            _ => {}
        }
    }
    if outputs == 0 {
        return Err("has no output: run it and save it before it becomes a page".to_owned());
    }
    Ok(page)
}

/// Links as they lead from the book's folder of notebooks: into the book, or nowhere if it holds no such page (the words stay).
fn in_the_book(text: &str) -> String {
    let solution = Regex::new(r"\[([^\]]*)\]\(solutions/[^)]*\)").expect("a pattern of ours");
    let result = Regex::new(r"\]\(\.\./book/src/([^)]*)README\.md\)").expect("a pattern of ours");
    let page = Regex::new(r"\]\(\.\./book/src/").expect("a pattern of ours");
    let text = solution.replace_all(text, "$1");
    let text = result.replace_all(&text, "](../${1}index.html)");
    page.replace_all(&text, "](../").into_owned()
}

/// A notebook keeps a text as one string or as a list of lines.
fn text(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn shown(output: &Value) -> std::result::Result<String, String> {
    if output["output_type"] == "stream" {
        return Ok(fenced(&text(&output["text"])));
    }
    if output["output_type"] == "error" {
        return Err(format!("ended in an error: {}", text(&output["evalue"])));
    }
    let data = &output["data"];
    for mime in ["text/html", "image/svg+xml"] {
        if !data[mime].is_null() {
            // an empty line would end the block of HTML
            let html = text(&data[mime]);
            let lines: Vec<&str> = html
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect();
            return Ok(format!(
                "<div class=\"cell-output\">\n{}\n</div>\n\n",
                lines.join("\n")
            ));
        }
    }
    if !data["image/png"].is_null() {
        let picture: String = text(&data["image/png"]).split_whitespace().collect();
        let what = text(&data["text/plain"]);
        let what = what.replace(['[', ']', '\n'], " ");
        return Ok(format!(
            "![{}](data:image/png;base64,{picture})\n\n",
            what.trim()
        ));
    }
    Ok(fenced(&text(&data["text/plain"])))
}

/// Text in a fence that no line of it closes.
fn fenced(text: &str) -> String {
    let longest = text
        .lines()
        .map(|line| line.chars().take_while(|c| *c == '`').count())
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}text\n{}\n{fence}\n\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn notebook(cells: Value) -> String {
        json!({"nbformat": 4, "cells": cells}).to_string()
    }

    #[test]
    fn text_code_and_outputs_stand_in_their_order() {
        let text = notebook(json!([
            {"cell_type": "markdown", "source": ["# Title\n", "words"]},
            {"cell_type": "code", "source": "let x = 1;", "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["a\n", "```\n"]},
                {"output_type": "execute_result", "data": {"text/html": "<table>\n\n</table>", "text/plain": "T"}},
                {"output_type": "display_data", "data": {"image/png": "QUJD\n", "text/plain": "a [picture]"}},
            ]},
        ]));
        let want = "# Title\nwords\n\n```rust\nlet x = 1;\n```\n\n````text\na\n```\n````\n\n<div class=\"cell-output\">\n<table>\n</table>\n</div>\n\n\
                    ![a  picture](data:image/png;base64,QUJD)\n\n";
        assert_eq!(page(&text).unwrap(), want);
    }

    #[test]
    fn links_lead_to_pages_of_the_book() {
        let text = "[a](../book/src/results/table-2/README.md) [b](solutions/01.ipynb) [c](../book/src/masking.md) [d](https://x.org/)";
        let want = "[a](../results/table-2/index.html) b [c](../masking.md) [d](https://x.org/)";
        assert_eq!(in_the_book(text), want);
    }

    #[test]
    fn what_was_not_run_or_failed_is_no_page() {
        let never = notebook(json!([{"cell_type": "code", "source": "1", "outputs": []}]));
        assert!(page(&never).unwrap_err().contains("run it"));
        let failed = notebook(
            json!([{"cell_type": "code", "source": "1", "outputs": [{"output_type": "error", "evalue": "no such model"}]}]),
        );
        assert!(
            page(&failed)
                .unwrap_err()
                .contains("cell 1: ended in an error: no such model")
        );
        assert!(page("{}").unwrap_err().contains("cells"));
        assert!(page("nonsense").is_err());
    }
}
