//! Grading a query by running it on SQLite.
//!
//! Each query runs in a database of its own in memory. The model's query may only read: an authorizer refuses everything but
//! reading, a progress handler ends what takes too long, and sizes are limited.

use super::Found;
use super::fence::{self, Block, SQL};
use super::query::{begins_with, is_query, statement_end};
use super::text::short;
use rusqlite::hooks::{AuthAction, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::Value;
use rusqlite::{Connection, Error};
use std::cmp::Ordering;

/// Most instructions of SQLite's virtual machine, in thousands.
const MAX_STEPS: i32 = 2_000;
/// Most rows of a result.
const MAX_ROWS: usize = 10_000;
/// Longest text or blob that a query may make, in bytes.
const MAX_BYTES: i32 = 100_000;

type Rows = Vec<Vec<Value>>;

pub(super) fn grade(script: &str, gold: &str, answer: &str) -> Found {
    let expected = match rows(script, gold) {
        Ok(rows) => rows,
        Err(problem) => {
            return Found {
                extracted: None,
                right: false,
                skill: false,
                why: format!("The item is broken: its own query fails: {problem}."),
            };
        }
    };
    let ordered = gold.to_ascii_lowercase().contains("order by");
    let verdict = |query: &str| -> Result<(), String> {
        let given = rows(script, query).map_err(|p| format!("The query fails: {p}"))?;
        compare(given, expected.clone(), ordered)
    };
    let blocks: Vec<Block> =
        fence::blocks(answer).into_iter().filter(|block| block.may_be(&SQL)).collect();
    let query = in_form(&blocks, answer);
    let first = query.map(verdict);
    if let (Some(query), Some(Ok(()))) = (query, &first) {
        return Found {
            extracted: Some(query.to_owned()),
            right: true,
            skill: true,
            why: format!("The query gives the expected {} rows.", expected.len()),
        };
    }
    let skill = anywhere(answer).iter().any(|query| verdict(query).is_ok());
    let aside = if skill { " A query elsewhere in the text gives the expected rows." } else { "" };
    Found {
        extracted: query.map(str::to_owned),
        right: false,
        skill,
        why: match first {
            Some(Err(problem)) => format!("{problem}.{aside}"),
            _ => format!("There is no fenced query.{aside}"),
        },
    }
}

/// The query in its place: the first fenced block that holds one, or the whole answer if it begins with `SELECT`.
fn in_form<'a>(blocks: &'a [Block], answer: &'a str) -> Option<&'a str> {
    let closed = || blocks.iter().filter(|block| block.closed);
    let block = closed().find(|block| is_query(&block.code)).or_else(|| closed().next());
    block.map(|block| block.code.trim()).or_else(|| {
        let text = answer.trim();
        begins_with(text, "select").then_some(text)
    })
}

/// Everything in `answer` that may be meant as a query.
fn anywhere(answer: &str) -> Vec<&str> {
    const MOST: usize = 8;
    let mut found = Vec::new();
    for (at, _) in answer.char_indices() {
        let inside_word =
            answer[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        if inside_word || !begins_with(&answer[at..], "select") {
            continue;
        }
        let rest = &answer[at..];
        let whole = &rest[..statement_end(rest).min(rest.find("```").unwrap_or(rest.len()))];
        let parts = ["`", "\n\n", "\n"].map(|stop| whole.split(stop).next().unwrap_or(whole));
        for query in [&[whole][..], &parts].concat() {
            if !found.contains(&query) && found.len() < MOST {
                found.push(query);
            }
        }
    }
    found
}

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

/// Lets a query read and call functions, and nothing else.
pub(super) const AUTHORIZE: fn(rusqlite::hooks::AuthContext<'_>) -> Authorization =
    |context| match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        AuthAction::Function { function_name } if function_name != "load_extension" => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    };

/// The rows that `query` gives on the database that `script` makes.
fn rows(script: &str, query: &str) -> Result<Rows, String> {
    let text = problem;
    let mut database = Connection::open_in_memory().map_err(text)?;
    database.execute_batch(script).map_err(text)?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_BYTES).map_err(text)?;
    database.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_BYTES).map_err(text)?;
    database.authorizer(Some(AUTHORIZE)).map_err(text)?;
    let mut steps = 0;
    database
        .progress_handler(
            1_000,
            Some(move || {
                steps += 1;
                steps > MAX_STEPS
            }),
        )
        .map_err(text)?;
    let mut statement = database.prepare(query).map_err(text)?;
    let columns = statement.column_count();
    let mut result = statement.query([]).map_err(text)?;
    let mut rows = Vec::new();
    while let Some(row) = result.next().map_err(text)? {
        if rows.len() >= MAX_ROWS {
            return Err(format!("it gives more than {MAX_ROWS} rows"));
        }
        let row = (0..columns)
            .map(|column| row.get::<_, Value>(column).map(plain).map_err(text))
            .collect::<Result<Vec<_>, _>>()?;
        rows.push(row);
    }
    Ok(rows)
}

/// A whole number as an integer, however SQLite keeps it: 3.0 equals 3.
pub(super) fn plain(value: Value) -> Value {
    match value {
        Value::Real(real) if real.fract() == 0.0 && real.abs() < 9e15 => {
            Value::Integer(real as i64)
        }
        other => other,
    }
}

fn compare(mut given: Rows, mut expected: Rows, ordered: bool) -> Result<(), String> {
    if given.len() != expected.len() {
        return Err(format!("The query gives {} rows, expected {}", given.len(), expected.len()));
    }
    if !ordered {
        given.sort_by(|a, b| order_rows(a, b));
        expected.sort_by(|a, b| order_rows(a, b));
    }
    for (given, expected) in given.iter().zip(&expected) {
        if given.len() != expected.len() || order_rows(given, expected).is_ne() {
            return Err(format!(
                "The query gives the row {}, expected {}",
                show(given),
                show(expected)
            ));
        }
    }
    Ok(())
}

pub(super) fn order_rows(a: &[Value], b: &[Value]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = order(a, b);
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// A total order of values: by kind, then by value.
pub(super) fn order(a: &Value, b: &Value) -> Ordering {
    let kind = |value: &Value| match value {
        Value::Null => 0,
        Value::Integer(_) => 1,
        Value::Real(_) => 2,
        Value::Text(_) => 3,
        Value::Blob(_) => 4,
    };
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        _ => kind(a).cmp(&kind(b)),
    }
}

pub(super) fn show(row: &[Value]) -> String {
    let cells: Vec<String> = row
        .iter()
        .map(|value| match value {
            Value::Null => "NULL".into(),
            Value::Integer(value) => value.to_string(),
            Value::Real(value) => value.to_string(),
            Value::Text(text) => format!("'{}'", short(text)),
            Value::Blob(bytes) => format!("{} bytes", bytes.len()),
        })
        .collect();
    format!("({})", cells.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "CREATE TABLE pets (name TEXT, kind TEXT, age INT);
        INSERT INTO pets VALUES ('Rex','dog',4),('Tom','cat',7),('Kim','cat',2),('Rex','dog',9);";

    fn check(gold: &str, answer: &str, right: bool, skill: bool) {
        let found = grade(SCRIPT, gold, answer);
        assert_eq!(
            (found.right, found.right || found.skill),
            (right, skill),
            "{gold} {answer:?}: {}",
            found.why
        );
    }

    #[test]
    fn rows_decide() {
        let cats = "SELECT name FROM pets WHERE kind = 'cat'";
        check(
            cats,
            "```sql\nselect name from pets where kind='cat' order by age;\n```",
            true,
            true,
        );
        check(cats, "SELECT name FROM pets WHERE kind = 'cat';", true, true);
        check(cats, "Try this: SELECT name FROM pets WHERE kind = 'cat'; it works.", false, true);
        check(cats, "`SELECT name FROM pets WHERE kind = 'cat'`", false, true);
        check(cats, "SELECT name FROM pets WHERE kind = 'cat'\n\nThat is all.", false, true);
        check(cats, "Here: ```sql\nSELECT name FROM pets WHERE kind = 'cat'```", true, true);
        check(cats, "```SELECT name FROM pets WHERE kind = 'cat'```", true, true);
        check(
            cats,
            "~~~~sql\r\nSELECT name FROM pets WHERE kind = 'cat'\r\n~~~~\r\n```\nTom\nKim\n```",
            true,
            true,
        );
        check(
            cats,
            "```\nTom\n```\n```\nSELECT name FROM pets WHERE kind = 'cat'\n```",
            true,
            true,
        );
        check(cats, "SELECT name\n\nFROM pets\n\nWHERE kind = 'cat'", true, true);
        check(cats, "So: SELECT name\n\nFROM pets\n\nWHERE kind = 'cat'; done", false, true);
        check(cats, "```sql\nSELECT name, age FROM pets WHERE kind = 'cat'\n```", false, false);
        check(cats, "```sql\nSELECT name FROM pets WHERE kind = 'dog'\n```", false, false);
        check(cats, "```sql\nSELECT nam FROM pets\n```", false, false);
        check(cats, "no query", false, false);
        // A multiset: two dogs called Rex are two rows.
        let dogs = "SELECT name FROM pets WHERE kind = 'dog'";
        check(dogs, "SELECT DISTINCT name FROM pets WHERE kind = 'dog'", false, false);
        check("SELECT avg(age) FROM pets WHERE kind = 'dog'", "SELECT 6.5", true, true);
        check("SELECT count(*) FROM pets", "SELECT 4.0", true, true);
    }

    #[test]
    fn order_counts_where_the_reference_orders() {
        let gold = "SELECT name FROM pets ORDER BY age";
        check(gold, "SELECT name FROM pets ORDER BY age ASC", true, true);
        check(gold, "SELECT name FROM pets ORDER BY age DESC", false, false);
        check("SELECT name FROM pets", "SELECT name FROM pets ORDER BY age DESC", true, true);
    }

    #[test]
    fn an_empty_result_is_a_result() {
        let none = "SELECT name FROM pets WHERE age > 50";
        check(none, "SELECT name FROM pets WHERE age > 60", true, true);
        check(none, "SELECT name FROM pets", false, false);
    }

    #[test]
    fn a_query_can_only_read_and_must_end() {
        let gold = "SELECT count(*) FROM pets";
        for query in [
            "DROP TABLE pets",
            "DELETE FROM pets",
            "PRAGMA query_only = 0",
            "ATTACH 'x.db' AS x",
            "SELECT load_extension('x')",
            "SELECT 4; DROP TABLE pets",
            "SELECT zeroblob(1000000000)",
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
            "SELECT count(*) FROM pets a, pets b, pets c, pets d, pets e, pets f, pets g, pets h, pets i, pets j, pets k, pets l",
        ] {
            check(gold, &format!("```sql\n{query}\n```"), false, query.starts_with("SELECT 4;"));
        }
    }
}
