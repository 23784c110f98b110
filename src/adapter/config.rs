//! Shape and scale of an adapter, and which layers get it.

use super::Patterns;
use crate::error::{Error, Result};
use crate::model::PROJECTIONS;
use fancy_regex::Regex;
use serde::{Deserialize, Serialize};

/// Shape and scale of an adapter.
///
/// Layers are chosen as PEFT chooses them. A layer's path is `model.layers.0.self_attn.q_proj`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the update.
    pub rank: usize,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Share of the input that the update does not see while training.
    #[serde(default)]
    pub dropout: f64,
    /// DoRA: rows of the weight keep a length of their own, the update turns them (Liu et al. 2024).
    #[serde(default)]
    pub dora: bool,
    /// Rank-stabilised: scale `alpha / sqrt(rank)`.
    #[serde(default)]
    pub rslora: bool,
    /// Last parts of the paths of the layers that get an update, such as `q_proj`; empty means all linear layers of the blocks.
    #[serde(default)]
    pub target_modules: Vec<String>,
    /// A regular expression for the whole path instead; `target_modules` is then empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_pattern: Option<String>,
    /// Last parts of the paths of layers that get none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_modules: Vec<String>,
    /// A regular expression for the whole path of layers that get none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_pattern: Option<String>,
    /// Numbers of the blocks that get an update, from 0; `None` means all. Not together with `target_pattern`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<usize>>,
    /// Other ranks for layers whose path ends with the key, a regular expression that begins after a dot. The first key that fits counts.
    #[serde(default)]
    pub rank_pattern: Patterns<usize>,
    /// Other alphas for layers whose path ends with the key; the first key that fits counts.
    #[serde(default)]
    pub alpha_pattern: Patterns<f64>,
}

impl LoraConfig {
    /// Rank 16, alpha 32, dropout 0.05, all linear layers: the authors' masking script of January 2025. Their ground-truth and
    /// Self-Output runs used rank 32 and alpha 16.
    pub fn paper() -> Self {
        Self { dropout: 0.05, ..Self::lab() }
    }

    /// Rank 16, alpha 32, no dropout, all linear layers.
    pub fn lab() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            dora: false,
            rslora: false,
            target_modules: Vec::new(),
            target_pattern: None,
            exclude_modules: Vec::new(),
            exclude_pattern: None,
            layers: None,
            rank_pattern: Patterns::new(),
            alpha_pattern: Patterns::new(),
        }
    }

    /// Rank of the layer at `path`.
    pub fn rank(&self, path: &str) -> usize {
        by_pattern(&self.rank_pattern, path).copied().unwrap_or(self.rank)
    }

    /// What the update of the layer at `path` is multiplied by.
    pub fn scale(&self, path: &str) -> f64 {
        let alpha = by_pattern(&self.alpha_pattern, path).copied().unwrap_or(self.alpha);
        let rank = self.rank(path) as f64;
        alpha / if self.rslora { rank.sqrt() } else { rank }
    }

    /// Whether the layer at `path` gets an update.
    pub fn adapts(&self, path: &str) -> bool {
        let named = |modules: &[String]| modules.iter().any(|module| ends_with(path, module));
        let fits = |pattern: &str| matches(&whole(pattern), path);
        if named(&self.exclude_modules) || self.exclude_pattern.as_deref().is_some_and(fits) {
            return false;
        }
        if let Some(pattern) = &self.target_pattern {
            return fits(pattern);
        }
        // a whole path is chosen whatever its block
        if self.target_modules.iter().any(|module| module == path) {
            return true;
        }
        let chosen = self.target_modules.is_empty() || named(&self.target_modules);
        chosen
            && self
                .layers
                .as_ref()
                .is_none_or(|layers| block(path).is_some_and(|block| layers.contains(&block)))
    }

    /// Refuses what cannot be trained.
    pub fn check(&self) -> Result<()> {
        if self.rank == 0 || self.rank_pattern.iter().any(|(_, rank)| *rank == 0) {
            return Err(Error::invalid("rank", "must be at least 1"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::invalid(
                "dropout",
                format!("must be from 0 to below 1, got {}", self.dropout),
            ));
        }
        let alphas = self.alpha_pattern.iter().map(|(_, alpha)| *alpha);
        if let Some(alpha) = alphas.chain([self.alpha]).find(|alpha| !alpha.is_finite()) {
            return Err(Error::invalid("alpha", format!("must be a number, got {alpha}")));
        }
        let patterns = [
            ("target_pattern", self.target_pattern.as_ref()),
            ("exclude_pattern", self.exclude_pattern.as_ref()),
        ];
        let patterns = patterns.into_iter().filter_map(|(name, pattern)| Some((name, pattern?)));
        let patterns = patterns.map(|(name, pattern)| (name, pattern, whole(pattern)));
        let keys = self.rank_pattern.iter().map(|(key, _)| ("rank_pattern", key, end(key)));
        let more = self.alpha_pattern.iter().map(|(key, _)| ("alpha_pattern", key, end(key)));
        for (name, pattern, expression) in patterns.chain(keys).chain(more) {
            Regex::new(&expression).map_err(|error| {
                Error::invalid(name, format!("`{pattern}` is no regular expression: {error}"))
            })?;
        }
        if self.target_pattern.is_some()
            && (!self.target_modules.is_empty() || self.layers.is_some())
        {
            let problem = "stands beside target_modules or layers; say it all in the pattern";
            return Err(Error::invalid("target_pattern", problem));
        }
        // a name may be part of a layer's path, or a longer path that leads into a block
        let known = |module: &String| {
            let inside = |path: &&str| ends_with(path, module) || ends_with(module, path);
            PROJECTIONS.iter().any(inside)
        };
        if let Some(module) = self.target_modules.iter().find(|module| !known(module)) {
            let known: Vec<&str> =
                PROJECTIONS.iter().filter_map(|path| path.rsplit('.').next()).collect();
            let known = known.join(", ");
            let problem = match outside_the_blocks(module) {
                Some(what) => format!(
                    "`{module}` is {what}, which gets no update here, only the linear layers of the blocks do: {known}"
                ),
                None => format!("`{module}` is no linear layer of this model; known: {known}"),
            };
            return Err(Error::invalid("target_modules", problem));
        }
        Ok(())
    }
}

fn ends_with(path: &str, module: &str) -> bool {
    path.strip_suffix(module).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What a module is that PEFT can update and that is in no block.
pub(super) fn outside_the_blocks(module: &str) -> Option<&'static str> {
    match module.rsplit('.').next() {
        Some("lm_head") => Some("the output head"),
        Some("embed_tokens") => Some("the embedding"),
        _ => None,
    }
}

/// The expression for a whole path: Python's `re.fullmatch(pattern, path)`.
fn whole(pattern: &str) -> String {
    format!("^(?:{pattern})$")
}

/// The expression for the end of a path, character by character that of PEFT's `get_pattern_key`: `re.match(rf"(.*\.)?({key})$", path)`.
fn end(key: &str) -> String {
    format!(r"^(.*\.)?({key})$")
}

/// The value of the first key that is a regular expression for the end of `path`.
fn by_pattern<'a, T>(patterns: &'a Patterns<T>, path: &str) -> Option<&'a T> {
    let mut entries = patterns.iter();
    entries.find(|(key, _)| matches(&end(key), path)).map(|(_, value)| value)
}

/// Whether `pattern` matches. One that cannot be read matches nothing: [`LoraConfig::check`] has refused it before.
fn matches(pattern: &str, path: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(path).unwrap_or(false))
}

/// The number of the block that a path leads into: its first part that is a number.
fn block(path: &str) -> Option<usize> {
    path.split('.').find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: [&str; 4] = [
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
        "model.layers.1.mlp.up_proj",
        "model.layers.11.mlp.up_proj",
    ];

    fn chosen(config: &LoraConfig) -> Vec<usize> {
        config.check().unwrap();
        let layers = LAYERS.iter().enumerate();
        let chosen = layers.filter(|(_, path)| config.adapts(path));
        chosen.map(|(at, _)| at).collect()
    }

    #[test]
    fn layers_are_chosen_as_peft_chooses_them() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let lab = LoraConfig::lab;
        assert_eq!(chosen(&lab()), [0, 1, 2, 3]);
        let by_name = |list: &[&str]| LoraConfig { target_modules: names(list), ..lab() };
        assert_eq!(chosen(&by_name(&["q_proj"])), [0, 1]);
        assert_eq!(chosen(&by_name(&["layers.1.self_attn.q_proj"])), [1]);
        assert_eq!(chosen(&by_name(&["model.layers.1.mlp.up_proj"])), [2]);
        let by_pattern =
            |pattern: &str| LoraConfig { target_pattern: Some(pattern.into()), ..lab() };
        assert_eq!(chosen(&by_pattern(r".*layers\.1\..*(q|up)_proj")), [1, 2]);
        assert_eq!(chosen(&by_pattern(r"(?!.*mlp).*_proj")), [0, 1]);
        assert!(chosen(&by_pattern("q_proj")).is_empty(), "the whole path");
        let blocks = LoraConfig { layers: Some(vec![1, 11]), ..by_name(&["up_proj"]) };
        assert_eq!(chosen(&blocks), [2, 3]);
        let whole = by_name(&["model.layers.0.self_attn.q_proj", "up_proj"]);
        let blocks = LoraConfig { layers: Some(vec![1]), ..whole };
        assert_eq!(chosen(&blocks), [0, 2], "a whole path counts in any block");
        let without = LoraConfig { exclude_modules: names(&["q_proj"]), ..lab() };
        assert_eq!(chosen(&without), [2, 3]);
        let without = LoraConfig { exclude_pattern: Some(r".*\.1\..*".into()), ..lab() };
        assert_eq!(chosen(&without), [0, 3]);
    }

    #[test]
    fn patterns_of_ranks_are_regular_expressions_for_the_end_of_a_path() {
        let config = LoraConfig {
            rank_pattern: [(r"layers\.1\..*".into(), 4), ("up_proj".into(), 2)].into(),
            alpha_pattern: [("proj".into(), 1.0), ("q_proj".into(), 8.0)].into(),
            ..LoraConfig::lab()
        };
        let ranks = LAYERS.map(|path| config.rank(path));
        assert_eq!(ranks, [16, 4, 4, 2]);
        let turned = LoraConfig {
            rank_pattern: [("up_proj".into(), 2), (r"layers\.1\..*".into(), 4)].into(),
            ..LoraConfig::lab()
        };
        assert_eq!(LAYERS.map(|path| turned.rank(path)), [16, 4, 2, 2], "the first that fits");
        // `proj` begins in the middle of a name
        assert_eq!(config.scale(LAYERS[0]), 0.5);
        assert_eq!(config.scale(LAYERS[3]), 16.0);
    }

    #[test]
    fn the_order_of_patterns_is_kept_in_every_form() {
        let tables = [
            r#"{"rank": 2, "alpha": 4, "rank_pattern": {"up_proj": 3, "b": 1, "a": 7}}"#,
            r#"{"rank": 2, "alpha": 4, "rank_pattern": [["up_proj", 3], ["b", 1], ["a", 7]]}"#,
        ];
        let order = |config: &LoraConfig| -> Vec<String> {
            config.rank_pattern.iter().map(|(key, _)| key.clone()).collect()
        };
        for table in tables {
            let config: LoraConfig = serde_json::from_str(table).unwrap();
            assert_eq!(order(&config), ["up_proj", "b", "a"]);
            // the store sorts the keys of tables
            let written = serde_json::to_value(&config).unwrap();
            assert!(written["rank_pattern"].is_array());
            assert_eq!(serde_json::from_value::<LoraConfig>(written).unwrap(), config);
            let written = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<LoraConfig>(&written).unwrap(), config, "{written}");
        }
        let sorted = r#"{"rank": 2, "alpha": 4, "alpha_pattern": {"a": 3.5, "b": 1}}"#;
        let config: LoraConfig = serde_json::from_str(sorted).unwrap();
        assert!(serde_json::to_value(&config).unwrap()["alpha_pattern"].is_object());
        let table = "rank = 2\nalpha = 4\n[rank_pattern]\nup_proj = 3\n'layers\\.1\\..*' = 4\n";
        let config: LoraConfig = toml::from_str(table).unwrap();
        assert_eq!(order(&config), ["up_proj", r"layers\.1\..*"], "in a recipe");
        // as Python's dictionaries
        let twice = r#"{"rank": 2, "alpha": 4, "rank_pattern": {"b": 3, "a": 1, "b": 7}}"#;
        let config: LoraConfig = serde_json::from_str(twice).unwrap();
        assert_eq!(config.rank_pattern, [("b".to_string(), 7), ("a".to_string(), 1)].into());
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        let config = LoraConfig { target_pattern: Some("(q_proj".into()), ..LoraConfig::lab() };
        let message = config.check().unwrap_err().to_string();
        assert!(message.contains("target_pattern: `(q_proj` is no regular"), "{message}");
    }
}
