//! GGUF files: what llama.cpp, Ollama and LM Studio keep a model in.
//!
//! One file holds everything that a folder in Hugging Face layout has in several. Here it is read as if it were that folder:
//!
//! | of the folder | made from |
//! |---|---|
//! | `config.json` | the sizes in the metadata, and what is known of the architecture: [`Gguf::config`] |
//! | `generation_config.json` | the ids that end a text, a turn or a message: [`Gguf::generation_config`] |
//! | `tokenizer.json`, `tokenizer_config.json` | vocabulary, merges or scores, kinds of tokens, the chat templates: [`Gguf::tokenizer`], [`Gguf::tokenizer_config`] |
//! | `model.safetensors` | the tensors under their names in Hugging Face's layout, blocks unpacked to f32: [`Gguf::tensor`] |
//!
//! A file is known by how it begins, not by its name, so that a file of Ollama's store is read by its path.
//!
//! The traps: `ffn_norm` and `post_attention_norm` change their meaning with the architecture; llama's files have the rows of q and k in another
//! order; Gemma's have 1 added to each norm; and much is not in the file, such as Gemma's rotary base of windowed layers. The tensors come out in
//! the order and the meaning that transformers gives them, so that an adapter fits the model's folder as well.
//!
//! Matrices stay in their blocks in memory ([`Gguf::blocks`]), and are unpacked part by part while a product runs, so that a model takes
//! about as much memory as its file. Norms and biases are unpacked when they are read.
//!
//! candle has a reader for the format, too. This crate has its own because candle's divides by an alignment of 0, takes 32 bytes for a byte of an
//! array, multiplies sizes without looking for overflow, and does not say which tensor is of a kind that it does not know. What it unpacks is
//! what is unpacked here, to the bit.

mod architecture;
mod blocks;
mod header;
mod kind;
mod tokenizer;

pub use blocks::Blocks;
#[cfg(test)]
pub(crate) use blocks::tests as blocks_of_tests;

use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use header::{Header, TensorAt};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

/// How a GGUF file begins.
const MAGIC: &[u8; 4] = b"GGUF";

/// A GGUF file whose header was read; the tensors stay on disk.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    header: Header,
    architecture: architecture::Architecture,
    /// Names in Hugging Face's layout, each with the name in the file.
    names: BTreeMap<String, String>,
    tokenizer: OnceLock<Arc<Vec<u8>>>,
}

/// A file that was read, with the size and time for which that holds.
type Known = (PathBuf, u64, Option<SystemTime>, Arc<Gguf>);

impl Gguf {
    /// Whether the file at `path` begins as a GGUF file does.
    pub fn is_one(path: &Path) -> bool {
        let mut magic = [0; 4];
        path.is_file()
            && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
            && &magic == MAGIC
    }

    /// The file at `path` if it is one, whatever its name; `None` if it is something else, or nothing is there.
    ///
    /// # Errors
    /// As [`Gguf::open`].
    pub fn at(path: &Path) -> Result<Option<Arc<Self>>> {
        Self::is_one(path).then(|| Self::open(path)).transpose()
    }

    /// Reads the header of the file at `path`; one that was read before is not read again while its size and time stay.
    ///
    /// # Errors
    /// When the file is cut off or contradicts itself, or holds an architecture or a kind of block that is not known here.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        /// Files that are remembered.
        const FILES: usize = 4;
        static READ: Mutex<Vec<Known>> = Mutex::new(Vec::new());
        let seen = std::fs::metadata(path).map_err(Error::io("looking at the model", path))?;
        let (size, time) = (seen.len(), seen.modified().ok());
        let lock = || READ.lock().unwrap_or_else(|broken| broken.into_inner());
        let known = |(of, s, t, _): &&Known| of == path && (*s, *t) == (size, time);
        if let Some((.., found)) = lock().iter().find(known).filter(|_| time.is_some()) {
            return Ok(found.clone());
        }
        let read = Arc::new(Self::read(path)?);
        let mut files = lock();
        files.retain(|(of, ..)| of != path);
        files.truncate(FILES - 1);
        files.insert(0, (path.to_path_buf(), size, time, read.clone()));
        Ok(read)
    }

    fn read(path: &Path) -> Result<Self> {
        let header = Header::read(path)?;
        let refused = |problem| Error::file(path, problem);
        let architecture = architecture::Architecture::of(&header).map_err(refused)?;
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for name in header.tensors.keys().filter(|name| !architecture::is_config(name)) {
            // a tensor that is not known keeps its name, and is refused as one that the architecture does not have
            let known = architecture.name(name).unwrap_or_else(|| name.clone());
            names.insert(known, name.clone());
        }
        let path = path.to_path_buf();
        Ok(Self { path, header, architecture, names, tokenizer: OnceLock::new() })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn wrong(&self, problem: String) -> Error {
        Error::file(&self.path, problem)
    }

    /// `config.json`, in the words of transformers.
    ///
    /// # Errors
    /// When a size is missing, or the file asks for something that is not known here.
    pub fn config(&self) -> Result<Value> {
        let mut config =
            self.architecture.config(&self.header).map_err(|problem| self.wrong(problem))?;
        if let Value::Object(generation) = self.generation_config()? {
            config.as_object_mut().into_iter().for_each(|fields| fields.extend(generation.clone()));
        }
        // the rotary factors are a tensor
        if let Some(factors) = self.header.tensors.get(architecture::ROPE_FACTORS) {
            let factors = self.unpacked(architecture::ROPE_FACTORS, factors)?.flatten_all()?;
            architecture::rope_factors(&mut config, &factors.to_vec1::<f32>()?)
                .map_err(|problem| self.wrong(problem))?;
        }
        Ok(config)
    }

    /// `generation_config.json`: the ids that begin a text and that end an answer.
    ///
    /// # Errors
    /// When an id is no id.
    pub fn generation_config(&self) -> Result<Value> {
        let id = |name: &str| {
            let key = format!("tokenizer.ggml.{name}_token_id");
            self.header.size(&key).map_err(|problem| self.wrong(problem))
        };
        let mut stops: Vec<u64> = Vec::new();
        for name in ["eos", "eot", "eom"] {
            stops.extend(id(name)?.filter(|id| !stops.contains(id)));
        }
        let mut config = Map::new();
        if let Some(bos) = id("bos")? {
            config.insert("bos_token_id".into(), bos.into());
        }
        match stops.as_slice() {
            [] => {}
            [one] => _ = config.insert("eos_token_id".into(), json!(one)),
            several => _ = config.insert("eos_token_id".into(), json!(several)),
        }
        Ok(config.into())
    }

    /// `tokenizer.json`.
    ///
    /// # Errors
    /// When the kind of tokenizer is not known here, or its parts do not fit each other.
    pub fn tokenizer(&self) -> Result<Arc<Vec<u8>>> {
        if let Some(made) = self.tokenizer.get() {
            return Ok(made.clone());
        }
        let made = tokenizer::json(&self.header, self.architecture.gemma())
            .map_err(|problem| self.wrong(problem))?;
        let bytes =
            serde_json::to_vec(&made).map_err(Error::library("writing the tokenizer of a GGUF"))?;
        Ok(self.tokenizer.get_or_init(|| Arc::new(bytes)).clone())
    }

    /// `tokenizer_config.json`, chat templates included.
    ///
    /// # Errors
    /// When a special token has an id that the vocabulary does not have, or a template is no text.
    pub fn tokenizer_config(&self) -> Result<Map<String, Value>> {
        tokenizer::config(&self.header, self.architecture.gemma())
            .map_err(|problem| self.wrong(problem))
    }

    /// The type in which a tensor of `kind` is written to a folder: its own if it is a plain one, else F16, whose 11 digits are nearest to what a
    /// block means.
    pub fn stored_as(kind: &str) -> &'static str {
        match kind {
            "F32" => "F32",
            "BF16" => "BF16",
            _ => "F16",
        }
    }

    /// Writes all of a folder in Hugging Face layout but the weights to `folder`; the names of the files.
    ///
    /// # Errors
    /// When a part cannot be made or written.
    pub fn write_beside(&self, folder: &Path) -> Result<Vec<String>> {
        let mut config = self.config()?;
        let has = |dtype| self.tensors().any(|(.., kind)| Self::stored_as(kind) == dtype);
        config["torch_dtype"] = match (has("F16"), has("BF16")) {
            (true, _) => "float16",
            (false, true) => "bfloat16",
            _ => "float32",
        }
        .into();
        let pretty = |value: &Value| {
            let text = serde_json::to_string_pretty(value);
            text.map(|text| text + "\n").map_err(Error::library("writing the parts of a GGUF"))
        };
        let files = [
            ("config.json", pretty(&config)?.into_bytes()),
            ("generation_config.json", pretty(&self.generation_config()?)?.into_bytes()),
            ("tokenizer.json", self.tokenizer()?.to_vec()),
            ("tokenizer_config.json", pretty(&self.tokenizer_config()?.into())?.into_bytes()),
        ];
        let mut written = Vec::new();
        for (name, bytes) in files {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(Error::io("writing", &path))?;
            written.push(name.to_string());
        }
        Ok(written)
    }

    /// The tensors: name in Hugging Face's layout, shape, and the kind in the file, such as `Q4_K`.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &'static str)> {
        self.names.iter().filter_map(|(name, own)| {
            let tensor = self.header.tensors.get(own)?;
            Some((name.as_str(), tensor.shape.as_slice(), tensor.kind.name))
        })
    }

    /// Bytes that the tensors take in a processor's memory: matrices as in the file, all else in f32.
    pub fn bytes_in_memory(&self) -> u64 {
        let tensors = self.names.values().filter_map(|own| self.header.tensors.get(own));
        let bytes = |tensor: &TensorAt| match tensor.shape.len() {
            2 => tensor.bytes as u64,
            _ => 4 * tensor.shape.iter().product::<usize>() as u64,
        };
        tensors.map(bytes).sum()
    }

    /// The tensor called `name` in Hugging Face's layout, unpacked to f32, its rows and numbers as transformers has them.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let (own, tensor) = self.find(name)?;
        let unpacked = self.unpacked(own, tensor)?;
        let unpacked = match self.order(own, tensor)? {
            None => unpacked,
            Some(order) => {
                let count = order.len();
                unpacked.index_select(&Tensor::from_vec(order, count, &Device::Cpu)?, 0)?
            }
        };
        Ok(if self.architecture.one_added(own) { (unpacked - 1.0)? } else { unpacked })
    }

    /// The matrix called `name` in Hugging Face's layout, in the blocks of the file, its rows as transformers has them; `None` if it is no matrix, or
    /// plain f32.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn blocks(&self, name: &str) -> Result<Option<Blocks>> {
        let (own, tensor) = self.find(name)?;
        let [rows, columns] = tensor.shape[..] else {
            return Ok(None);
        };
        if tensor.kind.name == "F32" || self.architecture.one_added(own) {
            return Ok(None);
        }
        let (bytes, order) = (self.bytes(tensor)?, self.order(own, tensor)?);
        let blocks = Blocks::new(tensor.kind, (rows, columns), bytes, order.as_deref());
        match blocks.is_finite() {
            true => Ok(Some(blocks)),
            false => Err(self.not_finite(own)),
        }
    }

    fn find(&self, name: &str) -> Result<(&String, &TensorAt)> {
        let own = self.names.get(name);
        let found = own.and_then(|own| self.header.tensors.get_key_value(own));
        found.ok_or_else(|| self.wrong(format!("has no tensor for {name}")))
    }

    /// The order in which transformers has the rows, where it is another.
    fn order(&self, name: &str, tensor: &TensorAt) -> Result<Option<Vec<u32>>> {
        let order = self.architecture.order(name, tensor.shape[0], &self.header);
        order.map_err(|problem| self.wrong(problem))
    }

    fn bytes(&self, tensor: &TensorAt) -> Result<Vec<u8>> {
        let mut file =
            File::open(&self.path).map_err(Error::io("reading the model", &self.path))?;
        let mut bytes = vec![0; tensor.bytes];
        file.seek(SeekFrom::Start(self.header.data + tensor.offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(Error::io("reading the model", &self.path))?;
        Ok(bytes)
    }

    fn unpacked(&self, name: &str, tensor: &TensorAt) -> Result<Tensor> {
        let bytes = self.bytes(tensor)?;
        let mut values = vec![0f32; tensor.shape.iter().product()];
        tensor.kind.unpack_into(&bytes, &mut values);
        match values.iter().fold(true, |all, value| all & value.is_finite()) {
            true => Ok(Tensor::from_vec(values, tensor.shape.as_slice(), &Device::Cpu)?),
            false => Err(self.not_finite(name)),
        }
    }

    fn not_finite(&self, name: &str) -> Error {
        self.wrong(format!(
            "{name} holds a number that is not finite; the weights are broken, get or make them again"
        ))
    }

    /// The tensor called `name` on `device`, as [`Gguf::tensor`] has it but of `dtype`.
    ///
    /// # Errors
    /// As [`Gguf::tensor`].
    pub fn tensor_as(&self, name: &str, device: &Device, dtype: DType) -> Result<Tensor> {
        Ok(self.tensor(name)?.to_dtype(dtype)?.to_device(device)?)
    }
}
