//! Grading a number, exactly.

use super::text::{answer_line, short};
use super::{Found, Place};

/// A fraction in lowest terms with a positive denominator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rational {
    over: i128,
    under: i128,
}

impl Rational {
    /// `None` for a denominator of 0.
    fn new(over: i128, under: i128) -> Option<Self> {
        if under == 0 {
            return None;
        }
        let divisor = greatest_common_divisor(over.unsigned_abs(), under.unsigned_abs());
        let divisor = i128::try_from(divisor).ok()? * under.signum();
        Some(Self { over: over / divisor, under: under / divisor })
    }
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

pub(super) fn grade(value: &str, place: Place, answer: &str) -> Found {
    let gold = exact(value);
    let skill = gold.is_some() && last(answer) == gold;
    let (what, place) = match place {
        Place::AnswerLine => (answer_line(answer), "on a line `Answer: N`"),
        Place::Boxed => (last_boxed(answer), "in \\boxed{}"),
    };
    let Some(text) = what else {
        return Found {
            extracted: None,
            right: false,
            skill,
            why: format!("There is no number {place}{}.", aside(skill)),
        };
    };
    let Some(number) = exact(text) else {
        return Found {
            extracted: None,
            right: false,
            skill,
            why: format!("What stands {place}, `{}`, is no number{}.", short(text), aside(skill)),
        };
    };
    let right = gold == Some(number);
    Found {
        extracted: Some(text.to_owned()),
        right,
        skill,
        why: if right {
            format!("{text} is right.")
        } else {
            format!("{text} was given, {value} is right.")
        },
    }
}

fn aside(skill: bool) -> &'static str {
    if skill { ", but the last number is right" } else { "" }
}

/// The content of the last `\boxed{...}`, whose braces may nest.
fn last_boxed(answer: &str) -> Option<&str> {
    let start = answer.rfind("\\boxed{")? + "\\boxed{".len();
    let mut depth = 1;
    for (at, c) in answer[start..].char_indices() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some(answer[start..start + at].trim());
        }
    }
    None
}

/// The number that `text` is as a whole, apart from a full stop, dollar signs and `x =` around it.
pub(super) fn exact(text: &str) -> Option<Rational> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '$').trim_end_matches('.');
    let text = text.strip_prefix("x =").or_else(|| text.strip_prefix("x=")).unwrap_or(text).trim();
    let (number, end) = number_at(text, 0)?;
    (end == text.len()).then_some(number)
}

/// The last number of `text`.
pub(super) fn last(text: &str) -> Option<Rational> {
    let (mut at, mut found) = (0, None);
    while at < text.len() {
        if !text.is_char_boundary(at) {
            at += 1;
            continue;
        }
        match number_at(text, at) {
            Some((number, end)) => {
                found = Some(number);
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

/// The number that begins at byte `at`, and where it ends: `12`, `-3`, `1,200`, `2.50`, `7/2`, `\frac{7}{2}`.
pub(super) fn number_at(text: &str, at: usize) -> Option<(Rational, usize)> {
    let before = text[..at].chars().next_back();
    let mut rest = &text[at..];
    let mut sign = 1;
    for minus in ["-", "\u{2212}"] {
        if let Some(after) = rest.strip_prefix(minus) {
            // Between two values a minus takes away; it is no sign.
            let operator = before.is_some_and(|c| c.is_alphanumeric() || c == ')' || c == '}');
            if operator {
                return None;
            }
            sign = -1;
            rest = after;
            break;
        }
    }
    let begins = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    if let Some(inside) = rest.strip_prefix("\\frac{") {
        let (over, after) = signed(inside)?;
        let (under, after) = signed(after.strip_prefix("}{")?)?;
        let after = after.strip_prefix('}')?;
        let number = Rational::new(sign * over, under)?;
        return Some((number, text.len() - after.len()));
    }
    if !begins(rest) || (sign == 1 && before.is_some_and(|c| c.is_alphanumeric() || c == '_')) {
        return None;
    }
    let (over, under, after) = decimal(rest)?;
    if let Some(fraction) = after.strip_prefix('/')
        && begins(fraction)
    {
        let (under2, after) = digits(fraction)?;
        let number = Rational::new(sign * over, under.checked_mul(under2)?)?;
        return Some((number, text.len() - after.len()));
    }
    let number = Rational::new(sign * over, under)?;
    Some((number, text.len() - after.len()))
}

fn signed(text: &str) -> Option<(i128, &str)> {
    match text.strip_prefix('-') {
        Some(rest) => digits(rest).map(|(value, rest)| (-value, rest)),
        None => digits(text),
    }
}

fn digits(text: &str) -> Option<(i128, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    // Eighteen digits fit with room to multiply; longer numbers are no answers.
    (1..=18).contains(&end).then(|| text[..end].parse().ok().map(|value| (value, &text[end..])))?
}

/// Digits with thousands commas and decimals, as numerator, denominator and rest.
fn decimal(text: &str) -> Option<(i128, i128, &str)> {
    let (mut value, mut rest) = digits(text)?;
    while value < 1_000_000_000_000
        && let Some(after) = rest.strip_prefix(',')
        && let Some((group, next)) = digits(after)
        && after.len() - next.len() == 3
    {
        value = value * 1000 + group;
        rest = next;
    }
    if let Some(after) = rest.strip_prefix('.')
        && let Some((decimals, next)) = digits(after)
    {
        let scale = 10_i128.pow((after.len() - next.len()) as u32);
        return Some((value.checked_mul(scale)?.checked_add(decimals)?, scale, next));
    }
    Some((value, 1, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_line_is_read_exactly() {
        let cases = [
            ("14", "Answer: 14", true, true),
            ("14", "12 + 2 = 14\nAnswer: 14.", true, true),
            ("14", "Answer: $14", true, true),
            ("14", "Answer: 14 apples", false, true),
            ("14", "It is 14.", false, true),
            ("14", "Answer: 15", false, false),
            ("14", "Answer: 14\nAnswer: 15", false, false),
            ("14", "Answer: 14\nI am 9 years old", true, true),
            ("-3", "Answer: -3", true, true),
            ("-3", "Answer: \u{2212}3", true, true),
            ("3", "so 17-14-3", false, true),
            ("-3", "so x=-3", false, true),
            ("5/2", "Answer: 10/4", true, true),
            ("5/2", "Answer: 2.5", true, true),
            ("5/2", "Answer: \\frac{5}{2}", true, true),
            ("-5/2", "it is -5/2", false, true),
            ("1200", "Answer: 1,200", true, true),
            ("1200", "1,200 and no more", false, true),
            ("2", "Answer: 1, 2", false, true),
            ("0", "Answer: 1/0", false, true), // no such fraction: the last number is the 0
            ("7", "model7", false, false),
            ("7", "no number", false, false),
            ("7", "Answer: 99999999999999999999999", false, false),
        ];
        for (gold, answer, right, skill) in cases {
            let found = grade(gold, Place::AnswerLine, answer);
            assert_eq!(
                (found.right, found.right || found.skill),
                (right, skill),
                "{gold} {answer:?}: {}",
                found.why
            );
        }
    }

    #[test]
    fn the_last_box_counts() {
        let cases = [
            ("4", "The answer is $\\boxed{4}$.", true, true),
            ("7/2", "$\\boxed{\\frac{7}{2}}$", true, true),
            ("-7/2", "$\\boxed{-\\frac{7}{2}}$", true, true),
            ("7/2", "\\boxed{x = 7/2}", true, true),
            ("4", "\\boxed{3} or \\boxed{4}", true, true),
            ("4", "x = 4", false, true),
            ("4", "\\boxed{four}, that is 4", false, true),
            ("4", "\\boxed{4", false, true),
            ("4", "Answer: 4", false, true),
            ("4", "\\boxed{5}", false, false),
        ];
        for (gold, answer, right, skill) in cases {
            let found = grade(gold, Place::Boxed, answer);
            assert_eq!(
                (found.right, found.right || found.skill),
                (right, skill),
                "{gold} {answer:?}: {}",
                found.why
            );
        }
    }
}
