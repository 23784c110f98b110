use super::Common;
use super::terminal::{say, tell};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use unforget::error::{Error, Result};
use unforget::interruption;
use unforget::notebook::{self, Installation, Requirement};

const EXAMPLES: &str = "\
Examples:
    unforget notebook                      JupyterLab on notebooks/, with everything it needs
    unforget notebook -- --no-browser --port 8890 --ip 0.0.0.0    the same with options for JupyterLab, here for a machine without a screen
    unforget notebook --check              what is there, and what would be done; changes nothing
    unforget notebook --run                runs all notebooks and their solutions without a browser; exit code 0 if no cell fails
    unforget notebook --refresh FILE       runs a notebook and keeps what its cells show
    unforget notebook --remove             takes away what this command put on the machine";

/// `unforget notebook`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Notebook {
    /// Report what is installed and what is missing; change nothing
    #[arg(long, group = "what")]
    check: bool,
    /// Install what is missing; open nothing
    #[arg(long, group = "what")]
    prepare: bool,
    /// Remove what this command installed
    #[arg(long, group = "what")]
    remove: bool,
    /// Run notebooks in a real kernel; fails at the first cell that fails or prints to stderr
    #[arg(long, group = "what")]
    run: bool,
    /// As --run, and save the outputs in the notebooks
    #[arg(long, group = "what")]
    refresh: bool,
    /// As --run, and compare the outputs with the saved ones, except times and paths
    #[arg(long, group = "what")]
    verify: bool,
    /// With --run, --refresh and --verify: time limit of a cell, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    limit: u64,
    /// With --run, --refresh and --verify: which notebooks [default: all of notebooks/ and notebooks/solutions/]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Options for JupyterLab, after `--`
    #[arg(value_name = "OPTION", last = true)]
    jupyter: Vec<String>,
}

impl Notebook {
    /// Runs all notebooks and keeps what their cells show.
    pub fn refresh(common: &Common) -> Result<()> {
        let all = Self {
            check: false,
            prepare: false,
            remove: false,
            run: false,
            refresh: true,
            verify: false,
            limit: 1800,
            files: Vec::new(),
            jupyter: Vec::new(),
        };
        all.run(common)
    }

    pub fn run(&self, common: &Common) -> Result<()> {
        let runs = self.run || self.refresh || self.verify;
        if !self.files.is_empty() && !runs {
            return Err(Error::invalid(
                "FILE",
                "say what to do with it: --run, --refresh or --verify",
            ));
        }
        if !self.jupyter.is_empty() && (runs || self.check || self.prepare || self.remove) {
            return Err(Error::invalid(
                "--",
                "what follows it is for JupyterLab, which is not opened here",
            ));
        }
        let mut installation = Installation::find()?;
        installation.store.clone_from(&common.store);
        if self.check {
            return check(&installation.parts()?);
        }
        if self.remove {
            for path in installation.remove()? {
                say!("removed {}", path.display());
            }
            return Ok(());
        }
        let browser = !runs;
        for part in installation
            .parts()?
            .iter()
            .filter(|part| part.found.is_none() && (browser || !part.for_browser))
        {
            tell!("{:14} {}", part.name, part.otherwise);
        }
        installation.prepare(browser, &mut |line| tell!("{line}"))?;
        if runs {
            return self.run_all(&installation);
        }
        if self.prepare {
            return check(&installation.parts()?);
        }
        let mut lab = installation.lab()?;
        lab.args(&self.jupyter);
        tell!("opening JupyterLab on {}; end it with Ctrl-C", installation.notebooks().display());
        let mut lab = lab.spawn().map_err(Error::library("starting JupyterLab"))?;
        // it asks whether to end
        interruption::ignore();
        let status = lab.wait().map_err(Error::library("waiting for JupyterLab"))?;
        match status.success() {
            true => Ok(()),
            false => Err(Error::invalid("jupyter lab", format!("ended with {status}"))),
        }
    }

    fn run_all(&self, installation: &Installation) -> Result<()> {
        let folder = installation.notebooks();
        let files = match self.files.is_empty() {
            false => self.files.clone(),
            true => {
                [notebook::notebooks(&folder)?, notebook::notebooks(&folder.join("solutions"))?]
                    .concat()
            }
        };
        // a kernel does not end by Ctrl-C; it is ended when this does
        interruption::heed();
        for file in &files {
            let kept = notebook::Notebook::read(file)?;
            let ran = notebook::run(installation, file, Duration::from_secs(self.limit))?;
            if self.verify {
                notebook::verify(&kept, &ran.document)
                    .map_err(|error| Error::file(file, error.to_string()))?;
            }
            if self.refresh {
                ran.document.write()?;
            }
            say!(
                "{}: {} cells in {:.1} s, kernel ready after {:.1} s",
                file.display(),
                ran.cells,
                ran.took.as_secs_f64(),
                ran.ready.as_secs_f64()
            );
        }
        Ok(())
    }
}

/// One line for each part; an error if something is missing.
fn check(parts: &[Requirement]) -> Result<()> {
    for part in parts {
        let (mark, text) = match &part.found {
            Some(found) => ("ok", found),
            None => ("--", &part.otherwise),
        };
        say!("{mark}  {:14} {text}", part.name);
    }
    let missing: Vec<&str> =
        parts.iter().filter(|part| part.found.is_none()).map(|part| part.name).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::invalid(
            "notebooks",
            format!(
                "need what is not there: {}; `unforget notebook` sets it up",
                missing.join(", ")
            ),
        )),
    }
}
