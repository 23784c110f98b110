use super::Common;
use clap::Args;
use std::path::{Path, PathBuf};
use unforget::error::{Error, Result};
use unforget::report::{self, Document};

const EXAMPLES: &str = "\
Examples:
  Draw the lab's figures again, in the place of the old ones:
    unforget report results/lab
  Into another folder:
    unforget report results/lab/results.json --out results/lab-again";

/// `unforget report`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct WriteReport {
    /// results.json of an experiment, or the folder that holds it
    results: PathBuf,
    /// Folder for tables, figures and the report [default: the folder of results.json]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl WriteReport {
    pub fn run(&self, _common: &Common) -> Result<()> {
        let (file, document) = read(&self.results)?;
        let out = match (&self.out, file.parent()) {
            (Some(out), _) => out.clone(),
            (None, Some(folder)) => folder.to_path_buf(),
            (None, None) => PathBuf::from("."),
        };
        let files = report::write(&document.results, &document.provenance, &out)?;
        print!("{}", report::table::print(&document.results));
        if let Some(page) = files.first() {
            println!("report: {}", page.display());
        }
        Ok(())
    }
}

/// The results of an experiment and their file: results.json, or the folder that holds it.
pub(super) fn read(results: &Path) -> Result<(PathBuf, Document)> {
    let file = match results.is_dir() {
        true => results.join("results.json"),
        false => results.to_path_buf(),
    };
    if !file.is_file() {
        let hint =
            "give the results.json, or the folder, that `unforget lab` or `unforget run` wrote";
        return Err(Error::missing("results", file, hint));
    }
    let bytes = std::fs::read(&file).map_err(Error::io("reading the results", &file))?;
    let document = serde_json::from_slice(&bytes).map_err(|error| {
        let problem = format!("these are no results of this version: {error}");
        Error::file(&file, problem)
    })?;
    Ok((file, document))
}
