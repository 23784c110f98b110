//! Answers that the model writes itself: sampled, graded, and the most plausible right one chosen.
//!
//! *Self-Output* samples N answers to each training question and keeps, of the right ones, that of lowest perplexity. *Rephrase*
//! asks once, showing the reference answer, and keeps what is right. Every candidate stays in the [`Pool`] with its grade and both of its
//! perplexities, so that other choices can be made later without sampling again.

mod pick;

pub use pick::Selection;

use crate::context::LoadedModel;
use crate::error::{Error, Result};
use crate::generate::{Answer, Finish, Sampling, generate};
use crate::perplexity;
use crate::task::{Item, Score, rephrase_prompt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How Self-Output and Rephrase sample and choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfOutput {
    /// Answers to each question.
    pub samples: usize,
    /// How they are drawn.
    pub sampling: Sampling,
    /// Which perplexity decides among the right ones.
    pub lowest: Conditioning,
}

/// The two perplexities of a whole answer that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conditioning {
    /// Given its prompt in the chat template: the paper's Table 1.
    GivenPrompt,
    /// Of the bare text: what the authors' script computes to choose.
    TextAlone,
}

/// Which candidates a choice is made among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// The right ones.
    Correct,
    /// The right ones, of items that have wrong ones too.
    CorrectOfMixed,
    /// All finished ones, right or wrong, of items that have both.
    AnyOfMixed,
    /// The wrong ones that are finished, of items that have right ones too.
    IncorrectOfMixed,
}

impl SelfOutput {
    /// 32 answers at temperature 0.7 and top-p 0.95, of the right ones the lowest perplexity of the bare text (paper § 2.2 and the
    /// authors' script of January 2025; their later script draws one).
    pub fn paper() -> Self {
        Self { samples: 32, sampling: Sampling::paper(), lowest: Conditioning::TextAlone }
    }

    /// The same with so many answers to each question, drawn at another temperature.
    pub fn at(&self, samples: usize, temperature: f64) -> Self {
        Self {
            samples,
            sampling: Sampling { temperature, ..self.sampling.clone() },
            ..self.clone()
        }
    }

    /// Rephrase: one answer, drawn alike (paper § 2.3).
    pub fn paper_rephrase() -> Self {
        Self { samples: 1, ..Self::paper() }
    }
}

/// One sampled answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its text.
    pub text: String,
    /// Its tokens, the stop id included.
    pub tokens: usize,
    /// Summed log-probability of its tokens given what the model was shown, in nats.
    pub log_prob: f64,
    /// `exp(-log_prob / tokens)`: perplexity given what the model was shown; for Self-Output that is the prompt.
    pub perplexity_given_prompt: f64,
    /// Perplexity of the bare text; `None` for an empty one.
    pub perplexity_of_text_alone: Option<f64>,
    /// Whether it ran into the length limit.
    pub truncated: bool,
    /// Its grade.
    pub score: Score,
}

/// All candidates of one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolItem {
    /// The item's id.
    pub id: String,
    /// In the order of sampling.
    pub candidates: Vec<Candidate>,
}

/// All candidates of all items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// In the order of the items.
    pub items: Vec<PoolItem>,
    /// Wall seconds of sampling and grading. If it was stopped and went on: of all tries, each up to the last part that it kept.
    pub seconds: f64,
}

impl Candidate {
    /// Right, in the right form, and finished.
    pub fn accepted(&self) -> bool {
        self.score.value == 1.0 && !self.truncated
    }

    fn perplexity(&self, which: Conditioning) -> f64 {
        match which {
            Conditioning::GivenPrompt => self.perplexity_given_prompt,
            Conditioning::TextAlone => self.perplexity_of_text_alone.unwrap_or(f64::INFINITY),
        }
    }
}

impl PoolItem {
    /// The candidate of lowest perplexity among some; the first one of equals.
    pub fn chosen(&self, which: Conditioning, among: Candidates) -> Option<&Candidate> {
        self.picked(Selection::Lowest(which), among, 0)
    }

    /// Those that a choice is made among, in the order of sampling.
    fn among(&self, among: Candidates) -> Vec<&Candidate> {
        let finished = || self.candidates.iter().filter(|c| !c.truncated);
        let mixed = finished().any(Candidate::accepted) && !finished().all(Candidate::accepted);
        let wanted = |candidate: &&Candidate| match among {
            Candidates::Correct => candidate.accepted(),
            Candidates::CorrectOfMixed => mixed && candidate.accepted(),
            Candidates::AnyOfMixed => mixed,
            Candidates::IncorrectOfMixed => mixed && !candidate.accepted(),
        };
        finished().filter(wanted).collect()
    }
}

impl Pool {
    /// Items with their chosen answer in the place of the reference; items without a candidate to choose are dropped.
    pub fn chosen(&self, items: &[Item], which: Conditioning, among: Candidates) -> Vec<Item> {
        self.picked(items, Selection::Lowest(which), among)
    }

    /// Answers sampled.
    pub fn sampled(&self) -> usize {
        self.items.iter().map(|item| item.candidates.len()).sum()
    }

    /// Share of sampled answers that are accepted; `None` without any.
    pub fn accepted(&self) -> Option<f64> {
        let accepted =
            self.items.iter().flat_map(|item| &item.candidates).filter(|c| c.accepted()).count();
        (self.sampled() > 0).then(|| accepted as f64 / self.sampled() as f64)
    }
}

/// What the model is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// The question: Self-Output.
    Question,
    /// The question with its reference answer: Rephrase.
    QuestionAndReference,
}

/// Samples candidates for `items`. The random streams go by an item's place in the whole set, `first` being that of `items[0]`, so
/// that a set may be worked off in parts.
pub fn sample(
    model: &LoadedModel,
    items: &[Item],
    first: usize,
    shown: Shown,
    config: &SelfOutput,
    mut done: impl FnMut(),
) -> Result<Vec<PoolItem>> {
    if config.samples == 0 {
        return Err(Error::invalid("samples", "must be at least 1"));
    }
    let prompts = items
        .iter()
        .map(|item| match shown {
            Shown::Question => model.question(&item.prompt),
            Shown::QuestionAndReference => {
                model.question(&rephrase_prompt(&item.prompt, &item.truth))
            }
        })
        .collect::<Result<Vec<_>>>()?;
    let seed = crate::rng::Rng::new(config.sampling.seed, "pool").fork(first as u64).next_u64();
    let sampling = Sampling { seed, ..config.sampling.clone() };
    let answers = generate(
        &model.decoder,
        &prompts,
        config.samples,
        &model.stop_ids,
        &sampling,
        |_, _, _| done(),
    )?;
    let decode = |answer: &Answer| model.tokenizer.decode(answer.content());
    let texts = answers.iter().flatten().map(decode).collect::<Result<Vec<_>>>()?;
    // the same text is sampled often; each is scored once
    let mut unique: BTreeMap<&str, Option<f64>> =
        texts.iter().map(|text| (text.as_str(), None)).collect();
    let alone = {
        let keys: Vec<&str> = unique.keys().copied().collect();
        perplexity::of_text_alone(&model.decoder, &model.tokenizer, &keys)?
    };
    for (value, alone) in unique.values_mut().zip(alone) {
        *value = alone;
    }
    let mut texts = texts.iter();
    let pool = items.iter().zip(answers).map(|(item, answers)| {
        Ok(PoolItem {
            id: item.id.clone(),
            candidates: answers
                .iter()
                .map(|answer| {
                    let text = texts.next().expect("one text for each answer");
                    let log_prob: f64 = answer.log_probs.iter().map(|l| f64::from(*l)).sum();
                    let truncated = answer.finish == Finish::Length;
                    Ok(Candidate {
                        tokens: answer.ids.len(),
                        log_prob,
                        perplexity_given_prompt: (-log_prob / answer.ids.len() as f64).exp(),
                        perplexity_of_text_alone: unique[text.as_str()],
                        truncated,
                        score: item.try_grade(text, truncated)?,
                        text: text.clone(),
                    })
                })
                .collect::<Result<_>>()?,
        })
    });
    pool.collect()
}
