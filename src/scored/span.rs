//! What one model says of a text, on the tokens of another: by character spans, answer by answer, since two chat templates agree on nothing but
//! the answers.

use crate::chat::Role;
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::perplexity::TokenScores;
use crate::select::carry_over;
use crate::tokens::{Form, Sequence};
use std::ops::Range;

/// The scores of `read`, on the tokens of `onto`: both are `example`, each in the template of its tokenizer.
pub(crate) fn carried(
    example: &Example,
    onto: &Sequence,
    read: &Sequence,
    scores: &TokenScores,
) -> Result<TokenScores> {
    let mut log_prob = vec![None; onto.len()];
    let messages = example.conversation.messages.iter();
    let mut answers: Vec<&str> = Vec::new();
    for message in messages.filter(|message| message.role == Role::Assistant) {
        if message.weight()? == 0.0 {
            continue;
        }
        if !message.is_plain() {
            let problem = "has an answer that is more than its text, such as a call of a tool, which two templates write in their own ways; take a reference model of the same tokenizer and template";
            return Err(Error::invalid(&onto.id, problem));
        }
        answers.push(message.content.trim());
    }
    let (own, others) = (turns(onto, answers.len()), turns(read, answers.len()));
    for ((answer, here), there) in answers.into_iter().zip(own).zip(others) {
        let Some(here) = here else { continue };
        let found = Answer::find(onto, answer, here);
        let (Some(here), Some(there)) =
            (found, there.and_then(|there| Answer::find(read, answer, there)))
        else {
            let problem = "an answer does not stand in the rendered text as it is, so that it cannot be carried over to other tokens; \
                           is it cut off, or does the template change it?";
            return Err(Error::invalid(&onto.id, problem));
        };
        let surprisal = |at: usize| scores.log_prob[at].map(|log_prob| -log_prob);
        let scored: Vec<(Range<usize>, Option<f32>)> =
            there.tokens.iter().map(|(at, span)| (span.clone(), surprisal(*at))).collect();
        let spans: Vec<Range<usize>> = here.tokens.iter().map(|(_, span)| span.clone()).collect();
        for ((at, _), value) in here.tokens.iter().zip(carry_over(&scored, &spans)) {
            log_prob[*at] = value.map(|surprisal| -surprisal);
        }
        if let (Some(end), Some(of)) = (here.end, there.end) {
            log_prob[end] = scores.log_prob[of];
        }
    }
    Ok(TokenScores {
        entropy: vec![None; log_prob.len()],
        rank: vec![None; log_prob.len()],
        log_prob,
    })
}

/// For each of `count` answers its tokens and what belongs to its turn; a form without turns has the last answer only.
fn turns(sequence: &Sequence, count: usize) -> Vec<Option<Range<usize>>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in sequence.completion.positions() {
        match found.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => found.push(at..at + 1),
        }
    }
    let before = match sequence.form {
        Form::Chat => 0,
        Form::Plain => count.saturating_sub(found.len()),
    };
    let mut turns = vec![None; before];
    turns.extend(found.into_iter().map(Some));
    turns.resize(count, None);
    turns
}

/// Where an answer stands in a sequence.
struct Answer {
    /// The tokens of it, with their characters counted from its first one. What a token has outside the answer is the template's.
    tokens: Vec<(usize, Range<usize>)>,
    /// The token that ends its turn.
    end: Option<usize>,
}

impl Answer {
    /// The first place at which `text` stands in the `turn` of `sequence`, which is given by its tokens.
    fn find(sequence: &Sequence, text: &str, turn: Range<usize>) -> Option<Self> {
        let from = sequence.spans[turn.start].start;
        let start = from + sequence.text.get(from..)?.find(text)?;
        let text = start..start + text.len();
        // an answer that stands behind its turn is another one, and one that goes on behind it is cut off
        if sequence.spans[turn.end - 1].end < text.end {
            return None;
        }
        let characters = |byte: usize| {
            let byte = byte.clamp(text.start, text.end);
            sequence.text[text.start..byte].chars().count()
        };
        let within = |at: &usize| {
            let span = &sequence.spans[*at];
            span.start < text.end && span.end > text.start
        };
        let tokens: Vec<(usize, Range<usize>)> = turn
            .clone()
            .filter(within)
            .map(|at| {
                let span = &sequence.spans[at];
                (at, characters(span.start)..characters(span.end))
            })
            .collect();
        let last = tokens.last().map_or(turn.start, |(at, _)| *at);
        let end = (last..turn.end).find(|at| Some(sequence.ids[*at]) == sequence.end_of_turn);
        Some(Self { tokens, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Conversation, Message};

    /// A rendered conversation from its pieces: text, and whether the assistant wrote it. The end of a turn is number 1.
    fn sequence(pieces: &[(&str, bool)]) -> Sequence {
        let (mut text, mut spans) = (String::new(), Vec::new());
        for (piece, _) in pieces {
            spans.push(text.len()..text.len() + piece.len());
            text.push_str(piece);
        }
        let ends = |piece: &str| u32::from(piece.starts_with('<') && piece.ends_with("end>"));
        Sequence {
            id: "one".into(),
            weights: Vec::new(),
            text,
            ids: pieces.iter().map(|(piece, _)| ends(piece)).collect(),
            spans,
            completion: pieces.iter().map(|(_, own)| *own).collect(),
            prompt_tokens: 1,
            form: Form::Chat,
            end_of_turn: Some(1),
        }
    }

    fn example(messages: Vec<Message>) -> Example {
        Example::new("one", Conversation::new(messages))
    }

    fn scores(surprisal: &[f32]) -> TokenScores {
        TokenScores {
            log_prob: surprisal.iter().map(|value| Some(-value)).collect(),
            ..TokenScores::default()
        }
    }

    #[test]
    fn a_scorer_with_other_tokens_and_another_template_is_carried_over_answer_by_answer() {
        // both answers are in the prompts too, and have letters of more than one byte
        let example = example(vec![
            Message::user("déjà vu? hé"),
            Message::assistant("déjà vu"),
            Message::user("and? hé\nho"),
            Message::assistant("hé\nho"),
        ]);
        let read = sequence(&[
            ("[U]déjà vu? hé[A]", false),
            ("dé", true),
            ("jà", true),
            (" vu", true),
            ("<|end>", true),
            ("[U]and? hé\nho[A]", false),
            ("hé", true),
            ("\nho", true),
            ("<|end>", true),
        ]);
        let surprisal = scores(&[9.0, 2.0, 4.0, 3.0, 0.5, 9.0, 1.0, 6.0, 0.25]);
        let onto = sequence(&[
            ("### question: déjà vu? hé\n### answer:", false),
            (" d", true),
            ("éjà", true),
            (" vu", true),
            ("<end>", true),
            ("\n### question: and? hé\nho\n### answer:", false),
            (" hé\n", true),
            ("ho", true),
            ("<end>", true),
        ]);
        let carried = carried(&example, &onto, &read, &surprisal).unwrap();
        let surprisal: Vec<Option<f32>> = carried.log_prob.iter().map(|l| l.map(|l| -l)).collect();
        // " d" is half of "dé": its space is the template's; "\n" is a third of "\nho"
        let expected = [
            None,
            Some(1.0),
            Some(5.0),
            Some(3.0),
            Some(0.5),
            None,
            Some(3.0),
            Some(4.0),
            Some(0.25),
        ];
        assert_eq!(surprisal, expected);
        assert_eq!(carried.entropy, vec![None; 9]);
    }

    #[test]
    fn an_answer_that_a_template_changes_is_refused() {
        let example = example(vec![Message::user("a"), Message::assistant("yes, please")]);
        let onto = sequence(&[("a", false), ("yes, please", true), ("<end>", true)]);
        let cut = sequence(&[("a", false), ("yes", true)]);
        let error = carried(&example, &onto, &cut, &scores(&[1.0, 1.0])).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("one") && error.contains("cut off"), "{error}");
    }
}
