//! Finding the query in an answer.

use super::fence::{Block, SQL};
use rusqlite::{Connection, Error};

/// What went wrong, in words.
pub(super) fn problem(error: Error) -> String {
    match error {
        Error::SqliteFailure(code, _) if code.code == rusqlite::ErrorCode::OperationInterrupted => {
            "it takes too long".to_owned()
        }
        Error::SqliteFailure(_, Some(message)) => message,
        Error::SqlInputError { msg, .. } => msg,
        Error::MultipleStatement => "it is more than one statement".to_owned(),
        other => other.to_string(),
    }
}

/// The last of the blocks that holds a query, else the first bare one that begins a line, the last one between single back-ticks or
/// the first within a line, else what begins like one or the last block that may be SQL.
pub(super) fn find(blocks: &[Block], answer: &str) -> Option<String> {
    let queries = || blocks.iter().rev().filter(|block| is_query(&block.code));
    let block = queries().find(|block| block.may_be(&SQL)).or_else(|| queries().next());
    let found = match block {
        Some(block) => Some(single(&block.code)),
        None => {
            let reader = Connection::open_in_memory().ok()?;
            let of_lines = line_starts(answer);
            let within = word_starts(answer);
            (of_lines.iter().find_map(|start| readable(&reader, &answer[*start..])))
                .or_else(|| {
                    let spans = spans(answer).into_iter().rev().map(single);
                    spans.take(MOST).find(|span| is_query(span) && reads(&reader, span))
                })
                .or_else(|| within.iter().find_map(|start| readable(&reader, &answer[*start..])))
                .or_else(|| of_lines.iter().chain(&within).next().map(|at| whole(&answer[*at..])))
                .or_else(|| blocks.iter().rfind(|b| b.may_be(&SQL)).map(|b| single(&b.code)))
        }
    };
    let found = found?.trim().trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    (!found.is_empty()).then(|| found.to_owned())
}

/// Whether `text` begins as a query does: with `SELECT`, `VALUES` or `WITH name AS`, behind comments and brackets.
pub(super) fn is_query(text: &str) -> bool {
    let mut text = text;
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        match comment(text) {
            0 => break,
            end => text = &text[end..],
        }
    }
    let values = begins_with(text, "values") && text[6..].trim_start().starts_with('(');
    begins_with(text, "select") || values || is_with(text)
}

/// `WITH name AS (`, `WITH RECURSIVE name (columns) AS (`: not the preposition.
fn is_with(text: &str) -> bool {
    if !begins_with(text, "with") {
        return false;
    }
    let mut rest = text[4..].trim_start();
    if begins_with(rest, "recursive") {
        rest = rest["recursive".len()..].trim_start();
    }
    let name = rest.trim_start_matches(|c: char| c.is_alphanumeric() || "_\"`[]".contains(c));
    let mut behind = name.trim_start();
    if behind.starts_with('(') {
        behind = behind.split_once(')').map_or("", |(_, rest)| rest.trim_start());
    }
    name.len() < rest.len() && begins_with(behind, "as") && behind.contains('(')
}

/// Whether `text` begins with the whole `word`, in any case.
pub(super) fn begins_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        && !text[word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The first statement of `text`, where nothing but comments is behind it; else all.
fn single(text: &str) -> &str {
    let end = statement_end(text);
    let mut rest = text[end..].trim_start_matches(|c: char| c == ';' || c.is_whitespace());
    while let end @ 1.. = comment(rest) {
        rest = rest[end..].trim_start();
    }
    if rest.is_empty() { &text[..end] } else { text }
}

/// The length of the comment that `text` begins with.
fn comment(text: &str) -> usize {
    let until = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    match text {
        _ if text.starts_with("--") => until("\n"),
        _ if text.starts_with("/*") => until("*/"),
        _ => 0,
    }
}

/// Where the first statement of `text` ends: at a semicolon outside of quotes and comments.
pub(super) fn statement_end(text: &str) -> usize {
    let (mut quote, mut skip) = (None, 0);
    for (at, c) in text.char_indices() {
        if at < skip {
            continue;
        }
        match (quote, c) {
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, ';') => return at,
            (None, '-' | '/') => skip = at + comment(&text[at..]),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// What stands between one or two back-ticks, as CommonMark pairs them.
fn spans(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find('`').map(|i| at + i) {
        let length = text[start..].len() - text[start..].trim_start_matches('`').len();
        runs.push((start, length));
        at = start + length;
    }
    let mut next = 0;
    while let Some((start, length)) = runs.get(next) {
        let end = (runs[next + 1..].iter().take(100)).position(|(_, other)| other == length);
        if let Some(end) = end.filter(|_| *length < 3) {
            found.push(&text[start + length..runs[next + 1 + end].0]);
            next += end + 1;
        }
        next += 1;
    }
    found
}

/// So many beginnings of a query in an answer are looked at, and so many ends of each.
const MOST: usize = 8;
const ENDS: usize = 60;

/// Where lines begin as a query does.
fn line_starts(answer: &str) -> Vec<usize> {
    let starts = answer.split_inclusive('\n').scan(0, |from, line| {
        let at = *from + (line.len() - line.trim_start().len());
        *from += line.len();
        Some(at)
    });
    let query = |at: &usize| begins_with(&answer[*at..], "select") || is_with(&answer[*at..]);
    starts.filter(query).take(MOST).collect()
}

/// Where words are `SELECT`.
fn word_starts(answer: &str) -> Vec<usize> {
    let select = |at: &usize| {
        let before = answer[..*at].chars().next_back();
        begins_with(&answer[*at..], "select")
            && !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    };
    answer.char_indices().map(|(at, _)| at).filter(select).take(MOST).collect()
}

/// The bare query that `text` begins with: a semicolon, a fence or the end of the text ends it.
fn whole(text: &str) -> &str {
    &text[..statement_end(text).min(text.find("```").unwrap_or(text.len()))]
}

/// The same as far as SQLite can read it, to the end of a line: what follows may be prose.
fn readable<'a>(reader: &Connection, text: &'a str) -> Option<&'a str> {
    let text = whole(text);
    let lines = text.rmatch_indices('\n').map(|(at, _)| at);
    let mut ends = std::iter::once(text.len()).chain(lines).take(ENDS);
    ends.find(|end| reads(reader, &text[..*end])).map(|end| &text[..end])
}

/// Whether SQLite can read `query`, whatever tables there are.
fn reads(reader: &Connection, query: &str) -> bool {
    const UNREADABLE: [&str; 3] = ["syntax error", "incomplete input", "unrecognized token"];
    match reader.prepare(query) {
        Ok(_) => true,
        Err(error) => {
            let said = problem(error);
            !UNREADABLE.iter().any(|part| said.contains(part))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::fence;

    fn check(cases: &[(&str, Option<&str>)]) {
        for (answer, query) in cases {
            let found = find(&fence::blocks(answer), answer);
            assert_eq!(found.as_deref(), *query, "{answer:?}");
        }
    }

    #[test]
    fn the_last_block_that_is_a_query_counts() {
        check(&[
            ("```sql\nSELECT 1;\n```", Some("SELECT 1")),
            ("So:\n```sql\nSELECT 1\n```\nor\n```sql\nSELECT 2\n```", Some("SELECT 2")),
            ("```sql\nSELECT a FROM b\n```\nResult:\n```\na\n---\n7\n```", Some("SELECT a FROM b")),
            ("```sql\nSELECT a\n```\n```text\na\n```\n```sql\n-- no query\n```", Some("SELECT a")),
            ("```SELECT 1```", Some("SELECT 1")),
            ("```sql SELECT 1; ```", Some("SELECT 1")),
            ("It is ```sql\nSELECT 1``` then.", Some("SELECT 1")),
            ("```sql\nSELECT 1", Some("SELECT 1")),
            ("~~~ SQL\r\nSELECT a\r\nFROM b\r\n~~~\r\n", Some("SELECT a\nFROM b")),
            ("```sql\n-- It's\nSELECT 1; -- one\n```", Some("-- It's\nSELECT 1")),
            ("```sql\nSELECT 1; SELECT 2\n```", Some("SELECT 1; SELECT 2")),
            ("```text\nSELECT 1\n```", Some("SELECT 1")),
            ("```sql\nSELECT a\n```\n```\nvalues\n7\n```", Some("SELECT a")),
            ("```sql\nDROP TABLE a\n```", Some("DROP TABLE a")),
            ("```\nWith pleasure\n```\nSELECT 1", Some("SELECT 1")),
        ]);
    }

    #[test]
    fn single_back_ticks_hold_a_query() {
        check(&[
            ("`SELECT 1`", Some("SELECT 1")),
            ("The query is `SELECT a FROM b;`.", Some("SELECT a FROM b")),
            ("Use ``SELECT `a` FROM b`` on `b`.", Some("SELECT `a` FROM b")),
            ("`SELECT a\nFROM b`", Some("SELECT a\nFROM b")),
            ("SELECT `a` FROM `b`", Some("SELECT `a` FROM `b`")),
            // a word of SQL is no query
            ("Use the `SELECT` statement: SELECT a FROM b;", Some("SELECT a FROM b")),
            (
                "SELECT DISTINCT a FROM b;\n\nI took `SELECT DISTINCT`.",
                Some("SELECT DISTINCT a FROM b"),
            ),
            ("SELECT a FROM b\n\n`SELECT a` gives the names.", Some("SELECT a FROM b")),
        ]);
    }

    #[test]
    fn a_bare_query_ends_with_a_semicolon_a_fence_or_the_text() {
        check(&[
            ("SELECT ';' ; SELECT 2", Some("SELECT ';'")),
            ("SELECT a\n\nFROM b\n\nWHERE c = 1", Some("SELECT a\n\nFROM b\n\nWHERE c = 1")),
            ("SELECT a\r\n\r\nFROM b", Some("SELECT a\r\n\r\nFROM b")),
            ("SELECT a\n  \n\tFROM b;\n\nIt works.", Some("SELECT a\n  \n\tFROM b")),
            ("SELECT a\n\nFROM b\n```\nThat is it.", Some("SELECT a\n\nFROM b")),
            // what is no SQL is no part of it
            ("Here it is:\nselect a\nfrom b\n\nIt works.", Some("select a\nfrom b")),
            ("select a\n\nfrom b\n\nIt's all, isn't it?", Some("select a\n\nfrom b")),
            ("SELECT a FROM b\nThis gives the names.", Some("SELECT a FROM b")),
            ("Select the names of all pets:\nSELECT a FROM b", Some("SELECT a FROM b")),
            ("With that in mind:\nSELECT a FROM b", Some("SELECT a FROM b")),
            ("WITH t AS (SELECT 1) SELECT * FROM t;", Some("WITH t AS (SELECT 1) SELECT * FROM t")),
            ("The query is SELECT 1;", Some("SELECT 1")),
            ("SELECT a -- it's\nFROM b; SELECT 2", Some("SELECT a -- it's\nFROM b")),
            ("selection of rows", None),
            ("", None),
        ]);
    }
}
