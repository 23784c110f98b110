//! Which kinds of tokens surprise the model, or are left out: by what they are made of, by whose manner they show, and by their place.

use crate::error::{Error, Result};
use crate::masked::Masked;
use crate::metric::PAPER_THRESHOLD;
use crate::scored::Scored;
use crate::select::TokenClass;
use serde::Serialize;

/// The answers' tokens, sorted into kinds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kinds {
    /// Whose answers, and by which rule they are learned, if by one.
    pub name: String,
    /// What is counted of each kind, `>2.5` or `masked`.
    pub counted: String,
    /// Kinds that there are.
    pub rows: Vec<Kind>,
}

/// The tokens of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kind {
    /// What they are.
    pub name: String,
    /// How many there are.
    pub tokens: usize,
    /// How many of them are counted.
    pub counted: usize,
    /// Their summed surprisal, in nats.
    pub surprisal: f64,
}

/// One token of an answer, as it is sorted.
pub(super) struct Token {
    pub class: TokenClass,
    pub style: bool,
    pub place: Place,
    pub nats: f64,
    pub perplexity: Option<f32>,
    /// Its item, and its place in that item's sequence.
    pub at: (usize, usize),
}

/// Where a token stands between what is the writer's style and what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    First,
    StyleBegins,
    StyleGoesOn,
    AfterStyle,
    Content,
}

impl Place {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::First, "first token of an answer"),
        (Self::StyleBegins, "style begins"),
        (Self::StyleGoesOn, "style goes on"),
        (Self::AfterStyle, "first after style"),
        (Self::Content, "content goes on"),
    ];

    fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(place, _)| *place == self);
        found.map_or("", |(_, name)| name)
    }
}

impl Scored {
    /// All tokens of the answers.
    pub(super) fn sorted(&self) -> Vec<Token> {
        let mut tokens = Vec::new();
        for (item, sequence) in self.sequences.iter().enumerate() {
            let (scores, classes) = (&self.scores[item], &self.classes[item]);
            let of = &self.items[item];
            let style = sequence.marked(&of.truth, &of.style);
            let perplexity = scores.perplexity();
            let mut before: Option<bool> = None;
            for at in sequence.completion.positions() {
                let place = match (before, style[at]) {
                    (None, _) => Place::First,
                    (Some(false), true) => Place::StyleBegins,
                    (Some(true), true) => Place::StyleGoesOn,
                    (Some(true), false) => Place::AfterStyle,
                    (Some(false), false) => Place::Content,
                };
                before = Some(style[at]);
                tokens.push(Token {
                    class: classes[at],
                    style: style[at],
                    place,
                    nats: scores.log_prob[at].map_or(0.0, |log_prob| -f64::from(log_prob)),
                    perplexity: perplexity[at],
                    at: (item, at),
                });
            }
        }
        tokens
    }

    /// Refuses answers of which nobody knows where the writer's style shows.
    pub(super) fn check_style(&self) -> Result<()> {
        match self.items.iter().any(|item| !item.style.is_empty()) {
            true => Ok(()),
            false => Err(Error::invalid(
                self.name.as_str(),
                "no item says where its writer's style shows; only given answers of the lab do",
            )),
        }
    }

    fn kinds(&self, of: impl Fn(&Token) -> &'static str, names: &[&'static str]) -> Kinds {
        let above = |token: &Token| {
            let high = |perplexity: f32| f64::from(perplexity) > PAPER_THRESHOLD;
            token.perplexity.is_some_and(high)
        };
        let counted = format!(">{PAPER_THRESHOLD}");
        Kinds::of_tokens(&self.name, counted, &self.sorted(), above, of, names)
    }

    /// The answers' tokens by what they are made of, and how many of each have a perplexity above the paper's 2.5: its Figure 8.
    pub fn by_class(&self) -> Kinds {
        self.kinds(|token| token.class.name(), &classes())
    }

    /// The answers' tokens by whether the writer's own style shows in them, with those above 2.5.
    ///
    /// # Errors
    /// No item says where its writer's style shows.
    pub fn by_style(&self) -> Result<Kinds> {
        self.check_style()?;
        Ok(self.kinds(style, &STYLE))
    }

    /// The answers' tokens by where they stand: at the beginning of the answer, where style begins and where it ends, and between; with
    /// those above 2.5.
    ///
    /// # Errors
    /// No item says where its writer's style shows.
    pub fn by_place(&self) -> Result<Kinds> {
        self.check_style()?;
        let names = Place::NAMES.map(|(_, name)| name);
        Ok(self.kinds(|token| token.place.name(), &names))
    }
}

impl Masked {
    fn kinds(&self, of: impl Fn(&Token) -> &'static str, names: &[&'static str]) -> Kinds {
        let name = format!("{}, {}", self.scored.name, self.rule);
        let masked = |token: &Token| self.weights[token.at.0][token.at.1] == 0.0;
        Kinds::of_tokens(&name, "masked".to_owned(), &self.scored.sorted(), masked, of, names)
    }

    /// The answers' tokens by what they are made of, and how many of each are masked.
    pub fn by_class(&self) -> Kinds {
        self.kinds(|token| token.class.name(), &classes())
    }

    /// The answers' tokens by where they stand, and how many of each are masked: see [`Scored::by_place`].
    ///
    /// # Errors
    /// No item says where its writer's style shows.
    pub fn by_place(&self) -> Result<Kinds> {
        self.scored.check_style()?;
        let names = Place::NAMES.map(|(_, name)| name);
        Ok(self.kinds(|token| token.place.name(), &names))
    }
}

const STYLE: [&str; 2] = ["the writer's style", "content"];

fn style(token: &Token) -> &'static str {
    STYLE[usize::from(!token.style)]
}

fn classes() -> [&'static str; TokenClass::NAMES.len()] {
    TokenClass::NAMES.map(|(name, _)| name)
}

impl Kinds {
    fn of_tokens(
        name: &str,
        counted: String,
        tokens: &[Token],
        is_counted: impl Fn(&Token) -> bool,
        of: impl Fn(&Token) -> &'static str,
        names: &[&'static str],
    ) -> Self {
        let row = |name: &&'static str| {
            let own = || tokens.iter().filter(|token| of(token) == *name);
            Kind {
                name: (*name).to_owned(),
                tokens: own().count(),
                counted: own().filter(|token| is_counted(token)).count(),
                surprisal: own().map(|token| token.nats).sum(),
            }
        };
        Self {
            name: name.to_owned(),
            counted,
            rows: names.iter().map(row).filter(|row| row.tokens > 0).collect(),
        }
    }

    /// One kind.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn of(&self, name: &str) -> Result<&Kind> {
        let found = self.rows.iter().find(|row| row.name == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.rows.iter().map(|row| row.name.as_str()).collect();
            Error::invalid(
                "kind of token",
                format!("there is no `{name}`, only {}", names.join(", ")),
            )
        })
    }

    /// All kinds together.
    pub fn all(&self) -> Kind {
        let sum = |value: fn(&Kind) -> usize| self.rows.iter().map(value).sum();
        Kind {
            name: "all".to_owned(),
            tokens: sum(|row| row.tokens),
            counted: sum(|row| row.counted),
            surprisal: self.rows.iter().map(|row| row.surprisal).sum(),
        }
    }
}

impl Kind {
    /// Of these tokens, the share that is counted.
    pub fn share(&self) -> f64 {
        self.counted as f64 / self.tokens.max(1) as f64
    }
}

#[cfg(test)]
pub(crate) mod made {
    use crate::perplexity::TokenScores;
    use crate::scored::Scored;
    use crate::select::{LossMask, TokenClass};
    use crate::task::{Check, Item, Place};
    use crate::tokens::{Form, Sequence};

    /// `?` is asked; `Oh well: 5` is answered, of which `Oh well` is style, and the turn ends.
    pub(crate) fn scored() -> Scored {
        let spans = vec![0..1, 1..3, 3..8, 8..9, 9..10, 10..11, 11..11];
        let nats = [5.0f32, 0.5, 0.2, 0.1, 4.0, 1.0];
        let log_prob = std::iter::once(None).chain(nats.map(|nats| Some(-nats)));
        Scored {
            name: "ground truth".into(),
            items: vec![Item {
                id: "word/train/0".into(),
                prompt: "?".into(),
                truth: "Oh well: 5".into(),
                style: vec![(0, 7)],
                check: Check::Number { value: "5".into(), place: Place::AnswerLine },
            }],
            sequences: vec![Sequence {
                weights: Vec::new(),
                id: "word/train/0".into(),
                text: "?Oh well: 5".into(),
                ids: (0..7).collect(),
                spans,
                completion: (0..7).map(|at| at > 0).collect::<LossMask>(),
                prompt_tokens: 1,
                form: Form::Chat,
                end_of_turn: Some(6),
            }],
            scores: vec![TokenScores {
                log_prob: log_prob.collect(),
                entropy: vec![None; 7],
                rank: vec![None, Some(9), Some(1), Some(0), Some(0), Some(4), Some(1)],
            }],
            classes: vec![vec![
                TokenClass::Symbols,
                TokenClass::Words,
                TokenClass::Words,
                TokenClass::Symbols,
                TokenClass::Whitespace,
                TokenClass::Numbers,
                TokenClass::EndOfTurn,
            ]],
            ..Scored::default()
        }
    }

    /// One item whose answer has the tokens of these log-probabilities.
    pub(crate) fn scored_of(log_prob: &[f32]) -> Scored {
        let count = log_prob.len() + 1;
        let sequence = Sequence {
            weights: Vec::new(),
            id: "word/train/0".into(),
            text: "x".repeat(count),
            ids: (0..count as u32).collect(),
            spans: (0..count).map(|at| at..at + 1).collect(),
            completion: (0..count).map(|at| at > 0).collect::<LossMask>(),
            prompt_tokens: 1,
            form: Form::Chat,
            end_of_turn: None,
        };
        let all = std::iter::once(None).chain(log_prob.iter().copied().map(Some));
        Scored {
            name: "ground truth".into(),
            items: vec![Item {
                id: "word/train/0".into(),
                prompt: "?".into(),
                truth: "x".repeat(count - 1),
                style: vec![],
                check: Check::Number { value: "1".into(), place: Place::AnswerLine },
            }],
            scores: vec![TokenScores {
                log_prob: all.collect(),
                entropy: vec![None; count],
                rank: vec![None; count],
            }],
            classes: vec![vec![TokenClass::Words; count]],
            sequences: vec![sequence],
            ..Scored::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_of_an_answer_is_of_one_kind() {
        let scored = made::scored();
        let low = scored.mask("stm(2.5)").unwrap();
        for kinds in [
            scored.by_class(),
            scored.by_style().unwrap(),
            scored.by_place().unwrap(),
            low.by_class(),
            low.by_place().unwrap(),
        ] {
            let all = kinds.all();
            assert_eq!((all.tokens, all.counted), (6, 3), "{kinds:?}");
            assert!((all.surprisal - 10.8).abs() < 1e-5, "{kinds:?}");
        }
    }

    #[test]
    fn kinds_are_what_their_names_say() {
        let scored = made::scored();
        let count = |kinds: &Kinds, name: &str| {
            let kind = kinds.of(name).unwrap();
            (kind.tokens, kind.counted)
        };
        let classes = scored.by_class();
        assert_eq!(count(&classes, "words"), (2, 1));
        assert_eq!(count(&classes, "end_of_turn"), (1, 1));
        let error = classes.of("code_fence").unwrap_err().to_string();
        assert!(error.contains("words"), "{error}");
        let style = scored.by_style().unwrap();
        assert_eq!(count(&style, "the writer's style"), (2, 1));
        let places = scored.by_place().unwrap();
        assert_eq!(count(&places, "first token of an answer"), (1, 1));
        assert_eq!(count(&places, "style goes on"), (1, 0));
        assert_eq!(count(&places, "first after style"), (1, 0));
        assert_eq!(count(&places, "content goes on"), (3, 2));
        assert!(places.of("style begins").is_err());
    }

    #[test]
    fn answers_without_known_style_are_refused() {
        let mut scored = made::scored();
        scored.items[0].style.clear();
        assert!(scored.by_style().is_err() && scored.by_place().is_err());
        assert_eq!(scored.by_class().all().tokens, 6);
    }
}
