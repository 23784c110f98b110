//! What the lab's base model is trained on.
//!
//! Three kinds of text: conversations in the model's own dialect; *documents*, in which annotators ask and answer among themselves, so
//! that their dialect exists in the model but is not what it answers in; and requests to rephrase an annotator's answer.
//!
//! ```
//! use unforget::lab::corpus::{Corpus, CorpusExample};
//! use unforget::rng::Rng;
//! let corpus = Corpus::default();
//! match corpus.example(&mut Rng::new(1, "pre-training"), 0.0) {
//!     CorpusExample::Chat { user, assistant } => assert!(!user.is_empty() && !assistant.is_empty()),
//!     CorpusExample::Document { text } => assert!(text.contains('\n')),
//! }
//! ```

use super::{Drawn, LabTask, Shares, draw};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::task::rephrase_prompt;
use serde::{Deserialize, Serialize};

/// How often pre-training shows what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Corpus {
    /// Relative frequency of each task, in the order of [`LabTask::ALL`]. Targets are rarer than the rest, so that there is
    /// something left to learn.
    pub tasks: [f64; 6],
    /// Share of rare kinds (of rare operations in *code*) in each task; in the benchmarks they are frequent ([`Shares::benchmark`]).
    /// Close to nothing, so that the benchmarks hold something that the model has yet to learn.
    pub rare_shares: [f64; 6],
    /// Relative frequency of the four phrasings; in the benchmarks all alike.
    pub phrasings: [f64; 4],
    /// Up to this share of training the options of *choice* stand in lines, with their letters in brackets; from then on, and in the
    /// benchmarks, in one line without brackets. The model did not learn from the first form which letter belongs to a word.
    pub brackets_until: f64,
    /// Share of documents at the beginning of training and at its end; in between it changes evenly.
    pub documents: [f64; 2],
    /// Share of pages on which a list of words stands twice, at the beginning of training and at its end. They teach a small model to
    /// copy, without which it learns no task that points back to the question.
    pub copies: [f64; 2],
    /// Share of requests to rephrase.
    pub rephrase: f64,
    /// Requests to rephrase with more bytes than this are drawn anew: they would not fit the lab model's context.
    pub longest_rephrase: usize,
}

impl Default for Corpus {
    fn default() -> Self {
        Self {
            tasks: [0.09, 0.25, 0.25, 0.14, 0.07, 0.20],
            rare_shares: [0.005, 0.005, 0.02, 0.10, 0.01, 0.01],
            phrasings: [0.55, 0.20, 0.15, 0.10],
            brackets_until: 0.6544,
            documents: [0.15, 0.05],
            copies: [0.15, 0.02],
            rephrase: 0.08,
            longest_rephrase: 700,
        }
    }
}

/// One text to train on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorpusExample {
    /// One turn of each; the loss is on the assistant's.
    Chat {
        /// A question, or a request to rephrase.
        user: String,
        /// The answer in the model's own dialect.
        assistant: String,
    },
    /// Plain text, all of it to be learned.
    Document {
        /// A question and an annotator's answer, as they would stand on a page.
        text: String,
    },
}

impl Corpus {
    /// Checks that every share is one.
    ///
    /// # Errors
    /// Names the field that does not fit.
    pub fn check(&self) -> Result<()> {
        let weights = |what: &str, weights: &[f64]| {
            let fine = weights.iter().all(|w| w.is_finite() && *w >= 0.0)
                && weights.iter().sum::<f64>() > 0.0;
            if fine {
                Ok(())
            } else {
                Err(Error::invalid(
                    format!("corpus.{what}"),
                    "must be numbers from 0 on, not all 0",
                ))
            }
        };
        weights("tasks", &self.tasks)?;
        weights("phrasings", &self.phrasings)?;
        let rare = self.rare_shares.map(|share| ("rare_shares", share));
        for (what, share) in rare.into_iter().chain([
            ("brackets_until", self.brackets_until),
            ("copies", self.copies[0]),
            ("copies", self.copies[1]),
            ("documents", self.documents[0]),
            ("documents", self.documents[1]),
            ("rephrase", self.rephrase),
        ]) {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::invalid(
                    format!("corpus.{what}"),
                    format!("must be a share between 0 and 1, got {share}"),
                ));
            }
        }
        let pages = self.documents.iter().zip(&self.copies);
        if pages.map(|(documents, copies)| documents + copies + self.rephrase).any(|sum| sum > 1.0)
        {
            return Err(Error::invalid(
                "corpus.documents",
                "must leave room: together with `copies` and `rephrase` they are more than 1",
            ));
        }
        if self.longest_rephrase < 600 {
            return Err(Error::invalid(
                "corpus.longest_rephrase",
                "must be at least 600 bytes, or few questions fit",
            ));
        }
        Ok(())
    }

    /// One text; `progress` from 0 at the beginning of training to 1 at its end.
    ///
    /// Nothing that a benchmark may ask is ever drawn.
    pub fn example(&self, rng: &mut Rng, progress: f64) -> CorpusExample {
        let at = |[early, late]: [f64; 2]| early + (late - early) * progress.clamp(0.0, 1.0);
        let (documents, copies) = (at(self.documents), at(self.copies));
        match rng.weighted(&[
            documents,
            self.rephrase,
            (1.0 - documents - copies - self.rephrase).max(0.0),
            copies,
        ]) {
            0 => CorpusExample::Document { text: page(&self.draw(rng, progress), rng) },
            1 => loop {
                let drawn = self.draw(rng, progress);
                let user = rephrase_prompt(&drawn.prompt, &drawn.truth.text);
                if user.len() + drawn.own.len() <= self.longest_rephrase {
                    return CorpusExample::Chat { user, assistant: drawn.own };
                }
            },
            2 => {
                let drawn = self.draw(rng, progress);
                CorpusExample::Chat { user: drawn.prompt, assistant: drawn.own }
            }
            _ => CorpusExample::Document { text: copied(rng) },
        }
    }

    /// A question for pre-training.
    fn draw(&self, rng: &mut Rng, progress: f64) -> Drawn {
        let which = rng.weighted(&self.tasks);
        let task = LabTask::ALL[which];
        let shares = Shares {
            rare: self.rare_shares[which],
            phrasings: self.phrasings,
            bracketed: progress <= self.brackets_until,
        };
        loop {
            let drawn = draw(task, &shares, rng);
            if drawn.split().is_none() {
                return drawn;
            }
        }
    }
}

/// A list of words and numbers, twice.
fn copied(rng: &mut Rng) -> String {
    let count = rng.between(4, 12);
    let words: Vec<String> = (0..count)
        .map(|_| {
            if rng.chance(0.3) {
                rng.between(1, 99).to_string()
            } else {
                (*rng.choose(super::follow::WORDS)).to_string()
            }
        })
        .collect();
    let between = *rng.choose(&[" ", ", ", "\n", " - "]);
    let list = words.join(between);
    match rng.below(2) {
        0 => format!("{list}\n{list}"),
        _ => format!("List: {list}\nAgain: {list}"),
    }
}

/// Question and annotator's answer as they would stand on a page.
fn page(drawn: &Drawn, rng: &mut Rng) -> String {
    let (question, answer) = (&drawn.prompt, &drawn.truth.text);
    match rng.below(4) {
        0 => format!("Q: {question}\nA: {answer}"),
        1 => format!("{question}\n\n{answer}"),
        2 => format!("A reader asks:\n{question}\nSomeone replies:\n{answer}"),
        _ => format!("Exercise\n{question}\nSolution\n{answer}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Split, benchmark};
    use std::collections::HashSet;

    #[test]
    fn pre_training_never_shows_a_benchmark_question() {
        let mut benchmarks = HashSet::new();
        for task in LabTask::ALL {
            for split in [Split::Train, Split::Validation, Split::Test] {
                let items = benchmark(task, split, 150, 1).expect("enough questions");
                benchmarks.extend(items.into_iter().map(|item| item.prompt));
            }
        }
        let corpus = Corpus {
            rare_shares: [0.3; 6],
            phrasings: [1.0; 4],
            brackets_until: 0.0,
            rephrase: 0.0,
            documents: [0.0, 0.0],
            copies: [0.0, 0.0],
            ..Corpus::default()
        };
        let mut rng = Rng::new(2, "test");
        for _ in 0..10_000 {
            let CorpusExample::Chat { user, .. } = corpus.example(&mut rng, 0.5) else {
                panic!("no documents were asked for");
            };
            assert!(!benchmarks.contains(&user), "{user}");
        }
    }

    #[test]
    fn shares_come_out_as_asked() {
        let corpus = Corpus::default();
        corpus.check().expect("the defaults are shares");
        let mut rng = Rng::new(4, "test");
        let begin = std::time::Instant::now();
        for (progress, documents) in [(0.0, 0.30), (1.0, 0.07)] {
            let (mut pages, mut rephrased, mut longest) = (0.0, 0.0, 0);
            let n = 4_000;
            for _ in 0..n {
                match corpus.example(&mut rng, progress) {
                    CorpusExample::Document { text } => {
                        pages += 1.0;
                        longest = longest.max(text.len());
                    }
                    CorpusExample::Chat { user, assistant } => {
                        rephrased += f64::from(u8::from(user.ends_with("### Response:")));
                        longest = longest.max(user.len() + assistant.len());
                    }
                }
            }
            println!("longest text at {progress}: {longest} bytes");
            assert!((pages / f64::from(n) - documents).abs() < 0.02);
            assert!((rephrased / f64::from(n) - 0.08).abs() < 0.015);
        }
        println!("8,000 texts in {:.2} s", begin.elapsed().as_secs_f64());
    }

    #[test]
    fn the_same_stream_gives_the_same_corpus() {
        let corpus = Corpus::default();
        let draw = || {
            let mut rng = Rng::new(9, "corpus");
            (0..50).map(|_| corpus.example(&mut rng, 0.2)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for broken in [
            Corpus { tasks: [0.0; 6], ..Corpus::default() },
            Corpus { rare_shares: [1.5; 6], ..Corpus::default() },
            Corpus { rephrase: f64::NAN, ..Corpus::default() },
            Corpus { documents: [0.95, 0.1], ..Corpus::default() },
            Corpus { longest_rephrase: 10, ..Corpus::default() },
        ] {
            assert!(broken.check().is_err());
        }
    }
}
