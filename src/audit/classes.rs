//! What kinds of tokens are masked: how much of what surprises the model is form and not content.

use super::fact::Facts;
use super::layout::{MBPP_TRAIN, MBPP_VALIDATION, STM, STM_IDS};
use super::pieces::{self, Spelled};
use super::scored::Scored;
use crate::error::Result;
use crate::metric::PAPER_THRESHOLD;
use std::collections::BTreeMap;

/// Kinds of tokens, by what they are without white space around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// A carriage return is in it, whatever else is.
    CarriageReturn,
    /// Nothing but white space.
    WhiteSpace,
    /// Letters only.
    Word,
    /// Digits only.
    Number,
    /// A token of the template, such as the end of turn.
    Special,
    /// Everything else: symbols, names with underscores, mixtures.
    Symbol,
}

impl Class {
    fn of(text: &str) -> Self {
        let bare = text.trim();
        if text.contains('\r') {
            Self::CarriageReturn
        } else if bare.is_empty() {
            Self::WhiteSpace
        } else if bare.starts_with("<|") && bare.ends_with("|>") {
            Self::Special
        } else if bare.chars().all(char::is_alphabetic) {
            Self::Word
        } else if bare.chars().all(char::is_numeric) {
            Self::Number
        } else {
            Self::Symbol
        }
    }
}

/// What the tokens of one class have together.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    tokens: usize,
    masked: usize,
    above_1000: usize,
    surprisal: f64,
}

/// Every fact about the classes of the STM set's answer tokens.
pub(super) fn audit(scored: &[Scored], facts: &mut Facts) -> Result<()> {
    let spelled = pieces::spell(scored)?;
    let file = STM_IDS.name();
    let found = spelled.rows.iter().flatten().count();
    facts
        .claim("rows whose ids can spell their text", &file, "–")
        .note(format!(
            "by Llama 3's first cut; {} of {} ids have one certain text",
            spelled.certain, spelled.ids
        ))
        .count(scored.len(), found);
    facts.claim("rows whose cl100k ids are the ids here", &file, "earlier count").cannot(
        "372",
        "cl100k's vocabulary is not in these files; the classes below need no vocabulary",
    );
    let mut sums: BTreeMap<Class, Sums> = BTreeMap::new();
    let (mut all, mut unknown) = (Sums::default(), 0);
    let mut often: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (row, texts) in scored.iter().zip(&spelled.rows) {
        for at in row.start..row.perplexity.len() {
            let ppl = row.perplexity[at];
            let class = texts.as_ref().and_then(|texts| {
                let mut classes = texts[at].iter().map(|text| Class::of(text));
                let first = classes.next()?;
                classes.all(|class| class == first).then_some(first)
            });
            let add = |sums: &mut Sums| {
                sums.tokens += 1;
                sums.masked += usize::from(ppl > PAPER_THRESHOLD);
                sums.above_1000 += usize::from(ppl > 1000.0);
                sums.surprisal += ppl.ln();
            };
            add(&mut all);
            match class {
                Some(class) => add(sums.entry(class).or_default()),
                None => unknown += 1,
            }
            if let Some(texts) = texts.as_ref().map(|texts| &texts[at])
                && texts.len() == 1
                && let Some(text) = texts.first()
            {
                let count = often.entry(text).or_default();
                count.0 += usize::from(ppl > PAPER_THRESHOLD);
                count.1 += 1;
            }
        }
    }
    facts
        .claim("answer tokens without a certain class", &file, "–")
        .note("they are in no class below")
        .finding("few", format!("{unknown} of {}", all.tokens), 100 * unknown <= all.tokens);
    shares(&sums, &all, facts);
    frequent(&spelled, &often, facts);
    Ok(())
}

fn shares(sums: &BTreeMap<Class, Sums>, all: &Sums, facts: &mut Facts) {
    let of = |class: Class| sums.get(&class).copied().unwrap_or_default();
    let share = |part: f64, whole: f64| (whole > 0.0).then(|| 100.0 * part / whole);
    let masked = |classes: &[Class]| {
        let part: usize = classes.iter().map(|class| of(*class).masked).sum();
        share(part as f64, all.masked as f64)
    };
    let cr = of(Class::CarriageReturn);
    let stated = "earlier count";
    let mut say = |what: &str, expected: f64, found: Option<f64>, note: &str| {
        facts.claim(what, STM.name(), stated).note(note).maybe(
            expected,
            1,
            found,
            "there are no such tokens",
        );
    };
    let why = "carriage returns are how the reference solutions end their lines, not what they say";
    say(
        "% of answer tokens with a carriage return",
        8.9,
        share(cr.tokens as f64, all.tokens as f64),
        why,
    );
    say("% of masked tokens with a carriage return", 15.4, masked(&[Class::CarriageReturn]), "");
    say(
        "% of tokens above 1000 with a carriage return",
        28.4,
        share(cr.above_1000 as f64, all.above_1000 as f64),
        "",
    );
    say(
        "% of −ln p in tokens with a carriage return",
        25.8,
        share(cr.surprisal, all.surprisal),
        "",
    );
    say(
        "% of masked tokens that are white space, carriage returns included",
        26.4,
        masked(&[Class::CarriageReturn, Class::WhiteSpace]),
        "a token with a carriage return, or with nothing but white space",
    );
    say(
        "% of masked tokens that are words",
        27.3,
        masked(&[Class::Word]),
        "letters only, but for white space around them",
    );
    say(
        "% of masked tokens that are numbers",
        3.0,
        masked(&[Class::Number]),
        "digits only, but for white space around them",
    );
    say(
        "% of masked tokens that are symbols or mixed",
        43.3,
        masked(&[Class::Symbol]),
        "everything else",
    );
}

fn frequent(spelled: &Spelled, often: &BTreeMap<&str, (usize, usize)>, facts: &mut Facts) {
    for (text, masked, tokens) in [
        (" \r\n", 295, 642),
        ("):\r\n", 213, 341),
        (" (", 201, 315),
        (" ", 195, 992),
        ("```", 152, 748),
    ] {
        let shown = text.escape_debug().to_string();
        let claim = facts.claim(
            format!("\"{shown}\": masked of all"),
            STM.name(),
            "earlier count, most often masked",
        );
        let expected = format!("{masked} of {tokens}");
        match often.get(text) {
            Some((masked, tokens)) => claim.text(expected, format!("{masked} of {tokens}")),
            None => claim.cannot(
                expected,
                format!(
                    "no id certainly has this text ({} of {} do have one)",
                    spelled.certain, spelled.ids
                ),
            ),
        }
    }
}

/// How the reference solutions are written: line ends and tabs.
pub(super) fn line_ends(
    train: &[crate::dataset::Row],
    validation: &[crate::dataset::Row],
    facts: &mut Facts,
) {
    use super::layout::{text, turns};
    for (file, rows, returns, tabs) in
        [(&MBPP_TRAIN, train, 373, Some(41)), (&MBPP_VALIDATION, validation, 90, None)]
    {
        let with = |mark: &str| rows.iter().filter(|row| text(row, "code").contains(mark)).count();
        let stated = "earlier count";
        facts
            .claim("reference solutions with carriage returns", file.name(), stated)
            .count(returns, with("\r\n"));
        if let Some(tabs) = tabs {
            facts
                .claim("reference solutions with tabs", file.name(), stated)
                .count(tabs, with("\t"));
        }
        let fenced = |row: &&crate::dataset::Row| {
            turns(row).1 == format!("```python\n{}\n```", text(row, "code"))
        };
        facts
            .claim("answers that are the solution in a fence", file.name(), stated)
            .count(rows.len(), rows.iter().filter(fenced).count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_class() {
        for (text, class) in [
            (" \r\n", Class::CarriageReturn),
            ("):\r\n", Class::CarriageReturn),
            (" \n", Class::WhiteSpace),
            ("\t\t", Class::WhiteSpace),
            (" word", Class::Word),
            ("\tif", Class::Word),
            ("12", Class::Number),
            ("_x", Class::Symbol),
            ("):\n", Class::Symbol),
            ("x1", Class::Symbol),
            ("<|eot_id|>", Class::Special),
        ] {
            assert_eq!(Class::of(text), class, "{text:?}");
        }
    }
}
