//! What a call reads, so that what it writes takes nothing of it away: see [`Output::check`].

use super::Common;
use std::path::{Path, PathBuf};
use unforget::dataset;
use unforget::error::Result;
use unforget::store::{Output, Store};

/// What a call reads, each with the option that names it.
pub struct Reads(Vec<(String, PathBuf)>);

impl Reads {
    /// The store, which every call has.
    pub fn new(common: &Common) -> Result<Self> {
        let store = Store::choose(common.store.as_deref())?;
        Ok(Self(vec![("--store".into(), store.root().to_path_buf())]))
    }

    /// A file or a folder.
    pub fn path(mut self, option: &str, path: impl AsRef<Path>) -> Self {
        self.0.push((option.into(), path.as_ref().to_path_buf()));
        self
    }

    /// A file or a folder that may be given.
    pub fn given(self, option: &str, path: Option<&PathBuf>) -> Self {
        match path {
            Some(path) => self.path(option, path),
            None => self,
        }
    }

    /// A model by its folder; one of the hub lies in the hub's own cache.
    pub fn model(self, name: &str) -> Self {
        match (name, unforget::lab::folder()) {
            ("lab", Ok(folder)) => self.path("--model", folder),
            _ => self.path("--model", name),
        }
    }

    /// A data set: the files that its path means, where it means any.
    pub fn data(self, option: &str, path: &Path) -> Self {
        let files = dataset::files(path).unwrap_or_default();
        files.iter().fold(self.path(option, path), |reads, file| reads.path(option, file))
    }

    /// Refuses outputs that would take the place of what is read, or of what is not this program's own.
    pub fn check(&self, outputs: &[Output]) -> Result<()> {
        Output::check(outputs, &self.0)
    }
}
