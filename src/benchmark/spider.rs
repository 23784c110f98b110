//! Spider: questions about databases (Yu et al. 2018). Columns `db_id`, `question`, `query`; the databases lie beside the file as
//! `database/<db_id>/<db_id>.sqlite`.
//!
//! A trap: translations translate the names of tables too, and some of their queries do not run. Such a row is refused, or left out
//! ([`super::Benchmark::read_usable`]).

use super::{Databases, Given, Prompts, bird};
use crate::error::Result;
use crate::task::{Item, RowRule};

/// The paper does not use Spider; its prompt is the one it has for BIRD.
pub(super) fn item(given: &Given<'_>, databases: &mut Databases) -> Result<Item> {
    let (question, query) = (given.text("question")?, given.text("query")?);
    let database = databases.find(given, given.text("db_id")?)?;
    let prompt = match given.ask.prompts {
        Prompts::Paper => bird::without_evidence(&database, question),
        Prompts::Harness | Prompts::Official => {
            return Err(given.no_prompt("Spider", "take paper, which asks as for BIRD"));
        }
    };
    bird::checked(given, "spider", &["id"], prompt, query, database, RowRule::Spider)
}
