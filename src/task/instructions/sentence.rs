//! Where sentences end, as NLTK's English Punkt tokenizer finds it.
//!
//! The algorithm is Kiss and Strunk's (2006): a full stop ends a sentence unless the word before it is an abbreviation, and even
//! then if the next word is one that opens sentences. What it learned from English newspapers is in `english.txt`, which holds the
//! abbreviations, sentence starters and collocations of NLTK's model whole, and of its 20 000 spellings only the words that it saw
//! open a sentence and never saw capital elsewhere. So a capital word behind an abbreviation or an initial is now and then judged
//! otherwise than by NLTK; any other sentence is not.

use fancy_regex::Regex;
use std::collections::HashSet;
use std::sync::OnceLock;

/// What the model learned.
struct English {
    abbreviations: HashSet<&'static str>,
    starters: HashSet<&'static str>,
    collocations: HashSet<(&'static str, &'static str)>,
    /// Words that stand capital only where a sentence begins.
    openers: HashSet<&'static str>,
    word: Option<Regex>,
    end: Option<Regex>,
    realign: Option<Regex>,
    number: Option<Regex>,
}

fn english() -> &'static English {
    // constant tables and patterns, read once
    static ENGLISH: OnceLock<English> = OnceLock::new();
    ENGLISH.get_or_init(|| {
        let text = include_str!("english.txt");
        let section = |name: &str| {
            text.split("# ")
                .find_map(|part| part.strip_prefix(name))
                .unwrap_or("")
                .split_whitespace()
        };
        let non_word = r#"(?:[)";}\]*:@'({\[‘’“”«»?!])"#;
        let many = r"(?:\-{2,}|\.{2,}|(?:\.\s){2,}\.)";
        let start = r#"[^("`{\[:;&#*@)}\]\-,]"#;
        let word = format!(
            r"{many}|(?={start})\S+?(?=\s|$|{non_word}|{many}|,(?=$|\s|{non_word}|{many}))|\S"
        );
        let end = format!(r"[.?!](?=({non_word}|\s+(\S+)))");
        let realign = r#"(?m)^["')\]}‘’“”«»]+?(?:\s+|(?=--)|$)"#;
        English {
            abbreviations: section("abbreviations").collect(),
            starters: section("starters").collect(),
            collocations: section("collocations").filter_map(|pair| pair.split_once('+')).collect(),
            openers: section("openers").collect(),
            word: Regex::new(&word).ok(),
            end: Regex::new(&end).ok(),
            realign: Regex::new(realign).ok(),
            number: Regex::new(r"^-?[\.,]?\d[\d,\.-]*\.?$").ok(),
        }
    })
}

/// Common words that also stand capital inside of sentences, in titles. They are no openers, but no names either.
const SMALL_WORDS: [&str; 88] = [
    "the", "a", "an", "and", "of", "to", "in", "is", "was", "for", "on", "that", "with", "as",
    "at", "by", "from", "it", "this", "they", "we", "you", "he", "she", "not", "but", "or", "if",
    "when", "then", "there", "what", "who", "which", "how", "why", "where", "all", "no", "so",
    "do", "did", "can", "will", "would", "should", "could", "may", "might", "must", "have", "has",
    "had", "be", "been", "are", "were", "after", "before", "while", "because", "next", "first",
    "second", "third", "last", "finally", "also", "each", "every", "some", "many", "most", "more",
    "one", "two", "three", "my", "your", "his", "her", "its", "our", "their", "me", "him", "us",
    "them",
];

/// Whether the next token begins a sentence.
#[derive(PartialEq)]
enum Opens {
    Yes,
    No,
    Unknown,
}

struct Token<'a> {
    text: &'a str,
    ends_sentence: bool,
    abbreviation: bool,
    ellipsis: bool,
}

impl<'a> Token<'a> {
    fn new(text: &'a str, english: &English) -> Self {
        let mut token = Self { text, ends_sentence: false, abbreviation: false, ellipsis: false };
        let lower = text.to_lowercase();
        if matches!(text, "." | "?" | "!") {
            token.ends_sentence = true;
        } else if text.len() > 1 && text.bytes().all(|b| b == b'.') {
            token.ellipsis = true;
        } else if text.ends_with('.') && !text.ends_with("..") {
            let stem = &lower[..lower.len() - 1];
            let tail = stem.rsplit('-').next().unwrap_or(stem);
            let known = |s: &str| english.abbreviations.contains(s);
            token.abbreviation = known(stem) || known(tail);
            token.ends_sentence = !token.abbreviation;
        }
        token
    }

    /// The word in small letters, numbers all as one.
    fn kind(&self, english: &English) -> String {
        let is_number =
            english.number.as_ref().is_some_and(|n| n.is_match(self.text).unwrap_or(false));
        if is_number { "##number##".into() } else { self.text.to_lowercase() }
    }

    fn kind_without_stop(&self, english: &English) -> String {
        let mut kind = self.kind(english);
        if kind.len() > 1 && kind.ends_with('.') {
            kind.pop();
        }
        kind
    }

    fn is_initial(&self) -> bool {
        let mut chars = self.text.chars();
        chars.next().is_some_and(char::is_alphabetic) && chars.as_str() == "."
    }

    fn first(&self) -> char {
        self.text.chars().next().unwrap_or(' ')
    }
}

fn opens(next: &Token<'_>, kind: &str, english: &English) -> Opens {
    if matches!(next.text, ";" | ":" | "," | "." | "!" | "?") {
        return Opens::No;
    }
    if next.first().is_uppercase() && english.openers.contains(kind) {
        return Opens::Yes;
    }
    if next.first().is_lowercase() { Opens::No } else { Opens::Unknown }
}

/// What the next token says of the token before it.
fn second_look(token: &mut Token<'_>, next: &Token<'_>, english: &English) {
    if !token.text.ends_with('.') {
        return;
    }
    let kind = token.kind_without_stop(english);
    let next_kind =
        if next.ends_sentence { next.kind_without_stop(english) } else { next.kind(english) };
    let initial = token.is_initial();
    if english.collocations.contains(&(kind.as_str(), next_kind.as_str())) {
        token.ends_sentence = false;
        token.abbreviation = true;
        return;
    }
    if (token.abbreviation || token.ellipsis) && !initial {
        let starter = next.first().is_uppercase() && english.starters.contains(next_kind.as_str());
        if opens(next, &next_kind, english) == Opens::Yes || starter {
            token.ends_sentence = true;
            return;
        }
    }
    if initial || kind == "##number##" {
        let never_small = || {
            let seen = next_kind.as_str();
            !english.starters.contains(seen) && !SMALL_WORDS.contains(&seen)
        };
        let abbreviates = match opens(next, &next_kind, english) {
            Opens::No => true,
            Opens::Unknown => initial && next.first().is_uppercase() && never_small(),
            Opens::Yes => false,
        };
        if abbreviates {
            token.ends_sentence = false;
            token.abbreviation = true;
        }
    }
}

/// Whether a sentence ends inside of `context`, before its last token.
fn breaks(context: &str, english: &English) -> bool {
    let Some(word) = &english.word else {
        return false;
    };
    let mut tokens: Vec<Token<'_>> = context
        .split('\n')
        .flat_map(|line| word.find_iter(line).map_while(Result::ok).map(|m| m.as_str()))
        .map(|text| Token::new(text, english))
        .collect();
    for at in 1..tokens.len() {
        let (before, after) = tokens.split_at_mut(at);
        second_look(&mut before[at - 1], &after[0], english);
    }
    let last = tokens.len().saturating_sub(1);
    tokens[..last].iter().any(|token| token.ends_sentence)
}

/// A place where a sentence may end.
struct Candidate {
    /// Where the mark ends.
    end: usize,
    /// Where the next word begins, if a space is between.
    next: Option<usize>,
    /// The word before, the mark and what follows.
    context: String,
}

fn candidates(text: &str, english: &English) -> Vec<Candidate> {
    let Some(end) = &english.end else {
        return Vec::new();
    };
    let mut found: Vec<Candidate> = Vec::new();
    let mut previous: Option<(std::ops::Range<usize>, Candidate)> = None;
    for captures in end.captures_iter(text).map_while(Result::ok) {
        let (Some(mark), Some(after)) = (captures.get(0), captures.get(1)) else {
            continue;
        };
        let slice = previous.as_ref().map_or(0..0, |(slice, _)| slice.clone());
        let before = &text[slice.end..mark.start()];
        let space = before.rfind([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']).unwrap_or(0);
        let start = match space {
            0 => slice.start,
            space => slice.end + space + 1,
        };
        if let Some((slice, candidate)) = previous.take()
            && slice.end <= start
        {
            found.push(candidate);
        }
        let word = start..mark.start();
        let candidate = Candidate {
            end: mark.end(),
            next: captures.get(2).map(|next| next.start()),
            context: format!("{}{}{}", &text[word.clone()], mark.as_str(), after.as_str()),
        };
        previous = Some((word, candidate));
    }
    found.extend(previous.map(|(_, candidate)| candidate));
    found
}

/// The sentences of `text`.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let english = english();
    let mut slices = Vec::new();
    let mut from = 0;
    for candidate in candidates(text, english) {
        if breaks(&candidate.context, english) {
            slices.push(from..candidate.end);
            from = candidate.next.unwrap_or(candidate.end);
        }
    }
    slices.push(from..text.trim_end().len().max(from));
    // quotes and brackets behind a mark belong to the sentence that it ends
    let mut sentences = Vec::new();
    let mut moved = 0;
    for (at, slice) in slices.iter().enumerate() {
        let start = (slice.start + moved).min(slice.end);
        let Some(next) = slices.get(at + 1) else {
            sentences.push(&text[start..slice.end]);
            continue;
        };
        let closing = english
            .realign
            .as_ref()
            .and_then(|r| r.find(&text[next.clone()]).ok().flatten())
            .filter(|m| m.start() == 0);
        match closing {
            Some(m) => {
                sentences.push(&text[start..next.start + m.as_str().trim_end().len()]);
                moved = m.end();
            }
            None => {
                moved = 0;
                sentences.push(&text[start..slice.end]);
            }
        }
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// How many sentences `text` has.
pub(super) fn count(text: &str) -> usize {
    sentences(text).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /* import nltk; t = nltk.data.load("nltk:tokenizers/punkt/english.pickle")
    print([len(t.tokenize(s)) for s in texts])  # nltk 3.10.4 */
    #[test]
    fn sentences_end_where_nltk_ends_them() {
        let cases = [
            ("One. Two. Three.", 3),
            ("No end here", 1),
            ("Dr. Smith met Mr. Jones. They left.", 2),
            ("It rose to 3.5 percent. Then it fell.", 2),
            ("\"Stop!\" she said. (It was late.) He went.", 4),
            ("Wait... what?! Yes.", 3),
            ("He lives in the U.S. and works.", 1),
            ("J. K. Rowling wrote it. It sold.", 2),
            ("1. First\n2. Second\n3. Third", 4),
            ("At 7 p.m. the train left.", 1),
            ("What? Why? How!", 3),
            ("a.b.c", 1),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text), expected, "{text:?}: {:?}", sentences(text));
        }
        let english = english();
        assert!(english.word.is_some() && english.end.is_some());
        assert!(english.realign.is_some() && english.number.is_some());
        assert_eq!((english.abbreviations.len(), english.starters.len()), (155, 39));
    }
}
