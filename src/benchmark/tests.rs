//! Rows as they are published become items.

use super::*;
use crate::task::{Check, Form};
use serde_json::json;

/// Items of rows, written to a file as JSON lines.
fn read(benchmark: Benchmark, rows: &[Value], ask: &Ask) -> Result<Vec<Item>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.jsonl");
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    benchmark.read_as(&file, ask)
}

fn asked(prompts: Prompts) -> Ask {
    Ask { prompts, ..Ask::default() }
}

#[test]
fn gsm8k_is_asked_three_ways() {
    let row = json!({"question": "How many?", "answer": "1 + 1 = <<1+1=2>>2\n#### 1,002"});
    let one = |prompts| {
        read(Benchmark::Gsm8k, std::slice::from_ref(&row), &asked(prompts)).unwrap().remove(0)
    };
    let paper = one(Prompts::Paper);
    assert!(paper.prompt.ends_with("final numeric answerQ: How many?\nA:"));
    assert_eq!(paper.grade("#### 1002", false).value, 1.0);
    let harness = one(Prompts::Harness);
    assert!(harness.prompt.starts_with("Q: There are 15 trees"));
    assert_eq!(harness.prompt.matches("The answer is ").count(), 8);
    assert!(harness.prompt.ends_with("\n\nQ: How many?\nA:"));
    assert!(harness.truth.ends_with("2 The answer is 1,002."), "{}", harness.truth);
    assert_eq!(harness.grade(&harness.truth, false).value, 1.0);
    assert_eq!(one(Prompts::Official).prompt, "How many?");
    let error = read(Benchmark::Gsm8k, &[json!({"question": "?", "answer": "5"})], &Ask::default());
    assert!(error.unwrap_err().to_string().contains("####"));
    let error = read(Benchmark::Gsm8k, &[json!({"question": "?"})], &Ask::default()).unwrap_err();
    assert!(error.to_string().contains("rows.jsonl:1: expected a text in answer"), "{error}");
}

#[test]
fn math_takes_the_last_box_as_the_answer() {
    let row = json!({"problem": "p?", "solution": "So $\\boxed{1}$, hence $\\boxed{\\frac{1}{2}}$.", "level": "Level 1"});
    for prompts in [Prompts::Paper, Prompts::Harness, Prompts::Official] {
        let item =
            read(Benchmark::Math, std::slice::from_ref(&row), &asked(prompts)).unwrap().remove(0);
        let Check::Math { answer, .. } = &item.check else { panic!("not {:?}", item.check) };
        assert_eq!(answer, "\\frac{1}{2}");
        assert_eq!(item.grade(&item.truth, false).value, 1.0, "{prompts:?}");
        assert_eq!(item.grade("Answer: 0.5", false).value, 1.0);
    }
    let harness = read(Benchmark::Math, &[row], &asked(Prompts::Harness)).unwrap().remove(0);
    assert_eq!(harness.prompt.matches("Problem:\n").count(), 5);
    let error = read(Benchmark::Math, &[json!({"problem": "p", "solution": "5"})], &Ask::default());
    assert!(error.unwrap_err().to_string().contains("boxed"));
}

/// A model that chats answers in its own way, whoever's words the question is in.
#[test]
fn robust_grading_reads_the_answers_of_a_chat_model_to_everybody_s_words() {
    let gsm8k = json!({"question": "How many?", "answer": "1 + 1 = 2\n#### 1002"});
    let math = json!({"problem": "p?", "solution": "$\\boxed{\\frac{1}{2}}$"});
    let arc = json!({"question": "Which?", "choices": {"text": ["cat", "dog", "cow"], "label": ["A", "B", "C"]}, "answerKey": "B"});
    let mmlu = json!({"question": "Which?", "subject": "anatomy", "choices": ["cat", "dog", "cow", "pig"], "answer": 1});
    let mut asked_of = 0;
    for (benchmark, row, answers) in [
        (
            Benchmark::Gsm8k,
            &gsm8k,
            ["**Answer:** 1,002", "So \\boxed{1002}.", "The answer is 1002."],
        ),
        (
            Benchmark::Math,
            &math,
            ["**Answer:** 1/2", "So $\\boxed{0.5}$.", "The final answer is $\\frac12$."],
        ),
        (
            Benchmark::Arc,
            &arc,
            ["**Answer:** B", "It barks.\n\n**B. dog**", "The best answer is B."],
        ),
        (
            Benchmark::Mmlu,
            &mmlu,
            ["**Answer: B**", "B. dog\n\nIt barks.", "The correct option is (B)."],
        ),
    ] {
        for prompts in [Prompts::Paper, Prompts::Harness, Prompts::Official] {
            let ask = Ask { chat: true, ..asked(prompts) };
            let Ok(items) = read(benchmark, std::slice::from_ref(row), &ask) else { continue };
            asked_of += 1;
            for answer in answers.iter().copied().chain([items[0].truth.as_str()]) {
                let score = items[0].grade(answer, false);
                let whole = (score.value, score.form);
                assert_eq!(whole, (1.0, Form::Kept), "{prompts:?} {answer:?}: {}", score.why);
            }
        }
    }
    // ARC's authors have no words
    assert_eq!(asked_of, 11);
}

#[test]
fn arc_shows_labels_as_they_are_or_as_letters() {
    let row = json!({"id": "q1", "question": "Which?", "choices": {"text": ["cat", "dog", "cow"], "label": ["1", "2", "3"]}, "answerKey": "3"});
    let paper =
        read(Benchmark::Arc, std::slice::from_ref(&row), &Ask::default()).unwrap().remove(0);
    assert!(
        paper.prompt.ends_with(
            "LETTER is one of ABCD.\nQuestion:\nWhich?Choices:\n1. cat\n2. dog\n3. cow\n"
        )
    );
    assert_eq!(paper.id, "arc/q1");
    for (answer, value) in [("Answer: 3", 1.0), ("Answer: C", 1.0), ("Answer: 2", 0.0)] {
        assert_eq!(paper.grade(answer, false).value, value, "{answer}");
    }
    let harness = read(Benchmark::Arc, std::slice::from_ref(&row), &asked(Prompts::Harness))
        .unwrap()
        .remove(0);
    assert!(harness.prompt.contains("Question: Which?\nA. cat\nB. dog\nC. cow\nYour response"));
    assert_eq!(harness.grade(&harness.truth, false).value, 1.0);
    let error = read(Benchmark::Arc, &[row], &asked(Prompts::Official)).unwrap_err().to_string();
    assert!(error.contains("no prompt for ARC"), "{error}");
    let odd =
        json!({"question": "?", "choices": {"text": ["a", "b"], "label": ["A"]}, "answerKey": "A"});
    assert!(read(Benchmark::Arc, &[odd], &Ask::default()).is_err());
    let odd = json!({"question": "?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "C"});
    let error = read(Benchmark::Arc, &[odd], &Ask::default()).unwrap_err().to_string();
    assert!(error.contains("labels A, B, not \"C\""), "{error}");
}

#[test]
fn mmlu_takes_a_place_or_a_letter() {
    for answer in [json!(2), json!("C"), json!("2")] {
        let row = json!({"question": " Which? ", "subject": "high_school_biology", "choices": ["a", "b", "c", "d"], "answer": answer});
        let paper =
            read(Benchmark::Mmlu, std::slice::from_ref(&row), &Ask::default()).unwrap().remove(0);
        assert!(paper.prompt.ends_with("answering.\n\nWhich?\n\nA) a\nB) b\nC) c\nD) d"));
        assert_eq!(paper.truth, "Answer: C");
        assert_eq!(paper.grade(&paper.truth, false).value, 1.0);
        let harness = read(Benchmark::Mmlu, &[row], &asked(Prompts::Harness)).unwrap().remove(0);
        assert!(harness.prompt.starts_with("The following are multiple choice questions (with answers) about high school biology.\n\nWhich?\nA. a"));
        assert_eq!(harness.grade("C", false).value, 1.0);
    }
    let row = json!({"question": "?", "choices": ["a", "b"], "answer": 4});
    assert!(read(Benchmark::Mmlu, &[row], &Ask::default()).is_err());
}

#[test]
fn ifeval_refuses_what_it_cannot_check() {
    let row = |id: &str, kwargs: Value| json!({"key": 7, "prompt": "Write.", "instruction_id_list": [id], "kwargs": [kwargs]});
    let nulls = json!({"num_words": 3, "relation": "at least", "language": null});
    let item =
        read(Benchmark::Ifeval, &[row("length_constraints:number_words", nulls)], &Ask::default())
            .unwrap()
            .remove(0);
    assert_eq!(item.id, "ifeval/7");
    let score = item.grade("one two three", false);
    assert_eq!((score.value, score.parts.len()), (1.0, 1));
    assert_eq!(item.grade("one two", false).value, 0.0);
    assert_eq!(item.grade(" ", false).parts.len(), 1);
    for (id, kwargs) in
        [("no:such", json!({})), ("length_constraints:number_words", json!({"num_words": 3}))]
    {
        let error = read(Benchmark::Ifeval, &[row(id, kwargs)], &Ask::default()).unwrap_err();
        assert!(error.to_string().contains(id), "{error}");
    }
}

#[test]
fn questions_about_databases_are_asked_with_their_tables() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("dev_databases/pets");
    std::fs::create_dir_all(&place).unwrap();
    let database = rusqlite::Connection::open(place.join("pets.sqlite")).unwrap();
    database
        .execute_batch("CREATE TABLE pets (\n  name TEXT,\n  age INT);\nCREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT);\nINSERT INTO pets VALUES ('Rex', 4);")
        .unwrap();
    drop(database);
    let file = folder.path().join("dev.jsonl");
    let row = json!({"question_id": 3, "db_id": "pets", "question": "Who?", "evidence": "who means name", "SQL": "SELECT name FROM pets;"});
    std::fs::write(&file, row.to_string()).unwrap();
    let paper = Benchmark::Bird.read(&file, Prompts::Paper).unwrap().remove(0);
    assert!(
        paper
            .prompt
            .starts_with("CREATE TABLE pets (\nname TEXT,\nage INT)\n\nCREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT)\n\nCREATE TABLE sqlite_sequence(name,seq)\n\n-- Using valid SQLite, answer the following question for the tables provided above.\n-- Question: "),
        "{}",
        paper.prompt
    );
    assert!(paper.prompt.ends_with("-- Question: Who?\n\nNow, generate the correct SQL code directly (Do NOT generate other text except the SQL code):"));
    assert!(!paper.prompt.contains("who means name"));
    assert_eq!(paper.grade(&paper.truth, false).value, 1.0);
    let official = Benchmark::Bird.read(&file, Prompts::Official).unwrap().remove(0);
    assert!(
        official.prompt.ends_with(
            "CREATE TABLE sqlite_sequence(name,seq)\n\n-- External Knowledge: who means name\n-- Using valid SQLite and understading External Knowledge, answer the following questions for the tables provided above.\n-- Who?\nGenerate the SQL after thinking step by step: "
        ),
        "{}",
        official.prompt
    );
    let harness = Benchmark::Bird.read(&file, Prompts::Harness).unwrap_err().to_string();
    assert!(harness.contains("no prompt for BIRD"), "{harness}");

    let missing = json!({"question_id": 4, "db_id": "zoo", "question": "Who?", "SQL": "SELECT 1"});
    std::fs::write(&file, format!("{row}\n{missing}")).unwrap();
    let error = Benchmark::Bird.read(&file, Prompts::Paper).unwrap_err().to_string();
    assert!(
        error.contains("dev.jsonl:2") && error.contains("zoo.sqlite") && error.contains("--only"),
        "{error}"
    );
    let ask = Ask { only: vec![("db_id".into(), "pets".into())], ..Ask::default() };
    assert_eq!(Benchmark::Bird.read_as(&file, &ask).unwrap().len(), 1);
    let ask = Ask { only: vec![("db_id".into(), "none".into())], ..Ask::default() };
    let error = Benchmark::Bird.read_as(&file, &ask).unwrap_err().to_string();
    assert!(error.contains("none of its 2 rows has db_id=none"), "{error}");
}

#[test]
fn a_split_is_found_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let locate = |split: &str| Benchmark::Arc.locate(path, split);
    assert_eq!(locate("test").unwrap(), path, "nothing fits: the reader says what is missing");
    std::fs::write(path.join("arc-challenge-test.jsonl"), "").unwrap();
    std::fs::write(path.join("latest.jsonl"), "").unwrap();
    assert_eq!(locate("test").unwrap(), path.join("arc-challenge-test.jsonl"));
    std::fs::write(path.join("test-00000-of-00001.parquet"), "").unwrap();
    assert!(locate("test").unwrap_err().to_string().contains("2 files of the split test"));
    std::fs::write(path.join("test.jsonl"), "").unwrap();
    assert_eq!(locate("test").unwrap(), path.join("test.jsonl"));
    assert_eq!(
        Benchmark::Arc.locate(&path.join("latest.jsonl"), "test").unwrap(),
        path.join("latest.jsonl")
    );
    assert!(Benchmark::Arc.locate(&path.join("none"), "test").is_err());
    assert!(Benchmark::named("none").unwrap_err().to_string().contains("gsm8k"));
}
