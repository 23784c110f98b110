//! Grading the verifiable instructions of IFEval, which [`src/benchmark/ifeval.rs`](crate::benchmark::ifeval) asks.
//!
//! Each of the 25 kinds has a rule that a program can check, as lm-evaluation-harness checks it. An answer is judged twice:
//! strictly, as it is, and loosely, where it is enough that one of eight versions of it passes (without its first line, its last
//! line, both, and each without asterisks).
//!
//! A trap: the published checks are rough. `sentences` are what the Punkt rules take for sentences, and a text of a few words may be
//! taken for another language.

mod language;
mod sentence;
mod word;

use super::{Found, Part};
use fancy_regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One instruction of a prompt: its kind and the numbers and words that it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// Its kind, such as `length_constraints:number_words`.
    pub id: String,
    /// Its arguments, such as `num_words` and `relation`, as published.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kwargs: Map<String, Value>,
}

/// An instruction whose arguments are known to fit.
enum Rule {
    Keywords(Vec<String>),
    KeywordFrequency(String, Bound),
    Forbidden(Vec<String>),
    LetterFrequency(String, Bound),
    Language(String),
    Sentences(Bound),
    Words(Bound),
    Paragraphs(i64),
    ParagraphFirstWord { paragraphs: i64, nth: i64, word: String },
    Placeholders(i64),
    Postscript(String),
    Bullets(i64),
    Constrained,
    Highlights(i64),
    Sections(String, i64),
    Json,
    Title,
    TwoResponses,
    RepeatPrompt(String),
    End(String),
    CapitalWords(Bound),
    Capitals,
    Lowercase,
    NoComma,
    Quotation,
}

/// How often something is to appear.
struct Bound {
    less_than: bool,
    number: i64,
}

impl Bound {
    fn holds(&self, count: usize) -> bool {
        let count = count as i64;
        if self.less_than { count < self.number } else { count >= self.number }
    }
}

impl Instruction {
    /// Whether its kind is known and its arguments are there.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn check(&self) -> Result<(), String> {
        self.rule().map(|_| ())
    }

    fn rule(&self) -> Result<Rule, String> {
        let wrong = |key: &str, what: &str| format!("{} needs {what} as {key}", self.id);
        let number = |key: &str| {
            let value = self.kwargs.get(key);
            // some copies of the data hold whole numbers as floats
            let whole = |v: &Value| {
                v.as_i64().or_else(|| v.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64))
            };
            value.and_then(whole).filter(|n| *n >= 0).ok_or_else(|| wrong(key, "a whole number"))
        };
        let text = |key: &str| {
            let value = self.kwargs.get(key).and_then(Value::as_str);
            value.map(str::to_owned).ok_or_else(|| wrong(key, "a text"))
        };
        let texts = |key: &str| {
            let list = self.kwargs.get(key).and_then(Value::as_array);
            list.and_then(|list| {
                list.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            })
            .ok_or_else(|| wrong(key, "a list of texts"))
        };
        let bound = |count: &str, relation: &str| {
            Ok::<_, String>(Bound {
                number: number(count)?,
                less_than: match text(relation)?.as_str() {
                    "less than" => true,
                    "at least" => false,
                    other => {
                        return Err(format!(
                            "{}: {relation} is `less than` or `at least`, not {other:?}",
                            self.id
                        ));
                    }
                },
            })
        };
        Ok(match self.id.as_str() {
            "keywords:existence" => Rule::Keywords(texts("keywords")?),
            "keywords:frequency" => {
                let keyword = text("keyword")?.trim().to_owned();
                Rule::KeywordFrequency(keyword, bound("frequency", "relation")?)
            }
            "keywords:forbidden_words" => Rule::Forbidden(texts("forbidden_words")?),
            "keywords:letter_frequency" => {
                let letter = text("letter")?.trim().to_lowercase();
                Rule::LetterFrequency(letter, bound("let_frequency", "let_relation")?)
            }
            "language:response_language" => Rule::Language(text("language")?),
            "length_constraints:number_sentences" => {
                Rule::Sentences(bound("num_sentences", "relation")?)
            }
            "length_constraints:number_words" => Rule::Words(bound("num_words", "relation")?),
            "length_constraints:number_paragraphs" => Rule::Paragraphs(number("num_paragraphs")?),
            "length_constraints:nth_paragraph_first_word" => Rule::ParagraphFirstWord {
                paragraphs: number("num_paragraphs")?,
                nth: number("nth_paragraph")?,
                word: text("first_word")?.to_lowercase(),
            },
            "detectable_content:number_placeholders" => {
                Rule::Placeholders(number("num_placeholders")?)
            }
            "detectable_content:postscript" => {
                Rule::Postscript(text("postscript_marker")?.trim().to_owned())
            }
            "detectable_format:number_bullet_lists" => Rule::Bullets(number("num_bullets")?),
            "detectable_format:constrained_response" => Rule::Constrained,
            "detectable_format:number_highlighted_sections" => {
                Rule::Highlights(number("num_highlights")?)
            }
            "detectable_format:multiple_sections" => {
                let splitter = text("section_spliter")?.trim().to_owned();
                Rule::Sections(splitter, number("num_sections")?)
            }
            "detectable_format:json_format" => Rule::Json,
            "detectable_format:title" => Rule::Title,
            "combination:two_responses" => Rule::TwoResponses,
            "combination:repeat_prompt" => Rule::RepeatPrompt(text("prompt_to_repeat")?),
            "startend:end_checker" => Rule::End(text("end_phrase")?.trim().to_lowercase()),
            "startend:quotation" => Rule::Quotation,
            "change_case:capital_word_frequency" => {
                Rule::CapitalWords(bound("capital_frequency", "capital_relation")?)
            }
            "change_case:english_capital" => Rule::Capitals,
            "change_case:english_lowercase" => Rule::Lowercase,
            "punctuation:no_comma" => Rule::NoComma,
            _ => return Err(format!("there is no instruction of the kind {:?}", self.id)),
        })
    }
}

pub(super) fn grade(instructions: &[Instruction], answer: &str) -> (Found, Vec<Part>) {
    let mut parts = Vec::new();
    for instruction in instructions {
        let (strict, loose) = match instruction.rule() {
            Ok(rule) => {
                let strict = follows(&rule, answer);
                let loose = strict || versions(answer).iter().any(|v| follows(&rule, v));
                (strict, loose)
            }
            Err(_) => (false, false),
        };
        parts.push(Part { name: instruction.id.clone(), strict, loose });
    }
    let right = parts.iter().all(|part| part.strict);
    let broken: Vec<&str> =
        parts.iter().filter(|part| !part.strict).map(|part| part.name.as_str()).collect();
    let found = Found {
        extracted: Some(format!("{} of {}", parts.len() - broken.len(), parts.len())),
        right,
        skill: parts.iter().all(|part| part.loose),
        why: if right {
            "Every instruction is followed.".into()
        } else {
            format!("Not followed: {}.", broken.join(", "))
        },
    };
    (found, parts)
}

/// The versions of an answer of which one has to pass loosely; the answer itself is one.
fn versions(answer: &str) -> Vec<String> {
    let lines: Vec<&str> = answer.split('\n').collect();
    let joined = |lines: &[&str]| lines.join("\n").trim().to_owned();
    let last = lines.len() - 1;
    let without_first = joined(&lines[1..]);
    let without_last = joined(&lines[..last]);
    let without_both = joined(if last >= 1 { &lines[1..last] } else { &[] });
    let plain = |text: &str| text.replace('*', "");
    vec![
        plain(answer),
        plain(&without_first),
        plain(&without_last),
        plain(&without_both),
        without_first,
        without_last,
        without_both,
    ]
}

/// Whether `text` follows the rule; a text of white space follows none.
fn follows(rule: &Rule, text: &str) -> bool {
    if text.trim().is_empty() {
        return false;
    }
    match rule {
        Rule::Keywords(keywords) => {
            keywords.iter().all(|keyword| count(&format!("(?i:{keyword})"), keyword, text) > 0)
        }
        Rule::KeywordFrequency(keyword, bound) => {
            bound.holds(count(&format!("(?i:{keyword})"), keyword, text))
        }
        Rule::Forbidden(words) => {
            !words.iter().any(|word| count(&format!(r"(?i:\b{word}\b)"), word, text) > 0)
        }
        Rule::LetterFrequency(letter, bound) => {
            bound.holds(text.to_lowercase().matches(letter.as_str()).count())
        }
        Rule::Language(code) => language::of(text).is_none_or(|found| found == *code),
        Rule::Sentences(bound) => bound.holds(sentence::count(text)),
        Rule::Words(bound) => bound.holds(found(r"\w+", text).len()),
        Rule::Paragraphs(number) => paragraphs(*number, text),
        Rule::ParagraphFirstWord { paragraphs, nth, word } => {
            paragraph_begins(*paragraphs, *nth, word, text)
        }
        Rule::Placeholders(number) => found(r"\[.*?\]", text).len() as i64 >= *number,
        Rule::Postscript(marker) => {
            let pattern = match marker.as_str() {
                "P.P.S" => r"\s*p\.\s?p\.\s?s.*$".to_owned(),
                "P.S." => r"\s*p\.\s?s\..*$".to_owned(),
                other => format!(r"\s*{}.*$", other.to_lowercase()),
            };
            let lower = text.to_lowercase();
            count(&format!("(?m:{pattern})"), &marker.to_lowercase(), &lower) > 0
        }
        Rule::Bullets(number) => {
            let stars = found(r"(?m)^\s*\*[^\*].*$", text).len();
            let dashes = found(r"(?m)^\s*-.*$", text).len();
            (stars + dashes) as i64 == *number
        }
        Rule::Constrained => ["My answer is yes.", "My answer is no.", "My answer is maybe."]
            .iter()
            .any(|option| text.contains(option)),
        Rule::Highlights(number) => {
            let single = found(r"\*[^\n\*]*\*", text)
                .iter()
                .filter(|h| !h.trim_matches('*').trim().is_empty())
                .count();
            let double = found(r"\*\*[^\n\*]*\*\*", text)
                .iter()
                .filter(|h| {
                    let inner = h.strip_prefix("**").unwrap_or(h);
                    !inner.strip_suffix("**").unwrap_or(inner).trim().is_empty()
                })
                .count();
            (single + double) as i64 >= *number
        }
        Rule::Sections(splitter, number) => {
            let pattern = format!(r"\s?{splitter}\s?\d+\s?");
            count(&pattern, splitter, text) as i64 >= *number
        }
        Rule::Json => is_json(text),
        Rule::Title => found(r"<<[^\n]+>>", text).iter().any(|title| {
            let inner = title.trim_start_matches('<').trim_end_matches('>');
            !inner.trim().is_empty()
        }),
        Rule::TwoResponses => two_responses(text),
        Rule::RepeatPrompt(prompt) => {
            text.trim().to_lowercase().starts_with(&prompt.trim().to_lowercase())
        }
        Rule::End(phrase) => {
            text.trim().trim_matches('"').to_lowercase().ends_with(phrase.as_str())
        }
        Rule::CapitalWords(bound) => {
            let words = word::words(text);
            bound.holds(words.iter().filter(|word| is_upper(word)).count())
        }
        Rule::Capitals => is_upper(text) && is_english(text),
        Rule::Lowercase => is_lower(text) && is_english(text),
        Rule::NoComma => !text.contains(','),
        Rule::Quotation => {
            let text = text.trim();
            text.chars().count() > 1 && text.starts_with('"') && text.ends_with('"')
        }
    }
}

fn is_english(text: &str) -> bool {
    language::of(text).is_none_or(|found| found == "en")
}

/// Python's `isupper`: there are letters with case, and all of them are capital.
fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

/// What the pattern matches, one after another.
fn found<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
    match Regex::new(pattern) {
        Ok(regex) => regex.find_iter(text).map_while(Result::ok).map(|m| m.as_str()).collect(),
        Err(_) => Vec::new(),
    }
}

/// How often a pattern matches that the data gave a part of; if that is no pattern, it is looked for as it is.
fn count(pattern: &str, plain: &str, text: &str) -> usize {
    match Regex::new(pattern) {
        Ok(regex) => regex.find_iter(text).map_while(Result::ok).count(),
        Err(_) => text.to_lowercase().matches(&plain.to_lowercase()).count(),
    }
}

fn split<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut from = 0;
    if let Ok(regex) = Regex::new(pattern) {
        for m in regex.find_iter(text).map_while(Result::ok) {
            parts.push(&text[from..m.start()]);
            from = m.end();
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Paragraphs that three asterisks part; the first and the last may be empty and do not count then.
fn paragraphs(number: i64, text: &str) -> bool {
    let parts = split(r"\s?\*\*\*\s?", text);
    let last = parts.len() - 1;
    let mut count = parts.len() as i64;
    for (at, part) in parts.iter().enumerate() {
        if part.trim().is_empty() {
            if at != 0 && at != last {
                return false;
            }
            count -= 1;
        }
    }
    count == number
}

/// Paragraphs that an empty line parts, and the first word of one of them.
fn paragraph_begins(number: i64, nth: i64, word: &str, text: &str) -> bool {
    let parts: Vec<&str> = text.split("\n\n").collect();
    let count = parts.iter().filter(|part| !part.trim().is_empty()).count() as i64;
    if nth < 1 || nth > count {
        return false;
    }
    let paragraph = parts[nth as usize - 1].trim();
    let Some(first) = paragraph.split_whitespace().next() else {
        return false;
    };
    let first = first.trim_start_matches('\'').trim_start_matches('"');
    let end = first.find(['.', ',', '?', '!', '\'', '"']).unwrap_or(first.len());
    count == number && first[..end].to_lowercase() == word
}

fn is_json(text: &str) -> bool {
    let mut text = text.trim();
    for prefix in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    text = text.strip_suffix("```").unwrap_or(text);
    serde_json::from_str::<Value>(text.trim()).is_ok()
}

fn two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").collect();
    let last = parts.len() - 1;
    let mut responses = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        match part.trim() {
            "" if at != 0 && at != last => return false,
            "" => {}
            response => responses.push(response),
        }
    }
    responses.len() == 2 && responses[0] != responses[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn instruction(id: &str, kwargs: Value) -> Instruction {
        Instruction { id: id.into(), kwargs: kwargs.as_object().cloned().unwrap_or_default() }
    }

    fn check(id: &str, kwargs: Value, answer: &str, strict: bool, loose: bool) {
        let (found, parts) = grade(&[instruction(id, kwargs)], answer);
        assert_eq!((parts[0].strict, parts[0].loose), (strict, loose), "{id}: {answer:?}");
        assert_eq!((found.right, found.skill), (strict, loose));
    }

    #[test]
    fn an_answer_is_judged_strictly_and_loosely() {
        check("startend:quotation", json!({}), "\"Yes.\"", true, true);
        check("startend:quotation", json!({}), "Sure:\n\"Yes.\"", false, true);
        check("punctuation:no_comma", json!({}), "a, b", false, false);
        check("detectable_format:json_format", json!({}), "```json\n{\"a\": [1]}\n```", true, true);
        check("detectable_format:json_format", json!({}), "Here:\n{\"a\": 1}", false, true);
        check("detectable_format:title", json!({}), "<<Poem>>\nx", true, true);
        check("detectable_format:title", json!({}), "<< >>", false, false);
        check(
            "detectable_format:number_highlighted_sections",
            json!({"num_highlights": 2}),
            "*a* and **b**",
            true,
            true,
        );
        check(
            "length_constraints:nth_paragraph_first_word",
            json!({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Weekend"}),
            "One.\n\n\"Weekend\" two.",
            true,
            true,
        );
        check(
            "keywords:frequency",
            json!({"keyword": "cat", "frequency": 2, "relation": "at least"}),
            "Cat, concatenate",
            true,
            true,
        );
        check(
            "keywords:forbidden_words",
            json!({"forbidden_words": ["cat"]}),
            "concat",
            true,
            true,
        );
        check("combination:two_responses", json!({}), "a\n******\nb", true, true);
        check("combination:two_responses", json!({}), "a\n******\na", false, false);
        check(
            "length_constraints:number_paragraphs",
            json!({"num_paragraphs": 2}),
            "a\n***\nb",
            true,
            true,
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |id: &str, kwargs: Value, problem: &str| {
            let error = instruction(id, kwargs).check().unwrap_err();
            assert!(error.contains(problem), "{error}");
        };
        check("length_constraints:number_words", json!({"num_words": 3}), "relation");
        check(
            "length_constraints:number_words",
            json!({"num_words": "x", "relation": "at least"}),
            "num_words",
        );
        check("keywords:existence", json!({"keywords": [1]}), "keywords");
        check(
            "keywords:frequency",
            json!({"keyword": "a", "frequency": 1, "relation": "most"}),
            "most",
        );
        check("x:y", json!({}), "x:y");
    }

    #[test]
    fn a_pattern_in_the_data_cannot_hang_or_fail() {
        let kwargs = json!({"keywords": ["(a+)+$", "c++", "("]});
        let answer = "a".repeat(5_000) + "b c++ (";
        grade(&[instruction("keywords:existence", kwargs)], &answer);
    }
}
