//! Finding the parts of an answer: fenced blocks and the answer line.

/// The fenced blocks (three back-ticks) whose language tag is one of `tags` or missing, in order. A block must be closed.
pub(super) fn fenced<'a>(answer: &'a str, tags: &[&str]) -> Vec<&'a str> {
    let mut blocks = Vec::new();
    let mut rest = answer;
    while let Some(open) = rest.find("```") {
        let inside = &rest[open + 3..];
        let Some(close) = inside.find("```") else {
            break;
        };
        let block = &inside[..close];
        let (tag, body) = block.split_once('\n').unwrap_or(("", block));
        let tag = tag.trim();
        if tag.is_empty() || tags.iter().any(|t| t.eq_ignore_ascii_case(tag)) {
            blocks.push(body);
        }
        rest = &inside[close + 3..];
    }
    blocks
}

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
    fn blocks_are_found_by_tag() {
        let answer = "a ```python\nx\n``` b ```sql\ny\n``` c ```\nz\n``` d ```python\nopen";
        assert_eq!(fenced(answer, &["python"]), ["x\n", "z\n"]);
        assert_eq!(fenced(answer, &["SQL"]), ["y\n", "z\n"]);
        assert!(fenced("``` `` ", &[]).is_empty());
        assert_eq!(fenced("```x```", &[]), ["x"]);
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
