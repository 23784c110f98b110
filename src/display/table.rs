//! Tables: HTML with numbers to the right, and the text that a terminal shows.

use super::{Media, Show, escaped};
use crate::experiment::results::Results;
use crate::report::grid::Grid;
use crate::report::table;
use polars::prelude::DataFrame;

/// Rows of a frame that are shown.
const ROWS: usize = 30;

impl Show for Grid {
    fn media(&self) -> Media {
        Media { html: Some(html(self)), ..Media::text(self.text(table::WIDTH)) }
    }
}

/// The table as HTML, every cell escaped; the first column names the row.
fn html(grid: &Grid) -> String {
    let row = |cells: &[String], tag: &str| -> String {
        let cells = cells.iter().enumerate().map(|(column, cell)| {
            let side = if column == 0 { "left" } else { "right" };
            format!("<{tag} style=\"text-align:{side}\">{}</{tag}>", escaped(cell))
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let rows: String = grid.rows.iter().map(|cells| row(cells, "td")).collect();
    let around = |before: &str, text: &str, after: &str| match text.is_empty() {
        true => String::new(),
        false => format!("{before}{}{after}\n", escaped(text)),
    };
    format!(
        "{}<table>\n<thead>{}</thead>\n<tbody>{rows}</tbody>\n</table>\n{}",
        around("<p><b>", &grid.title, "</b></p>"),
        row(&grid.columns, "th"),
        around("<p>", &grid.legend, "</p>"),
    )
}

impl Show for DataFrame {
    fn media(&self) -> Media {
        let mut grid = Grid::of(
            &format!("{} rows, {} columns", self.height(), self.width()),
            &self.head(Some(ROWS)),
        );
        if self.height() > ROWS {
            grid.legend = format!("{} rows more are not shown.", self.height() - ROWS);
        }
        grid.media()
    }
}

impl Show for Results {
    /// The main table of the experiment.
    fn media(&self) -> Media {
        match table::grids(self) {
            Ok(grids) => grids.first().map(Show::media).unwrap_or_default(),
            Err(error) => Media::text(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::df;

    #[test]
    fn cells_are_text_and_not_markup() {
        let grid = Grid {
            title: "a < b".to_owned(),
            legend: String::new(),
            columns: vec!["<i>".to_owned()],
            rows: vec![vec!["&".to_owned()]],
        };
        let html = html(&grid);
        assert!(
            html.contains("a &lt; b") && html.contains("&lt;i&gt;") && html.contains("&amp;"),
            "{html}"
        );
        assert!(!html.contains("<i>"), "{html}");
    }

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
