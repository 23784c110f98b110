//! Grading the label of one option. [`src/benchmark/arc.rs`](crate::benchmark::arc) and
//! [`src/benchmark/mmlu.rs`](crate::benchmark::mmlu) ask for one.
//!
//! The prompt asks for the label, so a label counts before an option's words: of the blood groups O, A, B and AB, `B` is the second.
//! What names several options without a choice between them is no answer, and an option that is denied is not named.
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

/// What a text says of the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scored {
    Nothing,
    /// Two or more of them, and nothing tells which is meant.
    Several,
    One(usize),
}

pub(super) fn grade(options: &Options<'_>, grading: Grading, take: Take, answer: &str) -> Found {
    let right_one = options.labels.iter().position(|l| l == options.key);
    let named_last = options.last_named(answer);
    let skill = right_one.is_some() && named_last == right_one;
    let (given, right) = match grading {
        Grading::Robust => {
            let chosen = options.chosen(take, answer);
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

/// An option that a text names.
#[derive(Debug, Clone, Copy)]
struct Mention {
    start: usize,
    end: usize,
    option: usize,
    /// By its label, in words or brackets that say that it is one.
    strong: bool,
    denied: bool,
}

impl Options<'_> {
    /// The option behind a mark or in a box; without any, the one that the answer is, that one of its lines is, or that its last line
    /// gives for the answer.
    fn chosen(&self, take: Take, answer: &str) -> Option<usize> {
        let readings = marks(answer).into_iter().map(|text| self.read(text));
        let mut readings = readings.filter(|reading| *reading != Scored::Nothing);
        let marked = match take {
            Take::First => readings.next(),
            Take::Last => readings.next_back(),
        };
        let lines = || answer.lines().map(str::trim).filter(|line| !line.is_empty());
        let reading = marked.unwrap_or_else(|| {
            if lines().count() == 1 && self.read(answer) != Scored::Nothing {
                return self.read(answer);
            }
            match only(lines().filter_map(|line| self.is_label(line))) {
                Scored::Nothing => {
                    let last = lines().next_back().unwrap_or_default();
                    let named = self.mentions(last).into_iter();
                    only(named.filter(|m| m.strong && !m.denied).map(|m| m.option))
                }
                found => found,
            }
        });
        match reading {
            Scored::One(at) => Some(at),
            Scored::Nothing | Scored::Several => None,
        }
    }

    /// The option that `text` begins with: `B`, `(B)`, `B. dog`, `**B**`, `\text{B}`, or the words of an option.
    fn read(&self, text: &str) -> Scored {
        let plain = plain(text);
        if let Some(at) = self.is_label(&plain).or_else(|| self.is_text(&plain)) {
            return Scored::One(at);
        }
        match self.begins_with_label(&plain) {
            Scored::Nothing => {}
            found => return found,
        }
        // the longest option whose words it begins with
        let lower = plain.to_lowercase();
        let article = ["the ", "a ", "an "].into_iter().find_map(|word| lower.strip_prefix(word));
        let begins = |text: &str, option: &str| {
            let option = option.trim_end_matches('.').to_lowercase();
            let rest = text.strip_prefix(&option).filter(|_| !option.is_empty());
            rest.is_some_and(|rest| {
                rest.is_empty()
                    || rest.starts_with([',', '.', ';', ':', '(', '\n'])
                    || [" because", " since", " as "].iter().any(|word| rest.starts_with(word))
            })
        };
        let begun = (0..self.texts.len()).filter(|at| {
            begins(&lower, &self.texts[*at]) || article.is_some_and(|t| begins(t, &self.texts[*at]))
        });
        if let Some(at) = begun.max_by_key(|at| self.texts[*at].len()) {
            return Scored::One(at);
        }
        let (run, behind) = first_word(&plain);
        match self.by_place(run) {
            Some(at) if ends(behind) => Scored::One(at),
            _ => Scored::Nothing,
        }
    }

    /// The option whose label `text` begins with.
    pub(super) fn begins_with_label(&self, text: &str) -> Scored {
        let plain = plain(text);
        let (run, behind) = first_word(&plain);
        let Some(at) = self.by_label(run) else {
            return Scored::Nothing;
        };
        let denied = self.mentions(&plain).iter().any(|m| m.start == 0 && m.denied);
        // "A dog" and "I think" are no labels, nor is "b" in front of words
        let small = run.chars().count() == 1 && run.chars().all(char::is_lowercase);
        let word = (small || is_word(run)) && goes_on_in_words(behind);
        if denied || (word && !self.is_own(at, behind)) {
            return Scored::Nothing;
        }
        // another one right behind: "A or B", "A, C", "A/B"
        let start = |text: &str| text.find(char::is_alphanumeric).unwrap_or(text.len());
        let (mut gap, mut next) = behind.split_at(start(behind));
        while let ("and" | "or" | "nor" | "option", rest) = first_word(next) {
            let more = start(rest);
            gap = &behind[..behind.len() - rest.len() + more];
            next = &rest[more..];
        }
        let (other, rest) = first_word(next);
        let several = self.by_label(other).is_some_and(|other| other != at)
            && is_list(gap)
            && (ends(rest) || is_list_on(rest))
            && !is_denied_behind(&words_behind(rest));
        if several { Scored::Several } else { Scored::One(at) }
    }

    /// Whether behind a label stand that option's own words and then nothing, or a mark.
    fn is_own(&self, at: usize, behind: &str) -> bool {
        let rest = behind.trim_start_matches(|c: char| !c.is_alphanumeric());
        let own = self.texts.get(at).map(|own| own.trim_end_matches('.').to_lowercase());
        let lower = rest.to_lowercase();
        own.filter(|own| !own.is_empty())
            .and_then(|own| lower.strip_prefix(&own))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ',', ';', ')', '\n']))
    }

    /// The option whose label is all of `text`, or all but the option's own words.
    fn is_label(&self, text: &str) -> Option<usize> {
        let plain = plain(text);
        let (run, behind) = first_word(&plain);
        let at = self.by_label(run)?;
        let rest = behind.trim_matches(|c: char| !c.is_alphanumeric() && c != '-');
        let rest = rest.strip_prefix("- ").unwrap_or(rest);
        let own = self.texts.get(at).is_some_and(|own| {
            !rest.is_empty()
                && same(own.trim_matches(|c: char| !c.is_alphanumeric() && c != '-'), rest)
        });
        // "a dog" may be one option's words and begin with another's label
        let whole = own && !self.texts.iter().any(|text| text.trim_end_matches('.') == plain);
        (rest.is_empty() || whole).then_some(at)
    }

    /// The option whose words are all of `text`.
    fn is_text(&self, text: &str) -> Option<usize> {
        let whole = |option: &&String| option.trim().trim_end_matches('.') == text;
        let any_case = |option: &String| same(option.trim().trim_end_matches('.'), text);
        (self.texts.iter().position(|option| whole(&option)))
            .or_else(|| self.texts.iter().position(any_case))
    }

    fn by_label(&self, word: &str) -> Option<usize> {
        let exact = self.labels.iter().position(|label| label == word);
        exact.or_else(|| self.labels.iter().position(|label| same(label, word)))
    }

    /// The option by its place, where labels are numbers and letters were asked for, or the other way round.
    fn by_place(&self, word: &str) -> Option<usize> {
        let mut places = 0..self.labels.len();
        places
            .find(|at| same(&letter_of(*at), word))
            .or_else(|| (1..=self.labels.len()).position(|n| n.to_string() == word))
    }

    /// The option that `answer` names last, by its label standing alone or by its words, and does not deny.
    pub(super) fn last_named(&self, answer: &str) -> Option<usize> {
        let mut best: Option<(usize, usize, usize)> = None; // end, length, option
        for mention in self.mentions(answer).into_iter().filter(|m| !m.denied) {
            // Of two names that end together the longer one is meant: "blue" inside "dark blue"; labels come first.
            let (end, length) = (mention.end, mention.end - mention.start);
            if best.is_none_or(|(e, l, _)| (end, length) > (e, l)) {
                best = Some((end, length, mention.option));
            }
        }
        best.map(|(_, _, option)| option)
    }

    /// What `text` names: labels in their order, then words.
    fn mentions(&self, text: &str) -> Vec<Mention> {
        let mut labels: Vec<Mention> = Vec::new();
        let longest = self.labels.iter().map(String::len).max().unwrap_or(0).max(1);
        let letters = |at: usize| self.labels[at].chars().all(char::is_alphabetic);
        for (start, c) in text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
            if text[..start].chars().next_back().is_some_and(char::is_alphanumeric) {
                continue;
            }
            let (word, behind) = first_word(&text[start..]);
            if word.len() > longest {
                continue;
            }
            let known = self.labels.iter().position(|label| label == word);
            let place = || (0..self.labels.len()).find(|at| letter_of(*at) == word);
            let small = || self.by_label(word).filter(|_| c.is_lowercase());
            let Some(option) = known.or_else(place).or_else(small) else { continue };
            let strong = is_given(&text[..start], behind);
            let letter = letters(option) || c.is_alphabetic();
            // numbers and small letters are words but where something says that they are labels
            let label = strong || (letter && c.is_uppercase());
            let word = is_word(word) && goes_on_in_words(behind);
            if label && !word && !is_part_of_a_name(&text[..start], behind) {
                let end = start + (text[start..].len() - behind.len());
                labels.push(Mention { start, end, option, strong, denied: false });
            }
        }
        deny(text, &mut labels);
        let lower = text.to_ascii_lowercase();
        for (at, option) in self.texts.iter().enumerate().take(self.labels.len()) {
            let option = option.to_ascii_lowercase();
            if option.is_empty() {
                continue;
            }
            let found =
                lower.match_indices(&option).map(|(start, _)| (start, start + option.len()));
            let found = found.filter(|(start, end)| stands_alone(&lower, *start, *end));
            let mut named: Vec<Mention> = found
                .map(|(start, end)| Mention {
                    start,
                    end,
                    option: at,
                    strong: false,
                    denied: false,
                })
                .collect();
            deny(text, &mut named);
            labels.extend(named);
        }
        labels
    }
}

/// The option that all of `found` are.
fn only(mut found: impl Iterator<Item = usize>) -> Scored {
    match found.next() {
        None => Scored::Nothing,
        Some(first) if found.all(|other| other == first) => Scored::One(first),
        Some(_) => Scored::Several,
    }
}

/// What stands behind each mark of an answer to the end of its line, or of the next line where nothing does, and in each box.
fn marks(answer: &str) -> Vec<&str> {
    const PHRASES: [&str; 10] = [
        "answer:",
        "option:",
        "choice:",
        "option is",
        "choice is",
        "letter is",
        "answer would be",
        "answer should be",
        "answer must be",
        "answer has to be",
    ];
    let mut found: Vec<(usize, &str)> = answer_marks(answer);
    let lower = answer.to_ascii_lowercase();
    for phrase in PHRASES {
        for (at, _) in lower.match_indices(phrase) {
            let behind = &answer[at + phrase.len()..];
            found.push((at + phrase.len(), behind.split('\n').next().unwrap_or_default()));
        }
    }
    for (at, text) in &mut found {
        if plain(text).is_empty() {
            let next = answer[*at..].lines().skip(1).find(|line| !plain(line).is_empty());
            *text = next.unwrap_or_default();
        }
    }
    found.extend(boxes(answer));
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, text)| text).collect()
}

/// `text` without Markdown, LaTeX and words that only say that a label follows.
fn plain(text: &str) -> String {
    const COMMANDS: [&str; 9] =
        ["\\boxed", "\\textbf", "\\textit", "\\text", "\\mathrm", "\\mathbf", "\\rm", "\\(", "\\)"];
    const WORDS: [&str; 8] = [
        "option",
        "choice",
        "letter",
        "answer",
        "definitely",
        "clearly",
        "probably",
        "most likely",
    ];
    let mut plain = text.to_owned();
    for command in COMMANDS {
        plain = plain.replace(command, "");
    }
    plain.retain(|c| !matches!(c, '*' | '$' | '`' | '{' | '}' | '"' | '“' | '”'));
    let edge = |c: char| c.is_whitespace() || matches!(c, '.' | ':' | '_' | '\'' | ',');
    let mut rest = plain.trim_matches(edge);
    while let Some(shorter) = WORDS.iter().find_map(|word| {
        let head = rest.get(..word.len())?;
        let behind = &rest[word.len()..];
        let whole = head.eq_ignore_ascii_case(word) && behind.starts_with([' ', ':', '(']);
        whole.then(|| behind.trim_matches(edge))
    }) {
        rest = shorter;
    }
    let rest = rest.trim_start_matches(['(', '[', '<', '"', '\'']);
    // the other half of what was taken off
    let rest = if rest.ends_with([')', ']', '>']) && !rest.contains(['(', '[', '<']) {
        &rest[..rest.len() - 1]
    } else {
        rest
    };
    rest.trim_matches(edge).to_owned()
}

/// The letters and digits that `text` begins with, and the rest.
fn first_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len()))
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Whether nothing more is said behind a label than a mark.
fn ends(behind: &str) -> bool {
    !behind.starts_with(|c: char| c.is_alphanumeric() || c == '-')
        && !behind.trim_start_matches(')').trim_start().starts_with(char::is_alphanumeric)
}

/// Whether `gap` is nothing but what stands between members of a list.
fn is_list(gap: &str) -> bool {
    let mut words = gap
        .split(|c: char| {
            c.is_whitespace() || matches!(c, ',' | '/' | '&' | '(' | ')' | '+' | ';' | '*')
        })
        .filter(|word| !word.is_empty());
    !gap.trim().is_empty()
        && gap.trim() != ")"
        && words.all(|word| matches!(word.to_lowercase().as_str(), "and" | "or" | "nor" | "option"))
}

fn is_list_on(behind: &str) -> bool {
    let behind = behind.trim_start_matches([')', ' ']);
    ["or ", "and ", ",", "/", "&"].iter().any(|word| behind.starts_with(word))
}

/// The article and the pronoun that look like labels.
fn is_word(label: &str) -> bool {
    matches!(label, "A" | "I" | "a" | "i")
}

/// Whether a word that is no verb of a label follows, as in "A dog" and "I think", not in "A is right".
fn goes_on_in_words(behind: &str) -> bool {
    const VERBS: [&str; 16] = [
        "is", "was", "isn't", "because", "since", "as", "and", "or", "but", "seems", "looks",
        "would", "cannot", "can't", "must", "should",
    ];
    if behind.starts_with(['\'', '’']) {
        return true;
    }
    let Some(rest) = behind.strip_prefix(' ') else { return false };
    let word = rest.split(|c: char| c.is_whitespace() || c == ',').next().unwrap_or_default();
    rest.starts_with(char::is_lowercase) && !VERBS.contains(&word)
}

/// `A-frame`, `U.S.A`, `5.B`.
fn is_part_of_a_name(before: &str, behind: &str) -> bool {
    let mut back = before.chars().rev();
    let joined = matches!(back.next(), Some('-' | '.' | '\'' | '’'))
        && back.next().is_some_and(char::is_alphanumeric);
    let mut on = behind.chars();
    let joins =
        matches!(on.next(), Some('-' | '.')) && on.next().is_some_and(char::is_alphanumeric);
    joined || joins
}

fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// Whether the text around a label says that it is one: `(B)`, `option B`, `it is B`, `B is correct`.
fn is_given(before: &str, behind: &str) -> bool {
    const BEFORE: [&str; 24] = [
        "option",
        "options",
        "choice",
        "letter",
        "answer",
        "choose",
        "chose",
        "pick",
        "select",
        "selected",
        "is",
        "be",
        "it's",
        "with",
        "say",
        "guess",
        "sure",
        "definitely",
        "so",
        "thus",
        "hence",
        "therefore",
        "but",
        "correct",
    ];
    let around = before.ends_with(['(', '[', '*']) && behind.starts_with([')', ']', '*']);
    let trimmed = before.trim_end_matches([' ', '*', '(', '"', ':', ',']);
    let word = trimmed.rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '\'').to_lowercase();
    let said = words_behind(behind);
    let praised = ["is", "seems", "looks", "must be", "has to be"].iter().any(|verb| {
        let rest = said.strip_prefix(verb).map(str::trim_start);
        let rest = rest.map(|rest| rest.strip_prefix("the ").unwrap_or(rest));
        rest.is_some_and(|rest| {
            ["correct", "right", "best", "true", "answer"].iter().any(|good| rest.starts_with(good))
        })
    });
    around || BEFORE.contains(&word.as_str()) || praised
}

/// What follows a label, in small letters.
fn words_behind(behind: &str) -> String {
    let rest = behind
        .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ')' | ']' | '*' | '"'));
    rest.chars().take(60).collect::<String>().to_lowercase().replace('’', "'")
}

/// Marks those of `mentions`, which follow one another in `text`, that are denied; members of a list share that.
fn deny(text: &str, mentions: &mut [Mention]) {
    let mut first = 0;
    while first < mentions.len() {
        let mut last = first;
        while last + 1 < mentions.len()
            && text
                .get(mentions[last].end..mentions[last + 1].start)
                .is_some_and(|gap| gap.len() < 12 && is_list(gap))
        {
            last += 1;
        }
        let denied = is_denied_before(&text[..mentions[first].start])
            || is_denied_behind(&words_behind(&text[mentions[last].end..]));
        for mention in &mut mentions[first..=last] {
            mention.denied = denied;
        }
        first = last + 1;
    }
}

/// Whether a clause that begins so denies what follows: "it can't be", "rather than".
fn is_denied_before(before: &str) -> bool {
    const TURNS: [&str; 7] = ["but", "so", "therefore", "hence", "thus", "must", "because"];
    const NEGATIONS: [&str; 14] = [
        "not",
        "cannot",
        "never",
        "neither",
        "nor",
        "except",
        "unlike",
        "eliminate",
        "eliminates",
        "eliminating",
        "exclude",
        "excluding",
        "reject",
        "discard",
    ];
    let mut start = before.len().saturating_sub(120);
    while !before.is_char_boundary(start) {
        start += 1;
    }
    let clause = before[start..].rsplit(['.', ';', '!', '?', '\n', ',', ':']).next();
    let clause = clause.unwrap_or_default().to_lowercase().replace('’', "'");
    let words: Vec<&str> = clause.split_whitespace().rev().take(8).collect();
    let pair =
        |first: &str, second: &str| words.windows(2).any(|w| w[1] == first && w[0] == second);
    let turn = words.iter().position(|word| TURNS.contains(word)).unwrap_or(words.len());
    words[..turn].iter().any(|word| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '\'');
        // Chinese is written without spaces
        NEGATIONS.contains(&word) || word.ends_with("n't") || word.ends_with("不是")
    }) || pair("rather", "than")
        || pair("instead", "of")
        || ["rule", "rules", "ruled", "ruling"].iter().any(|rule| pair(rule, "out"))
}

/// Whether what follows an option denies it: "is wrong", "and C are out".
fn is_denied_behind(said: &str) -> bool {
    const DENIALS: [&str; 12] = [
        "wrong",
        "incorrect",
        "not",
        "false",
        "out",
        "eliminated",
        "excluded",
        "ruled out",
        "impossible",
        "unlikely",
        "irrelevant",
        "no ",
    ];
    if [
        "isn't", "aren't", "wasn't", "can't", "cannot", "can not", "doesn't", "does not", "won't",
        "don't",
    ]
    .iter()
    .any(|word| said.starts_with(word))
    {
        return true;
    }
    let verbs = ["is ", "are ", "was ", "were ", "would be ", "must be ", "seems "];
    let Some(mut rest) = verbs.iter().find_map(|verb| said.strip_prefix(verb)) else {
        return false;
    };
    for word in ["also ", "both ", "all ", "clearly ", "obviously ", "therefore ", "simply "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    DENIALS.iter().any(|word| rest.starts_with(word))
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
    let mut text =
        if answer.contains("Answer: ") { answer.to_owned() } else { format!("Answer: {answer}") };
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

    /// What the robust rule takes, and what the text names last, of these options.
    fn taken(labels: &[&str], texts: &[&str], answer: &str) -> (Option<usize>, Option<usize>) {
        let own = |list: &[&str]| -> Vec<String> { list.iter().map(|t| t.to_string()).collect() };
        let (labels, texts) = (own(labels), own(texts));
        let options = Options { key: "", labels: &labels, texts: &texts };
        (options.chosen(Take::Last, answer), options.last_named(answer))
    }

    const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

    fn check_taken(texts: [&str; 4], cases: &[(&str, Option<usize>)]) {
        for (answer, expected) in cases {
            assert_eq!(taken(&LETTERS, &texts, answer).0, *expected, "{texts:?} {answer:?}");
        }
    }

    #[test]
    fn a_label_counts_before_an_option_s_words() {
        let blood = ["O", "A", "B", "AB"];
        check_taken(
            blood,
            &[
                ("Answer: B", Some(1)),
                ("Answer: A", Some(0)),
                ("answer: b", Some(1)),
                ("**Answer:** (B)", Some(1)),
                ("B", Some(1)),
                ("\\boxed{A}", Some(0)),
                ("Answer: B) A", Some(1)),
                ("Answer: B. A", Some(1)),
                ("Answer: O", Some(0)),
                ("Answer: AB", Some(3)),
                ("The answer is D, blood group AB.", Some(3)),
                ("Option C", Some(2)),
            ],
        );
        assert_eq!(taken(&LETTERS, &blood, "It must be B").1, Some(1));
        check_taken(
            ["2", "3", "4", "1"],
            &[("Answer: 2", Some(0)), ("Answer: B", Some(1)), ("Answer: 1", Some(3))],
        );
        check_taken(["x", "y", "z", "w"], &[("Answer: 2", Some(1)), ("Answer: 5", None)]);
        let numbers = ["1", "2", "3", "4"];
        for (texts, answer, at) in [
            (["4", "3", "2", "1"], "Answer: 2", 1),
            (["4", "3", "2", "1"], "(4)", 3),
            (["4", "3", "2", "1"], "Option 3", 2),
            (["cat", "dog", "cow", "pig"], "Answer: C", 2),
            (["cat", "dog", "cow", "pig"], "The answer is 4. pig", 3),
            (["B", "C", "D", "A"], "Answer: B", 0),
        ] {
            assert_eq!(taken(&numbers, &texts, answer).0, Some(at), "{texts:?} {answer:?}");
        }
    }

    #[test]
    fn a_label_is_read_in_every_usual_dress() {
        let texts = ["cat", "a dog", "blue whale", "whale"];
        for dress in [
            "B",
            "(B)",
            "B.",
            "B)",
            "[B]",
            "**B**",
            "*B*",
            "__B__",
            "`B`",
            "\"B\"",
            "b",
            "(b)",
            "b.",
            "Option B",
            "option b",
            "Choice (B)",
            "B: a dog",
            "B - a dog",
            "B) a dog",
            "B. A dog.",
            "(B) a dog",
            "**B. a dog**",
            "B a dog",
            "$B$",
            "\\boxed{B}",
            "$\\boxed{\\text{B}}$",
            "\\boxed{\\textbf{(B)}}",
            "\\boxed{\\text{B. a dog}}",
            "\\(\\boxed{B}\\)",
            "**Option B**",
            "a dog",
            "A dog.",
            "B, because it barks",
            "B since A is a cat",
            "B is correct",
            "B, not A",
            "B \t",
            "B\r",
            "definitely B",
        ] {
            for answer in [
                format!("Answer: {dress}"),
                format!("A cat is none.\r\nAnswer: {dress}\r\n"),
                format!("The answer is {dress}"),
                format!("**Answer**: {dress}"),
                format!("**Answer:**\n\n{dress}"),
                format!("The correct option is: {dress}"),
                format!("Correct answer: {dress}"),
                dress.to_owned(),
            ] {
                assert_eq!(taken(&LETTERS, &texts, &answer).0, Some(1), "{answer:?}");
            }
        }
    }

    #[test]
    fn sentences_that_name_others_give_the_one_they_mean() {
        let texts = ["cat", "a dog", "blue whale", "whale"];
        check_taken(
            texts,
            &[
                ("for sure D, it can't be A", Some(3)),
                ("The answer: D, it doesn't make sense for it to be A or B", Some(3)),
                ("It can't be A, so it must be C.", Some(2)),
                ("It is not A but C.", Some(2)),
                ("A is wrong, B and D are out.\nThat leaves it to be (C).", Some(2)),
                ("A is wrong, it is B", Some(1)),
                ("A and B are both wrong. I choose C rather than D.", Some(2)),
                ("First, A.\nSecond, B.\nI pick option D.", Some(3)),
                ("thinking about it I think the correct answer is C", Some(2)),
                ("B\n\nA dog barks; A and C do not.", Some(1)),
                ("(D) is the correct choice.", Some(3)),
                ("<answer>B</answer>", Some(1)),
                ("So:\n{\"answer\": \"B\"}", Some(1)),
                ("Correct: C", Some(2)),
                ("Reasoning …\n\nAnswer B", Some(1)),
                ("The answer is not A, it's C", Some(2)),
                ("Answer: B\n\nWait, actually the answer is C.", Some(2)),
                ("ANSWER: B (a dog), not C", Some(1)),
                ("D, because A and B are wrong and C is unlikely", Some(3)),
                ("It isn't A. It isn't B. It isn't C.", None),
                ("B or C, but more likely C", None),
                ("The answer is\nC blue whale", Some(2)),
                ("The answer is blue whale, the largest.", Some(2)),
                ("The answer is the blue whale.", Some(2)),
                ("The answer is whale", Some(3)),
                // no choice is made
                ("Answer: A or B", None),
                ("Answer: A, C", None),
                ("Answer: A/B", None),
                ("Answer: (A) and (D)", None),
                ("\\boxed{A, B}", None),
                ("It is A or it is B.", None),
                ("A. cat\nB. a dog\nC. blue whale\nD. whale", None),
                ("Answer: none of them", None),
                ("Answer: I do not know", None),
                ("Answer: a cat or a whale", None),
                ("Vitamin C is good for you.", None),
                ("A dog is an animal", None),
                ("I think", None),
                ("", None),
            ],
        );
        // the words of an option hold labels
        check_taken(
            ["1", "2", "A and B", "none"],
            &[("Answer: A and B", Some(2)), ("Answer: A", Some(0))],
        );
        check_taken(
            ["no", "yes", "maybe", "often"],
            &[("Answer: no idea", None), ("Answer: No.", Some(0))],
        );
        for (answer, named) in [
            ("for sure D, it can't be A", Some(3)),
            ("B fits. A is wrong, and C is wrong too.", Some(1)),
            ("Neither A nor B", None),
            ("It is the blue whale", Some(2)),
            ("not the blue whale but a dog", Some(1)),
            ("We eliminate A, B and C.", None),
            ("é A’s 🙂 D", Some(3)),
        ] {
            assert_eq!(taken(&LETTERS, &texts, answer).1, named, "{answer:?}");
        }
    }
}
