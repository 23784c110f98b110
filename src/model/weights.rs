//! Scored `model.safetensors`, whole or in shards.

use super::device::Backend;
use super::stored::{BROKEN, Stored, float, not_finite};
use crate::error::{Error, Result};
use crate::files::{packed, read_text};
use crate::gguf::Gguf;
use crate::ops::{Panels, Weight};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The embedding, as checkpoints name it.
pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The output head, where it is not the embedding.
pub(super) const HEAD: &str = "lm_head.weight";

/// The tensors of one safetensors file as they are stored.
pub(crate) fn read_file(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).map_err(Error::io("reading the weights", path))?;
    parse(&bytes, path, device)
}

fn parse(bytes: &[u8], path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let broken = |e: &dyn std::fmt::Display| {
        let problem = format!("not a whole safetensors file ({e}); copy or download it again");
        Error::file(path, packed(bytes).unwrap_or(problem))
    };
    match candle_core::safetensors::load_buffer(bytes, device) {
        Ok(tensors) => Ok(tensors.into_iter().collect()),
        Err(candle_core::Error::UnsupportedSafeTensorDtype(dtype)) => {
            let problem = format!(
                "holds {dtype:?}; quantized weights are not known here, take the model in bf16, f16 or f32"
            );
            Err(Error::file(path, problem))
        }
        Err(error) => Err(broken(&error)),
    }
}

/// As [`read_file`], for weights: a number that is not finite is refused, with its tensor and place.
pub(crate) fn read_finite(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).map_err(Error::io("reading the weights", path))?;
    let tensors = parse(&bytes, path, device)?;
    let file = safetensors::SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::file(path, format!("not a whole safetensors file ({error})")))?;
    let mut broken: Vec<String> = file
        .iter()
        .filter_map(|(name, view)| {
            let dtype = format!("{:?}", view.dtype());
            let found = not_finite(&dtype, view.shape(), view.data())?;
            Some(format!("{name} {found}"))
        })
        .collect();
    broken.sort();
    match broken.as_slice() {
        [] => Ok(tensors),
        [one] => Err(Error::file(path, format!("{one}, {BROKEN}"))),
        [first, more @ ..] => {
            let problem = format!("{first}, {BROKEN}; {} more tensors are like it", more.len());
            Err(Error::file(path, problem))
        }
    }
}

/// The weight files of a folder: one, or the shards that the index names. A GGUF file is its own.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if Gguf::is_one(folder) {
        return Ok(vec![folder.to_path_buf()]);
    }
    let whole = folder.join("model.safetensors");
    if whole.exists() {
        return Ok(vec![whole]);
    }
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        return Err(Error::missing("weights", folder, instead(folder)));
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = read_text(&index, "reading the index of the weights")?;
    let parsed: Index = serde_json::from_str(&text)
        .map_err(|e| Error::file(&index, format!("not an index of shards: {e}")))?;
    let mut names: Vec<&String> = parsed.weight_map.values().collect();
    names.sort();
    names.dedup();
    let inside = |name: &&String| {
        let mut parts = Path::new(name).components();
        !name.is_empty() && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    if let Some(outside) = names.iter().find(|name| !inside(name)) {
        let problem = format!("names the shard {outside:?}, which is not in the model's folder");
        return Err(Error::file(&index, problem));
    }
    if names.is_empty() {
        return Err(Error::file(&index, "names no shard; copy or download the folder again"));
    }
    let shards: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    if let Some(lost) = shards.iter().find(|shard| !shard.exists()) {
        let hint = "the index names it; copy or download the folder again";
        return Err(Error::missing("shard", lost, hint));
    }
    let stored = Stored::open(&shards)?;
    for (name, shard) in &parsed.weight_map {
        let found = stored.get(name).map(|entry| stored.file(entry));
        if found != Some(&folder.join(shard)) {
            let instead = match found.and_then(Path::file_name) {
                Some(other) => format!("{} has it", other.to_string_lossy()),
                None => "no shard has it".to_string(),
            };
            let problem = format!(
                "says that {name} is in {shard}, but {instead}; copy or download the folder again"
            );
            return Err(Error::file(&index, problem));
        }
    }
    Ok(shards)
}

/// What a folder has instead of weights that are read here, and the way out.
fn instead(folder: &Path) -> String {
    let needed =
        "a model folder holds model.safetensors, or its shards with model.safetensors.index.json";
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    if names.iter().any(|name| name.starts_with("pytorch_model") && name.ends_with(".bin")) {
        return format!(
            "it has them as pytorch_model.bin, a form that can carry code and is not read here; write them as safetensors: {}",
            from_pickle(&folder.join("pytorch_model*.bin"), &folder.join("model.safetensors"))
        );
    }
    if let Some(name) = names.iter().find(|name| Gguf::is_one(&folder.join(name))) {
        return format!(
            "it has them as a GGUF file; name the file: {}",
            folder.join(name).display()
        );
    }
    let ends = [".safetensors", ".gguf", ".ggml", ".pth", ".pt", ".bin", ".h5", ".msgpack", ".npz"];
    names.retain(|name| ends.iter().any(|end| name.ends_with(end)));
    match names.is_empty() {
        true => needed.to_string(),
        false => format!("{} are not read here; {needed}", names.join(", ")),
    }
}

/// A line of Python that writes the tensors of the files that `from` matches as the safetensors file `to`.
pub(super) fn from_pickle(from: &Path, to: &Path) -> String {
    let quoted = |path: &Path| format!("{:?}", path.to_string_lossy()).replace('\'', "\\x27");
    format!(
        "python -c 'import glob, torch; from safetensors.torch import save_file; save_file({{k: v.clone().contiguous() for f in glob.glob({}) for k, v in torch.load(f, map_location=\"cpu\", weights_only=True).items()}}, {}, {{\"format\": \"pt\"}})'",
        quoted(from),
        quoted(to)
    )
}

/// Whether the weights in `stored` have a head that differs from the embedding.
pub(crate) fn own_head(stored: &Stored) -> Result<bool> {
    match stored.get(EMBEDDING).is_some() && stored.get(HEAD).is_some() {
        true => not_the_same(stored, EMBEDDING, HEAD),
        false => Ok(false),
    }
}

/// Whether two of the tensors are there and not the same numbers.
fn not_the_same(stored: &Stored, a: &str, b: &str) -> Result<bool> {
    let (Some(first), Some(second)) = (stored.get(a), stored.get(b)) else {
        return Ok(true);
    };
    if first.dtype == second.dtype && stored.bytes(a, first)? == stored.bytes(b, second)? {
        return Ok(false);
    }
    if float(&first.dtype).is_none() || float(&second.dtype).is_none() {
        return Ok(true);
    }
    differ(&stored.tensor(a, first)?, &stored.tensor(b, second)?)
}

/// Whether two tensors are not the same numbers.
pub(super) fn differ(a: &Tensor, b: &Tensor) -> Result<bool> {
    Ok(a.dims() != b.dims() || a.ne(b)?.flatten_all()?.max(0)?.to_scalar::<u8>()? > 0)
}

/// Takes tensors out of a checkpoint by name and shape, and lists every misfit at once.
///
/// Those of files are read when they are taken, one after another, so that nothing is in memory twice.
pub(super) struct Shelf {
    source: Source,
    /// Names of those that were not taken.
    left: BTreeSet<String>,
    problems: Vec<String>,
    backend: Backend,
    /// Terms of the activations where weights of products are held in bf16.
    terms: Option<usize>,
}

enum Source {
    Memory(BTreeMap<String, Tensor>),
    Files(Stored),
}

impl Shelf {
    /// Tensors that are there.
    pub fn new(tensors: BTreeMap<String, Tensor>, backend: &Backend) -> Self {
        let left = tensors.keys().cloned().collect();
        let (source, backend) = (Source::Memory(tensors), backend.clone());
        Self { source, left, problems: Vec::new(), backend, terms: None }
    }

    /// The tensors of the model in `folder`, in the precision of `backend`; weights of fused products stay in the blocks of a GGUF file, or are in bf16
    /// panels of so many terms.
    pub fn open(folder: &Path, backend: &Backend, terms: Option<usize>) -> Result<Self> {
        let stored = Stored::open(&files(folder)?)?;
        let left = stored.entries().map(|(name, _)| name.to_string()).collect();
        let (source, backend) = (Source::Files(stored), backend.clone());
        Ok(Self { source, left, problems: Vec::new(), backend, terms })
    }

    pub fn has(&self, name: &str) -> bool {
        self.left.contains(name)
    }

    /// The tensor called `name` as it is stored, its numbers checked; `None` if its type holds no plain numbers.
    fn read(&self, name: &str) -> Result<Option<Tensor>> {
        let stored = match &self.source {
            Source::Memory(tensors) => return Ok(tensors.get(name).cloned()),
            Source::Files(stored) => stored,
        };
        let Some(entry) = stored.get(name) else {
            return Ok(None);
        };
        let Some(tensor) = stored.as_stored(name, entry)? else {
            return Ok(None);
        };
        // of the others each number has its place in f32 and bf16
        if tensor.dtype() == DType::F64
            && tensor.elem_count() > 0
            && !tensor.abs()?.max_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?.is_finite()
        {
            let problem = format!("{name} holds numbers that are too large for f32");
            return Err(Error::file(stored.file(entry), problem));
        }
        Ok(Some(tensor))
    }

    /// Takes `name` off the shelf if it is there, has that shape and holds plain numbers, else notes the problem.
    fn fits(&mut self, name: &str, shape: &[usize]) -> bool {
        let found = match &self.source {
            Source::Memory(tensors) => tensors
                .get(name)
                .map(|tensor| (tensor.dims(), tensor.dtype().as_str().to_uppercase())),
            Source::Files(stored) => {
                stored.get(name).map(|entry| (entry.shape.as_slice(), entry.dtype.clone()))
            }
        };
        let problem = match found.filter(|_| self.left.contains(name)) {
            Some((found, dtype)) if found == shape && float(&dtype).is_some() => {
                self.left.remove(name);
                return true;
            }
            Some((found, dtype)) if found == shape => format!(
                "{name}: holds {dtype}, needed f32, bf16 or f16; quantized weights are not known here"
            ),
            Some((found, _)) => format!("{name}: shape {found:?}, config.json needs {shape:?}"),
            None => format!("{name}: missing"),
        };
        self.left.remove(name);
        self.problems.push(problem);
        false
    }

    /// Where it is needed, converted before it goes there.
    fn placed(&self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.to_dtype(self.backend.dtype)?.to_device(&self.backend.device)?)
    }

    fn placeholder(&self) -> Result<Tensor> {
        Ok(Tensor::zeros((), self.backend.dtype, &self.backend.device)?)
    }

    /// The tensor called `name`; where it is missing or misshapen a placeholder, and a problem is noted.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        if !self.fits(name, shape) {
            return self.placeholder();
        }
        match self.read(name)? {
            Some(tensor) => self.placed(&tensor),
            None => self.placeholder(),
        }
    }

    /// As [`Shelf::take`], the weight of a product.
    pub fn take_weight(&mut self, name: &str, shape: &[usize]) -> Result<Weight> {
        if !self.fits(name, shape) {
            return Ok(self.placeholder()?.into());
        }
        if let (Source::Files(stored), true) = (&self.source, self.backend.is_host())
            && let Some(blocks) = stored.blocks(name)?
        {
            return Ok(match self.terms {
                None => Weight::Blocks(blocks),
                Some(terms) => Weight::Panels(Panels::of_blocks(blocks, terms)?),
            });
        }
        match (self.read(name)?, self.terms) {
            (None, _) => Ok(self.placeholder()?.into()),
            (Some(tensor), Some(terms)) => Ok(Weight::Panels(Panels::new(&tensor, terms)?)),
            (Some(tensor), None) => Ok(self.placed(&tensor)?.into()),
        }
    }

    /// Whether two of the tensors are not the same numbers.
    pub fn differ(&self, a: &str, b: &str) -> Result<bool> {
        if let Source::Files(stored) = &self.source {
            return not_the_same(stored, a, b);
        }
        match (self.read(a)?, self.read(b)?) {
            (Some(a), Some(b)) => differ(&a, &b),
            _ => Ok(true),
        }
    }

    /// Removes a tensor that nothing needs.
    pub fn drop(&mut self, name: &str) {
        self.left.remove(name);
    }

    /// Notes a misfit.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// All is well, or every problem in one error.
    pub fn finish(mut self, folder: &Path) -> Result<()> {
        // old checkpoints carry the rotary frequencies, which the config gives
        let left = self.left.into_iter().filter(|name| !name.ends_with("rotary_emb.inv_freq"));
        self.problems.extend(left.map(|name| format!("{name}: not part of this architecture")));
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::Weights { path: folder.to_path_buf(), problems: self.problems })
    }
}
