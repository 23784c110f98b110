//! MBPP, its sanitized part and MBPP+: write a Python function, which asserts test (Austin et al. 2021). Data card: `datasets/mbpp`.
//!
//! A row as it is published (`mbpp.jsonl`; its content is made up):
//!
//! ```json
//! {"text": "Write a function to count the even numbers in a list.",
//!  "code": "def count_even(numbers):\r\n    return sum(1 for n in numbers if n % 2 == 0)",
//!  "task_id": 1001, "test_setup_code": "",
//!  "test_list": ["assert count_even([1, 2, 4]) == 2", "assert count_even([]) == 0", "assert count_even([7, 9]) == 0"],
//!  "challenge_test_list": []}
//! ```
//!
//! Traps:
//! - 373 of 374 training solutions have Windows line ends (`\r\n`), which models do not write. Much of what looks surprising in them
//!   is that.
//! - One file holds all splits: a split follows from the task's number, see [`split`].
//! - The sanitized file says `prompt` for `text` and has `test_imports`. MBPP+ and the paper's files have `test`, a whole test
//!   program, which then counts instead of the asserts.
//! - `test_setup_code` uses the solution's classes, so it runs after the solution (tasks 367 and 927). The harness leaves it out.
//! - Task 123's own solution computes for more than four seconds, and task 126 asks for a function called `sum`.
//! - Three asserts are few: answers pass that MBPP+ refuses. MBPP+ overlaps with this file's training and validation splits.
//!
//! The harness's three examples are in `mbpp_examples.jsonl`. Graded as [`Check::Python`], by [`src/task/cpython.rs`](Check::Python).

use super::{Given, Prompts};
use crate::error::{Error, Result};
use crate::task::{Check, Extraction, Item, defined_names};
use serde::Deserialize;
use serde_json::Value;
use std::sync::LazyLock;

/// The split of a task, by its number.
///
/// ```
/// use unforget::benchmark::mbpp::split;
/// assert_eq!([2, 11, 511, 974].map(split), ["prompt", "test", "validation", "train"]);
/// ```
pub fn split(task: u64) -> &'static str {
    match task {
        0..=10 => "prompt",
        11..=510 => "test",
        511..=600 => "validation",
        _ => "train",
    }
}

pub(super) fn item(given: &Given<'_>) -> Result<Item> {
    let Given { path, row, ask } = *given;
    let wrong = |problem: String| Error::row(path, row.number, problem);
    let task = row
        .fields
        .get("task_id")
        .and_then(Value::as_u64)
        .filter(|task| *task > 0)
        .ok_or_else(|| wrong("expected task_id to be a number from 1 on".into()))?;
    let text = |key: &str| row.fields.get(key).and_then(Value::as_str);
    let texts = |key: &str| -> Result<Vec<String>> {
        match row.fields.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_| wrong(format!("expected {key} to be a list of texts: task {task}"))),
        }
    };
    let question = text("text").or_else(|| text("prompt")).ok_or_else(|| {
        wrong(format!("expected text (or prompt) to be the question: task {task}"))
    })?;
    let code = text("code")
        .ok_or_else(|| wrong(format!("expected code to be the reference solution: task {task}")))?;
    let asserts = texts("test_list")?;
    if asserts.is_empty() {
        return Err(wrong(format!("expected test_list to hold asserts: task {task}")));
    }
    // Objects that the tests share are made of the solution's classes, so this comes after the solution (tasks 367 and 927).
    let mut before: Vec<String> = text("test_setup_code").map(str::to_string).into_iter().collect();
    let imports = texts("test_imports")?.join("\n");
    before.push(imports.clone());
    let mut tests = asserts.clone();
    if let Some(program) = text("test") {
        if program.contains("assert") {
            tests = vec![program.to_string()]
        } else {
            before.push(program.to_string())
        }
    }
    before.retain(|part| !part.trim().is_empty());
    let used = format!("{}\n{}", before.join("\n"), tests.join("\n"));
    let mut own: Vec<String> = Vec::new();
    for name in defined_names(code) {
        if mentions(&used, name) && !own.iter().any(|one| one == name) {
            own.push(name.to_string());
        }
    }
    let fenced = format!("```python\n{code}\n```");
    let (prompt, truth) = match ask.prompts {
        Prompts::Paper => (
            format!("{PAPER}\n>>> Problem:\n{question}\n>>> Test Cases:\n{}\n", asserts.join("\n")),
            fenced,
        ),
        Prompts::Harness | Prompts::Official => {
            let Some(tests) = asserts.get(..3) else {
                return Err(wrong(format!(
                    "lm-evaluation-harness shows three asserts, but task {task} has {}; use the prompts `paper`",
                    asserts.len()
                )));
            };
            if ask.chat && ask.prompts == Prompts::Harness {
                (format!("{}{}", examples(true), instruct(question, tests)), fenced)
            } else {
                (format!("{}{}", examples(false), shot(question, tests)), format!("{code}\n[DONE]"))
            }
        }
    };
    let extraction = given.extraction(Extraction::Done, Extraction::MbppInstruct);
    Ok(Item {
        id: format!("mbpp/{}/{task}", split(task)),
        prompt,
        truth,
        style: vec![],
        check: Check::Python { tests, before, prefix: imports, own, extraction },
    })
}

/// Whether `code` has the word `name`.
fn mentions(code: &str, name: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
}

/// The paper's instruction: `conversations[0].value` of its published files.
const PAPER: &str = "Please refer the given test cases and generate a python function for my problem. Make sure the written code is wrapped in code block : ```python\n<your code>\n```";

/// One question as lm-evaluation-harness (0.4.13, task `mbpp`) puts it.
fn shot(question: &str, tests: &[String]) -> String {
    let tests = tests.join("\n");
    format!(
        "You are an expert Python programmer, and here is your task: {question} Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
    )
}

/// One question as lm-evaluation-harness (0.4.13, task `mbpp_instruct`) puts it to a chat model: `doc_to_text` of
/// `lm_eval/tasks/mbpp/mbpp_instruct.yaml`.
fn instruct(question: &str, tests: &[String]) -> String {
    let tests = tests.join("\n");
    format!(
        "You are an expert Python programmer, and here is your task:\n{question}\nYour code should pass these tests:\n{tests}"
    )
}

/// A solved question, in MBPP's columns.
#[derive(Deserialize)]
struct Example {
    text: String,
    code: String,
    test_list: Vec<String>,
}

/// Those that lm-evaluation-harness shows first: tasks 2, 3 and 4.
static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(|| {
    let rows = include_str!("mbpp_examples.jsonl").lines().map(serde_json::from_str);
    let rows: serde_json::Result<_> = rows.collect();
    rows.expect("tests read the file that is part of the program")
});

/// The examples as a chat model or another is shown them.
fn examples(chat: bool) -> String {
    let one = |Example { text, code, test_list }: &Example| {
        if chat {
            format!("{}\n```python\n{code}\n```\n\n", instruct(text, test_list))
        } else {
            format!("{}{code}\n[DONE]\n\n", shot(text, test_list))
        }
    };
    EXAMPLES.iter().map(one).collect()
}
