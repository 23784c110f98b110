//! One question answered before a training, after it, and by models that were trained otherwise: what forgetting looks like.

use super::{AnswerRow, Answers};
use crate::error::Word;
use std::fmt::Write as _;
use std::ops::Range;

/// One question, and what each model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeforeAfter {
    /// The task that the question is from.
    pub task: String,
    /// The item's id.
    pub item: String,
    /// What was asked.
    pub question: String,
    /// The model before any training, then the others.
    pub answers: Vec<GivenAnswer>,
}

/// One model's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenAnswer {
    /// What the model is called.
    pub model: String,
    /// What it answered.
    pub answer: String,
    /// Whether that is right, in the right form.
    pub right: bool,
    /// Where in the answer it first differs from the answer before, in bytes: a word, a number or a sign, or nothing at the end if the answer breaks
    /// off. `None` if the two are the same.
    pub differs: Option<Range<usize>>,
}

impl BeforeAfter {
    /// By which rule the question is chosen.
    pub const RULE: &str = "Chosen by rule: of the task that lost most, the shortest question, counted with the answer before, that was answered rightly before, wrongly after, and rightly by the others.";

    /// The question that [`BeforeAfter::RULE`] chooses, and what the models before, after and `others` answer; `None` where there is none. Each is the rows of one
    /// model, of the same items in the same order.
    pub fn choose(
        before: &[AnswerRow],
        after: &[AnswerRow],
        others: &[&[AnswerRow]],
    ) -> Option<Self> {
        let mut tasks: Vec<(&str, i64)> = Vec::new();
        for (one, other) in before.iter().zip(after) {
            let lost = i64::from(one.right()) - i64::from(other.right());
            match tasks.iter_mut().find(|(task, _)| *task == &*one.task) {
                Some((_, sum)) => *sum += lost,
                None => tasks.push((&one.task, lost)),
            }
        }
        // a stable sort: of equals, the first
        tasks.sort_by_key(|(_, lost)| -lost);
        let fits = |at: &usize| {
            let same = |rows: &[AnswerRow]| {
                rows.get(*at)
                    .is_some_and(|row| row.item == before[*at].item && row.task == before[*at].task)
            };
            let kept = |rows: &&[AnswerRow]| same(rows) && rows[*at].right();
            before[*at].right() && same(after) && !after[*at].right() && others.iter().all(kept)
        };
        let length =
            |at: &usize| before[*at].question.chars().count() + before[*at].answer.chars().count();
        let of_task = |task: &str| {
            let places = (0..before.len()).filter(|at| &*before[*at].task == task).filter(fits);
            places.min_by_key(length)
        };
        let at = tasks.into_iter().find_map(|(task, _)| of_task(task))?;
        let all = [before, after].into_iter().chain(others.iter().copied());
        let given: Vec<&AnswerRow> = all.filter_map(|rows| rows.get(at)).collect();
        Self::of(&given)
    }

    /// The same of answers as they were graded; `others` may be none.
    pub fn of_answers(before: &Answers, after: &Answers, others: &[&Answers]) -> Option<Self> {
        let others: Vec<Vec<AnswerRow>> = others.iter().map(|answers| answers.rows()).collect();
        let others: Vec<&[AnswerRow]> = others.iter().map(Vec::as_slice).collect();
        Self::choose(&before.rows(), &after.rows(), &others)
    }

    /// What these rows, all of one question, answer to it; the first is the model before. `None` of no rows.
    pub fn of(given: &[&AnswerRow]) -> Option<Self> {
        let before = given.first()?;
        let one = |row: &&AnswerRow| GivenAnswer {
            model: row.model.to_string(),
            answer: row.answer.clone(),
            right: row.right(),
            differs: first_difference(&before.answer, &row.answer),
        };
        Some(Self {
            task: before.task.to_string(),
            item: before.item.to_string(),
            question: before.question.to_string(),
            answers: given.iter().map(one).collect(),
        })
    }

    /// The same with other names of the models.
    pub fn named(mut self, name: impl Fn(&str) -> String) -> Self {
        self.answers.iter_mut().for_each(|given| given.model = name(&given.model));
        self
    }

    /// For a terminal: the question, then each answer, with marks below the first place where it differs from the answer before.
    pub fn text(&self) -> String {
        let mut out = format!("{} ({})\n", self.item, self.task);
        indent(&mut out, &self.question, None);
        for given in &self.answers {
            let grade = if given.right { "right" } else { "wrong" };
            // writing to a string cannot fail
            let _ = writeln!(out, "{}: {grade}", Word(&given.model));
            indent(&mut out, &given.answer, given.differs.as_ref());
        }
        out
    }
}

/// `text` line by line, with marks below the place given.
fn indent(out: &mut String, text: &str, mark: Option<&Range<usize>>) {
    let mut start = 0;
    for line in text.split('\n') {
        let end = start + line.len();
        let _ = writeln!(out, "    {}", Word(line));
        if let Some(mark) = mark.filter(|mark| (start..=end).contains(&mark.start)) {
            let width = |from: usize, to: usize| Word(&text[from..to]).to_string().chars().count();
            // a line's end that differs is marked behind the line
            let marked = width(mark.start, mark.end.clamp(mark.start, end)).max(1);
            let _ =
                writeln!(out, "    {}{}", " ".repeat(width(start, mark.start)), "^".repeat(marked));
        }
        start = end + 1;
    }
}

/// The first word, number or sign of `text` that `before` does not have there; an empty place at the end where `text` breaks off; `None` if they are the
/// same. White space that differs is marked with what follows it.
pub fn first_difference(before: &str, text: &str) -> Option<Range<usize>> {
    if before == text {
        return None;
    }
    let (one, other) = (pieces(before), pieces(text));
    let mut all = one.iter().map(|at| &before[at.clone()]);
    let at = other.iter().position(|at| all.next() != Some(&text[at.clone()]));
    let Some(at) = at else {
        return Some(text.len()..text.len());
    };
    let found = other[at].clone();
    let blank = text[found.clone()].chars().all(char::is_whitespace);
    let end = other.get(at + 1).filter(|_| blank).map_or(found.end, |next| next.end);
    Some(found.start..end)
}

/// Words, numbers and white space as they run, every other sign alone.
fn pieces(text: &str) -> Vec<Range<usize>> {
    let kind = |c: char| match c {
        c if c.is_alphabetic() || c == '_' => 1,
        c if c.is_numeric() => 2,
        c if c.is_whitespace() => 3,
        _ => 0,
    };
    let mut all: Vec<(Range<usize>, u8)> = Vec::new();
    for (at, c) in text.char_indices() {
        let (end, kind) = (at + c.len_utf8(), kind(c));
        match all.last_mut() {
            Some((last, of)) if *of == kind && kind != 0 => last.end = end,
            _ => all.push((at..end, kind)),
        }
    }
    all.into_iter().map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(model: &str, of: &[(&str, &str, &str, f64)]) -> Vec<AnswerRow> {
        let row =
            |(at, (task, question, answer, value)): (usize, &(&str, &str, &str, f64))| AnswerRow {
                model: model.into(),
                learning_rate: None,
                seed: None,
                task: (*task).into(),
                item: format!("{task}/{at}").into(),
                question: (*question).into(),
                reference: "".into(),
                answer: (*answer).to_owned(),
                value: *value,
                skill: *value,
            };
        of.iter().enumerate().map(row).collect()
    }

    #[test]
    fn the_shortest_question_of_the_task_that_lost_most_is_shown() {
        let before = rows(
            "base",
            &[
                ("code", "?", "a", 1.0),
                ("word", "a long question", "12", 1.0),
                ("word", "short", "12", 1.0),
                ("word", "x", "12", 1.0),
                ("word", "y", "12", 0.0),
            ],
        );
        let wrong = |mut rows: Vec<AnswerRow>, places: &[usize]| {
            places.iter().for_each(|at| (rows[*at].value, rows[*at].answer) = (0.0, "13".into()));
            rows
        };
        let after = wrong(before.clone(), &[0, 1, 2, 3]);
        let other = wrong(before.clone(), &[3]);
        let found = BeforeAfter::choose(&before, &after, &[&other]).unwrap();
        assert_eq!((found.item.as_str(), found.question.as_str()), ("word/2", "short"));
        assert_eq!(
            found.answers.iter().map(|of| of.right).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!((&found.answers[1].differs, &found.answers[2].differs), (&Some(0..2), &None));
        // the same with two models alone, and nothing where nothing fits
        assert_eq!(BeforeAfter::choose(&before, &after, &[]).unwrap().item, "word/3");
        assert_eq!(BeforeAfter::choose(&before, &before, &[&other]), None);
        assert_eq!(BeforeAfter::choose(&before, &after, &[&after]), None);
        assert_eq!(BeforeAfter::choose(&[], &[], &[]), None);
        // where the task that lost most has none that fits, the next one
        let other = wrong(before.clone(), &[1, 2, 3]);
        assert_eq!(BeforeAfter::choose(&before, &after, &[&other]).unwrap().item, "code/0");
        // rows of other items are no answers to these
        assert_eq!(BeforeAfter::choose(&before, &after, &[&other[..0]]), None);
    }

    #[test]
    fn the_first_place_that_differs_is_a_word_a_number_or_a_sign() {
        let check = |one: &str, other: &str, expected: Option<&str>| {
            let found = first_difference(one, other);
            assert_eq!(found.map(|at| &other[at]), expected, "{one:?} {other:?}");
        };
        check("33 - 5 = 28", "33 - 5 = 28", None);
        check("33 - 5 = 28", "33 - 5 = 18.", Some("18"));
        check("33 - 5", "33 + 5", Some("+"));
        check("21 + 12", "21", Some(""));
        check("21", "21 + 12", Some(" +"));
        check("a\nb", "a b", Some(" b"));
        check("", "über", Some("über"));
        check("héllo wörld", "héllo wérld", Some("wérld"));
    }

    #[test]
    fn a_terminal_shows_the_mark_below_its_place() {
        let mut before = rows("base", &[("word", "2 + 3?\nSay it.", "2 + 3 = 5\nAnswer: 5", 1.0)]);
        let mut after = rows("all\u{1b}[31m", &[("word", "", "2 + 3 = 6\nAnswer: 6", 0.0)]);
        let broken = rows("broken", &[("word", "", "2 + 3 = 5\n", 0.0)]);
        let shown = |of: &[&AnswerRow]| BeforeAfter::of(of).unwrap().text();
        let text = shown(&[&before[0], &after[0], &broken[0]]);
        assert!(text.contains("all"), "{text}");
        assert!(!text.contains('\u{1b}'), "control characters of a name are escapes: {text}");
        assert!(text.contains("    2 + 3 = 6\n            ^\n    Answer: 6\n"), "{text}");
        assert!(text.ends_with("    2 + 3 = 5\n    \n    ^\n"), "{text}");
        assert!(
            text.starts_with("word/0 (word)\n    2 + 3?\n    Say it.\nbase: right\n"),
            "{text}"
        );
        // what a model wrote cannot move the terminal's cursor
        before[0].answer = "a\u{1b}[2Jb".into();
        after[0].answer = "a\u{1b}[2Jc".into();
        assert!(!shown(&[&before[0], &after[0]]).contains('\u{1b}'));
    }
}
