//! What the page with the slider draws: real tokens with their perplexities, and what was measured at each threshold.

use super::kept::Kept;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::experiment::{Arm, DataSizes, Experiment, Recipe, Source};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Examples that the page shows for each target.
const EXAMPLES: usize = 6;

/// The table that has the thresholds of both targets.
const EXHIBIT: &str = "table-15";

/// For each target of the lab: the first examples of its training data, token by token, and the runs with thresholds that [`EXHIBIT`] keeps in
/// `results`.
///
/// # Errors
/// Those of scoring; a table that is missing or lacks a column.
pub fn data(cx: &Context, results: &Path) -> Result<Value> {
    let tables = results.join(EXHIBIT).join("tables");
    let mut all = Vec::new();
    for target in ["code", "algebra"] {
        let mut recipe = Recipe::lab().with_target(target)?;
        recipe.arms = vec![Arm::all(Source::GroundTruth)];
        recipe.sizes = DataSizes { train: 32, ..recipe.sizes };
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
        let measured = measured(
            &tables.join(format!("outcome-{target}.csv")),
            &tables.join(format!("rates-{target}.csv")),
        )?;
        all.push(json!({"target": target, "source": EXHIBIT, "examples": examples, "measured": measured}));
    }
    Ok(Value::Array(all))
}

/// Ground truth (no threshold) and each STM at each rate: threshold, masked percent, rate, whether that rate was chosen, seeds, points on the target and
/// on the others with their standard errors.
fn measured(outcome: &Path, rates: &Path) -> Result<Vec<Value>> {
    let shares = Kept::read(outcome)?;
    let (arms, masked) = (shares.words("arm")?, shares.numbers("masked %")?);
    let masked: BTreeMap<String, Option<f64>> = arms.into_iter().zip(masked).collect();
    let runs = Kept::read(rates)?;
    let (arms, rate, chosen) = (runs.words("arm")?, runs.numbers("rate")?, runs.words("chosen")?);
    let names = ["seeds", "target points", "target points se", "others points", "others points se"];
    let columns = names.iter().map(|name| runs.numbers(name)).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for (at, arm) in arms.iter().enumerate() {
        let threshold = match (arm.as_str(), arm.strip_prefix("STM ")) {
            ("ground truth", _) => Value::Null,
            (_, Some(threshold)) => json!(threshold.parse::<f64>().ok()),
            _ => continue,
        };
        let share = masked.get(arm).copied().flatten();
        let mut row = vec![threshold, json!(share), json!(rate[at]), json!(chosen[at] == "yes")];
        row.extend(columns.iter().map(|column| json!(column[at])));
        rows.push(Value::Array(row));
    }
    if rows.is_empty() {
        let problem = "has no row of ground truth or STM".to_owned();
        return Err(Error::invalid(rates.display().to_string(), problem));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_stm_and_ground_truth_are_read_with_rates_and_errors() {
        let folder = tempfile::tempdir().unwrap();
        let [outcome, rates] = ["outcome.csv", "rates.csv"].map(|name| folder.path().join(name));
        let shares = "arm,masked %\nbase,\nground truth,0.0\nSTM 2.5,15.5\nrandom mask 2.5,15.5\n";
        std::fs::write(&outcome, shares).unwrap();
        let runs = "arm,rate,chosen,seeds,target points,target points se,others points,others points se\n\
                    ground truth,1e-4,yes,5.0,-1.5,0.5,-2.0,0.25\nSTM 2.5,3e-3,\"\",1.0,1.0,,0.5,\nrandom mask 2.5,1e-4,yes,1,0,0,0,0\n";
        std::fs::write(&rates, runs).unwrap();
        assert_eq!(
            measured(&outcome, &rates).unwrap(),
            [
                json!([null, 0.0, 1e-4, true, 5.0, -1.5, 0.5, -2.0, 0.25]),
                json!([2.5, 15.5, 3e-3, false, 1.0, 1.0, null, 0.5, null])
            ]
        );
        let error = measured(&outcome, &outcome).unwrap_err().to_string();
        assert!(error.contains("outcome.csv") && error.contains("rate"), "{error}");
        assert!(measured(&folder.path().join("gone.csv"), &rates).is_err());
    }
}
