//! What rules leave out, as tables and as curves.

use super::{Media, Show};
use crate::analysis::{Masks, ThresholdCurve};
use crate::ledger::ThresholdPoint;
use crate::report::figure;
use crate::table::{Cell, Table};

impl Show for Masks {
    fn media(&self) -> Media {
        Table::new("What rules leave out, against the writer's style")
            .legend(
                "masked: of the answers' tokens. surprise: share of the summed surprisal that is left out. precision: of the masked tokens, those in the writer's own \
                 style. recall: of the style tokens, those masked.",
            )
            .rows(&self.rows)
            .column("rule", |row| &row.rule)
            .column("masked %", |row| Cell::percent(row.share()))
            .column("surprise %", |row| Cell::percent(row.surprisal_share()))
            .column("precision %", |row| Cell::percent(row.precision()))
            .column("recall %", |row| Cell::percent(row.recall()))
            .table()
            .media()
    }
}

impl Show for ThresholdCurve {
    /// The curves, with the numbers as text.
    fn media(&self) -> Media {
        let rows: Vec<(&ThresholdPoint, &ThresholdPoint)> =
            self.stm.iter().zip(&self.random).collect();
        let table =
            Table::new("What a threshold masks, and what as many tokens drawn at random are")
                .rows(&rows)
                .column("threshold", |(stm, _)| stm.threshold.to_string())
                .column("masked %", |(stm, _)| Cell::percent(stm.masked))
                .column("surprise %", |(stm, _)| Cell::percent(stm.surprisal_masked))
                .column("precision %", |(stm, _)| Cell::percent(stm.precision))
                .column("by chance", |(_, random)| Cell::percent(random.precision))
                .column("recall %", |(stm, _)| Cell::percent(stm.recall))
                .column("by chance", |(_, random)| Cell::percent(random.recall))
                .table()
                .media();
        match figure::threshold_curves(&self.stm, &self.random) {
            Ok(Some(figure)) => Media { text: table.text, ..figure.media() },
            Ok(None) => table,
            Err(error) => Media::text(error.to_string()),
        }
    }
}
