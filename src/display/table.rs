//! Tables: HTML with numbers to the right, and the text that a terminal shows.

use super::{Media, Show};
use crate::experiment::results::Results;
use crate::report::Report;
use crate::table::{Table, WIDTH};
use polars::prelude::DataFrame;

/// Rows of a frame that are shown.
const ROWS: usize = 30;

impl Show for Table {
    fn media(&self) -> Media {
        Media { html: Some(self.html()), ..Media::text(self.text(WIDTH)) }
    }
}

impl Show for DataFrame {
    fn media(&self) -> Media {
        let title = format!("{} rows, {} columns", self.height(), self.width());
        let mut table = Table::of(&title, &self.head(Some(ROWS)));
        if self.height() > ROWS {
            table.note(&format!("{} rows more are not shown.", self.height() - ROWS));
        }
        table.media()
    }
}

impl Show for Results {
    /// The main table of the experiment, by each protocol.
    fn media(&self) -> Media {
        match Report::of(self.clone()) {
            Ok(report) => {
                let tables = report.main_tables();
                let html: Vec<String> = tables.iter().map(Table::html).collect();
                let text: Vec<String> = tables.iter().map(|table| table.text(WIDTH)).collect();
                Media { html: Some(html.join("\n")), ..Media::text(text.join("\n")) }
            }
            Err(error) => Media::text(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::df;

    #[test]
    fn a_long_frame_does_not_flood_the_page() {
        let frame = df!("n" => (0..1000).collect::<Vec<i32>>()).unwrap();
        let media = frame.media();
        assert!(
            media.text.contains("1000 rows") && media.text.contains("970 rows more"),
            "{}",
            media.text
        );
        assert_eq!(media.html.unwrap().matches("<tr>").count(), ROWS + 1);
    }
}
