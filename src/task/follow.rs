//! Grading words that were to be written in a certain way.

use super::text::{answer_line, short};
use super::{Case, Found};

pub(super) fn grade(words: &[String], case: Case, separator: &str, answer: &str) -> Found {
    let skill = in_order(words, answer);
    let Some(line) = answer_line(answer).filter(|line| !line.is_empty()) else {
        return Found {
            extracted: None,
            right: false,
            skill,
            why: if skill {
                "The words are right, but not on a line `Answer: ...`.".into()
            } else {
                "There is no line `Answer: ...`.".into()
            },
        };
    };
    let written: Vec<String> = words.iter().map(|word| case.write(word)).collect();
    let expected = written.join(separator);
    let right = line == expected;
    let same_words = letters(line) == words.iter().map(|w| w.to_lowercase()).collect::<Vec<_>>();
    let why = if right {
        "The line is right.".into()
    } else if !same_words {
        format!("The words or their order are wrong: `{}`, expected `{expected}`.", short(line))
    } else if line.to_lowercase() == expected.to_lowercase() {
        format!("The case is wrong: `{}`, expected `{expected}`.", short(line))
    } else {
        format!("What stands between the words is wrong: `{}`, expected `{expected}`.", short(line))
    };
    Found { extracted: Some(line.to_owned()), right, skill, why }
}

fn letters(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Whether the words stand one after another in the right order on the last line that names two of them or more, whatever
/// the case and what is between. Earlier lines may be notes on the way.
fn in_order(words: &[String], answer: &str) -> bool {
    let wanted: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let enough = wanted.len().clamp(1, 2);
    answer
        .lines()
        .rev()
        .map(letters)
        .find(|line| line.iter().filter(|word| wanted.contains(word)).count() >= enough)
        .is_some_and(|line| line.windows(wanted.len().max(1)).any(|run| run == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constraint_is_checked() {
        let words: Vec<String> = ["pear", "apple", "sun"].map(String::from).to_vec();
        let cases = [
            ("Answer: PEAR, APPLE, SUN", true, true, "right"),
            ("1. reversed\nAnswer: PEAR, APPLE, SUN\n", true, true, "right"),
            ("Answer: pear, apple, sun", false, true, "case"),
            ("Answer: PEAR-APPLE-SUN", false, true, "between"),
            ("Answer: PEAR, SUN, APPLE", false, false, "order"),
            ("Answer: PEAR, APPLE", false, false, "order"),
            ("PEAR, APPLE, SUN", false, true, "not on a line"),
            ("It is pear / apple / sun!", false, true, "not on a line"),
            ("1. PEAR, APPLE, SUN\n2. sun pear apple", false, false, "no line"),
            ("nothing", false, false, "no line"),
            ("Answer:", false, false, "no line"),
        ];
        for (answer, right, skill, why) in cases {
            let found = grade(&words, Case::Capitals, ", ", answer);
            assert_eq!(
                (found.right, found.right || found.skill),
                (right, skill),
                "{answer:?}: {}",
                found.why
            );
            assert!(found.why.contains(why), "{answer:?}: {}", found.why);
        }
    }
}
