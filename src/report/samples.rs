//! A page to look through all answers: what was lost, gained, and stayed, by task and by words. It needs no server and no network.

use super::answers::by_run;
use super::html::filled;
use super::{Report, put};
use crate::answers::{AnswerRow, first_difference};
use crate::error::{Error, Result};
use crate::plot::palette::{BASE, label};
use minijinja::context;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const TEMPLATE: &str = include_str!("samples.html");

/// The page's name in a report's folder.
pub const FILE: &str = "samples.html";

/// The page of every run's answers beside base's. What opens first is the arm that learns every token, by the report's first protocol.
///
/// # Errors
/// The answers are not known, as of results of older versions.
pub fn page(report: &Report, title: &str) -> Result<String> {
    let results = &report.summary.results;
    let missing = || {
        let problem = "hold no answers: make them again with `unforget run` or `unforget lab`, which takes what is in the store, and ask again";
        Error::invalid("results", problem)
    };
    let base = by_run(&results.answers).find(|rows| &*rows[0].model == BASE).ok_or_else(missing)?;
    let runs: Vec<&[AnswerRow]> =
        by_run(&results.answers).filter(|rows| &*rows[0].model != BASE).collect();
    let mut tasks: Vec<&str> = Vec::new();
    for row in base {
        if !tasks.contains(&&*row.task) {
            tasks.push(&row.task);
        }
    }
    let item = |row: &AnswerRow| {
        json!({
            "task": tasks.iter().position(|task| *task == &*row.task),
            "id": &*row.item, "question": &*row.question, "reference": &*row.reference,
            "answer": row.answer, "right": row.right(),
        })
    };
    let run = |rows: &&[AnswerRow]| -> Value {
        let of = &rows[0];
        let mut name = label(&of.model);
        if let Some(rate) = of.learning_rate {
            name = format!("{name}, {rate:e}");
        }
        if let Some(seed) = of.seed {
            name = format!("{name}, seed {seed}");
        }
        let pairs = base.iter().zip(*rows).map(|(before, row)| given(before, row));
        json!({"name": name, "answers": pairs.collect::<Vec<_>>()})
    };
    let (protocol, ..) = report.first();
    let whole = super::finding::whole_and_kept(report.first().2).map(|(whole, _)| whole);
    let opens = |rows: &&[AnswerRow]| {
        let rate = match protocol {
            super::protocol::Protocol::OneRate(rate) => rows[0].learning_rate == Some(rate),
            _ => true,
        };
        rate && Some(&*rows[0].model) == whole
    };
    let data = json!({
        "tasks": tasks,
        "items": base.iter().map(item).collect::<Vec<_>>(),
        "runs": runs.iter().map(run).collect::<Vec<_>>(),
        "first": runs.iter().position(opens).unwrap_or(0),
    });
    // in a script nothing that a model wrote may end it
    let data = data.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028");
    filled(FILE, TEMPLATE, context! { title => title, data => data })
}

/// Writes a [`page`] to `folder`.
///
/// # Errors
/// The folder cannot be written.
pub fn write(page: &str, folder: &Path) -> Result<PathBuf> {
    put(folder, FILE, page.as_bytes())
}

/// The grade; then the answer, where it is not base's own, and where it first differs, in the units in which a browser counts.
fn given(before: &AnswerRow, row: &AnswerRow) -> Value {
    let right = u8::from(row.right());
    let units = |bytes: usize| row.answer[..bytes].encode_utf16().count();
    match first_difference(&before.answer, &row.answer) {
        None => json!([right]),
        Some(at) => json!([right, row.answer, units(at.start), units(at.end)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_page_holds_every_answer_as_text_and_needs_no_network() {
        let mut results = sample::results();
        let error = page(&Report::of(results.clone()).unwrap(), "x").unwrap_err().to_string();
        assert!(error.contains("no answers"), "{error}");
        results.answers = sample::answers(&results).into();
        let html = page(&Report::of(results.clone()).unwrap(), "<i>").unwrap();
        assert!(html.contains("&lt;i&gt;") && !html.contains("<i>"));
        let start = html.find("id=\"data\">").unwrap() + 10;
        let data = &html[start..start + html[start..].find("</script>").unwrap()];
        assert!(!data.contains('<'), "what a model wrote cannot end the script");
        let data: Value = serde_json::from_str(data).unwrap();
        let runs = data["runs"].as_array().unwrap();
        let items = data["items"].as_array().unwrap();
        assert_eq!(items.len(), results.base.iter().map(|task| task.items.len()).sum::<usize>());
        assert_eq!(runs.len(), results.runs.len());
        assert!(runs.iter().all(|run| run["answers"].as_array().unwrap().len() == items.len()));
        let first = &runs[data["first"].as_u64().unwrap() as usize];
        assert_eq!(first["name"], "ground truth, 3e-4, seed 0");
        assert!(["http://", "https://", "src=", "url("].iter().all(|part| !html.contains(part)));
        // a mark is counted as a browser counts, in units of UTF-16
        let row = |answer: &str| AnswerRow { answer: answer.into(), ..results.answers[0].clone() };
        let right = u8::from(results.answers[0].right());
        assert_eq!(given(&row("𝄞 2"), &row("𝄞 3")), json!([right, "𝄞 3", 3, 4]));
    }
}
