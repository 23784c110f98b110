//! The audit of the made-up copy of the authors' folder in `notebooks/data/audit`.

use crate::support::made_up_audit;
use std::path::Path;
use unforget::audit::{self, Audit, AuditOptions, AuditPart, AuditVerdict, Fact};
use unforget::progress::Progress;
use unforget::sandbox::Python;

fn run(folder: &Path, only: &[AuditPart]) -> unforget::error::Result<Audit> {
    let options = AuditOptions { only: only.to_vec(), ..AuditOptions::default() };
    audit::run(folder, &options, &Progress::quiet())
}

fn fact<'a>(audit: &'a Audit, what: &str, file: &str) -> &'a Fact {
    let fits = |fact: &&Fact| fact.what.contains(what) && fact.file.contains(file);
    let found = audit.facts.iter().find(fits);
    found.unwrap_or_else(|| panic!("no fact about {what} of {file}"))
}

/// What comes out, in words.
fn found(audit: &Audit, what: &str, file: &str) -> String {
    let fact = fact(audit, what, file);
    fact.recomputed.clone().unwrap_or_else(|| panic!("nothing comes out: {fact:?}"))
}

fn number(audit: &Audit, what: &str, file: &str) -> f64 {
    let fact = fact(audit, what, file);
    fact.recomputed_value.unwrap_or_else(|| panic!("no number comes out: {fact:?}"))
}

#[test]
fn every_file_is_read_and_said_not_to_be_the_published_one() {
    let folder = tempfile::tempdir().unwrap();
    made_up_audit(folder.path());
    let audit = run(folder.path(), &[AuditPart::Files]).unwrap();
    assert_eq!(found(&audit, "rows", "mbpp/train"), "3");
    assert_eq!(found(&audit, "rows", "cache-"), "2");
    assert_eq!(found(&audit, "rows", "gsm8k-test"), "2");
    assert_eq!(found(&audit, "rows", "sample_train_t_0.7_1_wrejppl"), "1");
    let hash = fact(&audit, "SHA-256", "gsm8k/data");
    assert_eq!(hash.verdict, AuditVerdict::DoesNotFollow);
    assert!(hash.note.contains("other bytes than the published file"), "{hash:?}");
    assert_eq!(fact(&audit, "rows", "math/train").verdict, AuditVerdict::CannotBeComputed);
    // another schema
    let place = |task: &str| {
        let file = "data-00000-of-00001.arrow";
        folder.path().join("dataset/ground_truth").join(task).join(file)
    };
    std::fs::copy(place("arc_challenge/test"), place("gsm8k")).unwrap();
    let error = run(folder.path(), &[AuditPart::Files]).unwrap_err().to_string();
    assert!(error.contains("gsm8k") && error.contains("conversations"), "{error}");
}

#[test]
fn masks_and_classes_are_those_of_the_made_up_tokens() {
    let folder = tempfile::tempdir().unwrap();
    made_up_audit(folder.path());
    let audit = run(folder.path(), &[AuditPart::Masks, AuditPart::Classes]).unwrap();
    let is = |what: &str, value: f64| {
        let found = number(&audit, what, "");
        assert!((found - value).abs() < 1e-6, "{what}: {found}");
    };
    is("tokens of answers", 7.0);
    is("rows with one id more than perplexities", 2.0);
    // above 2.5: 4, 2000 and 8 of seven
    is("% of answer tokens above 2.5", 300.0 / 7.0);
    // exp of the mean of ln: 8000^(1/4) and 16^(1/3)
    is("mean sequence perplexity", (8000f64.powf(0.25) + 16f64.powf(1.0 / 3.0)) / 2.0);
    assert_eq!(found(&audit, "rows whose ids can spell their text", ""), "2");
    // " \r\n" is one of the three masked tokens, the other two are words
    is("% of masked tokens with a carriage return", 100.0 / 3.0);
    is("% of masked tokens that are words", 200.0 / 3.0);
    is("reference solutions with carriage returns", 1.0);
    assert_eq!(found(&audit, "reference solutions with tabs", "mbpp/train"), "1");
    assert_eq!(
        fact(&audit, "answers that are the solution in a fence", "mbpp/train").verdict,
        AuditVerdict::Follows
    );
    let point = audit.curve.iter().find(|point| point.threshold == 2.5).unwrap();
    assert!((point.masked - 3.0 / 7.0).abs() < 1e-12);
}

#[test]
fn sampled_answers_are_held_against_their_pools() {
    let folder = tempfile::tempdir().unwrap();
    made_up_audit(folder.path());
    let audit = run(folder.path(), &[AuditPart::Samples]).unwrap();
    let lowest = "chosen answers of the lowest perplexity";
    assert_eq!(found(&audit, &format!("Rephrase, train: {lowest}"), ""), "0");
    assert_eq!(found(&audit, &format!("Rephrase, validation: {lowest}"), ""), "1");
    assert_eq!(found(&audit, &format!("Self-Output, validation: {lowest}"), ""), "1");
    assert_eq!(found(&audit, "Self-Output, train: answers that go on after the code", ""), "1");
    assert_eq!(found(&audit, "Rephrase, train: answers with carriage returns", ""), "1");
    assert!(
        (number(&audit, "Rephrase, train: mean perplexity of accepted answers", "") - 3.0).abs()
            < 1e-9
    );
    let rejected = fact(&audit, "Rephrase, train: rows whose `rejection` is a rejected sample", "");
    assert_eq!(rejected.recomputed.as_deref(), Some("0"));
    assert!(
        rejected.note.contains("in 1 of 1 rows it is the reference answer itself"),
        "{rejected:?}"
    );
}

#[test]
fn tasks_and_logs_are_graded_again() {
    let folder = tempfile::tempdir().unwrap();
    made_up_audit(folder.path());
    let audit = run(folder.path(), &[AuditPart::Tasks]).unwrap();
    assert_eq!(found(&audit, "solutions with \\boxed", "math/test"), "1");
    assert_eq!(found(&audit, "test items of levels 1 to 5", ""), "0/1/0/0/1");
    // 0.5 is one half, and four is not three, whatever the log says
    assert_eq!(
        found(&audit, "logged MATH answers that our grader grades as the log does", ""),
        "2 of 3"
    );
    assert_eq!(found(&audit, "logged MATH answers that pass", ""), "2");
    assert_eq!(found(&audit, "answers with ####", ""), "1");
    // of both files
    assert_eq!(found(&audit, "logged GSM8K answers", ""), "2 of 2");
    assert_eq!(found(&audit, "rows with a number as their key", "arc_challenge/test"), "1");
    assert_eq!(found(&audit, "rows with the labels A, B, C, D", "arc_challenge/test"), "1");
    assert_eq!(found(&audit, "rows with five options", ""), "1");
    assert_eq!(found(&audit, "rows whose key is none of their labels", "arc_challenge/test"), "0");
}

#[test]
fn grades_are_read_however_a_log_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    made_up_audit(folder.path());
    let logs = ["mbpp-test/log", "math-test/log", "gsm8k-test/log_1", "gsm8k-test/log_2"];
    let logs = logs.map(|log| folder.path().join(format!("logging/{log}.jsonl")));
    let texts = logs.each_ref().map(|log| std::fs::read_to_string(log).unwrap());
    let rewritten = |of: &dyn Fn(bool, &mut serde_json::Value)| {
        for (log, text) in logs.iter().zip(&texts) {
            let line = |line: &str| {
                let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
                let passed = row["passed"] == true || row["passed"].as_f64() == Some(1.0);
                of(passed, &mut row);
                format!("{row}\n")
            };
            std::fs::write(log, text.lines().map(line).collect::<String>()).unwrap();
        }
    };
    let parts = [AuditPart::Files, AuditPart::Tasks, AuditPart::Leak];
    let facts = |audit: Audit| -> Vec<(String, Option<String>)> {
        let said = audit.facts.into_iter().filter(|fact| !fact.what.contains("SHA-256"));
        said.map(|fact| (fact.what, fact.recomputed)).collect()
    };
    let whole = facts(run(folder.path(), &parts).unwrap());
    let ways: [fn(bool) -> serde_json::Value; 6] = [
        |passed| passed.into(),
        |passed| u8::from(passed).into(),
        |passed| f64::from(u8::from(passed)).into(),
        |passed| if passed { "True" } else { "False" }.into(),
        |passed| if passed { "true" } else { "false" }.into(),
        |passed| if passed { "1.0" } else { "0.0" }.into(),
    ];
    for way in ways {
        rewritten(&|passed, row| row["passed"] = way(passed));
        assert_eq!(facts(run(folder.path(), &parts).unwrap()), whole, "{}", way(true));
    }
    // numbers as a table program writes them, and an object as a text
    rewritten(&|_, row| {
        row["id"] = row["id"].as_f64().into();
        if row["final_output"].is_object() {
            row["final_output"] = row["final_output"].to_string().into();
        }
    });
    assert_eq!(facts(run(folder.path(), &parts).unwrap()), whole);
    // an answer that has no grade is counted in no comparison of grades
    rewritten(&|passed, row| {
        if !passed {
            row["passed"] = serde_json::Value::Null;
        }
    });
    let audit = run(folder.path(), &[AuditPart::Tasks]).unwrap();
    let what = "logged MATH answers that our grader grades as the log does";
    assert_eq!(found(&audit, what, ""), "1 of 2");
    assert_eq!(found(&audit, "logged GSM8K answers", ""), "1 of 1");
    // and what is no grade is said as it stands there
    rewritten(&|_, row| row["passed"] = "perhaps".into());
    let error = run(folder.path(), &[AuditPart::Tasks]).unwrap_err().to_string();
    for part in ["math-test/log.jsonl:1", "column passed", "\"perhaps\"", "--only"] {
        assert!(error.contains(part), "{error}");
    }
    // a column in which nothing stands is none
    rewritten(&|_, row| row["generation"] = serde_json::Value::Null);
    let error = run(folder.path(), &[AuditPart::Tasks]).unwrap_err().to_string();
    assert!(error.contains("nothing in the column generation"), "{error}");
}

#[test]
fn a_leak_is_found_by_number_by_name_and_by_words() {
    let folder = tempfile::tempdir().unwrap();
    made_up_audit(folder.path());
    let light = run(folder.path(), &[AuditPart::Leak]).unwrap();
    assert_eq!(found(&light, "task numbers", "mbpp/train"), "701 to 703");
    assert_eq!(
        fact(&light, "test tasks that are training tasks", "").verdict,
        AuditVerdict::CannotBeComputed
    );
    assert!(found(&light, "whose function has the name", "").contains("21 and 701 (twice)"));
    assert!(found(&light, "whose problem is worded", "").contains("21 and 701"));
    let plus = "{\"task_id\": \"Mbpp/702\"}\n{\"task_id\": \"Mbpp/20\"}\n";
    std::fs::write(folder.path().join("plus.jsonl"), plus).unwrap();
    let options = AuditOptions {
        only: vec![AuditPart::Leak],
        mbpp_test: Some(folder.path().join("plus.jsonl")),
    };
    let whole = audit::run(folder.path(), &options, &Progress::quiet()).unwrap();
    assert_eq!(found(&whole, "test tasks that are training tasks", "plus.jsonl"), "1");
    assert_eq!(found(&whole, "test tasks that are validation tasks", "plus.jsonl"), "0");
}

#[test]
fn code_is_run_and_labels_are_held_against_what_it_does() {
    let folder = tempfile::tempdir().unwrap();
    made_up_audit(folder.path());
    let audit = run(folder.path(), &[AuditPart::Executor]).unwrap();
    // needs no Python
    assert_eq!(found(&audit, "accepted answers with a stray line", ""), "0");
    if let Err(error) = Python::find() {
        println!("skipped: the executor's part of the audit: {error}");
        let fact = fact(&audit, "references of MBPP's train split that pass, without it", "");
        assert_eq!(fact.verdict, AuditVerdict::CannotBeComputed);
        assert!(fact.note.contains("code cannot be run here"), "{fact:?}");
        return;
    }
    let references = fact(&audit, "references of MBPP's train split that pass, with", "");
    assert_eq!(references.recomputed.as_deref(), Some("2 of 3"));
    assert!(references.note.contains("not: mbpp/train/703"), "{references:?}");
    assert_eq!(found(&audit, "references of MBPP's validation split that pass", ""), "1 of 1");
    assert_eq!(found(&audit, "Self-Output answers that pass, train", ""), "1 of 2");
    assert_eq!(found(&audit, "Self-Output answers that pass, validation", ""), "1 of 1");
    assert_eq!(found(&audit, "Rephrase answers that pass, train", ""), "1 of 1");
    // the right rewrite that is labelled wrong
    assert_eq!(
        found(&audit, "labels of accepted Rephrase answers that are right, train", ""),
        "1 of 2"
    );
    assert_eq!(found(&audit, "logged answers to MBPP+ that pass the asserts", ""), "1 of 2");
    assert_eq!(found(&audit, "logged as passed", ""), "1");
    assert_eq!(found(&audit, "logged as timed out", ""), "1");
    assert_eq!(found(&audit, "highest task number in the log", ""), "21");
}
