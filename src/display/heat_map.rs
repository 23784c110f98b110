//! A text token by token: how surprising each is, which are learned, and its numbers when the mouse rests on it.
//!
//! The hotter a token's ground, the more it surprised the model. A token of the answer that is not learned is struck out, which pages
//! without styles show as well; the question stands in grey.

use super::{Media, Show, escaped};
use crate::experiment::results::{TokenExample, TokenView};
use crate::plot::palette::{self, VERMILION};
use crate::table::significant;

/// The perplexity that gets the full color, as in the report.
const HOTTEST: f64 = 1000.0;

impl Show for TokenExample {
    fn media(&self) -> Media {
        let answer = || self.tokens.iter().filter(|token| token.completion);
        let (completion, learned) =
            (answer().count(), answer().filter(|token| token.learned).count());
        let head = format!(
            "{}, {}: {learned} of {completion} answer tokens are learned",
            self.item,
            palette::label(&self.arm)
        );
        let tokens: String = self.tokens.iter().map(html).collect();
        let html = format!(
            "<p><b>{}</b></p>\n<pre style=\"line-height:1.7;white-space:pre-wrap\">{tokens}</pre>\n<p>The stronger the ground, the more the token surprised the \
             model (full at a perplexity of {HOTTEST}). Struck out: not learned. Grey: the question. Rest the mouse on a token for its number.</p>\n",
            escaped(&head)
        );
        Media { html: Some(html), ..Media::text(format!("{head}\n{}", text(&self.tokens))) }
    }
}

/// A line's end and a tab are tokens too and must be seen.
pub(super) fn visible(text: &str) -> String {
    text.replace('\r', "␍").replace('\n', "↵\n").replace('\t', "⇥\t")
}

fn html(token: &TokenView) -> String {
    let shown = escaped(&visible(&token.text));
    if !token.completion {
        return format!("<span style=\"opacity:.5\">{shown}</span>");
    }
    let heat =
        token.perplexity.map_or(0.0, |perplexity| (perplexity.ln() / HOTTEST.ln()).clamp(0.0, 1.0));
    let hover = [
        token.perplexity.map(|p| format!("perplexity {}", significant(p))),
        Some(if token.learned { "learned" } else { "not learned" }.to_owned()),
        token.style.then(|| "the writer's style".to_owned()),
    ];
    let hover = hover.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let style = format!("background:{}", VERMILION.css(0.85 * heat));
    let span = format!("<span style=\"{style}\" title=\"{hover}\">{shown}</span>");
    match token.learned {
        true => span,
        false => format!("<s>{span}</s>"),
    }
}

/// The answer with what is not learned in brackets; neighboring tokens share them.
fn text(tokens: &[TokenView]) -> String {
    let mut out = String::new();
    let mut open = false;
    for token in tokens.iter().filter(|token| token.completion) {
        if open == token.learned {
            out.push(if open { '⟧' } else { '⟦' });
            open = !open;
        }
        out.push_str(&token.text);
    }
    if open {
        out.push('⟧');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> TokenExample {
        let token = |text: &str, completion, learned, perplexity| TokenView {
            text: text.to_owned(),
            completion,
            learned,
            style: false,
            perplexity,
        };
        TokenExample {
            arm: "stm(2.5)".into(),
            item: "code/train/0".into(),
            tokens: vec![
                token("<q>", false, false, None),
                token("Okay", true, false, Some(400.0)),
                token(",", true, false, Some(3.0)),
                token(" def", true, true, Some(1.01)),
                token("\n", true, false, Some(9.0)),
            ],
        }
    }

    #[test]
    fn masked_tokens_are_struck_out_and_say_their_number() {
        let media = example().media();
        let html = media.html.unwrap();
        assert_eq!(html.matches("<s>").count(), 3);
        assert!(html.contains("title=\"perplexity 400.0, not learned\""), "{html}");
        assert!(html.contains("&lt;q&gt;") && !html.contains("<q>"), "{html}");
        assert!(html.contains("1 of 4 answer tokens"), "{html}");
    }

    #[test]
    fn text_alone_tells_the_mask_too() {
        assert_eq!(text(&example().tokens), "⟦Okay,⟧ def⟦\n⟧");
    }
}
