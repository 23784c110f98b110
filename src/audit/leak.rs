//! What of MBPP's test set is trained on.
//!
//! The paper tests on MBPP+, whose tasks are chosen from all of MBPP, and trains on MBPP's train split: a task may be in both. The file of
//! the test split is left out of light copies; another file with its task numbers, such as MBPP+ itself, can be given instead.

use super::fact::Facts;
use super::layout::{
    Copy, MBPP_LOG, MBPP_TEST, MBPP_TRAIN, MBPP_VALIDATION, task_number, task_of, text, turns,
    whole,
};
use crate::benchmark::mbpp::split;
use crate::dataset;
use crate::error::{Error, Result};
use crate::task::defined_names;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Every fact about the leak; `test` is a file with the test split's task numbers.
///
/// # Errors
/// A needed file is not there or has another schema, or `test` has no task numbers.
pub(super) fn audit(copy: &Copy, test: Option<&Path>, facts: &mut Facts) -> Result<()> {
    let train = copy.needed(&MBPP_TRAIN)?;
    let validation = copy.needed(&MBPP_VALIDATION)?;
    let log = copy.needed(&MBPP_LOG)?;
    let numbers = |rows: &[dataset::Row]| -> HashSet<u64> {
        rows.iter().map(|row| whole(row, "task_id")).collect()
    };
    let (in_train, in_validation) = (numbers(&train), numbers(&validation));
    for (file, rows, first, last) in
        [(&MBPP_TRAIN, &in_train, 601, 974), (&MBPP_VALIDATION, &in_validation, 511, 600)]
    {
        let range = |pick: Option<&u64>| pick.map_or(0, |task| *task as usize);
        let (low, high) = (range(rows.iter().min()), range(rows.iter().max()));
        facts
            .claim("task numbers", file.name(), "earlier count")
            .text(format!("{first} to {last}"), format!("{low} to {high}"));
    }
    let filled = |rows: &[dataset::Row]| {
        rows.iter().filter(|row| !text(row, "test").trim().is_empty()).count()
    };
    facts
        .claim("validation rows with a test program", MBPP_VALIDATION.name(), "earlier count")
        .note("so the accuracy by which epochs were chosen only asks whether the code runs")
        .count(0, filled(&validation));
    facts
        .claim("train rows with a test program", MBPP_TRAIN.name(), "earlier count")
        .note("task 927")
        .count(1, filled(&train));

    let tested = match (copy.rows(&MBPP_TEST)?, test) {
        (Some(rows), _) => Some((MBPP_TEST.name(), numbers(&rows))),
        (None, Some(path)) => Some((file_name(path), numbers_of(path)?)),
        (None, None) => None,
    };
    let questions = [
        ("test tasks", 378, None),
        ("test tasks that are training tasks", 108, Some(&in_train)),
        ("test tasks that are validation tasks", 39, Some(&in_validation)),
    ];
    for (what, expected, of) in questions {
        let stated = "earlier count";
        match &tested {
            Some((file, tasks)) => facts.claim(what, file, stated).count(
                expected,
                match of {
                    Some(of) => tasks.intersection(of).count(),
                    None => tasks.len(),
                },
            ),
            None => facts.claim(what, MBPP_TEST.name(), stated).cannot(
                expected.to_string(),
                "the file is not in this copy; a file with the test split's task numbers, such as MBPP+, can be given with --mbpp-test",
            ),
        }
    }

    // What the log shows of the test set.
    let logged: Vec<u64> = log.iter().filter_map(task_of).collect();
    let seen = |of: &HashSet<u64>| logged.iter().filter(|task| of.contains(task)).count();
    let official = |name: &str| logged.iter().filter(|task| split(**task) == name).count();
    facts
        .claim("logged test tasks that are trained or validated on", MBPP_LOG.name(), "–")
        .note(format!(
            "the log stops at task {}; of its {} tasks {} are MBPP's own test split's and {} its prompt examples",
            logged.iter().max().copied().unwrap_or(0),
            logged.len(),
            official("test"),
            official("prompt"),
        ))
        .count(0, seen(&in_train) + seen(&in_validation));
    let mut defined: HashMap<String, Vec<u64>> = HashMap::new();
    for row in train.iter().chain(&validation) {
        for name in defined_names(text(row, "code")) {
            let tasks = defined.entry(name.to_lowercase()).or_default();
            tasks.push(whole(row, "task_id"));
        }
    }
    let mut twins = Vec::new();
    for row in &log {
        let code = text(row, "generation");
        let prompt = text(row, "prompt");
        let shared = defined_names(code)
            .filter(|name| prompt.contains(&format!("{name}(")))
            .find_map(|name| Some((name, defined.get(&name.to_lowercase())?)));
        if let (Some((name, tasks)), Some(task)) = (shared, task_of(row)) {
            let tasks: Vec<String> = tasks.iter().map(u64::to_string).collect();
            twins.push(format!("{task} and {} ({name})", tasks.join(", ")));
        }
    }
    facts
        .claim(
            "logged test tasks whose function has the name of a trained or validated one",
            MBPP_LOG.name(),
            "–",
        )
        .note("other tasks of MBPP may ask for much the same; numbers do not show that")
        .finding("–", format!("{}: {}", twins.len(), twins.join("; ")), true);
    let problems: HashMap<String, u64> = train
        .iter()
        .chain(&validation)
        .map(|row| (problem(turns(row).0), whole(row, "task_id")))
        .collect();
    let same: Vec<String> = log
        .iter()
        .filter_map(|row| {
            let task = task_of(row)?;
            let trained = problems.get(&problem(text(row, "prompt")))?;
            Some(format!("{task} and {trained}"))
        })
        .collect();
    facts
        .claim(
            "logged test tasks whose problem is worded as a trained or validated one",
            MBPP_LOG.name(),
            "–",
        )
        .note("capitals aside; counted, nothing is stated about it")
        .finding("–", format!("{}: {}", same.len(), same.join("; ")), true);
    Ok(())
}

/// The problem of a prompt, without its tests.
fn problem(prompt: &str) -> String {
    let rest = prompt.split(">>> Problem:").nth(1).unwrap_or(prompt);
    let rest = rest.split(">>> Test Cases:").next().unwrap_or(rest);
    rest.trim().to_lowercase()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Task numbers of a published file: `601`, or `Mbpp/601` as MBPP+ writes them.
fn numbers_of(path: &Path) -> Result<HashSet<u64>> {
    let rows = dataset::rows(path)?;
    rows.iter()
        .map(|row| {
            task_number(row.fields.get("task_id").unwrap_or(&Value::Null)).ok_or_else(|| {
                let problem = "expected task_id to be a task number of MBPP, as in 601 or Mbpp/601";
                Error::row(path, row.number, problem)
            })
        })
        .collect()
}
