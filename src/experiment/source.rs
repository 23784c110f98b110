use super::rewrite::{code_only, with_line_ends};
use crate::self_output::{Candidates, Pool, SelfOutput};
use crate::task::Item;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose answers a model is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The reference answers.
    GroundTruth,
    /// The reference answers with plain line ends, where they have carriage returns: nearly all of MBPP's do, and to a model they are noise.
    GroundTruthLf,
    /// The reference answers with a carriage return at every line end, as nearly all of MBPP's have: what such noise alone does.
    GroundTruthCrlf,
    /// The reference answers cut down to their first fenced block of code; those without one stay as they are.
    GroundTruthCode,
    /// The reference answers of those items only for which Self-Output found a right answer: tells the effect of fewer and easier
    /// items from that of their wording.
    GroundTruthOnSelfOutputItems,
    /// The model's own right answers.
    SelfOutput,
    /// The model's own right answers to those questions that it answered both rightly and wrongly (the paper's "100 % correct").
    SelfOutputRight,
    /// To the same questions, its answers of lowest perplexity, right or wrong (the paper's "mixed").
    SelfOutputAny,
    /// To the same questions, its wrong answers of lowest perplexity (the paper's "0 % correct").
    SelfOutputWrong,
    /// The model's right rewrites of the reference answers.
    Rephrase,
}

impl Source {
    /// All of them, with their names in recipes.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::GroundTruth, "ground_truth"),
        (Self::GroundTruthOnSelfOutputItems, "ground_truth_on_self_output_items"),
        (Self::GroundTruthLf, "ground_truth_lf"),
        (Self::GroundTruthCrlf, "ground_truth_crlf"),
        (Self::GroundTruthCode, "ground_truth_code"),
        (Self::SelfOutput, "self_output"),
        (Self::SelfOutputRight, "self_output_right"),
        (Self::SelfOutputAny, "self_output_any"),
        (Self::SelfOutputWrong, "self_output_wrong"),
        (Self::Rephrase, "rephrase"),
    ];

    /// The source of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(source, _)| *source)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(source, _)| *source == self).map_or("", |(_, name)| name)
    }

    /// Whether it needs the pool of Self-Output.
    pub(super) fn of_self_output(self) -> bool {
        self.candidates().is_some() || self == Self::GroundTruthOnSelfOutputItems
    }

    /// Which of the pool's answers it takes.
    fn candidates(self) -> Option<Candidates> {
        match self {
            Self::SelfOutput => Some(Candidates::Correct),
            Self::SelfOutputRight => Some(Candidates::CorrectOfMixed),
            Self::SelfOutputAny => Some(Candidates::AnyOfMixed),
            Self::SelfOutputWrong => Some(Candidates::IncorrectOfMixed),
            _ => None,
        }
    }

    /// The items with the answers that this source gives them; `pool` and `config` are of Self-Output, or of Rephrase for that. Items without an
    /// answer are left out.
    pub(super) fn answers(
        self,
        items: &[Item],
        pool: Option<&Pool>,
        config: &SelfOutput,
    ) -> Vec<Item> {
        let rewritten = |rewrite: &dyn Fn(&Item) -> Item| items.iter().map(rewrite).collect();
        let chosen = |among| {
            pool.map_or_else(Vec::new, |pool: &Pool| pool.chosen(items, config.lowest, among))
        };
        match self {
            Self::GroundTruth => items.to_vec(),
            Self::GroundTruthLf => rewritten(&|item| with_line_ends(item, "\n")),
            Self::GroundTruthCrlf => rewritten(&|item| with_line_ends(item, "\r\n")),
            Self::GroundTruthCode => rewritten(&code_only),
            Self::GroundTruthOnSelfOutputItems => {
                let chosen = chosen(Candidates::Correct);
                let answered = |item: &&Item| chosen.iter().any(|other| other.id == item.id);
                items.iter().filter(answered).cloned().collect()
            }
            _ => chosen(self.candidates().unwrap_or(Candidates::Correct)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
