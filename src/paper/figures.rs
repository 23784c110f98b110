//! The paper's figures, each with the table it is drawn from.

use super::outcome::{beside, is_base, names};
use super::printed::{self, benchmark};
use super::{Desk, Shown};
use crate::error::Result;
use crate::experiment::results::{DataSummary, Results, Run, TokenExample};
use crate::metric::PAPER_THRESHOLD;
use crate::perplexity::usual;
use crate::plot::palette::{BASE, GRAY, INK, STM, label, look};
use crate::plot::{self, Axis, Look, Measured, Panel, Plot, SCORES, Spectra, Spikes, keys};
use crate::report::figure::Figure;
use crate::report::summary::{self, ArmChange, ArmSummary};
use crate::report::tables::{arm, with_scores};
use crate::select::TokenClass;
use crate::stats;
use crate::table::{Cell, Table, plus};
use crate::weight_change::{THRESHOLD, effective_rank, entropy_rank};

/// Items shown in Figures 1 and 3.
const ITEMS: usize = 1;
/// Tokens whose variance the paper prints for Figure 3.
const FIRST: usize = 20;

fn shown(table: Table, name: &'static str, plot: Plot) -> Shown {
    let figures = vec![Figure { name, plot, table: table.clone() }];
    Shown { figures, tables: vec![table] }
}

/// Figure 1: the tokens that surprise the model, in brackets.
pub(super) fn item(desk: &Desk) -> Result<Shown> {
    let examples = desk.experiment("table-1", Some("algebra"))?.token_examples(ITEMS)?;
    let text = |example: &TokenExample| {
        let tokens = example.tokens.iter().filter(|token| token.completion);
        tokens
            .map(|token| match token.perplexity.is_some_and(|p| p >= PAPER_THRESHOLD) {
                true => format!("[{}]", token.text),
                false => token.text.clone(),
            })
            .collect::<String>()
            .replace('\n', " ⏎ ")
    };
    let table =
        Table::new("One question's answers; in brackets the tokens of perplexity 2.5 or more")
            .named("item")
            .rows(&examples)
            .column("answers", |example| arm(&example.arm))
            .column("tokens", |example| surprisals(example).len())
            .column("above", above)
            .column("text", text)
            .table();
    Ok(Shown { tables: vec![table], figures: Vec::new() })
}

fn surprisals(example: &TokenExample) -> Vec<f64> {
    let tokens = example.tokens.iter().filter(|token| token.completion);
    tokens.filter_map(|token| token.perplexity).map(|p| p.max(1.0).ln()).collect()
}

fn above(example: &TokenExample) -> usize {
    surprisals(example).iter().filter(|nats| **nats >= PAPER_THRESHOLD.ln()).count()
}

fn variance(values: &[f64]) -> Option<f64> {
    let center = stats::mean(values)?;
    stats::mean(&values.iter().map(|value| (value - center).powi(2)).collect::<Vec<_>>())
}

/// Figure 3.
pub(super) fn spikes(desk: &Desk) -> Result<Shown> {
    let examples = desk.experiment("table-1", Some("algebra"))?.token_examples(ITEMS)?;
    let first = |example: &TokenExample| {
        let values = surprisals(example);
        variance(&values[..values.len().min(FIRST)])
    };
    let names: Vec<&str> = examples.iter().map(|example| example.arm.as_str()).collect();
    let table = Table::new("Surprisal of one question's answers")
        .named("spikes")
        .legend("In nats. variance: population variance over the first 20 tokens.")
        .rows(&examples)
        .column("answers", |example| arm(&example.arm))
        .column("tokens", |example| surprisals(example).len())
        .column("above ln 2.5", above)
        .column("highest", |example| {
            Cell::number(surprisals(example).into_iter().reduce(f64::max), 2)
        })
        .column("variance", |example| Cell::number(first(example), 2))
        .table();
    let table = beside(table, "figure-3", "MATH", &names, &["variance of first 20"])?;
    let counts: Vec<String> = examples
        .iter()
        .map(|example| {
            format!("{} {} of {}", label(&example.arm), above(example), surprisals(example).len())
        })
        .collect();
    let panel = |example: &TokenExample| Spikes {
        heading: label(&example.arm),
        color: look(&example.arm, &names).color,
        nats: surprisals(example),
    };
    let title = format!("Tokens of perplexity 2.5 or more: {}", counts.join(", "));
    let panels: Vec<Spikes> = examples.iter().map(panel).collect();
    let plot = plot::spikes(title, &panels)
        .note("Surprisal of each token of the answer under base, given its question.");
    Ok(shown(table, "spikes", plot))
}

/// Figure 2.
pub(super) fn perplexity_and_forgetting(desk: &Desk) -> Result<Shown> {
    let all: Vec<_> = ["code", "algebra"]
        .into_iter()
        .map(|target| desk.summary("table-2", Some(target)))
        .collect::<Result<_>>()?;
    let mut points: Vec<(&str, &ArmSummary, f64)> = Vec::new();
    for summary in &all {
        let results = &summary.results;
        let whole = summary.arms.iter().skip(1).filter(|row| row.masked_share == Some(0.0));
        for row in whole {
            let runs = results.runs.iter().filter(|run| run.arm == row.arm && run.chosen);
            let losses: Vec<f64> = runs.filter_map(|run| stats::mean(&run.losses)).collect();
            points.push((&results.target, row, stats::mean(&losses).unwrap_or(f64::NAN)));
        }
    }
    let change = |row: &ArmSummary, of: fn(&ArmChange) -> Option<stats::Estimate>| {
        Cell::change(row.change.as_ref().and_then(of))
    };
    let table = Table::new("Perplexity of the training answers against what training on them does to the other tasks")
        .named("perplexity-and-forgetting")
        .legend(
            "perplexity: under base, mean over examples, of the bare text as in the paper's figure, and given the prompt as in its Table 1. loss: mean over all steps. Arms that mask tokens \
             are left out, since the perplexity of all tokens is not what they learn.",
        )
        .rows(&points)
        .column("arm", |(_, row, _)| arm(&row.arm))
        .column("target", |(target, ..)| *target)
        .column("ppl alone", |(_, row, _)| usual(row.perplexity_of_text_alone, row.median_of_text_alone))
        .column("ppl | prompt", |(_, row, _)| usual(row.perplexity_given_prompt, row.median_given_prompt))
        .column("BWT %", |(_, row, _)| change(row, |of| of.backward_transfer))
        .column("others points", |(_, row, _)| change(row, |of| of.non_target_points))
        .column("loss", |(.., loss)| Cell::number(*loss, 3))
        .table();
    let names: Vec<&str> = all.first().map(|of| summary::arms(&of.results)).unwrap_or_default();
    let place = |row: &ArmSummary| {
        row.perplexity_of_text_alone.zip(row.change.as_ref()?.non_target_points.map(|e| e.value))
    };
    let places: Vec<(f64, f64)> = points.iter().filter_map(|(_, row, _)| place(row)).collect();
    let x = places.iter().map(|place| place.0);
    let y = places.iter().map(|place| place.1);
    let mut panel = Panel::new(
        Axis::around("perplexity of the bare answers under base", x, 1.0),
        Axis::around("change on the other tasks, points", y, SCORES),
    )
    .level(0.0, BASE, GRAY);
    let mut shown_names: Vec<&str> = Vec::new();
    for (target, row, _) in &points {
        let look = look(&row.arm, &names);
        // the two targets are told apart by filling
        panel = match *target == "code" {
            true => panel.marks(place(row), look, 7.0),
            false => panel.open_marks(place(row), look, 7.0),
        };
        if !shown_names.contains(&row.arm.as_str()) {
            shown_names.push(&row.arm);
        }
    }
    let mut drawn: Vec<(f64, f64)> = places.clone();
    drawn.sort_by(|one, other| one.0.total_cmp(&other.0));
    let title = match drawn.as_slice() {
        [low, .., high] => format!(
            "Answers of perplexity {:.1} change the other tasks by {} points, those of {:.1} by {}",
            low.0,
            plus(low.1),
            high.0,
            plus(high.1)
        ),
        _ => "Perplexity of the answers against the change on the other tasks".to_owned(),
    };
    let plot = Plot::new(title)
        .note("Each arm at its chosen rate. Filled: target code; open: target algebra.")
        .panel(panel)
        .legend(keys(&shown_names, &names))
        .size(960, 520);
    let mut made = shown(table, "perplexity_and_forgetting", plot);
    made.tables.push(printed_points()?);
    Ok(made)
}

/// The paper's twelve points.
fn printed_points() -> Result<Table> {
    let rows = printed::of("figure-2", "MBPP")?;
    let names: Vec<&str> =
        rows.iter().filter(|row| row.quantity == "BWT").map(|row| row.arm.as_str()).collect();
    let value = |arm: &&str, quantity: &str| {
        let row = rows.iter().find(|row| row.arm == **arm && row.quantity == quantity);
        Cell::number(row.map(|row| row.value), 2)
    };
    Ok(Table::new("What the paper draws (read off the figure)")
        .named("printed")
        .rows(&names)
        .column("answers", |arm| label(arm))
        .column("ppl alone", |arm| value(arm, "perplexity of text alone"))
        .column("BWT %", |arm| value(arm, "BWT"))
        .table())
}

/// Figure 5.
pub(super) fn masked_share(desk: &Desk) -> Result<Shown> {
    against_masked(desk, "table-13")
}

/// Figure 6.
pub(super) fn masked_share_again(desk: &Desk) -> Result<Shown> {
    against_masked(desk, "table-18")
}

fn against_masked(desk: &Desk, recipe: &str) -> Result<Shown> {
    let summary = desk.summary(recipe, None)?;
    let base = &summary.arms[0];
    let mut rows = summary.arms[1..].to_vec();
    rows.retain(|row| row.masked_share.is_some());
    rows.sort_by(|a, b| a.masked_share.unwrap_or(0.0).total_cmp(&b.masked_share.unwrap_or(0.0)));
    let title = format!(
        "Score on each task against the share of the ground truth's tokens that is masked, target {}",
        summary.results.target
    );
    let table = Table::new(&title)
        .named("masked-share")
        .legend("Percent ± one standard error over items and seeds.")
        .rows(&rows)
        .column("arm", |row| arm(&row.arm))
        .column("masked %", |row| Cell::percent(row.masked_share))
        .table();
    let table = with_scores(table, &rows, str::to_owned);
    let panel = |at: usize| {
        let task = &base.tasks[at];
        let level = 100.0 * task.score.value;
        let scores: Vec<Measured> = rows
            .iter()
            .map(|row| {
                let masked = 100.0 * row.masked_share.unwrap_or(0.0);
                Measured::estimate(masked, row.tasks[at].score.times(100.0))
            })
            .collect();
        let points = || scores.iter().map(Measured::at);
        let last = points().map(|point| point.0).fold(1.0, f64::max);
        // the axis holds the bars too
        let ends = scores.iter().flat_map(Measured::ends).chain([level]);
        Panel::new(
            Axis::new("completion tokens masked, percent", -1.0, 1.05 * last),
            Axis::around("score, percent", ends, SCORES).within(0.0, 100.0),
        )
        .heading(format!("{} ({})", task.task, benchmark(&task.task)), INK)
        .level(level, BASE, GRAY)
        .error_bars(&scores, STM.color)
        .line(points(), STM.stroke(1.5).opacity(0.7))
        .marks(points(), STM, 4.5)
    };
    let ends = |row: &ArmSummary| {
        let others = row
            .non_target
            .map_or(String::new(), |score| format!(", others {:.1}", 100.0 * score.value));
        let masked = 100.0 * row.masked_share.unwrap_or(0.0);
        format!("{masked:.0} percent masked: target {:.1}{others}", 100.0 * row.target.value)
    };
    let heading = match rows.as_slice() {
        [least, .., most] => format!("{}; {}", ends(least), ends(most)),
        _ => title,
    };
    let plot = Plot::new(heading)
        .note("Each threshold at its best validated rate; bars: one standard error; left end: nothing masked.")
        .panels((0..base.tasks.len()).map(panel))
        .size(960, 200 * base.tasks.len() as u32 + 80);
    Ok(shown(table, "masked_share", plot))
}

/// Figure 8.
pub(super) fn classes_llama(desk: &Desk) -> Result<Shown> {
    classes(desk, "figure-8")
}

/// Figure 9: the same data beside what the paper draws of its third model.
pub(super) fn classes_mistral(desk: &Desk) -> Result<Shown> {
    classes(desk, "figure-9")
}

/// Figure 10: the same data beside what the paper draws of its smaller model.
pub(super) fn classes_gemma(desk: &Desk) -> Result<Shown> {
    classes(desk, "figure-10")
}

fn classes(desk: &Desk, exhibit: &str) -> Result<Shown> {
    // the paper has three kinds; all that is neither word nor number is a symbol here
    const NAMES: [(&str, Option<TokenClass>); 3] = [
        ("numbers", Some(TokenClass::Numbers)),
        ("symbols", None),
        ("words", Some(TokenClass::Words)),
    ];
    let mut data = desk.experiment("table-1", Some("algebra"))?.data();
    data.retain(|data| data.arm != "rephrase");
    let share = |data: &DataSummary, class: Option<TokenClass>| {
        let named = [TokenClass::Numbers, TokenClass::Words];
        let of_kind = data.classes.iter().filter(|share| match class {
            Some(class) => share.class == class,
            None => !named.contains(&share.class),
        });
        of_kind.fold((0.0, 0.0), |sum, share| (sum.0 + share.share, sum.1 + share.high))
    };
    let names: Vec<&str> = data.iter().map(|data| data.arm.as_str()).collect();
    let mut table = Table::new("Kinds of tokens in the answers of algebra (the paper's MATH)")
        .named("classes")
        .legend(
            "Percent of all answer tokens. A token with a letter is a word, one with a digit and no letter a number, any other a symbol: white space and the end of the turn too. The paper \
             does not say where its lines are. above 2.5: of that kind and of perplexity above 2.5 under base.",
        )
        .rows(&data)
        .column("answers", |data| arm(&data.arm));
    let mut quantities = Vec::new();
    for (name, class) in NAMES {
        let above = format!("{name} above 2.5");
        table = table
            .column(name, |data| Cell::percent(share(data, class).0))
            .column(&above, |data| Cell::percent(share(data, class).1));
        quantities.extend([name.to_owned(), above]);
    }
    let quantities: Vec<&str> = quantities.iter().map(String::as_str).collect();
    let table = beside(table.table(), exhibit, "MATH", &names, &quantities)?;
    let panel = |(name, class): (&str, Option<TokenClass>)| {
        let arms: Vec<String> = names.iter().map(|arm| label(arm)).collect();
        let panel =
            Panel::new(Axis::categories("", arms), Axis::new("percent of tokens", 0.0, 60.0));
        data.iter().enumerate().fold(panel.heading(name, INK), |panel, (at, data)| {
            let (all, high) = share(data, class);
            let x = at as f64;
            panel
                .bars([(x - 0.4, x, 100.0 * all)], GRAY)
                .bars([(x, x + 0.4, 100.0 * high)], look(&data.arm, &names).color)
        })
    };
    let high = |arm: &str| {
        let data = data.iter().find(|data| data.arm == arm);
        100.0 * data.map_or(0.0, |data| data.share_above_2_5)
    };
    let square = |color| Look { color, ..look("ground_truth", &names) };
    let key =
        |name: &&str| square(look(name, &names).color).key(format!("above 2.5, {}", label(name)));
    let plot = Plot::new(format!(
        "{:.1} % of the ground truth's tokens and {:.1} % of Self-Output's surprise the model",
        high("ground_truth"),
        high("self_output")
    ))
    .note(
        "Grey: share of the kind among all answer tokens; colored: those of perplexity above 2.5.",
    )
    .panels(NAMES.map(panel))
    .legend([square(GRAY).key("all of the kind")])
    .legend(names.iter().map(key))
    .size(960, 620);
    Ok(shown(table, "token_classes", plot))
}

/// Figure 11.
pub(super) fn regularisation_target(desk: &Desk) -> Result<Shown> {
    regularisation(desk, "target", |row| Some(row.target))
}

/// Figure 12.
pub(super) fn regularisation_others(desk: &Desk) -> Result<Shown> {
    regularisation(desk, "other tasks", |row| row.non_target)
}

fn regularisation(
    desk: &Desk,
    what: &str,
    value: fn(&ArmSummary) -> Option<stats::Estimate>,
) -> Result<Shown> {
    let summary = desk.summary("table-8", None)?;
    let rows = &summary.arms;
    let names = names(rows);
    let table = Table::new(format!("Regularised training: score on the {what}"))
        .named("regularisation")
        .legend("Percent ± one standard error over items and seeds, each arm at its best validated rate.")
        .rows(rows)
        .column("arm", |row| arm(&row.arm))
        .column("score %", |row| Cell::share(value(row)))
        .table();
    let base = rows.iter().find_map(|row| Some(100.0 * value(row)?.value)).unwrap_or(0.0);
    // arms from above to below, in the recipe's order
    let arms: Vec<&ArmSummary> = rows.iter().filter(|row| !is_base(&row.arm)).collect();
    let scores: Vec<(&str, Measured)> = arms
        .iter()
        .enumerate()
        .filter_map(|(at, row)| {
            let place = (arms.len() - 1 - at) as f64;
            Some((row.arm.as_str(), Measured::estimate(place, value(row)?.times(100.0))))
        })
        .collect();
    // the axis holds the bars too
    let ends = scores.iter().flat_map(|(_, score)| score.ends()).chain([base]);
    let panel = Panel::new(
        Axis::around("score, percent", ends, SCORES).within(0.0, 100.0),
        Axis::categories("", arms.iter().rev().map(|row| label(&row.arm))),
    );
    let panel = scores.iter().fold(panel.upright(base, BASE, GRAY), |panel, (arm, score)| {
        let (look, at) = (look(arm, &names), (score.y, score.x));
        panel.spread(at, (score.low, score.high), (score.x, score.x), look.color).marks(
            [at],
            look,
            6.0,
        )
    });
    let change = |arm: &str| {
        let row = rows.iter().find(|row| row.arm == arm);
        row.and_then(|row| Some(100.0 * value(row)?.value)).unwrap_or(f64::NAN) - base
    };
    let best = names
        .iter()
        .filter(|name| name.starts_with("ground_truth@"))
        .max_by(|a, b| change(a).total_cmp(&change(b)));
    let plot = Plot::new(format!(
        "On the {what} the best regularised ground truth changes by {} points, STM by {}",
        best.map_or("–".to_owned(), |best| plus(change(best))),
        plus(change("stm(2.5)"))
    ))
    .note("Each arm at its best validated rate, in the recipe's order; bars: one standard error. The paper draws parallel coordinates over decay, dropout and step.")
    .panel(panel)
    .size(960, 160 + 34 * arms.len() as u32);
    Ok(shown(table, "regularisation", plot))
}

/// The projection whose layers the paper draws.
const PROJECTION: &str = "q_proj";

/// Each arm at one rate that all share, the highest at which every arm was run, as the paper compares arms at one rate: its runs, in the recipe's order.
fn at_one_rate(results: &Results) -> (f64, Vec<(&str, Vec<&Run>)>) {
    let highest = results
        .runs
        .iter()
        .filter(|run| run.chosen)
        .map(|run| run.learning_rate)
        .fold(0.0, f64::max);
    let arms = summary::arms(results).into_iter().map(|arm| {
        let runs = results.runs.iter().filter(|run| run.arm == arm && run.learning_rate == highest);
        (arm, runs.collect())
    });
    (highest, arms.collect())
}

/// Singular values of one block's projection in each run.
fn spectra<'a>(runs: &[&'a Run], block: usize) -> Vec<&'a [f64]> {
    let path = format!("model.layers.{block}.self_attn.{PROJECTION}");
    let of = |run: &&'a Run| {
        run.layers.iter().find(|layer| layer.layer == path)?.singular_values.as_deref()
    };
    runs.iter().filter_map(of).collect()
}

fn blocks(arms: &[(&str, Vec<&Run>)]) -> usize {
    (0..).take_while(|block| arms.iter().any(|(_, runs)| !spectra(runs, *block).is_empty())).count()
}

/// Figure 13.
pub(super) fn effective_ranks(desk: &Desk) -> Result<Shown> {
    let results = desk.results("table-7", None)?;
    let (rate, arms) = at_one_rate(&results);
    let names: Vec<&str> = arms.iter().map(|(arm, _)| *arm).collect();
    let blocks = blocks(&arms);
    let keys: Vec<(usize, usize)> =
        (0..blocks).flat_map(|block| (0..arms.len()).map(move |arm| (block, arm))).collect();
    let mean = |block: usize, arm: usize, value: &dyn Fn(&[f64]) -> Option<f64>| {
        let values: Vec<f64> = spectra(&arms[arm].1, block).into_iter().filter_map(value).collect();
        stats::mean(&values)
    };
    let count = |values: &[f64]| Some(effective_rank(values, THRESHOLD) as f64);
    let mut table = Table::new(format!("Directions of the change of {PROJECTION}, all arms at the rate {rate:e}"))
        .named("effective-ranks")
        .legend(format!(
            "Means over seeds. rank: singular values of scale · B A above {THRESHOLD}; entropy rank: exp of the entropy of their shares of the sum, which needs no threshold. The paper names no threshold."
        ))
        .rows(&keys)
        .column("arm", |(_, arm)| label(names[*arm]))
        .column("block", |(block, _)| *block)
        .column("rank", |(block, arm)| Cell::number(mean(*block, *arm, &count), 1))
        .column("entropy rank", |(block, arm)| Cell::number(mean(*block, *arm, &entropy_rank), 2))
        .column("largest", |(block, arm)| {
            Cell::number(mean(*block, *arm, &|values| values.first().copied()), 3)
        })
        .table();
    let whole = |arm: usize| {
        let values: Vec<f64> =
            (0..blocks).filter_map(|block| mean(block, arm, &entropy_rank)).collect();
        stats::mean(&values)
    };
    for row in printed::of("figure-13", "MBPP")? {
        table.note(&format!(
            "{}, {}: {:.1} ({}).",
            row.model,
            label(&row.arm),
            row.value,
            row.note
        ));
    }
    let wide = 0.8 / arms.len().max(1) as f64;
    let bars: Vec<(usize, (f64, f64, f64))> = keys
        .iter()
        .filter_map(|(block, arm)| {
            let rank = mean(*block, *arm, &entropy_rank)?;
            let from = *block as f64 - 0.4 + wide * *arm as f64;
            Some((*arm, (from, from + 0.9 * wide, rank)))
        })
        .collect();
    let highest = bars.iter().map(|(_, bar)| bar.2).fold(1.0, f64::max);
    let panel = Panel::new(
        Axis::categories("block", (0..blocks).map(|block| block.to_string())),
        Axis::new("entropy rank", 0.0, 1.1 * highest),
    );
    let panel = bars
        .into_iter()
        .fold(panel, |panel, (arm, bar)| panel.bars([bar], look(names[arm], &names).color));
    let means: Vec<String> = (0..arms.len())
        .filter_map(|arm| Some(format!("{} {:.1}", label(names[arm]), whole(arm)?)))
        .collect();
    let plot =
        Plot::new(format!("Mean entropy rank of the change of {PROJECTION}: {}", means.join(", ")))
            .note(format!("All arms at the rate {rate:e}; means over seeds."))
            .panel(panel)
            .legend(plot::keys(&names, &names));
    Ok(shown(table, "effective_ranks", plot))
}

/// Figure 14.
pub(super) fn singular_values(desk: &Desk) -> Result<Shown> {
    let results = desk.results("table-7", None)?;
    let (rate, arms) = at_one_rate(&results);
    let names: Vec<&str> = arms.iter().map(|(arm, _)| *arm).collect();
    let blocks = blocks(&arms);
    let mean = |arm: usize, block: usize, at: usize| {
        let values: Vec<f64> = spectra(&arms[arm].1, block)
            .iter()
            .filter_map(|values| values.get(at).copied())
            .collect();
        stats::mean(&values)
    };
    let count =
        arms.iter().flat_map(|(_, runs)| spectra(runs, 0)).map(<[f64]>::len).max().unwrap_or(0);
    let keys: Vec<(usize, usize)> =
        (0..blocks).flat_map(|block| (0..count).map(move |at| (block, at))).collect();
    let table = Table::new(format!(
        "Singular values of the change of {PROJECTION}, all arms at the rate {rate:e}"
    ))
    .named("singular-values")
    .legend("Of scale · B A, means over seeds, the largest first.")
    .rows(&keys)
    .column("block", |(block, _)| block.to_string())
    .column("number", |(_, at)| at + 1);
    let table = names.iter().enumerate().fold(table, |table, (arm, name)| {
        table.column(label(name), |(block, at)| Cell::number(mean(arm, *block, *at), 4))
    });
    let all: Vec<Spectra> = names
        .iter()
        .enumerate()
        .map(|(arm, name)| Spectra {
            arm: (*name).to_owned(),
            blocks: (0..blocks)
                .map(|block| (0..count).map_while(|at| mean(arm, block, at)).collect())
                .collect(),
        })
        .collect();
    let plot = plot::spectrum(PROJECTION, &all)
        .note(format!("All arms at the rate {rate:e}; means over seeds."));
    Ok(shown(table.table(), "singular_values", plot))
}
