use super::output::Reads;
use super::terminal::{layout, say, show};
use super::{Common, print_json};
use clap::Args;
use std::path::PathBuf;
use unforget::audit::{self, AuditOptions, AuditPart};
use unforget::error::Result;
use unforget::progress::Progress;
use unforget::store::Output;

const EXAMPLES: &str = "\
The exit code is 0 when every file is there and has its schema. A number that does not follow is a result, not an error.

Parts: files, masks, classes, metrics, tables, samples, executor, tasks, leak. Only executor needs python3 and minutes.

Examples:
  Everything, with a report:
    unforget audit ../authors --out results/audit
  Only what needs no code to run:
    unforget audit ../authors --only masks,metrics,tables
  A made-up copy, to see what an audit says:
    unforget audit notebooks/data/audit";

/// `unforget audit`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct AuditFiles {
    /// A copy of the folder that the authors published: it holds `dataset`, `raw_digits` and `logging`
    folder: PathBuf,
    /// Only these parts, separated by commas [default: all]
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    only: Vec<String>,
    /// A file with the task numbers of MBPP's test split, such as MBPP+, if the copy lacks it
    #[arg(long, value_name = "FILE")]
    mbpp_test: Option<PathBuf>,
    /// Folder for the report: report.html, facts.csv, .parquet and .json, figures
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl AuditFiles {
    pub fn run(&self, common: &Common) -> Result<()> {
        let options = AuditOptions {
            only: self
                .only
                .iter()
                .map(|name| AuditPart::named(name.trim()))
                .collect::<Result<_>>()?,
            mbpp_test: self.mbpp_test.clone(),
        };
        let names = ["report.html", "facts.csv", "facts.parquet", "facts.json", "figures"];
        let output = self.out.as_ref().map(|out| Output::within("--out", out, &names));
        let reads = Reads::new(common)?.path("FOLDER", &self.folder);
        reads.given("--mbpp-test", self.mbpp_test.as_ref()).check(output.as_slice())?;
        let progress = match common.quiet {
            true => Progress::quiet(),
            false => Progress::on_stderr(),
        };
        let audit = audit::run(&self.folder, &options, &progress)?;
        let files = match (&self.out, &output) {
            (Some(out), Some(output)) => output.write(|| audit.write(out))?,
            _ => Vec::new(),
        };
        match self.json {
            true => print_json(&audit)?,
            false => show!("{}", audit.text(layout().width)),
        }
        if let (Some(page), false) = (files.first(), self.json) {
            say!("\nreport: {}", page.display());
        }
        Ok(())
    }
}
