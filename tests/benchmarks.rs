//! Published benchmarks: their files become items, and our graders decide as the known answers say.

use crate::support::{reference_json, shared};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use unforget::benchmark::{Ask, Benchmark, Prompts};
use unforget::dataset;
use unforget::task::{Check, Grading, Instruction, Item, RowRule, Take, final_math, same_math};

/// A benchmark's file beside the project, where there is one.
fn data(path: &str) -> Option<PathBuf> {
    shared(&format!("real/datasets/{path}"), path)
}

/// Known answers beside the project, where there are some.
fn oracle(path: &str) -> Option<Vec<Value>> {
    let file = shared(&format!("real/oracles/{path}"), path)?;
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(rows.collect())
}

fn item(check: Check) -> Item {
    Item { id: "x".into(), prompt: "?".into(), truth: String::new(), style: vec![], check }
}

fn math(answer: &str) -> Item {
    item(Check::Math { answer: answer.into(), grading: Grading::Robust, take: Take::Last })
}

fn letter(key: &str) -> Item {
    item(Check::Letter {
        key: key.into(),
        labels: ["A", "B", "C", "D"].map(String::from).to_vec(),
        options: ["Albert", "Bella", "Cecil", "Dora"].map(String::from).to_vec(),
        grading: Grading::Robust,
        take: Take::Last,
    })
}

fn found_anywhere(item: &Item, answer: &str) -> bool {
    let score = item.grade(answer, false);
    score.value == 1.0 || score.skill == 1.0
}

/// The cases that a table in a data card says are decided differently, as `file:line` counted from 0.
fn decided_differently(card: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(card);
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|cell| cell.contains(':'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn mathematics_is_judged_as_known_but_for_the_table_in_the_card() {
    let mut differs = BTreeSet::new();
    let mut counted = 0;
    let string = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let Some(rows) = oracle("math/hendrycks_math_equivalence.jsonl") else {
        return;
    };
    for (at, row) in rows.iter().enumerate() {
        let same = same_math(&string(row, "a"), &string(row, "b"));
        counted += 1;
        if same != (row["expected"] == 1) {
            differs.insert(format!("hendrycks:{at}"));
        }
    }
    for (file, name) in
        [("lighteval_extractive_match", "lighteval"), ("math_verify_cases", "math_verify")]
    {
        let rows = oracle(&format!("math/{file}.jsonl")).unwrap();
        for (at, row) in rows.iter().enumerate() {
            let (gold, answer) = (string(row, "gold"), string(row, "pred"));
            let letters = row["call"]["match_types"]
                .as_str()
                .is_some_and(|types| types.contains("NativeLetters"));
            let right = if letters {
                let key = ["A", "B", "C", "D"]
                    .into_iter()
                    .rev()
                    .find(|key| found_anywhere(&letter(key), &gold));
                key.is_some_and(|key| found_anywhere(&letter(key), &answer))
            } else {
                let gold = final_math(&gold).unwrap_or(gold);
                found_anywhere(&math(&gold), &answer)
            };
            counted += 1;
            if right != (row["expected"] == 1) {
                println!(
                    "{name}:{at} expected {}: {} | {}",
                    row["expected"],
                    row["gold"],
                    row["pred"]
                        .as_str()
                        .unwrap()
                        .chars()
                        .rev()
                        .take(150)
                        .collect::<String>()
                        .chars()
                        .rev()
                        .collect::<String>()
                );
                differs.insert(format!("{name}:{at}"));
            }
        }
    }
    assert_eq!(counted, 151);
    let table = decided_differently("math/README.md");
    let new: Vec<_> = differs.difference(&table).collect();
    let gone: Vec<_> = table.difference(&differs).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "not in the table: {new:?}; in it, but decided as known: {gone:?}"
    );
}

#[test]
fn every_answer_of_math_500_equals_its_solution_and_few_others() {
    let Some(file) = data("math500/test.jsonl") else {
        return;
    };
    let items = Benchmark::Math.read(&file, Prompts::Paper).unwrap();
    assert_eq!(items.len(), 500);
    for item in &items {
        let score = item.grade(&item.truth, false);
        assert_eq!(score.value, 1.0, "{}: {}", item.id, score.why);
    }
    let rows = dataset::rows(&file).unwrap();
    let answers: Vec<&str> =
        rows.iter().map(|row| row.fields["answer"].as_str().unwrap()).collect();
    let mut same = BTreeSet::new();
    let plain = |text: &str| {
        text.replace(['$', ' '], "")
            .replace("\\left", "")
            .replace("\\right", "")
            .replace("dfrac", "frac")
    };
    for (at, a) in answers.iter().enumerate() {
        for b in answers[at + 1..].iter().take(60) {
            if plain(a) != plain(b) && same_math(a, b) {
                same.insert((plain(a), plain(b)));
            }
        }
    }
    for (a, b) in &same {
        println!("taken for the same: {a}   {b}");
    }
    // looked through: units, degrees and `x =` are all that differs
    assert!(same.len() <= 8, "{} pairs", same.len());
}

#[test]
fn labels_of_gsm8k_solutions_are_reproduced() {
    let Some(rows) = oracle("gsm8k/example_model_solutions_300.jsonl") else {
        return;
    };
    let mut differs = Vec::new();
    let mut counted = 0;
    for (at, row) in rows.iter().enumerate() {
        let truth = row["ground_truth"].as_str().unwrap();
        let gold = truth.rsplit("A: ").next().unwrap().trim();
        let item =
            item(Check::Gsm8k { answer: gold.into(), grading: Grading::Robust, take: Take::Last });
        for system in ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"] {
            let solution = row[system]["solution"].as_str().unwrap();
            counted += 1;
            let score = item.grade(solution, false);
            if (score.value == 1.0) != row[system]["is_correct"].as_bool().unwrap() {
                let end: String =
                    solution.chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
                differs.push(format!("{at} {system}: gold {gold}, {:?}, {}", end, score.why));
            }
        }
    }
    assert_eq!(counted, 1200);
    assert!(differs.is_empty(), "{}:\n{}", differs.len(), differs.join("\n"));
}

#[test]
fn every_reference_of_gsm8k_is_right_by_every_rule() {
    let Some(file) = data("gsm8k/test.jsonl") else {
        return;
    };
    for grading in [Grading::Robust, Grading::Paper, Grading::Harness] {
        let ask = Ask { grading, ..Ask::default() };
        let items = Benchmark::Gsm8k.read_as(&file, &ask).unwrap();
        assert_eq!(items.len(), 1319);
        for item in &items {
            let score = item.grade(&item.truth, false);
            assert_eq!(score.value, 1.0, "{grading:?} {}: {}", item.id, score.why);
        }
    }
}

#[test]
fn every_key_of_arc_is_right_by_every_rule() {
    for (name, rows) in [("challenge", 299), ("easy", 570)] {
        let Some(file) = data(&format!("arc/arc-{name}-validation.jsonl")) else {
            return;
        };
        for (prompts, grading) in [
            (Prompts::Paper, Grading::Robust),
            (Prompts::Paper, Grading::Paper),
            (Prompts::Harness, Grading::Robust),
            (Prompts::Harness, Grading::Harness),
        ] {
            let ask = Ask { prompts, grading, ..Ask::default() };
            let items = Benchmark::Arc.read_as(&file, &ask).unwrap();
            assert_eq!(items.len(), rows);
            for item in &items {
                let score = item.grade(&item.truth, false);
                assert_eq!(score.value, 1.0, "{prompts:?} {grading:?} {}: {}", item.id, score.why);
                let Check::Letter { labels, options, key, .. } = &item.check else {
                    panic!("not a letter")
                };
                assert!((3..=5).contains(&options.len()));
                for label in labels.iter().filter(|label| *label != key) {
                    let wrong = item.grade(
                        &item.truth.replace(&format!(" {key}"), &format!(" {label}")),
                        false,
                    );
                    assert_eq!(wrong.value, 0.0, "{prompts:?} {grading:?} {}: {label}", item.id);
                }
            }
        }
    }
}

/// The SHA-256 of a text begins and ends so: how the paper's prompts are known.
fn has_hash(text: &str, begin: &str, end: &str) -> bool {
    let hash = unforget::store::bytes_hash(text.as_bytes());
    hash.starts_with(begin) && hash.ends_with(end)
}

/// Hashes of the instructions in the paper's code, and its own conversations where they are at hand.
#[test]
fn the_paper_s_prompts_are_those_of_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = |benchmark: Benchmark, row: &str| {
        let file = folder.path().join("row.jsonl");
        std::fs::write(&file, row).unwrap();
        benchmark.read(&file, Prompts::Paper).unwrap().remove(0).prompt
    };
    let gsm8k = prompt(Benchmark::Gsm8k, "{\"question\": \"!\", \"answer\": \"#### 5\"}");
    assert!(has_hash(gsm8k.strip_suffix("Q: !\nA:").unwrap(), "322a8927", "ab25"));
    let math = prompt(Benchmark::Math, r#"{"problem": "!", "solution": "\\boxed{5}"}"#);
    let (head, tail) = math.split_once("\n\n!\n\n").unwrap();
    assert!(has_hash(head, "d83e9d5f", "8f17") && has_hash(tail, "be1964c3", "6f99"));
    let arc = prompt(
        Benchmark::Arc,
        r#"{"question": "!", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}"#,
    );
    let head = arc.strip_suffix("Question:\n!Choices:\nA. a\nB. b\n").unwrap();
    assert!(has_hash(head, "f8a1a8dd", "0aac"));
    let mmlu = prompt(Benchmark::Mmlu, r#"{"question": "!", "choices": ["a", "b"], "answer": 0}"#);
    assert!(has_hash(mmlu.strip_suffix("!\n\nA) a\nB) b").unwrap(), "cdee602f", "0236"));
}

/* from lm_eval 0.4.13, with yaml, jinja2 and hashlib, the SHA-256 of what stands before the question:
gsm8k: "".join(f"Q: {s['question']}\nA: {s['target']}\n\n" for s in yaml.safe_load(open("lm_eval/tasks/gsm8k/gsm8k-cot.yaml"))["fewshot_config"]["samples"])
math: "".join(f"Problem:\n{s['problem']}\n\nSolution: {s['solution']}\n\n" for s in list_fewshot_samples()), of lm_eval/tasks/minerva_math/utils.py
mbpp: "".join(render(task["doc_to_text"], s) + task.get("gen_prefix", "") + render(task["doc_to_target"], s) + "\n\n" for s in list_fewshot_samples()),
of lm_eval/tasks/mbpp, with the task of mbpp.yaml, and for a model that chats of mbpp_instruct.yaml */
#[test]
fn worked_examples_are_those_of_the_harness_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let gsm8k = "{\"question\": \"!\", \"answer\": \"#### 5\"}";
    let math = r#"{"problem": "!", "solution": "\\boxed{5}"}"#;
    let mbpp =
        r#"{"task_id": 5, "text": "!", "code": "def f(): pass", "test_list": ["a", "b", "c"]}"#;
    let python = "You are an expert Python programmer, and here is your task:";
    let of_base = format!("{python} ! Your code should pass these tests:\n\na\nb\nc\n[BEGIN]\n");
    let of_chat = format!("{python}\n!\nYour code should pass these tests:\na\nb\nc");
    for (benchmark, chat, row, question, begin, end) in [
        (Benchmark::Gsm8k, false, gsm8k, "Q: !\nA:", "3d55795c084e26f6", "4847"),
        (Benchmark::Math, false, math, "Problem:\n!\n\nSolution:", "57164f1d8a2f4b6c", "000f"),
        (Benchmark::Mbpp, false, mbpp, &of_base, "a05310d8d22b4455", "eab3"),
        (Benchmark::Mbpp, true, mbpp, &of_chat, "b5f76499ab14d038", "e886"),
    ] {
        let file = folder.path().join("row.jsonl");
        std::fs::write(&file, row).unwrap();
        let ask = Ask { prompts: Prompts::Harness, chat, ..Ask::default() };
        let prompt = benchmark.read_as(&file, &ask).unwrap().remove(0).prompt;
        let examples = prompt.strip_suffix(question).unwrap_or_else(|| panic!("{prompt}"));
        assert!(has_hash(examples, begin, end), "{benchmark:?}, chat {chat}");
    }
}

/// `rows` as JSON lines in `folder`, beside the databases in `databases`.
fn questions(folder: &Path, databases: &Path, rows: &[Value]) -> PathBuf {
    std::os::unix::fs::symlink(std::fs::canonicalize(databases).unwrap(), folder.join("database"))
        .unwrap();
    let file = folder.join("questions.jsonl");
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    file
}

#[test]
fn labels_of_bird_predictions_are_reproduced() {
    let (Some(rows), Some(bird)) =
        (oracle("sql/bird_superhero_predictions.jsonl"), data("bird-minidev"))
    else {
        return;
    };
    let file = bird.join("database/superhero/superhero.sqlite");
    let sha256 = unforget::store::file_hash(&file).unwrap();
    let check = |query: &str, grading| Check::Database {
        file: file.clone(),
        sha256: sha256.clone(),
        query: query.into(),
        rows: RowRule::Bird,
        grading,
    };
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap();
        let item = item(check(text("gold_sql"), Grading::Robust));
        let (bare, fenced) = (
            text("predicted_sql").to_owned(),
            format!("Here:\n```sql\n{}\n```", text("predicted_sql")),
        );
        for answer in [bare, fenced] {
            let score = item.grade(&answer, false);
            assert_eq!(
                score.value,
                row["published_label"].as_f64().unwrap(),
                "{answer}: {}",
                score.why
            );
        }
    }
    assert_eq!(rows.len(), 317);

    // the questions themselves: every reference query gives the rows that are known
    let gold: Vec<Value> = {
        let file = shared("real/oracles/sql/superhero_gold_results.json", "gold results").unwrap();
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(bird.join("mini_dev.json")).unwrap())
            .unwrap();
    assert_eq!(all.len(), 500);
    let file = questions(folder.path(), &bird.join("database"), &all);
    let only = vec![("db_id".to_string(), "superhero".to_string())];
    let mut empty = 0;
    for (prompts, grading) in [
        (Prompts::Paper, Grading::Robust),
        (Prompts::Official, Grading::Robust),
        (Prompts::Paper, Grading::Paper),
    ] {
        let ask = Ask { prompts, grading, only: only.clone(), ..Ask::default() };
        let items = Benchmark::Bird.read_as(&file, &ask).unwrap();
        assert_eq!(items.len(), 52);
        for (item, gold) in items.iter().zip(&gold) {
            assert_eq!(item.id, format!("bird/{}", gold["question_id"]));
            assert!(item.prompt.contains(gold["question"].as_str().unwrap()));
            assert!(item.prompt.contains("CREATE TABLE superhero"));
            let evidence = gold["evidence"].as_str().unwrap();
            let line = format!("\n-- External Knowledge: {evidence}\n");
            assert_eq!(item.prompt.contains(&line), prompts == Prompts::Official);
            let score = item.grade(&item.truth, false);
            let none = gold["gold_row_count"] == 0;
            empty += usize::from(none);
            let right = !(none && grading == Grading::Paper);
            assert_eq!(score.value == 1.0, right, "{}: {}", item.id, score.why);
            assert_rows(item, &gold["gold_rows"]);
        }
    }
    println!("{empty} references give no rows");
}

/// The reference query gives these rows: a query made of them as values is right.
fn assert_rows(item: &Item, rows: &Value) {
    let Check::Database { file, sha256, query, .. } = &item.check else { panic!("not a database") };
    let Some(rows) = rows.as_array() else {
        return; // too many to be written down
    };
    // SQLite takes 500 rows of values at most in one compound, and rows of one number
    if rows.is_empty() || rows.len() > 400 {
        return;
    }
    let cell = |value: &Value| match value {
        Value::Null => "NULL".to_string(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    };
    let selects: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row.as_array().unwrap().iter().map(cell).collect();
            format!("SELECT {}", cells.join(", "))
        })
        .collect();
    // versions of SQLite add floats up in different ways
    let columns = rows[0].as_array().unwrap().len();
    let rounded = |query: &str| {
        let names: Vec<String> = (0..columns).map(|at| format!("c{at}")).collect();
        let cells: Vec<String> = (0..columns)
            .map(|at| match rows.iter().any(|row| row[at].is_f64()) {
                true => format!("round(c{at}, 9)"),
                false => format!("c{at}"),
            })
            .collect();
        format!("WITH t({}) AS ({query}) SELECT {} FROM t", names.join(", "), cells.join(", "))
    };
    // as sets, because Spider's rule leaves DISTINCT out of the reference too
    let item = self::item(Check::Database {
        file: file.clone(),
        sha256: sha256.clone(),
        query: rounded(query),
        rows: RowRule::Bird,
        grading: Grading::Robust,
    });
    let score = item.grade(&rounded(&selects.join(" UNION ALL ")), false);
    assert_eq!(score.value, 1.0, "{query}: {}", score.why);
}

#[test]
fn reference_queries_of_german_spider_run_or_fail_as_known() {
    let (Some(gold), Some(spider)) =
        (oracle("sql/spider_de_gold_results.jsonl"), data("spider-de"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(spider.join("dev.json")).unwrap()).unwrap();
    let file = questions(folder.path(), &spider.join("database"), &all);
    let refused = Benchmark::Spider.read(&file, Prompts::Paper).unwrap_err().to_string();
    assert!(refused.contains("52 of 1030 rows cannot be used"), "{refused}");
    let (items, unusable) = Benchmark::Spider.read_usable(&file, &Ask::default()).unwrap();
    assert_eq!((items.len(), unusable.len(), gold.len()), (978, 52, 1030));
    assert!(unusable.iter().all(|of| of.problem.contains("query does not run")), "{unusable:?}");
    let ran = gold.iter().filter(|row| row["error"].is_null());
    for (item, row) in items.iter().zip(ran) {
        let score = item.grade(&item.truth, false);
        assert_eq!(score.value, 1.0, "{}: {}", item.truth, score.why);
        assert_rows(item, &row["rows"]);
    }
}

/* tests/reference/ifeval.py: answers made for every kind of instruction, and the verdicts of lm-evaluation-harness */
#[test]
fn instructions_are_judged_as_by_the_harness() {
    let rows = reference_json("ifeval.json");
    let rows = rows.as_array().unwrap();
    let kinds: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 25);
    let mut differs = Vec::new();
    for row in rows {
        let instruction = Instruction {
            id: row["id"].as_str().unwrap().into(),
            kwargs: row["kwargs"].as_object().unwrap().clone(),
        };
        let item = item(Check::Instructions { instructions: vec![instruction] });
        let answer = row["answer"].as_str().unwrap();
        let score = item.grade(answer, false);
        let ours = (score.parts[0].strict, score.parts[0].loose);
        let theirs = (row["strict"].as_bool().unwrap(), row["loose"].as_bool().unwrap());
        if ours != theirs {
            differs.push(format!(
                "{} {}: {answer:?}: ours {ours:?}, harness {theirs:?}",
                row["id"], row["kwargs"]
            ));
        }
    }
    assert!(differs.is_empty(), "{} of {}:\n{}", differs.len(), rows.len(), differs.join("\n"));
}

#[test]
fn every_prompt_of_ifeval_can_be_checked() {
    let Some(file) = data("ifeval/input_data.jsonl") else {
        return;
    };
    let items = Benchmark::Ifeval.read(&file, Prompts::Harness).unwrap();
    assert_eq!(items.len(), 541);
    let mut instructions = 0;
    for item in &items {
        let score = item.grade("This is an answer, in English.", false);
        instructions += score.parts.len();
        assert!(score.skill >= score.value);
    }
    assert_eq!(instructions, 834);
}
