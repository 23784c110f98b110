//! The version of each grader, which is a part of the name under which graded answers are stored.

use super::{Check, Item};
use crate::sandbox;
use std::collections::BTreeMap;

impl Check {
    /// Name and version of the rule that grades such answers.
    ///
    /// The version is raised with every change by which some answer may get another grade, `why`, extracted text or skill: stored grades of an older
    /// rule are then not found any more, and the answers are graded anew.
    pub fn grader(&self) -> (&'static str, u32) {
        match self {
            Self::Number { .. } => ("number", 2),
            Self::Choice { .. } => ("choice", 2),
            Self::Code { .. } => ("code", 3),
            Self::Python { .. } => ("python", 2),
            Self::Sql { .. } => ("sql", 2),
            Self::Follow { .. } => ("follow", 2),
            Self::Math { .. } => ("math", 3),
            Self::Gsm8k { .. } => ("gsm8k", 2),
            Self::Letter { .. } => ("letter", 2),
            Self::Likelihood { .. } => ("likelihood", 1),
            Self::Database { .. } => ("database", 2),
            Self::Instructions { .. } => ("instructions", 2),
        }
    }
}

/// The graders of `items` by name, each with its version and, where another program takes part, that program's.
pub fn graders<'a>(items: impl IntoIterator<Item = &'a Item>) -> BTreeMap<&'static str, String> {
    let mut graders = BTreeMap::new();
    for item in items {
        let (name, version) = item.check.grader();
        graders.entry(name).or_insert_with(|| match (&item.check, sandbox::Python::find()) {
            (Check::Python { .. }, Ok(python)) => {
                format!("{version} with Python {}", python.version())
            }
            _ => version.to_string(),
        });
    }
    graders
}
