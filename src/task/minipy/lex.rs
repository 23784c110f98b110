//! From text to tokens, with Python's indentation.

use super::{Outcome, problem};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    /// The line it stands on, counted from 1.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Int(i64),
    /// A keyword, an operator or a bracket.
    Mark(&'static str),
    Newline,
    Indent,
    Dedent,
    End,
}

const KEYWORDS: [&str; 15] = [
    "def", "return", "if", "elif", "else", "for", "in", "pass", "lambda", "and", "or", "not",
    "None", "True", "False",
];
/// Longer marks first, so that `<=` is not read as `<`.
const MARKS: [&str; 19] = [
    "==", "!=", "<=", ">=", "(", ")", "[", "]", ",", ":", ".", "=", "<", ">", "+", "-", "*", "%",
    ";",
];
/// Python's other keywords and its operators that begin like one of ours.
const LEFT_OUT: [&str; 27] = [
    "while", "break", "continue", "is", "import", "from", "class", "try", "except", "finally",
    "raise", "with", "as", "yield", "global", "nonlocal", "del", "assert", "async", "await", "**",
    "+=", "-=", "*=", "%=", "->", ":=",
];

/// Deepest indentation and deepest brackets.
const MAX_NESTING: usize = 30;

pub(super) fn tokens(source: &str) -> Outcome<Vec<Token>> {
    let mut tokens = Vec::new();
    let (mut indents, mut brackets, mut last) = (vec![0], 0_usize, 1);
    for (line, text) in (1..).zip(source.lines()) {
        let mut rest = text.trim_start_matches([' ', '\t']);
        if rest.is_empty() || rest.starts_with('#') {
            continue;
        }
        let at_line = |kind| Token { kind, line };
        last = line;
        if brackets == 0 {
            let width = text.len() - rest.len();
            if text[..width].contains('\t') {
                return problem(format!("line {line}: tabs are not part of minipy"));
            }
            if indents.last().is_some_and(|now| width > *now) {
                indents.push(width);
                tokens.push(at_line(Kind::Indent));
            }
            while indents.last().is_some_and(|now| width < *now) {
                indents.pop();
                tokens.push(at_line(Kind::Dedent));
            }
            if indents.last() != Some(&width) {
                return problem(format!("line {line}: the indentation matches no level above"));
            }
        }
        while let Some(first) = rest.chars().next().filter(|c| *c != '#') {
            if first == ' ' {
                rest = &rest[1..];
                continue;
            }
            let (kind, length) =
                token(rest).map_err(|said| super::Problem(format!("line {line}: {said}")))?;
            match kind {
                Kind::Mark("(" | "[") => brackets += 1,
                Kind::Mark(")" | "]") if brackets == 0 => {
                    return problem(format!(
                        "line {line}: a bracket is closed that was not opened"
                    ));
                }
                Kind::Mark(")" | "]") => brackets -= 1,
                _ => {}
            }
            if brackets.max(indents.len()) > MAX_NESTING {
                return problem(format!("line {line}: too much inside each other"));
            }
            tokens.push(at_line(kind));
            rest = &rest[length..];
        }
        if brackets == 0 {
            tokens.push(at_line(Kind::Newline));
        }
    }
    if brackets > 0 {
        return problem(format!("line {last}: a bracket is not closed"));
    }
    tokens.extend(indents[1..].iter().map(|_| Token { kind: Kind::Dedent, line: last }));
    tokens.push(Token { kind: Kind::End, line: last });
    Ok(tokens)
}

/// The token that `text` begins with, and its length.
fn token(text: &str) -> Result<(Kind, usize), String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = text.find(|c| !word(c)).unwrap_or(text.len());
    let name = &text[..length];
    let left_out = |part: &str| Err(format!("`{part}` is not part of minipy"));
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        let whole = name.bytes().all(|b| b.is_ascii_digit()) && !text[length..].starts_with('.');
        return match name.parse() {
            _ if !whole => Err("only whole decimal numbers are part of minipy".into()),
            _ if name.starts_with('0') && name.bytes().any(|b| b != b'0') => {
                Err("a number may not begin with 0".into())
            }
            Ok(value) => Ok((Kind::Int(value), length)),
            Err(_) => Err("a number is beyond 64 bits".into()),
        };
    }
    if length > 0 {
        return match KEYWORDS.iter().find(|keyword| **keyword == name) {
            _ if LEFT_OUT.contains(&name) => left_out(name),
            Some(keyword) => Ok((Kind::Mark(keyword), length)),
            None => Ok((Kind::Name(name.to_owned()), length)),
        };
    }
    if let Some(mark) = LEFT_OUT.iter().find(|mark| text.starts_with(**mark)) {
        return left_out(mark);
    }
    match MARKS.iter().find(|mark| text.starts_with(**mark)) {
        Some(mark) => Ok((Kind::Mark(mark), mark.len())),
        None if text.starts_with(['"', '\'']) => Err("strings are not part of minipy".into()),
        None => left_out(&text.chars().take(1).collect::<String>()),
    }
}
