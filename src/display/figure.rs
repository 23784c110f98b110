//! Figures: a drawing on white, which reads on a dark page too, and a picture for pages that do not trust drawings.

use super::{Media, Show};
use crate::report::figure::Figure;

impl Show for Figure {
    fn media(&self) -> Media {
        let plot = &self.plot;
        let drawn = plot.svg().and_then(|svg| Ok((svg, plot.png()?)));
        match drawn {
            Ok((svg, png)) => Media {
                svg: Some(svg),
                png: Some(png),
                ..Media::text(format!("Figure: {}\n{}", plot.title, plot.note))
            },
            Err(error) => Media::text(error.to_string()),
        }
    }
}

/// What a function returns that has a figure only where there are numbers for it.
impl Show for Option<Figure> {
    fn media(&self) -> Media {
        match self {
            Some(figure) => figure.media(),
            None => Media::text("no figure: there are no numbers for it"),
        }
    }
}

impl Show for Vec<Figure> {
    /// One after the other, as one page.
    fn media(&self) -> Media {
        let all: Vec<Media> = self.iter().map(Show::media).collect();
        let text: Vec<&str> = all.iter().map(|media| media.text.as_str()).collect();
        let html: String = all
            .iter()
            .map(|media| media.svg.clone().unwrap_or_else(|| super::escaped(&media.text)))
            .collect();
        Media { html: Some(html), ..Media::text(text.join("\n")) }
    }
}
