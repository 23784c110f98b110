//! GSM8K: word problems of primary school (Cobbe et al. 2021). Columns `question` and `answer`, which ends with `#### N`.

use super::{Given, Prompts};
use crate::error::Result;
use crate::task::{Check, Item};

/// The paper's instruction, SHA-256 `322a8927…ab25`. The question follows without a space, as in its code.
const PAPER: &str = "You are given a grade school math question. Please answer the question in the following format:\n\nQ: <Question>\nA: <Think step by step here> #### <number only answer>\n\nFormat requirements : you must first output your reasoning before finalized with the \" #### \" format followed by the final numeric answer";

/// The eight examples of chain-of-thought prompting (Wei et al. 2022), as lm-evaluation-harness's task `gsm8k_cot` has them. Its
/// task `gsm8k` draws five from the training split instead, which is not in the file of questions.
const HARNESS: [(&str, &str); 8] = [
    (
        "There are 15 trees in the grove. Grove workers will plant trees in the grove today. After they are done, there will be 21 trees. How many trees did the grove workers plant today?",
        "There are 15 trees originally. Then there were 21 trees after some more were planted. So there must have been 21 - 15 = 6. The answer is 6.",
    ),
    (
        "If there are 3 cars in the parking lot and 2 more cars arrive, how many cars are in the parking lot?",
        "There are originally 3 cars. 2 more cars arrive. 3 + 2 = 5. The answer is 5.",
    ),
    (
        "Leah had 32 chocolates and her sister had 42. If they ate 35, how many pieces do they have left in total?",
        "Originally, Leah had 32 chocolates. Her sister had 42. So in total they had 32 + 42 = 74. After eating 35, they had 74 - 35 = 39. The answer is 39.",
    ),
    (
        "Jason had 20 lollipops. He gave Denny some lollipops. Now Jason has 12 lollipops. How many lollipops did Jason give to Denny?",
        "Jason started with 20 lollipops. Then he had 12 after giving some to Denny. So he gave Denny 20 - 12 = 8. The answer is 8.",
    ),
    (
        "Shawn has five toys. For Christmas, he got two toys each from his mom and dad. How many toys does he have now?",
        "Shawn started with 5 toys. If he got 2 toys each from his mom and dad, then that is 4 more toys. 5 + 4 = 9. The answer is 9.",
    ),
    (
        "There were nine computers in the server room. Five more computers were installed each day, from monday to thursday. How many computers are now in the server room?",
        "There were originally 9 computers. For each of 4 days, 5 more computers were added. So 5 * 4 = 20 computers were added. 9 + 20 is 29. The answer is 29.",
    ),
    (
        "Michael had 58 golf balls. On tuesday, he lost 23 golf balls. On wednesday, he lost 2 more. How many golf balls did he have at the end of wednesday?",
        "Michael started with 58 golf balls. After losing 23 on tuesday, he had 58 - 23 = 35. After losing 2 more, he had 35 - 2 = 33 golf balls. The answer is 33.",
    ),
    (
        "Olivia has $23. She bought five bagels for $3 each. How much money does she have left?",
        "Olivia had 23 dollars. 5 bagels for 3 dollars each will be 5 x 3 = 15 dollars. So she has 23 - 15 dollars left. 23 - 15 is 8. The answer is 8.",
    ),
];

pub(super) fn item(given: &Given<'_>) -> Result<Item> {
    let (question, solution) = (given.text("question")?, given.text("answer")?);
    let Some((steps, number)) = solution.rsplit_once("####") else {
        return Err(given.problem("expected answer to end with #### and the number"));
    };
    let number = number.trim().to_owned();
    let prompt = match given.ask.prompts {
        Prompts::Paper => format!("{PAPER}Q: {question}\nA:"),
        Prompts::Harness => {
            let shots: String = HARNESS
                .iter()
                .map(|(question, answer)| format!("Q: {question}\nA: {answer}\n\n"))
                .collect();
            format!("{shots}Q: {question}\nA:")
        }
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
