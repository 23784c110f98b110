//! What the page with the slider draws: real tokens with their perplexities, and what was measured at each threshold.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::experiment::{Arm, DataSizes, Experiment, Recipe};
use polars::prelude::{CsvReadOptions, DataFrame, SerReader};
use serde_json::{Value, json};
use std::path::Path;

/// Examples that the page shows for each target.
const EXAMPLES: usize = 6;

/// For each target of the lab: the first examples of its training data, token by token, and the rows of the thresholds' table that is kept in `results`.
///
/// # Errors
/// Those of scoring; a table that is missing or lacks a column.
pub fn data(cx: &Context, results: &Path) -> Result<Value> {
    let targets = [
        ("code", "table-3", "outcome-code"),
        ("algebra", "table-13", "outcome-algebra"),
    ];
    let mut all = Vec::new();
    for (target, exhibit, table) in targets {
        let mut recipe = Recipe::lab().with_target(target)?;
        recipe.arms = vec![Arm::GroundTruth.into()];
        recipe.sizes = DataSizes {
            train: 32,
            ..recipe.sizes
        };
        let examples = Experiment::prepare(cx, &recipe)?.token_examples(EXAMPLES)?;
        let examples: Vec<Value> = examples
            .iter()
            .map(|example| {
                let tokens = example.tokens.iter().filter(|token| token.completion);
                let tokens: Vec<Value> = tokens
                    .map(|token| json!([token.text, token.perplexity, token.style]))
                    .collect();
                json!({"item": example.item, "tokens": tokens})
            })
            .collect();
        let path = results
            .join(exhibit)
            .join("tables")
            .join(format!("{table}.csv"));
        all.push(json!({"target": target, "source": exhibit, "examples": examples, "measured": measured(&path)?}));
    }
    Ok(Value::Array(all))
}

/// The rows of a table of thresholds: ground truth (no threshold) and each STM, with points and standard errors.
fn measured(path: &Path) -> Result<Vec<Value>> {
    let wrong = |problem: String| Error::invalid(path.display().to_string(), problem);
    let options = CsvReadOptions::default().with_has_header(true);
    let reader = options.try_into_reader_with_file_path(Some(path.to_path_buf()));
    let frame = reader.and_then(|reader| reader.finish());
    let frame = frame.map_err(|problem| wrong(problem.to_string()))?;
    let arms = frame.column("arm").and_then(|column| column.str().cloned());
    let arms = arms.map_err(|problem| wrong(problem.to_string()))?;
    let columns = [
        "masked %",
        "target points",
        "target points se",
        "others points",
        "others points se",
    ];
    let columns = columns.map(|name| numbers(&frame, name).map_err(&wrong));
    let mut rows = Vec::new();
    for (at, arm) in arms.iter().enumerate() {
        let threshold = match arm {
            Some("ground truth") => Value::Null,
            Some(arm) => match arm.strip_prefix("STM ").and_then(|t| t.parse::<f64>().ok()) {
                Some(threshold) => json!(threshold),
                None => continue,
            },
            None => continue,
        };
        let mut row = vec![threshold];
        for column in &columns {
            let column = column.as_ref().map_err(|error| wrong(error.to_string()))?;
            row.push(json!(column[at]));
        }
        rows.push(Value::Array(row));
    }
    if rows.is_empty() {
        return Err(wrong("has no row of an STM arm".to_owned()));
    }
    Ok(rows)
}

fn numbers(frame: &DataFrame, name: &str) -> std::result::Result<Vec<Option<f64>>, String> {
    let column = frame.column(name).map_err(|problem| problem.to_string())?;
    let values = column.cast(&polars::prelude::DataType::Float64);
    let values = values.and_then(|values| values.f64().cloned());
    Ok(values.map_err(|problem| problem.to_string())?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_stm_and_ground_truth_are_read_with_their_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outcome.csv");
        let text = "arm,masked %,target points,target points se,others points,others points se\n\
                    base,,,,,\nground truth,0.0,-1.5,0.5,-2.0,0.25\nSTM 2.5,15.5,1.0,,0.5,0.5\nrandom mask 2.5,15.5,0,0,0,0\n";
        std::fs::write(&path, text).unwrap();
        let rows = measured(&path).unwrap();
        assert_eq!(
            rows,
            [
                json!([null, 0.0, -1.5, 0.5, -2.0, 0.25]),
                json!([2.5, 15.5, 1.0, null, 0.5, 0.5])
            ]
        );
        std::fs::write(&path, "arm,masked %\nbase,1\n").unwrap();
        let error = measured(&path).unwrap_err().to_string();
        assert!(
            error.contains("outcome.csv") && error.contains("target points"),
            "{error}"
        );
        assert!(measured(&folder.path().join("gone.csv")).is_err());
    }
}
