//! Benchmarks on the command line: which, from which file, asked and graded how.

use super::data::{skippable, tell_unusable};
use super::output::Reads;
use super::{means, word};
use clap::Args;
use std::path::{Path, PathBuf};
use unforget::benchmark::{Ask, Benchmark, Prompts, few_shot};
use unforget::error::{Error, Result};
use unforget::task::{Accuracy, Grading, Item, Take};

/// Options that name benchmarks.
#[derive(Args)]
pub struct Benchmarks {
    /// A published benchmark with its file or folder: arc, bird, gsm8k, humaneval, ifeval, math, mbpp, mmlu or spider. Repeat for several
    #[arg(long, value_name = "NAME[=FILE]")]
    pub benchmark: Vec<String>,
    /// File or folder of benchmarks named without one; for several, the folder that has a folder for each
    #[arg(long, value_name = "FILE_OR_FOLDER", requires = "benchmark")]
    data: Option<PathBuf>,
    /// Whose wording to ask a benchmark's questions in [default: paper]
    #[arg(long, value_parser = word::<Prompts>([
        means("paper", "As the paper's code"),
        means("harness", "As lm-evaluation-harness"),
        means("official", "As the benchmark's authors"),
    ]))]
    prompts: Option<Prompts>,
    /// Whose rule finds the answer in what the model wrote
    #[arg(long, default_value = "robust", value_parser = word::<Grading>([
        means("robust", "What is marked as the answer in any usual way, compared by value"),
        means("paper", "As the paper's code"),
        means("harness", "As lm-evaluation-harness"),
    ]))]
    grading: Grading,
    /// With --grading robust, which of several marked answers counts
    #[arg(long, default_value = "last", value_parser = word::<Take>([
        means("first", "The first one"),
        means("last", "The last one"),
    ]))]
    take: Take,
    /// Score questions with options (ARC, MMLU, tasks and items that ask for a letter) by the likelihood of each option, as lm-evaluation-harness does; the model writes nothing
    #[arg(long, value_name = "MEASURE", value_parser = word::<Accuracy>([
        means("acc", "The most probable option counts"),
        means("acc_norm", "The one with the largest log-likelihood for each of its characters"),
        means("acc_bytes", "The one with the largest log-likelihood for each of its bytes"),
    ]))]
    choices: Option<Accuracy>,
    /// With --choices, ask through the model's chat template [default: without, as lm-evaluation-harness]
    #[arg(long, requires = "choices")]
    apply_chat_template: bool,
    /// With --choices, put N examples before each question of MMLU: the first of its subject in the file or folder `dev` beside the questions
    #[arg(long, value_name = "N", requires = "choices", default_value_t = 0)]
    num_fewshot: usize,
    /// Use only rows with this value in this column, such as db_id=superhero. Repeat for several columns
    #[arg(long, value_name = "COLUMN=VALUE", requires = "benchmark")]
    only: Vec<String>,
    /// Skip unusable rows, such as one whose reference no answer can match, and report them, instead of stopping
    #[arg(long)]
    pub skip_unusable: bool,
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
    /// Worked examples in each prompt.
    pub shots: usize,
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
        if self.take == Take::First && self.grading != Grading::Robust {
            let problem =
                "goes with --grading robust; the other rules say themselves which answer counts";
            return Err(Error::invalid("--take first", problem));
        }
        self.check_choices()?;
        Ok(Ask {
            prompts: self.prompts.unwrap_or_default(),
            grading: self.grading,
            take: self.take,
            only: only.collect::<Result<_>>()?,
            chat,
            choices: self.choices,
            apply_chat_template: self.apply_chat_template,
        })
    }

    /// The item scored by the likelihood of its options, if that was asked for and it has some.
    pub fn scored(&self, item: Item) -> Item {
        let scored = self.choices.and_then(|one| item.by_likelihood(one, self.apply_chat_template));
        scored.unwrap_or(item)
    }

    /// Refuses `--choices` where nothing has options.
    pub fn check_scored<'a>(&self, mut items: impl Iterator<Item = &'a Item>) -> Result<()> {
        if self.choices.is_none() || items.any(|item| item.check.by_likelihood()) {
            return Ok(());
        }
        let problem = "none of these questions has options to score; take it with arc, mmlu, or a task that asks for a letter";
        Err(Error::invalid("--choices", problem))
    }

    /// Refuses what says how a written answer is asked for or read where there is none.
    fn check_choices(&self) -> Result<()> {
        if self.choices.is_none() {
            return Ok(());
        }
        let named: Vec<Benchmark> = self
            .benchmark
            .iter()
            .map(|given| Benchmark::named(given.split('=').next().unwrap_or_default().trim()))
            .collect::<Result<_>>()?;
        if named.is_empty() || !named.iter().all(|benchmark| benchmark.has_options()) {
            return Ok(());
        }
        let of_writing = [
            ("--prompts", matches!(self.prompts, Some(Prompts::Paper | Prompts::Official))),
            ("--grading", self.grading != Grading::Robust),
            ("--take", self.take == Take::First),
        ];
        match of_writing.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => {
                let problem = "is about a written answer, and with --choices none is: the options are scored in lm-evaluation-harness's words; leave one of the two out";
                Err(Error::invalid(*option, problem))
            }
        }
    }

    /// Puts the examples of `--num-fewshot` before the questions.
    fn with_examples(
        &self,
        benchmark: Benchmark,
        data: &Path,
        ask: &Ask,
        items: Vec<Item>,
    ) -> Result<(Vec<Item>, usize)> {
        if self.num_fewshot == 0 || !benchmark.has_options() {
            let shots = if ask.choices.is_some() && benchmark.has_options() {
                0
            } else {
                benchmark.shots(ask.prompts)
            };
            return Ok((items, shots));
        }
        if benchmark != Benchmark::Mmlu {
            let problem = format!(
                "lm-evaluation-harness draws the examples of {} at random, so that there is no fixed set; give it with mmlu alone",
                benchmark.name()
            );
            return Err(Error::invalid("--num-fewshot", problem));
        }
        let folder = if data.is_dir() { data } else { data.parent().unwrap_or(Path::new("")) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let file = benchmark.locate(folder, "dev")?;
        if file == folder {
            let hint = "MMLU's examples are its split dev; put it beside the questions";
            return Err(Error::missing("split dev of mmlu", folder.join("dev.jsonl"), hint));
        }
        let examples = benchmark.read_as(&file, ask)?;
        Ok((few_shot(items, &examples, self.num_fewshot)?, self.num_fewshot))
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
                    let error = |e| skippable(e, &file, benchmark.read_usable(&file, &ask));
                    (items.map_err(error)?, Vec::new())
                }
            };
            tell_unusable(&unusable);
            let items = benchmark.of_split(items, split, &file)?;
            let (items, shots) = self.with_examples(benchmark, &data, &ask, items)?;
            all.push(Asked { items, shots, unusable: unusable.len(), name, benchmark, file });
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
