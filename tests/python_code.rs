//! MBPP, sanitized MBPP and HumanEval: their own solutions pass, and the paper's labels come out again.

use crate::support::{reference, shared};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;
use unforget::benchmark::{Ask, Benchmark, Prompts, mbpp};
use unforget::dataset::Row;
use unforget::sandbox::Python;
use unforget::store::file_hash;
use unforget::task::{Check, Extraction, Form, Grading, Item};

/// In these words, with the code found as the paper's code finds it.
fn asked(prompts: Prompts) -> Ask {
    Ask { prompts, grading: Grading::Paper, ..Ask::default() }
}

/// The rows of JSONL, of a JSON array, or of either packed by gzip, whatever `dataset::rows` reads by now.
fn rows(path: &Path) -> Vec<Row> {
    let bytes = std::fs::read(path).unwrap();
    let text = match path.extension().is_some_and(|end| end == "gz") {
        true => {
            let mut text = String::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
            text
        }
        false => String::from_utf8(bytes).unwrap(),
    };
    let values: Vec<Map<String, Value>> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(&text).unwrap(),
        false => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    };
    values.into_iter().enumerate().map(|(at, fields)| Row { number: at + 1, fields }).collect()
}

fn items(benchmark: Benchmark, path: &Path, prompts: Prompts) -> Vec<Item> {
    rows(path).iter().map(|row| benchmark.item(path, row, &asked(prompts)).unwrap()).collect()
}

/// A folder beside the project, where there is one and this machine can run Python.
fn data(folder: &str, what: &str) -> Option<PathBuf> {
    let found = shared(folder, what)?;
    match Python::find() {
        Ok(_) => Some(found),
        Err(error) => {
            println!("skipped: {what}: {error}");
            None
        }
    }
}

/// Every reference answer of `items` passes in its own form.
fn all_pass(items: &[Item], what: &str) {
    let start = Instant::now();
    let failed: Vec<String> = items
        .par_iter()
        .filter_map(|item| {
            let score = item.try_grade(&item.truth, false).unwrap();
            let whole = score.value == 1.0 && score.form == Form::Kept;
            (!whole).then(|| format!("{}: {}", item.id, score.why))
        })
        .collect();
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {} solutions in {seconds:.1} s", items.len());
    assert!(failed.is_empty(), "{what}: {failed:#?}");
}

/// The results of an independent runner agree: all pass, but for `slow`, which it had stopped.
fn oracle_agrees(path: &Path, count: usize, slow: &[&str]) {
    let mut seen = 0;
    for row in rows(path) {
        let id = row.fields["task_id"].to_string();
        let passed = row.fields["result"] == "passed";
        assert_eq!(passed, !slow.contains(&id.as_str()), "{id}");
        seen += 1;
    }
    assert_eq!(seen, count);
}

#[test]
fn all_mbpp_references_pass() {
    let Some(folder) = data("real", "MBPP") else {
        return;
    };
    let file = folder.join("datasets/mbpp/mbpp.jsonl");
    let items = items(Benchmark::Mbpp, &file, Prompts::Paper);
    assert_eq!(items.len(), 974);
    all_pass(&items, "MBPP");
    // 123 needs more than four seconds of computing, which the other runner did not give it.
    oracle_agrees(&folder.join("oracles/mbpp/reference_results.jsonl"), 974, &["123"]);
}

#[test]
fn all_mbpp_references_pass_in_the_harnesss_form() {
    let Some(folder) = data("real", "MBPP in lm-evaluation-harness's form") else {
        return;
    };
    let file = folder.join("datasets/mbpp/mbpp.jsonl");
    let mut items = items(Benchmark::Mbpp, &file, Prompts::Harness);
    // Every tenth, and the two with set-up code.
    items.retain(|item| {
        ["/367", "/927"].iter().any(|end| item.id.ends_with(end)) || item.id.ends_with('7')
    });
    all_pass(&items, "MBPP, harness");
}

#[test]
fn all_sanitized_mbpp_references_pass() {
    let Some(folder) = data("real", "sanitized MBPP") else {
        return;
    };
    let file = folder.join("datasets/mbpp/sanitized-mbpp.json");
    let items = items(Benchmark::Mbpp, &file, Prompts::Paper);
    assert_eq!(items.len(), 427);
    all_pass(&items, "sanitized MBPP");
    oracle_agrees(&folder.join("oracles/mbpp/sanitized_reference_results.jsonl"), 427, &["123"]);
}

#[test]
fn all_humaneval_solutions_pass() {
    let Some(folder) = data("real", "HumanEval") else {
        return;
    };
    let file = folder.join("datasets/humaneval/HumanEval.jsonl.gz");
    for prompts in [Prompts::Paper, Prompts::Harness] {
        let items = items(Benchmark::Humaneval, &file, prompts);
        assert_eq!(items.len(), 164);
        all_pass(&items, &format!("HumanEval, {prompts:?}"));
    }
    oracle_agrees(&folder.join("oracles/humaneval/canonical_results.jsonl"), 164, &[]);
}

#[test]
fn the_rows_that_were_made_up_for_the_cards_pass() {
    if let Err(error) = Python::find() {
        println!("skipped: {error}");
        return;
    }
    for (benchmark, name) in [(Benchmark::Mbpp, "mbpp"), (Benchmark::Humaneval, "humaneval")] {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("datasets/{name}/sample.jsonl"));
        for prompts in [Prompts::Paper, Prompts::Harness] {
            let items = items(benchmark, &file, prompts);
            assert_eq!(items.len(), 1);
            all_pass(&items, &format!("{name}, {prompts:?}"));
        }
    }
}

#[test]
fn a_block_with_the_function_alone_is_enough_for_humaneval() {
    if Python::find().is_err() {
        println!("skipped: no python3");
        return;
    }
    let row = Row {
        number: 1,
        fields: serde_json::from_value(json!({
            "task_id": "HumanEval/7",
            "prompt": "from typing import List\n\ndef twice(x: int) -> int:\n    return 2 * x\n\ndef total(xs: List[int]) -> int:\n    \"\"\" Sum of the doubles. \"\"\"\n",
            "entry_point": "total",
            "canonical_solution": "    return sum(twice(x) for x in xs)\n",
            "test": "def check(candidate):\n    assert candidate([1, 2]) == 6\n    assert candidate([]) == twice(0)\n"
        }))
        .unwrap(),
    };
    let item = Benchmark::Humaneval
        .item(Path::new("HumanEval.jsonl"), &row, &asked(Prompts::Paper))
        .unwrap();
    assert_eq!(item.id, "humaneval/test/7");
    let alone = "```python\ndef total(xs: List[int]) -> int:\n    return 2 * sum(xs)\n```";
    for (answer, value, skill) in [
        (item.truth.as_str(), 1.0, 1.0),
        (alone, 1.0, 1.0),
        ("```python\ndef total(xs): return 6\n```", 0.0, 0.0),
        ("```\nnothing\n```\nSorry:\n```python\ndef total(xs): return 2 * sum(xs)\n```", 0.0, 1.0),
    ] {
        let score = item.try_grade(answer, false).unwrap();
        assert_eq!((score.value, score.skill), (value, skill), "{answer}: {}", score.why);
    }
    let Check::Python { prefix, .. } = &item.check else {
        panic!("HumanEval is graded by running Python")
    };
    assert!(prefix.starts_with("from typing"));
}

#[test]
fn forms_are_told_apart() {
    if Python::find().is_err() {
        println!("skipped: no python3");
        return;
    }
    let item = Benchmark::Mbpp
        .item(Path::new("mbpp.jsonl"), &row_of_tree(), &asked(Prompts::Paper))
        .unwrap();
    let good = "class Node:\n    def __init__(self, v): self.v, self.left = v, None\ndef depth(n): return 1 + depth(n.left) if n else 0";
    for (answer, truncated, value, skill, form) in [
        (format!("```python\n{good}\n```"), false, 1.0, 1.0, Form::Kept),
        (good.to_string(), false, 1.0, 1.0, Form::Kept),
        (format!("Here it is:\n{good}\nDone!"), false, 0.0, 1.0, Form::NoParse),
        (format!("```python\n{good}"), true, 0.0, 1.0, Form::Truncated),
        ("I do not know.".into(), false, 0.0, 0.0, Form::NoParse),
        (" \n".into(), false, 0.0, 0.0, Form::Empty),
        ("```python\ndef depth(n): return 2\n```".into(), false, 0.0, 0.0, Form::Kept),
        ("```python\nimport os; os._exit(0)\n```".into(), false, 0.0, 0.0, Form::Kept),
    ] {
        let score = item.try_grade(&answer, truncated).unwrap();
        assert_eq!(
            (score.value, score.skill, score.form),
            (value, skill, form),
            "{answer}: {}",
            score.why
        );
    }
}

/// A made-up row in MBPP's form whose set-up code needs the solution's class, as tasks 367 and 927 do.
fn row_of_tree() -> Row {
    Row {
        number: 3,
        fields: serde_json::from_value(json!({
            "task_id": 601, "text": "Depth of a tree.",
            "code": "class Node:\r\n    def __init__(self, v):\r\n        self.v = v\r\n        self.left = None\r\ndef depth(n):\r\n    return 1 + depth(n.left) if n else 0",
            "test_setup_code": "root = Node(1)\r\nroot.left = Node(2)",
            "test_list": ["assert depth(root) == 2", "assert depth(root.left) == 1", "assert depth(None) == 0"],
            "challenge_test_list": []
        }))
        .unwrap(),
    }
}

#[test]
fn rows_that_do_not_fit_are_named() {
    let refused = |change: fn(&mut Map<String, Value>), prompts, part: &str| {
        let mut row = row_of_tree();
        change(&mut row.fields);
        let error =
            Benchmark::Mbpp.item(Path::new("mbpp.jsonl"), &row, &asked(prompts)).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("mbpp.jsonl:3: ") && message.contains(part), "{message}");
    };
    refused(|f| drop(f.remove("text")), Prompts::Paper, "expected text (or prompt)");
    refused(|f| drop(f.remove("task_id")), Prompts::Paper, "expected task_id");
    refused(
        |f| drop(f.insert("test_list".into(), json!([]))),
        Prompts::Paper,
        "expected test_list",
    );
    refused(
        |f| drop(f.insert("test_list".into(), json!("x"))),
        Prompts::Paper,
        "list of texts: task 601",
    );
    refused(
        |f| drop(f.insert("test_list".into(), json!(["assert 1"]))),
        Prompts::Harness,
        "shows three asserts, but task 601 has 1",
    );
    assert!(Benchmark::named("mbp").unwrap_err().to_string().contains("mbpp, mmlu"));
}

/* python3 tests/reference/make_code_prompts.py LM_EVAL mbpp.jsonl sanitized-mbpp.json HumanEval.jsonl.gz, where LM_EVAL is the
unpacked wheel of lm_eval 0.4.13: sha256 over all prompts, and the first prompt's length in characters */
#[test]
fn prompts_are_lm_evaluation_harnesss() {
    let expected: BTreeMap<String, Value> =
        serde_json::from_slice(&std::fs::read(reference("code_prompts.json")).unwrap()).unwrap();
    let Some(folder) = shared("real/datasets", "prompts of MBPP and HumanEval") else {
        return;
    };
    let (mbpp, humaneval) = ("mbpp/mbpp.jsonl", "humaneval/HumanEval.jsonl.gz");
    for (name, benchmark, file, chat) in [
        ("mbpp", Benchmark::Mbpp, mbpp, false),
        ("humaneval", Benchmark::Humaneval, humaneval, false),
        ("mbpp_instruct", Benchmark::Mbpp, mbpp, true),
        ("humaneval_instruct", Benchmark::Humaneval, humaneval, true),
    ] {
        let file = folder.join(file);
        let ask = Ask { chat, ..asked(Prompts::Harness) };
        let items: Vec<Item> =
            rows(&file).iter().map(|row| benchmark.item(&file, row, &ask).unwrap()).collect();
        assert_eq!(expected[name]["characters"], items[0].prompt.chars().count());
        let all: String = items.iter().map(|item| format!("{}\0", item.prompt)).collect();
        let temporary = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(temporary.path(), all).unwrap();
        assert_eq!(expected[name]["sha256"], file_hash(temporary.path()).unwrap(), "{name}");
    }
}

/// Whoever's words the question is in, for whichever kind of model: our rule finds the code, in a block, bare, or as what goes on where
/// the prompt ends; and no rule says that an answer has kept its form whose form cost it the score.
#[test]
fn robust_grading_finds_code_wherever_the_question_s_words_came_from() {
    if let Err(error) = Python::find() {
        println!("skipped: {error}");
        return;
    }
    let file = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("datasets/{name}/sample.jsonl"))
    };
    for (benchmark, name) in [(Benchmark::Mbpp, "mbpp"), (Benchmark::Humaneval, "humaneval")] {
        let row = &rows(&file(name))[0];
        let text = |key: &str| row.fields.get(key).and_then(Value::as_str).unwrap_or_default();
        let code = match benchmark {
            Benchmark::Mbpp => text("code").to_string(),
            _ => format!("{}{}", text("prompt"), text("canonical_solution")),
        };
        let code = code.trim_end();
        let mut answers = vec![
            format!("```python\n{code}\n```"),
            format!("Here it is: ```python\n{code}\n```\nIt works as follows. First, …"),
            format!("```python\r\n{}\r\n```\r\n", code.replace("\r\n", "\n").replace('\n', "\r\n")),
            format!("~~~~ py\n{code}  \n~~~~"),
            format!("1. So:\n   ```python\n   {}\n   ```", code.replace('\n', "\n   ")),
            format!("```python\n{code}"),
            format!("Sure!\n\n{code}\n\nThat is all."),
            format!(
                "{code}\n[DONE]\n\nYou are an expert Python programmer, and here is your task: Go on."
            ),
            format!(
                "```python\n{code}\n```\n\nUse:\n\n```python\nprint(input())\n```\nOutput:\n```\n7\n```"
            ),
            format!("{code}\n```\nThis function …"),
            format!(
                "Here is the completed function:\n```python\n{code}\n\nif __name__ == '__main__':\n    assert False\n```"
            ),
        ];
        if benchmark == Benchmark::Humaneval {
            let body = text("canonical_solution");
            answers.push(body.to_string());
            answers.push(format!("{body}\n\nprint('done')"));
            answers.push(format!("```python\n{body}\n```"));
        }
        for (prompts, chat) in [
            (Prompts::Paper, true),
            (Prompts::Harness, false),
            (Prompts::Harness, true),
            (Prompts::Official, false),
        ] {
            let ask = |grading| Ask { prompts, chat, grading, ..Ask::default() };
            let item = |grading| benchmark.item(&file(name), row, &ask(grading)).unwrap();
            let robust = item(Grading::Robust);
            let shows = robust
                .prompt
                .contains("You are an expert Python programmer, and here is your task:\n");
            let solve = robust.prompt.starts_with("Write a solution to the following problem");
            assert_eq!(shows || solve, chat && prompts == Prompts::Harness, "{}", robust.prompt);
            for answer in answers.iter().chain([&robust.truth]) {
                let score = robust.try_grade(answer, false).unwrap();
                let whole = (score.value, score.form) == (1.0, Form::Kept);
                assert!(whole, "{prompts:?} {chat} {answer:?}: {} {:?}", score.why, score.form);
            }
            for grading in [Grading::Paper, Grading::Harness] {
                let item = item(grading);
                for answer in &answers {
                    let score = item.try_grade(answer, false).unwrap();
                    let cost = score.value == 0.0 && score.skill == 1.0;
                    assert!(!cost || score.form == Form::NoParse, "{grading:?} {answer:?}");
                }
            }
            // the reference answer is right by the rule of whoever asks
            let grading = if prompts == Prompts::Paper { Grading::Paper } else { Grading::Harness };
            let score = item(grading).try_grade(&robust.truth, false).unwrap();
            assert_eq!(score.value, 1.0, "{prompts:?} {chat}: {}", score.why);
        }
    }
}

#[test]
fn code_that_sleeps_costs_its_time_once() {
    if let Err(error) = Python::find() {
        println!("skipped: {error}");
        return;
    }
    let ask = Ask { grading: Grading::Paper, ..Ask::default() };
    let item = Benchmark::Mbpp.item(Path::new("mbpp.jsonl"), &row_of_tree(), &ask).unwrap();
    let sleepy = "import time\nclass Node: pass\ndef depth(n): return 2\ntime.sleep(1000)";
    let good = "class Node:\n    def __init__(self, v): self.v, self.left = v, None\ndef depth(n): return 1 + depth(n.left) if n else 0";
    let answer = format!("```python\n{sleepy}\n```\nor\n```python\n{good}\n```");
    let score = item.try_grade(&answer, false).unwrap();
    assert!(score.why.contains("too long: the tests were not done after 10 s"), "{}", score.why);
    // the other block would pass, and is not run
    assert_eq!((score.value, score.skill, score.form), (0.0, 0.0, Form::Kept));
}

/// One sampled answer of the paper's Rephrase files.
struct Labelled {
    task: u64,
    answer: String,
    correct: bool,
}

/// The Rephrase files' answers with labels, each with its question and what the paper's ground truth is.
fn rephrased(folder: &Path) -> Vec<(Labelled, String, String)> {
    let mut all = Vec::new();
    for split in ["train", "validation"] {
        let file = folder.join(format!(
            "dataset/rephrase/mbpp_meta-llama-Meta-Llama-3-8B-Instruct_sample_{split}_t_0.7_1_wrejppl.jsonl"
        ));
        for row in rows(&file) {
            let accepted = row.fields["accept"].as_array().unwrap();
            let result = accepted
                .iter()
                .find_map(|one| one["result"].as_str())
                .expect("one of them was sampled");
            let result: Value = serde_json::from_str(result).unwrap();
            for one in accepted {
                let label = Labelled {
                    task: result["task_id"].as_u64().unwrap(),
                    answer: one["content"].as_str().unwrap().to_string(),
                    correct: one["correct"].as_bool().unwrap(),
                };
                let question = row.fields["instruction"].as_str().unwrap().to_string();
                let truth = row.fields["rejection"][0].as_str().unwrap().to_string();
                all.push((label, question, truth));
            }
        }
    }
    all
}

fn with(item: &Item, wanted: Extraction) -> Item {
    let mut item = item.clone();
    let Check::Python { extraction, .. } = &mut item.check else {
        panic!("MBPP is graded by running Python")
    };
    *extraction = wanted;
    item
}

#[test]
fn the_papers_rephrase_labels_come_out_again() {
    let (Some(real), Some(authors)) =
        (data("real", "Rephrase labels"), data("authors", "Rephrase labels"))
    else {
        return;
    };
    let file = real.join("datasets/mbpp/mbpp.jsonl");
    let mut by_task: BTreeMap<u64, Item> = BTreeMap::new();
    for item in items(Benchmark::Mbpp, &file, Prompts::Paper) {
        by_task.insert(item.id.rsplit('/').next().unwrap().parse().unwrap(), item);
    }
    let labelled = rephrased(&authors);
    assert_eq!(labelled.len(), 2 * (325 + 78));
    let (mut wrong, mut differ) = (Vec::new(), Vec::new());
    let graded: Vec<_> = labelled
        .par_iter()
        .map(|(label, question, truth)| {
            let item = &by_task[&label.task];
            assert_eq!(&item.prompt, question, "{}", item.id);
            assert_eq!(&item.truth, truth, "{}", item.id);
            let value = |extraction| {
                let score = with(item, extraction).try_grade(&label.answer, false).unwrap();
                (score.value == 1.0, score.why)
            };
            let labels = value(Extraction::Labels);
            let same_code =
                Extraction::Labels.code(&label.answer, &[]).map(|code| code.trim().to_string())
                    == Extraction::Better
                        .code(&label.answer, own(item))
                        .map(|code| code.trim().to_string());
            let better = if same_code { labels.clone() } else { value(Extraction::Better) };
            (item.id.clone(), label.correct, labels, better)
        })
        .collect();
    for (id, correct, labels, better) in graded {
        if labels.0 != correct {
            wrong.push(format!("{id}: {}", labels.1));
        }
        if better.0 != correct {
            differ.push(format!("{id}: {}", better.1));
        }
    }
    println!("Rephrase: {} labels; the better extraction differs at {differ:#?}", labelled.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn own(item: &Item) -> &[String] {
    match &item.check {
        Check::Python { own, .. } => own,
        _ => &[],
    }
}

/// The paper's log of an evaluation on MBPP+, whose tests are stricter than the asserts that its prompts show.
#[test]
fn the_papers_log_of_an_evaluation_is_graded_again() {
    let Some(authors) = data("authors", "the log of MBPP") else {
        return;
    };
    let file = authors.join(
        "logging/mbpp-test/bf16_trained_models-llama3_mbpp_config_lr2e-05_t2_20250126_112559.jsonl",
    );
    let mut graded: Vec<(String, bool, bool, bool)> = rows(&file)
        .par_iter()
        .map(|row| {
            let prompt = row.fields["prompt"].as_str().unwrap();
            let (question, asserts) = prompt.split_once("\n>>> Test Cases:\n").unwrap();
            let task = row.fields["final_output"]["task_id"].as_u64().unwrap();
            let asserts: Vec<&str> = asserts.trim_end().split("\nassert ").collect();
            let asserts: Vec<String> = asserts
                .iter()
                .map(|one| format!("assert {}", one.strip_prefix("assert ").unwrap_or(one)))
                .collect();
            // The log has no reference solution; the called name is taken from the first assert of the prompt by the reader below.
            let called = called(&asserts[0]);
            let mut fields = Map::new();
            fields.insert("task_id".into(), json!(task));
            fields.insert("text".into(), json!(question.rsplit(">>> Problem:\n").next().unwrap()));
            fields.insert("code".into(), json!(format!("def {called}(): pass")));
            fields.insert("test_list".into(), json!(asserts));
            fields.insert("test_imports".into(), json!(["import math"]));
            let row_of_log = Row { number: row.number, fields };
            let item = Benchmark::Mbpp.item(&file, &row_of_log, &asked(Prompts::Paper)).unwrap();
            assert_eq!(item.prompt, prompt);
            let answer = row.fields["generation"].as_str().unwrap();
            let paper = item.try_grade(answer, false).unwrap().value == 1.0;
            let better =
                with(&item, Extraction::Better).try_grade(answer, false).unwrap().value == 1.0;
            (item.id, row.fields["passed"].as_bool().unwrap(), paper, better)
        })
        .collect();
    assert_eq!(graded.len(), 92);
    // The answer to task 123 computes for about as long as it may, so its grade depends on the machine.
    graded.retain(|(id, ..)| id != "mbpp/test/123");
    let lost: Vec<&str> = graded
        .iter()
        .filter(|(_, passed, paper, _)| *passed && !paper)
        .map(|(id, ..)| id.as_str())
        .collect();
    // MBPP+ corrects the second assert of task 87, which the prompt still shows as it was.
    assert_eq!(lost, ["mbpp/test/87"]);
    let count =
        |which: fn(&(String, bool, bool, bool)) -> bool| graded.iter().filter(|g| which(g)).count();
    let differ: Vec<&String> = graded.iter().filter(|g| g.2 != g.3).map(|g| &g.0).collect();
    println!("log: the better extraction differs at {differ:?}");
    // 60 as the log says; 70 pass too when each is run as one program, code and then asserts, in one Python process.
    assert_eq!((count(|g| g.1), count(|g| g.2)), (60, 70));
}

/// The function that an assert calls: the first name before a bracket that is none of the tests' own.
fn called(test: &str) -> String {
    let known = ["set", "math.isclose", "sorted", ""];
    let before_bracket = |part: &str| -> String {
        let part = part.trim_end();
        let start = part.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
        part[start.map_or(0, |at| at + 1)..].to_string()
    };
    test.strip_prefix("assert ")
        .unwrap_or(test)
        .split('(')
        .map(before_bracket)
        .find(|name| !known.contains(&name.as_str()))
        .unwrap_or_else(|| panic!("no call in {test}"))
}

/// The facts between the two lines of `---` of a data card.
fn card(name: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("datasets/{name}/README.md"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let front =
        text.split("---\n").nth(1).expect("a card begins with its facts between two lines of ---");
    let mut facts = BTreeMap::new();
    let mut group = String::new();
    for line in front.lines() {
        let (key, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        match line.strip_prefix("  ") {
            Some(_) => drop(facts.insert(format!("{group}/{}", key.trim()), value.to_string())),
            None => {
                group = key.to_string();
                facts.insert(group.clone(), value.to_string());
            }
        }
    }
    facts
}

#[test]
fn the_cards_of_mbpp_and_humaneval_count_right() {
    for (name, files) in [
        ("mbpp", vec!["mbpp.jsonl", "sanitized-mbpp.json"]),
        ("humaneval", vec!["HumanEval.jsonl.gz"]),
    ] {
        let card = card(name);
        assert_eq!(card["task"], name);
        for fact in ["licence", "revision", "columns"] {
            assert!(card.contains_key(fact), "{name}: {fact}");
        }
        let Some(folder) = shared(&format!("real/datasets/{name}"), &format!("counts of {name}"))
        else {
            continue;
        };
        for file in files {
            let path = folder.join(file);
            assert_eq!(card[&format!("sha256/{file}")], file_hash(&path).unwrap(), "{file}");
            let mut splits: BTreeMap<&str, usize> = BTreeMap::new();
            let rows = rows(&path);
            for row in &rows {
                let split = row.fields["task_id"].as_u64().map_or("test", mbpp::split);
                *splits.entry(split).or_default() += 1;
            }
            let said: BTreeMap<&str, usize> = card
                .iter()
                .filter_map(|(key, value)| {
                    Some((key.strip_prefix(&format!("splits of {file}/"))?, value.parse().unwrap()))
                })
                .collect();
            assert_eq!(said, splits, "{file}");
            let columns: Vec<&str> = rows[0].fields.keys().map(String::as_str).collect();
            assert_eq!(card[&format!("columns/{file}")], columns.join(", "), "{file}");
        }
    }
}
