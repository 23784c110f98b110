//! The lab: synthetic tasks on which a model of a million parameters can learn, forget and be graded exactly.
//!
//! Six tasks have the shape of the paper's benchmarks. Each question comes with two answers in two *dialects*: the model's own, a
//! fixed and explicit way in which the base model is trained ([`corpus`]), and an annotator's, in which the ground truth is
//! written: as correct, but in another person's words. Where the annotator's dialect shows is recorded, so a mask has a precision
//! and a recall.
//!
//! ```
//! use unforget::lab::{LabTask, Shares, draw};
//! use unforget::rng::Rng;
//! let drawn = draw(LabTask::Word, &Shares::benchmark(LabTask::Word), &mut Rng::new(1, "example"));
//! let item = drawn.item("word/example/0");
//! assert_eq!(item.grade(&drawn.own, false).value, 1.0);
//! assert_eq!(item.grade(&drawn.truth.text, false).skill, 1.0);
//! ```
//!
//! A trap: the kinds and phrasings that are rare in pre-training are as frequent as the others in the benchmarks ([`Shares`]), so
//! a base model's score says as much about the corpus as about the model.

mod algebra;
mod annotator;
mod choice;
mod code;
pub mod corpus;
mod follow;
mod make;
pub mod pretrain;
mod sql;
mod styled;
mod word;

pub use annotator::Persona;
pub use make::{make, write_benchmarks};
pub use styled::Styled;

use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::task::{Check, Item};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The folder `datasets/lab` that ships with the crate: below the working directory, or where the crate was built.
pub fn folder() -> Result<PathBuf> {
    let here = PathBuf::from("datasets/lab");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/lab");
    for folder in [&here, &source] {
        if folder.join("model").is_dir() {
            return Ok(folder.clone());
        }
    }
    let hint = "run from the project's folder, or make it with `unforget make-lab datasets/lab`";
    Err(Error::missing("lab", source, hint))
}

/// One of the lab's tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabTask {
    /// Write a function, graded by running it: the shape of MBPP. A target task.
    Code,
    /// Solve a linear equation, boxed answer: the shape of MATH. A target task.
    Algebra,
    /// Arithmetic stories: the shape of GSM8K.
    Word,
    /// Four options, one letter: the shape of ARC.
    Choice,
    /// A question on a table, graded by running the query: the shape of BIRD.
    Sql,
    /// Write words as told, every condition checked: the shape of IFEval.
    Follow,
}

impl LabTask {
    /// All tasks, targets first.
    pub const ALL: [Self; 6] =
        [Self::Code, Self::Algebra, Self::Word, Self::Choice, Self::Sql, Self::Follow];
    /// The tasks that a model is fine-tuned for, one at a time.
    pub const TARGETS: [Self; 2] = [Self::Code, Self::Algebra];

    /// The task's name in recipes, tables and ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Algebra => "algebra",
            Self::Word => "word",
            Self::Choice => "choice",
            Self::Sql => "sql",
            Self::Follow => "follow",
        }
    }

    /// The task called `name`.
    ///
    /// # Errors
    /// Lists the names there are.
    pub fn named(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid("task", format!("no lab task is called {name:?}; there are {names}"))
        })
    }

    /// Whether models are fine-tuned for this task.
    pub fn is_target(self) -> bool {
        Self::TARGETS.contains(&self)
    }
}

/// How often the rare is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// Share of rare kinds (of rare operations in *code*).
    pub rare: f64,
    /// Relative frequency of each of the four ways to put a question.
    pub phrasings: [f64; 4],
    /// Whether the options of *choice* stand in lines of their own, their letters in brackets.
    pub bracketed: bool,
}

impl Shares {
    /// As the benchmark of `task` has them: every phrasing alike, rare kinds a third; of *algebra* three fifths, whose common kinds
    /// the base model can do, so that there is something to learn.
    pub fn benchmark(task: LabTask) -> Self {
        Self {
            rare: match task {
                LabTask::Algebra => 0.6,
                _ => 1.0 / 3.0,
            },
            phrasings: [1.0; 4],
            bracketed: false,
        }
    }

    /// An index below `common + rare`: the common kinds come first.
    fn kind(&self, common: usize, rare: usize, rng: &mut Rng) -> usize {
        if rng.chance(self.rare) { common + rng.below(rare) } else { rng.below(common) }
    }

    fn phrasing(&self, rng: &mut Rng) -> usize {
        rng.weighted(&self.phrasings)
    }
}

/// One question with its two answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The task it belongs to.
    pub task: LabTask,
    /// The kind within the task, such as `bus`; for *code* the operations' names, joined by `+`.
    pub kind: String,
    /// Whether the kind is one of those that pre-training seldom shows.
    pub rare: bool,
    /// A stable hash of what is asked, whatever the names and the phrasing. It decides where the question belongs.
    pub content: u64,
    /// The user's turn.
    pub prompt: String,
    /// The answer in the model's own dialect.
    pub own: String,
    /// The answer in an annotator's dialect.
    pub truth: Styled,
    /// Who wrote `truth`.
    pub persona: Persona,
    /// What a right answer has to do.
    pub check: Check,
}

impl Drawn {
    /// As an item of a benchmark.
    pub fn item(&self, id: impl Into<String>) -> Item {
        Item {
            id: id.into(),
            prompt: self.prompt.clone(),
            truth: self.truth.text.clone(),
            style: self.truth.style.clone(),
            check: self.check.clone(),
        }
    }

    /// The split whose content this is; `None` for pre-training.
    pub fn split(&self) -> Option<Split> {
        split_of(self.content)
    }
}

/// A part of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// To fine-tune on.
    Train,
    /// To choose by.
    Validation,
    /// To report.
    Test,
}

impl Split {
    /// The split's name in ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// One content in eight belongs to the benchmarks; of eight of those, four are for training, one for validation, three for testing.
fn split_of(content: u64) -> Option<Split> {
    if !content.is_multiple_of(8) {
        return None;
    }
    Some(match content / 8 % 8 {
        0..=3 => Split::Train,
        4 => Split::Validation,
        _ => Split::Test,
    })
}

/// Draws one question of `task` with both answers: for pre-training or for a benchmark, as its [`Drawn::split`] says.
pub fn draw(task: LabTask, shares: &Shares, rng: &mut Rng) -> Drawn {
    match task {
        LabTask::Code => code::draw(shares, rng),
        LabTask::Algebra => algebra::draw(shares, rng),
        LabTask::Word => word::draw(shares, rng),
        LabTask::Choice => choice::draw(shares, rng),
        LabTask::Sql => sql::draw(shares, rng),
        LabTask::Follow => follow::draw(shares, rng),
    }
}

/// `n` questions of one split of `task`, no prompt twice; the first `m` of them are the same for every `n`.
///
/// Splits share no content with each other nor with pre-training, whatever the seeds.
///
/// # Errors
/// If the task has not so many different questions.
pub fn benchmark(task: LabTask, split: Split, n: usize, seed: u64) -> Result<Vec<Item>> {
    let drawn = benchmark_drawn(task, split, n, seed)?;
    let name = |i| format!("{}/{}/{i}", task.name(), split.name());
    Ok(drawn.iter().enumerate().map(|(i, drawn)| drawn.item(name(i))).collect())
}

/// As [`benchmark`], with everything that is known of each question.
///
/// # Errors
/// As [`benchmark`].
pub fn benchmark_drawn(task: LabTask, split: Split, n: usize, seed: u64) -> Result<Vec<Drawn>> {
    let shares = Shares::benchmark(task);
    let mut rng = Rng::new(seed, &format!("lab/{}/{}", task.name(), split.name()));
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(n);
    let mut in_vain = 0;
    while items.len() < n {
        let drawn = draw(task, &shares, &mut rng);
        if drawn.split() == Some(split) && seen.insert(drawn.prompt.clone()) {
            items.push(drawn);
            in_vain = 0;
            continue;
        }
        in_vain += 1;
        if in_vain > 5_000 {
            return Err(Error::invalid(
                "items",
                format!(
                    "{n} different {} questions for {} were asked for, only {} were found",
                    task.name(),
                    split.name(),
                    items.len()
                ),
            ));
        }
    }
    Ok(items)
}

/// FNV-1a with a final mix: the same on every machine and in every version, since it decides what a model may be tested on.
fn hash(content: &str) -> u64 {
    let mut hash = content.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ (hash >> 31)
}

/// The first letter in upper case; ASCII.
fn sentence(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(task: LabTask, n: usize, mut look: impl FnMut(&Drawn)) {
        let mut rng = Rng::new(11, task.name());
        for _ in 0..n {
            look(&draw(task, &Shares::benchmark(task), &mut rng));
        }
    }

    #[test]
    fn both_answers_pass_their_own_check() {
        for task in LabTask::ALL {
            let n = 2_000;
            let (mut strict, mut bytes, mut styled) = (0.0, [0; 3], 0);
            each(task, n, |drawn| {
                let item = drawn.item("x");
                let own = item.grade(&drawn.own, false);
                assert_eq!(own.value, 1.0, "{}\n{}\n{}", own.why, drawn.prompt, drawn.own);
                let truth = item.grade(&drawn.truth.text, false);
                assert_eq!(
                    truth.skill, 1.0,
                    "{}\n{}\n{}",
                    truth.why, drawn.prompt, drawn.truth.text
                );
                strict += truth.value;
                for (sum, text) in
                    bytes.iter_mut().zip([&drawn.prompt, &drawn.own, &drawn.truth.text])
                {
                    *sum += text.len();
                }
                styled += drawn.truth.style.iter().map(|(a, b)| b - a).sum::<usize>();
            });
            let share = strict / n as f64;
            println!(
                "{:8} truths in the form asked for {share:.3}; mean bytes of prompt {}, own {}, truth {} ({:.0} % style)",
                task.name(),
                bytes[0] / n,
                bytes[1] / n,
                bytes[2] / n,
                100.0 * styled as f64 / bytes[2] as f64
            );
            assert!((0.5..0.85).contains(&share), "{}: {share}", task.name());
        }
    }

    #[test]
    fn styles_are_ranges_of_whole_letters() {
        for task in LabTask::ALL {
            each(task, 300, |drawn| {
                let mut at = 0;
                for &(start, end) in &drawn.truth.style {
                    assert!(at <= start && start < end);
                    assert!(drawn.truth.text.get(start..end).is_some());
                    at = end;
                }
                assert!(!drawn.truth.text.contains(['‹', '›']));
            });
        }
    }

    #[test]
    fn the_two_dialects_differ() {
        for task in LabTask::ALL {
            let mut same = 0;
            each(task, 500, |drawn| same += usize::from(drawn.own == drawn.truth.text));
            assert!(same < 25, "{}: {same} of 500 answers are alike", task.name());
        }
    }

    #[test]
    fn splits_share_no_content() {
        for task in LabTask::ALL {
            let mut seen = HashSet::new();
            for split in [Split::Train, Split::Validation, Split::Test] {
                let items = benchmark_drawn(task, split, 150, 5).expect("enough questions");
                let contents: HashSet<u64> = items.iter().map(|drawn| drawn.content).collect();
                assert!(items.iter().all(|drawn| drawn.split() == Some(split)));
                assert!(seen.is_disjoint(&contents), "{}", task.name());
                seen.extend(contents);
            }
        }
    }

    #[test]
    fn a_larger_benchmark_begins_with_the_smaller_one() {
        let small = benchmark(LabTask::Word, Split::Test, 20, 1).expect("enough questions");
        let large = benchmark(LabTask::Word, Split::Test, 50, 1).expect("enough questions");
        assert_eq!(small[..], large[..20]);
        assert_eq!(small[3].id, "word/test/3");
    }

    #[test]
    fn a_benchmark_of_the_paper_s_size_can_be_drawn() {
        for task in LabTask::ALL {
            let items = benchmark(task, Split::Train, 400, 0).expect("enough questions");
            let prompts: HashSet<&str> = items.iter().map(|item| item.prompt.as_str()).collect();
            assert_eq!(prompts.len(), 400);
            assert_eq!(
                benchmark(task, Split::Test, 300, 0).map(|items| items.len()).ok(),
                Some(300)
            );
        }
    }

    #[test]
    fn too_many_questions_are_refused() {
        let error = benchmark(LabTask::Algebra, Split::Validation, 10_000_000, 0);
        assert!(error.is_err_and(|e| e.to_string().contains("only")));
    }

    /// Run with `--nocapture` to read what the lab's texts look like.
    #[test]
    fn samples() {
        for task in LabTask::ALL {
            let mut rng = Rng::new(3, "samples");
            for _ in 0..2 {
                let drawn = draw(task, &Shares::benchmark(task), &mut rng);
                println!(
                    "=== {} / {} / {:?}\n{}\n--- own\n{}\n--- truth\n{}\n",
                    task.name(),
                    drawn.kind,
                    drawn.persona,
                    drawn.prompt,
                    drawn.own,
                    drawn.truth.to_marked()
                );
                assert!(drawn.prompt.len() > 20);
            }
        }
    }
}
