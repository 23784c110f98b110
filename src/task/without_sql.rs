//! Stands for SQLite in a build without it: no query can be graded.

use super::{Found, Grading, RowRule};
use std::path::Path;

const LEFT_OUT: &str = "this build leaves SQLite out; build with the feature `sql`";

/// Where a query's database comes from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// `CREATE` and `INSERT` statements.
    Script(&'a str),
    /// A database file, and when rows are the same.
    File(&'a Path, RowRule),
}

/// Refuses to grade.
pub(super) fn ready() -> crate::error::Result<()> {
    Err(crate::error::Error::invalid("SQL", LEFT_OUT))
}

pub(super) fn runs(_: Source<'_>, _: &str) -> Result<(), String> {
    Err(LEFT_OUT.into())
}

pub(super) fn grade(_: Source<'_>, _: &str, _: Grading, _: &str) -> Found {
    Found { extracted: None, right: false, skill: false, why: LEFT_OUT.into() }
}

pub(super) fn table_definitions(_: &Path) -> Result<Vec<String>, String> {
    Err(LEFT_OUT.into())
}
