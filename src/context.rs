//! What every verb needs beside its inputs: where results are kept, where to compute, how to show progress.

use crate::dataset::Example;
use crate::error::{Error, Result, Word};
use crate::hub::{GENERATION, MORE_TEMPLATES, TOKENIZER_FILES};
use crate::model::{Backend, Checkpoint, Decoder, DeviceChoice, Model, Precision, open_device};
use crate::progress::Progress;
use crate::store::{Fingerprint, Store, check_written, file_hash, marked_hash};
use crate::task::{Item, graders};
use crate::tokens::Tokenizer;
use crate::{adapter, chat::Conversation, tokens};
use candle_core::DeviceLocation;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

/// What a fingerprint calls a model that is one file.
pub(crate) const GGUF: &str = "model.gguf";

/// The first argument of every verb.
#[derive(Debug)]
pub struct Context {
    /// Where results are kept.
    pub store: Store,
    /// Where and how to compute.
    pub device: Backend,
    /// What fingerprints call the device that results are of: this one, or one of another machine.
    named: String,
    /// In what products with frozen weights are computed on a processor, where a checkpoint does not say it itself; if absent, what
    /// [`Checkpoint::default_precision`] says.
    pub precision: Option<Precision>,
    /// How progress is shown.
    pub progress: Progress,
    /// Runs that are computed side by side on a CPU, each on one thread.
    pub workers: usize,
    /// Hashes of files read before.
    hashes: Mutex<Hashes>,
    /// Checkpoints that were looked at for contradictions.
    looked_at: Mutex<HashSet<Checkpoint>>,
    /// What was said already.
    said: Mutex<HashSet<String>>,
    /// Folders of the store whose results were used, made now or before.
    used: Mutex<BTreeSet<PathBuf>>,
}

/// Hash of each file, with the size and time for which it holds.
type Hashes = HashMap<PathBuf, (u64, Option<SystemTime>, String)>;

/// A checkpoint opened for inference.
#[derive(Debug)]
pub struct LoadedModel {
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
        let device = open_device(device)?;
        Ok(Self {
            store,
            named: device.name(),
            device,
            precision: None,
            progress,
            workers,
            hashes: Mutex::default(),
            looked_at: Mutex::default(),
            said: Mutex::default(),
            used: Mutex::default(),
        })
    }

    /// For looking at results that other machines make on `device`, which this one may lack. What is not finished is refused, with `hint`.
    ///
    /// # Errors
    /// As [`Context::new`] on the processor.
    pub fn looking_on(
        store: Store,
        device: DeviceChoice,
        progress: Progress,
        hint: &'static str,
    ) -> Result<Self> {
        let store = store.sealed(hint);
        let location = match device {
            DeviceChoice::Cuda(gpu_id) => DeviceLocation::Cuda { gpu_id },
            DeviceChoice::Metal => DeviceLocation::Metal { gpu_id: 0 },
            here => return Self::new(store, here, progress),
        };
        let cx = Self::new(store, DeviceChoice::Cpu, progress)?;
        Ok(Self { named: format!("{location:?}"), ..cx })
    }

    /// For a notebook: results in the store that commands use too, computed on the processor, progress in lines below the cell.
    ///
    /// # Errors
    /// As [`Store::choose`].
    pub fn in_notebook() -> Result<Self> {
        Self::new(Store::choose(None)?, DeviceChoice::Cpu, Progress::lines())
    }

    /// In what the products of `checkpoint` are computed here: what it says itself, or else [`Context::precision`], or else what suits its weights;
    /// f32 where the processor has no instruction for bf16.
    pub fn precision_of(&self, checkpoint: &Checkpoint) -> Precision {
        let asked = checkpoint.precision.or(self.precision);
        let asked = asked.unwrap_or_else(|| checkpoint.default_precision());
        match self.named == self.device.name() {
            true => asked.usable(&self.device),
            // a GPU's, which has its own
            false => Precision::F32,
        }
    }

    /// What fingerprints call the device, such as `Cpu`: this one, or that of the machine whose results are looked at.
    pub fn device_name(&self) -> String {
        self.named.clone()
    }

    /// Reads a checkpoint's weights without its adapter, in the precision that [`Context::precision_of`] says.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn load_base(&self, checkpoint: &Checkpoint) -> Result<Model> {
        checkpoint.load_base_in(&self.device, self.precision_of(checkpoint))
    }

    /// Reads a checkpoint for inference, its adapter folded into the weights, or beside those that are held in bf16.
    pub fn open(&self, checkpoint: &Checkpoint) -> Result<LoadedModel> {
        let mut model = self.load_base(checkpoint)?;
        if let Some(folder) = &checkpoint.adapter {
            let biases = model.decoder.biases();
            adapter::load(&mut model.decoder, folder)?;
            let scale = checkpoint.adapter_scale.map(|scale| (scale.get(), biases.as_slice()));
            model.decoder = model.decoder.into_merged(scale)?;
        }
        self.loaded(checkpoint, model)
    }

    /// With the words of `checkpoint`, whose weights `model` has already.
    pub(crate) fn loaded(&self, checkpoint: &Checkpoint, model: Model) -> Result<LoadedModel> {
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
        Ok(LoadedModel { decoder: model.decoder, tokenizer, stop_ids })
    }

    /// Says once in what the checkpoint's files contradict each other, see [`Checkpoint::contradictions`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn mention_contradictions(&self, checkpoint: &Checkpoint) -> Result<()> {
        let mut looked_at = self.looked_at.lock().unwrap_or_else(|broken| broken.into_inner());
        if !looked_at.contains(checkpoint) {
            for found in checkpoint.contradictions()? {
                self.say_once(&format!("note: {found}"));
            }
            looked_at.insert(checkpoint.clone());
        }
        Ok(())
    }

    /// Says once what `examples` hold that no text of theirs shows, see [`Tokenizer::unread`].
    pub fn mention_unread(&self, tokenizer: &Tokenizer, examples: &[Example]) {
        const NAMED: usize = 8;
        let unread = tokenizer.unread(examples);
        if unread.is_empty() {
            return;
        }
        let more = if unread.len() > NAMED { ", …" } else { "" };
        let named: Vec<String> =
            unread.iter().take(NAMED).map(|key| Word(key).to_string()).collect();
        let reader = match tokenizer.template() {
            Some(template) => {
                format!("the chat template {} never reads", template.path().display())
            }
            None => format!(
                "the model in {} has no chat template, and without one nothing reads",
                tokenizer.folder().display()
            ),
        };
        self.say_once(&format!(
            "warning: {reader} {}{more}, which the data have: the model does not see it; write it into the content, take it out of the data, or take a model whose template reads it",
            named.join(", ")
        ));
    }

    /// Notes that a result of the store was used.
    pub(crate) fn use_result(&self, folder: &Path) {
        let mut used = self.used.lock().unwrap_or_else(|broken| broken.into_inner());
        used.insert(folder.to_path_buf());
    }

    /// The folders of all results that were used since the last call of this.
    pub(crate) fn take_used(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut *self.used.lock().unwrap_or_else(|broken| broken.into_inner()))
    }

    fn say_once(&self, line: &str) {
        let mut said = self.said.lock().unwrap_or_else(|broken| broken.into_inner());
        if said.insert(line.to_owned()) {
            self.progress.note(line);
        }
    }

    /// The tokenizer of a checkpoint, with the options of its template: a text with a token that the model's embedding has no row for is
    /// refused. What a person should know of it is said once.
    pub fn tokenizer(&self, checkpoint: &Checkpoint) -> Result<Tokenizer> {
        let tokenizer = checkpoint.tokenizer()?.within(checkpoint.config()?.vocab_size);
        for advice in tokenizer.advice(&checkpoint.stop_ids()?) {
            self.say_once(&format!("warning: {advice}"));
        }
        Ok(tokenizer)
    }

    /// What a result depends on through `checkpoint`: weights, configuration, adapter, whatever makes ids of a text, and the version of this
    /// crate. This is all for what reads ids and gives numbers.
    ///
    /// What each verb reads, beside what it is given:
    ///
    /// | kind of result | reads |
    /// |---|---|
    /// | `scores`, `ledger`, `finetune` and `finetune-by-epoch` of an adapter | this |
    /// | `evaluate`, `pool`, `nudge`, `finetune` with probe sets | this, and [`Context::fingerprint_of_answers`]: what ends an answer and what grades it |
    /// | `merged`, `finetune` of a whole model | the same, since they copy it |
    ///
    /// What contradicts itself in the checkpoint's files is said on the way, once.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fingerprint(&self, checkpoint: &Checkpoint) -> Result<Fingerprint> {
        self.mention_contradictions(checkpoint)?;
        let mut fingerprint = Fingerprint::new()
            .with("crate", env!("CARGO_PKG_VERSION"))?
            .with("device", &self.device_name())?
            .with("tokenizer", checkpoint.tokenizer()?.fingerprint())?
            .with("words", &self.words(&checkpoint.model)?)?;
        for file in checkpoint.weight_files()? {
            let name = match file == checkpoint.model {
                // whatever its name: it may lie in another program's store
                true => GGUF.into(),
                false => file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            };
            let hash = self.hash(file.clone())?;
            if marked_hash(&file).is_some_and(|written| written != hash) {
                let file = file.display();
                self.say_once(&format!("note: {file} was changed since `unforget` wrote it there"));
            }
            fingerprint = fingerprint.with(&name, &hash)?;
        }
        let precision = self.precision_of(checkpoint);
        if precision != Precision::F32 {
            fingerprint = fingerprint.with("precision", &precision)?;
        }
        match checkpoint.adapter_scale {
            Some(scale) => fingerprint.with("adapter_scale", &scale),
            None => Ok(fingerprint),
        }
    }

    /// [`Context::fingerprint`] of what answers questions, too, and what grades the answers: the ids that end one, and the version of each grader that
    /// `items` have.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fingerprint_of_answers<'a>(
        &self,
        checkpoint: &Checkpoint,
        items: impl IntoIterator<Item = &'a Item>,
    ) -> Result<Fingerprint> {
        self.fingerprint(checkpoint)?
            .with("stops", &self.stops(&checkpoint.model)?)?
            .with("graders", &graders(items))
    }

    /// SHA-256 of each file that makes ids of a text.
    pub(crate) fn words(&self, model: &Path) -> Result<BTreeMap<String, String>> {
        let mut files: Vec<PathBuf> = TOKENIZER_FILES.iter().map(|name| model.join(name)).collect();
        let more = model.join(MORE_TEMPLATES);
        if more.is_dir() {
            for entry in std::fs::read_dir(&more).map_err(Error::io("listing", &more))? {
                files.push(entry.map_err(Error::io("listing", &more))?.path());
            }
        }
        let named = |path: PathBuf| {
            let name = path.strip_prefix(model).unwrap_or(&path).to_string_lossy().into_owned();
            Ok((name, self.hash(path)?))
        };
        files.into_iter().filter(|path| path.is_file()).map(named).collect()
    }

    /// SHA-256 of the file that says what ends an answer, if there is one.
    pub(crate) fn stops(&self, model: &Path) -> Result<Option<String>> {
        let path = model.join(GENERATION);
        path.is_file().then(|| self.hash(path)).transpose()
    }

    /// SHA-256 of a file, read once for as long as its size and time stay. One that a run of the store wrote must be as it was written.
    ///
    /// # Errors
    /// When it cannot be read, or was changed since a run wrote it.
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
        check_written(&path)?;
        let hash = file_hash(&path)?;
        let mut hashes = self.hashes.lock().unwrap_or_else(|broken| broken.into_inner());
        hashes.insert(path, (size, time, hash.clone()));
        Ok(hash)
    }
}

impl LoadedModel {
    /// The ids of a question, ready for the answer.
    pub fn question(&self, prompt: &str) -> Result<Vec<u32>> {
        Ok(tokens::prompt(&self.tokenizer, &Conversation::question(prompt).messages)?.ids)
    }
}
