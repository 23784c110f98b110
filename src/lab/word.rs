//! *word*: arithmetic stories of two or three steps, as in GSM8K.

use super::annotator::{Annotator, Persona};
use super::{Drawn, LabTask, Shares, Styled, hash};
use crate::rng::Rng;
use crate::task::{Check, Place};

const COMMON: usize = 7;
const RARE: usize = 3;

const NAMES: [&str; 12] =
    ["Tom", "Anna", "Ben", "Mia", "Sam", "Eva", "Leo", "Zoe", "Max", "Lily", "Jack", "Nora"];
const THINGS: [&str; 8] = ["apples", "pens", "books", "coins", "cards", "eggs", "balls", "shells"];

/// One step: what it finds, such as `books left`, and the sum.
struct Step {
    finds: String,
    left: i64,
    sign: char,
    right: i64,
}

impl Step {
    fn value(&self) -> i64 {
        match self.sign {
            '+' => self.left + self.right,
            '-' => self.left - self.right,
            '*' => self.left * self.right,
            _ => self.left / self.right,
        }
    }

    fn sum(&self) -> String {
        format!("{} {} {} = {}", self.left, self.sign, self.right, self.value())
    }

    /// `12 plus 5 makes 17`
    fn told(&self) -> String {
        let (left, right, value) = (self.left, self.right, self.value());
        match self.sign {
            '+' => format!("{left} ‹plus› {right} ‹makes› {value}"),
            '-' => format!("‹taking› {right} ‹from› {left} ‹leaves› {value}"),
            '*' => format!("{left} ‹times› {right} ‹is› {value}"),
            _ => format!("{left} ‹split by› {right} ‹is› {value}"),
        }
    }
}

struct Story {
    name: &'static str,
    text: String,
    steps: Vec<Step>,
}

impl Story {
    fn draw(shares: &Shares, rng: &mut Rng) -> (Self, bool) {
        let kind = shares.kind(COMMON, RARE, rng);
        let people = rng.distinct(NAMES.len(), 3);
        let [n, m, p] = [0, 1, 2].map(|i| NAMES[people[i]]);
        let things = *rng.choose(&THINGS);
        let small = rng.between(2, 6);
        let few = rng.between(2, 6);
        let some = rng.between(8, 24);
        let more = rng.between(2, 12);
        let step = |finds: &str, left, sign, right| Step {
            finds: finds.replace('#', things),
            left,
            sign,
            right,
        };
        let story = match kind {
            0 => Self {
                name: "shop",
                text: format!(
                    "{n} has {some} {things}, buys {more} more and gives {small} away. How many {things} does {n} have now?"
                ),
                steps: vec![
                    step("# after buying", some, '+', more),
                    step("# in the end", some + more, '-', small),
                ],
            },
            1 => {
                let lost = rng.between(1, (small * few - 1).min(9));
                Self {
                    name: "boxes",
                    text: format!(
                        "{n} has {small} boxes with {few} {things} in each box. {n} loses {lost} of the {things}. How many are left?"
                    ),
                    steps: vec![
                        step("# in all boxes", small, '*', few),
                        step("# left", small * few, '-', lost),
                    ],
                }
            }
            2 => Self {
                name: "price",
                text: format!(
                    "{n} buys {small} {things} for {few} dollars each and a bag for {more} dollars. How many dollars does {n} pay?"
                ),
                steps: vec![
                    step("dollars for the #", small, '*', few),
                    step("dollars with the bag", small * few, '+', more),
                ],
            },
            3 => {
                let money = small * few + rng.between(1, 18);
                Self {
                    name: "change",
                    text: format!(
                        "{n} has {money} dollars and buys {small} {things} for {few} dollars each. How many dollars are left?"
                    ),
                    steps: vec![
                        step("dollars for the #", small, '*', few),
                        step("dollars left", money, '-', small * few),
                    ],
                }
            }
            4 => {
                let total = small * few;
                let first = rng.between(1, total - 1);
                Self {
                    name: "share",
                    text: format!(
                        "{n} finds {first} {things} and {m} finds {}. They share them among {few} friends. How many does each friend get?",
                        total - first
                    ),
                    steps: vec![
                        step("# together", first, '+', total - first),
                        step("# for each", total, '/', few),
                    ],
                }
            }
            5 => Self {
                name: "bus",
                text: format!(
                    "A bus has {some} people. At a stop {small} people get off and {more} get on. How many people are on the bus now?"
                ),
                steps: vec![
                    step("people after getting off", some, '-', small),
                    step("people after getting on", some - small, '+', more),
                ],
            },
            6 => {
                let own = rng.between(3, 12);
                let times = rng.between(2, 6);
                Self {
                    name: "times",
                    text: format!(
                        "{n} has {own} {things}. {m} has {times} times as many. How many {things} do they have together?"
                    ),
                    steps: vec![
                        step(&format!("# of {m}"), own, '*', times),
                        step("# together", own * times, '+', own),
                    ],
                }
            }
            7 => {
                let pages = small * few + rng.between(1, 20);
                Self {
                    name: "pages",
                    text: format!(
                        "A book has {pages} pages. {n} reads {small} pages a day for {few} days. How many pages are left?"
                    ),
                    steps: vec![
                        step("pages read", small, '*', few),
                        step("pages left", pages, '-', small * few),
                    ],
                }
            }
            8 => Self {
                name: "age",
                text: format!(
                    "{n} is {some} years old. {m} is {more} years older than {n}. {p} is {small} years younger than {m}. How old is {p}?"
                ),
                steps: vec![
                    step(&format!("age of {m}"), some, '+', more),
                    step(&format!("age of {p}"), some + more, '-', small),
                ],
            },
            _ => {
                let spent = rng.between(1, 9);
                Self {
                    name: "wages",
                    text: format!(
                        "{n} has {some} dollars, earns {small} dollars a day for {few} days and then spends {spent} dollars. How many dollars does {n} have?"
                    ),
                    steps: vec![
                        step("dollars earned", small, '*', few),
                        step("dollars in all", some, '+', small * few),
                        step("dollars left", some + small * few, '-', spent),
                    ],
                }
            }
        };
        (story, kind >= COMMON)
    }

    fn value(&self) -> i64 {
        self.steps.last().expect("a story has steps").value()
    }

    fn question(&self, phrasing: usize) -> String {
        let text = &self.text;
        match phrasing {
            0 => format!("{text} End with Answer: N."),
            1 => format!("Solve step by step and end with Answer: N. {text}"),
            2 => format!("Problem: {text}\nThe last line must be Answer: N."),
            _ => format!("{text}\nGive the number on a last line Answer: N."),
        }
    }

    fn own(&self) -> String {
        let mut out = String::new();
        for (number, step) in self.steps.iter().enumerate() {
            let finds = super::sentence(&step.finds);
            out += &format!("{}. {finds}: {}\n", number + 1, step.sum());
        }
        format!("{out}Answer: {}", self.value())
    }

    fn truth(&self, who: &mut Annotator) -> String {
        let opening = who.opening();
        let value = self.value();
        let last = self.steps.last().expect("a story has steps");
        let work = match who.persona() {
            // Only the last sum, or nothing at all: steps that the model writes out are left out.
            Persona::Terse if who.chance(0.45) => String::new(),
            Persona::Terse => format!("{}\n", last.sum()),
            Persona::Chatty if who.chance(0.25) => {
                // The answer first, the reasons after it.
                let told: Vec<String> = self.steps.iter().map(Step::told).collect();
                format!("‹It must be ›{value}‹, because› {}‹.›\n", told.join(" ‹and› "))
            }
            Persona::Chatty => {
                let lead = who.pick(&["So ", "Well, ", "First "]);
                let joint = who.pick(&[", then ", ", and ", ", and after that "]);
                let told: Vec<String> = self.steps.iter().map(Step::told).collect();
                format!("‹{lead}›{}‹.›\n", told.join(&format!("‹{joint}›")))
            }
            Persona::Formal => {
                let mut out = String::new();
                for (number, step) in self.steps.iter().enumerate() {
                    let lead = if number == 0 {
                        who.pick(&["First we find the ", "To begin with, we need the "])
                    } else {
                        who.pick(&["Next, the ", "This leads to the "])
                    };
                    out += &format!("‹{lead}›{}: {}‹.›\n", step.finds, step.sum());
                }
                out
            }
        };
        let end = if who.keeps_form {
            format!("Answer: {value}")
        } else {
            match who.persona() {
                Persona::Terse if work.is_empty() => format!("{value}"),
                Persona::Terse => format!("‹So ›{value}‹.›"),
                Persona::Chatty => {
                    let lead = who.pick(&["So that's ", "I get ", "Which makes "]);
                    format!("‹{lead}›{value}‹!›")
                }
                Persona::Formal => format!("‹The result is therefore ›{value}‹.›"),
            }
        };
        let closing = who.closing();
        format!("{opening}{work}{end}{closing}")
    }

    /// Kind and numbers: whose story it is makes no difference.
    fn key(&self) -> String {
        let sums: Vec<String> = self.steps.iter().map(Step::sum).collect();
        format!("word {} {}", self.name, sums.join(", "))
    }
}

pub(super) fn draw(shares: &Shares, rng: &mut Rng) -> Drawn {
    let (story, rare) = Story::draw(shares, rng);
    let phrasing = shares.phrasing(rng);
    let mut who = Annotator::someone(rng);
    let truth = Styled::marked(&story.truth(&mut who));
    Drawn {
        task: LabTask::Word,
        kind: story.name.into(),
        rare,
        content: hash(&story.key()),
        prompt: story.question(phrasing),
        own: story.own(),
        truth,
        persona: who.persona(),
        check: Check::Number { value: story.value().to_string(), place: Place::AnswerLine },
    }
}
