//! A module uses only modules that `src/lib.rs` lists above it, so that the list is the architecture; and no files use each other in a circle.
//!
//! What counts as a use is a path that starts at the crate's root: `crate::x` alone, in a group, or climbed to with `super`.
//! Comments, strings and `#[cfg(test)]` parts do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One use that the order forbids.
#[derive(Debug, PartialEq)]
struct Offence {
    line: usize,
    uses: String,
}

/// The module names of a `lib.rs` in order.
fn modules(lib: &str) -> Vec<String> {
    let code = code_only(lib);
    let names = code.lines().filter_map(|line| {
        let line = line.trim();
        let rest = line.strip_prefix("pub mod ").or(line.strip_prefix("mod "))?;
        Some(leading_name(rest))
    });
    names.collect()
}

fn leading_name(text: &str) -> String {
    let part_of_name = |c: &char| c.is_alphanumeric() || *c == '_';
    text.trim_start().chars().take_while(part_of_name).collect()
}

/// `source` with comments, strings and characters turned to spaces; lines stay where they are.
fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    let starts = |at: usize, text: &str| {
        text.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c))
    };
    while at < chars.len() {
        let before = code.chars().next_back().unwrap_or(' ');
        let in_name = before.is_alphanumeric() || before == '_';
        let end = if starts(at, "//") {
            (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len())
        } else if starts(at, "/*") {
            (at + 2..chars.len()).find(|i| starts(*i, "*/")).map_or(chars.len(), |i| i + 2)
        } else if chars[at] == '"' {
            quoted(&chars, at, '"')
        } else if !in_name && (starts(at, "r\"") || starts(at, "r#")) {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            let close = format!("\"{}", "#".repeat(hashes));
            match chars.get(at + 1 + hashes) {
                Some('"') => (at + hashes + 2..chars.len())
                    .find(|i| starts(*i, &close))
                    .map_or(chars.len(), |i| i + close.len()),
                _ => at, // a raw name
            }
        } else if chars[at] == '\''
            && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\''))
        {
            quoted(&chars, at, '\'')
        } else {
            at
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the string or character that opens at `from` ends.
fn quoted(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// `code` with everything under `#[cfg(test)]` turned to spaces, and the names of the test files that it declares.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut kept, mut files, mut rest) = (String::new(), Vec::new(), code);
    while let Some(found) = rest.find(MARK) {
        let (before, item) = rest.split_at(found);
        let mut depth = 0;
        let end = item[MARK.len()..].char_indices().find(|(_, c)| {
            depth += i32::from("([{".contains(*c)) - i32::from(")]}".contains(*c));
            depth == 0 && (*c == ';' || *c == '}')
        });
        let end = end.map_or(item.len(), |(at, _)| MARK.len() + at + 1);
        let text = item[MARK.len()..end].trim();
        if let Some(name) = text.strip_prefix("mod ").and_then(|text| text.strip_suffix(';')) {
            files.push(name.trim().to_string());
        }
        kept.push_str(before);
        kept.extend(item[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &item[end..];
    }
    (kept + rest, files)
}

/// First names after every `root` (such as `crate::`) of `code`, those of a group too, with their lines.
fn names_after(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        if before.is_alphanumeric() || "_:$".contains(before) {
            continue; // part of a longer path
        }
        let line = |at: usize| code[..at].matches('\n').count() + 1;
        let from = at + root.len();
        if !code[from..].starts_with('{') {
            names.push((line(at), leading_name(&code[from..])));
            continue;
        }
        let (mut depth, mut fresh) = (0, false);
        for (i, c) in code[from..].char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 {
                break;
            }
            if depth == 1 && (c == '{' || c == ',') {
                fresh = true;
            } else if fresh && !c.is_whitespace() {
                names.push((line(from + i), leading_name(&code[from + i..])));
                fresh = false;
            }
        }
    }
    names.retain(|(_, name)| !name.is_empty());
    names
}

/// What a file of `module` may not use; the file lies `depth` folders below the module's own.
fn offences(order: &[String], module: &str, depth: usize, code: &str) -> Vec<Offence> {
    let place = |name: &str| order.iter().position(|known| known == name);
    let own = place(module).unwrap_or_else(|| panic!("`{module}` is not listed in src/lib.rs"));
    let below = |name: &str| place(name).is_some_and(|at| at <= own);
    let absolute = names_after(code, "crate::").into_iter().filter(|(_, name)| !below(name));
    let climbed = names_after(code, &"super::".repeat(depth + 1)).into_iter();
    let climbed = climbed.filter(|(_, name)| place(name).is_some() && !below(name));
    let offence = |(line, uses)| Offence { line, uses };
    absolute.chain(climbed).map(offence).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// One file of `src` without comments, strings and tests.
struct Source {
    path: PathBuf,
    /// The folder in which its modules lie, from `src`: `select` and `select/mask`.
    place: PathBuf,
    code: String,
}

/// All files of `src` but the tests and the crate's own, which stands on top of everything.
fn sources(src: &Path) -> Vec<Source> {
    let (mut sources, mut tests) = (Vec::new(), Vec::new());
    for path in rust_files(src) {
        let (code, declared) = without_tests(&code_only(&std::fs::read_to_string(&path).unwrap()));
        // `x/mod.rs` and `x.rs` have their modules in `x/`
        let folder = match path.file_stem().unwrap().to_str() {
            Some("mod" | "lib" | "main") => path.parent().unwrap().to_path_buf(),
            _ => path.with_extension(""),
        };
        for name in declared {
            tests.extend([folder.join(&name).with_extension("rs"), folder.join(&name)]);
        }
        let place = folder.strip_prefix(src).unwrap().to_path_buf();
        sources.push(Source { path, place, code });
    }
    sources.retain(|source| {
        let top = source.place.as_os_str().is_empty();
        !top && !tests.iter().any(|test| source.path.starts_with(test))
    });
    sources
}

#[test]
fn a_module_uses_only_modules_listed_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let listed_in = |file: &str| modules(&std::fs::read_to_string(src.join(file)).unwrap());
    let (order, program) = (listed_in("lib.rs"), listed_in("main.rs"));
    assert!(order.len() > 5, "src/lib.rs lists {order:?}");
    let mut problems = Vec::new();
    for Source { path, place, code } in sources(&src) {
        let module = place.iter().next().unwrap().to_str().unwrap();
        if program.iter().any(|name| name == module) {
            continue; // the program's own: it sees the library from outside
        }
        for Offence { line, uses } in offences(&order, module, place.iter().count() - 1, &code) {
            let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
            problems.push(format!("{}:{line}: `{module}` uses `{uses}`", path.display()));
        }
    }
    let listed = order.join(", ");
    assert!(
        problems.is_empty(),
        "not listed above the module in src/lib.rs ({listed}):\n{}",
        problems.join("\n")
    );
}

/// The paths of `code` that begin with `crate`, `super` or `self`, those of groups one by one.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && !"_:$".contains(before) {
                one_path(&code[at..], &[], &mut found);
            }
        }
    }
    found
}

/// Adds the path, or the group of paths, at the beginning of `code`; returns what follows.
fn one_path<'a>(code: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = before.to_vec();
    let mut rest = code.trim_start();
    loop {
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = group.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
                match group.strip_prefix('}') {
                    Some(rest) => return rest,
                    None if group.is_empty() => return group,
                    None => group = one_path(group, &path, found),
                }
            }
        }
        let name = leading_name(rest);
        rest = match name.is_empty() {
            true => rest.get(1..).unwrap_or_default(), // `*`
            false => &rest[name.len()..],
        };
        path.extend(Some(name).filter(|name| !name.is_empty()));
        match rest.strip_prefix("::") {
            Some(more) => rest = more,
            None => break,
        }
    }
    found.push(path);
    // `as` another name
    match rest.trim_start().strip_prefix("as ") {
        Some(rest) => &rest[leading_name(rest).len()..],
        None => rest,
    }
}

/// Which file, by its place, uses which others. What a folder's own file and its files say of each other does not count, as it stands for them.
fn uses(sources: &[(String, String)]) -> BTreeMap<&str, BTreeSet<&str>> {
    let places: BTreeSet<&str> = sources.iter().map(|(place, _)| place.as_str()).collect();
    let place = |path: &[&str]| places.get(path.join("/").as_str()).copied();
    // by place and name: the file of a name that the folder's own file hands on
    let mut handed_on: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for (own, code) in sources {
        for (at, _) in code.match_indices("use ") {
            let line = &code[code[..at].rfind('\n').map_or(0, |end| end + 1)..at];
            if !line.trim_start().starts_with("pub") {
                continue;
            }
            let mut handed = Vec::new();
            one_path(&code[at + 4..], &[], &mut handed);
            for path in handed.iter().filter(|path| path.len() > 1) {
                if let Some(file) = place(&[own, path[0].as_str()]) {
                    handed_on.insert((own, path[path.len() - 1].clone()), file);
                }
            }
        }
    }
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (own, code) in sources {
        for path in paths(code) {
            let mut here: Vec<&str> =
                if path[0] == "crate" { Vec::new() } else { own.split('/').collect() };
            let mut file = None;
            for name in &path {
                match name.as_str() {
                    "crate" | "self" => {}
                    "super" => drop(here.pop()),
                    name => {
                        let below: Vec<&str> = here.iter().copied().chain([name]).collect();
                        let known = place(&below)
                            .or_else(|| handed_on.get(&(place(&here)?, name.to_string())).copied());
                        let Some(known) = known else { break };
                        here = known.split('/').collect();
                    }
                }
                file = place(&here);
            }
            let apart = |other: &&str| {
                !Path::new(own).starts_with(other) && !Path::new(other).starts_with(own)
            };
            uses.entry(own).or_default().extend(file.filter(apart));
        }
    }
    uses
}

/// A circle of files, each of which uses the next one.
fn circle<'a>(mut uses: BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    loop {
        // who uses nothing that is left is in no circle
        let left: BTreeSet<&str> =
            uses.iter().filter(|(_, used)| !used.is_empty()).map(|(own, _)| *own).collect();
        let before = uses.len();
        uses.retain(|own, used| {
            used.retain(|used| left.contains(used));
            left.contains(own)
        });
        if uses.len() == before {
            break;
        }
    }
    let mut way = vec![*uses.keys().next()?];
    loop {
        let next = *uses[way[way.len() - 1]].iter().next()?;
        if let Some(at) = way.iter().position(|seen| *seen == next) {
            return Some(way.split_off(at));
        }
        way.push(next);
    }
}

#[test]
fn no_circle_of_files_use_each_other() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<(String, String)> = sources(&src)
        .into_iter()
        .map(|source| {
            let place: Vec<_> = source.place.iter().map(|name| name.to_string_lossy()).collect();
            (place.join("/"), source.code)
        })
        .collect();
    let uses = uses(&files);
    let count: usize = uses.values().map(BTreeSet::len).sum();
    assert!(count > 500, "only {count} uses of files were found");
    let circle = circle(uses).unwrap_or_default();
    assert!(circle.is_empty(), "a circle of files: {}", circle.join(" uses "));
}

#[test]
fn circles_are_found_through_groups_and_handed_on_names() {
    let check = |files: &[(&str, &str)], want: &[&str]| {
        let own = |(place, code): &(&str, &str)| (place.to_string(), code_only(code));
        let files: Vec<(String, String)> = files.iter().map(own).collect();
        assert_eq!(circle(uses(&files)).unwrap_or_default(), want, "{files:?}");
    };
    let one = ("a/one", "use super::two::Two;");
    check(&[("a", "mod one;\nmod two;"), one, ("a/two", "use crate::b::B;")], &[]);
    check(&[("a", ""), one, ("a/two", "fn f() { super::one::g() }")], &["a/one", "a/two"]);
    // the folder's own file hands a name on, or uses one of its files
    let own = ("a", "pub use one::{One, More};\nmod one;\npub(crate) use two::Two;");
    check(&[own, one, ("a/two", "use super::{\n    More as Other,\n};")], &["a/one", "a/two"]);
    check(&[("a", "use one::One;"), ("a/one", "use super::A;")], &[]);
    let (two, three) = ("use crate::b::three::*;", "use crate::a::{one::{self, One}};");
    let whole = [("a", ""), ("b", ""), one, ("a/two", two), ("b/three", three)];
    check(&whole, &["a/one", "a/two", "b/three"]);
    check(&[one, ("a/two", "// super::one\nconst S: &str = \"super::one\";")], &[]);
}

#[test]
fn a_forbidden_use_is_found_with_its_line() {
    let order = modules(
        "//! x\npub mod error;\n\n// words\npub mod chat;\nmod roof;\npub use chat::Chat;\n",
    );
    assert_eq!(order, ["error", "chat", "roof"]);
    let check = |source: &str, want: &[(usize, &str)]| {
        let (code, _) = without_tests(&code_only(source));
        let found: Vec<(usize, String)> =
            offences(&order, "chat", 0, &code).into_iter().map(|o| (o.line, o.uses)).collect();
        let want: Vec<(usize, String)> =
            want.iter().map(|(line, uses)| (*line, uses.to_string())).collect();
        assert_eq!(found, want, "{source}");
    };
    check("use crate::error::Error;\nuse crate::chat::Role;\nuse super::error::Result;", &[]);
    check("use crate::error::Error;\nuse crate::roof::Roof;", &[(2, "roof")]);
    check("use crate::{\n    chat::{Role, roof},\n    roof::Roof,\n};", &[(3, "roof")]);
    check("fn f() { let '\"' = '\\'' ; crate::roof::build() }", &[(1, "roof")]);
    check("use super::roof;", &[(1, "roof")]);
    check("use crate::Chat;", &[(1, "Chat")]);
    check(
        "/// [`crate::roof`]\n// crate::roof\nconst S: &str = \"crate::roof\\\" crate::roof\";\nconst R: &str = r#\"crate::roof\"#;",
        &[],
    );
    check(
        "#[cfg(test)]\nuse crate::roof;\nfn f<'a>(x: &'a str) {}\nuse crate::roof;",
        &[(4, "roof")],
    );
    check(
        "#[cfg(test)]\nmod tests {\n    fn f() { let x = [1; 2]; }\n    use crate::roof;\n}\n",
        &[],
    );
}
