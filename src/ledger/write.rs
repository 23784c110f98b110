use super::{BLOCK, Origin, Rows, frame};
use crate::error::{Error, Result};
use crate::store::{Output, write_atomic_with};
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{DataFrame, KeyValueMetadata, ParquetReader, ParquetWriter, SerReader};
use polars_parquet::write::KeyValue;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Rows of a file, where a ledger has several.
const FILE: usize = 8 * BLOCK;

/// The key of the origin in a file's metadata.
pub(super) const KEY: &str = "unforget";

/// What a folder that is a ledger is called in its mark.
pub(super) const KIND: &str = "ledger";

/// Writes a ledger: `out` is one file if its name ends with `.parquet`, else a folder of files of about a million rows. `add` is
/// given the writer and adds all rows. Nothing has changed at `out` if that fails.
///
/// # Errors
/// Those of `add`, when `out` cannot be written, and as [`Output::make`] when it is a folder that holds other things than an earlier ledger.
pub fn write(
    out: &Path,
    origin: &Origin,
    add: impl FnOnce(&mut Writer<'_>) -> Result<()>,
) -> Result<()> {
    let output = output("out", out);
    if out.extension().is_some_and(|ending| ending == "parquet") {
        let file = |file: &mut BufWriter<File>| {
            let mut writer = Writer::new(origin, Place::One(file))?;
            add(&mut writer)?;
            writer.finish()
        };
        return output.write(|| write_atomic_with(out, file));
    }
    output.make(|folder| {
        let mut writer = Writer::new(origin, Place::Folder(folder.to_path_buf()))?;
        add(&mut writer)?;
        writer.finish()
    })
}

/// The place that `option` names for a ledger. An earlier one is known by its files' metadata.
pub fn output(option: &str, out: &Path) -> Output {
    let ours = |path: &Path| {
        let Ok(file) = File::open(path) else { return false };
        ParquetReader::new(file).get_metadata().is_ok_and(|metadata| {
            metadata.key_value_metadata().iter().flatten().any(|pair| pair.key == KEY)
        })
    };
    if out.extension().is_some_and(|ending| ending == "parquet") {
        return Output::file(option, out).older(ours(out));
    }
    let mut files = std::fs::read_dir(out).into_iter().flatten();
    let older = files.all(|file| file.is_ok_and(|file| ours(&file.path())));
    Output::folder(option, out, KIND).older(older)
}

/// A ledger under way. Made by [`write()`].
pub struct Writer<'a> {
    origin: String,
    place: Place<'a>,
    open: Option<Open>,
    files: usize,
}

enum Place<'a> {
    One(&'a mut BufWriter<File>),
    Folder(PathBuf),
}

/// A file that is being written.
struct Open {
    path: Option<PathBuf>,
    writer: BatchedWriter<Box<dyn Write + Send>>,
    rows: usize,
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<'a> Writer<'a> {
    fn new(origin: &Origin, place: Place<'a>) -> Result<Self> {
        Ok(Self {
            origin: serde_json::to_string(origin)
                .map_err(Error::library("packing a ledger's origin"))?,
            place,
            open: None,
            files: 0,
        })
    }

    /// Adds rows; may be called as often as there is more.
    ///
    /// # Errors
    /// Those of [`frame`], and when they cannot be written.
    pub fn add(&mut self, rows: &Rows<'_>) -> Result<()> {
        rows.check()?;
        let (mut from, mut to, mut tokens) = (0, 0, 0);
        while from < rows.sequences.len() {
            let fits = |to: usize| {
                rows.sequences.get(to).filter(|next| to == from || tokens + next.len() <= BLOCK)
            };
            if let Some(next) = fits(to) {
                tokens += next.len();
                to += 1;
                continue;
            }
            self.block(&frame(&rows.part(from..to))?)?;
            (from, tokens) = (to, 0);
        }
        Ok(())
    }

    fn block(&mut self, block: &DataFrame) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| open.rows + block.height() > FILE) {
            self.close()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let open = self.begin(block)?;
                self.open.insert(open)
            }
        };
        open.rows += block.height();
        open.writer.write_batch(block).map_err(Error::library("writing the ledger"))
    }

    fn begin(&mut self, first: &DataFrame) -> Result<Open> {
        let (path, to): (Option<PathBuf>, Box<dyn Write + Send>) = match &mut self.place {
            Place::One(file) => {
                let file = file.get_ref().try_clone();
                let file = file.map_err(Error::library("writing the ledger"))?;
                (None, Box::new(BufWriter::new(file)))
            }
            Place::Folder(folder) => {
                let path = folder.join(format!("tokens-{:05}.parquet", self.files));
                let file = File::create(&path).map_err(Error::io("writing the ledger", &path))?;
                (Some(path), Box::new(BufWriter::new(file)))
            }
        };
        self.files += 1;
        let origin = KeyValue { key: KEY.into(), value: Some(self.origin.clone()) };
        let writer = ParquetWriter::new(to)
            .with_row_group_size(Some(2 * BLOCK))
            .with_key_value_metadata(Some(KeyValueMetadata::Static(vec![origin])))
            .batched(first.schema())
            .map_err(Error::library("beginning the ledger"))?;
        Ok(Open { path, writer, rows: 0 })
    }

    fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let done = open.writer.finish();
        done.map_err(|error| match open.path {
            Some(path) => Error::file(path, format!("the ledger cannot be written: {error}")),
            None => Error::library("writing the ledger")(error),
        })?;
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        if self.files == 0 {
            return Err(Error::invalid("ledger", "there is no token to write down"));
        }
        self.close()
    }
}
