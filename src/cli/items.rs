use super::Common;
use super::benchmark::Benchmarks;
use super::output::Reads;
use super::terminal::say;
use clap::Args;
use std::path::PathBuf;
use unforget::dataset::items_to_jsonl;
use unforget::error::{Error, Result};
use unforget::store::{Output, write_atomic};

const EXAMPLES: &str = "\
Examples:
  Make GSM8K's test split a task that recipes can name:
    unforget items --benchmark gsm8k=gsm8k/test.jsonl --out tasks/gsm8k/test.jsonl
  The first 400 problems of MATH as its training split, in the words of lm-evaluation-harness:
    unforget items --benchmark math=math/train.jsonl --prompts harness --limit 400 --out tasks/math/train.jsonl";

/// `unforget items`
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Items {
    #[command(flatten)]
    benchmarks: Benchmarks,
    /// Which file of a folder to read: train, validation or test
    #[arg(long, default_value = "test")]
    split: String,
    /// For a base model without chat template, which lm-evaluation-harness asks for code in other words
    #[arg(long)]
    base: bool,
    /// Skip this many items at the beginning
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Number of items to write [default: all]
    #[arg(long)]
    limit: Option<usize>,
    /// File to write, such as tasks/gsm8k/test.jsonl
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Items {
    pub fn run(&self, common: &Common) -> Result<()> {
        let out = Output::file("--out", &self.out);
        let reads = self.benchmarks.files(Reads::new(common)?);
        reads.check(std::slice::from_ref(&out))?;
        let mut asked = self.benchmarks.read(&self.split, !self.base)?;
        let (Some(mut one), true) = (asked.pop(), asked.is_empty()) else {
            let problem = "name one benchmark; every file of items is made by a call of its own";
            return Err(Error::invalid("--benchmark", problem));
        };
        self.benchmarks.check_scored(one.items.iter())?;
        let of = one.items.len();
        one.items.drain(..self.skip.min(of));
        one.items.truncate(self.limit.unwrap_or(usize::MAX));
        if one.items.is_empty() {
            let problem = format!("leaves none of the {of} items of {}", one.file.display());
            return Err(Error::invalid("--skip and --limit", problem));
        }
        out.write(|| write_atomic(&self.out, items_to_jsonl(&one.items)?.as_bytes()))?;
        say!(
            "{}: {} of the {of} items of {}",
            self.out.display(),
            one.items.len(),
            one.file.display()
        );
        Ok(())
    }
}
