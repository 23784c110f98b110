//! The words of a text as NLTK's `word_tokenize` gives them: the Treebank's rules, sentence by sentence.

use super::sentence::sentences;
use fancy_regex::Regex;
use std::sync::OnceLock;

/// What is replaced, in this order.
const BEFORE_BRACKETS: [(&str, &str); 16] = [
    // quotes that open
    ("([«“‘„]|[`]+)", " $1 "),
    ("^\"", "``"),
    ("(``)", " $1 "),
    (r#"([ \(\[{<])("|'{2})"#, "$1 `` "),
    (r"(?i)(?<!\w)(')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "$1 "),
    // punctuation
    (r#"([^\.])(\.)([\]\)}>"'»”’ ]*+)\s*$"#, "$1 $2 $3 "),
    (r"([:,])([^\d])", " $1 $2"),
    (r"([:,])$", " $1 "),
    (r"\.{2,}", " $0 "),
    (r"[;@#$%&]", " $0 "),
    (r"[\u{2012}-\u{2015}]", " $0 "),
    (r#"([^\.])(\.)([\]\)}>"']*)\s*$"#, "$1 $2$3 "),
    (r"[?!]", " $0 "),
    (r"([^'])' ", "$1 ' "),
    (r"[*]", " $0 "),
    (r"[\]\[\(\)\{\}<>]", " $0 "),
];
const AFTER_BRACKETS: [(&str, &str); 17] = [
    ("--", " -- "),
    // one space around the text belongs here: see `words`
    ("([»”’])", " $1 "),
    ("''", " '' "),
    ("\"", " '' "),
    (r"\s+", " "),
    (r"([^' ])('[sS]|'[mM]|'[dD]|') ", "$1 $2 "),
    (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "),
    (r"(?i)\b(can)(not)\b", " $1 $2 "),
    (r"(?i)\b(d)('ye)\b", " $1 $2 "),
    (r"(?i)\b(gim)(me)\b", " $1 $2 "),
    (r"(?i)\b(gon)(na)\b", " $1 $2 "),
    (r"(?i)\b(got)(ta)\b", " $1 $2 "),
    (r"(?i)\b(lem)(me)\b", " $1 $2 "),
    (r"(?i)\b(more)('n)\b", " $1 $2 "),
    (r"(?i)\b(wan)(na)(?=\s)", " $1 $2 "),
    (r"(?i) ('t)(is)\b", " $1 $2 "),
    (r"(?i) ('t)(was)\b", " $1 $2 "),
];

type Rules = Vec<(Regex, &'static str)>;

fn compiled(rules: &[(&str, &'static str)]) -> Rules {
    let compile = |(pattern, with): &(&str, &'static str)| Some((Regex::new(pattern).ok()?, *with));
    rules.iter().filter_map(compile).collect()
}

/// The words and punctuation marks of `text`.
pub(super) fn words(text: &str) -> Vec<String> {
    // constant patterns, compiled once
    static RULES: OnceLock<(Rules, Rules)> = OnceLock::new();
    let (before, after) =
        RULES.get_or_init(|| (compiled(&BEFORE_BRACKETS), compiled(&AFTER_BRACKETS)));
    let replaced = |text: String, rules: &[(Regex, &str)]| {
        rules.iter().fold(text, |text, (pattern, with)| {
            pattern.try_replacen(&text, 0, *with).map(|t| t.into_owned()).unwrap_or(text)
        })
    };
    let mut words = Vec::new();
    for sentence in sentences(text) {
        let text = replaced(sentence.to_owned(), before);
        let text = replaced(text, &after[..1]);
        let text = replaced(format!(" {text} "), &after[1..]);
        words.extend(text.split_whitespace().map(str::to_owned));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_treebank() {
        // the example of NLTK's documentation
        let text = "Good muffins cost $3.88 (roughly 3,36 euros)\nin New York.  Please buy me\ntwo of them.\nThanks.";
        let expected = [
            "Good", "muffins", "cost", "$", "3.88", "(", "roughly", "3,36", "euros", ")", "in",
            "New", "York", ".", "Please", "buy", "me", "two", "of", "them", ".", "Thanks", ".",
        ];
        assert_eq!(words(text), expected);
        assert_eq!(words("I can't; \"NO\""), ["I", "ca", "n't", ";", "``", "NO", "''"]);
        assert_eq!(compiled(&BEFORE_BRACKETS).len(), BEFORE_BRACKETS.len());
        assert_eq!(compiled(&AFTER_BRACKETS).len(), AFTER_BRACKETS.len());
    }
}
