//! The header of a file: metadata, and where each tensor lies.

use super::kind::Kind;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// What stands before the tensors.
#[derive(Debug)]
pub(super) struct Header {
    metadata: BTreeMap<String, Value>,
    pub tensors: BTreeMap<String, TensorAt>,
    /// Where the tensors begin.
    pub data: u64,
}

/// A tensor and its place.
#[derive(Debug)]
pub(super) struct TensorAt {
    pub kind: Kind,
    /// The outermost dimension first; the file has it last.
    pub shape: Vec<usize>,
    /// From [`Header::data`] on.
    pub offset: u64,
    pub bytes: usize,
}

/// A value of the metadata.
#[derive(Debug, PartialEq)]
enum Value {
    Whole(i128),
    Real(f64),
    Bool(bool),
    Text(String),
    /// Numbers or truth values as they are stored, so that they take no more than in the file.
    Numbers {
        kind: u32,
        bytes: Vec<u8>,
    },
    /// Texts, each behind its length.
    Texts {
        count: usize,
        bytes: Vec<u8>,
    },
}

type Read_<T> = std::result::Result<T, String>;

/// What is left of the file.
struct Source {
    file: BufReader<File>,
    at: u64,
    size: u64,
}

const CUT: &str = "the file is cut off, or its header is broken; copy, download or make it again";

impl Source {
    fn left(&self) -> u64 {
        self.size - self.at
    }

    /// The next `count` bytes, which the file must have.
    fn take(&mut self, count: u64) -> Read_<Vec<u8>> {
        if count > self.left() {
            return Err(format!(
                "needs {count} bytes from byte {} on and has {}: {CUT}",
                self.at,
                self.left()
            ));
        }
        let count = usize::try_from(count).map_err(|_| CUT.to_string())?;
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes).map_err(|error| format!("{error}: {CUT}"))?;
        self.at += count as u64;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Read_<[u8; N]> {
        let mut bytes = [0; N];
        if N as u64 > self.left() {
            return Err(format!("ends at byte {}: {CUT}", self.size));
        }
        self.file.read_exact(&mut bytes).map_err(|error| format!("{error}: {CUT}"))?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Read_<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Read_<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Read_<String> {
        let count = self.u64()?;
        let mut bytes = self.take(count)?;
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(lossy(bytes))
    }

    fn value(&mut self, key: &str) -> Read_<Value> {
        let kind = self.u32()?;
        match kind {
            8 => self.text().map(Value::Text),
            9 => self.values(key),
            _ => {
                let width = width(kind).ok_or_else(|| {
                    format!("{key} has a value of kind {kind}, which GGUF does not have")
                })?;
                let bytes = self.take(width as u64)?;
                number(kind, &bytes)
                    .ok_or_else(|| format!("{key} is to be true or false, and is {}", bytes[0]))
            }
        }
    }

    fn values(&mut self, key: &str) -> Read_<Value> {
        let (kind, count) = (self.u32()?, self.u64()?);
        if kind == 8 {
            if count.saturating_mul(8) > self.left() {
                return Err(format!("{key} is to have {count} texts: {CUT}"));
            }
            let mut bytes = Vec::new();
            for _ in 0..count {
                let length = self.array::<8>()?;
                bytes.extend(length);
                bytes.extend(self.take(u64::from_le_bytes(length))?);
            }
            return Ok(Value::Texts { count: count as usize, bytes });
        }
        let Some(width) = width(kind) else {
            return Err(format!("{key} is a list of kind {kind}, which is not known here"));
        };
        let bytes = self.take(count.saturating_mul(width as u64))?;
        Ok(Value::Numbers { kind, bytes })
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Bytes of a number or truth value of that kind.
fn width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// The value of that kind in `bytes`, which have its width.
fn number(kind: u32, bytes: &[u8]) -> Option<Value> {
    let mut eight = [0; 8];
    eight[..bytes.len()].copy_from_slice(bytes);
    let whole = u64::from_le_bytes(eight);
    Some(match kind {
        1 => Value::Whole((whole as i8).into()),
        3 => Value::Whole((whole as i16).into()),
        5 => Value::Whole((whole as i32).into()),
        11 => Value::Whole((whole as i64).into()),
        6 => Value::Real(shortest(f32::from_bits(whole as u32))),
        12 => Value::Real(f64::from_bits(whole)),
        7 => match whole {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            _ => return None,
        },
        _ => Value::Whole(whole.into()),
    })
}

/// The number that is written shortest among those that are `number` in f32: 1e-6, not 9.999999974752427e-7.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

impl Header {
    /// Reads the header of `path`. Nothing is taken that is larger than the file.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("reading the model", path))?;
        let size = file.metadata().map_err(Error::io("reading the model", path))?.len();
        let source = Source { file: BufReader::with_capacity(1 << 16, file), at: 0, size };
        Self::parse(source).map_err(|problem| Error::file(path, problem))
    }

    fn parse(mut source: Source) -> Read_<Self> {
        if &source.array::<4>()? != super::MAGIC {
            return Err("is no GGUF file".into());
        }
        match source.u32()? {
            2 | 3 => {}
            1 => return Err("is GGUF of version 1, which is not read here; make it again with a llama.cpp of today".into()),
            version if version.swap_bytes() < 16 => {
                return Err("is a big-endian GGUF, which is not read here; convert it: gguf-convert-endian FILE little".into());
            }
            version => return Err(format!("is GGUF of version {version}, which is not known here; known: 2, 3")),
        }
        let (tensors, values) = (source.u64()?, source.u64()?);
        let least = tensors.saturating_mul(24).saturating_add(values.saturating_mul(13));
        if least > source.left() {
            return Err(format!("is to have {tensors} tensors and {values} values: {CUT}"));
        }
        let mut metadata = BTreeMap::new();
        for _ in 0..values {
            let key = source.text()?;
            let value = source.value(&key)?;
            if metadata.contains_key(&key) {
                return Err(format!("has {key} twice"));
            }
            metadata.insert(key, value);
        }
        let mut header = Self { metadata, tensors: BTreeMap::new(), data: 0 };
        if header.size("split.count")?.is_some_and(|count| count > 1) {
            return Err("is one of several parts of a model; join them first: llama-gguf-split --merge FIRST-PART OUT.gguf".into());
        }
        let alignment = header.size("general.alignment")?.unwrap_or(32);
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return Err(format!(
                "general.alignment must be a power of 2 up to 2^20, and is {alignment}"
            ));
        }
        let mut others: Vec<(String, String)> = Vec::new();
        for _ in 0..tensors {
            let name = source.text()?;
            let count = source.u32()?;
            if !(1..=4).contains(&count) {
                return Err(format!("{name} has {count} dimensions; 1 to 4 are known"));
            }
            let mut shape = Vec::new();
            for _ in 0..count {
                let size = usize::try_from(source.u64()?).ok().filter(|size| *size > 0);
                shape.push(size.ok_or_else(|| format!("{name} has a dimension that is no size"))?);
            }
            let row = shape[0];
            shape.reverse();
            let kind = Kind::numbered(source.u32()?);
            let offset = source.u64()?;
            let kind = match kind {
                Ok(kind) => kind,
                Err(other) => {
                    others.push((name, other));
                    continue;
                }
            };
            if !offset.is_multiple_of(alignment) {
                return Err(format!(
                    "{name} begins at byte {offset}, which is no multiple of {alignment}"
                ));
            }
            if !row.is_multiple_of(kind.block) {
                return Err(format!(
                    "{name} has rows of {row} numbers, which blocks of {} ({}) do not fill",
                    kind.block, kind.name
                ));
            }
            let numbers = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
            let bytes = numbers.and_then(|count| (count / kind.block).checked_mul(kind.bytes));
            let Some(bytes) = bytes.filter(|bytes| *bytes as u64 <= source.size) else {
                return Err(format!("{name} of shape {shape:?} is larger than the file: {CUT}"));
            };
            let entry = TensorAt { kind, shape, offset, bytes };
            if header.tensors.insert(name.clone(), entry).is_some() {
                return Err(format!("has {name} twice"));
            }
        }
        if let [(name, other), more @ ..] = others.as_slice() {
            let more = match more.len() {
                0 => String::new(),
                count => format!(" and {count} more tensors of such kinds"),
            };
            return Err(format!(
                "{name} is of kind {other}{more}, which is not read here; take a file with {} only",
                Kind::known()
            ));
        }
        header.data = source.at.next_multiple_of(alignment);
        header.check_places(source.size)?;
        Ok(header)
    }

    /// Each tensor lies in the file, and none in another.
    fn check_places(&self, size: u64) -> Read_<()> {
        let mut places: Vec<(u64, u64, &str)> = Vec::new();
        for (name, tensor) in &self.tensors {
            let start = self.data.checked_add(tensor.offset);
            let end = start.and_then(|start| start.checked_add(tensor.bytes as u64));
            match (start, end) {
                (Some(start), Some(end)) if end <= size => places.push((start, end, name)),
                _ => {
                    return Err(format!(
                        "{name} is to be {} bytes from byte {} of the tensors on, beyond the file's {size}: {CUT}",
                        tensor.bytes, tensor.offset
                    ));
                }
            }
        }
        places.sort_unstable();
        match places.windows(2).find(|pair| pair[0].1 > pair[1].0) {
            None => Ok(()),
            Some(pair) => Err(format!("{} and {} lie in each other: {CUT}", pair[0].2, pair[1].2)),
        }
    }

    fn wrong<T>(key: &str, what: &str) -> Read_<T> {
        Err(format!("{key} must be {what}"))
    }

    /// The whole number of at least 0 called `key`.
    pub fn size(&self, key: &str) -> Read_<Option<u64>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Whole(whole)) => match u64::try_from(*whole) {
                Ok(size) if size <= u64::from(u32::MAX) => Ok(Some(size)),
                _ => Self::wrong(key, &format!("a size, and is {whole}")),
            },
            Some(_) => Self::wrong(key, "a whole number"),
        }
    }

    /// The number called `key`.
    pub fn number(&self, key: &str) -> Read_<Option<f64>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Whole(whole)) => Ok(Some(*whole as f64)),
            Some(Value::Real(number)) if number.is_finite() => Ok(Some(*number)),
            Some(_) => Self::wrong(key, "a number"),
        }
    }

    /// The truth value called `key`.
    pub fn flag(&self, key: &str) -> Read_<Option<bool>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Self::wrong(key, "true or false"),
        }
    }

    /// The text called `key`.
    pub fn text(&self, key: &str) -> Read_<Option<&str>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Self::wrong(key, "a text"),
        }
    }

    /// The list of texts called `key`.
    pub fn texts(&self, key: &str) -> Read_<Option<Vec<String>>> {
        let (count, bytes) = match self.metadata.get(key) {
            None => return Ok(None),
            Some(Value::Texts { count, bytes }) => (*count, bytes),
            Some(_) => return Self::wrong(key, "a list of texts"),
        };
        let mut texts = Vec::with_capacity(count);
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let (text, after) = after.split_at(u64::from_le_bytes(*length) as usize);
            texts.push(lossy(text.to_vec()));
            rest = after;
        }
        Ok(Some(texts))
    }

    /// The list of numbers called `key`.
    pub fn numbers(&self, key: &str) -> Read_<Option<Vec<f64>>> {
        let (kind, bytes) = match self.metadata.get(key) {
            None => return Ok(None),
            Some(Value::Numbers { kind, bytes }) => (*kind, bytes),
            Some(_) => return Self::wrong(key, "a list of numbers"),
        };
        let width = width(kind).unwrap_or(1);
        let numbers = bytes.chunks_exact(width).map(|bytes| match (kind, bytes) {
            // as it is stored: these are many
            (6, [a, b, c, d]) => Some(f64::from(f32::from_le_bytes([*a, *b, *c, *d]))),
            _ => match number(kind, bytes)? {
                Value::Whole(whole) => Some(whole as f64),
                Value::Real(number) => Some(number),
                Value::Bool(flag) => Some(f64::from(u8::from(flag))),
                _ => None,
            },
        });
        match numbers.collect::<Option<Vec<f64>>>() {
            Some(numbers) => Ok(Some(numbers)),
            None => Self::wrong(key, "a list of numbers"),
        }
    }

    /// Whether there is a value called `key`.
    pub fn has(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
    }

    /// Whether `key` is a list.
    pub fn is_list(&self, key: &str) -> bool {
        matches!(self.metadata.get(key), Some(Value::Numbers { .. } | Value::Texts { .. }))
    }
}
