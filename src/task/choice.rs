//! Grading a letter.

use super::Found;
use super::letter::{Options, Scored};
use super::text::{answer_line, short};

pub(super) fn grade(letter: char, options: &[String], answer: &str) -> Found {
    let labels: Vec<String> = ('A'..='Z').take(options.len()).map(String::from).collect();
    let options = Options { key: "", labels: &labels, texts: options };
    let named = options.last_named(answer).map(|at| labels[at].as_str());
    let skill = named.is_some_and(|named| named.starts_with(letter));
    let Some(line) = answer_line(answer) else {
        return Found {
            extracted: None,
            right: false,
            skill,
            why: match named {
                Some(named) => {
                    format!("There is no line `Answer: X`; the text names option {named} last.")
                }
                None => "There is no line `Answer: X`, and no option is named.".into(),
            },
        };
    };
    let Some(given) = leading_letter(line, &options) else {
        return Found {
            extracted: None,
            right: false,
            skill,
            why: format!("Behind `Answer:` stands no letter but `{}`.", short(line)),
        };
    };
    let right = given == letter;
    Found {
        extracted: Some(given.to_string()),
        right,
        skill,
        why: if right {
            format!("{given} is right.")
        } else {
            format!("{given} was given, {letter} is right.")
        },
    }
}

/// The capital at the beginning of `line`, as in `B`, `(B)`, `B. dog` or `B) dog`; none where it is the article or one of several.
fn leading_letter(line: &str, options: &Options<'_>) -> Option<char> {
    let capital =
        line.chars().find(|c| c.is_alphanumeric()).is_some_and(|c| c.is_ascii_uppercase());
    match options.begins_with_label(line) {
        Scored::One(at) if capital => options.labels[at].chars().next(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_words_are_found() {
        let options: Vec<String> = ["cat", "dark blue", "blue", "72"].map(String::from).to_vec();
        let cases = [
            ('A', "Answer: A", true, true),
            ('A', "It is the cat.\nAnswer: (A)", true, true),
            ('A', "Answer: A. cat", true, true),
            ('A', "Answer: cat", false, true),
            ('A', "Answer: B", false, false),
            ('A', "The cat, surely.", false, true),
            ('A', "A cat? No, B it is.", false, false),
            ('B', "A cat? No, B it is.", false, true),
            ('B', "dark blue", false, true),
            ('C', "dark blue", false, false),
            ('C', "bluebird", false, false),
            ('D', "The largest is 72", false, true),
            ('D', "172", false, false),
            ('A', "A dog is an animal", false, false),
            ('A', "Answer: E", false, false),
            ('B', "Answer: A\nAnswer: B", true, true),
            ('B', "", false, false),
            ('A', "Answer: A blue one", false, false),
            ('A', "Answer: A or B", false, false),
            ('D', "It is D, it can't be A", false, true),
            ('B', "Answer: B, not A", true, true),
            ('C', "for sure C, it can't be A", false, true),
            ('A', "for sure C, it can't be A", false, false),
            ('C', "C, it makes no sense, and B is wrong.", false, true),
            ('C', "It is C. It doesn't make sense for it to be A or B", false, true),
            ('B', "It is not A but B", false, true),
            ('C', "C rather than A", false, true),
            ('C', "C\u{3002} \u{4e0d}\u{662f} A", false, true),
            ('C', "blue, and not the cat", false, true),
            ('A', "It cannot be B. It is A, not C.", false, true),
        ];
        for (letter, answer, right, skill) in cases {
            let found = grade(letter, &options, answer);
            assert_eq!(
                (found.right, found.right || found.skill),
                (right, skill),
                "{letter} {answer:?}: {}",
                found.why
            );
        }
    }
}
