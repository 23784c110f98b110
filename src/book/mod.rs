//! The book: what mdBook needs beside the chapters, and what is checked of it.
//!
//! [`prepare`] turns executed notebooks into pages and computes what the threshold page draws; tables and figures of results are in the chapters'
//! folder as `unforget table`, `figure` and `claims` wrote them, and a stale one is an error. [`links`] follows every link of the finished site.

mod links;
mod notebook;
mod threshold;

pub use links::broken as broken_links;
pub use notebook::page as notebook_page;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::{paper, report};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the book's chapters are, from the project's root.
pub const CHAPTERS: &str = "book/src";

/// Writes what the chapters do not hold themselves: `notebooks/NAME.md` from every notebook of `root/notebooks`, and `threshold-data.js`. Returns
/// the files.
///
/// # Errors
/// A table or figure that is stale (each is named, with the command that makes it again), a notebook that is malformed or was committed without
/// having been run, or a file that cannot be written.
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
    for (name, path) in notebooks(&root.join("notebooks"))? {
        let text = fs::read_to_string(&path).map_err(Error::io("reading the notebook", &path))?;
        let page = notebook::page(&text)
            .map_err(|problem| Error::invalid(path.display().to_string(), problem))?;
        files.push(report::put(
            &chapters,
            &format!("notebooks/{name}.md"),
            page.as_bytes(),
        )?);
    }
    let data = threshold::data(cx, &chapters.join("results"))?;
    let script = format!("window.unforgetThresholds = {data};\n");
    files.push(report::put(
        &chapters,
        "threshold-data.js",
        script.as_bytes(),
    )?);
    Ok(files)
}

/// The notebooks of a folder by name, in order; none if there is no such folder.
fn notebooks(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("reading", folder))? {
        let path = entry.map_err(Error::io("reading", folder))?.path();
        let name = path
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned());
        if let (Some(name), Some("ipynb")) = (name, path.extension().and_then(|e| e.to_str())) {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}
