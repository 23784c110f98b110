//! What a person sees who sits at a terminal: tables and progress as wide as it is, colors, what Ctrl-C says, and what is said before something of
//! theirs is replaced or spoilt.
#![cfg(unix)]

use crate::cli::{Place, items, sums};
use crate::support::killed_at;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A terminal with a program in it.
struct Terminal {
    screen: File,
    child: Child,
    seen: String,
}

impl Terminal {
    fn of(mut command: Command, columns: u16) -> Self {
        let (mut ours, mut theirs) = (-1, -1);
        let mut size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: all are places to write to or null, as openpty takes them.
        let opened = unsafe {
            let null = std::ptr::null_mut();
            libc::openpty(
                &mut ours,
                &mut theirs,
                null,
                std::ptr::null_mut(),
                std::ptr::from_mut(&mut size),
            )
        };
        assert_eq!(opened, 0, "no terminal: {}", std::io::Error::last_os_error());
        // SAFETY: openpty has just opened both, and nobody else has them.
        let (screen, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        let child = command
            .env("TERM", "xterm-256color")
            .env_remove("COLUMNS")
            .stdin(Stdio::null())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        // the command holds the terminal's other end, too
        drop(command);
        Self { screen, child, seen: String::new() }
    }

    /// Reads until `text` was written, or to the end.
    fn until(&mut self, text: Option<&str>) -> &str {
        let started = Instant::now();
        let mut bytes = [0; 4096];
        while text.is_none_or(|text| !self.seen.contains(text)) {
            assert!(started.elapsed() < Duration::from_secs(300), "{text:?} in: {}", self.seen);
            match self.screen.read(&mut bytes) {
                // the other end is closed
                Ok(0) | Err(_) => break,
                Ok(count) => self.seen += &String::from_utf8_lossy(&bytes[..count]),
            }
        }
        if let Some(text) = text {
            assert!(self.seen.contains(text), "`{text}` is not in: {}", self.seen);
        }
        &self.seen
    }

    /// All that was written, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        self.until(None);
        (self.seen, self.child.wait().unwrap().code())
    }

    fn interrupt(&self) {
        // SAFETY: a signal to a child that was not waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGINT) };
    }
}

/// The lines without what only steers a terminal.
fn lines(text: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                // a line that is erased is drawn again, too
                if chars.by_ref().find(|c| c.is_ascii_alphabetic()) == Some('K') {
                    plain.push('\n');
                }
            }
            // a line that is drawn again
            '\r' => plain.push('\n'),
            c => plain.push(c),
        }
    }
    plain.lines().map(str::to_owned).collect()
}

fn widest(text: &str) -> usize {
    lines(text).iter().map(|line| line.chars().count()).max().unwrap_or(0)
}

fn with_sums() -> Place {
    let place = Place::new();
    place.write_rows("sums.jsonl", &sums());
    place.write_rows("items.jsonl", &items());
    place
}

fn in_terminal(place: &Place, call: &str, columns: u16) -> String {
    let (seen, code) = Terminal::of(place.command(call), columns).end();
    assert_eq!(code, Some(0), "{call}: {seen}");
    seen
}

const EVALUATE: &str = "evaluate --model model --items items.jsonl --max-new-tokens 4";
const TRAIN: &str = "finetune --model model --data sums.jsonl --preset lab --num-epochs 1";

#[test]
fn tables_are_as_wide_as_the_terminal_and_whole_in_a_pipe() {
    let place = with_sums();
    place.works(&format!("{EVALUATE} --out one"));
    place.works(
        &format!("{EVALUATE} --out two --max-new-tokens 3").replace(" --max-new-tokens 4", ""),
    );
    let call = "compare one two";
    let piped = place.works(call).stdout;
    assert!(piped.contains("n equal") && !piped.contains('\u{1b}') && widest(&piped) > 80);
    for columns in [60, 80] {
        let seen = in_terminal(&place, call, columns);
        assert!(widest(&seen) <= usize::from(columns), "{seen}");
        for part in ["points", "columns left out: ", "--wide"] {
            assert!(seen.contains(part), "{part} is not in: {seen}");
        }
    }
    // a wide one shows all, as --wide does on any; COLUMNS is believed in a pipe, too
    let wide = in_terminal(&place, call, 200);
    assert!(wide.contains("n equal") && !wide.contains("left out"), "{wide}");
    let all = lines(&in_terminal(&place, &format!("{call} --wide --color never"), 80)).join("\n");
    assert_eq!(all.replace("\n\n", "\n").trim_end(), piped.trim_end());
    let narrow = place.command(call).env("COLUMNS", "70").output().unwrap().stdout;
    let narrow = String::from_utf8(narrow).unwrap();
    assert!(widest(&narrow) <= 70 && narrow.contains("columns left out"), "{narrow}");
    // a table without rules, too
    for columns in [40, 80] {
        let seen = in_terminal(&place, EVALUATE, columns);
        assert!(widest(&seen) <= usize::from(columns), "{seen}");
    }
}

#[test]
fn colors_are_for_terminals_and_for_whoever_asks() {
    let place = with_sums();
    place.works(&format!("{EVALUATE} --out one"));
    let call = "compare one one";
    let colored = |text: &str| text.contains("\u{1b}[1m") && text.contains("\u{1b}[0m");
    assert!(colored(&in_terminal(&place, call, 80)));
    assert!(!colored(&in_terminal(&place, &format!("{call} --color never"), 80)));
    assert!(colored(&place.works(&format!("{call} --color always")).stdout));
    assert!(!colored(&place.works(call).stdout));
    let mut command = place.command(call);
    command.env("NO_COLOR", "1");
    assert!(!colored(&Terminal::of(command, 80).end().0));
    // help, which is wrapped as well
    for call in ["--help", "finetune --help", "evaluate --help"] {
        let help = in_terminal(&place, call, 80);
        assert!(colored(&help) && widest(&help) <= 80, "{help}");
        assert!(!in_terminal(&place, &format!("{call} --color never"), 80).contains('\u{1b}'));
        assert!(!place.works(call).stdout.contains('\u{1b}'), "{call}");
    }
}

#[test]
fn an_interrupt_saves_the_work_and_says_how_to_resume() {
    let place = with_sums();
    let call =
        "finetune --model model --data sums.jsonl --preset lab --max-steps 100000 --out long";
    let mut terminal = Terminal::of(place.command(call), 70);
    terminal.until(Some("loss "));
    terminal.interrupt();
    let (seen, code) = terminal.end();
    assert_eq!(code, Some(130), "{seen}");
    assert!(seen.contains("the same command resumes"), "{seen}");
    assert!(widest(&seen) <= 70, "{seen}");
    assert!(!seen.contains("0s left") && !seen.contains(" 0 s left"), "{seen}");
    assert!(!place.path("long").exists());
    let store = place.path("unforget-store");
    let found = found_below(&store, "checkpoint");
    assert!(found, "no checkpoint below {store:?}");
}

fn found_below(folder: &std::path::Path, name: &str) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let path = entry.path();
        entry.file_name().to_string_lossy().contains(name)
            || (path.is_dir() && found_below(&path, name))
    })
}

#[test]
fn an_adapter_of_another_call_is_not_replaced_without_a_word() {
    let place = with_sums();
    place.works(&format!("{TRAIN} --out adapter"));
    let weights = || std::fs::read(place.path("adapter/adapter_model.safetensors")).unwrap();
    let before = weights();
    // the same call, however it is spelled
    assert_eq!(place.works(&format!("{TRAIN} --out adapter")).stderr, "");
    place.works(&format!("{TRAIN} --learning-rate 1e-3 --out ./adapter"));
    for (call, parts) in [
        (format!("{TRAIN} --lr 2e-3 --out adapter"), ["config.learning_rate", "--replace"]),
        (format!("{TRAIN} --threshold 1000 --out adapter"), ["weights.rule", "--replace"]),
        (format!("{TRAIN} --limit 2 --out adapter"), ["data.count", "--replace"]),
        (
            "export lora --model model --adapter other --out adapter".into(),
            ["earlier", "--replace"],
        ),
    ] {
        place.works(&format!("{TRAIN} --out other --rank 2 --replace"));
        place.refuses(&call, &parts);
        assert_eq!(weights(), before, "{call}");
    }
    let said = place.works(&format!("{TRAIN} --lr 2e-3 --out adapter --replace")).stderr;
    assert!(said.contains("adapter: the earlier result is replaced"), "{said}");
    assert!(said.contains("config.learning_rate: 0.001 → 0.002"), "{said}");
    assert_ne!(weights(), before);
}

#[test]
fn a_training_that_diverges_says_so_and_its_card_does() {
    let place = with_sums();
    let call = format!("{TRAIN} --learning-rate 20 --warmup-steps 0 --out wild");
    let outcome = place.works(&call);
    assert!(outcome.stderr.contains("warning: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("diverged"), "{}", outcome.stderr);
    // from the store as well
    let printed = place.json(&call);
    assert!(printed["relative_weight_change"].as_f64().unwrap() > 1.0, "{printed}");
    assert!(printed["warnings"][0].as_str().unwrap().contains("diverged"), "{printed}");
    let card = place.json("card finetune/sums");
    assert!(card["warnings"].to_string().contains("diverged"), "{}", card["warnings"]);
    let tame = place.json(&format!("{TRAIN} --out tame"));
    assert_eq!(tame["warnings"], Value::Null);
}

#[test]
fn a_name_that_is_not_there_brings_those_that_are_and_the_nearest() {
    let place = with_sums();
    for (call, parts) in [
        ("evaluate --model model --task coode", ["algebra", "did you mean `code`?"]),
        ("evaluate --model model --tasks items.jsonl", ["--task", "--items"]),
        ("evaluate --model lab --task code --split tset", ["train", "did you mean `test`?"]),
        ("evaluate --model model --benchmark gsm8", ["mbpp", "did you mean `gsm8k`?"]),
        ("lab --target algbra", ["code", "did you mean `algebra`?"]),
        (
            "finetune --model model --data sums.jsonl --out new --probe wrod=lab",
            ["algebra", "did you mean `word`?"],
        ),
    ] {
        place.refuses(call, &parts);
    }
}

#[test]
fn habits_from_other_trainers_are_options_or_tips() {
    let place = with_sums();
    let printed = place.json(
        "train --model_name_or_path model --train-file sums.jsonl --preset lab --lr 2e-3 --num_train_epochs 1 --per-device-train-batch-size 2 \
         --lora_r 2 --lora-alpha 4 --lora_dropout 0 --output_dir habits",
    );
    let config = &printed["config"];
    assert_eq!(config["learning_rate"], 2e-3);
    assert_eq!((&config["num_epochs"], &config["batch_size"]), (&json!(1), &json!(2)));
    assert_eq!(config["method"]["lora"]["rank"], 2);
    for (option, tip) in [
        ("--warmup_ratio 0.1", "--warmup-steps"),
        ("--gradient-accumulation-steps=4", "--batch-size"),
        ("--bf16", "--precision"),
    ] {
        let refused = place.run(&format!("{TRAIN} --out x {option}"));
        assert!(!refused.success && refused.stderr.contains(tip), "{option}: {}", refused.stderr);
    }
}

#[test]
fn a_training_ends_after_so_many_steps_and_resumes_on_the_way() {
    let place = with_sums();
    let call = "finetune --model model --data sums.jsonl --preset lab --batch-size 2 --warmup-steps 1 --max-steps 5";
    let whole = place.json(&format!("{call} --out whole"));
    assert_eq!((&whole["steps"], &whole["config"]["max_steps"]), (&json!(5), &json!(5)));
    let resumed = format!("{call} --out resumed --store other");
    killed_at(place.command(&resumed), "step 3");
    assert_eq!(place.json(&resumed)["losses"], whole["losses"]);
    // the schedule goes over these steps: another number of them is another training
    let longer = place.json(&format!("{call} --out longer").replace("-steps 5", "-steps 6"));
    assert_ne!(longer["losses"][4], whole["losses"][4]);
    let refused = place.run(&format!("{call} --num-epochs 2 --out x"));
    assert!(!refused.success && refused.stderr.contains("--num-epochs"), "{}", refused.stderr);
    place.refuses(&format!("{call} --out x").replace("-steps 5", "-steps 0"), &["max_steps"]);
}

#[test]
fn questions_longer_than_the_context_are_refused_dropped_or_cut() {
    let place = with_sums();
    let mut rows = items();
    let long = format!("{}What is 2 + 3?", "x 7 ".repeat(400));
    rows[1]["prompt"] = json!(long);
    place.write_rows("long.jsonl", &rows);
    let call = EVALUATE.replace("items.jsonl", "long.jsonl");
    place.refuses(&call, &["long", "sum-1", "--too-long", "1 of 4"]);
    let said = place.works(&format!("{call} --too-long drop --json"));
    let graded: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(graded[0][1].as_array().unwrap().len(), 3);
    assert!(said.stderr.contains("sum-1") && said.stderr.contains("left out"), "{}", said.stderr);
    let said = place.works(&format!("{call} --too-long truncate --json --out cut"));
    let graded: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(graded[0][1].as_array().unwrap().len(), 4);
    assert!(said.stderr.contains("lose their beginning"), "{}", said.stderr);
}

#[test]
fn bare_text_is_scored_and_a_mean_that_few_make_is_named() {
    let place = with_sums();
    let texts = ["What is 2 + 3?", "Answer: 5", "Solve 3x + 4 = 10 for x."];
    let rows: Vec<Value> = texts.iter().map(|text| json!({"text": text})).collect();
    place.write_rows("texts.jsonl", &rows);
    place.write("words.txt", texts[2]);
    let of_rows = place.json("perplexity --model model --data texts.jsonl");
    assert_eq!(of_rows["examples"], 3);
    let spread = &of_rows["spread_given_prompt"];
    assert!(spread["median"].as_f64().unwrap() > 1.0, "{spread}");
    assert_eq!(place.json("perplexity --model model --data words.txt")["examples"], 1);
    let text = place.works("perplexity --model model --data texts.jsonl").stdout;
    assert!(text.contains("median") && text.contains("95 %"), "{text}");
}
