//! MMLU: questions of 57 subjects with four options (Hendrycks et al. 2021). Data card: `datasets/mmlu`.
//!
//! A row as it is published (its content is made up):
//!
//! ```json
//! {"question": "Which of these is a prime number?", "subject": "elementary_mathematics",
//!  "choices": ["21", "27", "29", "33"], "answer": 2}
//! ```
//!
//! Traps:
//! - `answer` is the right option's place from 0, so 2 is C. Other copies have the letter, which is understood too.
//! - A score by likelihood of the four letters (`--choices`), which most tables show, is no score of a written answer.
//! - The usual five examples are in another file (`dev`) and are not put before the question unless they are asked for.
//! - Some keys are wrong; MMLU-Redux names them.
//!
//! Graded as [`Check::Letter`], by [`src/task/letter.rs`](crate::task::letter::grade); with `--choices` as [`Check::Likelihood`], by
//! [`src/task/likelihood.rs`](Item::grade_likelihoods).

use super::{Given, Prompts};
use crate::error::Result;
use crate::task::{Check, Item};
use serde_json::Value;

/// The paper's instruction for MMLU-Redux, which is simple-evals': SHA-256 `cdee602f…0236`. The lines behind it are simple-evals' too.
const PAPER: &str = "Answer the following multiple choice question. The last line of your response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before answering.\n\n";

pub(super) fn item(given: &Given<'_>) -> Result<Item> {
    let question = given.text("question")?.trim();
    let options: Option<Vec<String>> = given
        .row
        .fields
        .get("choices")
        .and_then(Value::as_array)
        .and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
    let options = options
        .filter(|options| (2..=26).contains(&options.len()))
        .ok_or_else(|| given.problem("expected choices to be a list of two or more texts"))?;
    let labels: Vec<String> = ('A'..).take(options.len()).map(String::from).collect();
    let right = match given.row.fields.get("answer") {
        Some(Value::Number(number)) => number.as_u64().and_then(|n| usize::try_from(n).ok()),
        Some(Value::String(text)) => {
            labels.iter().position(|label| label == text).or_else(|| text.parse().ok())
        }
        _ => None,
    };
    let key = right.and_then(|at| labels.get(at)).cloned().ok_or_else(|| {
        given.problem("expected answer to be the place of an option from 0, or its letter")
    })?;
    let lines = |mark: &str| -> Vec<String> {
        labels
            .iter()
            .zip(&options)
            .map(|(label, option)| format!("{label}{mark} {option}"))
            .collect()
    };
    let description = || {
        let subject = given.text("subject").unwrap_or("general knowledge").replace('_', " ");
        format!("The following are multiple choice questions (with answers) about {subject}.\n\n")
    };
    let asked = || format!("{question}\n{}\nAnswer:", lines(".").join("\n"));
    if let Some(measure) = given.ask.choices {
        // the tasks of the group mmlu
        return Ok(Item {
            id: format!("mmlu/{}", given.name(&["id"])),
            prompt: asked(),
            truth: key.clone(),
            style: vec![],
            check: Check::Likelihood {
                gold: labels.iter().position(|label| *label == key).unwrap_or_default(),
                options: labels,
                description: description(),
                target_delimiter: " ".into(),
                gen_prefix: String::new(),
                measure,
                apply_chat_template: given.ask.apply_chat_template,
            },
        });
    }
    let (prompt, truth) = match given.ask.prompts {
        Prompts::Paper => {
            (format!("{PAPER}{question}\n\n{}", lines(")").join("\n")), format!("Answer: {key}"))
        }
        // mmlu_generative without examples, which is its default
        Prompts::Harness | Prompts::Official => {
            (format!("{}{}", description(), asked()), key.clone())
        }
    };
    Ok(Item {
        id: format!("mmlu/{}", given.name(&["id"])),
        prompt,
        truth,
        style: vec![],
        check: Check::Letter {
            key,
            labels,
            options,
            grading: given.ask.grading,
            take: given.ask.take,
        },
    })
}
