use super::{Normalizer, Objective};
use crate::adapter::LoraConfig;
use crate::error::{Error, Result};
use crate::ops::{Divergence, KlDirection};
use crate::optimizer::{AdamWConfig, Schedule};
use serde::{Deserialize, Serialize};

/// What is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A low-rank adapter; the model's own weights stay.
    Lora(LoraConfig),
    /// Every weight.
    Full,
}

/// How to fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// What is trained.
    pub method: Method,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How the rate goes over the steps.
    pub schedule: Schedule,
    /// Optimizer steps over which the rate rises from 0.
    pub warmup_steps: usize,
    /// Passes over the data.
    #[serde(alias = "epochs")]
    pub num_epochs: usize,
    /// Optimizer steps after which it ends, instead of [`TrainConfig::num_epochs`]: the data are passed as often as that takes, and the schedule goes
    /// over these steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<usize>,
    /// Examples of one optimizer step.
    #[serde(alias = "batch")]
    pub batch_size: usize,
    /// Most tokens computed at one time; a larger batch is accumulated in parts, to the same gradient.
    #[serde(alias = "micro_tokens")]
    pub max_tokens_per_forward: usize,
    /// What a step's loss is divided by. Where it is not said, as the rule of the token weights says, else by the learned
    /// tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalizer: Option<Normalizer>,
    /// Largest norm of a step's gradient; longer ones are scaled down.
    #[serde(alias = "clip")]
    pub max_grad_norm: Option<f64>,
    /// The optimizer's constants.
    pub adamw: AdamWConfig,
    /// What is minimized at each learned token.
    #[serde(default, skip_serializing_if = "is_default")]
    pub objective: Objective,
    /// Weight of the mean divergence between the base model's next-token distributions and the tuned one's, in nats, over a step's learned
    /// tokens. The base is the same model with its adapter off; training in full keeps a copy of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// That divergence over this many tokens, those the base finds most probable, and all others as one: see [`Divergence::top`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl_top: Option<usize>,
    /// Which way that divergence is measured.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kl_direction: KlDirection,
    /// L2-SP: `λ` in `λ/2 · ‖θ − θ_base‖²`, a pull of the weights to where they started; with an adapter `θ − θ_base` is `scale · B A`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l2_sp: Option<f64>,
    /// Where token weights follow the model while it learns ([`super::OnlineWeights`]): 1 (also if absent) makes those of each step's examples
    /// from that step's own forward pass; `k` makes those of all data anew after every `k` steps. Where it is not said, as the rule says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reweigh_every: Option<usize>,
    /// Compute blocks again in the backward pass instead of keeping them: less memory, more time, same bits.
    #[serde(alias = "replay")]
    pub gradient_checkpointing: bool,
    /// Seed of the adapter's start, the order of examples and dropout.
    pub seed: u64,
}

impl TrainConfig {
    /// The authors' masking script (`train_with_mask.py`, January 2025) with the paper's learning rate of 2e-5 and three epochs; batch 4
    /// as two GPUs with two sequences each had it. Where their other arms differ (rank 32, alpha 16, cosine), this is kept for all arms.
    pub fn paper() -> Self {
        Self {
            method: Method::Lora(LoraConfig::paper()),
            learning_rate: 2e-5,
            schedule: Schedule::Linear,
            warmup_steps: 10,
            num_epochs: 3,
            max_steps: None,
            batch_size: 4,
            max_tokens_per_forward: 8192,
            normalizer: None,
            max_grad_norm: Some(1.0),
            adamw: AdamWConfig::default(),
            objective: Objective::Surprisal,
            kl: None,
            kl_top: None,
            kl_direction: KlDirection::Forward,
            l2_sp: None,
            reweigh_every: None,
            gradient_checkpointing: true,
            seed: 42,
        }
    }

    /// For the lab model: batch 16, cosine, larger rates, as a model a thousand times smaller needs.
    pub fn lab() -> Self {
        Self {
            method: Method::Lora(LoraConfig::lab()),
            learning_rate: 1e-3,
            schedule: Schedule::Cosine,
            warmup_steps: 5,
            batch_size: 16,
            gradient_checkpointing: false,
            ..Self::paper()
        }
    }

    /// Refuses values that make no sense, by name.
    pub fn check(&self) -> Result<()> {
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            let problem = format!("must be a number above 0, got {}", self.learning_rate);
            return Err(Error::invalid("learning_rate", problem));
        }
        for (name, value) in [
            ("num_epochs", self.num_epochs),
            ("batch_size", self.batch_size),
            ("max_tokens_per_forward", self.max_tokens_per_forward),
        ] {
            if value == 0 {
                return Err(Error::invalid(name, "must be at least 1"));
            }
        }
        if let Some(clip) = self.max_grad_norm.filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
            return Err(Error::invalid(
                "max_grad_norm",
                format!("must be a number above 0, got {clip}"),
            ));
        }
        self.objective.check()?;
        let decay = Some(self.adamw.weight_decay);
        for (name, value) in [("weight_decay", decay), ("kl", self.kl), ("l2_sp", self.l2_sp)] {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value >= 0.0)) {
                let problem = format!("must be a number of at least 0, got {value}");
                return Err(Error::invalid(name, problem));
            }
        }
        for (name, value) in [
            ("max_steps", self.max_steps),
            ("kl_top", self.kl_top),
            ("reweigh_every", self.reweigh_every),
        ] {
            if value == Some(0) {
                return Err(Error::invalid(name, "must be at least 1"));
            }
        }
        if self.kl.is_none() && (self.kl_top.is_some() || !is_default(&self.kl_direction)) {
            let problem = "says how the divergence from the base is measured, but `kl`, its weight, is not given";
            return Err(Error::invalid("kl_top and kl_direction", problem));
        }
        match &self.method {
            Method::Lora(lora) if lora.dora && self.l2_sp.is_some() => Err(Error::invalid(
                "l2_sp",
                "is not defined for DoRA here, whose update is not a product of two small matrices; use LoRA, or `kl`",
            )),
            Method::Lora(lora) => lora.check(),
            Method::Full => Ok(()),
        }
    }

    /// What a step's loss is divided by.
    pub fn normalizer(&self) -> Normalizer {
        self.normalizer.unwrap_or(Normalizer::Kept)
    }

    /// How the divergence from the base is measured.
    pub fn divergence(&self) -> Divergence {
        Divergence { direction: self.kl_direction, top: self.kl_top }
    }
}

/// So that a config without an option is written, and named in the store, as before there was the option.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
