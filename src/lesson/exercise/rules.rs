//! Exercises about rules of token weights.

use super::Judgement;
use crate::error::Result;
use crate::lesson::{Comparison, Lesson, spread};

/// A rule that gives every token the weight that `other` gives it, but does not speak of perplexity.
pub fn says_the_same(mine: &Lesson, other: &Lesson) -> Judgement {
    let rule = &mine.rule;
    if mine.weights.len() != other.weights.len() {
        return Judgement::not_yet(
            "It is made of other items; make it of the same reading.".into(),
        );
    }
    let pairs = mine.weights.iter().flatten().zip(other.weights.iter().flatten());
    let apart = pairs.filter(|(a, b)| (**a - **b).abs() > 1e-6).count();
    if apart > 0 {
        return Judgement::not_yet(format!(
            "{rule} gives {apart} tokens another weight than {} does. The bound on another signal is the same function of 2.5 as that signal is of \
             the perplexity.",
            other.rule
        ));
    }
    match rule.expanded().contains("ppl_") {
        true => Judgement::not_yet(format!(
            "{rule} gives every token the same weight, and in the same words: it asks for the perplexity. Which other signals of the base model say as \
             much? p_base is one over it, surprisal_base its logarithm."
        )),
        false => Judgement::right(format!(
            "{rule} gives each of {} tokens the weight that {} gives it.",
            mine.weights.iter().flatten().count(),
            other.rule
        )),
    }
}

/// A rule without a threshold: no token of an answer weighs nothing, the more surprising one never weighs more, and at most `share` of all weight
/// lies on the tokens that STM masks.
///
/// # Errors
/// The rule gives no token any weight.
pub fn weighs_smoothly(mine: &Lesson, share: f64) -> Result<Judgement> {
    let rule = &mine.rule;
    let mut weighed: Vec<(f32, f32)> = Vec::new();
    for (at, sequence) in mine.reading.sequences.iter().enumerate() {
        let perplexity = mine.reading.scores[at].perplexity();
        let weights = &mine.weights[at];
        let known = |place: usize| Some((perplexity[place]?, weights[place]));
        weighed.extend(sequence.completion.positions().filter_map(known));
    }
    let nothing = weighed.iter().filter(|(_, weight)| *weight == 0.0).count();
    if nothing > 0 {
        return Ok(Judgement::not_yet(format!(
            "{rule} gives {nothing} of {} tokens no weight at all: that is a mask. A number such as p_base weighs without one.",
            weighed.len()
        )));
    }
    weighed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rises = weighed
        .windows(2)
        .filter(|pair| pair[1].0 > pair[0].0 && pair[1].1 > pair[0].1 + 1e-6)
        .count();
    if rises > 0 {
        return Ok(Judgement::not_yet(format!(
            "{rises} times {rule} gives a token more than a less surprising one."
        )));
    }
    let (most, least) = (weighed.first(), weighed.last());
    if most.map(|token| token.1) == least.map(|token| token.1) {
        return Ok(Judgement::not_yet(format!("{rule} gives every token the same weight.")));
    }
    let surprising = spread(&[mine])?.rows[0].surprising;
    let found = format!(
        "{:.2} % of the weight of {rule} lies on tokens that STM masks",
        100.0 * surprising
    );
    Ok(match surprising > share {
        true => Judgement::not_yet(format!(
            "{found}, more than {:.2} %. A power above 1 falls faster.",
            100.0 * share
        )),
        false => Judgement::right(format!("{found}; none of them weighs nothing.")),
    })
}

/// A model that learned by a rule of the reader's own, gained on the target, and lost at most `points` on the other tasks.
///
/// # Errors
/// The comparison has no model called `name`.
pub fn gains_and_keeps(
    mine: &Lesson,
    known: &[&Lesson],
    comparison: &Comparison,
    name: &str,
    points: f64,
) -> Result<Judgement> {
    let same = |other: &&&Lesson| other.weights == mine.weights;
    if let Some(other) = known.iter().find(same) {
        return Ok(Judgement::not_yet(format!(
            "{} is a rule of this page ({}); write one of your own.",
            mine.rule, other.rule
        )));
    }
    let change = comparison.of(name)?;
    let found = format!(
        "{name} changed the target by {:+.1} points and lost {:.1} elsewhere",
        change.gained(),
        change.lost()
    );
    Ok(match (change.gained() > 0.0, change.lost() <= points) {
        (true, true) => Judgement::right(format!(
            "{found}. Whether the gain is more than chance, its error of {:.1} says.",
            change.target.difference.se.unwrap_or(f64::NAN)
        )),
        (_, false) => {
            Judgement::not_yet(format!("{found}: more than {points}. Give surprising tokens less."))
        }
        (false, _) => Judgement::not_yet(format!(
            "{found}: no gain. What it gives no weight it cannot teach."
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::exercise::reading_of;

    #[test]
    fn a_rule_in_other_words_has_the_same_weights() {
        let reading = reading_of(&[-0.1, -0.2, -3.0, -0.9, -0.95]);
        let low = reading.learn("stm(2.5)").unwrap();
        let judge = |rule: &str| says_the_same(&reading.learn(rule).unwrap(), &low);
        assert!(judge("keep(p_base >= 0.4)").right);
        assert!(judge("keep(surprisal_base <= ln(2.5))").right);
        assert!(judge("stm(2.5)").why.contains("in the same words"));
        assert!(judge("!keep(ppl_base > 2.5)").why.contains("in the same words"));
        assert!(judge("keep(p_base >= 0.5)").why.contains("another weight"));
    }

    #[test]
    fn a_smooth_rule_falls_and_masks_nothing() {
        let reading = reading_of(&[-0.1, -0.2, -3.0, -0.9, -0.95]);
        let judge = |rule: &str| weighs_smoothly(&reading.learn(rule).unwrap(), 0.05).unwrap();
        assert!(judge("p_base ^ 4").right);
        assert!(judge("stm(2.5)").why.contains("that is a mask"));
        assert!(judge("ppl_base").why.contains("less surprising"));
        assert!(judge("p_base").why.contains("A power above 1"));
        assert!(judge("1").why.contains("the same weight"));
    }
}
