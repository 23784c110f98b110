//! Grading a query by running it on SQLite: on a database that a script makes in memory, or on a file, for the questions
//! of [`src/benchmark/bird.rs`](crate::benchmark::bird) and [`src/benchmark/spider.rs`](crate::benchmark::spider).
//!
//! A query may only read: an authorizer refuses everything else (`ATTACH`, `PRAGMA`, `load_extension`, whatever writes), and a file is
//! opened read-only and immutable. What takes too long is ended after a fixed number of SQLite's steps, so that a grade does not
//! depend on the machine's speed, and sizes are limited.
//!
//! A trap: rows are compared by three rules, see [`same`].

use super::fence::{self, Block, SQL};
use super::query::{self, begins_with, is_query, problem, statement_end};
use super::text::short;
use super::{Found, Grading, RowRule};
use rusqlite::hooks::{AuthAction, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags};
use std::cmp::Ordering;
use std::path::Path;

type Rows = Vec<Vec<Value>>;

/// Where a query's database comes from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// `CREATE` and `INSERT` statements. Rows are compared as a multiset.
    Script(&'a str),
    /// A database file, and when rows are the same.
    File(&'a Path, RowRule),
}

/// What one query may take.
struct Limits {
    /// Instructions of SQLite's virtual machine, in thousands.
    steps: u32,
    rows: usize,
    /// Of all values of the result.
    bytes: Option<usize>,
    /// Of one text or blob.
    length: i32,
}

const OF_SCRIPT: Limits = Limits { steps: 2_000, rows: 10_000, bytes: None, length: 100_000 };
/// Half a minute or so, as in the official evaluations.
const OF_FILE: Limits =
    Limits { steps: 1_000_000, rows: 500_000, bytes: Some(200_000_000), length: 10_000_000 };

/// SQLite is part of this build.
pub(super) fn ready() -> crate::error::Result<()> {
    Ok(())
}

/// Whether the reference query runs at all; else what SQLite says.
pub(super) fn runs(source: Source<'_>, gold: &str) -> Result<(), String> {
    rows(source, gold).map(|_| ())
}

/// The grade of `answer`, whose query must give the rows of `gold`. Only the queries of a file are taken by other rules than the robust one.
pub(super) fn grade(source: Source<'_>, gold: &str, grading: Grading, answer: &str) -> Found {
    let expected = rows(source, gold)
        .map_err(|problem| format!("The item is broken: its own query fails: {problem}"));
    let verdict = |query: &str| -> Result<String, String> {
        let expected = expected.as_ref().map_err(Clone::clone)?;
        let given = rows(source, query).map_err(|p| format!("The query fails: {p}"))?;
        if grading == Grading::Paper && given.is_empty() {
            return Err("The query gives no rows, which is never right in the paper's code".into());
        }
        same(source, gold, &given, expected)?;
        Ok(format!("The query gives the expected {} rows.", expected.len()))
    };
    let blocks = fence::blocks(answer);
    let (query, others, none, aside) = match source {
        Source::Script(_) => {
            let blocks: Vec<_> = blocks.into_iter().filter(|block| block.may_be(&SQL)).collect();
            (
                in_form(&blocks, answer).map(str::to_owned),
                anywhere(answer).into_iter().map(str::to_owned).collect(),
                "There is no fenced query.",
                " A query elsewhere in the text gives the expected rows.",
            )
        }
        Source::File(..) => {
            let found = query::find(&blocks, answer);
            let query = match grading {
                Grading::Paper => Some(as_the_paper(answer)),
                _ => found.clone(),
            };
            // a query elsewhere in the text: in another block, or bare
            let blocks = blocks.iter().map(|block| block.code.trim().to_owned());
            let mut others: Vec<String> =
                found.into_iter().chain(blocks.filter(|code| is_query(code))).collect();
            others.retain(|other| Some(other) != query.as_ref());
            others.truncate(4);
            (query, others, "There is no query.", "")
        }
    };
    let why = match query.as_deref().map(verdict) {
        Some(Ok(why)) => return Found { extracted: query, right: true, skill: true, why },
        Some(Err(problem)) => format!("{problem}."),
        None => none.into(),
    };
    let skill = others.iter().any(|query| verdict(query).is_ok());
    let why = if skill { why + aside } else { why };
    Found { extracted: query, right: false, skill, why }
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

/// The paper's reading, which is `parse_sql` in `stream_bench/benchmarks/text2sql_utils/string_formatter.py` at 62f24750 of
/// stream-bench/stream-bench: the fence around all of it or the first one in it is taken off, and what does not begin with `SELECT` in
/// capitals gets one, so that `select 1` and `WITH …` cannot be right.
fn as_the_paper(answer: &str) -> String {
    const OPEN: &str = "```sql\n";
    let fence = || {
        let (_, behind) = answer.split_once(OPEN)?;
        behind.split_once("\n```").map(|(query, _)| query)
    };
    let around = || answer.strip_prefix(OPEN)?.strip_suffix("```");
    let query = match around().or_else(fence) {
        Some(query) => query.trim().to_owned(),
        // a fence that is not closed, or with another name: what is behind its back-ticks, and the name with it
        None => {
            let plain = answer.replace(OPEN, "```").replace("```SQL\n", "```");
            let behind = plain.split_once("```").map_or(&*plain, |(_, rest)| rest);
            behind.replace("```", "").trim().to_owned()
        }
    };
    if query.starts_with("SELECT") { query } else { format!("SELECT {query}") }
}

/// A query as Spider's evaluation runs it: without `DISTINCT`, with operators that a space parts put together.
fn spider_query(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    let mut quote = None;
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        if !word.eq_ignore_ascii_case("distinct") {
            out.push_str(word);
        }
        word.clear();
    };
    for c in query.chars() {
        match quote {
            Some(open) => {
                out.push(c);
                if c == open {
                    quote = None;
                }
            }
            None if c.is_alphanumeric() || c == '_' => word.push(c),
            None => {
                flush(&mut word, &mut out);
                if matches!(c, '\'' | '"' | '`') {
                    quote = Some(c);
                }
                out.push(c);
            }
        }
    }
    flush(&mut word, &mut out);
    if quote.is_none() {
        for (from, to) in [("> =", ">="), ("< =", "<="), ("! =", "!=")] {
            out = out.replace(from, to);
        }
    }
    out
}

/// Lets a query read and call functions, and nothing else.
const AUTHORIZE: fn(rusqlite::hooks::AuthContext<'_>) -> Authorization = |context| match context
    .action
{
    AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
    AuthAction::Function { function_name } if function_name != "load_extension" => {
        Authorization::Allow
    }
    _ => Authorization::Deny,
};

/// Opens `file` so that nothing can change it, and no lock or journal file appears beside it.
pub(super) fn open(file: &Path) -> Result<Connection, String> {
    let mut uri = String::from("file:");
    for byte in file.to_string_lossy().bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => uri.push(byte as char),
            _ if byte.is_ascii_alphanumeric() => uri.push(byte as char),
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri += "?mode=ro&immutable=1";
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
        .map_err(|error| format!("{} cannot be opened: {}", file.display(), problem(error)))
}

/// The statements that made the tables of a database, SQLite's own `sqlite_sequence` among them: BIRD's code and StreamBench's mean to
/// leave it out, but compare a row with its name.
pub(super) fn table_definitions(file: &Path) -> Result<Vec<String>, String> {
    const QUERY: &str = "SELECT sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL";
    let rows = rows(Source::File(file, RowRule::Bird), QUERY)?;
    let text = |row: Vec<Value>| match row.into_iter().next() {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(text).collect())
}

/// The rows that `query` gives.
fn rows(source: Source<'_>, query: &str) -> Result<Rows, String> {
    let (mut database, limits) = match source {
        Source::Script(script) => {
            let database = Connection::open_in_memory().map_err(problem)?;
            database.execute_batch(script).map_err(problem)?;
            (database, OF_SCRIPT)
        }
        Source::File(file, _) => (open(file)?, OF_FILE),
    };
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LENGTH, limits.length),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        database.set_limit(limit, value).map_err(problem)?;
    }
    database.authorizer(Some(AUTHORIZE)).map_err(problem)?;
    let mut steps = 0;
    let too_long = move || {
        steps += 1;
        steps > limits.steps
    };
    database.progress_handler(1_000, Some(too_long)).map_err(problem)?;
    let query = match source {
        Source::File(_, RowRule::Spider) => &spider_query(query),
        _ => query,
    };
    let mut statement = database.prepare(query).map_err(problem)?;
    let columns = statement.column_count();
    let mut result = statement.query([]).map_err(problem)?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = result.next().map_err(problem)? {
        let row = (0..columns)
            .map(|column| match source {
                Source::Script(_) => row.get(column).map(plain).map_err(problem),
                Source::File(..) => row.get_ref(column).map(owned).map_err(problem),
            })
            .collect::<Result<Vec<_>, String>>()?;
        bytes += row.iter().map(length).sum::<usize>();
        rows.push(row);
        if rows.len() > limits.rows || limits.bytes.is_some_and(|most| bytes > most) {
            let or_bytes = limits.bytes.map_or(String::new(), |most| format!(" or {most} bytes"));
            return Err(format!("it gives more than {} rows{or_bytes}", limits.rows));
        }
    }
    Ok(rows)
}

fn length(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 24,
        Value::Blob(bytes) => bytes.len() + 24,
        _ => 24,
    }
}

/// A whole number as an integer, however SQLite keeps it: 3.0 equals 3.
fn plain(value: Value) -> Value {
    match value {
        Value::Real(real) if real.fract() == 0.0 && real.abs() < 9e15 => {
            Value::Integer(real as i64)
        }
        other => other,
    }
}

/// The same, with texts that are not UTF-8 less those bytes, as in Spider's evaluation.
fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Text(bytes) => {
            Value::Text(String::from_utf8_lossy(bytes).replace('\u{fffd}', ""))
        }
        other => other.try_into().map_or(Value::Null, plain),
    }
}

/// Whether two results are the same; else a sentence (without its full stop) about what differs.
///
/// * A script's: the same rows equally often, in order where the reference says `ORDER BY`.
/// * BIRD: `set(given) == set(expected)` of Python's tuples. Neither order nor the number of equal rows counts.
/// * Spider: as a script's, with the columns in any one order.
fn same(source: Source<'_>, gold: &str, given: &Rows, expected: &Rows) -> Result<(), String> {
    let ordered = gold.to_ascii_lowercase().contains("order by");
    let sorted = |rows: &Rows| {
        let mut rows = rows.clone();
        rows.sort_by(|a, b| order_rows(a, b));
        rows
    };
    match source {
        Source::Script(_) if ordered => compare(given, expected),
        Source::Script(_) => compare(&sorted(given), &sorted(expected)),
        Source::File(_, rule) => {
            let same = match rule {
                RowRule::Bird => {
                    let (mut a, mut b) = (sorted(given), sorted(expected));
                    a.dedup_by(|a, b| order_rows(a, b).is_eq());
                    b.dedup_by(|a, b| order_rows(a, b).is_eq());
                    equal_rows(&a, &b)
                }
                RowRule::Spider => same_table(given, expected, ordered),
            };
            if same { Ok(()) } else { Err(difference(given, expected)) }
        }
    }
}

fn compare(given: &Rows, expected: &Rows) -> Result<(), String> {
    if given.len() != expected.len() {
        return Err(difference(given, expected));
    }
    let differ =
        given.iter().zip(expected).find(|(given, expected)| order_rows(given, expected).is_ne());
    differ.map_or(Ok(()), |(given, expected)| {
        Err(format!("The query gives the row {}, expected {}", show(given), show(expected)))
    })
}

fn equal_rows(a: &Rows, b: &Rows) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| order_rows(a, b).is_eq())
}

/// Spider: the same rows equally often, in order where that counts, with the columns in any one order.
fn same_table(given: &Rows, expected: &Rows, ordered: bool) -> bool {
    if given.is_empty() && expected.is_empty() {
        return true;
    }
    if given.len() != expected.len() || given[0].len() != expected[0].len() {
        return false;
    }
    let columns = expected[0].len();
    let column = |rows: &Rows, at: usize| -> Vec<Value> {
        let mut values: Vec<Value> = rows.iter().map(|row| row[at].clone()).collect();
        if !ordered {
            values.sort_by(order);
        }
        values
    };
    // which column of `given` can stand for which of `expected`
    let given_columns: Vec<Vec<Value>> = (0..columns).map(|at| column(given, at)).collect();
    let candidates: Vec<Vec<usize>> = (0..columns)
        .map(|at| {
            let wanted = column(expected, at);
            (0..columns)
                .filter(|c| {
                    let own = &given_columns[*c];
                    own.iter().zip(&wanted).all(|(a, b)| order(a, b).is_eq())
                })
                .collect()
        })
        .collect();
    let mut tries = 0;
    permutation(&candidates, &mut Vec::new(), &mut tries, &|chosen| {
        let mut moved: Rows =
            given.iter().map(|row| chosen.iter().map(|at| row[*at].clone()).collect()).collect();
        if ordered {
            return equal_rows(&moved, expected);
        }
        let mut expected = expected.clone();
        moved.sort_by(|a, b| order_rows(a, b));
        expected.sort_by(|a, b| order_rows(a, b));
        equal_rows(&moved, &expected)
    })
}

/// Whether some choice of one candidate for each column, all different, passes `test`. Gives up after many.
fn permutation(
    candidates: &[Vec<usize>],
    chosen: &mut Vec<usize>,
    tries: &mut usize,
    test: &dyn Fn(&[usize]) -> bool,
) -> bool {
    const MOST: usize = 5_000;
    let Some(options) = candidates.get(chosen.len()) else {
        *tries += 1;
        return test(chosen);
    };
    for option in options {
        if *tries >= MOST {
            return false;
        }
        if chosen.contains(option) {
            continue;
        }
        chosen.push(*option);
        if permutation(candidates, chosen, tries, test) {
            return true;
        }
        chosen.pop();
    }
    false
}

fn order_rows(a: &[Value], b: &[Value]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = order(a, b);
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// A total order of values: by kind, then by value.
fn order(a: &Value, b: &Value) -> Ordering {
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

fn show(row: &[Value]) -> String {
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

fn difference(given: &Rows, expected: &Rows) -> String {
    if given.len() != expected.len() {
        return format!("The query gives {} rows, expected {}", given.len(), expected.len());
    }
    let differs =
        given.iter().find(|row| !expected.iter().take(1_000).any(|e| order_rows(row, e).is_eq()));
    match differs {
        Some(row) => {
            format!("The query gives the row {}, which is not expected", short(&show(row)))
        }
        None => "The query gives the rows in another order or number".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "CREATE TABLE pets (name TEXT, kind TEXT, age INT);
        INSERT INTO pets VALUES ('Rex','dog',4),('Tom','cat',7),('Kim','cat',2),('Rex','dog',9);";

    fn check(gold: &str, answer: &str, right: bool, skill: bool) {
        let found = grade(Source::Script(SCRIPT), gold, Grading::Robust, answer);
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
    fn a_query_on_a_script_can_only_read_and_must_end() {
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

    fn database() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pets %?#.sqlite");
        let database = Connection::open(&file).unwrap();
        database
            .execute_batch(
                "CREATE TABLE pets (name TEXT, kind TEXT, age INT);
                INSERT INTO pets VALUES ('Rex','dog',4),('Tom','cat',7),('Kim','cat',2),('Rex','dog',9);
                INSERT INTO pets VALUES (CAST(x'41ff42' AS TEXT),'bird',1);",
            )
            .unwrap();
        drop(database);
        (folder, file)
    }

    fn check_file(gold: &str, answer: &str, bird: bool, spider: bool) {
        let (_folder, file) = database();
        for (rule, right) in [(RowRule::Bird, bird), (RowRule::Spider, spider)] {
            let found = grade(Source::File(&file, rule), gold, Grading::Robust, answer);
            assert_eq!(found.right, right, "{rule:?} {gold} {answer:?}: {}", found.why);
        }
    }

    #[test]
    fn each_rule_compares_in_its_way() {
        let dogs = "SELECT name, age FROM pets WHERE kind = 'dog'";
        check_file(dogs, dogs, true, true);
        // columns in another order
        check_file(dogs, "SELECT age, name FROM pets WHERE kind = 'dog'", false, true);
        // equal rows
        let names = "SELECT name FROM pets WHERE kind = 'dog'";
        check_file(names, "SELECT name FROM pets WHERE age = 4", true, false);
        check_file(names, "SELECT DISTINCT name FROM pets WHERE kind = 'dog'", true, true);
        // order
        let ordered = "SELECT name FROM pets WHERE kind = 'cat' ORDER BY age";
        let turned = "SELECT name FROM pets WHERE kind = 'cat' ORDER BY age DESC";
        check_file(ordered, turned, true, false);
        check_file(turned, turned, true, true);
        // 3.0 is 3, and 'x' is not NULL
        check_file("SELECT 3", "SELECT 3.0", true, true);
        check_file("SELECT NULL", "SELECT ''", false, false);
        // nothing is right where nothing is expected
        let none = "SELECT name FROM pets WHERE age > 50";
        check_file(none, "SELECT age FROM pets WHERE age > 60", true, true);
        check_file(
            "SELECT age FROM pets WHERE age > = 7",
            "SELECT 7 UNION ALL SELECT 9",
            false,
            true,
        );
        // bytes that are no text
        check_file("SELECT name FROM pets WHERE kind = 'bird'", "SELECT 'AB'", true, true);
    }

    #[test]
    fn the_paper_takes_a_query_as_streambench_does() {
        // what `parse_sql` of StreamBench returned for these texts (Python 3.11)
        for (text, query) in [
            ("```sql\ncount(*) FROM t\n```", "SELECT count(*) FROM t"),
            ("SELECT 1", "SELECT 1"),
            ("select 1", "SELECT select 1"),
            ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT WITH a AS (SELECT 1) SELECT * FROM a"),
            ("So: ```sql\nSELECT 1\n``` or ```sql\nSELECT 2\n```", "SELECT 1"),
            ("So: ```sql\nSELECT 1", "SELECT 1"),
            ("So: ```SQL\nSELECT 1\n``` is it", "SELECT 1\n is it"),
            ("```\nSELECT 1\n```", "SELECT 1"),
            ("```sqlite\nSELECT 1\n```", "SELECT sqlite\nSELECT 1"),
            ("  SELECT 1 ;\n", "SELECT 1 ;"),
            ("```sql\nSELECT 1\n```\n", "SELECT 1"),
            ("", "SELECT "),
        ] {
            assert_eq!(as_the_paper(text), query, "{text:?}");
        }
    }

    #[test]
    fn a_query_counts_in_whatever_form_it_stands() {
        let dogs = "SELECT name FROM pets WHERE kind = 'dog'";
        let lines = "SELECT name\n\nFROM pets\n\nWHERE kind = 'dog'";
        for answer in [
            format!("```sql\n{dogs};\n```\nResult:\n```\nname\nRex\nRex\n```"),
            format!("```{dogs}```"),
            format!("```sql {dogs}```"),
            format!("The query is `{dogs}`."),
            format!("Here: ```sql\r\n{dogs}``` and that is it."),
            format!("{lines}\n\nIt gives both."),
            lines.to_owned(),
            format!("1. So:\n   ~~~sqlite\n   {dogs}\n   ~~~"),
        ] {
            check_file(dogs, &answer, true, true);
        }
    }

    #[test]
    fn the_paper_takes_no_empty_result() {
        let (_folder, file) = database();
        let none = "SELECT name FROM pets WHERE age > 50";
        let found = grade(Source::File(&file, RowRule::Bird), none, Grading::Paper, none);
        assert!(!found.right, "{}", found.why);
    }

    #[test]
    fn the_paper_wants_select_in_capitals() {
        let (_folder, file) = database();
        let gold = "SELECT count(*) FROM pets";
        let small = "select count(*) from pets";
        let found =
            |answer| grade(Source::File(&file, RowRule::Bird), gold, Grading::Paper, answer);
        assert!(found(gold).right);
        assert!(!found(small).right && found(small).skill, "{}", found(small).why);
    }

    #[test]
    fn a_query_can_only_read_and_must_end() {
        let (folder, file) = database();
        let before = std::fs::read(&file).unwrap();
        for query in [
            "DROP TABLE pets",
            "DELETE FROM pets",
            "INSERT INTO pets VALUES ('x','y',1)",
            "PRAGMA writable_schema = 1",
            "PRAGMA journal_mode = DELETE",
            "ATTACH 'other.sqlite' AS other",
            "VACUUM INTO 'copy.sqlite'",
            "SELECT load_extension('x')",
            "CREATE TEMP TABLE t (a)",
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
            "SELECT zeroblob(2000000000)",
        ] {
            let result = rows(Source::File(&file, RowRule::Bird), query);
            assert!(result.is_err(), "{query}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(
            runs(Source::File(&folder.path().join("none.sqlite"), RowRule::Bird), "SELECT 1")
                .is_err()
        );
    }
}
