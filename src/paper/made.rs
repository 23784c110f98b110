//! What a table or figure was made of, written beside it, so that a stale one is found without computing it again.

use super::{Desk, ExhibitOptions, recipe_text};
use crate::error::{Error, Result};
use crate::experiment::Recipe;
use crate::provenance::VERSION;
use crate::report;
use crate::store::file_hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The file's name in an exhibit's folder.
pub const FILE: &str = "made.json";

/// What an exhibit was made of. Changes of the program itself are not seen: only its version is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// `table-3`, `figure-5`, `claims`.
    pub exhibit: String,
    /// The text of every recipe that it uses, by name.
    pub recipes: BTreeMap<String, String>,
    /// What was changed for all recipes.
    #[serde(flatten)]
    pub options: ExhibitOptions,
    /// SHA-256 of the lab's list of hashes: model, tokenizer and tasks.
    pub lab: String,
    /// Version of this crate.
    pub version: String,
    /// The compute device.
    pub device: String,
}

impl Made {
    /// What `exhibit` is made of on this desk, from the recipes of these names.
    ///
    /// # Errors
    /// A recipe that is not known, or a lab that is not there.
    pub fn of(exhibit: &str, recipes: &[&str], desk: &Desk) -> Result<Self> {
        let text = |name: &&str| Ok((name.to_string(), recipe_text(name)?.to_owned()));
        Ok(Self {
            exhibit: exhibit.to_owned(),
            recipes: recipes.iter().map(text).collect::<Result<_>>()?,
            options: desk.options().clone(),
            lab: hash_of_lab()?,
            version: VERSION.to_owned(),
            device: desk.cx.device_name(),
        })
    }

    /// Writes it to `folder`, made if it is not there.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let json = serde_json::to_vec_pretty(self)
            .map_err(Error::library("writing what an exhibit is made of"))?;
        report::put(folder, FILE, &json)
    }

    /// Reads what is kept beside the exhibit in `folder`.
    ///
    /// # Errors
    /// Names the file that is missing or malformed.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
        serde_json::from_str(&text)
            .map_err(|problem| Error::invalid(path.display().to_string(), problem.to_string()))
    }

    /// Why the exhibit would come out otherwise today; `None` if nothing that it was made of has changed.
    ///
    /// # Errors
    /// A lab that is not there.
    pub fn stale(&self) -> Result<Option<String>> {
        let again = |why: &str| Some(format!("{} is stale: {why}", self.exhibit));
        if self.options.quick || self.options.model.is_some() {
            return Ok(again("it was made with --quick or with another model"));
        }
        for (name, text) in &self.recipes {
            // what it says counts, not its words: comments, order and older spellings
            let today = recipe_text(name).map_err(|error| error.to_string());
            if today.and_then(Recipe::parse) != Recipe::parse(text) {
                return Ok(again(&format!("its recipe `{name}` has changed")));
            }
        }
        if self.lab != hash_of_lab()? {
            return Ok(again("the lab's model, tokenizer or tasks have changed"));
        }
        Ok(None)
    }
}

/// SHA-256 of the lab's list of hashes.
fn hash_of_lab() -> Result<String> {
    file_hash(&crate::lab::folder()?.join("hashes.txt"))
}

/// What is stale among the exhibits in the folders of `folder`, a sentence each; folders without `made.json` are none of ours.
///
/// # Errors
/// A folder that cannot be read, a malformed file, or a lab that is not there.
pub fn stale(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map_err(Error::io("reading", folder))?;
    let mut places = Vec::new();
    for entry in entries {
        places.push(entry.map_err(Error::io("reading", folder))?.path());
    }
    places.sort();
    for place in places.iter().filter(|place| place.join(FILE).is_file()) {
        let made = Made::read(place)?;
        if let Some(why) = made.stale()? {
            found.push(why);
        }
        if place.file_name().is_none_or(|name| name != made.exhibit.as_str()) {
            found.push(format!("{} holds {}", place.display(), made.exhibit));
        }
    }
    Ok(found)
}
