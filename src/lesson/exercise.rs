//! Exercises of the notebooks: an answer is checked on this machine, against what is computed from it and not against a written number.

mod comparison;
mod loss;
mod masks;
mod movement;
mod own;
mod pool;
mod rules;
mod surprise;

pub use comparison::{differ_after_holm, enough_items, equal_within};
pub use loss::{is_backward_transfer, lost_in_form, lost_in_skill};
pub use masks::{always_keeps, hits_style, masks_as_much_by_quantile};
pub use movement::{is_control_within_class, keeps_in_part, moves_as_far};
pub use own::{differ_in_one, halves_the_rank, maps_columns};
pub use pool::{enough_samples, is_matched, picks_plainer};
pub use rules::{gains_and_keeps, says_the_same, weighs_smoothly};
pub use surprise::{is_hardest, splits_surprise, surprises_most};

use super::{Comparison, Lesson};
use crate::error::Result;
use crate::stats::Verdict;

/// Whether an answer to an exercise holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it holds.
    pub right: bool,
    /// Why, or what to try.
    pub why: String,
}

impl Judgement {
    pub(crate) fn right(why: String) -> Self {
        Self { right: true, why }
    }

    pub(crate) fn not_yet(why: String) -> Self {
        Self { right: false, why }
    }
}

/// A lesson that masks a share of the answers' tokens between `from` and `to`, and still learns something of every answer.
pub fn masks_between(mine: &Lesson, from: f64, to: f64) -> Judgement {
    let share = mine.masked_share();
    let empty = mine
        .examples()
        .iter()
        .filter(|example| example.weights.iter().all(|weight| *weight == 0.0))
        .count();
    let masked = format!("{} masks {:.1} % of the answers' tokens", mine.rule, 100.0 * share);
    if empty > 0 {
        return Judgement::not_yet(format!(
            "{masked}, and {empty} answers have nothing left to learn."
        ));
    }
    match (share < from, share > to) {
        (true, _) => {
            Judgement::not_yet(format!("{masked}: too few. A lower threshold masks more."))
        }
        (_, true) => {
            Judgement::not_yet(format!("{masked}: too many. A higher threshold masks fewer."))
        }
        _ => Judgement::right(format!("{masked}, and something is learned of every answer.")),
    }
}

/// A lesson that is a fair control of `low`: of each answer it learns as many tokens, but not the same ones.
pub fn is_control(mine: &Lesson, low: &Lesson) -> Judgement {
    if mine.weights.len() != low.weights.len() {
        return Judgement::not_yet(
            "It is made of other items; make it of the same reading.".into(),
        );
    }
    let learned = |weights: &[f32]| weights.iter().filter(|weight| **weight != 0.0).count();
    let pairs = || mine.weights.iter().zip(&low.weights);
    let uneven = pairs().filter(|(a, b)| learned(a) != learned(b)).count();
    if uneven > 0 {
        return Judgement::not_yet(format!(
            "In {uneven} of {} answers it learns another number of tokens, so that a difference could come from the number alone. \
             `unforget weights --list` shows rules that are controls.",
            low.weights.len()
        ));
    }
    let moved: usize = pairs()
        .map(|(a, b)| a.iter().zip(b).filter(|(a, b)| **a != 0.0 && **b == 0.0).count())
        .sum();
    match moved {
        0 => Judgement::not_yet("It learns the very same tokens.".into()),
        _ => Judgement::right(format!(
            "As many tokens of each answer, {moved} of them others: a fair control."
        )),
    }
}

/// A model that learned from the given answers and lost at most `points` on the other tasks.
///
/// # Errors
/// The comparison has no model called `name`.
pub fn keeps(comparison: &Comparison, name: &str, points: f64) -> Result<Judgement> {
    let change = comparison.of(name)?;
    let found = format!(
        "{name} changed the target by {:.1} points and lost {:.1} elsewhere",
        change.gained(),
        change.lost()
    );
    if change.lost() > points {
        return Ok(Judgement::not_yet(format!(
            "{found}: more than {points}. Smaller steps change less."
        )));
    }
    let sure = match change.kept() {
        Verdict::Yes => "The items are enough to say that it is less than 2.",
        _ => "So few items cannot show that it is less than 2: more test items could.",
    };
    Ok(Judgement::right(format!("{found}. {sure}")))
}

#[cfg(test)]
/// One item whose answer has the tokens of these log-probabilities.
pub(in crate::lesson) fn reading_of(log_prob: &[f32]) -> crate::lesson::Reading {
    use crate::lesson::Reading;
    use crate::perplexity::TokenScores;
    use crate::select::{LossMask, TokenClass};
    use crate::task::{Check, Item, Place};
    use crate::tokens::{Form, Sequence};
    let count = log_prob.len() + 1;
    let sequence = Sequence {
        weights: Vec::new(),
        id: "word/train/0".into(),
        text: "x".repeat(count),
        ids: (0..count as u32).collect(),
        spans: (0..count).map(|at| at..at + 1).collect(),
        completion: (0..count).map(|at| at > 0).collect::<LossMask>(),
        prompt_tokens: 1,
        form: Form::Chat,
        end_of_turn: None,
    };
    let all = std::iter::once(None).chain(log_prob.iter().copied().map(Some));
    Reading {
        name: "ground truth".into(),
        items: vec![Item {
            id: "word/train/0".into(),
            prompt: "?".into(),
            truth: "x".repeat(count - 1),
            style: vec![],
            check: Check::Number { value: "1".into(), place: Place::AnswerLine },
        }],
        scores: vec![TokenScores {
            log_prob: all.collect(),
            entropy: vec![None; count],
            rank: vec![None; count],
        }],
        classes: vec![vec![TokenClass::Words; count]],
        sequences: vec![sequence],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_judged_by_what_it_masks() {
        let reading = reading_of(&[-0.1, -0.2, -3.0, -5.0]);
        let judge = |rule: &str| masks_between(&reading.learn(rule).unwrap(), 0.4, 0.6);
        assert!(judge("stm(2.5)").right);
        assert!(judge("all").why.contains("too few"));
        assert!(judge("stm(1.15)").why.contains("too many"));
        assert!(judge("stm(1.01)").why.contains("nothing left"));
    }

    #[test]
    fn a_control_learns_as_many_but_other_tokens() {
        let reading = reading_of(&[-0.1, -0.2, -0.3, -4.0, -5.0]);
        let low = reading.learn("stm(2.5)").unwrap();
        let judge = |rule: &str| is_control(&reading.learn(rule).unwrap(), &low);
        assert!(judge("lowest_mask(2.5)").right);
        assert!(judge("stm(2.5)").why.contains("very same"));
        assert!(judge("all").why.contains("another number"));
    }

    #[test]
    fn a_rule_that_needs_a_second_model_is_refused() {
        let error = reading_of(&[-0.1]).learn("rho1(0.6)").unwrap_err().to_string();
        assert!(error.contains("second model"), "{error}");
    }
}
