//! Safetensors files read and written one tensor at a time, so that a model larger than the memory can be rewritten.

use crate::error::{Error, Result};
use crate::store::check_written;
use candle_core::{DType, Device, Tensor};
use safetensors::View;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The tensors of some safetensors files, left where they are.
pub(super) struct Stored {
    files: Vec<PathBuf>,
    entries: BTreeMap<String, Entry>,
}

/// One tensor of a file.
#[derive(Clone)]
pub(super) struct Entry {
    /// As the format writes it, such as `BF16`.
    pub dtype: String,
    pub shape: Vec<usize>,
    file: usize,
    /// Place and length in the file, in bytes.
    start: u64,
    length: u64,
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
        let mut entries = BTreeMap::new();
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
                entries.insert(name, entry);
            }
        }
        Ok(Self { files: files.to_vec(), entries })
    }

    /// All tensors by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The tensor called `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Its bytes as they are stored.
    pub fn bytes(&self, entry: &Entry) -> Result<Vec<u8>> {
        let path = &self.files[entry.file];
        let mut file = File::open(path).map_err(Error::io("reading the weights", path))?;
        let mut bytes = vec![0; entry.length as usize];
        file.seek(SeekFrom::Start(entry.start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(Error::io("reading the weights", path))?;
        Ok(bytes)
    }

    /// Its numbers in f32.
    pub fn tensor(&self, name: &str, entry: &Entry) -> Result<Tensor> {
        let Some(dtype) = float(&entry.dtype) else {
            let problem = format!(
                "{name} holds {}; an adapter can be folded into floating-point weights only, so take the model before it was quantised",
                entry.dtype
            );
            return Err(Error::file(&self.files[entry.file], problem));
        };
        let bytes = self.bytes(entry)?;
        let tensor = Tensor::from_raw_buffer(&bytes, dtype, &entry.shape, &Device::Cpu)?;
        Ok(tensor.to_dtype(DType::F32)?)
    }
}

/// `tensor`, rounded to the format's `dtype`, as bytes.
pub(super) fn bytes_of(tensor: &Tensor, dtype: &str) -> Result<Vec<u8>> {
    let tensor = match float(dtype) {
        Some(dtype) => tensor.to_dtype(dtype)?,
        None => tensor.clone(),
    };
    Ok(tensor.contiguous()?.data().into_owned())
}

fn float(dtype: &str) -> Option<DType> {
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
    let broken = || Error::file(path, "not a whole safetensors file; copy or download it again");
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
        headers.push((name, (header, 8 + length)));
    }
    Ok(headers)
}

/// A tensor that is to be written.
pub(super) struct Planned {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Length in bytes.
    pub length: u64,
}

impl Planned {
    /// The same name, type and shape as in `entry`.
    pub fn like(name: &str, entry: &Entry) -> Self {
        Self {
            name: name.to_string(),
            dtype: entry.dtype.clone(),
            shape: entry.shape.clone(),
            length: entry.length,
        }
    }
}

/// Writes `model.safetensors` into `folder`, or shards of at most `limit` bytes with their index, as transformers names them. `bytes` gives
/// the bytes of each tensor when it is its turn. Returns the number of files.
pub(super) fn write(
    folder: &Path,
    mut tensors: Vec<Planned>,
    limit: u64,
    mut bytes: impl FnMut(&str) -> Result<Vec<u8>>,
) -> Result<usize> {
    tensors.sort_by(|a, b| by_numbers(&a.name).cmp(&by_numbers(&b.name)));
    let total: u64 = tensors.iter().map(|tensor| tensor.length).sum();
    let mut shards: Vec<Vec<Planned>> = Vec::new();
    let mut filled = 0;
    for tensor in tensors {
        if shards.is_empty() || filled + tensor.length > limit && filled > 0 {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += tensor.length;
        let last = shards.len() - 1;
        shards[last].push(tensor);
    }
    let count = shards.len();
    let mut places = BTreeMap::new();
    for (at, mut shard) in shards.into_iter().enumerate() {
        let name = match count {
            1 => "model.safetensors".to_string(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", at + 1),
        };
        // wide types first, so that every tensor starts at a multiple of its width
        shard.sort_by_key(|tensor| std::cmp::Reverse(width(tensor)));
        write_file(&folder.join(&name), &shard, &mut bytes)?;
        for tensor in shard {
            places.insert(tensor.name, name.clone());
        }
    }
    if count > 1 {
        let path = folder.join("model.safetensors.index.json");
        let index = json!({"metadata": {"total_size": total}, "weight_map": places});
        let text = serde_json::to_string_pretty(&index)
            .map_err(Error::library("writing the index of the weights"))?;
        std::fs::write(&path, text + "\n").map_err(Error::io("writing the weights", &path))?;
    }
    Ok(count)
}

/// Orders `layers.2` before `layers.10`.
fn by_numbers(name: &str) -> Vec<(u64, &str)> {
    let parts = name.split('.');
    parts.map(|part| (part.parse().unwrap_or(u64::MAX), part)).collect()
}

fn width(tensor: &Planned) -> u64 {
    let count: usize = tensor.shape.iter().product();
    tensor.length / (count.max(1) as u64)
}

fn write_file(
    path: &Path,
    tensors: &[Planned],
    bytes: &mut impl FnMut(&str) -> Result<Vec<u8>>,
) -> Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut at = 0;
    for tensor in tensors {
        let end = at + tensor.length;
        let entry =
            json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [at, end]});
        header.insert(tensor.name.clone(), entry);
        at = end;
    }
    let mut text = Value::Object(header).to_string();
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let file = File::create(path).map_err(Error::io("writing the weights", path))?;
    let mut file = BufWriter::new(file);
    let mut put =
        |bytes: &[u8]| file.write_all(bytes).map_err(Error::io("writing the weights", path));
    put(&(text.len() as u64).to_le_bytes())?;
    put(text.as_bytes())?;
    for tensor in tensors {
        let bytes = bytes(&tensor.name)?;
        if bytes.len() as u64 != tensor.length {
            let problem = format!("{} has another size than it was planned for", tensor.name);
            return Err(Error::file(path, problem));
        }
        put(&bytes)?;
    }
    file.flush().map_err(Error::io("writing the weights", path))
}
