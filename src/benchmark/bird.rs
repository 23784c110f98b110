//! BIRD: questions about databases, answered by a query (Li et al. 2023). Data card: `datasets/bird`.
//!
//! A row as it is published (its content is made up):
//!
//! ```json
//! {"question_id": 1, "db_id": "garden", "question": "Which tall plants are there?",
//!  "evidence": "tall refers to height > 100",
//!  "SQL": "SELECT name FROM plant WHERE height > 100", "difficulty": "simple"}
//! ```
//!
//! The databases lie beside the file, as `database/<db_id>/<db_id>.sqlite` or as they are published.
//!
//! Traps:
//! - The paper's prompt leaves `evidence` out, BIRD's own has it: scores of the two are not to be compared.
//! - Rows are compared as sets: order, repetition and `DISTINCT` change no grade.
//! - By the paper's rule a query without rows is wrong even where none are expected, and so is one that begins with `select` in small
//!   letters or with `WITH`.
//! - Both prompts show `CREATE TABLE sqlite_sequence(name,seq)` where the database has it: their code means to leave it out, and does not.
//! - Some references are wrong; later versions of the file correct several.
//!
//! Graded as [`Check::Database`] with [`RowRule::Bird`], by [`src/task/sql.rs`](crate::task::sql::grade).

use super::{Database, Databases, Given, Prompts};
use crate::error::{Error, Result};
use crate::task::{Check, Grading, Item, RowRule};

pub(super) fn item(given: &Given<'_>, databases: &mut Databases) -> Result<Item> {
    let (question, query) = (given.text("question")?, given.text("SQL")?);
    let database = databases.find(given, given.text("db_id")?)?;
    let prompt = match given.ask.prompts {
        Prompts::Paper => without_evidence(&database, question),
        Prompts::Official => {
            // Word for word `bird/llm/src/gpt_request.py` at 03898f5f of AlibabaResearch/DAMO-ConvAI, its spelling too, but for the
            // `SELECT ` at its end, with which the authors begin the completion of a model that does not chat. A question without
            // evidence keeps the line: there, the other sentence is never reached.
            let evidence = given.text("evidence").unwrap_or("");
            format!(
                "{}\n\n-- External Knowledge: {evidence}\n-- Using valid SQLite and understading External Knowledge, answer the following questions for the tables provided above.\n-- {question}\nGenerate the SQL after thinking step by step: ",
                database.tables.join("\n\n")
            )
        }
        Prompts::Harness => {
            return Err(given.no_prompt("BIRD", "take paper, or official with the evidence"));
        }
    };
    checked(given, "bird", &["question_id"], prompt, query, database, RowRule::Bird)
}

/// The paper's prompt, which is StreamBench's: tables, question, no evidence; every line trimmed. Word for word
/// `get_zeroshot_prompt` in `stream_bench/benchmarks/text_to_sql.py` at 5ed35b9b of stream-bench/stream-bench.
pub(super) fn without_evidence(database: &Database, question: &str) -> String {
    let text = format!(
        "{}\n\n-- Using valid SQLite, answer the following question for the tables provided above.\n-- Question: {question}\n\nNow, generate the correct SQL code directly (Do NOT generate other text except the SQL code):",
        database.tables.join("\n\n")
    );
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join("\n")
}

/// An item that is graded by running its query.
pub(super) fn checked(
    given: &Given<'_>,
    name: &str,
    ids: &[&str],
    prompt: String,
    query: &str,
    database: Database,
    rows: RowRule,
) -> Result<Item> {
    if given.ask.grading == Grading::Harness {
        return Err(Error::invalid(
            "grading",
            format!("lm-evaluation-harness has no task {name}; take robust or paper"),
        ));
    }
    let query = query.trim().trim_end_matches(';').to_owned();
    Ok(Item {
        id: format!("{name}/{}", given.name(ids)),
        prompt,
        truth: query.clone(),
        style: vec![],
        check: Check::Database {
            file: database.file,
            sha256: database.sha256,
            query,
            rows,
            grading: given.ask.grading,
        },
    })
}
