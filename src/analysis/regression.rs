//! What was answered rightly before and is not any more.

use crate::answers::Answers;
use crate::error::{Error, Result};
use crate::evaluate::Graded;
use crate::task::{Check, Item};
use serde::{Deserialize, Serialize};

/// An item that was right before and is wrong now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// The question.
    pub item: Item,
    /// The right answer.
    pub before: Graded,
    /// The wrong one.
    pub after: Graded,
}

/// What an answer has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostPart {
    /// The right answer is still there, but not as it was asked for.
    Form,
    /// No right answer is found, however leniently the text is read.
    Skill,
}

/// The items of `task` that `before` answered rightly and `after` does not.
///
/// # Errors
/// The two were not asked the same items of such a task.
pub fn regressions(before: &Answers, after: &Answers, task: &str) -> Result<Vec<Regression>> {
    let ((items, earlier), (other, later)) = (before.of(task)?, after.of(task)?);
    if items != other {
        let problem =
            format!("{} and {} were asked other items of {task}", before.name, after.name);
        return Err(Error::invalid("answers", problem));
    }
    let lost =
        |before: &Graded, after: &Graded| before.score.value == 1.0 && after.score.value < 1.0;
    let all = items.iter().zip(earlier.iter().zip(later));
    Ok(all
        .filter(|(_, (before, after))| lost(before, after))
        .map(|(item, (before, after))| Regression {
            item: item.clone(),
            before: before.clone(),
            after: after.clone(),
        })
        .collect())
}

impl Regression {
    /// What was lost, by the grader's lenient scored.
    pub fn lost(&self) -> LostPart {
        match self.after.score.skill == 1.0 {
            true => LostPart::Form,
            false => LostPart::Skill,
        }
    }

    /// Whether the wrong answer to a choice names the right option in words, and no other option: the model then knows which is right, and
    /// writes another one's letter. The lenient scored goes by the last option named, here the letter, and calls this lost skill. `None`
    /// where the question is no choice.
    pub fn names_right_option(&self) -> Option<bool> {
        let Check::Choice { letter, options } = &self.item.check else {
            return None;
        };
        let words = |text: &str| -> Vec<String> {
            let split = text.split(|c: char| !c.is_alphanumeric());
            let words = split.filter(|word| !word.is_empty());
            words.map(str::to_lowercase).collect()
        };
        let said = words(&self.after.answer);
        let named = |option: &String| {
            let option = words(option);
            !option.is_empty() && said.windows(option.len()).any(|part| part == option)
        };
        let right = (*letter as usize).checked_sub('A' as usize);
        let found: Vec<usize> = (0..options.len()).filter(|at| named(&options[*at])).collect();
        Some(right.is_some_and(|right| found == [right]))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::answers::{Task, Tasks};
    use crate::task::Place;

    fn choice(at: usize, letter: char) -> Item {
        Item {
            id: format!("choice/test/{at}"),
            prompt: "Which is the opposite of high?".into(),
            truth: "It is low.\nAnswer: B".into(),
            style: vec![(0, 2)],
            check: Check::Choice {
                letter,
                options: vec!["narrow gate".into(), "low".into(), "happy".into()],
            },
        }
    }

    fn number(at: usize, value: &str) -> Item {
        Item {
            id: format!("word/test/{at}"),
            prompt: "How many?".into(),
            truth: format!("Answer: {value}"),
            style: vec![],
            check: Check::Number { value: value.into(), place: Place::AnswerLine },
        }
    }

    /// Answers to two choices and two sums, graded as they are.
    pub(in crate::analysis) fn answered(name: &str, texts: [&str; 4]) -> Answers {
        let asked = Tasks {
            target: Task::new("choice", vec![choice(0, 'B'), choice(1, 'B')]),
            others: vec![Task::new("word", vec![number(0, "5"), number(1, "7")])],
            max_new_tokens: 16,
        };
        let mut texts = texts.iter();
        let mut grade = |item: &Item| {
            let answer = texts.next().copied().unwrap_or_default().to_owned();
            Graded {
                id: item.id.clone(),
                score: item.grade(&answer, false),
                answer,
                truncated: false,
                likelihoods: Vec::new(),
            }
        };
        let graded = asked.all().map(|task| task.items.iter().map(&mut grade).collect()).collect();
        Answers { name: name.to_owned(), asked, graded }
    }

    pub(in crate::analysis) const BEFORE: [&str; 4] =
        ["It is low.\nAnswer: B", "It is low.\nAnswer: B", "2 + 3 = 5\nAnswer: 5", "Answer: 7"];

    #[test]
    fn what_was_right_and_is_not_is_forgotten_in_form_or_in_skill() {
        let before = answered("base", BEFORE);
        let after = answered(
            "tuned",
            [
                "This holds for low only.\nAnswer: A",
                "It is low.\nAnswer: B",
                "That makes 5.",
                "Answer: 8",
            ],
        );
        let parts = |task: &str| -> Vec<(String, LostPart)> {
            let lost = regressions(&before, &after, task).unwrap();
            lost.iter().map(|one| (one.item.id.clone(), one.lost())).collect()
        };
        assert_eq!(
            parts("word"),
            [
                ("word/test/0".to_owned(), LostPart::Form),
                ("word/test/1".to_owned(), LostPart::Skill)
            ]
        );
        assert_eq!(parts("choice"), [("choice/test/0".to_owned(), LostPart::Skill)]);
        let error = regressions(&before, &after, "sql").unwrap_err().to_string();
        assert!(error.contains("`sql`") && error.contains("choice, word"), "{error}");
        let mut other = after.clone();
        other.asked.others[0].items.swap(0, 1);
        assert!(regressions(&before, &other, "word").is_err());
    }

    #[test]
    fn a_choice_may_be_right_in_words_and_wrong_in_its_letter() {
        let named = |text: &str| {
            let after = answered("tuned", [text, "", "", ""]);
            let lost = regressions(&answered("base", BEFORE), &after, "choice").unwrap();
            lost[0].names_right_option()
        };
        assert_eq!(named("This holds for Low only.\nAnswer: A"), Some(true));
        assert_eq!(named("Is it low or happy?\nAnswer: C"), Some(false));
        assert_eq!(named("The narrow gate.\nAnswer: A"), Some(false));
        assert_eq!(named("lowest.\nAnswer: A"), Some(false));
        let after = answered("tuned", [BEFORE[0], BEFORE[1], "Answer: 6", "Answer: 7"]);
        let lost = regressions(&answered("base", BEFORE), &after, "word").unwrap();
        assert_eq!(lost[0].names_right_option(), None);
    }

    #[test]
    fn a_models_own_answers_are_those_that_were_right() {
        let own = answered("tuned", ["Answer: A", BEFORE[1], "", ""]).own("choice").unwrap();
        assert_eq!(own.len(), 1);
        assert_eq!((&own[0].truth[..], own[0].style.len()), (BEFORE[1], 0));
    }
}
