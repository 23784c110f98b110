//! Tables of results as they are kept beside the chapters.

use crate::error::{Error, Result};
use polars::prelude::{Column, CsvReadOptions, DataFrame, DataType, SerReader};
use std::path::Path;

/// A table that a command wrote, read back from its CSV file.
pub(super) struct Kept {
    name: String,
    frame: DataFrame,
}

impl Kept {
    /// The table of a file.
    ///
    /// # Errors
    /// The file is missing or no table.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let options = CsvReadOptions::default().with_has_header(true);
        let frame = options
            .try_into_reader_with_file_path(Some(path.to_path_buf()))
            .and_then(|reader| reader.finish())
            .map_err(|problem| Error::invalid(&name, problem.to_string()))?;
        Ok(Self { name, frame })
    }

    fn column(&self, name: &str, kind: &DataType) -> Result<Column> {
        let column = self.frame.column(name).and_then(|column| column.cast(kind));
        column.map_err(|problem| Error::invalid(&self.name, problem.to_string()))
    }

    /// A column as text; a missing word is an empty one.
    ///
    /// # Errors
    /// There is no such column.
    pub(super) fn words(&self, name: &str) -> Result<Vec<String>> {
        let column = self.column(name, &DataType::String)?;
        let words = column.str().map_err(|e| Error::invalid(&self.name, e.to_string()))?;
        Ok(words.iter().map(|word| word.unwrap_or_default().to_owned()).collect())
    }

    /// A column as numbers.
    ///
    /// # Errors
    /// There is no such column, or it holds no numbers.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<Option<f64>>> {
        let column = self.column(name, &DataType::Float64)?;
        let numbers = column.f64().map_err(|e| Error::invalid(&self.name, e.to_string()))?;
        Ok(numbers.to_vec())
    }
}
