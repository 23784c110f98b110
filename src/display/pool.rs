//! Answers that the model wrote: those to one question, and what pools of them cost and give.

use super::{InfoCard, Media, Show};
use crate::analysis::{
    Acceptance, Accepted, KeptQuestions, Likeness, OfPool, Picked, Picks, Pools, Questions,
};
use crate::report::grid::{Grid, NOTHING, significant};
use crate::self_output::{Candidate, PoolItem};
use crate::stats::Estimate;

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
        let row = |(at, (candidate, count)): (usize, &(&Candidate, usize))| {
            vec![
                (at + 1).to_string(),
                count.to_string(),
                if candidate.accepted() { "right" } else { "wrong" }.to_owned(),
                candidate.tokens.to_string(),
                significant(candidate.perplexity_given_prompt),
                candidate.perplexity_of_text_alone.map_or(NOTHING.to_owned(), significant),
            ]
        };
        let table = Grid {
            title: format!("{}: {} answers, {} of them different", self.id, self.candidates.len(), different.len()),
            legend: "times: how often it was sampled. Perplexities under the model that wrote them, at temperature 1.".to_owned(),
            columns: ["answer", "times", "grade", "tokens", "given the question", "text alone"].map(str::to_owned).to_vec(),
            rows: different.iter().enumerate().map(row).collect(),
        }
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
        let number = |value: f64, decimals: usize| match value.is_finite() {
            true => format!("{value:.decimals$}"),
            false => NOTHING.to_owned(),
        };
        let row = |row: &Accepted| {
            vec![
                row.samples.to_string(),
                format!("{:.1}", 100.0 * row.questions),
                number(row.answers_per_kept, 1),
                number(row.tokens_per_kept, 0),
            ]
        };
        Grid {
            title: format!("What samples buy, of {} questions", self.questions),
            legend: format!(
                "kept: questions with a right answer among so many samples, expected over all ways to take them from the {} that there are. answers, tokens: sampled for \
                 each question that is kept.",
                self.samples
            ),
            columns: ["samples", "kept %", "answers per kept", "tokens per kept"].map(str::to_owned).to_vec(),
            rows: self.rows.iter().map(row).collect(),
        }
        .media()
    }
}

impl Show for Pools {
    fn media(&self) -> Media {
        let row = |row: &OfPool| {
            vec![
                row.name.clone(),
                row.answers.to_string(),
                row.right.map_or(NOTHING.to_owned(), |share| format!("{:.1}", 100.0 * share)),
                format!("{} of {}", row.kept, row.questions),
                row.mixed.to_string(),
                match row.kept {
                    0 => NOTHING.to_owned(),
                    kept => format!("{:.1}", row.answers as f64 / kept as f64),
                },
                row.self_bleu.map_or(NOTHING.to_owned(), |value| format!("{value:.1}")),
            ]
        };
        Grid {
            title: "Pools of answers".to_owned(),
            legend: "kept: questions with a right answer. mixed: questions with right and wrong ones. self-BLEU: how alike the answers to one question are, from 0 to 100 for the \
                     same text."
                .to_owned(),
            columns: ["pool", "answers", "right %", "kept", "mixed", "answers per kept", "self-BLEU"].map(str::to_owned).to_vec(),
            rows: self.rows.iter().map(row).collect(),
        }
        .media()
    }
}

impl Show for Picks {
    fn media(&self) -> Media {
        let row = |row: &Picked| {
            vec![
                row.pick.clone(),
                format!("{:.4}", row.given_prompt),
                format!("{:.3}", row.text_alone),
                format!("{:.1}", row.tokens),
                row.others.to_string(),
            ]
        };
        Grid {
            title: "Which right answer is picked".to_owned(),
            legend: "Means over the questions. others: questions for which another text is picked than in the first row.".to_owned(),
            columns: ["pick", "ppl given question", "ppl of text alone", "tokens", "others"].map(str::to_owned).to_vec(),
            rows: self.rows.iter().map(row).collect(),
        }
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
        let number = |estimate: Option<Estimate>, factor: f64| match estimate
            .map(|estimate| estimate.times(factor))
        {
            None => NOTHING.to_owned(),
            Some(Estimate { value, se: None }) => format!("{value:.1}"),
            Some(Estimate { value, se: Some(se) }) => format!("{value:.1} ± {se:.1}"),
        };
        let row = |(name, of): (&str, &Questions)| {
            vec![
                name.to_owned(),
                of.count.to_string(),
                number(of.question_tokens, 1.0),
                number(of.answer_tokens, 1.0),
                number(of.perplexity, 1.0),
                number(of.above, 100.0),
            ]
        };
        Grid {
            title: "Which questions are left, by their given answers".to_owned(),
            legend: "Means ± one standard error over the questions. perplexity: of the given answer, given its question. >2.5: share of its tokens above.".to_owned(),
            columns: ["questions", "count", "question tokens", "answer tokens", "perplexity", ">2.5 %"].map(str::to_owned).to_vec(),
            rows: [("kept", &self.kept), ("dropped", &self.dropped)].into_iter().map(row).collect(),
        }
        .media()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
