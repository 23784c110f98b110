//! Safetensors files written one tensor at a time, so that a model larger than the memory can be rewritten.

use crate::error::{Error, Result};
use crate::model::{Entry, float};
use candle_core::Tensor;
use safetensors::View;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// `tensor`, rounded to the format's `dtype`, as bytes.
pub(super) fn bytes_of(tensor: &Tensor, dtype: &str) -> Result<Vec<u8>> {
    let tensor = match float(dtype) {
        Some(dtype) => tensor.to_dtype(dtype)?,
        None => tensor.clone(),
    };
    Ok(tensor.contiguous()?.data().into_owned())
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
