use super::config::{FeedForward, ModelConfig};
use super::family::Place;
use super::projection::Projection;
use super::weights::Shelf;
use crate::error::Result;
use crate::ops::{self, Activation, Attention, NormWeight, Path, RopeTable, Sequences};
use crate::rng::Rng;
use candle_core::Tensor;
use std::sync::Arc;

/// One layer of the decoder. Which norms it has, and in which place, depends on the family.
#[derive(Debug, Clone)]
pub(super) struct Block {
    norms: Vec<Norm>,
    q_proj: Projection,
    k_proj: Projection,
    v_proj: Projection,
    o_proj: Projection,
    mlp: Mlp,
}

/// The feed-forward layer's weights, see [`FeedForward`].
#[derive(Debug, Clone)]
enum Mlp {
    GateUpDown { gate_proj: Projection, up_proj: Projection, down_proj: Projection },
    InputOutput { input_linear: Projection, output_linear: Projection },
}

/// A norm's weight, with its name in the checkpoint.
#[derive(Debug, Clone)]
struct Norm {
    place: Place,
    name: &'static str,
    weight: Tensor,
}

/// Names of a block's linear layers, of all families.
pub(crate) const PROJECTIONS: [&str; 9] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
    "shared_mlp.input_linear",
    "shared_mlp.output_linear",
];

/// Places of a block's streams of dropout.
const PLACES: usize = 7;

/// A block's linear layers in the order of [`Block::projections`]: name, out, in, whether there is a bias.
pub(super) fn projection_sizes(config: &ModelConfig) -> Vec<(&'static str, usize, usize, bool)> {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let q = config.num_attention_heads * config.head_dim;
    let kv = config.num_key_value_heads * config.head_dim;
    let (bias, mlp_bias) = (config.attention_bias, config.mlp_bias);
    let mut sizes = vec![
        (PROJECTIONS[0], q, hidden, bias),
        (PROJECTIONS[1], kv, hidden, bias),
        (PROJECTIONS[2], kv, hidden, bias),
        (PROJECTIONS[3], hidden, q, config.output_bias),
    ];
    match config.feed_forward {
        FeedForward::GateUpDown => sizes.extend([
            (PROJECTIONS[4], wide, hidden, mlp_bias),
            (PROJECTIONS[5], wide, hidden, mlp_bias),
            (PROJECTIONS[6], hidden, wide, mlp_bias),
        ]),
        FeedForward::InputOutput => sizes.extend([
            (PROJECTIONS[7], 2 * wide, hidden, mlp_bias),
            (PROJECTIONS[8], hidden, wide, mlp_bias),
        ]),
    }
    sizes
}

/// Dropout on what the low-rank updates see.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// Share of values set to 0.
    pub share: f64,
    /// Stream of this batch; each layer forks its own.
    pub rng: Rng,
}

impl Dropout {
    /// `x` with dropped values, the rest scaled up; `place` tells the layers of the model apart.
    fn apply(&self, path: Path, x: &Tensor, place: u64) -> candle_core::Result<Tensor> {
        let drops = self.rng.fork(place).chances(self.share, x.elem_count());
        ops::dropped(path, x, &drops, (1.0 / (1.0 - self.share)) as f32)
    }
}

impl Block {
    pub fn load(shelf: &mut Shelf, config: &ModelConfig, at: usize) -> Result<Self> {
        let name = |part: &str, kind: &str| format!("model.layers.{at}.{part}.{kind}");
        let mut projections = Vec::with_capacity(PLACES);
        for (part, out, inner, bias) in projection_sizes(config) {
            let weight = shelf.take_weight(&name(part, "weight"), &[out, inner])?;
            let bias = match bias {
                true => Some(shelf.take(&name(part, "bias"), &[out])?),
                false => None,
            };
            projections.push(Projection::new(weight, bias));
        }
        let mut projections = projections.into_iter();
        let mut next = || projections.next().expect("as many projections as names");
        let [q_proj, k_proj, v_proj, o_proj] = [next(), next(), next(), next()];
        let mlp = match config.feed_forward {
            FeedForward::GateUpDown => {
                Mlp::GateUpDown { gate_proj: next(), up_proj: next(), down_proj: next() }
            }
            FeedForward::InputOutput => {
                Mlp::InputOutput { input_linear: next(), output_linear: next() }
            }
        };
        let norms = config.norms().into_iter().map(|(place, part, width)| {
            Ok(Norm { place, name: part, weight: shelf.take(&name(part, "weight"), &[width])? })
        });
        Ok(Self { norms: norms.collect::<Result<_>>()?, q_proj, k_proj, v_proj, o_proj, mlp })
    }

    /// The linear layers in the order of [`projection_sizes`].
    pub fn projections_mut(&mut self) -> Vec<&mut Projection> {
        let mut all = vec![&mut self.q_proj, &mut self.k_proj, &mut self.v_proj, &mut self.o_proj];
        match &mut self.mlp {
            Mlp::GateUpDown { gate_proj, up_proj, down_proj } => {
                all.extend([gate_proj, up_proj, down_proj]);
            }
            Mlp::InputOutput { input_linear, output_linear } => {
                all.extend([input_linear, output_linear]);
            }
        }
        all
    }

    /// The same, to be looked at.
    pub fn projections(&self) -> Vec<&Projection> {
        let mut all = vec![&self.q_proj, &self.k_proj, &self.v_proj, &self.o_proj];
        match &self.mlp {
            Mlp::GateUpDown { gate_proj, up_proj, down_proj } => {
                all.extend([gate_proj, up_proj, down_proj]);
            }
            Mlp::InputOutput { input_linear, output_linear } => {
                all.extend([input_linear, output_linear]);
            }
        }
        all
    }

    /// The norms' weights with their names.
    pub fn norms(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        self.norms.iter().map(|norm| (norm.name, &norm.weight))
    }

    /// The same, to be changed.
    pub fn norms_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Tensor)> {
        self.norms.iter_mut().map(|norm| (norm.name, &mut norm.weight))
    }

    pub fn map(&self, change: impl Fn(&Projection) -> Result<Projection>) -> Result<Self> {
        let mut block = self.clone();
        for (new, old) in block.projections_mut().into_iter().zip(self.projections()) {
            *new = change(old)?;
        }
        for norm in &mut block.norms {
            norm.weight = norm.weight.detach();
        }
        Ok(block)
    }

    /// `x` through the norm in `place`, where the family has one. One that is narrower than `x` norms each head by itself.
    fn norm(&self, x: Tensor, place: Place, pass: &Pass) -> candle_core::Result<Tensor> {
        let Some(norm) = self.norms.iter().find(|norm| norm.place == place) else {
            return Ok(x);
        };
        let width = norm.weight.elem_count();
        let heads = x.reshape(((), width))?;
        ops::rms_norm(pass.path, &heads, &norm.weight, pass.eps, pass.norm_weight)?
            .reshape(x.shape())
    }

    /// Queries, keys and values before rotation.
    pub fn qkv(
        &self,
        x: &Tensor,
        pass: &Pass,
        drop: &Drop<'_>,
    ) -> candle_core::Result<[Tensor; 3]> {
        let x = self.norm(x.clone(), Place::BeforeAttention, pass)?;
        let of = |projection: &Projection, place| {
            projection.forward(pass.path, &x, drop.at(pass, &x, place)?.as_ref())
        };
        let [q, k, v] = [of(&self.q_proj, 0)?, of(&self.k_proj, 1)?, of(&self.v_proj, 2)?];
        Ok([self.norm(q, Place::Queries, pass)?, self.norm(k, Place::Keys, pass)?, v])
    }

    /// The rest of the block, from the heads' outputs to the next residual stream.
    pub fn finish(
        &self,
        x: &Tensor,
        heads: &Tensor,
        pass: &Pass,
        drop: &Drop<'_>,
    ) -> candle_core::Result<Tensor> {
        let of = |projection: &Projection, x: &Tensor, place| {
            projection.forward(pass.path, x, drop.at(pass, x, place)?.as_ref())
        };
        let attended = of(&self.o_proj, heads, 3)?;
        let x = (x + pass.added(self.norm(attended, Place::AfterAttention, pass)?)?)?;
        let normed = self.norm(x.clone(), Place::BeforeFeedForward, pass)?;
        let narrow = match &self.mlp {
            Mlp::GateUpDown { gate_proj, up_proj, down_proj } => {
                let (gate, up) = (of(gate_proj, &normed, 4)?, of(up_proj, &normed, 5)?);
                let wide = ops::gated(pass.path, &gate, &up, pass.activation)?;
                of(down_proj, &wide, 6)?
            }
            Mlp::InputOutput { input_linear, output_linear } => {
                let both = of(input_linear, &normed, 4)?;
                let half = both.dim(1)? / 2;
                let part = |from: usize| both.narrow(1, from, half)?.contiguous();
                let wide = ops::gated(pass.path, &part(0)?, &part(half)?, pass.activation)?;
                of(output_linear, &wide, 6)?
            }
        };
        x + pass.added(self.norm(narrow, Place::AfterFeedForward, pass)?)?
    }
}

/// Dropout as one block sees it.
pub(super) struct Drop<'a> {
    pub dropout: Option<&'a Dropout>,
    pub layer: usize,
}

impl Drop<'_> {
    fn at(
        &self,
        pass: &Pass,
        x: &Tensor,
        projection: usize,
    ) -> candle_core::Result<Option<Tensor>> {
        let place = (self.layer * PLACES + projection) as u64;
        self.dropout.map(|dropout| dropout.apply(pass.path, x, place)).transpose()
    }
}

/// What all blocks of one pass share.
pub(super) struct Pass {
    pub path: Path,
    /// One for each layer: their windows differ.
    attention: Vec<Attention>,
    pub sequences: Arc<Sequences>,
    /// One for each layer: their rotations differ.
    tables: Vec<Arc<RopeTable>>,
    eps: f64,
    norm_weight: NormWeight,
    activation: Activation,
    residual: f64,
}

impl Pass {
    pub fn new(
        path: Path,
        config: &ModelConfig,
        starts: &[usize],
        tables: Vec<Arc<RopeTable>>,
    ) -> Self {
        let attention = |layer| Attention {
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            scale: config.attention_scale(),
            window: config.window(layer),
            softcap: config.attn_logit_softcapping,
        };
        Self {
            attention: (0..config.num_hidden_layers).map(attention).collect(),
            path,
            sequences: Arc::new(starts.into()),
            tables,
            eps: config.rms_norm_eps,
            norm_weight: config.norm_weight,
            activation: config.hidden_act,
            residual: config.residual_multiplier,
        }
    }

    /// The attention of layer `layer`.
    pub fn attention(&self, layer: usize) -> &Attention {
        &self.attention[layer]
    }

    /// The rotation of layer `layer`.
    pub fn table(&self, layer: usize) -> &Arc<RopeTable> {
        &self.tables[layer]
    }

    /// What attention makes of queries, keys and values in layer `layer`.
    pub fn attend(&self, [q, k, v]: &[Tensor; 3], layer: usize) -> candle_core::Result<Tensor> {
        let shape = self.attention(layer);
        ops::attention(self.path, [q, k, v], shape, &self.sequences, self.table(layer))
    }

    /// `x` as it is added to the residual stream.
    fn added(&self, x: Tensor) -> candle_core::Result<Tensor> {
        ops::scaled(&x, self.residual)
    }

    /// A whole block, from one residual stream to the next.
    pub fn block(&self, block: &Block, x: &Tensor, drop: &Drop<'_>) -> candle_core::Result<Tensor> {
        let heads = self.attend(&block.qkv(x, self, drop)?, drop.layer)?;
        block.finish(x, &heads, self, drop)
    }
}
