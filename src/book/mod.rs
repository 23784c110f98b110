//! The book: what mdBook needs beside the chapters, and what is checked of it.
//!
//! [`prepare`] turns executed notebooks into pages, draws the figures that chapters show, and computes what the threshold page needs. Tables and
//! figures of results are in the chapters' folder as `unforget table`, `figure` and `claims` wrote them, and a stale one is an error.
//! [`finish`] fits mdBook's pages to their themes, and [`broken_links`] follows every link of the finished site.

mod finish;
mod front;
mod kept;
mod links;
mod page;
mod threshold;

pub use finish::finish;
pub use links::broken as broken_links;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::notebook::{Notebook, notebooks};
use crate::{paper, report};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the book's chapters are, from the project's root.
pub const CHAPTERS: &str = "book/src";

/// Writes what the chapters do not hold themselves: `notebooks/NAME.md` from every notebook of `root/notebooks`, the figures and short tables in
/// `figures/`, and `threshold-data.js`. Returns the files.
///
/// # Errors
/// A table or figure that is stale (each is named, with the command that makes it again), a notebook that is malformed, was committed without
/// having been run or is missing in `SUMMARY.md`, or a file that cannot be written.
pub fn prepare(cx: &Context, root: &Path) -> Result<Vec<PathBuf>> {
    let chapters = root.join(CHAPTERS);
    let stale = paper::stale(&chapters.join("results"))?;
    if !stale.is_empty() {
        let problem = format!(
            "{}; `unforget table N --out {CHAPTERS}/results` (or figure N, claims) makes one again",
            stale.join("; ")
        );
        return Err(Error::invalid("the book's results", problem));
    }
    let mut files = Vec::new();
    let summary = chapters.join("SUMMARY.md");
    let listed =
        fs::read_to_string(&summary).map_err(Error::io("reading the book's summary", &summary))?;
    for path in notebooks(&root.join("notebooks"))? {
        let page =
            page::page(&Notebook::read(&path)?).map_err(|problem| Error::file(&path, problem))?;
        let name = path.with_extension("md");
        let name = format!("notebooks/{}", name.file_name().unwrap_or_default().display());
        if !listed.contains(&format!("]({name})")) {
            return Err(Error::file(
                &summary,
                format!("lists no page {name}; add a line `- [its question]({name})`"),
            ));
        }
        files.push(report::put(&chapters, &name, page.as_bytes())?);
    }
    for (name, text) in front(root)? {
        files.push(report::put(&chapters, &format!("figures/{name}"), text.as_bytes())?);
    }
    let data = threshold::data(cx, &chapters.join("results"))?;
    let script = format!("window.unforgetThresholds = {data};\n");
    files.push(report::put(&chapters, "threshold-data.js", script.as_bytes())?);
    Ok(files)
}

/// The figures and short tables that chapters and README show, from the results that are kept: each with its name in `book/src/figures`.
///
/// # Errors
/// A table that is missing, or lacks a row or a column.
pub fn front(root: &Path) -> Result<Vec<(&'static str, String)>> {
    front::files(&root.join(CHAPTERS).join("results"))
}
