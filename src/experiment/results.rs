//! What came out of an experiment, as plain data: every table, figure and report is a view of [`Results`].

pub use crate::answers::AnswerRow;
pub use crate::evaluate::{ItemScore, TaskScore};
pub use crate::ledger::{ClassShare, ThresholdPoint};
use crate::perplexity::Quantiles;
use crate::probe::{Row, Stopped};
use crate::scored::named;
pub use crate::scored::{TokenExample, TokenView};
use crate::train::divergence;
pub use crate::weight_change::LayerChange;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything an experiment computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The recipe's name, such as `lab`.
    pub name: String,
    /// The task that was trained for.
    pub target: String,
    /// The tasks that should not be lost, in the order of the recipe.
    pub non_target: Vec<String>,
    /// The untouched model on every task (test split): target first, then `non_target`.
    pub base: Vec<TaskScore>,
    /// The untouched model on the validation split of the target task.
    pub base_validation: f64,
    /// The recipe's margin: a mean loss on the non-target tasks of fewer points counts as none.
    #[serde(default = "margin")]
    pub margin: f64,
    /// The one rate at which every arm was trained with every seed, if the recipe names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_learning_rate: Option<f64>,
    /// One entry for each arm, rate and seed, in the order of the recipe.
    pub runs: Vec<Run>,
    /// What was done to make each arm's training data, in the order of the recipe.
    pub data: Vec<DataSummary>,
    /// For each threshold of the threshold curve, how much it masks and, where style tokens are known, which of them.
    pub thresholds: Vec<ThresholdPoint>,
    /// Examples token by token, one per arm and item, for spike plots and heat maps.
    pub examples: Vec<TokenExample>,
    /// Seconds of all the work behind these results, whenever it was done: the sum of what each used result's card says. Side by side, several pass at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What each model answered: base first, then each run. Not in `results.json`, but in a table of its own beside it.
    #[serde(skip)]
    pub answers: Arc<Vec<AnswerRow>>,
}

/// Of results that were written before recipes had one.
fn margin() -> f64 {
    crate::stats::Design::default().margin
}

/// One fine-tuning run and its evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Name of the arm as the recipe has it: `ground_truth`, `self_output`, `stm(2.5)`, `stm(2.5)@dora`.
    #[serde(deserialize_with = "named")]
    pub arm: String,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Seed of initialization, order and masks.
    pub seed: u64,
    /// Whether this arm's rate is the one that the stated rule chose.
    pub chosen: bool,
    /// Threshold of the token perplexity, for arms that have one.
    pub threshold: Option<f64>,
    /// Items trained on.
    pub items: usize,
    /// Completion tokens of the training data, counted once.
    pub completion_tokens: usize,
    /// Those that were learned (mask true).
    pub learned_tokens: usize,
    /// Tokens read over all steps, prompts included: what the training cost, whatever the machine.
    pub tokens_seen: usize,
    /// Tokens learned over all steps.
    pub tokens_learned: usize,
    /// Mean training loss of each optimizer step.
    pub losses: Vec<f64>,
    /// Target score on the validation split after training.
    pub validation: f64,
    /// Test scores: target first, then non-target in the recipe's order.
    pub test: Vec<TaskScore>,
    /// Frobenius norm of the weight change, over all adapted matrices together, relative to the weights' own norm.
    pub relative_weight_change: f64,
    /// What happened to each adapted layer.
    pub layers: Vec<LayerChange>,
    /// Wall seconds of training.
    pub train_seconds: f64,
    /// Its run in the store, as `unforget card` and `unforget verify` take it: `finetune/LABEL-HASH`. Empty in results of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// What the probe sets said while it was trained; empty if the recipe names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Row>,
    /// Why training ended before its last step, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

impl DataSummary {
    /// How the perplexities of the examples are spread.
    pub fn spread(&self) -> Option<Quantiles> {
        Quantiles::of(self.perplexities.iter().copied())
    }
}

impl Run {
    /// Whether the training has diverged: see [`divergence`].
    pub fn diverged(&self) -> bool {
        divergence(self.relative_weight_change).is_some()
    }
}

/// How the training data of one arm came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// The arm.
    #[serde(deserialize_with = "named")]
    pub arm: String,
    /// Training items asked for.
    pub asked: usize,
    /// Items kept.
    pub kept: usize,
    /// Ids of items, or places of rows, that were left out because they cannot be used, as the recipe's `skip_unusable` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<String>,
    /// Answers sampled to make them (0 for ground truth).
    pub sampled: usize,
    /// Share of sampled answers that were right.
    pub accepted: Option<f64>,
    /// Mean over examples of exp(mean surprisal of the completion, given the prompt): the paper's Table 1.
    pub perplexity_given_prompt: f64,
    /// Population variance over examples of the same.
    pub perplexity_variance: f64,
    /// The same for each example, in the order of the data.
    pub perplexities: Vec<f64>,
    /// Mean over examples of exp(mean surprisal of the bare answer text without prompt or template): the paper's selector and Figure 2.
    pub perplexity_of_text_alone: f64,
    /// Median over examples of the same, which says what is usual where a few examples make the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_of_text_alone: Option<f64>,
    /// Share of completion tokens with a token perplexity above 2.5.
    pub share_above_2_5: f64,
    /// The completion tokens by what they are made of.
    pub classes: Vec<ClassShare>,
    /// Wall seconds of sampling and grading its answers; 0 for what was there already.
    pub seconds: f64,
}
