//! GSM8K: word problems of primary school with worked solutions (Cobbe et al. 2021). Data card: `datasets/gsm8k`.
//!
//! A row as it is published (its content is made up):
//!
//! ```json
//! {"question": "Ada has 4 shelves with 9 books each. She gives 6 books away. How many books does she have left?",
//!  "answer": "Ada has 4*9=<<4*9=36>>36 books.\nAfter giving 6 away she has 36-6=<<36-6=30>>30 books left.\n#### 30"}
//! ```
//!
//! Traps:
//! - `<<4*9=36>>` are calls of a calculator. A model that was trained on such solutions writes them too.
//! - The answer is what is behind `####`, and the published parsers disagree about it: `#### 30.0` and `#### 30 dollars` are wrong by
//!   the paper's rule.
//! - The paper's prompt glues `Q:` to its instruction without a space; its training file has an empty line there.
//! - The harness has two tasks. We ask as its `gsm8k_cot`, whose eight examples are in `gsm8k_examples.txt`; its `gsm8k` draws five
//!   from the training split, which is not in the file of questions.
//! - A few references are wrong.
//!
//! Graded as [`Check::Gsm8k`], by [`src/task/gsm8k.rs`](crate::task::gsm8k::grade).

use super::{Given, Prompts};
use crate::error::Result;
use crate::task::{Check, Item};

/// The paper's instruction, SHA-256 `322a8927…ab25`. The question follows without a space, as in its code.
const PAPER: &str = "You are given a grade school math question. Please answer the question in the following format:\n\nQ: <Question>\nA: <Think step by step here> #### <number only answer>\n\nFormat requirements : you must first output your reasoning before finalized with the \" #### \" format followed by the final numeric answer";

/// The eight examples of chain-of-thought prompting (Wei et al. 2022), as lm-evaluation-harness's task `gsm8k_cot` has them.
const EXAMPLES: &str = include_str!("gsm8k_examples.txt");

pub(super) fn item(given: &Given<'_>) -> Result<Item> {
    let (question, solution) = (given.text("question")?, given.text("answer")?);
    let Some((steps, number)) = solution.rsplit_once("####") else {
        return Err(given.problem("expected answer to end with #### and the number"));
    };
    let number = number.trim().to_owned();
    let prompt = match given.ask.prompts {
        Prompts::Paper => format!("{PAPER}Q: {question}\nA:"),
        Prompts::Harness => format!("{EXAMPLES}\nQ: {question}\nA:"),
        Prompts::Official => question.to_owned(),
    };
    let truth = match given.ask.prompts {
        Prompts::Paper | Prompts::Official => solution.to_owned(),
        Prompts::Harness => format!("{} The answer is {number}.", steps.trim_end()),
    };
    Ok(Item {
        id: format!("gsm8k/{}", given.name(&["id"])),
        prompt,
        truth,
        style: vec![],
        check: Check::Gsm8k { answer: number, grading: given.ask.grading, take: given.ask.take },
    })
}
