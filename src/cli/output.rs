//! What a call reads, so that what it writes takes nothing of it away: see [`Output::check`].

use super::Common;
use std::path::{Path, PathBuf};
use unforget::dataset;
use unforget::error::Result;
use unforget::store::{Output, Store};

/// What a call reads, each with the option that names it.
pub struct Reads(Vec<(String, PathBuf)>);

impl Reads {
    /// The store, which every call has.
    pub fn new(common: &Common) -> Result<Self> {
        let store = Store::choose(common.store.as_deref())?;
        Ok(Self(vec![("--store".into(), store.root().to_path_buf())]))
    }

    /// A file or a folder.
    pub fn path(mut self, option: &str, path: impl AsRef<Path>) -> Self {
        self.0.push((option.into(), path.as_ref().to_path_buf()));
        self
    }

    /// A file or a folder that may be given.
    pub fn given(self, option: &str, path: Option<&PathBuf>) -> Self {
        match path {
            Some(path) => self.path(option, path),
            None => self,
        }
    }

    /// A model by its folder; one of the hub lies in the hub's own cache.
    pub fn model(self, name: &str) -> Self {
        match (name, unforget::lab::folder()) {
            ("lab", Ok(folder)) => self.path("--model", folder),
            _ => self.path("--model", name),
        }
    }

    /// A data set: the files that its path means, where it means any.
    pub fn data(self, option: &str, path: &Path) -> Self {
        let files = dataset::files(path).unwrap_or_default();
        files.iter().fold(self.path(option, path), |reads, file| reads.path(option, file))
    }

    /// Refuses outputs that would take the place of what is read, or of what is not this program's own.
    pub fn check(&self, outputs: &[Output]) -> Result<()> {
        Output::check(outputs, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, run};
    use clap::{Arg, Command, CommandFactory, Parser};
    use std::any::TypeId;
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    /// What a call does with the place that an option names.
    enum Kind {
        /// Makes a folder that takes the place of an earlier one.
        Whole,
        /// Writes a file.
        File,
        /// Writes a file of this name, and others, in a folder.
        Within(&'static str),
        /// Writes files that never have the name of another.
        Adds,
    }
    use Kind::{Adds, File, Whole, Within};

    /// A call that writes to `OUT`, and what it reads, each with its option.
    struct Row {
        verb: &'static str,
        option: &'static str,
        kind: Kind,
        call: &'static str,
        reads: &'static [(&'static str, &'static str)],
    }

    const fn row(
        verb: &'static str,
        option: &'static str,
        kind: Kind,
        call: &'static str,
        reads: &'static [(&'static str, &'static str)],
    ) -> Row {
        Row { verb, option, kind, call, reads }
    }

    /// Every option that names a place for results.
    const OUTPUTS: [Row; 21] = [
        row(
            "perplexity",
            "out",
            Whole,
            "perplexity --model model --adapter adapter --reference reference --data data.jsonl --out OUT",
            &[
                ("--model", "model"),
                ("--adapter", "adapter"),
                ("--reference", "reference"),
                ("--data", "data.jsonl"),
            ],
        ),
        row(
            "perplexity",
            "out",
            File,
            "perplexity --model model --data data.parquet --reference-adapter adapter --out OUT.parquet",
            &[("--data", "data.parquet")],
        ),
        row(
            "generate",
            "out",
            Within("train.jsonl"),
            "generate self-output --model model --items data.jsonl --out OUT",
            &[("--items", "data.jsonl")],
        ),
        row(
            "finetune",
            "out",
            Whole,
            "finetune --model model --data data.jsonl --tokens tokens --probe a=probe.jsonl --full --out OUT",
            &[
                ("--model", "model"),
                ("--data", "data.jsonl"),
                ("--tokens", "tokens"),
                ("--probe", "probe.jsonl"),
            ],
        ),
        row(
            "finetune",
            "log",
            Within("steps.jsonl"),
            "finetune --model model --data data.jsonl --target-probe a=probe.jsonl --out new --log OUT",
            &[("--data", "data.jsonl"), ("--target-probe", "probe.jsonl")],
        ),
        row(
            "influence",
            "out",
            Within("tokens.csv"),
            "influence --model model --data data.jsonl --others probe.jsonl --out OUT",
            &[("--data", "data.jsonl"), ("--others", "probe.jsonl")],
        ),
        row("evaluate", "out", Adds, "evaluate --model model --items data.jsonl --out OUT", &[]),
        row(
            "items",
            "out",
            File,
            "items --benchmark gsm8k=data.jsonl --out OUT.jsonl",
            &[("--benchmark", "data.jsonl")],
        ),
        row(
            "export merged",
            "out",
            Whole,
            "export merged --model model --adapter adapter --out OUT",
            &[("--model", "model"), ("--adapter", "adapter")],
        ),
        row(
            "export lora",
            "out",
            Whole,
            "export lora --model model --adapter adapter --out OUT",
            &[("--model", "model"), ("--adapter", "adapter")],
        ),
        row(
            "export masks",
            "out",
            File,
            "export masks --model model --data data.jsonl --adapter adapter --out OUT.jsonl",
            &[("--data", "data.jsonl")],
        ),
        row("lab", "out", Within("report.html"), "lab --quick --out OUT", &[]),
        row(
            "run",
            "out",
            Within("results.json"),
            "run recipe.toml --out OUT",
            &[("RECIPE", "recipe.toml")],
        ),
        row(
            "sweep gather",
            "out",
            Within("results.json"),
            "sweep gather recipe.toml --out OUT",
            &[("RECIPE", "recipe.toml")],
        ),
        row("table", "out", Within("table-3/README.md"), "table 3 --quick --out OUT", &[]),
        row("figure", "out", Within("figure-2/README.md"), "figure 2 --quick --out OUT", &[]),
        row("claims", "out", Within("claims/README.md"), "claims --quick --out OUT", &[]),
        row("report", "out", Within("report.html"), "report results.json --out OUT", &[]),
        row("audit", "out", Within("facts.csv"), "audit authors --out OUT", &[]),
        row("book", "out", Whole, "book --out OUT", &[]),
        row(
            "make-lab",
            "folder",
            Within("code/train.jsonl"),
            "make-lab OUT --benchmarks-only",
            &[],
        ),
    ];

    /// Every option that names what is only read, or that is no place for results.
    const OTHERS: &[(&str, &str)] = &[
        // a folder of entries, each with a name of its own
        ("", "store"),
        // notebooks are written where they lie, when that is asked for
        ("notebook", "files"),
        ("run", "recipe"),
        ("sweep plan", "plan"),
        ("sweep submit", "plan"),
        ("sweep work", "plan"),
        ("sweep status", "plan"),
        ("sweep gather", "plan"),
        ("doctor", "model"),
        ("table", "model"),
        ("figure", "model"),
        ("claims", "model"),
        ("perplexity", "model"),
        ("perplexity", "adapter"),
        ("perplexity", "data"),
        ("perplexity", "reference"),
        ("perplexity", "reference_adapter"),
        ("influence", "model"),
        ("influence", "data"),
        ("influence", "others"),
        ("ledger", "ledgers"),
        ("generate", "model"),
        ("generate", "adapter"),
        ("generate", "items"),
        ("weights", "tokens"),
        ("finetune", "model"),
        ("finetune", "data"),
        ("finetune", "tokens"),
        ("finetune", "reference"),
        ("finetune", "reference_adapter"),
        ("finetune", "probe"),
        ("finetune", "target_probe"),
        ("evaluate", "model"),
        ("evaluate", "adapter"),
        ("evaluate", "tasks"),
        ("evaluate", "items"),
        ("evaluate", "benchmark"),
        ("evaluate", "data"),
        ("compare", "results"),
        ("verify", "model"),
        ("verify", "adapter"),
        ("items", "benchmark"),
        ("items", "data"),
        ("export merged", "model"),
        ("export merged", "adapter"),
        ("export lora", "model"),
        ("export lora", "adapter"),
        ("export masks", "model"),
        ("export masks", "adapter"),
        ("export masks", "data"),
        ("export masks", "reference"),
        ("export masks", "reference_adapter"),
        ("report", "results"),
        ("audit", "folder"),
        ("audit", "mbpp_test"),
        ("book", "mdbook"),
        ("make-lab", "recipe"),
    ];

    /// The options of `command` and its verbs that name a file, a folder or a model.
    fn paths(command: &Command, verb: &str, found: &mut Vec<(String, String)>) {
        let is_path = |argument: &&Arg| {
            let typed = argument.get_value_parser().type_id() == TypeId::of::<PathBuf>();
            let words = ["FOLDER", "FILE", "LEDGER", "MODEL"];
            let names = argument.get_value_names().unwrap_or_default();
            typed || names.iter().any(|name| words.iter().any(|word| name.contains(word)))
        };
        for argument in command.get_arguments().filter(is_path) {
            found.push((verb.to_owned(), argument.get_id().to_string()));
        }
        for verb_of in command.get_subcommands() {
            paths(verb_of, format!("{verb} {}", verb_of.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_option_that_names_a_path_is_in_one_of_the_two_lists() {
        let mut found = Vec::new();
        paths(&Cli::command(), "", &mut found);
        let outputs = OUTPUTS.iter().map(|row| (row.verb, row.option));
        let listed: Vec<(&str, &str)> = outputs.chain(OTHERS.iter().copied()).collect();
        let known =
            |(verb, option): &&(String, String)| listed.contains(&(verb.as_str(), option.as_str()));
        let missing: Vec<_> = found.iter().filter(|path| !known(path)).collect();
        assert!(missing.is_empty(), "say whether these are written: {missing:?}");
        let there =
            |(verb, option): &(&str, &str)| found.contains(&(verb.to_string(), option.to_string()));
        let gone: Vec<_> = listed.iter().filter(|path| !there(path)).collect();
        assert!(gone.is_empty(), "there are no such options: {gone:?}");
    }

    /// A folder with something of everything that calls read, and of what a user may have.
    fn place() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("model/config.json", "{}"),
            ("model/.git/HEAD", "ref"),
            ("reference/config.json", "{}"),
            ("adapter/adapter_config.json", "{}"),
            ("adapter/adapter_model.safetensors", "months of work"),
            ("tokens/tokens-00000.parquet", "rows"),
            ("authors/dataset/x.jsonl", "{}"),
            ("data.jsonl", "{\"question\": \"?\", \"answer\": \"#### 1\"}"),
            ("data.parquet", "rows"),
            ("probe.jsonl", "{}"),
            ("results.json", "{}"),
            ("recipe.toml", "name = \"mine\""),
            ("occupied/config.json", "{}"),
            ("occupied/adapter_config.json", "{}"),
            ("occupied/tokens-00000.parquet", "rows"),
            ("occupied/data/results.csv", "months of work"),
        ] {
            write(&root.path().join(file), text);
        }
        root
    }

    fn write(file: &Path, text: &str) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    /// All files below `folder` with their contents, links with what they lead to.
    fn contents(folder: &Path) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap();
            let content = if kind.is_symlink() {
                format!("-> {}", path.read_link().unwrap().display())
            } else if kind.is_dir() {
                all.extend(contents(&path));
                "folder".into()
            } else {
                String::from_utf8(std::fs::read(&path).unwrap()).unwrap()
            };
            all.insert(path, content);
        }
        all
    }

    impl Row {
        /// The place in `folder`, with the ending that the call's has.
        fn out(&self, folder: &Path, name: &str) -> PathBuf {
            let word = self.call.split(' ').find(|word| word.starts_with("OUT")).unwrap();
            folder.join(word.replace("OUT", name))
        }

        /// The call must be refused with all of `parts`, and leave everything as it was.
        fn refuses(&self, root: &Path, out: &Path, parts: &[&str]) {
            let absolute = |word: &str| match word.split_once('=') {
                _ if word.starts_with("OUT") => out.display().to_string(),
                Some((name, file)) => format!("{name}={}", root.join(file).display()),
                None if root.join(word).exists() || word == "new" => {
                    root.join(word).display().to_string()
                }
                None => word.to_owned(),
            };
            let mut call = vec!["unforget".to_owned(), "--store".to_owned()];
            call.push(root.join("store").display().to_string());
            // the verb's own name may be that of a file
            let verb = self.verb.split(' ').count();
            let words = self.call.split(' ').enumerate();
            call.extend(words.map(|(at, word)| match at < verb {
                true => word.to_owned(),
                false => absolute(word),
            }));
            let before = contents(root);
            let cli = Cli::try_parse_from(&call).unwrap_or_else(|error| panic!("{error}"));
            let Err(error) = run(cli) else { panic!("{call:?} was accepted") };
            let error = error.to_string();
            for part in parts {
                assert!(error.contains(part), "{call:?}: `{part}` is not in: {error}");
            }
            assert_eq!(contents(root), before, "{call:?}: {error}");
        }
    }

    #[test]
    fn what_this_program_did_not_write_is_never_replaced() {
        for row in OUTPUTS {
            let place = place();
            let root = place.path();
            match row.kind {
                Whole => {
                    row.refuses(root, &root.join("occupied"), &["occupied: ", "config.json"]);
                    row.refuses(root, &root.join("data.jsonl"), &["data.jsonl"]);
                    // here the book's row names what it reads
                    let why = if row.verb == "book" { "would be lost" } else { "current folder" };
                    row.refuses(root, Path::new("."), &[why]);
                    row.refuses(root, Path::new(".."), &[why]);
                }
                File => {
                    let out = row.out(root, "occupied-too");
                    write(&out, "months of work");
                    row.refuses(root, &out, &["occupied-too", "--out"]);
                    let folder = row.out(root, "folder");
                    std::fs::create_dir(&folder).unwrap();
                    row.refuses(root, &folder, &["is a folder"]);
                }
                Within(name) => {
                    write(&root.join("occupied").join(name), "months of work");
                    row.refuses(root, &root.join("occupied"), &["occupied", name]);
                    row.refuses(root, &root.join("data.jsonl"), &["data.jsonl"]);
                }
                Adds => row.refuses(root, &root.join("data.jsonl"), &["is not a folder"]),
            }
            row.refuses(root, &root.join("data.jsonl/x.jsonl"), &["data.jsonl"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_never_replaced() {
        use std::os::unix::fs::symlink;
        for row in OUTPUTS {
            let place = place();
            let root = place.path();
            for (at, to) in ["empty", "occupied", "data.jsonl", "nothing"].iter().enumerate() {
                std::fs::create_dir_all(root.join("empty")).unwrap();
                let name = format!("link-{at}");
                match row.kind {
                    Whole | File => {
                        let out = row.out(root, &name);
                        symlink(root.join(to), &out).unwrap();
                        row.refuses(root, &out, &[&name]);
                    }
                    Within(file) => {
                        let out = root.join(&name).join(file);
                        std::fs::create_dir_all(out.parent().unwrap()).unwrap();
                        symlink(root.join(to), &out).unwrap();
                        row.refuses(root, &root.join(&name), &[file]);
                    }
                    Adds => {}
                }
            }
        }
    }

    #[test]
    fn no_input_is_replaced_under_any_name() {
        for row in OUTPUTS {
            let place = place();
            let root = place.path();
            for (at, (option, read)) in row.reads.iter().enumerate() {
                let read = root.join(read);
                let link = format!("again-{at}");
                match row.kind {
                    // a folder may have several names only by links
                    Whole => {
                        row.refuses(root, &read, &[option, "would be lost"]);
                        let around = root.join("occupied/..").join(read.file_name().unwrap());
                        row.refuses(root, &around, &[option, "would be lost"]);
                        row.refuses(root, root, &["would be lost"]);
                        row.refuses(root, &root.join("store"), &["--store", "would be lost"]);
                    }
                    File => {
                        let out = row.out(root, &link);
                        std::fs::hard_link(&read, &out).unwrap();
                        row.refuses(root, &out, &[option, "would be lost"]);
                    }
                    Within(name) if read.is_file() => {
                        let out = root.join(&link).join(name);
                        std::fs::create_dir_all(out.parent().unwrap()).unwrap();
                        std::fs::hard_link(&read, &out).unwrap();
                        row.refuses(root, &root.join(&link), &[option, "would be lost"]);
                    }
                    Within(_) | Adds => {}
                }
            }
        }
        // nor is one output another's place
        let place = place();
        let row = OUTPUTS.iter().find(|row| row.option == "log").unwrap();
        for log in ["new", "new/log"] {
            row.refuses(place.path(), &place.path().join(log), &["--log", "would be lost"]);
        }
    }
}
