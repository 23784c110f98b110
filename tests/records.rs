//! Records that an earlier version wrote are read, and written again to the byte: `tests/reference/records` was made by the program of commit
//! a190517, when each kind of record had parts of its own:
//!
//! ```sh
//! head -1 datasets/lab/code/train.jsonl > one.jsonl; cp -r datasets/lab/model model
//! cp -r model dated; printf "%s" "{%- if false -%}{{ strftime_now('%Y') }}{%- endif -%}" >> dated/chat_template.jinja
//! given="--template-arg thinking=false --template-date 2025-01-31"
//! unforget finetune --model model --data one.jsonl --preset lab --epochs 2 --batch 1 --rank 1 --threshold 2.5 --out adapter
//! unforget evaluate --model dated --adapter adapter --adapter-scale 0.5 --task word --limit 1 --max-new-tokens 4 --precision bf16 $given
//! unforget perplexity --model dated --adapter adapter --reference model --data one.jsonl $given --threshold 2.5 --out tokens.parquet
//! unforget table 1 --quick --out t --template-date 2025-01-31  # made.json
//! unforget run tiny.toml  # results.json, its lists cut after two
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::Command;
use unforget::card::RunCard;
use unforget::ledger::{Ledger, Origin};
use unforget::paper::Made;
use unforget::provenance::{MaskRecord, Times};
use unforget::report;
use unforget::store::Store;
use unforget::train::{Method, TrainConfig};

const EVALUATION: &str = "evaluate/evaluate-0b6b518b8d0aa43f";
const TRAINING: &str = "finetune/one-be3928f749a03bc8";

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/records").join(name)
}

/// Reads `text` and finds that it would be written as it stands there; `pretty` is how cards and exhibits are.
fn same_again<T: Serialize + DeserializeOwned>(text: &str, pretty: bool) -> T {
    let record: T = serde_json::from_str(text).unwrap();
    let again = match pretty {
        true => serde_json::to_string_pretty(&record),
        false => serde_json::to_string(&record),
    };
    assert_eq!(again.unwrap(), text.trim_end());
    record
}

fn text(name: &str) -> String {
    std::fs::read_to_string(kept(name)).unwrap()
}

#[test]
fn cards_masks_and_inputs_of_an_earlier_store_read() {
    let store = Store::open(kept("store")).unwrap();
    for run in [EVALUATION, TRAINING] {
        let run = store.find(run).unwrap();
        let card: RunCard = same_again(&text(&format!("store/{}/card.json", run.name())), true);
        assert_eq!(RunCard::of(&run).unwrap(), card);
        // their hash is in the folder's name
        assert!(run.inputs().unwrap().inputs().count() > 5);
        run.check().unwrap();
    }
    let card = RunCard::of(&store.find(EVALUATION).unwrap()).unwrap();
    let found = (&card.computation.dtype, &card.computation.instructions);
    assert_eq!(found, (&Some("bf16".into()), &Some("avx512_bf16".into())));
    assert_eq!(card.tokenization.template_args["thinking"], false);
    assert_eq!(card.tokenization.options().date, Some("2025-01-31".parse().unwrap()));
    assert_eq!((card.contradictions.len(), card.warnings.len()), (1, 1));
    let run = store.find(TRAINING).unwrap();
    let mask = RunCard::of(&run).unwrap().mask.unwrap();
    assert_eq!((mask.rule.as_deref(), mask.learned_tokens), (Some("stm(2.5)"), 92));
    let record: MaskRecord = same_again(&text(&format!("store/{TRAINING}/mask.json")), false);
    assert_eq!((record.completion[0][0], record.seed), ((62, 173), 42));
    let config: TrainConfig = run.inputs().unwrap().input("config").unwrap();
    assert!(matches!(config.method, Method::Lora(lora) if lora.rank == 1));
}

#[test]
fn a_training_of_an_earlier_version_is_made_again() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("store").join(TRAINING);
    std::fs::create_dir_all(run.join("adapter")).unwrap();
    for name in ["card.json", "inputs.json", "manifest", "mask.json", "result.json"]
        .into_iter()
        .chain(["adapter/adapter_config.json", "adapter/adapter_model.safetensors"])
    {
        std::fs::copy(kept("store").join(TRAINING).join(name), run.join(name)).unwrap();
    }
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/lab/model");
    let output = Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(["verify", TRAINING, "--steps", "0", "--tolerance", "1e-3", "--store", "store"])
        .arg("--model")
        .arg(model)
        .current_dir(place.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let ok = said.lines().filter(|line| line.starts_with("ok  ")).count();
    assert!(ok == 11 && said.ends_with("verdict: reproduced\n"), "{said}");
}

#[test]
fn an_earlier_ledger_reads_and_says_what_differs() {
    let path = kept("tokens.parquet");
    let bytes = std::fs::read(&path).unwrap();
    let found = |text: &[u8]| bytes.windows(text.len()).position(|part| part == text);
    let from = found(b"{\"format\":1").unwrap();
    let rest = String::from_utf8_lossy(&bytes[from..]);
    let end = rest.find("\"rule\":\"stm(2.5)\"}").unwrap() + "\"rule\":\"stm(2.5)\"}".len();
    let origin: Origin = same_again(&rest[..end], false);
    assert_eq!(Ledger::open(&[&path]).unwrap().signals().unwrap().len(), 1);
    assert_eq!(Ledger::made_from(&path, &origin).unwrap().files(), 1);

    let says = |change: &dyn Fn(&mut Origin), want: &str| {
        let mut other = origin.clone();
        change(&mut other);
        let error = Ledger::made_from(&path, &other).unwrap_err().to_string();
        assert!(error.contains(&format!("was made with {want} than those asked for")), "{error}");
    };
    let other = || Some("0".repeat(64));
    says(&|o| o.tokenization.template = other(), "other files of the chat template");
    // what follows from another template is not said beside it
    says(
        &|o| {
            o.tokenization.template = other();
            o.tokenization.template_args.clear();
            o.tokenization.tokenizer = "0".into();
        },
        "other files of the chat template",
    );
    says(
        &|o| drop(o.tokenization.template_args.insert("thinking".into(), true.into())),
        "other variables of the chat template ({\"thinking\":false}, here {\"thinking\":true}; --template-arg sets them)",
    );
    says(
        &|o| o.tokenization.template_date = Some("2025-02-01T09:30:00".parse().unwrap()),
        "another date in the chat template's texts (2025-01-31, here 2025-02-01T09:30:00; --template-date 2025-01-31 asks for it again)",
    );
    // a ledger of before there were dates differs by its tokenizer alone
    says(
        &|o| {
            o.tokenization.template_date = None;
            o.tokenization.tokenizer = "0".into();
        },
        "other files of the tokenizer",
    );
    says(&|o| o.adapter_scale = Some(0.5), "other files of the model");
    says(&|o| o.weights.clear(), "other files of the model");
    says(&|o| o.reference.clear(), "other files of the reference model");
    says(&|o| o.sequences.clear(), "other files of the data");
    // where files lie, and which version read them, makes no difference
    let mut moved = origin.clone();
    moved.model = "elsewhere".into();
    moved.unforget = "9".into();
    let weights = std::mem::take(&mut moved.weights).into_iter();
    let elsewhere = |path: PathBuf| Path::new("elsewhere").join(path.file_name().unwrap());
    moved.weights = weights.map(|(path, stamp)| (elsewhere(path), stamp)).collect();
    Ledger::made_from(&path, &moved).unwrap();
}

#[test]
fn earlier_results_and_exhibits_read() {
    let document: report::ResultsFile = same_again(&text("results.json"), false);
    let found = &document.provenance;
    assert_eq!((found.computation.device.as_str(), found.computation.threads), ("Cpu", 2));
    assert_eq!(found.times, Times { started: "2026-11-30 23:08 UTC".into(), seconds: 6.506869675 });
    assert!(report::is_in(&kept("")));
    let made: Made = same_again(&text("made.json"), true);
    assert_eq!(Made::read(&kept("")).unwrap(), made);
    assert!(made.options.quick && made.options.template.date.is_some(), "{made:?}");
    assert!(made.stale().unwrap().unwrap().contains("--quick"));
}

#[test]
fn what_exhibits_of_the_book_are_made_of_is_written_the_same_again() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("book/src/results");
    let mut count = 0;
    for entry in std::fs::read_dir(&results).unwrap() {
        let path = entry.unwrap().path().join("made.json");
        if path.is_file() {
            let _: Made = same_again(&std::fs::read_to_string(path).unwrap(), true);
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}
