//! Which tokens to learn from, and how much.
//!
//! The paper's finding is one rule: learn a token only if the base model already finds it plausible. It has many relatives, and all
//! of them are `L = Σ weight · surprisal / Z`: they differ in the weight, and in what the sum is divided by. A [`Weighting`] says the
//! weight as an expression over what models say of each token ([`Signals`]); what comes in is numbers, so rules can be read and tested alone,
//! without a model.
//!
//! ```
//! use unforget::select::{LossMask, ModelSignals, Signals, TokenClass, Weighting};
//! // Two prompt tokens, then four tokens of an answer, the second of which surprises the base model; the last one ends the turn.
//! let perplexity = [None, Some(90.0f32), Some(1.2), Some(31.0), Some(2.4), Some(1.0)];
//! let mut class = vec![TokenClass::Words; 6];
//! class[5] = TokenClass::EndOfTurn;
//! let example = Signals {
//!     completion: LossMask::from_iter([false, false, true, true, true, true]),
//!     class,
//!     base: Some(ModelSignals {
//!         log_prob: perplexity.map(|ppl| ppl.map(|ppl| -ppl.ln())).to_vec(),
//!         ..ModelSignals::default()
//!     }),
//!     ..Signals::default()
//! };
//! let rule: Weighting = "keep(ppl_base <= 2.5) & !class(end_of_turn)".parse()?;
//! assert_eq!(rule.weights(&[example], 0)?, [[0.0, 0.0, 1.0, 0.0, 1.0, 0.0]]);
//! # Ok::<(), unforget::error::Error>(())
//! ```
//!
//! # The language
//!
//! An expression is a **mask** (true: the token is learned from, with weight 1) or a **number** (the weight itself). The two do not
//! mix, and a mistake is answered with the line and a caret under the place. After it may stand `over NORMALIZER`, what the sum is
//! divided by ([`Normalizer`]: `kept`, `completion`, `weights`, `batch`), and `every N`, the optimizer steps between two scorings of the
//! current model.
//!
//! | mask | keeps |
//! |---|---|
//! | `all` | every completion token |
//! | `keep(A <= B)`, also `<` `>` `>=`; `keep` can be left out | tokens for which it holds, in single precision |
//! | `class(words, numbers, …)` | tokens of these [classes](TokenClass) |
//! | `!M`, `drop(M)`; `M & N`; `M \| N` | not; both; either |
//! | `top(SHARE, A, per: S)`, `bottom(…)` | the share of the completion tokens of each `S` at which `A` is highest, or lowest; of equals the earlier |
//! | `random(like: M)` | as many tokens of each example as `M`, drawn at random |
//! | `shuffled(like: M)` | as many tokens of each class in each example as `M`, drawn at random |
//! | `highest(A, like: M)`, `lowest(A, like: M)` | as many tokens of each example as `M`, those at which `A` is highest, or lowest |
//!
//! | number | is |
//! |---|---|
//! | `2.5`, `1e-3`, `inf` | itself |
//! | `ppl_base`, `p_base`, `log_prob_base`, `surprisal_base` | perplexity, probability, log-probability and surprisal (nats) of the token under the model before fine-tuning |
//! | `entropy_base`, `entropy_top_base`, `rank_base` | entropy of its whole distribution and of its 20 most probable tokens (nats), and how many tokens are more probable |
//! | `…_current`, `…_reference` | the same under the model as it is in training, and under another model |
//! | `uniform` | drawn from 0 to 1 for each token |
//! | `A + B`, `-`, `*`, `/`, `^`; `ln(A)`, `exp(A)`, `abs(A)`, `min(A, B)`, `max(A, B)` | calculated; `-a ^ b` is `-(a ^ b)` |
//! | `if(M, A, B)` | `A` where the mask keeps, else `B` |
//! | `by_class(words: A, numbers: B, else: C)` | a number for each class |
//! | `mean(A, per: S)`, `median(…)`, `quantile(SHARE, A, per: S)` | one number for each `S`, of the completion tokens; of the examples, if `A` is one number for each of them |
//!
//! `S` is `example`, `batch` (the examples of one optimizer step) or `data` (the whole set), the default.
//!
//! **A value that is not there is none**, never 10 or -100: the first token has no context, a scorer with other tokens may not cover
//! one. What is calculated from it is none too, a mask that depends on it is unknown, and an unknown token weighs 0. `!` of
//! unknown is unknown, so turning a rule round does not let such tokens in; `&` and `|` are unknown only where the other side does not decide.
//!
//! # Published methods
//!
//! Each of these names ([`PRESETS`]) stands for an expression, in which it is computed; golden vectors for all of them are in
//! `tests/reference/weights.json`, from the published formulas. *Online* ones change in training. `Z` is what the publication divides by: it
//! counts where the preset is the whole expression and no other is named.
//!
//! | preset | expression | Z | | source |
//! |---|---|---|---|---|
//! | `stm(2.5)` | `keep(ppl_base <= 2.5)` | kept | offline | arXiv 2501.14315, § 3 |
//! | `stm_quantile(0.8)` | `keep(ppl_base <= quantile(0.8, ppl_base))` | kept | offline | same rule, threshold by share |
//! | `stm_by_class(words: 2.5, else: 10)` | `keep(ppl_base <= by_class(words: 2.5, else: 10))` | kept | offline | same rule, a threshold for each class |
//! | `stm_scorer(2.5)` | `keep(ppl_reference <= 2.5)` | kept | offline | same, Table 3, last row |
//! | `dpf(0)` | `keep(ppl_reference - ppl_base <= 0)` | kept | offline | same, App. G; the reference is fine-tuned |
//! | `stm_dpf(100, 0)` | both of these | kept | offline | same |
//! | `random_mask(2.5)`, `lowest_mask(2.5)` | `random(like: stm(2.5))`, `highest(ppl_base, like: stm(2.5))` | kept | offline | same, § 5.1, counts made equal |
//! | `shuffled_mask(2.5)` | `shuffled(like: stm(2.5))` | kept | offline | ours |
//! | `rho1(0.6)` | `top(0.6, surprisal_current - surprisal_reference, per: batch)` | kept | online | arXiv 2404.07965 |
//! | `token_cleaning(0.6)`, `token_cleaning_per_sample(0.6)` | `top(0.6, surprisal_base - surprisal_reference, per: data)`, `per: example` | kept | offline | arXiv 2502.01968, code |
//! | `profit(0.1)`, `profit_lower(0.1)`, `profit_middle(0.1, 0.9)` | `keep(p_current >= 0.1)` and its controls | completion | online | arXiv 2601.09195, code |
//! | `profit_random(0.1)` | `keep(uniform >= 0.1)`: its random control | completion | offline | same |
//! | `dft` | `p_current` | completion | online | arXiv 2508.05629, code |
//! | `asft` | `p_current`, beside an anchor in the loss | completion | online | arXiv 2509.23753, code |
//! | `eaft(1)` | `(entropy_top_current / ln(20)) ^ 1` | completion | online | arXiv 2601.02151 |
//! | `eaft_llamafactory(1)`, `eaft_axolotl(1)` | divided by 3; not divided | completion | online | their code: three step sizes under one name |
//! | `talr(0.01)` | `max(0.01, p_current ^ (1 / T))`, `T` the batch's median over examples of their mean surprisal | completion | online | arXiv 2509.20758 |
//! | `flow` | `exp(-mean(surprisal_base, per: example) / T)`, `T` the data's median of the same mean | completion | offline | arXiv 2502.02797, code |
//! | `flow_token` | `exp(-surprisal_base / median(surprisal_base))` | completion | offline | same |
//! | `psft(0.28)` | `r` where `r = p_current / p_reference <= 1.28`, else 0: the clipped objective's gradient | completion | online | arXiv 2508.17784, code |
//! | `probability(1)` | `p_current ^ q`: the gradient of `(1 - p^q) / q` | completion | online | arXiv 2510.00526, code |
//! | `probability_top(0.5)`, `probability_bottom(0.5)` | `p_current` on one side of a probability, else 0 | kept | online | same |
//! | `infosft(0.93)` | `max(0, p (1 - logit(p) / logit(0.93)))`, `p` for `p_current` | completion | online | arXiv 2605.14967, code |
//! | `trsft(0.1)`, `trsft_shift(0.1)` | `min(1, p_current / 0.1)`; `p_current * (1 / max(p_current, 0.1) - 0.5)` | completion | online | arXiv 2512.17636, code |
//! | `chord_phi` | `p_current * (1 - p_current)` | completion | online | arXiv 2508.11408, code |
//! | `deft_cayley` | `p ^ a`, `a = f + (1 - f) p / (2 - p)` for each token, `f` half of the batch's mean `p` | completion | online | arXiv 2602.11424, code |
//! | `eksft_entropy(0.2)` | `!top(0.2, entropy_current, per: batch)` | kept | online | arXiv 2605.29303, its entropy half |
//!
//! Names of others: PEFT has an adapter called `deft`, which is something else than DEFT's loss. EKSFT's code takes KL and entropy at the place that
//! predicts a token and masks the label of that place, which is the token before; and at its first step the model is its reference, so that the
//! largest KL are arbitrary ones of zeros. Here an entropy belongs to the token that is predicted.
//!
//! Three points are choices of ours. TALR's divisor is in no text that we could read. The published code of Token Cleaning
//! takes its share of all tokens of a row, prompts included; here a share is one of the completion's tokens. ProFit's code draws its random
//! control again at each step; here it is drawn once, as nothing in it changes.

mod class;
mod evaluate;
mod expression;
mod mask;
mod normalizer;
mod parse;
mod preset;
mod signal;
mod span;
mod spelling;
mod weighting;

#[cfg(test)]
mod tests;

pub use class::TokenClass;
pub use expression::Needs;
pub use mask::{Counts, LossMask, low_perplexity};
pub use normalizer::Normalizer;
pub use preset::{Bounds, PRESETS, Parameter, Preset};
pub use signal::{ModelSignals, Signals, TOP};
pub use span::carry_over;
pub use spelling::{canonical, respelled};
pub use weighting::{Weighting, churn};
