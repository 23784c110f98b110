//! What `help("NAME")` shows in a notebook is what the sources say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every name that the prelude exports, with the path that it is exported from; the two crates are left out.
fn names() -> Vec<(String, String)> {
    let text = fs::read_to_string(src().join("prelude.rs")).unwrap();
    let mut found = Vec::new();
    let exports = text.lines().filter_map(|line| line.strip_prefix("pub use crate::"));
    for export in exports {
        let export = export.trim_end_matches(';');
        let (path, names) = match export.split_once('{') {
            Some((path, names)) => (path.trim_end_matches("::"), names.trim_end_matches('}')),
            None => export.rsplit_once("::").unwrap(),
        };
        for name in names.split(", ") {
            let (whole, shown) = name.split_once(" as ").unwrap_or((name, name));
            let whole = whole.rsplit("::").next().unwrap();
            found.push((shown.to_owned(), format!("{path}::{whole}")));
        }
    }
    found
}

/// All source files of the library by their module's path, such as `answers/comparison`.
fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(src()).unwrap().with_extension("");
                let name = name.to_string_lossy().replace('\\', "/");
                into.insert(
                    name.trim_end_matches("/mod").to_owned(),
                    fs::read_to_string(&path).unwrap(),
                );
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(&src(), &mut all);
    all.retain(|name, _| {
        !["cli", "audit", "paper", "prelude", "main"]
            .iter()
            .any(|not| name.split('/').next() == Some(not))
    });
    all
}

/// The first sentence of the doc comment that ends above line `at`.
fn says(lines: &[&str], at: usize) -> String {
    let above = lines[..at].iter().rev().map(|line| line.trim());
    let doc: Vec<&str> = above
        .skip_while(|line| line.starts_with("#["))
        .map_while(|line| line.strip_prefix("///").map(str::trim))
        .collect();
    let paragraph: Vec<&str> = doc.into_iter().rev().take_while(|line| !line.is_empty()).collect();
    let mut text = paragraph.join(" ");
    while let Some((before, after)) = text.split_once("](") {
        // a link's words stay
        let after = after.split_once(')').map_or("", |(_, after)| after);
        text = format!("{before}{after}");
    }
    let text = text.replace(['[', ']'], "");
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].replace('\t', " ")
}

/// A signature from its first line to the brace that opens its body, in one line.
fn signature(lines: &[&str], at: usize) -> String {
    let mut text = String::new();
    for line in &lines[at..] {
        text.push_str(line.trim());
        text.push(' ');
        if line.trim_end().ends_with(['{', ';']) {
            break;
        }
    }
    let text = text.trim().trim_end_matches(['{', ';']).trim();
    text.trim_start_matches("pub ").trim_start_matches("fn ").replace("( ", "(").replace(", )", ")")
}

/// What there is to say of `name` as it is exported from `path`.
fn section(shown: &str, path: &str, sources: &BTreeMap<String, String>) -> String {
    let (module, name) = path.rsplit_once("::").unwrap();
    let module = module.replace("::", "/");
    let below = |file: &str| file == module || file.starts_with(&format!("{module}/"));
    let mut about = String::new();
    let mut entries = Vec::new();
    // a module: its free functions
    if let Some(text) = sources
        .get(&format!("{module}/{name}").trim_start_matches("self/").to_owned())
        .or_else(|| sources.get(name))
        && name.chars().all(|c| c.is_lowercase() || c == '_')
        && !sources
            .iter()
            .any(|(file, text)| below(file) && text.contains(&format!("\npub fn {name}(")))
    {
        let doc = text.lines().next().unwrap_or_default();
        about = doc.trim_start_matches("//!").trim().to_owned();
        let of = |file: &str| file == name || file.starts_with(&format!("{name}/"));
        for text in sources.iter().filter(|(file, _)| of(file)).map(|(_, text)| text) {
            let lines: Vec<&str> = text.lines().collect();
            for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("pub fn "))
            {
                entries.push((signature(&lines, at), says(&lines, at)));
            }
        }
        entries.sort();
    }
    for (file, text) in sources.iter().filter(|(_, text)| text.contains(name)) {
        let lines: Vec<&str> = text.lines().collect();
        let mut within = false;
        for (at, line) in lines.iter().enumerate() {
            let opens = |kind: &str| {
                line.strip_prefix(kind).is_some_and(|rest| {
                    rest.strip_prefix(name).is_some_and(|rest| {
                        !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                    })
                })
            };
            if below(file)
                && (opens("pub struct ")
                    || opens("pub enum ")
                    || opens("pub trait ")
                    || opens("pub type "))
            {
                about = says(&lines, at);
                within = line.ends_with('{');
            } else if below(file) && opens("pub fn ") {
                about = says(&lines, at);
                entries.push((signature(&lines, at), String::from("Called as it stands here.")));
            } else if opens("impl ")
                && (below(file)
                    || text.contains(&format!("use super::{name}"))
                    || uses(text, &module, name))
            {
                within = line.ends_with('{');
            } else if *line == "}" {
                within = false;
            }
            let Some(inner) = line.strip_prefix("    pub ").filter(|_| within) else { continue };
            if inner.starts_with("fn ") {
                entries.push((signature(&lines, at), says(&lines, at)));
            } else if inner.contains(": ")
                && !inner.starts_with("(")
                && !inner.starts_with("const ")
            {
                entries.push((inner.trim_end_matches(',').to_owned(), says(&lines, at)));
            }
        }
    }
    let entries: String = entries.iter().map(|(what, says)| format!("{what}\t{says}\n")).collect();
    format!("# {shown}\n{about}\n{entries}")
}

/// Whether a file means this type by `name`, and not another of the same name.
fn uses(text: &str, module: &str, name: &str) -> bool {
    let module = module.replace('/', "::");
    text.lines()
        .filter(|line| line.starts_with("use "))
        .any(|line| line.contains(&format!("crate::{module}::")) && line.contains(name))
}

#[test]
fn help_says_what_the_sources_say() {
    let sources = sources();
    let all: String = names().iter().map(|(shown, path)| section(shown, path, &sources)).collect();
    let file = src().join("display/help.txt");
    if std::env::var_os("UNFORGET_WRITE_HELP").is_some() {
        fs::write(&file, &all).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap();
    assert!(
        kept == all,
        "src/display/help.txt is of older sources; UNFORGET_WRITE_HELP=1 cargo test --release --test main help writes it again"
    );
    for section in all.split("# ").skip(1) {
        let (name, rest) = section.split_once('\n').unwrap();
        let about = rest.lines().next().unwrap();
        assert!(!about.is_empty(), "{name} says nothing of itself");
    }
}
