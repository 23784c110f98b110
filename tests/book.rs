//! The book: its results are today's, its pages can be made, and in a browser the slider moves, search finds and figures load.
//!
//! What needs mdBook or Chromium says that it skips where they are absent.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_result_in_the_book_is_stale() {
    let results = root().join("book/src/results");
    assert_eq!(unforget::paper::stale(&results).unwrap(), Vec::<String>::new());
    let kept = |id: &str| results.join(id).join("README.md").is_file();
    assert!(kept("table-2") && kept("table-3"), "the main tables are there");
}

#[test]
fn every_chapter_shows_a_figure_or_an_example() {
    let chapters = root().join("book/src");
    let summary = std::fs::read_to_string(chapters.join("SUMMARY.md")).unwrap();
    let (written, _) = summary.split_once("# Notebooks").unwrap();
    // what only lists words, and the page that draws by itself
    let other = ["decisions.md", "lab-log.md", "glossary.md", "reading-group.md", "threshold.md"];
    for line in written.lines() {
        let Some((_, name)) = line.trim().rsplit_once('(') else { continue };
        let name = name.trim_end_matches(')');
        let text = std::fs::read_to_string(chapters.join(name)).unwrap();
        let shows =
            ["![", "```", "{{#include figures/", "|---|"].iter().any(|mark| text.contains(mark));
        assert!(
            shows || other.contains(&name),
            "{name} has neither figure nor example nor numbers"
        );
    }
}

#[test]
fn every_result_is_a_page_of_the_book() {
    let gallery = std::fs::read_to_string(root().join("book/src/results/README.md")).unwrap();
    let summary = std::fs::read_to_string(root().join("book/src/SUMMARY.md")).unwrap();
    for entry in std::fs::read_dir(root().join("book/src/results")).unwrap() {
        let place = entry.unwrap().path();
        let name = place.file_name().unwrap().to_string_lossy().into_owned();
        if place.is_dir() {
            let listed = summary.contains(&format!("results/{name}/"));
            assert!(listed, "results/{name} is not in SUMMARY.md");
            assert!(
                gallery.contains(&format!("{name}/index.html")),
                "{name} is not in the gallery"
            );
        }
    }
}

#[test]
fn figures_and_short_tables_show_what_is_kept() {
    for (name, text) in unforget::book::front(root()).unwrap() {
        let file = root().join("book/src/figures").join(name);
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == text, "{}: `unforget book --check` writes it again", file.display());
        let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
        assert!(name != "one-rate.md" || readme.contains(&text), "the README's table is another");
    }
}

/// A program of the path, or of the variable that names it.
fn program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
}

const CHECK: &str = include_str!("book.html");

#[test]
fn the_site_works_in_a_browser() {
    let Some(mdbook) = program("MDBOOK", &["mdbook"]) else {
        return println!(
            "skipped: no mdbook (`cargo install mdbook --version 0.5.4`), or name it with MDBOOK"
        );
    };
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    let built = Command::new(env!("CARGO_BIN_EXE_unforget"))
        .current_dir(root())
        .args(["book", "--quiet", "--mdbook"])
        .arg(mdbook)
        .arg("--out")
        .arg(&site)
        .arg("--store")
        .arg(folder.path().join("store"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");

    let Some(browser) = program("CHROMIUM", &["chromium", "chromium-browser", "google-chrome"])
    else {
        return println!("skipped in part: no Chromium, or name it with CHROMIUM");
    };
    std::fs::write(site.join("check.html"), CHECK).unwrap();
    let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
    let shown = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--allow-file-access-from-files", "--enable-logging=stderr"])
        .args(["--virtual-time-budget=60000", "--dump-dom"])
        .arg(profile)
        .arg(format!("file://{}", site.join("check.html").display()))
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&shown.stdout);
    let log = String::from_utf8_lossy(&shown.stderr);
    let console: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    let fact = |name: &str| {
        let line = page.lines().find_map(|line| line.split_once(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no `{name}` in {page}; {console:?}"))
            .1
            .trim_end_matches("</pre>")
            .to_owned()
    };
    let masked: Vec<usize> = fact("masked").split(' ').map(|n| n.parse().unwrap()).collect();
    assert!(masked[0] > masked[1] && masked[1] > masked[2], "{masked:?}");
    assert!(fact("measured").parse::<usize>().unwrap() >= 5);
    assert!(fact("item").starts_with("algebra/"));
    let figures = fact("figures");
    let (all, drawn) = figures.split_once(" drawn ").unwrap();
    assert!(all == drawn && all != "0", "{figures}");
    let thumbnails = fact("thumbnails");
    let (all, drawn) = thumbnails.split_once(" drawn ").unwrap();
    assert!(all == drawn && all != "0", "{thumbnails}");
    let marks: Vec<i64> = fact("mark").split(' ').map(|n| n.parse().unwrap()).collect();
    assert!(marks[0] < marks[1] && marks[1] < marks[2], "the curve's mark follows: {marks:?}");
    for width in ["1280", "390"] {
        let fold = fact(&format!("fold{width}"));
        let numbers: Vec<f64> = fold.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(numbers[0] > 0.6 * numbers[1], "{width}: of the first figure is seen {fold}");
        assert!(numbers[2] <= 1.0, "{width}: the page scrolls sideways: {fold}");
    }
    for theme in ["light", "navy"] {
        let contrast: f64 = fact(&format!("contrast_{theme}")).parse().unwrap();
        assert!(contrast >= 4.5, "{theme}: {contrast}");
    }
    assert!(fact("search").parse::<usize>().unwrap() > 0);
    assert_eq!(console, Vec::<&str>::new(), "nothing is said on the console");
}

/// A front door: short, narrow enough to read as text, with every picture and page that it names.
#[test]
fn the_readme_is_short_and_its_links_lead_somewhere() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 130, "{} lines", readme.lines().count());
    let long = readme.lines().find(|line| line.chars().count() > 100);
    assert_eq!(long, None);
    let mut count = 0;
    for (_, rest) in readme.match_indices("](").map(|(at, _)| readme.split_at(at + 2)) {
        let target = rest.split(')').next().unwrap();
        if !target.contains(':') {
            assert!(root().join(target).exists(), "{target} is not there");
            count += 1;
        }
    }
    assert!(count > 8);
}
