//! Sampled answers: how many were accepted, which were chosen, and what they look like beside the ground truth.

use super::fact::Facts;
use super::layout::{
    Copy, File, MBPP_TRAIN, MBPP_VALIDATION, REPHRASE_POOL_TRAIN, REPHRASE_POOL_VALIDATION,
    REPHRASE_TRAIN, REPHRASE_VALIDATION, SELF_OUTPUT_POOL_VALIDATION, SELF_OUTPUT_TRAIN,
    SELF_OUTPUT_VALIDATION, flag_of, number_of, text, turns,
};
use crate::dataset::Row;
use crate::error::Result;
use crate::stats::mean;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The writer of a pool's answers that are the reference.
const REFERENCE: &str = "ground_truth";

/// One accepted answer of a pool.
pub(super) struct Accepted {
    pub content: String,
    pub source: String,
    pub correct: Option<bool>,
    pub perplexity: Option<f64>,
}

/// The accepted answers of one row of a pool.
pub(super) fn accepted(row: &Row) -> Vec<Accepted> {
    let list = row.fields.get("accept").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|item| Accepted {
            content: item["content"].as_str().unwrap_or_default().to_string(),
            source: item["src"].as_str().unwrap_or_default().to_string(),
            correct: flag_of(&item["correct"]),
            perplexity: number_of(&item["ppl"]),
        })
        .collect()
}

/// The accepted answers that a model wrote.
fn written(row: &Row) -> Vec<Accepted> {
    let mut all = accepted(row);
    all.retain(|answer| answer.source != REFERENCE);
    all
}

/// Every fact about samples.
///
/// # Errors
/// A needed file is not there or has another schema.
pub(super) fn audit(copy: &Copy, facts: &mut Facts) -> Result<()> {
    let train = copy.needed(&MBPP_TRAIN)?;
    let validation = copy.needed(&MBPP_VALIDATION)?;
    let table_1 = "a forward pass of Llama 3 8B over these answers would be needed; no file has their perplexities given the prompt";
    for (what, expected) in [
        ("MBPP, Rephrase", "1.69 (0.16)"),
        ("MBPP, Self-Output", "1.16 (0.01)"),
        ("MATH, ground truth", "2.45 (0.81)"),
        ("MATH, Rephrase", "2.11 (9.28)"),
        ("MATH, Self-Output", "1.34 (0.03)"),
    ] {
        facts
            .claim(format!("Table 1, {what}, perplexity (variance)"), "–", "Table 1")
            .cannot(expected, table_1);
    }
    facts
        .claim("order of Table 1: Self-Output below Rephrase below ground truth", "–", "earlier count")
        .cannot("1.16 < 1.69 < 4.83", "only the ground truth's can be computed; the stored perplexities of Rephrase are of the text alone");
    let sets = [
        Set {
            what: "Self-Output, train",
            file: &SELF_OUTPUT_TRAIN,
            rows: copy.needed(&SELF_OUTPUT_TRAIN)?,
            of: &train,
            kept: 312,
            returns: 0,
            fenced: Some(212),
            prose: Some(271),
            table_17: Some((213, 57.0)),
        },
        Set {
            what: "Self-Output, validation",
            file: &SELF_OUTPUT_VALIDATION,
            rows: copy.needed(&SELF_OUTPUT_VALIDATION)?,
            of: &validation,
            kept: 71,
            returns: 0,
            fenced: None,
            prose: None,
            table_17: None,
        },
        Set {
            what: "Rephrase, train",
            file: &REPHRASE_TRAIN,
            rows: copy.needed(&REPHRASE_TRAIN)?,
            of: &train,
            kept: 325,
            returns: 80,
            fenced: Some(55),
            prose: Some(244),
            table_17: Some((327, 87.4)),
        },
        Set {
            what: "Rephrase, validation",
            file: &REPHRASE_VALIDATION,
            rows: copy.needed(&REPHRASE_VALIDATION)?,
            of: &validation,
            kept: 78,
            returns: 17,
            fenced: None,
            prose: None,
            table_17: None,
        },
    ];
    for set in &sets {
        set.audit(facts);
    }
    pool(
        "Rephrase, train",
        &REPHRASE_POOL_TRAIN,
        &copy.needed(&REPHRASE_POOL_TRAIN)?,
        &sets[2].rows,
        &train,
        Some([3.806, 2.910, 8.71, 11.90]),
        facts,
    );
    pool(
        "Rephrase, validation",
        &REPHRASE_POOL_VALIDATION,
        &copy.needed(&REPHRASE_POOL_VALIDATION)?,
        &sets[3].rows,
        &validation,
        Some([3.349, 2.615, 5.14, 13.72]),
        facts,
    );
    match copy.rows(&SELF_OUTPUT_POOL_VALIDATION)? {
        Some(rows) => pool(
            "Self-Output, validation",
            &SELF_OUTPUT_POOL_VALIDATION,
            &rows,
            &sets[1].rows,
            &validation,
            None,
            facts,
        ),
        None => facts
            .claim(
                "Self-Output, validation: chosen answers of the lowest perplexity of their row",
                SELF_OUTPUT_POOL_VALIDATION.name(),
                "earlier count",
            )
            .cannot("all", "the file is not in this copy"),
    }
    Ok(())
}

/// A training set of sampled answers.
struct Set<'a> {
    what: &'static str,
    file: &'static File,
    rows: Vec<Row>,
    /// The ground truth whose prompts it has.
    of: &'a [Row],
    kept: usize,
    returns: usize,
    fenced: Option<usize>,
    prose: Option<usize>,
    /// Rows and percentage of Table 17.
    table_17: Option<(usize, f64)>,
}

impl Set<'_> {
    fn audit(&self, facts: &mut Facts) {
        let file = self.file.name();
        let what = self.what;
        let prompts: HashSet<&str> = self.of.iter().map(|row| turns(row).0).collect();
        let own: Vec<&str> = self.rows.iter().map(|row| turns(row).0).collect();
        let different: HashSet<&str> = own.iter().copied().collect();
        let answers: Vec<&str> = self.rows.iter().map(|row| turns(row).1).collect();
        let count = |test: fn(&str) -> bool| answers.iter().filter(|a| test(a)).count();
        let share = 100.0 * self.rows.len() as f64 / self.of.len().max(1) as f64;
        facts
            .claim(format!("{what}: rows"), &file, "earlier count")
            .count(self.kept, self.rows.len());
        facts
            .claim(format!("{what}: prompts that are the ground truth's"), &file, "earlier count")
            .count(self.rows.len(), own.iter().filter(|p| prompts.contains(*p)).count());
        facts
            .claim(format!("{what}: different prompts"), &file, "earlier count")
            .count(self.rows.len(), different.len());
        if let Some((rows, percent)) = self.table_17 {
            let note = "the published set is not the one that the table counts";
            facts
                .claim(format!("Table 17, {what}: rows kept"), &file, "Table 17")
                .note(note)
                .count(rows, self.rows.len());
            let decimals = if percent.fract() == 0.0 { 0 } else { 1 };
            facts
                .claim(format!("Table 17, {what}: % of rows kept"), &file, "Table 17")
                .note(format!("of {} rows of the ground truth", self.of.len()))
                .number(percent, decimals, share);
        }
        facts
            .claim(format!("{what}: answers with carriage returns"), &file, "earlier count")
            .count(self.returns, count(|answer| answer.contains('\r')));
        if let Some(fenced) = self.fenced {
            facts
                .claim(format!("{what}: answers that begin with the fence"), &file, "earlier count")
                .count(fenced, count(|answer| answer.starts_with("```")));
        }
        if let Some(prose) = self.prose {
            facts
                .claim(format!("{what}: answers that go on after the code"), &file, "earlier count")
                .note("text behind the last fence")
                .count(
                    prose,
                    count(|answer| {
                        let after = answer.rsplit("```").next().unwrap_or_default();
                        answer.contains("```") && !after.trim().is_empty()
                    }),
                );
        }
    }
}

/// Accept rates, perplexities and choice of a pool. `perplexities` are mean, median and variance of the model's answers and the
/// mean of the references.
fn pool(
    what: &str,
    file: &'static File,
    rows: &[Row],
    chosen: &[Row],
    truth: &[Row],
    perplexities: Option<[f64; 4]>,
    facts: &mut Facts,
) {
    let name = file.name();
    let model: Vec<f64> =
        rows.iter().flat_map(written).filter_map(|answer| answer.perplexity).collect();
    let reference: Vec<f64> = rows
        .iter()
        .flat_map(accepted)
        .filter(|answer| answer.source == REFERENCE)
        .filter_map(|answer| answer.perplexity)
        .collect();
    let with = rows.iter().filter(|row| !written(row).is_empty()).count();
    if let Some([average, median, variance, of_reference]) = perplexities {
        let stated = "earlier count";
        let mut sorted = model.clone();
        sorted.sort_by(f64::total_cmp);
        let spread = mean(&model).and_then(|middle| {
            mean(&model.iter().map(|v| (v - middle).powi(2)).collect::<Vec<_>>())
        });
        for (what_of, expected, decimals, found) in [
            ("mean perplexity of accepted answers", average, 3, mean(&model)),
            ("their median", median, 3, super::masks::quantile(&sorted, 0.5)),
            ("their variance", variance, 2, spread),
            ("mean perplexity of those rows' references", of_reference, 2, mean(&reference)),
        ] {
            facts
                .claim(format!("{what}: {what_of}"), &name, stated)
                .note("of the text alone, without prompt and template")
                .maybe(expected, decimals, found, "no answer has a perplexity");
        }
    }
    let expected = if what.contains("train") { 86.9 } else { 100.0 * 78.0 / 90.0 };
    if what.starts_with("Rephrase") {
        facts
            .claim(format!("{what}: % of rows with an accepted answer"), &name, "earlier count")
            .note(format!("{with} of {} rows", truth.len()))
            .number(expected, 1, 100.0 * with as f64 / truth.len().max(1) as f64);
    }
    // the choice
    let pools: HashMap<&str, Vec<Accepted>> =
        rows.iter().map(|row| (text(row, "instruction"), written(row))).collect();
    let lowest = chosen
        .iter()
        .filter(|row| {
            let (prompt, answer) = turns(row);
            let own = pools.get(prompt).map_or(&[][..], Vec::as_slice);
            let best = own.iter().filter_map(|accepted| accepted.perplexity).reduce(f64::min);
            own.iter().any(|accepted| {
                accepted.content == answer
                    && accepted.perplexity.is_some()
                    && accepted.perplexity == best
            })
        })
        .count();
    let most = rows.iter().map(|row| written(row).len()).max().unwrap_or(0);
    facts
        .claim(
            format!("{what}: chosen answers of the lowest perplexity of their row"),
            &name,
            "earlier count",
        )
        .note(format!("rows have up to {most} accepted answers of the model"))
        .count(chosen.len(), lowest);
    let rejected: Vec<&Value> = rows
        .iter()
        .flat_map(|row| row.fields["rejection"].as_array().into_iter().flatten())
        .collect();
    let scored =
        rejected.iter().filter(|item| item.get("ppl").is_some_and(|ppl| !ppl.is_null())).count();
    facts
        .claim(format!("{what}: rejected answers with a perplexity"), &name, "earlier count")
        .count(0, scored);
    let references: HashMap<&str, &str> = truth.iter().map(turns).collect();
    let same = rows
        .iter()
        .filter(|row| {
            let rejected = row.fields["rejection"].as_array();
            let reference = references.get(text(row, "instruction"));
            rejected.is_some_and(|list| {
                !list.is_empty() && list.iter().all(|item| item.as_str() == reference.copied())
            })
        })
        .count();
    facts
        .claim(
            format!("{what}: rows whose `rejection` is a rejected sample"),
            &name,
            "earlier count",
        )
        .note(format!(
            "in {same} of {} rows it is the reference answer itself, which `accept` has as well; rejected samples are not in the file",
            rows.len()
        ))
        .count(rows.len(), rows.len() - same);
}
