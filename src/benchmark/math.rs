//! MATH: problems of mathematics competitions (Hendrycks et al. 2021). Columns `problem` and `solution`, whose last `\boxed{}` is the
//! answer; MATH-500 has it in `answer` too.

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
const HARNESS: [(&str, &str); 4] = [
    (
        "Find the domain of the expression  $\\frac{\\sqrt{x-2}}{\\sqrt{5-x}}$.",
        "The expressions inside each square root must be non-negative. Therefore, $x-2 \\ge 0$, so $x\\ge2$, and $5 - x \\ge 0$, so $x \\le 5$. Also, the denominator cannot be equal to zero, so $5-x>0$, which gives $x<5$. Therefore, the domain of the expression is $\\boxed{[2,5)}$.\nFinal Answer: The final answer is $[2,5)$. I hope it is correct.",
    ),
    (
        "If $\\det \\mathbf{A} = 2$ and $\\det \\mathbf{B} = 12,$ then find $\\det (\\mathbf{A} \\mathbf{B}).$",
        "We have that $\\det (\\mathbf{A} \\mathbf{B}) = (\\det \\mathbf{A})(\\det \\mathbf{B}) = (2)(12) = \\boxed{24}.$\nFinal Answer: The final answer is $24$. I hope it is correct.",
    ),
    (
        "Terrell usually lifts two 20-pound weights 12 times. If he uses two 15-pound weights instead, how many times must Terrell lift them in order to lift the same total weight?",
        "If Terrell lifts two 20-pound weights 12 times, he lifts a total of $2\\cdot 12\\cdot20=480$ pounds of weight.  If he lifts two 15-pound weights instead for $n$ times, he will lift a total of $2\\cdot15\\cdot n=30n$ pounds of weight.  Equating this to 480 pounds, we can solve for $n$:\n\\begin{align*}\n30n&=480\\\\\n\\Rightarrow\\qquad n&=480/30=\\boxed{16}\n\\end{align*}\nFinal Answer: The final answer is $16$. I hope it is correct.",
    ),
    (
        "If the system of equations\n\n\\begin{align*}\n6x-4y&=a,\\\\\n6y-9x &=b.\n\\end{align*}has a solution $(x, y)$ where $x$ and $y$ are both nonzero,\nfind $\\frac{a}{b},$ assuming $b$ is nonzero.",
        "If we multiply the first equation by $-\\frac{3}{2}$, we obtain\n\n$$6y-9x=-\\frac{3}{2}a.$$Since we also know that $6y-9x=b$, we have\n\n$$-\\frac{3}{2}a=b\\Rightarrow\\frac{a}{b}=\\boxed{-\\frac{2}{3}}.$$\nFinal Answer: The final answer is $-\\frac{2}{3}$. I hope it is correct.",
    ),
];

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
        Prompts::Harness => {
            let shots: String = HARNESS
                .iter()
                .map(|(problem, solution)| {
                    format!("Problem:\n{problem}\n\nSolution: {solution}\n\n")
                })
                .collect();
            (
                format!("{shots}Problem:\n{problem}\n\nSolution:"),
                format!(
                    "{solution}\nFinal Answer: The final answer is ${answer}$. I hope it is correct."
                ),
            )
        }
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
