//! The authors' three tables of raw results, each row in one form.
//!
//! The tables are spreadsheets with notes, headings and half-filled rows among the results; what a row says of its model or task
//! by leaving it out is taken from the row above.

use super::layout::{Copy, File, MASKS_CSV, SAMPLES_CSV, TRUTH_CSV};
use crate::error::{Error, Result};
use std::path::Path;

/// The five tasks, in the order of [`Line::scores`].
pub(super) const TASKS: [&str; 5] = ["MBPP", "MATH", "ARC", "GSM8K", "BIRD"];
/// Test items of each task: every score is a number of them.
pub(super) const ITEMS: [usize; 5] = [378, 1000, 1172, 1319, 1534];
pub(super) const MBPP: usize = 0;
pub(super) const ARC: usize = 2;
pub(super) const GSM8K: usize = 3;
pub(super) const BIRD: usize = 4;

/// A model of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Model {
    Gemma2b,
    Gemma9b,
    Llama,
    Mistral,
    Olmo,
    OlmoSft,
    Qwen,
    Other,
}

impl Model {
    /// By the family that a row's name says first; a later one is the writer of its data.
    fn of(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let families = [
            ("gpt", Self::Other),
            ("gemma", Self::Gemma2b),
            ("gemm2", Self::Gemma2b),
            ("llama", Self::Llama),
            ("mistral", Self::Mistral),
            ("olmo", Self::Olmo),
            ("omlo", Self::Olmo),
            ("qwen", Self::Qwen),
        ];
        let found = families.iter().filter_map(|(word, model)| Some((name.find(word)?, *model)));
        let (_, family) = found.min_by_key(|(at, _)| *at)?;
        Some(match family {
            Self::Gemma2b if name.contains("9b") => Self::Gemma9b,
            Self::Olmo if name.contains("sft") => Self::OlmoSft,
            family => family,
        })
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gemma2b => "Gemma 2 2B",
            Self::Gemma9b => "Gemma 2 9B",
            Self::Llama => "Llama 3 8B",
            Self::Mistral => "Mistral 7B",
            Self::Olmo => "OLMo 2 7B",
            Self::OlmoSft => "OLMo 2 7B SFT",
            Self::Qwen => "Qwen 2.5 7B",
            Self::Other => "another model",
        }
    }
}

/// Which of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Csv {
    /// `ground truth finetune.csv`
    Truth,
    /// `rho-sft.csv`
    Masks,
    /// `self-output.csv`
    Samples,
}

/// A change in percent as a cell has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Percent {
    pub value: f64,
    /// Decimals of the percentage that the cell shows.
    pub decimals: usize,
}

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub csv: Csv,
    /// The line of the file where it begins.
    pub line: usize,
    /// The model that was trained, where the row or one above says it.
    pub model: Option<Model>,
    /// The task that was trained for.
    pub target: Option<usize>,
    /// Words of the row that tell it from others: its cells before the scores.
    pub words: Vec<String>,
    /// Whether the row has no training: the model as it was.
    pub base: bool,
    pub selected: bool,
    /// Scores of [`TASKS`] as shares; ARC's without a chain of thought.
    pub scores: [Option<f64>; 5],
    /// ARC's score with a chain of thought.
    pub arc_cot: Option<f64>,
    /// The score in the column for the target task.
    pub in_domain: Option<f64>,
    /// The target's score before training, where the row says it.
    pub before: Option<f64>,
    /// Share of tokens that were masked, in percent.
    pub filtered: Option<f64>,
    pub backward_transfer: Option<Percent>,
    pub target_improvement: Option<Percent>,
}

impl Line {
    /// Where it stands.
    pub fn place(&self) -> String {
        format!("{}, line {}", self.csv.file().name(), self.line)
    }

    /// Where it stands, shorter.
    pub fn short(&self) -> String {
        let name = self.csv.file().name();
        let name = name.rsplit('/').next().unwrap_or(&name).to_string();
        format!("{name}, line {}", self.line)
    }

    /// What it is, in words.
    pub fn title(&self) -> String {
        let model = self.model.map_or("unknown model", Model::name);
        let target = self.target.map_or("unknown task", |task| TASKS[task]);
        let words: Vec<&str> = self
            .words
            .iter()
            .map(|word| word.as_str())
            .filter(|word| !word.is_empty() && *word != "-" && *word != "?")
            .collect();
        format!("{model} on {target} ({})", words.join(" · "))
    }
}

impl Csv {
    pub const ALL: [Self; 3] = [Self::Truth, Self::Masks, Self::Samples];

    /// The place in [`Line::words`] of the cells of a column.
    pub fn place_of_word(self, column: &str) -> Option<usize> {
        self.columns().words.iter().position(|(_, name)| *name == column)
    }

    pub fn file(self) -> &'static File {
        match self {
            Self::Truth => &TRUTH_CSV,
            Self::Masks => &MASKS_CSV,
            Self::Samples => &SAMPLES_CSV,
        }
    }

    fn columns(self) -> &'static Columns {
        match self {
            Self::Truth => &TRUTH,
            Self::Masks => &MASKS,
            Self::Samples => &SAMPLES,
        }
    }
}

/// Which column holds what: its place from 0 and its name.
type Column = (usize, &'static str);

struct Columns {
    width: usize,
    /// Cells that may name the model, the most telling first.
    model: &'static [Column],
    target: Column,
    selected: Option<Column>,
    words: &'static [Column],
    scores: [Column; 5],
    arc_cot: Column,
    in_domain: Option<Column>,
    before: Option<Column>,
    filtered: Option<Column>,
    backward_transfer: Column,
    target_improvement: Column,
}

static TRUTH: Columns = Columns {
    width: 15,
    model: &[(0, "model"), (2, "name")],
    target: (3, "gt data"),
    selected: Some((1, "selected")),
    words: &[(0, "model"), (3, "gt data")],
    scores: [
        (4, "MBPP - test"),
        (6, "MATH - test (0-shot CoT)"),
        (8, "arc_challenge-test (noCoT)"),
        (5, "GSM8k - test (0-shot CoT)"),
        (9, "bird-test"),
    ],
    arc_cot: (7, "arc_challenge-test (CoT)"),
    in_domain: None,
    before: None,
    filtered: None,
    backward_transfer: (11, "BWT"),
    target_improvement: (12, "improve"),
};

static MASKS: Columns = Columns {
    width: 18,
    model: &[(0, "source code: xxx")],
    target: (1, "in-domain-dataset"),
    selected: None,
    words: &[
        (0, "source code: xxx"),
        (1, "in-domain-dataset"),
        (2, "lr"),
        (3, "filter < threshold"),
        (4, "selected epoch"),
    ],
    scores: [(8, "mbpp"), (9, "math"), (11, "arc-da"), (12, "gsm8k"), (13, "bird")],
    arc_cot: (10, "arc-cot"),
    in_domain: Some((5, "in domain score")),
    before: None,
    filtered: Some((6, "% token filtered")),
    backward_transfer: (15, "forget metric"),
    target_improvement: (16, "improve metric"),
};

static SAMPLES: Columns = Columns {
    width: 38,
    model: &[(2, "model")],
    target: (3, "in-domain-dataset"),
    selected: Some((4, "selected")),
    words: &[
        (1, "method"),
        (2, "model"),
        (3, "in-domain-dataset"),
        (5, "training task"),
        (6, "self-output criteria"),
    ],
    scores: [
        (16, "mbpp test"),
        (17, "math test"),
        (19, "arc test"),
        (20, "gsm8k"),
        (21, "bird-test"),
    ],
    arc_cot: (18, "arc test (cot)"),
    in_domain: None,
    before: Some((15, "original base")),
    filtered: None,
    backward_transfer: (22, "BWT"),
    target_improvement: (23, "improve target"),
};

impl Columns {
    fn all(&self) -> Vec<Column> {
        let optional = [self.selected, self.in_domain, self.before, self.filtered];
        let mut all =
            vec![self.target, self.arc_cot, self.backward_transfer, self.target_improvement];
        all.extend(self.scores);
        all.extend(self.model);
        all.extend(self.words);
        all.extend(optional.into_iter().flatten());
        all
    }
}

/// The rows of all three tables.
///
/// # Errors
/// A table is not there, its columns are others, or a row is cut off.
pub(super) fn read(copy: &Copy) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for csv in Csv::ALL {
        let (path, records) = copy.table(csv.file())?;
        lines.extend(parse(csv, &path, &records)?);
    }
    Ok(lines)
}

fn parse(csv: Csv, path: &Path, records: &[(usize, Vec<String>)]) -> Result<Vec<Line>> {
    let columns = csv.columns();
    let Some(((_, names), rows)) = records.split_first() else {
        return Err(Error::file(path, "is empty; copy or download it again"));
    };
    for (at, name) in columns.all() {
        let found = names.get(at).map_or("nothing", |name| name.trim());
        if found != name {
            let problem = format!(
                "expected column {} to be called `{name}`, found `{found}`; these are other columns than the published table's",
                at + 1
            );
            return Err(Error::row(path, 1, problem));
        }
    }
    let (mut model, mut target) = (None, None);
    let mut lines = Vec::new();
    for (line, cells) in rows {
        if cells.len() != columns.width {
            let problem = format!(
                "expected {} cells, found {}; was the file cut off? copy or download it again",
                columns.width,
                cells.len()
            );
            return Err(Error::row(path, *line, problem));
        }
        let cell = |(at, _): Column| cells[at].trim();
        let own_model = columns.model.iter().find_map(|column| Model::of(cell(*column)));
        let says_task = task_of(cell(columns.target))
            .or_else(|| columns.model.iter().find_map(|column| task_within(cell(*column))));
        // A model of a row holds for those below it that name none, a task only as long as the model is the same.
        if own_model.is_some() && own_model != model {
            target = None;
        }
        model = own_model.or(model);
        target = says_task.or(target);
        let base = ["-", "base model"].contains(&cell(columns.target));
        lines.push(Line {
            csv,
            line: *line,
            model,
            target: if base { None } else { target },
            words: columns.words.iter().map(|c| cell(*c).to_string()).collect(),
            base,
            selected: columns.selected.is_some_and(|column| cell(column) == "TRUE"),
            scores: columns.scores.map(|column| number(cell(column))),
            arc_cot: number(cell(columns.arc_cot)),
            in_domain: columns.in_domain.and_then(|column| number(cell(column))),
            before: columns.before.and_then(|column| number(cell(column))),
            filtered: columns
                .filtered
                .and_then(|column| cell(column).strip_suffix('%').and_then(number)),
            backward_transfer: percent(cell(columns.backward_transfer)),
            target_improvement: percent(cell(columns.target_improvement)),
        });
    }
    Ok(lines)
}

/// The task that a cell of the target's column begins with.
fn task_of(cell: &str) -> Option<usize> {
    let cell = cell.to_uppercase();
    TASKS.iter().position(|task| cell.starts_with(task))
}

/// The task whose name stands in a run's name, as in `omlo-instruct-bird_config_lr2e-05`.
fn task_within(cell: &str) -> Option<usize> {
    let cell = cell.to_uppercase();
    TASKS.iter().position(|task| cell.contains(task))
}

fn number(cell: &str) -> Option<f64> {
    let value: f64 = cell.parse().ok()?;
    value.is_finite().then_some(value)
}

/// A change as `-34.71%`, or as the share `-0.3471`.
fn percent(cell: &str) -> Option<Percent> {
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, digits)| digits.len());
    match cell.strip_suffix('%') {
        Some(text) => number(text).map(|value| Percent { value, decimals: decimals(text) }),
        None => number(cell).map(|value| Percent {
            value: 100.0 * value,
            decimals: decimals(cell).saturating_sub(2),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_they_are_meant() {
        let check = |cell, value, decimals| {
            assert_eq!(percent(cell), Some(Percent { value, decimals }), "{cell}");
        };
        check("-34.71%", -34.71, 2);
        check("0%", 0.0, 0);
        check("-0.5", -50.0, 0);
        assert_eq!(percent("#VALUE!"), None);
        assert_eq!(percent("x"), None);
        assert_eq!(number("WIP"), None);
        assert_eq!(number("nan"), None);
        assert_eq!(Model::of("gemm2 2b"), Some(Model::Gemma2b));
        assert_eq!(Model::of("gemma2-9b-lora-mbpp-ep.ep3"), Some(Model::Gemma9b));
        assert_eq!(Model::of("omlo-sft_bird_config_lr2e-05"), Some(Model::OlmoSft));
        let gt = "llama3-8b-it-mbpp, gt remove gemma27b failed case";
        assert_eq!(Model::of(gt), Some(Model::Llama));
        assert_eq!(task_of("MATH ( hybrid )"), Some(1));
        assert_eq!(task_within("omlo-instruct-bird_config"), Some(BIRD));
    }
}
