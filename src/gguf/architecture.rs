//! Architectures: what the file calls a tensor and a size, what transformers calls them, and what the file does not say.

use super::header::Header;
use serde_json::{Value, json};

/// The factors by which Llama 3's rotary frequencies are divided.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

/// No size in the metadata is larger, so that nothing is made that no file could fill.
const LARGEST: u64 = 1 << 24;

/// Whether a tensor says what in a folder stands in `config.json`.
pub(super) fn is_config(name: &str) -> bool {
    name == ROPE_FACTORS
}

/// An architecture as `general.architecture` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Architecture {
    name: &'static str,
    model_type: &'static str,
    class: &'static str,
    /// Rows of q and k are stored so that those that are rotated together are neighbors.
    permuted: bool,
    blocks: Blocks,
}

/// What the norms of a block are called, and mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocks {
    /// One before each half.
    Before,
    /// One before and one after each half, stored with 1 added.
    Gemma,
    /// One after each half.
    After,
}

const fn known(
    name: &'static str,
    model_type: &'static str,
    class: &'static str,
    permuted: bool,
    blocks: Blocks,
) -> Architecture {
    Architecture { name, model_type, class, permuted, blocks }
}

/// Those that are mapped. Which of them are computed is for [`ModelConfig`](crate::model::ModelConfig) to say.
const KNOWN: [Architecture; 8] = [
    known("llama", "llama", "LlamaForCausalLM", true, Blocks::Before),
    known("qwen2", "qwen2", "Qwen2ForCausalLM", false, Blocks::Before),
    known("qwen3", "qwen3", "Qwen3ForCausalLM", false, Blocks::Before),
    known("gemma2", "gemma2", "Gemma2ForCausalLM", false, Blocks::Gemma),
    known("gemma3", "gemma3_text", "Gemma3ForCausalLM", false, Blocks::Gemma),
    known("olmo2", "olmo2", "Olmo2ForCausalLM", false, Blocks::After),
    known("smollm3", "smollm3", "SmolLM3ForCausalLM", true, Blocks::Before),
    known("granite", "granite", "GraniteForCausalLM", true, Blocks::Before),
];

/// Others, and why they are not read.
const REFUSED: [(&str, &str); 24] = [
    ("clip", "it is the part of a model that sees pictures; name the model's own file"),
    ("llama4", MIXTURE),
    ("qwen2moe", MIXTURE),
    ("qwen3moe", MIXTURE),
    ("olmoe", MIXTURE),
    ("granitemoe", MIXTURE),
    ("gpt-oss", MIXTURE),
    ("deepseek2", MIXTURE),
    ("granitehybrid", RECURRENT),
    ("qwen35", RECURRENT),
    ("qwen35moe", RECURRENT),
    ("qwen3next", RECURRENT),
    ("lfm2", RECURRENT),
    ("lfm2moe", RECURRENT),
    ("mamba", RECURRENT),
    ("mamba2", RECURRENT),
    ("gemma", OTHER_BLOCK),
    ("gemma3n", OTHER_BLOCK),
    ("gemma4", OTHER_BLOCK),
    ("olmo", OTHER_BLOCK),
    ("phi2", OTHER_BLOCK),
    ("phi3", OTHER_BLOCK),
    ("glm4", OTHER_BLOCK),
    ("gpt2", OTHER_BLOCK),
];
const MIXTURE: &str = "it is a mixture of experts";
const RECURRENT: &str = "it has layers that are not attention";
const OTHER_BLOCK: &str = "its blocks are built in another way than those known here";

type Read<T> = std::result::Result<T, String>;

impl Architecture {
    /// The architecture that the file names.
    pub fn of(header: &Header) -> Read<Self> {
        let name = header.text("general.architecture")?;
        let name = name.ok_or("names no architecture: general.architecture is missing")?;
        if header.text("general.type")? == Some("adapter") {
            return Err("is an adapter, and in a format that is not read here; name the model, and the adapter in PEFT's format with --adapter".into());
        }
        let list = || KNOWN.map(|known| known.name).join(", ");
        let Some(found) = KNOWN.into_iter().find(|known| known.name == name) else {
            let reason = REFUSED.iter().find(|(refused, _)| *refused == name);
            let reason = reason.map_or_else(String::new, |(_, reason)| format!(": {reason}"));
            return Err(format!(
                "is of the architecture `{name}`, which is not known here{reason}; known: {}",
                list()
            ));
        };
        if header.size(&format!("{name}.expert_count"))?.is_some_and(|count| count > 0) {
            return Err(format!(
                "is of the architecture `{name}` with experts, which is not known here: {MIXTURE}; known are dense models of {}",
                list()
            ));
        }
        // what has windows
        if found.name == "olmo2" && header.has(&found.key("attention.sliding_window")) {
            return Ok(Self { model_type: "olmo3", class: "Olmo3ForCausalLM", ..found });
        }
        if found.name == "llama" && header.has(&found.key("attention.sliding_window")) {
            return Ok(Self { model_type: "mistral", class: "MistralForCausalLM", ..found });
        }
        Ok(found)
    }

    /// Whether it is one of Gemma's.
    pub fn gemma(self) -> bool {
        self.blocks == Blocks::Gemma
    }

    fn key(self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// What transformers calls the tensor that is called `name` in the file; `None` if the architecture has none.
    pub fn name(self, name: &str) -> Option<String> {
        let whole = match name {
            "token_embd.weight" => "model.embed_tokens.weight",
            "output_norm.weight" => "model.norm.weight",
            "output.weight" => "lm_head.weight",
            _ => "",
        };
        if !whole.is_empty() {
            return Some(whole.into());
        }
        let (block, part) = name.strip_prefix("blk.")?.split_once('.')?;
        let (part, end) = part.rsplit_once('.')?;
        let block: usize = block.parse().ok()?;
        if !["weight", "bias"].contains(&end) {
            return None;
        }
        let part = match (part, self.blocks) {
            ("attn_q", _) => "self_attn.q_proj",
            ("attn_k", _) => "self_attn.k_proj",
            ("attn_v", _) => "self_attn.v_proj",
            ("attn_output", _) => "self_attn.o_proj",
            ("attn_q_norm", _) => "self_attn.q_norm",
            ("attn_k_norm", _) => "self_attn.k_norm",
            ("ffn_gate", _) => "mlp.gate_proj",
            ("ffn_up", _) => "mlp.up_proj",
            ("ffn_down", _) => "mlp.down_proj",
            ("attn_norm", Blocks::Before | Blocks::Gemma) => "input_layernorm",
            ("ffn_norm", Blocks::Before) => "post_attention_layernorm",
            ("ffn_norm", Blocks::Gemma) => "pre_feedforward_layernorm",
            ("post_attention_norm", Blocks::Gemma | Blocks::After) => "post_attention_layernorm",
            ("post_ffw_norm", Blocks::Gemma | Blocks::After) => "post_feedforward_layernorm",
            _ => return None,
        };
        Some(format!("model.layers.{block}.{part}.{end}"))
    }

    /// Whether the tensor that is called `name` in the file has 1 added to each number.
    pub fn one_added(self, name: &str) -> bool {
        let part = name.rsplit('.').nth(1).unwrap_or_default();
        self.blocks == Blocks::Gemma && part.ends_with("_norm")
    }

    /// For each of `rows` rows as transformers has them the row in the file, where the order is another.
    pub fn order(self, name: &str, rows: usize, header: &Header) -> Read<Option<Vec<u32>>> {
        let part = name.rsplit('.').nth(1).unwrap_or_default();
        if !self.permuted || !["attn_q", "attn_k"].contains(&part) {
            return Ok(None);
        }
        let heads = self.heads(header)?;
        let heads = if part == "attn_q" { heads.0 } else { heads.1 };
        if !rows.is_multiple_of(2 * heads) {
            return Err(format!(
                "{name} has {rows} rows, which {heads} heads do not share in pairs"
            ));
        }
        // of a head, the first of each pair and then the second
        let (head, pairs) = (rows / heads, rows / heads / 2);
        let file = |row: usize| row / head * head + row % pairs * 2 + row % head / pairs;
        Ok(Some((0..rows).map(|row| file(row) as u32).collect()))
    }

    fn need(self, header: &Header, name: &str) -> Read<u64> {
        let key = self.key(name);
        if header.is_list(&key) {
            return Err(format!("{key} differs from block to block, which is not known here"));
        }
        match header.size(&key)? {
            Some(0) => Err(format!("{key} must be at least 1")),
            Some(size) if size > LARGEST => {
                Err(format!("{key} is {size}, and no model is so large"))
            }
            Some(size) => Ok(size),
            None => Err(format!("has no {key}; the file is not whole, get or make it again")),
        }
    }

    /// Heads of queries, and of keys and values.
    fn heads(self, header: &Header) -> Read<(usize, usize)> {
        let heads = self.need(header, "attention.head_count")?;
        let shared = match header.has(&self.key("attention.head_count_kv")) {
            true => self.need(header, "attention.head_count_kv")?,
            false => heads,
        };
        Ok((heads as usize, shared as usize))
    }

    /// `config.json`.
    pub fn config(self, header: &Header) -> Read<Value> {
        let size = |name: &str| header.size(&self.key(name));
        let number = |name: &str| header.number(&self.key(name));
        let (heads, shared) = self.heads(header)?;
        let (hidden, layers) =
            (self.need(header, "embedding_length")?, self.need(header, "block_count")?);
        if layers > header.tensors.len() as u64 {
            let key = self.key("block_count");
            return Err(format!("{key} is {layers}, for {} tensors", header.tensors.len()));
        }
        let embedding = header.tensors.get("token_embd.weight").ok_or(
            "has no token_embd.weight; a file without weights, or a part of a model, is not read here",
        )?;
        let head = match size("attention.key_length")? {
            Some(_) => self.need(header, "attention.key_length")?,
            None => hidden / heads as u64,
        };
        if size("attention.value_length")?.is_some_and(|value| value != head) {
            return Err("has values of another length than keys, which is not known here".into());
        }
        let mut config = json!({
            "architectures": [self.class], "model_type": self.model_type,
            "hidden_size": hidden, "intermediate_size": self.need(header, "feed_forward_length")?,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": shared,
            "head_dim": head, "vocab_size": embedding.shape[0],
            "max_position_embeddings": self.need(header, "context_length")?,
            "rope_theta": number("rope.freq_base")?.unwrap_or(10_000.0),
            "tie_word_embeddings": !header.tensors.contains_key("output.weight"),
            "torch_dtype": "float32",
        });
        let eps = number("attention.layer_norm_rms_epsilon")?;
        config["rms_norm_eps"] = json!(eps.ok_or_else(|| {
            format!("has no {}", self.key("attention.layer_norm_rms_epsilon"))
        })?);
        if let Some(rotated) = size("rope.dimension_count")?.filter(|count| *count < head) {
            config["partial_rotary_factor"] = json!(rotated as f64 / head as f64);
        }
        self.rope_scaling(header, &mut config)?;
        if self.model_type != "qwen2" && self.model_type != "mistral" {
            let bias = |name: &str| header.tensors.contains_key(&format!("blk.0.{name}.bias"));
            config["attention_bias"] = bias("attn_q").into();
            if ["llama", "smollm3", "granite"].contains(&self.name) {
                config["mlp_bias"] = bias("ffn_gate").into();
            }
        }
        let hidden_act = if self.gemma() { "gelu_pytorch_tanh" } else { "silu" };
        config[if self.gemma() { "hidden_activation" } else { "hidden_act" }] = hidden_act.into();
        let window = size("attention.sliding_window")?;
        match self.model_type {
            "mistral" => config["sliding_window"] = json!(window),
            "qwen2" | "qwen3" => config["use_sliding_window"] = false.into(),
            // what the files of Gemma do not say is as in llama.cpp, whose models/gemma2.cpp and gemma3.cpp have it from transformers
            "gemma2" => {
                // the model of 27 B is known by its layers
                let scalar = if layers == 46 { hidden / heads as u64 } else { head };
                config["query_pre_attn_scalar"] = scalar.into();
                config["sliding_window"] = window.unwrap_or(4096).into();
                let cap = number("attn_logit_softcapping")?.unwrap_or(50.0);
                config["attn_logit_softcapping"] = cap.into();
                let cap = number("final_logit_softcapping")?.unwrap_or(30.0);
                config["final_logit_softcapping"] = cap.into();
                config["layer_types"] = self.layer_types(header, layers, 2)?;
            }
            "gemma3_text" => {
                let scalar = if layers == 62 { hidden / heads as u64 } else { head };
                config["query_pre_attn_scalar"] = scalar.into();
                config["sliding_window"] = window.unwrap_or(1024).into();
                let local = number("rope.freq_base_swa")?.unwrap_or(10_000.0);
                config["rope_local_base_freq"] = local.into();
                if let Some(cap) = number("final_logit_softcapping")? {
                    config["final_logit_softcapping"] = cap.into();
                }
                config["layer_types"] = self.layer_types(header, layers, 6)?;
            }
            "olmo3" => {
                config["sliding_window"] = json!(window);
                config["layer_types"] = self.layer_types(header, layers, 4)?;
            }
            "smollm3" => config["no_rope_layer_interval"] = 4.into(),
            "granite" => {
                for (name, own) in [
                    ("attention_multiplier", "attention.scale"),
                    ("embedding_multiplier", "embedding_scale"),
                    ("residual_multiplier", "residual_scale"),
                    ("logits_scaling", "logit_scale"),
                ] {
                    if let Some(factor) = number(own)? {
                        config[name] = factor.into();
                    }
                }
            }
            _ => {}
        }
        Ok(config)
    }

    /// `layer_types`: windowed are those that the file lists, else all but the last of each `period`.
    fn layer_types(self, header: &Header, layers: u64, period: u64) -> Read<Value> {
        let key = self.key("attention.sliding_window_pattern");
        let windowed: Vec<bool> = if header.is_list(&key) {
            let listed = header.numbers(&key)?.unwrap_or_default();
            if listed.len() as u64 != layers {
                return Err(format!("{key} lists {} layers of {layers}", listed.len()));
            }
            listed.into_iter().map(|windowed| windowed != 0.0).collect()
        } else {
            let period = header.size(&key)?.filter(|period| *period > 0).unwrap_or(period);
            (0..layers).map(|layer| layer % period < period - 1).collect()
        };
        let name = |windowed| if windowed { "sliding_attention" } else { "full_attention" };
        Ok(windowed.into_iter().map(name).collect())
    }

    fn rope_scaling(self, header: &Header, config: &mut Value) -> Read<()> {
        let kind = header.text(&self.key("rope.scaling.type"))?;
        let factor = header.number(&self.key("rope.scaling.factor"))?;
        // files from before there was a type
        let older = header.number(&self.key("rope.scale_linear"))?.filter(|factor| *factor != 1.0);
        match (kind, factor.or(older)) {
            (None, None) | (Some("none"), _) => {}
            (kind, factor) => {
                // which of them are computed is for the config's reader to say
                let mut scaling = json!({"rope_type": kind.unwrap_or("linear")});
                let original = self.key("rope.scaling.original_context_length");
                for (name, number) in [
                    ("factor", factor),
                    ("original_max_position_embeddings", header.number(&original)?),
                ] {
                    if let Some(number) = number {
                        scaling[name] = number.into();
                    }
                }
                config["rope_scaling"] = scaling;
            }
        }
        Ok(())
    }
}

/// Puts the stretching into `config` that gives `factors`, which the file has instead.
///
/// Llama 3's four numbers are not in the file. The largest factor is the factor itself; the passage from short to long waves is that of the
/// models that were published, and must give all other factors.
pub(super) fn rope_factors(config: &mut Value, factors: &[f32]) -> Read<()> {
    if factors.iter().all(|factor| *factor == 1.0) {
        return Ok(());
    }
    let theta = config["rope_theta"].as_f64().unwrap_or(10_000.0);
    let factor = f64::from(factors.iter().copied().fold(1.0, f32::max));
    let (low, high) = (1.0, 4.0);
    for original in [8192.0, 4096.0, 2048.0, 16384.0, 32768.0] {
        let fits = factors.iter().enumerate().all(|(pair, found)| {
            let exponent = pair as f64 / factors.len() as f64;
            let wave = 2.0 * std::f64::consts::PI * theta.powf(exponent);
            let smooth = ((original / wave - low) / (high - low)).clamp(0.0, 1.0);
            let wanted = 1.0 / ((1.0 - smooth) / factor + smooth);
            (wanted - f64::from(*found)).abs() <= 1e-4 * wanted
        });
        if fits {
            config["rope_scaling"] = json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                "original_max_position_embeddings": original as u64,
            });
            return Ok(());
        }
    }
    Err(format!("{ROPE_FACTORS} are not those of Llama 3's stretching, and no other is known here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_of_llama_3_are_known_again() {
        // Llama 3.2 1B: theta 500000, heads of 64, factor 32, 8192 before
        let factors: Vec<f32> = (0..32)
            .map(|pair| {
                let wave = 2.0 * std::f64::consts::PI * 500_000f64.powf(pair as f64 / 32.0);
                let factor = match wave {
                    short if short < 8192.0 / 4.0 => 1.0,
                    long if long > 8192.0 => 32.0,
                    _ => {
                        let smooth = (8192.0 / wave - 1.0) / 3.0;
                        1.0 / ((1.0 - smooth) / 32.0 + smooth)
                    }
                };
                factor as f32
            })
            .collect();
        let mut config = json!({"rope_theta": 500_000.0});
        rope_factors(&mut config, &factors).unwrap();
        assert_eq!(config["rope_scaling"]["factor"], 32.0);
        assert_eq!(config["rope_scaling"]["original_max_position_embeddings"], 8192);
        let mut other = factors.clone();
        other[20] *= 1.5;
        assert!(rope_factors(&mut config, &other).is_err());
        let mut plain = json!({});
        rope_factors(&mut plain, &[1.0; 32]).unwrap();
        assert_eq!(plain, json!({}));
    }

    #[test]
    fn norms_change_their_meaning_with_the_architecture() {
        let of = |name| KNOWN.into_iter().find(|known| known.name == name).unwrap();
        let named = |arch, name| of(arch).name(name);
        let layer = |name: &str| Some(format!("model.layers.7.{name}.weight"));
        assert_eq!(named("llama", "blk.7.ffn_norm.weight"), layer("post_attention_layernorm"));
        assert_eq!(named("gemma2", "blk.7.ffn_norm.weight"), layer("pre_feedforward_layernorm"));
        assert_eq!(named("olmo2", "blk.7.ffn_norm.weight"), None);
        assert_eq!(named("llama", "blk.7.post_attention_norm.weight"), None);
        let after = layer("post_attention_layernorm");
        assert_eq!(named("gemma3", "blk.7.post_attention_norm.weight"), after);
        assert_eq!(named("olmo2", "blk.7.post_attention_norm.weight"), after);
        assert_eq!(named("llama", "output.weight"), Some("lm_head.weight".into()));
        assert_eq!(named("llama", "blk.x.attn_q.weight"), None);
    }
}
