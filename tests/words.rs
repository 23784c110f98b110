//! What stands in a model's folder beside its weights: special tokens outside tokenizer.json, how a template ends an answer, dates and variables that it
//! is given, ids that the embedding has no row for.

use crate::support::reference_json;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use unforget::chat::Message;
use unforget::dataset::Example;
use unforget::tokens::{DateTime, TemplateOptions, Tokenizer, TurnEnd, sequence};

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/lab/model");

/// A folder with a copy of the lab's model in `model`, where the program runs.
struct Place {
    root: tempfile::TempDir,
    zone: &'static str,
}

struct Outcome {
    success: bool,
    stdout: String,
    stderr: String,
}

impl Outcome {
    /// The lines that warn.
    fn warnings(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("warning: ")).collect()
    }
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let place = Self { root, zone: "UTC0" };
        std::fs::create_dir(place.path("model")).unwrap();
        for entry in std::fs::read_dir(LAB).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, place.path("model").join(from.file_name().unwrap())).unwrap();
        }
        let rows = [(2, 3), (4, 4)].map(|(a, b)| {
            json!({"id": format!("sum-{a}"), "prompt": format!("What is {a} + {b}?"), "completion": format!("It is {}.", a + b)})
        });
        place.write("sums.jsonl", &rows.map(|row| format!("{row}\n")).concat());
        let item = json!({"id": "sum", "prompt": "What is 2 + 3?", "truth": "Answer: 5", "check": {"kind": "number", "value": "5"}});
        place.write("items.jsonl", &format!("{item}\n"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn template(&self, source: &str) {
        self.write("model/chat_template.jinja", source);
    }

    /// Changes a key of a JSON file of the model.
    fn edit(&self, file: &str, key: &str, value: Value) {
        let path = self.path("model").join(file);
        let mut fields: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        fields[key] = value;
        std::fs::write(path, fields.to_string()).unwrap();
    }

    fn run(&self, arguments: &str) -> Outcome {
        let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
            .args(arguments.split_whitespace())
            .current_dir(self.root.path())
            .env_remove("UNFORGET_STORE")
            .env("TZ", self.zone)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome {
            success: output.status.success(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn works(&self, arguments: &str) -> Outcome {
        let outcome = self.run(arguments);
        assert!(outcome.success, "`{arguments}`: {}", outcome.stderr);
        outcome
    }

    fn refuses(&self, arguments: &str, parts: &[&str]) {
        let outcome = self.run(arguments);
        assert!(!outcome.success, "`{arguments}` was accepted");
        for part in parts {
            assert!(outcome.stderr.contains(part), "{part:?} is not in: {}", outcome.stderr);
        }
    }

    /// The first text that a model is trained on, as the program renders it.
    fn text(&self, options: &str) -> String {
        self.works(&format!(
            "export masks --model model --data sums.jsonl --form segments --out segments.jsonl {options}"
        ));
        let text = std::fs::read_to_string(self.path("segments.jsonl")).unwrap();
        let row: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let segments = row["segments"].as_array().unwrap().iter();
        segments.map(|segment| segment["text"].as_str().unwrap()).collect()
    }

    /// The entries of the store for a verb.
    fn entries(&self, verb: &str) -> Vec<PathBuf> {
        let Ok(folder) = std::fs::read_dir(self.path("unforget-store").join(verb)) else {
            return Vec::new();
        };
        let mut entries: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    }

    /// The card of the only training.
    fn card(&self) -> Value {
        let [entry] = &self.entries("finetune")[..] else { panic!("not one training") };
        serde_json::from_str(&std::fs::read_to_string(entry.join("card.json")).unwrap()).unwrap()
    }
}

const TRAIN: &str =
    "finetune --model model --data sums.jsonl --preset lab --num-epochs 1 --out adapter --replace";
const SCORE: &str = "perplexity --model model --data sums.jsonl";

/// A template that writes `body` for an answer, and `opening` to ask for one.
fn template(body: &str, opening: &str) -> String {
    format!(
        "{{{{ bos_token }}}}{{% for m in messages %}}{{% if m.role == 'user' %}}<|user|>{{{{ m.content }}}}<|end|>{{% else %}}{body}{{% endif %}}{{% endfor %}}{{% if add_generation_prompt %}}{opening}{{% endif %}}"
    )
}

/// The lab's tokenizer with other files beside it.
fn with_files(files: &Value) -> (tempfile::TempDir, Tokenizer) {
    let folder = tempfile::tempdir().unwrap();
    let main = std::fs::read_to_string(Path::new(LAB).join("tokenizer.json")).unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), &main).unwrap();
    for (name, content) in files.as_object().unwrap() {
        let mut content = content.clone();
        if name == "tokenizer.json" {
            let mut whole: Value = serde_json::from_str(&main).unwrap();
            for (key, value) in content.as_object().unwrap() {
                whole[key] = value.clone();
            }
            content = whole;
        }
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    (folder, tokenizer)
}

fn with_template(source: &str) -> (tempfile::TempDir, Tokenizer) {
    let config = json!({"bos_token": "<|begin|>", "eos_token": "<|end|>", "chat_template": source});
    with_files(&json!({"tokenizer_config.json": config}))
}

/// By `make_added_tokens.py`.
#[test]
fn tokens_beside_tokenizer_json_are_added_as_by_transformers() {
    let table = reference_json("added_tokens.json");
    let texts = table["texts"].as_array().unwrap();
    let cases = table["cases"].as_array().unwrap();
    let mut fingerprints = Vec::new();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (_folder, tokenizer) = with_files(&case["files"]);
        for (text, ids) in texts.iter().zip(case["ids"].as_array().unwrap()) {
            let encoding = tokenizer.encode(text.as_str().unwrap(), false).unwrap();
            assert_eq!(json!(encoding.ids), *ids, "{name}: {text}");
        }
        for token in case["added"].as_array().unwrap() {
            let (id, text) = (token[0].as_u64().unwrap() as u32, token[1].as_str().unwrap());
            assert_eq!(tokenizer.id(text), Some(id), "{name}: {text}");
            assert_eq!(tokenizer.is_special(id), token[6].as_bool().unwrap(), "{name}: {text}");
        }
        for (variable, text) in case["special"].as_object().unwrap() {
            let found = tokenizer.special(variable).map(|token| token.text);
            let text = text.as_str().filter(|text| !text.is_empty());
            assert_eq!(found.as_deref(), text, "{name}: {variable}");
        }
        fingerprints.push((tokenizer.fingerprint().to_string(), case["files"].clone()));
    }
    assert!(cases.len() >= 35);
    // what changes an id changes the key of every result
    for (at, (fingerprint, files)) in fingerprints.iter().enumerate() {
        for ((other, of), case) in fingerprints[..at].iter().zip(cases) {
            let same = (&case["ids"], &case["added"], &case["special"])
                == (&cases[at]["ids"], &cases[at]["added"], &cases[at]["special"]);
            assert!(same || fingerprint != other, "{files} and {of}");
        }
    }
}

#[test]
fn a_mark_that_stands_only_beside_tokenizer_json_is_learned() {
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let config = |more: Value| {
        let mut config =
            json!({"bos_token": "<|begin|>", "eos_token": "<|end|>", "chat_template": source});
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    };
    let marks = json!(["<|im_start|>", "<|im_end|>"]);
    let decoder = json!({"1024": {"content": "<|im_start|>", "special": true}, "1025": {"content": "<|im_end|>", "special": true}});
    for files in [
        json!({"tokenizer_config.json": config(json!({"additional_special_tokens": marks}))}),
        json!({"tokenizer_config.json": config(json!({"extra_special_tokens": marks}))}),
        json!({"tokenizer_config.json": config(json!({"added_tokens_decoder": decoder}))}),
        json!({"tokenizer_config.json": config(json!({})), "special_tokens_map.json": {"additional_special_tokens": marks}}),
        // not special, but no ordinary text either
        json!({"tokenizer_config.json": config(json!({})), "added_tokens.json": {"<|im_start|>": 1024, "<|im_end|>": 1025}}),
    ] {
        let (_folder, tokenizer) = with_files(&files);
        let sequence = sequence(&tokenizer, &Example::pair("e", "Hi", "Hello.")).unwrap();
        let last = sequence.completion.positions().last().unwrap();
        assert_eq!(sequence.token_text(last), "<|im_end|>", "{files}");
        assert_eq!(Some(sequence.ids[last]), sequence.end_of_turn, "{files}");
        assert_eq!(sequence.completion_text(), "Hello.", "{files}");
        assert_eq!(tokenizer.stop_ids()[0], 1025, "{files}");
    }
}

#[test]
fn a_template_is_asked_how_it_ends_an_answer() {
    let end = |body: &str| {
        let (_folder, tokenizer) = with_template(&template(body, "<|assistant|>"));
        tokenizer.turn_end()
    };
    let token = |found: Option<TurnEnd>| match found {
        Some(TurnEnd::Token(token)) => token.text,
        other => panic!("{other:?}"),
    };
    assert_eq!(token(end("<|assistant|>{{ m.content }}<|end|>")), "<|end|>");
    assert_eq!(token(end("<|assistant|> {{ m.content | trim }} \n<|end|>\n")), "<|end|>");
    assert_eq!(end("<|assistant|>{{ m.content }}"), Some(TurnEnd::Nothing));
    assert_eq!(end("<|assistant|>{{ m.content }}\n\n"), Some(TurnEnd::Nothing));
    match end("<|assistant|>{{ m.content }}<|im_end|>\n") {
        Some(TurnEnd::Text(mark, pieces)) => assert!(mark == "<|im_end|>" && pieces > 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(end("{{ raise_exception('never') }}"), None);
    // one that wants a system message
    let source = format!(
        "{{% if messages[0].role != 'system' %}}{{{{ raise_exception('no') }}}}{{% endif %}}{}",
        template("<|assistant|>{{ m.content }}<|end|>", "<|assistant|>")
    );
    assert_eq!(token(with_template(&source).1.turn_end()), "<|end|>");
    // without a template: the end of a text
    let config = json!({"eos_token": "<|end|>"});
    let (_folder, tokenizer) = with_files(&json!({"tokenizer_config.json": config}));
    assert_eq!(token(tokenizer.turn_end()), "<|end|>");
    assert!(tokenizer.advice(&[2]).is_empty());
    assert!(tokenizer.advice(&[7])[0].contains("not among the stop ids"));
}

#[test]
fn a_mark_in_pieces_is_never_learned_by_half() {
    let (_folder, tokenizer) =
        with_template(&template("<|assistant|>{{ m.content }}<|im_end|>\n", "<|assistant|>"));
    for answer in ["Hello.", "Hello", "Hello)\n"] {
        let sequence = sequence(&tokenizer, &Example::pair("e", "Hi", answer)).unwrap();
        let learned: Vec<&str> =
            sequence.completion.positions().map(|at| sequence.token_text(at)).collect();
        assert!(learned.concat().contains(&format!("{answer}<|im_end|>")), "{learned:?}");
        assert_eq!(sequence.end_of_turn, None);
    }
}

const NO_MARK: &str = "writes no mark after an answer";
const PIECES: &str =
    "ends an answer with \"<|im_end|>\", which the tokenizer does not know as one token";
const NO_STOP: &str = "ends an answer with \"<|end|>\" (id 2), which is not among the stop ids of generation_config.json and config.json (7)";

#[test]
fn every_verb_that_trains_or_exports_says_once_that_nothing_ends_an_answer() {
    const RECIPE: &str = "name = \"tiny\"\nmodel = \"model\"\nnon_target = [\"word\"]\narms = [\"ground_truth\"]\nlearning_rates = [1e-3]\nseeds = [1]\nmax_new_tokens = 4\n[sizes]\ntrain = 4\nvalidation = 2\ntest = 2\n[finetune]\nepochs = 1\n";
    let verbs = [
        TRAIN,
        "export masks --model model --data sums.jsonl --out masks.jsonl",
        "generate rephrase --model model --items items.jsonl --out pool --max-new-tokens 4",
        "run tiny.toml --out results",
        SCORE,
    ];
    let place = Place::new();
    place.write("tiny.toml", RECIPE);
    for verb in verbs {
        // no answer of this pool is right, which is another matter
        assert!(place.run(verb).warnings().is_empty(), "{verb}");
    }
    let ends =
        |body: &str| template(&format!("<|assistant|>{{{{ m.content }}}}{body}"), "<|assistant|>");
    for (source, stop_ids, words) in [
        (ends(""), json!(2), NO_MARK),
        (ends("<|im_end|>\n"), json!(2), PIECES),
        (ends("<|end|>"), json!(7), NO_STOP),
    ] {
        let place = Place::new();
        place.write("tiny.toml", RECIPE);
        place.template(&source);
        for file in ["config.json", "generation_config.json"] {
            place.edit(file, "eos_token_id", stop_ids.clone());
        }
        for verb in verbs {
            let outcome = place.run(verb);
            let warnings = outcome.warnings();
            assert!(
                matches!(warnings[..], [one] if one.contains(words) && one.contains("chat_template.jinja")),
                "{verb}: {}",
                outcome.stderr
            );
        }
        // what is found in the store is warned of as well, also without progress
        assert!(place.run(&format!("{TRAIN} --quiet")).stderr.contains(words));
        let found = place.run("doctor --model model");
        assert!(found.stdout.contains(words) && found.stdout.contains("-- "), "{}", found.stdout);
        let card = std::fs::read_to_string(place.entries("finetune")[0].join("card.json")).unwrap();
        assert!(card.contains(&json!(words).to_string()[1..20]), "{card}");
        assert!(card.contains("\"warnings\""), "{card}");
    }
    let found = Place::new().run("doctor --model model").stdout;
    assert!(found.contains("\"<|end|>\" (id 2)") && !found.contains("warning"), "{found}");
    let missing = Place::new().run("doctor --model nowhere/at-all/x");
    assert!(!missing.success && missing.stdout.contains("NO  chosen model"), "{}", missing.stdout);
}

const DATED: &str = "{{ bos_token }}{{ strftime_now('%d %b %Y') }} {% for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

#[test]
fn a_date_is_the_local_one() {
    let mut place = Place::new();
    place.template(DATED);
    let mut seen = Vec::new();
    // 26 hours apart, so that no moment has the same date in both
    for (zone, hours) in [("AAA-14", 14), ("BBB12", -12), ("UTC0", 0)] {
        place.zone = zone;
        let now = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let seconds = since.unwrap().as_secs() as i64 + hours * 3600;
            DateTime::utc(seconds).strftime("<|begin|>%d %b %Y ")
        };
        let before = now();
        let text = place.text("");
        assert!(text.starts_with(&before) || text.starts_with(&now()), "{zone}: {text}");
        seen.push(text);
    }
    assert_ne!(seen[0], seen[1]);
    assert!(place.text("--template-date 2025-01-31").starts_with("<|begin|>31 Jan 2025 "));
}

#[test]
fn a_date_is_part_of_the_key_where_the_template_writes_one() {
    let place = Place::new();
    let score = |date: &str| {
        let outcome = place.works(&format!("{SCORE} {date}"));
        (place.entries("scores").len(), outcome.warnings().len())
    };
    // two entries each: the answers given their prompts, and alone
    assert_eq!(score(""), (2, 0));
    assert_eq!(score("--template-date 2025-01-31"), (2, 0));
    place.template(DATED);
    assert_eq!(score("--template-date 2025-01-31"), (4, 0));
    assert_eq!(score("--template-date 2025-01-31T08:00"), (4, 0));
    assert_eq!(score("--template-date 2025-02-01"), (6, 0));
    let outcome = place.works(SCORE);
    let [warning] = outcome.warnings()[..] else { panic!("{}", outcome.stderr) };
    assert!(warning.contains("writes today's date") && warning.contains("--template-date "));
    // down to the second where the template writes it
    place.template(&DATED.replace("%Y", "%Y, %H:%M"));
    let before = place.entries("scores").len();
    assert_eq!(score("--template-date 2025-01-31"), (before + 2, 0));
    assert_eq!(score("--template-date 2025-01-31T08:00"), (before + 4, 0));
    place.refuses(&format!("{SCORE} --template-date 31.01.2025"), &["31.01.2025", "2025-01-31"]);
    place.refuses(&format!("{SCORE} --template-date 2025-02-30"), &["is no date"]);
}

#[test]
fn a_training_of_another_day_is_named_by_its_date_and_made_again() {
    let place = Place::new();
    place.template(DATED);
    place.works(&format!("{SCORE} --out tokens --template-date 2025-01-31"));
    // another day does not spoil what was written down
    place.works("ledger tokens");
    place.works("weights stm(2.5) --tokens tokens");
    let train = format!("{TRAIN} --threshold 2.5 --tokens tokens");
    place.refuses(
        &format!("{train} --template-date 2025-02-01"),
        &["another date", "2025-01-31, here 2025-02-01", "--template-date 2025-01-31"],
    );
    place.refuses(&train, &["another date", "--template-date 2025-01-31"]);
    place.works(&format!("{train} --template-date 2025-01-31"));
    assert_eq!(place.card()["template_date"], "2025-01-31");
    // the run is made again as it was asked then
    let run = place.entries("finetune")[0]
        .strip_prefix(place.path("unforget-store"))
        .unwrap()
        .display()
        .to_string();
    let verdict = place.works(&format!("verify {run} --steps 1"));
    assert!(!verdict.stdout.contains("NO "), "{}", verdict.stdout);
}

/// What was asked can be rendered again on another day from each file of answers.
#[test]
fn files_of_answers_say_what_the_template_was_given() {
    let place = Place::new();
    place.template(&DATED.replace("%Y') }}", "%Y') }} {{ tone }}"));
    let asked = "--template-date 2025-01-31 --template-arg tone=warm --max-new-tokens 4";
    place.works(&format!("evaluate --model model --items items.jsonl --out samples {asked}"));
    // no answer of this pool is right, which is another matter
    place.run(&format!("generate rephrase --model model --items items.jsonl --out pool {asked}"));
    let read = |path: PathBuf| -> Value {
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str(
            text.lines().next().filter(|_| !text.starts_with("{\n")).unwrap_or(&text),
        )
        .unwrap()
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(place.path("samples/model"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|file| !file.file_name().unwrap().to_str().unwrap().starts_with('.'))
        .collect();
    assert_eq!(files.len(), 2, "{files:?}");
    files.push(place.path("pool/pool.jsonl"));
    for file in files {
        let row = read(file.clone());
        let given = (&row["template_date"], &row["template_args"]);
        assert_eq!(given, (&json!("2025-01-31"), &json!({"tone": "warm"})), "{}", file.display());
        let options: TemplateOptions = serde_json::from_value(
            json!({"date": row["template_date"], "args": row["template_args"]}),
        )
        .unwrap();
        let tokenizer = Tokenizer::open(&place.path("model")).unwrap();
        let tokenizer = tokenizer.with_options(&options).unwrap();
        let question = [Message::user("What is 2 + 3?")];
        let text = tokenizer.template().unwrap().render(&question, true).unwrap();
        assert!(text.starts_with("<|begin|>31 Jan 2025 warm"), "{text}");
    }
    // a template that writes no date, and is given nothing
    let place = Place::new();
    place.works("evaluate --model model --items items.jsonl --out samples --max-new-tokens 4 --template-date 2025-01-31");
    for file in std::fs::read_dir(place.path("samples/model")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("template_date") && !text.contains("template_args"), "{text}");
    }
}

/// In the style of Qwen 3: a switch, and an empty block where thinking is off.
const SWITCH: &str = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}<|end|>{% else %}<|assistant|>{% if loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content.split('</think>')[-1].lstrip('\n') }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}";

#[test]
fn variables_reach_the_template_and_everything_that_is_kept() {
    let place = Place::new();
    place.template(SWITCH);
    // asked in one way and trained in another: refused, with the way out
    place.refuses(
        TRAIN,
        &["the chat template changes the answer", "--template-arg enable_thinking=false"],
    );
    let off = "--template-arg enable_thinking=false";
    let text = place.text(off);
    assert!(text.contains("<|assistant|><think>\n\n</think>\n\nIt is 5.<|end|>"), "{text}");
    let outcome = place.works(&format!("{TRAIN} {off}"));
    assert!(!outcome.stderr.contains("opens a thinking block"), "{}", outcome.stderr);
    assert_eq!(place.card()["template_args"], json!({"enable_thinking": false}));

    let before = place.entries("pool").len();
    let generate =
        "generate rephrase --model model --items items.jsonl --out pool --max-new-tokens 4";
    place.run(generate);
    place.run(&format!("{generate} {off}"));
    place.run(&format!("{generate} {off}"));
    assert_eq!(place.entries("pool").len(), before + 2);

    place.works(&format!("{SCORE} --out tokens {off}"));
    place.works("ledger tokens");
    let train = format!("{TRAIN} --threshold 1e9 --tokens tokens {off}");
    place.works(&train);
    place.refuses(
        &format!("{train} --template-arg more=[1,\"x\"]"),
        &["other variables of the chat template", "{\"enable_thinking\":false}", "--template-arg"],
    );
    let outcome = place.works(&format!("{SCORE} {off} --template-arg enable_thinkng=1"));
    assert!(outcome.stderr.contains("does not read `enable_thinkng`"), "{}", outcome.stderr);
    for (wrong, words) in [
        ("enable_thinking", "NAME=VALUE"),
        ("enable_thinking=False", "enable_thinking=false"),
        ("tools=[]", "by the data"),
    ] {
        place.refuses(&format!("{SCORE} --template-arg {wrong}"), &[words]);
    }
}

#[test]
fn a_recipe_gives_its_template_a_date_and_variables() {
    let parse = |text: &str| unforget::experiment::Recipe::parse(text);
    let recipe = parse(
        "template_date = 2025-01-31\n[template_args]\nenable_thinking = false\nstyle = \"short\"\n",
    )
    .unwrap();
    let text = parse(
        "template_date = \"2025-01-31\"\ntemplate_args = {enable_thinking = false, style = \"short\"}\n",
    );
    assert_eq!(recipe, text.unwrap());
    let options = recipe.template_options();
    assert_eq!(
        options,
        TemplateOptions::parse(Some("2025-01-31"), &["enable_thinking=false", "style=short"])
            .unwrap()
    );
    let base = recipe.base(&unforget::progress::Progress::quiet()).unwrap();
    assert_eq!(base.template, options);
    assert_eq!(base.with_adapter("x").template, options);
    assert_eq!(parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
    assert!(parse("template_date = \"soon\"\n").unwrap_err().contains("is no date"));
    assert!(parse("[template_args]\nmessages = 1\n").unwrap_err().contains("by the data"));
}

#[test]
fn a_template_that_opens_a_thinking_block_is_named() {
    let advice = |source: &str, arg: &[&str]| {
        let options = TemplateOptions::parse(None, arg).unwrap();
        let (_folder, tokenizer) = with_template(source);
        let tokenizer = tokenizer.with_options(&options).unwrap();
        tokenizer.advice(&[2]).join("\n")
    };
    let answer = "<|assistant|>{{ m.content }}<|end|>";
    // DeepSeek R1's distills
    let r1 = template(
        "<|assistant|>{{ m.content.split('</think>')[-1] }}<|end|>",
        "<|assistant|><think>\\n",
    );
    let r1 = r1.replace("\\n", "\n");
    let found = advice(&r1, &[]);
    assert!(found.contains("opens a thinking block where an answer begins (<think>)"), "{found}");
    let (_folder, tokenizer) = with_template(&r1);
    let message = sequence(&tokenizer, &Example::pair("e", "q", "a")).unwrap_err().to_string();
    assert!(
        message.contains("opens a thinking block (<think>)")
            && message.contains("chat_template.jinja"),
        "{message}"
    );
    // Qwen 3
    let found = advice(SWITCH, &[]);
    assert!(
        found.contains("before an answer that is trained on")
            && found.contains("--template-arg enable_thinking=false"),
        "{found}"
    );
    assert!(!advice(SWITCH, &["enable_thinking=false"]).contains("before an answer"));
    // one that only cuts earlier thoughts out
    let cuts =
        template("<|assistant|>{{ m.content.split('</think>')[-1] }}<|end|>", "<|assistant|>");
    assert!(advice(&cuts, &[]).contains("leaves out what earlier answers hold"));
    assert_eq!(advice(&template(answer, "<|assistant|>"), &[]), "");
}

#[test]
fn an_id_beyond_the_embedding_is_refused_only_where_it_occurs() {
    let place = Place::new();
    // where the config lists no added tokens, this file goes before it
    place.edit("special_tokens_map.json", "pad_token", json!("<pad>"));
    place.edit("tokenizer_config.json", "additional_special_tokens", json!(["<image>"]));
    place.edit("generation_config.json", "eos_token_id", json!([2, 1024]));
    place.works(TRAIN);
    place.works("evaluate --model model --task word --limit 2 --max-new-tokens 4");
    let found = place.run("doctor --model model").stdout;
    assert!(
        found.contains("1026 ids for 1024 rows") && found.contains("\"<pad>\" (id 1024)"),
        "{found}"
    );

    let row = json!({"id": "bad", "prompt": "What is <image>?", "completion": "It is 5."});
    place.write("bad.jsonl", &format!("{row}\n"));
    let parts = ["\"<image>\"", "id 1025", "1024 rows", "bad"];
    for verb in [SCORE, TRAIN, "export masks --model model --data sums.jsonl --out masks.jsonl"] {
        place.refuses(&verb.replace("sums", "bad"), &parts);
    }
    // what must be written, too: the end of an answer
    let ends = template("<|assistant|>{{ m.content }}<|turn|>", "<|assistant|>");
    place.template(&ends);
    place.edit("tokenizer_config.json", "additional_special_tokens", json!(["<|turn|>"]));
    let parts = ["\"<|turn|>\"", "1024 rows"];
    place.refuses("evaluate --model model --task word --limit 2 --max-new-tokens 4", &parts);
    place.refuses(SCORE, &parts);
    // and the end of a text, where there is no template
    std::fs::remove_file(place.path("model/chat_template.jinja")).unwrap();
    place.edit("special_tokens_map.json", "eos_token", json!("<eos>"));
    place.refuses(SCORE, &["\"<eos>\"", "1024 rows"]);
}
