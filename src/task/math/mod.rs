//! Grading an answer of mathematics: is it the same as the reference? [`src/benchmark/math.rs`](crate::benchmark::math) asks for one.
//!
//! Both are read as LaTeX ([`read`]) and compared ([`equal`]) by value: rationals exactly, everything else at several points with
//! sixteen digits. So `\frac{\sqrt2}{2}` equals `\dfrac1{\sqrt 2}`, and `(x+1)^2` equals `x^2+2x+1`.
//!
//! A trap: an answer of a few words, such as `\text{Tuesday}`, is compared as text, and a decimal that was rounded is not the
//! exact value: `0.33` is not `\frac13`.

mod complex;
mod equal;
mod expression;
mod read;
#[cfg(test)]
mod tests;
mod units;
mod value;

use super::text::{self, last_boxes, short};
use super::{Found, Grading, Take};
pub(super) use equal::{Lists, equal};

/// Grades `answer` to `question`, which may ask for an order.
pub(super) fn grade(
    gold: &str,
    question: &str,
    grading: Grading,
    take: Take,
    answer: &str,
) -> Found {
    let lists = if asks_for_order(question) { Lists::InOrder } else { Lists::AnyOrder };
    let equal = |gold: &str, given: &str| equal(gold, given, lists);
    let given = match grading {
        Grading::Robust => marked(answer, take),
        Grading::Paper => as_the_paper(answer),
        Grading::Harness => as_minerva(answer),
    };
    let anywhere = || anywhere(answer).is_some_and(|found| equal(gold, &found));
    match given {
        Some(given) if equal(gold, &given) => Found {
            why: format!("{} equals {}.", short(&given), short(gold)),
            extracted: Some(given),
            right: true,
            skill: true,
        },
        Some(given) => Found {
            why: format!("{} was given, {} is right.", short(&given), short(gold)),
            extracted: Some(given),
            right: false,
            skill: anywhere(),
        },
        None => {
            let skill = anywhere();
            let aside = if skill { ", but what was written last is right" } else { "" };
            Found {
                extracted: None,
                right: false,
                skill,
                why: format!("There is no answer where it belongs{aside}."),
            }
        }
    }
}

/// Whether any answer can match `gold`: it holds something and is short enough to be compared.
pub(super) fn readable_gold(gold: &str) -> bool {
    equal(gold, gold, Lists::AnyOrder)
}

/// Whether a question wants several values in some order; else a list is a set of solutions, as all lists of MATH-500 are.
fn asks_for_order(question: &str) -> bool {
    const ORDERS: &str = "increasing order|decreasing order|ascending order|descending order|alphabetical order|numerical order|\
        correct order|same order|that order|this order|order from|in order,|in order.|least to greatest|\
        greatest to least|smallest to largest|largest to smallest|lowest to highest|highest to lowest|\
        shortest to longest";
    let question = question.to_lowercase();
    ORDERS.split('|').any(|order| question.contains(order))
}

/// What is marked as the answer: in a box, on a line `Answer:`, or behind "answer is". Boxes that only commas or `and` part
/// belong together.
fn marked(answer: &str, take: Take) -> Option<String> {
    let mut marks: Vec<(usize, String)> =
        text::boxes(answer).into_iter().map(|(at, content)| (at, content.to_owned())).collect();
    if take == Take::Last
        && let Some((at, joined)) = last_boxes(answer)
    {
        marks.push((at, joined));
    }
    // a word is no other answer than a number, but for a number's name
    let number = marks.iter().any(|(_, content)| content.contains(|c: char| c.is_ascii_digit()));
    let told = text::answer_marks(answer);
    let given = !marks.is_empty() || told.iter().any(|(_, line)| !is_remark(line, false));
    for (at, line) in told {
        // "the answer is correct" beside a box is no other answer
        if given && is_remark(line, number) {
            continue;
        }
        let content = said(line);
        if !content.trim().is_empty() {
            marks.push((at, content));
        }
    }
    marks.sort_by_key(|(at, _)| *at); // stable: the joined boxes come behind the last one
    let found = match take {
        Take::First => marks.into_iter().next(),
        Take::Last => marks.pop(),
    };
    found.map(|(_, content)| content.trim().to_owned()).filter(|content| !content.is_empty())
}

/// Whether what stands behind "answer is" tells about the answer instead of giving one: words without a number or formula, of
/// which there are many, or which begin as such remarks do; beside a `number`, all words but a number's name.
fn is_remark(line: &str, number: bool) -> bool {
    const REMARKS: &str = "correct incorrect right wrong verified confirmed consistent valid reasonable unique indeed not in as also thus \
        therefore then now found obtained given boxed above below shown written expressed simply exactly already clear \
        complete";
    const MOST_WORDS: usize = 4;
    let sentence = line.split(". ").next().unwrap_or(line);
    if sentence.contains(|c: char| c.is_ascii_digit() || matches!(c, '\\' | '$' | '=')) {
        return false;
    }
    let words = sentence.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_lowercase).collect();
    match &words[..] {
        [letter] if letter.len() == 1 => false,
        [first, ..] => {
            read::among(REMARKS, first)
                || number && read::base_named(first).is_none()
                || words.len() > MOST_WORDS
        }
        [] => true,
    }
}

/// What a line behind a mark says: its box, else what its first sentence says behind its last "is" and before a reason, and of that
/// the formulas.
fn said(line: &str) -> String {
    const REASONS: [&str; 9] =
        ["because", "since", "where", "which", "when", "as", "so", "for", "not"];
    let tells = |text: &str| text.contains(|c: char| c.is_ascii_digit() || matches!(c, '\\' | '$'));
    if let Some((_, boxed)) = last_boxes(line) {
        return boxed;
    }
    let mut sentence = line.split(". ").next().unwrap_or(line);
    let begins = |at: usize| sentence[..at].ends_with([' ', '(']);
    let reason = |word: &str| {
        let after = |at: &usize| sentence[at + word.len()..].starts_with(' ');
        sentence.match_indices(word).map(|(at, _)| at).find(|at| begins(*at) && after(at))
    };
    if let Some(at) =
        REASONS.iter().filter_map(|word| reason(word)).filter(|at| tells(&sentence[..*at])).min()
    {
        sentence = sentence[..at].trim_end_matches(['(', ',', ' ']);
    }
    let told = [" is ", " are "]
        .iter()
        .filter_map(|word| sentence.rfind(word).map(|at| (at, &sentence[at + word.len()..])))
        .max_by_key(|(at, _)| *at)
        .map_or(sentence, |(at, behind)| {
            // "34 is the answer"
            let before = tells(&sentence[..at]) && !tells(behind);
            if before { &sentence[..at] } else { behind }
        });
    let mut formulas = formulas(told);
    formulas.retain(|(_, _, content)| !content.is_empty());
    // "3 + $x$" is more than its formula
    let mut outside = told.to_owned();
    for (start, end, _) in formulas.iter().rev() {
        outside.replace_range(*start..*end, " ");
    }
    let more = outside.contains(|c: char| c.is_ascii_digit() || matches!(c, '+' | '=' | '/' | '^'));
    match last_formulas(told, &formulas) {
        Some(joined) if !more => joined,
        _ => number_among_words(told).unwrap_or(told).to_owned(),
    }
}

/// The number of a text that is else only words, none of which changes it: "she started 3 hours ago".
fn number_among_words(text: &str) -> Option<&str> {
    let number = last_number(text)?;
    let at = text.rfind(number)?;
    let (before, after) = (&text[..at], &text[at + number.len()..]);
    let part = |c: char| c.is_alphabetic() || c.is_whitespace() || matches!(c, ',' | '.' | '\'');
    let fits = |side: &str| {
        side.chars().all(part)
            && side.split(|c: char| !c.is_alphabetic()).all(|word| {
                !read::counts(word) && (word.len() != 1 || matches!(word, "a" | "A" | "I"))
            })
    };
    let spaced = before.ends_with(char::is_whitespace) && !after.starts_with(char::is_alphanumeric);
    (spaced && fits(before) && fits(after) && before.split_whitespace().count() > 1)
        .then(|| number.trim_end_matches(['.', ',']))
}

/// The paper's rule: the rest of the line behind the first `Answer:`, in any case, else the last box. A line with a box says what is
/// in the box: the paper's judge, a language model, reads it so.
fn as_the_paper(answer: &str) -> Option<String> {
    const MARK: &str = "answer:";
    let boxed = |text: &str| text::boxes(text).pop().map(|(_, content)| content.to_owned());
    let found = match answer.to_ascii_lowercase().find(MARK) {
        Some(at) => {
            let line = answer[at + MARK.len()..].lines().next()?;
            boxed(line).unwrap_or_else(|| line.to_owned())
        }
        None => boxed(answer)?,
    };
    let found = found.trim();
    (!found.is_empty()).then(|| found.to_owned())
}

/// The rule of lm-evaluation-harness's `minerva_math`: what stands in its sentence, whose second half may be missing.
fn as_minerva(answer: &str) -> Option<String> {
    let (open, close) = ("Final Answer: The final answer is", "I hope it is correct.");
    answer.match_indices(open).find_map(|(at, _)| {
        let rest = &answer[at + open.len()..];
        // the pattern's dot matches no line end
        let line = rest.lines().next().unwrap_or("");
        let end = line.find(close).unwrap_or(line.len());
        let content = line[..end].trim().trim_end_matches('.').trim();
        (!content.is_empty()).then(|| content.to_owned())
    })
}

/// The best guess at an answer that is not marked: the last box, else all of the text if it is a formula, else the last formula or
/// the last number, whichever stands later.
pub(super) fn anywhere(answer: &str) -> Option<String> {
    if let Some((_, boxed)) = last_boxes(answer) {
        return Some(boxed);
    }
    let mut formulas = formulas(answer);
    if formulas.is_empty() && is_formula(answer) {
        return Some(answer.trim().to_owned());
    }
    let mut words = answer.to_owned();
    for (start, end, _) in &formulas {
        words.replace_range(*start..*end, &" ".repeat(end - start));
    }
    formulas.retain(|(_, _, content)| !content.is_empty());
    let end = formulas.last().map_or(0, |(_, end, _)| *end);
    match last_number(&words[end..]) {
        Some(_) => either_number(&words[end..]),
        None => last_formulas(answer, &formulas).or_else(|| either_number(&words)),
    }
}

/// The last number, with another one if the text leaves it open: `4 or 5`.
fn either_number(text: &str) -> Option<String> {
    let last = last_number(text)?;
    let before = text[..text.rfind(last)?].trim_end();
    let other =
        before.strip_suffix(" or").filter(|before| before.ends_with(|c: char| c.is_ascii_digit()));
    Some(match other.and_then(last_number) {
        Some(other) => format!("{other}, {last}"),
        None => last.to_owned(),
    })
}

/// Whether all of `text` is a formula: it can be read, and no word of it is a word.
fn is_formula(text: &str) -> bool {
    const MOST_BYTES: usize = 500;
    if text.len() > MOST_BYTES {
        return false;
    }
    let mut letters = 0;
    let mut before = ' ';
    for c in text.chars() {
        let in_command = c.is_alphabetic() && (before == '\\' || letters == 0 && before == '\u{0}');
        letters = if c.is_alphabetic() && !in_command { letters + 1 } else { 0 };
        if letters > 1 {
            return false;
        }
        // inside of a command's name
        before = if in_command { '\u{0}' } else { c };
    }
    read::read(&read::plain(text), true).is_some()
}

/// The formulas between dollar signs, `\(` and `\)`, or `\[` and `\]`: where each begins and ends, and what it holds. A formula within
/// a line that does not end there holds nothing; a dollar sign is then one of money.
fn formulas(text: &str) -> Vec<(usize, usize, &str)> {
    let mut found = Vec::new();
    for (open, close) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")] {
        let mut at = 0;
        while let Some(start) = find_plain(text, open, at) {
            let inside = start + open.len();
            let Some(end) = find_plain(text, close, inside) else {
                break;
            };
            let content = text[inside..end].trim();
            let line = text[inside..end].split('\n').next().unwrap_or("");
            let broken = line.len() < end - inside && matches!(open, "$" | "\\(");
            at = if broken && open == "$" && !line.trim().is_empty() {
                inside
            } else {
                found.push((start, end + close.len(), if broken { "" } else { content }));
                end + close.len()
            };
        }
    }
    found.sort_by_key(|(start, _, _)| *start);
    found.dedup_by(|later, before| later.0 < before.1);
    found
}

/// The last formula, with those just before it that only commas, `and` or `or` part from it, as one list.
fn last_formulas(text: &str, formulas: &[(usize, usize, &str)]) -> Option<String> {
    let mut first = formulas.len().checked_sub(1)?;
    while first > 0 && text::joins(&text[formulas[first - 1].1..formulas[first].0]) {
        first -= 1;
    }
    let contents = formulas[first..].iter().map(|(_, _, content)| *content);
    let apart = |content: &str| content.trim_end_matches([',', ';', '.', ' ']).to_owned();
    Some(contents.map(apart).collect::<Vec<_>>().join(", "))
}

/// Where `mark` stands in `text` from `at` on, without a backslash before it.
fn find_plain(text: &str, mark: &str, at: usize) -> Option<usize> {
    text[at..].match_indices(mark).map(|(i, _)| at + i).find(|i| !text[..*i].ends_with('\\'))
}

/// The last number that is no part of a word, with its sign, thousands commas, decimals and fraction.
fn last_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let part = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'/');
    let mut until = bytes.len();
    loop {
        let end = bytes[..until].iter().rposition(u8::is_ascii_digit)? + 1;
        let mut start = end;
        while start > 0 && part(bytes[start - 1]) {
            start -= 1;
        }
        let whole = start;
        while !bytes[start].is_ascii_digit() && bytes[start] != b'.' {
            start += 1;
        }
        if text[..whole].ends_with(|c: char| c.is_alphabetic()) {
            until = whole;
            continue;
        }
        if start > 0 && bytes[start - 1] == b'-' {
            start -= 1;
        }
        return Some(&text[start..end]);
    }
}

#[cfg(test)]
mod marks {
    use super::*;

    fn verdict(gold: &str, grading: Grading, take: Take, answer: &str) -> (bool, bool) {
        let found = grade(gold, "", grading, take, answer);
        (found.right, found.skill)
    }

    #[test]
    fn the_first_or_the_last_mark_counts() {
        let two = "Answer: 3\nNo, wait.\nAnswer: 4";
        assert_eq!(verdict("4", Grading::Robust, Take::Last, two), (true, true));
        assert_eq!(verdict("3", Grading::Robust, Take::First, two), (true, true));
        assert!(!verdict("4", Grading::Paper, Take::Last, two).0);
        let boxed = "so $\\boxed{\\frac{1}{2}}$";
        assert!(verdict("0.5", Grading::Robust, Take::Last, boxed).0);
        assert!(verdict("0.5", Grading::Paper, Take::Last, boxed).0);
        assert_eq!(verdict("0.5", Grading::Harness, Take::Last, boxed), (false, true));
        let minerva = "Final Answer: The final answer is $\\frac12$. I hope it is correct.";
        for grading in [Grading::Robust, Grading::Harness] {
            assert!(verdict("0.5", grading, Take::Last, minerva).0, "{grading:?}");
        }
        let both = "The roots are $\\boxed{1}$ and $\\boxed{2}$.";
        assert!(verdict("2, 1", Grading::Robust, Take::Last, both).0);
        assert!(verdict("1", Grading::Robust, Take::First, both).0);
    }

    #[test]
    fn a_sentence_behind_a_mark_is_read_to_its_point() {
        let cases = [
            ("34", "Final Answer: The largest $n$ is 34."),
            ("120", "So the final answer is 120. I hope it is correct."),
            ("\\frac12", "The answer is $x = \\frac{1}{2}$, as was asked."),
            ("44", "It is $\\boxed{44}$, and the answer is correct."),
        ];
        for (gold, answer) in cases {
            assert!(verdict(gold, Grading::Robust, Take::Last, answer).0, "{answer}");
        }
    }

    #[test]
    fn an_answer_may_stand_on_the_line_below_its_mark() {
        let answers = [
            "Answer:\n9",
            "**Answer:**\n\n$9$",
            "Answer:\n\\[\n9\n\\]",
            "Answer:\n$$\n9\n$$",
            "Answer: $$\n9\n$$",
            "The final answer is:\n\n$\\boxed{9}$",
            "**Final Answer**\n\\boxed{9}",
            "The answer is\n\n9.",
        ];
        for answer in answers {
            assert!(verdict("9", Grading::Robust, Take::Last, answer).0, "{answer:?}");
            assert!(!verdict("8", Grading::Robust, Take::Last, answer).0, "{answer:?}");
        }
        let below = "Answer:\n\nThe answer is 4";
        assert!(verdict("4", Grading::Robust, Take::First, below).0);
    }

    #[test]
    fn the_last_of_boxes_and_of_what_is_said_counts() {
        let cases = [
            ("4", "So \\boxed{3}. Wait. The answer is 4."),
            ("4", "So \\boxed{3}. Wait. The answer is $4$."),
            ("\\text{Evelyn}", "\\boxed{Carla}? No. The answer is Evelyn."),
            ("3", "The answer is 4. No: \\boxed{3}"),
            ("44", "It is $\\boxed{44}$, and the answer is correct."),
            ("44", "It is $\\boxed{44}$. The answer is in the form that was asked for."),
            ("44", "It is $\\boxed{44}$. The answer is not negative, as it must be."),
            ("3,4", "Answer: $3$ and $4$"),
            ("1,-2", "Answer: $x=1$ or $x=-2$."),
            ("\\frac12", "Answer: $\\frac{1}{2}$ because $x=3$"),
            ("34", "The answer: 34 is the largest such number."),
            ("3", "Final Answer: Jane started growing it 3 hours ago."),
        ];
        for (gold, answer) in cases {
            assert!(verdict(gold, Grading::Robust, Take::Last, answer).0, "{answer}");
        }
        let wrong = [
            ("3", "So \\boxed{3}. Wait. The answer is 4."),
            ("4", "Answer: $3$ and $4$"),
            ("4", "Answer: $3$ or $4$"),
            ("3", "Answer: $\\frac{1}{2}$ because $x=3$"),
            ("3", "Final Answer: twice 3 hours are needed."),
        ];
        for (gold, answer) in wrong {
            assert!(!verdict(gold, Grading::Robust, Take::Last, answer).0, "{gold} {answer}");
        }
        let first = "The answer is found by adding. \\boxed{5}";
        assert!(verdict("5", Grading::Robust, Take::First, first).0);
    }

    #[test]
    fn a_reference_that_holds_nothing_is_told() {
        for gold in ["5", "\\emptyset", "\\{\\}", "\\text{no}", "x^2 + 1", "\\frac{1}{0}"] {
            assert!(readable_gold(gold), "{gold}");
        }
        for gold in ["", " ", "$$", "\\text{}", "\\boxed{}", "{}", ".", &"1+".repeat(6_000)] {
            assert!(!readable_gold(gold), "{gold}");
        }
    }

    /// Three reference solutions of MATH say `answer:` in the middle of a sentence; these texts are made up in their form.
    #[test]
    fn the_paper_reads_the_line_behind_its_first_mark() {
        let right =
            |gold: &str, grading, answer: &str| verdict(gold, grading, Take::Last, answer).0;
        let chain = "We square both and find our answer: $2^2+3^2=4+9=\\boxed{13}$, a prime.";
        let units = "This gives the answer: $6\\text{ mugs} = 6\\text{ mugs}\\times\\frac{8\\text{ cups}}{3\\text{ mugs}}=\\boxed{16} \\text{ cups}$.";
        let aside = "We do not need the form of the answer: the angle will do.\nIt is $\\boxed{\\frac{\\pi}{5}}$.";
        for grading in [Grading::Paper, Grading::Robust] {
            assert!(right("13", grading, chain), "{grading:?}");
            assert!(right("16", grading, units), "{grading:?}");
        }
        // here the rule is at fault: what it takes is an aside
        assert!(right("\\frac{\\pi}{5}", Grading::Robust, aside));
        assert!(!right("\\frac{\\pi}{5}", Grading::Paper, aside));
        let none = "the answer: 13\n\\boxed{5}";
        assert!(right("13", Grading::Paper, none) && !right("5", Grading::Paper, none));
        assert_eq!(as_the_paper("Answer:"), None);
        assert_eq!(as_the_paper("no mark, no box"), None);
    }

    #[test]
    fn answers_as_models_give_them_are_found() {
        let right = [
            ("12", "Answer: 12 (since 3 times 4 is 12)"),
            ("12", "Answer: `12`"),
            ("1,-2", "So $x = \\boxed{1}$ or $x = \\boxed{-2}$."),
            ("5", "Answer: 5\n\nLet me verify: 2 + 3 = 5. The answer is correct."),
            ("5", "The answer is $x=5$, not $x=-5$."),
            ("5", "The answer is not 4. It is \\boxed{5}."),
            ("5", "\\boxed{5}\n\nThe answer is the number of apples that remain."),
            ("80", "\\boxed{80}. Note: rounding before the final answer is a common mistake."),
            ("11", "The answer is approximately 11."),
            ("72\\%", "The answer is 0.72."),
            ("2", "The answer is two."),
            ("3.46", "The answer is $2\\sqrt{3} \\approx 3.46$."),
            ("\\text{(A)}", "The answer is \\textbf{(A)}\\ 12."),
            ("\\text{Tuesday}", "Answer: It is a Tuesday"),
            ("x=3, y=4", "\\[\\boxed{\\begin{cases} x = 3 \\\\ y = 4 \\end{cases}}\\]"),
        ];
        for (gold, answer) in right {
            assert!(verdict(gold, Grading::Robust, Take::Last, answer).0, "{answer}");
        }
        let wrong = [
            ("5", "Answer: 4 or 5"),
            ("5", "The answer is either 4 or 5."),
            ("10", "Thus, the answer is $\\boxed{10}$, and not $\\boxed{12}$."),
        ];
        for (gold, answer) in wrong {
            let found = verdict(gold, Grading::Robust, Take::Last, answer);
            assert_eq!(found, (false, false), "{answer}");
        }
    }

    #[test]
    fn what_stands_last_is_the_best_guess() {
        let cases = [
            ("so $x = 3$. Hence there are 12 of them in all.", Some("12")),
            ("so there are 12. Hence $x = 3$ of them.", Some("x = 3")),
            ("He pays $5.\nShe pays $7.", Some("7")),
            ("Answer $9$", Some("9")),
            ("Answer \\[ \n 9 \n \\]", Some("9")),
            // a formula within a line ends there
            ("Answer \\( \n 9 \n \\)", None),
            ("Answer $ \n 9 \n $", None),
            ("costs $5.\nThen $x=3$", Some("x=3")),
        ];
        for (answer, guess) in cases {
            assert_eq!(anywhere(answer).as_deref(), guess, "{answer:?}");
        }
        let lines = "\\[\n\\begin{aligned}\nx &= 2 + 3 \\\\\n  &= 5\n\\end{aligned}\n\\]";
        assert!(verdict("5", Grading::Robust, Take::Last, lines).1);
    }

    #[test]
    fn an_answer_without_a_mark_is_skill_only() {
        let unmarked = "so the sum is $12$";
        assert_eq!(verdict("12", Grading::Robust, Take::Last, unmarked), (false, true));
        assert_eq!(anywhere("it is 1,200/7.").as_deref(), Some("1,200/7"));
        assert_eq!(anywhere("it is -3").as_deref(), Some("-3"));
        assert_eq!(anywhere("-\\frac{10}{9}").as_deref(), Some("-\\frac{10}{9}"));
        assert_eq!(anywhere("nothing"), None);
        assert_eq!(anywhere("AB2C"), None);
        assert_eq!(anywhere("it is 3 in B2C").as_deref(), Some("3"));
        assert_eq!(verdict("12", Grading::Robust, Take::Last, "Answer:"), (false, false));
    }
}
