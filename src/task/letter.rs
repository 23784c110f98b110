//! Grading the label of one option, as in ARC and MMLU.
//!
//! A trap: some questions of ARC label their options 1 to 4 though the prompt asks for a letter. Both ways of naming an option
//! count, but in the paper's reading.

use super::text::{answer_marks, boxes, short};
use super::{Found, Grading, Take};

/// The options of a question.
pub(super) struct Options<'a> {
    /// The label of the right one.
    pub key: &'a str,
    pub labels: &'a [String],
    pub texts: &'a [String],
}

pub(super) fn grade(options: &Options<'_>, grading: Grading, take: Take, answer: &str) -> Found {
    let right_one = options.labels.iter().position(|l| l == options.key);
    let named_last = super::choice::last_named(options.texts, answer)
        .and_then(|letter| (letter as usize).checked_sub('A' as usize));
    let skill = right_one.is_some() && named_last == right_one;
    let (given, right) = match grading {
        Grading::Robust => {
            let chosen = marked(options, take, answer);
            let right = chosen.is_some() && chosen == right_one;
            (chosen.map(|at| options.labels[at].clone()), right)
        }
        Grading::Paper => {
            let given = as_the_paper(answer);
            let text = right_one.and_then(|at| options.texts.get(at));
            let right =
                given.as_deref().is_some_and(|g| g == options.key || text.is_some_and(|t| g == t));
            (given, right)
        }
        Grading::Harness => {
            let given = as_the_harness(answer);
            let letter = right_one.map(letter_of);
            let right = given.is_some() && given == letter.map(|l| l.to_ascii_lowercase());
            (given, right)
        }
    };
    let why = match (&given, right) {
        (Some(given), true) => format!("{} is right.", short(given)),
        (Some(given), false) => format!("{} was given, {} is right.", short(given), options.key),
        (None, _) => match named_last.and_then(|at| options.labels.get(at)) {
            Some(named) => format!("No option is marked; the text names {named} last."),
            None => "No option is marked, and none is named.".into(),
        },
    };
    Found { extracted: given, right, skill, why }
}

fn letter_of(at: usize) -> String {
    char::from(b'A' + at.min(25) as u8).to_string()
}

/// The option behind a mark, in a box, or at the beginning of an answer of one line.
fn marked(options: &Options<'_>, take: Take, answer: &str) -> Option<usize> {
    let mut marks: Vec<(usize, &str)> = answer_marks(answer);
    marks.extend(boxes(answer));
    marks.sort_by_key(|(at, _)| *at);
    let mut chosen = marks.into_iter().filter_map(|(_, text)| label_at(options, text));
    let found = match take {
        Take::First => chosen.next(),
        Take::Last => chosen.next_back(),
    };
    found.or_else(|| {
        let line = answer.trim();
        (!line.contains('\n')).then(|| label_at(options, line))?
    })
}

/// The option that `text` begins with: `B`, `(B)`, `B. dog`, `**B**`, `\text{B}`, or the whole text of an option.
fn label_at(options: &Options<'_>, text: &str) -> Option<usize> {
    let mut text =
        text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '$' | '"' | '\'' | '.'));
    for word in
        ["option", "Option", "choice", "letter", "\\text", "\\textbf", "\\mathrm", "\\boxed"]
    {
        text = text.strip_prefix(word).unwrap_or(text).trim_start();
    }
    let whole = text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '.'));
    let named = options
        .texts
        .iter()
        .position(|option| option.trim_end_matches('.').eq_ignore_ascii_case(whole));
    let text = text.trim_start_matches(|c: char| {
        c.is_whitespace() || matches!(c, '(' | '[' | '{' | '*' | '$' | '"')
    });
    let run: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
    let behind = text[run.len()..].chars();
    // "A dog" is an option's words or the article, "A" and "A. dog" are a label
    let mut behind = behind;
    let article =
        run == "A" && behind.next() == Some(' ') && behind.next().is_some_and(char::is_lowercase);
    if article && named.is_none() {
        return None;
    }
    let by_label = options.labels.iter().position(|label| *label == run).or_else(|| {
        // the same option by its place, where labels are numbers and letters were asked for, or the other way round
        let letters = || (0..options.labels.len()).map(letter_of);
        letters()
            .position(|letter| {
                letter == run || (run.len() == 1 && letter.eq_ignore_ascii_case(&run))
            })
            .or_else(|| (1..=options.labels.len()).position(|n| n.to_string() == run))
    });
    named.or(by_label)
}

/// The paper's reading: the word behind the first `Answer:`, once Markdown and LaTeX are taken off; all of an answer that has no
/// `Answer: ` stands behind one.
fn as_the_paper(answer: &str) -> Option<String> {
    const MARKS: [&str; 11] = [
        "**",
        "$\\boxed{",
        "}$",
        "\\$",
        "$\\text{",
        "$",
        "\\mathrm{",
        "\\{",
        "\\text",
        "\\(",
        "\\mathbf{",
    ];
    let mut text = match answer.contains("Answer: ") {
        true => answer.to_owned(),
        false => format!("Answer: {answer}"),
    };
    for mark in MARKS {
        text = text.replace(mark, "");
    }
    text = text.replace('{', "").replace("\\boxed", "");
    text.match_indices("Answer").find_map(|(at, mark)| {
        let rest = text[at + mark.len()..].trim_start().strip_prefix(':')?;
        let word: String =
            rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        (!word.is_empty()).then_some(word)
    })
}

/// The harness's reading: what stands behind `The best answer is`, or all of the answer, up to a full stop or the end of the line,
/// without punctuation and case. The harness begins the model's turn with those words, which we leave to the model.
fn as_the_harness(answer: &str) -> Option<String> {
    const MARK: &str = "The best answer is";
    let text = answer.rfind(MARK).map_or(answer, |at| &answer[at + MARK.len()..]).trim_start();
    let line = text.split(['\n', '.']).next().unwrap_or("");
    let plain: String = line
        .chars()
        .filter(|c| !c.is_ascii_punctuation())
        .collect::<String>()
        .trim()
        .to_lowercase();
    (!plain.is_empty()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(labels: &[&str], key: &str, answer: &str, rights: [bool; 3]) {
        let texts: Vec<String> = ["cat", "a dog", "blue whale", "72", "yes"]
            .iter()
            .take(labels.len())
            .map(|t| t.to_string())
            .collect();
        let labels: Vec<String> = labels.iter().map(|l| l.to_string()).collect();
        let options = Options { key, labels: &labels, texts: &texts };
        for (grading, right) in
            [Grading::Robust, Grading::Paper, Grading::Harness].into_iter().zip(rights)
        {
            let found = grade(&options, grading, Take::Last, answer);
            assert_eq!(found.right, right, "{grading:?} {answer:?}: {}", found.why);
        }
    }

    #[test]
    fn letters_and_numbers_are_read_three_ways() {
        let four = ["A", "B", "C", "D"];
        check(&four, "B", "Answer: B", [true, true, false]);
        check(&four, "B", "B", [true, true, true]);
        check(&four, "B", "B. a dog", [true, true, true]);
        check(&four, "B", "(B)", [true, false, true]);
        check(&four, "B", "So\n**Answer: B**", [true, true, false]);
        check(&four, "B", "The best answer is B.", [true, false, true]);
        check(&four, "B", "the answer is (B), a dog", [true, false, false]);
        check(&four, "C", "Answer: A\nAnswer: C", [true, false, false]);
        check(&four, "A", "Answer: A\nAnswer: C", [false, true, false]);
        check(&four, "B", "Answer: a dog", [true, false, false]);
        check(&four, "A", "A dog is an animal", [false, true, false]);
        check(&four, "B", "$\\boxed{B}$", [true, true, false]);
        check(&four, "B", "no idea", [false, false, false]);
        let numbers = ["1", "2", "3", "4"];
        check(&numbers, "2", "Answer: 2", [true, true, false]);
        check(&numbers, "2", "Answer: B", [true, false, false]);
        check(&numbers, "2", "B", [true, false, true]);
        check(&["A", "B", "C", "D", "E"], "E", "Answer: E", [true, true, false]);
        check(&["A", "B", "C"], "C", "Answer: D", [false, false, false]);
    }
}
