//! MBPP, its sanitized part and MBPP+: write a Python function, graded by its asserts.
//!
//! The rows are those of `mbpp.jsonl` (`text`), `sanitized-mbpp.json` (`prompt`, `test_imports`) and of MBPP+ and the paper's files
//! (`test`, a whole test program). A split follows from the task's number. Data card: `datasets/mbpp`.

use super::{Given, Prompts};
use crate::error::{Error, Result};
use crate::task::{Check, Extraction, Item, defined_names};
use serde_json::Value;

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
            let [first, second, third, ..] = asserts.as_slice() else {
                return Err(wrong(format!(
                    "lm-evaluation-harness shows three asserts, but task {task} has {}; use the prompts `paper`",
                    asserts.len()
                )));
            };
            let tests = [first.as_str(), second, third];
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
fn shot(question: &str, asserts: [&str; 3]) -> String {
    let [first, second, third] = asserts;
    format!(
        "You are an expert Python programmer, and here is your task: {question} Your code should pass these tests:\n\n{first}\n{second}\n{third}\n[BEGIN]\n"
    )
}

/// One question as lm-evaluation-harness (0.4.13, task `mbpp_instruct`) puts it to a chat model: `doc_to_text` of
/// `lm_eval/tasks/mbpp/mbpp_instruct.yaml`.
fn instruct(question: &str, asserts: [&str; 3]) -> String {
    let [first, second, third] = asserts;
    format!(
        "You are an expert Python programmer, and here is your task:\n{question}\nYour code should pass these tests:\n{first}\n{second}\n{third}"
    )
}

/// The three solved questions that lm-evaluation-harness shows first, to a chat model or to another: tasks 2, 3 and 4.
fn examples(chat: bool) -> String {
    let solved = [
        (
            "Write a function to find the similar elements from the given two tuple lists.",
            [
                "assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)",
                "assert similar_elements((1, 2, 3, 4),(5, 4, 3, 7)) == (3, 4)",
                "assert similar_elements((11, 12, 14, 13),(17, 15, 14, 13)) == (13, 14)",
            ],
            "def similar_elements(test_tup1, test_tup2):\r\n  res = tuple(set(test_tup1) & set(test_tup2))\r\n  return (res) ",
        ),
        (
            "Write a python function to identify non-prime numbers.",
            [
                "assert is_not_prime(2) == False",
                "assert is_not_prime(10) == True",
                "assert is_not_prime(35) == True",
            ],
            "import math\r\ndef is_not_prime(n):\r\n    result = False\r\n    for i in range(2,int(math.sqrt(n)) + 1):\r\n        if n % i == 0:\r\n            result = True\r\n    return result",
        ),
        (
            "Write a function to find the largest integers from a given list of numbers using heap queue algorithm.",
            [
                "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],3)==[85, 75, 65] ",
                "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],2)==[85, 75] ",
                "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],5)==[85, 75, 65, 58, 35]",
            ],
            "import heapq as hq\r\ndef heap_queue_largest(nums,n):\r\n  largest_nums = hq.nlargest(n, nums)\r\n  return largest_nums",
        ),
    ];
    solved
        .iter()
        .map(|(question, asserts, code)| {
            if chat {
                format!("{}\n```python\n{code}\n```\n\n", instruct(question, *asserts))
            } else {
                format!("{}{code}\n[DONE]\n\n", shot(question, *asserts))
            }
        })
        .collect()
}
