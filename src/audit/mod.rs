//! The authors' published files, recomputed: which stated numbers follow from them, and which do not.
//!
//! [`run`] reads a copy of the folder that was published with the paper (`dataset`, `raw_digits`, `logging`), recomputes what its files
//! allow, and sets it beside what the paper's tables, the files' own cells and our earlier counts (`earlier count`) state:
//! one [`Fact`] each. No model is needed. A number that does not follow is a result, with its diagnosis; a file that is missing, cut
//! off or of another schema is an error.
//!
//! ```no_run
//! use unforget::audit::{self, AuditOptions, AuditPart, AuditVerdict};
//! use unforget::progress::Progress;
//! let options = AuditOptions { only: vec![AuditPart::Metrics], ..AuditOptions::default() };
//! let audit = audit::run("notebooks/data/audit".as_ref(), &options, &Progress::quiet())?;
//! let wrong = audit.facts.iter().filter(|fact| fact.verdict == AuditVerdict::DoesNotFollow);
//! println!("{} rows do not follow", wrong.count());
//! # Ok::<(), unforget::error::Error>(())
//! ```
//!
//! Nothing of those files is part of this crate: numbers of the paper stand in `printed.csv` with their table named, cells of the files are
//! read when the audit runs.

mod bases;
mod classes;
mod draw;
mod executor;
mod explain;
mod fact;
mod layout;
mod leak;
mod masks;
mod metrics;
mod pieces;
pub(crate) mod printed;
mod raw_digits;
mod report;

pub(crate) use report::facts_table;
mod samples;
mod scored;
mod table_2;
mod tables;
mod tasks;

pub use fact::{AuditPart, AuditVerdict, Fact};
pub use masks::CurvePoint;
pub use table_2::{Table2, Table2Row, table_2};

use crate::error::Result;
use crate::progress::Progress;
use fact::Facts;
use layout::{Copy, MBPP_TRAIN, MBPP_VALIDATION};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to audit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditOptions {
    /// Only these parts; all of them if empty.
    pub only: Vec<AuditPart>,
    /// A file with the task numbers of MBPP's test split (MBPP+), for copies that lack it.
    pub mbpp_test: Option<PathBuf>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The folder that was read.
    pub folder: PathBuf,
    /// All facts, part by part.
    pub facts: Vec<Fact>,
    /// The threshold curve of the STM set; empty where masks were not audited.
    pub curve: Vec<CurvePoint>,
    /// Wall seconds of each part that was audited.
    pub seconds: Vec<(AuditPart, f64)>,
}

impl Audit {
    /// How many facts of `part` have this verdict.
    pub fn count(&self, part: AuditPart, verdict: AuditVerdict) -> usize {
        let fits = |fact: &&Fact| fact.part == part && fact.verdict == verdict;
        self.facts.iter().filter(fits).count()
    }

    /// The facts whose subject has `words` in it, such as `BWT`.
    pub fn about(&self, words: &str) -> Vec<Fact> {
        let about = self.facts.iter().filter(|fact| fact.what.contains(words));
        about.cloned().collect()
    }

    /// Wall seconds of the whole audit.
    pub fn total_seconds(&self) -> f64 {
        self.seconds.iter().map(|(_, seconds)| seconds).sum()
    }
}

/// Audits a copy of the authors' published folder.
///
/// # Errors
/// Names the file that is missing, cut off or of another schema, and what was expected of it.
pub fn run(folder: &Path, options: &AuditOptions, progress: &Progress) -> Result<Audit> {
    let copy = Copy::open(folder)?;
    let mut audit = Audit {
        folder: folder.to_path_buf(),
        facts: Vec::new(),
        curve: Vec::new(),
        seconds: Vec::new(),
    };
    let wanted = |part: AuditPart| options.only.is_empty() || options.only.contains(&part);
    // The checks of a whole copy come before the parts that take long.
    for part in AuditPart::ALL.into_iter().filter(|part| wanted(*part)) {
        let started = Instant::now();
        let mut facts = Facts::new(part);
        match part {
            AuditPart::Files => layout::audit(&copy, &mut facts)?,
            AuditPart::Masks => {
                let scored = scored::read(&copy)?;
                masks::audit(&scored, &mut facts)?;
                audit.curve = masks::curve(&scored);
            }
            AuditPart::Classes => {
                classes::audit(&scored::read(&copy)?, &mut facts)?;
                let (train, validation) =
                    (copy.needed(&MBPP_TRAIN)?, copy.needed(&MBPP_VALIDATION)?);
                classes::line_ends(&train, &validation, &mut facts);
            }
            AuditPart::Metrics => {
                let lines = raw_digits::read(&copy)?;
                let bases = bases::Bases::read(&lines, &mut facts);
                metrics::audit(&lines, &bases, &mut facts);
            }
            AuditPart::Tables => {
                let lines = raw_digits::read(&copy)?;
                let bases = bases::Bases::read(&lines, &mut Facts::new(AuditPart::Metrics));
                tables::audit(&lines, &bases, &mut facts);
            }
            AuditPart::Samples => samples::audit(&copy, &mut facts)?,
            AuditPart::Executor => executor::audit(&copy, progress, &mut facts)?,
            AuditPart::Tasks => tasks::audit(&copy, &mut facts)?,
            AuditPart::Leak => leak::audit(&copy, options.mbpp_test.as_deref(), &mut facts)?,
        }
        audit.facts.extend(facts.facts);
        audit.seconds.push((part, started.elapsed().as_secs_f64()));
    }
    Ok(audit)
}
