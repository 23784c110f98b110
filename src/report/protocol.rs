//! How arms that were trained at several rates are compared: at one rate for all, by the whole front, or each at the rate that validation chose.
//!
//! All three are views of the same answers. The first is the paper's. The last hides what it is meant to show: [`Protocol::reason`] says why.

use super::summary::{self, arms, tested};
use crate::experiment::results::Results;
use serde::{Serialize, Serializer};

/// One way to compare arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Protocol {
    /// All at this rate, after as many steps.
    OneRate(f64),
    /// Each over all rates that were tried: what is kept against what is gained.
    Front,
    /// Each at the rate at which it scored best on the target's validation items.
    Validated,
}

impl Serialize for Protocol {
    /// Its [key](Protocol::key).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl Protocol {
    /// Those for which the results have the data, in the order in which they are shown; at least one.
    pub fn all(results: &Results) -> Vec<Self> {
        let chosen = several_rates(results);
        let one = one_rate(results).map(Self::OneRate);
        let rest = [Self::Front, Self::Validated].into_iter().filter(|_| chosen);
        let all: Vec<Self> = one.into_iter().chain(rest).collect();
        if all.is_empty() { vec![Self::Validated] } else { all }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::OneRate(rate) => format!("all arms at one rate, {rate:e}"),
            Self::Front => "the whole front".to_owned(),
            Self::Validated => "each arm at its validated rate".to_owned(),
        }
    }

    /// In a word, for files.
    pub fn key(self) -> &'static str {
        match self {
            Self::OneRate(_) => "one_rate",
            Self::Front => "front",
            Self::Validated => "validated",
        }
    }

    /// What it answers, and what it cannot show.
    pub fn reason(self) -> &'static str {
        match self {
            Self::OneRate(_) => {
                "The same rate and the same steps for all: what differs is whose answers are learned and which of their tokens. The paper compares so."
            }
            Self::Front => {
                "Every rate that was tried: what an arm keeps of the other tasks against what it gains on the target."
            }
            Self::Validated => {
                "The rule that chooses an arm's rate looks at the target's validation items alone. An arm that costs the target more than it gives is sent to the rate that changes least, and forgets nothing because it learns nothing: so this view hides the effect."
            }
        }
    }

    /// The results with those runs marked as chosen that this protocol compares; `None` for the front, which compares all of them.
    pub fn view(self, results: &Results) -> Option<Results> {
        match self {
            Self::Front => None,
            Self::Validated => Some(results.clone()),
            Self::OneRate(rate) => Some(at_rate(results, rate)),
        }
    }
}

/// The results with the runs at this rate marked as chosen, under the seeds that all arms have there.
pub(crate) fn at_rate(results: &Results, rate: f64) -> Results {
    let seeds = seeds_at(results, rate);
    let mut view = results.clone();
    view.runs.iter_mut().for_each(|run| {
        run.chosen = run.learning_rate == rate && seeds.contains(&run.seed);
    });
    view
}

/// The rate at which arms are compared: the one that the recipe names; else the highest that validation chose for an arm and at which all were
/// trained. `None` if there is no such rate.
pub fn one_rate(results: &Results) -> Option<f64> {
    let shared = |rate: &f64| !seeds_at(results, *rate).is_empty();
    let chosen = results.runs.iter().filter(|run| run.chosen).map(|run| run.learning_rate);
    let named = results.common_learning_rate.filter(shared);
    named.or_else(|| chosen.filter(shared).max_by(f64::total_cmp))
}

/// Whether some arm was trained at more than one rate.
pub(crate) fn several_rates(results: &Results) -> bool {
    tested(results).any(|run| {
        tested(results)
            .any(|other| other.arm == run.arm && other.learning_rate != run.learning_rate)
    })
}

/// The seeds with which every arm was trained and tested at this rate.
fn seeds_at(results: &Results, rate: f64) -> Vec<u64> {
    let at = |arm: &str| -> Vec<u64> {
        let runs = summary::tested(results);
        runs.filter(|run| run.arm == arm && run.learning_rate == rate).map(|run| run.seed).collect()
    };
    let mut all = arms(results).into_iter().map(at);
    let mut seeds = all.next().unwrap_or_default();
    all.for_each(|own| seeds.retain(|seed| own.contains(seed)));
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_recipes_rate_is_taken_else_the_highest_that_was_chosen_and_that_all_share() {
        let mut results = sample::results();
        assert_eq!(one_rate(&results), Some(3e-4));
        results.common_learning_rate = Some(1e-3);
        assert_eq!(
            Protocol::all(&results),
            [Protocol::OneRate(1e-3), Protocol::Front, Protocol::Validated]
        );
        // a rate that was never run is none
        results.common_learning_rate = Some(9.0);
        assert_eq!(one_rate(&results), Some(3e-4));
        // of arms that share no rate there is none, and each is at its own
        results.runs.retain(|run| (run.arm == "stm(2.5)") == (run.learning_rate == 1e-3));
        assert_eq!(one_rate(&results), None);
        assert!(Protocol::all(&results).ends_with(&[Protocol::Validated]));
        results.runs.clear();
        assert_eq!(Protocol::all(&results), [Protocol::Validated]);
    }

    #[test]
    fn a_view_compares_the_runs_of_its_rate_and_of_the_seeds_that_all_have() {
        let mut results = sample::results();
        let first = results.runs[0].arm.clone();
        results.runs.retain(|run| run.learning_rate != 1e-3 || run.arm != first || run.seed == 0);
        let view = Protocol::OneRate(1e-3).view(&results).unwrap();
        let chosen = view.runs.iter().filter(|run| run.chosen);
        assert!(chosen.clone().all(|run| run.learning_rate == 1e-3 && run.seed == 0));
        assert_eq!(chosen.count(), arms(&results).len());
        assert_eq!(Protocol::Validated.view(&results).unwrap(), results);
        assert_eq!(Protocol::Front.view(&results), None);
    }

    #[test]
    fn one_rate_alone_has_no_front_and_nothing_was_chosen() {
        let mut results = sample::results();
        results.runs.retain(|run| run.learning_rate == 3e-4);
        assert_eq!(Protocol::all(&results), [Protocol::OneRate(3e-4)]);
    }
}
