//! Rules of token weights: what one is and needs, the published ones, and where their weight lies.

use super::{InfoCard, Media, Show};
use crate::analysis::Spread;
use crate::select::{Normalizer, Preset, Weighting};
use crate::table::{Cell, Table};

impl From<&Weighting> for InfoCard {
    fn from(rule: &Weighting) -> Self {
        let needs = rule.needs();
        let mut rows: Vec<(&str, String)> = Vec::new();
        let expanded = rule.expanded();
        if expanded != rule.to_string() {
            rows.push(("in full", expanded));
        }
        if let Some(preset) = rule.preset() {
            rows.push(("method", preset.what.to_owned()));
            rows.push(("published", preset.source.to_owned()));
        }
        let weights = if rule.is_mask() { "0 and 1" } else { "any from 0 on" };
        rows.push(("weights", weights.to_owned()));
        let divisor = rule.normalizer().map_or("what the training says", Normalizer::name);
        rows.push(("divided by", divisor.to_owned()));
        let asked: Vec<&str> = [
            (needs.base, "the base model's scores"),
            (needs.current, "the current model's scores"),
            (needs.reference, "a reference model's scores"),
            (needs.top_entropy, "the entropy of the 20 most probable tokens"),
            (needs.class, "the tokens' classes"),
        ]
        .into_iter()
        .filter_map(|(needed, what)| needed.then_some(what))
        .collect();
        rows.push((
            "needs",
            match asked.is_empty() {
                true => "nothing but the data".to_owned(),
                false => asked.join(", "),
            },
        ));
        let together = match (needs.batch, needs.whole_set) {
            (true, _) => "the examples of each step",
            (_, true) => "the whole data set",
            _ => "each example alone",
        };
        rows.push(("looks at", together.to_owned()));
        rows.push((
            "computed",
            match (needs.online(), rule.every()) {
                (true, 1) => "at every step (online)".to_owned(),
                (true, every) => format!("every {every} steps (online)"),
                (false, _) => "once, before training (offline)".to_owned(),
            },
        ));
        Self::of(&format!("rule {rule}"), &rows)
    }
}

impl Show for Weighting {
    fn media(&self) -> Media {
        InfoCard::from(self).media()
    }
}

/// The published rules, a row for each; a page that shows HTML has the weight of a token beside them.
impl Show for [Preset] {
    fn media(&self) -> Media {
        let table = |with_weights: bool| {
            let mut table = Table::new(format!("{} published rules and controls", self.len()))
                .legend("What stands in braces is given in the call.")
                .rows(self)
                .column("rule", Preset::signature);
            if with_weights {
                table = table.column("weight of a token", |preset| preset.expression);
            }
            table.column("from", |preset| preset.source).table().media()
        };
        Media { text: table(false).text, ..table(true) }
    }
}

impl Show for Spread {
    fn media(&self) -> Media {
        let tokens = self.rows.first().map_or(0, |row| row.tokens);
        Table::new(format!("Where the weight of each rule lies, {tokens} answer tokens"))
            .legend(
                "Learned: tokens with any weight. Mean weight: of a token; it is 1 where all are learned. Then the share of all weight that lies on tokens \
                 of a perplexity above 2.5, on those of the writer's own style, on words, on numbers and on the rest.",
            )
            .rows(&self.rows)
            .column("rule", |row| &row.rule)
            .column("learned %", |row| Cell::percent(row.learned as f64 / row.tokens.max(1) as f64))
            .column("mean weight", |row| Cell::number(row.per_token(), 3))
            .column("above 2.5 %", |row| Cell::percent(row.surprising))
            .column("style %", |row| Cell::percent(row.style))
            .column("words %", |row| Cell::percent(row.classes[0]))
            .column("numbers %", |row| Cell::percent(row.classes[1]))
            .column("rest %", |row| Cell::percent(row.classes[2]))
            .table()
            .media()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::PRESETS;

    #[test]
    fn a_rule_says_what_it_is_and_needs() {
        let text = |rule: &str| rule.parse::<Weighting>().unwrap().media().text;
        let dft = text("dft");
        for part in ["in full", "p_current", "Dynamic", "2508.05629", "online"] {
            assert!(dft.contains(part), "{part} is not in {dft}");
        }
        let own = text("keep(ppl_base <= 2) & !class(words)");
        assert!(own.contains("the tokens' classes") && own.contains("0 and 1"));
        assert!(!own.contains("published"), "{own}");
        assert!(text("all").contains("nothing but the data"));
    }

    #[test]
    fn every_published_rule_has_a_row_with_its_source() {
        let text = PRESETS.media().text;
        for preset in PRESETS {
            assert!(text.contains(&preset.signature()), "{}", preset.name);
        }
        assert!(text.contains("arXiv 2501.14315"), "{text}");
    }
}
