//! How surprising answers are: tables of peaks, of perplexities and of kinds of tokens, and figures of single tokens and of all.

use super::heat_map::visible;
use super::{Media, Show};
use crate::analysis::OfAnswers;
use crate::analysis::{Kind, Kinds, Peaks, Perplexities};
use crate::error::{Error, Result};
use crate::experiment::results::TokenExample;
use crate::metric::PAPER_THRESHOLD;
use crate::perplexity::{self, Quantiles};
use crate::plot::palette::{GRAY, look};
use crate::plot::{Axis, Panel, Plot};
use crate::report::figure::{self, Figure};
use crate::scored::Scored;
use crate::table::{Cell, Table};

impl Show for Peaks {
    fn media(&self) -> Media {
        let title = format!(
            "{}: {} tokens carry {:.0} % of the answer's surprise",
            self.item,
            self.tokens.len(),
            100.0 * self.surprisal
        );
        Table::new(title)
            .legend("after: what stands before the token. likelier: tokens that the model thought more probable. style: of the writer's own manner.")
            .rows(&self.tokens)
            .column("token", |peak| quoted(&peak.text))
            .column("after", |peak| quoted(&peak.before))
            .column("perplexity", |peak| peak.perplexity)
            .column("likelier", |peak| peak.rank.map(u64::from))
            .column("class", |peak| peak.class.name())
            .column("style", |peak| Cell::yes(peak.style))
            .table()
            .media()
    }
}

/// A token in one line, its ends marked.
fn quoted(text: &str) -> String {
    format!("‹{}›", visible(text).replace('\n', ""))
}

impl Show for Perplexities {
    fn media(&self) -> Media {
        let above = |row: &OfAnswers| {
            let above = row.summary.above.iter().find(|above| above.perplexity == PAPER_THRESHOLD);
            Cell::percent(above.map(|above| above.share))
        };
        let median = |spread: &Option<Quantiles>| spread.map(|spread| spread.median);
        let usual = |mean: Option<f64>, median: Option<f64>| match perplexity::usual(mean, median) {
            // four digits, as the others
            cell if cell == Cell::number(mean, 2) => mean.into(),
            cell => cell,
        };
        Table::new("How surprising the answers are")
            .legend(
                "given the question: mean over answers of exp(mean surprisal given question and template, end of turn included), the paper's Table 1. text alone: the \
                 same of the bare text. per token: exp of the mean over all tokens given the question, so that long answers count for more.",
            )
            .rows(&self.rows)
            .column("answers", |row| &row.name)
            .column("items", |row| row.summary.examples)
            .column("tokens", |row| row.summary.completion_tokens)
            .column("given the question", |row| usual(row.summary.perplexity_given_prompt, median(&row.summary.spread_given_prompt)))
            .column("text alone", |row| usual(row.summary.perplexity_of_text_alone, median(&row.summary.spread_of_text_alone)))
            .column("per token", |row| row.summary.perplexity_per_token)
            .column(">2.5 %", above)
            .table()
            .media()
    }
}

impl Show for Kinds {
    fn media(&self) -> Media {
        let all = self.all();
        let percent = |part: f64, whole: f64| Cell::percent((whole > 0.0).then(|| part / whole));
        let rows: Vec<&Kind> = self.rows.iter().chain([&all]).collect();
        Table::new(format!("Kinds of tokens in the answers: {}", self.name))
            .legend(format!(
                "share: of all tokens. {0} %: of this kind's tokens. of all {0}: of all tokens that are {0}. surprise: of the summed surprisal.",
                self.counted
            ))
            .rows(&rows)
            .column("kind", |kind| &kind.name)
            .column("tokens", |kind| kind.tokens)
            .column("share %", |kind| percent(kind.tokens as f64, all.tokens as f64))
            .column(format!("{} %", self.counted), |kind| percent(kind.counted as f64, kind.tokens as f64))
            .column(format!("of all {} %", self.counted), |kind| percent(kind.counted as f64, all.counted as f64))
            .column("surprise %", |kind| percent(kind.surprisal, all.surprisal))
            .table()
            .media()
    }
}

/// An arm's short name, by which figures know its color.
fn arm(name: &str) -> String {
    name.replace([' ', '-'], "_")
}

/// Answers to one question token by token, one above the other: the paper's Figure 3.
///
/// # Errors
/// There is none, or they are not of one item.
pub fn spikes_figure(answers: &[&TokenExample]) -> Result<Figure> {
    let Some(first) = answers.first() else {
        return Err(Error::invalid("answers", "there is none to draw"));
    };
    if let Some(other) = answers.iter().find(|answer| answer.item != first.item) {
        let problem = format!("are of different questions, {} and {}", first.item, other.item);
        return Err(Error::invalid("answers", problem));
    }
    let named: Vec<TokenExample> = answers
        .iter()
        .map(|answer| TokenExample { arm: arm(&answer.arm), ..(*answer).clone() })
        .collect();
    let names: Vec<&str> = named.iter().map(|answer| answer.arm.as_str()).collect();
    let mut figure = figure::spikes_of(&named.iter().collect::<Vec<_>>(), &names)?;
    figure.plot.note = format!(
        "Item {}. Surprisal under base, given the question; perplexity is its exponential.",
        first.item
    );
    Ok(figure)
}

/// Which share of the answers' tokens is more surprising than any perplexity, a curve for each reading.
///
/// # Errors
/// There is none.
pub fn surprise_figure(readings: &[&Scored]) -> Result<Figure> {
    const HIGHEST: f64 = 1e6;
    if readings.is_empty() {
        return Err(Error::invalid("readings", "there is none to draw"));
    }
    // ten points for each factor of ten
    let places: Vec<f64> = (1..=60).map(|at| 10f64.powf(f64::from(at) / 10.0)).collect();
    let curves: Vec<(String, Vec<f64>)> = readings
        .iter()
        .map(|reading| {
            let shares = places.iter().map(|place| 100.0 * reading.share_above(*place));
            (reading.name.clone(), shares.collect())
        })
        .collect();
    let names: Vec<String> = curves.iter().map(|(name, _)| arm(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let above = |(reading, (name, _)): (&&Scored, &(String, Vec<f64>))| {
        let shares = [PAPER_THRESHOLD, 1000.0].map(|p| 100.0 * reading.share_above(p));
        format!("{name} {:.1} and {:.1} %", shares[0], shares[1])
    };
    let above: Vec<String> = readings.iter().zip(&curves).map(above).collect();
    let top = curves.iter().flat_map(|(_, shares)| shares).copied().fold(1.0, f64::max);
    let panel = Panel::new(
        Axis::log("token perplexity", 1.0, HIGHEST),
        Axis::new("tokens above it, percent", 0.0, 1.05 * top),
    )
    .upright(PAPER_THRESHOLD, format!("the paper's {PAPER_THRESHOLD}"), GRAY);
    let panel = curves.iter().zip(&names).fold(panel, |panel, ((_, shares), arm)| {
        let look = look(arm, &names);
        let points = || places.iter().copied().zip(shares.iter().copied());
        let marked = points().skip(9).step_by(10);
        panel.line(points(), look.stroke(2.0)).marks(marked, look, 4.5)
    });
    let keys = curves.iter().zip(&names);
    let keys = keys.map(|((name, _), arm)| look(arm, &names).line_key(name));
    let plot = Plot::new(format!("Tokens above a perplexity of 2.5 and of 1000: {}", above.join("; ")))
        .note("Share of the answers' tokens whose perplexity under base, given the question, is above that on the axis.")
        .panel(panel)
        .legend(keys)
        .size(960, 420);
    let rows: Vec<(&str, f64, f64)> = curves
        .iter()
        .flat_map(|(name, shares)| {
            shares.iter().zip(&places).map(|(share, place)| (name.as_str(), *place, *share))
        })
        .collect();
    let table = Table::default()
        .rows(&rows)
        .file("answers", |row| row.0)
        .file("perplexity", |row| row.1)
        .file("percent_above", |row| row.2)
        .table();
    Ok(Figure { name: "surprise", plot, table })
}
