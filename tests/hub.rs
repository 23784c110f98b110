//! Models by their name on the hub: found in the cache as Python fills it, and fetched from a hub that these tests play.

use crate::support::assert_refused;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unforget::hub::{Hub, ModelId};
use unforget::model::Checkpoint;
use unforget::progress::Progress;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn hub(cache: &Path) -> Hub {
    Hub {
        cache: cache.to_path_buf(),
        endpoint: "http://127.0.0.1:9".to_string(),
        token: None,
        offline: true,
        // no test waits for it: a busy machine may take its time
        timeout: Duration::from_secs(600),
        retries: 2,
        pause: Duration::from_millis(1),
    }
}

fn id(text: &str) -> ModelId {
    ModelId::parse(text).unwrap()
}

fn model(hub: &Hub, text: &str) -> unforget::error::Result<PathBuf> {
    hub.model(&id(text), &Progress::quiet())
}

/// A model in the cache, laid out as huggingface_hub does: content in `blobs`, relative links in `snapshots`.
fn cached(cache: &Path, files: &[&str]) -> PathBuf {
    let folder = cache.join("models--own--toy");
    let snapshot = folder.join("snapshots").join(COMMIT);
    std::fs::create_dir_all(folder.join("blobs")).unwrap();
    std::fs::create_dir_all(folder.join("refs")).unwrap();
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::write(folder.join("refs/main"), COMMIT).unwrap();
    for name in files {
        let content = match *name {
            "model.safetensors.index.json" => {
                r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#
            }
            _ => "{}",
        };
        std::fs::write(folder.join("blobs").join(name), content).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(format!("../../blobs/{name}"), snapshot.join(name)).unwrap();
        #[cfg(not(unix))]
        std::fs::copy(folder.join("blobs").join(name), snapshot.join(name)).unwrap();
    }
    snapshot
}

#[test]
fn a_name_of_the_hub_is_told_from_a_path() {
    let check = |text: &str, want: Option<(&str, &str, &str)>| {
        let got = ModelId::parse(text);
        let got =
            got.as_ref().map(|id| (id.owner.as_str(), id.name.as_str(), id.revision.as_str()));
        assert_eq!(got, want, "{text}");
    };
    check("google/gemma-2-2b-it", Some(("google", "gemma-2-2b-it", "main")));
    check("Qwen/Qwen2.5-0.5B@v1.0", Some(("Qwen", "Qwen2.5-0.5B", "v1.0")));
    check("own/toy@refs/pr/1", Some(("own", "toy", "refs/pr/1")));
    for path in [
        "toy",
        "./own/toy",
        "/own/toy",
        "a/b/c",
        "own/",
        "../toy",
        "own/..",
        "own/toy@",
        "own/toy@../x",
        "own/toy@/x",
        "own\\toy",
        "ow n/toy",
        "own/toy.",
        "own--x/toy",
    ] {
        check(path, None);
    }
    assert_eq!(id("own/toy").to_string(), "own/toy");
    assert_eq!(id("own/toy@v1").to_string(), "own/toy@v1");
}

#[test]
fn variables_say_where_the_cache_is() {
    let hub = |vars: &[(&str, &str)]| {
        let vars: HashMap<String, String> =
            vars.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Hub::from_vars(|name| vars.get(name).cloned())
    };
    let cache = |vars: &[(&str, &str)], want: &str| {
        assert_eq!(hub(vars).unwrap().cache, Path::new(want), "{vars:?}");
    };
    cache(&[("HOME", "/u")], "/u/.cache/huggingface/hub");
    cache(&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub");
    cache(&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")], "/h/hub");
    cache(&[("HOME", "/u"), ("HF_HOME", "~/h"), ("HF_HUB_CACHE", "")], "/u/h/hub");
    cache(&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old");
    // python: os.path.expandvars(os.path.expanduser(value)), with these variables set
    let expanded = [
        ("~", "/u"),
        ("~/h", "/u/h"),
        ("~nosuchuser/h", "~nosuchuser/h"),
        ("$X/b", "a$Y/b"),
        ("${X}b", "a$Yb"),
        ("$NO/b", "$NO/b"),
        ("${NO}", "${NO}"),
        ("/a/$$X", "/a/$a$Y"),
        ("/a${X", "/a${X"),
        ("a~/b", "a~/b"),
        ("/${}", "/${}"),
        ("$E/x", "/x"),
        ("~$Y", "~q"),
        ("$Xé", "a$Yé"),
    ];
    for (value, want) in expanded {
        let vars = [("HOME", "/u/"), ("X", "a$Y"), ("Y", "q"), ("E", "")];
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            cache(&[vars.as_slice(), &[(name, value)]].concat(), want);
        }
        let within = format!("{want}/hub");
        cache(&[vars.as_slice(), &[("HF_HOME", value)]].concat(), &within);
        let within = format!("{want}/huggingface/hub");
        cache(&[vars.as_slice(), &[("XDG_CACHE_HOME", value)]].concat(), &within);
    }
    cache(&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")], "/c");
    assert_refused(hub(&[]), &["HF_HOME", "no HOME"]);

    let here = ("HF_HUB_CACHE", "/c");
    for (vars, offline) in [
        (vec![here], false),
        (vec![here, ("HF_HUB_OFFLINE", "0")], false),
        (vec![here, ("HF_HUB_OFFLINE", "1")], true),
        (vec![here, ("HF_HUB_OFFLINE", "true")], true),
        (vec![here, ("TRANSFORMERS_OFFLINE", "Yes")], true),
    ] {
        assert_eq!(hub(&vars).unwrap().offline, offline, "{vars:?}");
    }
    let endpoint = |vars: &[(&str, &str)]| hub(vars).unwrap().endpoint;
    assert_eq!(endpoint(&[here]), "https://huggingface.co");
    assert_eq!(
        endpoint(&[here, ("HF_ENDPOINT", "https://mirror.example/ ")]),
        "https://mirror.example"
    );
    assert_refused(hub(&[here, ("HF_ENDPOINT", "mirror.example")]), &["HF_ENDPOINT", "https://"]);
    assert_refused(
        hub(&[here, ("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]),
        &["HF_HUB_DOWNLOAD_TIMEOUT", "seconds"],
    );

    let place = tempfile::tempdir().unwrap();
    let home = place.path().to_str().unwrap();
    let token = |vars: &[(&str, &str)]| hub(vars).unwrap().token;
    assert_eq!(token(&[("HF_HOME", home)]), None);
    std::fs::write(place.path().join("token"), "hf_saved\n").unwrap();
    let saved = token(&[("HF_HOME", home)]).unwrap();
    assert_ne!(Some(&saved), token(&[("HF_HOME", home), ("HF_TOKEN", "hf_given")]).as_ref());
    let path = place.path().join("token");
    assert_eq!(token(&[here, ("HF_TOKEN_PATH", path.to_str().unwrap())]), Some(saved.clone()));
    assert_eq!(token(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
    // a secret is not for messages and logs
    assert!(!format!("{:?}", hub(&[("HF_HOME", home)])).contains("hf_saved"));
}

#[test]
fn a_cached_model_is_found_offline() {
    let place = tempfile::tempdir().unwrap();
    let hub = hub(place.path());
    let snapshot = cached(place.path(), &["config.json", "tokenizer.json", "model.safetensors"]);
    assert_eq!(model(&hub, "own/toy").unwrap(), snapshot);
    assert_eq!(model(&hub, &format!("own/toy@{COMMIT}")).unwrap(), snapshot);
    let pull = place.path().join("models--own--toy/refs/refs/pr");
    std::fs::create_dir_all(&pull).unwrap();
    std::fs::write(pull.join("1"), format!("{COMMIT}\n")).unwrap();
    assert_eq!(model(&hub, "own/toy@refs/pr/1").unwrap(), snapshot);
    assert_eq!(hub.models(), ["own/toy"]);
}

#[test]
fn a_sharded_model_is_whole_with_all_its_shards() {
    let place = tempfile::tempdir().unwrap();
    let index = "model.safetensors.index.json";
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let snapshot =
        cached(place.path(), &["config.json", "tokenizer.json", index, shards[0], shards[1]]);
    let hub = hub(place.path());
    assert_eq!(model(&hub, "own/toy").unwrap(), snapshot);
    // a link whose content was deleted
    std::fs::remove_file(place.path().join("models--own--toy/blobs").join(shards[1])).unwrap();
    assert_refused(
        model(&hub, "own/toy"),
        &[COMMIT, "no model-00002-of-00002.safetensors here", "only a part of own/toy"],
    );
    std::fs::write(
        place.path().join("models--own--toy/blobs").join(index),
        r#"{"weight_map": {"a": "../../x"}}"#,
    )
    .unwrap();
    assert_refused(model(&hub, "own/toy"), &[index, "outside of the model's folder"]);
}

#[test]
fn what_is_not_there_is_named_with_the_way_out() {
    let place = tempfile::tempdir().unwrap();
    let hub = hub(place.path());
    let way = match cfg!(feature = "download") {
        true => "HF_HUB_OFFLINE",
        false => "--features download",
    };
    let cache = place.path().to_str().unwrap();
    assert_refused(
        model(&hub, "own/toy"),
        &[cache, "no model own/toy here", "nor is there a folder own/toy", way, "HF_HUB_CACHE"],
    );
    cached(place.path(), &["config.json"]);
    assert_refused(
        model(&hub, "own/toy"),
        &["no tokenizer.json, model.safetensors here", "only a part", way],
    );
    assert_refused(
        model(&hub, "own/toy@v2"),
        &["no revision v2 here", "has of own/toy: main, 0123456", way],
    );
    assert_refused(model(&hub, "Own/Toy"), &["there is own/toy"]);
    std::fs::write(place.path().join("models--own--toy/refs/main"), "../../../etc").unwrap();
    assert_refused(model(&hub, "own/toy"), &["no revision main here"]);
}

#[test]
fn a_local_folder_comes_before_the_hub() {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/lab/model");
    let named = Checkpoint::named(lab.to_str().unwrap()).unwrap();
    assert_eq!(named, Checkpoint::open(&lab).unwrap());
    // what could be a model of the hub, but is a folder where the tests run
    let relative = unforget::hub::folder("datasets/lab", &Progress::quiet()).unwrap();
    assert_eq!(relative, Path::new("datasets/lab"));
    assert_refused(Checkpoint::named("./no/such"), &["no model folder here", "owner/name"]);
}

#[cfg(feature = "download")]
mod download {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use unforget::hub::{GENERATION, MORE_TEMPLATES, TOKENIZER_FILES, Token};

    /// A file on the played hub.
    #[derive(Clone)]
    struct Kept {
        content: Vec<u8>,
        /// What the hub says its hash is.
        hash: String,
        /// Large files lie elsewhere and are sent to with a redirect.
        large: bool,
    }

    /// How the played hub misbehaves.
    #[derive(Clone, Default)]
    struct Trouble {
        /// The first answers to GET of a file break off after so many bytes.
        cuts: Vec<usize>,
        /// So many requests are answered 503 before the first good answer.
        busy: usize,
        /// Every request is answered so: status, X-Error-Code, X-Error-Message.
        refuses: Option<(u16, &'static str, &'static str)>,
        /// Range is not heeded.
        always_whole: bool,
        /// Every address of the model leads to another first, as of a renamed one.
        renamed: bool,
        /// Only this token is let in.
        token: Option<&'static str>,
    }

    struct Played {
        address: String,
        /// Method, path, and the headers of interest of each request.
        requests: Arc<Mutex<Vec<String>>>,
    }

    fn sha256(content: &[u8]) -> String {
        Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Some weights: larger than any buffer on the way.
    fn weights() -> Vec<u8> {
        (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    /// Hashes by git: printf '{}' | git hash-object --stdin, and so on.
    fn small(content: &str, hash: &str) -> Kept {
        Kept { content: content.into(), hash: hash.to_string(), large: false }
    }

    fn large(content: Vec<u8>) -> Kept {
        Kept { hash: sha256(&content), content, large: true }
    }

    fn files() -> HashMap<String, Kept> {
        HashMap::from([
            ("config.json".to_string(), small("{}", "9e26dfeeb6e641a33dae4961196235bdb965b21b")),
            (
                "tokenizer.json".to_string(),
                small("{\"a\": 1}\n", "cb5b2f69babc53f9145b45ad20b9a075d48717ef"),
            ),
            (
                "README.md".to_string(),
                small("no checkpoint needs it", "0000000000000000000000000000000000000000"),
            ),
            ("pytorch_model.bin".to_string(), large(vec![1; 10])),
            ("model.safetensors".to_string(), large(weights())),
        ])
    }

    fn play(files: HashMap<String, Kept>, trouble: Trouble) -> Played {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (own, seen) = (address.clone(), requests.clone());
        let trouble = Arc::new(Mutex::new(trouble));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, own, seen, trouble) =
                    (files.clone(), own.clone(), seen.clone(), trouble.clone());
                std::thread::spawn(move || {
                    let _ = answer(stream, &files, &own, &seen, &trouble);
                });
            }
        });
        Played { address, requests }
    }

    /// Answers one request and closes the connection.
    fn answer(
        mut stream: TcpStream,
        files: &HashMap<String, Kept>,
        own: &str,
        seen: &Mutex<Vec<String>>,
        trouble: &Mutex<Trouble>,
    ) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().unwrap_or(Ok(String::new()))?;
        let mut headers = HashMap::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.to_string());
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("").to_string());
        let range = headers.get("range").cloned();
        let token = headers.get("authorization").cloned();
        let mut note = format!("{method} {path}");
        for extra in [&range, &token].into_iter().flatten() {
            note += &format!(" {extra}");
        }
        seen.lock().unwrap().push(note);

        let mut trouble = trouble.lock().unwrap();
        let elsewhere = path.starts_with("/elsewhere/");
        let mut say = |status: &str, headers: &str, body: &[u8]| {
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes())?;
            if method == "GET" { stream.write_all(body) } else { Ok(()) }
        };
        if trouble.busy > 0 {
            trouble.busy -= 1;
            return say("503 Busy", "", b"");
        }
        if let Some((status, code, message)) = trouble.refuses {
            return say(
                &format!("{status} No"),
                &format!("X-Error-Code: {code}\r\nX-Error-Message: {message}\r\n"),
                b"",
            );
        }
        if let Some(wanted) = trouble.token.filter(|_| !elsewhere)
            && token.as_deref() != Some(&format!("Bearer {wanted}"))
        {
            return say(
                "401 Unauthorized",
                "X-Error-Code: RepoNotFound\r\nX-Error-Message: Invalid username or password.\r\n",
                b"",
            );
        }
        if trouble.renamed && path.contains("/own/toy/") {
            let there = path.replace("/own/toy/", "/own/new-toy/");
            return say("307 Moved", &format!("Location: {there}\r\n"), b"");
        }
        let path = path.replace("/own/new-toy/", "/own/toy/");
        if path == "/api/models/own/toy/revision/main"
            || path == "/api/models/own/toy/revision/v%2F1"
        {
            let names: Vec<_> =
                files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
            let body = serde_json::json!({"sha": COMMIT, "siblings": names}).to_string();
            return say("200 OK", "", body.as_bytes());
        }
        if path.starts_with("/api/") {
            return say(
                "404 No",
                "X-Error-Code: RevisionNotFound\r\nX-Error-Message: Invalid rev id: v9\r\n",
                b"",
            );
        }
        let name = path.rsplit('/').next().unwrap_or("");
        let Some(file) = files.get(name) else {
            return say("404 No", "X-Error-Code: EntryNotFound\r\n", b"");
        };
        if file.large && !elsewhere {
            assert!(path.starts_with(&format!("/own/toy/resolve/{COMMIT}/")));
            // another host than the hub's, which must not see the token
            let there = own.replace("127.0.0.1", "localhost");
            let facts = format!(
                "Location: {there}/elsewhere/{name}\r\nX-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\nX-Repo-Commit: {COMMIT}\r\n",
                file.hash,
                file.content.len()
            );
            return say("302 Found", &facts, b"not the file");
        }
        let tag = format!("ETag: W/\"{}\"\r\n", file.hash);
        let from = range.and_then(|range| {
            range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
        });
        let from = from.filter(|_| !trouble.always_whole);
        let (status, content) = match from {
            Some(from) if from >= file.content.len() => return say("416 No", "", b""),
            Some(from) => ("206 Partial", &file.content[from..]),
            None => ("200 OK", &file.content[..]),
        };
        let whole = file.content.len();
        let part = from.map_or(String::new(), |from| {
            format!("Content-Range: bytes {from}-{}/{whole}\r\n", whole - 1)
        });
        let length = content.len();
        let cut = if method == "GET" && file.large && !trouble.cuts.is_empty() {
            trouble.cuts.remove(0).min(length)
        } else {
            length
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{tag}{part}\r\n"
        );
        stream.write_all(head.as_bytes())?;
        if method == "GET" {
            stream.write_all(&content[..cut])?;
        }
        Ok(())
    }

    fn online(cache: &Path, played: &Played) -> Hub {
        Hub { endpoint: played.address.clone(), offline: false, ..hub(cache) }
    }

    /// Files below a folder, with `/` between the parts.
    fn below(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name == ".locks" {
                continue;
            }
            match entry.path().is_dir() {
                true => names.extend(
                    below(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}")),
                ),
                false => names.push(name),
            }
        }
        names.sort();
        names
    }

    #[test]
    fn a_model_is_fetched_into_the_layout_of_the_cache() {
        let place = tempfile::tempdir().unwrap();
        let played = play(files(), Trouble::default());
        let hub = online(place.path(), &played);
        let snapshot = model(&hub, "own/toy").unwrap();
        assert_eq!(std::fs::read(snapshot.join("model.safetensors")).unwrap(), weights());
        let files = files();
        let mut want = vec!["models--own--toy/refs/main".to_string()];
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            want.push(format!("models--own--toy/blobs/{}", files[name].hash));
            want.push(format!("models--own--toy/snapshots/{COMMIT}/{name}"));
        }
        want.sort();
        assert_eq!(below(place.path()), want);
        let reference = place.path().join("models--own--toy/refs/main");
        assert_eq!(std::fs::read_to_string(reference).unwrap(), COMMIT);
        #[cfg(unix)]
        assert_eq!(
            std::fs::read_link(snapshot.join("config.json")).unwrap(),
            Path::new(&format!("../../blobs/{}", files["config.json"].hash))
        );
        // and then nobody is asked again
        let asked = played.requests.lock().unwrap().len();
        assert_eq!(model(&hub, "own/toy").unwrap(), snapshot);
        assert_eq!(model(&Hub { offline: true, ..hub.clone() }, "own/toy").unwrap(), snapshot);
        assert_eq!(played.requests.lock().unwrap().len(), asked);
        // another revision of the same commit costs the listing alone
        assert_eq!(model(&hub, "own/toy@v/1").unwrap(), snapshot);
        assert_eq!(played.requests.lock().unwrap().len(), asked + 1);
    }

    #[test]
    fn what_makes_ids_of_a_text_is_fetched_too_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let mut files = files();
        let template = format!("{MORE_TEMPLATES}/rag.jinja");
        let mut want: Vec<String> = TOKENIZER_FILES.map(String::from).to_vec();
        want.extend(["config.json", "model.safetensors", GENERATION, &template].map(String::from));
        want.sort();
        // the hub that is played knows files by the last part of their names
        for name in want.iter().map(String::as_str).chain(["rag.jinja", "README.md", "vocab.txt"]) {
            files.entry(name.into()).or_insert_with(|| large(name.into()));
        }
        files.insert("rag.jinja".into(), large(template.into()));
        let hub = online(place.path(), &play(files, Trouble::default()));
        assert_eq!(below(&model(&hub, "own/toy").unwrap()), want);
    }

    #[test]
    fn shards_are_those_that_the_index_names() {
        let place = tempfile::tempdir().unwrap();
        let mut files = files();
        files.remove("model.safetensors");
        let index = r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
        files.insert("model.safetensors.index.json".into(), large(index.into()));
        for name in [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "other.safetensors",
        ] {
            files.insert(name.into(), large(name.into()));
        }
        let snapshot =
            model(&online(place.path(), &play(files, Trouble::default())), "own/toy").unwrap();
        assert_eq!(
            below(&snapshot),
            [
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "tokenizer.json"
            ]
        );
    }

    #[test]
    fn a_cut_connection_goes_on_where_it_was() {
        let place = tempfile::tempdir().unwrap();
        let played = play(
            files(),
            Trouble { cuts: vec![1_000_000, 0, 500_000], busy: 2, ..Trouble::default() },
        );
        let snapshot = model(&online(place.path(), &played), "own/toy").unwrap();
        assert_eq!(std::fs::read(snapshot.join("model.safetensors")).unwrap(), weights());
        let requests = played.requests.lock().unwrap();
        let ranges: Vec<&str> = requests
            .iter()
            .filter_map(|request| request.strip_prefix("GET /elsewhere/model.safetensors"))
            .collect();
        assert_eq!(ranges, ["", " bytes=1000000-", " bytes=1000000-", " bytes=1500000-"]);
    }

    #[test]
    fn a_call_that_gave_up_is_continued_by_the_next() {
        let place = tempfile::tempdir().unwrap();
        let played =
            play(files(), Trouble { cuts: vec![1_000_000, 0, 0, 0], ..Trouble::default() });
        let hub = online(place.path(), &played);
        assert_refused(
            model(&hub, "own/toy"),
            &["model own/toy", "broke off at 1000000 of 3000000 bytes", "call again"],
        );
        let blobs = place.path().join("models--own--toy/blobs");
        let part = blobs.join(format!("{}.incomplete", sha256(&weights())));
        assert_eq!(std::fs::metadata(&part).unwrap().len(), 1_000_000);
        assert!(!place.path().join("models--own--toy/refs/main").exists());
        assert_refused(
            model(&Hub { offline: true, ..hub.clone() }, "own/toy"),
            &["no revision main here"],
        );
        let snapshot = model(&hub, "own/toy").unwrap();
        assert_eq!(std::fs::read(snapshot.join("model.safetensors")).unwrap(), weights());
        assert!(!part.exists());
        assert!(played.requests.lock().unwrap().iter().any(|r| r.ends_with("bytes=1000000-")));
    }

    #[test]
    fn a_server_that_begins_again_is_followed() {
        let place = tempfile::tempdir().unwrap();
        let played = play(
            files(),
            Trouble { cuts: vec![1_000_000], always_whole: true, ..Trouble::default() },
        );
        let snapshot = model(&online(place.path(), &played), "own/toy").unwrap();
        assert_eq!(std::fs::read(snapshot.join("model.safetensors")).unwrap(), weights());
    }

    #[test]
    fn content_of_another_hash_is_refused_and_thrown_away() {
        for name in ["model.safetensors", "config.json"] {
            let place = tempfile::tempdir().unwrap();
            let mut files = files();
            let file = files.get_mut(name).unwrap();
            file.content[1] ^= 1;
            let hash = file.hash.clone();
            let played = play(files, Trouble::default());
            assert_refused(
                model(&online(place.path(), &played), "own/toy"),
                &[name, &hash, "thrown away"],
            );
            let left = below(place.path());
            assert!(
                !left.iter().any(|file| file.contains(&hash) || file.contains("refs")),
                "{left:?}"
            );
        }
    }

    /// What an earlier call left behind may be of no use: longer than the file, or of other content.
    #[test]
    fn a_spoilt_beginning_does_not_last() {
        let place = tempfile::tempdir().unwrap();
        let blobs = place.path().join("models--own--toy/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        let part = blobs.join(format!("{}.incomplete", sha256(&weights())));
        let hub = online(place.path(), &play(files(), Trouble::default()));
        std::fs::write(&part, vec![7; 4_000_000]).unwrap();
        model(&hub, "own/toy").unwrap();
        let blob = blobs.join(sha256(&weights()));
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(&part, vec![7; 1000]).unwrap();
        assert_refused(model(&hub, "own/toy"), &["thrown away"]);
        assert!(!part.exists());
        model(&hub, "own/toy").unwrap();
        assert_eq!(std::fs::read(&blob).unwrap(), weights());
    }

    #[test]
    fn refusals_are_told_in_the_hubs_words() {
        let refused = |refuses: (u16, &'static str, &'static str),
                       token: Option<&str>,
                       parts: &[&str]| {
            let place = tempfile::tempdir().unwrap();
            let played = play(files(), Trouble { refuses: Some(refuses), ..Trouble::default() });
            let hub = Hub { token: token.and_then(Token::new), ..online(place.path(), &played) };
            assert_refused(model(&hub, "own/toy"), parts);
            assert!(below(place.path()).is_empty());
        };
        let gated = "Access to model own/toy is restricted and you are not in the authorized list.";
        refused(
            (403, "GatedRepo", gated),
            Some("hf_x"),
            &[
                "model own/toy: is gated",
                gated,
                "ask for access at http",
                "/own/toy",
                "a token was sent",
            ],
        );
        refused((401, "GatedRepo", gated), None, &["is gated", "no token was sent: set HF_TOKEN"]);
        refused((401, "", ""), None, &["not there, or not for everyone", "no token was sent"]);
        refused(
            (401, "", "Invalid credentials"),
            Some("hf_x"),
            &["Invalid credentials", "a token was sent"],
        );
        refused(
            (404, "RepoNotFound", "Repository not found"),
            None,
            &["Repository not found", "check the name"],
        );
        refused((403, "", "No entry"), Some("hf_x"), &["may not be read", "No entry"]);
        refused((429, "", ""), None, &["too often"]);
        refused((500, "", ""), None, &["answer 500", "try again later"]);

        let place = tempfile::tempdir().unwrap();
        let hub = online(place.path(), &play(files(), Trouble::default()));
        assert_refused(
            model(&hub, "own/toy@v9"),
            &["own/toy@v9", "has no revision v9", "Invalid rev id"],
        );
        let mut without = files();
        without.remove("tokenizer.json");
        let hub = online(place.path(), &play(without, Trouble::default()));
        assert_refused(model(&hub, "own/toy"), &["has no tokenizer.json on the hub"]);
        let mut without = files();
        without.remove("model.safetensors");
        let hub = online(place.path(), &play(without, Trouble::default()));
        assert_refused(model(&hub, "own/toy"), &["no weights as model.safetensors"]);
        // nobody listens
        let hub = Hub { offline: false, ..super::hub(place.path()) };
        assert_refused(model(&hub, "own/toy"), &["127.0.0.1:9 cannot be reached", "HTTPS_PROXY"]);
        assert!(below(place.path()).is_empty());
    }

    #[test]
    fn the_token_goes_to_the_hub_alone() {
        let place = tempfile::tempdir().unwrap();
        let played = play(
            files(),
            Trouble { token: Some("hf_secret"), renamed: true, ..Trouble::default() },
        );
        let hub = Hub { token: Token::new(" hf_secret\n"), ..online(place.path(), &played) };
        model(&hub, "own/toy").unwrap();
        for request in played.requests.lock().unwrap().iter() {
            let sent = request.contains("Bearer hf_secret");
            assert_eq!(sent, !request.contains("/elsewhere/"), "{request}");
        }
    }

    #[test]
    fn two_calls_fetch_a_file_once() {
        let place = tempfile::tempdir().unwrap();
        let played = play(files(), Trouble::default());
        let hub = online(place.path(), &played);
        std::thread::scope(|scope| {
            let calls: Vec<_> =
                (0..3).map(|_| scope.spawn(|| model(&hub, "own/toy").unwrap())).collect();
            calls.into_iter().for_each(|call| drop(call.join().unwrap()));
        });
        let requests = played.requests.lock().unwrap();
        let fetched =
            requests.iter().filter(|r| r.starts_with("GET /elsewhere/model.safetensors")).count();
        assert_eq!(fetched, 1);
    }
}
