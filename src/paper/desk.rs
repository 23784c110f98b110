//! Where an exhibit finds its results: recipes by name, each computed once.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::experiment::results::Results;
use crate::experiment::{DataSizes, Experiment, Recipe};
use crate::report::summary::ResultsSummary;
use crate::tokens::TemplateOptions;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Every recipe of the paper's tables and figures, by name.
const RECIPES: [(&str, &str); 17] = [
    ("table-1", include_str!("recipes/table-1.toml")),
    ("table-2", include_str!("recipes/table-2.toml")),
    ("table-3", include_str!("recipes/table-3.toml")),
    ("table-4", include_str!("recipes/table-4.toml")),
    ("table-5", include_str!("recipes/table-5.toml")),
    ("table-6", include_str!("recipes/table-6.toml")),
    ("table-7", include_str!("recipes/table-7.toml")),
    ("table-8", include_str!("recipes/table-8.toml")),
    ("table-11", include_str!("recipes/table-11.toml")),
    ("table-13", include_str!("recipes/table-13.toml")),
    ("table-14", include_str!("recipes/table-14.toml")),
    ("table-18", include_str!("recipes/table-18.toml")),
    ("table-19", include_str!("recipes/table-19.toml")),
    ("table-20", include_str!("recipes/table-20.toml")),
    ("figure-4", include_str!("recipes/figure-4.toml")),
    ("format", include_str!("recipes/format.toml")),
    ("as-published", include_str!("recipes/as-published.toml")),
];

/// What may be changed for all recipes at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExhibitOptions {
    /// Seeds 1 to this instead of the recipes' own.
    pub seeds: Option<u64>,
    /// One seed, two rates and few items: to see whether everything works, not what comes out.
    pub quick: bool,
    /// Another model than the lab's: a folder or a name of the hub.
    pub model: Option<String>,
    /// What that model's chat template is given beside the messages.
    #[serde(default, skip_serializing_if = "TemplateOptions::is_empty")]
    pub template: TemplateOptions,
}

/// Computes results by recipe and target, and keeps them for the next exhibit that asks.
pub struct Desk<'a> {
    /// Store, device, progress.
    pub cx: &'a Context,
    options: ExhibitOptions,
    results: RefCell<BTreeMap<(String, String), Rc<Results>>>,
    summaries: RefCell<BTreeMap<(String, String), Rc<ResultsSummary>>>,
}

/// The text of a recipe: what `unforget table N --recipe` prints.
///
/// # Errors
/// Lists the names there are.
pub fn recipe_text(name: &str) -> Result<&'static str> {
    let found = RECIPES.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text).ok_or_else(|| {
        let names: Vec<&str> = recipe_names().collect();
        Error::invalid(format!("recipe `{name}`"), format!("there are {}", names.join(", ")))
    })
}

/// The names of all recipes.
pub fn recipe_names() -> impl Iterator<Item = &'static str> {
    RECIPES.iter().map(|(name, _)| *name)
}

impl<'a> Desk<'a> {
    /// An empty desk; nothing is computed before it is asked for.
    pub fn new(cx: &'a Context, options: ExhibitOptions) -> Self {
        Self { cx, options, results: RefCell::default(), summaries: RefCell::default() }
    }

    /// What is changed for all recipes.
    pub fn options(&self) -> &ExhibitOptions {
        &self.options
    }

    /// The recipe as it will be run, for the target given or else its own.
    ///
    /// # Errors
    /// A name that is not known, or a target that the recipe does not have.
    pub fn recipe(&self, name: &str, target: Option<&str>) -> Result<Recipe> {
        let parsed = Recipe::parse(recipe_text(name)?);
        let mut recipe =
            parsed.map_err(|problem| Error::invalid(format!("recipe `{name}`"), problem))?;
        if let Some(seeds) = self.options.seeds {
            recipe.seeds = (1..=seeds).collect();
        }
        if let Some(model) = &self.options.model {
            recipe.model.clone_from(model);
        }
        let template = self.options.template.clone().over(&recipe.template_options());
        (recipe.template_date, recipe.template_args) = (template.date, template.args);
        if self.options.quick {
            recipe.seeds = vec![1];
            recipe.sizes = DataSizes { train: 48, validation: 20, test: 20 };
            recipe.self_output.samples = 6;
            let few = |rates: &mut Vec<f64>| *rates = few(rates);
            few(&mut recipe.learning_rates);
            recipe.variants.values_mut().for_each(|variant| few(&mut variant.learning_rates));
        }
        match target {
            Some(target) => recipe.with_target(target),
            None => Ok(recipe),
        }
    }

    /// The recipe with its data at hand; trains nothing.
    pub fn experiment(&self, name: &str, target: Option<&str>) -> Result<Experiment<'a>> {
        Experiment::prepare(self.cx, &self.recipe(name, target)?)
    }

    /// The recipe's results: from this desk, else from the store, else computed.
    pub fn results(&self, name: &str, target: Option<&str>) -> Result<Rc<Results>> {
        let recipe = self.recipe(name, target)?;
        let key = (name.to_owned(), recipe.target.clone());
        if let Some(known) = self.results.borrow().get(&key) {
            return Ok(known.clone());
        }
        self.cx.progress.note(&format!("{name}, target {}", recipe.target));
        let results = Rc::new(Experiment::prepare(self.cx, &recipe)?.run()?);
        self.results.borrow_mut().insert(key, results.clone());
        Ok(results)
    }

    /// The same with each arm's summary.
    pub fn summary(&self, name: &str, target: Option<&str>) -> Result<Rc<ResultsSummary>> {
        let results = self.results(name, target)?;
        let key = (name.to_owned(), results.target.clone());
        if let Some(known) = self.summaries.borrow().get(&key) {
            return Ok(known.clone());
        }
        let summary = Rc::new(ResultsSummary::of(results)?);
        self.summaries.borrow_mut().insert(key, summary.clone());
        Ok(summary)
    }
}

/// The two middle rates of some.
fn few(rates: &[f64]) -> Vec<f64> {
    let from = (rates.len() / 2).saturating_sub(1);
    rates.iter().skip(from).take(2).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceChoice;
    use crate::progress::Progress;
    use crate::store::Store;

    #[test]
    fn every_recipe_reads_and_asks_for_five_seeds() {
        for (name, text) in RECIPES {
            let recipe = Recipe::parse(text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
            assert_eq!(recipe.name, name);
            assert_eq!(recipe.seeds, [1, 2, 3, 4, 5], "{name}");
        }
    }

    #[test]
    fn tables_share_their_runs() {
        let recipe = |name| Recipe::parse(recipe_text(name).unwrap()).unwrap();
        let main = recipe("table-2");
        for name in ["table-3", "table-4", "table-6", "table-8", "table-11", "table-20"] {
            let other = recipe(name);
            assert_eq!(
                (main.sizes, &main.finetune, &main.learning_rates, &main.non_target),
                (other.sizes, &other.finetune, &other.learning_rates, &other.non_target),
                "{name}"
            );
        }
        let other = recipe("table-13");
        let main = main.with_target("algebra").unwrap();
        assert_eq!((&main.target, &main.non_target), (&other.target, &other.non_target));
    }

    #[test]
    fn options_change_every_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let cx = Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap();
        let desk = |quick, seeds| {
            let options = ExhibitOptions { quick, seeds, model: None, ..ExhibitOptions::default() };
            Desk::new(&cx, options)
        };
        assert_eq!(desk(false, Some(2)).recipe("table-2", None).unwrap().seeds, [1, 2]);
        let quick = desk(true, None).recipe("table-4", Some("algebra")).unwrap();
        assert_eq!((quick.seeds.len(), quick.learning_rates.len()), (1, 2));
        assert_eq!((quick.target.as_str(), quick.name.as_str()), ("algebra", "table-4-algebra"));
        assert_eq!(quick.variants["full"].learning_rates.len(), 2);
        let error = desk(true, None).recipe("table-99", None).unwrap_err();
        assert!(error.to_string().contains("table-13"), "{error}");
    }
}
