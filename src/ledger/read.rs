use super::Origin;
use super::write::{KEY, KIND};
use crate::error::{Error, Result};
use crate::files::packed_at;
use crate::select::{LossMask, ModelSignals, Signals, TokenClass};
use crate::store::{check_marked, check_written, same};
use polars::prelude::{DataFrame, FileMetadataRef, ParquetReader, SerReader};
use std::fs::File;
use std::path::{Path, PathBuf};

const WAY_OUT: &str = "write it again with `unforget perplexity --out`";

/// A ledger on disk, of which no row is read yet.
#[derive(Debug)]
pub struct Ledger {
    files: Vec<Part>,
}

/// One file of it.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    metadata: FileMetadataRef,
    origin: Origin,
    columns: Vec<String>,
}

impl Ledger {
    /// The ledgers at `paths`, files or folders of files, taken together. They must be of one model, tokenizer and template; their data may be
    /// several.
    ///
    /// # Errors
    /// When a file is named twice or is no ledger of this version, when two are of different models, and when a model or data has changed since: see
    /// [`Origin::stale`].
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self> {
        let ledger = Self::read(paths)?;
        let mut seen: Vec<&Origin> = Vec::new();
        for file in &ledger.files {
            if seen.contains(&&file.origin) {
                continue;
            }
            if let Some(changed) = file.origin.stale()? {
                let problem = format!("is stale: {changed}; {WAY_OUT}");
                return Err(Error::file(&file.path, problem));
            }
            seen.push(&file.origin);
        }
        Ok(ledger)
    }

    /// The ledger at `path`, which must be made from `origin`'s weights, tokenizer, template and data; wherever those lay then.
    ///
    /// # Errors
    /// As [`Ledger::open`], but for what is on disk now; and naming what is another one than `origin`'s.
    pub fn made_from(path: &Path, origin: &Origin) -> Result<Self> {
        let ledger = Self::read(&[path])?;
        for file in &ledger.files {
            if let Some(what) = file.origin.differs(origin, &[]) {
                let problem = format!("was made with {what} than those asked for; {WAY_OUT}");
                return Err(Error::file(&file.path, problem));
            }
        }
        Ok(ledger)
    }

    /// Whether it was scored by `origin`'s model, tokenizer and template, whatever reference model was asked beside it.
    pub(super) fn check_scorer(&self, origin: &Origin) -> Result<()> {
        for file in &self.files {
            if let Some(what) = file.origin.differs(origin, &["reference", "data"]) {
                let problem = format!("was made with {what} than those asked for; {WAY_OUT}");
                return Err(Error::file(&file.path, problem));
            }
        }
        Ok(())
    }

    /// Reads what stands at the end of each file.
    fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Self> {
        let mut files: Vec<Part> = Vec::new();
        for path in paths {
            if !check_written(path.as_ref())? {
                check_marked(path.as_ref(), KIND)?;
            }
            for file in list(path.as_ref())? {
                // however it is named: its tokens would be counted twice
                if files.iter().any(|known| same(&known.path, &file)) {
                    let problem = "is named twice; name each ledger once";
                    return Err(Error::file(&file, problem));
                }
                files.push(Part::open(file)?);
            }
        }
        let Some(first) = files.first() else {
            return Err(Error::invalid("ledger", "no file is named"));
        };
        for file in &files {
            if let Some(what) = first.origin.differs(&file.origin, &["data"]) {
                let problem = format!(
                    "was made with {what} than {}, so the two cannot be taken together; {WAY_OUT}",
                    first.path.display()
                );
                return Err(Error::file(&file.path, problem));
            }
            if file.columns != first.columns {
                let problem = format!("has other columns than {}; {WAY_OUT}", first.path.display());
                return Err(Error::file(&file.path, problem));
            }
        }
        Ok(Self { files })
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Whether there is a column of this name; all files have the same.
    pub fn has(&self, column: &str) -> bool {
        let columns = self.files.first().map(|file| file.columns.as_slice());
        columns.unwrap_or_default().iter().any(|own| own == column)
    }

    /// Gives the rows to `each`, row group by row group, with `columns` alone.
    ///
    /// # Errors
    /// When a file cannot be read or lacks a column, and those of `each`, which are told with the file's name.
    pub fn blocks(
        &self,
        columns: &[&str],
        mut each: impl FnMut(&DataFrame) -> Result<()>,
    ) -> Result<()> {
        for part in &self.files {
            if let Some(missing) =
                columns.iter().find(|name| !part.columns.iter().any(|own| own == *name))
            {
                return Err(Error::file(
                    &part.path,
                    format!("has no column `{missing}`; {WAY_OUT}"),
                ));
            }
            let mut row = 0;
            for group in &part.metadata.row_groups {
                let rows = group.num_rows();
                let mut reader = ParquetReader::new(open(&part.path)?)
                    .with_columns(Some(columns.iter().map(|name| name.to_string()).collect()))
                    .with_slice(Some((row, rows)))
                    .set_rechunk(true);
                reader.set_metadata(part.metadata.clone());
                let block = reader.finish().map_err(|error| unreadable(&part.path, &error))?;
                each(&block).map_err(|error| match error {
                    Error::Invalid { what, problem } => {
                        let problem = format!("{what} (rows from {row} on): {problem}; {WAY_OUT}");
                        Error::file(&part.path, problem)
                    }
                    other => other,
                })?;
                row += rows;
            }
        }
        Ok(())
    }

    /// Each example's name and what is known of its tokens; the scored model is the base. All examples at once: about 30 bytes a token.
    ///
    /// # Errors
    /// As [`Ledger::blocks`], and when a token lacks a value that every token has.
    pub fn signals(&self) -> Result<Vec<(String, Signals)>> {
        let mut columns =
            vec!["example", "position", "role", "class", "log_prob", "entropy", "rank"];
        let compared = self.has("log_prob_reference");
        if compared {
            columns.push("log_prob_reference");
        }
        let mut examples: Vec<(String, Signals, Vec<bool>)> = Vec::new();
        self.blocks(&columns, |block| add_signals(block, compared, &mut examples))?;
        let finish = |(id, signals, completion)| {
            let completion = LossMask::new(completion);
            (id, Signals { completion, ..signals })
        };
        Ok(examples.into_iter().map(finish).collect())
    }
}

impl Part {
    fn open(path: PathBuf) -> Result<Self> {
        let mut reader = ParquetReader::new(open(&path)?);
        let metadata = reader.get_metadata().map_err(|error| unreadable(&path, &error))?.clone();
        let schema = reader.schema().map_err(|error| unreadable(&path, &error))?;
        let pairs = metadata.key_value_metadata().iter().flatten();
        let text = pairs.filter(|pair| pair.key == KEY).find_map(|pair| pair.value.as_deref());
        let Some(text) = text else {
            let problem = format!(
                "does not say what it was made from, as every ledger of this version does; {WAY_OUT}"
            );
            return Err(Error::file(path, problem));
        };
        let origin = Origin::parse(text)
            .map_err(|problem| Error::file(&path, format!("{problem}; {WAY_OUT}")))?;
        Ok(Self {
            columns: schema.iter_names().map(ToString::to_string).collect(),
            path,
            metadata,
            origin,
        })
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(Error::io("reading the ledger", path))
}

fn unreadable(path: &Path, error: &polars::error::PolarsError) -> Error {
    let problem = || format!("not a Parquet file that can be read: {error}");
    Error::file(path, packed_at(path).unwrap_or_else(problem))
}

/// The file itself, or the Parquet files in a folder in the order of their names.
fn list(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let hint = "give a file or folder that `unforget perplexity --out` wrote";
    if !path.is_dir() {
        return Err(Error::missing("ledger", path, hint));
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io("listing", path))? {
        let file = entry.map_err(Error::io("listing", path))?.path();
        if file.extension().is_some_and(|ending| ending == "parquet") {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(Error::missing(
            "ledger",
            path,
            "the folder holds no .parquet file; ".to_owned() + hint,
        )),
        false => Ok(files),
    }
}

/// Adds the rows of a block; the first may go on with the last example of the one before.
fn add_signals(
    block: &DataFrame,
    compared: bool,
    examples: &mut Vec<(String, Signals, Vec<bool>)>,
) -> Result<()> {
    let column =
        |name: &str| block.column(name).map_err(|error| Error::invalid(name, error.to_string()));
    let kind = |name: &'static str| {
        move |_| Error::invalid(format!("column `{name}`"), "is of another type")
    };
    let text = |name: &'static str| column(name)?.str().map_err(kind(name));
    let count = |name: &'static str| column(name)?.u32().map_err(kind(name));
    let number = |name: &'static str| column(name)?.f32().map_err(kind(name));
    let (example, role, class) = (text("example")?, text("role")?, text("class")?);
    let (position, rank) = (count("position")?, count("rank")?);
    let (log_prob, entropy) = (number("log_prob")?, number("entropy")?);
    let reference = compared.then(|| number("log_prob_reference")).transpose()?;
    for row in 0..block.height() {
        let missing = |name: &str| {
            Error::invalid(format!("column `{name}`"), format!("has no value in row {row}"))
        };
        if position.get(row).ok_or_else(|| missing("position"))? == 0 || examples.is_empty() {
            let id = example.get(row).ok_or_else(|| missing("example"))?;
            let signals = Signals {
                base: Some(ModelSignals::default()),
                reference: reference.map(|_| ModelSignals::default()),
                ..Signals::default()
            };
            examples.push((id.to_string(), signals, Vec::new()));
        }
        let (_, signals, completion) = examples.last_mut().ok_or_else(|| missing("position"))?;
        completion.push(role.get(row).ok_or_else(|| missing("role"))? == "completion");
        signals.class.push(class_of(class.get(row).ok_or_else(|| missing("class"))?)?);
        if let Some(base) = &mut signals.base {
            base.log_prob.push(log_prob.get(row));
            base.entropy.push(entropy.get(row));
            base.rank.push(rank.get(row));
        }
        if let (Some(model), Some(column)) = (&mut signals.reference, reference) {
            model.log_prob.push(column.get(row));
        }
    }
    Ok(())
}

pub(super) fn class_of(name: &str) -> Result<TokenClass> {
    let unknown =
        || Error::invalid("column `class`", format!("`{name}` is no class that is known"));
    TokenClass::named(name).ok_or_else(unknown)
}
