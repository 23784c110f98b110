use super::notebook::Notebook;
use super::output::Reads;
use super::terminal::say;
use super::{Common, paper};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use unforget::book;
use unforget::error::{Error, Result};
use unforget::store::Output;

const AFTER: &str = "\
Run it from the project's folder. It needs mdBook:
  cargo install mdbook --version 0.5.4 --locked --no-default-features --features search

Examples:
  unforget book                  the site in target/book, to be opened from disk
  unforget book --api            with the API reference, which `cargo doc` makes
  unforget book --refresh        the same after all outputs in the sources were made again: minutes if the store has the runs, else hours
  unforget book --check          only whether tables and figures are those of today's recipes, and pages can be made";

/// `unforget book`
#[derive(Args)]
#[command(after_help = AFTER)]
pub struct Book {
    /// Folder for the finished site
    #[arg(long, value_name = "FOLDER", default_value = "target/book")]
    out: PathBuf,
    /// The mdBook program
    #[arg(long, value_name = "PROGRAM", default_value = "mdbook")]
    mdbook: PathBuf,
    /// Build the API reference too
    #[arg(long)]
    api: bool,
    /// Prepare the pages and stop
    #[arg(long, conflicts_with = "refresh")]
    check: bool,
    /// First recompute all tables, figures and claims, and rerun all notebooks and save their outputs
    #[arg(long)]
    refresh: bool,
}

impl Book {
    pub fn run(&self, common: &Common) -> Result<()> {
        let root = Path::new(".");
        let output = Output::folder("--out", &self.out, "site").older(is_cache(&self.out));
        if !self.check {
            let reads = Reads::new(common)?.path("book", root.join("book"));
            let reads = reads.path("notebooks", root.join("notebooks"));
            reads.check(std::slice::from_ref(&output))?;
        }
        let chapters = root.join(book::CHAPTERS);
        if !chapters.join("SUMMARY.md").is_file() {
            let hint = "run `unforget book` from the project's folder";
            return Err(Error::missing("chapters of the book", chapters, hint));
        }
        if self.refresh {
            paper::all(common, &chapters.join("results"))?;
            Notebook::refresh(common)?;
        }
        let cx = common.context()?;
        for file in book::prepare(&cx, root)? {
            cx.progress.note(&format!("wrote {}", file.display()));
        }
        if self.check {
            return Ok(());
        }
        output.make(|folder| self.build(root, folder))?;
        say!("{}", self.out.join("index.html").display());
        Ok(())
    }

    /// Builds the site into an empty folder.
    fn build(&self, root: &Path, folder: &Path) -> Result<()> {
        // mdBook takes a relative folder from the book's, not from here
        let out = std::path::absolute(folder).map_err(Error::io("finding", folder))?;
        let mdbook =
            Command::new(&self.mdbook).args(["build", "book", "--dest-dir"]).arg(&out).status();
        succeed(
            &self.mdbook.display().to_string(),
            mdbook,
            "install it: `cargo install mdbook --version 0.5.4 --locked`, or name it with --mdbook",
        )?;
        if self.api {
            // one target folder for everything that is built
            let doc = cargo(root).args(["doc", "--release", "--no-deps", "--lib"]).status();
            succeed("cargo doc", doc, "run it alone to see why")?;
            copy(&target_folder(root)?.join("doc"), &out.join("api"))?;
        }
        book::finish(&out)?;
        let broken = book::broken_links(&out)?;
        if !broken.is_empty() {
            return Err(Error::invalid("links of the book", broken.join("; ")));
        }
        Ok(())
    }
}

/// Cargo in the project's folder: the one that runs this program, if one does.
fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// Where cargo puts what it builds of the project in `root`, whatever its configuration and its environment say.
fn target_folder(root: &Path) -> Result<PathBuf> {
    let mut ask = cargo(root);
    ask.args(["metadata", "--no-deps", "--format-version", "1"]).stderr(Stdio::inherit());
    let (status, metadata) = match ask.output() {
        Ok(output) => (Ok(output.status), output.stdout),
        Err(error) => (Err(error), Vec::new()),
    };
    succeed("cargo metadata", status, "run it alone to see why")?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&metadata).map_err(Error::library("reading what cargo says"))?;
    let folder = metadata["target_directory"].as_str();
    folder.map(PathBuf::from).ok_or_else(|| {
        Error::invalid("cargo metadata", "names no target folder; is this cargo's own program?")
    })
}

/// Whether `path` lies in a folder that says of itself that all in it can be made again, as cargo's does.
fn is_cache(path: &Path) -> bool {
    const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
    let tagged = |folder: &Path| std::fs::read(folder.join("CACHEDIR.TAG"));
    path.ancestors().any(|folder| tagged(folder).is_ok_and(|tag| tag.starts_with(SIGNATURE)))
}

fn succeed(
    name: &str,
    status: std::io::Result<std::process::ExitStatus>,
    hint: &str,
) -> Result<()> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::invalid(name, format!("ended with {status}; {hint}"))),
        Err(problem) => Err(Error::invalid(name, format!("cannot be run ({problem}); {hint}"))),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(Error::io("making", to))?;
    for entry in std::fs::read_dir(from).map_err(Error::io("reading", from))? {
        let path = entry.map_err(Error::io("reading", from))?.path();
        let place = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &place)?;
        } else {
            std::fs::copy(&path, &place).map_err(Error::io("copying", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_it_builds() {
        let folder = target_folder(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let built = std::env::current_exe().unwrap();
        assert!(built.starts_with(folder.canonicalize().unwrap()), "{built:?} in {folder:?}");
        let scratch = tempfile::tempdir().unwrap();
        let error = target_folder(scratch.path()).unwrap_err().to_string();
        assert!(error.contains("cargo metadata"), "{error}");
    }
}
