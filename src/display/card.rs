//! Small cards: what a thing is, in a few lines.

use super::{Media, Show, escaped};
use crate::dataset::{Dataset, Example};
use crate::experiment::Recipe;
use crate::experiment::results::Run;
use crate::model::Checkpoint;
use crate::self_output::Pool;
use crate::table::significant;
use crate::task::{Item, Score};

/// A heading, rows of a name and a value, and perhaps texts below them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InfoCard {
    /// What it is.
    pub title: String,
    /// Name and value.
    pub rows: Vec<(String, String)>,
    /// Name and text of several lines, such as a question and its answer.
    pub texts: Vec<(String, String)>,
}

/// Characters of a text that a card shows.
const LONGEST: usize = 1200;

impl InfoCard {
    /// A card of rows alone.
    pub fn of(title: &str, rows: &[(&str, String)]) -> Self {
        let rows = rows.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Self { rows: rows.collect(), ..Self::new(title) }
    }

    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    pub(super) fn row(mut self, name: &str, value: impl ToString) -> Self {
        self.rows.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn text(mut self, name: &str, text: &str) -> Self {
        let count = text.chars().count();
        let shown = match count > LONGEST {
            true => {
                let start: String = text.chars().take(LONGEST).collect();
                format!("{start}… ({} characters more)", count - LONGEST)
            }
            false => text.to_owned(),
        };
        self.texts.push((name.to_owned(), shown));
        self
    }
}

impl Show for InfoCard {
    fn media(&self) -> Media {
        let width = self.rows.iter().map(|(name, _)| name.chars().count()).max();
        let width = width.unwrap_or(0);
        let mut text = format!("{}\n", self.title);
        let mut html = format!(
            "<table>\n<thead><tr><th colspan=\"2\" style=\"text-align:left\">{}</th></tr></thead>\n<tbody>\n",
            escaped(&self.title)
        );
        for (name, value) in &self.rows {
            text += &format!("  {name:width$}  {value}\n");
            html += &format!(
                "<tr><td style=\"text-align:left\">{}</td><td style=\"text-align:left\">{}</td></tr>\n",
                escaped(name),
                escaped(value)
            );
        }
        for (name, content) in &self.texts {
            text += &format!("{name}:\n{content}\n");
            html += &format!(
                "<tr><td style=\"text-align:left;vertical-align:top\">{}</td><td style=\"text-align:left\"><pre>{}</pre></td></tr>\n",
                escaped(name),
                escaped(content)
            );
        }
        html += "</tbody>\n</table>\n";
        Media { html: Some(html), ..Media::text(text) }
    }
}

impl From<&Checkpoint> for InfoCard {
    fn from(checkpoint: &Checkpoint) -> Self {
        let parts = checkpoint.model.components().rev().take(2);
        let folder: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
        let folder: Vec<&str> = folder.iter().rev().map(|part| &**part).collect();
        let card = Self::new(format!("model {}", folder.join("/")));
        let card = match checkpoint.config() {
            Ok(config) => card
                .row("family", format!("{:?}", config.family))
                .row("blocks", config.num_hidden_layers)
                .row("hidden size", config.hidden_size)
                .row("vocabulary", config.vocab_size)
                .row("context", format!("{} tokens", config.max_position_embeddings)),
            Err(error) => card.row("cannot be read", error),
        };
        let bytes: Option<u64> = checkpoint.weight_files().ok().map(|files| {
            let size = |file| std::fs::metadata(file).map_or(0, |seen| seen.len());
            files.iter().map(size).sum()
        });
        let card = match bytes {
            Some(bytes) => card.row("on disk", format!("{:.1} MB", bytes as f64 / 1e6)),
            None => card,
        };
        let adapter = match (&checkpoint.adapter, checkpoint.adapter_scale) {
            (None, _) => return card,
            (Some(_), None) => "yes".to_owned(),
            (Some(_), Some(scale)) => format!("yes, its change multiplied by {}", scale.get()),
        };
        card.row("adapter", adapter)
    }
}

impl From<&Dataset> for InfoCard {
    fn from(data: &Dataset) -> Self {
        let card = Self::new(format!("data set {}", data.name))
            .row("examples", data.len())
            .row("sha256", &data.sha256[..data.sha256.len().min(16)]);
        match data.examples.first() {
            Some(first) => card.conversation(first),
            None => card,
        }
    }
}

impl InfoCard {
    fn conversation(self, example: &Example) -> Self {
        let messages = example.conversation.messages.iter();
        messages.fold(self, |card, message| card.text(message.role.name(), &message.content))
    }
}

impl From<&Item> for InfoCard {
    fn from(item: &Item) -> Self {
        Self::new(&item.id).text("question", &item.prompt).text("given answer", &item.truth)
    }
}

impl From<&[Item]> for InfoCard {
    fn from(items: &[Item]) -> Self {
        let Some(first) = items.first() else {
            return Self::new("no items");
        };
        let task = first.id.split('/').next().unwrap_or_default();
        Self::new(format!("{} items of {task}", items.len()))
            .row("first", &first.id)
            .text("question", &first.prompt)
            .text("given answer", &first.truth)
    }
}

impl From<&Pool> for InfoCard {
    fn from(pool: &Pool) -> Self {
        let right =
            |item: &&crate::self_output::PoolItem| item.candidates.iter().any(|c| c.accepted());
        let card = Self::new("answers that the model wrote")
            .row("questions", pool.items.len())
            .row("answers", pool.sampled())
            .row("questions with a right answer", pool.items.iter().filter(right).count());
        let card = match pool.accepted() {
            Some(share) => card.row("right answers", format!("{:.1} %", 100.0 * share)),
            None => card,
        };
        let first = pool.items.iter().flat_map(|item| &item.candidates);
        match first.into_iter().find(|candidate| candidate.accepted()) {
            Some(candidate) => card.text("the first right one", &candidate.text),
            None => card,
        }
    }
}

impl From<&Score> for InfoCard {
    fn from(score: &Score) -> Self {
        let card = Self::new(if score.value == 1.0 { "right" } else { "not right" })
            .row("score", significant(score.value))
            .row("why", &score.why);
        match &score.extracted {
            Some(extracted) => card.text("answer that was read", extracted),
            None => card,
        }
    }
}

impl From<&Recipe> for InfoCard {
    fn from(recipe: &Recipe) -> Self {
        let list = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(", ");
        Self::new(format!("recipe {}", recipe.name))
            .row("model", &recipe.model)
            .row("target", &recipe.target)
            .row("not to be lost", recipe.non_target.join(", "))
            .row("arms", list(&mut recipe.arms.iter().map(ToString::to_string)))
            .row("rates tried", {
                let own = &recipe.learning_rates;
                let common = recipe.common_learning_rate.iter().filter(|rate| !own.contains(rate));
                list(&mut own.iter().chain(common).map(|rate| format!("{rate:e}")))
            })
            .row("seeds", list(&mut recipe.seeds.iter().map(ToString::to_string)))
            .row(
                "items",
                format!(
                    "{} to train, {} to choose the rate, {} of each task to test",
                    recipe.sizes.train, recipe.sizes.validation, recipe.sizes.test
                ),
            )
    }
}

impl From<&Run> for InfoCard {
    fn from(run: &Run) -> Self {
        let share = |value: f64| format!("{:.1} %", 100.0 * value);
        let card = Self::new(format!("run of {}", run.arm))
            .row("learning rate", format!("{:e}", run.learning_rate))
            .row("seed", run.seed)
            .row("items", run.items)
            .row("learned tokens", format!("{} of {}", run.learned_tokens, run.completion_tokens))
            .row("validation", share(run.validation));
        run.test.iter().fold(card, |card, task| card.row(&task.task, share(task.value())))
    }
}

/// Values whose card is all that a cell shows of them.
macro_rules! shown_as_cards {
    ($($thing:ty),*) => {$(
        impl Show for $thing {
            fn media(&self) -> Media {
                InfoCard::from(self).media()
            }
        }
    )*};
}
shown_as_cards!(Checkpoint, Dataset, Item, [Item], Pool, Recipe, Run, Score);

impl Show for Vec<Item> {
    fn media(&self) -> Media {
        self.as_slice().media()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_the_same_in_text_and_escaped_in_html() {
        let card = InfoCard::new("a < b").row("name", "<i>").text("text", "x & y");
        let media = card.media();
        let html = media.html.unwrap();
        assert!(
            html.contains("a &lt; b") && html.contains("&lt;i&gt;") && html.contains("x &amp; y")
        );
        assert!(!html.contains("<i>"));
        assert!(media.text.contains("name  <i>") && media.text.contains("x & y"));
    }

    #[test]
    fn a_long_text_says_how_much_is_not_shown() {
        let card = InfoCard::new("t").text("text", &"é".repeat(LONGEST + 7));
        assert!(card.texts[0].1.ends_with("… (7 characters more)"));
    }

    #[test]
    fn the_lab_model_and_recipe_have_cards() {
        let model = Checkpoint::open(crate::lab::folder().unwrap().join("model")).unwrap();
        let text = model.media().text;
        assert!(text.contains("Llama") && text.contains("4.2 MB"), "{text}");
        assert!(!text.contains("adapter"), "{text}");
        let text = Recipe::quick().media().text;
        assert!(
            text.contains("tried") && text.contains("3e-3") && text.contains("stm(2.5)"),
            "{text}"
        );
    }
}
