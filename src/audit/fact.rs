//! One row of the audit: what was stated, what comes out of the files, and whether the one follows from the other.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What the facts are about; the parts of an audit, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditPart {
    /// Which files are there, and whether they are those that were published.
    Files,
    /// Token perplexities of MBPP's ground truth under Llama 3 8B: Table 1, mask shares, controls.
    Masks,
    /// What kinds of tokens are masked: carriage returns, white space, words, numbers, symbols.
    Classes,
    /// BWT and TI of every row of the tables of raw results.
    Metrics,
    /// The paper's tables against those rows.
    Tables,
    /// The sampled answers and what was chosen of them.
    Samples,
    /// The code in all of this, run.
    Executor,
    /// MATH, GSM8K and ARC: splits, labels, graders against logged grades.
    Tasks,
    /// What of MBPP's test set is trained on.
    Leak,
}

impl AuditPart {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Files,
        Self::Masks,
        Self::Classes,
        Self::Metrics,
        Self::Tables,
        Self::Samples,
        Self::Executor,
        Self::Tasks,
        Self::Leak,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Masks => "masks",
            Self::Classes => "classes",
            Self::Metrics => "metrics",
            Self::Tables => "tables",
            Self::Samples => "samples",
            Self::Executor => "executor",
            Self::Tasks => "tasks",
            Self::Leak => "leak",
        }
    }

    /// What it is about, as a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Files => "The files: are they the published ones?",
            Self::Masks => "Token perplexities of MBPP's ground truth under Llama 3 8B Instruct",
            Self::Classes => "What kinds of tokens are masked",
            Self::Metrics => "BWT and TI of every row of the tables of raw results",
            Self::Tables => "The paper's tables against those rows",
            Self::Samples => "Sampled answers, and the training sets chosen of them",
            Self::Executor => "The code of answers and references, run",
            Self::Tasks => "MATH, GSM8K and ARC",
            Self::Leak => "MBPP's test tasks in its training data",
        }
    }

    /// The part called `name`.
    ///
    /// # Errors
    /// Lists the names there are.
    pub fn named(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid("part", format!("none is called {name:?}; there are {names}"))
        })
    }
}

/// Whether a stated value comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerdict {
    /// It comes out, to the last digit that is stated.
    Follows,
    /// Another value comes out; the fact's note says what is known about why.
    DoesNotFollow,
    /// These files or this machine do not allow it; the fact's note says what is missing.
    CannotBeComputed,
}

impl AuditVerdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Follows => "follows",
            Self::DoesNotFollow => "does not follow",
            Self::CannotBeComputed => "cannot be computed here",
        }
    }
}

/// One stated value and what the files say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about.
    pub part: AuditPart,
    /// What is stated, in a phrase.
    pub what: String,
    /// The file and row that it is computed from.
    pub file: String,
    /// Where it is stated: a table of the paper, a cell, or our earlier count, made by other means.
    pub stated: String,
    /// The stated value, as stated.
    pub expected: String,
    /// What comes out; none where it cannot be computed.
    pub recomputed: Option<String>,
    /// The stated value where it is a number.
    pub expected_value: Option<f64>,
    /// What comes out where it is a number.
    pub recomputed_value: Option<f64>,
    /// Whether the one follows from the other.
    pub verdict: AuditVerdict,
    /// The diagnosis, what is missing, or what else a reader should know; may be empty.
    pub note: String,
}

/// The facts of one part, in the order in which they are stated.
#[derive(Debug)]
pub(super) struct Facts {
    part: AuditPart,
    pub facts: Vec<Fact>,
}

impl Facts {
    pub fn new(part: AuditPart) -> Self {
        Self { part, facts: Vec::new() }
    }

    /// Begins a fact: what is claimed, of which file, where it is stated.
    pub fn claim(
        &mut self,
        what: impl Into<String>,
        file: impl Into<String>,
        stated: impl Into<String>,
    ) -> Claim<'_> {
        let fact = Fact {
            part: self.part,
            what: what.into(),
            file: file.into(),
            stated: stated.into(),
            expected: String::new(),
            recomputed: None,
            expected_value: None,
            recomputed_value: None,
            verdict: AuditVerdict::CannotBeComputed,
            note: String::new(),
        };
        Claim { facts: &mut self.facts, fact }
    }
}

/// A fact whose values are still missing.
pub(super) struct Claim<'a> {
    facts: &'a mut Vec<Fact>,
    fact: Fact,
}

impl Claim<'_> {
    /// Adds a sentence for the reader.
    pub fn note(mut self, note: impl AsRef<str>) -> Self {
        if !self.fact.note.is_empty() && !note.as_ref().is_empty() {
            self.fact.note.push_str("; ");
        }
        self.fact.note.push_str(note.as_ref());
        self
    }

    /// A number of things: follows if it is the same.
    pub fn count(mut self, expected: usize, found: usize) {
        self.fact.expected_value = Some(expected as f64);
        self.fact.recomputed_value = Some(found as f64);
        self.text(expected.to_string(), found.to_string());
    }

    /// A number stated with `decimals` decimals: follows if it is within half a unit of the last one.
    pub fn number(self, expected: f64, decimals: usize, found: f64) {
        let half = 0.5 * 10f64.powi(-(decimals as i32));
        self.within(expected, decimals, half, Some(found));
    }

    /// As [`Self::number`], where there may be no value.
    pub fn maybe(self, expected: f64, decimals: usize, found: Option<f64>, why_not: &str) {
        match found {
            Some(found) => self.number(expected, decimals, found),
            None => self.cannot(format!("{expected:.decimals$}"), why_not),
        }
    }

    /// A number stated with `decimals` decimals: follows if it is at most `tolerance` away.
    pub fn within(mut self, expected: f64, decimals: usize, tolerance: f64, found: Option<f64>) {
        let fact = &mut self.fact;
        fact.expected = format!("{expected:.decimals$}");
        fact.expected_value = Some(expected);
        fact.recomputed_value = found.filter(|found| found.is_finite());
        fact.verdict = match fact.recomputed_value {
            None => AuditVerdict::CannotBeComputed,
            // a sum of decimals is off by its last bits
            Some(found) if (found - expected).abs() <= tolerance + 1e-9 => AuditVerdict::Follows,
            Some(_) => AuditVerdict::DoesNotFollow,
        };
        let more = decimals + 2;
        fact.recomputed = fact.recomputed_value.map(|found| format!("{found:.more$}"));
        self.facts.push(self.fact);
    }

    /// A text or a list: follows if it is the same.
    pub fn text(mut self, expected: impl Into<String>, found: impl Into<String>) {
        let (expected, found) = (expected.into(), found.into());
        self.fact.verdict = match expected == found {
            true => AuditVerdict::Follows,
            false => AuditVerdict::DoesNotFollow,
        };
        self.fact.expected = expected;
        self.fact.recomputed = Some(found);
        self.facts.push(self.fact);
    }

    /// A finding with no exact counterpart: its words, and whether the stated value follows.
    pub fn finding(mut self, expected: impl Into<String>, found: impl Into<String>, follows: bool) {
        self.fact.expected = expected.into();
        self.fact.recomputed = Some(found.into());
        self.fact.verdict = match follows {
            true => AuditVerdict::Follows,
            false => AuditVerdict::DoesNotFollow,
        };
        self.facts.push(self.fact);
    }

    /// What these files or this machine do not allow, and why.
    pub fn cannot(mut self, expected: impl Into<String>, why: impl AsRef<str>) {
        self.fact.expected = expected.into();
        self = self.note(why);
        self.facts.push(self.fact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_follows_to_the_last_stated_digit() {
        let mut facts = Facts::new(AuditPart::Masks);
        let mut check = |expected, decimals, found, verdict| {
            facts.claim("x", "f", "s").number(expected, decimals, found);
            let fact = facts.facts.last().unwrap();
            assert_eq!(fact.verdict, verdict, "{fact:?}");
        };
        check(4.83, 2, 4.8311, AuditVerdict::Follows);
        check(4.83, 2, 4.8251, AuditVerdict::Follows);
        check(4.83, 2, 4.8249, AuditVerdict::DoesNotFollow);
        check(4.83, 2, f64::NAN, AuditVerdict::CannotBeComputed);
        assert_eq!(facts.facts[0].recomputed.as_deref(), Some("4.8311"));
    }

    #[test]
    fn what_cannot_be_computed_says_what_is_missing() {
        let mut facts = Facts::new(AuditPart::Leak);
        facts.claim("x", "f", "s").note("first").cannot("108", "the file is not here");
        assert_eq!(facts.facts[0].note, "first; the file is not here");
        assert_eq!(facts.facts[0].recomputed, None);
    }

    #[test]
    fn parts_have_names() {
        for part in AuditPart::ALL {
            assert_eq!(AuditPart::named(part.name()).unwrap(), part);
        }
        let error = AuditPart::named("mask").unwrap_err().to_string();
        assert!(error.contains("masks, classes"), "{error}");
    }
}
