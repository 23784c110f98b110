//! The language as a whole: reading, printing, computing.

use super::expression::{
    Choice, Comparison, End, Expression, Extreme, Function, Mask, Number, Operator, Scope, Shape,
    Summary,
};
use super::signal::Signal;
use super::*;
use crate::rng::Rng;

fn parse(line: &str) -> Weighting {
    line.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> String {
    match line.parse::<Weighting>() {
        Ok(read) => panic!("{line} was read as {read}"),
        Err(error) => error.to_string(),
    }
}

fn model(perplexity: &[Option<f32>]) -> ModelSignals {
    ModelSignals {
        log_prob: perplexity.iter().map(|p| p.map(|p| -p.ln())).collect(),
        entropy: perplexity.to_vec(),
        rank: perplexity.iter().map(|p| p.map(|p| p as u32)).collect(),
        top_entropy: Some(perplexity.iter().map(|p| p.map(f32::sqrt)).collect()),
    }
}

/// Made-up examples: prompts, completions, three models, classes.
fn examples(rng: &mut Rng, count: usize) -> Vec<Signals> {
    (0..count)
        .map(|_| {
            let (prompt, completion) = (1 + rng.below(6), 1 + rng.below(40));
            let length = prompt + completion;
            let mut scores = || {
                let perplexity: Vec<Option<f32>> = (0..length)
                    .map(|t| (t > 0).then(|| (rng.normal().abs() * 2.0).exp() as f32))
                    .collect();
                Some(model(&perplexity))
            };
            let (base, current, reference) = (scores(), scores(), scores());
            Signals {
                given: Vec::new(),
                completion: (0..length).map(|t| t >= prompt).collect(),
                class: (0..length).map(|_| rng.choose(&TokenClass::NAMES).1).collect(),
                base,
                current,
                reference,
            }
        })
        .collect()
}

/// An expression of any form that can be written.
struct Writer<'a> {
    rng: &'a mut Rng,
}

impl Writer<'_> {
    fn one<T: Copy>(&mut self, of: &[(&str, T)]) -> T {
        self.rng.choose(of).1
    }

    fn share(&mut self) -> f64 {
        self.rng.below(101) as f64 / 100.0
    }

    fn mask(&mut self, depth: usize) -> Mask {
        let deeper = depth.saturating_sub(1);
        let kind = if depth == 0 { 2 } else { 9 };
        match self.rng.below(kind) {
            0 => Mask::All,
            1 => {
                let count = 1 + self.rng.below(3);
                Mask::Class((0..count).map(|_| self.one(&TokenClass::NAMES)).collect())
            }
            2 => Mask::Not(Box::new(self.mask(deeper))),
            3 => Mask::And(Box::new(self.mask(deeper)), Box::new(self.mask(deeper))),
            4 => Mask::Or(Box::new(self.mask(deeper)), Box::new(self.mask(deeper))),
            5 => Mask::Compare(
                Box::new(self.number(deeper)),
                self.one(&Comparison::SIGNS),
                Box::new(self.number(deeper)),
            ),
            6 => {
                let of = loop {
                    let of = self.number(deeper);
                    if of.shape() == Shape::Token {
                        break of;
                    }
                };
                let (end, share) = (self.one(&End::NAMES), self.share());
                Mask::Share(end, share, Box::new(of), self.one(&Scope::NAMES))
            }
            7 => {
                let choice = match self.rng.below(4) {
                    0 => Choice::Random,
                    1 => Choice::Shuffled,
                    2 => Choice::Highest(Box::new(self.number(deeper))),
                    _ => Choice::Lowest(Box::new(self.number(deeper))),
                };
                Mask::Like(choice, Box::new(self.mask(deeper)))
            }
            _ => match parse(&format!("stm({})", 1.0 + self.share())).expression() {
                Expression::Mask(mask) => mask.clone(),
                Expression::Number(_) => unreachable!("stm is a mask"),
            },
        }
    }

    fn number(&mut self, depth: usize) -> Number {
        let deeper = depth.saturating_sub(1);
        let kind = if depth == 0 { 4 } else { 12 };
        match self.rng.below(kind) {
            0 => Number::Constant(match self.rng.below(4) {
                0 => f64::INFINITY,
                1 => -self.share(),
                2 => self.rng.normal() * 1e-9,
                _ => self.rng.below(1000) as f64 / 8.0,
            }),
            1 | 2 => {
                let names: Vec<String> = Signal::names().collect();
                Number::Signal(Signal::named(self.rng.choose(names.as_slice()).as_str()).unwrap())
            }
            3 => Number::Uniform,
            4 => self.number(deeper).negated(),
            5 | 6 => Number::Binary(
                self.one(&Operator::SIGNS),
                Box::new(self.number(deeper)),
                Box::new(self.number(deeper)),
            ),
            7 => Number::Function(self.one(&Function::NAMES), Box::new(self.number(deeper))),
            8 => Number::Extreme(
                self.one(&Extreme::NAMES),
                Box::new(self.number(deeper)),
                Box::new(self.number(deeper)),
            ),
            9 => Number::If(
                Box::new(self.mask(deeper)),
                Box::new(self.number(deeper)),
                Box::new(self.number(deeper)),
            ),
            10 => {
                let count = self.rng.below(3);
                let cases = self.rng.distinct(TokenClass::NAMES.len(), count);
                let cases = cases.into_iter().map(|at| TokenClass::NAMES[at].1);
                let cases: Vec<TokenClass> = cases.collect();
                let cases = cases.into_iter().map(|class| (class, self.number(deeper)));
                let cases = cases.collect();
                Number::ByClass(cases, Box::new(self.number(deeper)))
            }
            _ => {
                let (of, scope) = loop {
                    let (of, scope) = (self.number(deeper), self.one(&Scope::NAMES));
                    let fits = match of.shape() {
                        Shape::Token => true,
                        Shape::Example => scope != Scope::Example,
                        Shape::Constant => false,
                    };
                    if fits {
                        break (of, scope);
                    }
                };
                let summary = match self.rng.below(3) {
                    0 => Summary::Mean,
                    1 => Summary::Median,
                    _ => Summary::Quantile(self.share()),
                };
                Number::Summary(summary, Box::new(of), scope)
            }
        }
    }
}

#[test]
fn printing_then_reading_gives_the_same_tree() {
    let mut rng = Rng::new(1, "expressions");
    let (mut long, mut kept) = (0, 0);
    for _ in 0..3000 {
        let depth = rng.below(4);
        let mut writer = Writer { rng: &mut rng };
        let expression = if writer.rng.chance(0.5) {
            Expression::Mask(writer.mask(depth))
        } else {
            Expression::Number(writer.number(depth))
        };
        let needs = expression.needs();
        if needs.batch && needs.whole_set {
            continue; // cannot be written: see the test of mistakes
        }
        for expand in [false, true] {
            let text = expression.text(expand);
            if text.len() > 1200 {
                long += 1;
                continue; // more words than a line may have
            }
            let read = parse(&text);
            let again = read.expression().text(false);
            assert_eq!(again, text);
            if !expand {
                assert_eq!(*read.expression(), expression, "{text}");
            }
            kept += 1;
        }
    }
    assert!(kept > 3000 && long < kept / 4, "{kept} kept, {long} too long");
}

#[test]
fn every_preset_is_what_the_table_says_and_reads_back() {
    let with_numbers = |preset: &Preset| -> String {
        let numbers: Vec<String> = preset
            .parameters
            .iter()
            .map(|parameter| parameter.default.unwrap_or(0.25).to_string())
            .collect();
        match (preset.by_class, numbers.is_empty()) {
            (true, _) => format!("{}(words: 2.5, else: 10)", preset.name),
            (false, true) => preset.name.to_string(),
            (false, false) => format!("{}({})", preset.name, numbers.join(", ")),
        }
    };
    let doc = include_str!("mod.rs");
    for preset in PRESETS {
        let line = with_numbers(preset);
        let weighting = parse(&line);
        assert_eq!(weighting.to_string(), line);
        assert_eq!(weighting.preset().unwrap().name, preset.name);
        assert_eq!(weighting.normalizer(), Some(preset.normalizer));
        let plain = parse(&weighting.expanded());
        assert_eq!(plain.preset().map(|preset| preset.name), None);
        assert_eq!(plain.needs(), weighting.needs());
        assert_eq!(plain.normalizer(), weighting.normalizer());
        // the module's table has a row for it, and says rightly whether it is online and what it divides by
        let row = doc
            .lines()
            .find(|row| row.starts_with("//! |") && row.contains(&format!("`{}", preset.name)))
            .unwrap_or_else(|| panic!("the table has no {}", preset.name));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let says = cells[cells.len() - 4..cells.len() - 2].to_vec();
        let online = if weighting.needs().online() { "online" } else { "offline" };
        assert_eq!(says, [preset.normalizer.name(), online], "{row}");
    }
}

#[test]
fn a_rule_is_read_as_it_is_meant() {
    let check = |line: &str, printed: &str| assert_eq!(parse(line).to_string(), printed);
    check("ppl_base<=2.5", "keep(ppl_base <= 2.5)");
    check(
        "drop(ppl_base > 2.5) & !class( end_of_turn )",
        "!keep(ppl_base > 2.5) & !class(end_of_turn)",
    );
    check("all|all&all", "all | all & all");
    check("(all|all)&all", "(all | all) & all");
    check("p_base-1-1", "p_base - 1 - 1");
    check("p_base-(1-1)", "p_base - (1 - 1)");
    check("-p_base^2^3", "-p_base ^ 2 ^ 3");
    check("(p_base^2)^-p_base", "(p_base ^ 2) ^ -p_base");
    check("1e-3 * .5", "0.001 * 0.5");
    check("top(0.6, surprisal_base)", "top(0.6, surprisal_base, per: data)");
    check("stm", "stm(2.5)");
    check("stm() & !class(words, numbers)", "stm(2.5) & !class(words, numbers)");
    check("stm_dpf", "stm_dpf(100, 0)");
    check("dpf(-1)", "dpf(-1)");
    check(
        "stm_by_class(numbers: 10, else: inf) over batch",
        "stm_by_class(numbers: 10, else: inf) over batch",
    );
    check("profit(0.2) over kept every 10", "profit(0.2) over kept every 10");
    assert_eq!(
        parse("stm(2.5) & !class(end_of_turn)").expanded(),
        "keep(ppl_base <= 2.5) & !class(end_of_turn)"
    );
    assert_eq!(
        parse("!stm_dpf(100) | eaft(2) > 0.5").expanded(),
        "!(keep(ppl_base <= 100) & keep(ppl_reference - ppl_base <= 0)) | keep((entropy_top_current / ln(20)) ^ 2 > 0.5)"
    );
    assert_eq!(parse("dft").expanded(), "p_current over completion");
}

#[test]
fn what_a_rule_says_of_itself() {
    let weighting = parse("profit(0.2) every 10");
    assert_eq!((weighting.every(), weighting.is_mask()), (10, true));
    assert_eq!(weighting.normalizer(), Some(Normalizer::Completion));
    assert_eq!(parse("profit(0.2) over kept").normalizer(), Some(Normalizer::Kept));
    assert_eq!(parse("profit(0.2) & all").normalizer(), None);
    let needs = |line: &str| parse(line).needs();
    let base = Needs { base: true, ..Needs::default() };
    assert_eq!(needs("stm"), base);
    assert!(!needs("stm").online());
    assert_eq!(needs("all & uniform < 0.5"), Needs::default());
    assert_eq!(needs("shuffled_mask"), Needs { class: true, ..base });
    assert_eq!(needs("flow"), Needs { whole_set: true, ..base });
    let eaft = needs("eaft");
    assert!(eaft.online() && eaft.current && eaft.top_entropy && !eaft.batch);
    let rho = needs("rho1(0.6)");
    assert!(rho.online() && rho.current && rho.reference && rho.batch && !rho.whole_set);
    let written = serde_json::to_string(&parse("stm & all")).unwrap();
    assert_eq!(written, "\"stm(2.5) & all\"");
    assert_eq!(serde_json::from_str::<Weighting>(&written).unwrap(), parse("stm & all"));
}

#[test]
fn a_mistake_is_answered_with_its_place_and_what_is_expected() {
    // `marked` stands above the carets; nothing does at the end of the line
    let check = |line: &str, marked: &str, part: &str| {
        let error = refused(line);
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines[0].contains(part), "{line}: {error}");
        let [.., shown, carets] = lines.as_slice() else { panic!("no line is shown: {error}") };
        assert_eq!(*shown, format!("  {line}"));
        let before = carets.chars().take_while(|c| *c == ' ').count();
        let above: String =
            shown.chars().skip(before).take(carets.chars().count() - before).collect();
        assert_eq!(above, marked, "{error}");
    };
    check(
        "keep(ppl_base <= ) & !class(end_of_turn)",
        ")",
        "expected a mask such as keep(ppl_base <= 2.5), a signal such as p_current, or a number, found `)`",
    );
    check("keep(ppl_bas <= 2)", "ppl_bas", "did you mean `ppl_base`?");
    check("smt(2.5)", "smt", "did you mean `stm`?");
    check("kep(all)", "kep", "did you mean `keep`?");
    check("all & words", "words", "did you mean class(words)?");
    check("class(word)", "word", "the nearest is `words`");
    check("all && all", "&", "a single & is enough");
    check("all and all", "and", "write & for and");
    check("not all", "not", "write ! for not");
    check("keep(p_base)", "p_base", "a number where a mask is expected");
    check("all * p_base", "all", "a mask where a number is expected");
    check("all & p_base + 1", "p_base + 1", "a number where a mask is expected");
    check("keep(p_base == 1)", "=", "compared with <, <=, > and >=");
    check("1 < p_base < 2", "<", "one comparison at a time");
    check("keep(all", "", "`,` or `)`, found the end");
    check("(all", "", "`)` to close the parenthesis, found the end");
    check("top(2, p_base)", "2", "from 0 to 1, got 2");
    check("top(0.5, 3)", "3", "not a number for each token");
    check("median(3)", "3", "one number already");
    check(
        "mean(mean(p_base, per: example), per: example)",
        "mean(p_base, per: example)",
        "one number for each example already",
    );
    check("mean(p_base, per: sample)", "sample", "one of example, batch, data");
    check("mean(p_base, by: data)", "by", "`per:`, `like:`");
    check("ln(p_base, per: data)", "ln(p_base, per: data)", "is written ln(NUMBER)");
    check("random(all)", "random(all)", "is written random(like: MASK)");
    check("exp(p_base, 1)", "exp(p_base, 1)", "is written exp(NUMBER)");
    check("stm(0)", "0", "`threshold` must be above 0, got 0");
    check("stm(ppl_base)", "ppl_base", "must be a plain number");
    check("stm(2, 3)", "3", "one number too many: stm(threshold = 2.5)");
    check("dft(1)", "1", "one number too many: dft");
    check("rho1", "rho1", "needs its number `share`: rho1(share)");
    check("stm_by_class(words: 2)", ")", "at last `else: NUMBER`");
    check("stm_by_class(words: 2, words: 3, else: 1)", "words", "a number already");
    check("stm over all", "all", "kept, completion, weights, batch");
    check("dft every 0", "0", "at least 1");
    check("stm every 5", "stm every 5", "nothing that changes in training");
    check(
        "flow * p_current ^ mean(p_base, per: batch)",
        "flow * p_current ^ mean(p_base, per: batch)",
        "use one of them",
    );
    check("stm(2.5) 3", "3", "expected an operator");
    check("", "", "found the end");
    check("p_base(1)", "(", "takes nothing");
    check("keep(ppl_base ≤ 2)", "≤", "write <=");
    check("1.2.3", "1.2.3", "is no number");
    check("zürich", "zürich", "not known");
    let lines = refused("all &\n  nothing");
    assert!(lines.ends_with("\n    nothing\n    ^^^^^^^"), "{lines}");
    let deep = "(".repeat(50) + "all" + &")".repeat(50);
    assert!(refused(&deep).contains("levels deep"));
    assert!(refused(&"!".repeat(300)).contains("levels deep"));
    assert!(refused(&"all & ".repeat(300)).contains("goes on after 400 words"));
}

#[test]
fn no_text_makes_the_reader_panic() {
    let pieces = [
        "keep", "(", ")", "ppl_base", "<=", "2.5", "&", "!", "|", "class", "words", ",", ":",
        "per", "like", "else", "stm", "by_class", "top", "over", "every", "\n", "é", "-", "^",
        "1e", ".", "∞",
    ];
    let mut rng = Rng::new(2, "nonsense");
    for _ in 0..20_000 {
        let words = 1 + rng.below(12);
        let line: Vec<&str> = (0..words).map(|_| *rng.choose(&pieces)).collect();
        let _ = line.join(" ").parse::<Weighting>();
        let _ = line.concat().parse::<Weighting>();
    }
}

#[test]
fn a_value_that_is_not_there_is_never_learned_from() {
    let perplexity = [None, Some(1.0), None, Some(9.0)];
    let example = Signals {
        completion: LossMask::new(vec![false, true, true, true]),
        class: vec![TokenClass::Words; 4],
        base: Some(model(&perplexity)),
        ..Signals::default()
    };
    let check = |line: &str, expected: [f32; 3]| {
        let weights = parse(line).weights(std::slice::from_ref(&example), 0).unwrap();
        assert_eq!(weights[0][1..], expected, "{line}");
        assert_eq!(weights[0][0], 0.0);
    };
    check("stm", [1.0, 0.0, 0.0]);
    check("drop(ppl_base > 2.5)", [1.0, 0.0, 0.0]);
    check("!stm", [0.0, 0.0, 1.0]);
    check("keep(ppl_base <= inf)", [1.0, 0.0, 1.0]);
    check("stm | class(words)", [1.0, 1.0, 1.0]);
    check("all", [1.0, 1.0, 1.0]);
    check("if(stm, 2, 3)", [2.0, 0.0, 3.0]);
    check("max(1, ppl_base)", [1.0, 0.0, 9.0]);
    check("0 * ppl_base + 1", [1.0, 0.0, 1.0]);
    check("top(1, ppl_base)", [1.0, 0.0, 1.0]);
    check("top(0.34, ppl_base)", [0.0, 0.0, 1.0]);
    check("lowest(ppl_base, like: stm)", [1.0, 0.0, 0.0]);
    check("mean(ppl_base, per: data) / 5", [1.0, 1.0, 1.0]);
    check("max(0, ln(1 - ppl_base))", [0.0, 0.0, 0.0]);
}

#[test]
fn weights_that_make_no_sense_are_refused_with_their_place() {
    let mut rng = Rng::new(3, "examples");
    let examples = examples(&mut rng, 2);
    let error = |line: &str| parse(line).weights(&examples, 0).unwrap_err().to_string();
    assert!(error("log_prob_base").contains("of example 0 has the weight -"));
    assert!(error("1 / 0").contains("weight inf"));
    let mut without = examples.clone();
    without[1].base = None;
    let missing = parse("stm").weights(&without, 0).unwrap_err().to_string();
    assert!(missing.contains("ppl_base") && missing.contains("example 1"), "{missing}");
    without[0].class.pop();
    let classes = parse("class(words)").weights(&without, 0).unwrap_err();
    assert!(classes.to_string().contains("classes for"), "{classes}");
    let all = parse("all").weights(&without, 0).unwrap();
    assert_eq!(all[0].len(), without[0].completion.len());
}

#[test]
fn controls_keep_as_many_as_what_they_are_controls_of() {
    let mut rng = Rng::new(4, "examples");
    let examples = examples(&mut rng, 30);
    let kept = |line: &str, seed| parse(line).masks(&examples, seed).unwrap();
    let counts = |masks: &[LossMask]| masks.iter().map(LossMask::learned).collect::<Vec<_>>();
    let stm = kept("stm", 0);
    assert!(counts(&stm).iter().sum::<usize>() > 100);
    for line in ["random_mask", "lowest_mask", "shuffled_mask", "lowest(ppl_base, like: stm)"] {
        assert_eq!(counts(&kept(line, 1)), counts(&stm), "{line}");
    }
    assert_eq!(kept("lowest(ppl_base, like: stm)", 1), stm);
    let in_class = |masks: &[LossMask]| -> Vec<Vec<usize>> {
        let of = |(mask, example): (&LossMask, &Signals)| {
            let count = |class| mask.positions().filter(|t| example.class[*t] == class).count();
            TokenClass::NAMES.map(|(_, class)| count(class)).to_vec()
        };
        masks.iter().zip(&examples).map(of).collect()
    };
    assert_eq!(in_class(&kept("shuffled_mask", 1)), in_class(&stm));
    assert_ne!(in_class(&kept("random_mask", 1)), in_class(&stm));
    assert_ne!(kept("random_mask", 1), kept("random_mask", 2));
    assert_eq!(kept("random_mask", 1), kept("random_mask", 1));
    // two of them in one rule are drawn apart
    let both = counts(&kept("random_mask & random_mask", 1)).iter().sum::<usize>();
    assert!(both < counts(&stm).iter().sum::<usize>());
}

#[test]
fn the_rules_of_the_lab_are_the_bits_they_were() {
    // as the lab's arms were computed before there was a language: see `low_perplexity` and `random_mask`
    let mut rng = Rng::new(5, "examples");
    let examples = examples(&mut rng, 20);
    for threshold in [1.1, 1.5, 2.5, 10.0] {
        let stm = parse(&format!("stm({threshold})")).masks(&examples, 0).unwrap();
        let random = parse(&format!("random_mask({threshold})")).masks(&examples, 7).unwrap();
        let stream = Rng::new(7, "random-mask");
        for (at, example) in examples.iter().enumerate() {
            let scores = &example.base.as_ref().unwrap().log_prob;
            let perplexity: Vec<Option<f32>> =
                scores.iter().map(|l| l.map(|l| (-l).exp())).collect();
            let low = low_perplexity(&example.completion, &perplexity, threshold as f32).unwrap();
            assert_eq!(stm[at], low);
            let masked = example.completion.counts(&low).unwrap().masked;
            let drawn = mask::random_mask(&example.completion, masked, &mut stream.fork(at as u64));
            assert_eq!(random[at], drawn.unwrap());
        }
    }
}

#[test]
fn shares_are_taken_of_each_scope() {
    let mut rng = Rng::new(6, "examples");
    let examples = examples(&mut rng, 12);
    let counts = |line: &str| -> Vec<usize> {
        let masks = parse(line).masks(&examples, 0).unwrap();
        masks.iter().map(LossMask::learned).collect()
    };
    let tokens: Vec<usize> = examples.iter().map(|e| e.completion.learned()).collect();
    let all: usize = tokens.iter().sum();
    let expected: Vec<usize> = tokens.iter().map(|n| n * 6 / 10).collect();
    assert_eq!(counts("token_cleaning_per_sample(0.6)"), expected);
    assert_eq!(counts("token_cleaning(0.6)").iter().sum::<usize>(), all * 6 / 10);
    let below = counts("stm_quantile(0.7)").iter().sum::<usize>() as f64 / all as f64;
    assert!((below - 0.7).abs() < 2.0 / all as f64, "{below}");
}

#[test]
fn what_changed_between_two_scorings_is_counted() {
    let before = [vec![0.0, 1.0, 1.0], vec![0.0, 0.0, 0.3]];
    assert_eq!(churn(4, &before, &before).unwrap(), 0.0);
    let after = [vec![0.0, 0.0, 0.2], vec![0.0, 1.0, 0.0]];
    assert_eq!(churn(4, &before, &after).unwrap(), 0.75);
    assert_eq!(churn(0, &[], &[]).unwrap(), 0.0);
    assert!(churn(4, &before, &after[..1]).is_err());
}
