//! The audit of the authors' files as tables, figures and a page.
//!
//! ```text
//! report.html                         everything on one page that needs no network
//! facts.csv, .parquet, .json          one row for each fact
//! figures/NAME.svg, .png, .csv        the threshold curve; printed against recomputed BWT
//! ```

use super::{Audit, AuditPart, AuditVerdict, CurvePoint, Fact};
use crate::error::{Error, Result};
use crate::metric::PAPER_THRESHOLD;
use crate::plot::palette::{GRAY, INK, VERMILION};
use crate::plot::{self, Axis, Look, Mark, Panel, Plot, ShareCurve};
use crate::report::figure::Figure;
use crate::report::grid::{Grid, NOTHING, minus};
use crate::report::html::{Picture, filled};
use crate::report::table::{frame, numbers, text};
use crate::report::{csv, parquet, put, put_figure};
use minijinja::context;
use minijinja::value::Serde;
use polars::prelude::DataFrame;
use std::path::{Path, PathBuf};

const TEMPLATE: &str = include_str!("report.html");
const VERDICTS: [AuditVerdict; 3] =
    [AuditVerdict::Follows, AuditVerdict::DoesNotFollow, AuditVerdict::CannotBeComputed];
const COLUMNS: [&str; 7] = ["fact", "stated", "recomputed", "verdict", "stated in", "file", "note"];

impl Audit {
    /// How many facts of each part follow, and the time each part took.
    pub fn summary(&self) -> Grid {
        let mut rows: Vec<Vec<String>> = self
            .seconds
            .iter()
            .map(|(part, seconds)| {
                let counts = VERDICTS.map(|verdict| self.count(*part, verdict));
                row(part.name(), counts, *seconds)
            })
            .collect();
        let all = VERDICTS
            .map(|verdict| self.facts.iter().filter(|fact| fact.verdict == verdict).count());
        rows.push(row("all", all, self.total_seconds()));
        let mut columns = vec!["part".to_owned()];
        columns.extend(VERDICTS.map(|verdict| verdict.words().to_owned()));
        columns.push("seconds".to_owned());
        Grid {
            title: format!("Audit of {}", self.folder.display()),
            legend: "A fact follows when what is recomputed agrees with what is stated to its last digit.".to_owned(),
            columns,
            rows,
        }
    }

    /// The facts of each part that was audited.
    pub fn grids(&self) -> Vec<(AuditPart, Grid)> {
        self.seconds
            .iter()
            .map(|(part, _)| {
                let facts = self.facts.iter().filter(|fact| fact.part == *part);
                let grid = Grid {
                    title: part.title().to_owned(),
                    legend: String::new(),
                    columns: COLUMNS.map(str::to_owned).to_vec(),
                    rows: facts
                        .map(|fact| {
                            vec![
                                fact.what.clone(),
                                minus(&fact.expected),
                                shown(fact),
                                fact.verdict.words().to_owned(),
                                fact.stated.clone(),
                                fact.file.clone(),
                                fact.note.clone(),
                            ]
                        })
                        .collect(),
                };
                (*part, grid)
            })
            .collect()
    }

    /// Every fact for a terminal, no line longer than `width`: a line of verdict, values and subject, and under it where it stands and
    /// why.
    pub fn text(&self, width: usize) -> String {
        let mut out = self.summary().text(width);
        for (part, _) in &self.seconds {
            out.push_str(&format!("\n{}\n{}\n", part.title(), "─".repeat(width)));
            for fact in self.facts.iter().filter(|fact| fact.part == *part) {
                let mark = match fact.verdict {
                    AuditVerdict::Follows => "ok",
                    AuditVerdict::DoesNotFollow => "NO",
                    AuditVerdict::CannotBeComputed => "--",
                };
                let values = match fact.verdict {
                    AuditVerdict::Follows => shown(fact),
                    AuditVerdict::DoesNotFollow => {
                        format!("{}, stated {}", shown(fact), minus(&fact.expected))
                    }
                    AuditVerdict::CannotBeComputed => format!("stated {}", minus(&fact.expected)),
                };
                out.push_str(&indented(&format!("{mark}  {}: {values}", fact.what), width, 4, 0));
                let from = format!("[{}; {}]", fact.stated, fact.file);
                let below = match fact.verdict {
                    AuditVerdict::Follows => continue,
                    _ if fact.note.is_empty() => from,
                    _ => format!("{from} {}", fact.note),
                };
                out.push_str(&indented(&below, width, 6, 6));
            }
        }
        out
    }

    /// One row for each fact.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn frame(&self) -> Result<DataFrame> {
        let facts = || self.facts.iter();
        let words = |name: &str, of: fn(&Fact) -> String| text(name, self.facts.iter().map(of));
        frame(vec![
            words("part", |fact| fact.part.name().to_owned()),
            words("fact", |fact| fact.what.clone()),
            words("file", |fact| fact.file.clone()),
            words("stated_in", |fact| fact.stated.clone()),
            words("stated", |fact| fact.expected.clone()),
            words("recomputed", |fact| fact.recomputed.clone().unwrap_or_default()),
            numbers("stated_value", facts().map(|fact| fact.expected_value)),
            numbers("recomputed_value", facts().map(|fact| fact.recomputed_value)),
            words("verdict", |fact| fact.verdict.words().to_owned()),
            words("note", |fact| fact.note.clone()),
        ])
    }

    /// The figures that the audit has numbers for.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn figures(&self) -> Result<Vec<Figure>> {
        let figures = [threshold_curve(self)?, transfers(self)?];
        Ok(figures.into_iter().flatten().collect())
    }

    /// Writes the report to `folder` and returns its files, `report.html` first.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let (figures, table) = (self.figures()?, self.frame()?);
        let json =
            serde_json::to_vec_pretty(self).map_err(Error::library("writing the facts as JSON"))?;
        let mut files = vec![
            put(folder, "report.html", self.page(&figures)?.as_bytes())?,
            put(folder, "facts.csv", &csv(&table)?)?,
            put(folder, "facts.parquet", &parquet(&table)?)?,
            put(folder, "facts.json", &json)?,
        ];
        for figure in &figures {
            files.extend(put_figure(&folder.join("figures"), figure)?);
        }
        Ok(files)
    }

    fn page(&self, figures: &[Figure]) -> Result<String> {
        let pictures: Result<Vec<Picture>> = figures.iter().map(Picture::of).collect();
        let grids: Vec<(&str, Grid)> =
            self.grids().into_iter().map(|(part, grid)| (part.name(), grid)).collect();
        let values = context! {
            summary => Serde(self.summary()),
            grids => Serde(grids),
            figures => Serde(pictures?),
            version => env!("CARGO_PKG_VERSION"),
        };
        filled("audit/report.html", TEMPLATE, values)
    }
}

fn row(name: &str, counts: [usize; 3], seconds: f64) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    row.extend(counts.map(|count| count.to_string()));
    row.push(format!("{seconds:.1}"));
    row
}

fn shown(fact: &Fact) -> String {
    fact.recomputed.as_deref().map_or(NOTHING.to_owned(), minus)
}

/// `text` in lines of at most `width` characters, the first indented by `first` blanks and the others by `rest`.
fn indented(text: &str, width: usize, rest: usize, first: usize) -> String {
    let mut out = " ".repeat(first);
    let mut used = first;
    let mut begun = false;
    for word in text.split(' ') {
        let long = word.chars().count();
        if begun && used + 1 + long > width {
            out.push('\n');
            out.push_str(&" ".repeat(rest));
            used = rest;
        } else if begun {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += long;
        begun = true;
    }
    out.push('\n');
    out
}

/// What each threshold masks; `None` where masks were not audited.
fn threshold_curve(audit: &Audit) -> Result<Option<Figure>> {
    let mut curve = audit.curve.clone();
    curve.sort_by(|a, b| a.threshold.total_cmp(&b.threshold));
    curve.dedup_by(|a, b| a.threshold == b.threshold);
    let at = curve.iter().find(|point| point.threshold == PAPER_THRESHOLD);
    let (Some(at), Some(first), Some(last)) = (at, curve.first(), curve.last()) else {
        return Ok(None);
    };
    let shares = |label: &str, stroke, share: fn(&CurvePoint) -> f64| ShareCurve {
        label: label.to_owned(),
        stroke,
        mark: None,
        points: curve.iter().map(|point| (point.threshold, 100.0 * share(point))).collect(),
    };
    let curves = [
        shares("answer tokens masked", INK.stroke(2.0), |point| point.masked),
        shares("−ln p that they carry", VERMILION.stroke(2.0).dashed(), |point| {
            point.surprisal_masked
        }),
    ];
    let title = format!(
        "Above {PAPER_THRESHOLD} lie {:.1} % of the answers' tokens, and {:.1} % of their −ln p",
        100.0 * at.masked,
        100.0 * at.surprisal_masked
    );
    let plot = plot::thresholds(title, (first.threshold, last.threshold), &curves)
        .note("MBPP's ground truth under Llama 3 8B Instruct, from the authors' perplexities; a token above the threshold is not learned.");
    let points = || curve.iter();
    let table = frame(vec![
        numbers("threshold", points().map(|point| Some(point.threshold))),
        numbers("masked", points().map(|point| Some(point.masked))),
        numbers("surprisal_masked", points().map(|point| Some(point.surprisal_masked))),
    ])?;
    Ok(Some(Figure { name: "threshold_curve", plot, table }))
}

/// Printed against recomputed BWT of the authors' rows; `None` where there are none.
fn transfers(audit: &Audit) -> Result<Option<Figure>> {
    let rows: Vec<(&Fact, f64, f64)> = audit
        .facts
        .iter()
        .filter(|fact| fact.part == AuditPart::Metrics && fact.what.starts_with("BWT, "))
        .filter_map(|fact| Some((fact, fact.expected_value?, fact.recomputed_value?)))
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let both = || rows.iter().flat_map(|(_, printed, found)| [*printed, *found]);
    let axis = |label: &str| Axis::around(label, both(), 1.0);
    let (x, y) = (axis("BWT recomputed, percent"), axis("BWT printed, percent"));
    let of = |verdict: AuditVerdict| -> Vec<(f64, f64)> {
        let fits = rows.iter().filter(|(fact, ..)| fact.verdict == verdict);
        fits.map(|(_, printed, found)| (*found, *printed)).collect()
    };
    let (right, wrong) = (of(AuditVerdict::Follows), of(AuditVerdict::DoesNotFollow));
    let title = format!(
        "{} of {} printed BWT do not follow from their rows' scores",
        wrong.len(),
        rows.len()
    );
    let follows = Look::new(INK, Mark::Circle);
    let not = Look::new(VERMILION, Mark::Cross);
    let equal = [(x.from, x.from), (x.to, x.to)];
    let panel = Panel::new(x, y)
        .line(equal, GRAY.stroke(1.0).dashed())
        .marks(right, follows, 5.0)
        .marks(wrong, not, 5.0);
    let plot = Plot::new(title)
        .note("Each mark is a row of the authors' tables; on the dashed line the two agree.")
        .panel(panel)
        .legend([follows.key("follows"), not.key("does not follow")])
        .size(960, 560);
    let table = frame(vec![
        text("row", rows.iter().map(|(fact, ..)| fact.file.clone())),
        text("what", rows.iter().map(|(fact, ..)| fact.what.clone())),
        numbers("recomputed", rows.iter().map(|(_, _, found)| Some(*found))),
        numbers("printed", rows.iter().map(|(_, printed, _)| Some(*printed))),
    ])?;
    Ok(Some(Figure { name: "transfers", plot, table }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Audit {
        let fact = |part, verdict, recomputed: Option<f64>| Fact {
            part,
            what: "BWT, <a model> on MBPP".into(),
            file: "raw_digits/rho-sft.csv, line 7".into(),
            stated: "the row's own cell".into(),
            expected: "-1.50".into(),
            recomputed: recomputed.map(|value| format!("{value:.4}")),
            expected_value: Some(-1.5),
            recomputed_value: recomputed,
            verdict,
            note: "the bases of ARC and GSM8K exchanged gives −1.50 & so on".into(),
        };
        let point = |threshold, masked| CurvePoint { threshold, masked, surprisal_masked: masked };
        Audit {
            folder: "copy".into(),
            facts: vec![
                fact(AuditPart::Metrics, AuditVerdict::Follows, Some(-1.5)),
                fact(AuditPart::Metrics, AuditVerdict::DoesNotFollow, Some(4.0)),
                fact(AuditPart::Metrics, AuditVerdict::CannotBeComputed, None),
            ],
            curve: vec![point(1.5, 0.5), point(2.5, 0.25), point(10.0, 0.1)],
            seconds: vec![(AuditPart::Metrics, 0.5)],
        }
    }

    #[test]
    fn every_fact_is_in_the_text_and_no_line_is_too_long() {
        let text = sample().text(80);
        for part in ["ok  BWT", "NO  BWT", "--  BWT", "stated −1.50", "exchanged"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn the_report_is_whole_and_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let files = sample().write(folder.path()).unwrap();
        assert_eq!(files.len(), 4 + 2 * 3);
        let page = std::fs::read_to_string(&files[0]).unwrap();
        assert!(page.contains("&lt;a model&gt;") && !page.contains("<a model>"));
        assert_eq!(page.matches("<svg ").count(), 2);
        let json = std::fs::read(folder.path().join("facts.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Audit>(&json).unwrap(), sample());
        let csv = std::fs::read_to_string(folder.path().join("facts.csv")).unwrap();
        assert_eq!(csv.lines().count(), 4);
    }
}
