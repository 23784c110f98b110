//! Table 6: how different the answers of a tuned model still are.

use super::outcome::beside;
use super::{Desk, Shown};
use crate::diversity::self_bleu;
use crate::error::Result;
use crate::generate::Sampling;
use crate::model::Checkpoint;
use crate::plot::palette::{BASE, label};
use crate::self_output::{Conditioning, Pool, SelfOutput};
use crate::stats::{self, Block};
use crate::table::{Cell, Table};
use crate::verbs;

/// Answers to each question, as in the paper.
const ANSWERS: usize = 4;
/// Questions at most, as in the paper.
const QUESTIONS: usize = 100;
/// The task that is asked: the second target, which nothing was trained on here.
const TASK: &str = "algebra";

/// One arm's self-BLEU of every question, a row for each seed.
#[derive(Debug, Clone)]
pub(super) struct Alike {
    pub arm: String,
    pub rows: Vec<Vec<f64>>,
    /// Share of right answers, for each seed.
    pub right: Vec<f64>,
}

/// Base, whose row is one, and every arm at its chosen rate.
pub(super) fn measured(desk: &Desk) -> Result<Vec<Alike>> {
    let results = desk.results("table-6", None)?;
    let experiment = desk.experiment("table-6", None)?;
    let items = experiment
        .test()
        .all()
        .find(|task| task.name == TASK)
        .map(|task| task.items.iter().take(QUESTIONS).cloned().collect::<Vec<_>>())
        .unwrap_or_default();
    let config = SelfOutput {
        samples: ANSWERS,
        sampling: Sampling {
            max_new_tokens: experiment.recipe().max_new_tokens,
            ..Sampling::paper()
        },
        lowest: Conditioning::GivenPrompt,
    };
    let asked = |checkpoint: &Checkpoint, name: &str| {
        verbs::self_output(desk.cx, checkpoint, &format!("diversity-{name}"), &items, &config)
    };
    let base = asked(experiment.base(), BASE)?;
    let mut all = vec![Alike {
        arm: BASE.to_owned(),
        rows: vec![scores(&base)],
        right: base.accepted().into_iter().collect(),
    }];
    for arm in &experiment.recipe().arms {
        let name = arm.to_string();
        let mut alike = Alike { arm: name.clone(), rows: Vec::new(), right: Vec::new() };
        for run in results.runs.iter().filter(|run| run.arm == name && run.chosen) {
            let tuned = experiment.tuned(arm, run.learning_rate, run.seed)?;
            let place = format!("{}-{}-{}", arm.label(), run.learning_rate, run.seed);
            let pool = asked(&tuned.checkpoint, &place)?;
            alike.rows.push(scores(&pool));
            alike.right.extend(pool.accepted());
        }
        all.push(alike);
    }
    Ok(all)
}

fn scores(pool: &Pool) -> Vec<f64> {
    let score = |item: &crate::self_output::PoolItem| {
        let texts: Vec<&str> =
            item.candidates.iter().map(|candidate| candidate.text.as_str()).collect();
        self_bleu(&texts)
    };
    pool.items.iter().filter_map(score).collect()
}

/// Table 6.
pub(super) fn table(desk: &Desk) -> Result<Shown> {
    let all = measured(desk)?;
    let mean = |alike: &Alike| -> Result<Cell> {
        let block = Block { weight: 1.0, rows: alike.rows.clone() };
        Ok(Cell::estimate(stats::crossed(&[block])?))
    };
    let deviation = |alike: &Alike| {
        let values = alike.rows.concat();
        let center = stats::mean(&values)?;
        let squares: Vec<f64> = values.iter().map(|value| (value - center).powi(2)).collect();
        stats::mean(&squares).map(f64::sqrt)
    };
    let means = all.iter().map(mean).collect::<Result<Vec<_>>>()?;
    let arms: Vec<&str> = all.iter().map(|alike| alike.arm.as_str()).collect();
    let table = Table::new("How alike four answers to one question are, on a task that was not trained for")
        .named("self-bleu")
        .legend(format!(
            "{ANSWERS} answers to each question of {TASK} at temperature 0.7 and top-p 0.95. self-BLEU: mean over the answers of each one's BLEU-4 with the others as references, 0 to \
             100, as sacrebleu computes it on words and signs with exponential smoothing; ± one standard error over questions and seeds; sd: over questions. The paper says neither \
             words, length nor smoothing of its self-BLEU."
        ))
        .rows(&all)
        .column("arm", |alike| label(&alike.arm))
        .column("seeds", |alike| if alike.arm == BASE { 0 } else { alike.rows.len() })
        .table()
        .column("self-BLEU", means)
        .rows(&all)
        .column("sd", |alike| Cell::number(deviation(alike), 1))
        .column("right %", |alike| Cell::percent(stats::mean(&alike.right)))
        .table();
    let table =
        beside(table, "table-6", "MBPP", &arms, &["self-BLEU", "self-BLEU sd", "MATH right"])?;
    Ok(Shown { tables: vec![table], figures: Vec::new() })
}
