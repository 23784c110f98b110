//! The table of answers: one row for each item and model.

use super::{Answers, Tasks};
use crate::evaluate::Graded;
use std::sync::Arc;

/// One answer to one question. What many rows share is kept once.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerRow {
    /// `base`, the name of an arm, or what else a model is called.
    pub model: Arc<str>,
    /// Peak learning rate of an arm's run.
    pub learning_rate: Option<f64>,
    /// Seed of an arm's run.
    pub seed: Option<u64>,
    /// The task.
    pub task: Arc<str>,
    /// The item's id.
    pub item: Arc<str>,
    /// What was asked.
    pub question: Arc<str>,
    /// The item's own answer.
    pub reference: Arc<str>,
    /// What the model answered.
    pub answer: String,
    /// 1 for right, 0 for wrong.
    pub value: f64,
    /// 1 if the right answer is there in any form.
    pub skill: f64,
}

impl AnswerRow {
    /// The untouched model's name.
    pub const BASE: &str = "base";

    /// Whether the answer is right, in the right form.
    pub fn right(&self) -> bool {
        self.value == 1.0
    }

    /// Whether both are of one model, trained once.
    pub fn same_run(&self, other: &Self) -> bool {
        (&self.model, self.learning_rate, self.seed)
            == (&other.model, other.learning_rate, other.seed)
    }
}

/// What is asked, for rows to share.
pub struct Asked {
    /// Task, item, question, reference.
    questions: Vec<[Arc<str>; 4]>,
}

impl Asked {
    /// The questions of all tasks in order.
    pub fn of(tasks: &Tasks) -> Self {
        let of_task = |task: &super::Task| {
            let name: Arc<str> = task.name.as_str().into();
            let one = |item: &crate::task::Item| {
                let [id, prompt, truth] =
                    [&item.id, &item.prompt, &item.truth].map(|text| Arc::from(text.as_str()));
                [name.clone(), id, prompt, truth]
            };
            task.items.iter().map(one).collect::<Vec<_>>()
        };
        Self { questions: tasks.all().flat_map(of_task).collect() }
    }

    /// The rows of one model's `graded` answers; `run` is its rate and seed.
    pub fn rows(
        &self,
        model: &str,
        run: Option<(f64, u64)>,
        graded: &[Vec<Graded>],
    ) -> Vec<AnswerRow> {
        let model: Arc<str> = model.into();
        let row =
            |([task, item, question, reference], graded): (&[Arc<str>; 4], &Graded)| AnswerRow {
                model: model.clone(),
                learning_rate: run.map(|run| run.0),
                seed: run.map(|run| run.1),
                task: task.clone(),
                item: item.clone(),
                question: question.clone(),
                reference: reference.clone(),
                answer: graded.answer.clone(),
                value: graded.score.value,
                skill: graded.score.skill,
            };
        self.questions.iter().zip(graded.iter().flatten()).map(row).collect()
    }
}

impl Answers {
    /// The same, one row for each item.
    pub fn rows(&self) -> Vec<AnswerRow> {
        Asked::of(&self.asked).rows(&self.name, None, &self.graded)
    }
}
