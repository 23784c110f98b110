//! Options scored by their likelihood, beside lm-evaluation-harness 0.4.13 itself: `tests/reference/make_choices.py` has the calls.

use crate::support::{assert_refused, reference, reference_json, shared};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use unforget::benchmark::{Ask, Benchmark, few_shot};
use unforget::context::{Context, LoadedModel};
use unforget::dataset::read_items;
use unforget::evaluate::{Graded, TaskScore, answer};
use unforget::experiment::{Experiment, Recipe};
use unforget::generate::Sampling;
use unforget::model::{Checkpoint, DeviceChoice};
use unforget::progress::Progress;
use unforget::store::Store;
use unforget::task::{Accuracy, Check, Form, Item};

/// Float32 beside float32: the largest difference that other orders of summing make in sums of some hundred log-probabilities.
const NEAR: f64 = 5e-4;

fn context(place: &Path) -> Context {
    Context::new(Store::open(place).unwrap(), DeviceChoice::Cpu, Progress::quiet()).unwrap()
}

fn opened(model: &Path) -> LoadedModel {
    let place = tempfile::tempdir().unwrap();
    context(place.path()).open(&Checkpoint::open(model).unwrap()).unwrap()
}

fn lab() -> PathBuf {
    unforget::lab::folder().unwrap()
}

fn asked(chat: bool) -> Ask {
    Ask { choices: Some(Accuracy::Acc), apply_chat_template: chat, ..Ask::default() }
}

fn rows(name: &str) -> PathBuf {
    reference(&format!("choices/{name}.jsonl"))
}

fn scored(model: &LoadedModel, items: &[Item]) -> Vec<Graded> {
    answer(model, items, &Sampling::greedy(1), |_| {}).unwrap()
}

/// The same log-likelihoods, greedy options and accuracies as the harness's, item by item.
fn assert_as_the_harness(name: &str, graded: &[Graded]) {
    let golden = reference_json("choices.json");
    let golden = golden[name].as_array().unwrap_or_else(|| panic!("no golden run {name}"));
    assert_eq!(graded.len(), golden.len(), "{name}");
    for (ours, theirs) in graded.iter().zip(golden) {
        let what = format!("{name}, {}", ours.id);
        let values: Vec<f64> = ours.likelihoods.iter().map(|one| one.log_likelihood).collect();
        let expected = theirs["log_likelihood"].as_array().unwrap();
        assert_eq!(values.len(), expected.len(), "{what}");
        for (ours, theirs) in values.iter().zip(expected) {
            let theirs = theirs.as_f64().unwrap();
            assert!((ours - theirs).abs() < NEAR, "{what}: {ours} and {theirs}");
        }
        let greedy: Vec<Value> = ours.likelihoods.iter().map(|one| one.is_greedy.into()).collect();
        assert_eq!(Value::from(greedy), theirs["is_greedy"], "{what}");
        for part in &ours.score.parts {
            let theirs = theirs[&part.name].as_f64();
            assert_eq!(theirs, Some(f64::from(u8::from(part.strict))), "{what}: {}", part.name);
        }
        assert_eq!(ours.score.parts.len(), 3, "{what}");
        assert_eq!(
            (ours.score.value, ours.score.form),
            (theirs["acc"].as_f64().unwrap(), Form::Kept)
        );
    }
}

#[test]
fn arc_is_the_harness_s_item_by_item() {
    let model = opened(&lab().join("model"));
    for (name, chat) in [("plain", false), ("chat", true)] {
        let items = Benchmark::Arc.read_as(&rows("arc"), &asked(chat)).unwrap();
        assert_as_the_harness(&format!("lab/arc/{name}"), &scored(&model, &items));
    }
}

#[test]
fn mmlu_is_the_harness_s_item_by_item() {
    let model = opened(&lab().join("model"));
    for (name, chat) in [("plain", false), ("chat", true)] {
        let items = Benchmark::Mmlu.read_as(&rows("mmlu"), &asked(chat)).unwrap();
        assert_as_the_harness(&format!("lab/mmlu/{name}"), &scored(&model, &items));
    }
    let [items, examples] = ["mmlu", "mmlu-dev"]
        .map(|name| Benchmark::Mmlu.read_as(&rows(name), &asked(false)).unwrap());
    let shown = few_shot(items.clone(), &examples, 2).unwrap();
    assert_as_the_harness("lab/mmlu/plain/2-shot", &scored(&model, &shown));
    assert_refused(few_shot(items, &examples, 4), &["3 examples", "elementary mathematics"]);
}

#[test]
fn questions_that_ask_for_a_letter_are_the_harness_s_with_a_begun_answer() {
    let model = opened(&lab().join("model"));
    let items = read_items(&lab().join("choice/test.jsonl")).unwrap();
    for (name, chat) in [("plain", false), ("chat", true)] {
        let items: Vec<Item> = items[..20]
            .iter()
            .map(|item| item.by_likelihood(Accuracy::Acc, chat).unwrap())
            .collect();
        assert_as_the_harness(&format!("lab/choice/{name}"), &scored(&model, &items));
    }
}

/// An item of one's own.
fn item(id: &str, prompt: &str, options: &[&str], gold: usize, delimiter: &str) -> Item {
    let options: Vec<String> = options.iter().map(|option| option.to_string()).collect();
    Item {
        id: id.into(),
        prompt: prompt.into(),
        truth: options[gold].clone(),
        style: vec![],
        check: Check::Likelihood {
            gold,
            options,
            description: String::new(),
            target_delimiter: delimiter.into(),
            gen_prefix: String::new(),
            measure: Accuracy::Acc,
            apply_chat_template: false,
        },
    }
}

#[test]
fn tokens_are_cut_where_the_harness_cuts_them() {
    let model = opened(&lab().join("model"));
    let text = std::fs::read_to_string(rows("texts")).unwrap();
    for (at, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        let options: Vec<&str> =
            row["choices"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
        let word = |key: &str| row[key].as_str().unwrap();
        let gold = row["gold"].as_u64().unwrap() as usize;
        let item = item("text", word("context"), &options, gold, word("delimiter"));
        assert_as_the_harness(&format!("lab/texts/{at}"), &scored(&model, &[item]));
    }
}

#[test]
fn a_real_model_on_real_rows_is_the_harness_s_item_by_item() {
    let (Some(model), Some(data)) = (
        shared("real/models/stories260k", "a real model beside the harness"),
        shared("real/datasets/arc", "real rows beside the harness"),
    ) else {
        return;
    };
    let model = opened(&model);
    for name in ["easy", "challenge"] {
        let file = data.join(format!("arc-{name}-validation.jsonl"));
        let items = Benchmark::Arc.read_as(&file, &asked(false)).unwrap();
        let graded = scored(&model, &items[..40]);
        assert_as_the_harness(&format!("stories260k/arc-{name}"), &graded);
    }
}

#[test]
fn an_item_s_likelihoods_do_not_depend_on_the_others() {
    let model = opened(&lab().join("model"));
    let arc = Benchmark::Arc.read_as(&rows("arc"), &asked(false)).unwrap();
    let mmlu = Benchmark::Mmlu.read_as(&rows("mmlu"), &asked(false)).unwrap();
    // more than one batch, and written answers between them
    let mut many: Vec<Item> = Vec::new();
    for round in 0..20 {
        for item in arc.iter().chain(&mmlu) {
            many.push(Item { id: format!("{}/{round}", item.id), ..item.clone() });
        }
    }
    many.insert(7, read_items(&lab().join("word/test.jsonl")).unwrap()[0].clone());
    let mut told = Vec::new();
    let together = answer(&model, &many, &Sampling::greedy(4), |done| told.push(done)).unwrap();
    assert_eq!(told.last(), Some(&many.len()));
    assert!(told.is_sorted(), "{told:?}");
    assert!(together[7].likelihoods.is_empty() && !together[8].likelihoods.is_empty());
    for (item, graded) in many.iter().zip(&together) {
        assert_eq!(item.id, graded.id);
    }
    for (at, item) in many.iter().enumerate().filter(|(at, _)| at % 37 == 0) {
        let alone = &scored(&model, std::slice::from_ref(item))[0];
        for (one, other) in alone.likelihoods.iter().zip(&together[at].likelihoods) {
            assert!((one.log_likelihood - other.log_likelihood).abs() < 1e-4, "{}", item.id);
            assert_eq!(one.is_greedy, other.is_greedy);
        }
    }
    // options that begin alike, or are alike, are what they are alone
    let alike = item("alike", "a b", &["c d e", "c", "c d", "c"], 0, " ");
    let all = &scored(&model, &[alike])[0].likelihoods;
    for (at, pair) in [["c", "c d e"], ["c d", "x"]].iter().enumerate() {
        let two = &scored(&model, &[item("two", "a b", pair, 0, " ")])[0].likelihoods;
        let of = [all[1], all[2]][at];
        assert!((two[0].log_likelihood - of.log_likelihood).abs() < 1e-4);
    }
    assert_eq!(all[1].log_likelihood, all[3].log_likelihood);
}

#[test]
fn what_cannot_be_scored_names_item_and_option() {
    let model = opened(&lab().join("model"));
    let refused = |item: Item, parts: &[&str]| {
        assert_refused(answer(&model, &[item], &Sampling::greedy(1), |_| {}), parts);
    };
    refused(item("q1", "Who?", &["a", ""], 0, " "), &["q1", "option 2 is empty"]);
    refused(item("q2", "Who?", &["a"], 0, " "), &["q2", "two or more"]);
    let long = "word ".repeat(500);
    refused(item("q3", "Who?", &["a", &long], 0, " "), &["q3", "option 2", "context is 384"]);
    refused(item("q4", &long, &["a", "b"], 0, " "), &["q4", "option 1", "context is 384"]);
    // a question without a text has the token that begins one before it
    assert!(
        scored(&model, &[item("q5", "", &["a", "b"], 0, "")])[0].likelihoods[0].log_likelihood
            < 0.0
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.jsonl");
    let row = |line: &str| std::fs::write(&file, line).unwrap();
    row(
        r#"{"id": "e", "question": "Q?", "choices": {"text": ["a", ""], "label": ["A", "B"]}, "answerKey": "A"}"#,
    );
    assert_refused(
        Benchmark::Arc.read_as(&file, &asked(false)),
        &["rows.jsonl:1", "option 2 is empty"],
    );
    row(
        r#"{"id": "q", "prompt": "Q?", "truth": "a", "check": {"kind": "likelihood", "gold": 3, "options": ["a", "b"]}}"#,
    );
    assert_refused(read_items(&file), &["rows.jsonl:1", "gold is 3"]);
    row(
        r#"{"id": "q", "prompt": "Q?", "truth": "a", "check": {"kind": "likelihood", "gold": 1, "options": ["a", "b"]}}"#,
    );
    let read = read_items(&file).unwrap();
    assert_eq!(read, [Item { truth: "a".into(), ..item("q", "Q?", &["a", "b"], 1, " ") }]);
}

fn call(place: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(["--store", "store"])
        .args(arguments)
        .current_dir(place)
        .output()
        .unwrap()
}

fn works(place: &Path, arguments: &[&str]) -> String {
    let output = call(place, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn choices_on_the_command_line() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let arc = format!("arc={}", rows("arc").display());
    let call_of = |more: &[&str]| -> Vec<String> {
        ["evaluate", "--model", "lab"].iter().chain(more).map(|word| word.to_string()).collect()
    };
    let run = |more: &[&str]| {
        let call = call_of(more);
        works(place, &call.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let fails = |more: &[&str], parts: &[&str]| {
        let words = call_of(more);
        let output = call(place, &words.iter().map(String::as_str).collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{words:?}");
        for part in parts {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
    };
    let table = run(&[
        "--benchmark",
        &arc,
        "--task",
        "choice,word",
        "--limit",
        "3",
        "--choices",
        "acc_norm",
        "--out",
        "out",
    ]);
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
    // nothing is written where options are compared, and nothing compared where an answer is written
    let measures = ["acc", "acc_norm", "acc_bytes"];
    assert!(measures.iter().all(|name| line("task").split_whitespace().any(|word| word == *name)));
    let absent = |name: &str| line(name).matches(" –").count();
    assert_eq!([absent("arc"), absent("choice"), absent("word")], [5, 5, 3], "{table}");
    let files = unforget::samples::files(&place.join("out")).unwrap();
    let sample = std::fs::read_to_string(&files["arc"]).unwrap();
    let first: Value = serde_json::from_str(sample.lines().next().unwrap()).unwrap();
    assert_eq!(first["metrics"], serde_json::json!(["acc_norm", "acc", "acc_bytes"]));
    assert_eq!(first["target"], "1");
    assert_eq!(first["filter"], "none");
    assert_eq!(first["arguments"]["gen_args_3"]["arg_1"], " It stays as it is.");
    assert_eq!(first["filtered_resps"][0][1], "False");
    let logged: f64 = first["filtered_resps"][0][0].as_str().unwrap().parse().unwrap();
    assert!((logged + 94.138908).abs() < NEAR, "{logged}");
    assert_eq!(first["resps"][0][0], first["filtered_resps"][0]);
    assert!(first.get("form").is_none() && first["acc"].is_number(), "{first}");
    // both programs' rows can be compared
    let compared = works(
        place,
        &[
            "compare",
            files["arc"].to_str().unwrap(),
            files["arc"].to_str().unwrap(),
            "--measure",
            "acc",
        ],
    );
    assert!(!compared.is_empty());

    let json: Value = serde_json::from_str(&run(&[
        "--benchmark",
        &arc,
        "--choices",
        "acc",
        "--apply-chat-template",
        "--json",
    ]))
    .unwrap();
    let plain: Value =
        serde_json::from_str(&run(&["--benchmark", &arc, "--choices", "acc", "--json"])).unwrap();
    let of = |all: &Value| all[0][1][0]["likelihoods"][0]["log_likelihood"].as_f64().unwrap();
    assert!((of(&json) + 104.380157).abs() < NEAR && (of(&plain) + 94.138908).abs() < NEAR);

    let mmlu = place.join("mmlu");
    std::fs::create_dir(&mmlu).unwrap();
    std::fs::copy(rows("mmlu"), mmlu.join("test.jsonl")).unwrap();
    fails(&["--benchmark", "mmlu=mmlu", "--choices", "acc", "--num-fewshot", "2"], &["dev"]);
    std::fs::copy(rows("mmlu-dev"), mmlu.join("dev.jsonl")).unwrap();
    let shown =
        run(&["--benchmark", "mmlu=mmlu", "--choices", "acc", "--num-fewshot", "2", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert!((of(&shown) + 2.23009).abs() < NEAR);

    fails(&["--benchmark", &arc, "--choices", "acc", "--num-fewshot", "2"], &["arc", "at random"]);
    fails(&["--task", "word", "--choices", "acc"], &["--choices", "none of these questions"]);
    fails(&["--benchmark", &arc, "--apply-chat-template"], &["--choices"]);
    for of_writing in [["--prompts", "paper"], ["--grading", "paper"], ["--take", "first"]] {
        let call = [&["--benchmark", &arc, "--choices", "acc"][..], &of_writing].concat();
        fails(&call, &[of_writing[0], "written answer"]);
    }
    // items in this form need no option
    works(place, &["items", "--benchmark", &arc, "--choices", "acc", "--out", "arc.jsonl"]);
    let items = read_items(&place.join("arc.jsonl")).unwrap();
    assert!(items.iter().all(|item| item.check.by_likelihood()));
    assert!(run(&["--items", "arc.jsonl"]).contains("acc_bytes"));
    let runs = std::fs::read_dir(place.join("store/evaluate")).unwrap();
    let run_of = runs.last().unwrap().unwrap().file_name();
    let name = format!("evaluate/{}", run_of.to_string_lossy());
    for part in [&[][..], &["--items", "0"]] {
        let verified = call(place, &[&["verify", &name], part].concat());
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

#[test]
fn a_base_model_has_no_chat_template_to_apply() {
    let Some(model) = shared("real/models/stories260k", "a base model") else { return };
    let model = opened(&model);
    let items = Benchmark::Arc.read_as(&rows("arc"), &asked(true)).unwrap();
    let answered = answer(&model, &items, &Sampling::greedy(1), |_| {});
    assert_refused(answered, &["arc/a1", "no chat template"]);
}

#[test]
fn a_recipe_scores_its_questions_with_options() {
    let recipe = |more: &str| {
        Recipe::parse(&format!(
            "non_target = [\"choice\"]\n{more}\n[sizes]\ntrain = 2\nvalidation = 2\ntest = 6\n"
        ))
    };
    let place = tempfile::tempdir().unwrap();
    let cx = context(place.path());
    let mut with = recipe("choices = \"acc\"\napply_chat_template = true").unwrap();
    with.arms.truncate(1);
    let experiment = Experiment::prepare(&cx, &with).unwrap();
    let (target, choice) = (&experiment.test().target.items, &experiment.test().others[0].items);
    assert!(!target[0].check.by_likelihood());
    assert!(choice.iter().all(|item| item.check.by_likelihood()));
    let graded = scored(&opened(&lab().join("model")), choice);
    let golden = reference_json("choices.json");
    for (ours, theirs) in graded.iter().zip(golden["lab/choice/chat"].as_array().unwrap()) {
        assert_eq!(ours.score.value, theirs["acc"].as_f64().unwrap());
    }
    let score = TaskScore::of("choice", &graded);
    assert!(score.items.iter().all(|item| item.form == Form::Kept && item.skill == item.value));
    // what is learned stays as it is written
    assert!(!with.items("choice", "train", 2).unwrap()[0].check.by_likelihood());
    assert_eq!(Recipe::parse(&with.to_toml().unwrap()).unwrap(), with);
    assert!(recipe("apply_chat_template = true").unwrap_err().contains("choices"));
    assert!(recipe("choices = \"letters\"").unwrap_err().contains("acc_norm"));
    let mut without = with.clone();
    without.non_target = vec!["word".into()];
    assert_refused(Experiment::prepare(&cx, &without), &["choices", "none of the recipe's tasks"]);
}
