//! The paper's tables, and two of ours.

use super::outcome::{
    self, arms_and_rates, beside, cost, every_rate, is_base, over_seeds, percent, rate, scores,
};
use super::printed::{self, benchmark};
use super::sheet::{Cell, Sheet};
use super::{Desk, Shown};
use crate::error::Result;
use crate::experiment::results::{Results, Run};
use crate::plot::palette::label;
use crate::report::summary;
use crate::stats;
use crate::weight_change::{self, THRESHOLD, effective_rank, entropy_rank};

/// The two targets.
const TARGETS: [&str; 2] = ["code", "algebra"];

/// Table 1.
pub(super) fn perplexity(desk: &Desk) -> Result<Shown> {
    let mut shown = Shown::default();
    for target in TARGETS {
        let data = desk.experiment("table-1", Some(target))?.data();
        let arms: Vec<&str> = data.iter().map(|data| data.arm.as_str()).collect();
        let mut sheet = Sheet::new(
            &format!("perplexity-{target}"),
            &format!("Perplexity of the answers of {target} (the paper's {}) under base", benchmark(target)),
            "answers",
            arms.iter().map(|arm| label(arm)),
        )
        .legend(
            "perplexity: mean over examples of exp(mean surprisal of the answer given its prompt, end of turn included); variance: population variance of the \
             same. alone: of the bare text, without prompt and template, which the paper's selector and Figure 2 use. >2.5: tokens above.",
        )
        .column("items", data.iter().map(|data| Cell::from(data.kept)))
        .column("perplexity", data.iter().map(|data| Cell::number(Some(data.perplexity_given_prompt), 2)))
        .column("variance", data.iter().map(|data| Cell::number(Some(data.perplexity_variance), 2)))
        .column("alone", data.iter().map(|data| Cell::number(Some(data.perplexity_of_text_alone), 2)))
        .column(">2.5 %", data.iter().map(|data| percent(Some(data.share_above_2_5))));
        beside(&mut sheet, "table-1", benchmark(target), &arms, &["perplexity", "variance"])?;
        shown.sheets.push(sheet);
    }
    Ok(shown)
}

/// Table 2.
pub(super) fn main(desk: &Desk) -> Result<Shown> {
    let mut shown = Shown::default();
    for target in TARGETS {
        shown.sheets.extend(outcome::shown(desk, "table-2", Some(target), "table-2")?.sheets);
    }
    Ok(shown)
}

/// Table 3.
pub(super) fn masks(desk: &Desk) -> Result<Shown> {
    let mut shown = outcome::shown(desk, "table-3", None, "table-3")?;
    shown.sheets.push(threshold_curve(&*desk.results("table-3", None)?));
    shown.sheets[0].note(
        "The paper's last row, scores of a larger model of the same family, has no counterpart: there is one lab model.",
    );
    Ok(shown)
}

/// What each threshold masks, and whether it hits the annotators' style.
fn threshold_curve(results: &Results) -> Sheet {
    let points = &results.thresholds;
    Sheet::new(
        "thresholds",
        "What each threshold masks in the ground truth",
        "threshold",
        points.iter().map(|point| point.threshold.to_string()),
    )
    .legend(
        "surprisal: share of its sum that the masked tokens carry. precision: of the masked tokens, those in the writer's own style. recall: of the style tokens, \
         those masked.",
    )
    .column("masked %", points.iter().map(|point| percent(Some(point.masked))))
    .column("surprisal %", points.iter().map(|point| percent(Some(point.surprisal_masked))))
    .column("precision %", points.iter().map(|point| percent(point.precision)))
    .column("recall %", points.iter().map(|point| percent(point.recall)))
}

/// Table 4.
pub(super) fn techniques(desk: &Desk) -> Result<Shown> {
    outcome::shown(desk, "table-4", None, "table-4")
}

/// Table 16: the same runs beside what the paper prints of its other model.
pub(super) fn techniques_again(desk: &Desk) -> Result<Shown> {
    outcome::shown(desk, "table-4", None, "table-16")
}

/// Table 5.
pub(super) fn rates(desk: &Desk) -> Result<Shown> {
    let results = desk.results("table-5", None)?;
    let mut shown = Shown {
        sheets: vec![every_rate(&results, "Every rate, every seed")?],
        figures: Vec::new(),
    };
    shown.sheets.push(printed_rates()?);
    shown.sheets.push(cost(&results));
    Ok(shown)
}

/// The paper's Table 5 as printed: its rates are those of models a thousand times larger, so the two do not share rows.
fn printed_rates() -> Result<Sheet> {
    let printed = printed::of("table-5", "MBPP")?;
    let mut keys: Vec<(&str, &str, &str)> = Vec::new();
    for row in &printed {
        let Some((_, rate)) = row.quantity.split_once(" at ") else {
            continue;
        };
        let key = (row.model.as_str(), row.arm.as_str(), rate);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let value = |(model, arm, rate): &(&str, &str, &str), what: &str| {
        let quantity = format!("{what} at {rate}");
        let row = printed
            .iter()
            .find(|row| row.model == *model && row.arm == *arm && row.quantity == quantity);
        Cell::number(row.map(|row| row.value), 2)
    };
    Ok(Sheet::new(
        "printed",
        "What the paper prints",
        "model",
        keys.iter().map(|key| key.0.to_owned()),
    )
    .column("arm", keys.iter().map(|key| Cell::from(label(key.1))))
    .column("rate", keys.iter().map(|key| Cell::from(key.2)))
    .column("TI %", keys.iter().map(|key| value(key, "TI")))
    .column("BWT %", keys.iter().map(|key| value(key, "BWT"))))
}

/// Table 7.
pub(super) fn norms(desk: &Desk) -> Result<Shown> {
    let results = desk.results("table-7", None)?;
    let points = arms_and_rates(&results);
    let of = |value: &dyn Fn(&Run) -> Option<f64>, decimals: usize| -> Vec<Cell> {
        let cell = |(_, _, runs): &(&str, f64, Vec<&Run>)| {
            let mean =
                over_seeds(&results, runs, |_, run| value(run)).map(|estimate| estimate.value);
            Cell::number(mean, decimals)
        };
        points.iter().map(cell).collect()
    };
    let norm = |run: &Run| (!run.layers.is_empty()).then(|| weight_change::total_norm(&run.layers));
    let errors = points.iter().map(|(_, _, runs)| {
        let se = over_seeds(&results, runs, |_, run| norm(run)).and_then(|estimate| estimate.se);
        Cell::number(se, 3)
    });
    let ranks = |value: fn(&[f64]) -> Option<f64>| {
        move |run: &Run| {
            let values = run.layers.iter().filter_map(|layer| layer.singular_values.as_deref());
            stats::mean(&values.filter_map(value).collect::<Vec<_>>())
        }
    };
    let mut sheet = Sheet::new(
        "norms",
        "How far the weights moved, and in how many directions",
        "arm",
        points.iter().map(|(arm, ..)| label(arm)),
    )
    .legend(&format!(
        "‖Δ‖: Frobenius norm of scale · B A over all adapted layers together (root of the sum of squares), mean over seeds; se over seeds. relative: to the norm \
         of the weights. ranks: mean over layers and seeds of the number of singular values above {THRESHOLD}, above a tenth of the largest, and of exp(entropy) of \
         the singular values' shares."
    ))
    .column("rate", points.iter().map(|(_, r, _)| rate(Some(*r))))
    .column("chosen", points.iter().map(|(_, _, runs)| Cell::from(if runs[0].chosen { "yes" } else { "" })))
    .column("seeds", points.iter().map(|(_, _, runs)| Cell::from(runs.len())))
    .column("‖Δ‖", of(&norm, 3))
    .column("se", errors)
    .column("relative %", of(&|run| Some(100.0 * run.relative_weight_change), 2))
    .column(&format!("rank > {THRESHOLD}"), of(&ranks(|values| Some(effective_rank(values, THRESHOLD) as f64)), 1))
    .column("rank > max/10", of(&ranks(|values| Some(effective_rank(values, values.first()? / 10.0) as f64)), 1))
    .column("entropy rank", of(&ranks(entropy_rank), 1));
    let arms: Vec<&str> = points.iter().map(|(arm, ..)| *arm).collect();
    beside(&mut sheet, "table-7", benchmark(&results.target), &arms, &["norm"])?;
    Ok(Shown { sheets: vec![sheet, cost(&results)], figures: Vec::new() })
}

/// Table 8.
pub(super) fn regularisation(desk: &Desk) -> Result<Shown> {
    let results = desk.results("table-8", None)?;
    let mut sheet = outcome::outcome(&results, "table-8")?;
    let rows = summary::rows(&results)?;
    let norm = |arm: &str| {
        let runs: Vec<&Run> =
            summary::tested(&results).filter(|run| run.arm == arm && run.chosen).collect();
        over_seeds(&results, &runs, |_, run| Some(weight_change::total_norm(&run.layers)))
    };
    sheet = sheet
        .column("‖Δ‖", rows.iter().map(|row| Cell::number(norm(&row.arm).map(|e| e.value), 3)));
    let arms: Vec<&str> = rows.iter().map(|row| row.arm.as_str()).collect();
    beside(&mut sheet, "table-8", benchmark(&results.target), &arms, &["norm"])?;
    Ok(Shown { sheets: vec![sheet, cost(&results)], figures: Vec::new() })
}

/// Table 9: the lab's task of following instructions, at every rate.
pub(super) fn instructions(desk: &Desk) -> Result<Shown> {
    const TASK: &str = "follow";
    let results = desk.results("table-5", None)?;
    let points = arms_and_rates(&results);
    let score = |tasks: &[crate::experiment::results::TaskScore]| {
        tasks.iter().find(|task| task.task == TASK).and_then(summary::score)
    };
    let base = score(&results.base);
    let cells = points
        .iter()
        .map(|(_, _, runs)| Cell::share(over_seeds(&results, runs, |_, run| score(&run.test))));
    let names = std::iter::once("base").chain(points.iter().map(|(arm, ..)| *arm));
    let sheet = Sheet::new("instructions", "Instructions followed, strictly", "arm", names.map(label))
        .legend(&format!(
            "Share of the prompts of {TASK} (the shape of IFEval) whose every instruction is followed, in percent; mean over seeds ± its standard error over seeds."
        ))
        .column("rate", std::iter::once(Cell::Nothing).chain(points.iter().map(|(_, r, _)| rate(Some(*r)))))
        .column("followed %", std::iter::once(percent(base)).chain(cells));
    let mut paper = Sheet::new("printed", "What the paper prints", "arm", {
        let rows = printed::of("table-9", "MBPP")?;
        rows.into_iter()
            .map(|row| format!("{}, {}", row.model, label(&row.arm)))
            .collect::<Vec<_>>()
    });
    let rows = printed::of("table-9", "MBPP")?;
    paper = paper
        .column(
            "rate",
            rows.iter().map(|row| match row.quantity.split_once(" at ") {
                Some((_, rate)) => Cell::from(rate),
                None => Cell::Nothing,
            }),
        )
        .column("followed %", rows.iter().map(|row| Cell::number(Some(row.value), 2)));
    Ok(Shown { sheets: vec![sheet, paper], figures: Vec::new() })
}

/// Table 11.
pub(super) fn higher_threshold(desk: &Desk) -> Result<Shown> {
    outcome::shown(desk, "table-11", None, "table-11")
}

/// Table 12.
pub(super) fn accuracies(desk: &Desk) -> Result<Shown> {
    let mut shown = Shown::default();
    for target in TARGETS {
        let results = desk.results("table-2", Some(target))?;
        let title = format!("Score on each task after training on {target}");
        let (sheet, _) = scores(&results, &format!("scores-{target}"), &title)?;
        shown.sheets.push(sheet);
        shown.sheets.push(printed_scores("table-12", benchmark(target))?);
    }
    Ok(shown)
}

/// The paper's accuracies for one target.
fn printed_scores(exhibit: &str, target: &str) -> Result<Sheet> {
    const TASKS: [&str; 5] = ["MBPP", "MATH", "GSM8K", "ARC", "BIRD"];
    let rows = printed::of(exhibit, target)?;
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for row in &rows {
        let key = (row.model.as_str(), row.arm.as_str());
        if TASKS.contains(&row.quantity.as_str()) && !keys.contains(&key) {
            keys.push(key);
        }
    }
    let name = format!("printed-{}", target.to_lowercase());
    let title = format!("What the paper prints for {target}");
    let mut sheet = Sheet::new(&name, &title, "model", keys.iter().map(|key| key.0.to_owned()))
        .column("arm", keys.iter().map(|key| Cell::from(label(key.1))));
    for task in TASKS {
        let value = |key: &(&str, &str)| {
            let row = rows
                .iter()
                .find(|row| (row.model.as_str(), row.arm.as_str()) == *key && row.quantity == task);
            Cell::number(row.map(|row| row.value), 2)
        };
        sheet = sheet.column(task, keys.iter().map(value));
    }
    for row in rows.iter().filter(|row| !row.note.is_empty()) {
        sheet.note(&format!("{}, {}, {}: {}.", row.model, label(&row.arm), row.quantity, row.note));
    }
    Ok(sheet)
}

/// Table 13.
pub(super) fn thresholds(desk: &Desk) -> Result<Shown> {
    of_thresholds(desk, "table-13", "table-13")
}

/// Each arm's scores on every task, beside the paper's on the target.
fn of_thresholds(desk: &Desk, recipe: &str, exhibit: &str) -> Result<Shown> {
    let results = desk.results(recipe, None)?;
    let title = format!("Thresholds, target {}", results.target);
    let (mut sheet, rows) = scores(&results, "scores", &title)?;
    sheet = sheet.column("masked %", rows.iter().map(|row| percent(row.masked_share)));
    let arms: Vec<&str> = rows.iter().map(|row| row.arm.as_str()).collect();
    let target = benchmark(&results.target);
    beside(&mut sheet, exhibit, target, &arms, &["masked", target])?;
    Ok(Shown {
        sheets: vec![
            sheet,
            outcome::outcome(&results, exhibit)?,
            threshold_curve(&results),
            cost(&results),
        ],
        figures: Vec::new(),
    })
}

/// Table 14.
pub(super) fn differences(desk: &Desk) -> Result<Shown> {
    of_thresholds(desk, "table-14", "table-14")
}

/// Table 15.
pub(super) fn masks_of_both(desk: &Desk) -> Result<Shown> {
    let mut shown = Shown::default();
    for recipe in ["table-3", "table-13"] {
        shown.sheets.extend(outcome::shown(desk, recipe, None, "table-15")?.sheets);
    }
    Ok(shown)
}

/// Table 17.
pub(super) fn cost_of_data(desk: &Desk, target: &str) -> Result<Sheet> {
    let data = desk.experiment("table-2", Some(target))?.data();
    let arms: Vec<&str> = data.iter().map(|data| data.arm.as_str()).collect();
    let mut sheet = Sheet::new(
        &format!("data-{target}"),
        &format!("What the training data of {target} costs"),
        "arm",
        arms.iter().map(|arm| label(arm)),
    )
    .legend(
        "Seconds: wall time of sampling, grading and scoring, of the call that computed them. right: of the sampled answers. sampled/right: answers that had to be \
         sampled for each right one.",
    )
    .column("asked", data.iter().map(|data| Cell::from(data.asked)))
    .column("kept", data.iter().map(|data| Cell::from(data.kept)))
    .column("kept %", data.iter().map(|data| percent(Some(data.kept as f64 / data.asked.max(1) as f64))))
    .column("sampled", data.iter().map(|data| Cell::from(data.sampled)))
    .column("right %", data.iter().map(|data| percent(data.accepted)))
    .column(
        "sampled/right",
        data.iter().map(|data| {
            let right = data.accepted.filter(|share| *share > 0.0);
            Cell::number(right.map(|share| 1.0 / share), 2)
        }),
    )
    .column("seconds", data.iter().map(|data| Cell::number(Some(data.seconds), 1)));
    beside(&mut sheet, "table-17", benchmark(target), &arms, &["kept", "GPU hours"])?;
    Ok(sheet)
}

/// Table 17.
pub(super) fn cost_of_both(desk: &Desk) -> Result<Shown> {
    let sheets = TARGETS.map(|target| cost_of_data(desk, target));
    Ok(Shown { sheets: sheets.into_iter().collect::<Result<_>>()?, figures: Vec::new() })
}

/// Table 18.
pub(super) fn scorers(desk: &Desk) -> Result<Shown> {
    let mut shown = of_thresholds(desk, "table-18", "table-18")?;
    shown.sheets[0].note(
        "The paper's rows scored by a larger model have no counterpart: there is one lab model.",
    );
    Ok(shown)
}

/// Table 20.
pub(super) fn correctness(desk: &Desk) -> Result<Shown> {
    of_pools(desk, "table-20")
}

/// Table 21: the same runs beside what the paper prints of its other model.
pub(super) fn correctness_again(desk: &Desk) -> Result<Shown> {
    of_pools(desk, "table-21")
}

fn of_pools(desk: &Desk, exhibit: &str) -> Result<Shown> {
    let results = desk.results("table-20", None)?;
    let target = benchmark(&results.target);
    let (mut sheet, rows) =
        scores(&results, "scores", "Right, mixed and wrong answers to the same questions")?;
    let tokens = |arm: &str| {
        let run = results.runs.iter().find(|run| run.arm == arm && run.chosen);
        Cell::number(run.map(|run| run.completion_tokens as f64), 0)
    };
    sheet = sheet.column(
        "answer tokens",
        rows.iter().map(|row| match is_base(&row.arm) {
            true => Cell::Nothing,
            false => tokens(&row.arm),
        }),
    );
    let arms: Vec<&str> = rows.iter().map(|row| row.arm.as_str()).collect();
    let others = ["tokens", "MBPP", "MATH", "GSM8K", "ARC", "BIRD"];
    beside(&mut sheet, exhibit, target, &arms, &others)?;
    sheet.note("The paper counts tokens of prompts and answers without the template.");
    Ok(Shown {
        sheets: vec![sheet, outcome::outcome(&results, exhibit)?, cost(&results)],
        figures: Vec::new(),
    })
}

/// Ours: what carriage returns and prose around the code do.
pub(super) fn format(desk: &Desk) -> Result<Shown> {
    let mut shown = outcome::shown(desk, "format", None, "format")?;
    let data = desk.experiment("format", None)?.data();
    let sheet = Sheet::new(
        "perplexity",
        "Perplexity of the answers under base",
        "arm",
        data.iter().map(|data| label(&data.arm)),
    )
    .column(
        "perplexity",
        data.iter().map(|data| Cell::number(Some(data.perplexity_given_prompt), 2)),
    )
    .column(">2.5 %", data.iter().map(|data| percent(Some(data.share_above_2_5))));
    shown.sheets.push(sheet);
    shown.sheets[0].note(
        "crlf: with a carriage return at every line end, as 373 of MBPP's 374 reference answers have; lf: without any, which on the lab's own data is the ground truth itself; code: \
         the fenced block alone.",
    );
    Ok(shown)
}

/// Ours: what the two trainers of the published arms do to the comparison.
pub(super) fn as_published(desk: &Desk) -> Result<Shown> {
    let results = desk.results("as-published", None)?;
    let mut sheet = every_rate(
        &results,
        "The published arms, each by the trainer it was published with, and the same arms by one trainer",
    )?;
    sheet.note(
        "axolotl, stm script: rank, alpha, schedule and warm-up as published; batch, epochs and rates are the lab's. The paper used one rate for all arms: compare rows of \
         one rate.",
    );
    Ok(Shown { sheets: vec![sheet, cost(&results)], figures: Vec::new() })
}
