//! A made-up copy of the authors' folder: a few rows of every file, in the published layout, so that the audit can be tried and tested without
//! theirs. No row is theirs, and no number in it was measured.

use crate::error::{Error, Result};
use polars::prelude::{
    Column, CompatLevel, DataFrame, IntoSeries, IpcStreamWriter, NamedFrom, SerWriter, Series,
    StructChunked,
};
use serde_json::{Value, json};
use std::path::Path;

/// Writes a made-up copy of the authors' folder to `folder`, but for MBPP's test split and MATH's training split, which light copies lack.
///
/// Its three tables of raw results have a row that follows, one whose base scores were exchanged, and one that nothing explains; of two scored answers
/// three of seven tokens are above a perplexity of 2.5; and one logged test task has the function and the words of a training task. Grades are
/// written as the authors' logs write them: as truth values, as `1.0` and as `1`.
///
/// # Errors
/// Names the file that cannot be written.
pub fn made_up(folder: &Path) -> Result<()> {
    mbpp(folder, "train", &TRAIN)?;
    mbpp(folder, "validation", &VALIDATION)?;
    scored(folder)?;
    math(folder)?;
    gsm8k(folder)?;
    arc(folder)?;
    samples(folder)?;
    log(folder)?;
    raw_results(folder)
}

const INSTRUCTION: &str = "Please refer the given test cases and generate a python function for my problem. Make sure the written code is wrapped in code block : ```python\n<your code>\n```";

fn texts<T: AsRef<str>>(name: &str, values: impl IntoIterator<Item = T>) -> Series {
    let values: Vec<String> = values.into_iter().map(|value| value.as_ref().to_string()).collect();
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
        .expect("the fields are made here, all of one length")
        .into_series()
}

/// A column of conversations: what the user says and what the assistant says.
fn turns(name: &str, keys: [&str; 2], roles: [&str; 2], rows: &[(String, String)]) -> Series {
    let turn = |(user, assistant): &(String, String)| {
        objects("", 2, &[texts(keys[0], roles), texts(keys[1], [user, assistant])])
    };
    lists(name, rows.iter().map(turn).collect())
}

/// Writes an Arrow stream, as Python's `datasets` saves one.
fn arrow(folder: &Path, path: &str, columns: Vec<Series>) -> Result<()> {
    let what = "writing a made-up file";
    let columns: Vec<Column> = columns.into_iter().map(Column::from).collect();
    let mut frame = DataFrame::new_infer_height(columns).map_err(Error::library(what))?;
    let mut bytes = Vec::new();
    IpcStreamWriter::new(&mut bytes)
        .with_compat_level(CompatLevel::oldest())
        .finish(&mut frame)
        .map_err(Error::library(what))?;
    put(folder, path, &bytes)
}

fn put(folder: &Path, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
    let file = folder.join(path);
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io("making the folder", parent))?;
    }
    std::fs::write(&file, content).map_err(Error::io("writing", &file))
}

fn lines(folder: &Path, path: &str, rows: &[Value]) -> Result<()> {
    let rows: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    put(folder, path, rows.concat())
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
        tests: &["assert twice(2) == 4", "assert twice(-1) == -2", "assert twice(0) == 0"],
    },
    Task {
        number: 702,
        question: "Write a function to find the longer of two words.",
        code: "def longer(a, b):\r\n\treturn a if len(a) > len(b) else b",
        tests: &["assert longer('ab', 'c') == 'ab'", "assert longer('a', 'bc') == 'bc'"],
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

fn mbpp(folder: &Path, split: &str, tasks: &[Task]) -> Result<()> {
    let rows: Vec<(String, String)> =
        tasks.iter().map(|task| (task.prompt(), task.fenced())).collect();
    let columns = vec![
        wholes("task_id", &tasks.iter().map(|task| task.number).collect::<Vec<_>>()),
        texts("text", tasks.iter().map(|task| task.question)),
        texts("code", tasks.iter().map(|task| task.code)),
        lists("test_list", tasks.iter().map(|task| texts("", task.tests)).collect()),
        turns("conversations", ["from", "value"], ["human", "gpt"], &rows),
        texts("test", tasks.iter().map(|_| "")),
    ];
    arrow(
        folder,
        &format!("dataset/ground_truth/mbpp/{split}/data-00000-of-00001.arrow"),
        columns,
    )?;
    Ok(())
}

/// Two scored conversations: token texts, their ids, and the perplexities of their answers' tokens.
fn scored(folder: &Path) -> Result<()> {
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
    let second: &Answer = &[("return", 693, 2.0), (" x", 865, 8.0), ("<|eot_id|>", 128_009, 1.0)];
    let (mut text, mut ids, mut perplexity) = (Vec::new(), Vec::new(), Vec::new());
    for answer in [first, second] {
        let pieces =
            start.iter().map(|(text, _)| *text).chain(answer.iter().map(|(text, ..)| *text));
        text.push(pieces.collect::<String>());
        let of_row = start.iter().map(|(_, id)| *id).chain(answer.iter().map(|(_, id, _)| *id));
        // the cached ids begin twice
        ids.push(std::iter::once(128_000).chain(of_row).collect::<Vec<i64>>());
        let of_prompt = [10.0, 3.0, 1.0, 1.0, 1.0];
        perplexity.push(
            of_prompt.into_iter().chain(answer.iter().map(|(.., ppl)| *ppl)).collect::<Vec<f64>>(),
        );
    }
    let place = "dataset/stm/meta-llama-Meta-Llama-3-8B-Instruct_mbpp";
    let numbers = |rows: &[Vec<f64>]| {
        lists("ppl", rows.iter().map(|row| Series::new("".into(), row)).collect())
    };
    let rows: Vec<(String, String)> =
        TRAIN[..2].iter().map(|task| (task.prompt(), task.fenced())).collect();
    let stm = vec![
        wholes("task_id", &[701, 702]),
        texts("text", &text),
        texts("code", TRAIN[..2].iter().map(|task| task.code)),
        turns("conversations", ["from", "value"], ["human", "gpt"], &rows),
        numbers(&perplexity),
    ];
    arrow(folder, &format!("{place}/data-00000-of-00001.arrow"), stm)?;
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
    arrow(folder, &format!("{place}/cache-322c25a34199de5b.arrow"), cache)?;
    Ok(())
}

fn math(folder: &Path) -> Result<()> {
    for (split, rows) in [
        ("validation", vec![("What is $1+1$?", "Level 1", "Algebra", "It is $\\boxed{2}$.")]),
        (
            "test",
            vec![
                ("What is half of one?", "Level 2", "Prealgebra", "It is $\\boxed{\\frac{1}{2}}$."),
                ("What is three?", "Level 5", "Geometry", "Three."),
            ],
        ),
    ] {
        let said: Vec<(String, String)> =
            rows.iter().map(|row| (row.0.to_string(), row.3.to_string())).collect();
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
        )?;
    }
    lines(
        folder,
        "logging/math-test/log.jsonl",
        &[
            json!({"id": 0, "prompt": "What is half of one?", "generation": "It is $\\boxed{0.5}$.", "gold": "\\frac{1}{2}", "passed": 1.0}),
            json!({"id": 1, "prompt": "What is three?", "generation": "It is $\\boxed{4}$.", "gold": "3", "passed": 1.0}),
            json!({"id": 2, "prompt": "What is two?", "generation": "It is one.", "gold": "2", "passed": 0.0}),
        ],
    )?;
    Ok(())
}

fn gsm8k(folder: &Path) -> Result<()> {
    let rows = [("Two and three apples?", "2 + 3 = 5\n#### 5"), ("Ten less four?", "Six.")];
    let said: Vec<(String, String)> = rows.iter().map(|row| (row.0.into(), row.1.into())).collect();
    let columns = vec![
        turns("conversations", ["from", "value"], ["human", "gpt"], &said),
        texts("question", rows.iter().map(|row| row.0)),
        texts("answer", rows.iter().map(|row| row.1)),
    ];
    arrow(folder, "dataset/ground_truth/gsm8k/data-00000-of-00001.arrow", columns)?;
    // in two files, with grades as numbers
    for (file, answer, passed) in [("log_1", "2 + 3 = 5\n#### 5", 1), ("log_2", "#### 6", 0)] {
        lines(
            folder,
            &format!("logging/gsm8k-test/{file}.jsonl"),
            &[
                json!({"id": 0, "prompt": "Q: Two and three apples?", "generation": answer, "passed": passed, "fmt_err": 0}),
            ],
        )?;
    }
    Ok(())
}

fn arc(folder: &Path) -> Result<()> {
    for (split, keys) in
        [("train", vec!["A"]), ("validation", vec!["B"]), ("test", vec!["A", "3", "E"])]
    {
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
            objects("choices", keys.len(), &[lists("text", options), lists("label", labels)]),
            texts("answerKey", &keys),
        ];
        arrow(
            folder,
            &format!("dataset/ground_truth/arc_challenge/{split}/data-00000-of-00001.arrow"),
            columns,
        )?;
    }
    Ok(())
}

/// Training sets and pools of sampled answers; the second Self-Output answer fails its tests.
fn samples(folder: &Path) -> Result<()> {
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
            vec![turns("conversations", ["role", "content"], ["user", "assistant"], rows)],
        )
    };
    set(
        "self-output",
        "train",
        &[(TRAIN[0].prompt(), good.into()), (TRAIN[1].prompt(), bad.into())],
    )?;
    set("self-output", "validation", &[(VALIDATION[0].prompt(), negated.into())])?;
    set("rephrase", "train", &[(TRAIN[0].prompt(), rephrased.into())])?;
    set("rephrase", "validation", &[(VALIDATION[0].prompt(), negated.into())])?;
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
        &[pool(&TRAIN[0], &[(rephrased, 4.0, true), (other, 2.0, false)])],
    )?;
    lines(
        folder,
        "dataset/rephrase/mbpp_sample_validation_t_0.7_1_wrejppl.jsonl",
        &[pool(&VALIDATION[0], &[(negated, 3.0, true)])],
    )?;
    lines(
        folder,
        "dataset/self-output/mbpp_sample_validation_t_0.7_32_wrejppl.jsonl",
        &[pool(&VALIDATION[0], &[(negated, 1.5, true)])],
    )?;
    Ok(())
}

fn log(folder: &Path) -> Result<()> {
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
                prompt("write a function to double a number.", "assert twice(2) == 4"),
                "def twice(n):\n    return 5",
                false,
                "timed out",
            ),
        ],
    )?;
    Ok(())
}

/// A csv in the authors' layout: names of columns by place, the others empty.
fn table(width: usize, names: &[(usize, &str)], rows: &[&[(usize, &str)]]) -> String {
    let line = |cells: &[(usize, &str)]| {
        let mut all = vec![""; width];
        cells.iter().for_each(|(at, cell)| all[*at] = cell);
        all.join(",") + "\n"
    };
    line(names) + &rows.iter().map(|row| line(row)).collect::<String>()
}

/// The three tables with a few rows: one right, one with exchanged bases, one that nothing explains.
fn raw_results(folder: &Path) -> Result<()> {
    let truth = table(
        15,
        &[
            (0, "model"),
            (1, "selected"),
            (2, "name"),
            (3, "gt data"),
            (4, "MBPP - test"),
            (5, "GSM8k - test (0-shot CoT)"),
            (6, "MATH - test (0-shot CoT)"),
            (7, "arc_challenge-test (CoT)"),
            (8, "arc_challenge-test (noCoT)"),
            (9, "bird-test"),
            (11, "BWT"),
            (12, "improve"),
            (14, "ppl"),
        ],
        &[],
    );
    let row = |mbpp, transfer, improvement| {
        vec![
            (0, "gemma2-2b-it"),
            (1, "MBPP"),
            (3, "2.5"),
            (8, mbpp),
            (9, "0.281"),
            (11, "0.7474"),
            (12, "0.5000"),
            (13, "0.1389"),
            (15, transfer),
            (16, improvement),
        ]
    };
    // (0.5 / 0.5845 − 1) / 4 = −3.6142 %; with the two bases exchanged
    // (0.7474 / 0.5845 − 1 + 0.5 / 0.7474 − 1) / 4 = −1.3074 %; TI = 0.4 / 0.5106 − 1 = −21.66 %
    let rows = [
        row("0.4", "-3.61%", "-21.66%"),
        row("0.4", "-1.31%", "-11.06%"),
        row("0.4", "-77.00%", ""),
    ];
    let rows: Vec<&[(usize, &str)]> = rows.iter().map(Vec::as_slice).collect();
    let masks = table(
        18,
        &[
            (0, "source code: xxx"),
            (1, "in-domain-dataset"),
            (2, "lr"),
            (3, "filter < threshold"),
            (4, "selected epoch"),
            (5, "in domain score"),
            (6, "% token filtered"),
            (8, "mbpp"),
            (9, "math"),
            (10, "arc-cot"),
            (11, "arc-da"),
            (12, "gsm8k"),
            (13, "bird"),
            (15, "forget metric"),
            (16, "improve metric"),
        ],
        &rows,
    );
    let samples = table(
        38,
        &[
            (1, "method"),
            (2, "model"),
            (3, "in-domain-dataset"),
            (4, "selected"),
            (5, "training task"),
            (6, "self-output criteria"),
            (15, "original base"),
            (16, "mbpp test"),
            (17, "math test"),
            (18, "arc test (cot)"),
            (19, "arc test"),
            (20, "gsm8k"),
            (21, "bird-test"),
            (22, "BWT"),
            (23, "improve target"),
        ],
        &[],
    );
    put(folder, "raw_digits/ground truth finetune.csv", &truth)?;
    put(folder, "raw_digits/rho-sft.csv", &masks)?;
    put(folder, "raw_digits/self-output.csv", &samples)?;
    Ok(())
}
