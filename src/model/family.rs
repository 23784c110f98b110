use super::config::{BlockNorms, Family, FeedForward, Layers, ModelConfig, QueryKeyNorms};
use super::fields::Fields;
use super::rope_scaling::RopeParameters;
use super::settings::Setting;
use crate::ops::{Activation, NormWeight};

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
