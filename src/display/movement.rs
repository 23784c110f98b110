//! How far trainings moved the weights, and what parts of the movement do.

use super::{Media, Show};
use crate::analysis::{Front, Movement, Place, by_block};
use crate::error::{Error, Result};
use crate::plot::palette::{BASE, GRAY, look};
use crate::plot::{self, Axis, Measured, Panel, Plot, SCORES, Spectra};
use crate::report::figure::Figure;
use crate::select::canonical;
use crate::stats::Estimate;
use crate::table::{Cell, Table};
use crate::weight_change::THRESHOLD;

/// The arm that a name for people means: `STM 2.5` is `stm(2.5)`, and has its color.
fn arm(name: &str) -> String {
    canonical(&name.to_lowercase().replace([' ', '-'], "_"))
}

/// One row for each model: the paper's Table 7, with ranks of which the threshold is said.
pub fn movements_table(all: &[Movement]) -> Table {
    let largest = |one: &Movement| {
        let spectra = one.layers.iter().filter_map(|layer| layer.singular_values.as_ref());
        spectra.filter_map(|values| values.first().copied()).reduce(f64::max)
    };
    Table::new("How far the weights moved, and in how many directions")
        .legend(format!(
            "‖Δ‖: Frobenius norm of the change of all adapted layers together; relative: to the weights' own norm. largest: singular value of any layer. Ranks are means over layers: singular \
             values above {THRESHOLD}, above a tenth of the layer's largest, and exp(entropy) of their shares of the sum."
        ))
        .rows(all)
        .column("model", |one| &one.name)
        .column("‖Δ‖", |one| Cell::number(one.norm(), 2))
        .column("relative %", |one| Cell::percent(one.relative))
        .column("largest", |one| Cell::number(largest(one), 2))
        .column(format!("rank > {THRESHOLD}"), |one| Cell::number(one.effective_rank(), 1))
        .column("rank > max/10", |one| Cell::number(one.relative_rank(), 1))
        .column("entropy rank", |one| Cell::number(one.entropy_rank(), 1))
        .table()
}

/// One row for each block, one column for each model.
pub fn blocks_table(all: &[Movement]) -> Table {
    let blocks = by_block(all);
    let table = Table::new("Where the weights moved: norm of the change of each block")
        .legend("Block 0 reads the embeddings. The squares of a column add up to the square of the whole.")
        .column("block", (0..blocks.len()).map(|block| block.to_string()));
    all.iter().enumerate().fold(table, |table, (at, one)| {
        table.column(&one.name, blocks.iter().map(|norms| Cell::number(norms[at], 2)))
    })
}

/// Singular values of the change of one projection, such as `q_proj`, block by block: the paper's Figure 14.
///
/// # Errors
/// No model has such a projection.
pub fn spectrum_figure(all: &[Movement], projection: &str) -> Result<Figure> {
    let spectra: Vec<Spectra> = all
        .iter()
        .map(|one| Spectra { arm: arm(&one.name), blocks: one.spectra(projection) })
        .collect();
    if spectra.iter().all(|one| one.blocks.is_empty()) {
        let problem = format!("no layer's path ends in `{projection}`");
        return Err(Error::invalid("projection", problem));
    }
    let rows: Vec<(&str, usize, usize, f64)> = spectra
        .iter()
        .flat_map(|one| {
            let blocks = one.blocks.iter().enumerate();
            blocks.flat_map(move |(block, values)| {
                let values = values.iter().enumerate();
                values.map(move |(at, value)| (&*one.arm, block, at, *value))
            })
        })
        .collect();
    Ok(Figure {
        name: "spectrum",
        plot: plot::spectrum(projection, &spectra).note("Of scale · B A, the largest first."),
        table: Table::default()
            .rows(&rows)
            .file("arm", |row| row.0)
            .file("block", |row| row.1 as f64)
            .file("number", |row| row.2 as f64 + 1.0)
            .file("value", |row| row.3)
            .table(),
    })
}

impl Show for Vec<Movement> {
    fn media(&self) -> Media {
        movements_table(self).media()
    }
}

impl Front {
    /// One row for each part of the change.
    pub fn table(&self) -> Table {
        let title = format!("{}, a part of its change put on", self.name);
        Table::new(title)
            .legend("scale: how much of the change is put on; 0 is base, 1 the tuned model. ‖Δ‖: norm of what is put on. Points of change against base ± one standard error over the items, paired.")
            .rows(&self.places)
            .column("scale", |place| format!("{:.2}", place.scale))
            .column("‖Δ‖", |place| Cell::number(place.norm, 2))
            .column("target points", |place| Cell::change(place.change.target.difference))
            .column("others points", |place| {
                Cell::change(place.change.non_target.as_ref().map(|others| others.difference))
            })
            .table()
    }
}

impl Show for Front {
    fn media(&self) -> Media {
        self.table().media()
    }
}

/// Each model's change on the other tasks and on the target, against the norm of the part that is put on.
///
/// # Errors
/// There is no front.
pub fn fronts_figure(fronts: &[Front]) -> Result<Figure> {
    if fronts.iter().all(|front| front.places.is_empty()) {
        return Err(Error::invalid("fronts", "there is none to draw"));
    }
    let arms: Vec<String> = fronts.iter().map(|front| arm(&front.name)).collect();
    let names: Vec<&str> = arms.iter().map(String::as_str).collect();
    let all =
        || fronts.iter().flat_map(|front| front.places.iter().map(move |place| (front, place)));
    let longest = all().map(|(_, place)| place.norm).fold(0.0, f64::max);
    let target = |place: &Place| Some(place.change.target.difference);
    let others = |place: &Place| place.change.non_target.as_ref().map(|change| change.difference);
    let panel = |name: &str, value: &dyn Fn(&Place) -> Option<Estimate>| {
        let found = |front: &Front| -> Vec<Measured> {
            let places = front.places.iter();
            places.filter_map(|at| Some(Measured::estimate(at.norm, value(at)?))).collect()
        };
        let ends = fronts.iter().flat_map(found).flat_map(|at| at.ends()).chain([0.0]);
        let panel = Panel::new(
            Axis::new("norm of the change that is put on", 0.0, 1.05 * longest.max(1e-6)),
            Axis::around(format!("{name}, points"), ends, SCORES),
        );
        fronts.iter().zip(&names).fold(panel.level(0.0, BASE, GRAY), |panel, (front, arm)| {
            let (look, found) = (look(arm, &names), found(front));
            let points = || found.iter().map(Measured::at);
            // a part of nothing is base
            panel
                .line([(0.0, 0.0)].into_iter().chain(points()), look.stroke(1.5).opacity(0.7))
                .error_bars(&found, look.color)
                .marks(points(), look, 5.5)
        })
    };
    let worst = |front: &Front| {
        let lost = front.places.iter().map(|place| place.change.lost());
        lost.fold(0.0, f64::max)
    };
    let title = fronts.iter().map(|front| format!("{} loses {:.0}", front.name, worst(front)));
    let title = title.collect::<Vec<_>>().join(" and ");
    let keys =
        fronts.iter().zip(&names).map(|(front, arm)| look(arm, &names).line_key(&front.name));
    let plot = Plot::new(format!("On the other tasks, {title} points at most"))
        .note("Each curve is one training of which more and more is put on, from nothing to all; bars: one standard error over the items.")
        .panels([panel("other tasks", &others), panel("target", &target)])
        .legend(keys)
        .size(960, 560);
    let rows: Vec<(&Front, &Place)> = all().collect();
    let table = Table::default()
        .rows(&rows)
        .file("model", |(front, _)| &front.name)
        .file("scale", |(_, place)| place.scale)
        .file("norm", |(_, place)| place.norm)
        .file("target_points", |(_, place)| place.change.gained())
        .file("other_points", |(_, place)| -place.change.lost())
        .table();
    Ok(Figure { name: "fronts", plot, table })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{Comparison, Scores};
    use crate::evaluate::{ItemScore, TaskScore};
    use crate::task::Form;
    use crate::weight_change::LayerChange;

    fn movement(name: &str, size: f64) -> Movement {
        Movement {
            name: name.to_owned(),
            relative: 0.04,
            layers: vec![LayerChange {
                layer: "model.layers.0.self_attn.q_proj".to_owned(),
                norm: 5.0 * size,
                singular_values: Some(vec![4.0 * size, 3.0 * size]),
            }],
        }
    }

    #[test]
    fn a_models_name_has_its_arms_color() {
        let names = ["ground truth", "STM 2.5", "self-output", "random mask"];
        assert_eq!(names.map(arm), ["ground_truth", "stm(2.5)", "self_output", "random_mask"]);
        let all = [movement("ground truth", 1.0), movement("STM 2.5", 0.5)];
        assert_eq!(
            movements_table(&all)
                .lines()
                .lines()
                .nth(2)
                .unwrap()
                .split_whitespace()
                .skip(2)
                .take(3)
                .collect::<Vec<_>>(),
            ["2.50", "4.0", "2.00"]
        );
        assert!(blocks_table(&all).lines().ends_with("0              5.00     2.50\n"));
        assert_eq!(spectrum_figure(&all, "q_proj").unwrap().table.height(), 4);
        assert!(spectrum_figure(&all, "z_proj").is_err());
    }

    #[test]
    fn a_front_starts_at_base_and_says_its_worst_loss() {
        let scores = |name: &str, values: [f64; 3]| {
            let item = |value: f64| ItemScore { value, skill: value, form: Form::Kept };
            let task =
                |task: &str| TaskScore { task: task.to_owned(), items: values.map(item).to_vec() };
            Scores { name: name.to_owned(), tasks: vec![task("code"), task("word")] }
        };
        let before = scores("base", [1.0, 1.0, 0.0]);
        let after = scores("tuned", [1.0, 0.0, 0.0]);
        let change =
            Comparison::of_scores(&before, &[&after]).unwrap().of("tuned").unwrap().clone();
        let place = Place { scale: 0.5, norm: 2.0, change };
        let front = Front { name: "ground truth".to_owned(), places: vec![place] };
        assert!(front.table().lines().contains("\n0.50   2.00  "));
        let figure = fronts_figure(&[front]).unwrap();
        assert!(figure.plot.title.contains("ground truth loses 33"), "{}", figure.plot.title);
        assert!(figure.media().svg.unwrap().starts_with("<svg"));
        assert!(fronts_figure(&[]).is_err());
    }
}
