//! *follow*: write words as told, every condition checked, as in IFEval.

use super::annotator::{Annotator, Persona};
use super::{Drawn, LabTask, Shares, Styled, hash};
use crate::rng::Rng;
use crate::task::{Case, Check};

const COMMON: usize = 4;
const RARE: usize = 2;

pub(super) const WORDS: &[&str] = &[
    "sun", "moon", "star", "rain", "snow", "wind", "tree", "leaf", "rose", "grass", "river",
    "lake", "sea", "hill", "rock", "sand", "road", "house", "door", "wall", "roof", "room",
    "table", "chair", "bed", "lamp", "cup", "plate", "fork", "spoon", "bread", "milk", "salt",
    "soup", "cake", "egg", "hat", "coat", "shoe", "ring", "book", "pen", "map", "key", "clock",
    "bell", "drum", "song", "boat", "train", "car", "bike", "bird", "fish", "frog", "bee", "king",
    "queen", "child", "friend",
];

/// How a separator is called and what it is.
const SEPARATORS: [(&str, &str); 4] =
    [("commas", ", "), ("dashes", " - "), ("slashes", " / "), ("plus signs", " + ")];

const CASES: [(&str, Case); 3] = [
    ("in capitals", Case::Capitals),
    ("in small letters", Case::Small),
    ("with a capital first letter", Case::First),
];

struct Order {
    kind: &'static str,
    /// What to do with the words: `in reverse order`.
    how: &'static str,
    given: Vec<&'static str>,
    wanted: Vec<String>,
    case: (&'static str, Case),
    separator: (&'static str, &'static str),
}

impl Order {
    fn draw(shares: &Shares, rng: &mut Rng) -> (Self, bool) {
        let kind = shares.kind(COMMON, RARE, rng);
        let count = rng.between(3, 5) as usize;
        let given: Vec<&'static str> =
            rng.distinct(WORDS.len(), count).into_iter().map(|i| WORDS[i]).collect();
        let mut wanted = given.clone();
        let (name, how) = match kind {
            0 => ("same", "in the same order"),
            1 => {
                wanted.reverse();
                ("reverse", "in reverse order")
            }
            2 => {
                wanted.remove(0);
                ("without_first", "without the first one")
            }
            3 => {
                wanted.pop();
                ("without_last", "without the last one")
            }
            4 => {
                wanted.swap(0, count - 1);
                ("swap", "with the first and the last one swapped")
            }
            _ => {
                wanted.rotate_left(1);
                ("rotate", "with the first one moved to the end")
            }
        };
        let order = Self {
            kind: name,
            how,
            given,
            wanted: wanted.into_iter().map(str::to_owned).collect(),
            case: *rng.choose(&CASES),
            separator: *rng.choose(&SEPARATORS),
        };
        (order, kind >= COMMON)
    }

    fn written(&self) -> Vec<String> {
        self.wanted.iter().map(|word| self.case.1.write(word)).collect()
    }

    fn line(&self) -> String {
        self.written().join(self.separator.1)
    }

    fn question(&self, phrasing: usize) -> String {
        let words = self.given.join(" ");
        let (how, case, separator) = (self.how, self.case.0, self.separator.0);
        match phrasing {
            0 => format!(
                "Repeat these words {how}, {case}, separated by {separator}: {words}\nEnd with Answer: and the words."
            ),
            1 => format!(
                "Words: {words}\nWrite them {how}, {case}, with {separator} between them, on a last line Answer:"
            ),
            2 => format!(
                "Take the words {words}. Put them {how}, {case}, joined by {separator}. The last line must be Answer: and the words."
            ),
            _ => format!(
                "I have these words: {words}. I want them {how}, {case}, separated by {separator}, behind Answer:"
            ),
        }
    }

    fn own(&self) -> String {
        format!(
            "1. Words {}: {}\n2. Words {}: {}\n3. Between them: {}\nAnswer: {}",
            self.how,
            self.wanted.join(" "),
            self.case.0,
            self.written().join(" "),
            self.separator.0,
            self.line()
        )
    }

    fn truth(&self, who: &mut Annotator) -> String {
        let opening = who.opening();
        let work = match who.persona() {
            Persona::Terse => String::new(),
            Persona::Chatty if who.chance(0.5) => {
                format!("‹So I need them› {}‹, and› {}‹, got it.›\n", self.how, self.case.0)
            }
            Persona::Chatty => format!("‹{}›\n", who.pick(&["Here we go.", "Just a moment."])),
            Persona::Formal if who.chance(0.5) => {
                format!("‹The words› {} ‹are› {}‹.›\n", self.how, self.wanted.join("‹, ›"))
            }
            Persona::Formal => format!(
                "‹Below, the words stand› {}, {}, separated by {}‹.›\n",
                self.how, self.case.0, self.separator.0
            ),
        };
        let line = self.line();
        let end = if who.keeps_form {
            format!("Answer: {line}")
        } else {
            match who.rng.below(3) {
                // The right words, but not behind `Answer:` …
                0 => line,
                1 => format!("‹{}›{line}", who.pick(&["Here: ", "They are: ", "Result: "])),
                // … or there, but with the writer's own habits.
                _ => {
                    let words: Vec<String> = self
                        .wanted
                        .iter()
                        .map(|word| {
                            if self.case.1 == Case::Small {
                                word.clone()
                            } else {
                                format!("‹{word}›")
                            }
                        })
                        .collect();
                    format!("Answer: {}", words.join("‹; ›"))
                }
            }
        };
        let closing = who.closing();
        format!("{opening}{work}{end}{closing}")
    }

    fn key(&self) -> String {
        format!(
            "follow {} {:?} {} {}",
            self.kind,
            self.case.1,
            self.separator.0,
            self.given.join(" ")
        )
    }
}

pub(super) fn draw(shares: &Shares, rng: &mut Rng) -> Drawn {
    let (order, rare) = Order::draw(shares, rng);
    let phrasing = shares.phrasing(rng);
    let mut who = Annotator::someone(rng);
    let truth = Styled::marked(&order.truth(&mut who));
    Drawn {
        task: LabTask::Follow,
        kind: order.kind.into(),
        rare,
        content: hash(&order.key()),
        prompt: order.question(phrasing),
        own: order.own(),
        truth,
        persona: who.persona(),
        check: Check::Follow {
            words: order.wanted,
            case: order.case.1,
            separator: order.separator.1.into(),
        },
    }
}
