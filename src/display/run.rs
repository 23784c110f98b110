//! What a run was made from, and in what two runs differ.

use super::{InfoCard, Media, Show};
use crate::adapter::PeftAdapter;
use crate::card::RunCard;
use crate::provenance::Difference;
use crate::table::Table;
use serde_json::Value;

/// Hexadecimal digits of a hash that tell it from others.
const DIGITS: usize = 12;

fn short(hash: &str) -> String {
    hash.get(..DIGITS).unwrap_or(hash).to_owned()
}

/// What does not depend on the machine: recipe, data, mask and hashes. Where and when it was computed the file says, and `unforget card`.
impl Show for RunCard {
    fn media(&self) -> Media {
        let mut rows: Vec<(&str, String)> = Vec::new();
        let verb = self.run.split('/').next().unwrap_or_default();
        let settings: Vec<String> = self
            .recipe
            .values()
            .filter_map(Value::as_object)
            .flatten()
            .filter(|(_, value)| !value.is_object() && !value.is_array())
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        rows.push(("settings", settings.join(", ")));
        for (name, hash) in &self.weights.files {
            rows.push(("weights", format!("{name} {}", short(hash))));
        }
        rows.push(("tokenizer", short(&self.tokenization.tokenizer)));
        rows.push((
            "chat template",
            self.tokenization.template.as_deref().map_or("none".to_owned(), short),
        ));
        for (name, bulk) in &self.data {
            let count = format!("{} {name}, {}", bulk.count, short(&bulk.hash));
            rows.push(("data", count));
        }
        if let Some(mask) = &self.mask {
            if let Some(rule) = &mask.rule {
                rows.push(("rule", rule.clone()));
            }
            rows.push((
                "learned",
                format!(
                    "{} of {} answer tokens, mask {}",
                    mask.learned_tokens,
                    mask.completion_tokens,
                    short(&mask.hash)
                ),
            ));
        }
        let seeds: Vec<String> =
            self.seeds.iter().map(|(name, seed)| format!("{name} {seed}")).collect();
        rows.push(("seeds", seeds.join(", ")));
        let versions: Vec<String> =
            self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        rows.push(("versions", versions.join(", ")));
        InfoCard::of(&format!("card of a {verb} run"), &rows).media()
    }
}

/// Of hashes only that they differ: what they are depends on the processor where a model computed them.
impl Show for Vec<Difference> {
    fn media(&self) -> Media {
        let value = |value: &Option<Value>, hash: &str| {
            value.as_ref().map(|value| match value {
                Value::String(text) if text.len() == 64 => hash.to_owned(),
                Value::String(text) => text.clone(),
                value => value.to_string(),
            })
        };
        Table::new(format!("{} fields differ", self.len()))
            .rows(self)
            .column("field", |difference| &difference.field)
            .column("first", |difference| value(&difference.first, "a hash"))
            .column("second", |difference| value(&difference.second, "another"))
            .table()
            .media()
    }
}

impl Show for PeftAdapter {
    fn media(&self) -> Media {
        let config = &self.config;
        InfoCard::of(
            "adapter in PEFT's format",
            &[
                ("layers", self.layers().to_string()),
                ("rank", config.rank.to_string()),
                ("alpha", config.alpha.to_string()),
                ("dropout", config.dropout.to_string()),
                ("DoRA", if config.dora { "yes" } else { "no" }.to_owned()),
                ("files", "adapter_config.json, adapter_model.safetensors".to_owned()),
            ],
        )
        .media()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_shows_both_sides_but_no_hash() {
        let (one, other) = ("01".repeat(32), "02".repeat(32));
        let found: Vec<Difference> = crate::provenance::differences(
            &json!({"rate": 1e-3, "hash": one}),
            &json!({"rate": 3e-3, "hash": other}),
        );
        let text = found.media().text;
        assert!(text.contains("2 fields differ") && text.contains("0.003"), "{text}");
        assert!(text.contains("another") && !text.contains("0101"), "{text}");
    }
}
