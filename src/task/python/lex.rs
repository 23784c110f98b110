//! From text to tokens, with Python's indentation.

use super::{Outcome, Problem};
use std::rc::Rc;

/// One token and the line it stands on, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Name(Rc<str>),
    /// A word of the language, such as `def`.
    Keyword(&'static str),
    Int(i64),
    Str(Rc<str>),
    /// An operator or a bracket.
    Mark(&'static str),
    Newline,
    Indent,
    Dedent,
    End,
}

const KEYWORDS: [&str; 19] = [
    "def", "return", "if", "elif", "else", "for", "while", "break", "continue", "pass", "lambda",
    "and", "or", "not", "in", "is", "None", "True", "False",
];

/// Words of Python that this language leaves out: no names either.
const LEFT_OUT: [&str; 16] = [
    "import", "from", "class", "try", "except", "finally", "raise", "with", "as", "yield",
    "global", "nonlocal", "del", "assert", "async", "await",
];

/// Longer marks first, so that `//=` is not read as `/`.
const MARKS: [&str; 36] = [
    "**=", "//=", "==", "!=", "<=", ">=", "+=", "-=", "*=", "%=", "**", "//", "(", ")", "[", "]",
    "{", "}", ",", ":", ".", "=", "<", ">", "+", "-", "*", "%", "/", "|", "&", "^", "~", "@", ";",
    "!",
];

/// Deepest indentation and deepest brackets.
const MAX_NESTING: usize = 30;

pub(super) fn tokens(source: &str) -> Outcome<Vec<Token>> {
    let mut lexer = Lexer { rest: source, line: 1, out: Vec::new(), indents: vec![0], brackets: 0 };
    lexer.all()?;
    Ok(lexer.out)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    out: Vec<Token>,
    indents: Vec<usize>,
    brackets: usize,
}

impl Lexer<'_> {
    fn all(&mut self) -> Outcome<()> {
        let mut fresh = true; // at the start of a logical line
        loop {
            if fresh && self.brackets == 0 {
                if self.rest.is_empty() {
                    break;
                }
                if self.blank_line() {
                    continue;
                }
                self.indentation()?;
                fresh = false;
            }
            let Some(first) = self.rest.chars().next() else {
                break;
            };
            match first {
                ' ' => self.skip(1),
                '\n' | '\r' => {
                    self.end_line();
                    if self.brackets == 0 {
                        self.push(Kind::Newline);
                        fresh = true;
                    }
                }
                '#' => self.comment(),
                '"' | '\'' => self.string(first)?,
                '0'..='9' => self.number()?,
                'a'..='z' | 'A'..='Z' | '_' => self.word()?,
                _ => self.mark(first)?,
            }
        }
        if self.brackets > 0 {
            return Err(self.problem("a bracket is not closed"));
        }
        if !matches!(self.out.last().map(|t| &t.kind), None | Some(Kind::Newline | Kind::Dedent)) {
            self.push(Kind::Newline);
        }
        while self.indents.len() > 1 {
            self.indents.pop();
            self.push(Kind::Dedent);
        }
        self.push(Kind::End);
        Ok(())
    }

    fn problem(&self, text: &str) -> Problem {
        Problem::new(format!("line {}: {text}", self.line))
    }

    fn push(&mut self, kind: Kind) {
        // A newline token is pushed when the counter already stands on the next line.
        let line = self.line - usize::from(kind == Kind::Newline && self.line > 1);
        self.out.push(Token { kind, line });
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn end_line(&mut self) {
        let bytes = if self.rest.starts_with("\r\n") { 2 } else { 1 };
        self.skip(bytes);
        self.line += 1;
    }

    fn comment(&mut self) {
        let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
        self.skip(end);
    }

    /// Skips a line of white space or comment; true if there was one.
    fn blank_line(&mut self) -> bool {
        let text = self.rest.trim_start_matches([' ', '\t']);
        if !(text.is_empty() || text.starts_with(['\n', '\r', '#'])) {
            return false;
        }
        self.rest = text;
        self.comment();
        if !self.rest.is_empty() {
            self.end_line();
        }
        true
    }

    fn indentation(&mut self) -> Outcome<()> {
        let width = self.rest.len() - self.rest.trim_start_matches(' ').len();
        self.skip(width);
        if self.rest.starts_with('\t') {
            return Err(self.problem("tabs are not part of this language"));
        }
        let now = *self.indents.last().expect("the outermost level stays");
        if width > now {
            if self.indents.len() >= MAX_NESTING {
                return Err(self.problem("too many levels of indentation"));
            }
            self.indents.push(width);
            self.push(Kind::Indent);
        }
        while width < *self.indents.last().expect("the outermost level stays") {
            self.indents.pop();
            self.push(Kind::Dedent);
        }
        if width != *self.indents.last().expect("the outermost level stays") {
            return Err(self.problem("the indentation matches no level above"));
        }
        Ok(())
    }

    fn string(&mut self, quote: char) -> Outcome<()> {
        let long = [quote; 3].iter().collect::<String>();
        let fence = if self.rest.starts_with(&long) { long } else { quote.to_string() };
        self.skip(fence.len());
        let mut text = String::new();
        loop {
            if self.rest.starts_with(&fence) {
                self.skip(fence.len());
                self.push(Kind::Str(text.into()));
                return Ok(());
            }
            let Some(c) = self.rest.chars().next() else {
                return Err(self.problem("a string is not closed"));
            };
            self.skip(c.len_utf8());
            match c {
                '\n' if fence.len() == 1 => return Err(self.problem("a string is not closed")),
                '\n' => {
                    self.line += 1;
                    text.push(c);
                }
                '\\' => {
                    let escaped = match self.rest.chars().next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some(c @ ('\\' | '\'' | '"')) => c,
                        _ => return Err(self.problem("this escape is not part of this language")),
                    };
                    self.skip(1);
                    text.push(escaped);
                }
                c => text.push(c),
            }
        }
    }

    fn number(&mut self) -> Outcome<()> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let digits = &self.rest[..end];
        let after = self.rest[end..].chars().next();
        if after == Some('.') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.problem("only whole decimal numbers are part of this language"));
        }
        if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|b| b != b'0') {
            return Err(self.problem("a number may not begin with 0"));
        }
        let value = digits.parse().map_err(|_| self.problem("a number is beyond 64 bits"))?;
        self.skip(end);
        self.push(Kind::Int(value));
        Ok(())
    }

    fn word(&mut self) -> Outcome<()> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        if LEFT_OUT.contains(&word) {
            return Err(self.problem(&format!("`{word}` is not part of this language")));
        }
        if self.rest[end..].starts_with(['"', '\'']) {
            return Err(self.problem("strings with a prefix are not part of this language"));
        }
        let kind = match KEYWORDS.iter().find(|k| **k == word) {
            Some(keyword) => Kind::Keyword(keyword),
            None => Kind::Name(word.into()),
        };
        self.skip(end);
        self.push(kind);
        Ok(())
    }

    fn mark(&mut self, first: char) -> Outcome<()> {
        let Some(mark) = MARKS.iter().find(|mark| self.rest.starts_with(**mark)) else {
            return Err(self.problem(&format!("`{first}` is not part of this language")));
        };
        match *mark {
            "(" | "[" | "{" => self.brackets += 1,
            ")" | "]" | "}" => {
                self.brackets = self
                    .brackets
                    .checked_sub(1)
                    .ok_or_else(|| self.problem("a bracket is closed that was not opened"))?;
            }
            _ => {}
        }
        if self.brackets > MAX_NESTING {
            return Err(self.problem("too many brackets inside each other"));
        }
        self.skip(mark.len());
        self.push(Kind::Mark(mark));
        Ok(())
    }
}
