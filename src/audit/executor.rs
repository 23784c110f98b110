//! The code of references and answers, run behind walls: do they pass their tests, and are the published labels right?

use super::fact::Facts;
use super::layout::{
    Copy, File, MBPP_LOG, MBPP_TRAIN, MBPP_VALIDATION, REPHRASE_POOL_TRAIN,
    REPHRASE_POOL_VALIDATION, REPHRASE_TRAIN, REPHRASE_VALIDATION, SELF_OUTPUT_TRAIN,
    SELF_OUTPUT_VALIDATION, task_of, text, turns,
};
use super::samples::{Accepted, accepted};
use crate::benchmark::{Ask, Benchmark};
use crate::dataset::Row;
use crate::error::Result;
use crate::interruption;
use crate::progress::Progress;
use crate::sandbox::Python;
use crate::task::{Check, Extraction, Grading, Item, defined_names};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One answer to run, and the label that it has.
struct Run {
    item: Item,
    answer: String,
    label: Option<bool>,
}

/// Runs that one fact is about.
struct Group {
    what: &'static str,
    file: &'static File,
    stated: &'static str,
    /// Stated: this many pass, of that many rows.
    expected: usize,
    of: usize,
    note: &'static str,
    runs: Vec<Run>,
    /// Whether the fact is how many labels are right, not how many answers pass.
    labels: bool,
}

/// Every fact that needs Python; says so where there is none.
///
/// # Errors
/// A needed file is not there or has another schema.
pub(super) fn audit(copy: &Copy, progress: &Progress, facts: &mut Facts) -> Result<()> {
    let groups = groups(copy)?;
    if let Err(error) = Python::find() {
        for group in &groups {
            group.claim(facts).cannot(
                format!("{} of {}", group.expected, group.of),
                format!("code cannot be run here: {error}"),
            );
        }
        stray(copy, facts)?;
        return Ok(());
    }
    let verdicts = run(&groups, progress)?;
    for (group, verdicts) in groups.iter().zip(&verdicts) {
        let right = |(run, verdict): &(&Run, &Option<bool>)| match group.labels {
            true => verdict.is_some() && **verdict == run.label,
            false => **verdict == Some(true),
        };
        let right = group.runs.iter().zip(verdicts).filter(right).count();
        let failed: Vec<&str> = group
            .runs
            .iter()
            .zip(verdicts)
            .filter(|(run, verdict)| match group.labels {
                true => verdict.is_none() || **verdict != run.label,
                false => **verdict != Some(true),
            })
            .map(|(run, _)| run.item.id.as_str())
            .collect();
        let named = match failed.len() {
            0 => String::new(),
            count if count > 8 => format!("{count} do not"),
            _ => format!("not: {}", failed.join(", ")),
        };
        group.claim(facts).note(named).text(
            format!("{} of {}", group.expected, group.of),
            format!("{right} of {}", group.runs.len()),
        );
    }
    log(copy, facts)?;
    stray(copy, facts)
}

impl Group {
    fn claim<'a>(&self, facts: &'a mut Facts) -> super::fact::Claim<'a> {
        facts.claim(self.what, self.file.name(), self.stated).note(self.note)
    }
}

fn groups(copy: &Copy) -> Result<Vec<Group>> {
    let train = items(copy, &MBPP_TRAIN)?;
    let validation = items(copy, &MBPP_VALIDATION)?;
    let references = |items: &Items| -> Vec<Run> {
        let run = |(item, row): (&Item, &Row)| Run {
            item: item.clone(),
            answer: turns(row).1.to_string(),
            label: None,
        };
        items.items.iter().zip(&items.rows).map(run).collect()
    };
    let stated = "earlier count";
    let mut bare = references(&train);
    for (run, row) in bare.iter_mut().zip(&train.rows) {
        let own = text(row, "test");
        if let Check::Python { before, .. } = &mut run.item.check {
            before.retain(|part| part != own);
        }
    }
    let mut groups = vec![
        Group {
            what: "references of MBPP's train split that pass, with the rows' own set-up",
            file: &MBPP_TRAIN,
            stated,
            expected: 374,
            of: 374,
            note: "",
            runs: references(&train),
            labels: false,
        },
        Group {
            what: "references of MBPP's train split that pass, without it",
            file: &MBPP_TRAIN,
            stated,
            expected: 373,
            of: 374,
            note: "task 927's tests need the code in its column `test`",
            runs: bare,
            labels: false,
        },
        Group {
            what: "references of MBPP's validation split that pass",
            file: &MBPP_VALIDATION,
            stated,
            expected: 90,
            of: 90,
            note: "",
            runs: references(&validation),
            labels: false,
        },
    ];
    for (what, file, of, expected) in [
        ("Self-Output answers that pass, train", &SELF_OUTPUT_TRAIN, &train, 312),
        ("Self-Output answers that pass, validation", &SELF_OUTPUT_VALIDATION, &validation, 71),
        ("Rephrase answers that pass, train", &REPHRASE_TRAIN, &train, 325),
        ("Rephrase answers that pass, validation", &REPHRASE_VALIDATION, &validation, 78),
    ] {
        let rows = copy.needed(file)?;
        let runs = rows.iter().filter_map(|row| {
            let (prompt, answer) = turns(row);
            of.run(prompt, answer, None)
        });
        groups.push(Group {
            what,
            file,
            stated,
            expected,
            of: expected,
            note: "",
            runs: runs.collect(),
            labels: false,
        });
    }
    for (what, file, of, expected) in [
        (
            "labels of accepted Rephrase answers that are right, train",
            &REPHRASE_POOL_TRAIN,
            &train,
            325,
        ),
        (
            "labels of accepted Rephrase answers that are right, validation",
            &REPHRASE_POOL_VALIDATION,
            &validation,
            78,
        ),
    ] {
        let rows = copy.needed(file)?;
        let mut runs = Vec::new();
        for row in &rows {
            let labelled = |a: &Accepted| a.source != "ground_truth" && a.correct.is_some();
            for answer in accepted(row).into_iter().filter(labelled) {
                let run = of.run(text(row, "instruction"), &answer.content, answer.correct);
                runs.extend(run.map(as_labelled));
            }
        }
        groups.push(Group {
            what,
            file,
            stated: "earlier count",
            expected,
            of: expected,
            note: "the code is found as the authors' labelling finds it; rejected samples, with which the notes count 374 and 90, are not in this file",
            runs,
            labels: true,
        });
    }
    let rows = copy.needed(&MBPP_LOG)?;
    groups.push(Group {
        what: "logged answers to MBPP+ that pass the asserts their prompts show",
        file: &MBPP_LOG,
        stated: "earlier count",
        expected: 71,
        of: 92,
        note: "MBPP+ has many more tests than the prompt shows, so fewer pass there",
        runs: rows.iter().map(logged).collect(),
        labels: false,
    });
    Ok(groups)
}

fn as_labelled(mut run: Run) -> Run {
    if let Check::Python { extraction, .. } = &mut run.item.check {
        *extraction = Extraction::Labels;
    }
    run
}

/// MBPP's rows as items that are graded as the paper grades.
struct Items {
    rows: Vec<Row>,
    items: Vec<Item>,
    by_prompt: HashMap<String, usize>,
}

impl Items {
    fn run(&self, prompt: &str, answer: &str, label: Option<bool>) -> Option<Run> {
        let at = *self.by_prompt.get(prompt)?;
        Some(Run { item: self.items[at].clone(), answer: answer.to_string(), label })
    }
}

fn items(copy: &Copy, file: &File) -> Result<Items> {
    let rows = copy.needed(file)?;
    let path = copy.find(file)?.unwrap_or_else(|| PathBuf::from(file.name()));
    let ask = Ask { grading: Grading::Paper, ..Ask::default() };
    let items = rows
        .iter()
        .map(|row| Benchmark::Mbpp.item(&path, row, &ask))
        .collect::<Result<Vec<_>>>()?;
    let prompts = rows.iter().enumerate();
    Ok(Items {
        by_prompt: prompts.map(|(at, row)| (turns(row).0.to_string(), at)).collect(),
        items,
        rows,
    })
}

/// A logged answer against the asserts of its prompt.
fn logged(row: &Row) -> Run {
    let answer = text(row, "generation").to_string();
    let prompt = text(row, "prompt");
    let shown = prompt.split(">>> Test Cases:").nth(1).unwrap_or_default();
    let tests: Vec<String> =
        shown.lines().filter(|line| line.starts_with("assert")).map(str::to_string).collect();
    let code = Extraction::Paper.code(&answer, &[]).unwrap_or_else(|| answer.clone());
    let used = tests.join("\n");
    let words: Vec<&str> = used.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let own =
        defined_names(&code).filter(|name| words.contains(name)).map(str::to_string).collect();
    let task = task_of(row);
    Run {
        label: row.fields["passed"].as_bool(),
        item: Item {
            id: match task {
                Some(task) => format!("mbpp/test/{task}"),
                None => format!("row {}", row.number),
            },
            prompt: prompt.to_string(),
            truth: String::new(),
            style: Vec::new(),
            check: Check::Python {
                // the asserts of some tasks use it, as MBPP+'s own files import it
                before: match used.contains("math.") {
                    true => vec!["import math".into()],
                    false => Vec::new(),
                },
                tests,
                prefix: String::new(),
                own,
                extraction: Extraction::Paper,
            },
        },
        answer,
    }
}

/// Whether each answer passes; `None` where its tests cannot be run. Equal answers to equal items are run once.
fn run(groups: &[Group], progress: &Progress) -> Result<Vec<Vec<Option<bool>>>> {
    let key = |run: &Run| {
        let check = serde_json::to_string(&run.item.check).unwrap_or_default();
        (check, run.answer.clone())
    };
    let mut places = HashMap::new();
    let mut different: Vec<&Run> = Vec::new();
    let of: Vec<Vec<usize>> = groups
        .iter()
        .map(|group| {
            let place = |run| {
                *places.entry(key(run)).or_insert_with(|| {
                    different.push(run);
                    different.len() - 1
                })
            };
            group.runs.iter().map(place).collect()
        })
        .collect();
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let verdicts = Mutex::new(vec![None; different.len()]);
    let bar = progress.bar("running code", different.len());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(different.len()) {
            scope.spawn(|| {
                while interruption::check().is_ok() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(run) = different.get(at) else { break };
                    let passed = run.item.try_grade(&run.answer, false);
                    let passed = passed.ok().map(|score| score.value == 1.0);
                    verdicts.lock().unwrap_or_else(|broken| broken.into_inner())[at] = passed;
                    bar.set(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    interruption::check()?;
    let verdicts = verdicts.into_inner().unwrap_or_else(|broken| broken.into_inner());
    Ok(of.into_iter().map(|places| places.into_iter().map(|at| verdicts[at]).collect()).collect())
}

/// The log itself: what it counts and where it ends.
fn log(copy: &Copy, facts: &mut Facts) -> Result<()> {
    let rows = copy.needed(&MBPP_LOG)?;
    let file = MBPP_LOG.name();
    let stated = "earlier count";
    let passed = rows.iter().filter(|row| row.fields["passed"] == true).count();
    let tasks: Vec<u64> = rows.iter().filter_map(task_of).collect();
    let in_order = rows.iter().enumerate().filter(|(at, row)| row.fields["id"] == *at).count();
    let late = rows
        .iter()
        .filter(|row| row.fields["final_output"]["result"].as_str() == Some("timed out"))
        .count();
    facts.claim("logged answers to MBPP+", &file, stated).count(92, rows.len());
    facts.claim("logged as passed", &file, stated).count(60, passed);
    facts.claim("logged as timed out", &file, "earlier count").count(2, late);
    facts.claim("ids that are the rows' places", &file, stated).count(rows.len(), in_order);
    facts
        .claim("highest task number in the log", &file, stated)
        .count(166, tasks.iter().max().map_or(0, |task| *task as usize));
    Ok(())
}

/// A line `python` after the fence, which labelling keeps and evaluation drops.
fn stray(copy: &Copy, facts: &mut Facts) -> Result<()> {
    let mut answers = Vec::new();
    for file in [&REPHRASE_POOL_TRAIN, &REPHRASE_POOL_VALIDATION] {
        for row in copy.needed(file)? {
            answers.extend(accepted(&row).into_iter().map(|answer| answer.content));
        }
    }
    for file in [&SELF_OUTPUT_TRAIN, &SELF_OUTPUT_VALIDATION] {
        answers.extend(copy.needed(file)?.iter().map(|row| turns(row).1.to_string()));
    }
    let stray = answers
        .iter()
        .filter(|answer| {
            Extraction::Labels.code(answer, &[]) != Extraction::Paper.code(answer, &[])
        })
        .count();
    facts
        .claim(
            "accepted answers with a stray line `python` after the fence",
            "dataset/{rephrase,self-output}",
            "earlier count",
        )
        .note("labelling runs that line, which fails, so none can be accepted; evaluation would drop it. The rejected samples that it cost are not in these files")
        .count(0, stray);
    Ok(())
}
