use super::config::{FeedForward, Layers, ModelConfig, QueryKeyNorms};
use super::fields::Fields;
use super::rope_scaling::RopeParameters;
use super::settings::Setting;
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

/// All that makes a family.
pub(super) struct Description {
    /// What `config.json` calls it: `model_type`.
    pub model_type: &'static str,
    /// Its class in transformers: `architectures`.
    pub architecture: &'static str,
    /// What its models are called, for lists.
    pub title: &'static str,
    /// What transformers' config class takes where `config.json` says nothing; the sizes are those of one of its published models.
    pub defaults: ModelConfig,
    /// What the activation is called in `config.json`.
    pub hidden_act: &'static str,
    /// Whether an absent `num_key_value_heads` is that of `defaults`; else it is the number of query heads.
    pub key_value_heads_given: bool,
    /// What an absent `head_dim` is.
    pub head_dim: HeadDim,
    /// How `config.json` spells rotation.
    pub rope: RopeFields,
    /// What else it says, in the order of reading.
    pub settings: &'static [Setting],
}

/// What an absent `head_dim` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadDim {
    /// `hidden_size / num_attention_heads`.
    Shared,
    /// That of the family's defaults.
    Own,
}

/// How `config.json` spells rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RopeFields {
    /// The same for all layers.
    Alike,
    /// Windowed layers have their own; version 4 gives the base of it by the name `local`.
    ByLayer { local: Option<&'static str> },
}

/// Families that are refused, with the reason: the beginning of `model_type` or of the architecture in lower case.
const REFUSED: [(&[&str], &str); 7] = [
    (
        &["qwen3_5", "qwen3_next", "qwen3next", "olmo_hybrid", "olmohybrid", "kimi_linear"],
        "most of its layers are a recurrence (gated delta nets) instead of attention",
    ),
    (
        &["gemma4", "gemma3n"],
        "it has embeddings of each layer, and layers that share keys and values",
    ),
    (&["lfm2", "lfm3"], "most of its layers are short convolutions instead of attention"),
    (
        &[
            "mamba",
            "falcon_h1",
            "falconh1",
            "bamba",
            "zamba",
            "jamba",
            "nemotron_h",
            "nemotronh",
            "rwkv",
            "recurrent_gemma",
        ],
        "it has layers that are a recurrence instead of attention",
    ),
    (
        &[
            "mixtral",
            "olmoe",
            "granitemoe",
            "deepseek_v2",
            "deepseekv2",
            "deepseek_v3",
            "deepseekv3",
            "gpt_oss",
            "gptoss",
            "llama4",
            "phimoe",
            "minimax",
            "dbrx",
        ],
        MIXTURE,
    ),
    (
        &[
            "gemma3",
            "mistral3",
            "qwen2_vl",
            "qwen2vl",
            "qwen2_5_vl",
            "qwen2_5_omni",
            "qwen3_vl",
            "qwen3vl",
            "llava",
            "paligemma",
            "mllama",
            "smolvlm",
            "idefics",
        ],
        IMAGES,
    ),
    (
        &["t5", "bart", "mt5", "bert", "roberta", "modernbert"],
        "it does not write text from left to right",
    ),
];

const MIXTURE: &str = "it is a mixture of experts";
const IMAGES: &str = "it reads images beside text; of Gemma 3 the models of text alone are known, gemma-3-270m and gemma-3-1b (gemma3_text)";

impl Family {
    /// All that are known.
    pub const ALL: [Self; 11] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Gemma2,
        Self::Olmo2,
        Self::Qwen3,
        Self::Gemma3,
        Self::SmolLm3,
        Self::Olmo3,
        Self::Granite,
        Self::Granite4,
    ];

    /// What `config.json` calls it: `model_type`.
    pub fn model_type(self) -> &'static str {
        self.description().model_type
    }

    /// Its class in transformers: `architectures`.
    pub fn architecture(self) -> &'static str {
        self.description().architecture
    }

    /// What its models are called.
    pub fn title(self) -> &'static str {
        self.description().title
    }

    /// The family of that `model_type` or architecture.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|family| [family.model_type(), family.architecture()].contains(&name))
    }

    /// Why a model that calls itself `name` is not computed here.
    pub(super) fn refusal(name: &str, fields: &Fields<'_>) -> String {
        let lower = name.to_lowercase();
        let listed = REFUSED.iter().find(|(names, _)| names.iter().any(|n| lower.starts_with(n)));
        let experts = ["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"];
        let has = |name: &&str| fields.get(name).is_some();
        let mixture = experts.iter().any(has) || lower.contains("moe");
        let reason = match listed {
            // a mixture of a family that is refused for more is refused for that
            Some((_, reason)) => Some(*reason),
            None if mixture => Some(MIXTURE),
            None if ["vision_config", "text_config", "audio_config"].iter().any(has) => {
                Some(IMAGES)
            }
            None => None,
        };
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let known = Self::ALL.map(|f| format!("{} ({})", f.model_type(), f.architecture()));
        format!("architecture `{name}` is not known here{reason}; known: {}", known.join(", "))
    }

    /// All that makes it this family.
    pub(super) fn description(self) -> Description {
        use Setting::*;
        let llama = ModelConfig {
            family: self,
            hidden_size: 4096,
            intermediate_size: 11008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: 32,
            head_dim: 128,
            vocab_size: 32000,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope: RopeParameters::plain(10_000.0),
            sliding_rope: None,
            no_rope_layers: Layers::None,
            tie_word_embeddings: false,
            attention_bias: false,
            output_bias: false,
            mlp_bias: false,
            hidden_act: Activation::Silu,
            feed_forward: FeedForward::GateUpDown,
            block_norms: BlockNorms::Before,
            norm_weight: NormWeight::Rounded,
            query_key_norms: QueryKeyNorms::None,
            scaled_embedding: false,
            embedding_multiplier: 1.0,
            residual_multiplier: 1.0,
            attention_multiplier: None,
            query_pre_attn_scalar: None,
            attn_logit_softcapping: None,
            logits_scaling: 1.0,
            final_logit_softcapping: None,
            sliding_window: None,
            sliding_layers: Layers::All,
        };
        let like_llama = |model_type, architecture, title, defaults| Description {
            model_type,
            architecture,
            title,
            defaults,
            hidden_act: "hidden_act",
            key_value_heads_given: false,
            head_dim: HeadDim::Shared,
            rope: RopeFields::Alike,
            settings: &[],
        };
        match self {
            Self::Llama => Description {
                settings: &[AttentionBias, MlpBias],
                ..like_llama("llama", "LlamaForCausalLM", "Llama 2 and 3", llama)
            },
            Self::Mistral => {
                let defaults = ModelConfig {
                    intermediate_size: 14336,
                    num_key_value_heads: 8,
                    max_position_embeddings: 131_072,
                    sliding_window: Some(4096),
                    ..llama
                };
                Description {
                    key_value_heads_given: true,
                    // transformers, too, looks at no `layer_types` of a Mistral
                    settings: &[SlidingWindow],
                    ..like_llama("mistral", "MistralForCausalLM", "Mistral", defaults)
                }
            }
            Self::Qwen2 => {
                let defaults = ModelConfig {
                    intermediate_size: 22016,
                    vocab_size: 151_936,
                    max_position_embeddings: 32768,
                    attention_bias: true,
                    sliding_layers: Layers::From(28),
                    ..llama
                };
                Description {
                    key_value_heads_given: true,
                    settings: &[SwitchedWindow(Some(4096)), MaxWindowLayers, LayerTypes],
                    ..like_llama("qwen2", "Qwen2ForCausalLM", "Qwen 2 and 2.5", defaults)
                }
            }
            Self::Gemma2 => {
                let defaults = ModelConfig {
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
                    sliding_layers: Layers::AllButEvery(2),
                    ..llama
                };
                Description {
                    hidden_act: "hidden_activation",
                    key_value_heads_given: true,
                    head_dim: HeadDim::Own,
                    settings: &[
                        AttentionBias,
                        QueryPreAttnScalar,
                        AttnLogitSoftcapping,
                        FinalLogitSoftcapping,
                        SlidingWindow,
                        LayerTypes,
                    ],
                    ..like_llama("gemma2", "Gemma2ForCausalLM", "Gemma 2", defaults)
                }
            }
            Self::Olmo2 => {
                let defaults = ModelConfig {
                    vocab_size: 50304,
                    rms_norm_eps: 1e-5,
                    block_norms: BlockNorms::After,
                    norm_weight: NormWeight::Wide,
                    query_key_norms: QueryKeyNorms::Whole,
                    ..llama
                };
                Description {
                    settings: &[AttentionBias],
                    ..like_llama("olmo2", "Olmo2ForCausalLM", "OLMo 2", defaults)
                }
            }
            Self::Qwen3 => {
                let defaults = ModelConfig {
                    intermediate_size: 22016,
                    vocab_size: 151_936,
                    max_position_embeddings: 32768,
                    query_key_norms: QueryKeyNorms::PerHead,
                    sliding_layers: Layers::From(28),
                    ..llama
                };
                Description {
                    key_value_heads_given: true,
                    head_dim: HeadDim::Own,
                    settings: &[
                        AttentionBias,
                        SwitchedWindow(Some(4096)),
                        MaxWindowLayers,
                        LayerTypes,
                    ],
                    ..like_llama("qwen3", "Qwen3ForCausalLM", "Qwen 3", defaults)
                }
            }
            Self::Gemma3 => {
                let defaults = ModelConfig {
                    vocab_size: 262_208,
                    max_position_embeddings: 131_072,
                    rope: RopeParameters::plain(1_000_000.0),
                    sliding_rope: Some(RopeParameters::plain(10_000.0)),
                    query_key_norms: QueryKeyNorms::PerHead,
                    attn_logit_softcapping: None,
                    final_logit_softcapping: None,
                    sliding_layers: Layers::AllButEvery(6),
                    ..Self::Gemma2.description().defaults
                };
                Description {
                    model_type: "gemma3_text",
                    architecture: "Gemma3ForCausalLM",
                    title: "Gemma 3 (text)",
                    defaults: ModelConfig { family: self, ..defaults },
                    rope: RopeFields::ByLayer { local: Some("rope_local_base_freq") },
                    settings: &[
                        AttentionBias,
                        QueryPreAttnScalar,
                        FinalLogitSoftcapping,
                        SlidingWindow,
                        SlidingWindowPattern,
                        LayerTypes,
                    ],
                    ..Self::Gemma2.description()
                }
            }
            Self::SmolLm3 => {
                let defaults = ModelConfig {
                    hidden_size: 2048,
                    num_hidden_layers: 36,
                    num_attention_heads: 16,
                    num_key_value_heads: 4,
                    vocab_size: 128_256,
                    max_position_embeddings: 32768,
                    rope: RopeParameters::plain(2_000_000.0),
                    no_rope_layers: Layers::Every(4),
                    tie_word_embeddings: true,
                    sliding_layers: Layers::Every(4),
                    ..llama
                };
                Description {
                    key_value_heads_given: true,
                    settings: &[
                        AttentionBias,
                        MlpBias,
                        NoRopeLayers,
                        SwitchedWindow(None),
                        LayerTypes,
                        NoPadTokenId,
                    ],
                    ..like_llama("smollm3", "SmolLM3ForCausalLM", "SmolLM 3", defaults)
                }
            }
            Self::Olmo3 => {
                let defaults = ModelConfig {
                    rope: RopeParameters::plain(500_000.0),
                    sliding_rope: Some(RopeParameters::plain(500_000.0)),
                    sliding_window: Some(4096),
                    sliding_layers: Layers::AllButEvery(4),
                    family: self,
                    ..Self::Olmo2.description().defaults
                };
                Description {
                    rope: RopeFields::ByLayer { local: None },
                    settings: &[AttentionBias, SlidingWindow, LayerTypes],
                    ..like_llama("olmo3", "Olmo3ForCausalLM", "OLMo 3", defaults)
                }
            }
            Self::Granite => {
                let defaults = ModelConfig { attention_multiplier: Some(1.0), ..llama };
                Description {
                    settings: &[AttentionBias, MlpBias, Multipliers],
                    ..like_llama("granite", "GraniteForCausalLM", "Granite 3", defaults)
                }
            }
            Self::Granite4 => {
                let defaults = ModelConfig {
                    intermediate_size: 1024,
                    attention_multiplier: Some(1.0),
                    feed_forward: FeedForward::InputOutput,
                    ..llama
                };
                let names = ("granitemoehybrid", "GraniteMoeHybridForCausalLM");
                Description {
                    settings: &[AttentionBias, Multipliers, DenseGranite4],
                    ..like_llama(names.0, names.1, "Granite 4 (dense)", defaults)
                }
            }
        }
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
        family.description().defaults
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
        let width = |heads: usize| match self.query_key_norms {
            QueryKeyNorms::None => None,
            QueryKeyNorms::Whole => Some(heads * self.head_dim),
            QueryKeyNorms::PerHead => Some(self.head_dim),
        };
        for (place, name, heads) in [
            (Place::Queries, "self_attn.q_norm", self.num_attention_heads),
            (Place::Keys, "self_attn.k_norm", self.num_key_value_heads),
        ] {
            norms.extend(width(heads).map(|width| (place, name, width)));
        }
        norms
    }
}
