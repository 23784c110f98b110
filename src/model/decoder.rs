mod gradient;

pub use gradient::{Anchor, BatchLoss, BatchRow, Gradient};

use super::batch::Batch;
use super::block::{Block, Drop, Dropout, Pass, projection_sizes};
use super::cache::Cache;
use super::config::ModelConfig;
use super::projection::Projection;
use super::rope_scaling::RopeParameters;
use super::weights::{EMBEDDING, HEAD, Shelf};
use crate::error::{Error, Result};
use crate::ops::{self, Divergence, Gradients, NormWeight, Rope, RopeTable, TokenLoss, Weight};
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
    device: Device,
    /// What is trained, by name, in a fixed order.
    trainable: Vec<(String, Var)>,
}

impl Decoder {
    /// Takes the weights that `config` asks for; `shelf` notes every misfit.
    pub(super) fn load(shelf: &mut Shelf, config: &ModelConfig, device: &Device) -> Result<Self> {
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
            device: device.clone(),
            trainable: Vec::new(),
            embed_tokens,
            lm_head,
        })
    }

    /// A model with random weights, for training from nothing: normal with deviation `1/√width`, norms at 1.
    pub fn random(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self> {
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
            tensors.insert(name, Tensor::from_vec(values, shape, device)?);
        }
        let mut shelf = Shelf::new(tensors, device, DType::F32);
        let decoder = Self::load(&mut shelf, config, device)?;
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
        &self.device
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

    /// Makes every weight trainable.
    pub fn train_in_full(&mut self) -> Result<()> {
        let mut trainable = std::mem::take(&mut self.trainable);
        let mut train = |name: String, tensor: Tensor| -> Result<Tensor> {
            let var = Var::from_tensor(&tensor.detach())?;
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

    /// As [`Decoder::merged`], with `scale` of the adapters' change from `base`: `θ_base + scale (θ_merged − θ_base)`, biases that the adapter
    /// brings along too.
    pub fn merged_by(&self, scale: f64, base: &Decoder) -> Result<Self> {
        let mut merged = self.with_projections(|projection| Ok(projection.merged_by(scale)?))?;
        for ((_, new), (_, old)) in merged.projections_mut().zip(base.projections()) {
            new.bias = match (new.bias.take(), &old.bias) {
                (Some(new), Some(old)) => Some((old + ((new - old)? * scale)?)?),
                (Some(new), None) => Some((new * scale)?),
                (None, _) => None,
            };
        }
        Ok(merged)
    }

    fn with_projections(&self, change: impl Fn(&Projection) -> Result<Projection>) -> Result<Self> {
        Ok(Self {
            config: self.config.clone(),
            embed_tokens: self.embed_tokens.detach(),
            layers: self.layers.iter().map(|block| block.map(&change)).collect::<Result<_>>()?,
            norm: self.norm.detach(),
            lm_head: self.lm_head.as_ref().map(Weight::detach),
            ropes: self.ropes.clone(),
            device: self.device.clone(),
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

    fn pass(&self, starts: &[usize], longest: usize) -> Pass {
        let tables = self.ropes.iter().map(|rope| rope.table(longest)).collect();
        Pass::new(&self.config, starts, tables)
    }

    fn embed(&self, ids: &[u32]) -> candle_core::Result<Tensor> {
        let x = self.embed_tokens.rows(ids)?;
        match self.config.embedding_scale() {
            1.0 => Ok(x),
            // candle rounds the factor to the model's precision, as transformers does
            scale => x * scale,
        }
    }

    fn select(&self, x: &Tensor, rows: &[u32]) -> candle_core::Result<Tensor> {
        x.index_select(&Tensor::from_slice(rows, rows.len(), &self.device)?, 0)
    }

    /// The last norm. What logits are divided by divides the hidden states instead, since the head is linear: so no loss need know of it.
    fn final_norm(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let config = &self.config;
        let x = ops::rms_norm(x, &self.norm, config.rms_norm_eps, config.norm_weight)?;
        if config.logits_scaling == 1.0 { Ok(x) } else { x / config.logits_scaling }
    }

    /// Logits of hidden states that the last norm has seen, in f32; no gradients.
    fn head_logits(&self, x: &Tensor) -> Result<Tensor> {
        let logits = ops::linear(x, self.head())?.to_dtype(DType::F32)?;
        Ok(ops::soft_cap(&logits, self.config.final_logit_softcapping)?)
    }

    /// What the last block gives, `(tokens, hidden)`, without dropout.
    fn last_block(&self, batch: &Batch) -> candle_core::Result<Tensor> {
        let pass = self.pass(&batch.starts, batch.longest());
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
            &model.predicted(batch, None)?,
            model.head(),
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
        let (head, targets) = (model.head(), &batch.targets);
        let mut facts = ops::token_loss(&x, head, targets, &batch.weights, cap, Gradients::None)?;
        if let Some(top) = top {
            facts.top_entropy = ops::top_entropy(&x, head, top, cap)?;
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
            &own.predicted(batch, None)?,
            own.head(),
            &other.predicted(batch, None)?,
            other.head(),
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
        let pass = self.pass(&batch.starts, batch.longest());
        let mut x = self.embed(&batch.ids)?;
        for (layer, block) in self.layers.iter().enumerate() {
            x = pass.block(block, &x, &Drop { dropout, layer })?;
        }
        Ok(self.final_norm(&self.select(&x, &batch.rows)?)?)
    }

    /// Reads prompts and returns what each row remembers, with the logits of the token after each prompt, `(prompts, vocabulary)`.
    pub fn prefill(&self, prompts: &[&[u32]]) -> Result<(Vec<Cache>, Tensor)> {
        if let Some(at) = prompts.iter().position(|ids| ids.is_empty()) {
            let problem = format!("number {} has no token to continue from", at + 1);
            return Err(Error::invalid("prompt", problem));
        }
        let mut batch = Batch::new();
        for ids in prompts {
            batch.push(ids, &vec![0.0; ids.len()]);
        }
        let layers = if self.device.is_cpu() { self.layers.len() } else { 0 };
        let mut caches: Vec<Cache> = prompts.iter().map(|_| Cache::new(layers)).collect();
        let pass = self.pass(&batch.starts, batch.longest());
        let mut x = self.embed(&batch.ids)?;
        for (layer, block) in self.layers.iter().enumerate() {
            let drop = Drop { dropout: None, layer };
            let qkv = block.qkv(&x, &pass, &drop)?;
            if layers > 0 {
                let [_, k, v] = &qkv;
                self.remember(
                    &mut caches.iter_mut().collect::<Vec<_>>(),
                    layer,
                    k,
                    v,
                    &batch.starts,
                    pass.table(layer),
                )?;
            }
            let heads = pass.attend(&qkv, layer)?;
            x = block.finish(&x, &heads, &pass, &drop)?;
        }
        for (cache, ids) in caches.iter_mut().zip(prompts) {
            cache.ids.extend_from_slice(ids);
        }
        let last: Vec<u32> = batch.starts[1..].iter().map(|end| (end - 1) as u32).collect();
        let x = self.final_norm(&self.select(&x, &last)?)?;
        Ok((caches, self.head_logits(&x)?))
    }

    /// Reads one more token of each row and returns the logits of the next, `(rows, vocabulary)`.
    pub fn step(&self, tokens: &[u32], caches: &mut [&mut Cache]) -> Result<Tensor> {
        if !self.device.is_cpu() {
            // no memory is kept on this device: everything is read again
            for (cache, token) in caches.iter_mut().zip(tokens) {
                cache.ids.push(*token);
            }
            let prompts: Vec<&[u32]> = caches.iter().map(|cache| cache.ids.as_slice()).collect();
            return Ok(self.prefill(&prompts)?.1);
        }
        let longest = caches.iter().map(|cache| cache.length() + 1).max().unwrap_or(0);
        let starts: Vec<usize> = (0..=tokens.len()).collect();
        let pass = self.pass(&starts, longest);
        let mut x = self.embed(tokens)?;
        for (layer, block) in self.layers.iter().enumerate() {
            let drop = Drop { dropout: None, layer };
            let [q, k, v] = block.qkv(&x, &pass, &drop)?;
            self.remember(caches, layer, &k, &v, &starts, pass.table(layer))?;
            let rows: Vec<_> = caches.iter().map(|cache| cache.row(layer)).collect();
            let shape = q.shape().clone();
            let q = q.flatten_all()?.to_vec1::<f32>()?;
            let heads = ops::cached_attention(&q, &rows, pass.attention(layer), pass.table(layer));
            let heads = Tensor::from_vec(heads, shape, &self.device)?;
            x = block.finish(&x, &heads, &pass, &drop)?;
        }
        for (cache, token) in caches.iter_mut().zip(tokens) {
            cache.ids.push(*token);
        }
        self.head_logits(&self.final_norm(&x)?)
    }

    /// Appends keys, turned by their position, and values to each row's memory of `layer`.
    fn remember(
        &self,
        caches: &mut [&mut Cache],
        layer: usize,
        k: &Tensor,
        v: &Tensor,
        starts: &[usize],
        table: &RopeTable,
    ) -> Result<()> {
        let (k, v) = (k.flatten_all()?.to_vec1::<f32>()?, v.flatten_all()?.to_vec1::<f32>()?);
        let width = self.config.num_key_value_heads * self.config.head_dim;
        for (row, cache) in caches.iter_mut().enumerate() {
            let from = cache.length();
            let range = starts[row] * width..starts[row + 1] * width;
            let memory = cache.layer(layer);
            memory.values.extend_from_slice(&v[range.clone()]);
            let grown = memory.keys.len();
            memory.keys.resize(grown + range.len(), 0.0);
            let heads = k[range].chunks_exact(self.config.head_dim);
            let turned = memory.keys[grown..].chunks_exact_mut(self.config.head_dim);
            for (at, (key, turned)) in heads.zip(turned).enumerate() {
                table.turn(from + at / self.config.num_key_value_heads, key, turned, 1.0);
            }
        }
        Ok(())
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
