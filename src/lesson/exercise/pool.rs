//! Exercises on answers that the model wrote.

use super::Judgement;
use crate::error::Result;
use crate::lesson::pool::{picks, questions_with_a_right_one};
use crate::self_output::{Pick, Pool};
use crate::task::Item;
use std::collections::BTreeMap;

/// A rule whose answers' bare texts have a lower mean perplexity than those of `other`.
///
/// # Errors
/// No question has a right answer.
pub fn picks_plainer(pool: &Pool, mine: Pick, other: Pick) -> Result<Judgement> {
    let both = picks(pool, &[mine, other])?;
    let [own, others] = [both.rows[0].text_alone, both.rows[1].text_alone];
    let found =
        format!("The text alone has a perplexity of {own:.3} by {mine}, of {others:.3} by {other}");
    Ok(match own < others {
        true => Judgement::right(format!("{found}.")),
        false => Judgement::not_yet(format!(
            "{found}. `Pick` can look at another perplexity than the one given the prompt."
        )),
    })
}

/// The fewest samples of each question that are expected to answer `share` of the questions that all samples of the pool answer.
pub fn enough_samples(pool: &Pool, samples: usize, share: f64) -> Judgement {
    let sampled = pool.items.iter().map(|item| item.candidates.len()).min();
    let sampled = sampled.unwrap_or(0);
    if samples == 0 || samples > sampled {
        return Judgement::not_yet(format!(
            "The pool has {sampled} answers to each question; take 1 to {sampled} of them."
        ));
    }
    let all = questions_with_a_right_one(pool, sampled);
    let answered = |samples: usize| questions_with_a_right_one(pool, samples) / all;
    let found = format!(
        "With {samples} samples {:.1} of the {all} questions are expected to have a right answer, {:.1} %",
        answered(samples) * all,
        100.0 * answered(samples)
    );
    match (answered(samples) >= share, samples > 1 && answered(samples - 1) >= share) {
        (false, _) => Judgement::not_yet(format!("{found}: too few.")),
        (true, true) => {
            Judgement::not_yet(format!("{found}: enough, but fewer samples are enough too."))
        }
        (true, false) => Judgement::right(format!("{found}; one less would not be enough.")),
    }
}

/// A fair control of `chosen`: the answers that `given` has to the same questions, in the same order, and no others.
pub fn is_matched(mine: &[Item], chosen: &[Item], given: &[Item]) -> Judgement {
    let ids =
        |items: &[Item]| -> Vec<String> { items.iter().map(|item| item.id.clone()).collect() };
    let given: BTreeMap<&str, &Item> = given.iter().map(|item| (item.id.as_str(), item)).collect();
    let foreign = mine
        .iter()
        .filter(|item| given.get(item.id.as_str()).is_none_or(|given| given.truth != item.truth))
        .count();
    if foreign > 0 {
        return Judgement::not_yet(format!("{foreign} of its answers are not the given ones."));
    }
    if ids(mine) != ids(chosen) {
        let kept = ids(chosen);
        let more = mine.iter().filter(|item| !kept.contains(&item.id)).count();
        return Judgement::not_yet(format!(
            "It has {} questions, {more} of which the model's answers do not have: a difference could come from the questions. `lesson::same_questions` leaves those \
             that all sets have.",
            mine.len()
        ));
    }
    Judgement::right(format!(
        "The same {} questions with the given answers: only who wrote them differs.",
        mine.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::kinds::made::reading;
    use crate::lesson::pool::tests::pool;
    use crate::self_output::Which;

    #[test]
    fn the_fewest_samples_that_are_enough_are_right() {
        // one of two questions is ever answered, by half of its four answers: 1/2, 5/6, 1
        assert!(enough_samples(&pool(), 2, 0.8).right);
        assert!(enough_samples(&pool(), 1, 0.8).why.contains("too few"));
        assert!(enough_samples(&pool(), 3, 0.8).why.contains("fewer"));
        assert!(enough_samples(&pool(), 5, 0.8).why.contains("1 to 4"));
        assert!(enough_samples(&pool(), 1, 0.5).right);
    }

    #[test]
    fn a_plainer_text_is_judged_by_its_own_perplexity() {
        let mut pool = pool();
        pool.items[0].candidates[2].perplexity_of_text_alone = Some(0.5);
        let (given, alone) = (Pick::Lowest(Which::GivenPrompt), Pick::Lowest(Which::TextAlone));
        assert!(picks_plainer(&pool, alone, given).unwrap().right);
        assert!(!picks_plainer(&pool, given, given).unwrap().right);
    }

    #[test]
    fn a_matched_control_has_the_same_questions_and_the_given_answers() {
        let item = |id: &str, truth: &str| Item {
            id: id.into(),
            truth: truth.into(),
            ..reading().items[0].clone()
        };
        let given = [item("a", "1"), item("b", "1"), item("c", "1")];
        let chosen = [item("a", "2"), item("c", "2")];
        let right = [item("a", "1"), item("c", "1")];
        assert!(is_matched(&right, &chosen, &given).right);
        assert!(is_matched(&given, &chosen, &given).why.contains("1 of which"));
        assert!(is_matched(&chosen, &chosen, &given).why.contains("2 of its"));
    }
}
