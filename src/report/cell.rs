//! What a notebook cell shows when it ends in a table or a figure.

use super::figure::Figure;
use super::grid::Grid;
use minijinja::HtmlEscape;
use std::fmt::Write;

impl Grid {
    /// The table as HTML, every cell escaped.
    pub fn html(&self) -> String {
        let mut out = String::from("<table>\n<caption>");
        let escaped = |text: &str| HtmlEscape(text).to_string();
        let row = |cells: &[String], tag: &str| -> String {
            let cells = cells.iter().map(|cell| {
                format!(
                    "<{tag} style=\"text-align:right\">{}</{tag}>",
                    escaped(cell)
                )
            });
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let rows: String = self.rows.iter().map(|cells| row(cells, "td")).collect();
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "{}</caption>\n<thead>{}</thead>\n<tbody>{rows}</tbody>\n</table>\n<p>{}</p>\n",
            escaped(&self.title),
            row(&self.columns, "th"),
            escaped(&self.legend)
        );
        out
    }

    /// Called by the notebook's kernel: HTML, and text for who has no HTML.
    pub fn evcxr_display(&self) {
        show("text/html", &self.html());
        show("text/plain", &self.text(super::table::WIDTH));
    }
}

impl Figure {
    /// Called by the notebook's kernel: the picture, or the sentence why there is none.
    pub fn evcxr_display(&self) {
        match self.plot.svg() {
            Ok(svg) => show("text/html", &svg),
            Err(error) => show("text/plain", &error.to_string()),
        }
    }
}

/// The kernel reads pieces of other media types between these two lines on stdout.
fn show(media_type: &str, content: &str) {
    println!("EVCXR_BEGIN_CONTENT {media_type}\n{content}\nEVCXR_END_CONTENT");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_text_and_not_markup() {
        let grid = Grid {
            title: "a < b".to_owned(),
            legend: String::new(),
            columns: vec!["<i>".to_owned()],
            rows: vec![vec!["&".to_owned()]],
        };
        let html = grid.html();
        assert!(
            html.contains("a &lt; b") && html.contains("&lt;i&gt;") && html.contains("&amp;"),
            "{html}"
        );
        assert!(!html.contains("<i>"), "{html}");
    }
}
