//! The experiment as figures. Each title is a sentence made from the numbers, so it is true of them; each figure is drawn from the
//! table that is saved beside it.

use super::front::{self, ArmFront};
use super::summary::{self, ArmSummary, arms};
use super::tables::{self, FrontPoint, front_point};
use crate::error::Result;
use crate::experiment::results::{Results, Run, ThresholdPoint, TokenExample, TokenView};
use crate::metric::PAPER_THRESHOLD;
use crate::plot::palette::{BASE, GRAY, INK, OCHER, VIOLET, label, look};
use crate::plot::{
    self, Axis, Color, Key, Mark, Measured, Panel, Plot, SCORES, ShareCurve, Spikes, line_keys,
};
use crate::stats::{self, Spread};
use crate::table::{Cell, Table, plus};

/// A figure with the numbers it shows.
#[derive(Debug, Clone)]
pub struct Figure {
    /// File name without ending.
    pub name: &'static str,
    /// The picture.
    pub plot: Plot,
    /// What is drawn, one row for each mark or bar.
    pub table: Table,
}

/// Target against non-target score: one mark for each arm and rate, the mean over seeds; `None` without tested runs.
pub fn front(results: &Results) -> Result<Option<Figure>> {
    front_of(results, &summary::rows(results)?, &super::front::rows(results)?)
}

pub(super) fn front_of(
    results: &Results,
    summaries: &[ArmSummary],
    fronts: &[ArmFront],
) -> Result<Option<Figure>> {
    let all = arms(results);
    let mut points = Vec::new();
    for arm in &all {
        let mut rates: Vec<f64> = Vec::new();
        for run in summary::tested(results).filter(|run| run.arm == *arm) {
            if !rates.contains(&run.learning_rate) {
                rates.push(run.learning_rate);
            }
        }
        rates.sort_by(f64::total_cmp);
        for learning_rate in rates {
            points.extend(FrontMark::of(results, arm, learning_rate));
        }
    }
    let base = summaries
        .first()
        .and_then(|base| Some((100.0 * base.target.value, 100.0 * base.non_target?.value)));
    let Some(base) = base.filter(|_| !points.is_empty()) else {
        return Ok(None);
    };
    let ends = |of: fn(&FrontMark) -> Spread| {
        points.iter().map(of).flat_map(|spread| [spread.min, spread.max])
    };
    let xs = ends(|point| point.target).chain([base.0]);
    let ys = ends(|point| point.non_target).chain([base.1]);
    let x = Axis::around(format!("target score ({}), percent", results.target), xs, SCORES);
    let y = Axis::around("mean non-target score, percent", ys, SCORES);
    let mut panel = Panel::new(x.within(0.0, 100.0), y.within(0.0, 100.0))
        .upright(base.0, BASE, GRAY)
        .level(base.1, BASE, GRAY);
    let mut legend = vec![Key::line(BASE, GRAY.stroke(1.5).dashed())];
    for arm in &all {
        let own: Vec<&FrontMark> = points.iter().filter(|point| point.arm == *arm).collect();
        if own.is_empty() {
            continue;
        }
        let look = look(arm, &all);
        panel = panel.line(own.iter().map(|point| point.center), look.stroke(1.5).opacity(0.7));
        for point in &own {
            let (x, y) = (point.target, point.non_target);
            panel = panel.spread(point.center, (x.min, x.max), (y.min, y.max), look.color);
        }
        let mut name = label(arm);
        for point in &own {
            panel = match point.chosen {
                true => panel.marks([point.center], look, 7.0),
                false => panel.open_marks([point.center], look, 4.5),
            };
            if point.chosen {
                name = format!("{name}, {:e}", point.learning_rate);
            }
        }
        legend.push(look.line_key(name));
    }
    let plot = Plot::new(front::title(fronts).unwrap_or_else(|| front_title(results, &points, base)))
        .note(
            "Mark: mean over seeds at one learning rate; bars: lowest and highest seed. Large and filled: the rate that validation chose, named in the legend. Right is \
             better at the target, up is less forgetting.",
        )
        .panel(panel)
        .legend(legend)
        .size(960, 600);
    // base is the last row
    let marks: Vec<Option<&FrontMark>> = points.iter().map(Some).chain([None]).collect();
    let table = Table::default()
        .rows(&marks)
        .file("arm", |mark| mark.map_or(BASE, |mark| &mark.arm))
        .file("learning_rate", |mark| mark.map(|mark| mark.learning_rate))
        .file("seeds", |mark| mark.map_or(0, |mark| mark.seeds))
        .file("chosen", |mark| mark.map_or("", |mark| if mark.chosen { "yes" } else { "no" }))
        .file("target_percent", |mark| mark.map_or(base.0, |mark| mark.center.0))
        .file("target_percent_min", |mark| mark.map(|mark| mark.target.min))
        .file("target_percent_max", |mark| mark.map(|mark| mark.target.max))
        .file("non_target_percent", |mark| mark.map_or(base.1, |mark| mark.center.1))
        .file("non_target_percent_min", |mark| mark.map(|mark| mark.non_target.min))
        .file("non_target_percent_max", |mark| mark.map(|mark| mark.non_target.max))
        .table();
    Ok(Some(Figure { name: "front", plot, table }))
}

/// One mark of the front, in percent.
struct FrontMark {
    arm: String,
    learning_rate: f64,
    seeds: usize,
    chosen: bool,
    center: (f64, f64),
    target: Spread,
    non_target: Spread,
}

impl FrontMark {
    fn of(results: &Results, arm: &str, learning_rate: f64) -> Option<Self> {
        let runs: Vec<&Run> = summary::tested(results)
            .filter(|run| run.arm == arm && run.learning_rate == learning_rate)
            .collect();
        let values = |value: fn(&FrontPoint) -> Option<f64>| -> Option<Vec<f64>> {
            runs.iter().map(|run| Some(100.0 * value(&front_point(results, run))?)).collect()
        };
        let (target, non_target) =
            (values(|point| point.target)?, values(|point| point.non_target)?);
        Some(Self {
            arm: arm.to_owned(),
            learning_rate,
            seeds: runs.len(),
            chosen: runs.iter().any(|run| run.chosen),
            center: (stats::mean(&target)?, stats::mean(&non_target)?),
            target: Spread::of(&target)?,
            non_target: Spread::of(&non_target)?,
        })
    }
}

/// Of one rate for each arm: the marks with the lowest and the highest score on the other tasks.
fn front_title(results: &Results, marks: &[FrontMark], base: (f64, f64)) -> String {
    let mut marks: Vec<&FrontMark> = marks.iter().collect();
    marks.sort_by(|one, other| one.center.1.total_cmp(&other.center.1));
    match marks.as_slice() {
        [lowest, .., highest] if highest.center.1 - lowest.center.1 >= 0.05 => format!(
            "On the other tasks {} changes by {} points and {} by {}; on {} by {} and {}",
            label(&lowest.arm),
            plus(lowest.center.1 - base.1),
            label(&highest.arm),
            plus(highest.center.1 - base.1),
            results.target,
            plus(lowest.center.0 - base.0),
            plus(highest.center.0 - base.0)
        ),
        _ => format!(
            "Score on {} against the mean of the other tasks, by arm and rate",
            results.target
        ),
    }
}

/// One training item token by token, as each arm's data has it; `None` without examples.
pub fn spikes(results: &Results) -> Result<Option<Figure>> {
    spike_examples(results).map(|shown| spikes_of(&shown, &arms(results))).transpose()
}

/// Answers to one question token by token, one above the other; `all` are the arms that they are among.
pub fn spikes_of(shown: &[&TokenExample], all: &[&str]) -> Result<Figure> {
    let item = shown.first().map_or("", |example| example.item.as_str());
    let panel = |example: &&TokenExample| {
        let nats: Vec<f64> = surprisals(example).collect();
        let count = format!("{} of {} tokens", above(example), nats.len());
        Spikes {
            heading: format!("{}: {count} above {PAPER_THRESHOLD}", label(&example.arm)),
            color: look(&example.arm, all).color,
            nats,
        }
    };
    let shares = shown.iter().map(|example| {
        let share = above(example) as f64 / surprisals(example).count().max(1) as f64;
        format!("{} % for {}", Cell::percent(share).shown(), label(&example.arm))
    });
    let title = format!(
        "Tokens above perplexity {PAPER_THRESHOLD} in one answer: {}",
        shares.collect::<Vec<_>>().join(", ")
    );
    let note = format!(
        "Training item {item}. Surprisal under base, given the prompt; perplexity is its exponential. Arms with the same text are shown once."
    );
    let panels: Vec<Spikes> = shown.iter().map(panel).collect();
    let plot = plot::spikes(title, &panels).note(note);
    let tokens: Vec<(&TokenExample, usize, &TokenView)> = shown
        .iter()
        .flat_map(|example| {
            example
                .tokens
                .iter()
                .filter(|token| token.completion)
                .enumerate()
                .map(move |(index, token)| (*example, index, token))
        })
        .collect();
    let table = Table::default()
        .rows(&tokens)
        .file("arm", |(example, ..)| &example.arm)
        .file("item", |(example, ..)| &example.item)
        .file("position", |(_, index, _)| *index)
        .file("token", |(.., token)| &token.text)
        .file("perplexity", |(.., token)| token.perplexity)
        .file("surprisal", |(.., token)| token.perplexity.map(f64::ln))
        .table();
    Ok(Figure { name: "spikes", plot, table })
}

/// The examples of the item that most different texts were made for, each text once.
fn spike_examples(results: &Results) -> Option<Vec<&TokenExample>> {
    let mut best: Vec<&TokenExample> = Vec::new();
    for item in results.examples.iter().map(|example| &example.item) {
        let mut different: Vec<&TokenExample> = Vec::new();
        for example in results.examples.iter().filter(|example| example.item == *item) {
            let same = |other: &&TokenExample| completion(other).eq(completion(example));
            if surprisals(example).next().is_some() && !different.iter().any(same) {
                different.push(example);
            }
        }
        if different.len() > best.len() {
            best = different;
        }
    }
    (!best.is_empty()).then_some(best)
}

fn completion(example: &TokenExample) -> impl Iterator<Item = &str> {
    example.tokens.iter().filter(|token| token.completion).map(|token| token.text.as_str())
}

/// Surprisal in nats of each completion token, 0 where it has none.
fn surprisals(example: &TokenExample) -> impl Iterator<Item = f64> {
    let tokens = example.tokens.iter().filter(|token| token.completion);
    tokens.map(|token| token.perplexity.map_or(0.0, |perplexity| perplexity.max(1.0).ln()))
}

fn above(example: &TokenExample) -> usize {
    let tokens = example.tokens.iter().filter(|token| token.completion);
    tokens
        .filter(|token| token.perplexity.is_some_and(|perplexity| perplexity > PAPER_THRESHOLD))
        .count()
}

/// What each threshold masks in the ground truth; `None` with fewer than two thresholds.
pub fn thresholds(results: &Results) -> Result<Option<Figure>> {
    threshold_curves(&results.thresholds, &[])
}

/// What each threshold masks, beside the precision and recall of `random` masks that leave out as many tokens; `None` with fewer than two
/// thresholds.
pub fn threshold_curves(
    all: &[ThresholdPoint],
    random: &[ThresholdPoint],
) -> Result<Option<Figure>> {
    let sorted = |points: &mut Vec<&ThresholdPoint>| {
        points.sort_by(|one, other| one.threshold.total_cmp(&other.threshold));
    };
    let mut points: Vec<&ThresholdPoint> =
        all.iter().filter(|point| point.threshold > 0.0 && point.threshold.is_finite()).collect();
    let mut by_chance: Vec<&ThresholdPoint> = random.iter().collect();
    sorted(&mut points);
    sorted(&mut by_chance);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(None);
    };
    if first.threshold == last.threshold {
        return Ok(None);
    }
    type Value = fn(&ThresholdPoint) -> Option<f64>;
    let shares = |label: &str, of: &[&ThresholdPoint], value: Value, stroke, mark| {
        let share = |point: &&ThresholdPoint| Some((point.threshold, 100.0 * value(point)?));
        ShareCurve {
            label: label.into(),
            stroke,
            mark,
            points: of.iter().filter_map(share).collect(),
        }
    };
    let (precision, recall): (Value, Value) = (|point| point.precision, |point| point.recall);
    let line = |color: Color| color.stroke(2.0);
    let chance = |color: Color| color.stroke(1.5).opacity(0.8).dashed();
    let masked = "completion tokens masked";
    let style = "precision: masked tokens that are style";
    let found = "recall: style tokens that are masked";
    let curves = [
        shares(masked, &points, |at| Some(at.masked), line(INK), Some(Mark::Circle)),
        shares(
            "surprisal they carry",
            &points,
            |at| Some(at.surprisal_masked),
            line(INK).dashed(),
            Some(Mark::Square),
        ),
        shares(style, &points, precision, line(OCHER), Some(Mark::Up)),
        shares(found, &points, recall, line(VIOLET), Some(Mark::Down)),
        shares("precision by chance", &by_chance, precision, chance(OCHER), None),
        shares("recall by chance", &by_chance, recall, chance(VIOLET), None),
    ];
    let at = points.iter().min_by(|one, other| {
        let off = |threshold: f64| (threshold.ln() - PAPER_THRESHOLD.ln()).abs();
        off(one.threshold).total_cmp(&off(other.threshold))
    });
    let at = at.unwrap_or(first);
    let style = at.precision.map_or(String::new(), |precision| {
        format!("; {} % of them are the writer's style", Cell::percent(precision).shown())
    });
    let title = format!(
        "Masking above {} leaves out {} % of the ground truth's tokens and {} % of its surprisal{style}",
        at.threshold,
        Cell::percent(at.masked).shown(),
        Cell::percent(at.surprisal_masked).shown()
    );
    let note = "Share against the threshold of the token perplexity under base; a token above it is not learned.";
    let plot = plot::thresholds(title, (first.threshold, last.threshold), &curves).note(note);
    Ok(Some(Figure { name: "thresholds", plot, table: tables::thresholds(all) }))
}

/// Training loss of each arm at its chosen rate; `None` without losses.
pub fn losses(results: &Results) -> Result<Option<Figure>> {
    let all = arms(results);
    let mut curves: Vec<(&str, Vec<Measured>)> = Vec::new();
    let mut ends: Vec<(String, f64)> = Vec::new();
    let mut diverged: Vec<String> = Vec::new();
    for arm in &all {
        let runs: Vec<&Run> =
            results.runs.iter().filter(|run| run.arm == *arm && run.chosen).collect();
        let curve = loss_curve(&runs);
        if curve.is_empty() {
            continue;
        }
        match last_tenth(&runs) {
            Some(last) => ends.push((label(arm), last)),
            None => diverged.push(label(arm)),
        }
        curves.push((arm, curve));
    }
    if curves.is_empty() {
        return Ok(None);
    }
    ends.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut title = match ends.as_slice() {
        [(least, low), .., (most, high)] => format!(
            "Over the last tenth of the steps the loss is lowest for {least} ({low:.2}) and highest for {most} ({high:.2})"
        ),
        _ => "Training loss".to_owned(),
    };
    if !diverged.is_empty() {
        title = format!("{title}; no finite loss at the end for {}", diverged.join(", "));
    }
    let points = || curves.iter().flat_map(|(_, curve)| curve);
    let top = points().map(|point| point.high).fold(0.0, f64::max);
    let steps = points().map(|point| point.x).fold(1.0, f64::max);
    let panel = curves.iter().fold(plot::loss_panel(steps, top), |panel, (arm, curve)| {
        let look = look(arm, &all);
        // A few marks tell the curves apart without color.
        let some = curve.iter().skip(curve.len() / 12).step_by((curve.len() / 5).max(1));
        panel.seeds(curve, look.color).marks(some.map(Measured::at), look, 4.5)
    });
    let plot = Plot::new(title)
        .note(
            "Mean over the tokens that are learned, so masking hard tokens lowers it by itself. Line: mean over seeds at the chosen rate; thin: lowest and \
             highest seed; steps are averaged in groups.",
        )
        .panel(panel)
        .legend(line_keys(&curves.iter().map(|(arm, _)| *arm).collect::<Vec<_>>(), &all))
        .size(960, 520);
    let rows: Vec<(&str, &Measured)> =
        curves.iter().flat_map(|(arm, curve)| curve.iter().map(|point| (*arm, point))).collect();
    let table = Table::default()
        .rows(&rows)
        .file("arm", |row| row.0)
        .file("step", |row| row.1.x)
        .file("loss", |row| row.1.y)
        .file("loss_min", |row| row.1.low)
        .file("loss_max", |row| row.1.high)
        .table();
    Ok(Some(Figure { name: "losses", plot, table }))
}

/// Middle step, mean over seeds, and spread over seeds, of at most 60 groups of neighboring steps; losses that are not finite are left out.
fn loss_curve(runs: &[&Run]) -> Vec<Measured> {
    let steps = runs.iter().map(|run| run.losses.len()).min().unwrap_or(0);
    let group = steps.div_ceil(60).max(1);
    let mut curve = Vec::new();
    for start in (0..steps).step_by(group) {
        let end = (start + group).min(steps);
        let seeds: Vec<f64> = runs
            .iter()
            .filter_map(|run| {
                let finite: Vec<f64> = run.losses[start..end]
                    .iter()
                    .copied()
                    .filter(|loss| loss.is_finite())
                    .collect();
                stats::mean(&finite)
            })
            .collect();
        curve.extend(Measured::over_seeds((start + 1 + end) as f64 / 2.0, &seeds));
    }
    curve
}

/// Mean loss over the last tenth of the steps of all seeds.
fn last_tenth(runs: &[&Run]) -> Option<f64> {
    let last =
        runs.iter().flat_map(|run| &run.losses[run.losses.len() - run.losses.len().div_ceil(10)..]);
    let finite: Vec<f64> = last.copied().filter(|loss| loss.is_finite()).collect();
    stats::mean(&finite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// A heading says what its figure draws: its numbers are those of the table beside it.
    #[test]
    fn headings_are_read_from_what_is_drawn() {
        let mut results = sample::results();
        let drawn = front(&results).unwrap().unwrap();
        let fronts = front::rows(&results).unwrap();
        assert_eq!(drawn.plot.title, front::title(&fronts).unwrap());
        // one rate: the lowest and the highest mark
        results.runs.retain(|run| run.learning_rate == 1e-3);
        let drawn = front(&results).unwrap().unwrap();
        let column = |name: &str| -> Vec<f64> {
            let cells = drawn.table.cells(name).unwrap();
            cells.iter().filter_map(|cell| cell.value()).map(|of| of.value).collect()
        };
        let (others, target) = (column("non_target_percent"), column("target_percent"));
        let ((marks, base), (_, target_base)) = (
            (&others[..others.len() - 1], others[others.len() - 1]),
            (&target, target[target.len() - 1]),
        );
        let lowest = (0..marks.len()).min_by(|a, b| marks[*a].total_cmp(&marks[*b])).unwrap();
        for part in [plus(marks[lowest] - base), plus(target[lowest] - target_base)] {
            assert!(drawn.plot.title.contains(&part), "{}: {part}", drawn.plot.title);
        }
        for run in &mut results.runs {
            run.test.clone_from(&results.base);
        }
        let drawn = front(&results).unwrap().unwrap();
        assert!(drawn.plot.title.starts_with("Score on code against"), "{}", drawn.plot.title);
        // noise does not fill the axes
        let panel = &drawn.plot.panels[0];
        assert!([&panel.x, &panel.y].iter().all(|axis| axis.to - axis.from > 0.99 * SCORES));
    }

    #[test]
    fn an_item_is_shown_once_for_each_different_text() {
        let results = sample::results();
        let shown: Vec<&str> =
            spike_examples(&results).unwrap().iter().map(|example| example.arm.as_str()).collect();
        assert_eq!(shown, ["ground_truth", "self_output"]);
    }

    #[test]
    fn a_diverged_run_does_not_break_the_figure() {
        let mut results = sample::results();
        for run in &mut results.runs {
            run.losses.iter_mut().skip(40).for_each(|loss| *loss = f64::NAN);
        }
        let figure = losses(&results).unwrap().unwrap();
        assert!(figure.plot.title.contains("no finite loss at the end for ground truth"));
        assert!(!figure.plot.svg().unwrap().contains("NaN"));
    }

    #[test]
    fn the_table_beside_a_figure_has_a_row_for_each_mark() {
        let results = sample::results();
        let figure = front(&results).unwrap().unwrap();
        assert_eq!(figure.table.height(), 7 * 3 + 1);
    }
}
