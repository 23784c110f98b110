//! The audit of the authors' files: on the real ones where they are, and on a made-up copy with the same layout.

use crate::support::{made_up_audit, shared};
use std::path::Path;
use unforget::audit::{self, Audit, AuditOptions, AuditPart, AuditVerdict, Fact};
use unforget::progress::Progress;

fn run(folder: &Path, only: &[AuditPart]) -> unforget::error::Result<Audit> {
    let options = AuditOptions { only: only.to_vec(), ..AuditOptions::default() };
    audit::run(folder, &options, &Progress::quiet())
}

/// Every part that runs no code.
const QUICK: [AuditPart; 8] = [
    AuditPart::Files,
    AuditPart::Masks,
    AuditPart::Classes,
    AuditPart::Metrics,
    AuditPart::Tables,
    AuditPart::Samples,
    AuditPart::Tasks,
    AuditPart::Leak,
];

fn fact<'a>(audit: &'a Audit, what: &str, file: &str) -> &'a Fact {
    let fits = |fact: &&Fact| fact.what.contains(what) && fact.file.contains(file);
    let found = audit.facts.iter().find(fits);
    found.unwrap_or_else(|| panic!("no fact about {what} of {file}"))
}

#[test]
fn the_published_files_give_what_is_known_of_them() {
    let Some(folder) = shared("authors", "the audit of the authors' files") else {
        return;
    };
    let audit = run(&folder, &QUICK).unwrap();
    // of masks and classes: all of them but Table 1's last digit and the csv's 23.57 %
    let wrong: Vec<&str> = audit
        .facts
        .iter()
        .filter(|fact| matches!(fact.part, AuditPart::Masks | AuditPart::Classes))
        .filter(|fact| fact.verdict == AuditVerdict::DoesNotFollow)
        .map(|fact| fact.what.as_str())
        .collect();
    assert_eq!(wrong, ["Table 1, MBPP ground truth, its variance", "% masked at 2.5 on MBPP"]);
    let check = |what: &str, file: &str, value: f64, verdict| {
        let fact = fact(&audit, what, file);
        let found = fact.recomputed_value.unwrap();
        assert!((found - value).abs() < 0.0051, "{fact:?}");
        assert_eq!(fact.verdict, verdict, "{fact:?}");
    };
    use AuditVerdict::{DoesNotFollow, Follows};
    check("first row: masked at 2.5", "stm", 22.0, Follows);
    check("BWT, Llama 3 8B on MBPP", "self-output.csv, line 36", 1.55, Follows);
    check("BWT, Llama 3 8B on MATH", "rho-sft.csv, line 82", -6.23, DoesNotFollow);
    check("BWT, Llama 3 8B on MATH", "rho-sft.csv, line 85", -1.28, DoesNotFollow);
    check("BWT, Llama 3 8B on MATH", "rho-sft.csv, line 86", -0.30, Follows);
    check("BWT, Llama 3 8B on MBPP", "rho-sft.csv, line 66", 0.19, DoesNotFollow);
    check("BWT, Llama 3 8B on MBPP", "ground truth finetune.csv, line 3", -34.71, Follows);
    check("BWT, Gemma 2 2B on MBPP", "rho-sft.csv, line 12", 0.42, Follows);
    check("BWT, OLMo 2 7B on MBPP", "rho-sft.csv, line 115", -0.50, Follows);
    check("Llama 3 8B, untouched, GSM8K", "", 0.7756, DoesNotFollow);
    let slip = |what: &str, file: &str, slip: &str| {
        let fact = fact(&audit, what, file);
        assert!(fact.note.contains(slip), "{fact:?}");
    };
    slip("BWT", "rho-sft.csv, line 82", "the score of MATH in the place of MBPP's");
    slip("BWT", "self-output.csv, line 80", "the bases of ARC and GSM8K exchanged");
    slip("BWT", "rho-sft.csv, line 66", "the value of rho-sft.csv, line 86");
    slip("Table 2, Llama 3 8B, MBPP, Self-Output: BWT", "self-output", "exchanged");
    // light copies lack MBPP's test split
    let leak = fact(&audit, "test tasks that are training tasks", "mbpp");
    assert_ne!(leak.verdict, DoesNotFollow, "{leak:?}");
}

#[test]
fn made_up_rows_follow_or_are_explained_or_neither() {
    let folder = tempfile::tempdir().unwrap();
    made_up_audit(folder.path());
    let audit = run(folder.path(), &[AuditPart::Metrics, AuditPart::Tables]).unwrap();
    let verdict = |what: &str, line: usize| fact(&audit, what, &format!("line {line}"));
    assert_eq!(verdict("BWT", 2).verdict, AuditVerdict::Follows);
    assert_eq!(verdict("TI", 2).verdict, AuditVerdict::Follows);
    let exchanged = verdict("BWT", 3);
    assert_eq!(exchanged.verdict, AuditVerdict::DoesNotFollow);
    assert!(exchanged.note.contains("the bases of ARC and GSM8K exchanged"), "{exchanged:?}");
    let points = verdict("TI", 3);
    assert!(points.note.contains("in points, not relative"), "{points:?}");
    let never = verdict("BWT", 4);
    assert!(never.note.contains("no slip gives it"), "{never:?}");
    let absent = fact(&audit, "Table 2, Llama 3 8B, MBPP, STM: BWT", "rho-sft");
    assert_eq!(absent.verdict, AuditVerdict::CannotBeComputed);
}

#[test]
fn files_that_are_not_as_expected_are_errors_that_name_them() {
    let refused = |folder: &Path, parts: &[&str]| {
        let error = run(folder, &[AuditPart::Metrics]).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["no copy of the authors' published folder"]);
    made_up_audit(folder.path());
    let file = folder.path().join("raw_digits/rho-sft.csv");
    let whole = std::fs::read_to_string(&file).unwrap();
    // cut off within a row
    std::fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    refused(folder.path(), &["rho-sft.csv:4", "cut off"]);
    std::fs::write(&file, whole.replace("forget metric", "forgetting")).unwrap();
    refused(folder.path(), &["rho-sft.csv:1", "`forget metric`", "`forgetting`"]);
    std::fs::remove_file(&file).unwrap();
    refused(folder.path(), &["rho-sft.csv", "no such file"]);
    std::fs::remove_dir_all(folder.path().join("dataset/stm")).unwrap();
    let error = run(folder.path(), &[AuditPart::Masks]).unwrap_err().to_string();
    assert!(error.contains("data-00000-of-00001.arrow"), "{error}");
}
