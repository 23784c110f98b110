//! Exercises about the paper's numbers: an answer is checked against what is computed from it.

use super::{Table2, Table2Row};
use crate::lesson::exercise::Judgement;

/// A diagnosis: the same cells as `printed`, some of them exchanged, so that the printed BWT follows.
pub fn explains(printed: &Table2Row, mine: &Table2Row) -> Judgement {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let changes = |row: &Table2Row| sorted(&[row.printed_transfer, row.printed_improvement]);
    let same_cells = sorted(&printed.before) == sorted(&mine.before)
        && printed.after == mine.after
        && changes(printed) == changes(mine);
    let found = match mine.transfer() {
        Some(found) => format!("{found:.2}, printed {:.2}", mine.printed_transfer),
        None => "no number".to_owned(),
    };
    match (same_cells, mine.transfer_follows()) {
        (false, _) => Judgement::not_yet(
            "A slip puts cells in wrong places; it does not invent others.".into(),
        ),
        (true, false) => Judgement::not_yet(format!(
            "From these cells comes {found}. Which two tasks have changed by so much that one of them looks like the other's?"
        )),
        (true, true) => Judgement::right(format!(
            "With these two cells exchanged comes {found}. One such slip among the many that could be tried may fit by chance; the audit counts them."
        )),
    }
}

/// Another score of the untouched model on one task, with which as many printed BWT follow as with any.
pub fn base_explains(printed: &Table2, mine: &Table2) -> Judgement {
    let Some((first, own)) = printed.rows.first().zip(mine.rows.first()) else {
        return Judgement::not_yet("There is no row.".into());
    };
    let changed: Vec<usize> = (0..5)
        .filter(|task| first.before[*task] != own.before[*task])
        .collect();
    let expected = |score: f64, task: &str| printed.with_base(task, score).ok();
    let task = match changed[..] {
        [] => {
            return Judgement::not_yet(format!(
                "Nothing is changed: {} of {} follow. Begin with the base that one row implies.",
                printed.transfers_that_follow(),
                printed.rows.len()
            ));
        }
        [task] => Table2Row::TASKS[task],
        _ => return Judgement::not_yet("Change the score of one task only.".into()),
    };
    if expected(own.before[changed[0]], task).as_ref() != Some(mine) {
        return Judgement::not_yet(
            "Change the base of all rows alike: they are of one model.".into(),
        );
    }
    let most = (1..10_000)
        .filter_map(|step| expected(f64::from(step) / 1e4, task))
        .map(|table| table.transfers_that_follow())
        .max()
        .unwrap_or(0);
    let found = mine.transfers_that_follow();
    let said = format!(
        "With {} for {task} {found} of {} printed BWT follow",
        own.before[changed[0]],
        mine.rows.len()
    );
    match found == most && found > printed.transfers_that_follow() {
        true => Judgement::right(format!(
            "{said}, instead of {}; no other score lets more.",
            printed.transfers_that_follow()
        )),
        false => Judgement::not_yet(format!("{said}; another score lets {most}.")),
    }
}

/// The most decimals to which accuracies may have been rounded so that the printed BWT of `row` could still follow.
pub fn rounding_explains(row: &Table2Row, decimals: u32) -> Judgement {
    let within = |decimals: u32| {
        let range = row.range(decimals);
        range.map(|(low, high)| {
            let fits = (low..=high).contains(&row.printed_transfer);
            (fits, low, high)
        })
    };
    let Some((fits, low, high)) = within(decimals) else {
        return Judgement::not_yet(format!(
            "Rounded to {decimals} decimals a score may be 0, and then there is no relative change."
        ));
    };
    let said = format!(
        "Accuracies that read the same with {decimals} decimals give a BWT from {low:.2} to {high:.2}; {:.2} is printed",
        row.printed_transfer
    );
    match (fits, within(decimals + 1).is_some_and(|more| more.0)) {
        (false, _) => Judgement::not_yet(format!("{said}. Fewer decimals leave more room.")),
        (true, true) => Judgement::not_yet(format!("{said}. One decimal more would do as well.")),
        (true, false) => Judgement::right(format!("{said}. One decimal more would not do.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::table_2;

    #[test]
    fn a_diagnosis_exchanges_and_invents_nothing() {
        let table = table_2();
        let row = table.row("Gemma 2 2B", "MBPP", "Rephrase").unwrap();
        let exchanged = |a, b| explains(row, &row.with_bases_exchanged(a, b).unwrap());
        assert!(exchanged("ARC", "GSM8K").right);
        assert!(
            exchanged("ARC", "BIRD")
                .why
                .contains("From these cells comes")
        );
        assert!(!explains(row, row).right);
        let base = row.implied_base("GSM8K").unwrap().unwrap();
        let invented = row.with_base("GSM8K", base).unwrap();
        assert!(
            explains(row, &invented)
                .why
                .contains("does not invent others")
        );
    }

    #[test]
    fn a_base_is_right_if_no_other_explains_more() {
        let llama = table_2().of("Llama 3 8B").unwrap();
        let judge = |task, score| base_explains(&llama, &llama.with_base(task, score).unwrap());
        assert!(judge("GSM8K", 0.7756).right);
        assert!(
            judge("GSM8K", 0.7255)
                .why
                .contains("Nothing is changed")
        );
        assert!(judge("GSM8K", 0.5).why.contains("another score lets"));
        let mut one = llama.clone();
        one.rows[0] = one.rows[0].with_base("GSM8K", 0.7756).unwrap();
        assert!(base_explains(&llama, &one).why.contains("all rows alike"));
    }

    #[test]
    fn a_rounding_explains_if_one_decimal_more_does_not() {
        let table = table_2();
        let row = table
            .row("Gemma 2 2B", "MATH", "ground truth")
            .unwrap();
        assert!(rounding_explains(row, 4).why.contains("Fewer decimals"));
        assert!(rounding_explains(row, 2).right);
        let follows = table.row("Gemma 2 2B", "MBPP", "STM").unwrap();
        assert!(rounding_explains(follows, 3).why.contains("One decimal more would do"));
        assert!(rounding_explains(row, 0).why.contains("may be 0"));
    }
}
