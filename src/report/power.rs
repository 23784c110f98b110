//! What a number of questions can show at all, as a figure.

use super::figure::Figure;
use crate::error::{Error, Result};
use crate::plot::palette::{BLUE, INK};
use crate::plot::{Axis, Panel, Plot};
use crate::stats::Design;
use crate::stats::power::{needed_items, smallest_difference};
use crate::table::Table;

/// The smallest difference that McNemar's test finds, against the number of items, where two models disagree on the share `discordant` of them;
/// with the margin of `design` and the `items` there are.
///
/// # Errors
/// `discordant` is no share above 0.
pub fn figure(discordant: f64, items: usize, design: &Design) -> Result<Figure> {
    if !(discordant > 0.0 && discordant <= 1.0) {
        let problem = format!(
            "must be a share above 0, got {discordant}: models that never disagree do not differ"
        );
        return Err(Error::invalid("discordant", problem));
    }
    let alpha = 1.0 - design.level;
    let margin = design.margin;
    let found =
        |items: usize| Some(100.0 * smallest_difference(discordant, items, alpha, design.power)?);
    let needed = needed_items(discordant, margin / 100.0, alpha, design.power);
    let most = needed.unwrap_or(items).max(items).max(100) as f64 * 1.6;
    // equal steps of the logarithm
    let from = 20.0_f64;
    let count = |at: u32| (from * (most / from).powf(f64::from(at) / 60.0)).round() as usize;
    let points: Vec<(f64, f64)> =
        (0..=60).map(count).filter_map(|items| Some((items as f64, found(items)?))).collect();
    let highest = points.iter().map(|point| point.1).fold(2.0 * margin, f64::max);
    let say = |items: usize| match found(items) {
        Some(points) => format!("{points:.1} points"),
        None => format!("nothing where models disagree on {:.0} %", 100.0 * discordant),
    };
    let title = match needed {
        Some(needed) => {
            format!("{items} questions find {}; to see {margin} points takes {needed}", say(items))
        }
        None => format!(
            "{items} questions find {}; two models that disagree so seldom cannot differ by {margin}",
            say(items)
        ),
    };
    let mut panel = Panel::new(
        Axis::log("questions", from, most),
        Axis::new("smallest difference, points", 0.0, 1.05 * highest),
    )
    .level(margin, format!("{margin} points"), INK)
    .upright(items as f64, format!("{items} questions"), INK)
    .line(points.clone(), BLUE.stroke(2.0));
    if let Some(needed) = needed.filter(|needed| *needed != items) {
        panel = panel.upright(needed as f64, needed.to_string(), INK);
    }
    let plot = Plot::new(title)
        .note(format!(
            "The smallest difference between two models that McNemar's test finds with a probability of {:.0} %, if they disagree on {:.0} % of the questions (Connor 1987).",
            100.0 * design.power,
            100.0 * discordant
        ))
        .panel(panel)
        .size(720, 360);
    let table =
        Table::default().rows(&points).file("items", |at| at.0).file("points", |at| at.1).table();
    Ok(Figure { name: "power", plot, table })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_says_what_the_items_find_and_what_the_margin_takes() {
        let figure = figure(0.1, 500, &Design::default()).unwrap();
        assert!(
            figure.plot.title.contains("500 questions find 4.0 points; to see 2 points takes 1960"),
            "{}",
            figure.plot.title
        );
        // more items never find less
        let points = figure.table.cells("points").unwrap().iter();
        let points: Vec<f64> = points.map(|cell| cell.value().unwrap().value).collect();
        assert!(points.windows(2).all(|pair| pair[1] <= pair[0]));
    }

    #[test]
    fn models_that_hardly_disagree_cannot_differ_much() {
        let figure = figure(0.01, 500, &Design::default()).unwrap();
        assert!(figure.plot.title.contains("cannot differ by 2"), "{}", figure.plot.title);
        assert!(super::figure(0.0, 500, &Design::default()).is_err());
    }
}
