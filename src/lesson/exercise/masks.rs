//! Exercises on what rules leave out.

use super::Judgement;
use crate::error::Result;
use crate::lesson::Lesson;
use crate::select::TokenClass;

/// A rule that learns every token of `class`, and of the others exactly those that `low` learns.
pub fn always_keeps(mine: &Lesson, class: TokenClass, low: &Lesson) -> Judgement {
    if mine.reading.sequences != low.reading.sequences {
        return Judgement::not_yet(
            "It is made of other items; make it of the same reading.".into(),
        );
    }
    let (mut left_out, mut kept, mut moved) = (0, 0, 0);
    for (item, sequence) in mine.reading.sequences.iter().enumerate() {
        for at in sequence.completion.positions() {
            let learns = |lesson: &Lesson| lesson.weights[item][at] != 0.0;
            match mine.reading.classes[item][at] == class {
                true => {
                    left_out += usize::from(!learns(mine));
                    kept += usize::from(learns(mine) && !learns(low));
                }
                false => moved += usize::from(learns(mine) != learns(low)),
            }
        }
    }
    let name = class.name();
    if left_out > 0 {
        return Judgement::not_yet(format!(
            "{left_out} tokens of the class {name} are still left out. A mask may be joined to another by `|`: what either keeps is kept, and `class({name})` is a \
             mask."
        ));
    }
    match moved {
        0 => Judgement::right(format!(
            "Every {name} is learned, {kept} more than before, and nothing else changed."
        )),
        _ => Judgement::not_yet(format!(
            "Every {name} is learned, but {moved} other tokens are treated in another way than by {}.",
            low.rule
        )),
    }
}

/// A rule of whose masked tokens at least the share `precision` is the writer's style, and which masks at least the share `recall` of that style.
///
/// # Errors
/// No item says where its writer's style shows.
pub fn hits_style(mine: &Lesson, precision: f64, recall: f64) -> Result<Judgement> {
    let masking = mine.masking()?;
    let (found, covered) = (masking.precision().unwrap_or(0.0), masking.recall().unwrap_or(0.0));
    let says = format!(
        "Of what it masks {:.1} % is style, and it masks {:.1} % of the style",
        100.0 * found,
        100.0 * covered
    );
    Ok(match (found >= precision, covered >= recall) {
        (true, true) => Judgement::right(format!("{says}.")),
        (false, _) => Judgement::not_yet(format!(
            "{says}: it hits too much else; {:.0} % are asked for. Look in the table by class for tokens that surprise and are not style, and keep those.",
            100.0 * precision
        )),
        (true, false) => Judgement::not_yet(format!(
            "{says}: too little; {:.0} % of the style are asked for.",
            100.0 * recall
        )),
    })
}

/// A rule by quantile that masks as large a share as `low`, within a tenth of a point.
pub fn masks_as_much_by_quantile(mine: &Lesson, low: &Lesson) -> Judgement {
    const POINTS: f64 = 0.1;
    let percent = |lesson: &Lesson| 100.0 * lesson.masked_share();
    let says =
        format!("{} masks {:.2} %, {} {:.2} %", mine.rule, percent(mine), low.rule, percent(low));
    if !mine.rule.expanded().contains("quantile") {
        return Judgement::not_yet(format!(
            "{says}; but it says a perplexity and no quantile. `stm_quantile` takes the share that is kept."
        ));
    }
    let off = percent(mine) - percent(low);
    match off.abs() <= POINTS {
        true => {
            Judgement::right(format!("{says}. The one says how surprising, the other how many."))
        }
        false if off > 0.0 => Judgement::not_yet(format!("{says}: too many. Keep a larger share.")),
        false => Judgement::not_yet(format!("{says}: too few. Keep a smaller share.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::kinds::made::reading;

    #[test]
    fn a_class_is_kept_and_nothing_else_changes() {
        let reading = reading();
        let low = reading.learn("stm(2.5)").unwrap();
        let judge =
            |rule: &str| always_keeps(&reading.learn(rule).unwrap(), TokenClass::EndOfTurn, &low);
        assert!(judge("stm(2.5) | class(end_of_turn)").right);
        assert!(judge("stm(2.5)").why.contains("1 tokens"));
        assert!(judge("all").why.contains("2 other tokens"));
    }

    #[test]
    fn a_rule_is_judged_by_precision_and_recall() {
        let reading = reading();
        let judge = |rule: &str| hits_style(&reading.learn(rule).unwrap(), 0.9, 0.4).unwrap();
        assert!(judge("stm(2.5) | !class(words)").right);
        assert!(judge("stm(2.5)").why.contains("too much else"));
        assert!(judge("all").why.contains("too much else"));
        let judge = |recall| hits_style(&reading.learn("stm(100)").unwrap(), 0.9, recall).unwrap();
        assert!(judge(0.5).right && judge(0.9).why.contains("too little"));
    }

    #[test]
    fn a_quantile_and_not_a_perplexity_is_asked_for() {
        let reading = reading();
        let low = reading.learn("stm(2.5)").unwrap();
        let judge = |rule: &str| masks_as_much_by_quantile(&reading.learn(rule).unwrap(), &low);
        assert!(judge("stm_quantile(0.5)").right);
        assert!(judge("keep(ppl_base <= quantile(0.5, ppl_base))").right);
        assert!(judge("stm(2.5)").why.contains("no quantile"));
        assert!(judge("stm_quantile(0.1)").why.contains("too many"));
        assert!(judge("stm_quantile(0.9)").why.contains("too few"));
    }
}
