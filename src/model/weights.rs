//! Reading `model.safetensors`, whole or in shards.

use crate::error::{Error, Result};
use crate::files::read_text;
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All tensors of a checkpoint by name, on `device`, those that hold plain numbers (f64, f32, bf16, f16) as `dtype`.
///
/// Shorter numbers mean nothing without the scales that go with them, so they stay as they are and [`Shelf::take`] refuses them.
pub(super) fn read(
    folder: &Path,
    device: &Device,
    dtype: DType,
) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for file in files(folder)? {
        for (name, tensor) in read_file(&file, device)? {
            let plain = [DType::F64, DType::F32, DType::BF16, DType::F16];
            let tensor =
                if plain.contains(&tensor.dtype()) { tensor.to_dtype(dtype)? } else { tensor };
            tensors.insert(name, tensor);
        }
    }
    Ok(tensors)
}

/// The tensors of one safetensors file as they are stored.
pub(crate) fn read_file(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).map_err(Error::io("reading the weights", path))?;
    let broken = |e: &dyn std::fmt::Display| {
        Error::file(path, format!("not a whole safetensors file ({e}); copy or download it again"))
    };
    match candle_core::safetensors::load_buffer(&bytes, device) {
        Ok(tensors) => Ok(tensors.into_iter().collect()),
        Err(candle_core::Error::UnsupportedSafeTensorDtype(dtype)) => {
            let problem = format!(
                "holds {dtype:?}; quantised weights are not known here, take the model in bf16, f16 or f32"
            );
            Err(Error::file(path, problem))
        }
        Err(error) => Err(broken(&error)),
    }
}

/// The weight files of a folder: one, or the shards that the index names.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let whole = folder.join("model.safetensors");
    if whole.exists() {
        return Ok(vec![whole]);
    }
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        let hint = "a model folder holds model.safetensors, or its shards with model.safetensors.index.json";
        return Err(Error::missing("weights", folder, hint));
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = read_text(&index, "reading the index of the weights")?;
    let parsed: Index = serde_json::from_str(&text)
        .map_err(|e| Error::file(&index, format!("not an index of shards: {e}")))?;
    let mut shards: Vec<PathBuf> =
        parsed.weight_map.values().map(|name| folder.join(name)).collect();
    shards.sort();
    shards.dedup();
    match shards.iter().find(|shard| !shard.exists()) {
        Some(lost) => Err(Error::missing(
            "shard",
            lost,
            "the index names it; copy or download the folder again",
        )),
        None => Ok(shards),
    }
}

/// Takes tensors out of a checkpoint by name and shape, and lists every misfit at once.
pub(super) struct Shelf {
    tensors: BTreeMap<String, Tensor>,
    problems: Vec<String>,
    device: Device,
    dtype: DType,
}

impl Shelf {
    pub fn new(tensors: BTreeMap<String, Tensor>, device: &Device, dtype: DType) -> Self {
        Self { tensors, problems: Vec::new(), device: device.clone(), dtype }
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor called `name`; where it is missing or misshapen a placeholder, and a problem is noted.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        match self.tensors.remove(name) {
            Some(tensor) if tensor.dims() == shape && tensor.dtype() == self.dtype => {
                return Ok(tensor);
            }
            Some(tensor) if tensor.dims() == shape => self.problems.push(format!(
                "{name}: holds {:?}, needed f32, bf16 or f16; quantised weights are not known here",
                tensor.dtype()
            )),
            Some(tensor) => {
                self.problems.push(format!(
                    "{name}: shape {:?}, config.json needs {shape:?}",
                    tensor.dims()
                ));
            }
            None => self.problems.push(format!("{name}: missing")),
        }
        Ok(Tensor::zeros((), self.dtype, &self.device)?)
    }

    pub fn drop_if_present(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// All is well, or every problem in one error.
    pub fn finish(mut self, folder: &Path) -> Result<()> {
        // old checkpoints carry the rotary frequencies, which the config gives
        let left = self.tensors.into_keys().filter(|name| !name.ends_with("rotary_emb.inv_freq"));
        self.problems.extend(left.map(|name| format!("{name}: not part of this architecture")));
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::Weights { path: folder.to_path_buf(), problems: self.problems })
    }
}
