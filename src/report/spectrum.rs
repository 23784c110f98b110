//! The singular values of what each arm's training changed, block by block.

use super::palette::{Look, label, look};
use super::plot::{Axis, INK, Layer, Panel, Plot};
use crate::stats;

/// One arm's singular values: for each block those of one projection's change, the largest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectra {
    /// The arm.
    pub arm: String,
    /// One list for each block.
    pub blocks: Vec<Vec<f64>>,
}

/// A panel for each block, a curve for each arm.
pub fn plot(projection: &str, all: &[Spectra], note: &str) -> Plot {
    let names: Vec<&str> = all.iter().map(|one| one.arm.as_str()).collect();
    let blocks = all.iter().map(|one| one.blocks.len()).max().unwrap_or(0);
    let lists = all.iter().flat_map(|one| &one.blocks);
    let count = lists.map(Vec::len).max().unwrap_or(0);
    let panel = |block: usize| {
        let mut layers = Vec::new();
        let mut highest: f64 = 1e-6;
        for one in all {
            let Look { color, mark } = look(&one.arm, &names);
            let values = one.blocks.get(block).into_iter().flatten();
            let points: Vec<(f64, f64)> =
                values.enumerate().map(|(at, value)| (at as f64 + 1.0, *value)).collect();
            highest = points.iter().map(|point| point.1).fold(highest, f64::max);
            layers.push(Layer::Line {
                points: points.clone(),
                color,
                width: 1.5,
                opacity: 0.8,
                dashed: false,
            });
            layers.push(Layer::Marks { points, color, mark, size: 4.0, filled: true });
        }
        Panel {
            heading: Some((format!("block {block}"), INK)),
            x: Axis { label: "number".to_owned(), from: 0.5, to: count as f64 + 0.5, log: false },
            y: Axis {
                label: "singular value".to_owned(),
                from: 0.0,
                to: 1.05 * highest,
                log: false,
            },
            layers,
        }
    };
    let first = |one: &Spectra| {
        let largest = one.blocks.iter().filter_map(|values| values.first().copied());
        stats::mean(&largest.collect::<Vec<f64>>())
    };
    let firsts: Vec<String> = all
        .iter()
        .filter_map(|one| Some(format!("{} {:.2}", label(&one.arm), first(one)?)))
        .collect();
    Plot {
        title: format!(
            "Largest singular value of the change of {projection}, mean over blocks: {}",
            firsts.join(", ")
        ),
        note: note.to_owned(),
        panels: (0..blocks.max(1)).map(panel).collect(),
        legend: names.iter().map(|name| look(name, &names).key(label(name))).collect(),
        size: (960, 200 * blocks.max(1) as u32 + 80),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_has_each_arms_largest_value() {
        let one = |arm: &str, size: f64| Spectra {
            arm: arm.to_owned(),
            blocks: vec![vec![3.0 * size, size], vec![size]],
        };
        let plot = plot("q_proj", &[one("ground_truth", 1.0), one("stm(2.5)", 0.5)], "");
        assert!(plot.title.ends_with("ground truth 2.00, STM 2.5 1.00"), "{}", plot.title);
        assert_eq!((plot.panels.len(), plot.legend.len()), (2, 2));
        assert!(plot.svg().unwrap().starts_with("<svg"));
    }
}
