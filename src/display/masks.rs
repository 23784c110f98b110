//! What rules leave out, as tables and as curves.

use super::{Media, Show};
use crate::analysis::{Masking, Masks, ThresholdCurve};
use crate::report::figure;
use crate::report::grid::{Grid, NOTHING};

fn percent(share: Option<f64>) -> String {
    share.map_or(NOTHING.to_owned(), |share| format!("{:.1}", 100.0 * share))
}

impl Show for Masks {
    fn media(&self) -> Media {
        let row = |row: &Masking| {
            vec![
                row.rule.clone(),
                percent(Some(row.share())),
                percent(Some(row.surprisal_share())),
                percent(row.precision()),
                percent(row.recall()),
            ]
        };
        Grid {
            title: "What rules leave out, against the writer's style".to_owned(),
            legend: "masked: of the answers' tokens. surprise: share of the summed surprisal that is left out. precision: of the masked tokens, those in the writer's own \
                     style. recall: of the style tokens, those masked."
                .to_owned(),
            columns: ["rule", "masked %", "surprise %", "precision %", "recall %"]
                .map(str::to_owned)
                .to_vec(),
            rows: self.rows.iter().map(row).collect(),
        }
        .media()
    }
}

impl Show for ThresholdCurve {
    /// The curves, with the numbers as text.
    fn media(&self) -> Media {
        let rows = self.stm.iter().zip(&self.random).map(|(stm, random)| {
            vec![
                stm.threshold.to_string(),
                percent(Some(stm.masked)),
                percent(Some(stm.surprisal_masked)),
                percent(stm.precision),
                percent(random.precision),
                percent(stm.recall),
                percent(random.recall),
            ]
        });
        let grid = Grid {
            title: "What a threshold masks, and what as many tokens drawn at random are".to_owned(),
            legend: String::new(),
            columns: [
                "threshold",
                "masked %",
                "surprise %",
                "precision %",
                "by chance",
                "recall %",
                "by chance",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: rows.collect(),
        };
        let text = grid.media().text;
        match figure::threshold_curves(&self.stm, &self.random) {
            Ok(Some(figure)) => Media { text, ..figure.media() },
            Ok(None) => grid.media(),
            Err(error) => Media::text(error.to_string()),
        }
    }
}
