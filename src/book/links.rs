//! Whether every link of the finished site leads somewhere.

use crate::error::{Error, Result};
use fancy_regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Links to files or anchors that are not there, as `page: link`; links that leave the site are not followed.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn broken(site: &Path) -> Result<Vec<String>> {
    let link = Regex::new(r#"(?:href|src)="([^"]*)""#).expect("a pattern of ours");
    let anchor = Regex::new(r#"\bid="([^"]*)""#).expect("a pattern of ours");
    let found = |pattern: &Regex, text: &str| -> Vec<String> {
        let all = pattern.captures_iter(text).flatten();
        all.filter_map(|found| Some(found.get(1)?.as_str().replace("&amp;", "&"))).collect()
    };
    let mut files = BTreeSet::new();
    walk(site, &mut files)?;
    let mut read = BTreeMap::new();
    for path in pages(site)? {
        let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
        let ids: BTreeSet<String> = found(&anchor, &text).into_iter().collect();
        read.insert(path, (found(&link, &text), ids));
    }
    let mut wrong = Vec::new();
    for (page, (links, ids)) in &read {
        for target in links {
            let (place, anchor) = target.split_once('#').unwrap_or((target, ""));
            let place = place.split('?').next().unwrap_or_default();
            if place.contains(':') || place.starts_with("//") {
                continue;
            }
            let file = normal(&page.parent().unwrap_or(site).join(place));
            let file = if file.is_dir() { file.join("index.html") } else { file };
            let there = place.is_empty() || files.contains(&file);
            let known =
                if place.is_empty() { Some(ids) } else { read.get(&file).map(|(_, ids)| ids) };
            let marked = anchor.is_empty() || known.is_none_or(|ids| ids.contains(anchor));
            // mdBook's page for a missing address is written for the site's root
            if !(there && marked) && page.file_name().is_some_and(|name| name != "404.html") {
                let page = page.strip_prefix(site).unwrap_or(page);
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    Ok(wrong)
}

/// The pages of a site, but for the API reference, which rustdoc makes and checks.
pub(super) fn pages(site: &Path) -> Result<Vec<PathBuf>> {
    let mut files = BTreeSet::new();
    walk(site, &mut files)?;
    let page = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "html")
            && !path.strip_prefix(site).is_ok_and(|path| path.starts_with("api"))
    };
    Ok(files.into_iter().filter(page).collect())
}

fn walk(folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("reading", folder))? {
        let path = entry.map_err(Error::io("reading", folder))?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.insert(normal(&path));
        }
    }
    Ok(())
}

/// `a/../b` as `b`, without asking the disk.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_files_and_anchors_are_named() {
        let site = tempfile::tempdir().unwrap();
        fs::create_dir(site.path().join("part")).unwrap();
        let write = |name: &str, text: &str| fs::write(site.path().join(name), text).unwrap();
        write(
            "index.html",
            r##"<h1 id="top"><a href="part/a.html#b">x</a><a href="#top">y</a><a href="https://arxiv.org/#z">w</a></h1>"##,
        );
        write(
            "part/a.html",
            r##"<p id="b"><a href="../index.html#top">x</a><img src="gone.svg"><a href="../index.html#no">y</a><a href="#no">z</a></p>"##,
        );
        assert_eq!(
            broken(site.path()).unwrap(),
            ["part/a.html: gone.svg", "part/a.html: ../index.html#no", "part/a.html: #no"]
        );
    }
}
