//! What every verb needs beside its inputs: where results are kept, where to compute, how to show progress.

use crate::error::{Error, Result};
use crate::model::{Checkpoint, Decoder, DeviceChoice, open_device};
use crate::progress::Progress;
use crate::store::{Fingerprint, Store, file_hash};
use crate::tokens::Tokenizer;
use crate::{adapter, chat::Conversation, tokens};
use candle_core::Device;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

/// The first argument of every verb.
#[derive(Debug)]
pub struct Context {
    /// Where results are kept.
    pub store: Store,
    /// Where to compute.
    pub device: Device,
    /// How progress is shown.
    pub progress: Progress,
    /// Runs that are computed side by side on a CPU, each on one thread.
    pub workers: usize,
    /// Hashes of files read before.
    hashes: Mutex<Hashes>,
    /// What was said already.
    advised: Mutex<HashSet<String>>,
    /// Checkpoints that were looked at for contradictions, and what was said of them.
    said: Mutex<(HashSet<Checkpoint>, HashSet<String>)>,
}

/// Hash of each file, with the size and time for which it holds.
type Hashes = HashMap<PathBuf, (u64, Option<SystemTime>, String)>;

/// A checkpoint opened for inference.
#[derive(Debug)]
pub struct Opened {
    /// The weights, adapter folded in.
    pub decoder: Decoder,
    /// The model's tokenizer and chat template.
    pub tokenizer: Tokenizer,
    /// Ids at which the model stops: those of its configs and of its tokenizer.
    pub stop_ids: Vec<u32>,
}

impl Context {
    /// Results in `store`, computed on `device`, with as many workers as there are processors.
    pub fn new(store: Store, device: DeviceChoice, progress: Progress) -> Result<Self> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            store,
            device: open_device(device)?,
            progress,
            workers,
            hashes: Mutex::default(),
            advised: Mutex::default(),
            said: Mutex::default(),
        })
    }

    /// For a notebook: results in the store that commands use too, computed on the processor, progress in lines below the cell.
    ///
    /// # Errors
    /// As [`Store::choose`].
    pub fn in_notebook() -> Result<Self> {
        Self::new(Store::choose(None)?, DeviceChoice::Cpu, Progress::lines())
    }

    /// Reads a checkpoint for inference, its adapter folded into the weights.
    pub fn open(&self, checkpoint: &Checkpoint) -> Result<Opened> {
        let mut model = checkpoint.load_base(&self.device)?;
        if let Some(folder) = &checkpoint.adapter {
            let base = model.decoder.detached()?;
            adapter::load(&mut model.decoder, folder)?;
            model.decoder = match checkpoint.adapter_scale {
                None => model.decoder.merged()?,
                Some(scale) => model.decoder.merged_by(scale.get(), &base)?,
            };
        }
        let tokenizer = self.tokenizer(checkpoint)?;
        let rows = model.decoder.config.vocab_size;
        if let Some(end) = tokenizer.end_of_turn().filter(|id| *id as usize >= rows) {
            let problem = format!(
                "ends an answer with {:?}, whose id {end} is beyond the model's embedding of {rows} rows: the model cannot write it",
                tokenizer.piece(end)
            );
            let template = tokenizer.template().map(|template| template.path());
            return Err(Error::file(template.unwrap_or(tokenizer.folder()), problem));
        }
        let mut stop_ids = model.stop_ids;
        stop_ids.extend(tokenizer.stop_ids().into_iter().filter(|id| (*id as usize) < rows));
        stop_ids.sort_unstable();
        stop_ids.dedup();
        Ok(Opened { decoder: model.decoder, tokenizer, stop_ids })
    }

    /// Says once in what the checkpoint's files contradict each other, see [`Checkpoint::contradictions`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn mention_contradictions(&self, checkpoint: &Checkpoint) -> Result<()> {
        let mut said = self.said.lock().unwrap_or_else(|broken| broken.into_inner());
        if said.0.contains(checkpoint) {
            return Ok(());
        }
        for found in checkpoint.contradictions()? {
            if said.1.insert(found.clone()) {
                self.progress.note(&format!("note: {found}"));
            }
        }
        said.0.insert(checkpoint.clone());
        Ok(())
    }

    /// The tokenizer of a checkpoint, with the options of its template: a text with a token that the model's embedding has no row for is
    /// refused. What a person should know of it is said once.
    pub fn tokenizer(&self, checkpoint: &Checkpoint) -> Result<Tokenizer> {
        let tokenizer = checkpoint.tokenizer()?.within(checkpoint.config()?.vocab_size);
        for advice in tokenizer.advice(&checkpoint.stop_ids()?) {
            let mut advised = self.advised.lock().unwrap_or_else(|broken| broken.into_inner());
            if advised.insert(advice.clone()) {
                self.progress.note(&format!("warning: {advice}"));
            }
        }
        Ok(tokenizer)
    }

    /// What a result depends on through `checkpoint`: weights, adapter, tokenizer, template, and the version of this crate.
    ///
    /// What contradicts itself in the checkpoint's files is said on the way, once.
    pub fn fingerprint(&self, checkpoint: &Checkpoint) -> Result<Fingerprint> {
        self.mention_contradictions(checkpoint)?;
        let mut fingerprint = Fingerprint::new()
            .with("crate", env!("CARGO_PKG_VERSION"))?
            .with("device", &format!("{:?}", self.device.location()))?
            .with("tokenizer", checkpoint.tokenizer()?.fingerprint())?;
        for file in checkpoint.weight_files()? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            fingerprint = fingerprint.with(&name, &self.hash(file)?)?;
        }
        match checkpoint.adapter_scale {
            Some(scale) => fingerprint.with("adapter_scale", &scale),
            None => Ok(fingerprint),
        }
    }

    /// SHA-256 of a file, read once for as long as its size and time stay.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn hash(&self, path: PathBuf) -> Result<String> {
        let seen = std::fs::metadata(&path).map_err(Error::io("looking at", &path))?;
        let (size, time) = (seen.len(), seen.modified().ok());
        let known = |hashes: &Hashes| {
            let (s, t, hash) = hashes.get(&path)?;
            (*s == size && *t == time && time.is_some()).then(|| hash.clone())
        };
        if let Some(hash) = known(&self.hashes.lock().unwrap_or_else(|broken| broken.into_inner()))
        {
            return Ok(hash);
        }
        let hash = file_hash(&path)?;
        let mut hashes = self.hashes.lock().unwrap_or_else(|broken| broken.into_inner());
        hashes.insert(path, (size, time, hash.clone()));
        Ok(hash)
    }
}

impl Opened {
    /// The ids of a question, ready for the answer.
    pub fn question(&self, prompt: &str) -> Result<Vec<u32>> {
        Ok(tokens::prompt(&self.tokenizer, &Conversation::question(prompt).messages)?.ids)
    }
}
