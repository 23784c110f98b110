//! Options by their likelihood: lm-evaluation-harness's `multiple_choice`. [`src/benchmark/arc.rs`](crate::benchmark::arc) and
//! [`src/benchmark/mmlu.rs`](crate::benchmark::mmlu) make such items.
//!
//! The rules are those of its version 0.4.13, `ConfigurableTask.process_results` and `construct_requests` in `lm_eval/api/task.py`. Of
//! options that are equally probable the first one is taken.

use super::{Check, Form, Found, Item, Part, Score};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is behind `Answer:` when a question that asks for a letter is scored by likelihood.
const PREFIX: &str = "Answer:";

/// By what the log-likelihood of an option is divided before the largest one is taken. The names are lm-evaluation-harness's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accuracy {
    /// By nothing.
    #[default]
    Acc,
    /// By the option's length in characters.
    AccNorm,
    /// By the option's length in bytes.
    AccBytes,
}

impl Accuracy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Acc, Self::AccNorm, Self::AccBytes];

    /// Its name in lm-evaluation-harness.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acc => "acc",
            Self::AccNorm => "acc_norm",
            Self::AccBytes => "acc_bytes",
        }
    }

    fn length(self, option: &str) -> f64 {
        match self {
            Self::Acc => 1.0,
            Self::AccNorm => option.chars().count() as f64,
            Self::AccBytes => option.len() as f64,
        }
    }

    /// The place of the option that is taken.
    fn taken(self, options: &[String], likelihoods: &[Likelihood]) -> usize {
        let values = options.iter().zip(likelihoods);
        let values = values.map(|(option, of)| of.log_likelihood / self.length(option));
        let best = values.enumerate().fold((0, f64::NEG_INFINITY), |best, (at, value)| {
            if value > best.1 { (at, value) } else { best }
        });
        best.0
    }
}

/// How probable a model finds one option.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// Sum of the log-probabilities of its tokens, each behind the question and the tokens before it.
    pub log_likelihood: f64,
    /// Whether each of its tokens is the most probable one.
    pub is_greedy: bool,
}

impl Check {
    /// Whether options are scored by their likelihood, and nothing is written.
    pub fn by_likelihood(&self) -> bool {
        matches!(self, Self::Likelihood { .. })
    }

    /// The text between the question, or where the answer is begun for the model, and an option.
    pub fn delimiter(&self) -> &str {
        match self {
            Self::Likelihood { target_delimiter, gen_prefix, apply_chat_template, .. } => {
                let begun = !gen_prefix.is_empty() && !gen_prefix.ends_with(char::is_whitespace);
                if *apply_chat_template && !begun { "" } else { target_delimiter }
            }
            _ => "",
        }
    }
}

impl Item {
    /// The same question scored by the likelihood of its options, where it has some.
    ///
    /// A question that asks for a letter gets the letters as options, and its answer is begun with `Answer:`.
    pub fn by_likelihood(&self, measure: Accuracy, apply_chat_template: bool) -> Option<Self> {
        let lettered = |gold: usize, labels: Vec<String>| Check::Likelihood {
            gold,
            options: labels,
            description: String::new(),
            target_delimiter: " ".into(),
            gen_prefix: PREFIX.into(),
            measure,
            apply_chat_template,
        };
        let check = match &self.check {
            Check::Choice { letter, options } => {
                let labels: Vec<String> =
                    ('A'..='Z').take(options.len()).map(String::from).collect();
                lettered(labels.iter().position(|label| label.starts_with(*letter))?, labels)
            }
            Check::Letter { key, labels, .. } => {
                lettered(labels.iter().position(|label| label == key)?, labels.clone())
            }
            Check::Likelihood {
                gold, options, description, target_delimiter, gen_prefix, ..
            } => Check::Likelihood {
                gold: *gold,
                options: options.clone(),
                description: description.clone(),
                target_delimiter: target_delimiter.clone(),
                gen_prefix: gen_prefix.clone(),
                measure,
                apply_chat_template,
            },
            _ => return None,
        };
        Some(Self { check, ..self.clone() })
    }

    /// The text before the options for a model without a chat template: description, question, and how the answer is begun.
    pub fn plain_context(&self) -> String {
        let Check::Likelihood { description, target_delimiter, gen_prefix, .. } = &self.check
        else {
            return self.prompt.clone();
        };
        let apart = gen_prefix.is_empty()
            || self.prompt.is_empty()
            || self.prompt.ends_with(char::is_whitespace)
            || gen_prefix.starts_with(char::is_whitespace);
        let between = if apart { "" } else { target_delimiter };
        format!("{description}{}{between}{gen_prefix}", self.prompt)
    }

    /// The grade of an item whose options have these likelihoods. Its form is kept: none is asked for. Its [`Score::parts`] are right or wrong by
    /// every [`Accuracy`].
    ///
    /// # Errors
    /// The item is not scored by likelihood, or has another number of options.
    pub fn grade_likelihoods(&self, likelihoods: &[Likelihood]) -> Result<Score> {
        let refused = |problem: String| Err(Error::invalid(format!("item {}", self.id), problem));
        let Check::Likelihood { gold, options, measure, .. } = &self.check else {
            return refused("is not scored by the likelihood of options".into());
        };
        if options.len() != likelihoods.len() || options.is_empty() {
            let (options, given) = (options.len(), likelihoods.len());
            return refused(format!("has {options} options, and there are {given} likelihoods"));
        }
        let parts = Accuracy::ALL.map(|measure| {
            let right = measure.taken(options, likelihoods) == *gold;
            Part { name: measure.name().into(), strict: right, loose: right }
        });
        let taken = measure.taken(options, likelihoods);
        let value = f64::from(u8::from(taken == *gold));
        Ok(Score {
            value,
            skill: value,
            form: Form::Kept,
            extracted: Some(options[taken].clone()),
            why: match taken == *gold {
                true => format!("Option {} is the most probable, and right.", taken + 1),
                false => {
                    format!("Option {} is the most probable, {} is right.", taken + 1, gold + 1)
                }
            },
            parts: parts.into(),
        })
    }
}

/// A written answer to such an item is right where it is the right option, word for word.
pub(super) fn grade(gold: usize, options: &[String], answer: &str) -> Found {
    let named = options.iter().position(|option| option.trim() == answer.trim());
    let right = options.get(gold).is_some_and(|option| option.trim() == answer.trim());
    Found {
        extracted: named.map(|at| options[at].trim().to_owned()),
        right,
        skill: right,
        why: match (right, named) {
            (true, _) => "It is the right option.".into(),
            (false, Some(at)) => format!("It is option {}, {} is right.", at + 1, gold + 1),
            (false, None) => "It is none of the options, word for word.".into(),
        },
    }
}

/// Why such an item cannot be scored, if it cannot.
pub(super) fn check(gold: usize, options: &[String]) -> std::result::Result<(), String> {
    if options.len() < 2 {
        return Err(format!("there are {} options, and two or more are needed", options.len()));
    }
    if let Some(at) = options.iter().position(|option| option.trim().is_empty()) {
        return Err(format!("option {} is empty, so that it has no likelihood", at + 1));
    }
    if gold >= options.len() {
        let last = options.len() - 1;
        return Err(format!("gold is {gold}, and the options are numbered from 0 to {last}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(options: &[&str], gold: usize, measure: Accuracy) -> Item {
        let check = Check::Likelihood {
            gold,
            options: options.iter().map(|option| option.to_string()).collect(),
            description: String::new(),
            target_delimiter: " ".into(),
            gen_prefix: String::new(),
            measure,
            apply_chat_template: false,
        };
        let (id, prompt, truth) = ("q".into(), "?".into(), options[gold].into());
        Item { id, prompt, truth, style: vec![], check }
    }

    fn of(values: &[f64]) -> Vec<Likelihood> {
        let of = |value: &f64| Likelihood { log_likelihood: *value, is_greedy: false };
        values.iter().map(of).collect()
    }

    #[test]
    fn the_largest_likelihood_is_taken_by_each_measure() {
        // characters 2, 4, 3; bytes 2, 4, 6
        let likelihoods = of(&[-4.0, -5.0, -6.0]);
        for gold in 0..3 {
            for (measure, taken) in Accuracy::ALL.into_iter().zip([0, 1, 2]) {
                let right = gold == taken;
                let score = item(&["ab", "abcd", "äöü"], gold, measure)
                    .grade_likelihoods(&likelihoods)
                    .unwrap();
                assert_eq!(score.value == 1.0, right, "{gold} {measure:?}");
                assert_eq!((score.skill, score.form), (score.value, Form::Kept));
                let part = score.parts.iter().find(|part| part.name == measure.name()).unwrap();
                assert_eq!(part.strict, right);
            }
        }
    }

    #[test]
    fn of_equals_the_first_is_taken_and_nothing_that_is_no_option() {
        for (values, taken) in
            [([-1.0, -1.0], 0), ([-2.0, -1.0], 1), ([f64::NEG_INFINITY, f64::NEG_INFINITY], 0)]
        {
            let score = item(&["a", "b"], taken, Accuracy::Acc).grade_likelihoods(&of(&values));
            assert_eq!(score.unwrap().value, 1.0, "{values:?}");
        }
        assert!(item(&["a", "b"], 0, Accuracy::Acc).grade_likelihoods(&of(&[-1.0])).is_err());
    }

    #[test]
    fn items_that_cannot_be_scored_say_why() {
        let options = |options: &[&str]| -> Vec<String> {
            options.iter().map(|option| option.to_string()).collect()
        };
        for (given, gold, part) in [
            (options(&["a", " "]), 0, "option 2 is empty"),
            (options(&["a"]), 0, "two or more"),
            (options(&[]), 0, "two or more"),
            (options(&["a", "b"]), 2, "numbered from 0 to 1"),
        ] {
            let problem = check(gold, &given).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn a_written_answer_is_right_word_for_word() {
        let item = item(&["the cat", "the dog"], 1, Accuracy::Acc);
        assert_eq!(item.grade(" the dog\n", false).value, 1.0);
        assert_eq!(item.grade("the cat", false).value, 0.0);
        assert_eq!(item.grade("a dog", false).form, Form::NoParse);
        assert_eq!(item.grade("", false).form, Form::Empty);
    }

    #[test]
    fn an_answer_is_begun_behind_a_space() {
        let mut item = item(&["a", "b"], 0, Accuracy::Acc);
        assert_eq!((item.plain_context().as_str(), item.check.delimiter()), ("?", " "));
        item.check = match item.by_likelihood(Accuracy::Acc, true).unwrap().check {
            Check::Likelihood { gold, options, measure, .. } => Check::Likelihood {
                gold,
                options,
                description: "Of words.\n\n".into(),
                target_delimiter: " ".into(),
                gen_prefix: PREFIX.into(),
                measure,
                apply_chat_template: true,
            },
            _ => unreachable!(),
        };
        assert_eq!(item.plain_context(), "Of words.\n\n? Answer:");
        assert_eq!(item.check.delimiter(), " ");
        if let Check::Likelihood { gen_prefix, .. } = &mut item.check {
            gen_prefix.clear();
        }
        assert_eq!(item.check.delimiter(), "");
    }
}
