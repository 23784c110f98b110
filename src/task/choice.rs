//! Grading a letter.

use super::Found;
use super::text::{answer_line, short};

pub(super) fn grade(letter: char, options: &[String], answer: &str) -> Found {
    let named = last_named(options, answer);
    let skill = named == Some(letter);
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
    let Some(given) = leading_letter(line, options.len()) else {
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

/// The letter at the beginning of `line`, as in `B`, `(B)`, `B. dog` or `B) dog`.
fn leading_letter(line: &str, options: usize) -> Option<char> {
    let mut rest = line.trim_start_matches(['(', '$', '*', ' ']).chars();
    let letter = rest.next()?;
    let alone = !rest.next().is_some_and(char::is_alphanumeric);
    (alone && is_letter(letter, options)).then_some(letter)
}

fn is_letter(c: char, options: usize) -> bool {
    c.is_ascii_uppercase() && ((c as u8 - b'A') as usize) < options
}

/// The option that `answer` names last, by its letter standing alone or by its words.
pub(super) fn last_named(options: &[String], answer: &str) -> Option<char> {
    let mut best: Option<(usize, usize, char)> = None; // end, length, letter
    let mut offer = |end: usize, length: usize, letter: char| {
        // Of two names that end together the longer one is meant: "blue" inside "dark blue".
        if best.is_none_or(|(e, l, _)| (end, length) > (e, l)) {
            best = Some((end, length, letter));
        }
    };
    for (at, c) in answer.char_indices() {
        if is_letter(c, options.len())
            && stands_alone(answer, at, at + 1)
            && !is_article(answer, at)
            && !is_denied(answer, at, at + 1)
        {
            offer(at + 1, 1, c);
        }
    }
    let lower = answer.to_ascii_lowercase();
    for (letter, option) in ('A'..='Z').zip(options) {
        let option = option.to_ascii_lowercase();
        if option.is_empty() {
            continue;
        }
        for (at, _) in lower.match_indices(&option) {
            let end = at + option.len();
            if stands_alone(&lower, at, end) && !is_denied(&lower, at, end) {
                offer(at + option.len(), option.len(), letter);
            }
        }
    }
    best.map(|(_, _, letter)| letter)
}

/// Whether the clause around what is named says that it is not the answer: "it can't be A", "B is wrong".
fn is_denied(text: &str, start: usize, end: usize) -> bool {
    const DENIALS: [&str; 11] = [
        " not ",
        "n't ",
        "n\u{2019}t ",
        " cannot ",
        " never ",
        " neither ",
        " nor ",
        " rather than ",
        " instead of ",
        " unlike ",
        "\u{4e0d}\u{662f}",
    ];
    const BEHIND: [&str; 8] = [
        " is not",
        " isn't",
        " isn\u{2019}t",
        " can't be",
        " cannot be",
        " is wrong",
        " is incorrect",
        " is false",
    ];
    let mark = |c: char| matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '\n' | '\u{3002}');
    let clause = text[..start].rsplit(mark).next().unwrap_or("");
    let clause = clause.rsplit(" but ").next().unwrap_or(clause);
    let before = format!(" {}", clause.to_lowercase());
    let behind: String = text[end..].trim_start_matches(')').chars().take(20).collect();
    let behind = behind.to_lowercase();
    DENIALS.iter().any(|denial| before.contains(denial))
        || BEHIND.iter().any(|denial| behind.starts_with(denial))
}

fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// Whether the `A` at `at` is the article: a space and a small letter follow.
fn is_article(text: &str, at: usize) -> bool {
    let mut rest = text[at..].chars();
    rest.next() == Some('A')
        && rest.next() == Some(' ')
        && rest.next().is_some_and(char::is_lowercase)
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
