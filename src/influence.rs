//! Which tokens do the damage: what learning one token alone would do to a model's other skills, to first order.
//!
//! A step of gradient descent on the surprisal `ℓ_t` of one token moves the trained weights by `−η ∇ℓ_t`, and with that the mean surprisal `L` of
//! another data set by
//!
//! ```text
//! ΔL  =  −η ∇ℓ_t · ∇L  +  O(η²)
//! ```
//!
//! [`Influence`] has `−∇ℓ_t · ∇L` of every answer token: above 0 the token makes the other data less likely, below 0 more. `∇ℓ_t · ∇L` is the
//! derivative of `ℓ_t` in the direction `∇L`, so one backward pass on the other data and two forward passes on the answers, at `θ ± ε ∇L`, give
//! it for all tokens at once, where a backward pass for each token would take thousands.
//!
//! The weights are those of an adapter as it begins, so its `B` is zero and only the gradient of `B` counts: the first step of the training. AdamW
//! scales each weight's step by what came before, which first order does not see.

use crate::adapter::{self, LoraConfig};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::{Batch, Checkpoint, Decoder, Precision};
use crate::perplexity;
use crate::rng::Rng;
use crate::scored::Scored;
use crate::select::TokenClass;
use crate::stats;
use crate::verbs::kept;
use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

/// By how much the other data's mean surprisal is to rise on the way along its gradient, in nats: enough to stand out of f32's rounding, little
/// enough for the derivative.
const RISE: f64 = 1e-3;
/// Tokens whose gradient is computed together.
const TOKENS: usize = 4096;

/// What learning each token of some answers would do to other data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Influence {
    /// Whose answers they are.
    pub answers: String,
    /// The other data, in the order of [`TokenInfluence::on`].
    pub others: Vec<Other>,
    /// The answers' tokens, one list for each answer.
    pub tokens: Vec<Vec<TokenInfluence>>,
}

/// Data that may become less likely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Other {
    /// What it is called.
    pub name: String,
    /// Its mean surprisal before any training, in nats for each answer token.
    pub surprisal: f64,
    /// Length of its gradient.
    pub gradient_norm: f64,
    /// How much of the tokens' derivatives is curvature: the root mean square difference of those over `ε` and over `2 ε`, as a share of the
    /// derivatives' root mean square.
    pub curvature: f64,
}

/// One token of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenInfluence {
    /// Its place in the sequence.
    pub position: usize,
    /// Its text.
    pub text: String,
    /// What kind of text it is.
    pub class: TokenClass,
    /// Its perplexity before any training.
    pub perplexity: f64,
    /// `−∇ℓ · ∇L` for each of the other data: the change of its mean surprisal, in nats, for a step of length 1 along the token's gradient.
    pub on: Vec<f64>,
}

/// Tokens that are looked at together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// What they have in common, such as `2.5 to 5`.
    pub name: String,
    /// How many there are.
    pub tokens: usize,
    /// Geometric mean of their perplexities.
    pub perplexity: f64,
    /// Mean influence of a token, with a 95 % interval over answers.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of the whole harm (the sum of influences above 0) that they do.
    pub share_of_harm: f64,
}

/// Edges of the ranges of perplexity that [`Influence::by_perplexity`] takes where none are given; the paper's threshold is one of them.
pub const EDGES: [f64; 9] = [1.0, 1.1, 1.5, 2.5, 5.0, 10.0, 30.0, 100.0, 1000.0];

/// What learning each token of `answers` would do to the mean surprisal of each of `others`, by an adapter that begins as `config` and `seed` say.
///
/// # Errors
/// There is nothing to learn or nothing to lose, the checkpoint has an adapter already, or the device does not compute in f32.
pub fn influence(
    cx: &Context,
    checkpoint: &Checkpoint,
    answers: &Scored,
    others: &[&Scored],
    (config, seed): (&LoraConfig, u64),
) -> Result<Influence> {
    if !cx.device.is_host() {
        let problem =
            "differences this small need f32, which a GPU is not asked for here; use --device cpu";
        return Err(Error::invalid("device", problem));
    }
    if checkpoint.adapter.is_some() {
        let problem = "influence is that of the first step of a new adapter; merge this one into the model first (unforget export merged)";
        return Err(Error::invalid("adapter", problem));
    }
    let has_answers =
        |scored: &Scored| scored.sequences.iter().any(|of| of.completion.learned() > 0);
    for scored in others.iter().copied().chain([answers]) {
        if !has_answers(scored) {
            return Err(Error::invalid(&scored.name, "has no answer token"));
        }
    }
    if others.is_empty() {
        return Err(Error::invalid("others", "there is no data that could become less likely"));
    }
    let sequences = |scored: &Scored| -> Vec<(Vec<u32>, Vec<f32>)> {
        let all = scored.sequences.iter().zip(scored.every_token());
        all.map(|(sequence, weights)| (sequence.ids.clone(), weights)).collect()
    };
    let named: Vec<_> = others.iter().map(|of| (of.name.as_str(), sequences(of))).collect();
    let inputs = cx
        .fingerprint(checkpoint)?
        .with("answers", &sequences(answers))?
        .with("others", &named)?
        .with("adapter", config)?
        .with("seed", &seed)?;
    let label = format!("{} on {} others", answers.name, others.len());
    let (influence, _) = kept(cx, ("influence", &label), checkpoint, &inputs, |_, _| {
        let mut decoder = checkpoint.load_base_in(&cx.device, Precision::F32)?.decoder;
        adapter::attach(&mut decoder, config, seed)?;
        let bar = cx.progress.bar(&format!("influence of {label}"), others.len());
        let mut columns = Vec::new();
        for (at, (name, other)) in named.iter().enumerate() {
            columns.push(derivatives(&decoder, answers, name, other)?);
            bar.set(at + 1);
        }
        let before = perplexity::score(&decoder, &answers.ids(), |_| {})?;
        let mut rows = Vec::new();
        for (at, sequence) in answers.sequences.iter().enumerate() {
            let surprisal = before[at].perplexity();
            // the first token of a text has no context
            let positions = sequence.completion.positions().filter(|at| *at > 0);
            let row = |position: usize| TokenInfluence {
                position,
                text: sequence.token_text(position).to_string(),
                class: answers.classes[at][position],
                perplexity: surprisal[position].map_or(f64::NAN, f64::from),
                on: columns.iter().map(|(_, column)| -column[at][position]).collect(),
            };
            rows.push(positions.map(row).collect());
        }
        let others = columns.into_iter().map(|(other, _)| other).collect();
        Ok(Influence { answers: answers.name.clone(), others, tokens: rows })
    })?;
    Ok(influence)
}

/// `∇ℓ_t · ∇L` of each token of each answer, `L` the mean surprisal of the answer tokens of `other`.
fn derivatives(
    decoder: &Decoder,
    answers: &Scored,
    name: &str,
    other: &[(Vec<u32>, Vec<f32>)],
) -> Result<(Other, Vec<Vec<f64>>)> {
    let count: f32 = other.iter().flat_map(|(_, weights)| weights.iter().skip(1)).sum();
    let (mut gradient, mut surprisal) = (vec![None::<Tensor>; decoder.trainable().len()], 0.0);
    let mut rest = other;
    while !rest.is_empty() {
        let mut batch = Batch::new();
        let mut taken = 0;
        while taken < rest.len() && (taken == 0 || batch.tokens() + rest[taken].0.len() <= TOKENS) {
            let (ids, weights) = &rest[taken];
            let weights: Vec<f32> = weights.iter().map(|weight| weight / count).collect();
            batch.push(ids, &weights);
            taken += 1;
        }
        rest = &rest[taken..];
        let part = decoder.gradient(&batch, true, None)?;
        surprisal += part.loss.log_prob.iter().map(|l| -f64::from(*l)).sum::<f64>();
        for (sum, part) in gradient.iter_mut().zip(part.gradients) {
            *sum = match (sum.take(), part) {
                (Some(sum), Some(part)) => Some((sum + part)?),
                (sum, part) => sum.or(part),
            };
        }
    }
    let mut square = 0.0;
    for part in gradient.iter().flatten() {
        square += f64::from(part.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    if square == 0.0 || !square.is_finite() {
        let problem = format!(
            "its gradient has the length {}, so that nothing can be said of it",
            square.sqrt()
        );
        return Err(Error::invalid(name, problem));
    }
    let step = RISE / square;
    let near = difference(decoder, answers, &gradient, step)?;
    let far = difference(decoder, answers, &gradient, 2.0 * step)?;
    let (mut sum, mut off) = (0.0, 0.0);
    for (near, far) in near.iter().flatten().zip(far.iter().flatten()) {
        sum += near * near;
        off += (near - far) * (near - far);
    }
    let other = Other {
        name: name.to_owned(),
        surprisal: surprisal / f64::from(count),
        gradient_norm: square.sqrt(),
        curvature: (off / sum.max(f64::MIN_POSITIVE)).sqrt(),
    };
    Ok((other, near))
}

/// `(ℓ(θ + step g) − ℓ(θ − step g)) / (2 step)` of each token; 0 where one has no context. The weights are put back.
fn difference(
    decoder: &Decoder,
    answers: &Scored,
    gradient: &[Option<Tensor>],
    step: f64,
) -> Result<Vec<Vec<f64>>> {
    let vars: Vec<&Var> = decoder.trainable().iter().map(|(_, var)| var).collect();
    let begun: Vec<Tensor> =
        vars.iter().map(|var| var.as_tensor().copy()).collect::<candle_core::Result<_>>()?;
    let set = |by: f64| -> Result<()> {
        for ((var, begun), part) in vars.iter().zip(&begun).zip(gradient) {
            match part {
                Some(part) => var.set(&(begun + (part * by)?)?)?,
                None => var.set(begun)?,
            }
        }
        Ok(())
    };
    let scores = |by: f64| {
        set(by)?;
        perplexity::score(decoder, &answers.ids(), |_| {})
    };
    let both = scores(step).and_then(|above| Ok((above, scores(-step)?)));
    set(0.0)?;
    let (above, below) = both?;
    let of = |(above, below): (&perplexity::TokenScores, &perplexity::TokenScores)| {
        let pairs = above.log_prob.iter().zip(&below.log_prob);
        // log-probabilities are the surprisals' negatives
        let one = |pair: (&Option<f32>, &Option<f32>)| match pair {
            (Some(above), Some(below)) => (f64::from(*below) - f64::from(*above)) / (2.0 * step),
            _ => 0.0,
        };
        pairs.map(one).collect()
    };
    Ok(above.iter().zip(&below).map(of).collect())
}

impl Influence {
    /// The place of one of the others in [`TokenInfluence::on`].
    ///
    /// # Errors
    /// There is none of that name.
    pub fn on(&self, name: &str) -> Result<usize> {
        self.others.iter().position(|other| other.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.others.iter().map(|other| other.name.as_str()).collect();
            Error::invalid("other", format!("there is no `{name}`, only {}", names.join(", ")))
        })
    }

    /// Mean influence on one of the others over ranges of the token perplexity. Ranges without a token are left out.
    ///
    /// # Panics
    /// There is no such place in [`TokenInfluence::on`].
    pub fn by_perplexity(&self, on: usize, edges: &[f64]) -> Vec<Group> {
        let mut groups = Vec::new();
        for at in 0..edges.len() {
            let (from, to) = (edges[at], edges.get(at + 1).copied().unwrap_or(f64::INFINITY));
            let name = match to.is_finite() {
                true => format!("{from} to {to}"),
                false => format!("above {from}"),
            };
            // a token that meets an edge is below it, as one that meets STM's threshold is kept
            let first = at == 0;
            groups.extend(self.group(on, name, |token| {
                (token.perplexity > from || first) && token.perplexity <= to
            }));
        }
        groups
    }

    /// The same by the tokens' classes.
    ///
    /// # Panics
    /// As [`Influence::by_perplexity`].
    pub fn by_class(&self, on: usize) -> Vec<Group> {
        let mut groups = Vec::new();
        for (name, class) in TokenClass::NAMES {
            groups.extend(self.group(on, name.into(), |token| token.class == class));
        }
        groups
    }

    fn group(
        &self,
        on: usize,
        name: String,
        within: impl Fn(&TokenInfluence) -> bool,
    ) -> Option<Group> {
        let all = self.tokens.iter().flatten();
        let harm: f64 = all.map(|token| token.on[on].max(0.0)).sum();
        let of_answer = |tokens: &Vec<TokenInfluence>| -> Vec<f64> {
            tokens.iter().filter(|token| within(token)).map(|token| token.on[on]).collect()
        };
        let by_answer: Vec<Vec<f64>> =
            self.tokens.iter().map(of_answer).filter(|values| !values.is_empty()).collect();
        let values: Vec<f64> = by_answer.iter().flatten().copied().collect();
        let mean = stats::mean(&values)?;
        let within = self.tokens.iter().flatten().filter(|token| within(token));
        let logs: Vec<f64> = within.map(|token| token.perplexity.ln()).collect();
        let (low, high) = interval(&by_answer);
        Some(Group {
            name,
            tokens: values.len(),
            perplexity: stats::mean(&logs).unwrap_or(0.0).exp(),
            mean,
            low,
            high,
            share_of_harm: values.iter().map(|value| value.max(0.0)).sum::<f64>()
                / harm.max(f64::MIN_POSITIVE),
        })
    }

    /// `answers` with weight 0 for the tokens that harm most, in each answer as many as `like` masks there: the weights of a training that leaves them
    /// out, counted as STM's control is.
    ///
    /// # Errors
    /// `answers` are other answers, or `like` has other tokens.
    pub fn least_harm(&self, on: usize, answers: &Scored, like: &[Vec<f32>]) -> Result<Scored> {
        let fits = answers.sequences.len() == self.tokens.len() && like.len() == self.tokens.len();
        if !fits || answers.name != self.answers {
            let problem = format!("are not those whose influence this is ({})", self.answers);
            return Err(Error::invalid("answers", problem));
        }
        let mut weighted = answers.clone();
        for (at, tokens) in self.tokens.iter().enumerate() {
            let masked = tokens.iter().filter(|token| like[at][token.position] == 0.0).count();
            let mut order: Vec<&TokenInfluence> = tokens.iter().collect();
            order.sort_by(|a, b| b.on[on].total_cmp(&a.on[on]).then(a.position.cmp(&b.position)));
            let mut weights = answers.every_token()[at].clone();
            for token in &order[..masked] {
                weights[token.position] = 0.0;
            }
            weighted.sequences[at].weights = weights;
        }
        Ok(weighted)
    }
}

/// The 95 % interval of the mean of all values, answers drawn with replacement: tokens of one answer are no independent ones.
fn interval(by_answer: &[Vec<f64>]) -> (f64, f64) {
    const DRAWS: usize = 2000;
    let sums: Vec<(f64, f64)> =
        by_answer.iter().map(|values| (values.iter().sum(), values.len() as f64)).collect();
    let stream = Rng::new(0, "influence");
    let draw = |draw: usize| {
        let mut rng = stream.fork(draw as u64);
        let drawn = (0..sums.len()).map(|_| sums[rng.below(sums.len())]);
        let (sum, count) = drawn.fold((0.0, 0.0), |(s, n), (sum, count)| (s + sum, n + count));
        sum / count
    };
    let mut means: Vec<f64> = (0..DRAWS).map(draw).collect();
    means.sort_by(f64::total_cmp);
    (means[DRAWS / 40], means[DRAWS - 1 - DRAWS / 40])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Recipe;
    use crate::model::DeviceChoice;
    use crate::progress::Progress;
    use crate::store::Store;
    use crate::verbs;

    fn lab(place: &std::path::Path) -> (Context, Checkpoint, Scored, Scored) {
        let store = Store::open(place).unwrap();
        let cx = Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap();
        let recipe = Recipe::quick();
        let base = recipe.base(&cx.progress).unwrap();
        let items = |task: &str, count| recipe.items(task, "train", count).unwrap();
        let answers = verbs::score(&cx, &base, "code", &items("code", 2)).unwrap();
        let others = verbs::score(&cx, &base, "word", &items("word", 4)).unwrap();
        (cx, base, answers, others)
    }

    /// The adapter's weights as they begin, and the gradient of the mean of some tokens' surprisal.
    fn gradient(decoder: &Decoder, ids: &[u32], weights: &[f32]) -> Vec<Option<Tensor>> {
        let mut batch = Batch::new();
        batch.push(ids, weights);
        decoder.gradient(&batch, false, None).unwrap().gradients
    }

    fn dot(a: &[Option<Tensor>], b: &[Option<Tensor>]) -> f64 {
        let pairs = a.iter().zip(b).filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?)));
        let one = |(a, b): (&Tensor, &Tensor)| {
            f64::from((a * b).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())
        };
        pairs.map(one).sum()
    }

    #[test]
    fn influence_is_the_product_of_two_gradients_and_what_a_small_step_does() {
        let place = tempfile::tempdir().unwrap();
        let (cx, base, answers, others) = lab(place.path());
        let config = LoraConfig { rank: 4, ..LoraConfig::lab() };
        let found = influence(&cx, &base, &answers, &[&others], (&config, 3)).unwrap();
        assert!(found.others[0].curvature < 0.02, "{:?}", found.others);

        let mut decoder = cx.load_base(&base).unwrap().decoder;
        adapter::attach(&mut decoder, &config, 3).unwrap();
        let count: usize = others.sequences.iter().map(|of| of.completion.learned()).sum();
        let mut batch = Batch::new();
        for (of, weights) in others.sequences.iter().zip(others.every_token()) {
            let weights: Vec<f32> = weights.iter().map(|w| w / count as f32).collect();
            batch.push(&of.ids, &weights);
        }
        let other = decoder.gradient(&batch, false, None).unwrap().gradients;
        let loss = |decoder: &Decoder| -> f64 {
            let facts = decoder.score(&batch).unwrap();
            -facts.log_prob.iter().map(|l| f64::from(*l)).sum::<f64>() / count as f64
        };
        let before = loss(&decoder);
        assert!((found.others[0].surprisal - before).abs() < 1e-5);

        let largest =
            |a: &&TokenInfluence, b: &&TokenInfluence| a.on[0].abs().total_cmp(&b.on[0].abs());
        let mut checked = 0;
        for (at, tokens) in found.tokens.iter().enumerate() {
            let typical = tokens.iter().max_by(largest).unwrap().on[0].abs();
            for token in tokens.iter().filter(|token| token.on[0].abs() > 0.1 * typical) {
                let mut one = vec![0f32; answers.sequences[at].len()];
                one[token.position] = 1.0;
                let own = gradient(&decoder, &answers.sequences[at].ids, &one);
                let exact = -dot(&own, &other);
                assert!((token.on[0] - exact).abs() < 0.01 * typical, "{token:?}: {exact}");
                // a step of gradient descent on this token alone
                let begun: Vec<Tensor> = decoder
                    .trainable()
                    .iter()
                    .map(|(_, var)| var.as_tensor().copy().unwrap())
                    .collect();
                let step = 2e-3 / exact.abs();
                for ((_, var), part) in decoder.trainable().iter().zip(&own) {
                    if let Some(part) = part {
                        var.set(&(var.as_tensor() - (part * step).unwrap()).unwrap()).unwrap();
                    }
                }
                let change = (loss(&decoder) - before) / step;
                for ((_, var), begun) in decoder.trainable().iter().zip(&begun) {
                    var.set(begun).unwrap();
                }
                if checked < 3 {
                    assert!((change - exact).abs() < 0.05 * exact.abs(), "{change} for {exact}");
                }
                checked += 1;
            }
        }
        assert!(checked > 10, "{checked}");

        let kept = influence(&cx, &base, &answers, &[&others], (&config, 3)).unwrap();
        assert_eq!(kept, found);
    }

    #[test]
    fn groups_hold_every_token_once_and_the_least_harmful_are_as_many_as_stm_keeps() {
        let place = tempfile::tempdir().unwrap();
        let (cx, base, answers, others) = lab(place.path());
        let config = LoraConfig { rank: 2, ..LoraConfig::lab() };
        let found = influence(&cx, &base, &answers, &[&others], (&config, 1)).unwrap();
        let all: usize = found.tokens.iter().map(Vec::len).sum();
        for groups in [found.by_perplexity(0, &EDGES), found.by_class(0)] {
            assert_eq!(groups.iter().map(|group| group.tokens).sum::<usize>(), all);
            let harm: f64 = groups.iter().map(|group| group.share_of_harm).sum();
            assert!((harm - 1.0).abs() < 1e-9);
            assert!(groups.iter().all(|group| group.low <= group.mean && group.mean <= group.high));
        }
        assert_eq!(found.on("word").unwrap(), 0);
        assert!(found.on("sql").unwrap_err().to_string().contains("word"));

        let stm = answers.mask("stm(2.5)").unwrap();
        let weighted = found.least_harm(0, &answers, &stm.weights).unwrap();
        for (at, sequence) in weighted.sequences.iter().enumerate() {
            let kept = |weights: &[f32]| weights.iter().filter(|weight| **weight != 0.0).count();
            assert_eq!(kept(&sequence.weights), kept(&stm.weights[at]));
            let (mut left_out, mut left) = (f64::INFINITY, f64::NEG_INFINITY);
            for token in &found.tokens[at] {
                match sequence.weights[token.position] {
                    0.0 => left_out = left_out.min(token.on[0]),
                    _ => left = left.max(token.on[0]),
                }
            }
            assert!(left <= left_out);
        }
        assert!(found.least_harm(0, &others, &stm.weights).is_err());
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        let place = tempfile::tempdir().unwrap();
        let (cx, base, answers, _) = lab(place.path());
        let lora = (&LoraConfig::lab(), 1);
        let error = influence(&cx, &base, &answers, &[], lora).unwrap_err().to_string();
        assert!(error.contains("could become less likely"), "{error}");
        let with = base.with_adapter(place.path());
        let error = influence(&cx, &with, &answers, &[&answers], lora).unwrap_err().to_string();
        assert!(error.contains("export merged"), "{error}");
    }
}
