//! Safetensors and GGUF files read one tensor at a time.

use crate::error::{Error, Result};
use crate::files::packed_at;
use crate::gguf::{Blocks, Gguf};
use crate::store::check_written;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The tensors of some safetensors files, or of a GGUF file, left where they are.
///
/// Those of a GGUF file appear under the names, and in the types, that they have in a folder: blocks as F16.
pub(crate) struct Stored {
    gguf: Option<Arc<Gguf>>,
    files: Vec<PathBuf>,
    entries: BTreeMap<String, Entry>,
}

/// One tensor of a file.
#[derive(Clone)]
pub(crate) struct Entry {
    /// As the format writes it, such as `BF16`.
    pub dtype: String,
    pub shape: Vec<usize>,
    file: usize,
    /// Place and length in the file, in bytes.
    start: u64,
    pub length: u64,
}

#[derive(Deserialize)]
struct Header {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl Stored {
    /// Reads the headers of `files`.
    pub fn open(files: &[PathBuf]) -> Result<Self> {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        if let [path] = files
            && let Some(gguf) = Gguf::at(path)?
        {
            for (name, shape, kind) in gguf.tensors() {
                let dtype = Gguf::stored_as(kind);
                let width = float(dtype).map_or(4, |dtype| dtype.size_in_bytes());
                let length = (shape.iter().product::<usize>() * width) as u64;
                let (dtype, shape) = (dtype.to_string(), shape.to_vec());
                let entry = Entry { dtype, shape, file: 0, start: 0, length };
                entries.insert(name.to_string(), entry);
            }
            return Ok(Self { gguf: Some(gguf), files: files.to_vec(), entries });
        }
        for (at, path) in files.iter().enumerate() {
            check_written(path)?;
            for (name, header) in headers(path)? {
                let [start, end] = header.0.data_offsets;
                let entry = Entry {
                    dtype: header.0.dtype,
                    shape: header.0.shape,
                    file: at,
                    start: header.1 + start,
                    length: end - start,
                };
                if let Some(other) = entries.get(&name) {
                    let other: &PathBuf = &files[other.file];
                    let problem = format!(
                        "holds {name}, and so does {}; the files do not belong together, copy or download them again",
                        other.display()
                    );
                    return Err(Error::file(path, problem));
                }
                entries.insert(name, entry);
            }
        }
        Ok(Self { gguf: None, files: files.to_vec(), entries })
    }

    /// All tensors by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The tensor called `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The file that holds `entry`.
    pub fn file(&self, entry: &Entry) -> &Path {
        &self.files[entry.file]
    }

    /// The bytes of the tensor called `name` as they are stored; refused if one of its numbers is not finite.
    pub fn bytes(&self, name: &str, entry: &Entry) -> Result<Vec<u8>> {
        let path = self.file(entry);
        let bytes = match (&self.gguf, float(&entry.dtype)) {
            (Some(gguf), Some(dtype)) => {
                let tensor = gguf.tensor_as(name, &Device::Cpu, dtype)?;
                safetensors::View::data(&tensor).into_owned()
            }
            _ => {
                let mut file = File::open(path).map_err(Error::io("reading the weights", path))?;
                let mut bytes = vec![0; entry.length as usize];
                file.seek(SeekFrom::Start(entry.start))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(Error::io("reading the weights", path))?;
                bytes
            }
        };
        match not_finite(&entry.dtype, &entry.shape, &bytes) {
            None => Ok(bytes),
            Some(found) => Err(Error::file(path, format!("{name} {found}, {BROKEN}"))),
        }
    }

    /// The tensor called `name` as it is stored, of a GGUF file in f32; `None` if its type holds no plain numbers.
    pub fn as_stored(&self, name: &str, entry: &Entry) -> Result<Option<Tensor>> {
        match (&self.gguf, float(&entry.dtype)) {
            (Some(gguf), _) => gguf.tensor(name).map(Some),
            (None, None) => Ok(None),
            (None, Some(dtype)) => {
                let bytes = self.bytes(name, entry)?;
                Ok(Some(Tensor::from_raw_buffer(&bytes, dtype, &entry.shape, &Device::Cpu)?))
            }
        }
    }

    /// Whether they are in a GGUF file, whose types here are not those of its blocks.
    pub fn in_blocks(&self) -> bool {
        self.gguf.is_some()
    }

    /// The matrix called `name` in the blocks of a GGUF file; `None` if it is in none.
    pub fn blocks(&self, name: &str) -> Result<Option<Blocks>> {
        match &self.gguf {
            Some(gguf) => gguf.blocks(name),
            None => Ok(None),
        }
    }

    /// Its numbers in f32.
    pub fn tensor(&self, name: &str, entry: &Entry) -> Result<Tensor> {
        let Some(tensor) = self.as_stored(name, entry)? else {
            let problem = format!(
                "{name} holds {}; an adapter can be folded into floating-point weights only, so take the model before it was quantized",
                entry.dtype
            );
            return Err(Error::file(self.file(entry), problem));
        };
        Ok(tensor.to_dtype(DType::F32)?)
    }
}

/// The type of that name in the format, where it holds plain numbers.
pub(crate) fn float(dtype: &str) -> Option<DType> {
    match dtype {
        "F64" => Some(DType::F64),
        "F32" => Some(DType::F32),
        "F16" => Some(DType::F16),
        "BF16" => Some(DType::BF16),
        _ => None,
    }
}

/// The tensors named in the header of `path`, each with the place in the file from which its offsets count.
fn headers(path: &Path) -> Result<Vec<(String, (Header, u64))>> {
    let broken = || {
        let problem = "not a whole safetensors file; copy or download it again";
        Error::file(path, packed_at(path).unwrap_or_else(|| problem.into()))
    };
    let mut file = File::open(path).map_err(Error::io("reading the weights", path))?;
    let size = file.metadata().map_err(Error::io("reading the weights", path))?.len();
    let mut eight = [0; 8];
    file.read_exact(&mut eight).map_err(|_| broken())?;
    let length = u64::from_le_bytes(eight);
    if length.checked_add(8).is_none_or(|start| start > size) {
        return Err(broken());
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(|_| broken())?;
    let fields: Map<String, Value> = serde_json::from_slice(&text).map_err(|_| broken())?;
    let mut headers = Vec::new();
    for (name, value) in fields {
        if name == "__metadata__" {
            continue;
        }
        let header: Header = serde_json::from_value(value).map_err(|_| broken())?;
        let [start, end] = header.data_offsets;
        if start > end || end > size - 8 - length {
            return Err(broken());
        }
        if let Some(width) = float(&header.dtype).map(|dtype| dtype.size_in_bytes()) {
            let count = header.shape.iter().try_fold(width, |a, b| a.checked_mul(*b));
            if count.is_none_or(|count| count as u64 != end - start) {
                return Err(broken());
            }
        }
        headers.push((name, (header, 8 + length)));
    }
    Ok(headers)
}

/// What is to be done about weights that are not finite.
pub(crate) const BROKEN: &str =
    "which is not a number; the weights are broken, get or train them again";

/// The first number that is not finite among `bytes`, which hold a tensor of that type and shape, in words: `holds NaN at [3, 5]`.
/// Types other than those of [`float`] are not looked at.
pub(crate) fn not_finite(dtype: &str, shape: &[usize], bytes: &[u8]) -> Option<String> {
    match dtype {
        "F64" => first(bytes, shape, u64::from_le_bytes, (0x7ff << 52, 1 << 63)),
        "F32" => first(bytes, shape, |b| u32::from_le_bytes(b).into(), (0xff << 23, 1 << 31)),
        "F16" => first(bytes, shape, |b| u16::from_le_bytes(b).into(), (0x1f << 10, 1 << 15)),
        "BF16" => first(bytes, shape, |b| u16::from_le_bytes(b).into(), (0xff << 7, 1 << 15)),
        _ => None,
    }
}

/// The first number whose bits of the exponent are all set.
fn first<const WIDTH: usize>(
    bytes: &[u8],
    shape: &[usize],
    bits: impl Fn([u8; WIDTH]) -> u64 + Sync,
    (exponent, sign): (u64, u64),
) -> Option<String> {
    /// Numbers that are looked at together.
    const BLOCK: usize = 1 << 14;
    let numbers = bytes.as_chunks::<WIDTH>().0;
    let broken = |number: &[u8; WIDTH]| bits(*number) & exponent == exponent;
    // without an early end, so that many are compared at once
    let any = |block: &[[u8; WIDTH]]| block.iter().fold(false, |any, number| any | broken(number));
    let block = numbers.par_chunks(BLOCK).position_first(any)? * BLOCK;
    let at = block + numbers[block..].iter().position(broken)?;
    let number = bits(numbers[at]);
    let value = match (number & (sign - 1) & !exponent == 0, number & sign == 0) {
        (false, _) => "NaN",
        (true, true) => "inf",
        (true, false) => "-inf",
    };
    let mut rest = at;
    let mut place: Vec<usize> = Vec::with_capacity(shape.len());
    for size in shape.iter().rev() {
        place.push(rest % size);
        rest /= size;
    }
    place.reverse();
    Some(format!("holds {value} at {place:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_that_is_not_finite_is_found() {
        let shape = [3, 70_000];
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
                for at in [0, 1, 70_001, 209_999] {
                    let mut numbers = vec![-1.5f64; 210_000];
                    let bytes = |numbers: &[f64]| {
                        let tensor = Tensor::from_slice(numbers, &shape[..], &Device::Cpu).unwrap();
                        let tensor = tensor.to_dtype(dtype).unwrap();
                        safetensors::View::data(&tensor).into_owned()
                    };
                    let name = dtype.as_str().to_uppercase();
                    assert_eq!(not_finite(&name, &shape, &bytes(&numbers)), None);
                    numbers[at] = value;
                    let found = not_finite(&name, &shape, &bytes(&numbers));
                    let place = [at / 70_000, at % 70_000];
                    assert_eq!(found, Some(format!("holds {value} at {place:?}")), "{name}");
                }
            }
        }
    }
}
