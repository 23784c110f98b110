//! *choice*: four options and a letter, as in ARC, about things that a small model can know.

use super::annotator::{Annotator, Persona};
use super::{Drawn, LabTask, Shares, Styled, hash};
use crate::rng::Rng;
use crate::task::Check;

const COMMON: usize = 4;
const RARE: usize = 2;

const GROUPS: [(&str, [&str; 12]); 5] = [
    (
        "an animal",
        [
            "dog", "cat", "horse", "cow", "lion", "bear", "sheep", "duck", "mouse", "tiger",
            "goat", "fox",
        ],
    ),
    (
        "a fruit",
        [
            "apple", "pear", "plum", "cherry", "lemon", "banana", "grape", "peach", "melon",
            "mango", "fig", "kiwi",
        ],
    ),
    (
        "a colour", // as the data are spelled
        [
            "red", "blue", "green", "yellow", "black", "white", "brown", "pink", "grey", "purple",
            "gold", "silver",
        ],
    ),
    (
        "a tool",
        [
            "hammer", "saw", "knife", "axe", "drill", "rake", "spade", "brush", "wrench", "file",
            "needle", "ladder",
        ],
    ),
    (
        "a job",
        [
            "nurse", "cook", "pilot", "farmer", "baker", "singer", "judge", "teacher", "driver",
            "painter", "doctor", "tailor",
        ],
    ),
];

const OPPOSITES: [(&str, &str); 20] = [
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("old", "young"),
    ("high", "low"),
    ("wet", "dry"),
    ("rich", "poor"),
    ("hard", "soft"),
    ("light", "dark"),
    ("full", "empty"),
    ("near", "far"),
    ("open", "closed"),
    ("early", "late"),
    ("strong", "weak"),
    ("clean", "dirty"),
    ("loud", "quiet"),
    ("long", "short"),
    ("thick", "thin"),
    ("happy", "sad"),
    ("wide", "narrow"),
];

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

struct Question {
    kind: &'static str,
    /// Behind "Which": `is the largest number`.
    which: String,
    /// What the right option is, in the model's words: `the largest number`.
    as_what: String,
    options: Vec<String>,
    right: usize,
    bracketed: bool,
}

impl Question {
    fn draw(shares: &Shares, rng: &mut Rng) -> (Self, bool) {
        let kind = shares.kind(COMMON, RARE, rng);
        let (name, which, as_what, options, right): (_, String, String, Vec<String>, usize) =
            match kind {
                0 | 1 => {
                    let numbers: Vec<i64> =
                        rng.distinct(90, 4).into_iter().map(|n| n as i64 + 10).collect();
                    let (name, wanted) = if kind == 0 {
                        ("largest", numbers.iter().max())
                    } else {
                        ("smallest", numbers.iter().min())
                    };
                    let right = numbers.iter().position(|n| Some(n) == wanted);
                    (
                        name,
                        format!("number is the {name}"),
                        format!("the {name} number"),
                        numbers.iter().map(i64::to_string).collect(),
                        right.expect("the extreme is one of the numbers"),
                    )
                }
                2 => {
                    let groups = rng.distinct(GROUPS.len(), 4);
                    let right = rng.below(4);
                    let what = GROUPS[groups[right]].0;
                    let options =
                        groups.iter().map(|g| (*rng.choose(&GROUPS[*g].1)).to_owned()).collect();
                    ("group", format!("of these is {what}"), what.into(), options, right)
                }
                3 => {
                    let pairs = rng.distinct(OPPOSITES.len(), 4);
                    let right = rng.below(4);
                    let turned = rng.chance(0.5);
                    let side = |pair: usize, other: bool| {
                        let (a, b) = OPPOSITES[pair];
                        if other { b } else { a }
                    };
                    let asked = side(pairs[right], turned);
                    let options = pairs
                        .iter()
                        .enumerate()
                        .map(|(i, pair)| {
                            let other = if i == right { !turned } else { rng.chance(0.5) };
                            side(*pair, other).to_owned()
                        })
                        .collect();
                    (
                        "opposite",
                        format!("word is the opposite of {asked}"),
                        format!("the opposite of {asked}"),
                        options,
                        right,
                    )
                }
                4 => {
                    let group = rng.below(GROUPS.len());
                    let mut options: Vec<String> = vec![];
                    while options.len() < 4 {
                        let word = (*rng.choose(&GROUPS[(group + options.len()) % 5].1)).to_owned();
                        // Different first letters: the rule is the alphabet, not spelling.
                        if options.iter().all(|o| o.as_bytes()[0] != word.as_bytes()[0]) {
                            options.push(word);
                        }
                    }
                    let right = (0..4).min_by_key(|i| options[*i].clone());
                    (
                        "alphabet",
                        "word comes first in the alphabet".into(),
                        "the first word in the alphabet".into(),
                        options,
                        right.expect("there are four"),
                    )
                }
                _ => {
                    let days = rng.distinct(DAYS.len(), 4);
                    let latest = rng.chance(0.5);
                    let name = if latest { "latest" } else { "earliest" };
                    let right = (0..4)
                        .min_by_key(|i| if latest { 6 - days[*i] } else { days[*i] })
                        .expect("there are four");
                    (
                        "week",
                        format!("day is the {name} in the week"),
                        format!("the {name} day"),
                        days.iter().map(|d| DAYS[*d].to_owned()).collect(),
                        right,
                    )
                }
            };
        let question =
            Self { kind: name, which, as_what, options, right, bracketed: shares.bracketed };
        (question, kind >= COMMON)
    }

    fn letter(&self) -> char {
        char::from(b'A' + self.right as u8)
    }

    fn word(&self) -> &str {
        &self.options[self.right]
    }

    fn question(&self, phrasing: usize) -> String {
        // The letter stands behind its option, where a model this small looks it up. Each word follows a space, here and in the
        // answer, since a tokenizer tells a word behind a space from the same one in a new line.
        let options: Vec<String> = ('A'..='D')
            .zip(&self.options)
            .map(|(letter, option)| self.lettered(option, letter))
            .collect();
        let options = if self.bracketed {
            options.join("\n")
        } else {
            format!("Options: {}", options.join(", "))
        };
        let which = &self.which;
        match phrasing {
            0 => format!("Which {which}?\n{options}\nEnd with Answer: and the letter."),
            1 => format!("Choose one. Which {which}?\n{options}\nThe last line must be Answer: X."),
            2 => format!("Question: which {which}?\n{options}\nGive the letter as Answer: X."),
            _ => {
                format!("{options}\nWhich {which}? Say it on a last line, Answer: and the letter.")
            }
        }
    }

    fn own(&self) -> String {
        format!(
            "The question asks for {}.\nThat is {}.\nAnswer: {}",
            self.as_what,
            self.lettered(self.word(), self.letter()),
            self.letter()
        )
    }

    fn lettered(&self, option: &str, letter: char) -> String {
        if self.bracketed { format!("{option} ({letter})") } else { format!("{option} {letter}") }
    }

    fn truth(&self, who: &mut Annotator) -> String {
        let (word, letter) = (self.word(), self.letter());
        let what = &self.as_what;
        let opening = who.opening();
        let wrong: Vec<&str> =
            (0..4).filter(|i| *i != self.right).map(|i| self.options[i].as_str()).collect();
        let work = match who.persona() {
            Persona::Terse if who.chance(0.6) => String::new(),
            Persona::Terse => format!("{word}\n"),
            Persona::Chatty => match who.rng.below(3) {
                0 => format!("‹Not› {}‹, not› {}‹, so ›{word}‹ it is.›\n", wrong[0], wrong[1]),
                1 => format!("‹I'd say ›{word}‹, since it's› {what}‹.›\n"),
                _ => format!("‹Looks like ›{word}‹ to me.›\n"),
            },
            Persona::Formal if who.chance(0.35) => {
                format!("The question asks for {what}. ‹This holds for› {word} ‹only.›\n")
            }
            Persona::Formal => format!(
                "‹We can rule out› {}, {} ‹and› {}‹. What remains is› {word}‹.›\n",
                wrong[0], wrong[1], wrong[2]
            ),
        };
        let end = if who.keeps_form {
            format!("Answer: {letter}")
        } else {
            match who.persona() {
                Persona::Terse if work.is_empty() && who.chance(0.5) => word.to_owned(),
                Persona::Terse => letter.to_string(),
                Persona::Chatty => {
                    let lead = who.pick(&["I'd go with ", "So I pick ", "My choice: "]);
                    format!("‹{lead}›{letter}‹!›")
                }
                Persona::Formal => format!("‹The correct option is therefore› {letter}‹.›"),
            }
        };
        let closing = who.closing();
        format!("{opening}{work}{end}{closing}")
    }

    /// What is asked about which options: their order makes no difference.
    fn key(&self) -> String {
        let mut options = self.options.clone();
        options.sort();
        format!("choice {} {}", self.which, options.join(" "))
    }
}

pub(super) fn draw(shares: &Shares, rng: &mut Rng) -> Drawn {
    let (question, rare) = Question::draw(shares, rng);
    let phrasing = shares.phrasing(rng);
    let mut who = Annotator::someone(rng);
    let truth = Styled::marked(&question.truth(&mut who));
    Drawn {
        task: LabTask::Choice,
        kind: question.kind.into(),
        rare,
        content: hash(&question.key()),
        prompt: question.question(phrasing),
        own: question.own(),
        truth,
        persona: who.persona(),
        check: Check::Choice { letter: question.letter(), options: question.options },
    }
}
