//! What each model answered: kept beside the results, one example of it, and a page to look through.

use super::Report;
use crate::answers::{AnswerRow, BeforeAfter};
use crate::error::{Error, Result};
use crate::plot::palette::{BASE, label};
use crate::table;
use polars::prelude::{Column, DataFrame, NamedFrom, ParquetReader, SerReader, Series};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// The table of answers, from the folder of a report.
pub const FILE: &str = "tables/answers.parquet";

/// The rows as a frame: `model`, `learning_rate`, `seed`, `task`, `item`, `question`, `reference`, `answer`, `value` (1 for right in the right form), `skill` (1 for
/// right in any form).
///
/// # Errors
/// None that answers can cause.
pub fn frame(rows: &[AnswerRow]) -> Result<DataFrame> {
    let words = |name: &str, value: fn(&AnswerRow) -> &str| {
        Column::from(Series::new(name.into(), rows.iter().map(value).collect::<Vec<_>>()))
    };
    let numbers = |name: &str, value: fn(&AnswerRow) -> Option<f64>| {
        Column::from(Series::new(name.into(), rows.iter().map(value).collect::<Vec<_>>()))
    };
    let seeds: Vec<Option<u64>> = rows.iter().map(|row| row.seed).collect();
    let columns = vec![
        words("model", |row| &row.model),
        numbers("learning_rate", |row| row.learning_rate),
        Series::new("seed".into(), seeds).into(),
        words("task", |row| &row.task),
        words("item", |row| &row.item),
        words("question", |row| &row.question),
        words("reference", |row| &row.reference),
        words("answer", |row| &row.answer),
        numbers("value", |row| Some(row.value)),
        numbers("skill", |row| Some(row.skill)),
    ];
    DataFrame::new(rows.len(), columns).map_err(Error::library("making the table of answers"))
}

pub(super) fn parquet(rows: &[AnswerRow]) -> Result<Vec<u8>> {
    table::parquet(frame(rows)?)
}

/// The answers beside the results in `folder`; none if they were not kept there.
///
/// # Errors
/// A file that cannot be read, or that is no table of answers.
pub fn read(folder: &Path) -> Result<Vec<AnswerRow>> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let bytes = std::fs::read(&path).map_err(Error::io("reading the answers", &path))?;
    let refused = |error: polars::error::PolarsError| {
        Error::file(&path, format!("is no table of answers of this version: {error}"))
    };
    let frame = ParquetReader::new(std::io::Cursor::new(bytes)).finish().map_err(refused)?;
    rows_of(&frame).map_err(refused)
}

fn rows_of(frame: &DataFrame) -> polars::error::PolarsResult<Vec<AnswerRow>> {
    let words =
        |name: &str| Ok::<_, polars::error::PolarsError>(frame.column(name)?.str()?.clone());
    let numbers =
        |name: &str| Ok::<_, polars::error::PolarsError>(frame.column(name)?.f64()?.clone());
    let texts = ["model", "task", "item", "question", "reference"].map(words);
    let [model, task, item, question, reference] = texts;
    let (model, task, item) = (model?, task?, item?);
    let (question, reference, answer) = (question?, reference?, words("answer")?);
    let (rate, value, skill) = (numbers("learning_rate")?, numbers("value")?, numbers("skill")?);
    let seed = frame.column("seed")?.u64()?.clone();
    // what many rows share is kept once
    let mut known: HashSet<Arc<str>> = HashSet::new();
    let mut shared = |text: Option<&str>| -> Arc<str> {
        let text = text.unwrap_or_default();
        if let Some(same) = known.get(text) {
            return same.clone();
        }
        let new: Arc<str> = text.into();
        known.insert(new.clone());
        new
    };
    let row = |at: usize| AnswerRow {
        model: shared(model.get(at)),
        learning_rate: rate.get(at),
        seed: seed.get(at),
        task: shared(task.get(at)),
        item: shared(item.get(at)),
        question: shared(question.get(at)),
        reference: shared(reference.get(at)),
        answer: answer.get(at).unwrap_or_default().to_owned(),
        value: value.get(at).unwrap_or(0.0),
        skill: skill.get(at).unwrap_or(0.0),
    };
    Ok((0..frame.height()).map(row).collect())
}

/// The rows of each model that was asked, trained once: base, then each run.
pub fn by_run(rows: &[AnswerRow]) -> impl Iterator<Item = &[AnswerRow]> {
    rows.chunk_by(AnswerRow::same_run)
}

/// One question answered before, after all tokens, and with STM, by the report's first protocol and its first seed.
pub(super) fn before_after(report: &Report) -> Option<BeforeAfter> {
    let (_, summary, comparisons) = report.first();
    let rows = &summary.results.answers;
    let base = by_run(rows).find(|rows| &*rows[0].model == BASE)?;
    let of_arm = |arm: &str| {
        let run = summary.results.runs.iter().find(|run| run.chosen && run.arm == arm)?;
        by_run(rows).find(|rows| {
            &*rows[0].model == arm
                && rows[0].learning_rate == Some(run.learning_rate)
                && rows[0].seed == Some(run.seed)
        })
    };
    let (whole, kept) = super::finding::whole_and_kept(comparisons)?;
    let kept: Vec<&[AnswerRow]> = kept.into_iter().take(1).filter_map(of_arm).collect();
    Some(BeforeAfter::choose(base, of_arm(whole)?, &kept)?.named(label))
}
