//! What was found, in a sentence and in three: who loses what, and who keeps it. Made from the comparisons, so that it claims no more than they show.

use super::forgetting::{ForgettingRow, TaskGroup, range};
use super::protocol::{Protocol, several_rates};
use super::summary::{ArmSummary, ResultsSummary};
use crate::plot::palette::{BASE, label};
use crate::stats::Verdict;
use crate::table::plus;

/// The arm that learns every token of the given answers.
const TRUTH: &str = "ground_truth";

/// Arms that a sentence names at most beside base and the arm that learns everything.
const NAMED: usize = 3;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In one sentence.
    pub sentence: String,
    /// In three: what is lost, who keeps it, and what else is to be known.
    pub sentences: [String; 3],
}

impl Finding {
    /// Of arms compared by `protocol`, whose summary and comparisons these are; `validated` are the same arms at their validated rates. `None` where no arm
    /// was compared with base on other tasks.
    pub fn of(
        protocol: Protocol,
        summary: &ResultsSummary,
        comparisons: &[ForgettingRow],
        validated: &ResultsSummary,
    ) -> Option<Self> {
        let (whole, mut kept, mut rest) = sorted(comparisons)?;
        rest.sort_by(|one, other| points(one).total_cmp(&points(other)));
        rest.truncate(1);
        let lost = whole.adjusted.differs && points(whole) < 0.0;
        let interval = |row: &ForgettingRow| range(row.comparison.interval);
        let how = match protocol {
            Protocol::OneRate(rate) => format!("At the same rate ({rate:e}) and the same steps"),
            _ => "Each at its validated rate".to_owned(),
        };
        let trained = match whole.arm.as_str() {
            TRUTH => "training on all tokens of the ground truth".to_owned(),
            arm => format!("training on {}", label(arm)),
        };
        let most = worst(&summary.arms, &whole.arm);
        let of_most = |verb: &str| {
            most.as_ref().map_or(String::new(), |(task, before, after)| {
                format!("{verb}{task}: from {before:.0} to {after:.0} percent")
            })
        };
        let first = match lost {
            true => format!(
                "{how}, {trained} loses {:.1} points on the other tasks (95 %: {:.1} to {:.1}){}.",
                -points(whole),
                -whole.comparison.interval.high,
                -whole.comparison.interval.low,
                of_most(", most on ")
            ),
            false => format!(
                "{how}, {trained} changes the other tasks by {} points (95 %: {}): these data cannot tell that from nothing.",
                plus(points(whole)),
                interval(whole)
            ),
        };
        // a sentence that names more is not read
        kept.truncate(NAMED);
        // "STM 2.5 they change by +0.6 points (−0.7 to +2.0), with self-output by …"
        let list = |rows: &[&ForgettingRow], first: &str, unit: &str| -> String {
            let words = rows.iter().enumerate().map(|(at, row)| {
                let (they, unit) = if at == 0 { (first, unit) } else { ("", "") };
                let name = label(&row.arm);
                format!("{name}{they} by {}{unit} ({})", plus(points(row)), interval(row))
            });
            words.collect::<Vec<_>>().join(", with ")
        };
        let target = |arm: &str| {
            let row = summary.arms.iter().find(|row| row.arm == arm)?;
            Some(100.0 * row.target.value)
        };
        let scores = |arms: &mut dyn Iterator<Item = &str>| {
            let one = |arm: &str| {
                let how =
                    if arm == BASE { "before".to_owned() } else { format!("with {}", label(arm)) };
                Some(format!("{:.0} {how}", target(arm)?))
            };
            arms.filter_map(one).collect::<Vec<_>>().join(", ")
        };
        let results = &summary.results;
        let named = [BASE, whole.arm.as_str()].into_iter();
        let learned = format!(
            "of {}, the target, percent right: {}",
            results.target,
            scores(&mut named.chain(kept.iter().map(|row| row.arm.as_str())))
        );
        let second = match (kept.is_empty(), rest.is_empty()) {
            (true, _) => format!("No arm is shown to keep more; {learned}."),
            (false, true) => {
                format!("With {}; {learned}.", list(&kept, " they change", " points"))
            }
            (false, false) => format!(
                "With {}, but with {}; {learned}.",
                list(&kept, " they change", " points"),
                list(&rest, "", "")
            ),
        };
        let sentence = match (lost, kept.first()) {
            (true, Some(best)) => format!(
                "{how}, {trained} loses {:.1} points on the other tasks{}; {} {} ({}, 95 %: {}).",
                -points(whole),
                most.as_ref().map_or(String::new(), |(task, before, after)| format!(
                    " ({task}: {before:.0} → {after:.0} percent)"
                )),
                label(&best.arm),
                match best.adjusted.not_lower {
                    Verdict::Yes => "keeps them".to_owned(),
                    _ => "keeps more of them".to_owned(),
                },
                plus(points(best)),
                interval(best)
            ),
            (true, None) => format!(
                "{how}, {trained} loses {:.1} points on the other tasks, and no arm is shown to keep more.",
                -points(whole)
            ),
            (false, _) => first.clone(),
        };
        let third = third(protocol, summary, validated, &whole.arm);
        Some(Self { sentence, sentences: [first, second, third] })
    }

    /// The three sentences as one paragraph.
    pub fn paragraph(&self) -> String {
        self.sentences.join(" ")
    }
}

fn points(row: &ForgettingRow) -> f64 {
    row.comparison.difference.value
}

/// The arm that learns every token, those that are shown to lose less, and the rest, each against base on the other tasks. `None` without any.
fn sorted(
    comparisons: &[ForgettingRow],
) -> Option<(&ForgettingRow, Vec<&ForgettingRow>, Vec<&ForgettingRow>)> {
    let others = || {
        let of = |row: &&ForgettingRow| row.of == TaskGroup::NonTarget && row.against == BASE;
        comparisons.iter().filter(of)
    };
    let whole = others()
        .find(|row| row.arm == TRUTH)
        .or_else(|| others().min_by(|a, b| points(a).total_cmp(&points(b))))?;
    let against_whole = |arm: &str| {
        comparisons.iter().find(|row| {
            row.of == TaskGroup::NonTarget && row.against == whole.arm && row.arm == arm
        })
    };
    // by itself, or against the arm that learns everything, of whose loss it has at most half
    let keeps = |row: &ForgettingRow| {
        let above =
            against_whole(&row.arm).is_some_and(|of| of.adjusted.differs && points(of) > 0.0);
        let half = points(row) > 0.5 * points(whole);
        (above && half) || row.adjusted.not_lower == Verdict::Yes
    };
    let rest = others().filter(|row| row.arm != whole.arm);
    let (mut kept, rest): (Vec<_>, Vec<_>) = rest.partition(|row| keeps(row));
    // the paper's own rule first
    kept.sort_by_key(|row| !row.arm.starts_with("stm("));
    Some((whole, kept, rest))
}

/// The arm that learns every token, and those that are shown to lose less, the paper's own rule first.
pub(super) fn whole_and_kept(comparisons: &[ForgettingRow]) -> Option<(&str, Vec<&str>)> {
    let (whole, kept, _) = sorted(comparisons)?;
    Some((&whole.arm, kept.into_iter().map(|row| row.arm.as_str()).collect()))
}

/// The other task on which the arm lost most, in percent before and after.
fn worst(arms: &[ArmSummary], arm: &str) -> Option<(String, f64, f64)> {
    let base = arms.first()?;
    let row = arms.iter().find(|row| row.arm == arm)?;
    let pairs = base.tasks.iter().zip(&row.tasks).skip(1);
    let lost = |(before, after): &(&super::summary::TaskRow, &super::summary::TaskRow)| {
        before.score.value - after.score.value
    };
    let (before, after) = pairs.max_by(|one, other| lost(one).total_cmp(&lost(other)))?;
    Some((before.task.clone(), 100.0 * before.score.value, 100.0 * after.score.value))
}

/// What a reader must know beside: what validation would have shown, and how much was asked.
fn third(
    protocol: Protocol,
    summary: &ResultsSummary,
    validated: &ResultsSummary,
    whole: &str,
) -> String {
    let results = &summary.results;
    let asked: usize = results.base.iter().map(|task| task.items.len()).sum();
    let seeds = summary.arms.iter().map(|row| row.seeds).max().unwrap_or(0);
    let size = match seeds {
        1 => format!(
            "One seed and {asked} questions: another seed may differ more than the intervals say."
        ),
        seeds => format!("The intervals are over {seeds} seeds and {asked} questions."),
    };
    let at = validated.arms.iter().find(|row| row.arm == whole);
    let chosen = at
        .and_then(|row| Some((row.learning_rate?, row.change.as_ref()?.non_target_points?.value)));
    match (protocol, chosen) {
        (Protocol::OneRate(rate), Some((own, change))) if several_rates(results) && own < rate => {
            format!(
                "Validation, which looks at {} alone, would have taken {own:e} for {}, where the other tasks change by {}: choosing rates so hides the loss. {size}",
                results.target,
                label(whole),
                plus(change)
            )
        }
        _ => size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::results::Results;
    use crate::report::{Report, sample};

    fn found(results: Results) -> Finding {
        Report::of(results).unwrap().finding.unwrap()
    }

    #[test]
    fn who_loses_and_who_keeps_is_said_with_numbers_of_the_tables() {
        let results = sample::results();
        let finding = found(results.clone());
        let summary = ResultsSummary::of(results.into()).unwrap();
        let change = |arm: &str| {
            let row = summary.arms.iter().find(|row| row.arm == arm).unwrap();
            row.change.as_ref().unwrap().non_target_points.unwrap().value
        };
        let lost = format!("loses {:.1} points", -change(TRUTH));
        let Finding { sentence, sentences } = &finding;
        println!("{sentence}\n{}", finding.paragraph());
        assert!(sentence.contains(&lost) && sentences[0].contains(&lost), "{finding:?}");
        assert!(sentence.contains("At the same rate (3e-4)") && sentence.contains("STM 2.5 keeps"));
        assert!(
            sentences[1]
                .starts_with(&format!("With STM 2.5 they change by {}", plus(change("stm(2.5)"))))
        );
        assert!(sentences[2].contains("3 seeds"), "{finding:?}");
        assert!(finding.paragraph().starts_with(&sentences[0]));
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        let mut results = sample::results();
        // every arm as base
        for run in &mut results.runs {
            run.test.clone_from(&results.base);
        }
        let finding = found(results.clone());
        assert!(finding.sentence.contains("cannot tell"), "{finding:?}");
        assert!(!finding.paragraph().contains("loses"), "{finding:?}");
        // one arm alone, of another name
        results.runs.retain(|run| run.arm == "rephrase");
        assert!(found(results).sentence.contains("training on rephrase"));
        // nothing to compare
        let mut results = sample::results();
        results.runs.clear();
        assert_eq!(Report::of(results).unwrap().finding, None);
    }

    #[test]
    fn a_loss_that_validation_hides_is_said_to_be_hidden() {
        let mut results = sample::results();
        results.common_learning_rate = Some(1e-3);
        let finding = found(results.clone());
        assert!(finding.sentence.contains("(1e-3)"), "{finding:?}");
        assert!(finding.sentences[2].contains("would have taken 3e-4"), "{finding:?}");
        results.runs.retain(|run| run.learning_rate == 1e-3 && run.seed == 0);
        results.runs.iter_mut().for_each(|run| run.chosen = true);
        assert!(found(results).sentences[2].starts_with("One seed"));
    }
}
