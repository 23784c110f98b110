//! An adapter's folder as PEFT writes it: `adapter_config.json` and `adapter_model.safetensors`.

use super::config::outside_the_blocks;
use super::{LoraConfig, PREFIX, Patterns};
use crate::error::{Error, Result};
use crate::files::read_text;
use crate::model::{AdaptedWeight, PROJECTIONS, adapter_files, float, read_finite, write_tensors};
use crate::store::check_written;
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// An adapter in PEFT's files, read whole: what it computes, and everything else that stands there, kept for the way back.
#[derive(Debug, Clone)]
pub struct PeftAdapter {
    /// Shape and scale.
    pub config: LoraConfig,
    /// The model it was made for, as the file names it.
    pub base: String,
    /// Every field of `adapter_config.json`.
    fields: Map<String, Value>,
    /// What each adapted layer has, by its path.
    pub(crate) modules: BTreeMap<String, Module>,
    /// Names that belong to no layer, for the message.
    strays: Vec<String>,
}

/// The tensors of one layer, in f32.
#[derive(Debug, Clone, Default)]
pub(crate) struct Module {
    /// `(rank, in)`
    pub a: Option<Tensor>,
    /// `(out, rank)`
    pub b: Option<Tensor>,
    /// DoRA's lengths of rows, `(out)`.
    pub magnitude: Option<Tensor>,
    /// `lora_bias`: added to the update before it is scaled, `(out)`.
    pub update_bias: Option<Tensor>,
    /// `bias`: takes the place of the layer's own, `(out)`.
    pub bias: Option<Tensor>,
}

impl PeftAdapter {
    /// A new adapter for the model called `base`.
    pub fn new(config: &LoraConfig, base: &str) -> Self {
        Self {
            config: config.clone(),
            base: base.to_string(),
            fields: Map::new(),
            modules: BTreeMap::new(),
            strays: Vec::new(),
        }
    }

    /// Reads an adapter's folder. What this crate would compute differently is refused by name.
    pub fn read(folder: &Path) -> Result<Self> {
        check_written(folder)?;
        let (config, fields) = read_fields(folder)?;
        let base = fields.get("base_model_name_or_path");
        let mut adapter = Self::new(&config, base.and_then(Value::as_str).unwrap_or_default());
        adapter.fields = fields;
        let [_, file] = adapter_files(folder)?;
        for (name, tensor) in read_finite(&file, &Device::Cpu)? {
            let dtype = tensor.dtype().as_str().to_uppercase();
            if float(&dtype).is_none() {
                let problem = format!("{name} holds {dtype}, needed f32, bf16 or f16");
                return Err(Error::file(file, problem));
            }
            adapter.put(&name, tensor.to_dtype(DType::F32)?);
        }
        Ok(adapter)
    }

    /// Number of layers of the model that it changes.
    pub fn layers(&self) -> usize {
        self.modules.len()
    }

    fn put(&mut self, name: &str, tensor: Tensor) {
        type Field = fn(&mut Module) -> &mut Option<Tensor>;
        let kinds: [(&str, Field); 7] = [
            (".lora_A.weight", |module| &mut module.a),
            (".lora_B.weight", |module| &mut module.b),
            (".lora_magnitude_vector", |module| &mut module.magnitude),
            (".lora_magnitude_vector.weight", |module| &mut module.magnitude),
            (".lora_B.bias", |module| &mut module.update_bias),
            (".base_layer.bias", |module| &mut module.bias),
            (".bias", |module| &mut module.bias),
        ];
        let found = name.strip_prefix(PREFIX).and_then(|name| {
            let mut kinds = kinds.into_iter();
            kinds.find_map(|(end, field)| Some((name.strip_suffix(end)?, field)))
        });
        match found {
            Some((path, field)) => {
                *field(self.modules.entry(path.to_string()).or_default()) = Some(tensor);
            }
            None => self.strays.push(name.to_string()),
        }
    }

    /// The update of the layer at `path`, whose weight is `(out, in)`. What does not fit is put on the list; the zeros in its place are never
    /// used.
    pub(crate) fn update(
        &self,
        path: &str,
        (out, inner): (usize, usize),
        problems: &mut Vec<String>,
    ) -> Result<AdaptedWeight> {
        let missing = Module::default();
        let module = self.modules.get(path).unwrap_or(&missing);
        let rank = self.config.rank(path);
        let mut take = |tensor: &Option<Tensor>, part: &str, shape: &[usize]| {
            match tensor {
                Some(tensor) if tensor.dims() == shape => return Ok(tensor.clone()),
                Some(tensor) => problems.push(format!(
                    "{PREFIX}{path}.{part}: shape {:?}, needed {shape:?}",
                    tensor.dims()
                )),
                None => problems.push(format!("{PREFIX}{path}.{part}: missing")),
            }
            Tensor::zeros(shape, DType::F32, &Device::Cpu)
        };
        Ok(AdaptedWeight {
            a: take(&module.a, "lora_A.weight", &[rank, inner])?,
            b: take(&module.b, "lora_B.weight", &[out, rank])?,
            scale: self.config.scale(path),
            magnitude: match self.config.dora {
                true => Some(take(&module.magnitude, "lora_magnitude_vector", &[out])?),
                false => None,
            },
            squares: Default::default(),
        })
    }

    /// The bias of the layer at `path` under the adapter: the layer's `own`, or the adapter's in its place, and what `lora_bias` adds. In f32;
    /// `None` if there is none at all.
    pub(crate) fn bias(
        &self,
        path: &str,
        own: Option<&Tensor>,
        out: usize,
        problems: &mut Vec<String>,
    ) -> Result<Option<Tensor>> {
        let Some(module) = self.modules.get(path) else {
            return Ok(own.cloned());
        };
        let mut fitting = |tensor: &Option<Tensor>, part: &str| match tensor {
            Some(tensor) if tensor.dims() != [out] => {
                let shape = tensor.dims();
                problems.push(format!("{PREFIX}{path}.{part}: shape {shape:?}, needed [{out}]"));
                None
            }
            tensor => tensor.clone(),
        };
        let bias = match fitting(&module.bias, "bias") {
            Some(bias) => Some(bias),
            None => own.map(|own| own.to_dtype(DType::F32)).transpose()?,
        };
        let Some(added) = fitting(&module.update_bias, "lora_B.bias") else {
            return Ok(bias);
        };
        let added = (added * self.config.scale(path))?;
        Ok(Some(match bias {
            Some(bias) => (bias + added)?,
            None => added,
        }))
    }

    /// Whether the adapter changes the bias of the layer at `path`.
    pub(crate) fn changes_bias(&self, path: &str) -> bool {
        let module = self.modules.get(path);
        module.is_some_and(|module| module.bias.is_some() || module.update_bias.is_some())
    }

    /// Puts on the list: names that belong to none of the `layers`, and tensors that the config does not speak of.
    pub(crate) fn check_names(&self, layers: &[String], problems: &mut Vec<String>) {
        let before = problems.len();
        let is_layer = |path: &String| layers.iter().any(|layer| layer == path);
        let mut put = |name: String, problem: &str| problems.push(format!("{name}: {problem}"));
        for name in &self.strays {
            put(name.clone(), what_is(name).unwrap_or("not part of this adapter"));
        }
        let says = |field: &str, plain: &Value| {
            self.fields.get(field).filter(|value| !value.is_null()).is_some_and(|v| v != plain)
        };
        for (path, module) in &self.modules {
            let name = format!("{PREFIX}{path}");
            let low_rank = module.a.is_some() || module.b.is_some();
            if !is_layer(path) {
                put(name.clone(), what_is(&name).unwrap_or("not part of this adapter"));
                continue;
            }
            if (low_rank || module.magnitude.is_some()) && !self.config.adapts(path) {
                put(name, "not part of this adapter: its config does not choose this layer");
                continue;
            }
            if module.magnitude.is_some() && !self.config.dora {
                put(format!("{name}.lora_magnitude_vector"), "there, but `use_dora` is not true");
            }
            if module.update_bias.is_some() && !says("lora_bias", &Value::Bool(false)) {
                put(format!("{name}.lora_B.bias"), "there, but `lora_bias` is not true");
            }
            if module.bias.is_some() && !says("bias", &Value::String("none".into())) {
                put(format!("{name}.bias"), "there, but `bias` is none");
            }
        }
        if problems[before..].iter().any(|problem| problem.contains(NOT_HERE)) {
            problems.push(MERGE_IN_PYTHON.to_string());
        }
    }

    /// Puts layers on the list that the config chooses and of which the file has nothing.
    pub(crate) fn check_whole(&self, layers: &[String], problems: &mut Vec<String>) {
        let lacks = |path: &&String| {
            let module = self.modules.get(*path);
            module.is_none_or(|module| module.a.is_none() && module.b.is_none())
        };
        for path in layers.iter().filter(|path| self.config.adapts(path)).filter(lacks) {
            let name = format!("{PREFIX}{path}.lora_A.weight");
            problems.push(format!("{name}: missing, with all else of this layer"));
        }
    }

    /// Tensors that are applied but not trained here, by the names under which they were read.
    pub(super) fn kept(&self) -> BTreeMap<String, Tensor> {
        let mut kept = BTreeMap::new();
        for (path, module) in &self.modules {
            let adapted = module.a.is_some();
            let bias = if adapted { "base_layer.bias" } else { "bias" };
            for (part, tensor) in [("lora_B.bias", &module.update_bias), (bias, &module.bias)] {
                if let Some(tensor) = tensor {
                    kept.insert(format!("{PREFIX}{path}.{part}"), tensor.clone());
                }
            }
        }
        kept
    }

    /// Writes the folder: the config with every field that was read, and `tensors`.
    pub(crate) fn write(&self, tensors: &BTreeMap<String, Tensor>, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)
            .map_err(Error::io("making the adapter's folder", folder))?;
        write_tensors(&folder.join("adapter_model.safetensors"), tensors)?;
        let path = folder.join("adapter_config.json");
        let text = serde_json::to_string_pretty(&self.to_json(tensors))
            .map_err(Error::library("writing the adapter's config"))?;
        std::fs::write(&path, text + "\n").map_err(Error::io("writing the adapter's config", &path))
    }

    fn to_json(&self, tensors: &BTreeMap<String, Tensor>) -> Value {
        let config = &self.config;
        // what a reader of PEFT's expects to find; a field that was read stands in its place
        let mut fields: BTreeMap<String, Value> = BTreeMap::new();
        let usual = json!({
            "auto_mapping": null, "bias": "none", "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
            "layer_replication": null, "layers_pattern": null, "lora_bias": false, "modules_to_save": null, "peft_type": "LORA",
            "revision": null, "task_type": "CAUSAL_LM",
        });
        for object in [usual.as_object(), Some(&self.fields)].into_iter().flatten() {
            fields.extend(object.clone());
        }
        let modules = match &config.target_pattern {
            Some(pattern) => json!(pattern),
            None if config.target_modules.is_empty() => {
                // the linear layers that this model has
                let has = |path: &&&str| tensors.keys().any(|name| name.contains(**path));
                let known = PROJECTIONS.iter().filter(has);
                let names: Vec<&str> = known.filter_map(|path| path.rsplit('.').next()).collect();
                // "all-linear" stays as it was read
                let as_read = self.fields.get("target_modules").cloned();
                as_read.unwrap_or_else(|| json!(names))
            }
            None => json!(config.target_modules),
        };
        let excluded = match &config.exclude_pattern {
            Some(pattern) => json!(pattern),
            None if config.exclude_modules.is_empty() => Value::Null,
            None => json!(config.exclude_modules),
        };
        // a table in the order of the patterns, as PEFT reads it
        let alphas: Map<String, Value> =
            config.alpha_pattern.iter().map(|(key, alpha)| (key.clone(), json!(alpha))).collect();
        let ranks: Map<String, Value> =
            config.rank_pattern.iter().map(|(key, rank)| (key.clone(), json!(rank))).collect();
        let own = json!({
            "alpha_pattern": alphas, "base_model_name_or_path": self.base, "exclude_modules": excluded,
            "layers_to_transform": config.layers, "lora_alpha": config.alpha, "lora_dropout": config.dropout, "r": config.rank,
            "rank_pattern": ranks, "target_modules": modules, "use_dora": config.dora,
            "use_rslora": config.rslora,
        });
        if let Value::Object(own) = own {
            fields.extend(own);
        }
        fields.into_iter().collect()
    }
}

/// Reads what an adapter computes from its `adapter_config.json`.
pub fn read_config(folder: &Path) -> Result<LoraConfig> {
    Ok(read_fields(folder)?.0)
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
    lora_bias: bool,
    bias: Option<String>,
    init_lora_weights: Option<Value>,
    target_modules: Option<Names>,
    exclude_modules: Option<Names>,
    layers_to_transform: Option<Numbers>,
    layers_pattern: Option<Names>,
    modules_to_save: Option<Vec<String>>,
    task_type: Option<String>,
    rank_pattern: Option<Patterns<usize>>,
    alpha_pattern: Option<Patterns<f64>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Pattern(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Numbers {
    One(usize),
    List(Vec<usize>),
}

/// Fields that change nothing of what a trained adapter computes, beside those that are read: how it was started, trained and saved. The last
/// three are ms-swift's.
const NOTHING_COMPUTED: [&str; 17] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "lora_dtype",
    "lorap_emb_lr",
    "lorap_lr_ratio",
];

/// Fields that are read.
const READ: [&str; 17] = [
    "alpha_pattern",
    "bias",
    "exclude_modules",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "modules_to_save",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
];

/// What some fields would change that are not followed here.
const MEANINGS: [(&str, &str); 10] = [
    ("trainable_token_indices", "tokens of the embedding were trained"),
    ("layer_replication", "blocks are used several times"),
    ("alora_invocation_tokens", "the update begins at some tokens of the text only"),
    ("use_qalora", "inputs are pooled in groups"),
    ("use_bdlora", "the update's matrices are block-diagonal"),
    ("target_parameters", "weights are updated that are no linear layers"),
    ("arrow_config", "several adapters are mixed for each token"),
    ("kasa_config", "the model's own weights are changed, too"),
    ("monteclora_config", "the update is drawn at random"),
    ("megatron_config", "layers are split over machines"),
];

/// Ways of starting an adapter that change nothing but where its training began.
const PLAIN_STARTS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

/// Ways of starting an adapter for which PEFT changes the model's own weights, too, also when it reads the adapter again.
const CHANGE_THE_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

/// In messages of what cannot be put on the model here.
const NOT_HERE: &str = "is not supported here";

/// What a tensor is that PEFT knows and that belongs to no linear layer of a block.
fn what_is(name: &str) -> Option<&'static str> {
    let has = |part: &str| name.contains(part);
    let low_rank = has(".lora_") || !has(".weight") && !has("bias");
    Some(if has("trainable_tokens") {
        "tokens of the embedding that were trained, which is not supported here"
    } else if has(".lora_embedding_") || has("embed_tokens.lora_") {
        "an update of the embedding, which is not supported here"
    } else if has("modules_to_save") || has("original_module") {
        "a layer that was trained whole beside the adapter, which is not supported here"
    } else if has("lm_head") && low_rank {
        "an update of the output head, which is not supported here"
    } else if has("lm_head") || has("embed_tokens") || has("norm.weight") {
        "a layer stored whole beside the adapter, as PEFT does where it was trained or got new tokens, which is not supported here"
    } else {
        return None;
    })
}

fn read_fields(folder: &Path) -> Result<(LoraConfig, Map<String, Value>)> {
    let [path, _] = adapter_files(folder)?;
    let text = read_text(&path, "reading the adapter's config")?;
    let wrong = |e: serde_json::Error| Error::file(&path, format!("not PEFT's config: {e}"));
    let fields: Map<String, Value> = serde_json::from_str(&text).map_err(wrong)?;
    let raw: Raw = serde_json::from_str(&text).map_err(wrong)?;
    let refuse = |what: &str| Err(Error::file(&path, format!("{what} is not supported here")));
    if raw.peft_type != "LORA" {
        return refuse(&format!("peft_type {}", raw.peft_type));
    }
    if let Some(task) = raw.task_type.as_deref().filter(|task| *task != "CAUSAL_LM") {
        return refuse(&format!("task_type {task}, another head than a language model's,"));
    }
    for (name, value) in &fields {
        let plain = match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(object) => object.is_empty(),
            _ => false,
        };
        let known = |list: &[&str]| list.contains(&name.as_str());
        if plain || known(&READ) || known(&NOTHING_COMPUTED) {
            continue;
        }
        let Some((_, meaning)) = MEANINGS.iter().find(|(field, _)| field == name) else {
            let problem = format!(
                "{name} = {value} is not known here and may change what the adapter computes; if it does not, take the field out"
            );
            return Err(Error::file(&path, problem));
        };
        return refuse(&format!("{name}, with which {meaning},"))
            .map_err(|error| with_way_out(error, MERGE_IN_PYTHON));
    }
    if let Some(modules) = raw.modules_to_save.filter(|modules| !modules.is_empty()) {
        return refuse(&format!(
            "modules_to_save ({}), layers that were trained whole beside the adapter,",
            modules.join(", ")
        ))
        .map_err(|error| with_way_out(error, MERGE_IN_PYTHON));
    }
    let start = match &raw.init_lora_weights {
        Some(Value::String(start)) => start.to_lowercase(),
        _ => String::new(),
    };
    if CHANGE_THE_BASE.iter().any(|name| start.starts_with(name)) {
        return refuse(&format!(
            "init_lora_weights `{start}`, which changes the model's own weights,"
        ))
        .map_err(|error| {
            with_way_out(
                error,
                "let PEFT write it as a plain LoRA: save_pretrained(..., path_initial_model_for_weight_conversion=...)",
            )
        });
    }
    if !start.is_empty() && !PLAIN_STARTS.contains(&start.as_str()) {
        let problem = format!(
            "init_lora_weights `{start}` is not known here and may have changed the model's own weights"
        );
        return Err(Error::file(&path, problem));
    }
    let bias = raw.bias.as_deref().unwrap_or("none");
    if !["none", "all", "lora_only"].contains(&bias) {
        return refuse(&format!("bias `{bias}`"));
    }
    if raw.lora_bias && raw.use_dora {
        return refuse("lora_bias together with use_dora");
    }
    let layers = match raw.layers_to_transform {
        None => None,
        Some(Numbers::One(layer)) => Some(vec![layer]),
        Some(Numbers::List(layers)) => Some(layers).filter(|layers| !layers.is_empty()),
    };
    let patterns = match raw.layers_pattern {
        None => Vec::new(),
        Some(Names::Pattern(pattern)) if pattern.is_empty() => Vec::new(),
        Some(Names::Pattern(pattern)) => vec![pattern],
        Some(Names::List(patterns)) => patterns,
    };
    // as PEFT finds the number of a block
    let finds = |pattern: &String| {
        let expression = fancy_regex::Regex::new(&format!(r"^(?:^|.*?\.){pattern}\.\d+\."));
        expression.is_ok_and(|e| e.is_match("model.layers.0.self_attn.q_proj").unwrap_or(false))
    };
    if layers.is_some() && !patterns.is_empty() && !patterns.iter().any(finds) {
        return refuse(&format!(
            "layers_pattern {}; blocks are called `layers`, so another one",
            patterns.join(", ")
        ));
    }
    let mut config = LoraConfig {
        rank: raw.r,
        alpha: raw.lora_alpha,
        dropout: raw.lora_dropout,
        dora: raw.use_dora,
        rslora: raw.use_rslora,
        layers,
        rank_pattern: raw.rank_pattern.unwrap_or_default(),
        alpha_pattern: raw.alpha_pattern.unwrap_or_default(),
        ..LoraConfig::lab()
    };
    match raw.target_modules {
        Some(Names::List(modules)) if modules.is_empty() => {
            return refuse("an empty list of target_modules");
        }
        Some(Names::List(modules)) => config.target_modules = modules,
        Some(Names::Pattern(name)) if name.to_lowercase() == "all-linear" => {}
        Some(Names::Pattern(pattern)) => {
            config.target_pattern = Some(pattern);
            // PEFT heeds the blocks only beside a list of names
            config.layers = None;
        }
        None => return refuse("a config without target_modules"),
    }
    match raw.exclude_modules {
        Some(Names::List(modules)) => config.exclude_modules = modules,
        Some(Names::Pattern(pattern)) => config.exclude_pattern = Some(pattern),
        None => {}
    }
    if let Some(module) = config.target_modules.iter().find(|m| outside_the_blocks(m).is_some()) {
        let what = outside_the_blocks(module).unwrap_or_default();
        return refuse(&format!("{module} among target_modules, an update of {what},"))
            .map_err(|error| with_way_out(error, MERGE_IN_PYTHON));
    }
    config.check().map_err(|error| Error::file(&path, error.to_string()))?;
    Ok((config, fields))
}

const MERGE_IN_PYTHON: &str = "merge it in Python (PeftModel.from_pretrained(...).merge_and_unload().save_pretrained(...)) and use the merged model";

fn with_way_out(error: Error, way_out: &str) -> Error {
    match error {
        Error::File { path, problem } => Error::file(path, format!("{problem}; {way_out}")),
        other => other,
    }
}
