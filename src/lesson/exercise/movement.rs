//! Exercises about how far the weights moved: parts of a change, controls within class, equal norms.

use super::{Judgement, is_control};
use crate::lesson::{Front, Lesson, Movement};
use crate::select::TokenClass;
use std::collections::BTreeMap;

/// The least part of a change that counts as putting it on.
const LEAST: f64 = 0.1;
/// Norms that differ by less than this share count as equal.
const EQUAL: f64 = 0.1;

/// One part of a change, at least a tenth of it, that loses at most `points` on the other tasks.
pub fn keeps_in_part(mine: &Front, points: f64) -> Judgement {
    let [place] = mine.places.as_slice() else {
        return Judgement::not_yet("Name one scale, not several.".into());
    };
    let found = format!(
        "{:.2} of the change of {} loses {:.1} points on the other tasks and changes the target by {:.1}",
        place.scale,
        mine.name,
        place.change.lost(),
        place.change.gained()
    );
    if place.scale < LEAST {
        return Judgement::not_yet(format!(
            "{found}. Base loses nothing either: put on at least {LEAST} of it."
        ));
    }
    match place.change.lost() <= points {
        true => Judgement::right(format!("{found}.")),
        false => {
            Judgement::not_yet(format!("{found}: more than {points}. A smaller part loses less."))
        }
    }
}

/// How many tokens of each class of each answer are learned.
fn by_class(lesson: &Lesson, at: usize) -> BTreeMap<TokenClass, usize> {
    let classes = lesson.reading.classes.get(at).into_iter().flatten();
    let weights = lesson.weights.get(at).into_iter().flatten();
    let mut counts = BTreeMap::new();
    for (class, weight) in classes.zip(weights) {
        *counts.entry(*class).or_default() += usize::from(*weight != 0.0);
    }
    counts
}

/// A lesson that learns, of each answer, as many tokens of each class as `low`, but not the same ones: words for words, numbers for numbers.
pub fn is_control_within_class(mine: &Lesson, low: &Lesson) -> Judgement {
    let plain = is_control(mine, low);
    if !plain.right {
        return plain;
    }
    let uneven =
        (0..low.weights.len()).filter(|at| by_class(mine, *at) != by_class(low, *at)).count();
    match uneven {
        0 => Judgement::right(format!("{} And as many of each class.", plain.why)),
        _ => Judgement::not_yet(format!(
            "The counts are equal, but in {uneven} of {} answers other classes of tokens are learned, such as fewer words and more numbers: a difference could come from that. \
             `unforget weights --list` has a control that draws within each class.",
            low.weights.len()
        )),
    }
}

/// A training that moved the weights as far as another, to a tenth.
pub fn moves_as_far(mine: &Movement, other: &Movement) -> Judgement {
    let (norm, wanted) = (mine.norm(), other.norm());
    let found =
        format!("{} moved the weights by {norm:.2}, {} by {wanted:.2}", mine.name, other.name);
    if (norm / wanted - 1.0).abs() <= EQUAL {
        return Judgement::right(format!("{found}: equal to a tenth."));
    }
    let hint = match norm > wanted {
        true => "A lower rate moves them less far.",
        false => "A higher rate moves them farther.",
    };
    Judgement::not_yet(format!("{found}. {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{ItemScore, TaskScore};
    use crate::lesson::exercise::reading_of as reading;
    use crate::lesson::movement::tests::moved;
    use crate::lesson::{Place, Scores, compare};
    use crate::task::Form;

    fn front(parts: &[(f64, f64)]) -> Front {
        let scores = |name: &str, value: f64| {
            let item = |value: f64| ItemScore { value, skill: value, form: Form::Kept };
            let task = |task: &str, value: f64| TaskScore {
                task: task.into(),
                items: vec![item(1.0), item(value)],
            };
            Scores { name: name.into(), tasks: vec![task("code", 1.0), task("word", value)] }
        };
        let place = |(scale, value): &(f64, f64)| {
            let comparison = compare(&scores("base", 1.0), &[&scores("part", *value)]).unwrap();
            Place { scale: *scale, norm: *scale, change: comparison.of("part").unwrap().clone() }
        };
        Front { name: "ground truth".into(), places: parts.iter().map(place).collect() }
    }

    #[test]
    fn a_part_that_keeps_is_a_part_and_keeps() {
        let judge = |parts: &[(f64, f64)]| keeps_in_part(&front(parts), 2.0);
        assert!(judge(&[(0.4, 1.0)]).right);
        assert!(judge(&[(0.9, 0.0)]).why.contains("loses 50.0") && !judge(&[(0.9, 0.0)]).right);
        assert!(judge(&[(0.0, 1.0)]).why.contains("Base loses nothing"));
        assert!(judge(&[(0.4, 1.0), (0.5, 1.0)]).why.contains("not several"));
    }

    #[test]
    fn a_control_within_class_learns_as_many_of_each() {
        let mut all = reading(&[-0.1, -0.2, -0.3, -4.0, -0.4, -5.0]);
        // one surprising token in each class
        all.classes[0][1..4].fill(TokenClass::Words);
        all.classes[0][4] = TokenClass::Words;
        all.classes[0][5..].fill(TokenClass::Numbers);
        let low = all.learn("stm(2.5)").unwrap();
        let judge = |rule: &str| is_control_within_class(&all.learn(rule).unwrap(), &low);
        assert!(judge("all").why.contains("another number"));
        // masks the two of lowest perplexity, both words
        assert!(judge("lowest_mask(2.5)").why.contains("other classes"));
        let mut mine = low.clone();
        mine.weights[0][1..].copy_from_slice(&[0.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
        assert!(is_control_within_class(&mine, &low).right);
    }

    #[test]
    fn equal_norms_are_equal_to_a_tenth() {
        let judge = |size: f64| moves_as_far(&moved("mine", size), &moved("STM", 1.0));
        assert!(judge(1.05).right && judge(0.95).right);
        assert!(judge(2.0).why.contains("lower rate") && judge(0.5).why.contains("higher rate"));
    }
}
