//! Exercises about which differences are real: enough questions, several comparisons at once, a margin that holds.

use super::Judgement;
use crate::error::Result;
use crate::stats::power::{needed_items, smallest_difference};
use crate::stats::{Adjusted, Comparison, Design, Pair, Verdict};

/// More than is needed by this factor is waste.
const SPARE: f64 = 1.1;

/// A number of questions that finds a difference as large as the margin of the usual [`Design`], where two models disagree on as many as in
/// `comparison`; and not many more.
pub fn enough_items(comparison: &Comparison, mine: usize) -> Judgement {
    let Design { margin, level, power, .. } = Design::default();
    let Some(share) = comparison.discordant() else {
        return Judgement::not_yet(
            "It is about one task under one seed, where items that only one model answers can be counted.".into(),
        );
    };
    let said =
        format!("The two disagree on {:.0} % of {} questions", 100.0 * share, comparison.items);
    let alpha = 1.0 - level;
    let Some(needed) = needed_items(share, margin / 100.0, alpha, power) else {
        return Judgement::not_yet(format!(
            "{said}: too few for any number of questions to show {margin} points."
        ));
    };
    let found = match smallest_difference(share, mine, alpha, power) {
        Some(points) => format!("{mine} questions find {:.1} points", 100.0 * points),
        None => format!("{mine} questions find no difference that such models can have"),
    };
    if mine < needed {
        return Judgement::not_yet(format!("{said}. {found}, not {margin}: more are needed."));
    }
    if mine as f64 > SPARE * needed as f64 {
        return Judgement::not_yet(format!(
            "{said}. {found}: more than enough, fewer would do for {margin}."
        ));
    }
    Judgement::right(format!("{said}. {found} with a probability of {:.0} %.", 100.0 * power))
}

/// Two of the models of a `family` of comparisons, each `(second, first, second − first)`, that differ even after Holm's adjustment for all of them.
pub fn differ_after_holm(family: &[(String, String, Comparison)], mine: (&str, &str)) -> Judgement {
    let same = |(second, first, _): &(String, String, Comparison)| {
        (second == mine.0 && first == mine.1) || (second == mine.1 && first == mine.0)
    };
    let Some(at) = family.iter().position(same) else {
        let names: Vec<String> =
            family.iter().map(|(second, first, _)| format!("{second} and {first}")).collect();
        return Judgement::not_yet(format!(
            "{} and {} are not compared; there are {}.",
            mine.0,
            mine.1,
            names.join("; ")
        ));
    };
    let comparisons: Vec<&Comparison> = family.iter().map(|one| &one.2).collect();
    let adjusted = Adjusted::of(&comparisons, &Design::default())[at];
    let found = format!(
        "{} and {}: {:+.1} points, p {:.3}, after Holm {:.3}",
        family[at].0, family[at].1, comparisons[at].difference.value, comparisons[at].p, adjusted.p
    );
    match adjusted.differs {
        true => Judgement::right(format!("{found}.")),
        false => Judgement::not_yet(format!(
            "{found}: {} such comparisons together cannot tell these two apart.",
            family.len()
        )),
    }
}

/// A margin within which two models are shown to be equal, and not much wider than it has to be: four fifths of it would not do.
///
/// # Errors
/// As [`Comparison::of`], or a margin that is not above 0 and below 100.
pub fn equal_within(pairs: &[Pair], mine: f64) -> Result<Judgement> {
    let verdict = |margin: f64| -> Result<Comparison> {
        Comparison::of(pairs, &Design::with_margin(margin)?)
    };
    let found = verdict(mine)?;
    let interval = found.equivalence_interval;
    let said = format!(
        "The difference is {:+.1} points, its 90 % interval {:+.1} to {:+.1}",
        found.difference.value, interval.low, interval.high
    );
    Ok(match found.equal {
        Verdict::CannotTell => Judgement::not_yet(format!(
            "{said}, which sticks out of ±{mine}: these data cannot tell. Only a wider margin holds."
        )),
        Verdict::No => Judgement::not_yet(format!("{said}: they differ by more than {mine}.")),
        Verdict::Yes if verdict(0.8 * mine)?.equal == Verdict::Yes => Judgement::not_yet(format!(
            "{said}, within ±{mine}, but a narrower margin would hold too."
        )),
        Verdict::Yes => Judgement::right(format!("{said}, within ±{mine}.")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `items` of one task, of which `gained` and `lost` go the other way.
    fn pair(items: usize, gained: usize, lost: usize) -> Pair {
        let first: Vec<f64> = (0..items).map(|at| f64::from(at % 2 == 0)).collect();
        let mut second = first.clone();
        let flips = |from: f64, count: usize, row: &[f64]| -> Vec<usize> {
            let at = (0..row.len()).filter(|at| row[*at] == from);
            at.take(count).collect()
        };
        for at in flips(0.0, gained, &first) {
            second[at] = 1.0;
        }
        for at in flips(1.0, lost, &first) {
            second[at] = 0.0;
        }
        Pair { weight: 1.0, first: vec![first], second: vec![second] }
    }

    fn compared(items: usize, gained: usize, lost: usize) -> Comparison {
        Comparison::of(&[pair(items, gained, lost)], &Design::default()).unwrap()
    }

    #[test]
    fn enough_is_what_the_power_says_and_no_more() {
        // a tenth disagrees: 1960, as in stats::power
        let comparison = compared(100, 6, 4);
        assert!(enough_items(&comparison, 1960).right);
        assert!(enough_items(&comparison, 2100).right);
        assert!(enough_items(&comparison, 1900).why.contains("more are needed"));
        assert!(enough_items(&comparison, 50).why.contains("no difference"));
        assert!(enough_items(&comparison, 9000).why.contains("fewer would do"));
        assert!(enough_items(&compared(100, 1, 0), 500).why.contains("too few"));
    }

    #[test]
    fn two_differ_only_if_they_do_among_all_that_were_compared() {
        let one = |second: &str, first: &str, gained: usize, lost: usize| {
            (second.to_owned(), first.to_owned(), compared(100, gained, lost))
        };
        let family = [
            one("b", "a", 14, 3), // p 0.013
            one("c", "a", 13, 4), // p 0.049
            one("c", "b", 2, 1),
        ];
        assert!(differ_after_holm(&family, ("a", "b")).right);
        assert!(!differ_after_holm(&family, ("a", "c")).right);
        assert!(differ_after_holm(&family[1..2], ("a", "c")).right);
        assert!(differ_after_holm(&family, ("a", "d")).why.contains("c and b"));
    }

    #[test]
    fn a_margin_holds_and_is_not_wasted() {
        let pairs = [pair(400, 4, 4)];
        let judge = |margin: f64| equal_within(&pairs, margin).unwrap();
        let limit = compared(400, 4, 4).equivalence_interval;
        let least = limit.high.max(-limit.low);
        assert!(judge(1.05 * least).right, "{}", judge(1.05 * least).why);
        assert!(judge(0.5 * least).why.contains("cannot tell"));
        assert!(judge(4.0 * least).why.contains("narrower"));
        assert!(equal_within(&[pair(400, 0, 80)], 2.0).unwrap().why.contains("differ by more"));
        assert!(equal_within(&pairs, 0.0).is_err());
    }
}
