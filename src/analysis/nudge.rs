//! A nudge: an answer begun for the model, up to the word that it would not have written, and then left to it.
//!
//! A model that is asked a question has to choose every token itself, and one wrong turn spoils the answer. Whether it could do the rest shows when it is
//! helped over the turn. What helped is given away, so a nudged score is no score of the question.

use crate::context::Context;
use crate::error::Result;
use crate::evaluate::Graded;
use crate::generate::{Finish, Sampling, generate};
use crate::model::Checkpoint;
use crate::scored::Scored;
use crate::task::Item;
use crate::verbs::kept;
use serde::{Deserialize, Serialize};

/// What came of nudged answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nudged {
    /// How many surprising tokens were given of each answer, with everything before them.
    pub hints: usize,
    /// The questions.
    pub items: Vec<Item>,
    /// The beginning of each answer that was given; empty where nothing surprised.
    pub given: Vec<String>,
    /// The whole answers, beginning and rest, graded.
    pub graded: Vec<Graded>,
}

/// Gives the model the beginning of each answer of `scored`, up to and with the `hints`-th token whose perplexity is above `threshold`, and lets it
/// write the rest, greedily. Without hints it is asked as always. `scored` is what the same model said of the answers.
///
/// # Errors
/// The model cannot be read, or this machine cannot grade an answer.
pub fn nudge(
    cx: &Context,
    checkpoint: &Checkpoint,
    scored: &Scored,
    threshold: f64,
    hints: usize,
    max_new_tokens: usize,
) -> Result<Nudged> {
    let starts: Vec<Vec<u32>> =
        (0..scored.items.len()).map(|at| start(scored, at, threshold, hints)).collect();
    let sampling = Sampling::greedy(max_new_tokens);
    let inputs = cx
        .fingerprint_of_answers(checkpoint, &scored.items)?
        .with("items", &scored.items)?
        .with("starts", &starts)?
        .with("sampling", &sampling)?;
    let label = format!("{} with {hints} hints", scored.name);
    let (nudged, _) = kept(cx, ("nudge", &label), checkpoint, &inputs, |_, _| {
        let model = cx.open(checkpoint)?;
        let bar = cx.progress.bar(&label, starts.len());
        let mut done = 0;
        let answers =
            generate(&model.decoder, &starts, 1, &model.stop_ids, &sampling, |_, _, _| {
                done += 1;
                bar.set(done);
            })?;
        let (mut given, mut graded) = (Vec::new(), Vec::new());
        for (at, (start, answers)) in starts.iter().zip(&answers).enumerate() {
            let item = &scored.items[at];
            let begun = &start[scored.sequences[at].prompt_tokens..];
            let whole = [begun, answers[0].content()].concat();
            let answer = model.tokenizer.decode(&whole)?;
            let truncated = answers[0].finish == Finish::Length;
            given.push(model.tokenizer.decode(begun)?);
            graded.push(Graded {
                id: item.id.clone(),
                score: item.try_grade(&answer, truncated)?,
                answer,
                truncated,
                likelihoods: Vec::new(),
            });
        }
        Ok(Nudged { hints, items: scored.items.clone(), given, graded })
    })?;
    Ok(nudged)
}

/// The question and the beginning of answer `at` that is given.
fn start(scored: &Scored, at: usize, threshold: f64, hints: usize) -> Vec<u32> {
    let sequence = &scored.sequences[at];
    let perplexity = scored.scores[at].perplexity();
    // the end of the turn is no word of the answer
    let surprising = sequence.completion.positions().filter(|position| {
        sequence.end_of_turn != Some(sequence.ids[*position])
            && perplexity[*position].is_some_and(|p| f64::from(p) > threshold)
    });
    let last = surprising.take(hints).last();
    let end = last.map_or(sequence.prompt_tokens, |position| position + 1);
    sequence.ids[..end].to_vec()
}

impl Nudged {
    /// How many answers are right.
    pub fn right(&self) -> usize {
        let right = self.graded.iter().filter(|graded| graded.score.value == 1.0);
        right.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::kinds::made::scored_of as scored;

    #[test]
    fn what_is_given_ends_with_a_token_that_surprises() {
        let scored = scored(&[-0.1, -2.0, -0.1, -3.0, -0.1]);
        let lengths = |hints: usize| start(&scored, 0, 2.5, hints).len();
        // one token of the question, then up to the second and the fourth of the answer
        assert_eq!([0, 1, 2, 3].map(lengths), [1, 3, 5, 5]);
        assert_eq!(start(&scored, 0, 1000.0, 2).len(), 1);
    }

    #[test]
    fn the_lab_model_goes_on_from_a_given_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let cx = Context::new(
            crate::store::Store::open(folder.path()).unwrap(),
            crate::model::DeviceChoice::Cpu,
            crate::progress::Progress::quiet(),
        )
        .unwrap();
        let recipe = crate::experiment::Recipe::quick();
        let base = recipe.base(&cx.progress).unwrap();
        let items = recipe.items("word", "test", 2).unwrap();
        let scored = crate::verbs::score(&cx, &base, "given", &items).unwrap();
        let plain = nudge(&cx, &base, &scored, 2.5, 0, 64).unwrap();
        assert!(plain.given.iter().all(String::is_empty));
        let helped = nudge(&cx, &base, &scored, 2.5, 1, 64).unwrap();
        for ((item, given), graded) in items.iter().zip(&helped.given).zip(&helped.graded) {
            assert!(!given.is_empty() && item.truth.starts_with(given), "{given:?}");
            assert!(graded.answer.starts_with(given), "{}", graded.answer);
        }
    }
}
