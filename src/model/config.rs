use super::rope_scaling::RopeParameters;
use crate::ops::{Activation, NormWeight};

/// A family of models, as `model_type` names it.
///
/// One decoder computes all of them. What a family is comes down to fields of [`ModelConfig`]: [`ModelConfig::defaults`] gives them
/// as transformers' config class of that family does, and `config.json` changes them. A family is described in one place: what
/// `config.json` calls it, its defaults, and which settings it has beyond the sizes that all have.
///
/// | | Llama 3.x | Mistral | Qwen 2.5 | Gemma 2 | OLMo 2 |
/// |---|---|---|---|---|---|
/// | biases | by the config | none | q, k, v | by the config, not in the feed-forward layer | as Gemma 2 |
/// | head size | any | any | hidden / heads, or given | any | hidden / heads, or given |
/// | norms of a block | before | before | before | before and after | after, and of all queries and all keys |
/// | a norm's weight | `w` | `w` | `w` | `1 + w`, in f32 | `w`, in f32 |
/// | feed-forward | SiLU | SiLU | SiLU | GeLU (tanh) | SiLU |
/// | window | none | every layer | layers from the n-th on, seldom used | every second layer | none |
/// | scores | `/ √head` | `/ √head` | `/ √head` | `/ √query_pre_attn_scalar`, soft-capped | `/ √head` |
/// | embedding | as stored | as stored | as stored | `· √hidden` | as stored |
/// | logits | as they are | as they are | as they are | soft-capped | as they are |
///
/// | | as | and |
/// |---|---|---|
/// | Qwen 3 | Qwen 2.5 | norms of each head of queries and keys; a head size of its own; biases by the config |
/// | Gemma 3 (text) | Gemma 2 | norms of each head, `1 + w`; a window in five of six layers, which rotate by a base of their own; no caps, unless the config has one for logits |
/// | SmolLM 3 | Llama | no rotation in every fourth layer |
/// | OLMo 3 | OLMo 2 | a window in three of four layers, in which rotation is never stretched |
/// | Granite 3 | Llama | multipliers of embedding, residual stream and scores, a divisor of logits |
/// | Granite 4 (dense) | Granite 3 | gate and up in one matrix; perhaps no rotation at all |
///
/// Where transformers 5.24 is odd, this crate is too: a Gemma 3's `attn_logit_softcapping` does nothing, an OLMo 3's `rope_theta` in
/// version 4's spelling is not for its windowed layers, which take 500,000.
///
/// # Where candle-transformers 0.11.1 differs
///
/// It has the first five families, and others, but for inference: gradients reach few weights or none. Where it computes other numbers than
/// transformers does, this crate follows transformers, whose numbers `tests/families.rs` holds it to:
///
/// | model | there | here, as in transformers |
/// |---|---|---|
/// | all | logits of the last position only | of every position |
/// | mistral, gemma2, qwen2 | a window of `W` sees `W + 1` tokens, and all of them while decoding | `i - j < W`, always |
/// | gemma2, qwen2 | the window is applied in every layer | in those that `layer_types` names, else in every second one, or from `max_window_layers` on |
/// | gemma2 | scores are divided by `√head_dim` | by `√query_pre_attn_scalar`: another number in the 27 B model |
/// | gemma2 | the head is always the embedding | unless `tie_word_embeddings` is false, or the weights have a head that differs |
/// | gemma2, qwen2, olmo2 | rotary angles in the model's precision: in bf16 the cosine is wrong by 0.5 from position 255 on | in f32 |
/// | qwen2 | the window is applied even if `use_sliding_window` is false, and may not be null | only if it is true |
/// | llama | biases, `hidden_act` and `head_dim` are not read, of rotary scalings only llama3 is | all are |
/// | qwen2, olmo2 | `head_dim` is not read | it is |
/// | mistral | there must be an `lm_head.weight` | a tied head is the embedding |
/// | all | `rope_parameters`, `dtype` (version 5's spelling) are not read | both spellings are |
///
/// Measured on 26 November 2026 by `tests/reference/candle_transformers.rs` on the small random models of `tests/reference` (f32,
/// processor, version 5's spelling of the rotary angle put into version 4's): the largest difference of a logit from transformers',
/// where all tokens up to a position are read at once and where they are read one by one. The largest logits are between 2.5 and 7.4;
/// tests hold ours to 1e-4 everywhere.
///
/// | model | at once | one by one | why |
/// |---|---|---|---|
/// | llama-tied, llama-three | 6e-6 | 6e-6 | |
/// | llama-scaled | – | – | panics while it loads: heads of 12, where hidden / heads is 4 |
/// | llama-linear | – | – | refuses linear scaling of the rotary angles |
/// | mistral-window | 4.0 | 6.1 | the window; told `W - 1`, it is off by 5e-6 and 6.1 |
/// | mistral-tied | – | – | refuses the tied head; with the embedding stored as head too, 4e-6 both |
/// | qwen2-tied | – | – | refuses `sliding_window: null`; told a very large one, 5e-6 and 6e-6 |
/// | qwen2-window | 7.9 | 2.9 | the window, in layers that should have none; 4e-6 on the first `W` tokens |
/// | gemma2-old | 2.6 | 3.2 | the window in every layer; 1e-6 on the first `W` tokens |
/// | gemma2-capped | 2.7 | 3.2 | the same, and the scale of scores: 0.2 on the first `W` tokens, 1e-6 with queries scaled to make up for it |
/// | gemma2-plain | 6.7 | 7.5 | the same window, and the untied head: wrong from the first token on |
/// | olmo2-grouped, olmo2-tied | 3e-6 | 3e-6 | |
///
/// Where transformers is made to do the same (`W + 1` in every layer, scores over `√head_dim`, the embedding as head), the four models
/// that differ for these reasons agree with it within 6e-6 at once: nothing else is behind
/// the differences, and soft-caps, biases of queries and norms are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 2 and 3.x, and what shares their architecture, such as SmolLM 2.
    Llama,
    /// Mistral 7B.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Gemma 2.
    Gemma2,
    /// OLMo 2.
    Olmo2,
    /// Qwen 3, without experts.
    Qwen3,
    /// Gemma 3's models of text alone.
    Gemma3,
    /// SmolLM 3.
    SmolLm3,
    /// OLMo 3.
    Olmo3,
    /// Granite 3.
    Granite,
    /// Granite 4's dense models, without experts and recurrence.
    Granite4,
}

/// What `config.json` says, in either of transformers' spellings.
///
/// All differences between families are fields; [`ModelConfig::defaults`] gives a family's.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// What `config.json` calls itself; nothing is computed by it.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Longest sequence the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Added to the mean square in the norms.
    pub rms_norm_eps: f64,
    /// Base and stretching of the rotary frequencies.
    pub rope: RopeParameters,
    /// Those of windowed layers, where they differ by kind of layer.
    pub sliding_rope: Option<RopeParameters>,
    /// Which layers are without rotation.
    pub no_rope_layers: Layers,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether q, k and v have biases.
    pub attention_bias: bool,
    /// Whether o has a bias.
    pub output_bias: bool,
    /// Whether gate, up and down have biases.
    pub mlp_bias: bool,
    /// What bends the gate.
    pub hidden_act: Activation,
    /// How the feed-forward layer's weights are stored.
    pub feed_forward: FeedForward,
    /// Where a block has norms.
    pub block_norms: BlockNorms,
    /// How the norms' weights enter.
    pub norm_weight: NormWeight,
    /// How queries and keys are normed before rotation.
    pub query_key_norms: QueryKeyNorms,
    /// Whether embeddings are multiplied by `√hidden_size`.
    pub scaled_embedding: bool,
    /// What embeddings are multiplied by beside that.
    pub embedding_multiplier: f64,
    /// What attention and feed-forward layer give is multiplied by before it is added to the residual stream.
    pub residual_multiplier: f64,
    /// What scores are multiplied by; `None` is one over the root of `query_pre_attn_scalar`.
    pub attention_multiplier: Option<f64>,
    /// Scores are divided by the root of this; `None` is `head_dim`.
    pub query_pre_attn_scalar: Option<f64>,
    /// Bound on attention scores.
    pub attn_logit_softcapping: Option<f64>,
    /// What logits are divided by.
    pub logits_scaling: f64,
    /// Bound on logits.
    pub final_logit_softcapping: Option<f64>,
    /// How many tokens a token sees in windowed layers, itself included: `i - j < window`.
    pub sliding_window: Option<usize>,
    /// Which layers are windowed, where there is a window.
    pub sliding_layers: Layers,
}

/// Where a block has norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockNorms {
    /// Before attention and before the feed-forward layer.
    Before,
    /// Before and after both.
    Around,
    /// After both.
    After,
}

/// How queries and keys are normed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKeyNorms {
    /// Not at all.
    None,
    /// All queries of a token together, and all its keys: a weight for each of their numbers.
    Whole,
    /// Each head by itself, by one weight as wide as a head.
    PerHead,
}

/// How the weights of the feed-forward layer are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedForward {
    /// `mlp.gate_proj`, `mlp.up_proj` and `mlp.down_proj`.
    GateUpDown,
    /// `shared_mlp.input_linear`, which is gate and up one above the other, and `shared_mlp.output_linear`.
    InputOutput,
}

/// Some of a model's layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layers {
    /// None of them.
    None,
    /// All of them.
    All,
    /// Every n-th.
    Every(usize),
    /// All but every n-th: with 2 the first, the third and so on.
    AllButEvery(usize),
    /// Those from this one on, counted from 0.
    From(usize),
    /// Those marked true.
    Listed(Vec<bool>),
}

impl Layers {
    /// Whether layer `layer`, counted from 0, is among them.
    pub fn has(&self, layer: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Every(n) => (layer + 1).is_multiple_of(*n),
            Self::AllButEvery(n) => !(layer + 1).is_multiple_of(*n),
            Self::From(first) => layer >= *first,
            Self::Listed(layers) => layers.get(layer).copied().unwrap_or(false),
        }
    }
}

impl ModelConfig {
    /// How far back layer `layer` sees, in tokens, its own included; `None` is everything.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| self.sliding_layers.has(layer))
    }

    /// What attention scores are multiplied by.
    pub fn attention_scale(&self) -> f64 {
        let divisor = self.query_pre_attn_scalar.unwrap_or(self.head_dim as f64);
        self.attention_multiplier.unwrap_or(1.0 / divisor.sqrt())
    }

    /// What embeddings are multiplied by.
    pub fn embedding_scale(&self) -> f64 {
        let root = if self.scaled_embedding { (self.hidden_size as f64).sqrt() } else { 1.0 };
        self.embedding_multiplier * root
    }

    /// How layer `layer` turns queries and keys; `None` is not at all.
    pub fn layer_rope(&self, layer: usize) -> Option<RopeParameters> {
        if self.no_rope_layers.has(layer) {
            return None;
        }
        Some(match self.sliding_rope {
            Some(rope) if self.sliding_layers.has(layer) => rope,
            _ => self.rope,
        })
    }
}
