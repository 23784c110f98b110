//! Fetching a model from the hub into the cache.
//!
//! A file is asked for with HEAD, which tells its hash, then with GET into `blobs/HASH.incomplete`. What is there already is not
//! fetched again: a cut connection, now or in an earlier call, resumes (`Range`). Only content that has the hash gets
//! its name in `blobs/`, the link in `snapshots/COMMIT/`, and, when all files are there, `refs/REVISION`.

use super::{
    GENERATION, Hub, INDEX, Kind, MORE_TEMPLATES, ModelId, TOKENIZER_FILES, Token, WEIGHTS,
    is_inside, lacking, shards,
};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::store::{file_hash, hex, read_pieces, write_atomic};
use sha1::{Digest, Sha1};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// Makes the model whole in the cache.
pub(super) fn fetch(hub: &Hub, kind: Kind, id: &ModelId, progress: &Progress) -> Result<PathBuf> {
    let folder = hub.cache.join(id.folder());
    let fetching = Fetching { hub, kind, id, progress, agent: agent(hub), folder };
    let listing = fetching.listing()?;
    let snapshot = fetching.folder.join("snapshots").join(&listing.commit);
    let beside = |name: &str| match kind {
        Kind::Model => {
            let template = Path::new(name).parent() == Some(Path::new(MORE_TEMPLATES));
            ["config.json", GENERATION].contains(&name)
                || TOKENIZER_FILES.contains(&name)
                || template
        }
        Kind::Adapter => kind.needed().contains(&name),
    };
    for name in listing.files.iter().filter(|name| beside(name)) {
        fetching.file(&listing.commit, &snapshot, name)?;
    }
    if kind == Kind::Adapter {
        // both files are there
    } else if listing.has(WEIGHTS) {
        fetching.file(&listing.commit, &snapshot, WEIGHTS)?;
    } else {
        fetching.file(&listing.commit, &snapshot, INDEX)?;
        for shard in shards(&snapshot.join(INDEX))? {
            fetching.file(&listing.commit, &snapshot, &shard)?;
        }
    }
    let lacking = lacking(kind, &snapshot)?;
    if !lacking.is_empty() {
        let hint = "it was there a moment ago; does something clean the cache?";
        return Err(Error::missing(lacking.join(", "), snapshot, hint));
    }
    if id.revision != listing.commit {
        // without a line break, as huggingface_hub reads it
        let reference = fetching.folder.join("refs").join(&id.revision);
        write_atomic(&reference, listing.commit.as_bytes())?;
    }
    Ok(snapshot)
}

fn agent(hub: &Hub) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        // redirects are followed here, because the token must not leave the hub
        .max_redirects(0)
        .max_redirects_will_error(false)
        // a file that is packed on its way could not be continued
        .accept_encoding("identity")
        .user_agent(concat!("unforget/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(hub.timeout))
        .timeout_recv_response(Some(hub.timeout))
        .timeout_per_read(Some(hub.timeout));
    let host = host(&hub.endpoint);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if ["localhost", "127.0.0.1", "[::1]"].contains(&name) {
        config = config.proxy(None);
    }
    config.build().into()
}

struct Fetching<'a> {
    hub: &'a Hub,
    kind: Kind,
    id: &'a ModelId,
    progress: &'a Progress,
    agent: Agent,
    /// The model's folder in the cache.
    folder: PathBuf,
}

/// What a revision holds.
struct Listing {
    commit: String,
    files: Vec<String>,
}

impl Listing {
    fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file == name)
    }
}

/// What HEAD tells of a file.
struct Facts {
    /// SHA-256 of a large file, git's hash of a small one.
    hash: String,
    size: Option<u64>,
}

impl Fetching<'_> {
    /// The commit that the revision means, and its files; refused if they are no model that can be opened here.
    fn listing(&self) -> Result<Listing> {
        let ModelId { owner, name, revision } = self.id;
        let url = format!(
            "{}/api/models/{owner}/{name}/revision/{}",
            self.hub.endpoint,
            encode(revision, "")
        );
        let mut response = self.steady(&url, || self.get(&url, None))?;
        self.check(&response, "the list of its files")?;
        let odd = |problem: String| self.refused(&format!("{url} answers without {problem}"));
        let json: serde_json::Value = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_vec()
            .map_err(|error| self.unreachable(&url, error))
            .and_then(|bytes| {
                serde_json::from_slice(&bytes).map_err(|error| odd(format!("JSON ({error})")))
            })?;
        let commit = json["sha"].as_str().unwrap_or_default().to_string();
        if commit.len() != 40 || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(odd("a commit".to_string()));
        }
        let files = json["siblings"].as_array().into_iter().flatten();
        let files: Vec<String> =
            files.filter_map(|file| Some(file["rfilename"].as_str()?.to_string())).collect();
        let listing = Listing { commit, files };
        let needed = self.kind.needed().into_iter();
        let lost: Vec<&str> = needed.filter(|name| !listing.has(name)).collect();
        if !lost.is_empty() {
            let problem =
                format!("has no {} on the hub; it cannot be opened here", lost.join(" and no "));
            return Err(self.refused(&problem));
        }
        if self.kind == Kind::Model && !listing.has(WEIGHTS) && !listing.has(INDEX) {
            let problem = "has no weights as model.safetensors on the hub; other forms must be converted first, with `save_pretrained` in Python for example";
            return Err(self.refused(problem));
        }
        Ok(listing)
    }

    /// Fetches a file unless it is there, and links it into the snapshot.
    fn file(&self, commit: &str, snapshot: &Path, name: &str) -> Result<()> {
        let link = snapshot.join(name);
        if link.is_file() {
            return Ok(());
        }
        let ModelId { owner, name: model, .. } = self.id;
        let url =
            format!("{}/{owner}/{model}/resolve/{commit}/{}", self.hub.endpoint, encode(name, "/"));
        let facts = self.facts(&url, name)?;
        let blob = self.folder.join("blobs").join(&facts.hash);
        let _lock = self.lock(&facts.hash)?;
        if link.is_file() {
            // another process was faster
            return Ok(());
        }
        if !blob.is_file() {
            self.blob(&url, name, &facts, &blob)?;
        }
        place(&blob, &link, name)
    }

    fn facts(&self, url: &str, name: &str) -> Result<Facts> {
        let response = self.steady(url, || self.head(url))?;
        // a large file's answer sends elsewhere, and tells its facts all the same
        if !response.status().is_redirection() || header(&response, "x-linked-etag").is_none() {
            self.check(&response, name)?;
        }
        let tag = header(&response, "x-linked-etag").or_else(|| header(&response, "etag"));
        let tag =
            tag.unwrap_or_default().trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        if ![40, 64].contains(&tag.len()) || !tag.bytes().all(|b| b.is_ascii_hexdigit()) {
            let problem = format!(
                "{url} tells no hash (ETag {tag:?}), so {name} could not be checked; is HF_ENDPOINT a hub?"
            );
            return Err(self.refused(&problem));
        }
        let size =
            header(&response, "x-linked-size").or_else(|| header(&response, "content-length"));
        Ok(Facts { hash: tag, size: size.and_then(|size| size.parse().ok()) })
    }

    /// Keeps other processes from fetching the same file; `huggingface_hub` takes the same lock.
    fn lock(&self, hash: &str) -> Result<File> {
        let path =
            self.hub.cache.join(".locks").join(self.id.folder()).join(format!("{hash}.lock"));
        make_parent(&path)?;
        let options = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = options.map_err(Error::io("locking", &path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(Error::io("locking", &path)(error)),
        }
        let note = format!("another process fetches {}; waiting for it", self.id);
        self.progress.note(&note);
        file.lock().map_err(Error::io("locking", &path))?;
        Ok(file)
    }

    /// Fetches a file's content, checks it, and gives it its name.
    fn blob(&self, url: &str, name: &str, facts: &Facts, blob: &Path) -> Result<()> {
        make_parent(blob)?;
        let part = blob.with_file_name(format!("{}.incomplete", facts.hash));
        self.content(url, name, facts, &part)?;
        let found = match facts.hash.len() {
            64 => file_hash(&part)?,
            _ => git_hash(&part)?,
        };
        if found != facts.hash {
            fs::remove_file(&part).map_err(Error::io("removing", &part))?;
            let problem = format!(
                "{name} arrived with the hash {found}, but the hub says {}; it was thrown away, try again",
                facts.hash
            );
            return Err(self.refused(&problem));
        }
        fs::rename(&part, blob).map_err(Error::io("writing", blob))
    }

    /// Fetches what is not yet in `part`.
    fn content(&self, url: &str, name: &str, facts: &Facts, part: &Path) -> Result<()> {
        let io = |error| Error::io("writing", part)(error);
        let options = OpenOptions::new().create(true).append(true).open(part);
        let mut file = options.map_err(io)?;
        let mut have = file.metadata().map_err(io)?.len();
        let whole = |have: u64| facts.size.is_some_and(|size| size == have);
        let bar = self.progress.bytes(name, facts.size.unwrap_or(0));
        let mut buffer = vec![0; 1 << 18];
        let mut fruitless = 0;
        while !whole(have) {
            if facts.size.is_some_and(|size| have > size) {
                file.set_len(0).map_err(io)?;
                have = 0;
            }
            let before = have;
            let cut = match self.get(url, (have > 0).then_some(have)) {
                Ok(mut response) => {
                    let status = response.status().as_u16();
                    let goes_on = format!("bytes {have}-");
                    let continued = status == 206
                        && header(&response, "content-range")
                            .is_some_and(|r| r.starts_with(&goes_on));
                    if have > 0 && !continued && (status < 400 || status == 416) {
                        // the server begins again, and so do we
                        file.set_len(0).map_err(io)?;
                        have = 0;
                    }
                    match status {
                        200 | 206 if status == 200 || continued => {
                            let mut body = response.body_mut().as_reader();
                            let end = loop {
                                match body.read(&mut buffer) {
                                    Ok(0) => break None,
                                    Ok(read) => {
                                        file.write_all(&buffer[..read]).map_err(io)?;
                                        have += read as u64;
                                        bar.set(have as usize);
                                    }
                                    Err(error) => break Some(error.to_string()),
                                }
                            };
                            if end.is_none() && facts.size.is_none() {
                                break;
                            }
                            end.unwrap_or_else(|| "the connection was closed".to_string())
                        }
                        206 | 416 => "the server continued elsewhere".to_string(),
                        500.. | 429 => format!("the server answered {status}"),
                        _ => return self.check(&response, name),
                    }
                }
                Err(error) => error.to_string(),
            };
            if whole(have) {
                break;
            }
            // A connection that brought something counts as none of the tries: a bad line gets there in the end.
            fruitless = if have > before { 0 } else { fruitless + 1 };
            if fruitless > self.hub.retries {
                let size = facts.size.map_or("unknown".to_string(), |size| size.to_string());
                let problem = format!(
                    "{name} broke off at {have} of {size} bytes ({cut}); call again to go on from there"
                );
                return Err(self.refused(&problem));
            }
            self.wait(fruitless);
        }
        file.sync_all().map_err(io)
    }

    fn get(
        &self,
        url: &str,
        from: Option<u64>,
    ) -> std::result::Result<Response<Body>, ureq::Error> {
        self.follow(url, false, |url, token| {
            let mut request = self.agent.get(url);
            if let Some(Token(token)) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if let Some(from) = from {
                request = request.header("range", format!("bytes={from}-"));
            }
            request.call()
        })
    }

    /// HEAD, up to the answer that tells a file's facts.
    fn head(&self, url: &str) -> std::result::Result<Response<Body>, ureq::Error> {
        self.follow(url, true, |url, token| {
            let mut request = self.agent.head(url);
            if let Some(Token(token)) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            request.call()
        })
    }

    /// Calls, and follows redirects; the token goes to the hub alone. An answer that tells the `facts` of a file, where they are wanted,
    /// is not followed.
    fn follow(
        &self,
        url: &str,
        facts: bool,
        call: impl Fn(&str, Option<&Token>) -> std::result::Result<Response<Body>, ureq::Error>,
    ) -> std::result::Result<Response<Body>, ureq::Error> {
        let mut url = url.to_string();
        for _ in 0..10 {
            let own = host(&url) == host(&self.hub.endpoint)
                && (url.starts_with("https://") || self.hub.endpoint.starts_with("http://"));
            let token = self.hub.token.as_ref().filter(|_| own);
            let response = call(&url, token)?;
            let there =
                header(&response, "location").filter(|_| response.status().is_redirection());
            let Some(there) = there else {
                return Ok(response);
            };
            if facts && header(&response, "x-linked-etag").is_some() {
                return Ok(response);
            }
            url = match there.starts_with('/') {
                true => {
                    let (scheme, _) = url.split_once("://").unwrap_or(("https", ""));
                    format!("{scheme}://{}{there}", host(&url))
                }
                false => there.to_string(),
            };
        }
        Err(ureq::Error::TooManyRedirects)
    }

    /// Asks again where nothing comes back or the server is in trouble.
    fn steady(
        &self,
        url: &str,
        call: impl Fn() -> std::result::Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>> {
        let mut tries = 0;
        loop {
            let answer = call();
            let again = match &answer {
                Ok(response) => response.status().is_server_error() || response.status() == 429,
                Err(_) => true,
            };
            if !again || tries == self.hub.retries {
                return answer.map_err(|error| self.unreachable(url, error));
            }
            tries += 1;
            self.wait(tries);
        }
    }

    fn wait(&self, tries: u32) {
        if tries > 0 {
            std::thread::sleep(
                self.hub.pause.saturating_mul(1 << (tries - 1).min(5)).min(Duration::from_secs(60)),
            );
        }
    }

    /// Refuses what is no success, in the hub's words and with a way out.
    fn check(&self, response: &Response<Body>, what: &str) -> Result<()> {
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(());
        }
        let ModelId { owner, name, revision } = self.id;
        let said = header(response, "x-error-message").unwrap_or_default();
        let said = if said.is_empty() {
            format!("answer {status}")
        } else {
            format!("answer {status}: {said}")
        };
        let page = format!("{}/{owner}/{name}", self.hub.endpoint);
        let token = match self.hub.token {
            Some(_) => "a token was sent; does it belong to that account and may it read?",
            None => "no token was sent: set HF_TOKEN, or log in with `hf auth login`",
        };
        let problem = match (header(response, "x-error-code").unwrap_or_default(), status) {
            ("GatedRepo", _) => {
                format!(
                    "is gated ({said}); ask for access at {page}, then send a token of that account ({token})"
                )
            }
            ("RevisionNotFound", _) => {
                format!("has no revision {revision} ({said}); {page}/branches lists them")
            }
            ("EntryNotFound", _) => format!("{what} is not there at {revision} ({said})"),
            // the hub does not tell whether a hidden model exists
            ("RepoNotFound", _) | (_, 401 | 404) => {
                format!(
                    "is not there, or not for everyone ({said}); check the name at {page}; {token}"
                )
            }
            (_, 403) => format!("may not be read ({said}); see {page}; {token}"),
            (_, 429) => format!("was asked for too often ({said}); try again later; {token}"),
            (_, 500..) => format!("cannot be had now ({said}); try again later"),
            _ => format!("{what} cannot be had ({said})"),
        };
        Err(self.refused(&problem))
    }

    fn refused(&self, problem: &str) -> Error {
        Error::invalid(format!("model {}", self.id), problem)
    }

    fn unreachable(&self, url: &str, error: ureq::Error) -> Error {
        let problem = format!(
            "is not in {}, and {} cannot be reached ({error}); check the network, HTTPS_PROXY and HF_ENDPOINT",
            self.hub.cache.display(),
            host(url)
        );
        self.refused(&problem)
    }
}

/// Gives a blob its name in the snapshot: a relative link, or a copy where there are no links.
fn place(blob: &Path, link: &Path, name: &str) -> Result<()> {
    if !is_inside(Path::new(name)) {
        return Err(Error::file(link, "lies outside of the model's folder"));
    }
    make_parent(link)?;
    let doing = Error::io("linking", link);
    // a link whose file was deleted
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link).map_err(Error::io("replacing", link))?;
    }
    #[cfg(unix)]
    {
        let up = "../".repeat(Path::new(name).components().count() + 1);
        let hash = blob.file_name().unwrap_or_default().to_string_lossy();
        let target = format!("{up}blobs/{hash}");
        if std::os::unix::fs::symlink(target, link).is_ok() {
            return Ok(());
        }
    }
    fs::copy(blob, link).map(drop).map_err(doing)
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io("making the folder", parent))
}

/// The hash that git gives a file: SHA-1 over its length and content.
fn git_hash(path: &Path) -> Result<String> {
    let io = |error| Error::io("reading", path)(error);
    let length = fs::metadata(path).map_err(io)?.len();
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {length}\0"));
    read_pieces(path, |piece| hasher.update(piece)).map_err(io)?;
    Ok(hex(&hasher.finalize()))
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Host and port of an address.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// `text` as a part of an address; characters of `kept` stay.
fn encode(text: &str, kept: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || b"-_.~".contains(&byte)
            || kept.as_bytes().contains(&byte);
        match plain {
            true => out.push(byte as char),
            false => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        assert_eq!(host("https://hub.example:8080/a/b?c"), "hub.example:8080");
        assert_eq!(encode("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(encode("a/b c.json", "/"), "a/b%20c.json");
    }

    #[test]
    fn small_files_have_the_hash_that_git_gives_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "hello\n").unwrap();
        // printf 'hello\n' | git hash-object --stdin
        assert_eq!(git_hash(&path).unwrap(), "ce013625030ba8dba906f756967f9e9ca394464a");
    }
}
