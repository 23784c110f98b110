//! Exercises on what surprises the model.

use super::Judgement;
use crate::error::Result;
use crate::lesson::Reading;
use crate::select::TokenClass;

/// The item, counted from 0, whose answer has the highest perplexity given its question.
///
/// # Errors
/// `mine` is the number of no item.
pub fn is_hardest(reading: &Reading, mine: usize) -> Result<Judgement> {
    let own = reading.perplexity_of(mine)?;
    let each = (0..reading.items.len()).map(|at| reading.perplexity_of(at));
    let harder =
        each.collect::<Result<Vec<f64>>>()?.into_iter().filter(|other| *other > own).count();
    let found =
        format!("{} has a perplexity of {own:.2} given its question", reading.items[mine].id);
    Ok(match harder {
        0 => Judgement::right(format!("{found}, and no other answer has a higher one.")),
        _ => Judgement::not_yet(format!(
            "{found}, and {harder} of {} answers surprise more. `perplexity_of` says it of any of them; a loop looks at all.",
            reading.items.len()
        )),
    })
}

/// A perplexity such that the tokens above it carry `share` of the whole surprisal, within five points.
///
/// # Errors
/// None of the reading's own making: it has an answer to every item.
pub fn splits_surprise(reading: &Reading, perplexity: f64, share: f64) -> Result<Judgement> {
    const POINTS: f64 = 0.05;
    let each = (0..reading.items.len()).map(|at| reading.surprisals(at));
    let nats: Vec<f64> = each.collect::<Result<Vec<_>>>()?.concat();
    let above: Vec<f64> = nats.iter().copied().filter(|nats| *nats > perplexity.ln()).collect();
    let carried = above.iter().sum::<f64>() / nats.iter().sum::<f64>();
    let found = format!(
        "The tokens above {perplexity} are {:.1} % of all and carry {:.0} % of the surprise",
        100.0 * above.len() as f64 / nats.len().max(1) as f64,
        100.0 * carried
    );
    Ok(if carried > share + POINTS {
        Judgement::not_yet(format!(
            "{found}: more than {:.0} %. Go higher, by factors of ten.",
            100.0 * share
        ))
    } else if carried >= share - POINTS {
        Judgement::right(format!("{found}."))
    } else {
        Judgement::not_yet(format!("{found}: less than {:.0} %. Go lower.", 100.0 * share))
    })
}

/// The class of tokens of which the largest share has a perplexity above 2.5.
pub fn surprises_most(reading: &Reading, mine: TokenClass) -> Judgement {
    let kinds = reading.by_class();
    let Ok(own) = kinds.of(mine.name()) else {
        return Judgement::not_yet(format!(
            "There are no tokens of the class {} in {}. `by_class` shows which there are.",
            mine.name(),
            reading.name
        ));
    };
    let higher = kinds.rows.iter().filter(|kind| kind.share() > own.share());
    let found = format!(
        "Of the {} tokens of the class {}, {:.1} % are above 2.5",
        own.tokens,
        mine.name(),
        100.0 * own.share()
    );
    match higher.count() {
        0 => Judgement::right(format!("{found}: of no other class so many.")),
        1 => Judgement::not_yet(format!("{found}; one class has a larger share.")),
        more => Judgement::not_yet(format!(
            "{found}; {more} classes have a larger share. `by_class` shows all."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::kinds::made::reading;

    #[test]
    fn the_hardest_of_two_is_found() {
        let (mut two, other) = (reading(), reading());
        two.items.extend(other.items);
        two.sequences.extend(other.sequences);
        two.scores.extend(other.scores);
        two.scores[1].log_prob[1] = Some(-9.0);
        assert!(is_hardest(&two, 1).unwrap().right);
        let judgement = is_hardest(&two, 0).unwrap();
        assert!(judgement.why.contains("1 of 2"), "{}", judgement.why);
        assert!(is_hardest(&two, 2).is_err());
    }

    #[test]
    fn half_of_the_surprise_is_above_a_perplexity_in_between() {
        // nats 5, 0.5, 0.2, 0.1, 4 and 1: the one of 5 carries 46 %
        let judge = |perplexity| splits_surprise(&reading(), perplexity, 0.5).unwrap();
        assert!(judge(4.5f64.exp()).right);
        assert!(judge(2.0).why.contains("more than"));
        assert!(judge(1e9).why.contains("less than"));
    }

    #[test]
    fn the_class_with_the_largest_share_is_right_wherever_it_is_rare() {
        let judge = |class| surprises_most(&reading(), class);
        assert!(judge(TokenClass::Numbers).right && judge(TokenClass::EndOfTurn).right);
        assert!(judge(TokenClass::Words).why.contains("2 classes"));
        assert!(judge(TokenClass::CodeFence).why.contains("no tokens"));
    }
}
