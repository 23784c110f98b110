//! Grading a query by running it on a database file, as BIRD and Spider do.
//!
//! The file is opened read-only and immutable, and an authorizer refuses everything but reading: no `ATTACH`, no `PRAGMA`, no
//! `load_extension`, nothing that writes. What takes too long is ended after a fixed number of SQLite's steps, so that a grade does
//! not depend on the machine's speed.
//!
//! A trap: the two benchmarks compare rows by different rules, see [`RowRule`].

use super::sql::{AUTHORIZE, plain, problem, show};
use super::text::short;
use super::{Found, Grading, RowRule, fence, query};
use rusqlite::limits::Limit;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags};
use std::cmp::Ordering;
use std::path::Path;

/// Most instructions of SQLite's virtual machine, in ten thousands: half a minute or so, as in the official evaluations.
const MAX_STEPS: u32 = 100_000;
/// Most rows of a result.
const MAX_ROWS: usize = 500_000;
/// Most bytes of all texts of a result.
const MAX_BYTES: usize = 200_000_000;
/// Longest single text or blob.
const MAX_LENGTH: i32 = 10_000_000;

type Rows = Vec<Vec<Value>>;

/// Whether the reference query runs at all; else what SQLite says.
pub(super) fn runs(file: &Path, gold: &str, rule: RowRule) -> Result<(), String> {
    let query = match rule {
        RowRule::Bird => gold.to_owned(),
        RowRule::Spider => spider_query(gold),
    };
    rows(file, &query).map(|_| ())
}

pub(super) fn grade(
    file: &Path,
    gold: &str,
    rule: RowRule,
    grading: Grading,
    answer: &str,
) -> Found {
    let blocks = fence::blocks(answer);
    let in_form = query::find(&blocks, answer);
    let query = match grading {
        Grading::Paper => Some(as_the_paper(answer)),
        _ => in_form.clone(),
    };
    let verdict = |query: &str| -> Result<String, String> {
        let (given, expected) = match rule {
            RowRule::Bird => (query.to_owned(), gold.to_owned()),
            RowRule::Spider => (spider_query(query), spider_query(gold)),
        };
        let expected = rows(file, &expected)
            .map_err(|p| format!("The item is broken: its own query fails: {p}"))?;
        let given = rows(file, &given).map_err(|p| format!("The query fails: {p}"))?;
        if grading == Grading::Paper && given.is_empty() {
            return Err("The query gives no rows, which is never right in the paper's code".into());
        }
        let same = match rule {
            RowRule::Bird => same_set(&given, &expected),
            RowRule::Spider => same_table(&given, &expected, has_order_by(gold)),
        };
        match same {
            true => Ok(format!("The query gives the expected {} rows.", expected.len())),
            false => Err(difference(&given, &expected)),
        }
    };
    let Some(query) = query else {
        return Found {
            extracted: None,
            right: false,
            skill: false,
            why: "There is no query.".into(),
        };
    };
    match verdict(&query) {
        Ok(why) => Found { extracted: Some(query), right: true, skill: true, why },
        Err(problem) => {
            // a query elsewhere in the text: in another block, or bare
            let others = blocks.iter().map(|block| block.code.trim().to_owned());
            let skill = (in_form.into_iter())
                .chain(others.filter(|code| query::is_query(code)))
                .filter(|other| *other != query)
                .take(4)
                .any(|other| verdict(&other).is_ok());
            Found { extracted: Some(query), right: false, skill, why: format!("{problem}.") }
        }
    }
}

/// The rows of a reference query, for tests and for whoever wants to look.
#[cfg(test)]
pub(super) fn gold_rows(file: &Path, query: &str) -> Result<Vec<Vec<Value>>, String> {
    rows(file, query)
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
    match query.starts_with("SELECT") {
        true => query,
        false => format!("SELECT {query}"),
    }
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

fn has_order_by(query: &str) -> bool {
    query.to_ascii_lowercase().contains("order by")
}

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
    let rows = rows(file, QUERY)?;
    let text = |row: Vec<Value>| match row.into_iter().next() {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(text).collect())
}

/// The rows that `query` gives on the database in `file`.
fn rows(file: &Path, query: &str) -> Result<Rows, String> {
    let mut database = open(file)?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LENGTH, MAX_LENGTH),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        database.set_limit(limit, value).map_err(problem)?;
    }
    database.authorizer(Some(AUTHORIZE)).map_err(problem)?;
    let mut steps = 0u32;
    let too_long = move || {
        steps += 1;
        steps > MAX_STEPS
    };
    database.progress_handler(10_000, Some(too_long)).map_err(problem)?;
    let mut statement = database.prepare(query).map_err(problem)?;
    let columns = statement.column_count();
    let mut result = statement.query([]).map_err(problem)?;
    let (mut rows, mut bytes) = (Vec::new(), 0usize);
    while let Some(row) = result.next().map_err(problem)? {
        let row = (0..columns)
            .map(|column| Ok(plain(owned(row.get_ref(column).map_err(problem)?))))
            .collect::<Result<Vec<_>, String>>()?;
        bytes += row.iter().map(length).sum::<usize>();
        rows.push(row);
        if rows.len() > MAX_ROWS || bytes > MAX_BYTES {
            return Err(format!("it gives more than {MAX_ROWS} rows or {MAX_BYTES} bytes"));
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

/// A value of its own. Texts that are not UTF-8 lose those bytes, as in Spider's evaluation.
fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Integer(i),
        ValueRef::Real(r) => Value::Real(r),
        ValueRef::Text(bytes) => {
            Value::Text(String::from_utf8_lossy(bytes).replace('\u{fffd}', ""))
        }
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

/// BIRD: `set(given) == set(expected)` of Python's tuples. Neither order nor the number of equal rows counts.
fn same_set(given: &Rows, expected: &Rows) -> bool {
    let set = |rows: &Rows| -> Rows {
        let mut rows = rows.clone();
        rows.sort_by(|a, b| order_rows(a, b));
        rows.dedup_by(|a, b| order_rows(a, b).is_eq());
        rows
    };
    let (a, b) = (set(given), set(expected));
    equal_rows(&a, &b)
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
            values.sort_by(super::sql::order);
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
                    own.iter().zip(&wanted).all(|(a, b)| super::sql::order(a, b).is_eq())
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
    super::sql::order_rows(a, b)
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

    fn check(gold: &str, answer: &str, bird: bool, spider: bool) {
        let (_folder, file) = database();
        for (rule, right) in [(RowRule::Bird, bird), (RowRule::Spider, spider)] {
            let found = grade(&file, gold, rule, Grading::Robust, answer);
            assert_eq!(found.right, right, "{rule:?} {gold} {answer:?}: {}", found.why);
        }
    }

    #[test]
    fn each_rule_compares_in_its_way() {
        let dogs = "SELECT name, age FROM pets WHERE kind = 'dog'";
        check(dogs, dogs, true, true);
        // columns in another order
        check(dogs, "SELECT age, name FROM pets WHERE kind = 'dog'", false, true);
        // equal rows
        let names = "SELECT name FROM pets WHERE kind = 'dog'";
        check(names, "SELECT name FROM pets WHERE age = 4", true, false);
        check(names, "SELECT DISTINCT name FROM pets WHERE kind = 'dog'", true, true);
        // order
        let ordered = "SELECT name FROM pets WHERE kind = 'cat' ORDER BY age";
        let turned = "SELECT name FROM pets WHERE kind = 'cat' ORDER BY age DESC";
        check(ordered, turned, true, false);
        check(turned, turned, true, true);
        // 3.0 is 3, and 'x' is not NULL
        check("SELECT 3", "SELECT 3.0", true, true);
        check("SELECT NULL", "SELECT ''", false, false);
        // nothing is right where nothing is expected
        let none = "SELECT name FROM pets WHERE age > 50";
        check(none, "SELECT age FROM pets WHERE age > 60", true, true);
        check("SELECT age FROM pets WHERE age > = 7", "SELECT 7 UNION ALL SELECT 9", false, true);
        // bytes that are no text
        check("SELECT name FROM pets WHERE kind = 'bird'", "SELECT 'AB'", true, true);
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
            check(dogs, &answer, true, true);
        }
    }

    #[test]
    fn the_paper_takes_no_empty_result() {
        let (_folder, file) = database();
        let none = "SELECT name FROM pets WHERE age > 50";
        let found = grade(&file, none, RowRule::Bird, Grading::Paper, none);
        assert!(!found.right, "{}", found.why);
    }

    #[test]
    fn the_paper_wants_select_in_capitals() {
        let (_folder, file) = database();
        let gold = "SELECT count(*) FROM pets";
        let small = "select count(*) from pets";
        let found = |answer| grade(&file, gold, RowRule::Bird, Grading::Paper, answer);
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
            let result = rows(&file, query);
            assert!(result.is_err(), "{query}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(gold_rows(&folder.path().join("none.sqlite"), "SELECT 1").is_err());
    }
}
