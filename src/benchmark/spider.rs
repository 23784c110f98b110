//! Spider and its translations: questions about databases, answered by a query (Yu et al. 2018). Data card: `datasets/spider`.
//!
//! A row as it is published (the German translation; its content is made up):
//!
//! ```json
//! {"db_id": "garden", "match": "How many plants are there?",
//!  "query": "SELECT count(*) FROM plant",
//!  "query_toks": ["SELECT", "count", "(", "*", ")", "FROM", "plant"],
//!  "query_toks_no_value": "SELECT count(*) FROM plant",
//!  "question": "Wie viele Pflanzen gibt es?",
//!  "question_toks": ["Wie", "viele", "Pflanzen", "gibt", "es", "?"], "sql": {}}
//! ```
//!
//! Only `db_id`, `question` and `query` are used. The databases lie beside the file, as `database/<db_id>/<db_id>.sqlite`.
//!
//! Traps:
//! - Translations translate the names of tables too, and some of their queries do not run: 52 in the German one, most of them because a
//!   column is called `alter`, a word of SQL. Such a row is refused, or left out ([`super::Benchmark::read_usable`]).
//! - It is asked as BIRD is, but not compared as BIRD is: repeated rows count, order counts where the reference says `ORDER BY`,
//!   columns may come in any order, and `DISTINCT` is taken out of both queries.
//! - The official evaluation also compares queries by their parts, and runs them on several fillings of each database. We do neither.
//!
//! Graded as [`Check::Database`](crate::task::Check::Database) with [`RowRule::Spider`], by [`src/task/sql.rs`](crate::task::sql::grade).

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
