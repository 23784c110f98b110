//! Weights that are more than yes and no: on the tokens of one answer, and over the perplexity.

use super::heat_map::visible;
use super::{Media, Show, escaped};
use crate::analysis::weights_by_perplexity;
use crate::error::Result;
use crate::masked::{Masked, Weighed};
use crate::plot::palette::{self, BLUE, GRAY, look};
use crate::plot::{Axis, Look, Panel, Plot};
use crate::report::figure::Figure;
use crate::table::{Table, significant};

/// The deeper a token's ground, the more it weighs; the largest weight of the answer has the full color.
impl Show for Weighed {
    fn media(&self) -> Media {
        let Self { tokens, weights } = self;
        let most = weights.iter().copied().fold(0.0, f32::max);
        let shown: Vec<(f32, &_)> = weights.iter().copied().zip(&tokens.tokens).collect();
        let answer = || shown.iter().filter(|(_, token)| token.completion);
        let sum: f32 = answer().map(|(weight, _)| *weight).sum();
        let head = format!(
            "{}, {}: the {} answer tokens weigh {} together",
            tokens.item,
            palette::label(&tokens.arm),
            answer().count(),
            significant(f64::from(sum)),
        );
        let mut html = format!(
            "<p><b>{}</b></p>\n<pre style=\"line-height:1.7;white-space:pre-wrap\">",
            escaped(&head)
        );
        let mut plain = format!("{head}\n");
        for (weight, token) in &shown {
            let ink = escaped(&visible(&token.text));
            if !token.completion {
                html += &format!("<span style=\"opacity:.5\">{ink}</span>");
                continue;
            }
            let perplexity = token
                .perplexity
                .map_or(String::new(), |p| format!(", perplexity {}", significant(p)));
            let depth = if most > 0.0 { weight / most } else { 0.0 };
            let span = format!(
                "<span style=\"background:{}\" title=\"weight {weight:.3}{perplexity}\">{ink}</span>",
                BLUE.css(f64::from(0.55 * depth))
            );
            html += &match *weight == 0.0 {
                true => format!("<s>{span}</s>"),
                false => span,
            };
            // text alone marks what weighs less than half of the most, with its weight
            plain += &match depth < 0.5 {
                true => format!("⟦{}|{weight:.2}⟧", token.text),
                false => token.text.clone(),
            };
        }
        html += "</pre>\n<p>The deeper the ground, the more the token weighs. Struck out: nothing. Grey: the question. Rest the mouse on a token for its \
                 weight.</p>\n";
        Media { html: Some(html), ..Media::text(plain) }
    }
}

/// The weight that each rule gives to a token, over the token's perplexity.
///
/// # Errors
/// None that numbers can cause; the table beside it is made by a library.
pub fn weight_figure(lessons: &[&Masked]) -> Result<Figure> {
    let all = weights_by_perplexity(lessons);
    let names: Vec<&str> = all.iter().map(|bins| bins.rule.as_str()).collect();
    let looks: Vec<Look> = names.iter().map(|name| look(name, &names)).collect();
    let points = || all.iter().flat_map(|bins| &bins.points);
    let end = |of: fn(&(f64, f64)) -> f64, least: f64| points().map(of).fold(least, f64::max);
    let panel = Panel::new(
        Axis::log("perplexity of the token", 1.0, 1.1 * end(|point| point.0, 10.0)),
        Axis::new("mean weight", 0.0, 1.05 * end(|point| point.1, 1e-3)),
    )
    .upright(crate::metric::PAPER_THRESHOLD, "2.5", GRAY);
    let panel = all.iter().zip(&looks).fold(panel, |panel, (bins, look)| {
        let points = bins.points.iter().copied();
        panel.line(points.clone(), look.stroke(2.0)).marks(points, *look, 3.0)
    });
    let farthest = all.iter().filter_map(|bins| {
        let (perplexity, weight) = bins.points.last()?;
        Some(format!("{} {weight:.2} at {}", bins.rule, significant(*perplexity)))
    });
    let farthest: Vec<String> = farthest.collect();
    let plot = Plot::new(format!("Mean weight of the most surprising tokens, at their perplexity: {}", farthest.join(", ")))
        .note("Mean weight of the answer tokens of about the same perplexity under the base model; ranges of fewer than five tokens are left out.")
        .panel(panel)
        .legend(names.iter().zip(&looks).map(|(name, look)| look.line_key(*name)))
        .size(720, 380);
    let rows: Vec<(&str, (f64, f64))> =
        all.iter().flat_map(|bins| bins.points.iter().map(|point| (&*bins.rule, *point))).collect();
    let table = Table::default()
        .rows(&rows)
        .file("rule", |row| row.0)
        .file("perplexity", |row| row.1.0)
        .file("weight", |row| row.1.1)
        .table();
    Ok(Figure { name: "weights", plot, table })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::results::{TokenExample, TokenView};

    #[test]
    fn a_light_token_says_its_weight_and_a_masked_one_is_struck_out() {
        let token = |text: &str, completion, perplexity| TokenView {
            text: text.to_owned(),
            completion,
            learned: completion,
            style: false,
            perplexity,
        };
        let weighed = Weighed {
            tokens: TokenExample {
                arm: "ground truth, dft".into(),
                item: "code/train/0".into(),
                tokens: vec![
                    token("<q>", false, None),
                    token("Okay", true, Some(400.0)),
                    token(" a<b", true, Some(1.01)),
                    token(".", true, Some(9.0)),
                ],
            },
            weights: vec![0.0, 0.0031, 0.99, 0.0],
        };
        let media = weighed.media();
        let html = media.html.unwrap();
        assert!(html.contains("weight 0.003, perplexity 400.0"), "{html}");
        assert!(html.contains("a&lt;b") && html.matches("<s>").count() == 1);
        assert!(media.text.contains("the 3 answer tokens weigh 0.9931"), "{}", media.text);
        assert!(media.text.ends_with("⟦Okay|0.00⟧ a<b⟦.|0.00⟧"));
    }
}
