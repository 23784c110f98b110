//! The people who wrote the ground truth.

use crate::rng::Rng;
use serde::{Deserialize, Serialize};

/// A way of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persona {
    /// Says the least, and often leaves steps out.
    Terse,
    /// Talks, with asides.
    Chatty,
    /// Writes whole sentences.
    Formal,
}

/// One person writing one answer.
pub(super) struct Annotator<'a> {
    persona: Persona,
    /// Whether this answer ends in the form that was asked for.
    pub keeps_form: bool,
    pub rng: &'a mut Rng,
}

impl<'a> Annotator<'a> {
    /// Someone, drawn anew for each answer. Two answers in three keep the form.
    pub fn someone(rng: &'a mut Rng) -> Self {
        let persona =
            [Persona::Terse, Persona::Chatty, Persona::Formal][rng.weighted(&[0.35, 0.40, 0.25])];
        let keeps = match persona {
            Persona::Terse => 0.55,
            Persona::Chatty => 0.62,
            Persona::Formal => 0.85,
        };
        Self { persona, keeps_form: rng.chance(keeps), rng }
    }

    pub fn persona(&self) -> Persona {
        self.persona
    }

    /// One of `choices`.
    pub fn pick<'b>(&mut self, choices: &[&'b str]) -> &'b str {
        choices[self.rng.below(choices.len())]
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.rng.chance(p)
    }

    /// How the answer begins, marked as style; often not at all.
    pub fn opening(&mut self) -> String {
        let (share, words): (f64, &[&str]) = match self.persona {
            Persona::Terse => (0.0, &[""]),
            Persona::Chatty => (
                0.7,
                &[
                    "Sure! ",
                    "Okay, let's see. ",
                    "Nice one. ",
                    "Good question! ",
                    "Ha, I like this one. ",
                ],
            ),
            Persona::Formal => (
                0.4,
                &["We proceed as follows. ", "Let us work it out. ", "This can be done directly. "],
            ),
        };
        self.perhaps(share, words)
    }

    /// How the answer ends, on a line of its own, marked as style; often not at all. No digits and no capital letters alone: a
    /// grader may look for the last of them.
    pub fn closing(&mut self) -> String {
        let (share, words): (f64, &[&str]) = match self.persona {
            Persona::Terse => (0.0, &[""]),
            Persona::Chatty => (
                0.4,
                &[
                    "\nHope that helps!",
                    "\nEasy once you see it.",
                    "\nThat's all there is to it.",
                    "\nNot too bad.",
                ],
            ),
            Persona::Formal => (0.15, &["\nThis completes the task.", "\nThis is as required."]),
        };
        self.perhaps(share, words)
    }

    fn perhaps(&mut self, share: f64, words: &[&str]) -> String {
        if self.chance(share) { format!("‹{}›", self.pick(words)) } else { String::new() }
    }
}
