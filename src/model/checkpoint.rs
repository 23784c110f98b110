use super::config::ModelConfig;
use super::config_json::GenerationConfig;
use super::decoder::Decoder;
use super::device::Backend;
use super::precision::Precision;
use super::stored::{Stored, not_finite};
use super::weights::{self, Shelf};
use crate::error::{Error, Result};
use crate::files::{packed_at, read_text};
use crate::gguf::Gguf;
use crate::hub;
use crate::progress::Progress;
use crate::store::{check_written, write_atomic};
use crate::tokens::{TemplateOptions, Tokenizer};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A model on disk: a folder in Hugging Face layout or a [GGUF file](crate::gguf), perhaps with an adapter's folder on top.
///
/// It is a path, not weights: plain data that can be kept between the cells of a notebook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Folder with `config.json`, the weights and the tokenizer; or a GGUF file, which has all of them.
    pub model: PathBuf,
    /// Folder with `adapter_config.json` and `adapter_model.safetensors`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// How much of the adapter's change of the weights is put on; all of it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_scale: Option<AdapterScale>,
    /// What the model's chat template is given beside the messages.
    #[serde(default, skip_serializing_if = "TemplateOptions::is_empty")]
    pub template: TemplateOptions,
    /// In what its products are computed on a processor, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
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
    /// The model in `folder`, or in a GGUF file, whatever its name; says what is missing if it is not one.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let model = folder.into();
        let template = TemplateOptions::default();
        if Gguf::at(&model)?.is_some() {
            return Ok(Self {
                model,
                adapter: None,
                adapter_scale: None,
                template,
                precision: None,
            });
        }
        if !model.is_dir() {
            let hint = "give a local folder in Hugging Face layout, a GGUF file, or owner/name for one of the hub";
            return Err(match model.is_file() {
                true => {
                    let problem = packed_at(&model);
                    Error::file(
                        &model,
                        problem.unwrap_or_else(|| format!("is no GGUF file; {hint}")),
                    )
                }
                false => Error::missing("model folder", model, hint),
            });
        }
        for file in ["config.json", "tokenizer.json"] {
            if !model.join(file).is_file() {
                let hint = no_model(&model)?;
                return Err(Error::missing(file, model, hint));
            }
        }
        Ok(Self { model, adapter: None, adapter_scale: None, template, precision: None })
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

    /// The same checkpoint with what its chat template is given beside the messages.
    pub fn with_template(self, template: TemplateOptions) -> Self {
        Self { template, ..self }
    }

    /// The same checkpoint, its products computed in `precision` where that is given.
    pub fn in_precision(self, precision: Option<Precision>) -> Self {
        Self { precision: precision.or(self.precision), ..self }
    }

    /// In what products are computed where nobody says it: the fastest precision whose log-probabilities stay within 1e-3 of f32's.
    ///
    /// That is [`Precision::Bf16x2`] where every matrix is bf16 on disk, since only activations are rounded then. Other weights would be rounded, too,
    /// and are multiplied in f32. Files that cannot be read are for loading to refuse.
    pub fn default_precision(&self) -> Precision {
        let stored = weights::files(&self.model).and_then(|files| Stored::open(&files));
        let in_bf16 = stored.is_ok_and(|stored| {
            let mut matrices = stored.entries().filter(|(_, entry)| entry.shape.len() > 1);
            !stored.in_blocks() && matrices.all(|(_, entry)| entry.dtype == "BF16")
        });
        if in_bf16 { Precision::Bf16x2 } else { Precision::F32 }
    }

    /// The tokenizer, its chat template asked as `template` says.
    ///
    /// # Errors
    /// When a file of it does not read.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Tokenizer::open(&self.model)?.with_options(&self.template)
    }

    /// Sizes of the model.
    pub fn config(&self) -> Result<ModelConfig> {
        let Some(gguf) = Gguf::at(&self.model)? else {
            return ModelConfig::read(&self.model.join("config.json"));
        };
        ModelConfig::parse(&gguf.config()?.to_string())
            .map_err(|problem| Error::file(&self.model, problem))
    }

    /// Files that decide what the model computes, for fingerprints.
    pub fn weight_files(&self) -> Result<Vec<PathBuf>> {
        let mut files = weights::files(&self.model)?;
        if !Gguf::is_one(&self.model) {
            files.push(self.model.join("config.json"));
        }
        let index = self.model.join("model.safetensors.index.json");
        if !self.model.join("model.safetensors").exists() && index.is_file() {
            files.push(index);
        }
        if let Some(adapter) = &self.adapter {
            files.extend(adapter_files(adapter)?);
        }
        Ok(files)
    }

    /// The ids at which `generation_config.json` and `config.json`, or the metadata of a GGUF file, stop generation. One outside the vocabulary is left out, as the model never writes it.
    ///
    /// # Errors
    /// When a file cannot be read, or names only ids that the model never writes.
    pub fn stop_ids(&self) -> Result<Vec<u32>> {
        let size = self.config()?.vocab_size;
        let (mut stop_ids, mut outside) = (Vec::new(), None);
        let named = match Gguf::at(&self.model)? {
            Some(gguf) => {
                let ids = GenerationConfig::of(gguf.generation_config()?)
                    .map_err(|problem| Error::file(&self.model, problem))?;
                vec![(self.model.clone(), ids)]
            }
            None => {
                let read = |file: &str| {
                    let path = self.model.join(file);
                    Ok((path.clone(), GenerationConfig::stop_ids(&path)?))
                };
                ["generation_config.json", "config.json"]
                    .map(read)
                    .into_iter()
                    .collect::<Result<_>>()?
            }
        };
        for (path, ids) in named {
            for id in ids {
                if id as usize >= size {
                    let problem = format!(
                        "stop id {id} is outside the vocabulary of {size}, so that nothing would end an answer"
                    );
                    outside.get_or_insert(Error::file(&path, problem));
                } else if !stop_ids.contains(&id) {
                    stop_ids.push(id);
                }
            }
        }
        match outside {
            Some(error) if stop_ids.is_empty() => Err(error),
            _ => Ok(stop_ids),
        }
    }

    /// The folder that decides most: the adapter's, or the model's where there is none.
    pub fn changed(&self) -> &Path {
        self.adapter.as_deref().unwrap_or(&self.model)
    }

    /// Where the files contradict each other and can be used all the same, in one sentence each: what is done about it.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn contradictions(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        if self.config()?.tie_word_embeddings
            && weights::own_head(&Stored::open(&weights::files(&self.model)?)?)?
        {
            found.push(format!(
                "{}: config.json says that the embedding is the output head (tie_word_embeddings), but the weights have an lm_head.weight that differs from it; both are used as they are stored, as transformers does",
                self.model.display()
            ));
        }
        if let Some(adapter) = &self.adapter {
            let base = base_of(adapter)?;
            if !base.is_empty() && !is_named(&base, &self.model) {
                found.push(format!(
                    "{}: adapter_config.json says that the adapter was made for {base}, and it is put on {}; on another model than its own its answers mean nothing",
                    adapter.display(),
                    self.model.display()
                ));
            }
        }
        Ok(found)
    }

    /// Reads the weights without the adapter: f32 on a CPU, those of a GGUF file in their blocks, and bf16 elsewhere.
    pub fn load_base(&self, backend: impl Into<Backend>) -> Result<Model> {
        self.load_base_in(backend, Precision::F32)
    }

    /// As [`Checkpoint::load_base`], for products in `precision` on a CPU that has them, see [`Precision::usable`]. A GPU has its own.
    pub fn load_base_in(&self, backend: impl Into<Backend>, precision: Precision) -> Result<Model> {
        let backend = &backend.into();
        check_written(&self.model)?;
        let config = self.config()?;
        let precision = precision.usable(backend);
        if backend.is_host() {
            self.check_memory(precision)?;
        }
        let mut shelf = Shelf::open(&self.model, backend, precision.terms())?;
        let decoder = Decoder::load(&mut shelf, &config, backend)?;
        shelf.finish(&self.model)?;
        Ok(Model { decoder, stop_ids: self.stop_ids()? })
    }
}

/// The two files of an adapter's folder in PEFT's format.
///
/// # Errors
/// Says what the folder holds instead, and the way out.
pub(crate) fn adapter_files(folder: &Path) -> Result<[PathBuf; 2]> {
    let files = ["adapter_config.json", "adapter_model.safetensors"];
    let lacking = files.into_iter().find(|name| !folder.join(name).is_file());
    let Some(lacking) = lacking else {
        return Ok(files.map(|name| folder.join(name)));
    };
    let pickled = folder.join("adapter_model.bin");
    let hint = if !folder.exists() {
        "nor is there such a folder; name an adapter's folder, or owner/name for one of the hub"
            .to_string()
    } else if !folder.is_dir() {
        "this is a file; name the folder that holds it".to_string()
    } else if lacking == files[1] && pickled.is_file() {
        format!(
            "it has adapter_model.bin, a form that can carry code and is not read here; write it as safetensors: {}",
            weights::from_pickle(&pickled, &folder.join(lacking))
        )
    } else if let Some(listed) = folders_with(folder, "adapter_config.json")? {
        format!("there are adapters in it, {listed}; name one of them")
    } else if lacking == files[0] && folder.join("config.json").is_file() {
        "this is a whole model; give it as the model, without an adapter".to_string()
    } else {
        "an adapter in PEFT's format has one".to_string()
    };
    Err(Error::missing(lacking, folder, hint))
}

/// What a folder that is no model may be, and the way out.
fn no_model(folder: &Path) -> Result<String> {
    if folder.join("config.json").is_file() {
        return Ok("a model folder holds config.json, model.safetensors and tokenizer.json".into());
    }
    if folder.join("adapter_config.json").is_file() {
        let base = match base_of(folder)? {
            base if base.is_empty() => "the model it was made for".to_string(),
            base => base,
        };
        return Ok(format!(
            "this is an adapter; name {base} as the model, and this folder as its adapter"
        ));
    }
    if let Some(file) = gguf_in(folder)? {
        return Ok(format!("there is a GGUF file in it; name the file: {}", file.display()));
    }
    Ok(match folders_with(folder, "config.json")? {
        Some(listed) => format!("there are models in it, {listed}; name one of them"),
        None => "a model folder holds config.json, model.safetensors and tokenizer.json".into(),
    })
}

/// The first GGUF file directly in `folder`.
fn gguf_in(folder: &Path) -> Result<Option<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("listing", folder))? {
        files.push(entry.map_err(Error::io("listing", folder))?.path());
    }
    files.sort();
    Ok(files.into_iter().find(|file| Gguf::is_one(file)))
}

/// The folders directly in `folder` that hold `file`, such as the checkpoints of a training; the latest last.
fn folders_with(folder: &Path, file: &str) -> Result<Option<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("listing", folder))? {
        let path = entry.map_err(Error::io("listing", folder))?.path();
        if path.join(file).is_file() {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    // checkpoint-90 before checkpoint-100
    names.sort_by_key(|name| {
        let (stem, number) = name.rsplit_once('-').unwrap_or((name, ""));
        (stem.to_string(), number.parse::<u64>().unwrap_or(0), name.clone())
    });
    Ok((!names.is_empty()).then(|| names.join(", ")))
}

/// The model that an adapter says it was made for; empty if it says nothing.
fn base_of(adapter: &Path) -> Result<String> {
    let path = adapter.join("adapter_config.json");
    let text = read_text(&path, "reading the adapter's config")?;
    let fields: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Error::file(&path, format!("not PEFT's config: {error}")))?;
    Ok(fields["base_model_name_or_path"].as_str().unwrap_or_default().trim().to_string())
}

/// Whether `named`, a path or a name on the hub as an adapter's config has it, can mean the model in `folder`: the last parts of their names are
/// compared, since folders move.
fn is_named(named: &str, folder: &Path) -> bool {
    let named = Path::new(named);
    let whole = |path: &Path| path.canonicalize().ok();
    if whole(named).is_some_and(|path| whole(folder) == Some(path)) {
        return true;
    }
    let names = |path: &Path| -> Vec<String> {
        let absolute = whole(path).unwrap_or_else(|| path.to_path_buf());
        let parts = |path: &Path| -> Vec<String> {
            let parts = path.components().map(|part| part.as_os_str().to_string_lossy());
            let parts: Vec<String> = parts.map(|part| part.to_lowercase()).collect();
            // a folder of the hub's cache is named for the model
            let of_hub = parts.iter().filter_map(|part| part.strip_prefix("models--"));
            let of_hub = of_hub.filter_map(|part| part.rsplit("--").next()).map(str::to_string);
            of_hub.chain(parts.last().cloned()).collect()
        };
        [parts(path), parts(&absolute)].concat()
    };
    let own = names(folder);
    names(named).iter().any(|name| own.contains(name))
}

/// Writes a whole model folder: config, weights in one file, stop ids. The tokenizer is copied by the caller.
pub fn write_model(folder: &Path, decoder: &Decoder, stop_ids: &[u32]) -> Result<()> {
    let mut config = decoder.config.to_json();
    config["eos_token_id"] = json!(stop_ids);
    write_json(&folder.join("config.json"), &config)?;
    let generation = json!({"eos_token_id": stop_ids, "do_sample": false});
    write_json(&folder.join("generation_config.json"), &generation)?;
    write_tensors(&folder.join("model.safetensors"), &decoder.tensors()?)
}

/// Writes what training made of the model in `base`: its weights in one file, and its `config.json` with every field in its place, of which
/// only the type of the weights changes, and what training changed of what this crate computes by. All else is copied by the caller.
pub fn write_tuned(folder: &Path, decoder: &Decoder, base: &Path) -> Result<()> {
    let tensors = decoder.tensors()?;
    let gguf = Gguf::at(base)?;
    let path = if gguf.is_some() { base.to_path_buf() } else { base.join("config.json") };
    let text = match gguf {
        Some(gguf) => gguf.config()?.to_string(),
        None => read_text(&path, "reading the model's config")?,
    };
    let not_one = |error| Error::file(&path, format!("not a model config: {error}"));
    let mut config: Value = serde_json::from_str(&text).map_err(not_one)?;
    let dtype = match tensors.values().next().map(Tensor::dtype) {
        Some(DType::BF16) => "bfloat16",
        Some(DType::F16) => "float16",
        _ => "float32",
    };
    for name in ["torch_dtype", "dtype"] {
        if let Some(named) = config.get_mut(name) {
            *named = dtype.into();
        }
    }
    let before =
        ModelConfig::parse(&text).map_err(|problem| Error::file(&path, problem))?.to_json();
    for (name, value) in decoder.config.to_json().as_object().into_iter().flatten() {
        if before.get(name) != Some(value) {
            config[name] = value.clone();
        }
    }
    write_json(&folder.join("config.json"), &config)?;
    write_tensors(&folder.join("model.safetensors"), &tensors)
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(Error::library("writing the model"))?;
    write_atomic(path, (text + "\n").as_bytes())
}

/// Writes tensors as a safetensors file, marked as PyTorch's so that transformers and PEFT read it. Numbers that are not finite are refused.
pub(crate) fn write_tensors(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    for (name, tensor) in tensors {
        let dtype = tensor.dtype().as_str().to_uppercase();
        let bytes = safetensors::View::data(tensor);
        if let Some(found) = not_finite(&dtype, tensor.dims(), &bytes) {
            let problem = format!(
                "is not written, since {name} {found}; train again, with a lower learning rate"
            );
            return Err(Error::file(path, problem));
        }
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(Error::library("packing the weights"))?;
    write_atomic(path, &bytes)
}
