//! Reference answers put otherwise, so that what their form does can be told from what they say.

use crate::task::Item;

/// The item with every line of its reference answer ended by `end`, whatever ended it before: `\n`, `\r\n` or `\r`.
pub(super) fn with_line_ends(item: &Item, end: &str) -> Item {
    let mut text = String::with_capacity(item.truth.len());
    // where each byte of the old text stands in the new one
    let mut places = Vec::with_capacity(item.truth.len() + 1);
    let mut characters = item.truth.chars().peekable();
    while let Some(character) = characters.next() {
        places.resize(places.len() + character.len_utf8(), text.len());
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\n' => text.push_str(end),
            other => text.push(other),
        }
    }
    places.push(text.len());
    let style = item.style.iter().map(|&(from, to)| (places[from], places[to]));
    Item { style: style.filter(|(from, to)| from < to).collect(), truth: text, ..item.clone() }
}

/// The item with nothing but the first fenced block of its reference answer, fence and all; as it is if there is none that is closed.
pub(super) fn code_only(item: &Item) -> Item {
    const FENCE: &str = "```";
    let block = item.truth.find(FENCE).and_then(|from| {
        let inside = from + FENCE.len();
        Some((from, inside + item.truth[inside..].find(FENCE)? + FENCE.len()))
    });
    let Some((from, to)) = block else {
        return item.clone();
    };
    let style = item.style.iter().map(|&(start, end)| {
        let within = |at: usize| at.clamp(from, to) - from;
        (within(start), within(end))
    });
    Item {
        style: style.filter(|(start, end)| start < end).collect(),
        truth: item.truth[from..to].to_owned(),
        ..item.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Check, Place};

    fn item(truth: &str, style: &[(usize, usize)]) -> Item {
        Item {
            id: "x".into(),
            prompt: "?".into(),
            truth: truth.into(),
            style: style.to_vec(),
            check: Check::Number { value: "1".into(), place: Place::AnswerLine },
        }
    }

    fn styled(item: &Item) -> Vec<&str> {
        item.style.iter().map(|&(from, to)| &item.truth[from..to]).collect()
    }

    #[test]
    fn carriage_returns_come_and_go_and_styles_stay_in_place() {
        let before = item("é = 1\r\nor\rso\n", &[(0, 2), (8, 10), (6, 8)]);
        assert_eq!(styled(&before), ["é", "or", "\r\n"]);
        let plain = with_line_ends(&before, "\n");
        assert_eq!(plain.truth, "é = 1\nor\nso\n");
        assert_eq!(styled(&plain), ["é", "or", "\n"]);
        let returned = with_line_ends(&plain, "\r\n");
        assert_eq!(returned.truth, "é = 1\r\nor\r\nso\r\n");
        assert_eq!(with_line_ends(&returned, "\n"), plain);
    }

    #[test]
    fn code_loses_the_words_around_it() {
        let whole = item("Well:\n```python\nx = 1\n```\nThere.", &[(0, 5), (16, 17), (26, 32)]);
        let code = code_only(&whole);
        assert_eq!(code.truth, "```python\nx = 1\n```");
        assert_eq!(styled(&code), ["x"]);
        let open = item("```python\nx = 1", &[(0, 3)]);
        assert_eq!(code_only(&open), open);
    }
}
