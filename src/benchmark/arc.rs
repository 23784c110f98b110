//! ARC: questions of science at school (Clark et al. 2018). Data card: `datasets/arc`.
//!
//! A row as it is published (its content is made up):
//!
//! ```json
//! {"id": "made-up-1",
//!  "question": "A pot of water stands on a hot stove. What does the water do when it boils?",
//!  "choices": {"text": ["It freezes.", "It becomes vapour.", "It becomes heavier.", "It stays as it is."],
//!              "label": ["A", "B", "C", "D"]},
//!  "answerKey": "B"}
//! ```
//!
//! Traps:
//! - 22 rows of the test split label their options 1 to 4, though the paper's prompt asks for one of ABCD. The harness's prompt letters
//!   them again.
//! - Some rows have three options or five; the harness's prompt says four.
//! - In some copies `choices` is a list of `{text, label}`.
//! - In the paper's prompt the end of the question and `Choices:` touch, as in its code.
//! - A score by likelihood (`--choices`) is no score of a written answer; most tables show the former.
//!
//! Graded as [`Check::Letter`], by [`src/task/letter.rs`](crate::task::letter::grade); with `--choices` as [`Check::Likelihood`], by
//! [`src/task/likelihood.rs`](Item::grade_likelihoods).

use super::{Given, Prompts};
use crate::error::Result;
use crate::task::{Check, Item};
use serde_json::Value;

/// The paper's instruction, SHA-256 `f8a1a8dd…0aac`, the one without a word on thinking.
const PAPER: &str = "Answer the following multiple choice question. The last line of your response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD.\n";

pub(super) fn item(given: &Given<'_>) -> Result<Item> {
    let question = given.text("question")?;
    let key = given.text("answerKey")?;
    let (labels, options) = choices(given)?;
    let Some(right) = labels.iter().position(|label| label == key) else {
        return Err(given.problem(format!(
            "expected answerKey to be one of the labels {}, not {key:?}",
            labels.join(", ")
        )));
    };
    if let Some(measure) = given.ask.choices {
        // arc_easy and arc_challenge
        return Ok(Item {
            id: format!("arc/{}", given.name(&["id"])),
            prompt: format!("Question: {question}\nAnswer:"),
            truth: options[right].clone(),
            style: vec![],
            check: Check::Likelihood {
                gold: right,
                options,
                description: String::new(),
                target_delimiter: " ".into(),
                gen_prefix: String::new(),
                measure,
                apply_chat_template: given.ask.apply_chat_template,
            },
        });
    }
    let mut key = key.to_owned();
    let mut shown = labels.clone();
    let (prompt, truth) = match given.ask.prompts {
        Prompts::Paper => {
            let lines: String = labels
                .iter()
                .zip(&options)
                .map(|(label, option)| format!("{label}. {option}\n"))
                .collect();
            (format!("{PAPER}Question:\n{question}Choices:\n{lines}"), format!("Answer: {key}"))
        }
        // arc_challenge_chat, which letters the options whatever their labels; it shows at most four
        Prompts::Harness => {
            shown = ('A'..).take(labels.len()).map(String::from).collect();
            key.clone_from(&shown[right]);
            let lines: Vec<String> = shown
                .iter()
                .zip(&options)
                .map(|(letter, option)| format!("{letter}. {option}"))
                .collect();
            (
                format!(
                    "Given the following question and four candidate answers (A, B, C and D), choose the best answer.\nQuestion: {}\n{}\nYour response should end with \"The best answer is [the_answer_letter]\" where the [the_answer_letter] is one of A, B, C or D.",
                    question.trim(),
                    lines.join("\n")
                ),
                format!("The best answer is {key}."),
            )
        }
        Prompts::Official => return Err(given.no_prompt("ARC", "take paper or harness")),
    };
    Ok(Item {
        id: format!("arc/{}", given.name(&["id"])),
        prompt,
        truth,
        style: vec![],
        check: Check::Letter {
            key,
            labels: shown,
            options,
            grading: given.ask.grading,
            take: given.ask.take,
        },
    })
}

/// The labels and texts of the options.
fn choices(given: &Given<'_>) -> Result<(Vec<String>, Vec<String>)> {
    let list = |key: &str| -> Option<Vec<String>> {
        let list = given.row.fields.get("choices")?.get(key)?.as_array()?;
        list.iter().map(|v| v.as_str().map(str::to_owned)).collect()
    };
    // the form of some copies: a list of {text, label}
    let pairs = || -> Option<(Vec<String>, Vec<String>)> {
        let list = given.row.fields.get("choices")?.as_array()?;
        let text = |v: &Value, key: &str| v.get(key)?.as_str().map(str::to_owned);
        let labels = list.iter().map(|v| text(v, "label")).collect::<Option<_>>()?;
        let texts = list.iter().map(|v| text(v, "text")).collect::<Option<_>>()?;
        Some((labels, texts))
    };
    let (labels, texts) = list("label")
        .zip(list("text"))
        .or_else(pairs)
        .ok_or_else(|| given.problem("expected choices to have lists of texts text and label"))?;
    if labels.len() != texts.len() || !(2..=26).contains(&labels.len()) {
        return Err(given.problem(format!(
            "expected as many labels as texts, two or more; there are {} and {}",
            labels.len(),
            texts.len()
        )));
    }
    Ok((labels, texts))
}
