//! How surprising answers are: tables of peaks, of perplexities and of kinds of tokens, and figures of single tokens and of all.

use super::heat_map::visible;
use super::{Media, Show};
use crate::analysis::{Kind, Kinds, Peak, Peaks, Perplexities};
use crate::error::{Error, Result};
use crate::metric::PAPER_THRESHOLD;
use crate::plot::palette::{GRAY, look};
use crate::plot::{Axis, Panel, Plot};
use crate::report::figure::{self, Figure};
use crate::report::grid::{Grid, NOTHING, significant};
use crate::report::table::{frame, numbers, text};
use crate::scored::{Scored, TokenExample};

impl Show for Peaks {
    fn media(&self) -> Media {
        let row = |peak: &Peak| {
            vec![
                quoted(&peak.text),
                quoted(&peak.before),
                significant(peak.perplexity),
                peak.rank.map_or(NOTHING.to_owned(), |rank| rank.to_string()),
                peak.class.name().to_owned(),
                if peak.style { "yes" } else { "" }.to_owned(),
            ]
        };
        Grid {
            title: format!(
                "{}: {} tokens carry {:.0} % of the answer's surprise",
                self.item,
                self.tokens.len(),
                100.0 * self.surprisal
            ),
            legend: "after: what stands before the token. likelier: tokens that the model thought more probable. style: of the writer's own manner.".to_owned(),
            columns: words(&["token", "after", "perplexity", "likelier", "class", "style"]),
            rows: self.tokens.iter().map(row).collect(),
        }
        .media()
    }
}

/// A token in one line, its ends marked.
fn quoted(text: &str) -> String {
    format!("‹{}›", visible(text).replace('\n', ""))
}

fn words<const N: usize>(words: &[&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

impl Show for Perplexities {
    fn media(&self) -> Media {
        let known = |value: Option<f64>| value.map_or(NOTHING.to_owned(), significant);
        let row = |row: &crate::analysis::OfAnswers| {
            let summary = &row.summary;
            let above = summary.above.iter().find(|above| above.perplexity == PAPER_THRESHOLD);
            vec![
                row.name.clone(),
                summary.examples.to_string(),
                summary.completion_tokens.to_string(),
                known(summary.perplexity_given_prompt),
                known(summary.perplexity_of_text_alone),
                known(summary.perplexity_per_token),
                above.map_or(NOTHING.to_owned(), |above| format!("{:.1}", 100.0 * above.share)),
            ]
        };
        Grid {
            title: "How surprising the answers are".to_owned(),
            legend: "given the question: mean over answers of exp(mean surprisal given question and template, end of turn included), the paper's Table 1. text alone: the \
                     same of the bare text. per token: exp of the mean over all tokens given the question, so that long answers count for more."
                .to_owned(),
            columns: words(&["answers", "items", "tokens", "given the question", "text alone", "per token", ">2.5 %"]),
            rows: self.rows.iter().map(row).collect(),
        }
        .media()
    }
}

impl Show for Kinds {
    fn media(&self) -> Media {
        let all = self.all();
        let percent = |part: f64, whole: f64| match whole > 0.0 {
            true => format!("{:.1}", 100.0 * part / whole),
            false => NOTHING.to_owned(),
        };
        let row = |kind: &Kind| {
            vec![
                kind.name.clone(),
                kind.tokens.to_string(),
                percent(kind.tokens as f64, all.tokens as f64),
                percent(kind.counted as f64, kind.tokens as f64),
                percent(kind.counted as f64, all.counted as f64),
                percent(kind.surprisal, all.surprisal),
            ]
        };
        Grid {
            title: format!("Kinds of tokens in the answers: {}", self.name),
            legend: format!(
                "share: of all tokens. {0} %: of this kind's tokens. of all {0}: of all tokens that are {0}. surprise: of the summed surprisal.",
                self.counted
            ),
            columns: vec![
                "kind".to_owned(),
                "tokens".to_owned(),
                "share %".to_owned(),
                format!("{} %", self.counted),
                format!("of all {} %", self.counted),
                "surprise %".to_owned(),
            ],
            rows: self.rows.iter().chain([&all]).map(row).collect(),
        }
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
    let rows = || {
        curves
            .iter()
            .flat_map(|(name, shares)| shares.iter().zip(&places).map(move |pair| (name, pair)))
    };
    let table = frame(vec![
        text("answers", rows().map(|(name, _)| name.clone())),
        numbers("perplexity", rows().map(|(_, (_, place))| Some(*place))),
        numbers("percent_above", rows().map(|(_, (share, _))| Some(*share))),
    ])?;
    Ok(Figure { name: "surprise", plot, table })
}
