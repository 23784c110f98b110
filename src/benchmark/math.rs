//! MATH and MATH-500: problems of mathematics competitions with worked solutions (Hendrycks et al. 2021). Data card: `datasets/math`.
//!
//! A row as it is published (MATH-500; its content is made up):
//!
//! ```json
//! {"problem": "Find the sum of the solutions of $x^2-7x+10=0$.",
//!  "solution": "We factor: $x^2-7x+10=(x-2)(x-5)$, so the solutions are $2$ and $5$, and their sum is $\\boxed{7}$.",
//!  "answer": "7", "subject": "Algebra", "level": 2, "unique_id": "made-up/1.json"}
//! ```
//!
//! Traps:
//! - MATH has no `answer`, which is then the *last* `\boxed{}` of `solution`; its `level` is `Level 2`, and its `type` the subject.
//! - The paper's training prompt is another one than its evaluation prompt, the only one we have: its ground truth teaches another
//!   form than the one that is asked for.
//! - The paper's rule takes the line behind the *first* `Answer:`, even in the middle of a sentence.
//! - Answers are compared by value here, by a language model in the paper, by SymPy in the harness. `0.33` is not `\frac13`.
//!
//! The harness's four examples are in `math_examples.txt`. Graded as [`Check::Math`], by
//! [`src/task/math/mod.rs`](crate::task::math::grade).

use super::{Given, Prompts};
use crate::error::Result;
use crate::task::{Check, Item, final_math};
use serde_json::Value;

/// The paper's evaluation prompt, which is simple-evals': SHA-256 `d83e9d5f…8f17` before the problem and `be1964c3…6f99` behind it.
/// Its training prompt is another one.
const PAPER: [&str; 2] = [
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: $ANSWER (without quotes) where $ANSWER is the answer to the problem.",
    "Remember to put your answer on its own line after \"Answer:\", and you do not need to use a \\boxed command.",
];

/// The four examples of Minerva (Lewkowycz et al. 2022), as lm-evaluation-harness's tasks `minerva_math` have them.
const EXAMPLES: &str = include_str!("math_examples.txt");

pub(super) fn item(given: &Given<'_>) -> Result<Item> {
    let (problem, solution) = (given.text("problem")?, given.text("solution")?);
    let answer = match given.row.fields.get("answer") {
        Some(Value::String(answer)) if !answer.trim().is_empty() => answer.clone(),
        _ => {
            boxed(solution).ok_or_else(|| given.problem("expected a \\boxed answer in solution"))?
        }
    };
    let (prompt, truth) = match given.ask.prompts {
        Prompts::Paper => {
            (format!("{}\n\n{problem}\n\n{}", PAPER[0], PAPER[1]), solution.to_owned())
        }
        Prompts::Harness => (
            format!("{EXAMPLES}\nProblem:\n{problem}\n\nSolution:"),
            format!(
                "{solution}\nFinal Answer: The final answer is ${answer}$. I hope it is correct."
            ),
        ),
        Prompts::Official => (problem.to_owned(), solution.to_owned()),
    };
    Ok(Item {
        id: format!("math/{}", given.name(&["unique_id", "id"])),
        prompt,
        truth,
        style: vec![],
        check: Check::Math { answer, grading: given.ask.grading, take: given.ask.take },
    })
}

/// The last box of a solution.
fn boxed(solution: &str) -> Option<String> {
    (solution.contains("\\boxed") || solution.contains("\\fbox"))
        .then(|| final_math(solution))
        .flatten()
}
