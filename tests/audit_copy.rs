//! The audit of a made-up copy of the authors' folder: Arrow streams and JSON lines of a few rows each, in the published layout. No row is theirs.

use polars::prelude::{
    Column, CompatLevel, DataFrame, IntoSeries, IpcStreamWriter, NamedFrom, SerWriter, Series,
    StructChunked,
};
use serde_json::{Value, json};
use std::path::Path;
use unforget::audit::{self, Audit, Fact, Options, Part, Verdict};
use unforget::progress::Progress;
use unforget::sandbox::Python;

const INSTRUCTION: &str = "Please refer the given test cases and generate a python function for my problem. Make sure the written code is wrapped in code block : ```python\n<your code>\n```";

fn texts<T: AsRef<str>>(name: &str, values: impl IntoIterator<Item = T>) -> Series {
    let values: Vec<String> = values
        .into_iter()
        .map(|value| value.as_ref().to_string())
        .collect();
    Series::new(name.into(), values)
}

fn wholes(name: &str, values: &[i64]) -> Series {
    Series::new(name.into(), values)
}

fn lists(name: &str, rows: Vec<Series>) -> Series {
    Series::new(name.into(), rows)
}

fn objects(name: &str, length: usize, fields: &[Series]) -> Series {
    StructChunked::from_series(name.into(), length, fields.iter())
        .unwrap()
        .into_series()
}

/// A column of conversations: what the user says and what the assistant says.
fn turns(name: &str, keys: [&str; 2], roles: [&str; 2], rows: &[(String, String)]) -> Series {
    let turn = |(user, assistant): &(String, String)| {
        objects(
            "",
            2,
            &[texts(keys[0], roles), texts(keys[1], [user, assistant])],
        )
    };
    lists(name, rows.iter().map(turn).collect())
}

/// Writes an Arrow stream, as Python's `datasets` saves one.
fn arrow(folder: &Path, path: &str, columns: Vec<Series>) {
    let file = folder.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let columns: Vec<Column> = columns.into_iter().map(Column::from).collect();
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    IpcStreamWriter::new(std::fs::File::create(file).unwrap())
        .with_compat_level(CompatLevel::oldest())
        .finish(&mut frame)
        .unwrap();
}

fn lines(folder: &Path, path: &str, rows: &[Value]) {
    let file = folder.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let rows: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(file, rows.concat()).unwrap();
}

/// A task of MBPP's form with its reference.
struct Task {
    number: i64,
    question: &'static str,
    code: &'static str,
    tests: &'static [&'static str],
}

/// The second has carriage returns; the third's reference is wrong.
const TRAIN: [Task; 3] = [
    Task {
        number: 701,
        question: "Write a function to double a number.",
        code: "def twice(n):\n    return 2 * n",
        tests: &[
            "assert twice(2) == 4",
            "assert twice(-1) == -2",
            "assert twice(0) == 0",
        ],
    },
    Task {
        number: 702,
        question: "Write a function to find the longer of two words.",
        code: "def longer(a, b):\r\n\treturn a if len(a) > len(b) else b",
        tests: &[
            "assert longer('ab', 'c') == 'ab'",
            "assert longer('a', 'bc') == 'bc'",
        ],
    },
    Task {
        number: 703,
        question: "Write a function to add one.",
        code: "def plus_one(n):\n    return n + 2",
        tests: &["assert plus_one(1) == 2"],
    },
];
const VALIDATION: [Task; 1] = [Task {
    number: 560,
    question: "Write a function to negate a number.",
    code: "def negated(n):\n    return -n",
    tests: &["assert negated(3) == -3"],
}];

impl Task {
    fn prompt(&self) -> String {
        format!(
            "{INSTRUCTION}\n>>> Problem:\n{}\n>>> Test Cases:\n{}\n",
            self.question,
            self.tests.join("\n")
        )
    }

    fn fenced(&self) -> String {
        format!("```python\n{}\n```", self.code)
    }
}

fn mbpp(folder: &Path, split: &str, tasks: &[Task]) {
    let rows: Vec<(String, String)> = tasks
        .iter()
        .map(|task| (task.prompt(), task.fenced()))
        .collect();
    let columns = vec![
        wholes(
            "task_id",
            &tasks.iter().map(|task| task.number).collect::<Vec<_>>(),
        ),
        texts("text", tasks.iter().map(|task| task.question)),
        texts("code", tasks.iter().map(|task| task.code)),
        lists(
            "test_list",
            tasks.iter().map(|task| texts("", task.tests)).collect(),
        ),
        turns("conversations", ["from", "value"], ["human", "gpt"], &rows),
        texts("test", tasks.iter().map(|_| "")),
    ];
    arrow(
        folder,
        &format!("dataset/ground_truth/mbpp/{split}/data-00000-of-00001.arrow"),
        columns,
    );
}

/// Two scored conversations: token texts, their ids, and the perplexities of their answers' tokens.
fn scored(folder: &Path) {
    let start = [
        ("<|begin_of_text|>", 128_000),
        ("<|start_header_id|>", 128_006),
        ("assistant", 78_191),
        ("<|end_header_id|>", 128_007),
        ("\n\n", 271),
    ];
    type Answer = [(&'static str, i64, f64)];
    let first: &Answer = &[
        ("def", 755, 1.0),
        (" f", 282, 4.0),
        (" \r\n", 1_000, 2000.0),
        ("<|eot_id|>", 128_009, 1.0),
    ];
    let second: &Answer = &[
        ("return", 693, 2.0),
        (" x", 865, 8.0),
        ("<|eot_id|>", 128_009, 1.0),
    ];
    let (mut text, mut ids, mut perplexity) = (Vec::new(), Vec::new(), Vec::new());
    for answer in [first, second] {
        let pieces = start
            .iter()
            .map(|(text, _)| *text)
            .chain(answer.iter().map(|(text, ..)| *text));
        text.push(pieces.collect::<String>());
        let of_row = start
            .iter()
            .map(|(_, id)| *id)
            .chain(answer.iter().map(|(_, id, _)| *id));
        // the cached ids begin twice
        ids.push(std::iter::once(128_000).chain(of_row).collect::<Vec<i64>>());
        let of_prompt = [10.0, 3.0, 1.0, 1.0, 1.0];
        perplexity.push(
            of_prompt
                .into_iter()
                .chain(answer.iter().map(|(.., ppl)| *ppl))
                .collect::<Vec<f64>>(),
        );
    }
    let place = "dataset/stm/meta-llama-Meta-Llama-3-8B-Instruct_mbpp";
    let numbers = |rows: &[Vec<f64>]| {
        lists(
            "ppl",
            rows.iter().map(|row| Series::new("".into(), row)).collect(),
        )
    };
    let rows: Vec<(String, String)> = TRAIN[..2]
        .iter()
        .map(|task| (task.prompt(), task.fenced()))
        .collect();
    let stm = vec![
        wholes("task_id", &[701, 702]),
        texts("text", &text),
        texts("code", TRAIN[..2].iter().map(|task| task.code)),
        turns("conversations", ["from", "value"], ["human", "gpt"], &rows),
        numbers(&perplexity),
    ];
    arrow(folder, &format!("{place}/data-00000-of-00001.arrow"), stm);
    let whole = |rows: &[Vec<i64>], name: &str| {
        lists(name, rows.iter().map(|row| wholes("", row)).collect())
    };
    let mask: Vec<Vec<i64>> = ids.iter().map(|row| vec![1; row.len()]).collect();
    let cache = vec![
        wholes("task_id", &[701, 702]),
        texts("text", &text),
        numbers(&perplexity),
        whole(&ids, "input_ids"),
        whole(&mask, "attention_mask"),
    ];
    arrow(
        folder,
        &format!("{place}/cache-322c25a34199de5b.arrow"),
        cache,
    );
}

fn math(folder: &Path) {
    for (split, rows) in [
        (
            "validation",
            vec![(
                "What is $1+1$?",
                "Level 1",
                "Algebra",
                "It is $\\boxed{2}$.",
            )],
        ),
        (
            "test",
            vec![
                (
                    "What is half of one?",
                    "Level 2",
                    "Prealgebra",
                    "It is $\\boxed{\\frac{1}{2}}$.",
                ),
                ("What is three?", "Level 5", "Geometry", "Three."),
            ],
        ),
    ] {
        let said: Vec<(String, String)> = rows
            .iter()
            .map(|row| (row.0.to_string(), row.3.to_string()))
            .collect();
        let columns = vec![
            texts("problem", rows.iter().map(|row| row.0)),
            texts("level", rows.iter().map(|row| row.1)),
            texts("type", rows.iter().map(|row| row.2)),
            texts("solution", rows.iter().map(|row| row.3)),
            turns("conversations", ["from", "value"], ["human", "gpt"], &said),
        ];
        arrow(
            folder,
            &format!("dataset/ground_truth/math/{split}/data-00000-of-00001.arrow"),
            columns,
        );
    }
    lines(
        folder,
        "logging/math-test/log.jsonl",
        &[
            json!({"id": 0, "prompt": "What is half of one?", "generation": "It is $\\boxed{0.5}$.", "gold": "\\frac{1}{2}", "passed": true}),
            json!({"id": 1, "prompt": "What is three?", "generation": "It is $\\boxed{4}$.", "gold": "3", "passed": true}),
        ],
    );
}

fn gsm8k(folder: &Path) {
    let rows = [
        ("Two and three apples?", "2 + 3 = 5\n#### 5"),
        ("Ten less four?", "Six."),
    ];
    let said: Vec<(String, String)> = rows
        .iter()
        .map(|row| (row.0.into(), row.1.into()))
        .collect();
    let columns = vec![
        turns("conversations", ["from", "value"], ["human", "gpt"], &said),
        texts("question", rows.iter().map(|row| row.0)),
        texts("answer", rows.iter().map(|row| row.1)),
    ];
    arrow(
        folder,
        "dataset/ground_truth/gsm8k/data-00000-of-00001.arrow",
        columns,
    );
    lines(
        folder,
        "logging/gsm8k-test/log.jsonl",
        &[
            json!({"id": 0, "prompt": "Q: Two and three apples?", "generation": "2 + 3 = 5\n#### 5", "passed": true}),
        ],
    );
}

fn arc(folder: &Path) {
    for (split, keys) in [
        ("train", vec!["A"]),
        ("validation", vec!["B"]),
        ("test", vec!["A", "3", "E"]),
    ] {
        let labels: Vec<Series> = keys
            .iter()
            .map(|key| match *key {
                "3" => texts("", ["1", "2", "3", "4"]),
                "E" => texts("", ["A", "B", "C", "D", "E"]),
                _ => texts("", ["A", "B", "C", "D"]),
            })
            .collect();
        let options = labels
            .iter()
            .map(|labels| texts("", (0..labels.len()).map(|at| format!("option {at}"))))
            .collect();
        let columns = vec![
            texts("id", (0..keys.len()).map(|at| format!("{split}-{at}"))),
            texts("question", keys.iter().map(|_| "Which one?")),
            objects(
                "choices",
                keys.len(),
                &[lists("text", options), lists("label", labels)],
            ),
            texts("answerKey", &keys),
        ];
        arrow(
            folder,
            &format!("dataset/ground_truth/arc_challenge/{split}/data-00000-of-00001.arrow"),
            columns,
        );
    }
}

/// Training sets and pools of sampled answers; the second Self-Output answer fails its tests.
fn samples(folder: &Path) {
    let good = "```python\ndef twice(n):\n    return n + n\n```\nThis adds the number to itself.";
    let bad = "```python\ndef longer(a, b):\n    return a\n```";
    let rephrased = "Here it is:\n```python\ndef twice(n):\r\n    return 2*n\n```";
    let other = "```python\ndef twice(n):\n    return n * 2\n```";
    let negated = "```python\ndef negated(n):\n    return 0 - n\n```";
    let set = |kind: &str, split: &str, rows: &[(String, String)]| {
        let path = format!(
            "dataset/{kind}/mbpp/meta-llama-meta-llama-3-8b-instruct-lowest-ppl/{split}/data-00000-of-00001.arrow"
        );
        arrow(
            folder,
            &path,
            vec![turns(
                "conversations",
                ["role", "content"],
                ["user", "assistant"],
                rows,
            )],
        );
    };
    set(
        "self-output",
        "train",
        &[
            (TRAIN[0].prompt(), good.into()),
            (TRAIN[1].prompt(), bad.into()),
        ],
    );
    set(
        "self-output",
        "validation",
        &[(VALIDATION[0].prompt(), negated.into())],
    );
    set(
        "rephrase",
        "train",
        &[(TRAIN[0].prompt(), rephrased.into())],
    );
    set(
        "rephrase",
        "validation",
        &[(VALIDATION[0].prompt(), negated.into())],
    );
    let pool = |task: &Task, answers: &[(&str, f64, bool)]| {
        let reference =
            json!({"content": task.fenced(), "src": "ground_truth", "correct": true, "ppl": 12.0});
        let written = answers
            .iter()
            .map(|(content, ppl, correct)| json!({"content": content, "src": "model", "correct": correct, "ppl": ppl}));
        json!({
            "instruction": task.prompt(),
            "accept": written.chain([reference]).collect::<Vec<Value>>(),
            "rejection": [task.fenced()],
            "row_id": task.number,
        })
    };
    // the chosen rewrite is not the one of lowest perplexity; one label is wrong
    lines(
        folder,
        "dataset/rephrase/mbpp_sample_train_t_0.7_1_wrejppl.jsonl",
        &[pool(
            &TRAIN[0],
            &[(rephrased, 4.0, true), (other, 2.0, false)],
        )],
    );
    lines(
        folder,
        "dataset/rephrase/mbpp_sample_validation_t_0.7_1_wrejppl.jsonl",
        &[pool(&VALIDATION[0], &[(negated, 3.0, true)])],
    );
    lines(
        folder,
        "dataset/self-output/mbpp_sample_validation_t_0.7_32_wrejppl.jsonl",
        &[pool(&VALIDATION[0], &[(negated, 1.5, true)])],
    );
}

fn log(folder: &Path) {
    let prompt = |question: &str, test: &str| {
        format!("{INSTRUCTION}\n>>> Problem:\n{question}\n>>> Test Cases:\n{test}\n")
    };
    let entry = |id: usize, task: usize, prompt: String, code: &str, passed: bool, result: &str| {
        json!({
            "id": id,
            "prompt": prompt,
            "generation": format!("```python\n{code}\n```"),
            "passed": passed,
            "final_output": {"task_id": task, "result": result},
        })
    };
    lines(
        folder,
        "logging/mbpp-test/log.jsonl",
        &[
            entry(
                0,
                20,
                prompt("Write a function to halve.", "assert halved(4) == 2"),
                "def halved(n):\n    return n // 2",
                true,
                "passed",
            ),
            // another task with the name and the words of a trained one
            entry(
                1,
                21,
                prompt(
                    "write a function to double a number.",
                    "assert twice(2) == 4",
                ),
                "def twice(n):\n    return 5",
                false,
                "timed out",
            ),
        ],
    );
}

fn csvs(folder: &Path) {
    let raw = folder.join("raw_digits");
    std::fs::create_dir_all(&raw).unwrap();
    for name in [
        "ground truth finetune.csv",
        "rho-sft.csv",
        "self-output.csv",
    ] {
        std::fs::write(raw.join(name), "a,b\n1,2\n3,4\n").unwrap();
    }
}

/// The whole folder, but for MBPP's test split and MATH's training split, as light copies are.
fn made_up(folder: &Path) {
    mbpp(folder, "train", &TRAIN);
    mbpp(folder, "validation", &VALIDATION);
    scored(folder);
    math(folder);
    gsm8k(folder);
    arc(folder);
    samples(folder);
    log(folder);
    csvs(folder);
}

fn run(folder: &Path, only: &[Part]) -> unforget::error::Result<Audit> {
    let options = Options {
        only: only.to_vec(),
        ..Options::default()
    };
    audit::run(folder, &options, &Progress::quiet())
}

fn fact<'a>(audit: &'a Audit, what: &str, file: &str) -> &'a Fact {
    let fits = |fact: &&Fact| fact.what.contains(what) && fact.file.contains(file);
    let found = audit.facts.iter().find(fits);
    found.unwrap_or_else(|| panic!("no fact about {what} of {file}"))
}

/// What comes out, in words.
fn found(audit: &Audit, what: &str, file: &str) -> String {
    let fact = fact(audit, what, file);
    fact.recomputed
        .clone()
        .unwrap_or_else(|| panic!("nothing comes out: {fact:?}"))
}

fn number(audit: &Audit, what: &str, file: &str) -> f64 {
    let fact = fact(audit, what, file);
    fact.recomputed_value
        .unwrap_or_else(|| panic!("no number comes out: {fact:?}"))
}

#[test]
fn every_file_is_read_and_said_not_to_be_the_published_one() {
    let folder = tempfile::tempdir().unwrap();
    made_up(folder.path());
    let audit = run(folder.path(), &[Part::Files]).unwrap();
    assert_eq!(found(&audit, "rows", "mbpp/train"), "3");
    assert_eq!(found(&audit, "rows", "cache-"), "2");
    assert_eq!(found(&audit, "rows", "sample_train_t_0.7_1_wrejppl"), "1");
    let hash = fact(&audit, "SHA-256", "gsm8k/data");
    assert_eq!(hash.verdict, Verdict::DoesNotFollow);
    assert!(
        hash.note.contains("other bytes than the published file"),
        "{hash:?}"
    );
    assert_eq!(
        fact(&audit, "rows", "math/train").verdict,
        Verdict::CannotBeComputed
    );
    // another schema
    arrow(
        folder.path(),
        "dataset/ground_truth/gsm8k/data-00000-of-00001.arrow",
        vec![texts("question", ["?"])],
    );
    let error = run(folder.path(), &[Part::Files]).unwrap_err().to_string();
    assert!(
        error.contains("gsm8k") && error.contains("conversations"),
        "{error}"
    );
}

#[test]
fn masks_and_classes_are_those_of_the_made_up_tokens() {
    let folder = tempfile::tempdir().unwrap();
    made_up(folder.path());
    let audit = run(folder.path(), &[Part::Masks, Part::Classes]).unwrap();
    let is = |what: &str, value: f64| {
        let found = number(&audit, what, "");
        assert!((found - value).abs() < 1e-6, "{what}: {found}");
    };
    is("tokens of answers", 7.0);
    is("rows with one id more than perplexities", 2.0);
    // above 2.5: 4, 2000 and 8 of seven
    is("% of answer tokens above 2.5", 300.0 / 7.0);
    // exp of the mean of ln: 8000^(1/4) and 16^(1/3)
    is(
        "mean sequence perplexity",
        (8000f64.powf(0.25) + 16f64.powf(1.0 / 3.0)) / 2.0,
    );
    assert_eq!(
        found(&audit, "rows whose ids can spell their text", ""),
        "2"
    );
    // " \r\n" is one of the three masked tokens, the other two are words
    is("% of masked tokens with a carriage return", 100.0 / 3.0);
    is("% of masked tokens that are words", 200.0 / 3.0);
    is("reference solutions with carriage returns", 1.0);
    assert_eq!(
        found(&audit, "reference solutions with tabs", "mbpp/train"),
        "1"
    );
    assert_eq!(
        fact(
            &audit,
            "answers that are the solution in a fence",
            "mbpp/train"
        )
        .verdict,
        Verdict::Follows
    );
    let point = audit
        .curve
        .iter()
        .find(|point| point.threshold == 2.5)
        .unwrap();
    assert!((point.masked - 3.0 / 7.0).abs() < 1e-12);
}

#[test]
fn sampled_answers_are_held_against_their_pools() {
    let folder = tempfile::tempdir().unwrap();
    made_up(folder.path());
    let audit = run(folder.path(), &[Part::Samples]).unwrap();
    let lowest = "chosen answers of the lowest perplexity";
    assert_eq!(
        found(&audit, &format!("Rephrase, train: {lowest}"), ""),
        "0"
    );
    assert_eq!(
        found(&audit, &format!("Rephrase, validation: {lowest}"), ""),
        "1"
    );
    assert_eq!(
        found(&audit, &format!("Self-Output, validation: {lowest}"), ""),
        "1"
    );
    assert_eq!(
        found(
            &audit,
            "Self-Output, train: answers that go on after the code",
            ""
        ),
        "1"
    );
    assert_eq!(
        found(&audit, "Rephrase, train: answers with carriage returns", ""),
        "1"
    );
    assert!(
        (number(
            &audit,
            "Rephrase, train: mean perplexity of accepted answers",
            ""
        ) - 3.0)
            .abs()
            < 1e-9
    );
    let rejected = fact(
        &audit,
        "Rephrase, train: rows whose `rejection` is a rejected sample",
        "",
    );
    assert_eq!(rejected.recomputed.as_deref(), Some("0"));
    assert!(
        rejected
            .note
            .contains("in 1 of 1 rows it is the reference answer itself"),
        "{rejected:?}"
    );
}

#[test]
fn tasks_and_logs_are_graded_again() {
    let folder = tempfile::tempdir().unwrap();
    made_up(folder.path());
    let audit = run(folder.path(), &[Part::Tasks]).unwrap();
    assert_eq!(found(&audit, "solutions with \\boxed", "math/test"), "1");
    assert_eq!(
        found(&audit, "test items of levels 1 to 5", ""),
        "0/1/0/0/1"
    );
    // 0.5 is one half, and four is not three, whatever the log says
    assert_eq!(
        found(
            &audit,
            "logged MATH answers that our grader grades as the log does",
            ""
        ),
        "1 of 2"
    );
    assert_eq!(found(&audit, "answers with ####", ""), "1");
    assert_eq!(found(&audit, "logged GSM8K answers", ""), "1 of 1");
    assert_eq!(
        found(
            &audit,
            "rows with a number as their key",
            "arc_challenge/test"
        ),
        "1"
    );
    assert_eq!(
        found(
            &audit,
            "rows with the labels A, B, C, D",
            "arc_challenge/test"
        ),
        "1"
    );
    assert_eq!(found(&audit, "rows with five options", ""), "1");
    assert_eq!(
        found(
            &audit,
            "rows whose key is none of their labels",
            "arc_challenge/test"
        ),
        "0"
    );
}

#[test]
fn a_leak_is_found_by_number_by_name_and_by_words() {
    let folder = tempfile::tempdir().unwrap();
    made_up(folder.path());
    let light = run(folder.path(), &[Part::Leak]).unwrap();
    assert_eq!(found(&light, "task numbers", "mbpp/train"), "701 to 703");
    assert_eq!(
        fact(&light, "test tasks that are training tasks", "").verdict,
        Verdict::CannotBeComputed
    );
    assert!(found(&light, "whose function has the name", "").contains("21 and 701 (twice)"));
    assert!(found(&light, "whose problem is worded", "").contains("21 and 701"));
    lines(
        folder.path(),
        "plus.jsonl",
        &[
            json!({"task_id": "Mbpp/702"}),
            json!({"task_id": "Mbpp/20"}),
        ],
    );
    let options = Options {
        only: vec![Part::Leak],
        mbpp_test: Some(folder.path().join("plus.jsonl")),
    };
    let whole = audit::run(folder.path(), &options, &Progress::quiet()).unwrap();
    assert_eq!(
        found(&whole, "test tasks that are training tasks", "plus.jsonl"),
        "1"
    );
    assert_eq!(
        found(&whole, "test tasks that are validation tasks", "plus.jsonl"),
        "0"
    );
}

#[test]
fn code_is_run_and_labels_are_held_against_what_it_does() {
    let folder = tempfile::tempdir().unwrap();
    made_up(folder.path());
    let audit = run(folder.path(), &[Part::Executor]).unwrap();
    // needs no Python
    assert_eq!(found(&audit, "accepted answers with a stray line", ""), "0");
    if let Err(error) = Python::find() {
        println!("skipped: the executor's part of the audit: {error}");
        let fact = fact(
            &audit,
            "references of MBPP's train split that pass, without it",
            "",
        );
        assert_eq!(fact.verdict, Verdict::CannotBeComputed);
        assert!(fact.note.contains("code cannot be run here"), "{fact:?}");
        return;
    }
    let references = fact(
        &audit,
        "references of MBPP's train split that pass, with",
        "",
    );
    assert_eq!(references.recomputed.as_deref(), Some("2 of 3"));
    assert!(
        references.note.contains("not: mbpp/train/703"),
        "{references:?}"
    );
    assert_eq!(
        found(
            &audit,
            "references of MBPP's validation split that pass",
            ""
        ),
        "1 of 1"
    );
    assert_eq!(
        found(&audit, "Self-Output answers that pass, train", ""),
        "1 of 2"
    );
    assert_eq!(
        found(&audit, "Self-Output answers that pass, validation", ""),
        "1 of 1"
    );
    assert_eq!(
        found(&audit, "Rephrase answers that pass, train", ""),
        "1 of 1"
    );
    // the right rewrite that is labelled wrong
    assert_eq!(
        found(
            &audit,
            "labels of accepted Rephrase answers that are right, train",
            ""
        ),
        "1 of 2"
    );
    assert_eq!(
        found(&audit, "logged answers to MBPP+ that pass the asserts", ""),
        "1 of 2"
    );
    assert_eq!(found(&audit, "logged as passed", ""), "1");
    assert_eq!(found(&audit, "logged as timed out", ""), "1");
    assert_eq!(found(&audit, "highest task number in the log", ""), "21");
}
