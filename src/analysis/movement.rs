//! How far a training moved the weights, and what a part of that movement does.

use crate::answers::{Answers, Change, Tasks, compare};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::stats;
use crate::verbs::{Tuned, evaluate};
use crate::weight_change::{self, LayerChange, THRESHOLD};
use serde::{Deserialize, Serialize};

/// What one training did to the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Movement {
    /// The model.
    pub name: String,
    /// Frobenius norm of the change relative to the weights' own.
    pub relative: f64,
    /// What happened to each adapted layer.
    pub layers: Vec<LayerChange>,
}

/// Reads what `tuned` changed; its adapter must be a plain LoRA.
///
/// # Errors
/// It was trained in full or is a DoRA, or cannot be read.
pub fn movement(tuned: &Tuned, name: &str) -> Result<Movement> {
    let adapter = tuned.checkpoint.adapter.as_ref().ok_or_else(|| {
        let problem = "was trained in full, so that there is no adapter to read its change from";
        Error::invalid(format!("model {name}"), problem)
    })?;
    Ok(Movement {
        name: name.to_owned(),
        relative: tuned.relative_weight_change,
        layers: weight_change::of_lora(adapter)?,
    })
}

impl Movement {
    /// Frobenius norm of the change of all layers together.
    pub fn norm(&self) -> f64 {
        weight_change::total_norm(&self.layers)
    }

    /// Mean over the layers of the number of singular values above [`THRESHOLD`].
    pub fn effective_rank(&self) -> Option<f64> {
        self.mean(|values| Some(weight_change::effective_rank(values, THRESHOLD) as f64))
    }

    /// Mean over the layers of the number of singular values above a tenth of the layer's largest.
    pub fn relative_rank(&self) -> Option<f64> {
        self.mean(|values| {
            let largest = values.first()?;
            Some(weight_change::effective_rank(values, largest / 10.0) as f64)
        })
    }

    /// Mean over the layers of [`weight_change::entropy_rank`].
    pub fn entropy_rank(&self) -> Option<f64> {
        self.mean(weight_change::entropy_rank)
    }

    fn mean(&self, value: impl Fn(&[f64]) -> Option<f64>) -> Option<f64> {
        let spectra = self.layers.iter();
        let spectra = spectra.filter_map(|layer| layer.singular_values.as_deref());
        stats::mean(&spectra.filter_map(value).collect::<Vec<_>>())
    }

    /// The block that a layer's path names, such as 2 of `model.layers.2.mlp.up_proj`, and what it is in that block.
    fn place(layer: &LayerChange) -> Option<(usize, &str)> {
        let (_, rest) = layer.layer.split_once("layers.")?;
        let (block, name) = rest.split_once('.')?;
        Some((block.parse().ok()?, name))
    }

    /// How many blocks were changed.
    pub fn blocks(&self) -> usize {
        let places = self.layers.iter().filter_map(Self::place);
        places.map(|(block, _)| block + 1).max().unwrap_or(0)
    }

    /// Norm of the change of one block's layers together.
    pub fn norm_of_block(&self, block: usize) -> f64 {
        let of_block = |layer: &&LayerChange| Self::place(layer).is_some_and(|(at, _)| at == block);
        let layers: Vec<LayerChange> = self.layers.iter().filter(of_block).cloned().collect();
        weight_change::total_norm(&layers)
    }

    /// Singular values of the change of the layers whose path ends in `projection`, such as `q_proj`, block by block.
    pub fn spectra(&self, projection: &str) -> Vec<Vec<f64>> {
        let wanted = |layer: &&LayerChange| {
            Self::place(layer).is_some_and(|(_, name)| name.rsplit('.').next() == Some(projection))
        };
        let mut layers: Vec<&LayerChange> = self.layers.iter().filter(wanted).collect();
        layers.sort_by_key(|layer| Self::place(layer));
        let spectra = layers.into_iter();
        spectra.filter_map(|layer| layer.singular_values.clone()).collect()
    }
}

/// One training's change of the weights, put on in parts: 0 is base, 1 the tuned model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Front {
    /// The model.
    pub name: String,
    /// From the smallest scale to the largest.
    pub places: Vec<Place>,
}

/// The model with a part of its change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    /// How much of the change is put on.
    pub scale: f64,
    /// Frobenius norm of what is put on.
    pub norm: f64,
    /// What is gained and lost.
    pub change: Change,
}

/// Puts each of `scales` of the change that `tuned` made on the weights, and asks each model that comes of it all questions.
///
/// # Errors
/// There is no scale, one is not a number of at least 0, or as [`movement`] and [`evaluate`].
pub fn front(
    cx: &Context,
    tuned: &Tuned,
    name: &str,
    before: &Answers,
    tasks: &Tasks,
    scales: &[f64],
) -> Result<Front> {
    if scales.is_empty() {
        return Err(Error::invalid("scales", "must name at least one"));
    }
    let whole = movement(tuned, name)?.norm();
    let mut scales = scales.to_vec();
    scales.sort_by(f64::total_cmp);
    let place = |scale: f64| -> Result<Place> {
        let part = tuned.checkpoint.scaled(scale)?;
        // the ends are models that are asked anyhow, under their own names
        let label = match scale {
            1.0 => name.to_owned(),
            0.0 => before.name.clone(),
            _ => format!("{name} times {scale}"),
        };
        let answers = evaluate(cx, &part, &label, tasks)?;
        let change = compare(before, &[&answers])?.of(&label)?.clone();
        Ok(Place { scale, norm: scale * whole, change })
    };
    Ok(Front {
        name: name.to_owned(),
        places: scales.into_iter().map(place).collect::<Result<_>>()?,
    })
}

/// One row for each block, one column of norms for each movement: where the weights moved.
pub fn by_block(movements: &[Movement]) -> Vec<Vec<f64>> {
    let blocks = movements.iter().map(Movement::blocks).max().unwrap_or(0);
    let row = |block| {
        let norms = movements.iter().map(|one| one.norm_of_block(block));
        norms.collect()
    };
    (0..blocks).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers in each of two blocks.
    fn moved(name: &str, size: f64) -> Movement {
        let layer = |path: &str, values: [f64; 3]| {
            let values: Vec<f64> = values.iter().map(|value| size * value).collect();
            LayerChange {
                layer: path.to_owned(),
                norm: values.iter().map(|value| value * value).sum::<f64>().sqrt(),
                singular_values: Some(values),
            }
        };
        Movement {
            name: name.to_owned(),
            relative: 0.01 * size,
            layers: vec![
                layer("model.layers.1.self_attn.q_proj", [3.0, 0.0, 0.0]),
                layer("model.layers.0.mlp.up_proj", [0.0, 0.0, 0.0]),
                layer("model.layers.0.self_attn.q_proj", [4.0, 0.3, 0.0]),
                layer("model.layers.1.mlp.up_proj", [0.0, 0.0, 0.0]),
            ],
        }
    }

    #[test]
    fn blocks_make_up_the_whole() {
        let one = moved("a", 1.0);
        assert_eq!(one.blocks(), 2);
        assert!((one.norm() - (16.0 + 0.09 + 9.0_f64).sqrt()).abs() < 1e-12);
        let rows = by_block(&[one.clone(), moved("b", 2.0)]);
        assert!((rows[0][0].hypot(rows[1][0]) - one.norm()).abs() < 1e-12);
        assert!((rows[1][1] - 6.0).abs() < 1e-12);
        assert_eq!(one.spectra("q_proj"), [[4.0, 0.3, 0.0], [3.0, 0.0, 0.0]]);
    }

    #[test]
    fn the_rank_depends_on_the_threshold() {
        let one = moved("a", 1.0);
        // of four layers: two, none, one and none of their singular values
        assert_eq!(one.effective_rank(), Some(3.0 / 4.0));
        assert_eq!(moved("a", 0.1).effective_rank(), Some(2.0 / 4.0));
        assert_eq!(one.relative_rank(), moved("a", 0.1).relative_rank());
    }

    #[test]
    fn a_model_trained_in_full_has_no_adapter_to_read() {
        let tuned = Tuned {
            checkpoint: crate::model::Checkpoint {
                model: "nowhere".into(),
                adapter: None,
                adapter_scale: None,
                template: Default::default(),
                precision: None,
            },
            steps: Vec::new(),
            relative_weight_change: 0.0,
            left_out: Vec::new(),
            seconds: 0.0,
            probes: Vec::new(),
            stopped: None,
            epochs: Vec::new(),
        };
        let error = movement(&tuned, "mine").unwrap_err().to_string();
        assert!(error.contains("mine") && error.contains("in full"), "{error}");
    }
}
