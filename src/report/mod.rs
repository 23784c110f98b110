//! What an experiment shows: tables, figures and one page to read in a browser.
//!
//! Everything here is a view of [`Results`]; nothing is computed that changes what was found. A [`Report`] computes what all of it needs
//! once; [`Report::text`] is for a terminal, [`Report::write`] for a folder:
//!
//! ```text
//! report.html                  everything on one page that needs no network
//! results.json                 the results, the summary rows and the provenance
//! tables/NAME.csv, .parquet    summary, forgetting, tasks, front, data, thresholds; probes, where there are any
//! tables/answers.parquet       what each model answered, where that is known
//! figures/NAME.svg, .png, .csv each figure with the table it is drawn from
//! samples.html                 all answers to look through, where that was asked for
//! ```
//!
//! Arms are compared by up to three protocols, see [`protocol::Protocol`]: at one rate for all, by the whole front, each at its validated rate.

pub mod answers;
pub mod arms;
pub mod figure;
pub mod finding;
pub mod forgetting;
pub mod front;
pub mod html;
pub mod influence;
pub mod intervals;
pub mod power;
pub mod probes;
pub mod protocol;
#[cfg(test)]
pub(crate) mod sample;
pub mod samples;
pub mod skills;
pub mod summary;
pub mod tables;

use crate::answers::BeforeAfter;
use crate::error::{Error, Result};
use crate::experiment::results::Results;
use crate::provenance::{Computation, Times};
use crate::table::{Table, WIDTH};
use figure::Figure;
use finding::Finding;
use forgetting::ForgettingRow;
use front::ArmFront;
use probes::Watched;
use protocol::Protocol;
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
pub const FILES: [&str; 5] = ["report.html", "results.json", "tables", "figures", samples::FILE];

/// Whether `folder` holds the results of an experiment, with where they come from, as [`Report::write`] puts them there.
pub fn is_in(folder: &Path) -> bool {
    let text = fs::read(folder.join("results.json"));
    text.is_ok_and(|text| serde_json::from_slice::<ResultsFile>(&text).is_ok())
}

/// All that is shown of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The results, and each arm's summary at its validated rate.
    pub summary: ResultsSummary,
    /// Each arm at its validated rate against base and against the ground truth.
    pub comparisons: Vec<ForgettingRow>,
    /// The same of all arms at one rate, if there is such a rate.
    pub one_rate: Option<AtOneRate>,
    /// The front of each arm; none where no arm was trained at several rates.
    pub fronts: Vec<ArmFront>,
    /// What was found, by the first protocol that the results have the data for; `None` where nothing was compared.
    pub finding: Option<Finding>,
}

/// All arms at one rate.
#[derive(Debug, Clone, PartialEq)]
pub struct AtOneRate {
    /// The rate.
    pub learning_rate: f64,
    /// Each arm's summary there.
    pub summary: ResultsSummary,
    /// Each arm there against base and against the ground truth.
    pub comparisons: Vec<ForgettingRow>,
}

impl Report {
    /// Computes what tables, figures and page are made of.
    ///
    /// # Errors
    /// The results do not fit together; see [`summary::rows`].
    pub fn of(results: impl Into<Rc<Results>>) -> Result<Self> {
        let summary = ResultsSummary::of(results.into())?;
        let results = &summary.results;
        let comparisons = forgetting::rows(results)?;
        let one_rate = match protocol::one_rate(results) {
            None => None,
            Some(learning_rate) => {
                let view = Rc::new(protocol::at_rate(results, learning_rate));
                let same = *view == **results;
                Some(AtOneRate {
                    learning_rate,
                    comparisons: if same { comparisons.clone() } else { forgetting::rows(&view)? },
                    summary: if same { summary.clone() } else { ResultsSummary::of(view)? },
                })
            }
        };
        let fronts = front::rows(results)?;
        let mut report = Self { summary, comparisons, one_rate, fronts, finding: None };
        let (protocol, summary, comparisons) = report.first();
        report.finding = Finding::of(protocol, summary, comparisons, &report.summary);
        Ok(report)
    }

    /// The protocol that is shown first, with its summary and comparisons: all arms at one rate, where there is one.
    pub fn first(&self) -> (Protocol, &ResultsSummary, &[ForgettingRow]) {
        match &self.one_rate {
            Some(at) => (Protocol::OneRate(at.learning_rate), &at.summary, &at.comparisons),
            None => (Protocol::Validated, &self.summary, &self.comparisons),
        }
    }

    /// "What is left of each skill": base, all tokens, STM and Self-Output by the first protocol; `None` without arms.
    pub fn skills(&self) -> Option<Figure> {
        let (protocol, summary, _) = self.first();
        skills::figure(summary, protocol)
    }

    /// One question answered before, after all tokens, and with STM (else the first arm that is shown to keep more), as [`BeforeAfter::RULE`] chooses it;
    /// `None` where there is no such question, or where answers are not known.
    pub fn before_after(&self) -> Option<BeforeAfter> {
        answers::before_after(self)
    }

    /// The table that people read first: target against non-target by the first protocol.
    pub fn main_table(&self) -> Table {
        let (protocol, summary, _) = self.first();
        let mut main = tables::main(summary, protocol);
        self.mark_diverged(&mut main);
        main
    }

    /// Marks the arms that have a run that has diverged.
    fn mark_diverged(&self, table: &mut Table) {
        let diverged = self.summary.results.runs.iter().filter(|run| run.diverged());
        let mut names: Vec<String> = diverged.map(|run| tables::arm(&run.arm).shown()).collect();
        names.sort();
        names.dedup();
        let mut any = false;
        for row in 0..table.height() {
            if let Some(cell) =
                table.cell_mut(row, "arm").filter(|cell| names.contains(&cell.shown()))
            {
                *cell = cell.clone().read(format!("{} †", cell.shown()));
                any = true;
            }
        }
        if any {
            table.note("†: a run of this arm has diverged: its weights changed by more than their own norm.");
        }
    }

    /// The tables for reading, in order; those without rows are left out.
    pub fn tables(&self) -> Vec<Table> {
        let results = &self.summary.results;
        let mut all = Vec::new();
        for protocol in Protocol::all(results) {
            let (summary, comparisons) = match (protocol, &self.one_rate) {
                (Protocol::Front, _) => {
                    all.push(front::table(&self.fronts));
                    continue;
                }
                (Protocol::OneRate(_), Some(at)) => (&at.summary, &at.comparisons),
                _ => (&self.summary, &self.comparisons),
            };
            all.push(tables::main(summary, protocol));
            all.extend(forgetting::tables(results, comparisons).map(|mut table| {
                table.title = format!("{}; {}", table.title, protocol.words());
                table
            }));
        }
        let (protocol, ResultsSummary { arms, .. }, _) = self.first();
        let title = format!("Score on each task, the target first; {}", protocol.words());
        all.extend([
            tables::scores(arms, &title, str::to_owned),
            tables::reasons(arms, protocol),
            tables::data(&results.data),
            tables::thresholds(&results.thresholds),
            probes::ends(&Watched::of(results)),
        ]);
        all.retain(|table| table.height() > 0);
        all.iter_mut().for_each(|table| self.mark_diverged(table));
        all
    }

    /// Every figure that there are numbers for.
    ///
    /// # Errors
    /// None that numbers can cause.
    pub fn figures(&self) -> Result<Vec<Figure>> {
        let results = &self.summary.results;
        let figures = [
            self.skills(),
            figure::front_of(results, &self.summary.arms, &self.fronts)?,
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
        let page = html::page(self, &self.tables(), &front, provenance, &figures)?;
        let mut files = vec![put(folder, "report.html", page.as_bytes())?];
        if !results.answers.is_empty() {
            files.push(put(folder, answers::FILE, &answers::parquet(&results.answers)?)?);
        }
        let tables = [
            tables::arm_summaries(arms),
            forgetting::comparisons(results, &self.comparisons),
            tables::tasks(arms),
            front::table(&self.fronts),
            front,
            tables::data(&results.data),
            tables::thresholds(&results.thresholds),
        ];
        let at_one_rate = self.one_rate.iter().flat_map(|at| {
            [
                tables::arm_summaries(&at.summary.arms).named("summary_one_rate"),
                forgetting::comparisons(results, &at.comparisons).named("forgetting_one_rate"),
                tables::tasks(&at.summary.arms).named("tasks_one_rate"),
            ]
        });
        let at_one_rate: Vec<Table> = at_one_rate.collect();
        let watched = Watched::of(results);
        let watched = (!watched.is_empty()).then(|| probes::looks(&watched));
        for table in tables.iter().chain(&at_one_rate).chain(&watched) {
            if table.height() == 0 && table.name == "fronts" {
                continue;
            }
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

impl Report {
    /// Target against non-target by each protocol that the results have the data for: all arms at one rate, the whole front, each at its validated rate.
    pub fn main_tables(&self) -> Vec<Table> {
        let table = |protocol: Protocol| match protocol {
            Protocol::OneRate(_) => self.main_table(),
            Protocol::Front => front::table(&self.fronts),
            Protocol::Validated => tables::main(&self.summary, protocol),
        };
        Protocol::all(&self.summary.results).into_iter().map(table).collect()
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
        let mut results = sample::results();
        results.answers = sample::answers(&results).into();
        let report = Report::of(results).unwrap();
        let mut files = report.write(&sample::provenance(), folder.path()).unwrap();
        let page = samples::page(&report, "Answers").unwrap();
        files.push(samples::write(&page, folder.path()).unwrap());
        // the answers come back from their file
        assert_eq!(answers::read(folder.path()).unwrap(), *report.summary.results.answers);
        fs::write(folder.path().join("broken.parquet"), "no").unwrap();
        fs::rename(folder.path().join("broken.parquet"), folder.path().join(answers::FILE))
            .unwrap();
        let error = answers::read(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("answers.parquet") && error.contains("no table of answers"),
            "{error}"
        );
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
            samples::write(&page, Path::new(&keep)).unwrap();
        }
    }

    #[test]
    fn the_three_protocols_stand_side_by_side() {
        let report = Report::of(sample::results()).unwrap();
        let titles: Vec<String> =
            report.main_tables().into_iter().map(|table| table.title).collect();
        for (title, part) in titles.iter().zip([
            "all arms at one rate, 3e-4",
            "The whole front",
            "each arm at its validated rate",
        ]) {
            assert!(title.contains(part), "{titles:?}");
        }
        assert_eq!(titles.len(), 3);
        // in that order among all tables, too, and the last with the reason why it hides the effect
        let all = report.tables();
        let place = |title: &String| all.iter().position(|table| table.title == *title).unwrap();
        assert!(titles.iter().map(place).is_sorted());
        assert!(report.main_tables()[2].legend.contains("hides the effect"));
    }

    #[test]
    fn what_is_not_there_is_not_drawn() {
        let mut results = sample::results();
        results.thresholds.clear();
        results.examples.clear();
        let figures = |results: &Results| Report::of(results.clone()).unwrap().figures().unwrap();
        let names: Vec<&str> = figures(&results).iter().map(|figure| figure.name).collect();
        assert_eq!(names, ["skills", "front", "losses"]);
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
