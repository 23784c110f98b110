//! What a notebook cell shows when it ends in a value: tables, figures, heat maps and cards, each also as plain text.
//!
//! The kernel asks a value for [`Show::evcxr_display`]; `use unforget::prelude::*` brings it into scope. Nothing is drawn here that a
//! report draws too, and nothing floods a page: what is longer than a screen says how much more there is.
//!
//! ```
//! use unforget::display::Show;
//! use unforget::task::{Check, Item, Place};
//! let item = Item {
//!     id: "word/test/1".into(),
//!     prompt: "What is 2 + 3?".into(),
//!     truth: "Answer: 5".into(),
//!     style: vec![],
//!     check: Check::Number { value: "5".into(), place: Place::AnswerLine },
//! };
//! assert!(item.media().text.contains("What is 2 + 3?"));
//! ```

mod answers;
mod audit;
mod card;
mod figure;
mod heat_map;
mod help;
mod lesson;
mod loss;
mod masks;
mod movement;
mod pool;
mod rule;
mod run;
mod surprise;
mod table;
mod training;
mod weighed;

pub use card::InfoCard;
pub use help::{Help, help};
pub use movement::{blocks_table, fronts_figure, movements_table, spectrum_figure};
pub use surprise::{spikes_figure, surprise_figure};
pub use weighed::weight_figure;

use crate::error::Plain;
use minijinja::HtmlEscape;
use std::fmt::Write as _;
use std::io::Write as _;

/// A value that shows itself in a notebook.
pub trait Show {
    /// The value in every form that it can be shown in.
    fn media(&self) -> Media;

    /// Called by the kernel for a cell's last value.
    fn evcxr_display(&self) {
        self.media().print();
    }
}

/// One thing in several forms; a notebook's page takes the richest one that it can show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Media {
    /// For a page that shows HTML. Colors are translucent, so that it reads on white and on black; it means the same without them, as pages
    /// that drop styles show it.
    pub html: Option<String>,
    /// A drawing.
    pub svg: Option<String>,
    /// The drawing as a PNG file, for pages that do not trust drawings.
    pub png: Option<Vec<u8>>,
    /// For a terminal and for readers of text.
    pub text: String,
}

impl Media {
    /// Text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The message to the kernel: each form between two lines that it knows.
    fn message(&self) -> String {
        let mut out = String::new();
        let mut piece = |media_type: &str, content: &str| {
            // a model may have written the kernel's own mark
            let content = content.replace("EVCXR_END_CONTENT", "EVCXR-END-CONTENT");
            // writing to a string cannot fail
            let _ = write!(out, "EVCXR_BEGIN_CONTENT {media_type}\n{content}\nEVCXR_END_CONTENT\n");
        };
        if let Some(html) = &self.html {
            piece("text/html", html);
        }
        if let Some(svg) = &self.svg {
            piece("image/svg+xml", svg);
        }
        if let Some(png) = &self.png {
            piece("image/png", &base64(png));
        }
        piece("text/plain", self.text.trim_end());
        out
    }

    fn print(&self) {
        // whoever reads the kernel's output is gone when this fails, and with it the one to tell
        let _ = std::io::stdout().lock().write_all(self.message().as_bytes());
    }
}

/// From now on a panic in a cell is one line, without the long list of calls that the kernel asks for.
pub fn plain_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied());
        let text = Plain(text.unwrap_or("it panicked"));
        // where it happened is of use in this crate's files, not in those that the kernel makes of cells
        match panic.location().filter(|place| !place.file().ends_with("src/lib.rs")) {
            Some(place) => eprintln!("the cell stopped: {text} ({place})"),
            None => eprintln!("the cell stopped: {text}"),
        }
    }));
}

/// `text` with everything that HTML reads as markup escaped.
fn escaped(text: &str) -> String {
    HtmlEscape(text).to_string()
}

/// The alphabet of RFC 4648 § 4, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let check = |bytes: &str, expected: &str| assert_eq!(base64(bytes.as_bytes()), expected);
        // RFC 4648 § 10
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foobar", "Zm9vYmFy");
    }

    #[test]
    fn a_model_cannot_end_what_is_shown_of_it() {
        let message = Media::text("a\nEVCXR_END_CONTENT\nb").message();
        assert_eq!(message.matches("EVCXR_END_CONTENT").count(), 1);
    }
}
