//! Grading the number that ends a worked solution of GSM8K.
//!
//! A trap: the published parsers disagree. On `#### 18.0`, `#### $18` and `so it is 18.` the paper's reads `18.0`, `18` and
//! nothing; lm-evaluation-harness's strict one reads `18.0`, nothing and nothing.

use super::number::{self, Rational};
use super::text::{answer_marks, boxes, short};
use super::{Found, Grading, Take};

pub(super) fn grade(gold: &str, grading: Grading, take: Take, answer: &str) -> Found {
    match grading {
        Grading::Robust => robust(gold, take, answer),
        Grading::Paper => {
            let (given, marked) = as_the_paper(answer);
            let right = given == as_the_paper(&format!("#### {gold}")).0;
            verdict(gold, marked.then_some(given), right, last_is(gold, answer))
        }
        Grading::Harness => {
            let strict = harness_strict(answer);
            let right = strict.as_deref().map(harness_plain) == Some(harness_plain(gold));
            let flexible = harness_flexible(answer);
            let skill = flexible.map(harness_plain) == Some(harness_plain(gold));
            verdict(gold, strict, right, skill)
        }
    }
}

/// Whether any answer can match `gold`: it is a number.
pub(super) fn readable_gold(gold: &str) -> bool {
    number::exact(gold).is_some()
}

/// A number behind a mark, exactly, whatever its unit.
fn robust(gold: &str, take: Take, answer: &str) -> Found {
    let mut marks: Vec<(usize, &str)> = answer_marks(answer);
    marks.extend(boxes(answer));
    marks.sort_by_key(|(at, _)| *at);
    let mut numbers = marks.into_iter().filter_map(|(_, text)| Some((first_number(text)?, text)));
    let found = match take {
        Take::First => numbers.next(),
        Take::Last => numbers.next_back(),
    };
    let right = found.is_some() && found.map(|(number, _)| number) == number::exact(gold);
    verdict(gold, found.map(|(_, text)| text.to_owned()), right, last_is(gold, answer))
}

/// The first number of what stands behind a mark, or the one behind its last `=`.
fn first_number(text: &str) -> Option<Rational> {
    let text = text.rsplit('=').next().unwrap_or(text);
    let mut at = 0;
    while at < text.len() {
        if text.is_char_boundary(at)
            && let Some((number, _)) = number::number_at(text, at)
        {
            return Some(number);
        }
        at += 1;
    }
    None
}

fn last_is(gold: &str, answer: &str) -> bool {
    let gold = number::exact(gold);
    gold.is_some() && number::last(answer) == gold
}

fn verdict(gold: &str, given: Option<String>, right: bool, skill: bool) -> Found {
    let why = match (&given, right) {
        (Some(given), true) => format!("{} is right.", short(given)),
        (Some(given), false) => format!("{} was given, {gold} is right.", short(given)),
        (None, true) => format!("Without a mark, but all of the answer is {gold}."),
        (None, false) if skill => "No number is marked, but the last one is right.".into(),
        (None, false) => "No number is marked as the answer.".into(),
    };
    Found {
        extracted: match (given, right) {
            (None, true) => Some(gold.to_owned()),
            (given, _) => given,
        },
        right,
        skill,
        why,
    }
}

/// The paper's parser: what follows the last `####`, or all of the answer; its last line, without `,`, `$`, `%` and `g`, as a whole
/// number if it is one. Also whether there was a `####`.
fn as_the_paper(answer: &str) -> (String, bool) {
    let (text, marked) = match answer.rsplit_once("####") {
        Some((_, rest)) => (rest, true),
        None => (answer, false),
    };
    let line = text.trim().rsplit('\n').next().unwrap_or("");
    let plain: String = line.chars().filter(|c| !matches!(c, ',' | '$' | '%' | 'g')).collect();
    let whole = plain.trim().replace('_', "").parse::<i128>();
    (whole.map_or(plain, |n| n.to_string()), marked)
}

/// `The answer is (-?[0-9.,]+).` of `gsm8k_cot`, or `#### (-?[0-9.,]+)` of `gsm8k`: the first match.
fn harness_strict(answer: &str) -> Option<String> {
    let number = |rest: &str| -> Option<String> {
        let sign = usize::from(rest.starts_with('-'));
        let length = rest[sign..]
            .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
            .unwrap_or(rest.len() - sign);
        (length > 0).then(|| rest[..sign + length].to_owned())
    };
    let cot = answer.match_indices("The answer is ").find_map(|(at, mark)| {
        let rest = &answer[at + mark.len()..];
        let mut found = number(rest)?;
        // the pattern wants one more character behind the number, and gives one back for it
        if rest[found.len()..].chars().next().is_none_or(|c| c == '\n') {
            found.pop();
        }
        (!found.is_empty() && found != "-").then_some(found)
    });
    cot.or_else(|| {
        answer.match_indices("#### ").find_map(|(at, mark)| number(&answer[at + mark.len()..]))
    })
}

/// The last match of `(-?[$0-9.,]{2,})|(-?[0-9]+)`.
fn harness_flexible(answer: &str) -> Option<&str> {
    let bytes = answer.as_bytes();
    let part = |b: &u8| b.is_ascii_digit() || matches!(b, b'$' | b'.' | b',');
    let (mut at, mut last) = (0, None);
    while at < bytes.len() {
        let sign = usize::from(bytes[at] == b'-');
        let run = bytes[at + sign..].iter().take_while(|b| part(b)).count();
        let single = bytes.get(at + sign).is_some_and(u8::is_ascii_digit);
        if run >= 2 || (run == 1 && single) {
            last = answer.get(at..at + sign + run);
            at += sign + run;
        } else {
            at += 1;
        }
    }
    last
}

/// What the harness ignores before it compares: `,`, `$`, everything up to `#### `, a full stop at the end, case.
fn harness_plain(text: &str) -> String {
    let text = text.replace([',', '$'], "");
    let text = text.rsplit("#### ").next().unwrap_or("");
    let text = text.strip_suffix('.').unwrap_or(text);
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readings_differ_where_they_are_known_to() {
        // answer, then right by the robust reading, the paper's and the harness's
        let cases = [
            ("so 9 * 2 = 18\n#### 18", [true, true, true]),
            ("#### $18", [true, true, false]),
            ("#### 18.0", [true, false, false]),
            ("#### 18 dollars", [true, false, true]),
            ("#### 18g", [true, true, true]),
            ("#### 1,8", [false, true, true]),
            ("The answer is 18.", [true, false, true]),
            ("A: 18", [true, false, false]),
            ("the answer is \\boxed{18}", [true, false, false]),
            ("18", [false, true, false]),
            ("It is 18", [false, false, false]),
            ("#### 17", [false, false, false]),
            ("The answer is 9 * 2 = 18 eggs.", [true, false, false]),
        ];
        for (answer, rights) in cases {
            for (grading, right) in
                [Grading::Robust, Grading::Paper, Grading::Harness].into_iter().zip(rights)
            {
                let found = grade("18", grading, Take::Last, answer);
                assert_eq!(found.right, right, "{grading:?} {answer:?}: {}", found.why);
            }
        }
        assert!(grade("18", Grading::Robust, Take::Last, "It is 18").skill);
        assert!(grade("18", Grading::Harness, Take::Last, "It is 18!").skill);
    }

    #[test]
    fn the_first_or_the_last_mark_counts() {
        let two = "#### 18\nNo:\n#### 19";
        assert!(grade("18", Grading::Robust, Take::First, two).right);
        assert!(grade("19", Grading::Robust, Take::Last, two).right);
        assert!(grade("19", Grading::Paper, Take::First, two).right);
    }

    #[test]
    fn the_flexible_pattern_is_the_harness_s() {
        assert_eq!(harness_flexible("a -3.50, b"), Some("-3.50,"));
        assert_eq!(harness_flexible("5 - 4"), Some("4"));
        assert_eq!(harness_flexible("n = $7."), Some("$7."));
        assert_eq!(harness_flexible("é"), None);
    }
}
