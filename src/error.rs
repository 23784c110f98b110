//! The one error type.
//!
//! Each variant is named for what the reader can do about it. A message names the thing and the way out,
//! starts in lower case and ends without a full stop.
//!
//! ```
//! use unforget::error::Error;
//! let error = Error::invalid("threshold", "must be a number above 0, got -1");
//! assert_eq!(error.to_string(), "threshold: must be a number above 0, got -1");
//! ```

use std::path::{Path, PathBuf};

/// Short for a result with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong, named for what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that should be on disk is not there.
    #[error("{}: no {what} here; {hint}", path.display())]
    Missing {
        /// What was looked for, such as "model folder".
        what: String,
        /// Where it was looked for.
        path: PathBuf,
        /// The way out.
        hint: String,
    },
    /// The operating system refused to read or write.
    #[error("{}: {doing} failed: {source}", path.display())]
    Io {
        /// What was being done, such as "writing the adapter".
        doing: String,
        /// The file or folder concerned.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A row of a data file does not fit.
    #[error("{}:{line}: {problem}", path.display())]
    Row {
        /// The data file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A file can be read but its content does not fit.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// Tensors of a checkpoint that are missing, superfluous or of another shape, all listed at once.
    #[error("{}: the weights do not fit config.json:\n  {}", path.display(), problems.join("\n  "))]
    Weights {
        /// The checkpoint's folder.
        path: PathBuf,
        /// One line for each tensor.
        problems: Vec<String>,
    },
    /// A value given by the user, in a recipe, an option or a call, does not fit.
    #[error("{what}: {problem}")]
    Invalid {
        /// The option, field or argument.
        what: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A model computed something that is no finite number.
    #[error("{what} is not a number; the weights are broken, get or train them again")]
    NotANumber {
        /// What was computed.
        what: String,
    },
    /// Training had to stop.
    #[error("training stopped at step {step}: {problem}")]
    Training {
        /// The optimiser step, counted from 1.
        step: usize,
        /// Why, and what to try.
        problem: String,
    },
    /// Somebody asked to stop.
    #[error("interrupted; what was computed is kept: run it again and it goes on there")]
    Interrupted,
    /// The compute device cannot be used.
    #[error("device {device}: {problem}")]
    Device {
        /// The device asked for, such as "cuda".
        device: String,
        /// Why not, and what would work.
        problem: String,
    },
    /// Another process works on the same result.
    #[error("{}: another process ({holder}) is working here; wait for it, or stop it and try again", path.display())]
    Busy {
        /// The folder that is locked.
        path: PathBuf,
        /// The process that holds it, as it wrote itself down.
        holder: String,
    },
    /// A library below us failed.
    #[error("{doing}: {source}")]
    Library {
        /// What was being done.
        doing: String,
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A tensor operation failed; a broken invariant of ours unless memory ran out.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// A user's value that does not fit: `what` names the field, `problem` says what would be right.
    pub fn invalid(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), problem: problem.into() }
    }

    /// A file whose content does not fit.
    pub fn file(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::File { path: path.into(), problem: problem.into() }
    }

    /// One line of a data file that does not fit; `line` is counted from 1.
    pub fn row(path: impl Into<PathBuf>, line: usize, problem: impl Into<String>) -> Self {
        Self::Row { path: path.into(), line, problem: problem.into() }
    }

    /// The same error, named for the file or folder that is to blame, where it says only what a model computed.
    pub fn blaming(self, path: &Path) -> Self {
        match self {
            Self::NotANumber { .. } => Self::file(path, self.to_string()),
            other => other,
        }
    }

    /// Something that is not on disk.
    pub fn missing(
        what: impl Into<String>,
        path: impl Into<PathBuf>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Missing { what: what.into(), path: path.into(), hint: hint.into() }
    }

    /// For `map_err` on an `std::io` call: says what was being done and to which path.
    pub fn io(doing: impl Into<String>, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let (doing, path) = (doing.into(), path.to_path_buf());
        move |source| Self::Io { doing, path, source }
    }

    /// For `map_err` on a call into another library: says what was being done.
    pub fn library<E>(doing: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let doing = doing.into();
        move |source| Self::Library { doing, source: source.into() }
    }
}
