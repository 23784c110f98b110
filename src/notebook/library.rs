//! The one shared library that all cells of all notebooks see.

use super::project;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

/// The shared library: this crate and all that it stands on, as `cargo build --release` built them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The shared library.
    pub file: PathBuf,
    /// What cargo built of this crate.
    pub built: PathBuf,
    /// A folder with the parts of this build and nothing else; cells are compiled against it too.
    ///
    /// Cargo's own `deps` will not do: it also holds what other builds left there, such as those of another project with the same
    /// `CARGO_TARGET_DIR`. Two builds of a crate can differ in compiler options alone. The compiler cannot tell them apart and may link the
    /// wrong one, whose symbols do not fit.
    pub dependencies: PathBuf,
}

/// The files that one run of cargo named as its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// This crate's library.
    pub library: PathBuf,
    /// All libraries, this crate's too, and the compiler plug-ins of derived code.
    pub parts: Vec<PathBuf>,
}

/// What a shared library was made of, kept beside it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MadeOf {
    bytes: u64,
    nanoseconds: u128,
    compiler: String,
}

/// The whole of its source.
const SOURCE: &str = "pub use unforget::*;\n";

impl Library {
    /// Where the library of the build in `folder` (such as `target/release`) is or will be.
    pub fn of(folder: &Path) -> Self {
        let name = format!(
            "{}unforget_cells{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        Self {
            file: folder.join(name),
            built: folder.join("libunforget.rlib"),
            dependencies: folder.join("unforget_cells"),
        }
    }

    /// Lets cargo build the crate, which does nothing if it is built, and makes the shared library of it if there is none or an older one. Says by `say` what it does.
    ///
    /// # Errors
    /// Cargo is not there or fails; what it says goes to stderr.
    pub fn make(say: &mut dyn FnMut(&str)) -> Result<Self> {
        let build = Build::release()?;
        let folder = build.library.parent().unwrap_or(Path::new("")).to_owned();
        let library = Self { built: build.library, ..Self::of(&folder) };
        if library.stale()?.is_some() {
            say("making the shared library that cells see");
            library.link(&build.parts)?;
        }
        Ok(library)
    }

    /// Why it has to be made again; `None` if it need not.
    ///
    /// # Errors
    /// What cargo built cannot be looked at.
    pub fn stale(&self) -> Result<Option<String>> {
        if !self.built.exists() {
            return Ok(Some("the crate is not built".into()));
        }
        if !self.dependencies.is_dir() {
            return Ok(Some(format!(
                "{} is not there, and no cell can be compiled without it",
                self.dependencies.display()
            )));
        }
        if !self.file.exists() {
            return Ok(Some("not made yet".into()));
        }
        let kept = std::fs::read(self.note())
            .ok()
            .and_then(|text| serde_json::from_slice::<MadeOf>(&text).ok());
        Ok((kept != Some(self.made_of()?)).then(|| "made from another build".into()))
    }

    fn note(&self) -> PathBuf {
        self.file.with_extension("json")
    }

    fn made_of(&self) -> Result<MadeOf> {
        let seen = std::fs::metadata(&self.built).map_err(Error::io("looking at", &self.built))?;
        let time = seen.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(MadeOf {
            bytes: seen.len(),
            nanoseconds: time.map_or(0, |time| time.as_nanos()),
            compiler: compiler()?,
        })
    }

    /// Makes it from the parts of a build, which it collects in [`Library::dependencies`].
    ///
    /// # Errors
    /// The compiler is not there or fails, or a part cannot be read.
    pub fn link(&self, parts: &[PathBuf]) -> Result<()> {
        let made_of = self.made_of()?;
        self.remove()?;
        self.collect(parts)?;
        let source = self.file.with_extension("rs");
        std::fs::write(&source, SOURCE).map_err(Error::io("writing", &source))?;
        let mut rustc = Command::new(rustc());
        rustc
            .args(["--edition", "2024", "--crate-name", "unforget_cells", "--crate-type", "dylib"])
            // one standard library for the kernel's process and for all that is loaded into it
            .args(["-C", "prefer-dynamic", "-C", "rpath", "-C", "strip=symbols"])
            .arg("--extern")
            .arg(format!("unforget={}", self.built.display()))
            .arg("-L")
            .arg(format!("dependency={}", self.dependencies.display()))
            .arg("-o")
            .arg(&self.file)
            .arg(&source);
        let output = rustc.output().map_err(Error::io("starting", Path::new("rustc")))?;
        let _ = std::fs::remove_file(&source);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::file(&self.file, format!("could not be made:\n{}", said.trim())));
        }
        let text = serde_json::to_vec(&made_of).map_err(Error::library("writing a note"))?;
        std::fs::write(self.note(), text).map_err(Error::io("writing", &self.note()))
    }

    /// Fills the folder of dependencies, by hard links where the file system has them.
    fn collect(&self, parts: &[PathBuf]) -> Result<()> {
        let folder = &self.dependencies;
        std::fs::create_dir_all(folder).map_err(Error::io("making", folder))?;
        for part in parts {
            let name = part.file_name().unwrap_or_default();
            let place = folder.join(name);
            if std::fs::hard_link(part, &place).is_err() {
                std::fs::copy(part, &place).map_err(Error::io("copying", part))?;
            }
        }
        Ok(())
    }

    /// The options by which a cell's compiler finds it.
    pub fn flags(&self) -> String {
        format!(
            "-Cprefer-dynamic --extern unforget={} -Ldependency={} -Clink-arg=-Wl,-rpath,{}",
            self.file.display(),
            self.dependencies.display(),
            self.file.parent().unwrap_or(Path::new("")).display()
        )
    }

    /// Removes it; what cargo built stays. Returns what was there.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        for file in [self.file.clone(), self.note()] {
            if file.exists() {
                std::fs::remove_file(&file).map_err(Error::io("removing", &file))?;
                removed.push(file);
            }
        }
        if self.dependencies.exists() {
            std::fs::remove_dir_all(&self.dependencies)
                .map_err(Error::io("removing", &self.dependencies))?;
            removed.push(self.dependencies.clone());
        }
        Ok(removed)
    }
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// The compiler's own words on what it is.
pub(super) fn compiler() -> Result<String> {
    let asked = Command::new(rustc()).arg("-V").output();
    let hint = "cells are compiled by rustc: install Rust from https://rustup.rs";
    match asked {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        _ => Err(Error::missing("rustc", "rustc", hint)),
    }
}

impl Build {
    /// Lets cargo build this crate as `cargo build --release` does, with the features and into the target folder of this program. Cargo's progress goes to stderr.
    ///
    /// # Errors
    /// Cargo is not there or fails; what it says goes to stderr.
    pub fn release() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(&cargo);
        command
            .args(["build", "--release", "--message-format", "json-render-diagnostics"])
            .current_dir(project()?)
            .stdout(Stdio::piped());
        if let Some(target) = target() {
            command.arg("--target-dir").arg(target);
        }
        let features = [
            ("cuda", cfg!(feature = "cuda")),
            ("metal", cfg!(feature = "metal")),
            ("download", cfg!(feature = "download")),
        ];
        let features: Vec<&str> =
            features.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        if !features.is_empty() {
            command.args(["--features", &features.join(",")]);
        }
        let mut child = command.spawn().map_err(Error::io("starting", Path::new(&cargo)))?;
        let (mut library, mut parts) = (None, Vec::new());
        for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
            let line = line.map_err(Error::library("reading what cargo says"))?;
            let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
            if message["reason"] != "compiler-artifact" {
                continue;
            }
            let files = message["filenames"].as_array().into_iter().flatten();
            for file in files.filter_map(Value::as_str).map(PathBuf::from) {
                let Some(ending) = file.extension() else { continue };
                if ending == "rlib" && message["target"]["name"] == "unforget" {
                    library = Some(file.clone());
                }
                if ending == "rlib" || ending == std::env::consts::DLL_EXTENSION {
                    parts.push(file);
                }
            }
        }
        let status = child.wait().map_err(Error::library("waiting for cargo"))?;
        match library.filter(|_| status.success()) {
            Some(library) => Ok(Self { library, parts }),
            None => {
                Err(Error::invalid("cargo build --release", "failed; what it says stands above"))
            }
        }
    }
}

/// The target folder in which this program, or the test that it is part of, was built as a release; `None` if it lies elsewhere.
fn target() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let release =
        program.ancestors().skip(1).take(2).find(|folder| folder.join("deps").is_dir())?;
    (release.file_name()? == "release").then(|| release.parent().map(Path::to_owned))?
}
