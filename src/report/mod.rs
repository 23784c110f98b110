//! What an experiment shows: tables, figures and one page to read in a browser.
//!
//! Everything here is a view of [`Results`]; nothing is computed that changes what was found. A [`Report`] computes what all of it needs
//! once; [`Report::text`] is for a terminal, [`Report::write`] for a folder:
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
pub mod html;
pub mod intervals;
pub mod power;
pub mod probes;
#[cfg(test)]
mod sample;
pub mod summary;
pub mod tables;

use crate::error::{Error, Result};
use crate::experiment::results::Results;
use crate::provenance::{Computation, Times};
use crate::table::{Table, WIDTH};
use figure::Figure;
use forgetting::ForgettingRow;
use probes::Watched;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use summary::{ArmSummary, ResultsSummary};

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
pub struct ResultsFile {
    /// The results, whole.
    pub results: Results,
    /// Base and each arm at its chosen rate.
    pub summary: Vec<ArmSummary>,
    /// Where they come from.
    pub provenance: Provenance,
}

/// What [`Report::write`] makes in a folder: files, and folders of files.
pub const FILES: [&str; 4] = ["report.html", "results.json", "tables", "figures"];

/// Whether `folder` holds the results of an experiment, with where they come from, as [`Report::write`] puts them there.
pub fn is_in(folder: &Path) -> bool {
    let text = fs::read(folder.join("results.json"));
    text.is_ok_and(|text| serde_json::from_slice::<ResultsFile>(&text).is_ok())
}

/// All that is shown of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The results, and each arm's summary.
    pub summary: ResultsSummary,
    /// Each arm against base and against the ground truth.
    pub comparisons: Vec<ForgettingRow>,
}

impl Report {
    /// Computes what tables, figures and page are made of.
    ///
    /// # Errors
    /// The results do not fit together; see [`summary::rows`].
    pub fn of(results: impl Into<Rc<Results>>) -> Result<Self> {
        let summary = ResultsSummary::of(results.into())?;
        Ok(Self { comparisons: forgetting::rows(&summary.results)?, summary })
    }

    /// The tables for reading, in order; those without rows are left out.
    pub fn tables(&self) -> Vec<Table> {
        let (results, arms) = (&self.summary.results, &self.summary.arms);
        let mut all = vec![tables::main(&self.summary)];
        all.extend(forgetting::tables(results, &self.comparisons));
        all.extend([
            tables::reasons(arms),
            tables::scores(arms, "Score on each task, the target first", str::to_owned),
            tables::data(&results.data),
            tables::thresholds(&results.thresholds),
            probes::ends(&Watched::of(results)),
        ]);
        all.retain(|table| table.height() > 0);
        all
    }

    /// Every figure that there are numbers for.
    ///
    /// # Errors
    /// None that numbers can cause.
    pub fn figures(&self) -> Result<Vec<Figure>> {
        let results = &self.summary.results;
        let figures = [
            figure::front_of(results, &self.summary.arms)?,
            figure::spikes(results)?,
            figure::thresholds(results)?,
            figure::losses(results)?,
        ];
        let probes = probes::figures(&Watched::of(results))?;
        Ok(figures.into_iter().flatten().chain(probes).collect())
    }

    /// [`Report::tables`] for a terminal, at most [`WIDTH`] columns wide.
    pub fn text(&self) -> String {
        let tables = self.tables();
        tables.iter().map(|table| table.text(WIDTH)).collect::<Vec<_>>().join("\n")
    }

    /// Writes all of it to `folder` (made if it is not there) and returns the files, `report.html` first.
    ///
    /// Each file is written beside its place and then moved there, so that a reader never sees half a file.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, provenance: &Provenance, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut files = self.draw(provenance, folder)?;
        let document = ResultsFile {
            results: Results::clone(&self.summary.results),
            summary: self.summary.arms.clone(),
            provenance: provenance.clone(),
        };
        let json =
            serde_json::to_vec(&document).map_err(Error::library("writing the results as JSON"))?;
        files.push(put(folder, "results.json", &json)?);
        Ok(files)
    }

    /// As [`Report::write`], without `results.json`: where that is what the results were read from, it stays as it is.
    ///
    /// # Errors
    /// As [`Report::write`].
    pub fn draw(&self, provenance: &Provenance, folder: &Path) -> Result<Vec<PathBuf>> {
        let (results, arms) = (&self.summary.results, &self.summary.arms);
        let (figures, front) = (self.figures()?, tables::front(results));
        let page = html::page(results, &self.tables(), &front, provenance, &figures)?;
        let mut files = vec![put(folder, "report.html", page.as_bytes())?];
        let tables = [
            tables::arm_summaries(arms),
            forgetting::comparisons(results, &self.comparisons),
            tables::tasks(arms),
            front,
            tables::data(&results.data),
            tables::thresholds(&results.thresholds),
        ];
        let watched = Watched::of(results);
        let watched = (!watched.is_empty()).then(|| probes::looks(&watched));
        for table in tables.iter().chain(&watched) {
            let name = |ending: &str| format!("tables/{}.{ending}", table.name);
            files.push(put(folder, &name("csv"), &table.csv()?)?);
            files.push(put(folder, &name("parquet"), &table.parquet()?)?);
        }
        for figure in &figures {
            files.extend(put_figure(&folder.join("figures"), figure)?);
        }
        Ok(files)
    }
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
    let watched = [Watched { arm: title, seeds: vec![rows] }];
    let figures = match rows.is_empty() {
        true => Vec::new(),
        false => probes::figures(&watched)?,
    };
    if figures.is_empty() {
        return Ok(None);
    }
    let page = html::figures(title, &figures, &[probes::ends(&watched)])?;
    put(folder, "probes.html", page.as_bytes()).map(Some)
}

/// Writes a figure to `folder` as NAME.svg and NAME.png, with its table as NAME.csv.
pub(crate) fn put_figure(folder: &Path, figure: &Figure) -> Result<[PathBuf; 3]> {
    let name = |ending: &str| format!("{}.{ending}", figure.name);
    Ok([
        put(folder, &name("svg"), figure.plot.svg()?.as_bytes())?,
        put(folder, &name("png"), &figure.plot.png()?)?,
        put(folder, &name("csv"), &figure.table.csv()?)?,
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
        let report = Report::of(sample::results()).unwrap();
        let files = report.write(&sample::provenance(), folder.path()).unwrap();
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
            report.write(&sample::provenance(), Path::new(&keep)).unwrap();
        }
    }

    #[test]
    fn what_is_not_there_is_not_drawn() {
        let mut results = sample::results();
        results.thresholds.clear();
        results.examples.clear();
        let figures = |results: &Results| Report::of(results.clone()).unwrap().figures().unwrap();
        let names: Vec<&str> = figures(&results).iter().map(|figure| figure.name).collect();
        assert_eq!(names, ["front", "losses"]);
        results.runs.clear();
        assert!(figures(&results).is_empty());
    }

    #[test]
    fn the_results_survive_their_file() {
        let document = ResultsFile {
            results: sample::results(),
            summary: summary::rows(&sample::results()).unwrap(),
            provenance: sample::provenance(),
        };
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<ResultsFile>(&text).unwrap(), document);
    }

    #[test]
    fn a_table_comes_back_from_its_file() {
        use polars::prelude::{ParquetReader, SerReader};
        let table = tables::arm_summaries(&summary::rows(&sample::results()).unwrap());
        let frame = table.frame().unwrap();
        let bytes = std::io::Cursor::new(table.parquet().unwrap());
        let read = ParquetReader::new(bytes).finish().unwrap();
        assert!(read.equals_missing(&frame), "{read}");
        let text = String::from_utf8(table.csv().unwrap()).unwrap();
        assert_eq!(text.lines().count(), frame.height() + 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "in the way").unwrap();
        let report = Report::of(sample::results()).unwrap();
        let error = report.write(&sample::provenance(), &file).unwrap_err().to_string();
        assert!(error.contains("file") && error.contains("making the report's folder"), "{error}");
    }
}
