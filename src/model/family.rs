use super::config::{ModelConfig, SlidingLayers};
use super::rope_scaling::RopeScaling;
use crate::ops::{Activation, NormWeight};

/// A family of models, as `model_type` names it.
///
/// One decoder computes all of them. What a family is comes down to fields of [`ModelConfig`]: [`ModelConfig::defaults`] gives them
/// as transformers' config class of that family does, and `config.json` changes them.
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
/// # Where candle-transformers 0.11.1 differs
///
/// It has all five families, but for inference: gradients reach few weights or none. Where it computes other numbers than
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
}

impl Family {
    /// All that are known.
    pub const ALL: [Self; 5] = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Gemma2, Self::Olmo2];

    /// What `config.json` calls it: `model_type`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Gemma2 => "gemma2",
            Self::Olmo2 => "olmo2",
        }
    }

    /// Its class in transformers: `architectures`.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Gemma2 => "Gemma2ForCausalLM",
            Self::Olmo2 => "Olmo2ForCausalLM",
        }
    }

    /// The family of that `model_type` or architecture.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|family| [family.model_type(), family.architecture()].contains(&name))
    }
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

/// The place of one norm in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    BeforeAttention,
    Queries,
    Keys,
    AfterAttention,
    BeforeFeedForward,
    AfterFeedForward,
}

impl ModelConfig {
    /// What transformers' config class of a family takes where `config.json` says nothing; the sizes are those of one of its
    /// published models.
    pub fn defaults(family: Family) -> Self {
        let llama = Self {
            family,
            hidden_size: 4096,
            intermediate_size: 11008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: 32,
            head_dim: 128,
            vocab_size: 32000,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            tie_word_embeddings: false,
            attention_bias: false,
            output_bias: false,
            mlp_bias: false,
            hidden_act: Activation::Silu,
            block_norms: BlockNorms::Before,
            norm_weight: NormWeight::Rounded,
            query_key_norms: false,
            scaled_embedding: false,
            query_pre_attn_scalar: None,
            attn_logit_softcapping: None,
            final_logit_softcapping: None,
            sliding_window: None,
            sliding_layers: SlidingLayers::All,
        };
        match family {
            Family::Llama => llama,
            Family::Mistral => Self {
                intermediate_size: 14336,
                num_key_value_heads: 8,
                max_position_embeddings: 131_072,
                sliding_window: Some(4096),
                ..llama
            },
            Family::Qwen2 => Self {
                intermediate_size: 22016,
                vocab_size: 151_936,
                max_position_embeddings: 32768,
                attention_bias: true,
                sliding_layers: SlidingLayers::From(28),
                ..llama
            },
            Family::Gemma2 => Self {
                hidden_size: 2304,
                intermediate_size: 9216,
                num_hidden_layers: 26,
                num_attention_heads: 8,
                num_key_value_heads: 4,
                head_dim: 256,
                vocab_size: 256_000,
                max_position_embeddings: 8192,
                tie_word_embeddings: true,
                hidden_act: Activation::GeluTanh,
                block_norms: BlockNorms::Around,
                norm_weight: NormWeight::OnePlus,
                scaled_embedding: true,
                query_pre_attn_scalar: Some(256.0),
                attn_logit_softcapping: Some(50.0),
                final_logit_softcapping: Some(30.0),
                sliding_window: Some(4096),
                sliding_layers: SlidingLayers::EverySecond,
                ..llama
            },
            Family::Olmo2 => Self {
                vocab_size: 50304,
                rms_norm_eps: 1e-5,
                block_norms: BlockNorms::After,
                norm_weight: NormWeight::Wide,
                query_key_norms: true,
                ..llama
            },
        }
    }

    /// The norms of a block: where they are, their names in a checkpoint and their widths.
    pub(super) fn norms(&self) -> Vec<(Place, &'static str, usize)> {
        let hidden = self.hidden_size;
        let mut norms = match self.block_norms {
            BlockNorms::Before => vec![
                (Place::BeforeAttention, "input_layernorm", hidden),
                (Place::BeforeFeedForward, "post_attention_layernorm", hidden),
            ],
            BlockNorms::Around => vec![
                (Place::BeforeAttention, "input_layernorm", hidden),
                (Place::AfterAttention, "post_attention_layernorm", hidden),
                (Place::BeforeFeedForward, "pre_feedforward_layernorm", hidden),
                (Place::AfterFeedForward, "post_feedforward_layernorm", hidden),
            ],
            BlockNorms::After => vec![
                (Place::AfterAttention, "post_attention_layernorm", hidden),
                (Place::AfterFeedForward, "post_feedforward_layernorm", hidden),
            ],
        };
        if self.query_key_norms {
            let width = |heads: usize| heads * self.head_dim;
            norms.extend([
                (Place::Queries, "self_attn.q_norm", width(self.num_attention_heads)),
                (Place::Keys, "self_attn.k_norm", width(self.num_key_value_heads)),
            ]);
        }
        norms
    }
}
