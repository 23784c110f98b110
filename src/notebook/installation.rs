//! What notebooks need on this machine, part by part: looked at, put there, taken away.

use super::library::{Library, compiler};
use super::{Kernel, project};
use crate::error::{Error, Result};
use crate::store::{STORE_VARIABLE, write_atomic};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of the kernel that this was tried with.
const EVCXR: &str = "0.22.0";
/// Any of these will do; the folder of notebooks is opened in it.
const JUPYTER: &str = "jupyterlab>=4,<5";
/// What cells begin with.
const PRELUDE: &str = "use unforget::prelude::*;\nunforget::display::plain_panics();\nunforget::interruption::heed();\n";
/// What analyses cells believes to be the sources of the standard library: it reads them if they are there, 300 MB and a second of every kernel's start,
/// and else has rustup fetch them into the user's toolchain. Types of kept variables are written, so that it needs none.
const NO_SOURCES: &str = "no-sources/core/why.txt";
const NO_SOURCES_WHY: &str = "Where the kernel looks for the sources of Rust's standard library. It starts sooner and is smaller without them.\n";
/// A shell around the kernel. JupyterLab interrupts the whole group of processes and VS Code the first alone: the kernel itself must live on (what a
/// shell starts behind `&` ignores interrupts), and the process of its cells must hear of it, where it is an error of the work that goes on, see
/// [`crate::interruption`].
const AROUND: &str = r#""$0" "$@" & kernel=$!
trap 'pkill -INT -P $kernel || kill -INT $(cat /proc/$kernel/task/$kernel/children)' INT
trap 'kill $kernel' TERM
while kill -0 $kernel; do wait $kernel; done 2>/dev/null"#;
/// The kernel's name, which a notebook's file has.
const KERNEL: &str = "unforget";

/// The folders and files that make notebooks work for one copy of the sources.
#[derive(Debug, Clone)]
pub struct Installation {
    project: PathBuf,
    /// What is put there by us, and taken away again.
    home: PathBuf,
    /// What the kernel reads when it starts.
    config: PathBuf,
    /// Where Jupyter and editors look for kernels of this user.
    kernels: PathBuf,
    /// What cells see.
    pub library: Library,
    /// Where kernels keep results; in the project's folder if it is not named.
    pub store: Option<PathBuf>,
}

/// One thing that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// What it is.
    pub name: &'static str,
    /// Where it is, if it is there.
    pub found: Option<String>,
    /// What would be done if it is not.
    pub otherwise: String,
    /// Whether notebooks can be run without it, only not looked at.
    pub for_browser: bool,
}

impl Installation {
    /// What belongs to the sources from which this program was built, and to the folder in which it was.
    ///
    /// # Errors
    /// The sources are gone, or this user has no folder for data.
    pub fn find() -> Result<Self> {
        let project = project()?;
        // the program lies in target/release, a test in target/release/deps
        let program =
            std::env::current_exe().map_err(Error::library("looking for this program's file"))?;
        let folders = program.ancestors().skip(1);
        let built = folders.take(2).find(|folder| folder.join("deps").is_dir());
        let built = built.map_or_else(|| project.join("target/release"), Path::to_owned);
        Self::with(Library::of(&built), project.join(".notebook/config"))
    }

    /// The same with another library, and a folder for the configuration that tells the kernel of it.
    ///
    /// # Errors
    /// As [`Installation::find`].
    pub fn with(library: Library, config: PathBuf) -> Result<Self> {
        let project = project()?;
        Ok(Self {
            home: project.join(".notebook"),
            config,
            kernels: kernels()?,
            library,
            store: None,
            project,
        })
    }

    /// The folder with the notebooks.
    pub fn notebooks(&self) -> PathBuf {
        self.project.join("notebooks")
    }

    /// Everything that is needed, in the order in which it is put there.
    ///
    /// # Errors
    /// What cargo built cannot be looked at.
    pub fn parts(&self) -> Result<Vec<Requirement>> {
        let shown = |path: PathBuf| path.display().to_string();
        let part = |name, found: Option<String>, otherwise: String| Requirement {
            name,
            found,
            otherwise,
            for_browser: false,
        };
        let library = self.library.stale()?;
        let mut parts = vec![
            part(
                "compiler",
                compiler().ok(),
                "missing: cells are compiled by rustc; install Rust from https://rustup.rs".into(),
            ),
            part(
                "library",
                library.is_none().then(|| shown(self.library.file.clone())),
                format!("will be made from the release build ({})", library.unwrap_or_default()),
            ),
            part(
                "kernel",
                self.kernel().map(shown),
                format!(
                    "will be installed: cargo install evcxr_jupyter, 6 to 15 minutes, once, into {}",
                    self.home.join("kernel").display()
                ),
            ),
            part(
                "configuration",
                self.configured().then(|| shown(self.config.clone())),
                format!("will be written into {}", self.config.display()),
            ),
        ];
        parts.push(Requirement {
            for_browser: true,
            ..part(
                "kernelspec",
                self.specified().then(|| shown(self.spec())),
                format!(
                    "will be written to {}, where Jupyter and VS Code look for kernels",
                    self.spec().display()
                ),
            )
        });
        parts.push(Requirement {
            for_browser: true,
            ..part(
                "jupyter",
                self.jupyter().map(shown),
                format!("will be installed: pip install jupyterlab in an environment of its own, 200 MB, {}", self.home.join("jupyter").display()),
            )
        });
        Ok(parts)
    }

    /// Puts there what is missing; with `browser` also what is needed to look at notebooks. Says by `say` what it does.
    ///
    /// # Errors
    /// A program that is needed is not there or fails.
    pub fn prepare(&mut self, browser: bool, say: &mut dyn FnMut(&str)) -> Result<()> {
        compiler()?;
        self.library = Library::make(say)?;
        if self.kernel().is_none() {
            say("installing the kernel: cargo install evcxr_jupyter");
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let root = self.home.join("kernel");
            let arguments = [
                "install",
                "evcxr_jupyter",
                "--version",
                EVCXR,
                "--locked",
                "--no-track",
                "--root",
            ];
            must(Command::new(cargo).args(arguments).arg(root), "cargo install evcxr_jupyter")?;
        }
        if !self.configured() {
            say("writing the kernel's configuration");
            self.configure()?;
        }
        if !browser {
            return Ok(());
        }
        if !self.specified() {
            say("telling Jupyter of the kernel");
            write_atomic(&self.spec(), self.spec_text()?.as_bytes())?;
        }
        if self.jupyter().is_none() {
            say("installing JupyterLab in an environment of its own");
            let home = self.home.join("jupyter");
            must(
                Command::new("python3").args(["-m", "venv"]).arg(&home),
                "python3 -m venv (on Debian: apt install python3-venv)",
            )?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", JUPYTER];
            must(Command::new(home.join("bin/python")).args(pip), "pip install jupyterlab")?;
        }
        Ok(())
    }

    /// Tells the kernel of the library.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn configure(&self) -> Result<()> {
        self.config_files()
            .into_iter()
            .try_for_each(|(name, text)| write_atomic(&self.config.join(name), text.as_bytes()))
    }

    /// Whether there is a kernel that can be started.
    pub fn has_kernel(&self) -> bool {
        self.kernel().is_some()
    }

    /// Takes away what [`Installation::prepare`] put there, and returns it.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<Vec<PathBuf>> {
        let mut removed = self.library.remove()?;
        let spec = self.spec();
        // another copy of the sources may have told Jupyter of its own
        let ours = std::fs::read_to_string(&spec)
            .is_ok_and(|text| text.contains(&*self.config.to_string_lossy()));
        let folders = [Some(self.home.clone()), spec.parent().filter(|_| ours).map(Path::to_owned)];
        for folder in folders.into_iter().flatten().filter(|folder| folder.exists()) {
            std::fs::remove_dir_all(&folder).map_err(Error::io("removing", &folder))?;
            removed.push(folder);
        }
        Ok(removed)
    }

    /// Starts a kernel for a notebook in `folder`.
    ///
    /// # Errors
    /// Something is missing that [`Installation::prepare`] puts there, or as [`Kernel::start`].
    pub fn start(&self, folder: &Path) -> Result<Kernel> {
        let missing =
            self.parts()?.into_iter().find(|part| part.found.is_none() && !part.for_browser);
        if let Some(part) = missing {
            let problem =
                format!("is not there ({}); run `unforget notebook --prepare`", part.otherwise);
            return Err(Error::invalid(part.name, problem));
        }
        let mut environment = self.environment();
        environment.extend(self.other_store()?);
        Kernel::start(&self.command()?, &environment, folder)
    }

    /// JupyterLab on the folder of notebooks.
    ///
    /// # Errors
    /// It is not there; see [`Installation::prepare`].
    pub fn lab(&self) -> Result<Command> {
        let jupyter = self.jupyter();
        let jupyter = jupyter.ok_or_else(|| {
            Error::missing("JupyterLab", &self.home, "run `unforget notebook --prepare`")
        })?;
        let mut command = Command::new(jupyter);
        command.arg("lab").current_dir(self.notebooks());
        command.envs(self.other_store()?);
        Ok(command)
    }

    /// The variable that names another store than the project's; kernels run in other folders.
    fn other_store(&self) -> Result<Option<(String, String)>> {
        let whole = |store: &PathBuf| {
            let store = std::path::absolute(store).map_err(Error::io("looking for", store))?;
            Ok((STORE_VARIABLE.to_owned(), store.display().to_string()))
        };
        self.store.as_ref().map(whole).transpose()
    }

    fn kernel(&self) -> Option<PathBuf> {
        let own = self.home.join("kernel/bin/evcxr_jupyter");
        let named = std::env::var_os("UNFORGET_KERNEL").map(PathBuf::from);
        named
            .into_iter()
            .chain([own])
            .find(|file| file.is_file())
            .or_else(|| on_path("evcxr_jupyter"))
    }

    fn jupyter(&self) -> Option<PathBuf> {
        let own = self.home.join("jupyter/bin/jupyter");
        if own.is_file() {
            return Some(own);
        }
        // of one on the path it is not known whether it has JupyterLab
        on_path("jupyter-lab")
            .and_then(|lab| Some(lab.with_file_name("jupyter")).filter(|jupyter| jupyter.is_file()))
    }

    fn config_files(&self) -> [(&'static str, String); 3] {
        let flags = self.library.flags();
        [
            ("init.evcxr", format!(":build_env RUSTFLAGS={flags}\n")),
            ("prelude.rs", PRELUDE.to_owned()),
            (NO_SOURCES, NO_SOURCES_WHY.to_owned()),
        ]
    }

    fn configured(&self) -> bool {
        let same = |(name, text): (&str, String)| {
            std::fs::read_to_string(self.config.join(name)).is_ok_and(|kept| kept == text)
        };
        self.config_files().into_iter().all(same)
    }

    fn spec(&self) -> PathBuf {
        self.kernels.join(KERNEL).join("kernel.json")
    }

    fn spec_text(&self) -> Result<String> {
        let environment: serde_json::Map<_, _> =
            self.environment().into_iter().map(|(name, value)| (name, value.into())).collect();
        let spec = json!({
            "argv": self.command()?,
            "display_name": "Rust (unforget)",
            "language": "rust",
            "interrupt_mode": match cfg!(unix) { true => "signal", false => "message" },
            "env": environment,
        });
        serde_json::to_string_pretty(&spec).map_err(Error::library("writing the kernelspec"))
    }

    fn specified(&self) -> bool {
        let kept = std::fs::read_to_string(self.spec());
        self.spec_text().is_ok_and(|text| kept.is_ok_and(|kept| kept == text))
    }

    fn command(&self) -> Result<Vec<String>> {
        let kernel = self.kernel();
        let kernel = kernel.ok_or_else(|| {
            Error::missing("kernel", &self.home, "run `unforget notebook --prepare`")
        })?;
        let kernel = kernel.display().to_string();
        let options = ["--control_file", "{connection_file}"].map(str::to_owned);
        if cfg!(not(unix)) {
            return Ok([vec![kernel], options.to_vec()].concat());
        }
        Ok([["sh", "-c", AROUND].map(str::to_owned).to_vec(), vec![kernel], options.to_vec()]
            .concat())
    }

    fn environment(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let mut environment = vec![
            pair("EVCXR_CONFIG_DIR", self.config.display().to_string()),
            pair("RUST_SRC_PATH", self.config.join("no-sources").display().to_string()),
            // candle's own pool spins on waiting, which costs more than it gives beside ours
            pair("CANDLE_NUM_THREADS", "1".into()),
        ];
        if self.store.is_none() {
            environment.push(pair(
                STORE_VARIABLE,
                self.project.join("unforget-store").display().to_string(),
            ));
        }
        environment
    }
}

/// Where Jupyter looks for kernels of this user: `JUPYTER_DATA_DIR`, else the folder of the system.
fn kernels() -> Result<PathBuf> {
    let folder =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || folder("HOME");
    let data = folder("JUPYTER_DATA_DIR").or_else(|| match cfg!(target_os = "macos") {
        true => home().map(|home| home.join("Library/Jupyter")),
        false => folder("XDG_DATA_HOME")
            .or_else(|| home().map(|home| home.join(".local/share")))
            .map(|data| data.join("jupyter")),
    });
    data.map(|data| data.join("kernels"))
        .ok_or_else(|| Error::invalid("HOME", "is not set; name a folder in JUPYTER_DATA_DIR"))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs a command whose output the user sees on stderr.
fn must(command: &mut Command, what: &str) -> Result<()> {
    match command.stdout(std::io::stderr()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(Error::invalid(what, format!("failed ({status}); what it says stands above")))
        }
        Err(error) => Err(Error::invalid(what, format!("cannot be started: {error}"))),
    }
}
