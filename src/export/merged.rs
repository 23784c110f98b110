//! Writes a model with its adapter folded in, as a folder that needs nothing else.

use super::tensors::{Planned, bytes_of, write};
use crate::adapter::PeftAdapter;
use crate::error::{Error, Result};
use crate::files::read_text;
use crate::gguf::Gguf;
use crate::hub::MORE_TEMPLATES;
use crate::model::{Checkpoint, PROJECTIONS, Projection, Stored, not_finite, own_head};
use crate::store::MARK;
use fancy_regex::Regex;
use serde::Serialize;
use std::path::Path;

/// What [`merged`] wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Layers whose weights the adapter changed.
    pub layers: usize,
    /// Tensors in all.
    pub tensors: usize,
    /// Files of weights.
    pub files: usize,
    /// Other files that were copied: configs, tokenizer, chat template.
    pub copied: Vec<String>,
}

/// Largest file of weights by default, in bytes, as transformers long had it.
pub const SHARD: u64 = 5_000_000_000;

/// Writes the model of `checkpoint` with its adapter folded into the weights to the empty folder `out`, in Hugging Face layout.
///
/// Only the weights that the adapter changes are computed, in f32, and rounded to the type in which the model stores them. Every other tensor
/// is copied byte for byte, and so are the configs, the tokenizer and the chat template; only `tie_word_embeddings` is set to false where the
/// weights contradict it. Files of weights hold at most `shard` bytes
/// unless one tensor alone is larger; several come with their index.
///
/// Of a GGUF file, whose other parts are made from its metadata, blocks are unpacked and written as F16. They are not packed again.
pub fn merged(checkpoint: &Checkpoint, out: &Path, shard: u64) -> Result<Merged> {
    super::refuse_scaled(checkpoint)?;
    let Some(folder) = &checkpoint.adapter else {
        let problem = "names no adapter to fold into the model";
        return Err(Error::invalid("checkpoint", problem));
    };
    let adapter = PeftAdapter::read(folder)?;
    let stored = open(checkpoint)?;
    let mut problems = Vec::new();
    let layers = layers_of(&stored);
    adapter.check_names(&layers, &mut problems);
    adapter.check_whole(&layers, &mut problems);
    for path in adapter.modules.keys() {
        layer(&stored, &adapter, path, &mut problems)?;
    }
    if !problems.is_empty() {
        return Err(Error::Weights { path: folder.clone(), problems });
    }
    let planned =
        stored.entries().map(|(name, entry)| Planned::like(name, entry)).collect::<Vec<_>>();
    let tensors = planned.len();
    let mut layers = 0;
    let files = write(out, planned, shard, |name| {
        let entry =
            stored.get(name).ok_or_else(|| Error::invalid(name, "is not part of the model"))?;
        let (path, part) = name.rsplit_once('.').unwrap_or((name, ""));
        if !adapter.modules.contains_key(path) {
            return stored.bytes(name, entry);
        }
        let projection = layer(&stored, &adapter, path, &mut Vec::new())?;
        let changed = match part {
            "weight" if projection.adapted.is_some() => {
                layers += 1;
                projection.merged_weight()?
            }
            "bias" if adapter.changes_bias(path) && projection.bias.is_some() => {
                projection.bias.clone().expect("there is one")
            }
            _ => return stored.bytes(name, entry),
        };
        let bytes = bytes_of(&changed, &entry.dtype)?;
        match not_finite(&entry.dtype, &entry.shape, &bytes) {
            None => Ok(bytes),
            Some(found) => {
                let problem = format!(
                    "with it {name} {found}, stored as {}; its numbers are too large for this model",
                    entry.dtype
                );
                Err(Error::file(folder, problem))
            }
        }
    })?;
    let copied = copy_beside(&checkpoint.model, out)?;
    if checkpoint.config()?.tie_word_embeddings && own_head(&stored)? {
        untie(&out.join("config.json"))?;
    }
    Ok(Merged { layers, tensors, files, copied })
}

/// Has `config.json` say that the head is a tensor of its own; everything else stays as it is.
fn untie(config: &Path) -> Result<()> {
    let text = read_text(config, "reading")?;
    let field = Regex::new(r#"("tie_word_embeddings"\s*:\s*)true"#)
        .map_err(Error::library("reading a pattern"))?;
    let changed = match field.is_match(&text).unwrap_or(false) {
        true => field.replace(&text, "${1}false").into_owned(),
        // the family's own default
        false => text.replacen('{', "{\n  \"tie_word_embeddings\": false,", 1),
    };
    std::fs::write(config, changed).map_err(Error::io("writing", config))
}

/// The paths of the linear layers of the blocks.
pub(super) fn layers_of(stored: &Stored) -> Vec<String> {
    let names = stored.entries().filter_map(|(name, _)| name.strip_suffix(".weight"));
    let linear = |path: &&str| PROJECTIONS.iter().any(|part| path.ends_with(part));
    names.filter(linear).map(str::to_string).collect()
}

/// The tensors of a checkpoint's model.
pub(super) fn open(checkpoint: &Checkpoint) -> Result<Stored> {
    let mut files = Checkpoint { adapter: None, ..checkpoint.clone() }.weight_files()?;
    files.retain(|path| {
        *path == checkpoint.model || path.extension().is_some_and(|end| end == "safetensors")
    });
    Stored::open(&files)
}

/// The layer at `path` of the model with the adapter's update and bias on it, in f32.
pub(super) fn layer(
    stored: &Stored,
    adapter: &PeftAdapter,
    path: &str,
    problems: &mut Vec<String>,
) -> Result<Projection> {
    let (weight_name, bias_name) = (format!("{path}.weight"), format!("{path}.bias"));
    let nothing =
        || candle_core::Tensor::zeros((0, 0), candle_core::DType::F32, &candle_core::Device::Cpu);
    let Some(entry) = stored.get(&weight_name).filter(|entry| entry.shape.len() == 2) else {
        // `check_names` has it on the list, or it is no matrix
        if stored.get(&weight_name).is_some() {
            problems.push(format!("{weight_name}: is no matrix"));
        }
        return Ok(Projection::new(nothing()?, None));
    };
    let (out, inner) = (entry.shape[0], entry.shape[1]);
    let module = adapter.modules.get(path);
    let mut projection = Projection::new(stored.tensor(&weight_name, entry)?, None);
    if module.is_some_and(|module| module.a.is_some() || module.b.is_some()) {
        projection.adapted = Some(adapter.update(path, (out, inner), problems)?);
    }
    let own = stored.get(&bias_name);
    let own = own.map(|entry| stored.tensor(&bias_name, entry)).transpose()?;
    projection.bias = adapter.bias(path, own.as_ref(), out, problems)?;
    if projection.bias.is_some() && own.is_none() {
        problems.push(format!(
            "{bias_name}: the adapter brings a bias, but the model has none to put it into; use the adapter unmerged"
        ));
    }
    Ok(projection)
}

/// Copies what stands beside the weights in a model folder: everything but weights, in this format or another, adapters, and the list of
/// what was written there. Of a GGUF file, they are made from its metadata.
pub(crate) fn copy_beside(from: &Path, to: &Path) -> Result<Vec<String>> {
    if let Some(gguf) = Gguf::at(from)? {
        return gguf.write_beside(to);
    }
    let mut copied = Vec::new();
    let mut copy = |from: &Path, to: &Path, name: &str| {
        copied.push(name.to_string());
        std::fs::copy(from, to).map(|_| ()).map_err(Error::io("copying", from))
    };
    for (name, path) in files_of(from)? {
        let end = name.rsplit('.').next().unwrap_or_default();
        let text = ["json", "jinja", "txt", "model", "tiktoken", "py"].contains(&end)
            || ["LICENSE", "NOTICE", "USE_POLICY"].iter().any(|known| name.starts_with(known));
        let weights = name.ends_with(".index.json") || name.starts_with("adapter_") || name == MARK;
        if text && !weights {
            copy(&path, &to.join(&name), &name)?;
        }
    }
    let more = MORE_TEMPLATES;
    if from.join(more).is_dir() {
        let folder = to.join(more);
        std::fs::create_dir_all(&folder).map_err(Error::io("making", &folder))?;
        for (name, path) in files_of(&from.join(more))? {
            copy(&path, &folder.join(&name), &format!("{more}/{name}"))?;
        }
    }
    Ok(copied)
}

fn files_of(folder: &Path) -> Result<Vec<(String, std::path::PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("listing", folder))? {
        let path = entry.map_err(Error::io("listing", folder))?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            files.push((name.to_string_lossy().into_owned(), path.clone()));
        }
    }
    files.sort();
    Ok(files)
}
