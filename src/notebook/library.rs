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
    /// What cargo built of all others; cells are compiled against it too.
    pub dependencies: PathBuf,
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
            dependencies: folder.join("deps"),
        }
    }

    /// Lets cargo build the crate, which does nothing if it is built, and makes the shared library of it if there is none or an older one. Says by `say` what it does.
    ///
    /// # Errors
    /// Cargo is not there or fails; what it says goes to stderr.
    pub fn make(say: &mut dyn FnMut(&str)) -> Result<Self> {
        let built = build()?;
        let folder = built.parent().unwrap_or(Path::new("")).to_owned();
        let library = Self { built, ..Self::of(&folder) };
        if library.stale()?.is_some() {
            say("making the shared library that cells see");
            library.link()?;
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
                "{} is gone; without it no cell can be compiled",
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

    /// Makes it of what cargo built.
    ///
    /// # Errors
    /// The compiler is not there or fails.
    pub fn link(&self) -> Result<()> {
        let made_of = self.made_of()?;
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

/// Lets cargo build the library with the features of this program, and returns the file. Cargo's progress goes to stderr.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command
        .args(["build", "--release", "--message-format", "json-render-diagnostics"])
        .current_dir(project()?)
        .stdout(Stdio::piped());
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
    let mut found = None;
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let Ok(message) = line
            .map_err(|_| ())
            .and_then(|line| serde_json::from_str::<Value>(&line).map_err(|_| ()))
        else {
            continue;
        };
        if message["reason"] == "compiler-artifact" && message["target"]["name"] == "unforget" {
            let files =
                message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let library = files
                .map(PathBuf::from)
                .find(|file| file.extension().is_some_and(|ending| ending == "rlib"));
            found = library.or(found);
        }
    }
    let status = child.wait().map_err(Error::library("waiting for cargo"))?;
    match found.filter(|_| status.success()) {
        Some(file) => Ok(file),
        None => Err(Error::invalid("cargo build --release", "failed; what it says stands above")),
    }
}
