//! A training: its loss over the steps, and what became of it.

use super::{Media, Show};
use crate::error::Result;
use crate::plot::palette::BLUE;
use crate::plot::{self, Plot};
use crate::report::figure::Figure;
use crate::table::{Table, significant};
use crate::train::Step;
use crate::verbs::Tuned;

/// The loss of each optimizer step of one training as a figure.
///
/// # Errors
/// None that numbers can cause; the table beside it is made by a library.
pub fn loss_figure(steps: &[Step]) -> Result<Figure> {
    let losses: Vec<(f64, f64)> = steps
        .iter()
        .enumerate()
        .map(|(at, step)| (at as f64 + 1.0, step.loss))
        .filter(|(_, loss)| loss.is_finite())
        .collect();
    let top = losses.iter().map(|(_, loss)| *loss).fold(0.0, f64::max);
    let title = match (losses.first(), losses.last()) {
        (Some((_, first)), Some((_, last))) => format!(
            "Loss from {} to {} in {} steps",
            significant(*first),
            significant(*last),
            steps.len()
        ),
        _ => "No step has a finite loss".to_owned(),
    };
    let learned: usize = steps.iter().map(|step| step.learned).sum();
    let panel = plot::loss_panel(steps.len() as f64, top);
    let plot = Plot::new(title)
        .note(format!(
            "Mean over the tokens that are learned ({learned} over all steps), so masking hard tokens lowers it by itself."
        ))
        .panel(panel.line(losses.clone(), BLUE.stroke(2.0)))
        .size(720, 320);
    let table =
        Table::default().rows(&losses).file("step", |at| at.0).file("loss", |at| at.1).table();
    Ok(Figure { name: "loss", plot, table })
}

impl Show for Tuned {
    /// The loss over the steps, with what the training changed below it.
    fn media(&self) -> Media {
        let figure = loss_figure(&self.steps).map(|mut figure| {
            let more = [
                Some(format!(
                    "The weights changed by {:.2} % of their norm.",
                    100.0 * self.relative_weight_change
                )),
                (!self.left_out.is_empty()).then(|| {
                    format!(
                        "{} examples have no token to learn and were left out.",
                        self.left_out.len()
                    )
                }),
                self.stopped.as_ref().map(|stopped| {
                    format!("It ended early: {} lost {:.1} points.", stopped.probe, stopped.lost)
                }),
            ];
            for sentence in more.into_iter().flatten() {
                figure.plot.note += " ";
                figure.plot.note += &sentence;
            }
            figure
        });
        match figure {
            Ok(figure) => figure.media(),
            Err(error) => Media::text(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_is_a_picture_and_a_sentence() {
        let step = |loss: f64| Step {
            loss,
            gradient_norm: 1.0,
            learning_rate: 1e-3,
            tokens: 10,
            learned: 4,
            kl: None,
            squared_distance: None,
            churn: None,
        };
        let steps = [step(2.0), step(f64::NAN), step(0.5)];
        let media = loss_figure(&steps).unwrap().media();
        assert!(media.text.contains("Loss from 2.000 to 0.5000 in 3 steps"), "{}", media.text);
        assert!(media.html.unwrap().starts_with("<img"));
        assert!(loss_figure(&[]).unwrap().media().text.contains("No step"));
    }
}
