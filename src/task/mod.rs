//! How an answer is graded. [`crate::benchmark`] says what is asked.
//!
//! An [`Item`] is one question with its reference answer and what is needed to grade an answer. [`Item::grade`] returns a
//! [`Score`] that tells a wrong answer from a lost form: much of what is called forgetting may be lost form.
//!
//! ```
//! use unforget::task::{Check, Form, Item, Place};
//! let item = Item {
//!     id: "word/test/1".into(),
//!     prompt: "What is 2 + 3? End with Answer: N.".into(),
//!     truth: "Answer: 5".into(),
//!     style: vec![],
//!     check: Check::Number { value: "5".into(), place: Place::AnswerLine },
//! };
//! let score = item.grade("That makes 5.", false);
//! assert_eq!((score.value, score.skill, score.form), (0.0, 1.0, Form::NoParse));
//! ```

mod choice;
mod code;
mod cpython;
mod fence;
mod follow;
mod grader;
mod gsm8k;
mod instructions;
mod letter;
mod likelihood;
mod math;
pub mod minipy;
mod number;
#[cfg(feature = "sql")]
mod query;
#[cfg(feature = "sql")]
mod sql;
#[cfg(not(feature = "sql"))]
#[path = "without_sql.rs"]
mod sql;
mod text;

pub use cpython::Extraction;
pub(crate) use cpython::defined_names;
pub use grader::graders;
pub use instructions::Instruction;
pub use likelihood::{Accuracy, Likelihood};

use crate::error::{Error, Result};
use crate::sandbox;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One question of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Unique within its task and split, such as `code/train/17`.
    pub id: String,
    /// What the user asks: the content of the one user turn.
    pub prompt: String,
    /// The reference answer, as a person wrote it: the content of the assistant's turn.
    pub truth: String,
    /// Where in `truth` the writer's own style shows, as ranges of bytes `[start, end)`: text that another writer with the same
    /// content would have put otherwise. Empty where it is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub style: Vec<(usize, usize)>,
    /// What a right answer has to do.
    pub check: Check,
}

/// What a right answer has to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// A number of this exact value in the place that was asked for. Skill: the last number of the text is right.
    Number {
        /// The exact value, such as `-3` or `5/2`.
        value: String,
        /// Where it is asked for.
        #[serde(default)]
        place: Place,
    },
    /// The letter of one option on the last line `Answer: X`. Skill: the last option that the text names, by letter or by its
    /// words, and does not deny is right.
    Choice {
        /// The right option's letter; options are lettered from `A`.
        letter: char,
        /// The options' texts, in order.
        options: Vec<String>,
    },
    /// A function in a fenced block that passes every test, in the language of [`minipy`]. Skill: a function that passes is
    /// there in any form.
    Code {
        /// The tests, all of which must hold.
        tests: Vec<CodeTest>,
    },
    /// Python that passes tests, run by the machine's `python3` in a child that can do no harm: see [`crate::sandbox`]. Skill: code
    /// that passes is there in any form.
    Python {
        /// Statements that must run without an exception, such as `assert f(2) == 4`.
        tests: Vec<String>,
        /// Statements that come after the solution and before the tests.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        before: Vec<String>,
        /// Code in front of the answer's.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
        /// Names that the tests take from the answer.
        own: Vec<String>,
        /// How the code is found in the answer.
        #[serde(default)]
        extraction: Extraction,
    },
    /// A query that gives the same rows as the reference query: in a fenced block, or as the whole answer. Rows are
    /// compared as a multiset, in order where the reference says `ORDER BY`. Skill: a query anywhere in the text gives them.
    Sql {
        /// `CREATE` and `INSERT` statements that make the database.
        script: String,
        /// The reference query.
        query: String,
    },
    /// Words in the right order, case and separator on the last line `Answer: ...`. Skill: the words stand one after another
    /// in the right order, in any case and with any separator.
    Follow {
        /// The words in the order that was asked for.
        words: Vec<String>,
        /// How they are to be written.
        case: Case,
        /// What is to stand between them, such as `", "`.
        separator: String,
    },
    /// An expression of mathematics that equals the reference, such as `\\frac{\\sqrt{2}}{2}`. Skill: the last box, formula or number
    /// of the text equals it.
    Math {
        /// The reference, in LaTeX.
        answer: String,
        /// Whose rule says what is taken for the answer.
        #[serde(default)]
        grading: Grading,
        /// Which of several marked answers counts, by the robust rule.
        #[serde(default)]
        take: Take,
    },
    /// The number that ends a worked solution of GSM8K. Skill: the last number of the text is right.
    Gsm8k {
        /// The reference, such as `1,200`.
        answer: String,
        /// Whose rule says what is taken for the answer.
        #[serde(default)]
        grading: Grading,
        /// Which of several marked answers counts, by the robust rule.
        #[serde(default)]
        take: Take,
    },
    /// The label of one option, as in ARC and MMLU. Skill: the last option that the text names, by letter or by its words, and does not
    /// deny is right.
    Letter {
        /// The right option's label.
        key: String,
        /// The labels in order: letters, or numbers from 1.
        labels: Vec<String>,
        /// The options' texts, in order.
        options: Vec<String>,
        /// Whose rule says what is taken for the answer.
        #[serde(default)]
        grading: Grading,
        /// Which of several marked answers counts, by the robust rule.
        #[serde(default)]
        take: Take,
    },
    /// One of several options, by how probable the model finds each of them behind the question: nothing is written. This is
    /// lm-evaluation-harness's `multiple_choice`, and the fields have its names. A written answer is right where it is the right option,
    /// word for word.
    Likelihood {
        /// The right option's place, from 0.
        gold: usize,
        /// The options, as they stand behind the question.
        options: Vec<String>,
        /// What comes before the question: with the chat template a message of the system.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        description: String,
        /// What stands between the question and an option. With the chat template nothing does, unless the answer is begun.
        #[serde(default = "space")]
        target_delimiter: String,
        /// How the answer is begun for the model, such as `Answer:`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        gen_prefix: String,
        /// Which option is taken.
        #[serde(default)]
        measure: Accuracy,
        /// Whether the question is put by the model's chat template.
        #[serde(default)]
        apply_chat_template: bool,
    },
    /// A query that gives the same rows as the reference query on a database file. Skill: another fenced query of the text does.
    Database {
        /// The SQLite file; it is only read.
        file: PathBuf,
        /// The file's hash, so that a changed database is another item.
        sha256: String,
        /// The reference query.
        query: String,
        /// When rows are the same.
        rows: RowRule,
        /// Whose rule says what is taken for the query; lm-evaluation-harness has none.
        #[serde(default)]
        grading: Grading,
    },
    /// IFEval's verifiable instructions, all of which must be followed strictly. Skill: all are followed loosely.
    Instructions {
        /// The instructions.
        instructions: Vec<Instruction>,
    },
}

/// What lm-evaluation-harness puts between a question and an option.
fn space() -> String {
    " ".into()
}

/// Whose rule says what in an answer is taken for the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grading {
    /// Ours: what is marked as the answer in any usual way, compared by value.
    #[default]
    Robust,
    /// The paper's code, its oddities included.
    Paper,
    /// lm-evaluation-harness.
    Harness,
}

/// Which of several marked answers counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// The first one.
    First,
    /// The last one.
    #[default]
    Last,
}

/// When two results of queries are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowRule {
    /// As sets of rows: order and repetition do not count. BIRD's execution accuracy.
    Bird,
    /// The same rows equally often, in order where the reference says `ORDER BY`, columns in any order, `DISTINCT` ignored.
    /// Execution match of Spider's test-suite evaluation.
    Spider,
}

/// Where a number is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the last line `Answer: N`, as in simple-evals.
    #[default]
    AnswerLine,
    /// In the last `\boxed{N}`, as in MATH.
    Boxed,
}

/// How words are to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// `APPLE`
    Capitals,
    /// `apple`
    Small,
    /// `Apple`
    First,
}

impl Case {
    /// `word` in this case.
    pub fn write(self, word: &str) -> String {
        match self {
            Self::Capitals => word.to_uppercase(),
            Self::Small => word.to_lowercase(),
            Self::First => {
                let mut letters = word.chars();
                letters.next().map_or_else(String::new, |first| {
                    first.to_uppercase().collect::<String>() + &letters.as_str().to_lowercase()
                })
            }
        }
    }
}

/// One test of a [`Check::Code`]: the value of `call` must equal that of `expected`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeTest {
    /// An expression such as `f([1, 2])`.
    pub call: String,
    /// An expression without names, such as `[2, 4]`.
    pub expected: String,
}

/// Whether an answer keeps the form in which it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// An answer was found where it belongs, and its form did not cost it the score.
    Kept,
    /// There is text, but no answer where it belongs, or the right one is there in another form.
    NoParse,
    /// The answer ran into the length limit before an answer was found.
    Truncated,
    /// Nothing but white space.
    Empty,
}

/// The grade of one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// 1 for a right answer in the right form, else 0.
    pub value: f64,
    /// 1 if the right answer is there in any form, else 0: the ability apart from the form. Never below `value`.
    pub skill: f64,
    /// Whether the form was kept.
    pub form: Form,
    /// What was taken for the answer.
    pub extracted: Option<String>,
    /// One sentence that says why this grade.
    pub why: String,
    /// The grades of an answer's parts, where a check has several: IFEval's instructions, and the [`Accuracy`]s of options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// The grade of one part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is, such as `punctuation:no_comma`.
    pub name: String,
    /// Whether the answer as it is passes.
    pub strict: bool,
    /// Whether a version of the answer passes.
    pub loose: bool,
}

/// What a grader found, before it becomes a [`Score`].
struct Found {
    /// The answer in its place, if there is one.
    extracted: Option<String>,
    /// Whether it is right.
    right: bool,
    /// Whether a right answer is there in any form.
    skill: bool,
    why: String,
}

impl Check {
    /// Whether this machine can grade such an answer.
    ///
    /// # Errors
    /// Names the program that is missing or cannot be confined, and the way out.
    pub fn ready(&self) -> Result<()> {
        match self {
            Self::Python { .. } => sandbox::Python::find().map(|_| ()),
            Self::Sql { .. } | Self::Database { .. } => sql::ready(),
            _ => Ok(()),
        }
    }
}

impl Check {
    /// Whether there is an answer that is right: whoever reads items refuses those of which none can be.
    ///
    /// References of Python are not run: only that there is something to pass is looked at.
    ///
    /// # Errors
    /// Says why no answer can match the reference.
    pub fn check_reference(&self) -> std::result::Result<(), String> {
        let right = |found: Found| found.right;
        let wrong = |problem: String| Err(format!("{problem}, so that no answer can be right"));
        match self {
            Self::Number { value, .. } if number::exact(value).is_none() => {
                wrong(format!("the reference value {value:?} is no number"))
            }
            Self::Gsm8k { answer, grading, take } => {
                let given = format!("#### {answer}\nThe answer is {answer}.");
                let alone = format!("#### {answer}");
                let matched = [alone, given]
                    .iter()
                    .any(|given| right(gsm8k::grade(answer, *grading, *take, given)));
                if matched && gsm8k::readable_gold(answer) {
                    Ok(())
                } else {
                    wrong(format!("the reference answer {answer:?} is read as no number"))
                }
            }
            Self::Math { answer, .. } if !math::readable_gold(answer) => {
                wrong(format!("the reference answer {answer:?} is empty or cannot be read"))
            }
            Self::Letter { labels, options, .. } if labels.len() != options.len() => {
                let (labels, options) = (labels.len(), options.len());
                wrong(format!("there are {labels} labels for {options} options"))
            }
            Self::Letter { key, labels, .. } if !labels.contains(key) => {
                wrong(format!("the key {key:?} is none of the labels {}", labels.join(", ")))
            }
            Self::Likelihood { gold, options, .. } => likelihood::check(*gold, options),
            Self::Choice { letter, options } => {
                let letters: Vec<char> = ('A'..='Z').take(options.len()).collect();
                if letters.contains(letter) {
                    Ok(())
                } else {
                    wrong(format!(
                        "the letter {letter:?} is none of the {} options, which are lettered from A",
                        options.len()
                    ))
                }
            }
            Self::Code { tests } if tests.is_empty() => wrong("there are no tests to pass".into()),
            Self::Code { tests } => {
                let empty = minipy::Program::parse("").map_err(|problem| problem.to_string())?;
                // an expected value is written without names, so it is its own value
                for CodeTest { call, expected } in tests {
                    if let Err(problem) = empty.evaluate(expected) {
                        return wrong(format!(
                            "what is expected of {call}, {expected:?}, is no value of minipy ({problem}; \
                             the kind `python` takes all that CPython knows)"
                        ));
                    }
                }
                Ok(())
            }
            Self::Python { tests, .. } if tests.iter().all(|test| test.trim().is_empty()) => {
                wrong("there are no tests to pass".into())
            }
            Self::Sql { script, query } => {
                let answer = format!("```sql\n{query}\n```");
                let found =
                    sql::grade(sql::Source::Script(script), query, Grading::Robust, &answer);
                if found.right { Ok(()) } else { wrong(found.why.trim_end_matches('.').to_owned()) }
            }
            Self::Database { file, query, rows, .. } => {
                sql::runs(sql::Source::File(file, *rows), query).or_else(|problem| {
                    wrong(format!("the reference query does not run ({problem})"))
                })
            }
            Self::Follow { words, .. } if words.is_empty() => {
                wrong("there are no words to put in order".into())
            }
            Self::Instructions { instructions } if instructions.is_empty() => {
                wrong("there is no instruction to follow".into())
            }
            Self::Instructions { instructions } => {
                instructions.iter().try_for_each(Instruction::check)
            }
            _ => Ok(()),
        }
    }
}

impl Item {
    /// As [`Check::check_reference`].
    ///
    /// # Errors
    /// Says why no answer can match the reference.
    pub fn check_reference(&self) -> std::result::Result<(), String> {
        self.check.check_reference()
    }

    /// Grades `answer`; `truncated` says that it ran into the length limit.
    ///
    /// The grade is a function of the item and the answer alone. Nothing that an answer contains can hang, fail or leave the
    /// grader: code runs in [`minipy`] or [`crate::sandbox`], SQL in a database of its own in memory or on a file that is only read, all
    /// with limits. Where the machine cannot grade (see [`Item::try_grade`]), the score is 0 and says so.
    pub fn grade(&self, answer: &str, truncated: bool) -> Score {
        self.try_grade(answer, truncated).unwrap_or_else(|error| Score {
            value: 0.0,
            skill: 0.0,
            form: Form::NoParse,
            extracted: None,
            why: format!("Not graded: {error}."),
            parts: Vec::new(),
        })
    }

    /// As [`Item::grade`], for those who would rather stop than count what was not graded as wrong.
    ///
    /// # Errors
    /// The item needs a program that this machine lacks or cannot confine, or its own tests cannot be run.
    pub fn try_grade(&self, answer: &str, truncated: bool) -> Result<Score> {
        if answer.trim().is_empty() {
            return Ok(Score {
                value: 0.0,
                skill: 0.0,
                form: Form::Empty,
                extracted: None,
                why: "The answer is empty.".into(),
                parts: match &self.check {
                    Check::Instructions { instructions } => {
                        instructions::grade(instructions, answer).1
                    }
                    _ => Vec::new(),
                },
            });
        }
        let mut parts = Vec::new();
        let found = match &self.check {
            Check::Number { value, place } => number::grade(value, *place, answer),
            Check::Choice { letter, options } => choice::grade(*letter, options, answer),
            Check::Code { tests } => code::grade(tests, answer),
            Check::Python { tests, before, prefix, own, extraction } => {
                cpython::Program { tests, before, prefix, own, extraction: *extraction }
                    .grade(answer)
                    .map_err(|error| {
                        Error::invalid(format!("item {}", self.id), error.to_string())
                    })?
            }
            Check::Sql { script, query } => {
                sql::grade(sql::Source::Script(script), query, Grading::Robust, answer)
            }
            Check::Follow { words, case, separator } => {
                follow::grade(words, *case, separator, answer)
            }
            Check::Math { answer: gold, grading, take } => {
                math::grade(gold, &self.prompt, *grading, *take, answer)
            }
            Check::Gsm8k { answer: gold, grading, take } => {
                gsm8k::grade(gold, *grading, *take, answer)
            }
            Check::Letter { key, labels, options, grading, take } => {
                let texts = options;
                let options = letter::Options { key, labels, texts };
                letter::grade(&options, *grading, *take, answer)
            }
            Check::Likelihood { gold, options, .. } => likelihood::grade(*gold, options, answer),
            Check::Database { file, query, rows, grading, .. } => {
                sql::grade(sql::Source::File(file, *rows), query, *grading, answer)
            }
            Check::Instructions { instructions } => {
                let (found, of_parts) = instructions::grade(instructions, answer);
                parts = of_parts;
                found
            }
        };
        // what is right but for its form has not kept it, whatever stands in its place
        let form = match (&found.extracted, truncated) {
            (Some(_), _) if found.right || !found.skill => Form::Kept,
            (_, true) => Form::Truncated,
            (_, false) => Form::NoParse,
        };
        Ok(Score {
            value: f64::from(u8::from(found.right)),
            skill: f64::from(u8::from(found.right || found.skill)),
            form,
            extracted: found.extracted,
            why: found.why,
            parts,
        })
    }
}

/// Whether two answers of mathematics say the same: rationals exactly, other expressions by their values at several points, units
/// and words around a number left out. Lists of values are the same in the same order only; where [`Item::grade`] knows the
/// question, order counts only if that asks for one.
///
/// ```
/// use unforget::task::same_math;
/// assert!(same_math("\\frac{\\sqrt{2}}{2}", "1/\\sqrt2"));
/// assert!(!same_math("\\frac13", "0.33"));
/// ```
pub fn same_math(gold: &str, given: &str) -> bool {
    math::equal(gold, given, math::Lists::InOrder)
}

/// What is boxed or otherwise stands last as the answer in a text of mathematics, such as a reference solution.
pub fn final_math(text: &str) -> Option<String> {
    math::anywhere(text)
}

/// The `CREATE` statements of the tables in an SQLite file, in their order.
///
/// # Errors
/// Says what SQLite says.
pub fn table_definitions(file: &Path) -> std::result::Result<Vec<String>, String> {
    sql::table_definitions(file)
}

/// The user turn of a Rephrase request: a model is shown a question with a reference answer and writes an answer of its own.
///
/// The structure is the paper's (its section 2.3, after self-distillation: an instruction, then three headed sections); the words
/// are ours.
///
/// ```
/// let request = unforget::task::rephrase_prompt("What is 2 + 3?", "5, of course.");
/// assert!(request.ends_with("### Response:"));
/// ```
pub fn rephrase_prompt(prompt: &str, reference: &str) -> String {
    format!(
        "Answer the instruction in your own words. The reference is right.\n### Instruction:\n{prompt}\n### Reference Answer:\n{reference}\n### Response:"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_white_space_is_empty_even_if_it_was_cut() {
        let item = Item {
            id: "x".into(),
            prompt: "?".into(),
            truth: "Answer: 1".into(),
            style: vec![],
            check: Check::Number { value: "1".into(), place: Place::AnswerLine },
        };
        assert_eq!(item.grade(" \n ", true).form, Form::Empty);
        assert_eq!(item.grade("so we take", true).form, Form::Truncated);
        assert_eq!(item.grade("so we take", false).form, Form::NoParse);
        // A complete answer counts even if what follows it was cut off.
        let score = item.grade("Answer: 1\nThis is beca", true);
        assert_eq!((score.form, score.value), (Form::Kept, 1.0));
    }

    #[test]
    fn an_item_survives_json() {
        let item = Item {
            id: "choice/test/0".into(),
            prompt: "Which?".into(),
            truth: "Answer: B".into(),
            style: vec![(0, 3)],
            check: Check::Choice { letter: 'B', options: vec!["cat".into(), "dog".into()] },
        };
        let json = serde_json::to_string(&item).expect("an item is plain data");
        assert_eq!(serde_json::from_str::<Item>(&json).expect("as written"), item);
    }
}
