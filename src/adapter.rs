//! Low-rank adapters: LoRA and DoRA, in PEFT's files.
//!
//! ```
//! use unforget::adapter::LoraConfig;
//! let lora = LoraConfig { rank: 8, ..LoraConfig::paper() };
//! assert_eq!(lora.scale("model.layers.0.self_attn.q_proj"), 4.0); // alpha 32 over rank 8
//! ```
//!
//! Trap: the paper's baselines and its masked runs use different ranks and alphas (32 and 16 against 16 and 32), so their
//! updates are scaled by 0.5 and by 2. Here one config serves every arm.

use crate::error::{Error, Result};
use crate::model::{AdaptedWeight, Decoder, PROJECTIONS, read_file, write_tensors};
use crate::rng::Rng;
use candle_core::{DType, Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What PEFT puts before a module's path in the names of an adapter's tensors.
const PREFIX: &str = "base_model.model.";

/// Shape and scale of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the update.
    pub rank: usize,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Share of the input that the update does not see while training.
    #[serde(default)]
    pub dropout: f64,
    /// DoRA: rows of the weight keep a length of their own, the update turns them (Liu et al. 2024).
    #[serde(default)]
    pub dora: bool,
    /// Rank-stabilised: scale `alpha / sqrt(rank)`.
    #[serde(default)]
    pub rslora: bool,
    /// Last parts of the names of the layers that get an update, such as `q_proj`; empty means all linear layers of the blocks.
    #[serde(default)]
    pub target_modules: Vec<String>,
    /// Other ranks for layers whose path ends with the key.
    #[serde(default)]
    pub rank_pattern: BTreeMap<String, usize>,
    /// Other alphas for layers whose path ends with the key.
    #[serde(default)]
    pub alpha_pattern: BTreeMap<String, f64>,
}

impl LoraConfig {
    /// Rank 16, alpha 32, dropout 0.05, all linear layers: the authors' masking script of January 2025. Their ground-truth and
    /// Self-Output runs used rank 32 and alpha 16.
    pub fn paper() -> Self {
        Self {
            dropout: 0.05,
            ..Self::lab()
        }
    }

    /// Rank 16, alpha 32, no dropout, all linear layers.
    pub fn lab() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            dora: false,
            rslora: false,
            target_modules: Vec::new(),
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        }
    }

    /// Rank of the layer at `path`.
    pub fn rank(&self, path: &str) -> usize {
        pattern(&self.rank_pattern, path)
            .copied()
            .unwrap_or(self.rank)
    }

    /// What the update of the layer at `path` is multiplied by.
    pub fn scale(&self, path: &str) -> f64 {
        let alpha = pattern(&self.alpha_pattern, path)
            .copied()
            .unwrap_or(self.alpha);
        let rank = self.rank(path) as f64;
        alpha / if self.rslora { rank.sqrt() } else { rank }
    }

    /// Whether the layer at `path` gets an update.
    pub fn adapts(&self, path: &str) -> bool {
        self.target_modules.is_empty()
            || self
                .target_modules
                .iter()
                .any(|module| ends_with(path, module))
    }

    /// Refuses what cannot be trained.
    pub fn check(&self) -> Result<()> {
        if self.rank == 0 || self.rank_pattern.values().any(|rank| *rank == 0) {
            return Err(Error::invalid("rank", "must be at least 1"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::invalid(
                "dropout",
                format!("must be from 0 to below 1, got {}", self.dropout),
            ));
        }
        if !self.alpha.is_finite() {
            return Err(Error::invalid(
                "alpha",
                format!("must be a number, got {}", self.alpha),
            ));
        }
        let known = |module: &String| PROJECTIONS.iter().any(|path| ends_with(path, module));
        if let Some(module) = self.target_modules.iter().find(|module| !known(module)) {
            let known: Vec<&str> = PROJECTIONS
                .iter()
                .filter_map(|path| path.rsplit('.').next())
                .collect();
            let problem = format!(
                "`{module}` is no linear layer of this model; known: {}",
                known.join(", ")
            );
            return Err(Error::invalid("target_modules", problem));
        }
        Ok(())
    }
}

fn ends_with(path: &str, module: &str) -> bool {
    path.strip_suffix(module)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn pattern<'a, T>(patterns: &'a BTreeMap<String, T>, path: &str) -> Option<&'a T> {
    patterns
        .iter()
        .find(|(key, _)| ends_with(path, key))
        .map(|(_, value)| value)
}

/// Puts a fresh adapter on `decoder`: `A` uniform within `±1/√in` as PEFT draws it, `B` zero, so that nothing changes yet.
pub fn attach(decoder: &mut Decoder, config: &LoraConfig, seed: u64) -> Result<()> {
    config.check()?;
    let rng = Rng::new(seed, "adapter");
    attach_with(decoder, config, |at, _, (rank, inner, out)| {
        let mut rng = rng.fork(at as u64);
        let bound = 1.0 / (inner as f64).sqrt();
        let a: Vec<f32> = (0..rank * inner)
            .map(|_| ((rng.uniform() * 2.0 - 1.0) * bound) as f32)
            .collect();
        Ok((
            Tensor::from_vec(a, (rank, inner), &Device::Cpu)?,
            Tensor::zeros((out, rank), DType::F32, &Device::Cpu)?,
            None,
        ))
    })
}

/// Reads an adapter in PEFT's format and puts it on `decoder`, trainable.
pub fn load(decoder: &mut Decoder, folder: &Path) -> Result<LoraConfig> {
    let config = read_config(folder)?;
    let file = folder.join("adapter_model.safetensors");
    if !file.is_file() {
        return Err(Error::missing(
            "adapter_model.safetensors",
            folder,
            "an adapter in PEFT's format has one",
        ));
    }
    let mut tensors = read_file(&file, &Device::Cpu)?;
    let mut problems = Vec::new();
    attach_with(decoder, &config, |_, path, (rank, inner, out)| {
        let mut take = |part: &str, shape: &[usize]| {
            let name = format!("{PREFIX}{path}.{part}");
            match tensors.remove(&name) {
                Some(tensor) if tensor.dims() == shape => return tensor.to_dtype(DType::F32),
                Some(tensor) => problems.push(format!(
                    "{name}: shape {:?}, needed {shape:?}",
                    tensor.dims()
                )),
                None => problems.push(format!("{name}: missing")),
            }
            Tensor::zeros(shape, DType::F32, &Device::Cpu)
        };
        let (a, b) = (
            take("lora_A.weight", &[rank, inner])?,
            take("lora_B.weight", &[out, rank])?,
        );
        let magnitude = if config.dora {
            Some(take("lora_magnitude_vector", &[out])?)
        } else {
            None
        };
        Ok((a, b, magnitude))
    })?;
    problems.extend(
        tensors
            .keys()
            .map(|name| format!("{name}: not part of this adapter")),
    );
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(Error::Weights {
            path: folder.to_path_buf(),
            problems,
        })
    }
}

type Parts = (Tensor, Tensor, Option<Tensor>);

fn attach_with(
    decoder: &mut Decoder,
    config: &LoraConfig,
    mut parts: impl FnMut(usize, &str, (usize, usize, usize)) -> Result<Parts>,
) -> Result<()> {
    if !decoder.trainable().is_empty() {
        let problem = "the model has one already, or is trained in full; merge it first";
        return Err(Error::invalid("adapter", problem));
    }
    let device = decoder.device().clone();
    let mut trainable = Vec::new();
    for (at, (path, projection)) in decoder.projections_mut().enumerate() {
        if !config.adapts(&path) {
            continue;
        }
        let (out, inner) = projection.weight.dims2()?;
        let (a, b, magnitude) = parts(at, &path, (config.rank(&path), inner, out))?;
        let mut train = |part: &str, tensor: &Tensor| -> Result<Tensor> {
            let var = Var::from_tensor(&tensor.to_device(&device)?)?;
            trainable.push((format!("{PREFIX}{path}.{part}"), var.clone()));
            Ok(var.as_tensor().clone())
        };
        let mut adapted = AdaptedWeight {
            a: train("lora_A.weight", &a)?,
            b: train("lora_B.weight", &b)?,
            scale: config.scale(&path),
            magnitude: None,
        };
        if config.dora {
            // a fresh one keeps each row's own length
            let length = match magnitude {
                Some(saved) => saved,
                None => adapted.row_norms(&projection.weight)?,
            };
            adapted.magnitude = Some(train("lora_magnitude_vector", &length)?);
        }
        projection.adapted = Some(adapted);
    }
    for (name, var) in trainable {
        decoder.train_also(name, var);
    }
    Ok(())
}

/// Writes the adapter on `decoder` as PEFT does: `adapter_config.json` and `adapter_model.safetensors`.
pub fn save(decoder: &Decoder, config: &LoraConfig, base: &str, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("making the adapter's folder", folder))?;
    let tensors = decoder
        .trainable()
        .iter()
        .map(|(name, var)| {
            Ok((
                name.clone(),
                var.as_detached_tensor().to_device(&Device::Cpu)?,
            ))
        })
        .collect::<Result<BTreeMap<_, _>>>()?;
    write_tensors(&folder.join("adapter_model.safetensors"), &tensors)?;
    let path = folder.join("adapter_config.json");
    let modules: Vec<&str> = if config.target_modules.is_empty() {
        PROJECTIONS
            .iter()
            .filter_map(|path| path.rsplit('.').next())
            .collect()
    } else {
        config.target_modules.iter().map(String::as_str).collect()
    };
    let json = serde_json::json!({
        "alpha_pattern": config.alpha_pattern, "auto_mapping": null, "base_model_name_or_path": base, "bias": "none",
        "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layer_replication": null,
        "layers_pattern": null, "layers_to_transform": null, "lora_alpha": config.alpha, "lora_bias": false,
        "lora_dropout": config.dropout, "modules_to_save": null, "peft_type": "LORA", "r": config.rank,
        "rank_pattern": config.rank_pattern, "revision": null, "target_modules": modules, "task_type": "CAUSAL_LM",
        "use_dora": config.dora, "use_rslora": config.rslora,
    });
    let text = serde_json::to_string_pretty(&json).expect("a JSON value can be written");
    std::fs::write(&path, text + "\n").map_err(Error::io("writing the adapter's config", &path))
}

/// `adapter_config.json`, as far as it changes what is computed.
#[derive(Deserialize)]
struct Raw {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    lora_bias: bool,
    bias: Option<String>,
    target_modules: Option<Modules>,
    modules_to_save: Option<Vec<String>>,
    layer_replication: Option<serde_json::Value>,
    alora_invocation_tokens: Option<Vec<u32>>,
    use_qalora: Option<bool>,
    use_bdlora: Option<serde_json::Value>,
    rank_pattern: Option<BTreeMap<String, usize>>,
    alpha_pattern: Option<BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Modules {
    Some(Vec<String>),
    Named(String),
}

/// Reads `adapter_config.json`; what this crate would compute differently is refused by name.
pub fn read_config(folder: &Path) -> Result<LoraConfig> {
    let path = folder.join("adapter_config.json");
    if !path.is_file() {
        return Err(Error::missing(
            "adapter_config.json",
            folder,
            "an adapter in PEFT's format has one",
        ));
    }
    let text =
        std::fs::read_to_string(&path).map_err(Error::io("reading the adapter's config", &path))?;
    let raw: Raw = serde_json::from_str(&text)
        .map_err(|e| Error::file(&path, format!("not PEFT's config: {e}")))?;
    let refuse = |what: &str| Err(Error::file(&path, format!("{what} is not supported")));
    if raw.peft_type != "LORA" {
        return refuse(&format!("peft_type {}", raw.peft_type));
    }
    if raw.fan_in_fan_out || raw.lora_bias {
        return refuse("fan_in_fan_out or lora_bias");
    }
    if raw.bias.is_some_and(|bias| bias != "none") {
        return refuse("a trained bias");
    }
    if raw
        .modules_to_save
        .is_some_and(|modules| !modules.is_empty())
    {
        return refuse("modules_to_save");
    }
    if raw.layer_replication.is_some() || raw.alora_invocation_tokens.is_some() {
        return refuse("layer_replication or alora_invocation_tokens");
    }
    if raw.use_qalora == Some(true) || raw.use_bdlora.is_some() {
        return refuse("use_qalora or use_bdlora");
    }
    let config = LoraConfig {
        rank: raw.r,
        alpha: raw.lora_alpha,
        dropout: raw.lora_dropout,
        dora: raw.use_dora,
        rslora: raw.use_rslora,
        target_modules: match raw.target_modules {
            Some(Modules::Some(modules)) => modules,
            Some(Modules::Named(name)) if name == "all-linear" => Vec::new(),
            Some(Modules::Named(name)) => {
                return refuse(&format!("target_modules `{name}` as a pattern"));
            }
            None => return refuse("a config without target_modules"),
        },
        rank_pattern: raw.rank_pattern.unwrap_or_default(),
        alpha_pattern: raw.alpha_pattern.unwrap_or_default(),
    };
    config
        .check()
        .map_err(|error| Error::file(&path, error.to_string()))?;
    Ok(config)
}
