//! A text that knows which of its parts are a writer's style.

/// A text with the ranges of bytes that are there because of its writer's dialect, not because of the content.
///
/// ```
/// use unforget::lab::Styled;
/// let text = Styled::marked("‹Easy! ›2 + 3 = 5");
/// assert_eq!(text.text, "Easy! 2 + 3 = 5");
/// assert_eq!(text.style, [(0, 6)]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Styled {
    /// The text without marks.
    pub text: String,
    /// Ranges `[start, end)` of bytes of `text`, in order, neither empty nor touching.
    pub style: Vec<(usize, usize)>,
}

impl Styled {
    /// Reads a text in which style stands between `‹` and `›`; marks inside marks change nothing.
    pub fn marked(source: &str) -> Self {
        let mut out = Self::default();
        let mut depth = 0_usize;
        let mut rest = source;
        while let Some(at) = rest.find(['‹', '›']) {
            out.push(&rest[..at], depth > 0);
            if rest[at..].starts_with('‹') {
                depth += 1;
            } else {
                depth = depth.checked_sub(1).expect("each › closes a ‹");
            }
            rest = &rest[at + '‹'.len_utf8()..];
        }
        assert!(depth == 0, "a ‹ is not closed: {source}");
        out.push(rest, false);
        out
    }

    /// Appends content.
    pub fn say(&mut self, content: &str) -> &mut Self {
        self.push(content, false);
        self
    }

    /// Appends style.
    pub fn style(&mut self, text: &str) -> &mut Self {
        self.push(text, true);
        self
    }

    /// The text with its style between `‹` and `›`.
    pub fn to_marked(&self) -> String {
        let mut out = String::new();
        let mut at = 0;
        for &(start, end) in &self.style {
            out += &self.text[at..start];
            out += "‹";
            out += &self.text[start..end];
            out += "›";
            at = end;
        }
        out + &self.text[at..]
    }

    fn push(&mut self, text: &str, style: bool) {
        let start = self.text.len();
        self.text.push_str(text);
        if !style || text.is_empty() {
            return;
        }
        match self.style.last_mut() {
            Some((_, end)) if *end == start => *end = self.text.len(),
            _ => self.style.push((start, self.text.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_ranges() {
        let cases = [
            ("", vec![]),
            ("plain", vec![]),
            ("‹all›", vec![(0, 3)]),
            ("‹a›‹b›c", vec![(0, 2)]),
            ("x‹›y", vec![]),
            ("‹a‹b›c›d‹é›", vec![(0, 3), (4, 6)]),
        ];
        for (source, style) in cases {
            let text = Styled::marked(source);
            assert_eq!(text.style, style, "{source}");
            assert_eq!(Styled::marked(&text.to_marked()), text);
        }
    }

    #[test]
    fn a_text_can_be_built_piece_by_piece() {
        let mut text = Styled::default();
        text.style("Well, ").say("5").style("!");
        assert_eq!(text, Styled::marked("‹Well, ›5‹!›"));
    }
}
