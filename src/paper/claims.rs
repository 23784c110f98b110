//! The paper's eleven hypotheses, each judged at lab scale: which recipe, which statistic, which interval, which verdict.
//!
//! A hypothesis is judged by statements, written here before anything is computed. A statement is a difference with a direction, or that nothing
//! that matters is lost ([`Design`]'s margin, in points). Differences of scores are paired by item and seed ([`Comparison`]), and stated under each
//! [`Protocol`] that the recipe has the data for: all arms at one rate, as the paper compares them, and each at its validated rate; two hypotheses of
//! our own are about the whole front. Their p values are adjusted by Holm's method for all statements of all hypotheses under the same protocol.
//! A statement that belongs to no protocol counts under each. Other numbers (norms, ranks, perplexities) have a bootstrap
//! interval and no p value. A hypothesis is supported here if every statement of it holds, contradicted if one holds the other way round and none
//! as stated. What holds for a model of a million parameters need not hold for one of billions, nor the reverse.

use super::{Desk, Made, continual, diversity, recipe_names};
use crate::error::{Error, Result};
use crate::experiment::results::{Results, Run};
use crate::plot::palette::{BASE, label};
use crate::report::forgetting::{TaskGroup, p_value, pairs, pairs_of, range};
use crate::report::protocol::{Protocol, one_rate};
use crate::report::{self, front, summary};
use crate::stats::{
    Block, Bootstrap, Comparison, Crossed, Design, Estimate, Interval, Pair, Verdict, holm,
};
use crate::table::{Table, significant};
use crate::weight_change::entropy_rank;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One hypothesis and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Claim {
    /// `H1` to `H11`.
    pub id: &'static str,
    /// What the paper says, in our words.
    pub hypothesis: &'static str,
    /// Where the paper tests it.
    pub paper: &'static str,
    /// What is judged here.
    pub statements: Vec<Statement>,
    /// The statements together, under the first protocol that they have.
    pub verdict: Judgment,
    /// The same under each protocol, in the order in which they are shown.
    pub verdicts: Vec<ProtocolJudgment>,
}

/// What is said of a hypothesis under one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProtocolJudgment {
    /// The protocol.
    pub protocol: Protocol,
    /// Its statements together, with those that belong to none.
    pub verdict: Judgment,
}

/// What is said of a hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgment {
    /// Every statement holds.
    Supported,
    /// Some hold.
    SupportedInPart,
    /// None holds, and none the other way round: these data cannot tell.
    NotSupported,
    /// None holds, and at least one the other way round.
    Contradicted,
}

/// One thing that must hold.
#[derive(Debug, Clone, Serialize)]
pub struct Statement {
    /// What must hold.
    pub text: String,
    /// The recipe that tests it, with its target.
    pub recipe: String,
    /// How arms are compared; `None` of what does not depend on it, such as the perplexity of answers.
    pub protocol: Option<Protocol>,
    /// Of what `value` is.
    pub unit: &'static str,
    /// The difference.
    pub value: Estimate,
    /// Where it lies, at 95 % (at 90 % where the statement is that nothing is lost, as two one-sided tests have it).
    pub interval: Interval,
    /// Two-sided p value of the difference, or one-sided of the claim that nothing is lost; `None` where only an interval is known.
    pub p: Option<f64>,
    /// The same, adjusted for all statements.
    pub p_adjusted: Option<f64>,
    /// Whether it holds; `No` if its opposite does.
    pub holds: Verdict,
    #[serde(skip)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Above 0, by its p value and interval.
    Above,
    /// Above minus the margin, as [`Comparison`] judges.
    NotLower(Verdict),
    /// Above 0, by the interval alone.
    ByInterval,
}

/// Judges all hypotheses: runs every recipe that is not in the store yet.
///
/// # Errors
/// Those of the recipes' experiments.
pub fn judged(desk: &Desk) -> Result<Vec<Claim>> {
    let mut claims = vec![
        claim(
            "H1",
            "Answers that a model writes itself (Self-Output, Rephrase) make it forget less than ground truth, and it learns no less.",
            "Tables 2 and 12",
            h1(desk)?,
        ),
        claim(
            "H2",
            "They do so because they surprise it less: the lower the perplexity of the answers, the less is forgotten.",
            "Table 1, Figures 2 and 3",
            h2(desk)?,
        ),
        claim(
            "H3",
            "Masking the surprising tokens of the ground truth (STM) does the same without writing anything.",
            "Tables 2, 12 and 13",
            h3(desk)?,
        ),
        claim(
            "H4",
            "Which tokens are masked matters: masking as many at random, or those of lowest perplexity, does not do it.",
            "Tables 3 and 15",
            h4(desk)?,
        ),
        claim(
            "H5",
            "A threshold near 2.5 is best: a far higher one forgets more, a lower one learns less.",
            "Tables 3, 11 and 13, Figures 5 and 6",
            h5(desk)?,
        ),
        claim(
            "H6",
            "The untouched model is the best scorer: masks by the difference to a tuned model (DPF, STM + DPF) do worse.",
            "Tables 3, 14 and 18",
            h6(desk)?,
        ),
        claim(
            "H7",
            "The effect does not depend on the tuning technique (full, LoRA, DoRA) or on the learning rate.",
            "Tables 4, 5 and 16",
            h7(desk)?,
        ),
        claim(
            "H8",
            "Low loss means a small change of the weights, in fewer directions.",
            "Table 7, Figures 4, 13 and 14",
            h8(desk)?,
        ),
        claim(
            "H9",
            "Plain regularisation (dropout, weight decay, KL) does not do what STM does.",
            "Table 8, Figures 11 and 12",
            h9(desk)?,
        ),
        claim(
            "H10",
            "Whether Self-Output's answers are right matters for the target only; low perplexity is what preserves the rest.",
            "Tables 20 and 21",
            h10(desk)?,
        ),
        claim(
            "H11",
            "STM also works for one target after the other, costs no diversity, and does not hurt the following of instructions.",
            "Tables 6, 9 and 19",
            h11(desk)?,
        ),
    ];
    for (id, hypothesis, statements) in fronts(desk)? {
        claims.push(claim(id, hypothesis, "ours, of the whole front", statements));
    }
    adjust(&mut claims);
    Ok(claims)
}

/// The two hypotheses about the whole front: F1 of its area above the base's point, F2 of the least forgetting at an equal gain.
fn fronts(desk: &Desk) -> Result<[(&'static str, &'static str, Vec<Statement>); 2]> {
    let (mut larger, mut kept) = (Vec::new(), Vec::new());
    for target in TARGETS {
        let results = desk.results("table-2", Some(target))?;
        let rows = front::rows(&results)?;
        for arm in ["stm(2.5)", "self_output", "rephrase"] {
            let of = rows.iter().find(|row| row.arm == arm);
            let Some(of) = of.and_then(|row| row.against_truth.as_ref()) else { continue };
            let whole = label("ground_truth");
            let area =
                format!("area above the base's point larger for {} than for {whole}", label(arm));
            let more = format!(
                "{} keeps more of the other tasks than {whole} at the same gain on the target",
                label(arm)
            );
            for (all, found, text, unit) in
                [(&mut larger, of.area, area, "points²"), (&mut kept, of.kept_more, more, "points")]
            {
                all.extend(found.interval.map(|interval| Statement {
                    text,
                    recipe: place("table-2", &results),
                    protocol: Some(Protocol::Front),
                    unit,
                    value: Estimate { value: found.value, se: None },
                    interval,
                    p: None,
                    p_adjusted: None,
                    holds: Verdict::CannotTell,
                    kind: Kind::ByInterval,
                }));
            }
        }
    }
    Ok([
        (
            "F1",
            "Over all rates, low-perplexity answers and masks reach more of what lies above the base: gains on the target without loss elsewhere.",
            larger,
        ),
        (
            "F2",
            "At an equal gain on the target, they forget less than the ground truth does.",
            kept,
        ),
    ])
}

/// The results under each protocol that compares runs one by one.
fn views(results: &Results) -> Vec<(Protocol, Results)> {
    let all = Protocol::all(results).into_iter();
    all.filter_map(|protocol| Some((protocol, protocol.view(results)?))).collect()
}

fn claim(
    id: &'static str,
    hypothesis: &'static str,
    paper: &'static str,
    statements: Vec<Statement>,
) -> Claim {
    Claim {
        id,
        hypothesis,
        paper,
        statements,
        verdict: Judgment::NotSupported,
        verdicts: Vec::new(),
    }
}

/// Holm's method over all statements with p values under one protocol, then the verdicts.
fn adjust(claims: &mut [Claim]) {
    let alpha = 1.0 - Design::default().level;
    // what was judged at validated rates before there were protocols is in their family
    let family = |statement: &Statement| statement.protocol.unwrap_or(Protocol::Validated).key();
    for key in ORDER {
        let of = |statement: &&Statement| family(statement) == key;
        let all = claims.iter().flat_map(|claim| &claim.statements).filter(of);
        let adjusted = holm(&all.filter_map(|statement| statement.p).collect::<Vec<_>>());
        let mut adjusted = adjusted.into_iter();
        let all = claims.iter_mut().flat_map(|claim| &mut claim.statements);
        for statement in all.filter(|statement| family(statement) == key) {
            statement.p_adjusted = statement.p.and_then(|_| adjusted.next());
            let clear = statement.p_adjusted.is_none_or(|p| p <= alpha);
            let Interval { low, high } = statement.interval;
            statement.holds = match statement.kind {
                Kind::NotLower(Verdict::Yes) if !clear => Verdict::CannotTell,
                Kind::NotLower(verdict) => verdict,
                Kind::Above | Kind::ByInterval => match (clear && low > 0.0, clear && high < 0.0) {
                    (true, _) => Verdict::Yes,
                    (_, true) => Verdict::No,
                    _ => Verdict::CannotTell,
                },
            };
        }
    }
    for claim in claims {
        let has = |key: &str| {
            claim.statements.iter().any(|s| s.protocol.is_some_and(|of| of.key() == key))
        };
        let under = |key: &str| {
            let of = |s: &&Statement| s.protocol.is_none_or(|of| of.key() == key);
            claim.statements.iter().filter(of).collect::<Vec<_>>()
        };
        claim.verdicts = ORDER
            .into_iter()
            .filter(|key| has(key))
            .filter_map(|key| {
                let statements = under(key);
                let protocol = statements.iter().find_map(|statement| statement.protocol)?;
                Some(ProtocolJudgment { protocol, verdict: together(&statements) })
            })
            .collect();
        let first = claim.verdicts.first().map(|first| first.verdict);
        let all: Vec<&Statement> = claim.statements.iter().collect();
        claim.verdict = first.unwrap_or_else(|| together(&all));
    }
}

/// The protocols' keys in the order in which they are shown.
const ORDER: [&str; 3] = ["one_rate", "front", "validated"];

/// What statements say together.
fn together(statements: &[&Statement]) -> Judgment {
    let of = |verdict: Verdict| statements.iter().filter(|s| s.holds == verdict).count();
    match (of(Verdict::Yes), of(Verdict::No)) {
        (yes, _) if yes > 0 && yes == statements.len() => Judgment::Supported,
        (yes, _) if yes > 0 => Judgment::SupportedInPart,
        (_, no) if no > 0 => Judgment::Contradicted,
        _ => Judgment::NotSupported,
    }
}

const TARGETS: [&str; 2] = ["code", "algebra"];

fn on(of: TaskGroup) -> &'static str {
    match of {
        TaskGroup::Target => "the target",
        TaskGroup::NonTarget => "the other tasks",
    }
}

fn place(recipe: &str, results: &Results) -> String {
    format!("{recipe}, target {}", results.target)
}

/// `second` scores higher than `first`, under each protocol.
fn higher(
    recipe: &str,
    results: &Results,
    of: TaskGroup,
    second: &str,
    first: &str,
) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for (protocol, view) in views(results) {
        statements.extend(higher_in(recipe, &view, protocol, of, second, first)?);
    }
    Ok(statements)
}

fn higher_in(
    recipe: &str,
    view: &Results,
    protocol: Protocol,
    of: TaskGroup,
    second: &str,
    first: &str,
) -> Result<Vec<Statement>> {
    let pairs = pairs(view, of, first, second)?;
    let text =
        format!("{} above {} on {}, {}", label(second), label(first), on(of), protocol.words());
    compared(&pairs, view, text, place(recipe, view), false, Some(protocol))
}

/// `second` loses nothing that matters against `first`, under each protocol.
fn kept(
    recipe: &str,
    results: &Results,
    of: TaskGroup,
    second: &str,
    first: &str,
) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for (protocol, view) in views(results) {
        let pairs = pairs(&view, of, first, second)?;
        let text = format!(
            "{} no more than {} points below {} on {}, {}",
            label(second),
            view.margin,
            label(first),
            on(of),
            protocol.words()
        );
        let place = place(recipe, &view);
        statements.extend(compared(&pairs, &view, text, place, true, Some(protocol))?);
    }
    Ok(statements)
}

/// The statement of one comparison; none where there is nothing to compare.
fn compared(
    pairs: &[Pair],
    results: &Results,
    text: String,
    recipe: String,
    not_lower: bool,
    protocol: Option<Protocol>,
) -> Result<Vec<Statement>> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let found = Comparison::of(pairs, &Design::with_margin(results.margin)?)?;
    let (interval, p, kind) = match not_lower {
        true => {
            (found.equivalence_interval, found.equivalence.lower, Kind::NotLower(found.not_lower))
        }
        false => (found.interval, found.p, Kind::Above),
    };
    Ok(vec![Statement {
        text,
        recipe,
        protocol,
        unit: "points",
        value: found.difference,
        interval,
        p: Some(p),
        p_adjusted: None,
        holds: Verdict::CannotTell,
        kind,
    }])
}

/// A sum of means is above 0, by its bootstrap interval.
fn above(
    blocks: &[Block],
    text: String,
    recipe: String,
    unit: &'static str,
    protocol: Option<Protocol>,
) -> Result<Vec<Statement>> {
    if blocks.iter().any(|block| block.rows.is_empty() || block.rows[0].is_empty()) {
        return Ok(Vec::new());
    }
    let design = Design::default();
    Ok(vec![Statement {
        text,
        recipe,
        protocol,
        unit,
        value: Crossed::of(blocks)?.estimate,
        interval: Bootstrap::of(blocks, design.draws, design.seed)?.interval(design.level),
        p: None,
        p_adjusted: None,
        holds: Verdict::CannotTell,
        kind: Kind::ByInterval,
    }])
}

/// `second` scores higher than `first`, both at this rate.
fn higher_at(
    recipe: &str,
    results: &Results,
    rate: f64,
    of: TaskGroup,
    second: &str,
    first: &str,
) -> Result<Vec<Statement>> {
    let protocol = Protocol::OneRate(rate);
    match protocol.view(results) {
        Some(view) => higher_in(recipe, &view, protocol, of, second, first),
        None => Ok(Vec::new()),
    }
}

fn h1(desk: &Desk) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for target in TARGETS {
        let results = desk.results("table-2", Some(target))?;
        for arm in ["self_output", "rephrase"] {
            statements.extend(higher(
                "table-2",
                &results,
                TaskGroup::NonTarget,
                arm,
                "ground_truth",
            )?);
            statements.extend(kept("table-2", &results, TaskGroup::Target, arm, "ground_truth")?);
        }
    }
    let results = desk.results("table-7", None)?;
    if let Some(rate) = one_rate(&results) {
        for arm in ["self_output", "rephrase"] {
            let (recipe, of, whole) = ("table-7", TaskGroup::NonTarget, "ground_truth");
            statements.extend(higher_at(recipe, &results, rate, of, arm, whole)?);
        }
    }
    Ok(statements)
}

fn h2(desk: &Desk) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for target in TARGETS {
        let results = desk.results("table-2", Some(target))?;
        let logs = |arm: &str| -> Vec<Vec<f64>> {
            let data = results.data.iter().find(|data| data.arm == arm);
            data.map(|data| vec![data.perplexities.iter().map(|ppl| ppl.ln()).collect()])
                .unwrap_or_default()
        };
        for arm in ["self_output", "rephrase"] {
            let side = |weight: f64, arm: &str| Block { weight, rows: logs(arm) };
            let text = format!("log perplexity of ground truth above that of {}", label(arm));
            let blocks = [side(1.0, "ground_truth"), side(-1.0, arm)];
            statements.extend(above(&blocks, text, place("table-2", &results), "nats", None)?);
        }
        // the same questions, so that only the wording differs
        let of = ["ground_truth_on_self_output_items", "rephrase"];
        for other in of {
            statements.extend(higher(
                "table-2",
                &results,
                TaskGroup::NonTarget,
                "self_output",
                other,
            )?);
        }
    }
    Ok(statements)
}

fn h3(desk: &Desk) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for target in TARGETS {
        let results = desk.results("table-2", Some(target))?;
        statements.extend(higher(
            "table-2",
            &results,
            TaskGroup::NonTarget,
            "stm(2.5)",
            "ground_truth",
        )?);
        statements.extend(kept("table-2", &results, TaskGroup::NonTarget, "stm(2.5)", BASE)?);
        statements.extend(kept(
            "table-2",
            &results,
            TaskGroup::Target,
            "stm(2.5)",
            "ground_truth",
        )?);
    }
    let results = desk.results("table-7", None)?;
    if let Some(rate) = one_rate(&results) {
        let (of, masked, whole) = (TaskGroup::NonTarget, "stm(2.5)", "ground_truth");
        statements.extend(higher_at("table-7", &results, rate, of, masked, whole)?);
    }
    Ok(statements)
}

fn h4(desk: &Desk) -> Result<Vec<Statement>> {
    let results = desk.results("table-3", None)?;
    let mut statements = Vec::new();
    for control in ["random_mask(2.5)", "lowest_mask(2.5)"] {
        for of in [TaskGroup::NonTarget, TaskGroup::Target] {
            statements.extend(higher("table-3", &results, of, "stm(2.5)", control)?);
        }
    }
    Ok(statements)
}

fn h5(desk: &Desk) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for (recipe, lower) in [("table-3", "stm(1.5)"), ("table-13", "stm(1.75)")] {
        let results = desk.results(recipe, None)?;
        statements.extend(higher(recipe, &results, TaskGroup::NonTarget, "stm(2.5)", "stm(1000)")?);
        statements.extend(higher(recipe, &results, TaskGroup::Target, "stm(2.5)", lower)?);
    }
    Ok(statements)
}

fn h6(desk: &Desk) -> Result<Vec<Statement>> {
    let results = desk.results("table-14", None)?;
    let mut statements = Vec::new();
    for arm in summary::arms(&results).into_iter().filter(|arm| arm.contains("dpf")) {
        for of in [TaskGroup::NonTarget, TaskGroup::Target] {
            statements.extend(higher("table-14", &results, of, "stm(2.5)", arm)?);
        }
    }
    Ok(statements)
}

fn h7(desk: &Desk) -> Result<Vec<Statement>> {
    let results = desk.results("table-4", None)?;
    let mut statements = Vec::new();
    for way in ["@full", "", "@dora"] {
        let [masked, whole] = ["stm(2.5)", "ground_truth"].map(|arm| format!("{arm}{way}"));
        statements.extend(higher("table-4", &results, TaskGroup::NonTarget, &masked, &whole)?);
    }
    let results = desk.results("table-5", None)?;
    let mut rates: Vec<f64> = results.runs.iter().map(|run| run.learning_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    for rate in rates {
        let (masked, whole) = ("stm(2.5)", "ground_truth");
        statements.extend(higher_at(
            "table-5",
            &results,
            rate,
            TaskGroup::NonTarget,
            masked,
            whole,
        )?);
    }
    Ok(statements)
}

fn h8(desk: &Desk) -> Result<Vec<Statement>> {
    let results = desk.results("table-7", None)?;
    let Some(rate) = one_rate(&results) else { return Ok(Vec::new()) };
    let rows = |arm: &str, value: fn(&Run) -> Vec<f64>| -> Vec<Vec<f64>> {
        let runs = results.runs.iter().filter(|run| run.arm == arm && run.learning_rate == rate);
        runs.map(value).collect()
    };
    let norms: fn(&Run) -> Vec<f64> = |run| run.layers.iter().map(|layer| layer.norm).collect();
    let ranks: fn(&Run) -> Vec<f64> = |run| {
        let spectra = run.layers.iter().filter_map(|layer| layer.singular_values.as_deref());
        spectra.filter_map(entropy_rank).collect()
    };
    let less = |value: fn(&Run) -> Vec<f64>, what: &str, unit, more: &str, less: &str| {
        let (more_rows, less_rows) = (rows(more, value), rows(less, value));
        let pair = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let block =
            Block { weight: 1.0, rows: more_rows.iter().zip(&less_rows).map(pair).collect() };
        let text = format!(
            "{what} larger for {} than for {}, all at the rate {rate:e}",
            label(more),
            label(less)
        );
        let protocol = Some(Protocol::OneRate(rate));
        above(&[block], text, place("table-7", &results), unit, protocol)
    };
    let mut statements = Vec::new();
    for other in ["self_output", "rephrase", "stm(2.5)"] {
        statements.extend(less(
            norms,
            "mean norm of a layer's change",
            "Frobenius norm",
            "ground_truth",
            other,
        )?);
    }
    for other in ["self_output", "rephrase"] {
        statements.extend(less(
            ranks,
            "mean entropy rank of a layer's change",
            "directions",
            "ground_truth",
            other,
        )?);
    }
    Ok(statements)
}

fn h9(desk: &Desk) -> Result<Vec<Statement>> {
    let results = desk.results("table-8", None)?;
    let mut statements = Vec::new();
    for arm in summary::arms(&results).into_iter().filter(|arm| arm.contains('@')) {
        statements.extend(higher("table-8", &results, TaskGroup::NonTarget, "stm(2.5)", arm)?);
    }
    Ok(statements)
}

fn h10(desk: &Desk) -> Result<Vec<Statement>> {
    let results = desk.results("table-20", None)?;
    let mut statements =
        kept("table-20", &results, TaskGroup::NonTarget, "self_output_wrong", "self_output_right")?;
    statements.extend(higher(
        "table-20",
        &results,
        TaskGroup::Target,
        "self_output_right",
        "self_output_wrong",
    )?);
    statements.extend(higher(
        "table-20",
        &results,
        TaskGroup::NonTarget,
        "self_output_wrong",
        "ground_truth",
    )?);
    Ok(statements)
}

fn h11(desk: &Desk) -> Result<Vec<Statement>> {
    let courses = continual::courses(desk)?;
    let results = desk.results("table-19", Some(continual::STAGES[0]))?;
    let first = continual::STAGES[0];
    let stage = |arm: &str, stage: usize| -> Vec<Vec<f64>> {
        let of_arm = courses.iter().filter(|course| course.arm == arm);
        let tasks = of_arm.filter_map(|course| {
            course.stages.get(stage)?.iter().find(|score| score.task == first)
        });
        tasks.map(|task| task.items.iter().map(|item| item.value).collect()).collect()
    };
    let recipe = || "table-19, algebra then code".to_owned();
    let pair = |one: Vec<Vec<f64>>, other: Vec<Vec<f64>>| match one.is_empty()
        || one.len() != other.len()
    {
        true => Vec::new(),
        false => vec![Pair { weight: 1.0, first: one, second: other }],
    };
    let text = format!(
        "algebra after both stages by STM no more than {} points below algebra after its own",
        results.margin
    );
    let mut statements = compared(
        &pair(stage("stm(2.5)", 1), stage("stm(2.5)", 2)),
        &results,
        text,
        recipe(),
        true,
        None,
    )?;
    let text = "algebra after both stages higher by STM than by ground truth".to_owned();
    statements.extend(compared(
        &pair(stage("ground_truth", 2), stage("stm(2.5)", 2)),
        &results,
        text,
        recipe(),
        false,
        None,
    )?);
    let alike = diversity::measured(desk)?;
    let rows = |arm: &str| {
        alike
            .iter()
            .find(|alike| alike.arm == arm)
            .map(|alike| alike.rows.clone())
            .unwrap_or_default()
    };
    let (truth, masked) = (rows("ground_truth"), rows("stm(2.5)"));
    let less = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
    let block = Block { weight: 1.0, rows: truth.iter().zip(&masked).map(less).collect() };
    let text = "self-BLEU after ground truth above that after STM".to_owned();
    statements.extend(above(&[block], text, "table-6, target code".to_owned(), "self-BLEU", None)?);
    let results = desk.results("table-5", None)?;
    let follow: Vec<usize> =
        (0..results.base.len()).filter(|at| results.base[*at].task == "follow").collect();
    for (protocol, view) in views(&results) {
        let text = format!(
            "STM no more than {} points below base on follow, {}",
            view.margin,
            protocol.words()
        );
        let pairs = pairs_of(&view, &follow, BASE, "stm(2.5)")?;
        let place = place("table-5", &view);
        statements.extend(compared(&pairs, &view, text, place, true, Some(protocol))?);
    }
    Ok(statements)
}

impl Judgment {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Supported => "supported here",
            Self::SupportedInPart => "supported in part here",
            Self::NotSupported => "not supported here",
            Self::Contradicted => "contradicted here",
        }
    }
}

/// For reading: the verdicts, then every statement.
pub fn tables(claims: &[Claim]) -> Vec<Table> {
    let count = |claim: &Claim, verdict: Verdict| {
        claim.statements.iter().filter(|statement| statement.holds == verdict).count()
    };
    let under = |key: &'static str| {
        move |claim: &Claim| {
            let found = claim.verdicts.iter().find(|of| of.protocol.key() == key);
            found.map(|of| of.verdict.words())
        }
    };
    let verdicts = Table::new("The paper's hypotheses at lab scale")
        .named("verdicts")
        .legend(
            "One rate for all: as the paper compares. Validated rates: each arm where it scored best on the target's validation items, which hides what is lost elsewhere. Then statements, of all \
             protocols, that hold, whose opposite holds, and of which these data cannot tell. A verdict is about a model of a million parameters on synthetic tasks.",
        )
        .rows(claims)
        .column("id", |claim| claim.id)
        .column("one rate for all", under("one_rate"))
        .column("whole front", under("front"))
        .column("validated rates", under("validated"))
        .column("hold", |claim| count(claim, Verdict::Yes))
        .column("opposite", |claim| count(claim, Verdict::No))
        .column("cannot tell", |claim| count(claim, Verdict::CannotTell))
        .column("paper", |claim| claim.paper)
        .table();
    let statements = |claim: &Claim| {
        let verdict = capital(claim.verdict.words());
        Table::new(format!("{}: {} {verdict}.", claim.id, claim.hypothesis))
            .named(claim.id.to_lowercase())
            .rows(&claim.statements)
            .column("statement", |statement| &statement.text)
            .column("holds", |statement| statement.holds.to_string())
            .column("value", |statement| significant(statement.value.value))
            .column("interval", between)
            .column("unit", |statement| statement.unit)
            .column("p", |statement| statement.p_adjusted.map_or(String::new(), p_value))
            .column("recipe", |statement| &statement.recipe)
            .table()
    };
    std::iter::once(verdicts).chain(claims.iter().map(statements)).collect()
}

fn between(statement: &Statement) -> String {
    let Interval { low, high } = statement.interval;
    match statement.unit {
        "points" => range(statement.interval),
        _ => format!("{} to {}", significant(low), significant(high)),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Writes `README.md`, `claims.json` and `made.json` to `folder`, made if it is not there.
///
/// # Errors
/// Names the file that cannot be written.
pub fn write(claims: &[Claim], folder: &Path, desk: &Desk) -> Result<Vec<PathBuf>> {
    const NOTE: &str = "Made by `unforget claims`, not typed. A statement is a difference with a direction, or that nothing that matters is lost; all were written down before anything was \
                        computed. p: adjusted by Holm's method for all statements under the same protocol; without one, the interval alone decides. Intervals are of 95 %, of 90 % where the statement is that \
                        nothing is lost.";
    let tables: Vec<String> = tables(claims).iter().map(Table::markdown).collect();
    let markdown = format!("# Claims and evidence\n\n{NOTE}\n\n{}", tables.join("\n"));
    let json = serde_json::to_vec_pretty(claims).map_err(Error::library("writing the claims"))?;
    Ok(vec![
        report::put(folder, "README.md", markdown.as_bytes())?,
        report::put(folder, "claims.json", &json)?,
        Made::of("claims", &recipe_names().collect::<Vec<_>>(), desk)?.write(folder)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(low: f64, high: f64, p: Option<f64>, kind: Kind) -> Statement {
        Statement {
            text: "a above b".into(),
            recipe: "table-2".into(),
            protocol: None,
            unit: "points",
            value: Estimate { value: (low + high) / 2.0, se: None },
            interval: Interval { low, high },
            p,
            p_adjusted: None,
            holds: Verdict::CannotTell,
            kind,
        }
    }

    #[test]
    fn a_hypothesis_is_as_good_as_its_statements() {
        let check = |statements: Vec<Statement>, expected: Judgment| {
            let mut claims = vec![claim("H1", "x", "y", statements)];
            adjust(&mut claims);
            assert_eq!(claims[0].verdict, expected, "{:?}", claims[0].statements);
        };
        let yes = || statement(1.0, 3.0, Some(0.001), Kind::Above);
        let no = || statement(-3.0, -1.0, Some(0.001), Kind::Above);
        let open = || statement(-1.0, 3.0, Some(0.4), Kind::Above);
        check(vec![yes(), yes()], Judgment::Supported);
        check(vec![yes(), open()], Judgment::SupportedInPart);
        check(vec![open(), no()], Judgment::Contradicted);
        check(vec![open()], Judgment::NotSupported);
        check(Vec::new(), Judgment::NotSupported);
        check(vec![statement(0.1, 0.2, None, Kind::ByInterval)], Judgment::Supported);
        check(
            vec![statement(-1.0, 0.2, Some(0.01), Kind::NotLower(Verdict::Yes))],
            Judgment::Supported,
        );
        // two p values of 0.04 are not small enough together
        let weak = || statement(0.1, 3.0, Some(0.04), Kind::Above);
        check(vec![weak(), weak()], Judgment::NotSupported);
    }

    #[test]
    fn a_hypothesis_is_judged_under_each_protocol() {
        let under = |protocol: Protocol, statement: Statement| Statement {
            protocol: Some(protocol),
            ..statement
        };
        let yes = || statement(1.0, 3.0, Some(0.001), Kind::Above);
        let open = || statement(-1.0, 3.0, Some(0.4), Kind::Above);
        let one = Protocol::OneRate(3e-3);
        let all = vec![
            under(Protocol::Validated, open()),
            under(one, yes()),
            under(Protocol::Front, statement(0.1, 0.2, None, Kind::ByInterval)),
            // what depends on no rate counts under each
            statement(0.5, 0.7, None, Kind::ByInterval),
        ];
        let mut claims = vec![claim("H1", "x", "y", all)];
        adjust(&mut claims);
        let verdicts: Vec<(&str, Judgment)> =
            claims[0].verdicts.iter().map(|of| (of.protocol.key(), of.verdict)).collect();
        assert_eq!(
            verdicts,
            [
                ("one_rate", Judgment::Supported),
                ("front", Judgment::Supported),
                ("validated", Judgment::SupportedInPart)
            ]
        );
        assert_eq!(claims[0].verdict, Judgment::Supported);
        let table = tables(&claims)[0].text(200);
        assert!(table.contains("one rate for all") && table.contains("supported in part here"));
        let json = serde_json::to_value(&claims).unwrap();
        assert_eq!(json[0]["verdicts"][2]["protocol"], "validated");
        assert_eq!(json[0]["statements"][1]["protocol"], "one_rate");
        // a protocol's p values are adjusted for its own statements alone
        let weak = || statement(0.1, 3.0, Some(0.04), Kind::Above);
        let mut claims = vec![claim(
            "H1",
            "x",
            "y",
            vec![under(one, weak()), under(Protocol::Validated, weak())],
        )];
        adjust(&mut claims);
        assert_eq!(claims[0].verdict, Judgment::Supported);
    }

    /// Two arms at two rates: each statement once at one rate and once at the validated ones.
    #[test]
    fn a_statement_of_scores_is_made_under_each_protocol() {
        let results = crate::report::sample::results();
        let found = higher("table-2", &results, TaskGroup::NonTarget, "stm(2.5)", "ground_truth");
        let protocols: Vec<Option<Protocol>> =
            found.unwrap().iter().map(|statement| statement.protocol).collect();
        assert_eq!(protocols, [Some(Protocol::OneRate(3e-4)), Some(Protocol::Validated)]);
    }

    #[test]
    fn the_page_has_every_hypothesis_and_statement() {
        let folder = tempfile::tempdir().unwrap();
        let mut claims = vec![claim(
            "H1",
            "Less is <more>.",
            "Table 2",
            vec![statement(1.0, 3.0, Some(0.001), Kind::Above)],
        )];
        adjust(&mut claims);
        let store = crate::store::Store::open(folder.path().join("store")).unwrap();
        let cpu = crate::model::DeviceChoice::Cpu;
        let cx = crate::context::Context::new(store, cpu, crate::progress::Progress::quiet());
        let cx = cx.unwrap();
        let desk = Desk::new(&cx, crate::paper::ExhibitOptions::default());
        for file in write(&claims, folder.path(), &desk).unwrap() {
            if file.ends_with("made.json") {
                assert!(!Made::read(folder.path()).unwrap().recipes.is_empty());
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains("a above b") && text.contains("H1"), "{text}");
        }
    }
}
