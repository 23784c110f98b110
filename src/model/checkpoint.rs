use super::config::{GenerationConfig, ModelConfig};
use super::decoder::Decoder;
use super::weights::{self, Shelf};
use crate::error::{Error, Result};
use crate::hub;
use crate::progress::Progress;
use crate::store::check_written;
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A model on disk: a folder in Hugging Face layout, perhaps with an adapter's folder on top.
///
/// It is a path, not weights: plain data that can be kept between the cells of a notebook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Folder with `config.json`, the weights and the tokenizer.
    pub model: PathBuf,
    /// Folder with `adapter_config.json` and `adapter_model.safetensors`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// How much of the adapter's change of the weights is put on; all of it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_scale: Option<AdapterScale>,
}

/// A factor `α` of an adapter's change of the weights: the model has `θ_base + α (θ_tuned − θ_base)`, so that 0 is the base and 1 the tuned
/// model (WiSE-FT, arXiv 2109.01903). Beyond 1 it goes further than the training did.
///
/// With LoRA that is `α` times its own scale. DoRA also changes the rows' lengths, so the weights themselves are interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct AdapterScale(f64);

impl AdapterScale {
    /// The factor `scale`.
    ///
    /// # Errors
    /// When it is not a number of at least 0.
    pub fn new(scale: f64) -> Result<Self> {
        match scale.is_finite() && scale >= 0.0 {
            // no negative zero, so that equal factors have equal bits
            true => Ok(Self(scale + 0.0)),
            false => Err(Error::invalid(
                "adapter_scale",
                format!(
                    "must be a number of at least 0, got {scale}; 0 is the base model, 1 the tuned one"
                ),
            )),
        }
    }

    /// The factor.
    pub fn get(self) -> f64 {
        self.0
    }
}

// no factor is NaN
impl Eq for AdapterScale {}

impl std::hash::Hash for AdapterScale {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl TryFrom<f64> for AdapterScale {
    type Error = Error;
    fn try_from(scale: f64) -> Result<Self> {
        Self::new(scale)
    }
}

impl From<AdapterScale> for f64 {
    fn from(scale: AdapterScale) -> Self {
        scale.0
    }
}

/// A checkpoint's decoder, with the ids at which it stops.
#[derive(Debug)]
pub struct Model {
    /// The weights.
    pub decoder: Decoder,
    /// End-of-text and end-of-turn ids.
    pub stop_ids: Vec<u32>,
}

impl Checkpoint {
    /// The model in `folder`; says what is missing if it is not one.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let model = folder.into();
        if !model.is_dir() {
            let hint =
                "give a local folder in Hugging Face layout, or owner/name for one of the hub";
            return Err(Error::missing("model folder", model, hint));
        }
        for file in ["config.json", "tokenizer.json"] {
            if !model.join(file).is_file() {
                let hint = "a model folder holds config.json, model.safetensors and tokenizer.json";
                return Err(Error::missing(file, model, hint));
            }
        }
        Ok(Self { model, adapter: None, adapter_scale: None })
    }

    /// The model that `name` means: a local folder, or `owner/name` of the Hugging Face hub, see [`crate::hub`].
    pub fn named(name: &str) -> Result<Self> {
        Self::open(hub::folder(name, &Progress::on_stderr())?)
    }

    /// The same model with an adapter on top.
    pub fn with_adapter(&self, folder: impl Into<PathBuf>) -> Self {
        Self { adapter: Some(folder.into()), adapter_scale: None, ..self.clone() }
    }

    /// The same checkpoint with `scale` of its adapter's change of the weights: 0 is the model without it.
    ///
    /// # Errors
    /// When there is no adapter, or `scale` is not a number of at least 0.
    pub fn scaled(&self, scale: f64) -> Result<Self> {
        let scale = AdapterScale::new(scale)?;
        if self.adapter.is_none() {
            let problem = "there is no adapter to scale; name one";
            return Err(Error::invalid("adapter_scale", problem));
        }
        let mut scaled = self.clone();
        // the two ends are what they are without a scale, and are found in the store under their own names
        scaled.adapter_scale = Some(scale).filter(|scale| scale.get() != 1.0);
        if scale.get() == 0.0 {
            (scaled.adapter, scaled.adapter_scale) = (None, None);
        }
        Ok(scaled)
    }

    /// Sizes of the model.
    pub fn config(&self) -> Result<ModelConfig> {
        ModelConfig::read(&self.model.join("config.json"))
    }

    /// Files that decide what the model computes, for fingerprints.
    pub fn weight_files(&self) -> Result<Vec<PathBuf>> {
        let mut files = weights::files(&self.model)?;
        files.push(self.model.join("config.json"));
        let index = self.model.join("model.safetensors.index.json");
        if !self.model.join("model.safetensors").exists() && index.is_file() {
            files.push(index);
        }
        if let Some(adapter) = &self.adapter {
            files.push(adapter.join("adapter_config.json"));
            files.push(adapter.join("adapter_model.safetensors"));
        }
        Ok(files)
    }

    /// Reads the weights without the adapter: f32 on a CPU, bf16 elsewhere.
    pub fn load_base(&self, device: &Device) -> Result<Model> {
        check_written(&self.model)?;
        let config = self.config()?;
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        let mut shelf = Shelf::new(weights::read(&self.model, device, dtype)?, device, dtype);
        let decoder = Decoder::load(&mut shelf, &config, device)?;
        shelf.finish(&self.model)?;
        let mut stop_ids = Vec::new();
        for file in ["generation_config.json", "config.json"] {
            let path = self.model.join(file);
            for id in GenerationConfig::stop_ids(&path)? {
                if id as usize >= config.vocab_size {
                    let size = config.vocab_size;
                    let problem = format!("stop id {id} is outside the vocabulary of {size}");
                    return Err(Error::file(path, problem));
                }
                if !stop_ids.contains(&id) {
                    stop_ids.push(id);
                }
            }
        }
        Ok(Model { decoder, stop_ids })
    }
}

/// Writes a whole model folder: config, weights in one file, stop ids. The tokenizer is copied by the caller.
pub fn write_model(folder: &Path, decoder: &Decoder, stop_ids: &[u32]) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("making the model's folder", folder))?;
    let mut config = decoder.config.to_json();
    config["eos_token_id"] = serde_json::json!(stop_ids);
    let json = |name: &str, value: &serde_json::Value| {
        let path = folder.join(name);
        let text = serde_json::to_string_pretty(value).expect("a JSON value can be written");
        std::fs::write(&path, text + "\n").map_err(Error::io("writing the model", &path))
    };
    json("config.json", &config)?;
    json(
        "generation_config.json",
        &serde_json::json!({"eos_token_id": stop_ids, "do_sample": false}),
    )?;
    write_tensors(&folder.join("model.safetensors"), &decoder.tensors()?)
}

/// Writes tensors as a safetensors file, marked as PyTorch's so that transformers and PEFT read it.
pub(crate) fn write_tensors(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(Error::library("packing the weights"))?;
    std::fs::write(path, bytes).map_err(Error::io("writing the weights", path))
}
