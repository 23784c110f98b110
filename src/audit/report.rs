//! The audit of the authors' files as tables, figures and a page.
//!
//! ```text
//! report.html                         everything on one page that needs no network
//! facts.csv, .parquet, .json          one row for each fact
//! figures/NAME.svg, .png, .csv        the threshold curve; printed against recomputed BWT
//! ```

use super::CurvePoint;
use crate::audit::{Audit, AuditPart, AuditVerdict, Fact};
use crate::error::{Error, Result};
use crate::metric::PAPER_THRESHOLD;
use crate::plot::palette::{GRAY, INK, VERMILION};
use crate::plot::{self, Axis, Look, Mark, Panel, Plot, ShareCurve};
use crate::report::figure::Figure;
use crate::report::html::{Picture, filled};
use crate::report::{put, put_figure};
use crate::table::{Cell, NOTHING, Printed, Table, minus};
use minijinja::context;
use minijinja::value::Serde;
use std::path::{Path, PathBuf};

const TEMPLATE: &str = include_str!("report.html");
const VERDICTS: [AuditVerdict; 3] =
    [AuditVerdict::Follows, AuditVerdict::DoesNotFollow, AuditVerdict::CannotBeComputed];

impl Audit {
    /// How many facts of each part follow, and the time each part took.
    pub fn summary(&self) -> Table {
        let parts = self.seconds.iter().map(|(part, seconds)| (Some(*part), *seconds));
        let rows: Vec<(Option<AuditPart>, f64)> =
            parts.chain([(None, self.total_seconds())]).collect();
        let count = |part: Option<AuditPart>, verdict: AuditVerdict| {
            let facts = self.facts.iter().filter(|fact| fact.verdict == verdict);
            facts.filter(|fact| part.is_none_or(|part| part == fact.part)).count()
        };
        let table = Table::new(format!("Audit of {}", self.folder.display()))
            .legend("A fact follows when what is recomputed agrees with what is stated to its last digit.")
            .rows(&rows)
            .column("part", |(part, _)| part.map_or("all", AuditPart::name));
        let table = VERDICTS.into_iter().fold(table, |table, verdict| {
            table.column(verdict.words(), |(part, _)| count(*part, verdict))
        });
        table.column("seconds", |(_, seconds)| Cell::number(*seconds, 1)).table()
    }

    /// The facts of each part that was audited.
    pub fn tables(&self) -> Vec<(AuditPart, Table)> {
        let columns = [
            ("fact", "fact"),
            ("stated", "stated"),
            ("recomputed", "recomputed"),
            ("verdict", "verdict"),
            ("stated in", "stated_in"),
            ("file", "file"),
            ("note", "note"),
        ];
        let of_part = |part: AuditPart| {
            let facts = self.facts.iter().filter(|fact| fact.part == part).cloned();
            facts_table(&facts.collect::<Vec<_>>()).view(part.title(), &columns)
        };
        self.seconds.iter().map(|(part, _)| (*part, of_part(*part))).collect()
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
        let (figures, table) = (self.figures()?, facts_table(&self.facts));
        let json =
            serde_json::to_vec_pretty(self).map_err(Error::library("writing the facts as JSON"))?;
        let mut files = vec![
            put(folder, "report.html", self.page(&figures)?.as_bytes())?,
            put(folder, "facts.csv", &table.csv()?)?,
            put(folder, "facts.parquet", &table.parquet()?)?,
            put(folder, "facts.json", &json)?,
        ];
        for figure in &figures {
            files.extend(put_figure(&folder.join("figures"), figure)?);
        }
        Ok(files)
    }

    fn page(&self, figures: &[Figure]) -> Result<String> {
        let pictures: Result<Vec<Picture>> = figures.iter().map(Picture::of).collect();
        let tables = self.tables();
        let tables: Vec<(&str, Printed)> =
            tables.iter().map(|(part, table)| (part.name(), table.printed())).collect();
        let values = context! {
            summary => Serde(self.summary().printed()),
            parts => Serde(tables),
            figures => Serde(pictures?),
            version => env!("CARGO_PKG_VERSION"),
        };
        filled("audit/report.html", TEMPLATE, values)
    }
}

/// One row for each fact.
pub(crate) fn facts_table(facts: &[Fact]) -> Table {
    Table::default()
        .rows(facts)
        .file("part", |fact| fact.part.name())
        .file("fact", |fact| &fact.what)
        .file("file", |fact| &fact.file)
        .file("stated_in", |fact| &fact.stated)
        .file("stated", |fact| Cell::from(&fact.expected).read(minus(&fact.expected)))
        .file("recomputed", |fact| {
            Cell::from(fact.recomputed.as_deref().unwrap_or_default()).read(shown(fact))
        })
        .file("stated_value", |fact| fact.expected_value)
        .file("recomputed_value", |fact| fact.recomputed_value)
        .file("verdict", |fact| fact.verdict.words())
        .file("note", |fact| &fact.note)
        .table()
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
    let table = Table::default()
        .rows(&curve)
        .file("threshold", |point| point.threshold)
        .file("masked", |point| point.masked)
        .file("surprisal_masked", |point| point.surprisal_masked)
        .table();
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
    let table = Table::default()
        .rows(&rows)
        .file("row", |(fact, ..)| &fact.file)
        .file("what", |(fact, ..)| &fact.what)
        .file("recomputed", |(_, _, found)| *found)
        .file("printed", |(_, printed, _)| *printed)
        .table();
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
        assert_eq!(page.matches("<svg ").count(), 4);
        let json = std::fs::read(folder.path().join("facts.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Audit>(&json).unwrap(), sample());
        let csv = std::fs::read_to_string(folder.path().join("facts.csv")).unwrap();
        assert_eq!(csv.lines().count(), 4);
    }
}
