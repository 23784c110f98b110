//! Answers that the model wrote: those to one question, and what pools of them cost and give.

use super::{InfoCard, Media, Show};
use crate::analysis::{Acceptance, KeptQuestions, Likeness, Picks, Pools};
use crate::self_output::{Candidate, PoolItem};
use crate::table::{Cell, Table};

/// Different texts of one question that are shown.
const TEXTS: usize = 3;

impl Show for PoolItem {
    /// Each different answer once, the most frequent first, and the first ones in full.
    fn media(&self) -> Media {
        let mut different: Vec<(&Candidate, usize)> = Vec::new();
        for candidate in &self.candidates {
            match different.iter_mut().find(|(one, _)| one.text == candidate.text) {
                Some((_, count)) => *count += 1,
                None => different.push((candidate, 1)),
            }
        }
        // of equals the one that came first
        different.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let title = format!(
            "{}: {} answers, {} of them different",
            self.id,
            self.candidates.len(),
            different.len()
        );
        let table = Table::new(title)
            .legend("times: how often it was sampled. Perplexities under the model that wrote them, at temperature 1.")
            .column("answer", (1..=different.len()).map(|at| at.to_string()))
            .rows(&different)
            .column("times", |(_, count)| *count)
            .column("grade", |(candidate, _)| if candidate.accepted() { "right" } else { "wrong" })
            .column("tokens", |(candidate, _)| candidate.tokens)
            .column("given the question", |(candidate, _)| candidate.perplexity_given_prompt)
            .column("text alone", |(candidate, _)| candidate.perplexity_of_text_alone)
            .table()
            .media();
        let shown = different.iter().take(TEXTS).enumerate();
        let texts = shown
            .map(|(at, (candidate, _))| (format!("answer {}", at + 1), candidate.text.clone()));
        let texts = InfoCard {
            title: match different.len() > TEXTS {
                true => format!("the first {TEXTS}"),
                false => "in full".to_owned(),
            },
            rows: Vec::new(),
            texts: texts.collect(),
        }
        .media();
        Media {
            html: table.html.zip(texts.html).map(|(table, texts)| table + &texts),
            ..Media::text(table.text + &texts.text)
        }
    }
}

impl Show for Acceptance {
    fn media(&self) -> Media {
        Table::new(format!("What samples buy, of {} questions", self.questions))
            .legend(format!(
                "kept: questions with a right answer among so many samples, expected over all ways to take them from the {} that there are. answers, tokens: sampled for \
                 each question that is kept.",
                self.samples
            ))
            .rows(&self.rows)
            .column("samples", |row| row.samples)
            .column("kept %", |row| Cell::percent(row.questions))
            .column("answers per kept", |row| Cell::number(row.answers_per_kept, 1))
            .column("tokens per kept", |row| Cell::number(row.tokens_per_kept, 0))
            .table()
            .media()
    }
}

impl Show for Pools {
    fn media(&self) -> Media {
        Table::new("Pools of answers")
            .legend(
                "kept: questions with a right answer. mixed: questions with right and wrong ones. self-BLEU: how alike the answers to one question are, from 0 to 100 for the \
                 same text.",
            )
            .rows(&self.rows)
            .column("pool", |row| &row.name)
            .column("answers", |row| row.answers)
            .column("right %", |row| Cell::percent(row.right))
            .column("kept", |row| format!("{} of {}", row.kept, row.questions))
            .column("mixed", |row| row.mixed)
            .column("answers per kept", |row| Cell::number(row.answers as f64 / row.kept as f64, 1))
            .column("self-BLEU", |row| Cell::number(row.self_bleu, 1))
            .table()
            .media()
    }
}

impl Show for Picks {
    fn media(&self) -> Media {
        Table::new("Which right answer is picked")
            .legend("Means over the questions. others: questions for which another text is picked than in the first row.")
            .rows(&self.rows)
            .column("pick", |row| &row.pick)
            .column("ppl given question", |row| Cell::number(row.given_prompt, 4))
            .column("ppl of text alone", |row| Cell::number(row.text_alone, 3))
            .column("tokens", |row| Cell::number(row.tokens, 1))
            .column("others", |row| row.others)
            .table()
            .media()
    }
}

impl Show for Likeness {
    fn media(&self) -> Media {
        let rows: Vec<(&str, String)> =
            self.rows.iter().map(|(name, value)| (name.as_str(), format!("{value:.1}"))).collect();
        InfoCard::of("how alike to the given answer (self-BLEU, 100 for the same text)", &rows)
            .media()
    }
}

impl Show for KeptQuestions {
    fn media(&self) -> Media {
        Table::new("Which questions are left, by their given answers")
            .legend("Means ± one standard error over the questions. perplexity: of the given answer, given its question. >2.5: share of its tokens above.")
            .rows(&[("kept", &self.kept), ("dropped", &self.dropped)])
            .column("questions", |(name, _)| *name)
            .column("count", |(_, of)| of.count)
            .column("question tokens", |(_, of)| Cell::estimate(of.question_tokens))
            .column("answer tokens", |(_, of)| Cell::estimate(of.answer_tokens))
            .column("perplexity", |(_, of)| Cell::estimate(of.perplexity))
            .column(">2.5 %", |(_, of)| Cell::share(of.above))
            .table()
            .media()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Accepted;
    use crate::table::NOTHING;

    #[test]
    fn what_does_not_exist_is_a_dash() {
        let acceptance = Acceptance {
            questions: 2,
            samples: 1,
            rows: vec![Accepted {
                samples: 1,
                questions: 0.0,
                answers_per_kept: f64::INFINITY,
                tokens_per_kept: f64::INFINITY,
            }],
        };
        let text = acceptance.media().text;
        assert!(text.contains(NOTHING) && !text.contains("inf"), "{text}");
    }
}
