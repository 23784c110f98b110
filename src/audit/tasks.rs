//! MATH, GSM8K and ARC: sizes, labels, and our graders against the logged grades.

use super::fact::Facts;
use super::layout::{
    ARC_TEST, ARC_TRAIN, ARC_VALIDATION, Copy, File, GSM8K, GSM8K_LOG, MATH_LOG, MATH_TEST,
    MATH_TRAIN, MATH_VALIDATION, text, turns,
};
use crate::dataset::Row;
use crate::error::Result;
use crate::task::{Check, Grading, Item, Take};
use serde_json::Value;

/// Every fact about these tasks.
///
/// # Errors
/// A needed file is not there or has another schema.
pub(super) fn audit(copy: &Copy, facts: &mut Facts) -> Result<()> {
    math(copy, facts)?;
    math_log(copy, facts)?;
    gsm8k(copy, facts)?;
    for (file, numeric, letters) in
        [(&ARC_TEST, Some(22), Some(1144)), (&ARC_TRAIN, None, None), (&ARC_VALIDATION, None, None)]
    {
        arc(file, &copy.needed(file)?, numeric, letters, facts);
    }
    Ok(())
}

fn math(copy: &Copy, facts: &mut Facts) -> Result<()> {
    for (file, expected) in [(&MATH_VALIDATION, 734), (&MATH_TEST, 1000)] {
        let rows = copy.needed(file)?;
        let boxed = rows.iter().filter(|row| text(row, "solution").contains("\\boxed")).count();
        let same = rows.iter().filter(|row| turns(row).1 == text(row, "solution")).count();
        facts.claim("solutions with \\boxed", file.name(), "earlier count").count(expected, boxed);
        facts
            .claim("answers that are the solution", file.name(), "earlier count")
            .count(expected, same);
    }
    let rows = copy.needed(&MATH_TEST)?;
    let shares = |column: &str, names: &[&str]| -> String {
        let count = |name: &&str| rows.iter().filter(|row| text(row, column) == *name).count();
        names.iter().map(|name| count(name).to_string()).collect::<Vec<_>>().join("/")
    };
    facts.claim("test items of levels 1 to 5", MATH_TEST.name(), "earlier count").text(
        "84/180/226/243/267",
        shares("level", &["Level 1", "Level 2", "Level 3", "Level 4", "Level 5"]),
    );
    facts
        .claim(
            "test items of Algebra, Intermediate Algebra, Prealgebra, Precalculus, Number Theory, Counting & Probability, Geometry",
            MATH_TEST.name(),
            "earlier count",
        )
        .text(
            "240/182/175/108/107/94/94",
            shares(
                "type",
                &[
                    "Algebra",
                    "Intermediate Algebra",
                    "Prealgebra",
                    "Precalculus",
                    "Number Theory",
                    "Counting & Probability",
                    "Geometry",
                ],
            ),
        );
    // The grader takes each solution for an answer to its own problem.
    for file in [&MATH_VALIDATION, &MATH_TEST] {
        let rows = copy.needed(file)?;
        let mut refused = Vec::new();
        for row in &rows {
            let solution = text(row, "solution");
            let Some(gold) = last_box(solution) else {
                continue;
            };
            let item = math_item(gold, Grading::Paper);
            if item.grade(solution, false).value < 1.0 {
                refused.push(row.number.to_string());
            }
        }
        facts
            .claim(
                "solutions that our grader takes for right answers to their problems",
                file.name(),
                "–",
            )
            .note(match refused.len() {
                0 => String::new(),
                _ => format!("not rows {}", refused.join(", ")),
            })
            .count(rows.len(), rows.len() - refused.len());
    }
    match copy.rows(&MATH_TRAIN)? {
        Some(rows) => facts
            .claim("rows of the train split", MATH_TRAIN.name(), "earlier count")
            .count(6766, rows.len()),
        None => facts
            .claim("rows of the train split", MATH_TRAIN.name(), "earlier count")
            .cannot("6766", "the file is not in this copy"),
    }
    Ok(())
}

/// What stands in the last `\boxed{}`.
fn last_box(solution: &str) -> Option<&str> {
    let rest = &solution[solution.rfind("\\boxed")? + "\\boxed".len()..];
    let Some(inside) = rest.strip_prefix('{') else {
        // `\boxed 3`
        return rest.split('$').next().map(str::trim).filter(|t| !t.is_empty());
    };
    let mut depth = 1;
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&inside[..at]);
        }
    }
    None
}

fn math_item(answer: &str, grading: Grading) -> Item {
    Item {
        id: "math".into(),
        prompt: String::new(),
        truth: String::new(),
        style: Vec::new(),
        check: Check::Math { answer: answer.to_string(), grading, take: Take::Last },
    }
}

/// A grade that is logged, as the log may write it.
fn logged(row: &Row, column: &str) -> Option<String> {
    match row.fields.get(column)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

fn math_log(copy: &Copy, facts: &mut Facts) -> Result<()> {
    let what = "logged MATH answers that our grader grades as the log does";
    let Some(rows) = copy.rows(&MATH_LOG)? else {
        for (what, expected) in [(what, "8 of 8"), ("logged MATH answers that pass", "3")] {
            facts
                .claim(what, MATH_LOG.name(), "earlier count")
                .cannot(expected, "the file is not in this copy");
        }
        return Ok(());
    };
    let passed = |row: &Row| row.fields["passed"].as_bool();
    // a row without a grade cannot be graded alike
    let graded: Vec<&Row> = rows.iter().filter(|row| passed(row).is_some()).collect();
    let same = graded
        .iter()
        .filter(|row| {
            let gold = logged(row, "gold").unwrap_or_default();
            let score = math_item(&gold, Grading::Paper).grade(text(row, "generation"), false);
            Some(score.value == 1.0) == passed(row)
        })
        .count();
    facts
        .claim("logged MATH answers that pass", MATH_LOG.name(), "earlier count")
        .count(3, graded.iter().filter(|row| passed(row) == Some(true)).count());
    facts
        .claim(what, MATH_LOG.name(), "earlier count")
        .note("the log's judge was a language model")
        .text("8 of 8", format!("{same} of {}", graded.len()));
    Ok(())
}

fn gsm8k(copy: &Copy, facts: &mut Facts) -> Result<()> {
    let rows = copy.needed(&GSM8K)?;
    let gold = |row: &Row| text(row, "answer").rsplit("####").next().map(|a| a.trim().to_string());
    let marked = rows.iter().filter(|row| text(row, "answer").contains("####")).count();
    facts.claim("answers with ####", GSM8K.name(), "earlier count").count(747, marked);
    let item = |gold: String| Item {
        id: "gsm8k".into(),
        prompt: String::new(),
        truth: String::new(),
        style: Vec::new(),
        check: Check::Gsm8k { answer: gold, grading: Grading::Paper, take: Take::Last },
    };
    let right = rows
        .iter()
        .filter(|row| {
            gold(row).is_some_and(|gold| item(gold).grade(text(row, "answer"), false).value == 1.0)
        })
        .count();
    facts
        .claim("references that the paper's parser takes for right", GSM8K.name(), "earlier count")
        .count(rows.len(), right);
    let what = "logged GSM8K answers whose grade the paper's parser gives again";
    let Some(log) = copy.rows(&GSM8K_LOG)? else {
        facts
            .claim(what, GSM8K_LOG.name(), "earlier count")
            .cannot("6 of 6", "the file is not in this copy");
        return Ok(());
    };
    // The log has no reference: it is looked up by the question, where this split has it.
    let (mut same, mut found) = (0, 0);
    for row in &log {
        let own = rows.iter().find(|known| text(row, "prompt").contains(text(known, "question")));
        if let (Some(gold), Some(passed)) = (own.and_then(gold), row.fields["passed"].as_bool()) {
            found += 1;
            let right = item(gold).grade(text(row, "generation"), false).value == 1.0;
            same += usize::from(right == passed);
        }
    }
    let claim = facts.claim(what, GSM8K_LOG.name(), "earlier count");
    match found {
        0 => claim.cannot(
            "6 of 6",
            "the log has no references, and its questions are of the test split, which is not in these files",
        ),
        _ => claim.text("6 of 6", format!("{same} of {found}")),
    }
    Ok(())
}

fn arc(
    file: &'static File,
    rows: &[Row],
    numeric: Option<usize>,
    letters: Option<usize>,
    facts: &mut Facts,
) {
    let stated = "earlier count";
    let labels = |row: &Row| -> Vec<String> {
        let labels = row.fields["choices"]["label"].as_array();
        let text = |label: &Value| label.as_str().map(str::to_string);
        labels.into_iter().flatten().filter_map(text).collect()
    };
    if let Some(expected) = numeric {
        let found = rows.iter().filter(|row| text(row, "answerKey").parse::<u8>().is_ok()).count();
        facts
            .claim("rows with a number as their key", file.name(), stated)
            .note("the prompt asks for a letter of ABCD")
            .count(expected, found);
    }
    if let Some(expected) = letters {
        let found = rows.iter().filter(|row| labels(row) == ["A", "B", "C", "D"]).count();
        facts.claim("rows with the labels A, B, C, D", file.name(), stated).count(expected, found);
        let five = rows.iter().filter(|row| labels(row).len() == 5).count();
        facts.claim("rows with five options", file.name(), "earlier count").count(3, five);
    }
    let lost = rows
        .iter()
        .filter(|row| !labels(row).iter().any(|label| label == text(row, "answerKey")))
        .count();
    facts.claim("rows whose key is none of their labels", file.name(), "–").count(0, lost);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_box_is_read_to_its_own_brace() {
        assert_eq!(last_box("$\\boxed{1}$ or $\\boxed{\\frac{1}{2}}$."), Some("\\frac{1}{2}"));
        assert_eq!(last_box("it is $\\boxed 3$."), Some("3"));
        assert_eq!(last_box("\\boxed{1"), None);
        assert_eq!(last_box("none"), None);
    }
}
