//! What an experiment shows: tables, figures and one page to read in a browser.
//!
//! Everything here is a view of [`Results`]; nothing is computed that changes what was found. [`table::print()`] is for a terminal,
//! [`write()`] for a folder:
//!
//! ```text
//! report.html                  everything on one page that needs no network
//! results.json                 the results, the summary rows and the provenance
//! tables/NAME.csv, .parquet    summary, forgetting, tasks, front, data, thresholds; probes, where there are any
//! figures/NAME.svg, .png, .csv each figure with the table it is drawn from
//! ```

pub mod arms;
pub mod figure;
pub mod forgetting;
pub mod grid;
pub mod html;
pub mod intervals;
pub mod power;
pub mod probes;
#[cfg(test)]
mod sample;
pub mod summary;
pub mod table;

use crate::error::{Error, Result};
use crate::experiment::results::Results;
use crate::provenance::{Computation, Times};
use figure::Figure;
use polars::prelude::{CsvWriter, DataFrame, ParquetWriter, SerWriter};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Where results come from, so that they can be made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Heading of the report.
    pub title: String,
    /// The command that was run.
    pub command: String,
    /// The whole recipe, as TOML.
    pub recipe_toml: String,
    /// Version of this crate.
    pub crate_version: String,
    /// On what it was computed.
    #[serde(flatten)]
    pub computation: Computation,
    /// When the call began that wrote this, and how long it took; what the store held before took its own time.
    #[serde(flatten)]
    pub times: Times,
    /// What else a reader should know, one sentence each.
    pub notes: Vec<String>,
}

/// `results.json`: what was found, its summary, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The results, whole.
    pub results: Results,
    /// Base and each arm at its chosen rate.
    pub summary: Vec<summary::Row>,
    /// Where they come from.
    pub provenance: Provenance,
}

/// What [`write()`] makes in a folder: files, and folders of files.
pub const FILES: [&str; 4] = ["report.html", "results.json", "tables", "figures"];

/// Whether `folder` holds the results of an experiment, with where they come from, as [`write()`] puts them there.
pub fn is_in(folder: &Path) -> bool {
    let text = fs::read(folder.join("results.json"));
    text.is_ok_and(|text| serde_json::from_slice::<Document>(&text).is_ok())
}

/// Every figure that the results have numbers for.
///
/// # Errors
/// The results do not fit together (see [`summary::rows`]).
pub fn figures(results: &Results) -> Result<Vec<Figure>> {
    use figure::{front, losses, spikes, thresholds};
    let figures = [front(results)?, spikes(results)?, thresholds(results)?, losses(results)?];
    let probes = probes::figures(&probes::Watched::of(results))?;
    Ok(figures.into_iter().flatten().chain(probes).collect())
}

/// Writes the whole report to `folder` (made if it is not there) and returns the files, `report.html` first.
///
/// Each file is written beside its place and then moved there, so that a reader never sees half a file. Errors: the folder cannot be
/// written, or the results do not fit together (see [`summary::rows`]).
pub fn write(results: &Results, provenance: &Provenance, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = draw(results, provenance, folder)?;
    let document = Document {
        results: results.clone(),
        summary: summary::rows(results)?,
        provenance: provenance.clone(),
    };
    let json =
        serde_json::to_vec(&document).map_err(Error::library("writing the results as JSON"))?;
    files.push(put(folder, "results.json", &json)?);
    Ok(files)
}

/// As [`write()`], without `results.json`: where that is what the results were read from, it stays as it is.
///
/// # Errors
/// As [`write()`].
pub fn draw(results: &Results, provenance: &Provenance, folder: &Path) -> Result<Vec<PathBuf>> {
    let figures = figures(results)?;
    let page = html::page(results, provenance, &figures)?;
    let mut files = vec![put(folder, "report.html", page.as_bytes())?];
    let mut tables = vec![
        ("summary", table::summary_frame(results)?),
        ("forgetting", forgetting::forgetting_frame(results)?),
        ("tasks", table::tasks_frame(results)?),
        ("front", table::front_frame(results)?),
        ("data", table::data_frame(results)?),
        ("thresholds", table::threshold_frame(results)?),
    ];
    let watched = probes::Watched::of(results);
    if !watched.is_empty() {
        tables.push(("probes", probes::probes_frame(&watched)?));
    }
    for (name, frame) in tables {
        files.push(put(folder, &format!("tables/{name}.csv"), &csv(&frame)?)?);
        files.push(put(folder, &format!("tables/{name}.parquet"), &parquet(&frame)?)?);
    }
    for figure in &figures {
        files.extend(put_figure(&folder.join("figures"), figure)?);
    }
    Ok(files)
}

/// One training that was watched as a page to read in a browser, `probes.html` in `folder`: the curves of its probe sets with their tables.
/// Nothing is written where nothing was looked at.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_probes(
    title: &str,
    rows: &[crate::probe::Row],
    folder: &Path,
) -> Result<Option<PathBuf>> {
    let watched = [probes::Watched { arm: title, seeds: vec![rows] }];
    let figures = match rows.is_empty() {
        true => Vec::new(),
        false => probes::figures(&watched)?,
    };
    if figures.is_empty() {
        return Ok(None);
    }
    let page = html::figures(title, &figures, &[probes::grid(&watched)])?;
    put(folder, "probes.html", page.as_bytes()).map(Some)
}

/// `frame` as CSV with a header; null is an empty cell.
pub fn csv(frame: &DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes)
        .finish(&mut frame.clone())
        .map_err(Error::library("writing a table as CSV"))?;
    Ok(bytes)
}

/// `frame` as Parquet.
pub fn parquet(frame: &DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .finish(&mut frame.clone())
        .map_err(Error::library("writing a table as Parquet"))?;
    Ok(bytes)
}

/// Writes a figure to `folder` as NAME.svg and NAME.png, with its table as NAME.csv.
pub(crate) fn put_figure(folder: &Path, figure: &Figure) -> Result<[PathBuf; 3]> {
    let name = |ending: &str| format!("{}.{ending}", figure.name);
    Ok([
        put(folder, &name("svg"), figure.plot.svg()?.as_bytes())?,
        put(folder, &name("png"), &figure.plot.png()?)?,
        put(folder, &name("csv"), &csv(&figure.table)?)?,
    ])
}

/// Writes `bytes` to `folder/name`, whole or not at all.
pub(crate) fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(Error::io("making the report's folder", parent))?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = parent.join(format!(".{}.{file}", std::process::id()));
    let written = fs::write(&beside, bytes).map_err(Error::io("writing the report", &beside));
    let moved = written.and_then(|()| {
        fs::rename(&beside, &path).map_err(Error::io("moving the report to its place", &path))
    });
    if moved.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&beside);
    }
    moved.map(|()| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_holds_what_the_list_says_and_nothing_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(&sample::results(), &sample::provenance(), folder.path()).unwrap();
        let mut found = Vec::new();
        for place in ["", "tables", "figures"] {
            for entry in fs::read_dir(folder.path().join(place)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    assert!(fs::metadata(&path).unwrap().len() > 0, "{path:?} is empty");
                    found.push(path);
                }
            }
        }
        let mut listed = files.clone();
        listed.sort();
        found.sort();
        assert_eq!(listed, found);
        // Kept for looking at when a folder is named.
        if let Some(keep) = std::env::var_os("UNFORGET_KEEP_SAMPLE_REPORT") {
            write(&sample::results(), &sample::provenance(), Path::new(&keep)).unwrap();
        }
    }

    #[test]
    fn the_results_survive_their_file() {
        let document = Document {
            results: sample::results(),
            summary: summary::rows(&sample::results()).unwrap(),
            provenance: sample::provenance(),
        };
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document);
    }

    #[test]
    fn a_table_comes_back_from_its_file() {
        use polars::prelude::{ParquetReader, SerReader};
        let frame = table::summary_frame(&sample::results()).unwrap();
        let bytes = std::io::Cursor::new(parquet(&frame).unwrap());
        let read = ParquetReader::new(bytes).finish().unwrap();
        assert!(read.equals_missing(&frame), "{read}");
        let text = String::from_utf8(csv(&frame).unwrap()).unwrap();
        assert_eq!(text.lines().count(), frame.height() + 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "in the way").unwrap();
        let error =
            write(&sample::results(), &sample::provenance(), &file).unwrap_err().to_string();
        assert!(error.contains("file") && error.contains("making the report's folder"), "{error}");
    }
}
