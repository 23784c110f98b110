//! Models of the Hugging Face hub, by name.
//!
//! A model is named `owner/name`, or `owner/name@revision` for a branch, a tag or a commit. It is looked for in the cache that
//! Python's `huggingface_hub` fills, through the same variables:
//!
//! | variable | says | else |
//! |---|---|---|
//! | `HF_HUB_CACHE` | where models lie | `$HF_HOME/hub` |
//! | `HF_HOME` | where everything of the hub lies | `$XDG_CACHE_HOME/huggingface`, `~/.cache/huggingface` |
//! | `HF_TOKEN`, `HF_TOKEN_PATH` | who asks | the file `$HF_HOME/token` |
//! | `HF_ENDPOINT` | which hub | `https://huggingface.co` |
//! | `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE` | never ask it | ask it for what is not in the cache |
//! | `HF_HUB_DOWNLOAD_TIMEOUT` | seconds to wait for the next bytes | 10 |
//!
//! In the names of folders `~`, `~user`, `$NAME` and `${NAME}` stand for what Python's `expanduser` and `expandvars` put there.
//!
//! ```
//! use unforget::hub::ModelId;
//! let id = ModelId::parse("google/gemma-2-2b-it@main").unwrap();
//! assert_eq!((id.owner.as_str(), id.name.as_str()), ("google", "gemma-2-2b-it"));
//! assert!(ModelId::parse("./models/gemma").is_none(), "a path");
//! ```
//!
//! Adapters in PEFT's format are named and found in the same way.
//!
//! What is not in the cache is fetched if the crate was built with the feature `download`, into the same layout, so that Python
//! finds it.
//!
//! A trap: a model that is whole in the cache is used as it is, and nobody asks the hub whether `main` has moved on. Name a commit to
//! be sure, as an experiment should.

#[cfg(feature = "download")]
mod download;

use crate::error::{Error, Result};
use crate::files::read_text;
use crate::progress::Progress;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Files of a model's folder that decide what ids a text has, with those in [`MORE_TEMPLATES`]: they are fetched with the weights, and a result
/// depends on them. All but the first may be absent. Others there, such as a README, change no result.
pub const TOKENIZER_FILES: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
];

/// A folder beside them, with chat templates that have a name.
pub const MORE_TEMPLATES: &str = "additional_chat_templates";

/// The file that says which ids end an answer; those of `config.json` do, too.
pub const GENERATION: &str = "generation_config.json";

/// A model's name on the hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelId {
    /// Who published it.
    pub owner: String,
    /// What it is called.
    pub name: String,
    /// A branch, a tag or a commit; `main` if nothing else is said.
    pub revision: String,
}

impl ModelId {
    /// Reads `owner/name` or `owner/name@revision`; `None` if it cannot be a name on the hub.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (owner, name) = id.split_once('/')?;
        let fits = |part: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let edge = |c: char| "-.".contains(c);
            let doubled = part.contains("--") || part.contains("..");
            !part.is_empty()
                && part.chars().all(known)
                && !part.starts_with(edge)
                && !part.ends_with(edge)
                && !doubled
        };
        let revision_fits = !revision.is_empty() && is_inside(Path::new(revision));
        (fits(owner) && fits(name) && revision_fits).then(|| Self {
            owner: owner.to_string(),
            name: name.to_string(),
            revision: revision.to_string(),
        })
    }

    /// Its folder in the cache.
    fn folder(&self) -> String {
        format!("models--{}--{}", self.owner, self.name)
    }
}

impl fmt::Display for ModelId {
    /// The name without the revision, if that is `main`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        match self.revision.as_str() {
            "main" => Ok(()),
            other => write!(f, "@{other}"),
        }
    }
}

/// A secret, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token as the hub gave it; `None` if it is blank.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_string()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The hub and its cache on this machine.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Folder with a folder for each model.
    pub cache: PathBuf,
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// Who asks.
    pub token: Option<Token>,
    /// Never to be asked.
    pub offline: bool,
    /// How long to wait for the next bytes.
    pub timeout: Duration,
    /// How often in a row to try again after a connection that brought nothing.
    pub retries: u32,
    /// How long to wait before the first new try; each further one waits twice as long.
    pub pause: Duration,
}

/// What a name is expected to lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Adapter,
}

impl Kind {
    /// Files without which a folder is none.
    fn needed(self) -> [&'static str; 2] {
        match self {
            Self::Model => ["config.json", "tokenizer.json"],
            Self::Adapter => ["adapter_config.json", "adapter_model.safetensors"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Adapter => "adapter",
        }
    }
}

/// A path as `os.path.expandvars(os.path.expanduser(path))` of Python gives it: what is not known stays as it is, and what is put in is not
/// expanded again.
fn expanded(path: &str, var: impl Fn(&str) -> Option<String>) -> String {
    let (user, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    let home = match user.strip_prefix('~') {
        Some("") => var("HOME").or_else(|| var("USERPROFILE")),
        Some(name) => home_of(name),
        None => None,
    };
    let path = match home {
        // as expanduser: a slash alone where nothing is left
        Some(home) => match format!("{}{rest}", home.trim_end_matches('/')) {
            path if path.is_empty() => "/".into(),
            path => path,
        },
        None => path.to_owned(),
    };
    let mut out = String::new();
    let mut rest = path.as_str();
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let named = &from[1..];
        let (name, length) = match named.strip_prefix('{').and_then(|braced| braced.split_once('}'))
        {
            Some((name, _)) => (name, name.len() + 3),
            None => {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = named.find(|c: char| !word(c)).unwrap_or(named.len());
                (&named[..end], end + 1)
            }
        };
        match var(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&from[..length]),
        }
        rest = &from[length..];
    }
    out + rest
}

/// The home of another user, by the system's list.
fn home_of(name: &str) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let own = users.lines().map(fields).find(|fields| fields[0] == name)?;
    own.get(5).cloned()
}

/// What the cache has of a model.
enum Cached {
    /// All of it, in this folder.
    Whole(PathBuf),
    /// A folder without these files.
    Part(PathBuf, Vec<String>),
    /// Nothing, under the revision asked for.
    Nothing,
}

impl Hub {
    /// The hub that the environment's variables name.
    pub fn from_env() -> Result<Self> {
        const FOLDERS: [&str; 7] = [
            "HOME",
            "USERPROFILE",
            "XDG_CACHE_HOME",
            "HF_HOME",
            "HF_HUB_CACHE",
            "HUGGINGFACE_HUB_CACHE",
            "HF_TOKEN_PATH",
        ];
        for name in FOLDERS {
            if std::env::var_os(name).is_some_and(|value| value.to_str().is_none()) {
                return Err(Error::invalid(name, "is not in UTF-8; name another folder"));
            }
        }
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// The hub that `var` names; a variable without content counts as none.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let raw = var;
        let var = |name: &str| raw(name).filter(|value| !value.trim().is_empty());
        let truth = |name: &str| {
            var(name).is_some_and(|value| {
                ["1", "ON", "YES", "TRUE"].contains(&value.trim().to_uppercase().as_str())
            })
        };
        let user = var("HOME").or_else(|| var("USERPROFILE")).map(PathBuf::from);
        let folder = |name: &str| Some(PathBuf::from(expanded(&var(name)?, &raw)));
        let home = folder("HF_HOME")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| Some(user.as_ref()?.join(".cache/huggingface")));
        let within = |name: &str| {
            home.as_ref().map(|home| home.join(name)).ok_or_else(|| {
                let problem = "is not set, and there is no HOME to look for the hub's cache in";
                Error::invalid("HF_HOME", problem)
            })
        };
        let cache = match folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE")) {
            Some(cache) => cache,
            None => within("hub")?,
        };
        let saved = || {
            let path = folder("HF_TOKEN_PATH").or_else(|| within("token").ok())?;
            std::fs::read_to_string(path).ok()
        };
        let token = var("HF_TOKEN")
            .or_else(|| var("HUGGING_FACE_HUB_TOKEN"))
            .or_else(saved)
            .filter(|_| !truth("HF_HUB_DISABLE_IMPLICIT_TOKEN"));
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_string());
        let endpoint = endpoint.trim().trim_end_matches('/').to_string();
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            let problem = format!("must begin with https:// or http://, got {endpoint:?}");
            return Err(Error::invalid("HF_ENDPOINT", problem));
        }
        let timeout = match var("HF_HUB_DOWNLOAD_TIMEOUT") {
            None => 10,
            Some(seconds) => match seconds.trim().parse() {
                Ok(seconds) if seconds > 0 => seconds,
                _ => {
                    let problem = format!("must be a number of seconds, got {seconds:?}");
                    return Err(Error::invalid("HF_HUB_DOWNLOAD_TIMEOUT", problem));
                }
            },
        };
        Ok(Self {
            cache,
            endpoint,
            token: token.and_then(|token| Token::new(&token)),
            offline: truth("HF_HUB_OFFLINE") || truth("TRANSFORMERS_OFFLINE"),
            timeout: Duration::from_secs(timeout),
            retries: 5,
            pause: Duration::from_secs(1),
        })
    }

    /// The folder of a model in Hugging Face layout: from the cache, else from the hub if the crate can download and may.
    ///
    /// # Errors
    /// Says where it was looked for, what is missing there, and how to get it; what the hub answered, where it was asked.
    pub fn model(&self, id: &ModelId, progress: &Progress) -> Result<PathBuf> {
        self.find(Kind::Model, id, progress)
    }

    /// The folder of an adapter in PEFT's format, as [`Hub::model`] finds a model's.
    ///
    /// # Errors
    /// As [`Hub::model`].
    pub fn adapter(&self, id: &ModelId, progress: &Progress) -> Result<PathBuf> {
        self.find(Kind::Adapter, id, progress)
    }

    fn find(&self, kind: Kind, id: &ModelId, progress: &Progress) -> Result<PathBuf> {
        let cached = match self.cached(kind, id)? {
            Cached::Whole(folder) => return Ok(folder),
            other => other,
        };
        #[cfg(feature = "download")]
        if !self.offline {
            return download::fetch(self, kind, id, progress);
        }
        // only downloads have something to show
        let _ = progress;
        Err(self.absent(kind, id, cached))
    }

    /// Names of the models in the cache, sorted.
    pub fn models(&self) -> Vec<String> {
        let folders = std::fs::read_dir(&self.cache).into_iter().flatten().flatten();
        let names = folders.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some(name.strip_prefix("models--")?.replace("--", "/"))
        });
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn cached(&self, kind: Kind, id: &ModelId) -> Result<Cached> {
        let folder = self.cache.join(id.folder());
        let reference = folder.join("refs").join(&id.revision);
        let commit = match reference.is_file() {
            true => std::fs::read_to_string(&reference)
                .map_err(Error::io("reading the cache", &reference))?
                .trim()
                .to_string(),
            false => id.revision.clone(),
        };
        let snapshot = folder.join("snapshots").join(&commit);
        if commit.is_empty() || !is_inside(Path::new(&commit)) || !snapshot.is_dir() {
            return Ok(Cached::Nothing);
        }
        let lacking = lacking(kind, &snapshot)?;
        Ok(match lacking.is_empty() {
            true => Cached::Whole(snapshot),
            false => Cached::Part(snapshot, lacking),
        })
    }

    /// Why there is no model, and the way out.
    fn absent(&self, kind: Kind, id: &ModelId, cached: Cached) -> Error {
        let folder = self.cache.join(id.folder());
        let ModelId { owner, name, revision } = id;
        let get = match (cfg!(feature = "download"), self.offline) {
            (true, true) => "unset HF_HUB_OFFLINE to have it downloaded".to_string(),
            (true, false) => "it can be downloaded".to_string(),
            (false, _) => {
                let revision = match revision.as_str() {
                    "main" => String::new(),
                    other => format!(" --revision {other}"),
                };
                format!(
                    "get it with `hf download {owner}/{name}{revision}`, build this program with `--features download`, or give a local folder"
                )
            }
        };
        match cached {
            Cached::Part(snapshot, lacking)
                if kind == Kind::Model && snapshot.join("adapter_config.json").is_file() =>
            {
                let hint = format!(
                    "{id} is an adapter; name the model it was made for, and it as its adapter"
                );
                Error::missing(lacking.join(", "), snapshot, hint)
            }
            Cached::Part(snapshot, lacking) => {
                // what Python keeps in its older form, the hub may not have in another
                let pickled = std::fs::read_dir(&snapshot).into_iter().flatten().flatten();
                let mut pickled = pickled.map(|entry| entry.file_name());
                let convert = match pickled.find(|name| name.to_string_lossy().ends_with(".bin")) {
                    Some(name) => format!(
                        "; {} beside it is not read here, and must be saved again as safetensors if that is all there is",
                        name.to_string_lossy()
                    ),
                    None => String::new(),
                };
                Error::missing(
                    lacking.join(", "),
                    snapshot,
                    format!("the cache has only a part of {id}; {get}{convert}"),
                )
            }
            _ if folder.is_dir() => {
                let known = self.revisions(&folder);
                let known = match known.is_empty() {
                    true => "none".to_string(),
                    false => known.join(", "),
                };
                Error::missing(
                    format!("revision {revision}"),
                    folder,
                    format!(
                        "the cache has of {owner}/{name}: {known}; name one as {owner}/{name}@REVISION, or {get}"
                    ),
                )
            }
            _ => {
                let asked = format!("{owner}/{name}");
                let others = self.models();
                let other = others.iter().find(|other| other.eq_ignore_ascii_case(&asked));
                let similar = other.map_or(String::new(), |other| format!("there is {other}; "));
                Error::missing(
                    format!("{} {asked}", kind.name()),
                    &self.cache,
                    format!(
                        "{similar}nor is there a folder {asked}; {get}; HF_HUB_CACHE and HF_HOME say where the cache is"
                    ),
                )
            }
        }
    }

    /// References and commits of a model in the cache; a reference to a commit that is not there does not count.
    fn revisions(&self, folder: &Path) -> Vec<String> {
        let names = |below: &str| {
            let entries = std::fs::read_dir(folder.join(below));
            let entries = entries.into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            names.collect::<BTreeSet<_>>()
        };
        let commits = names("snapshots");
        let mut known = names("refs");
        known.retain(|name| {
            std::fs::read_to_string(folder.join("refs").join(name))
                .is_ok_and(|commit| commits.contains(commit.trim()))
        });
        known.into_iter().chain(commits).collect()
    }
}

/// The folder of a model that a user named: a local folder, else a model of the hub.
///
/// # Errors
/// As [`Hub::model`] if it is the name of a hub's model. Whether a local folder holds a model is not looked at here.
pub fn folder(name: &str, progress: &Progress) -> Result<PathBuf> {
    let path = PathBuf::from(name);
    if path.exists() {
        return Ok(path);
    }
    match ModelId::parse(name) {
        Some(id) => Hub::from_env()?.model(&id, progress),
        None => Ok(path),
    }
}

/// The folder of an adapter that a user named: a local folder, else an adapter of the hub.
///
/// # Errors
/// As [`Hub::adapter`] if it is the name of a hub's adapter. Whether a local folder holds an adapter is not looked at here.
pub fn adapter_folder(name: &Path, progress: &Progress) -> Result<PathBuf> {
    match name.to_str().and_then(ModelId::parse) {
        Some(id) if !name.exists() => Hub::from_env()?.adapter(&id, progress),
        _ => Ok(name.to_path_buf()),
    }
}

/// Weights in one file.
const WEIGHTS: &str = "model.safetensors";
/// The list of their shards.
const INDEX: &str = "model.safetensors.index.json";

/// What a folder lacks.
fn lacking(kind: Kind, folder: &Path) -> Result<Vec<String>> {
    // a link into the cache whose file was deleted is no file
    let has = |name: &str| folder.join(name).is_file();
    let needed = kind.needed().into_iter();
    let mut lacking: Vec<String> =
        needed.filter(|name| !has(name)).map(|name| name.to_string()).collect();
    if kind == Kind::Adapter {
        return Ok(lacking);
    }
    if has(INDEX) && !has(WEIGHTS) {
        let shards = shards(&folder.join(INDEX))?;
        lacking.extend(shards.into_iter().filter(|shard| !has(shard)));
    } else if !has(WEIGHTS) {
        lacking.push(WEIGHTS.to_string());
    }
    Ok(lacking)
}

/// The shards that an index of weights names.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let text = read_text(index, "reading the index")?;
    let json: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Error::file(index, format!("is no JSON ({error}); delete it")))?;
    let names = json["weight_map"].as_object().into_iter().flatten();
    let shards: BTreeSet<String> =
        names.filter_map(|(_, shard)| Some(shard.as_str()?.to_string())).collect();
    match shards.iter().find(|shard| !is_inside(Path::new(shard))) {
        Some(shard) => {
            let problem = format!("names {shard:?}, which is outside of the model's folder");
            Err(Error::file(index, problem))
        }
        None if shards.is_empty() => Err(Error::file(index, "names no shards")),
        None => Ok(shards),
    }
}

/// A relative path that stays where it begins.
fn is_inside(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}
