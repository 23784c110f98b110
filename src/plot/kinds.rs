//! The kinds of figures that report, paper and notebooks share.

use super::palette::{GRAY, INK, label, look};
use super::{Axis, Color, Key, Look, Mark, Panel, Plot, Stroke, keys};
use crate::metric::PAPER_THRESHOLD;
use crate::stats;

/// One answer's surprise, token by token.
#[derive(Debug, Clone, PartialEq)]
pub struct Spikes {
    /// Whose answer it is, and what is to be said of it.
    pub heading: String,
    /// Of its bars.
    pub color: Color,
    /// Surprisal of each token, in nats.
    pub nats: Vec<f64>,
}

/// Answers one above the other, a bar for each token, and a line at the paper's threshold.
pub fn spikes(title: impl Into<String>, answers: &[Spikes]) -> Plot {
    let level = PAPER_THRESHOLD.ln();
    let all = || answers.iter().map(|answer| &answer.nats);
    let highest = all().flatten().copied().fold(1.5 * level, f64::max);
    let longest = all().map(Vec::len).max().unwrap_or(1);
    let panel = |answer: &Spikes| {
        let bars = answer.nats.iter().enumerate();
        let bars = bars.map(|(at, nats)| (at as f64 + 0.1, at as f64 + 0.9, *nats));
        // Room for the threshold's name beside the bars.
        let x = Axis::new("token of the answer", 0.0, 1.14 * longest as f64);
        Panel::new(x, Axis::new("surprisal, nats", 0.0, 1.05 * highest))
            .heading(&answer.heading, answer.color)
            .bars(bars, answer.color)
            .level(level, format!("perplexity {PAPER_THRESHOLD}"), INK)
    };
    Plot::new(title).panels(answers.iter().map(panel)).size(960, 120 + 190 * answers.len() as u32)
}

/// A share at each threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareCurve {
    /// What has the share.
    pub label: String,
    /// Its line.
    pub stroke: Stroke,
    /// At each threshold, where there is one.
    pub mark: Option<Mark>,
    /// Threshold and percent.
    pub points: Vec<(f64, f64)>,
}

/// What thresholds of the token perplexity do, from the first to the last of them: a curve for each share that has points, and a line at the paper's
/// threshold.
pub fn thresholds(
    title: impl Into<String>,
    (first, last): (f64, f64),
    shares: &[ShareCurve],
) -> Plot {
    let x = Axis::log("threshold of the token perplexity", first, last);
    let mut panel = Panel::new(x, Axis::new("share, percent", 0.0, 100.0)).upright(
        PAPER_THRESHOLD,
        format!("the paper's {PAPER_THRESHOLD}"),
        GRAY,
    );
    let mut legend = Vec::new();
    for ShareCurve { label, stroke, mark, points } in
        shares.iter().filter(|all| !all.points.is_empty())
    {
        let look = mark.map(|mark| Look::new(stroke.color, mark));
        panel = panel.line(points.clone(), *stroke);
        if let Some(look) = look {
            panel = panel.marks(points.clone(), look, 4.5);
        }
        legend.push(Key { mark: look, ..Key::line(label, *stroke) });
    }
    Plot::new(title).panel(panel).legend(legend)
}

/// Axes of a training's loss over its `steps`, up to the `highest` loss.
pub fn loss_panel(steps: f64, highest: f64) -> Panel {
    let axis = |label: &str, to: f64| Axis::new(label, 0.0, to.max(1e-3));
    Panel::new(axis("optimiser step", steps), axis("loss, nats per learned token", 1.05 * highest))
}

/// One arm's singular values: for each block those of one projection's change, the largest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectra {
    /// The arm.
    pub arm: String,
    /// One list for each block.
    pub blocks: Vec<Vec<f64>>,
}

/// What training changed of one projection: a panel for each block, the singular values of each arm as a curve.
pub fn spectrum(projection: &str, all: &[Spectra]) -> Plot {
    let names: Vec<&str> = all.iter().map(|one| one.arm.as_str()).collect();
    let blocks = all.iter().map(|one| one.blocks.len()).max().unwrap_or(0).max(1);
    let count = all.iter().flat_map(|one| &one.blocks).map(Vec::len).max().unwrap_or(0);
    let panel = |block: usize| {
        let of_arm = |one: &'_ Spectra| one.blocks.get(block).cloned().unwrap_or_default();
        let highest = all.iter().flat_map(of_arm).fold(1e-6, f64::max);
        let panel = Panel::new(
            Axis::new("number", 0.5, count as f64 + 0.5),
            Axis::new("singular value", 0.0, 1.05 * highest),
        );
        all.iter().fold(panel.heading(format!("block {block}"), INK), |panel, one| {
            let look = look(&one.arm, &names);
            let values = of_arm(one).into_iter().enumerate();
            let points: Vec<(f64, f64)> =
                values.map(|(at, value)| (at as f64 + 1.0, value)).collect();
            panel.line(points.clone(), look.stroke(1.5).opacity(0.8)).marks(points, look, 4.0)
        })
    };
    let firsts = all.iter().filter_map(|one| {
        let largest = one.blocks.iter().filter_map(|values| values.first().copied());
        let mean = stats::mean(&largest.collect::<Vec<f64>>())?;
        Some(format!("{} {mean:.2}", label(&one.arm)))
    });
    Plot::new(format!(
        "Largest singular value of the change of {projection}, mean over blocks: {}",
        firsts.collect::<Vec<_>>().join(", ")
    ))
    .panels((0..blocks).map(panel))
    .legend(keys(&names, &names))
    .size(960, 200 * blocks as u32 + 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_without_points_is_neither_drawn_nor_named() {
        let curve = |label: &str, mark, points: &[(f64, f64)]| ShareCurve {
            label: label.to_owned(),
            stroke: INK.stroke(2.0),
            mark,
            points: points.to_vec(),
        };
        let all = [
            curve("masked", Some(Mark::Up), &[(1.5, 30.0), (10.0, 9.0)]),
            curve("style", None, &[]),
        ];
        let plot = thresholds("", (1.5, 10.0), &all);
        assert_eq!(plot.legend, [Look::new(INK, Mark::Up).line_key("masked")]);
        // the paper's threshold, the line and its marks
        assert_eq!(plot.panels[0].layers.len(), 3);
    }

    #[test]
    fn the_title_has_each_arms_largest_value() {
        let one = |arm: &str, size: f64| Spectra {
            arm: arm.to_owned(),
            blocks: vec![vec![3.0 * size, size], vec![size]],
        };
        let plot = spectrum("q_proj", &[one("ground_truth", 1.0), one("stm(2.5)", 0.5)]);
        assert!(plot.title.ends_with("ground truth 2.00, STM 2.5 1.00"), "{}", plot.title);
        assert_eq!((plot.panels.len(), plot.legend.len()), (2, 2));
        assert!(plot.svg().unwrap().starts_with("<svg"));
    }
}
