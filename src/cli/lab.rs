use super::Common;
use super::output::Reads;
use clap::Args;
use std::path::PathBuf;
use unforget::error::Result;
use unforget::lab::pretrain::Pretraining;
use unforget::lab::{make, write_benchmarks};
use unforget::store::Output;

/// `unforget make-lab`
#[derive(Args)]
pub struct MakeLab {
    /// Folder to make it in; the same call resumes what was stopped
    folder: PathBuf,
    /// A pre-training recipe in TOML; missing keys have the shipped model's values
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Only the benchmarks, no model
    #[arg(long)]
    benchmarks_only: bool,
}

impl MakeLab {
    pub fn run(&self, common: &Common) -> Result<()> {
        let reads = Reads::new(common)?.given("--recipe", self.recipe.as_ref());
        reads.check(&[Output::within::<&str>("FOLDER", &self.folder, &[])])?;
        let cx = common.context()?;
        if self.benchmarks_only {
            return write_benchmarks(&self.folder);
        }
        let recipe = match &self.recipe {
            Some(file) => Pretraining::read(file)?,
            None => Pretraining::default(),
        };
        make(&self.folder, &recipe, |line| cx.progress.note(line))
    }
}
