//! How far trainings moved the weights, and what parts of the movement do.

use super::{Media, Show};
use crate::analysis::{Front, Movement, Place, by_block};
use crate::error::{Error, Result};
use crate::plot::palette::{BASE, GRAY, look};
use crate::plot::{self, Axis, Measured, Panel, Plot, Spectra};
use crate::report::figure::Figure;
use crate::report::grid::Grid;
use crate::report::table::{frame, numbers, percent, signed, text};
use crate::select::canonical;
use crate::stats::Estimate;
use crate::weight_change::THRESHOLD;

/// The arm that a name for people means: `STM 2.5` is `stm(2.5)`, and has its color.
fn arm(name: &str) -> String {
    canonical(&name.to_lowercase().replace([' ', '-'], "_"))
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or(crate::report::grid::NOTHING.to_owned(), |value| format!("{value:.decimals$}"))
}

/// One row for each model: the paper's Table 7, with ranks of which the threshold is said.
pub fn movements_grid(all: &[Movement]) -> Grid {
    let row = |one: &Movement| {
        let spectra = one.layers.iter().filter_map(|layer| layer.singular_values.as_ref());
        let largest = spectra.filter_map(|values| values.first().copied()).reduce(f64::max);
        vec![
            one.name.clone(),
            number(Some(one.norm()), 2),
            percent(Some(one.relative)),
            number(largest, 2),
            number(one.effective_rank(), 1),
            number(one.relative_rank(), 1),
            number(one.entropy_rank(), 1),
        ]
    };
    Grid {
        title: "How far the weights moved, and in how many directions".to_owned(),
        legend: format!(
            "‖Δ‖: Frobenius norm of the change of all adapted layers together; relative: to the weights' own norm. largest: singular value of any layer. Ranks are means over layers: singular \
             values above {THRESHOLD}, above a tenth of the layer's largest, and exp(entropy) of their shares of the sum."
        ),
        columns: [
            "model".to_owned(),
            "‖Δ‖".to_owned(),
            "relative %".to_owned(),
            "largest".to_owned(),
            format!("rank > {THRESHOLD}"),
            "rank > max/10".to_owned(),
            "entropy rank".to_owned(),
        ]
        .to_vec(),
        rows: all.iter().map(row).collect(),
    }
}

/// One row for each block, one column for each model.
pub fn blocks_grid(all: &[Movement]) -> Grid {
    let names = all.iter().map(|one| one.name.clone());
    let rows = by_block(all).into_iter().enumerate().map(|(block, norms)| {
        let cells = norms.iter().map(|norm| number(Some(*norm), 2));
        std::iter::once(block.to_string()).chain(cells).collect()
    });
    Grid {
        title: "Where the weights moved: norm of the change of each block".to_owned(),
        legend: "Block 0 reads the embeddings. The squares of a column add up to the square of the whole.".to_owned(),
        columns: std::iter::once("block".to_owned()).chain(names).collect(),
        rows: rows.collect(),
    }
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
    let rows = || {
        spectra.iter().flat_map(|one| {
            let blocks = one.blocks.iter().enumerate();
            blocks.flat_map(move |(block, values)| {
                let values = values.iter().enumerate();
                values.map(move |(at, value)| (&one.arm, block, at, *value))
            })
        })
    };
    Ok(Figure {
        name: "spectrum",
        plot: plot::spectrum(projection, &spectra).note("Of scale · B A, the largest first."),
        table: frame(vec![
            text("arm", rows().map(|row| row.0.clone())),
            numbers("block", rows().map(|row| Some(row.1 as f64))),
            numbers("number", rows().map(|row| Some(row.2 as f64 + 1.0))),
            numbers("value", rows().map(|row| Some(row.3))),
        ])?,
    })
}

impl Show for Vec<Movement> {
    fn media(&self) -> Media {
        movements_grid(self).media()
    }
}

impl Front {
    /// One row for each part of the change.
    pub fn grid(&self) -> Grid {
        let row = |place: &Place| {
            let others = place.change.non_target.as_ref();
            vec![
                format!("{:.2}", place.scale),
                number(Some(place.norm), 2),
                signed(Some(place.change.target.difference)),
                signed(others.map(|others| others.difference)),
            ]
        };
        Grid {
            title: format!("{}, a part of its change put on", self.name),
            legend: "scale: how much of the change is put on; 0 is base, 1 the tuned model. ‖Δ‖: norm of what is put on. Points of change against base ± one standard error over the items, paired."
                .to_owned(),
            columns: ["scale", "‖Δ‖", "target points", "others points"].map(str::to_owned).to_vec(),
            rows: self.places.iter().map(row).collect(),
        }
    }
}

impl Show for Front {
    fn media(&self) -> Media {
        self.grid().media()
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
            Axis::around(format!("{name}, points"), ends, 6.0),
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
    let of = |value: &dyn Fn(&Place) -> Option<f64>| -> Vec<Option<f64>> {
        all().map(|(_, place)| value(place)).collect()
    };
    let column =
        |name: &str, value: &dyn Fn(&Place) -> Option<f64>| numbers(name, of(value).into_iter());
    let table = frame(vec![
        text("model", all().map(|(front, _)| front.name.clone())),
        column("scale", &|place| Some(place.scale)),
        column("norm", &|place| Some(place.norm)),
        column("target_points", &|place| Some(place.change.gained())),
        column("other_points", &|place| Some(-place.change.lost())),
    ])?;
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
        assert_eq!(movements_grid(&all).rows[1][1..4], ["2.50", "4.0", "2.00"]);
        assert_eq!(blocks_grid(&all).rows[0], ["0", "5.00", "2.50"]);
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
        assert_eq!(front.grid().rows[0][..2], ["0.50", "2.00"]);
        let figure = fronts_figure(&[front]).unwrap();
        assert!(figure.plot.title.contains("ground truth loses 33"), "{}", figure.plot.title);
        assert!(figure.media().svg.unwrap().starts_with("<svg"));
        assert!(fronts_figure(&[]).is_err());
    }
}
