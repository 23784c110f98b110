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

/// Another score of the untouched model on the target with which a printed TI of `table` follows that did not; says which other rows of the model and
/// task it lets follow too.
pub fn base_explains(table: &Table2, printed: &Table2Row, mine: &Table2Row) -> Judgement {
    let target = printed.target.as_str();
    let Some(at) = Table2Row::TASKS.iter().position(|task| *task == target) else {
        return Judgement::not_yet(format!("{target} is no task of the table."));
    };
    let base = mine.before[at];
    if printed.with_base(target, base).ok().as_ref() != Some(mine) {
        return Judgement::not_yet(format!(
            "TI compares two accuracies of {target}: change the one before, and nothing else."
        ));
    }
    let Some(found) = mine.improvement() else {
        return Judgement::not_yet("From 0 there is no relative change.".into());
    };
    let said = format!("From {base} comes {found:.2}, printed {:.2}", mine.printed_improvement);
    if !mine.improvement_follows() {
        let way = match found > mine.printed_improvement {
            true => "higher",
            false => "lower",
        };
        return Judgement::not_yet(format!("{said}. Try a {way} one."));
    }
    let beside = table.rows.iter().filter(|row| {
        row.model == printed.model && row.target == printed.target && row.arm != printed.arm
    });
    let also: Vec<String> = beside
        .filter(|row| !row.improvement_follows())
        .filter_map(|row| {
            let with = row.with_base(target, base).ok()?;
            match (with.improvement_follows(), with.with_changes_exchanged().improvement_follows())
            {
                (true, _) => Some(row.arm.clone()),
                (_, true) => Some(format!("{}, its BWT and TI exchanged", row.arm)),
                _ => None,
            }
        })
        .collect();
    Judgement::right(match also.is_empty() {
        true => format!("{said}; no other row of {} needs it.", printed.model),
        false => format!(
            "{said}; and the same base explains {}. One number alone could be chance.",
            also.join(" and ")
        ),
    })
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
        assert!(exchanged("ARC", "BIRD").why.contains("From these cells comes"));
        assert!(!explains(row, row).right);
        let base = row.implied_base("GSM8K").unwrap().unwrap();
        let invented = row.with_base("GSM8K", base).unwrap();
        assert!(explains(row, &invented).why.contains("does not invent others"));
    }

    #[test]
    fn a_base_is_right_if_the_printed_number_follows() {
        let table = table_2();
        let row = table.row("Llama 3 8B", "MBPP", "Rephrase").unwrap();
        let judge = |base| base_explains(&table, row, &row.with_base("MBPP", base).unwrap());
        let right = judge(0.5979);
        assert!(right.right, "{right:?}");
        assert!(right.why.contains("Self-Output, its BWT and TI exchanged"), "{right:?}");
        assert!(judge(0.5926).why.contains("comes -8.77"));
        let other = row.with_base("GSM8K", 0.7756).unwrap();
        assert!(base_explains(&table, row, &other).why.contains("nothing else"));
    }

    #[test]
    fn a_rounding_explains_if_one_decimal_more_does_not() {
        let table = table_2();
        let row = table.row("Gemma 2 2B", "MATH", "ground truth").unwrap();
        assert!(rounding_explains(row, 4).why.contains("Fewer decimals"));
        assert!(rounding_explains(row, 2).right);
        let follows = table.row("Gemma 2 2B", "MBPP", "STM").unwrap();
        assert!(rounding_explains(follows, 3).why.contains("One decimal more would do"));
        assert!(rounding_explains(row, 0).why.contains("may be 0"));
    }
}
