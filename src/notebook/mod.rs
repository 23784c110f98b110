//! Notebooks: what a machine needs to run them, and how they are run and compared without a browser.
//!
//! Cells are compiled by [evcxr](https://github.com/evcxr/evcxr), a Jupyter kernel for Rust. A plain `:dep` would build this crate and all that it
//! stands on again, in a folder and profile of the kernel's own, and would give each cell its own copy of every static, so that
//! tensors of two cells could bear the same number and gradients go wrong in silence. So cells see one shared library instead, made from
//! what `cargo build --release` built ([`Library`]), and a configuration of ours tells the kernel where it is ([`Installation`]).
//!
//! [`Notebook`] is a notebook's file, [`Kernel`] a kernel that runs, [`run()`] runs the one in the other.

mod document;
mod installation;
mod kernel;
mod library;
mod run;
mod wire;

pub use document::{CellOutput, Notebook, NotebookCell};
pub use installation::{Installation, Requirement};
pub use kernel::Kernel;
pub use library::{Build, Library};
pub use run::{Ran, run, verify};

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The folder of the sources from which this program was built.
///
/// # Errors
/// It is no longer there: notebooks compile their cells against what was built in it.
pub fn project() -> Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    match folder.join("Cargo.toml").is_file() {
        true => Ok(folder),
        false => Err(Error::missing(
            "Cargo.toml",
            folder,
            "notebooks need the sources that this program was built from; clone them and use `cargo run --release -- notebook`",
        )),
    }
}

/// The notebooks of a folder, in the order of their names; what Jupyter keeps beside them is left out.
///
/// # Errors
/// The folder cannot be read, or has no notebook.
pub fn notebooks(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).map_err(Error::io("reading the folder of notebooks", folder))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "ipynb") && path.is_file())
        .collect();
    found.sort();
    match found.is_empty() {
        true => {
            Err(Error::missing("notebook", folder, "name a folder with files ending in .ipynb"))
        }
        false => Ok(found),
    }
}
