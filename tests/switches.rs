//! Every switch of a training does something, and does the same wherever it is set: a notebook's step, a recipe and the command line are
//! given one change after the other, on four examples of the lab, and the losses of the steps must move, or must not where that is promised.
//!
//! The tables are complete: structures are taken apart field by field, and options are read from the program's own help, so that a new switch
//! that is not listed here does not compile, or fails.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use unforget::adapter::LoraConfig;
use unforget::analysis;
use unforget::context::Context;
use unforget::experiment::{Arm, DataSizes, Experiment, Recipe};
use unforget::masked::Masked;
use unforget::model::{Checkpoint, DeviceChoice};
use unforget::ops::KlDirection;
use unforget::optimizer::{AdamWConfig, Schedule};
use unforget::progress::Progress;
use unforget::provenance::MaskRecord;
use unforget::scored::Scored;
use unforget::select::Normalizer;
use unforget::store::Store;
use unforget::task::Accuracy;
use unforget::train::{Method, TrainConfig};
use unforget::verbs::{self, Tuned};

/// The names of all fields of a structure; one that is left out does not compile.
macro_rules! fields {
    ($kind:ident { $($field:ident),* $(,)? }, $value:expr) => {{
        let $kind { $($field: _),* } = $value;
        BTreeSet::from([$(stringify!($field)),*])
    }};
}

/// Some tokens are masked and the rest weigh less than 1, so that the four divisors are four numbers.
const RULE: &str = "if(stm(2.5), p_base, 0)";
const ITEMS: usize = 4;

fn base_config() -> TrainConfig {
    TrainConfig {
        learning_rate: 1e-2,
        warmup_steps: 1,
        num_epochs: 2,
        batch_size: 2,
        seed: 1,
        ..TrainConfig::lab()
    }
}

/// One change of a training.
struct Switch {
    field: &'static str,
    rule: &'static str,
    from: TrainConfig,
    to: TrainConfig,
    /// Whether the losses must be another's; else the same, but for rounding.
    moves: bool,
}

fn switch(field: &'static str, change: impl Fn(&mut TrainConfig)) -> Switch {
    let from = base_config();
    let mut to = from.clone();
    change(&mut to);
    Switch { field, rule: RULE, from, to, moves: true }
}

fn with_lora(field: &'static str, change: impl Fn(&mut LoraConfig)) -> Switch {
    switch(field, |config| {
        let Method::Lora(lora) = &mut config.method else { panic!("the lab's is a LoRA") };
        change(lora);
    })
}

/// A field that counts beside another one only.
fn beside(
    with: impl Fn(&mut TrainConfig),
    switch: Switch,
    change: impl Fn(&mut TrainConfig),
) -> Switch {
    let mut from = switch.from;
    with(&mut from);
    let mut to = from.clone();
    change(&mut to);
    Switch { from, to, ..switch }
}

fn of_finetune() -> Vec<Switch> {
    let kl = |config: &mut TrainConfig| config.kl = Some(0.5);
    let mut all = vec![
        switch("method", |config| config.method = Method::Full),
        switch("learning_rate", |config| config.learning_rate = 3e-3),
        switch("schedule", |config| config.schedule = Schedule::Constant),
        switch("schedule", |config| config.schedule = Schedule::Linear),
        switch("schedule", |config| config.schedule = Schedule::Trapezoid { decay: 0.5 }),
        switch("warmup_steps", |config| config.warmup_steps = 3),
        switch("num_epochs", |config| config.num_epochs = 1),
        switch("max_steps", |config| config.max_steps = Some(3)),
        switch("batch_size", |config| config.batch_size = 1),
        Switch {
            moves: false,
            ..switch("max_tokens_per_forward", |config| config.max_tokens_per_forward = 40)
        },
        switch("normalizer", |config| config.normalizer = Some(Normalizer::Completion)),
        switch("normalizer", |config| config.normalizer = Some(Normalizer::Weights)),
        switch("normalizer", |config| config.normalizer = Some(Normalizer::Batch)),
        // what a rule without one has
        Switch {
            moves: false,
            ..switch("normalizer", |config| config.normalizer = Some(Normalizer::Kept))
        },
        // Adam's steps do not depend on the length of all gradients, but for what is added to its divisor
        beside(
            |config| config.adamw.eps = 1e-3,
            switch("max_grad_norm", |_| ()),
            |config| config.max_grad_norm = Some(1e-3),
        ),
        switch("adamw", |config| config.adamw.weight_decay = 5.0),
        switch("objective", |config| config.objective = "probability:1".parse().unwrap()),
        switch("objective", |config| config.objective = "psft:0.01".parse().unwrap()),
        switch("kl", kl),
        beside(kl, switch("kl_top", kl), |config| config.kl_top = Some(1)),
        beside(kl, switch("kl_direction", kl), |config| {
            config.kl_direction = KlDirection::Reverse;
        }),
        switch("l2_sp", |config| config.l2_sp = Some(10.0)),
        Switch {
            moves: false,
            ..switch("gradient_checkpointing", |config| config.gradient_checkpointing = true)
        },
        switch("seed", |config| config.seed = 2),
    ];
    // weights that follow the model
    all.push(Switch { rule: "dft", ..switch("reweigh_every", |c| c.reweigh_every = Some(3)) });
    all
}

fn of_lora() -> Vec<Switch> {
    let texts = |text: &str| vec![text.to_owned()];
    vec![
        with_lora("rank", |lora| lora.rank = 4),
        with_lora("alpha", |lora| lora.alpha = 8.0),
        with_lora("dropout", |lora| lora.dropout = 0.5),
        with_lora("dora", |lora| lora.dora = true),
        with_lora("rslora", |lora| lora.rslora = true),
        with_lora("target_modules", |lora| lora.target_modules = texts("q_proj")),
        with_lora("target_pattern", |lora| lora.target_pattern = Some(".*v_proj".into())),
        with_lora("exclude_modules", |lora| lora.exclude_modules = texts("up_proj")),
        with_lora("exclude_pattern", |lora| lora.exclude_pattern = Some(".*q_proj".into())),
        with_lora("layers", |lora| lora.layers = Some(vec![0])),
        with_lora("rank_pattern", |lora| {
            lora.rank_pattern = [("q_proj".to_owned(), 2)].into();
        }),
        with_lora("alpha_pattern", |lora| {
            lora.alpha_pattern = [("q_proj".to_owned(), 2.0)].into();
        }),
    ]
}

fn of_adamw() -> Vec<Switch> {
    vec![
        switch("beta1", |config| config.adamw.beta1 = 0.5),
        switch("beta2", |config| config.adamw.beta2 = 0.5),
        switch("eps", |config| config.adamw.eps = 0.1),
        switch("weight_decay", |config| config.adamw.weight_decay = 5.0),
    ]
}

fn listed(switches: &[Switch]) -> BTreeSet<&'static str> {
    switches.iter().map(|switch| switch.field).collect()
}

fn lab() -> Checkpoint {
    Checkpoint::open(unforget::lab::folder().unwrap().join("model")).unwrap()
}

fn context(folder: &Path) -> Context {
    let store = Store::open(folder).unwrap();
    Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap()
}

fn recipe(rule: &str, finetune: &TrainConfig) -> Recipe {
    let arm = match rule {
        RULE => format!("weights: {rule}"),
        method => method.to_owned(),
    };
    Recipe {
        arms: vec![arm.parse::<Arm>().unwrap()],
        learning_rates: vec![finetune.learning_rate],
        seeds: vec![finetune.seed],
        non_target: vec!["word".into()],
        sizes: DataSizes { train: ITEMS, validation: 1, test: 1 },
        finetune: finetune.clone(),
        ..Recipe::lab()
    }
}

fn scored(cx: &Context) -> Scored {
    let items = Recipe::lab().items("code", "train", ITEMS).unwrap();
    verbs::score(cx, &lab(), "ground truth", &items).unwrap()
}

fn losses(tuned: &Tuned) -> Vec<f64> {
    tuned.steps.iter().map(|step| step.loss).collect()
}

/// As a notebook trains.
fn in_notebook(cx: &Context, masked: &Masked, config: &TrainConfig) -> Tuned {
    verbs::finetune(cx, &lab(), masked, config).unwrap()
}

/// As a recipe does that was written to a file and read again.
fn in_recipe(cx: &Context, rule: &str, config: &TrainConfig) -> Tuned {
    let recipe = recipe(rule, config);
    let read = Recipe::parse(&recipe.to_toml().unwrap()).unwrap();
    assert_eq!(read, recipe);
    let experiment = Experiment::prepare(cx, &read).unwrap();
    experiment.tuned(&read.arms[0], config.learning_rate, config.seed).unwrap()
}

fn moved(one: &[f64], other: &[f64]) -> bool {
    let far = |(a, b): (&f64, &f64)| (a - b).abs() > 1e-4 * a.abs();
    one.len() != other.len() || one.iter().zip(other).any(far)
}

#[test]
fn every_switch_of_a_training_moves_its_loss_in_notebooks_and_in_recipes() {
    let (finetune, lora, adamw) = (of_finetune(), of_lora(), of_adamw());
    assert_eq!(
        listed(&finetune),
        fields!(
            TrainConfig {
                method,
                learning_rate,
                schedule,
                warmup_steps,
                num_epochs,
                max_steps,
                batch_size,
                max_tokens_per_forward,
                normalizer,
                max_grad_norm,
                adamw,
                objective,
                kl,
                kl_top,
                kl_direction,
                l2_sp,
                reweigh_every,
                gradient_checkpointing,
                seed,
            },
            base_config()
        )
    );
    assert_eq!(
        listed(&lora),
        fields!(
            LoraConfig {
                rank,
                alpha,
                dropout,
                dora,
                rslora,
                target_modules,
                target_pattern,
                exclude_modules,
                exclude_pattern,
                layers,
                rank_pattern,
                alpha_pattern,
            },
            LoraConfig::lab()
        )
    );
    assert_eq!(
        listed(&adamw),
        fields!(AdamWConfig { beta1, beta2, eps, weight_decay }, AdamWConfig::default())
    );
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let scored = scored(&cx);
    for switch in finetune.into_iter().chain(lora).chain(adamw) {
        let Switch { field, rule, from, to, moves } = switch;
        let masked = scored.mask(rule).unwrap();
        let [before, after] = [&from, &to].map(|config| losses(&in_notebook(&cx, &masked, config)));
        assert_eq!(moved(&before, &after), moves, "{field}: {before:?} {after:?} {to:?}");
        let again = losses(&in_recipe(&cx, rule, &to));
        assert_eq!(again, after, "{field}: the recipe's losses, and the notebook's");
    }
}

/// Who decides what the loss is divided by, and how often weights are made anew: what is set, then the rule, then the default.
#[test]
fn what_is_set_wins_over_the_rule_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let scored = scored(&cx);
    let of_card = |tuned: &Tuned| -> (String, Option<u64>) {
        let card = analysis::card(&cx, tuned).unwrap();
        let config = &card.recipe["finetune"];
        let normalizer = config["normalizer"].as_str().unwrap().to_owned();
        (normalizer, config["reweigh_every"].as_u64())
    };
    type Set = (Option<Normalizer>, Option<usize>);
    let cases: [(&str, Set, &str, Option<u64>); 9] = [
        ("stm(2.5)", (None, None), "kept", None),
        ("stm(2.5)", (Some(Normalizer::Batch), None), "batch", None),
        ("dft", (None, None), "completion", None),
        ("dft", (Some(Normalizer::Kept), None), "kept", None),
        ("dft over batch", (None, None), "batch", None),
        ("dft over batch", (Some(Normalizer::Weights), Some(3)), "weights", Some(3)),
        ("dft every 2", (None, None), "completion", Some(2)),
        ("dft every 2", (None, Some(3)), "completion", Some(3)),
        ("dft every 2", (None, Some(1)), "completion", Some(1)),
    ];
    for (rule, (normalizer, reweigh_every), want, every) in cases {
        let config = TrainConfig { normalizer, reweigh_every, ..base_config() };
        let tuned = in_notebook(&cx, &scored.mask(rule).unwrap(), &config);
        assert_eq!(of_card(&tuned), (want.to_owned(), every), "{rule} in a notebook");
        let arm = if rule.contains(' ') { format!("weights: {rule}") } else { rule.to_owned() };
        let tuned = in_recipe(&cx, &arm, &config);
        assert_eq!(of_card(&tuned), (want.to_owned(), every), "{rule} in a recipe");
        if reweigh_every.is_none() {
            let mut arguments = vec!["--weights", rule];
            let name = normalizer.map(Normalizer::name);
            arguments.extend(name.iter().flat_map(|name| ["--normalizer", name]));
            let printed = finetune(folder.path(), &arguments);
            let config = &printed["config"];
            assert_eq!(config["normalizer"], want, "{rule} on the command line");
            assert_eq!(config["reweigh_every"].as_u64(), every, "{rule} on the command line");
        }
    }
}

#[test]
fn a_notebook_keeps_the_rule_and_draws_its_masks_at_every_seed_as_a_recipe_does() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let scored = scored(&cx);
    let mut drawn = Vec::new();
    for seed in [1, 2, 3] {
        for rule in ["random_mask(2.5)", "stm(2.5)"] {
            let config = TrainConfig { seed, ..base_config() };
            let tuned = in_notebook(&cx, &scored.mask(rule).unwrap(), &config);
            let card = serde_json::to_string(&analysis::card(&cx, &tuned).unwrap()).unwrap();
            assert!(card.contains(rule), "no {rule} on the card with seed {seed}: {card}");
            let run = tuned.checkpoint.adapter.as_ref().unwrap().parent().unwrap();
            let text = std::fs::read_to_string(run.join(MaskRecord::FILE)).unwrap();
            let origin: MaskRecord = serde_json::from_str(&text).unwrap();
            assert_eq!((origin.rule.to_string().as_str(), origin.seed), (rule, seed));
            let recipes = in_recipe(&cx, rule, &config);
            assert_eq!(losses(&recipes), losses(&tuned), "{rule} with seed {seed}");
            if rule.starts_with("random") {
                drawn.push(losses(&tuned));
            }
        }
    }
    // the order of the examples differs as well, but not which of them are learned first
    let recipe = recipe("random_mask(2.5)", &base_config());
    let experiment = Experiment::prepare(&cx, &recipe).unwrap();
    let masks = [1, 2, 3].map(|seed| experiment.masked(&recipe.arms[0], seed).unwrap().weights);
    assert!(masks[0] != masks[1] && masks[1] != masks[2]);
    assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2]);
}

#[test]
fn weights_that_were_changed_by_hand_are_trained_and_no_rule_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let mut masked = scored(&cx).mask("all").unwrap();
    let whole = in_notebook(&cx, &masked, &base_config());
    for weights in &mut masked.weights {
        let learned = weights.iter().position(|weight| *weight > 0.0).unwrap();
        weights[learned..learned + 5].fill(0.0);
    }
    let tuned = in_notebook(&cx, &masked, &base_config());
    assert!(moved(&losses(&whole), &losses(&tuned)));
    let run = tuned.checkpoint.adapter.as_ref().unwrap().parent().unwrap();
    assert!(!run.join(MaskRecord::FILE).exists(), "no rule makes this mask again");
    let mut online = scored(&cx).mask("dft").unwrap();
    online.weights[0].fill(0.0);
    let error = verbs::finetune(&cx, &lab(), &online, &base_config()).unwrap_err().to_string();
    assert!(error.contains("weights of the masked data") && error.contains("dft"), "{error}");
}

/// `unforget finetune` on the same four examples with the same settings, and what it prints.
fn finetune(folder: &Path, more: &[&str]) -> Value {
    let output = command(folder, more).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{more:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn command(folder: &Path, more: &[&str]) -> Command {
    let data = unforget::lab::folder().unwrap().canonicalize().unwrap().join("code/train.jsonl");
    let mut arguments: Vec<String> =
        ["finetune", "--quiet", "--json", "--replace"].map(str::to_owned).into();
    let base = [
        ("--model", "lab"),
        ("--data", data.to_str().unwrap()),
        ("--out", "out"),
        ("--store", "store"),
        ("--limit", "4"),
        ("--learning-rate", "0.01"),
        ("--warmup-steps", "1"),
        ("--num-epochs", "2"),
        ("--batch-size", "2"),
        ("--seed", "1"),
    ];
    // the two exclude each other
    let instead = |name: &&str| *name == "--num-epochs" && more.contains(&"--max-steps");
    for (name, value) in base.into_iter().filter(|(name, _)| !more.contains(name) && !instead(name))
    {
        arguments.extend([name.to_owned(), value.to_owned()]);
    }
    let masks = ["--weights", "--threshold", "--mask"];
    if !more.iter().any(|one| masks.contains(one)) {
        arguments.extend(["--weights".to_owned(), RULE.to_owned()]);
    }
    arguments.extend(more.iter().map(|one| (*one).to_owned()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_unforget"));
    command.args(arguments).current_dir(folder).env_remove("UNFORGET_STORE");
    command
}

/// What an option does to the losses.
enum Does {
    /// They are others than without it; with these settings, if a notebook has them.
    Moves(&'static [&'static str], Option<fn(&mut TrainConfig)>),
    /// They stay: it changes what is kept or shown, not what is learned.
    Stays(&'static [&'static str]),
    /// The setting of this name is this in JSON; that it moves the loss is shown above.
    Sets(&'static [&'static str], &'static str, &'static str),
    /// It says where, not what; tested where the rest is.
    Elsewhere,
}

#[test]
fn every_option_of_finetune_moves_its_loss_or_says_that_it_does_not() {
    use Does::{Elsewhere, Moves, Sets, Stays};
    fn lora(config: &mut TrainConfig) -> &mut LoraConfig {
        match &mut config.method {
            Method::Lora(lora) => lora,
            Method::Full => panic!("the lab's is a LoRA"),
        }
    }
    let options: Vec<(&str, Does)> = vec![
        ("--model", Elsewhere),
        ("--data", Elsewhere),
        ("--out", Elsewhere),
        ("--store", Elsewhere),
        ("--device", Elsewhere),
        ("--precision", Elsewhere),
        ("--reference", Elsewhere),
        ("--reference-adapter", Elsewhere),
        ("--tokens", Elsewhere),
        ("--workers", Stays(&["--workers", "1"])),
        ("--quiet", Elsewhere),
        ("--wide", Elsewhere),
        ("--replace", Elsewhere),
        ("--color", Elsewhere),
        ("--json", Elsewhere),
        ("--help", Elsewhere),
        ("--limit", Moves(&["--limit", "3"], None)),
        ("--skip-unusable", Stays(&["--skip-unusable"])),
        ("--template-date", Stays(&["--template-date", "2025-01-31"])),
        ("--template-arg", Stays(&["--template-arg", "not_read=1"])),
        ("--threshold", Moves(&["--threshold", "2.5"], None)),
        ("--mask", Moves(&["--mask", "lowest:2.5"], None)),
        ("--weights", Moves(&["--weights", "flow"], None)),
        ("--max-length", Moves(&["--max-length", "120", "--too-long", "truncate"], None)),
        ("--too-long", Moves(&["--max-length", "160", "--too-long", "drop"], None)),
        ("--preset", Moves(&["--preset", "paper"], None)),
        (
            "--learning-rate",
            Moves(&["--learning-rate", "0.003"], Some(|c| c.learning_rate = 0.003)),
        ),
        ("--num-epochs", Moves(&["--num-epochs", "1"], Some(|c| c.num_epochs = 1))),
        ("--max-steps", Moves(&["--max-steps", "3"], Some(|c| c.max_steps = Some(3)))),
        ("--batch-size", Moves(&["--batch-size", "1"], Some(|c| c.batch_size = 1))),
        (
            "--schedule",
            Moves(&["--schedule", "constant"], Some(|c| c.schedule = Schedule::Constant)),
        ),
        ("--warmup-steps", Moves(&["--warmup-steps", "3"], Some(|c| c.warmup_steps = 3))),
        (
            "--normalizer",
            Moves(
                &["--normalizer", "completion"],
                Some(|c| c.normalizer = Some(Normalizer::Completion)),
            ),
        ),
        ("--max-grad-norm", Sets(&["--max-grad-norm", "0.001"], "max_grad_norm", "0.001")),
        ("--no-max-grad-norm", Sets(&["--no-max-grad-norm"], "max_grad_norm", "null")),
        ("--weight-decay", Moves(&["--weight-decay", "5"], Some(|c| c.adamw.weight_decay = 5.0))),
        ("--seed", Moves(&["--seed", "2"], Some(|c| c.seed = 2))),
        ("--gradient-checkpointing", Stays(&["--gradient-checkpointing", "true"])),
        (
            "--objective",
            Moves(
                &["--objective", "probability:1"],
                Some(|c| c.objective = "probability:1".parse().unwrap()),
            ),
        ),
        ("--kl", Moves(&["--kl", "0.5"], Some(|c| c.kl = Some(0.5)))),
        ("--kl-top", Moves(&["--kl", "0.5", "--kl-top", "1"], None)),
        ("--kl-direction", Moves(&["--kl", "0.5", "--kl-direction", "reverse"], None)),
        ("--l2-sp", Moves(&["--l2-sp", "10"], Some(|c| c.l2_sp = Some(10.0)))),
        ("--probe", Stays(&["--probe", "word=lab", "--probe-items", "2"])),
        ("--target-probe", Stays(&["--target-probe", "code=lab", "--probe-items", "2"])),
        ("--probe-every", Elsewhere),
        ("--probe-share", Elsewhere),
        ("--probe-items", Elsewhere),
        ("--probe-max-new-tokens", Elsewhere),
        ("--forget-at-most", Elsewhere),
        ("--when-forgotten", Elsewhere),
        ("--log", Stays(&["--log", "log"])),
        ("--rank", Moves(&["--rank", "4"], Some(|c| lora(c).rank = 4))),
        ("--alpha", Moves(&["--alpha", "8"], Some(|c| lora(c).alpha = 8.0))),
        ("--dropout", Moves(&["--dropout", "0.5"], Some(|c| lora(c).dropout = 0.5))),
        ("--dora", Moves(&["--dora"], Some(|c| lora(c).dora = true))),
        ("--full", Moves(&["--full", "--out", "full"], Some(|c| c.method = Method::Full))),
    ];
    let folder = tempfile::tempdir().unwrap();
    let help = command(folder.path(), &["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let of_program: BTreeSet<&str> = help
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| {
            let option = line.split([' ', ',']).find(|word| word.starts_with("--"))?;
            Some(option.trim_end_matches('='))
        })
        .collect();
    let known: BTreeSet<&str> = options.iter().map(|(option, _)| *option).collect();
    assert_eq!(known, of_program, "list every option here, with what it does to the loss");
    let losses_of = |printed: &Value| -> Vec<f64> {
        printed["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect()
    };
    let plain = losses_of(&finetune(folder.path(), &[]));
    let with_kl = losses_of(&finetune(folder.path(), &["--kl", "0.5"]));
    let cx = context(&folder.path().join("own"));
    let masked = scored(&cx).mask(RULE).unwrap();
    for (option, does) in &options {
        match does {
            Moves(arguments, settings) => {
                let before = if option.starts_with("--kl-") { &with_kl } else { &plain };
                let after = losses_of(&finetune(folder.path(), arguments));
                assert!(moved(before, &after), "{option}: {before:?} {after:?}");
                if let Some(change) = settings {
                    let mut config = base_config();
                    change(&mut config);
                    let own = losses(&in_notebook(&cx, &masked, &config));
                    assert_eq!(own, after, "{option}: a notebook's losses, and the program's");
                }
            }
            Stays(arguments) => {
                let after = losses_of(&finetune(folder.path(), arguments));
                assert!(!moved(&plain, &after), "{option}: {plain:?} {after:?}");
            }
            Sets(arguments, name, want) => {
                let printed = finetune(folder.path(), arguments);
                assert_eq!(printed["config"][name].to_string(), *want, "{option}");
            }
            Elsewhere => {}
        }
    }
}

#[test]
fn every_key_of_a_recipe_is_a_training_s_or_says_what_else_it_is() {
    // what changes what is trained: tried above, in the tests of recipes, of templates and of rows; the rest says what is measured and how it is called
    let of_training = BTreeSet::from([
        "arms",
        "learning_rates",
        "seeds",
        "sizes",
        "finetune",
        "self_output",
        "rephrase",
        "variants",
        "model",
        "tasks",
        "target",
        "forget_at_most",
        "when_forgotten",
        // only bad items, and templates that write a date or read variables, notice these
        "skip_unusable",
        "template_date",
        "precision",
        "template_args",
    ]);
    let of_measuring = BTreeSet::from([
        "name",
        "non_target",
        "common_learning_rate",
        "seeds_at_every_rate",
        "thresholds",
        "margin",
        "max_new_tokens",
        "choices",
        "apply_chat_template",
        "probe",
        "probe_items",
        "probe_every",
        "probe_share",
    ]);
    let all = fields!(
        Recipe {
            name,
            model,
            tasks,
            target,
            non_target,
            arms,
            learning_rates,
            common_learning_rate,
            seeds,
            seeds_at_every_rate,
            thresholds,
            margin,
            sizes,
            finetune,
            self_output,
            rephrase,
            max_new_tokens,
            choices,
            apply_chat_template,
            probe,
            probe_items,
            probe_every,
            probe_share,
            forget_at_most,
            when_forgotten,
            skip_unusable,
            template_date,
            template_args,
            precision,
            variants,
        },
        Recipe::lab()
    );
    assert!(of_training.is_disjoint(&of_measuring));
    assert_eq!(&of_training | &of_measuring, all);
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let plain = recipe("stm(2.5)", &base_config());
    let trained = |recipe: &Recipe| {
        let read = Recipe::parse(&recipe.to_toml().unwrap()).unwrap();
        let experiment = Experiment::prepare(&cx, &read).unwrap();
        let (rate, seed) = (read.rates_of(&read.arms[0])[0], read.seeds[0]);
        losses(&experiment.tuned(&read.arms[0], rate, seed).unwrap())
    };
    let before = trained(&plain);
    let changed = |change: &dyn Fn(&mut Recipe)| {
        let mut recipe = plain.clone();
        change(&mut recipe);
        trained(&recipe)
    };
    let variant = r#"arms = ["stm(2.5)@x"]
        [variants.x.finetune]
        warmup_steps = 3"#;
    let varied = Recipe::parse(variant).unwrap().variants;
    type Change<'a> = (&'static str, &'a dyn Fn(&mut Recipe));
    let moving: [Change<'_>; 7] = [
        ("arms", &|recipe| recipe.arms = vec!["stm(1.5)".parse().unwrap()]),
        ("learning_rates", &|recipe| recipe.learning_rates = vec![1e-3]),
        ("seeds", &|recipe| recipe.seeds = vec![5]),
        ("sizes", &|recipe| recipe.sizes.train = 3),
        ("finetune", &|recipe| recipe.finetune.warmup_steps = 3),
        ("target", &|recipe| *recipe = recipe.clone().with_target("word").unwrap()),
        ("variants", &|recipe| {
            recipe.arms = vec!["stm(2.5)@x".parse().unwrap()];
            recipe.variants = varied.clone();
        }),
    ];
    for (key, change) in moving {
        assert!(moved(&before, &changed(change)), "{key}");
    }
    let staying: [Change<'_>; 7] = [
        ("common_learning_rate", &|recipe| recipe.common_learning_rate = Some(1e-3)),
        ("choices", &|recipe| {
            recipe.non_target = vec!["choice".into()];
            recipe.choices = Some(Accuracy::Acc);
            recipe.apply_chat_template = true;
        }),
        ("name", &|recipe| recipe.name = "other".into()),
        ("non_target", &|recipe| recipe.non_target = vec!["sql".into()]),
        ("thresholds", &|recipe| recipe.thresholds = vec![2.0]),
        ("margin", &|recipe| recipe.margin = 1.0),
        ("max_new_tokens", &|recipe| recipe.max_new_tokens = 16),
    ];
    for (key, change) in staying {
        assert_eq!(changed(change), before, "{key}");
    }
}
