//! One question with the answers of several models, and what an experiment found.

use super::{Media, Show, escaped};
use crate::answers::BeforeAfter;
use crate::report::finding::Finding;
use crate::report::html;

impl Show for BeforeAfter {
    fn media(&self) -> Media {
        Media { html: Some(html::before_after(self)), ..Media::text(self.text()) }
    }
}

/// What a function returns that has an example only where there is one.
impl Show for Option<BeforeAfter> {
    fn media(&self) -> Media {
        match self {
            Some(example) => example.media(),
            None => Media::text(
                "no example: there is no question that was answered rightly before, wrongly after, and rightly by the others",
            ),
        }
    }
}

impl Show for Finding {
    fn media(&self) -> Media {
        let html = format!(
            "<p><b>{}</b></p>\n<p>{}</p>",
            escaped(&self.sentence),
            escaped(&self.paragraph())
        );
        Media {
            html: Some(html),
            ..Media::text(format!("{}\n\n{}", self.sentence, self.paragraph()))
        }
    }
}

impl Show for Option<Finding> {
    fn media(&self) -> Media {
        match self {
            Some(finding) => finding.media(),
            None => Media::text("nothing was compared"),
        }
    }
}
