//! Benchmarks on the command line: which, from which file, asked and graded how.

use super::data::{skippable, tell_unusable};
use super::output::Reads;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use unforget::benchmark::{Ask, Benchmark, Prompts};
use unforget::error::{Error, Result};
use unforget::task::{Grading, Item, Take};

/// Options that name benchmarks.
#[derive(Args)]
pub struct Benchmarks {
    /// A published benchmark with its file, or a folder with it: arc, bird, gsm8k, humaneval, ifeval, math, mbpp, mmlu, spider; may be given several times
    #[arg(long, value_name = "NAME[=FILE]")]
    pub benchmark: Vec<String>,
    /// File or folder of benchmarks that are given without one; of several, the folder with a folder for each
    #[arg(long, value_name = "FILE_OR_FOLDER", requires = "benchmark")]
    data: Option<PathBuf>,
    /// Whose words a benchmark's question is put in
    #[arg(long, value_enum, default_value_t = PromptsOption::Paper)]
    prompts: PromptsOption,
    /// Whose rule says what is taken for the answer to a benchmark's question
    #[arg(long, value_enum, default_value_t = GradingOption::Robust)]
    grading: GradingOption,
    /// Which of several marked answers counts, with --grading robust
    #[arg(long, value_enum, default_value_t = TakeOption::Last)]
    take: TakeOption,
    /// Only a benchmark's rows with this value in this column, such as db_id=superhero; may be given several times
    #[arg(long, value_name = "COLUMN=VALUE", requires = "benchmark")]
    only: Vec<String>,
    /// Leave out rows that cannot be used, such as one whose reference no answer can match, name them and count them, instead of stopping
    #[arg(long)]
    pub skip_unusable: bool,
}

/// [`Prompts`] as an option.
#[derive(Clone, Copy, ValueEnum)]
enum PromptsOption {
    /// As the paper's code
    Paper,
    /// As lm-evaluation-harness
    Harness,
    /// As the benchmark's authors
    Official,
}

/// [`Grading`] as an option.
#[derive(Clone, Copy, ValueEnum)]
enum GradingOption {
    /// What is marked as the answer in any usual way, compared by value
    Robust,
    /// As the paper's code
    Paper,
    /// As lm-evaluation-harness
    Harness,
}

/// [`Take`] as an option.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum TakeOption {
    /// The first one
    First,
    /// The last one
    Last,
}

/// A benchmark that was read.
pub struct Asked {
    /// Its name, with the file's stem where a benchmark is given twice.
    pub name: String,
    pub benchmark: Benchmark,
    pub file: PathBuf,
    pub items: Vec<Item>,
    /// Rows that cannot be used, and were left out.
    pub unusable: usize,
}

impl Benchmarks {
    /// How benchmarks are asked and graded; `chat` says that the model has a chat template.
    pub fn ask(&self, chat: bool) -> Result<Ask> {
        let only = self.only.iter().map(|text| {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Error::invalid("--only", format!("expected COLUMN=VALUE, got {text:?}"))
            })?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        });
        let grading = match self.grading {
            GradingOption::Robust => Grading::Robust,
            GradingOption::Paper => Grading::Paper,
            GradingOption::Harness => Grading::Harness,
        };
        if self.take == TakeOption::First && grading != Grading::Robust {
            let problem =
                "goes with --grading robust; the other rules say themselves which answer counts";
            return Err(Error::invalid("--take first", problem));
        }
        Ok(Ask {
            prompts: match self.prompts {
                PromptsOption::Paper => Prompts::Paper,
                PromptsOption::Harness => Prompts::Harness,
                PromptsOption::Official => Prompts::Official,
            },
            grading,
            take: match self.take {
                TakeOption::First => Take::First,
                TakeOption::Last => Take::Last,
            },
            only: only.collect::<Result<_>>()?,
            chat,
        })
    }

    /// The files and folders that were named.
    pub fn files(&self, reads: Reads) -> Reads {
        let named = self.benchmark.iter().filter_map(|given| given.split_once('='));
        let reads =
            named.fold(reads, |reads, (_, file)| reads.data("--benchmark", Path::new(file)));
        match &self.data {
            Some(data) => reads.data("--data", data),
            None => reads,
        }
    }

    /// Reads every benchmark that was named, to ask a model that has a chat template or none.
    pub fn read(&self, split: &str, chat: bool) -> Result<Vec<Asked>> {
        let ask = self.ask(chat)?;
        let mut all: Vec<Asked> = Vec::new();
        for given in &self.benchmark {
            let (name, file) = match given.split_once('=') {
                Some((name, file)) => (name, Some(PathBuf::from(file))),
                None => (given.as_str(), None),
            };
            let benchmark = Benchmark::named(name.trim())?;
            let data = match file {
                Some(file) => file,
                None => self.data_of(benchmark)?,
            };
            let file = benchmark.locate(&data, split)?;
            let mut name = benchmark.name().to_owned();
            if all.iter().any(|other| other.name == name) {
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                name = format!("{name}-{stem}");
            }
            if all.iter().any(|other| other.name == name) {
                return Err(Error::invalid("--benchmark", format!("{given:?} is given twice")));
            }
            let (items, unusable) = match self.skip_unusable {
                true => benchmark.read_usable(&file, &ask)?,
                false => {
                    let items = benchmark.read_as(&file, &ask);
                    (items.map_err(|error| skippable(error, &file))?, Vec::new())
                }
            };
            tell_unusable(&unusable);
            all.push(Asked {
                items: benchmark.of_split(items, split, &file)?,
                unusable: unusable.len(),
                name,
                benchmark,
                file,
            });
        }
        Ok(all)
    }

    /// The data of a benchmark that is given by name only.
    fn data_of(&self, benchmark: Benchmark) -> Result<PathBuf> {
        let Some(data) = &self.data else {
            let name = benchmark.name();
            let problem = format!("give {name} its file: --benchmark {name}=FILE, or --data FILE");
            return Err(Error::invalid("--benchmark", problem));
        };
        let own = data.join(benchmark.name());
        let several = self.benchmark.iter().filter(|b| !b.contains('=')).count() > 1;
        if several && !is_folder(data) {
            let problem = "is one file for several benchmarks; give a folder with a folder for each, or --benchmark NAME=FILE";
            return Err(Error::invalid("--data", problem));
        }
        Ok(if is_folder(&own) { own } else { data.clone() })
    }
}

fn is_folder(path: &Path) -> bool {
    path.is_dir()
}
