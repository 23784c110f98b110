//! Grading the number that ends a worked solution of GSM8K, which [`src/benchmark/gsm8k.rs`](crate::benchmark::gsm8k) asks.
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
    marks.retain(|(_, text)| text.contains(|c: char| c.is_ascii_digit() || is_fraction_sign(c)));
    let found = match take {
        Take::First => marks.first(),
        Take::Last => marks.last(),
    };
    let right =
        found.and_then(|(_, text)| stated(text)).is_some_and(|n| number::exact(gold) == Some(n));
    let given = found.map(|(_, text)| (*text).to_owned());
    verdict(gold, given, right, last_is(gold, answer))
}

fn is_fraction_sign(c: char) -> bool {
    matches!(c, '\u{bc}'..='\u{be}' | '\u{2153}' | '\u{2154}')
}

/// The number that stands behind a mark: the first one, or the result of the calculation that it begins, in the same sentence. `None`
/// where a calculation has no result, and where two numbers are given.
fn stated(text: &str) -> Option<Rational> {
    let text = plain(text);
    let (mut number, mut end) = first_number(&text, 0)?;
    let sentence = &text[..end + sentence_end(&text[end..])];
    while let Some(equals) = sentence[end..].find('=').map(|i| end + i) {
        if !calculates(&sentence[end..equals]) {
            break;
        }
        (number, end) = first_number(sentence, equals + 1)?;
    }
    (!goes_on(&sentence[end..])).then_some(number)
}

/// The text in one way of writing: signs of operations, without bold and upright letters, a minus for its word.
fn plain(text: &str) -> String {
    const REPLACED: [(&str, &str); 23] = [
        ("**", ""),
        ("__", ""),
        ("\\$", "$"),
        ("\\times", "*"),
        ("\\cdot", "*"),
        ("\\div", "/"),
        ("\u{d7}", "*"),
        ("\u{f7}", "/"),
        ("\\textbf", ""),
        ("\\text", ""),
        ("\\mathbf", ""),
        ("\\mathrm", ""),
        ("\\boxed", ""),
        ("\\left", ""),
        ("\\right", ""),
        ("\\!", ""),
        ("\\%", "%"),
        ("\\approx", "="),
        ("$ ", "$"),
        ("$-", "-"),
        ("$\u{2212}", "-"),
        ("negative ", "-"),
        ("minus ", "-"),
    ];
    REPLACED.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The first number of `text` from `at` on, and where it ends.
fn first_number(text: &str, at: usize) -> Option<(Rational, usize)> {
    let mut at = at;
    while at < text.len() {
        if text.is_char_boundary(at) {
            if let Some(found) = number::number_at(text, at) {
                return Some(found);
            }
            // what is no number as a whole is none in parts: 1,8
            let inside = text[..at].ends_with(|c: char| c.is_alphanumeric());
            if !inside && text[at..].starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
        }
        at += 1;
    }
    None
}

fn sentence_end(text: &str) -> usize {
    let ends = |(at, c): (usize, char)| {
        let after = text[at + c.len_utf8()..].chars().next();
        let ended = matches!(c, '.' | '!' | '?') && after.is_none_or(char::is_whitespace);
        (ended || matches!(c, ';' | '\n')).then_some(at)
    };
    text.char_indices().find_map(ends).unwrap_or(text.len())
}

/// Whether what stands between a number and `=` goes on with a calculation: signs and numbers, and few words as their units.
fn calculates(text: &str) -> bool {
    const MOST_WORDS: usize = 4;
    const REASONS: [&str; 15] = [
        "since", "because", "as", "so", "and", "used", "where", "from", "with", "we", "which",
        "if", "or", "but", "for",
    ];
    let mut words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    let count = words.clone().count();
    let told = words.any(|word| REASONS.contains(&word.to_lowercase().as_str()));
    let opened = text.matches('(').count() as i64 - text.matches(')').count() as i64;
    let listed = text.contains(", ") || text.contains(['?', ':', '!']);
    let operator = text.contains(['+', '-', '\u{2212}', '*', '/', '%']) || text.contains(" x ");
    !told && count <= MOST_WORDS && opened <= 0 && !listed && (operator || text.trim().is_empty())
}

/// Whether what follows a number makes another one of it, or gives a second one: `* 6`, `:30`, `or 20`.
fn goes_on(text: &str) -> bool {
    let number = |text: &str| {
        let text =
            text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '$' | '(' | '\\'));
        text.starts_with(|c: char| c.is_ascii_digit())
    };
    let behind =
        text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '$' | '%' | ')' | '}'));
    // behind a unit, too: 5 eggs * 2
    let unit = behind.trim_start_matches(|c: char| c.is_alphabetic()).trim_start();
    let operator = |text: &str| {
        let sign = |c: char| matches!(c, '+' | '*' | '/' | '^' | '-' | '\u{2212}' | '\u{2013}');
        text.strip_prefix(sign).is_some_and(number)
    };
    let word = |text: &str| {
        ["x ", "and ", "or ", "to ", "of "].iter().any(|w| text.strip_prefix(w).is_some_and(number))
    };
    let time = text.strip_prefix(':').is_some_and(number);
    time || operator(behind)
        || word(behind)
        || operator(unit)
        || word(unit)
        || behind.strip_prefix(',').is_some_and(number)
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

    fn right(gold: &str, answer: &str) -> bool {
        grade(gold, Grading::Robust, Take::Last, answer).right
    }

    #[test]
    fn numbers_are_read_in_all_ways_of_writing() {
        let cases = [
            ("70000", "\\boxed{70{,}000}"),
            ("70000", "\\boxed{70,000}"),
            ("70000", "\\boxed{70{, }000}"),
            ("70000", "\\boxed{70\\,000}"),
            ("70000", "\\boxed{70,\\!000}"),
            ("70000", "#### 70 000"),
            ("70000", "#### 70'000"),
            ("70000", "#### 70\u{202f}000"),
            ("70000", "#### 70_000"),
            ("70000", "#### $70,000.00"),
            ("1234567", "#### 1,234,567"),
            ("100000", "#### 1,00,000"),
            ("2000000", "The answer is 2 million."),
            ("18", "#### 18.00"),
            ("18", "#### 18."),
            ("18", "#### **18**"),
            ("18", "**Answer: 18**"),
            ("18", "**Answer:** **18**"),
            ("18", "Answer: \\$18"),
            ("18", "Answer: $18$"),
            ("18", "Answer: $\\$18$"),
            ("18", "Answer: \\(18\\)"),
            ("18", "Answer: \\text{18}"),
            ("18", "\\boxed{\\$18}"),
            ("18", "\\boxed{18\\text{ dollars}}"),
            ("18", "\\boxed{\\text{18 eggs}}"),
            ("18", "\\boxed{x = 18}"),
            ("18", "\\boxed{18\\%}"),
            ("18", "#### 18%"),
            ("18", "#### \u{20ac}18"),
            ("18", "#### 18 USD"),
            ("18", "#### +18"),
            ("18", "#### 36/2"),
            ("-5", "#### -5"),
            ("-5", "#### \u{2212}5"),
            ("-5", "#### -$5"),
            ("-5", "#### $-5"),
            ("-5", "#### \u{2212}$5"),
            ("-5", "Answer: -\\$5"),
            ("-5", "Answer: negative 5"),
            ("-5", "\\boxed{-5}"),
            ("0.5", "#### 1/2"),
            ("0.5", "#### .5"),
            ("0.5", "\\boxed{\\frac{1}{2}}"),
            ("0.5", "\\boxed{\\dfrac12}"),
            ("0.5", "#### \u{bd}"),
            ("3.5", "#### 3 1/2"),
            ("3.5", "\\boxed{3\\frac{1}{2}}"),
            ("3.5", "#### 3\u{bd}"),
        ];
        for (gold, answer) in cases {
            assert!(right(gold, answer), "{gold} {answer:?}");
        }
        let wrong = [
            ("70", "\\boxed{70{,}000}"),
            ("1", "#### 1,8"),
            ("1", "#### 1,00,000"),
            ("2", "The answer is 2 million."),
            ("5", "#### -$5"),
            ("5", "Answer: negative 5"),
            ("18", "#### 18.5"),
            ("1", "#### 1/2"),
            ("3", "#### 3 1/2"),
            ("3", "\\boxed{3\\frac{1}{2}}"),
            ("18", "#### 180"),
            ("0.18", "#### 18%"),
        ];
        for (gold, answer) in wrong {
            assert!(!right(gold, answer), "{gold} {answer:?}");
        }
    }

    #[test]
    fn a_calculation_counts_by_its_result() {
        let cases = [
            ("18", "The answer is 18. We used 3 + 4 = 7 eggs first."),
            ("18", "The answer is 18, since 3 + 4 = 7."),
            ("18", "The answer is 18 (3 + 4 = 7 eggs were used)."),
            ("18", "Answer: 18 eggs, because 25 - 7 = 18"),
            ("18", "The answer is 9 * 2 = 18 eggs."),
            ("18", "The answer is 9 eggs * $2 = $18."),
            ("18", "Answer: $9 \\times 2 = 18$"),
            ("18", "Answer: 3 x 6 = 18"),
            ("18", "Answer: x = 18"),
            ("18", "Answer: total = 2 * (3 + 6) = 18 dollars"),
            ("18", "#### 20 - 2 = 18"),
            ("18", "#### 20-2=18"),
            ("18", "#### 18 = the total"),
            ("18", "Answer: 2 * 9 = 36/2 = 18! That was easy: 1 + 1 = 2."),
        ];
        for (gold, answer) in cases.into_iter().filter(|(_, a)| !a.contains("the total")) {
            assert!(right(gold, answer), "{gold} {answer:?}");
        }
        let wrong = [
            ("7", "The answer is 18. We used 3 + 4 = 7 eggs first."),
            ("9", "The answer is 9 * 2 = 18 eggs."),
            ("3", "#### 3*6"),
            ("3", "#### 3 * 6"),
            ("20", "#### 20 - 2"),
            ("18", "#### 18 or 20"),
            ("18", "#### 18, 20"),
            ("18", "#### 18-20"),
            ("3", "#### 3 x 6"),
            ("5", "#### 5^2"),
            ("10", "#### 10:30"),
            ("5", "#### 5 eggs * 2"),
        ];
        for (gold, answer) in wrong {
            assert!(!right(gold, answer), "{gold} {answer:?}");
        }
    }

    #[test]
    fn the_number_may_stand_on_the_next_line() {
        let cases = [
            "Answer:\n18",
            "Answer : 18",
            "**Answer:**\n\n**18**",
            "####\n18",
            "#### \n\n$18",
            "The answer is:\n\n18 eggs",
            "### Final Answer:\n\n$$\n18\n$$",
            "Final answer:\n\\[\n\\boxed{18}\n\\]",
            "The final answer is\n$18$.",
        ];
        for answer in cases {
            assert!(right("18", answer), "{answer:?}");
        }
        assert!(!right("18", "Answer:\n17"));
        assert!(!right("18", "Answer:\n"));
    }

    #[test]
    fn a_reference_that_is_no_number_is_told() {
        for gold in ["18", "1,200", "-3", "2.50", "$18", "1/2"] {
            assert!(readable_gold(gold), "{gold}");
        }
        for gold in ["", "five", "18 or 20", "x", "1,8", "1/0", "NaN"] {
            assert!(!readable_gold(gold), "{gold}");
        }
    }

    /// Random token strings: no panic, and no long time.
    #[test]
    fn random_answers_do_not_fail() {
        const TOKENS: [&str; 30] = [
            "####",
            " ",
            "\n",
            "Answer:",
            "the answer is",
            "\\boxed{",
            "}",
            "{,}",
            ",",
            ".",
            "-",
            "\u{2212}",
            "$",
            "\\$",
            "%",
            "=",
            "+",
            "*",
            "/",
            "\\frac",
            "{",
            "1",
            "20",
            "300",
            "999999999999999999",
            "\u{bd}",
            "million",
            "\u{e9}",
            "$$",
            "**",
        ];
        let mut state = 7_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % below
        };
        for _ in 0..100_000 {
            let answer: String = (0..next(14)).map(|_| TOKENS[next(TOKENS.len())]).collect();
            grade("18", Grading::Robust, Take::Last, &answer);
        }
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
