use super::Common;
use clap::Args;
use std::path::PathBuf;
use unforget::error::Result;
use unforget::lab::pretrain::Pretraining;
use unforget::lab::{make, write_benchmarks};

/// `unforget make-lab`
#[derive(Args)]
pub struct MakeLab {
    /// Folder to make it in; a stopped call goes on where it was
    folder: PathBuf,
    /// Steps of pre-training, instead of the recipe's
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Only the benchmarks, no model
    #[arg(long)]
    benchmarks_only: bool,
}

impl MakeLab {
    pub fn run(&self, common: &Common) -> Result<()> {
        let cx = common.context()?;
        if self.benchmarks_only {
            return write_benchmarks(&self.folder);
        }
        let recipe = match self.steps {
            Some(steps) => Pretraining {
                steps,
                ..Pretraining::default()
            },
            None => Pretraining::default(),
        };
        make(&self.folder, &recipe, |line| cx.progress.note(line))
    }
}
