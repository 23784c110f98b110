//! What the paper's tables print, and which row of the authors' tables each line of them is about.
//!
//! Only what is known to be printed is here: of Tables 13 to 15 and 18 the cells that we could read.

use super::raw_digits::Line;
use super::raw_digits::{ARC, BIRD, GSM8K, MATH, MBPP};
use super::raw_digits::{Csv, Model, TASKS};

/// Which row of the authors' tables; of several that fit, the first one with a BWT, else the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    pub csv: Csv,
    pub model: Model,
    pub target: usize,
    pub selected: bool,
    /// Cells of [`Line::words`] by their place.
    pub words: &'static [(usize, &'static str)],
}

/// What a printed cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// BWT, in percent.
    Transfer,
    /// TI, in percent.
    Improvement,
    /// Share of tokens masked, in percent.
    Filtered,
    /// Score of a task as a share.
    Score(usize),
    /// Score of a task in percent.
    Percent(usize),
}
use Quantity::{Filtered, Improvement, Percent, Score, Transfer};

/// One line of a table.
pub(super) struct Entry {
    pub table: &'static str,
    pub row: &'static str,
    pub pick: Pick,
    /// What is printed, with its decimals.
    pub cells: &'static [(Quantity, f64, usize)],
}

impl Quantity {
    pub fn name(self) -> String {
        match self {
            Transfer => "BWT".into(),
            Improvement => "TI".into(),
            Filtered => "% masked".into(),
            Score(task) => TASKS[task].into(),
            Percent(task) => format!("{} %", TASKS[task]),
        }
    }
}

impl Pick {
    /// The row that is meant.
    pub fn find<'a>(&self, lines: &'a [Line]) -> Option<&'a Line> {
        let fits = |line: &&Line| {
            line.csv == self.csv
                && line.model == Some(self.model)
                && line.target == Some(self.target)
                && (line.selected || !self.selected)
                && self.words.iter().all(|(at, word)| {
                    line.words.get(*at).is_some_and(|own| own.eq_ignore_ascii_case(word))
                })
        };
        lines
            .iter()
            .filter(fits)
            .find(|line| line.backward_transfer.is_some())
            .or_else(|| lines.iter().find(fits))
    }
}

const fn truth(model: Model, target: usize) -> Pick {
    Pick { csv: Csv::Truth, model, target, selected: true, words: &[] }
}

const fn masks(model: Model, target: usize, words: &'static [(usize, &'static str)]) -> Pick {
    Pick { csv: Csv::Masks, model, target, selected: false, words }
}

const fn sampled(model: Model, target: usize, words: &'static [(usize, &'static str)]) -> Pick {
    Pick { csv: Csv::Samples, model, target, selected: true, words }
}

const SELF_OUTPUT: &[(usize, &str)] = &[(0, "self-output"), (4, "lowest")];
const REPHRASE: &[(usize, &str)] = &[(0, "rephrase"), (4, "random")];
/// Places in the words of a row of `rho-sft.csv`: the data, the threshold, the epoch.
const DATA: usize = 1;
const THRESHOLD: usize = 3;
const EPOCH: usize = 4;
const STM: &[(usize, &str)] = &[(THRESHOLD, "2.5"), (EPOCH, "1")];
const STM_MATH: &[(usize, &str)] = &[(DATA, "MATH"), (THRESHOLD, "2.5")];

macro_rules! entry {
    ($table:expr, $row:expr, $pick:expr, $cells:expr) => {
        Entry { table: $table, row: $row, pick: $pick, cells: &$cells }
    };
}

/// BWT and TI, both with two decimals.
macro_rules! changes {
    ($table:expr, $row:expr, $pick:expr, $transfer:expr, $improvement:expr) => {
        entry!($table, $row, $pick, [(Transfer, $transfer, 2), (Improvement, $improvement, 2)])
    };
}

/// Five scores with the same decimals.
macro_rules! scores {
    ($table:expr, $row:expr, $pick:expr, $decimals:expr, $mbpp:expr, $math:expr, $arc:expr, $gsm8k:expr, $bird:expr) => {
        entry!(
            $table,
            $row,
            $pick,
            [
                (Score(MBPP), $mbpp, $decimals),
                (Score(MATH), $math, $decimals),
                (Score(ARC), $arc, $decimals),
                (Score(GSM8K), $gsm8k, $decimals),
                (Score(BIRD), $bird, $decimals)
            ]
        )
    };
}

use Model::{Gemma2b, Gemma9b, Llama, Mistral, Olmo};

/// The lines, in the order of the tables.
pub(super) static ENTRIES: &[Entry] = &[
    changes!("Table 2", "Gemma 2 2B, MBPP, ground truth", truth(Gemma2b, MBPP), -38.19, -21.76),
    changes!(
        "Table 2",
        "Gemma 2 2B, MBPP, Self-Output",
        sampled(Gemma2b, MBPP, SELF_OUTPUT),
        -8.10,
        5.70
    ),
    changes!(
        "Table 2",
        "Gemma 2 2B, MBPP, Rephrase",
        sampled(Gemma2b, MBPP, REPHRASE),
        -3.23,
        -4.69
    ),
    changes!("Table 2", "Gemma 2 2B, MBPP, STM", masks(Gemma2b, MBPP, STM), 0.42, 0.00),
    changes!("Table 2", "Gemma 2 2B, MATH, ground truth", truth(Gemma2b, MATH), -36.68, -22.78),
    changes!(
        "Table 2",
        "Gemma 2 2B, MATH, Self-Output",
        sampled(Gemma2b, MATH, SELF_OUTPUT),
        -1.73,
        9.06
    ),
    changes!(
        "Table 2",
        "Gemma 2 2B, MATH, Rephrase",
        sampled(Gemma2b, MATH, REPHRASE),
        -14.06,
        -28.83
    ),
    changes!("Table 2", "Gemma 2 2B, MATH, STM", masks(Gemma2b, MATH, STM_MATH), -2.93, 7.83),
    changes!("Table 2", "Llama 3 8B, MBPP, ground truth", truth(Llama, MBPP), -34.71, -2.23),
    changes!(
        "Table 2",
        "Llama 3 8B, MBPP, Self-Output",
        sampled(Llama, MBPP, SELF_OUTPUT),
        3.09,
        1.55
    ),
    changes!("Table 2", "Llama 3 8B, MBPP, Rephrase", sampled(Llama, MBPP, REPHRASE), -5.32, -9.58),
    changes!("Table 2", "Llama 3 8B, MBPP, STM", masks(Llama, MBPP, STM), -0.16, 3.20),
    changes!("Table 2", "Llama 3 8B, MATH, ground truth", truth(Llama, MATH), -14.12, -17.83),
    changes!(
        "Table 2",
        "Llama 3 8B, MATH, Self-Output",
        sampled(Llama, MATH, SELF_OUTPUT),
        0.31,
        9.55
    ),
    changes!("Table 2", "Llama 3 8B, MATH, Rephrase", sampled(Llama, MATH, REPHRASE), -1.09, 4.78),
    changes!("Table 2", "Llama 3 8B, MATH, STM", masks(Llama, MATH, STM_MATH), -0.30, 6.37),
    entry!(
        "Table 3",
        "Gemma 2 2B, MBPP, ground truth",
        truth(Gemma2b, MBPP),
        [(Improvement, -25.2, 1)]
    ),
    entry!(
        "Table 3",
        "Gemma 2 2B, MBPP, threshold 1000",
        masks(Gemma2b, MBPP, &[(THRESHOLD, "1000"), (EPOCH, "1")]),
        [(Filtered, 6.3, 1), (Transfer, -2.9, 1)]
    ),
    entry!(
        "Table 3",
        "Gemma 2 2B, MBPP, threshold 25",
        masks(Gemma2b, MBPP, &[(THRESHOLD, "25")]),
        [(Filtered, 12.3, 1), (Transfer, -2.5, 1), (Improvement, -8.8, 1)]
    ),
    entry!(
        "Table 3",
        "Gemma 2 2B, MBPP, threshold 10",
        masks(Gemma2b, MBPP, &[(THRESHOLD, "10")]),
        [(Filtered, 15.1, 1), (Transfer, -0.7, 1)]
    ),
    entry!(
        "Table 3",
        "Gemma 2 2B, MBPP, threshold 2.5",
        masks(Gemma2b, MBPP, STM),
        [(Filtered, 23.8, 1), (Transfer, 0.4, 1)]
    ),
    entry!(
        "Table 3",
        "Gemma 2 2B, MBPP, threshold 1.5",
        masks(Gemma2b, MBPP, &[(THRESHOLD, "1.5")]),
        [(Filtered, 26.1, 1), (Transfer, -0.3, 1)]
    ),
    entry!(
        "Table 3",
        "Gemma 2 2B, MBPP, scored by 9B at 2.5",
        masks(Gemma2b, MBPP, &[(THRESHOLD, "9b 2.5")]),
        [(Transfer, -3.8, 1)]
    ),
    entry!(
        "Table 3",
        "Gemma 2 2B, MBPP, random mask",
        masks(Gemma2b, MBPP, &[(THRESHOLD, "2.5 (same count but mask random)")]),
        [(Transfer, -8.6, 1)]
    ),
    entry!(
        "Table 3",
        "Gemma 2 2B, MBPP, low perplexities masked",
        masks(Gemma2b, MBPP, &[(THRESHOLD, "1.0012")]),
        [(Transfer, -7.9, 1)]
    ),
    changes!(
        "Table 4",
        "Gemma 2 2B, MBPP, full fine-tuning",
        masks(Gemma2b, MBPP, &[(THRESHOLD, "sft"), (EPOCH, "5")]),
        -31.87,
        -27.98
    ),
    changes!(
        "Table 4",
        "Gemma 2 2B, MBPP, full fine-tuning with STM",
        masks(Gemma2b, MBPP, &[(THRESHOLD, "sft   + stm2.5")]),
        -0.13,
        -8.81
    ),
    changes!(
        "Table 11",
        "OLMo 2 7B, MBPP, ground truth",
        masks(Olmo, MBPP, &[(THRESHOLD, "-1")]),
        -9.05,
        -11.64
    ),
    entry!(
        "Table 11",
        "OLMo 2 7B, MBPP, threshold 2.5",
        masks(Olmo, MBPP, &[(THRESHOLD, "2.5")]),
        [(Filtered, 25.83, 2), (Transfer, -0.50, 2), (Improvement, -6.12, 2)]
    ),
    entry!(
        "Table 11",
        "OLMo 2 7B, MBPP, threshold 3.5",
        masks(Olmo, MBPP, &[(THRESHOLD, "3.5")]),
        [(Filtered, 24.06, 2), (Transfer, -1.65, 2), (Improvement, -11.64, 2)]
    ),
    changes!(
        "Table 11",
        "Gemma 2 9B, MBPP, ground truth",
        masks(Gemma9b, MBPP, &[(THRESHOLD, "-1")]),
        4.67,
        7.14
    ),
    entry!(
        "Table 11",
        "Gemma 2 9B, MBPP, threshold 2.5",
        masks(Gemma9b, MBPP, &[(DATA, "MBPP"), (THRESHOLD, "2.5")]),
        [(Filtered, 20.84, 2), (Transfer, 2.58, 2), (Improvement, 13.49, 2)]
    ),
    scores!(
        "Table 12",
        "Gemma 2 2B, MBPP, ground truth",
        truth(Gemma2b, MBPP),
        4,
        0.3995,
        0.2290,
        0.7159,
        0.1926,
        0.0514
    ),
    scores!(
        "Table 12",
        "Gemma 2 2B, MBPP, Rephrase",
        sampled(Gemma2b, MBPP, REPHRASE),
        4,
        0.4841,
        0.2890,
        0.7056,
        0.4822,
        0.1375
    ),
    scores!(
        "Table 12",
        "Gemma 2 2B, MBPP, Self-Output",
        sampled(Gemma2b, MBPP, SELF_OUTPUT),
        4,
        0.5344,
        0.2920,
        0.5845,
        0.5239,
        0.1395
    ),
    scores!(
        "Table 12",
        "Gemma 2 2B, MBPP, STM",
        masks(Gemma2b, MBPP, STM),
        4,
        0.5106,
        0.2980,
        0.7483,
        0.5641,
        0.1375
    ),
    scores!(
        "Table 12",
        "Gemma 2 2B, MATH, ground truth",
        truth(Gemma2b, MATH),
        4,
        0.4577,
        0.2170,
        0.2952,
        0.1903,
        0.1245
    ),
    scores!(
        "Table 12",
        "Gemma 2 2B, MATH, Rephrase",
        sampled(Gemma2b, MATH, REPHRASE),
        4,
        0.4683,
        0.2000,
        0.7338,
        0.3700,
        0.1258
    ),
    scores!(
        "Table 12",
        "Gemma 2 2B, MATH, Self-Output",
        sampled(Gemma2b, MATH, SELF_OUTPUT),
        4,
        0.5000,
        0.3090,
        0.7295,
        0.5701,
        0.1389
    ),
    scores!(
        "Table 12",
        "Gemma 2 2B, MATH, STM",
        masks(Gemma2b, MATH, STM_MATH),
        4,
        0.4947,
        0.3030,
        0.7534,
        0.5542,
        0.1330
    ),
    scores!(
        "Table 12",
        "Mistral 7B, MBPP, ground truth",
        truth(Mistral, MBPP),
        4,
        0.4550,
        0.1220,
        0.6826,
        0.3685,
        0.1617
    ),
    scores!(
        "Table 12",
        "Mistral 7B, MBPP, Rephrase",
        sampled(Mistral, MBPP, REPHRASE),
        4,
        0.4524,
        0.1910,
        0.6775,
        0.3889,
        0.1649
    ),
    scores!(
        "Table 12",
        "Mistral 7B, MBPP, Self-Output",
        sampled(Mistral, MBPP, SELF_OUTPUT),
        4,
        0.4709,
        0.1900,
        0.6903,
        0.2252,
        0.1375
    ),
    scores!(
        "Table 12",
        "Mistral 7B, MBPP, STM",
        masks(Mistral, MBPP, &[(THRESHOLD, "2")]),
        4,
        0.4788,
        0.1900,
        0.6101,
        0.4905,
        0.1239
    ),
    scores!(
        "Table 12",
        "Mistral 7B, MATH, ground truth",
        truth(Mistral, MATH),
        4,
        0.4709,
        0.1670,
        0.3498,
        0.0000,
        0.1851
    ),
    scores!(
        "Table 12",
        "Mistral 7B, MATH, Rephrase",
        sampled(Mistral, MATH, REPHRASE),
        4,
        0.4974,
        0.1650,
        0.7355,
        0.2714,
        0.1799
    ),
    scores!(
        "Table 12",
        "Mistral 7B, MATH, Self-Output",
        sampled(Mistral, MATH, SELF_OUTPUT),
        4,
        0.4683,
        0.1940,
        0.7312,
        0.2396,
        0.1447
    ),
    scores!(
        "Table 12",
        "Mistral 7B, MATH, STM",
        masks(Mistral, MATH, &[(THRESHOLD, "3")]),
        4,
        0.4656,
        0.1890,
        0.6510,
        0.4541,
        0.1167
    ),
    scores!(
        "Table 12",
        "Llama 3 8B, MBPP, ground truth",
        truth(Llama, MBPP),
        4,
        0.5794,
        0.2330,
        0.5913,
        0.1850,
        0.1760
    ),
    scores!(
        "Table 12",
        "Llama 3 8B, MBPP, Rephrase",
        sampled(Llama, MBPP, REPHRASE),
        4,
        0.5406,
        0.3000,
        0.7543,
        0.7240,
        0.1916
    ),
    scores!(
        "Table 12",
        "Llama 3 8B, MBPP, Self-Output",
        sampled(Llama, MBPP, SELF_OUTPUT),
        4,
        0.6164,
        0.3340,
        0.7918,
        0.7839,
        0.2001
    ),
    scores!(
        "Table 12",
        "Llama 3 8B, MBPP, STM",
        masks(Llama, MBPP, STM),
        4,
        0.6111,
        0.3200,
        0.7892,
        0.7543,
        0.2066
    ),
    scores!(
        "Table 12",
        "Llama 3 8B, MATH, ground truth",
        truth(Llama, MATH),
        4,
        0.5873,
        0.2580,
        0.4863,
        0.6793,
        0.1942
    ),
    scores!(
        "Table 12",
        "Llama 3 8B, MATH, Rephrase",
        sampled(Llama, MATH, REPHRASE),
        4,
        0.6032,
        0.3290,
        0.7850,
        0.7862,
        0.1890
    ),
    scores!(
        "Table 12",
        "Llama 3 8B, MATH, Self-Output",
        sampled(Llama, MATH, SELF_OUTPUT),
        4,
        0.6005,
        0.3440,
        0.8012,
        0.7801,
        0.1988
    ),
    scores!(
        "Table 12",
        "Llama 3 8B, MATH, STM",
        masks(Llama, MATH, STM_MATH),
        4,
        0.6164,
        0.3340,
        0.7509,
        0.7506,
        0.2027
    ),
    entry!(
        "Table 13",
        "Gemma 2 2B, MATH, ground truth",
        truth(Gemma2b, MATH),
        [(Percent(BIRD), 5.1, 1)]
    ),
    entry!(
        "Table 13",
        "Mistral 7B, MATH, ground truth",
        truth(Mistral, MATH),
        [(Percent(BIRD), 16.2, 1)]
    ),
    entry!(
        "Table 13",
        "Mistral 7B, MATH, threshold 30",
        masks(Mistral, MATH, &[(THRESHOLD, "30"), (EPOCH, "3")]),
        [(Percent(MBPP), 41.6, 1)]
    ),
    entry!(
        "Table 14",
        "Llama 3 8B, MATH, DPF",
        masks(Llama, MATH, &[(DATA, "MATH ( SFT-filtered )")]),
        [(Filtered, 67.1, 1)]
    ),
    entry!(
        "Table 14",
        "Llama 3 8B, MATH, STM with DPF",
        masks(Llama, MATH, &[(DATA, "MATH ( hybrid )")]),
        [(Filtered, 70.9, 1)]
    ),
    entry!("Table 15", "Llama 3 8B, MBPP, STM", masks(Llama, MBPP, STM), [(Transfer, -0.16, 2)]),
    entry!(
        "Table 15",
        "Llama 3 8B, MBPP, ground truth",
        truth(Llama, MBPP),
        [(Transfer, -14.1, 1), (Improvement, -17.8, 1)]
    ),
    entry!(
        "Table 15",
        "Llama 3 8B, MBPP, random mask",
        masks(Llama, MBPP, &[(THRESHOLD, "2.5 (same count but mask random)")]),
        [(Transfer, -40.4, 1)]
    ),
    entry!(
        "Table 15",
        "Llama 3 8B, MBPP, low perplexities masked",
        masks(Llama, MBPP, &[(THRESHOLD, "1.00008")]),
        [(Transfer, -33.0, 1)]
    ),
    changes!("Table 16", "Llama 3 8B, MBPP, LoRA", truth(Llama, MBPP), -34.71, -2.23),
    changes!("Table 16", "Llama 3 8B, MBPP, LoRA with STM", masks(Llama, MBPP, STM), -0.30, 3.20),
    changes!(
        "Table 16",
        "Llama 3 8B, MBPP, DoRA",
        masks(Llama, MBPP, &[(THRESHOLD, "dora")]),
        -1.89,
        -8.03
    ),
    changes!(
        "Table 16",
        "Llama 3 8B, MBPP, DoRA with STM",
        masks(Llama, MBPP, &[(THRESHOLD, "2.5, dora")]),
        1.69,
        3.58
    ),
    entry!(
        "Table 18",
        "Gemma 2 2B, MATH, ground truth",
        truth(Gemma2b, MATH),
        [(Percent(BIRD), 5.1, 1)]
    ),
    entry!(
        "Table 18",
        "Gemma 2 2B, MATH, DPF",
        masks(Gemma2b, MATH, &[(DATA, "MATH ( SFT-filtered )")]),
        [(Filtered, 39.2, 1)]
    ),
    entry!(
        "Table 18",
        "Gemma 2 2B, MATH, STM with DPF",
        masks(Gemma2b, MATH, &[(DATA, "MATH ( hybrid )")]),
        [(Filtered, 44.7, 1)]
    ),
    scores!(
        "Table 19",
        "Llama 3 8B, after MATH",
        masks(Llama, MATH, STM_MATH),
        4,
        0.6164,
        0.334,
        0.7577,
        0.7687,
        0.2027
    ),
    scores!(
        "Table 19",
        "Llama 3 8B, after MATH and MBPP",
        masks(Llama, MBPP, &[(0, "- MATH -> MBPP")]),
        4,
        0.625,
        0.332,
        0.7688,
        0.7635,
        0.2073
    ),
    scores!(
        "Table 20",
        "Llama 3 8B, 100 % correct",
        sampled(Llama, MBPP, &[(3, "mbpp-ep1, lr2e-5, rej=0%")]),
        3,
        0.606,
        0.324,
        0.793,
        0.773,
        0.199
    ),
    scores!(
        "Table 20",
        "Llama 3 8B, 75 % correct",
        sampled(Llama, MBPP, &[(3, "mbpp-ep1, lr2e-5, rej=25.25%")]),
        3,
        0.593,
        0.346,
        0.794,
        0.778,
        0.199
    ),
    scores!(
        "Table 20",
        "Llama 3 8B, 0 % correct",
        sampled(Llama, MBPP, &[(3, "mbpp-ep3, lr2e-5, rej=100%")]),
        3,
        0.561,
        0.315,
        0.802,
        0.770,
        0.188
    ),
    scores!(
        "Table 21",
        "Gemma 2 2B, 100 % correct",
        sampled(Gemma2b, MBPP, &[(3, "mbpp-ep3, lr2e-5, rej=0%")]),
        3,
        0.500,
        0.287,
        0.742,
        0.563,
        0.134
    ),
    scores!(
        "Table 21",
        "Gemma 2 2B, 49 % correct",
        sampled(Gemma2b, MBPP, &[(3, "mbpp-ep3, lr2e-5, rej=51.02%")]),
        3,
        0.489,
        0.286,
        0.732,
        0.564,
        0.134
    ),
    scores!(
        "Table 21",
        "Gemma 2 2B, 0 % correct",
        sampled(Gemma2b, MBPP, &[(3, "mbpp-ep3, lr2e-5, rej=100%")]),
        3,
        0.497,
        0.284,
        0.742,
        0.563,
        0.135
    ),
];
