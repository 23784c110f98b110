use super::Common;
use super::ending::{self, Ending};
use super::output::Reads;
use super::terminal::tell;
use clap::Args;
use std::path::{Path, PathBuf};
use unforget::error::{Error, Result};
use unforget::report::{self, Report, ResultsFile};
use unforget::store::Output;

const EXAMPLES: &str = "\
Examples:
  Draw the lab's figures again, in the place of the old ones:
    unforget report results/lab
  Into another folder:
    unforget report results/lab/results.json --out results/lab-again
  A page of all answers beside it, to look for what was lost and gained:
    unforget report results/lab --samples";

/// `unforget report`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct WriteReport {
    /// results.json of an experiment, or the folder that holds it
    results: PathBuf,
    /// Folder for tables, figures and the report [default: the folder of results.json]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print every table, the main one last
    #[arg(long)]
    all: bool,
    /// Also write samples.html: every model's answers beside base's, what was lost and gained, by task and by words
    #[arg(long)]
    samples: bool,
}

impl WriteReport {
    pub fn run(&self, common: &Common) -> Result<()> {
        let file = file_of(&self.results)?;
        let out = match (&self.out, file.parent()) {
            (Some(out), _) => out.clone(),
            (None, Some(folder)) if folder != Path::new("") => folder.to_path_buf(),
            (None, _) => PathBuf::from("."),
        };
        // where the results lie they stay as they are, and the rest is drawn again
        let again = is_in(&file, &out);
        let names: Vec<&str> =
            report::FILES.into_iter().filter(|name| !again || *name != "results.json").collect();
        let output = Output::within("--out", &out, &names).older(report::is_in(&out));
        Reads::new(common)?.path("RESULTS", &file).check(std::slice::from_ref(&output))?;
        let ResultsFile { results, provenance, .. } = read(&self.results)?.1;
        let report = Report::of(results)?;
        let write = if again { Report::draw } else { Report::write };
        let title = format!("{}: answers", provenance.title);
        // refused before anything is written
        let samples = self.samples.then(|| report::samples::page(&report, &title)).transpose()?;
        let files = output.write(|| {
            let mut files = write(&report, &provenance, &out)?;
            if let Some(page) = &samples {
                files.push(report::samples::write(page, &out)?);
            }
            Ok(files)
        })?;
        let ending = if self.all { Ending::All } else { Ending::Main };
        ending::print(&report, ending, files.first().map(PathBuf::as_path), &[]);
        if let Some(page) = files.last().filter(|_| self.samples) {
            tell!("samples  {}", page.display());
        }
        Ok(())
    }
}

/// Whether `file` is the results.json of `folder`.
fn is_in(file: &Path, folder: &Path) -> bool {
    let there = folder.join("results.json").canonicalize();
    there.is_ok_and(|there| file.canonicalize().is_ok_and(|file| file == there))
}

/// The results of an experiment and their file: results.json, or the folder that holds it.
pub(super) fn read(results: &Path) -> Result<(PathBuf, ResultsFile)> {
    let file = file_of(results)?;
    let bytes = std::fs::read(&file).map_err(Error::io("reading the results", &file))?;
    let mut document: ResultsFile = serde_json::from_slice(&bytes).map_err(|error| {
        let problem = format!("these are no results of this version: {error}");
        Error::file(&file, problem)
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    document.results.answers = report::answers::read(folder)?.into();
    Ok((file, document))
}

fn file_of(results: &Path) -> Result<PathBuf> {
    let file = match results.is_dir() {
        true => results.join("results.json"),
        false => results.to_path_buf(),
    };
    if !file.is_file() {
        let hint =
            "give the results.json, or the folder, that `unforget lab` or `unforget run` wrote";
        return Err(Error::missing("results", file, hint));
    }
    Ok(file)
}
