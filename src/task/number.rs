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

    fn times(self, factor: i128) -> Option<Self> {
        self.times_fraction(factor, 1)
    }

    fn times_fraction(self, over: i128, under: i128) -> Option<Self> {
        Self::new(self.over.checked_mul(over)?, self.under.checked_mul(under)?)
    }

    /// A whole number and a fraction below one behind it.
    fn mixed(self, part: Self) -> Option<Self> {
        if self.under != 1 || part.over <= 0 || part.over >= part.under {
            return None;
        }
        Self::new(self.over.checked_mul(part.under)?.checked_add(part.over)?, part.under)
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

/// The number that `text` is as a whole, apart from a full stop, signs of currency or percent and `x =` around it.
pub(super) fn exact(text: &str) -> Option<Rational> {
    let around = |c: char| c.is_whitespace() || matches!(c, '$' | '*' | '\\' | '%');
    let text = text.trim_end_matches(around).trim_end_matches('.').trim_end_matches(around);
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '$' | '*' | '+'));
    let text = text.strip_prefix("\\$").unwrap_or(text);
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

/// Signs of currency, which may stand between a minus and its number.
const CURRENCY: [&str; 4] = ["\\$", "$", "\u{20ac}", "\u{a3}"];

/// The number that begins at byte `at`, and where it ends: `12`, `-3`, `-$3`, `1,200`, `1{,}200`, `1 200`, `2.50`, `7/2`, `3 1/2`,
/// `\frac{7}{2}`, `3\frac12`, `2 million`.
pub(super) fn number_at(text: &str, at: usize) -> Option<(Rational, usize)> {
    let before = text[..at].chars().next_back();
    let behind_value = before.is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | '}' | '_'));
    let mut rest = &text[at..];
    let mut sign = 1;
    for minus in ["-", "\u{2212}", "\u{2013}"] {
        if let Some(after) = rest.strip_prefix(minus) {
            // Between two values a minus takes away; it is no sign.
            if behind_value {
                return None;
            }
            sign = -1;
            rest = CURRENCY.iter().find_map(|sign| after.strip_prefix(sign)).unwrap_or(after);
            break;
        }
    }
    if let Some((fraction, after)) = fraction(rest) {
        return Some((fraction.times(sign)?, text.len() - after.len()));
    }
    let begins = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let point = rest.strip_prefix('.').is_some_and(begins) && before.is_none_or(|c| c != '.');
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !(begins(rest) || point) || sign == 1 && in_word {
        return None;
    }
    let (mut number, mut after) = decimal(rest)?;
    if let Some(under) = after.strip_prefix('/').filter(|under| begins(under)) {
        let (under, rest) = digits(under)?;
        number = number.times_fraction(1, under)?;
        after = rest;
    } else if let Some((part, rest)) = fraction(after.trim_start_matches(' ')) {
        number = number.mixed(part)?;
        after = rest;
    } else if let Some((part, rest)) = plain_fraction(after) {
        number = number.mixed(part)?;
        after = rest;
    } else if let Some((power, rest)) = power_of_ten(after) {
        number = number.times(10_i128.pow(power))?;
        after = rest;
    }
    Some((number.times(sign)?, text.len() - after.len()))
}

/// `\frac{7}{2}`, `\dfrac72`, `½`.
fn fraction(text: &str) -> Option<(Rational, &str)> {
    const SIGNS: [(&str, i128, i128); 5] = [
        ("\u{bd}", 1, 2),
        ("\u{bc}", 1, 4),
        ("\u{be}", 3, 4),
        ("\u{2153}", 1, 3),
        ("\u{2154}", 2, 3),
    ];
    for (sign, over, under) in SIGNS {
        if let Some(rest) = text.strip_prefix(sign) {
            return Some((Rational::new(over, under)?, rest));
        }
    }
    let rest = ["\\frac", "\\dfrac", "\\tfrac"].iter().find_map(|c| text.strip_prefix(c))?;
    let part = |text: &'_ str| -> Option<(i128, usize)> {
        let inner = text.trim_start();
        if let Some(inside) = inner.strip_prefix('{') {
            let (value, after) = signed(inside.trim_start())?;
            let after = after.trim_start().strip_prefix('}')?;
            return Some((value, text.len() - after.len()));
        }
        let digit = inner.chars().next()?.to_digit(10)?;
        Some((i128::from(digit), text.len() - inner.len() + 1))
    };
    let (over, length) = part(rest)?;
    let rest = &rest[length..];
    let (under, length) = part(rest)?;
    Some((Rational::new(over, under)?, &rest[length..]))
}

/// The `1/2` behind a whole number and a space.
fn plain_fraction(text: &str) -> Option<(Rational, &str)> {
    let (over, rest) = digits(text.strip_prefix(' ')?)?;
    let (under, rest) = digits(rest.strip_prefix('/')?)?;
    Some((Rational::new(over, under)?, rest))
}

/// The power of ten that a word behind a number multiplies it by.
fn power_of_ten(text: &str) -> Option<(u32, &str)> {
    const WORDS: [(&str, u32); 5] =
        [("hundred", 2), ("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12)];
    let word = text.strip_prefix(' ')?;
    WORDS.iter().find_map(|(name, power)| {
        let rest = word.strip_prefix(name)?;
        (!rest.starts_with(char::is_alphanumeric)).then_some((*power, rest))
    })
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

/// What parts thousands at the beginning of `text`, and what follows.
fn thousands_mark(text: &str) -> Option<&str> {
    const MARKS: [&str; 12] = [
        ",\\!", "{,}", "{, }", " {,}", "\\,", "\\ ", "'", "\u{2019}", "_", "\u{202f}", "\u{a0}",
        "\u{2009}",
    ];
    let mark = MARKS.iter().find_map(|mark| text.strip_prefix(mark));
    mark.map(str::trim_start).or_else(|| text.strip_prefix([',', ' ']))
}

/// Digits in groups of thousands, and decimals. `None` where a comma parts them in other groups: `1,8`.
fn decimal(text: &str) -> Option<(Rational, &str)> {
    let (mut value, mut rest) = if text.starts_with('.') { (0, text) } else { digits(text)? };
    let mut groups = vec![text.len() - rest.len()];
    let (first, behind_first) = (value, rest);
    while groups.len() < 6
        && let Some(after) = thousands_mark(rest)
        && let Some((group, next)) = digits(after)
    {
        let length = after.len() - next.len();
        // lakh and crore have groups of two: 1,00,000
        let fits = length == 3 || length == 2 && rest.starts_with(',');
        if !fits || groups[0] > 3 {
            break;
        }
        value = value.checked_mul(10_i128.pow(length as u32))?.checked_add(group)?;
        groups.push(length);
        rest = next;
    }
    let last = groups.len() - 1;
    let thousands = groups[1..].iter().all(|length| *length == 3);
    let lakh = last > 1 && groups[last] == 3 && groups[1..last].iter().all(|length| *length == 2);
    if !thousands && !lakh {
        (value, rest) = (first, behind_first);
    }
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if rest.strip_prefix(',').is_some_and(digit) {
        return None;
    }
    if let Some(after) = rest.strip_prefix('.').filter(|after| digit(after)) {
        let (decimals, next) = digits(after)?;
        if next.strip_prefix('.').is_some_and(digit) {
            return None;
        }
        let scale = 10_i128.pow((after.len() - next.len()) as u32);
        let over = value.checked_mul(scale)?.checked_add(decimals)?;
        return Some((Rational::new(over, scale)?, next));
    }
    Some((Rational::new(value, 1)?, rest))
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
            ("-5", "Answer: -$5", true, true),
            ("70000", "Answer: 70{,}000", true, true),
            ("70000", "Answer: 70 000", true, true),
            ("100000", "Answer: 1,00,000", true, true),
            ("7/2", "Answer: 3 1/2", true, true),
            ("7/2", "Answer: 3\\frac12", true, true),
            ("1/2", "Answer: .5", true, true),
            ("2000000", "Answer: 2 million", true, true),
            ("2", "Answer: 2 million", false, false),
            ("18", "Answer: \\$18", true, true),
            ("18", "Answer: 18%", true, true),
            ("18", "Answer: 18.00", true, true),
            ("1", "Answer: 1,8", false, false),
            ("3", "Answer: 3.1415926535897932384626", false, false),
            ("0", "Answer: .0000000000000000000001", false, false),
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
