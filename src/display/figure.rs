//! Figures: a picture without a ground, as wide as a notebook's column, so that it looks the same before and after a page is run, on white and on
//! black.

use super::{Media, Show, base64, escaped};
use crate::error::{Error, Result};
use crate::report::figure::Figure;

/// The width of a notebook's column; JupyterLab cuts off what is wider in a window of 1280 pixels.
const COLUMN: u32 = 700;
/// What is black in a figure, as gray that is read on white and on black.
const MIDDLE: u8 = 0x74;

impl Show for Figure {
    fn media(&self) -> Media {
        let plot = &self.plot;
        let text = format!("Figure: {}\n{}", plot.title, plot.note);
        match picture(self) {
            Ok(html) => Media { html: Some(html), ..Media::text(text) },
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
            .map(|media| media.html.clone().unwrap_or_else(|| escaped(&media.text)))
            .collect();
        Media { html: Some(html), ..Media::text(text.join("\n")) }
    }
}

/// The figure as an element of a page: pages drop drawings that they do not trust, and no pictures.
fn picture(figure: &Figure) -> Result<String> {
    let plot = figure.plot.clone();
    let (width, height) = plot.size;
    let png = without_ground(&plot.size(width.min(COLUMN), height).png()?)?;
    let (width, what) = (width.min(COLUMN), escaped(&figure.plot.title));
    Ok(format!(
        "<img alt=\"{what}\" width=\"{width}\" src=\"data:image/png;base64,{}\">",
        base64(&png)
    ))
}

/// White becomes transparent, and black a gray between the two.
fn without_ground(png: &[u8]) -> Result<Vec<u8>> {
    let decoder = png::Decoder::new(png);
    let mut reader = decoder.read_info().map_err(failed)?;
    let mut pixels = vec![0; reader.output_buffer_size()];
    let size = reader.next_frame(&mut pixels).map_err(failed)?;
    let pixels: Vec<u8> =
        pixels.chunks_exact(3).flat_map(|rgb| clear([rgb[0], rgb[1], rgb[2]])).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.width, size.height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Best);
    encoder.set_filter(png::FilterType::NoFilter); // much of it is one color
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// The color that gives `rgb` when it is laid on white, as transparent as can be.
fn clear(rgb: [u8; 3]) -> [u8; 4] {
    let [red, green, blue] = rgb.map(u32::from);
    let (low, high) = (red.min(green).min(blue), red.max(green).max(blue));
    let cover = 255 - low;
    if cover == 0 {
        return [0; 4];
    }
    let under = |part: u32| (255 * (part - low) / cover) as u8;
    match high - low < 12 {
        // thin letters are half as strong again: gray on a ground is weaker than black on white
        true => [MIDDLE, MIDDLE, MIDDLE, (cover * 3 / 2).min(255) as u8],
        false => [under(red), under(green), under(blue), cover as u8],
    }
}

fn failed(problem: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::library("drawing a figure")(problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Plot;
    use crate::table::Table;

    #[test]
    fn white_is_clear_and_colors_stay_what_they_are_on_white() {
        assert_eq!(clear([255, 255, 255]), [0; 4]);
        assert_eq!(clear([0x1a, 0x1a, 0x1a])[..3], [MIDDLE; 3]);
        for color in [[0xd5, 0x5e, 0x00], [0x00, 0x72, 0xb2], [0x99, 0xc7, 0xe0]] {
            let [red, green, blue, cover] = clear(color).map(f64::from);
            let on_white = [red, green, blue].map(|part| 255.0 - (255.0 - part) * cover / 255.0);
            for (found, wanted) in on_white.iter().zip(color) {
                assert!((found - f64::from(wanted)).abs() <= 1.5, "{color:?}: {on_white:?}");
            }
        }
    }

    #[test]
    fn a_figure_fits_a_column_and_is_one_picture() {
        let plot = Plot::new("1 < 2").size(960, 300);
        let media = Figure { name: "sums", plot, table: Table::default() }.media();
        let html = media.html.unwrap();
        assert!(
            html.starts_with("<img alt=\"1 &lt; 2\" width=\"700\" src=\"data:image/png;base64,"),
            "{html}"
        );
        assert!(
            media.svg.is_none() && media.png.is_none(),
            "no other form that would look otherwise"
        );
    }
}
