//! `config.json` and `generation_config.json`, as transformers writes them.

use super::config::{Family, ModelConfig};
use super::family::{HeadDim, RopeFields};
use super::fields::Fields;
use super::rope_scaling::RopeParameters;
use crate::error::{Error, Result};
use crate::files::read_text;
use crate::ops::Activation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

impl ModelConfig {
    /// Reads `config.json`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, "reading the model's config")?;
        Self::parse(&text).map_err(|problem| Error::file(path, problem))
    }

    /// Reads the text of a `config.json`.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|e| format!("not a model config: {e}"))?;
        let Value::Object(fields) = &value else {
            return Err("not a model config: an object is needed".into());
        };
        let fields = Fields::of(fields, "config.json");
        let architectures = fields.texts("architectures")?.unwrap_or_default();
        let name = fields.text("model_type")?;
        let Some(name) = name.or(architectures.first().copied()) else {
            return Err("names no architecture: `model_type` is missing".into());
        };
        let family = Family::named(name).ok_or_else(|| Family::refusal(name, &fields))?;
        if let Some(quantized) = fields.get("quantization_config") {
            let method = quantized.get("quant_method").and_then(Value::as_str);
            return Err(format!(
                "the weights are quantized ({}), and such weights are not known here; take the model in bf16, f16 or f32",
                method.unwrap_or("quantization_config")
            ));
        }
        if fields.flag("use_bidirectional_attention", false)? {
            return Err("`use_bidirectional_attention` is not known here".into());
        }
        let description = family.description();
        let base = description.defaults;
        let size = |name: &str, default: usize| fields.size(name, default);

        let hidden_size = size("hidden_size", base.hidden_size)?;
        let heads = size("num_attention_heads", base.num_attention_heads)?;
        // the older classes take as many key heads as query heads where nothing is said, the newer ones where it is null
        let kv_default =
            if description.key_value_heads_given { base.num_key_value_heads } else { heads };
        let kv_heads = fields
            .or_null("num_key_value_heads", Some(kv_default), |f, name| f.size(name, 1))?
            .unwrap_or(heads);
        if heads % kv_heads != 0 {
            return Err(format!(
                "{heads} attention heads cannot share {kv_heads} key-value heads evenly"
            ));
        }
        let head_dim = match description.head_dim {
            HeadDim::Own => base.head_dim,
            HeadDim::Shared => hidden_size / heads,
        };
        let head_dim = match fields.get("head_dim") {
            Some(_) => size("head_dim", head_dim)?,
            None => head_dim,
        };
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(format!("a head width of {head_dim} cannot be rotated in pairs"));
        }
        let act = description.hidden_act;
        let hidden_act = match fields.text(act)? {
            None => base.hidden_act,
            Some("silu" | "swish") => Activation::Silu,
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Activation::GeluTanh,
            Some(other) => {
                return Err(format!(
                    "{act} `{other}` is not known here; known: silu, gelu_pytorch_tanh"
                ));
            }
        };
        let context = size("max_position_embeddings", base.max_position_embeddings)?;
        let theta = base.rope.rope_theta;
        let (rope, sliding_rope) = match (description.rope, base.sliding_rope) {
            (RopeFields::ByLayer { local }, Some(sliding)) => {
                let theta = [theta, sliding.rope_theta];
                let [rope, sliding] =
                    RopeParameters::parse_by_layer(&fields, context, theta, local)?;
                (rope, Some(sliding))
            }
            _ => (RopeParameters::parse(&fields, context, theta)?, None),
        };
        let mut config = Self {
            hidden_size,
            intermediate_size: size("intermediate_size", base.intermediate_size)?,
            num_hidden_layers: size("num_hidden_layers", base.num_hidden_layers)?,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim,
            vocab_size: size("vocab_size", base.vocab_size)?,
            max_position_embeddings: context,
            rms_norm_eps: fields.positive("rms_norm_eps", base.rms_norm_eps)?,
            rope,
            sliding_rope,
            tie_word_embeddings: fields.flag("tie_word_embeddings", base.tie_word_embeddings)?,
            hidden_act,
            ..base
        };
        for setting in description.settings {
            setting.read(&fields, &mut config)?;
        }
        Ok(config)
    }

    /// The config as transformers reads it (version 4's spelling, which version 5 reads too).
    pub fn to_json(&self) -> Value {
        let act = match self.hidden_act {
            Activation::Silu => "silu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
        };
        let description = self.family.description();
        let mut config = json!({
            "architectures": [description.architecture], "model_type": description.model_type,
            (description.hidden_act): act,
            "hidden_size": self.hidden_size, "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers, "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads, "head_dim": self.head_dim,
            "vocab_size": self.vocab_size, "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps, "rope_theta": self.rope.rope_theta, "rope_scaling": self.rope.scaling.to_json(),
            "tie_word_embeddings": self.tie_word_embeddings,
        });
        if let (RopeFields::ByLayer { local }, Some(sliding)) =
            (description.rope, self.sliding_rope)
        {
            if let Some(local) = local {
                config[local] = json!(sliding.rope_theta);
            }
            // version 5's, since version 4's cannot say everything
            config["rope_parameters"] = RopeParameters::by_layer_to_json(self.rope, sliding);
        }
        for setting in description.settings {
            setting.write(self, &mut config);
        }
        config["torch_dtype"] = json!("float32");
        config
    }
}

/// `generation_config.json`, as far as it is used: where generation stops.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct GenerationConfig {
    #[serde(default)]
    eos_token_id: Option<OneOrMany>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl GenerationConfig {
    /// Reads the stop ids of a `generation_config.json` or `config.json`; empty if it names none.
    pub(super) fn stop_ids(path: &Path) -> Result<Vec<u32>> {
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = read_text(path, "reading the stop ids")?;
        let config = serde_json::from_str(&text).map_err(|e| Error::file(path, Self::wrong(&e)))?;
        Self::of(config).map_err(|problem| Error::file(path, problem))
    }

    /// The stop ids that the fields of a config name.
    pub(super) fn of(config: Value) -> std::result::Result<Vec<u32>, String> {
        let config: Self = serde_json::from_value(config).map_err(|e| Self::wrong(&e))?;
        Ok(match config.eos_token_id {
            None => Vec::new(),
            Some(OneOrMany::One(id)) => vec![id],
            Some(OneOrMany::Many(ids)) => ids,
        })
    }

    fn wrong(error: &serde_json::Error) -> String {
        format!("`eos_token_id` must be a number or a list of numbers: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::rope_scaling::RopeScaling;
    use super::*;

    const SIZES: &str = r#""model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 100"#;

    fn parse(more: &str) -> std::result::Result<ModelConfig, String> {
        ModelConfig::parse(&format!("{{{SIZES}{more}}}"))
    }

    /// A config of `family` with four layers, `more` added.
    fn of(family: Family, more: &str) -> std::result::Result<ModelConfig, String> {
        let name = family.model_type();
        ModelConfig::parse(&format!(
            r#"{{"model_type": "{name}", "num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 8{more}}}"#
        ))
    }

    const DENSE: &str = r#", "num_local_experts": 0, "shared_intermediate_size": 24,
        "layer_types": ["attention", "attention", "full_attention", "attention"]"#;

    fn windows_of(family: Family, more: &str) -> [Option<usize>; 4] {
        let config = of(family, more).unwrap();
        [0, 1, 2, 3].map(|layer| config.window(layer))
    }

    #[test]
    fn both_spellings_mean_the_same() {
        let four = parse(r#", "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}"#)
            .unwrap();
        let five = parse(
            r#", "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500000}"#,
        )
        .unwrap();
        assert_eq!(four, five);
        // both names of the type at once, as version 4.43 to 4.57 wrote them
        let both = parse(
            r#", "rope_theta": 5e5, "rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 2}"#,
        );
        assert_eq!(both.unwrap(), four);
        assert_eq!(ModelConfig::parse(&four.to_json().to_string()).unwrap(), four);
        let three = |more: &str| {
            let text = format!(
                r#", "max_position_embeddings": 128, "rope_scaling": {{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1,
                    "high_freq_factor": 4{more}}}"#
            );
            parse(&text).unwrap().rope.scaling
        };
        let original = |scaling| match scaling {
            RopeScaling::Llama3 { original, .. } => original,
            _ => panic!("{scaling:?}"),
        };
        assert_eq!(original(three(r#", "original_max_position_embeddings": 64"#)), 64.0);
        assert_eq!(original(three("")), 128.0, "else the context's length");
    }

    #[test]
    fn what_is_absent_is_as_in_transformers_config_classes() {
        // an absent number of experts is 8 there
        for family in Family::ALL.into_iter().filter(|family| *family != Family::Granite4) {
            let name = family.model_type();
            let bare = ModelConfig::parse(&format!(r#"{{"model_type": "{name}"}}"#)).unwrap();
            assert_eq!(bare, ModelConfig::defaults(family));
            let name = family.architecture();
            let bare = ModelConfig::parse(&format!(r#"{{"architectures": ["{name}"]}}"#)).unwrap();
            assert_eq!(bare, ModelConfig::defaults(family));
        }
        let kv = |family, more: &str| of(family, more).unwrap().num_key_value_heads;
        assert_eq!(kv(Family::Llama, ""), 8);
        assert_eq!(kv(Family::Olmo2, ""), 8);
        assert_eq!(kv(Family::Mistral, ""), 8);
        assert_eq!(kv(Family::Gemma2, ""), 4);
        assert_eq!(kv(Family::Mistral, r#", "num_key_value_heads": null"#), 8);
        assert!(of(Family::Qwen2, "").is_err(), "32 key heads for 8");
        assert_eq!(kv(Family::Qwen2, r#", "num_key_value_heads": null"#), 8);
        assert_eq!(of(Family::Mistral, r#", "head_dim": null"#).unwrap().head_dim, 8);
        assert_eq!(of(Family::Gemma2, "").unwrap().head_dim, 256);
        assert_eq!(kv(Family::Granite, ""), 8);
        assert_eq!(kv(Family::Olmo3, ""), 8);
        assert_eq!(kv(Family::SmolLm3, ""), 4);
        let qwen = of(Family::Qwen3, r#", "num_key_value_heads": 2"#).unwrap();
        assert_eq!(qwen.head_dim, 128, "not hidden / heads");
        assert_eq!(of(Family::SmolLm3, "").unwrap().head_dim, 8);
    }

    #[test]
    fn null_is_not_absent_for_caps_and_windows() {
        let gemma = |more: &str| of(Family::Gemma2, more).unwrap();
        let caps =
            |config: ModelConfig| (config.attn_logit_softcapping, config.final_logit_softcapping);
        assert_eq!(caps(gemma("")), (Some(50.0), Some(30.0)));
        let nulls = r#", "attn_logit_softcapping": null, "final_logit_softcapping": null"#;
        assert_eq!(caps(gemma(nulls)), (None, None));
        let window = windows_of;
        assert_eq!(window(Family::Mistral, ""), [Some(4096); 4]);
        assert_eq!(window(Family::Mistral, r#", "sliding_window": null"#), [None; 4]);
        assert_eq!(window(Family::Llama, r#", "sliding_window": 4"#), [None; 4]);
    }

    #[test]
    fn windows_are_in_the_layers_that_the_config_names() {
        let some = Some(5);
        let gemma =
            |more: &str| windows_of(Family::Gemma2, &format!(r#", "sliding_window": 5{more}"#));
        assert_eq!(gemma(""), [some, None, some, None]);
        let types = r#", "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]"#;
        assert_eq!(gemma(types), [None, some, None, None]);
        let qwen = |more: &str| {
            let sizes = r#", "num_key_value_heads": 2, "sliding_window": 5"#;
            windows_of(Family::Qwen2, &format!("{sizes}{more}"))
        };
        assert_eq!(qwen(""), [None; 4]);
        let on = r#", "use_sliding_window": true"#;
        assert_eq!(qwen(on), [None; 4], "from layer 28 on");
        assert_eq!(qwen(&format!(r#"{on}, "max_window_layers": 2"#)), [None, None, some, some]);
        assert_eq!(qwen(&format!(r#"{on}, "max_window_layers": 0"#)), [some; 4]);
        assert_eq!(
            qwen(&format!(r#"{on}, "max_window_layers": 2{types}"#)),
            [None, some, None, None]
        );
    }

    #[test]
    fn windows_and_rotations_of_the_families_that_mix_them() {
        let some = Some(5);
        let window = r#", "sliding_window": 5"#;
        let pattern = |more: &str| windows_of(Family::Gemma3, &format!("{window}{more}"));
        assert_eq!(pattern(""), [some; 4], "the sixth sees everything");
        assert_eq!(pattern(r#", "sliding_window_pattern": 2"#), [some, None, some, None]);
        assert_eq!(windows_of(Family::Olmo3, window), [some, some, some, None]);
        let smol = |more: &str| windows_of(Family::SmolLm3, &format!("{window}{more}"));
        assert_eq!(smol(""), [None; 4], "not switched on");
        assert_eq!(smol(r#", "use_sliding_window": true"#), [None, None, None, some]);

        let turned = |family, more: &str| {
            let config = of(family, more).unwrap();
            [0, 1, 2, 3].map(|layer| config.layer_rope(layer).map(|rope| rope.rope_theta))
        };
        let all = Some(2e6);
        assert_eq!(turned(Family::SmolLm3, ""), [all, all, all, None]);
        let listed = r#", "no_rope_layers": [0, 1, 1, 0], "rope_theta": 9"#;
        assert_eq!(turned(Family::SmolLm3, listed), [None, Some(9.0), Some(9.0), None]);
        let (whole, local) = (Some(1e6), Some(1e4));
        let four = r#", "sliding_window_pattern": 4"#;
        assert_eq!(turned(Family::Gemma3, four), [local, local, local, whole]);
        let both = format!(r#"{four}, "rope_theta": 7, "rope_local_base_freq": 3"#);
        let (three, seven) = (Some(3.0), Some(7.0));
        assert_eq!(turned(Family::Gemma3, &both), [three, three, three, seven]);
        let five = r#", "sliding_window_pattern": 4, "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 7},
            "sliding_attention": {"rope_theta": 3}}"#;
        assert_eq!(turned(Family::Gemma3, five), [three, three, three, seven]);
        // stretched in layers that see everything only
        let scaled = r#", "rope_scaling": {"rope_type": "yarn", "factor": 8.0}"#;
        let config = of(Family::Olmo3, scaled).unwrap();
        let stretched = |layer| config.layer_rope(layer).unwrap().scaling != RopeScaling::None;
        assert_eq!([0, 1, 2, 3].map(stretched), [false, false, false, true]);
        assert_eq!(turned(Family::Granite4, DENSE), [None; 4]);
    }

    #[test]
    fn yarns_factor_on_queries_and_keys_is_that_of_transformers() {
        let factor = |more: &str| {
            let text = format!(r#", "rope_scaling": {{"rope_type": "yarn", "factor": 4.0{more}}}"#);
            match parse(&text).unwrap().rope.scaling {
                RopeScaling::Yarn { attention_factor, .. } => attention_factor,
                other => panic!("{other:?}"),
            }
        };
        // 0.1 ln 4 + 1
        assert!((factor("") - 1.138_629_436_111_989).abs() < 1e-12);
        assert_eq!(factor(r#", "attention_factor": 1.5"#), 1.5);
        let both = factor(r#", "mscale": 2.0, "mscale_all_dim": 1.0"#);
        assert!((both - 1.277_258_872_223_978 / 1.138_629_436_111_989).abs() < 1e-12);
        assert!((factor(r#", "mscale": 2.0"#) - 1.138_629_436_111_989).abs() < 1e-12);
    }

    #[test]
    fn families_that_are_not_computed_are_refused_with_the_reason() {
        let cases = [
            ("qwen3_5", "recurrence"),
            ("qwen3_5_moe", "recurrence"),
            ("qwen3_next", "recurrence"),
            ("Qwen3_5ForConditionalGeneration", "recurrence"),
            ("Qwen3NextForCausalLM", "recurrence"),
            ("gemma3", "images"),
            ("Gemma3ForConditionalGeneration", "images"),
            ("gemma3n", "each layer"),
            ("gemma3n_text", "each layer"),
            ("gemma4", "each layer"),
            ("gemma4_text", "each layer"),
            ("Gemma4ForCausalLM", "each layer"),
            ("lfm2", "convolutions"),
            ("Lfm2ForCausalLM", "convolutions"),
            ("lfm2_moe", "convolutions"),
            ("qwen2_moe", "mixture of experts"),
            ("qwen3_moe", "mixture of experts"),
            ("Qwen3MoeForCausalLM", "mixture of experts"),
            ("granitemoe", "mixture of experts"),
            ("granitemoeshared", "mixture of experts"),
            ("GraniteMoeForCausalLM", "mixture of experts"),
            ("olmoe", "mixture of experts"),
            ("mixtral", "mixture of experts"),
            ("deepseek_v3", "mixture of experts"),
            ("gpt_oss", "mixture of experts"),
        ];
        for (name, reason) in cases {
            for key in
                [format!(r#""model_type": "{name}""#), format!(r#""architectures": ["{name}"]"#)]
            {
                let error = ModelConfig::parse(&format!("{{{key}}}")).unwrap_err();
                let named = error.contains(&format!("`{name}`")) && error.contains("known: llama");
                assert!(named && error.contains(reason), "{name}: {error}");
            }
        }
        // by what the config has, where the name says nothing
        let by_field = |field: &str| {
            ModelConfig::parse(&format!(r#"{{"model_type": "new", {field}}}"#)).unwrap_err()
        };
        assert!(by_field(r#""num_experts": 64"#).contains("mixture of experts"));
        assert!(by_field(r#""vision_config": {}"#).contains("images"));
        let granite = |more: &str| of(Family::Granite4, more).unwrap_err();
        assert!(granite("").contains("mixture of experts"));
        assert!(granite(r#", "num_local_experts": 0"#).contains("`mamba` are a recurrence"));
        let mixed = r#", "num_local_experts": 0, "layer_types": ["attention", "mamba", "attention", "attention"]"#;
        assert!(granite(mixed).contains("`mamba` are a recurrence"));
        let dense = granite(&format!(r#"{DENSE}, "position_embedding_type": "alibi""#));
        assert!(dense.contains("`alibi`"), "{dense}");
    }

    #[test]
    fn every_family_is_written_as_it_is_read() {
        let cases = [
            (
                Family::Llama,
                r#", "attention_bias": true, "mlp_bias": true, "hidden_act": "gelu_pytorch_tanh""#,
            ),
            (Family::Mistral, r#", "head_dim": 12, "sliding_window": null"#),
            (Family::Mistral, r#", "sliding_window": 9"#),
            (
                Family::Qwen2,
                r#", "num_key_value_heads": 4, "use_sliding_window": true, "max_window_layers": 3"#,
            ),
            (Family::Qwen2, r#", "num_key_value_heads": 4, "sliding_window": 9"#),
            (Family::Gemma2, r#", "query_pre_attn_scalar": 144, "attn_logit_softcapping": null"#),
            (
                Family::Gemma2,
                r#", "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]"#,
            ),
            (Family::Olmo2, r#", "attention_bias": true, "tie_word_embeddings": true"#),
            (
                Family::Qwen3,
                r#", "num_key_value_heads": 4, "attention_bias": true, "rope_scaling": {"type": "yarn", "factor": 4.0,
                    "original_max_position_embeddings": 64, "truncate": false, "mscale": 2.0, "mscale_all_dim": 0.5}"#,
            ),
            (Family::Gemma3, r#", "sliding_window_pattern": 3, "rope_local_base_freq": 300.0"#),
            (
                Family::Gemma3,
                r#", "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "final_logit_softcapping": 9.0,
                    "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]"#,
            ),
            (Family::SmolLm3, r#", "no_rope_layer_interval": 2"#),
            (
                Family::SmolLm3,
                r#", "no_rope_layers": [1, 0, 0, 1, 0], "use_sliding_window": true, "sliding_window": 6"#,
            ),
            (
                Family::SmolLm3,
                r#", "use_sliding_window": true, "sliding_window": 6,
                    "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]"#,
            ),
            (
                Family::Olmo3,
                r#", "rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 2.0, "rope_theta": 7e5},
                    "sliding_attention": {"rope_theta": 3e3}}"#,
            ),
            (
                Family::Granite,
                r#", "mlp_bias": true, "embedding_multiplier": 12, "residual_multiplier": 0.22, "attention_multiplier": 0.0156,
                    "logits_scaling": 8"#,
            ),
            (Family::Granite4, &format!("{DENSE}, \"position_embedding_type\": \"rope\"")),
            (Family::Granite4, DENSE),
        ];
        for (family, more) in cases {
            let config = of(family, more).unwrap();
            let written = config.to_json().to_string();
            assert_eq!(ModelConfig::parse(&written).unwrap(), config, "{written}");
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        let gpt2 = ModelConfig::parse(r#"{"model_type": "gpt2"}"#).unwrap_err();
        assert!(
            gpt2.contains("`gpt2`") && gpt2.contains("known: llama") && gpt2.contains("gemma2"),
            "{gpt2}"
        );
        let cases = [
            (r#""rope_scaling": {"rope_type": "longrope", "factor": 4.0}"#, "`longrope`"),
            (r#""rope_scaling": {"rope_type": "yarn", "factor": -4.0}"#, "`factor`"),
            (r#""rope_theta": 1, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}"#, "above 1"),
            (
                r#""rope_parameters": {"full_attention": {"rope_type": "default"}}"#,
                "`full_attention`",
            ),
            (r#""rope_parameters": {"partial_rotary_factor": 0.5}"#, "partial_rotary_factor"),
            (r#""rope_scaling": {"rope_type": "linear"}"#, "`factor`"),
            (r#""num_key_value_heads": 3"#, "3 key-value heads"),
            (r#""num_key_value_heads": 0"#, "`num_key_value_heads`"),
            (r#""hidden_size": -64"#, "`hidden_size`"),
            (r#""hidden_size": "big""#, "`hidden_size`"),
            (r#""head_dim": 7"#, "7 cannot be rotated"),
            (r#""hidden_act": "relu""#, "`relu`"),
            (r#""quantization_config": {"quant_method": "gptq", "bits": 4}"#, "quantized (gptq)"),
            (r#""tie_word_embeddings": 1"#, "`tie_word_embeddings`"),
        ];
        for (more, want) in cases {
            let error = parse(&format!(", {more}")).unwrap_err();
            assert!(error.contains(want), "{more}: {error}");
        }
        let cases = [
            (Family::SmolLm3, r#""no_rope_layers": [1, 1]"#, "names 2 layers"),
            (Family::SmolLm3, r#""no_rope_layers": [1, 1, 2, 0]"#, "a list of 1 and 0"),
            (Family::SmolLm3, r#""no_rope_layer_interval": 0"#, "`no_rope_layer_interval`"),
            (Family::Gemma3, r#""sliding_window_pattern": 0"#, "`sliding_window_pattern`"),
            (Family::Gemma3, r#""sliding_window": null"#, "no window"),
            (Family::Gemma3, r#""rope_parameters": {"rope_theta": 1e4}"#, "each kind of layer"),
            (Family::Olmo3, r#""rope_parameters": {"full_attention": 3}"#, "`full_attention`"),
            (Family::Olmo3, r#""rope_scaling": {"rope_type": "dynamic"}"#, "`dynamic`"),
            (Family::Granite, r#""logits_scaling": 0"#, "`logits_scaling`"),
        ];
        for (family, more, want) in cases {
            let error = of(family, &format!(", {more}")).unwrap_err();
            assert!(error.contains(want), "{more}: {error}");
        }
        let cases = [
            (r#""sliding_window": null"#, "no window"),
            (r#""sliding_window": 0"#, "`sliding_window`"),
            (r#""layer_types": ["full_attention"]"#, "names 1 layers"),
            (
                r#""layer_types": ["full_attention", "chunked_attention", "full_attention", "full_attention"]"#,
                "`chunked_attention`",
            ),
            (r#""final_logit_softcapping": -1.0"#, "`final_logit_softcapping`"),
            (r#""use_bidirectional_attention": true"#, "use_bidirectional_attention"),
        ];
        for (more, want) in cases {
            let error = of(Family::Gemma2, &format!(", {more}")).unwrap_err();
            assert!(error.contains(want), "{more}: {error}");
        }
    }
}
