//! Low-rank adapters: LoRA and DoRA, in PEFT's files.
//!
//! ```text
//! LoRA   y = x Wᵀ + scale · x Aᵀ Bᵀ         scale = alpha / rank, or alpha / √rank (rsLoRA)
//! DoRA   y = m / ‖W + scale · B A‖ · that    m starts as ‖W‖; norms are of rows, and constants in the backward pass
//! ```
//!
//! `A` is `(rank, in)` and starts at random, `B` is `(out, rank)` and starts at 0, so that an adapter changes nothing before the first step. A layer with
//! an adapter is a [`Projection`](crate::model::Projection), which computes this.
//!
//! ```
//! use unforget::adapter::LoraConfig;
//! let lora = LoraConfig { rank: 8, ..LoraConfig::paper() };
//! assert_eq!(lora.scale("model.layers.0.self_attn.q_proj"), 4.0); // alpha 32 over rank 8
//! ```
//!
//! Trap: the paper's baselines and its masked runs use different ranks and alphas (32 and 16 against 16 and 32), so their
//! updates are scaled by 0.5 and by 2. Here one config serves every arm.

mod config;
mod patterns;
mod peft;

use crate::error::{Error, Result};
use crate::model::{AdaptedWeight, Decoder};
use crate::rng::Rng;
use candle_core::{DType, Device, Tensor, Var};
pub use config::LoraConfig;
pub use patterns::Patterns;
pub use peft::{PeftAdapter, read_config};
use std::collections::BTreeMap;
use std::path::Path;

/// What PEFT puts before a module's path in the names of an adapter's tensors.
const PREFIX: &str = "base_model.model.";

/// Puts a fresh adapter on `decoder`: `A` uniform within `±1/√in` as PEFT draws it, `B` zero, so that nothing changes yet.
pub fn attach(decoder: &mut Decoder, config: &LoraConfig, seed: u64) -> Result<()> {
    config.check()?;
    let rng = Rng::new(seed, "adapter");
    attach_with(decoder, config, |at, _, (rank, inner, out)| {
        let mut rng = rng.fork(at as u64);
        let bound = 1.0 / (inner as f64).sqrt();
        let a: Vec<f32> =
            (0..rank * inner).map(|_| ((rng.uniform() * 2.0 - 1.0) * bound) as f32).collect();
        Ok((
            Tensor::from_vec(a, (rank, inner), &Device::Cpu)?,
            Tensor::zeros((out, rank), DType::F32, &Device::Cpu)?,
            None,
        ))
    })
}

/// Reads an adapter in PEFT's format and puts it on `decoder`: the low-rank updates trainable, biases that it brings along as they are.
///
/// What comes back can be written again with [`PeftAdapter::save`]; fields of its config that mean nothing here are then still there.
pub fn load(decoder: &mut Decoder, folder: &Path) -> Result<PeftAdapter> {
    let adapter = PeftAdapter::read(folder)?;
    let (mut problems, mut biases) = (Vec::new(), Vec::new());
    let paths: Vec<String> = decoder.projections().map(|(path, _)| path).collect();
    adapter.check_names(&paths, &mut problems);
    for (path, projection) in decoder.projections() {
        if adapter.changes_bias(&path) {
            let (out, _) = projection.weight.dims2()?;
            let own = projection.bias.as_ref().map(|own| own.to_device(&Device::Cpu));
            let own = own.transpose()?;
            biases.push((path.clone(), adapter.bias(&path, own.as_ref(), out, &mut problems)?));
        }
    }
    attach_with(decoder, &adapter.config, |_, path, (_, inner, out)| {
        let update = adapter.update(path, (out, inner), &mut problems)?;
        Ok((update.a, update.b, update.magnitude))
    })?;
    if !problems.is_empty() {
        return Err(Error::Weights { path: folder.to_path_buf(), problems });
    }
    for (path, projection) in decoder.projections_mut() {
        if let Some((_, bias)) = biases.iter().find(|(changed, _)| *changed == path) {
            let weight = &projection.weight;
            let placed =
                bias.as_ref().map(|bias| bias.to_dtype(weight.dtype())?.to_device(weight.device()));
            projection.bias = placed.transpose()?;
        }
    }
    Ok(adapter)
}

type Parts = (Tensor, Tensor, Option<Tensor>);

fn attach_with(
    decoder: &mut Decoder,
    config: &LoraConfig,
    mut parts: impl FnMut(usize, &str, (usize, usize, usize)) -> Result<Parts>,
) -> Result<()> {
    if !decoder.trainable().is_empty() {
        let problem = "the model has one already, or is trained in full; merge it first";
        return Err(Error::invalid("adapter", problem));
    }
    let device = decoder.device().clone();
    let mut trainable = Vec::new();
    for (at, (path, projection)) in decoder.projections_mut().enumerate() {
        if !config.adapts(&path) {
            continue;
        }
        let (out, inner) = projection.weight.dims2()?;
        let (a, b, magnitude) = parts(at, &path, (config.rank(&path), inner, out))?;
        let mut train = |part: &str, tensor: &Tensor| -> Result<Tensor> {
            let var = Var::from_tensor(&tensor.to_device(&device)?)?;
            trainable.push((format!("{PREFIX}{path}.{part}"), var.clone()));
            Ok(var.as_tensor().clone())
        };
        let mut adapted = AdaptedWeight {
            a: train("lora_A.weight", &a)?,
            b: train("lora_B.weight", &b)?,
            scale: config.scale(&path),
            magnitude: None,
            squares: Default::default(),
        };
        if config.dora {
            // a fresh one keeps each row's own length
            let length = match magnitude {
                Some(saved) => saved,
                None => adapted.row_norms(&projection.weight)?,
            };
            adapted.magnitude = Some(train("lora_magnitude_vector", &length)?);
        }
        projection.adapted = Some(adapted);
    }
    if trainable.is_empty() {
        let problem = "no linear layer of this model is chosen by the adapter's config";
        return Err(Error::invalid("target_modules", problem));
    }
    for (name, var) in trainable {
        decoder.train_also(name, var);
    }
    Ok(())
}

/// Writes the adapter on `decoder` as PEFT does: `adapter_config.json` and `adapter_model.safetensors`.
pub fn save(decoder: &Decoder, config: &LoraConfig, base: &str, folder: &Path) -> Result<()> {
    PeftAdapter::new(config, base).save(decoder, folder)
}

impl PeftAdapter {
    /// Writes the adapter as it now stands on `decoder`, with all that was read beside it.
    pub fn save(&self, decoder: &Decoder, folder: &Path) -> Result<()> {
        let mut tensors: BTreeMap<String, Tensor> = self.kept();
        for (name, var) in decoder.trainable() {
            tensors.insert(name.clone(), var.as_detached_tensor().to_device(&Device::Cpu)?);
        }
        self.write(&tensors, folder)
    }
}
