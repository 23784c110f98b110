//! What people type who come from Hugging Face's trainers or lm-evaluation-harness: another name for the same option is that option; an option
//! that means something else here, or that nothing needs here, is refused with a tip.

use super::terminal::tell;
use clap::error::{ContextKind, ContextValue};
use std::ffi::OsString;

/// Options of `finetune` that have another name today.
const RENAMED: [(&str, &str); 5] = [
    ("--epochs", "--num-epochs"),
    ("--batch", "--batch-size"),
    ("--clip", "--max-grad-norm"),
    ("--no-clip", "--no-max-grad-norm"),
    ("--replay", "--gradient-checkpointing"),
];

/// Options of `finetune` that transformers, PEFT and TRL call otherwise and that mean the same.
const SAME_IN_FINETUNE: [(&str, &str); 13] = [
    ("--lr", "--learning-rate"),
    ("--num-train-epochs", "--num-epochs"),
    // one device; more examples in a step are what --gradient-accumulation-steps asks for, which has a tip
    ("--per-device-train-batch-size", "--batch-size"),
    ("--train-batch-size", "--batch-size"),
    ("--lora-r", "--rank"),
    ("--lora-rank", "--rank"),
    ("--lora-alpha", "--alpha"),
    ("--lora-dropout", "--dropout"),
    ("--use-dora", "--dora"),
    ("--output-dir", "--out"),
    ("--model-name-or-path", "--model"),
    ("--train-file", "--data"),
    ("--max-train-samples", "--limit"),
];

/// Options of `evaluate` that lm-evaluation-harness or transformers call otherwise and that mean the same.
const SAME_IN_EVALUATE: [(&str, &str); 4] = [
    ("--model-name-or-path", "--model"),
    ("--output-path", "--out"),
    ("--output-dir", "--out"),
    ("--max-gen-toks", "--max-new-tokens"),
];

/// Options of others that are not here under any name, and what to do instead.
const TIPS: [(&str, &str); 36] = [
    (
        "--gradient-accumulation-steps",
        "--batch-size N is the number of examples of one optimizer step: multiply the examples per device by the accumulation steps; memory does not grow with it",
    ),
    (
        "--warmup-ratio",
        "--warmup-steps N: the ratio times the number of steps, which a call prints",
    ),
    (
        "--lr-scheduler-type",
        "--schedule constant, linear or cosine; each begins with the rise of --warmup-steps",
    ),
    (
        "--max-seq-length",
        "--max-length N; longer examples are refused unless --too-long says truncate or drop",
    ),
    (
        "--max-seq-len",
        "--max-length N; longer examples are refused unless --too-long says truncate or drop",
    ),
    ("--dataset-name", "--data FILE or FOLDER: data are read from the disk, download them first"),
    ("--dataset-train-split", "--data FOLDER:SPLIT, such as --data my-data:train"),
    (
        "--dataset-text-field",
        "--data reads a column `text`, or one of the others that `unforget perplexity --help` lists",
    ),
    (
        "--lora-target-modules",
        "a recipe's [finetune.method.lora] has target_modules: `unforget run --help`",
    ),
    (
        "--target-modules",
        "a recipe's [finetune.method.lora] has target_modules: `unforget run --help`",
    ),
    ("--use-rslora", "a recipe's [finetune.method.lora] has rslora: `unforget run --help`"),
    ("--use-peft", "leave it out: an adapter is the default, and --full trains every weight"),
    ("--use-lora", "leave it out: an adapter is the default, and --full trains every weight"),
    (
        "--optim",
        "leave it out: the optimizer is AdamW; its constants are in a recipe's [finetune.adamw]",
    ),
    ("--adam-beta1", "a recipe's [finetune.adamw] has beta1: `unforget run --help`"),
    ("--adam-beta2", "a recipe's [finetune.adamw] has beta2: `unforget run --help`"),
    ("--adam-epsilon", "a recipe's [finetune.adamw] has eps: `unforget run --help`"),
    ("--fp16", "--precision bf16"),
    ("--bf16", "--precision bf16"),
    ("--torch-dtype", "--precision f32, bf16x2 or bf16"),
    ("--dtype", "--precision f32, bf16x2 or bf16"),
    (
        "--load-in-4bit",
        "leave it out: weights are not quantized; --precision bf16 halves those that are frozen",
    ),
    (
        "--load-in-8bit",
        "leave it out: weights are not quantized; --precision bf16 halves those that are frozen",
    ),
    ("--packing", "leave it out: sequences are always laid end to end without padding"),
    (
        "--completion-only-loss",
        "leave it out: only answers are learned, unless the data say otherwise",
    ),
    (
        "--assistant-only-loss",
        "leave it out: only answers are learned, unless the data say otherwise",
    ),
    (
        "--logging-steps",
        "leave it out: every step's loss is in --json, and in --log FOLDER while it trains",
    ),
    ("--logging-dir", "--log FOLDER"),
    ("--report-to", "--log FOLDER holds an event file for TensorBoard"),
    (
        "--save-steps",
        "leave it out: a training saves itself every 20 seconds, and the same command resumes it",
    ),
    (
        "--save-strategy",
        "leave it out: a training saves itself every 20 seconds, and the same command resumes it",
    ),
    ("--resume-from-checkpoint", "leave it out: the same command resumes"),
    ("--overwrite-output-dir", "--replace"),
    ("--eval-steps", "--probe-every N, with --probe NAME=FILE"),
    ("--model-args", "--model FOLDER, and --adapter FOLDER"),
    ("--log-samples", "leave it out: --out FOLDER writes every answer"),
];

/// The command line with the names that options have here; says so where an earlier version of this program had the name.
pub fn renamed(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let all: Vec<OsString> = arguments.collect();
    let is = |verb: &str| all.iter().skip(1).any(|argument| argument == verb);
    let (earlier, same): (&[_], &[(&str, &str)]) = match () {
        () if is("finetune") || is("train") => (&RENAMED, &SAME_IN_FINETUNE),
        () if is("evaluate") => (&[], &SAME_IN_EVALUATE),
        () => return all,
    };
    let today = |argument: OsString| {
        let text = argument.to_string_lossy();
        let (typed, value) = text.split_once('=').map_or((&*text, None), |(a, b)| (a, Some(b)));
        if !typed.starts_with("--") {
            return argument;
        }
        let name = typed.replace('_', "-");
        let find = |names: &[(&str, &'static str)]| {
            names.iter().find(|(old, _)| *old == name).map(|(_, new)| *new)
        };
        let new = match (find(earlier), find(same)) {
            (Some(new), _) => {
                tell!("{typed} is called {new} now");
                new
            }
            (None, Some(new)) => new,
            // --learning_rate, as Python spells it
            (None, None) if name != typed => &name,
            (None, None) => return argument,
        };
        value.map_or(OsString::from(new), |value| format!("{new}={value}").into())
    };
    all.into_iter().map(today).collect()
}

/// What to do instead of an option that is not there, as far as it is one of those that others have.
pub fn tip(error: &clap::Error) -> Option<&'static str> {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = name.split(['=', ' ']).next()?;
    TIPS.iter().find(|(option, _)| *option == name).map(|(_, tip)| *tip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::{CommandFactory, Parser};
    use std::collections::BTreeSet;

    fn options(verb: &str) -> BTreeSet<String> {
        let mut all = Cli::command();
        all.build();
        let verb = all.find_subcommand(verb).unwrap();
        let longs = verb.get_arguments().flat_map(|option| option.get_long_and_visible_aliases());
        longs.flatten().map(|name| format!("--{name}")).collect()
    }

    #[test]
    fn another_name_leads_to_an_option_and_a_tip_stands_for_none() {
        let (finetune, evaluate) = (options("finetune"), options("evaluate"));
        for (other, ours) in RENAMED.iter().chain(&SAME_IN_FINETUNE) {
            assert!(finetune.contains(*ours) && !finetune.contains(*other), "{other} {ours}");
        }
        for (other, ours) in &SAME_IN_EVALUATE {
            assert!(evaluate.contains(*ours) && !evaluate.contains(*other), "{other} {ours}");
        }
        for (other, tip) in &TIPS {
            let same = [&RENAMED[..], &SAME_IN_FINETUNE, &SAME_IN_EVALUATE].concat();
            assert!(!finetune.contains(*other) && same.iter().all(|(name, _)| name != other));
            // the options that a tip names are there
            for word in tip.split([' ', ',', ';']).filter(|word| word.starts_with("--")) {
                let known = finetune.contains(word) || evaluate.contains(word);
                assert!(known || word == "--help`", "{other}: {word}");
            }
        }
    }

    #[test]
    fn habits_of_python_are_the_same_call() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let check = |typed: &str, expected: &str| {
            assert_eq!(renamed(words(typed).into_iter()), words(expected), "{typed}");
        };
        check(
            "unforget finetune --lr 1e-4 --lora_r=8",
            "unforget finetune --learning-rate 1e-4 --rank=8",
        );
        check("unforget finetune --max_steps 3", "unforget finetune --max-steps 3");
        check("unforget evaluate --output_path x", "unforget evaluate --out x");
        // values stay as they are, and so do other verbs
        check("unforget finetune --weights a_b", "unforget finetune --weights a_b");
        check("unforget ledger --lr 1", "unforget ledger --lr 1");
        let call = "unforget finetune --model m --data d --out o --warmup-ratio 0.1";
        let Err(error) = Cli::try_parse_from(words(call)) else { panic!("{call} was accepted") };
        assert!(tip(&error).is_some_and(|tip| tip.contains("--warmup-steps")));
    }
}
