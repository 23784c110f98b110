//! The paper's tables and figures, computed at lab scale, each beside what the paper prints.
//!
//! An [`Exhibit`] is a table or a figure of the paper, or a comparison of ours that the paper lacks. It names its recipe and says how it is
//! computed from the recipe's results, or why it cannot be computed here. The paper's models have billions of parameters and ours a million, so numbers are
//! set side by side to compare directions, not sizes; [`claims`] does that for each of the paper's hypotheses.
//!
//! ```no_run
//! use unforget::paper::{Desk, ExhibitOptions, named};
//! use unforget::prelude::*;
//! let cx = Context::in_notebook()?;
//! let desk = Desk::new(&cx, ExhibitOptions { quick: true, ..ExhibitOptions::default() });
//! for table in named("table-3")?.compute(&desk)?.tables {
//!     println!("{}", table.text(120));
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! A trap: about twenty rows of the authors' tables do not follow from their own accuracies. [`printed`] says at each such number what
//! is wrong with it.

pub mod claims;
mod continual;
mod convergence;
mod desk;
mod diversity;
mod figures;
mod made;
mod outcome;
pub mod printed;
mod tables;

pub use desk::{Desk, ExhibitOptions, recipe_names, recipe_text};
pub use made::{Made, stale};

use crate::error::{Error, Result};
use crate::report;
use crate::report::figure::Figure;
use crate::table::Table;
use std::path::{Path, PathBuf};

/// A table or figure.
pub struct Exhibit {
    /// `table-3`, `figure-5`; those of ours have a word, such as `format`.
    pub id: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The recipe that it is made of, by name.
    pub recipe: Option<&'static str>,
    how: How,
}

enum How {
    Compute(fn(&Desk) -> Result<Shown>),
    /// Why not.
    NotHere(&'static str),
}

/// What an exhibit shows.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Tables, the main one first.
    pub tables: Vec<Table>,
    /// Figures, each with the table it is drawn from.
    pub figures: Vec<Figure>,
}

impl Exhibit {
    const fn new(
        id: &'static str,
        title: &'static str,
        recipe: &'static str,
        compute: fn(&Desk) -> Result<Shown>,
    ) -> Self {
        Self { id, title, recipe: Some(recipe), how: How::Compute(compute) }
    }

    const fn not_here(id: &'static str, title: &'static str, why: &'static str) -> Self {
        Self { id, title, recipe: None, how: How::NotHere(why) }
    }

    /// Why it cannot be computed at lab scale; `None` if it can.
    pub fn why_not(&self) -> Option<&'static str> {
        match self.how {
            How::Compute(_) => None,
            How::NotHere(why) => Some(why),
        }
    }

    /// What the paper calls it: `Table 2` for `table-2`.
    pub fn heading(&self) -> String {
        let mut heading = self.id.replace('-', " ");
        heading[..1].make_ascii_uppercase();
        heading
    }

    /// Computes it, or what of it the desk and the store do not hold.
    ///
    /// # Errors
    /// Those of [`crate::experiment::run`]; one that cannot be computed at lab scale says why.
    pub fn compute(&self, desk: &Desk) -> Result<Shown> {
        match self.how {
            How::Compute(compute) => compute(desk),
            How::NotHere(why) => {
                Err(Error::invalid(self.id, format!("cannot be computed here: {why}")))
            }
        }
    }
}

impl Shown {
    /// Writes what is shown to `folder` (made if it is not there): `README.md` with all tables, `tables/NAME.csv`, and each figure as SVG and PNG
    /// with its own table; and `made.json`, by which [`stale`] tells whether it would come out otherwise today. Returns the page.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write(&self, folder: &Path, exhibit: &Exhibit, desk: &Desk) -> Result<PathBuf> {
        let mut page = format!("# {}: {}\n\n", exhibit.heading(), exhibit.title);
        if let Some(recipe) = exhibit.recipe {
            page.push_str(&format!(
                "Recipe `{recipe}`, at lab scale. Made by `unforget`, not typed.\n\n"
            ));
        }
        for figure in &self.figures {
            let name = figure.name;
            page.push_str(&format!("![{}]({name}.svg)\n\n", figure.plot.title));
            report::put_figure(folder, figure)?;
        }
        for table in &self.tables {
            page.push_str(&table.markdown());
            page.push('\n');
            report::put(folder, &format!("tables/{}.csv", table.name), &table.csv()?)?;
        }
        Made::of(exhibit.id, exhibit.recipe.as_slice(), desk)?.write(folder)?;
        report::put(folder, "README.md", page.as_bytes())
    }
}

const EXHIBITS: [Exhibit; 37] = [
    Exhibit::new("table-1", "Perplexity of each kind of answer", "table-1", tables::perplexity),
    Exhibit::new("table-2", "Ground truth, Self-Output, Rephrase and STM", "table-2", tables::main),
    Exhibit::new("table-3", "Which tokens are masked, and how many", "table-3", tables::masks),
    Exhibit::new("table-4", "In full, by LoRA and by DoRA", "table-4", tables::techniques),
    Exhibit::new("table-5", "Learning rates", "table-5", tables::rates),
    Exhibit::new(
        "table-6",
        "How different the answers still are: self-BLEU",
        "table-6",
        diversity::table,
    ),
    Exhibit::new("table-7", "How far the weights moved", "table-7", tables::norms),
    Exhibit::new("table-8", "Plain regularisation", "table-8", tables::regularisation),
    Exhibit::new("table-9", "Following instructions", "table-5", tables::instructions),
    Exhibit::not_here(
        "table-10",
        "Safety (AdvBench)",
        "the lab model was never taught to refuse, and the paper's judge is a commercial model; nothing here would measure safety",
    ),
    Exhibit::new("table-11", "A higher threshold", "table-11", tables::higher_threshold),
    Exhibit::new("table-12", "The accuracies behind Table 2", "table-2", tables::accuracies),
    Exhibit::new("table-13", "Thresholds on the second target", "table-13", tables::thresholds),
    Exhibit::new(
        "table-14",
        "Thresholds and differences of perplexity",
        "table-14",
        tables::differences,
    ),
    Exhibit::new(
        "table-15",
        "Masks and thresholds on both targets",
        "table-3",
        tables::masks_of_both,
    ),
    Exhibit::new(
        "table-16",
        "In full, by LoRA and by DoRA, the other model",
        "table-4",
        tables::techniques_again,
    ),
    Exhibit::new("table-17", "What the training data costs", "table-2", tables::cost_of_both),
    Exhibit::new(
        "table-18",
        "Thresholds and other scorers, the smaller model",
        "table-18",
        tables::scorers,
    ),
    Exhibit::new("table-19", "One target after the other", "table-19", continual::table),
    Exhibit::new(
        "table-20",
        "Right and wrong answers in Self-Output",
        "table-20",
        tables::correctness,
    ),
    Exhibit::new(
        "table-21",
        "Right and wrong answers, the other model",
        "table-20",
        tables::correctness_again,
    ),
    Exhibit::new("figure-1", "One item, token by token", "table-1", figures::item),
    Exhibit::new(
        "figure-2",
        "Perplexity of the answers against forgetting",
        "table-2",
        figures::perplexity_and_forgetting,
    ),
    Exhibit::new("figure-3", "Surprisal of one item's tokens", "table-1", figures::spikes),
    Exhibit::new("figure-4", "Training over ten epochs", "figure-4", convergence::figure),
    Exhibit::new(
        "figure-5",
        "Accuracy against the share of tokens masked",
        "table-13",
        figures::masked_share,
    ),
    Exhibit::new(
        "figure-6",
        "Accuracy against the share masked, the smaller model",
        "table-18",
        figures::masked_share_again,
    ),
    Exhibit::new(
        "figure-7",
        "Training over ten epochs, the other model",
        "figure-4",
        convergence::figure_again,
    ),
    Exhibit::new(
        "figure-8",
        "What kinds of tokens surprise the model",
        "table-1",
        figures::classes_llama,
    ),
    Exhibit::new(
        "figure-9",
        "Kinds of tokens, the third model",
        "table-1",
        figures::classes_mistral,
    ),
    Exhibit::new(
        "figure-10",
        "Kinds of tokens, the smaller model",
        "table-1",
        figures::classes_gemma,
    ),
    Exhibit::new(
        "figure-11",
        "Regularisation and the target",
        "table-8",
        figures::regularisation_target,
    ),
    Exhibit::new(
        "figure-12",
        "Regularisation and the other tasks",
        "table-8",
        figures::regularisation_others,
    ),
    Exhibit::new(
        "figure-13",
        "Effective rank of the change, layer by layer",
        "table-7",
        figures::effective_ranks,
    ),
    Exhibit::new("figure-14", "Singular values of the change", "table-7", figures::singular_values),
    Exhibit::new(
        "format",
        "What the form of the reference answers does (ours)",
        "format",
        tables::format,
    ),
    Exhibit::new(
        "as-published",
        "Matched arms beside those as published (ours)",
        "as-published",
        tables::as_published,
    ),
];

/// Every table and figure of the paper in its order, then ours.
pub fn exhibits() -> &'static [Exhibit] {
    &EXHIBITS
}

/// The exhibit called `id`.
///
/// # Errors
/// Names the nearest.
pub fn named(id: &str) -> Result<&'static Exhibit> {
    EXHIBITS.iter().find(|exhibit| exhibit.id == id).ok_or_else(|| {
        let near = |exhibit: &&Exhibit| (strsim::jaro_winkler(exhibit.id, id) * 1e6) as u64;
        let nearest = EXHIBITS.iter().max_by_key(near).map_or("", |exhibit| exhibit.id);
        let hint = "`unforget table` lists all";
        Error::invalid(
            format!("`{id}`"),
            format!("the paper has no such thing; did you mean `{nearest}`? {hint}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exhibit_has_its_own_name_and_a_recipe_or_a_reason() {
        for (at, exhibit) in EXHIBITS.iter().enumerate() {
            assert!(EXHIBITS[..at].iter().all(|other| other.id != exhibit.id));
            match exhibit.recipe {
                Some(recipe) => assert!(recipe_text(recipe).is_ok() && exhibit.why_not().is_none()),
                None => assert!(exhibit.why_not().is_some_and(|why| why.len() > 40)),
            }
        }
        for number in 1..=21 {
            assert!(named(&format!("table-{number}")).is_ok());
        }
        for number in 1..=14 {
            assert!(named(&format!("figure-{number}")).is_ok());
        }
        assert!(named("table-33").err().unwrap().to_string().contains("`table-3`"));
    }
}
