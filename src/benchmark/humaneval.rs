//! HumanEval: complete a Python function, which hidden tests run (Chen et al. 2021). Data card: `datasets/humaneval`.
//!
//! A row as it is published (its content is made up):
//!
//! ```json
//! {"task_id": "HumanEval/1000",
//!  "prompt": "def double_all(numbers: list) -> list:\n    \"\"\" Return a list with every number doubled.\n    >>> double_all([1, 2])\n    [2, 4]\n    \"\"\"\n",
//!  "entry_point": "double_all",
//!  "canonical_solution": "    return [2 * n for n in numbers]\n",
//!  "test": "\n\nMETADATA = {\n    'author': 'unforget'\n}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n    assert candidate([]) == []\n    assert candidate([-3]) == [-6]\n"}
//! ```
//!
//! Traps:
//! - The paper does not use it. Its prompt here is the sentence of the paper's MBPP prompt, less the test cases, which are not shown.
//! - The harness has two tasks: in `humaneval` the answer continues the head, `humaneval_instruct` is for chat models. A chat
//!   model that is asked for the former often writes a fenced block, which by the harness's rule is no continuation and scores 0.
//! - The tests of tasks 32, 38 and 50 call helpers that stand in the prompt, so a block with the function alone needs the prompt before it.
//!
//! Graded as [`Check::Python`], by [`src/task/cpython.rs`](Check::Python).

use super::{Given, Prompts};
use crate::error::{Error, Result};
use crate::task::{Check, Extraction, Item, defined_names};
use serde_json::Value;

pub(super) fn item(given: &Given<'_>) -> Result<Item> {
    let Given { path, row, ask } = *given;
    let text = |key: &str| {
        row.fields.get(key).and_then(Value::as_str).ok_or_else(|| {
            Error::row(
                path,
                row.number,
                format!("expected {key} to be a text; HumanEval has task_id, prompt, entry_point, canonical_solution and test"),
            )
        })
    };
    let (task, question, solution) =
        (text("task_id")?, text("prompt")?, text("canonical_solution")?);
    let (entry, test) = (text("entry_point")?, text("test")?);
    let mut own: Vec<String> = vec![entry.to_string()];
    own.extend(
        defined_names(question)
            .filter(|name| *name != entry && test.contains(name))
            .map(str::to_string),
    );
    let fenced = format!("```python\n{question}{solution}```");
    let (prompt, truth) = match ask.prompts {
        Prompts::Paper => (format!("{PAPER}\n>>> Problem:\n{question}"), fenced),
        // `doc_to_text` and `gen_prefix` of lm_eval/tasks/humaneval/humaneval_instruct.yaml (0.4.13); the latter begins the model's turn
        // there, and the reference answer here
        Prompts::Harness if ask.chat => (
            format!(
                "Write a solution to the following problem and make sure that it passes the tests:\n```python\n{question}\n```\n"
            ),
            format!("Here is the completed function:\n{fenced}"),
        ),
        Prompts::Harness | Prompts::Official => (question.to_string(), solution.to_string()),
    };
    let extraction = given.extraction(Extraction::Continuation, Extraction::HumanevalInstruct);
    let number = task.rsplit('/').next().unwrap_or(task);
    Ok(Item {
        id: format!("humaneval/test/{number}"),
        prompt,
        truth,
        style: vec![],
        check: Check::Python {
            tests: vec![format!("{test}\ncheck({entry})")],
            before: vec![],
            // A function whose body is its docstring: imports and helpers are there for an answer that brings the function alone.
            prefix: question.to_string(),
            own,
            extraction,
        },
    })
}

const PAPER: &str = "Please generate a python function for my problem. Make sure the written code is wrapped in code block : ```python\n<your code>\n```";
