//! Finding the parts of an answer: the answer line, boxes and other marks.

/// What stands behind `Answer:` on the last line that begins so, trimmed; Markdown's asterisks around it are ignored.
pub(super) fn answer_line(answer: &str) -> Option<&str> {
    const WORD: &str = "answer:";
    answer.lines().rev().find_map(|line| {
        let line = line.trim_matches(|c: char| c.is_whitespace() || c == '*' || c == '#');
        let head = line.get(..WORD.len())?;
        head.eq_ignore_ascii_case(WORD)
            .then(|| line[WORD.len()..].trim_matches(|c: char| c.is_whitespace() || c == '*'))
    })
}

/// The contents of `\boxed{...}` and `\fbox{...}`, whose braces may nest, with where they begin. A box in a box is not told apart;
/// one that is not closed is left out; `\boxed 5` is a box too.
pub(super) fn boxes(answer: &str) -> Vec<(usize, &str)> {
    spans(answer).into_iter().map(|(at, inside, end, _)| (at, &answer[inside..end])).collect()
}

/// Where each box begins, where its content begins and ends, and where it ends.
fn spans(answer: &str) -> Vec<(usize, usize, usize, usize)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = ["\\boxed", "\\fbox"]
        .iter()
        .filter_map(|mark| answer[from..].find(mark).map(|i| (from + i, mark.len())))
        .min()
    {
        let (start, length) = at;
        from = start + length;
        let rest = &answer[from..];
        let inside = from + (rest.len() - rest.trim_start().len());
        if !answer[inside..].starts_with('{') {
            // \boxed 5 ends with the formula
            let end = answer[inside..].find(['$', '\n']).map_or(answer.len(), |i| inside + i);
            if inside > from && !answer[inside..end].trim().is_empty() {
                found.push((start, inside, end, end));
            }
            continue;
        }
        let mut depth = 0;
        for (i, c) in answer[inside..].char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 {
                found.push((start, inside + 1, inside + i, inside + i + 1));
                from = inside + i + 1;
                break;
            }
        }
    }
    found
}

/// The content of the last box, with those just before it that only commas, `and` or `or` part from it, as one list.
pub(super) fn last_boxes(answer: &str) -> Option<(usize, String)> {
    let spans = spans(answer);
    let last = spans.last()?;
    let mut first = spans.len() - 1;
    while first > 0 && joins(&answer[spans[first - 1].3..spans[first].0]) {
        first -= 1;
    }
    let contents: Vec<&str> =
        spans[first..].iter().map(|(_, inside, end, _)| answer[*inside..*end].trim()).collect();
    Some((last.0, contents.join(", ")))
}

/// Whether a text between two parts of an answer only joins them: commas, `and`, `or`, and what is equal to the second part.
pub(super) fn joins(gap: &str) -> bool {
    let mut gap = gap.to_owned();
    for part in
        ["\\text{ and }", "\\text{and}", "\\text{ or }", "\\quad", "\\qquad", "\\;", "\\,", "\\ "]
    {
        gap = gap.replace(part, " and ");
    }
    let words: Vec<&str> = gap
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '$' | '='))
        .filter(|word| !word.is_empty())
        .filter(|word| {
            !(gap.contains('=') && word.len() == 1 && word.as_bytes()[0].is_ascii_alphabetic())
        })
        .collect();
    gap.len() < 60 && !gap.contains('\n') && words.iter().all(|w| matches!(*w, "and" | "or"))
}

/// What stands behind each mark of an answer, to the end of its line, with where the mark begins: `Answer:` and `Final answer:`
/// on a line of its own, `####`, and `answer is` anywhere. Markdown around it is taken off. Where a mark ends its line, the next
/// line that is not empty counts, or the formula that begins there.
pub(super) fn answer_marks(answer: &str) -> Vec<(usize, &str)> {
    const PHRASES: [&str; 3] = ["answer is", "answers are", "final answer:"];
    let trimmed = |text: &'_ str| -> (usize, usize) {
        let from = text.len()
            - text
                .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | ':' | '_'))
                .len();
        let to = text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_')).len();
        (from.min(to), to)
    };
    let mut marks = Vec::new();
    let mut start = 0;
    for line in answer.split('\n') {
        let lower = line.to_ascii_lowercase();
        let lead = lower.len()
            - lower
                .trim_start_matches(|c: char| {
                    c.is_whitespace() || matches!(c, '*' | '#' | '>' | '_')
                })
                .len();
        let mut mark = None;
        for word in ["final answer:", "the answer:", "answer:", "a:"] {
            let bold = format!("{}**:", word.trim_end_matches(':'));
            let spaced = format!("{} :", word.trim_end_matches(':'));
            for word in [word, bold.as_str(), spaced.as_str()] {
                if mark.is_none() && lower[lead..].starts_with(word) {
                    mark = Some(lead + word.len());
                }
            }
        }
        if let Some(at) = lower.rfind("####") {
            mark = mark.or(Some(at + 4));
        }
        for phrase in PHRASES {
            for (at, _) in lower.match_indices(phrase) {
                mark = mark.max(Some(at + phrase.len()));
            }
        }
        if let Some(at) = mark {
            let (from, to) = trimmed(&line[at..]);
            let told = &line[at + from..at + to];
            let behind = if told.is_empty() {
                answer.get(start + line.len()..)
            } else {
                answer.get(start + at + from..).filter(|_| opens(told))
            };
            let told = behind.map_or(told, |text| {
                let below = below(text);
                let (from, to) = trimmed(below);
                &below[from..to]
            });
            marks.push((start + at, told));
        }
        start += line.len() + 1;
    }
    marks
}

/// Whether a line only opens a formula.
fn opens(line: &str) -> bool {
    matches!(line.trim(), "$$" | "\\[" | "\\(" | "$")
}

/// The first line of `text` that is not empty, unless it is a mark itself; if it only opens a formula, all of that.
fn below(text: &str) -> &str {
    let text = text.trim_start();
    let line = text.split('\n').next().unwrap_or("");
    if opens(line) {
        let close = match line.trim() {
            "\\[" => "\\]",
            "\\(" => "\\)",
            same => same,
        };
        let inside = line.len();
        return text[inside..].find(close).map_or(line, |end| text[inside..inside + end].trim());
    }
    let lower = line.to_ascii_lowercase();
    if lower.contains("answer") || lower.contains("####") { "" } else { line }
}

/// `text` shortened for a sentence.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 60;
    let line = text.replace('\n', " ");
    if line.chars().count() <= MOST {
        line
    } else {
        line.chars().take(MOST).collect::<String>() + "…"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_found_with_their_braces() {
        let text = "\\boxed{\\frac{1}{2}} then \\boxed 7$, \\fbox{a} \\boxed{open";
        let contents: Vec<&str> = boxes(text).into_iter().map(|(_, b)| b).collect();
        assert_eq!(contents, ["\\frac{1}{2}", "7", "a"]);
        let joined = |text| last_boxes(text).map(|(_, list)| list);
        assert_eq!(joined("\\boxed{1} and $\\boxed{2}$, \\boxed{3}.").as_deref(), Some("1, 2, 3"));
        assert_eq!(joined("\\boxed{1} but \\boxed{2}").as_deref(), Some("2"));
        assert_eq!(joined("\\boxed"), None);
    }

    #[test]
    fn marks_of_an_answer_are_found() {
        let found =
            |text| -> Vec<&str> { answer_marks(text).into_iter().map(|(_, m)| m).collect() };
        assert_eq!(found("so\n**Answer:** 7 \nA: 8"), ["7", "8"]);
        assert_eq!(found("#### 5\nThe final answer is: **6**"), ["5", "6"]);
        assert_eq!(found("**Final Answer**: 3\nthe answer, is 4"), ["3"]);
        assert_eq!(found("é Answer: 3\nà: 4"), Vec::<&str>::new());
    }

    #[test]
    fn the_last_answer_line_counts() {
        let cases = [
            ("Answer: 1\nAnswer: 2", Some("2")),
            ("so\n**Answer:** 7 ", Some("7")),
            ("answer: B", Some("B")),
            ("The Answer: 3", None),
            ("Answer:", Some("")),
            ("Änswer: 3", None),
            ("", None),
        ];
        for (answer, expected) in cases {
            assert_eq!(answer_line(answer), expected, "{answer:?}");
        }
    }
}
