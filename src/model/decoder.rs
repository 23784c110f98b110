mod gradient;

pub use gradient::{Anchor, BatchLoss, BatchRow, Gradient};

use super::batch::Batch;
use super::block::{Block, Drop, Dropout, Pass, projection_sizes};
use super::cache::Cache;
use super::config::ModelConfig;
use super::device::Backend;
use super::projection::Projection;
use super::rope_scaling::RopeParameters;
use super::weights::{EMBEDDING, HEAD, Shelf};
use crate::error::{Error, Result};
use crate::ops::{self, Divergence, Gradients, NormWeight, Path, Rope, TokenLoss, Weight};
use crate::rng::Rng;
use candle_core::{DType, Device, Tensor, Var};
use std::sync::Arc;

/// A causal language model's weights in memory.
///
/// Sequences are laid end to end: activations are `(tokens, hidden)`, without padding. Fields are named as checkpoints name them.
#[derive(Debug)]
pub struct Decoder {
    /// Sizes.
    pub config: ModelConfig,
    embed_tokens: Weight,
    layers: Vec<Block>,
    norm: Tensor,
    /// `None` when the embedding is the head.
    lm_head: Option<Weight>,
    /// One for each layer; those that turn alike share theirs.
    ropes: Vec<Arc<Rope>>,
    backend: Backend,
    /// What is trained, by name, in a fixed order.
    trainable: Vec<(String, Var)>,
}

impl Decoder {
    /// Takes the weights that `config` asks for; `shelf` notes every misfit.
    pub(super) fn load(shelf: &mut Shelf, config: &ModelConfig, backend: &Backend) -> Result<Self> {
        let table = [config.vocab_size, config.hidden_size];
        // a tied pair may be stored under either name, or under both
        let tied = config.tie_word_embeddings;
        // as transformers: of two that differ, each is used as it is stored, whatever the config says
        if tied && shelf.has(EMBEDDING) && shelf.has(HEAD) && !shelf.differ(EMBEDDING, HEAD)? {
            shelf.drop(HEAD);
        }
        let embed_tokens = match tied && !shelf.has(EMBEDDING) && shelf.has(HEAD) {
            true => shelf.take_weight(HEAD, &table)?,
            false => shelf.take_weight(EMBEDDING, &table)?,
        };
        let lm_head = match shelf.has(HEAD) {
            true => Some(shelf.take_weight(HEAD, &table)?),
            false if tied => None,
            false => {
                shelf.problem(format!(
                    "{HEAD}: missing, and config.json does not say that the embedding is the head; copy or download the weights again, or set `tie_word_embeddings` to true if it is"
                ));
                None
            }
        };
        let config =
            ModelConfig { tie_word_embeddings: tied && lm_head.is_none(), ..config.clone() };
        let config = &config;
        Ok(Self {
            layers: (0..config.num_hidden_layers)
                .map(|at| Block::load(shelf, config, at))
                .collect::<Result<_>>()?,
            norm: shelf.take("model.norm.weight", &[config.hidden_size])?,
            ropes: ropes(config),
            config: config.clone(),
            backend: backend.clone(),
            trainable: Vec::new(),
            embed_tokens,
            lm_head,
        })
    }

    /// A model with random weights, for training from nothing: normal with deviation `1/√width`, norms at 1.
    pub fn random(config: &ModelConfig, seed: u64, backend: impl Into<Backend>) -> Result<Self> {
        let backend = &backend.into();
        let mut tensors = std::collections::BTreeMap::new();
        let rng = Rng::new(seed, "weights");
        let shapes = Self::shapes(config);
        for (at, (name, shape)) in shapes.into_iter().enumerate() {
            let count: usize = shape.iter().product();
            let mut rng = rng.fork(at as u64);
            let values: Vec<f32> = if name.ends_with("norm.weight") {
                let one_plus = config.norm_weight == NormWeight::OnePlus;
                vec![if one_plus { 0.0 } else { 1.0 }; count]
            } else if name.ends_with("bias") {
                vec![0.0; count]
            } else {
                let inner = shape[1] as f64;
                // what is added to the residual stream starts smaller, as in GPT-2
                let adds = name.contains("o_proj") || name.contains("down_proj");
                let depth = if adds { (2.0 * config.num_hidden_layers as f64).sqrt() } else { 1.0 };
                let table = name.contains("embed_tokens");
                // a head of its own leaves the embedding free to be as large as what the blocks add to it; a smaller one would
                // drown in that, and which token stood where with it
                let deviation = if table && config.tie_word_embeddings {
                    0.02
                } else if table {
                    0.7
                } else {
                    1.0 / inner.sqrt() / depth
                };
                (0..count).map(|_| (rng.normal() * deviation) as f32).collect()
            };
            tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        }
        let mut shelf = Shelf::new(tensors, backend);
        let decoder = Self::load(&mut shelf, config, backend)?;
        shelf.finish(std::path::Path::new("a random model"))?;
        Ok(decoder)
    }

    /// Names and shapes of the weights of `config`.
    fn shapes(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
        let hidden = config.hidden_size;
        let mut shapes =
            vec![("model.embed_tokens.weight".to_string(), vec![config.vocab_size, hidden])];
        for at in 0..config.num_hidden_layers {
            let name = |part: &str, kind: &str| format!("model.layers.{at}.{part}.{kind}");
            for (part, out, inner, bias) in projection_sizes(config) {
                shapes.push((name(part, "weight"), vec![out, inner]));
                if bias {
                    shapes.push((name(part, "bias"), vec![out]));
                }
            }
            for (_, norm, width) in config.norms() {
                shapes.push((name(norm, "weight"), vec![width]));
            }
        }
        shapes.push(("model.norm.weight".into(), vec![hidden]));
        if !config.tie_word_embeddings {
            shapes.push(("lm_head.weight".into(), vec![config.vocab_size, hidden]));
        }
        shapes
    }

    /// The device that holds the weights.
    pub fn device(&self) -> &Device {
        &self.backend.device
    }

    /// Where and how it is computed.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    fn path(&self) -> Path {
        self.backend.path
    }

    /// What is trained, by name, in a fixed order.
    pub fn trainable(&self) -> &[(String, Var)] {
        &self.trainable
    }

    /// Registers `var` as trained.
    pub(crate) fn train_also(&mut self, name: String, var: Var) {
        self.trainable.push((name, var));
    }

    /// Every linear layer of the blocks with its module path, such as `model.layers.0.self_attn.q_proj`.
    pub fn projections(&self) -> impl Iterator<Item = (String, &Projection)> {
        let names = projection_sizes(&self.config);
        self.layers.iter().enumerate().flat_map(move |(at, block)| {
            let named = names.clone().into_iter().zip(block.projections());
            named.map(move |((part, ..), projection)| {
                (format!("model.layers.{at}.{part}"), projection)
            })
        })
    }

    /// The same, to be changed.
    pub fn projections_mut(&mut self) -> impl Iterator<Item = (String, &mut Projection)> {
        let names = projection_sizes(&self.config);
        self.layers.iter_mut().enumerate().flat_map(move |(at, block)| {
            let named = names.clone().into_iter().zip(block.projections_mut());
            named.map(move |((part, ..), projection)| {
                (format!("model.layers.{at}.{part}"), projection)
            })
        })
    }

    /// Makes every weight trainable, in f32: a step is smaller than what bf16 tells apart. Where the model computes in bf16, each pass rounds them.
    pub fn train_in_full(&mut self) -> Result<()> {
        let mut trainable = std::mem::take(&mut self.trainable);
        let mut train = |name: String, tensor: Tensor| -> Result<Tensor> {
            let var = Var::from_tensor(&tensor.detach().to_dtype(kept_in(tensor.dtype()))?)?;
            let tensor = var.as_tensor().clone();
            trainable.push((name, var));
            Ok(tensor)
        };
        let names = projection_sizes(&self.config);
        let embedding = train("model.embed_tokens.weight".into(), self.embed_tokens.dense()?)?;
        self.embed_tokens = embedding.into();
        for (at, block) in self.layers.iter_mut().enumerate() {
            let name = |part: &str| format!("model.layers.{at}.{part}.weight");
            for (part, weight) in block.norms_mut() {
                *weight = train(name(part), weight.clone())?;
            }
            for ((part, ..), projection) in names.iter().zip(block.projections_mut()) {
                projection.weight = train(name(part), projection.weight.dense()?)?.into();
                if let Some(bias) = &mut projection.bias {
                    *bias = train(format!("model.layers.{at}.{part}.bias"), bias.clone())?;
                }
            }
        }
        self.norm = train("model.norm.weight".into(), self.norm.clone())?;
        if let Some(head) = &mut self.lm_head {
            *head = train("lm_head.weight".into(), head.dense()?)?.into();
        }
        self.trainable = trainable;
        Ok(())
    }

    /// The model outside any graph, sharing its weights: adapters stay apart.
    pub fn detached(&self) -> Result<Self> {
        self.with_projections(|projection| Ok(projection.detached()))
    }

    /// The model as it is now, outside any graph: later steps of a training, which change its variables in place, do not change it.
    pub fn snapshot(&self) -> Result<Self> {
        let copy = |tensor: &Tensor| match tensor.is_variable() {
            true => tensor.detach().copy(),
            false => Ok(tensor.detach()),
        };
        let mut layers = Vec::with_capacity(self.layers.len());
        for block in &self.layers {
            let mut copied = block.map(|projection| Ok(projection.snapshot()?))?;
            for ((_, new), (_, old)) in copied.norms_mut().zip(block.norms()) {
                *new = copy(old)?;
            }
            layers.push(copied);
        }
        let matrix = |weight: &Weight| match weight {
            Weight::Dense(tensor) => copy(tensor).map(Weight::Dense),
            frozen => Ok(frozen.clone()),
        };
        Ok(Self {
            embed_tokens: matrix(&self.embed_tokens)?,
            layers,
            norm: copy(&self.norm)?,
            lm_head: self.lm_head.as_ref().map(matrix).transpose()?,
            ..self.detached()?
        })
    }

    /// The model without its adapters, outside any graph, sharing its weights: what it was before a low-rank training.
    pub fn without_adapters(&self) -> Result<Self> {
        self.with_projections(|projection| {
            let mut bare = projection.detached();
            bare.adapted = None;
            Ok(bare)
        })
    }

    /// The model for inference: adapters folded into the weights.
    pub fn merged(&self) -> Result<Self> {
        self.with_projections(|projection| Ok(projection.merged()?))
    }

    /// The bias of each linear layer, in the order of [`Decoder::projections`].
    pub fn biases(&self) -> Vec<Option<Tensor>> {
        self.projections().map(|(_, projection)| projection.bias.clone()).collect()
    }

    /// As [`Decoder::merged`], one layer after the other, each in the place of what it is made of: never two models in memory.
    ///
    /// `scale` puts on that much of the adapters' change, `θ_base + scale (θ_merged − θ_base)`, biases that the adapter brings along too; with it come
    /// the [`Decoder::biases`] before.
    pub fn into_merged(mut self, scale: Option<(f64, &[Option<Tensor>])>) -> Result<Self> {
        for (_, projection) in self.projections_mut() {
            *projection = match scale {
                None => projection.merged()?,
                Some((scale, _)) => projection.merged_by(scale)?,
            };
        }
        if let Some((scale, before)) = scale {
            self.scale_biases(scale, before)?;
        }
        self.detached()
    }

    /// As [`Decoder::into_merged`] of a copy: `base` is the model before.
    pub fn merged_by(&self, scale: f64, base: &Decoder) -> Result<Self> {
        let mut merged = self.with_projections(|projection| Ok(projection.merged_by(scale)?))?;
        merged.scale_biases(scale, &base.biases())?;
        Ok(merged)
    }

    fn scale_biases(&mut self, scale: f64, before: &[Option<Tensor>]) -> Result<()> {
        for ((_, new), old) in self.projections_mut().zip(before) {
            new.bias = match (new.bias.take(), old) {
                (Some(new), Some(old)) => Some((old + ((new - old)? * scale)?)?),
                (Some(new), None) => Some((new * scale)?),
                (None, _) => None,
            };
        }
        Ok(())
    }

    fn with_projections(&self, change: impl Fn(&Projection) -> Result<Projection>) -> Result<Self> {
        Ok(Self {
            config: self.config.clone(),
            embed_tokens: self.embed_tokens.detach(),
            layers: self.layers.iter().map(|block| block.map(&change)).collect::<Result<_>>()?,
            norm: self.norm.detach(),
            lm_head: self.lm_head.as_ref().map(Weight::detach),
            ropes: self.ropes.clone(),
            backend: self.backend.clone(),
            trainable: Vec::new(),
        })
    }

    /// All weights by their names in a checkpoint, adapters folded in.
    pub fn tensors(&self) -> Result<std::collections::BTreeMap<String, Tensor>> {
        let names = projection_sizes(&self.config);
        let mut tensors = std::collections::BTreeMap::new();
        tensors.insert("model.embed_tokens.weight".to_string(), self.embed_tokens.dense()?);
        for (at, block) in self.layers.iter().enumerate() {
            let name = |part: &str, kind: &str| format!("model.layers.{at}.{part}.{kind}");
            for (part, weight) in block.norms() {
                tensors.insert(name(part, "weight"), weight.detach());
            }
            for ((part, ..), projection) in names.iter().zip(block.projections()) {
                tensors.insert(name(part, "weight"), projection.merged_weight()?);
                if let Some(bias) = &projection.bias {
                    tensors.insert(name(part, "bias"), bias.detach());
                }
            }
        }
        tensors.insert("model.norm.weight".into(), self.norm.detach());
        if let Some(head) = &self.lm_head {
            tensors.insert("lm_head.weight".into(), head.dense()?);
        }
        Ok(tensors)
    }

    fn head(&self) -> &Weight {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }

    /// What the layers of a pass share.
    ///
    /// # Errors
    /// When a GPU cannot count the numbers of its widest tensor.
    fn pass(&self, starts: &[usize], longest: usize) -> candle_core::Result<Pass> {
        if self.path() == Path::Composed {
            let tokens = starts.last().copied().unwrap_or(0);
            let sizes = projection_sizes(&self.config);
            let widest = sizes.iter().map(|(_, out, inner, _)| out.max(inner)).max();
            ops::check_size("the widest layer of a pass", &[tokens, *widest.unwrap_or(&0)])?;
        }
        let tables = self.ropes.iter().map(|rope| rope.table(longest)).collect();
        Ok(Pass::new(self.path(), &self.config, starts, tables))
    }

    fn embed(&self, ids: &[u32]) -> candle_core::Result<Tensor> {
        let dtype = self.backend.dtype;
        let x = self.embed_tokens.rows(ids)?.to_dtype(dtype)?;
        let config = &self.config;
        match config.embedding_scale() {
            1.0 => Ok(x),
            // transformers rounds a root to the model's precision, but no multiplier, and so does candle
            scale if config.scaled_embedding || dtype == DType::F32 => x * scale,
            scale => ops::scaled(&x, scale),
        }
    }

    fn select(&self, x: &Tensor, rows: &[u32]) -> candle_core::Result<Tensor> {
        x.index_select(&ops::constant(rows, rows.len(), &self.backend.device)?, 0)
    }

    /// The last norm. What logits are divided by divides the hidden states instead, since the head is linear: so no loss need know of it.
    fn final_norm(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let config = &self.config;
        let path = self.path();
        let x = ops::rms_norm(path, x, &self.norm, config.rms_norm_eps, config.norm_weight)?;
        match config.logits_scaling {
            1.0 => Ok(x),
            scale if x.dtype() == DType::F32 => x / scale,
            scale => ops::scaled(&x, 1.0 / scale),
        }
    }

    /// The head in the precision in which it multiplies, outside any graph.
    fn head_as_used(&self) -> candle_core::Result<Weight> {
        self.head().detach().cast(self.backend.dtype)
    }

    /// Logits of hidden states that the last norm has seen, in f32; no gradients.
    fn head_logits(&self, x: &Tensor) -> Result<Tensor> {
        let logits = match (self.path(), self.head()) {
            (Path::Composed, Weight::Dense(head)) => {
                ops::product(x, &head.detach().to_dtype(x.dtype())?.t()?)?
            }
            (path, head) => ops::linear(path, x, head)?,
        };
        Ok(ops::soft_cap(&logits, self.config.final_logit_softcapping)?)
    }

    /// What the last block gives, `(tokens, hidden)`, without dropout.
    fn last_block(&self, batch: &Batch) -> candle_core::Result<Tensor> {
        let pass = self.pass(&batch.starts, batch.longest())?;
        let mut x = self.embed(&batch.ids)?;
        for (layer, block) in self.layers.iter().enumerate() {
            let drop = Drop { dropout: None, layer };
            x = pass.block(block, &x, &drop)?;
        }
        Ok(x)
    }

    /// Logits at every position, `(tokens, vocabulary)` in f32. For tests and small vocabularies; scoring needs no whole logits.
    pub fn logits(&self, batch: &Batch) -> Result<Tensor> {
        let model = self.detached()?;
        let x = model.last_block(batch)?;
        model.head_logits(&model.final_norm(&x)?)
    }

    /// Log-probability, entropy and rank of every predicted token of the batch, in order; no gradients.
    pub fn score(&self, batch: &Batch) -> Result<TokenLoss> {
        if batch.rows.is_empty() {
            return Ok(TokenLoss::default());
        }
        let model = self.detached()?;
        Ok(ops::token_loss(
            self.path(),
            &model.predicted(batch, None)?,
            model.head_as_used()?,
            &batch.targets,
            &batch.weights,
            self.config.final_logit_softcapping,
            Gradients::None,
        )?)
    }

    /// As [`Decoder::score`], with dropout as [`Decoder::gradient_of`] has it, and the entropy among the `top` most probable tokens
    /// where that is asked for.
    pub fn facts(
        &self,
        batch: &Batch,
        dropout: Option<&Dropout>,
        top: Option<usize>,
    ) -> Result<TokenLoss> {
        if batch.rows.is_empty() {
            return Ok(TokenLoss::default());
        }
        let model = self.detached()?;
        let (x, cap) = (model.predicted(batch, dropout)?, self.config.final_logit_softcapping);
        let (path, head, targets) = (self.path(), &model.head_as_used()?, &batch.targets);
        let none = Gradients::None;
        let mut facts = ops::token_loss(path, &x, head, targets, &batch.weights, cap, none)?;
        if let Some(top) = top {
            facts.top_entropy = ops::top_entropy(path, &x, head, top, cap)?;
        }
        Ok(facts)
    }

    /// Divergence of this model's next-token distribution from the reference's at every predicted token of the batch, in order, in
    /// nats; no gradients.
    pub fn divergence(
        &self,
        reference: &Decoder,
        batch: &Batch,
        divergence: Divergence,
    ) -> Result<Vec<f32>> {
        if batch.rows.is_empty() {
            return Ok(Vec::new());
        }
        let (own, other) = (self.detached()?, reference.detached()?);
        let measured = ops::token_kl(
            self.path(),
            &own.predicted(batch, None)?,
            own.head_as_used()?,
            &other.predicted(batch, None)?,
            other.head_as_used()?,
            &batch.weights,
            self.config.final_logit_softcapping,
            divergence,
            Gradients::None,
        )?;
        match measured.kl.iter().position(|kl| !kl.is_finite()) {
            None => Ok(measured.kl),
            Some(at) => {
                let what = format!("the divergence at predicted token {at}");
                Err(Error::NotANumber { what })
            }
        }
    }

    /// Hidden states of the batch's predicted tokens, ready for the head, `(predicted, hidden)`; for a model outside any graph.
    fn predicted(&self, batch: &Batch, dropout: Option<&Dropout>) -> Result<Tensor> {
        let pass = self.pass(&batch.starts, batch.longest())?;
        let mut x = self.embed(&batch.ids)?;
        for (layer, block) in self.layers.iter().enumerate() {
            x = pass.block(block, &x, &Drop { dropout, layer })?;
        }
        Ok(self.final_norm(&self.select(&x, &batch.rows)?)?)
    }

    /// The memory of a generating batch without rows.
    pub fn cache(&self) -> Cache {
        Cache::new(&self.config, &self.backend)
    }

    /// Reads prompts, of each of which `samples` rows join `cache` behind those that are there, and returns the logits of the token after each prompt,
    /// `(prompts, vocabulary)`.
    pub fn prefill(&self, cache: &mut Cache, prompts: &[&[u32]], samples: usize) -> Result<Tensor> {
        if let Some(at) = prompts.iter().position(|ids| ids.is_empty()) {
            let problem = format!("number {} has no token to continue from", at + 1);
            return Err(Error::invalid("prompt", problem));
        }
        let mut batch = Batch::new();
        for ids in prompts {
            batch.push(ids, &vec![0.0; ids.len()]);
        }
        let pass = self.pass(&batch.starts, batch.longest())?;
        let mut x = self.embed(&batch.ids)?;
        let mut of_layers = Vec::with_capacity(self.layers.len());
        for (layer, block) in self.layers.iter().enumerate() {
            let drop = Drop { dropout: None, layer };
            let qkv = block.qkv(&x, &pass, &drop)?;
            let heads = pass.attend(&qkv, layer)?;
            let [_, k, v] = qkv;
            of_layers.push([k, v]);
            x = block.finish(&x, &heads, &pass, &drop)?;
        }
        let shape = [self.config.num_key_value_heads, self.config.head_dim];
        cache.join(&pass, &of_layers, shape, samples)?;
        let last: Vec<u32> = batch.starts[1..].iter().map(|end| (end - 1) as u32).collect();
        self.head_logits(&self.final_norm(&self.select(&x, &last)?)?)
    }

    /// Reads one more token of each row and returns the logits of the next, `(rows, vocabulary)`.
    pub fn step(&self, cache: &mut Cache, tokens: &[u32]) -> Result<Tensor> {
        if tokens.len() != cache.lengths().len() {
            let rows = cache.lengths().len();
            let problem = format!("there are {} for {rows} rows", tokens.len());
            return Err(Error::invalid("tokens", problem));
        }
        let longest = cache.lengths().iter().map(|length| length + 1).max().unwrap_or(0);
        let starts: Vec<usize> = (0..=tokens.len()).collect();
        let pass = self.pass(&starts, longest)?;
        let newest = cache.step(&pass)?;
        let mut x = self.embed(tokens)?;
        for (layer, block) in self.layers.iter().enumerate() {
            let drop = Drop { dropout: None, layer };
            let qkv = block.qkv(&x, &pass, &drop)?;
            let heads = cache.attend(&newest, &pass, layer, &qkv)?;
            x = block.finish(&x, &heads, &pass, &drop)?;
        }
        cache.stepped();
        self.head_logits(&self.final_norm(&x)?)
    }
}

/// In what a weight of that precision is kept while it is trained.
fn kept_in(dtype: DType) -> DType {
    match dtype {
        DType::BF16 | DType::F16 => DType::F32,
        other => other,
    }
}

/// The rotation of each layer.
fn ropes(config: &ModelConfig) -> Vec<Arc<Rope>> {
    let kinds = (0..config.num_hidden_layers).map(|layer| config.layer_rope(layer));
    let mut made: Vec<(Option<RopeParameters>, Arc<Rope>)> = Vec::new();
    kinds
        .map(|kind| match made.iter().find(|(other, _)| *other == kind) {
            Some((_, rope)) => rope.clone(),
            None => {
                let rope = Arc::new(match kind {
                    Some(parameters) => {
                        let (frequencies, scale) = parameters.frequencies(config.head_dim);
                        Rope::scaled(frequencies, scale)
                    }
                    // what never turns stays where it is
                    None => Rope::new(vec![0.0; config.head_dim / 2]),
                });
                made.push((kind, rope.clone()));
                rope
            }
        })
        .collect()
}
