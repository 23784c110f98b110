//! The steps of a notebook, and that a recipe is these steps in a loop.

use crate::support::assert_refused;
use polars::prelude::DataFrame;
use std::path::Path;
use unforget::analysis;
use unforget::context::Context;
use unforget::dataset::Dataset;
use unforget::experiment::{DataSizes, Experiment, Recipe, Source};
use unforget::model::{Checkpoint, DeviceChoice};
use unforget::progress::Progress;
use unforget::scored::Scored;
use unforget::select::Weighting;
use unforget::self_output::Candidates;
use unforget::store::Store;
use unforget::train::{Objective, TrainConfig};
use unforget::verbs::{self, finetune, score};

fn context(folder: &Path) -> Context {
    let store = Store::open(folder).unwrap();
    Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap()
}

/// Four items of the lab, scored by its model, and a short training.
fn lab(folder: &Path) -> (Context, Checkpoint, Scored, TrainConfig) {
    let cx = context(folder);
    let recipe = Recipe::quick();
    let base = recipe.base(&cx.progress).unwrap();
    let items = recipe.items("code", "train", 4).unwrap();
    let truth = score(&cx, &base, "ground truth", &items).unwrap();
    let config = TrainConfig {
        learning_rate: 3e-3,
        seed: 1,
        num_epochs: 2,
        batch_size: 2,
        ..recipe.finetune
    };
    (cx, base, truth, config)
}

#[test]
fn a_rule_that_follows_the_model_is_trained_so() {
    let folder = tempfile::tempdir().unwrap();
    let (cx, base, truth, config) = lab(folder.path());
    let tuned = |rule: &str, config: &TrainConfig| {
        finetune(&cx, &base, &truth.mask(rule).unwrap(), config).unwrap()
    };
    let dft = tuned("dft", &config);
    // the same gradient by another name
    let bounded = TrainConfig { objective: Objective::Probability { q: 1.0 }, ..config.clone() };
    let ratio = dft.relative_weight_change / tuned("all", &bounded).relative_weight_change;
    assert!((ratio - 1.0).abs() < 1e-3, "{ratio}");
    let frozen = tuned("p_base", &config);
    assert_ne!(frozen.relative_weight_change, dft.relative_weight_change);
    let profit = tuned("profit(0.1)", &config);
    let churn: Vec<bool> = profit.steps.iter().map(|s| s.churn.is_some()).collect();
    assert_eq!(churn, [false, false, true, true]);
    let mask = analysis::card(&cx, &dft).unwrap().mask.unwrap();
    assert_eq!(mask.rule.as_deref(), Some("dft"));
}

#[test]
fn a_second_model_scores_the_same_items() {
    let folder = tempfile::tempdir().unwrap();
    let (cx, base, truth, _) = lab(folder.path());
    // the model against itself: nothing became harder
    let all = truth.mask_against("dpf(0)", &truth).unwrap();
    assert_eq!(all.masked_share(), 0.0);
    let fewer = score(&cx, &base, "two", &truth.items[..2]).unwrap();
    assert_refused(truth.mask_against("dpf(0)", &fewer), &["other tokens"]);
    for (rule, part) in [("dpf(0)", "second model"), ("eaft(1)", "trainer alone")] {
        assert_refused(truth.mask(rule), &[rule, part]);
    }
}

#[test]
fn a_data_set_is_scored_without_graders() {
    let folder = tempfile::tempdir().unwrap();
    let (cx, base, ..) = lab(folder.path());
    let rows = "{\"question\": \"2 + 2?\", \"answer\": \"4\"}\n";
    let data = Dataset::parse(rows.as_bytes(), "sums.jsonl".as_ref()).unwrap();
    let scored = verbs::score_data(&cx, &base, &data).unwrap();
    assert!(scored.items.is_empty() && scored.perplexity() > 1.0);
    let shown = scored.tokens(0).unwrap();
    assert_eq!(shown.item, "sums:1");
    assert!(shown.tokens.iter().all(|token| !token.style));
    assert!(scored.tokens(1).is_err());
}

fn sum(frame: &DataFrame, column: &str) -> f64 {
    let column = frame.column(column).unwrap().as_materialized_series();
    column.sum::<f64>().unwrap()
}

/// One row for each token, and one for each item: what tables of both are made of.
#[test]
fn tokens_and_answers_come_as_frames() {
    let folder = tempfile::tempdir().unwrap();
    let (cx, base, truth, _) = lab(folder.path());
    let low = truth.mask("stm(2.5)").unwrap();
    let (tokens, masked) = (truth.frame().unwrap(), low.frame().unwrap());
    let count: usize = truth.sequences.iter().map(|sequence| sequence.len()).sum();
    assert_eq!((tokens.height(), masked.height()), (count, count));
    assert_eq!(sum(&tokens, "weight"), low.counts().completion as f64);
    assert_eq!(sum(&masked, "weight"), low.counts().learned as f64);
    let recipe =
        Recipe { sizes: DataSizes { train: 4, validation: 2, test: 2 }, ..Recipe::quick() };
    let answers = verbs::evaluate(&cx, &base, "base", &recipe.test().unwrap()).unwrap();
    let frame = answers.frame().unwrap();
    assert_eq!(frame.height(), 2 * (1 + recipe.non_target.len()));
    let right: f64 = answers.scores().tasks.iter().map(|task| 2.0 * task.value()).sum();
    assert_eq!(sum(&frame, "value"), right);
    let unscored = Scored { scores: Vec::new(), ..truth };
    assert_refused(unscored.frame(), &["0 scores"]);
}

/// The page of a notebook in a loop is the recipe: the same adapters, byte for byte.
#[test]
fn a_recipe_is_a_loop_over_the_steps_of_a_notebook() {
    let folder = tempfile::tempdir().unwrap();
    let (notebook, recipes) =
        (context(&folder.path().join("notebook")), context(&folder.path().join("recipe")));
    let quick = Recipe::quick();
    let recipe = Recipe {
        arms: ["ground_truth", "self_output", "rephrase", "stm(2.5)", "random_mask(2.5)", "dpf(0)"]
            .iter()
            .chain(&["dft", "stm(2.5) on self_output"])
            .map(|arm| arm.parse().unwrap())
            .collect(),
        sizes: DataSizes { train: 12, validation: 2, test: 2 },
        finetune: TrainConfig { num_epochs: 1, batch_size: 4, ..quick.finetune.clone() },
        ..quick
    };
    let experiment = Experiment::prepare(&recipes, &recipe).unwrap();
    // the notebook's page
    let (cx, recipe) = (&notebook, &recipe);
    let base = recipe.base(&cx.progress).unwrap();
    let items = recipe.items(&recipe.target, "train", recipe.sizes.train).unwrap();
    let truth = score(cx, &base, "ground truth", &items).unwrap();
    let own = verbs::self_output(cx, &base, "self-output", &items, &recipe.self_output).unwrap();
    let own = own.chosen(&items, recipe.self_output.lowest, Candidates::Correct);
    let own = score(cx, &base, "self-output", &own).unwrap();
    let new = verbs::rephrase(cx, &base, "rephrase", &items, &recipe.rephrase).unwrap();
    let new = new.chosen(&items, recipe.rephrase.lowest, Candidates::Correct);
    let new = score(cx, &base, "rephrase", &new).unwrap();
    let (rate, seed) = (recipe.learning_rates[0], recipe.seeds[0]);
    let first = TrainConfig { seed, ..recipe.finetune.clone() };
    let first = finetune(cx, &base, &truth.mask("all").unwrap(), &first).unwrap();
    let harder = score(cx, &first.checkpoint, "after", &items).unwrap();
    let config = TrainConfig { learning_rate: rate, seed, ..recipe.finetune.clone() };
    for arm in &recipe.arms {
        let masked = match (arm.source, arm.rule.needs().reference) {
            (_, true) => truth.mask_against("dpf(0)", &harder),
            (Source::SelfOutput, _) => own.mask(&arm.rule.to_string()),
            (Source::Rephrase, _) => new.mask(&arm.rule.to_string()),
            _ => truth.mask(&arm.rule.to_string()),
        };
        let here = finetune(cx, &base, &masked.unwrap(), &config).unwrap();
        let there = experiment.tuned(arm, rate, seed).unwrap();
        let adapter = |tuned: &verbs::Tuned| {
            let folder = tuned.checkpoint.adapter.clone().unwrap();
            std::fs::read(folder.join("adapter_model.safetensors")).unwrap()
        };
        assert!(adapter(&here) == adapter(&there), "{arm}");
        assert_eq!(here.steps, there.steps, "{arm}");
    }
    let masks = [1, 2].map(|seed| experiment.masked(&recipe.arms[4], seed).unwrap().weights);
    assert_ne!(masks[0], masks[1], "chance draws by the seed");
}

/// With one rate for all, every arm is trained at it with every seed, and validation still chooses among the arm's own rates. What each model answered is
/// kept row by row, and the seconds are those of the work, not of the call.
#[test]
fn one_rate_for_all_is_run_with_every_seed() {
    let folder = tempfile::tempdir().unwrap();
    let cx = context(folder.path());
    let quick = Recipe::quick();
    let recipe = Recipe {
        arms: ["ground_truth", "stm(2.5)"].map(|arm| arm.parse().unwrap()).to_vec(),
        non_target: vec!["word".into()],
        learning_rates: vec![1e-4],
        common_learning_rate: Some(1e-3),
        seeds: vec![1, 2],
        sizes: DataSizes { train: 4, validation: 2, test: 2 },
        finetune: TrainConfig { num_epochs: 1, batch_size: 4, ..quick.finetune.clone() },
        max_new_tokens: 8,
        ..quick
    };
    let results = Experiment::prepare(&cx, &recipe).unwrap().run().unwrap();
    let made: Vec<(&str, f64, u64, bool)> = results
        .runs
        .iter()
        .map(|run| (run.arm.as_str(), run.learning_rate, run.seed, run.chosen))
        .collect();
    let of = |arm| {
        [(arm, 1e-4, 1, true), (arm, 1e-4, 2, true), (arm, 1e-3, 1, false), (arm, 1e-3, 2, false)]
    };
    assert_eq!(made, [of("ground_truth"), of("stm(2.5)")].concat());
    assert_eq!(results.common_learning_rate, Some(1e-3));
    // base and eight runs, two items of two tasks each
    assert_eq!(results.answers.len(), 9 * 4);
    let right =
        |at: usize| results.answers[4 * at..4 * at + 4].iter().map(|row| row.value).sum::<f64>();
    let scored = |test: &[unforget::experiment::results::TaskScore]| {
        test.iter().flat_map(|task| &task.items).map(|item| item.value).sum::<f64>()
    };
    assert_eq!(right(0), scored(&results.base));
    for (at, run) in results.runs.iter().enumerate() {
        let row = &results.answers[4 * (at + 1)];
        assert_eq!(
            (&*row.model, row.learning_rate, row.seed),
            (&*run.arm, Some(run.learning_rate), Some(run.seed))
        );
        assert_eq!(right(at + 1), scored(&run.test));
    }
    let seconds = results.seconds.unwrap();
    assert!(seconds > 0.0);
    let again = Experiment::prepare(&cx, &recipe).unwrap().run().unwrap();
    assert_eq!(again.seconds, Some(seconds));
    // the book-keeping of one experiment is not another's
    let fewer = Recipe { arms: recipe.arms[..1].to_vec(), ..recipe };
    assert!(Experiment::prepare(&cx, &fewer).unwrap().run().unwrap().seconds.unwrap() < seconds);
}

#[test]
fn the_papers_rule_is_one_value() {
    let built = Weighting::stm(2.5).unwrap();
    for text in ["stm(2.5)", "stm", " stm( 2.50 ) "] {
        assert_eq!(text.parse::<Weighting>().unwrap(), built);
    }
    assert_eq!(built.to_string(), "stm(2.5)");
    assert_eq!(built.expanded(), "keep(ppl_base <= 2.5) over kept");
    assert_eq!("all".parse::<Weighting>().unwrap(), Weighting::all());
    assert_refused(Weighting::stm(0.0), &["threshold", "above 0"]);
    assert_refused(Weighting::stm(f64::NAN), &["threshold", "above 0"]);
}
