//! The one error type.
//!
//! Each variant is named for what the reader can do about it. A message names the thing and the way out,
//! starts in lower case and ends without a full stop.
//!
//! Messages quote what users and files say. What would steer a terminal in it is written as an escape, see [`Plain`].
//!
//! ```
//! use unforget::error::Error;
//! let error = Error::invalid("threshold", "must be a number above 0, got -1");
//! assert_eq!(error.to_string(), "threshold: must be a number above 0, got -1");
//! ```

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

/// Short for a result with the crate's [`Error`].
///
/// Another error can be named, so that code which means the standard library's `Result` compiles where this one is in scope: a notebook's kernel
/// wraps cells in such code.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, named for what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that should be on disk is not there.
    Missing {
        /// What was looked for, such as "model folder".
        what: String,
        /// Where it was looked for.
        path: PathBuf,
        /// The way out.
        hint: String,
    },
    /// The operating system refused to read or write.
    Io {
        /// What was being done, such as "writing the adapter".
        doing: String,
        /// The file or folder concerned.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A row of a data file does not fit.
    Row {
        /// The data file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A file can be read but its content does not fit.
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// Tensors of a checkpoint that are missing, superfluous or of another shape, all listed at once.
    Weights {
        /// The checkpoint's folder.
        path: PathBuf,
        /// One line for each tensor.
        problems: Vec<String>,
    },
    /// A value given by the user, in a recipe, an option or a call, does not fit.
    Invalid {
        /// The option, field or argument.
        what: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A model computed something that is no finite number.
    NotANumber {
        /// What was computed.
        what: String,
    },
    /// Training had to stop.
    Training {
        /// The optimizer step, counted from 1.
        step: usize,
        /// Why, and what to try.
        problem: String,
    },
    /// Somebody asked to stop.
    Interrupted,
    /// The compute device cannot be used.
    Device {
        /// The device asked for, such as "cuda".
        device: String,
        /// Why not, and what would work.
        problem: String,
    },
    /// Another process works on the same result.
    Busy {
        /// The folder that is locked.
        path: PathBuf,
        /// The process that holds it, as it wrote itself down.
        holder: String,
    },
    /// A library below us failed.
    Library {
        /// What was being done.
        doing: String,
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A tensor operation failed; a broken invariant of ours unless memory ran out.
    Tensor(#[from] candle_core::Error),
}

/// Text as a terminal may show it: control characters stand as escapes such as `\u{1b}`, but for line ends and tabs.
///
/// ```
/// use unforget::error::{Plain, Word};
/// assert_eq!(Plain("red\u{1b}[31m\nnext").to_string(), "red\\u{1b}[31m\nnext");
/// assert_eq!(Word("an id\n").to_string(), "an id\\n");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Plain<T>(pub T);

/// For a message about `name`, which is none of `known`: which there are, and the nearest.
///
/// ```
/// let there = unforget::error::there_are("coode", ["code", "algebra"]);
/// assert_eq!(there, "there are code, algebra; did you mean `code`?");
/// ```
pub fn there_are<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> String {
    let known: Vec<S> = known.into_iter().collect();
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let all = Word(known.join(", ")).to_string();
    match nearest(name, &known) {
        Some(near) if known.len() > 1 => {
            format!("there are {all}; did you mean `{}`?", Word(near))
        }
        Some(_) => format!("there is {all}"),
        None => "there is none".to_owned(),
    }
}

/// The name that is most like `name`; two letters turned round are one mistake.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let like = |known: &str| (strsim::normalized_damerau_levenshtein(known, name) * 1e6) as u64;
    // of equals, the first
    known.iter().rev().max_by_key(|known| like(known)).copied()
}

/// As [`Plain`], within a line: line ends and tabs are escapes, too.
#[derive(Debug, Clone, Copy)]
pub struct Word<T>(pub T);

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { to: f, kept: &['\n', '\t'] }, "{}", self.0)
    }
}

impl<T: fmt::Display> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { to: f, kept: &[] }, "{}", self.0)
    }
}

struct Escaping<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    kept: &'static [char],
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_control() && !self.kept.contains(&c)) {
            let (before, from) = rest.split_at(at);
            let length = from.chars().next().map_or(0, char::len_utf8);
            let (control, after) = from.split_at(length);
            write!(self.to, "{before}{}", control.escape_debug())?;
            rest = after;
        }
        self.to.write_str(rest)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut Escaping { to: f, kept: &['\n', '\t'] };
        let named = |path: &Path| Word(path.display().to_string());
        match self {
            Self::Missing { what, path, hint } => {
                write!(f, "{}: no {what} here; {hint}", named(path))
            }
            Self::Io { doing, path, source } => {
                write!(f, "{}: {doing} failed: {source}", named(path))
            }
            // a row's own words stay within the line
            Self::Row { path, line, problem } => {
                write!(f, "{}:{line}: {}", named(path), Word(problem))
            }
            Self::File { path, problem } => write!(f, "{}: {problem}", named(path)),
            Self::Weights { path, problems } => {
                write!(f, "{}: the weights do not fit config.json:", named(path))?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {}", Word(problem)))
            }
            Self::Invalid { what, problem } => write!(f, "{}: {problem}", Word(what)),
            Self::NotANumber { what } => write!(
                f,
                "{} is not a number; the weights are broken, get or train them again",
                Word(what)
            ),
            Self::Training { step, problem } => {
                write!(f, "training stopped at step {step}: {problem}")
            }
            Self::Interrupted => {
                f.write_str("interrupted; what was computed is saved: run it again to resume")
            }
            Self::Device { device, problem } => write!(f, "device {}: {problem}", Word(device)),
            Self::Busy { path, holder } => write!(
                f,
                "{}: another process ({}) is working here; wait for it, or stop it and try again",
                named(path),
                Word(holder)
            ),
            Self::Library { doing, source } => write!(f, "{doing}: {source}"),
            Self::Tensor(source) => write!(f, "tensor operation: {source}"),
        }
    }
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
