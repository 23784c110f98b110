//! Ledgers on disk: written by scoring, queried over many files, refused when they are stale; and ten million tokens of them.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use unforget::context::Context;
use unforget::dataset::{Example, read_items};
use unforget::experiment::{Experiment, Recipe};
use unforget::ledger::{self, Ledger, Origin, Rows, Tally};
use unforget::model::{Checkpoint, DeviceChoice};
use unforget::perplexity::TokenScores;
use unforget::progress::Progress;
use unforget::rng::Rng;
use unforget::scored::Scored;
use unforget::select::{LossMask, TokenClass};
use unforget::store::Store;
use unforget::tokens::{Form, Sequence, sequence};

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/lab")
}

fn context(folder: &Path) -> Context {
    let store = Store::open(folder.join("store")).unwrap();
    Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap()
}

/// Calls the program in `folder`; its output, or what it says on failing.
fn call(folder: &Path, arguments: &str) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env_remove("UNFORGET_STORE")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// A copy of the lab's model and the first of its code answers.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("model")).unwrap();
    for entry in std::fs::read_dir(lab().join("model")).unwrap() {
        let from = entry.unwrap().path();
        if from.is_file() {
            std::fs::copy(&from, place.path().join("model").join(from.file_name().unwrap()))
                .unwrap();
        }
    }
    let all = std::fs::read_to_string(lab().join("code/train.jsonl")).unwrap();
    let some: String = all.split_inclusive('\n').take(6).collect();
    std::fs::write(place.path().join("code.jsonl"), some).unwrap();
    place
}

#[test]
fn scoring_writes_what_is_queried_and_a_rule_gives_the_same() {
    let place = place();
    let folder = place.path();
    call(folder, "perplexity --model model --data code.jsonl --threshold 2.5 --out tokens")
        .unwrap();
    call(folder, "perplexity --model model --data code.jsonl --threshold 2.5 --out tokens.parquet")
        .unwrap();
    let found: Value =
        serde_json::from_str(&call(folder, "ledger tokens --thresholds 2.5,1000 --json").unwrap())
            .unwrap();
    assert_eq!(found["examples"], 6);
    let point = &found["thresholds"][0];
    let masked = 1.0
        - found["learned_tokens"].as_f64().unwrap() / found["completion_tokens"].as_f64().unwrap();
    assert!((point["masked"].as_f64().unwrap() - masked).abs() < 1e-12, "{found}");
    // the lab knows which tokens are the annotators'
    assert!(
        point["precision"].as_f64().unwrap() > 0.3 && point["recall"].as_f64().unwrap() > 0.1,
        "{found}"
    );
    let rule: Value =
        serde_json::from_str(&call(folder, "weights stm(2.5) --tokens tokens --json").unwrap())
            .unwrap();
    let all = rule["kept"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(all["kept"], found["learned_tokens"]);
    assert_eq!(all["tokens"], found["completion_tokens"]);
    // one file or a folder is the same, and two ledgers of one model are taken together
    let one: Value = serde_json::from_str(
        &call(folder, "ledger tokens.parquet --thresholds 2.5,1000 --json").unwrap(),
    )
    .unwrap();
    assert_eq!(one, found);
    let both: Value = serde_json::from_str(
        &call(folder, "ledger tokens tokens.parquet --thresholds 2.5,1000 --json").unwrap(),
    )
    .unwrap();
    assert_eq!(both["tokens"].as_u64(), found["tokens"].as_u64().map(|tokens| 2 * tokens));
    assert_eq!(both["thresholds"][0]["masked"], point["masked"]);
    let shown = call(folder, "ledger tokens").unwrap();
    for part in ["in the writer's style", "precision", "end_of_turn", "quantile"] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_stale_ledger_is_refused_and_what_changed_is_named() {
    let place = place();
    let folder = place.path();
    call(folder, "perplexity --model model --data code.jsonl --out tokens").unwrap();
    let refused = |parts: &[&str]| {
        for arguments in ["ledger tokens", "weights stm(2.5) --tokens tokens"] {
            let error = call(folder, arguments).unwrap_err();
            for part in parts.iter().chain(&[
                "tokens-00000.parquet",
                "is stale",
                "unforget perplexity --out",
            ]) {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    };
    let change = |name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let path = folder.join(name);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, change(before.clone())).unwrap();
        before
    };
    let line_less = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .unwrap()
            .split_inclusive('\n')
            .skip(1)
            .collect::<String>()
            .into_bytes()
    };
    let before = change("code.jsonl", &line_less);
    refused(&["the data's file", "code.jsonl", "then", "now"]);
    // the same bytes at another time are the same data
    std::fs::write(folder.join("code.jsonl"), before).unwrap();
    call(folder, "ledger tokens").unwrap();
    let flipped = |mut bytes: Vec<u8>| {
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let before = change("model/model.safetensors", &flipped);
    refused(&["the model's file", "model.safetensors"]);
    std::fs::write(folder.join("model/model.safetensors"), before).unwrap();
    let template = |name: &str| folder.join("model").join(name).is_file();
    let file = ["chat_template.jinja", "tokenizer_config.json"]
        .into_iter()
        .find(|name| template(name))
        .unwrap();
    let other =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("user", "USER").into_bytes();
    change(&format!("model/{file}"), &other);
    refused(&["the chat template"]);
    // what is gone cannot be compared
    std::fs::remove_dir_all(folder.join("model")).unwrap();
    call(folder, "ledger tokens").unwrap();
}

/// One bit of a ledger that lies outside the store, wherever in the file, is noticed by every verb that reads it; so is a file that is gone.
#[test]
fn a_flipped_bit_of_a_ledger_outside_the_store_is_refused() {
    let place = place();
    let folder = place.path();
    let calls = |ledger: &str| {
        [
            format!("ledger {ledger}"),
            format!("weights stm(2.5) --tokens {ledger}"),
            format!(
                "finetune --model model --data code.jsonl --preset lab --epochs 1 --threshold 2.5 --tokens {ledger} --out adapter"
            ),
        ]
    };
    let refused = |ledger: &str, file: &str, what: &str| {
        for arguments in calls(ledger) {
            let message = call(folder, &arguments).unwrap_err();
            for part in [file, what, "make it again", ".unforget.json"] {
                assert!(message.contains(part), "{arguments}: {message}");
            }
        }
        assert!(!folder.join("adapter").exists());
    };
    for (out, file) in
        [("tokens", "tokens/tokens-00000.parquet"), ("tokens.parquet", "tokens.parquet")]
    {
        call(folder, &format!("perplexity --model model --data code.jsonl --out {out}")).unwrap();
        let path = folder.join(file);
        let whole = std::fs::read(&path).unwrap();
        // data of a column, and the end where the metadata stand
        for at in [whole.len() / 3, whole.len() / 2, whole.len() - 200] {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            std::fs::write(&path, flipped).unwrap();
            refused(out, file, "not as `unforget` wrote it");
        }
        // by whatever name
        #[cfg(unix)]
        {
            let link = folder.join(format!("link-{out}"));
            std::os::unix::fs::symlink(folder.join(out), &link).unwrap();
            refused(link.to_str().unwrap(), file, "not as `unforget` wrote it");
        }
        std::fs::write(&path, &whole).unwrap();
        call(folder, &calls(out)[0]).unwrap();
    }
    // of a ledger of several files, one that is gone would be missed by nobody
    let part = folder.join("tokens/tokens-00000.parquet");
    std::fs::copy(&part, folder.join("tokens/tokens-00001.parquet")).unwrap();
    std::fs::remove_file(&part).unwrap();
    refused("tokens", "tokens-00000.parquet", "is gone");
    // what has no mark is read as before
    std::fs::create_dir(folder.join("copy")).unwrap();
    std::fs::copy(folder.join("tokens.parquet"), folder.join("copy/a.parquet")).unwrap();
    call(folder, "ledger copy").unwrap();
}

#[test]
fn what_is_no_ledger_or_of_another_model_is_refused() {
    let place = place();
    let folder = place.path();
    let refused = |arguments: &str, parts: &[&str]| {
        let error = call(folder, arguments).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    refused("ledger absent", &["absent", "no ledger"]);
    std::fs::create_dir(folder.join("empty")).unwrap();
    refused("ledger empty", &["holds no .parquet file"]);
    std::fs::write(folder.join("text.parquet"), "text").unwrap();
    refused("ledger text.parquet", &["text.parquet", "not a Parquet file"]);
    call(folder, "perplexity --model model --data code.jsonl --out tokens").unwrap();
    refused("ledger tokens --thresholds -1", &["--thresholds", "above 0"]);
    refused("ledger tokens --quantiles 2", &["from 0 to 1"]);
    std::fs::write(folder.join("tokens/notes.txt"), "mine").unwrap();
    refused(
        "perplexity --model model --data code.jsonl --out tokens",
        &["holds other things", "notes.txt"],
    );
    // a model that is another one
    let config = folder.join("model/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let cut = folder.join("tokens/tokens-00000.parquet");
    std::fs::copy(&cut, folder.join("first.parquet")).unwrap();
    std::fs::write(&config, text + "\n").unwrap();
    call(folder, "perplexity --model model --data code.jsonl --out second.parquet").unwrap();
    refused(
        "ledger second.parquet first.parquet",
        &["first.parquet", "other files of the model than second.parquet"],
    );
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(folder.join("cut.parquet"), &bytes[..bytes.len() / 2]).unwrap();
    refused("ledger cut.parquet", &["cut.parquet", "not a Parquet file"]);
}

#[test]
fn an_experiment_keeps_a_ledger_and_reads_its_curves_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let mut recipe = Recipe::quick();
    recipe.sizes.train = 12;
    recipe.arms.truncate(1);
    let experiment = Experiment::prepare(&cx, &recipe).unwrap();
    let summary = &experiment.data()[0];
    let kept: Vec<PathBuf> = std::fs::read_dir(folder.path().join("store/ledger"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("tokens"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let ledger = Ledger::open(&kept).unwrap();
    let tally = Tally::of(&ledger, &[2.5]).unwrap();
    assert_eq!(tally.examples, 12);
    assert_eq!(tally.classes(), summary.classes);
    let point = &tally.thresholds()[0];
    assert!((point.masked - summary.share_above_2_5).abs() < 1e-12);
    assert!(point.precision.is_some());
    // the same from the scores themselves
    let signals = ledger.signals().unwrap();
    let high = signals.iter().flat_map(|(_, of)| {
        let base = of.base.clone().unwrap();
        of.completion
            .positions()
            .map(move |at| f64::from((-base.log_prob[at].unwrap()).exp()))
            .collect::<Vec<_>>()
    });
    let high: Vec<f64> = high.collect();
    assert_eq!(high.len(), tally.completion_tokens);
    let share = high.iter().filter(|ppl| **ppl > 2.5).count() as f64 / high.len() as f64;
    assert!((share - point.masked).abs() < 1e-12);
}

/// Largest resident memory of this process so far, and of any child, in MB.
fn peak(of: libc::c_int) -> f64 {
    // SAFETY: getrusage fills the struct it is given, which may be zero before.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(of, &mut usage), 0);
        usage
    };
    usage.ru_maxrss as f64 / 1024.0
}

/// Ten million made-up tokens go through the writer that scoring uses and are queried by the program. The bounds are the ones that the
/// documentation states. Alone: `cargo test --release -- --ignored ten_million`.
#[test]
#[ignore = "takes a minute and 300 MB of disk"]
fn ten_million_tokens_are_written_and_queried_within_the_stated_memory() {
    const TOKENS: usize = 10_000_000;
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let base = Checkpoint::open(lab().join("model")).unwrap();
    let tokenizer = cx.tokenizer(&base).unwrap();
    let items = read_items(&lab().join("code/train.jsonl")).unwrap();
    let real: Vec<Sequence> =
        items.iter().map(|item| sequence(&tokenizer, &Example::from(item)).unwrap()).collect();
    let style: Vec<Vec<bool>> =
        real.iter().zip(&items).map(|(of, item)| of.marked(&item.truth, &item.style)).collect();
    let classes: Vec<Vec<TokenClass>> = real.iter().map(|of| of.classes(&tokenizer)).collect();
    let origin = Origin::of(&cx, &base, None, &[], &real, None).unwrap();
    let out = folder.path().join("tokens");
    let (mut written, mut round) = (0, 0);
    let before = peak(libc::RUSAGE_SELF);
    let started = std::time::Instant::now();
    ledger::write(&out, &origin, |writer| {
        while written < TOKENS {
            // the lab's answers again and again, each time as surprising as chance has it
            let mut rng = Rng::new(round, "made-up-surprisals");
            let named =
                real.iter().map(|of| Sequence { id: format!("{}-{round}", of.id), ..of.clone() });
            let sequences: Vec<Sequence> = named.collect();
            let scores: Vec<TokenScores> = sequences
                .iter()
                .zip(&style)
                .map(|(of, style)| made_up(of, style, &mut rng))
                .collect();
            let scored = Scored { sequences, ..Scored::default() };
            let (sequences, weights) = (&scored.sequences, scored.every_token());
            writer.add(&Rows {
                sequences,
                scores: &scores,
                reference: &[],
                classes: &classes,
                style: &style,
                weights: &weights,
            })?;
            written += sequences.iter().map(Sequence::len).sum::<usize>();
            round += 1;
        }
        Ok(())
    })
    .unwrap();
    let (seconds, of_writing) = (started.elapsed().as_secs_f64(), peak(libc::RUSAGE_SELF));
    let files = std::fs::read_dir(&out).unwrap().count();
    let size: u64 = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    println!(
        "{written} tokens in {files} files of {} MB: {seconds:.1} s, {of_writing:.0} MB at most ({before:.0} before)",
        size / 1_000_000
    );

    let started = std::time::Instant::now();
    let found: Value =
        serde_json::from_str(&call(folder.path(), "ledger tokens --json").unwrap()).unwrap();
    let (seconds, of_queries) = (started.elapsed().as_secs_f64(), peak(libc::RUSAGE_CHILDREN));
    println!(
        "thresholds, precision and recall, classes, quantiles: {seconds:.1} s, {of_queries:.0} MB at most"
    );
    assert_eq!(found["tokens"], json!(written));
    assert_eq!(found["examples"], json!(round as usize * real.len()));
    // a style token's surprisal is drawn with mean 3 nats, another's with mean 0.3
    let at = |nats: f64, mean: f64| (-nats / mean).exp();
    let point = found["thresholds"]
        .as_array()
        .unwrap()
        .iter()
        .find(|point| point["threshold"] == 2.5)
        .unwrap();
    let recall = point["recall"].as_f64().unwrap();
    assert!((recall - at(2.5f64.ln(), 3.0)).abs() < 2e-3, "{recall}");

    let started = std::time::Instant::now();
    call(folder.path(), "weights stm(2.5) --tokens tokens").unwrap();
    let (seconds, of_rule) = (started.elapsed().as_secs_f64(), peak(libc::RUSAGE_CHILDREN));
    println!("a rule on all tokens: {seconds:.1} s, {of_rule:.0} MB at most");
    assert!(of_writing < 300.0 && of_queries < 200.0 && of_rule < 1000.0);
}

fn made_up(of: &Sequence, style: &[bool], rng: &mut Rng) -> TokenScores {
    let value = |at: usize, rng: &mut Rng| {
        let mean = if style[at] { 3.0 } else { 0.3 };
        (at > 0).then(|| (mean * (1.0 - rng.uniform()).ln()) as f32)
    };
    let log_prob: Vec<Option<f32>> = (0..of.len()).map(|at| value(at, rng)).collect();
    TokenScores {
        entropy: log_prob.iter().map(|value| value.map(|value| -0.5 * value)).collect(),
        rank: log_prob.iter().map(|value| value.map(|value| (-value) as u32)).collect(),
        log_prob,
    }
}

#[test]
fn rows_keep_their_order_over_blocks_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let base = Checkpoint::open(lab().join("model")).unwrap();
    // more than eight blocks of rows, in examples of which none divides a block
    let length = ledger::BLOCK / 5 + 3;
    let sequences: Vec<Sequence> = (0..45)
        .map(|at| Sequence {
            id: format!("example {at}"),
            text: String::new(),
            ids: vec![at; length],
            spans: vec![0..0; length],
            completion: LossMask::new(vec![true; length]),
            weights: Vec::new(),
            prompt_tokens: 0,
            form: Form::Plain,
            end_of_turn: None,
        })
        .collect();
    let of = |at: u32| TokenScores {
        log_prob: vec![Some(-(at as f32)); length],
        entropy: vec![None; length],
        rank: vec![Some(at); length],
    };
    let scores: Vec<TokenScores> = (0..45).map(of).collect();
    let classes = vec![vec![TokenClass::Words; length]; 45];
    let weights = vec![vec![1.0; length]; 45];
    let origin = Origin::of(&cx, &base, None, &[], &sequences, Some("all".into())).unwrap();
    let rows = Rows {
        sequences: &sequences,
        scores: &scores,
        reference: &[],
        classes: &classes,
        style: &[],
        weights: &weights,
    };
    let out = folder.path().join("tokens");
    ledger::write(&out, &origin, |writer| writer.add(&rows)).unwrap();
    let ledger = Ledger::open(&[&out]).unwrap();
    assert!(ledger.files() > 1);
    let same = Ledger::made_from(&out, &origin).unwrap();
    assert_eq!(same.files(), ledger.files());
    let other = Origin::of(&cx, &base, None, &[], &sequences[1..], None).unwrap();
    let error = Ledger::made_from(&out, &other).unwrap_err().to_string();
    assert!(error.contains("other files of the data than those asked for"), "{error}");
    let mut largest = 0;
    let mut tokens = 0;
    ledger
        .blocks(&["token_id"], |block| {
            largest = largest.max(block.height());
            tokens += block.height();
            Ok(())
        })
        .unwrap();
    assert!(largest <= ledger::BLOCK && tokens == 45 * length, "{largest} {tokens}");
    let signals = ledger.signals().unwrap();
    assert_eq!(signals.len(), 45);
    for (at, (id, of)) in signals.iter().enumerate() {
        let base = of.base.as_ref().unwrap();
        assert_eq!(*id, format!("example {at}"));
        assert_eq!(base.rank, vec![Some(at as u32); length]);
    }
    let empty = ledger::write(&folder.path().join("none"), &origin, |_| Ok(()));
    assert!(empty.unwrap_err().to_string().contains("no token"));
    assert!(!folder.path().join("none").exists());
}

#[test]
fn training_takes_its_scores_from_a_ledger_and_learns_the_same() {
    let place = place();
    let folder = place.path();
    call(folder, "perplexity --model model --data code.jsonl --reference model --out tokens")
        .unwrap();
    let common = "finetune --model model --data code.jsonl --preset lab --num-epochs 1 --weights";
    let tensors =
        |name: &str| std::fs::read(folder.join(name).join("adapter_model.safetensors")).unwrap();
    call(folder, &format!("{common} stm(2.5) --out scored")).unwrap();
    call(folder, &format!("{common} stm(2.5) --tokens tokens --store other --out read")).unwrap();
    assert_eq!(tensors("scored"), tensors("read"));
    // nothing was scored there, and the other model's scores are at hand
    assert!(!folder.join("other/scores").exists());
    call(folder, &format!("{common} dpf(0) --tokens tokens --out with-reference")).unwrap();
    // fewer rows than the ledger has are found by their names; others are not
    call(folder, &format!("{common} stm(2.5) --tokens tokens --limit 2 --out two")).unwrap();
    let refused = |arguments: &str, parts: &[&str]| {
        let error = call(folder, arguments).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    let text = std::fs::read_to_string(folder.join("code.jsonl")).unwrap();
    std::fs::write(folder.join("changed.jsonl"), text.replace("return", "yield")).unwrap();
    refused(
        "finetune --model model --data changed.jsonl --tokens tokens --threshold 2.5 --out no",
        &["has other tokens in it than in the data", "code/train/0"],
    );
    call(folder, "perplexity --model model --data code.jsonl --limit 2 --out few").unwrap();
    refused(
        "finetune --model model --data code.jsonl --tokens few --threshold 2.5 --out no",
        &["is not in it"],
    );
    refused(
        &format!("{common} dpf(0) --tokens few --out no"),
        &["needs another model", "perplexity --reference"],
    );
    assert!(!folder.join("no").exists());
}
