//! The steps of a lesson: what was read, what is learned of it, and what came out.

use super::{InfoCard, Media, Show};
use crate::answers::Change;
use crate::answers::{Answers, Comparison, Tasks};
use crate::context::Context;
use crate::error::Error;
use crate::evaluate::TaskScore;
use crate::exercise::Judgment;
use crate::masked::Masked;
use crate::metric::PAPER_THRESHOLD;
use crate::scored::Scored;
use crate::stats::{self, Verdict};
use crate::table::{Cell, Table, significant};

impl Show for Scored {
    fn media(&self) -> Media {
        let tokens: usize = self.sequences.iter().map(|s| s.completion.learned()).sum();
        InfoCard::of(
            &format!("{}, as the model reads it", self.name),
            &[
                ("items", self.sequences.len().to_string()),
                ("answer tokens", tokens.to_string()),
                ("perplexity of an answer", significant(self.perplexity())),
                (
                    "tokens of a perplexity above 2.5",
                    format!("{:.1} %", 100.0 * self.share_above(PAPER_THRESHOLD)),
                ),
            ],
        )
        .media()
    }
}

impl Show for Masked {
    fn media(&self) -> Media {
        let counts = self.counts();
        InfoCard::of(
            &format!("{}, learned by the rule {}", self.scored.name, self.rule),
            &[
                ("answer tokens", counts.completion.to_string()),
                ("learned", counts.learned.to_string()),
                ("masked", format!("{:.1} %", 100.0 * counts.masked_share())),
            ],
        )
        .media()
    }
}

impl Show for Tasks {
    fn media(&self) -> Media {
        let rows =
            self.all().map(|task| (task.name.as_str(), format!("{} items", task.items.len())));
        InfoCard::of("tasks, the target first", &rows.collect::<Vec<_>>()).media()
    }
}

impl Show for Answers {
    fn media(&self) -> Media {
        let scores = self.scores();
        let row = |task: &TaskScore| (task.task.clone(), format!("{:.1} %", 100.0 * task.value()));
        let rows: Vec<(String, String)> = scores.tasks.iter().map(row).collect();
        let rows = rows.iter().map(|(task, share)| (task.as_str(), share.clone()));
        InfoCard::of(&format!("right answers of {}", self.name), &rows.collect::<Vec<_>>()).media()
    }
}

impl Comparison {
    /// One row for each model, base first.
    pub fn table(&self) -> Table {
        let base = |tasks: &[TaskScore]| {
            let values: Vec<f64> = tasks.iter().map(TaskScore::value).collect();
            Cell::percent(stats::mean(&values))
        };
        let (target, others) = self.base.tasks.split_at(self.base.tasks.len().min(1));
        let names = |tasks: &[TaskScore]| {
            tasks.iter().map(|task| task.task.as_str()).collect::<Vec<_>>().join(", ")
        };
        let percent = |of: &stats::Comparison| Cell::percent(of.second / 100.0);
        let points = |of: &stats::Comparison| Cell::change(of.difference);
        let rows: Vec<Option<&Change>> =
            std::iter::once(None).chain(self.changes.iter().map(Some)).collect();
        Table::new(format!("Target {} against {}", names(target), names(others)))
            .legend(
                "Percent of right answers, and points of change against base ± one standard error over the items, paired. Forgets: whether more than 2 \
                 points are lost on the other tasks.",
            )
            .rows(&rows)
            .column("model", |row| row.map_or(&self.base.name, |change| &change.name))
            .column("target %", |row| row.map_or_else(|| base(target), |of| percent(&of.target)))
            .column("points", |row| row.map(|of| points(&of.target)))
            .column("others %", |row| match row {
                None => base(others),
                Some(of) => of.non_target.as_ref().map(percent).into(),
            })
            .column("points", |row| row.and_then(|of| of.non_target.as_ref().map(points)))
            .column("forgets", |row| {
                row.map(|of| match of.kept() {
                    Verdict::Yes => "no",
                    Verdict::No => "yes",
                    Verdict::CannotTell => "cannot tell",
                })
            })
            .table()
    }
}

impl Show for Comparison {
    fn media(&self) -> Media {
        self.table().media()
    }
}

impl Show for Judgment {
    fn media(&self) -> Media {
        let mark = if self.right { "✓ right" } else { "✗ not yet" };
        let media = InfoCard::of(mark, &[("", self.why.clone())]).media();
        Media { html: media.html.map(|html| code_marked(&html)), ..media }
    }
}

/// Words between backticks as code; as they are where a backtick has no other.
fn code_marked(html: &str) -> String {
    let parts: Vec<&str> = html.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return html.to_owned();
    }
    let part = |(at, part): (usize, &&str)| match at % 2 {
        0 => (*part).to_owned(),
        _ => format!("<code>{part}</code>"),
    };
    parts.iter().enumerate().map(part).collect()
}

impl Show for Context {
    fn media(&self) -> Media {
        InfoCard::of(
            "ready",
            &[
                ("unforget", env!("CARGO_PKG_VERSION").to_owned()),
                ("computes on", self.device_name()),
            ],
        )
        .media()
    }
}

/// A mistake that is shown instead of raised.
impl Show for Error {
    fn media(&self) -> Media {
        Media::text(format!("error: {self}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judgment_shows_code_as_code() {
        let judgment = |why: &str| {
            let judgment = Judgment { right: false, why: why.to_owned() };
            judgment.media()
        };
        let media = judgment("try `a < b`, then `c`");
        let html = media.html.unwrap();
        assert!(html.contains("try <code>a &lt; b</code>, then <code>c</code>"), "{html}");
        assert!(media.text.contains("`a < b`"));
        assert!(judgment("a ` alone").html.unwrap().contains("a ` alone"));
    }
}
