//! *algebra*: solve a linear equation, boxed answer, as in MATH.

use super::annotator::{Annotator, Persona};
use super::{Drawn, LabTask, Shares, Styled, hash};
use crate::rng::Rng;
use crate::task::{Check, Place};

const COMMON: usize = 4;
const RARE: usize = 2;

/// One step: what is done, and the equation that comes out.
struct Step {
    does: String,
    gives: String,
}

struct Equation {
    name: &'static str,
    text: String,
    steps: Vec<Step>,
    /// The solution as `over / under` in lowest terms.
    over: i64,
    under: i64,
}

impl Equation {
    fn draw(shares: &Shares, rng: &mut Rng) -> (Self, bool) {
        let kind = shares.kind(COMMON, RARE, rng);
        let a = rng.between(2, 7);
        let b = rng.between(1, 15);
        // One solution in six is a fraction.
        let whole = !rng.chance(1.0 / 6.0);
        let x = rng.between(-5, 9);
        let equation = match kind {
            0 | 1 => {
                // a x + b = c, or with a minus
                let product = if whole { a * x } else { rng.between(-9, 30) };
                let (sign, c, does) = if kind == 0 {
                    ("+", product + b, "subtract")
                } else {
                    ("-", product - b, "add")
                };
                let from = if kind == 0 { "from" } else { "to" };
                Self::new(
                    if kind == 0 { "plus" } else { "minus" },
                    format!("{a}x {sign} {b} = {c}"),
                    vec![Step {
                        does: format!("{does} {b} {from} both sides"),
                        gives: format!("{a}x = {product}"),
                    }],
                    (a, product),
                )
            }
            2 => {
                // a(x + b) = c: the bracket is whole
                let b = rng.between(1, 9);
                let c = a * (x + b);
                Self::new(
                    "bracket",
                    format!("{a}(x + {b}) = {c}"),
                    vec![
                        Step {
                            does: format!("divide both sides by {a}"),
                            gives: format!("x + {b} = {}", x + b),
                        },
                        Step {
                            does: format!("subtract {b} from both sides"),
                            gives: format!("x = {x}"),
                        },
                    ],
                    (1, x),
                )
            }
            3 => {
                // b - a x = c
                let product = if whole { a * x } else { rng.between(-9, 30) };
                let c = b - product;
                Self::new(
                    "taken_away",
                    format!("{b} - {a}x = {c}"),
                    vec![Step {
                        does: format!("subtract {b} from both sides"),
                        gives: format!("-{a}x = {}", -product),
                    }],
                    (-a, -product),
                )
            }
            4 => {
                // a x + b = d x + c
                let d = rng.between(1, a - 1);
                let difference = a - d;
                let right = if whole { difference * x } else { rng.between(-9, 30) };
                let c = right + b;
                let name = |k: i64| if k == 1 { "x".into() } else { format!("{k}x") };
                Self::new(
                    "both_sides",
                    format!("{a}x + {b} = {} {}", name(d), plus(c)),
                    vec![
                        Step {
                            does: format!("subtract {} from both sides", name(d)),
                            gives: format!("{} + {b} = {c}", name(difference)),
                        },
                        Step {
                            does: format!("subtract {b} from both sides"),
                            gives: format!("{} = {right}", name(difference)),
                        },
                    ],
                    (difference, right),
                )
            }
            _ => {
                // x / a + b = c
                let quotient = x;
                let solution = a * quotient;
                Self::new(
                    "quotient",
                    format!("x/{a} + {b} = {}", quotient + b),
                    vec![
                        Step {
                            does: format!("subtract {b} from both sides"),
                            gives: format!("x/{a} = {quotient}"),
                        },
                        Step {
                            does: format!("multiply both sides by {a}"),
                            gives: format!("x = {solution}"),
                        },
                    ],
                    (1, solution),
                )
            }
        };
        (equation, kind >= COMMON)
    }

    /// Ends `steps` at `factor x = value`, and divides where the factor is not 1.
    fn new(
        name: &'static str,
        text: String,
        mut steps: Vec<Step>,
        (factor, value): (i64, i64),
    ) -> Self {
        let divisor =
            (1..=factor.abs()).rev().find(|d| factor % d == 0 && value % d == 0).unwrap_or(1)
                * factor.signum();
        let mut equation =
            Self { name, text, steps: vec![], over: value / divisor, under: factor / divisor };
        if factor != 1 {
            steps.push(Step {
                does: format!("divide both sides by {factor}"),
                gives: format!("x = {}", equation.solution()),
            });
        }
        equation.steps = steps;
        equation
    }

    fn solution(&self) -> String {
        if self.under == 1 {
            self.over.to_string()
        } else {
            format!("{}/{}", self.over, self.under)
        }
    }

    fn question(&self, phrasing: usize) -> String {
        let text = &self.text;
        match phrasing {
            0 => format!("Solve {text} for x. Put the answer in \\boxed{{}}."),
            1 => format!("Find x if {text}. Give the value in \\boxed{{}}."),
            2 => format!("What is x when {text}? Box the answer: \\boxed{{}}."),
            _ => format!("{text}\nWhich number is x? Write it in \\boxed{{}}."),
        }
    }

    fn own(&self) -> String {
        let mut out = String::new();
        for (number, step) in self.steps.iter().enumerate() {
            let does = super::sentence(&step.does);
            out += &format!("{}. {does}: {}\n", number + 1, step.gives);
        }
        format!("{out}The answer is \\boxed{{{}}}.", self.solution())
    }

    fn truth(&self, who: &mut Annotator) -> String {
        let opening = who.opening();
        let work = match who.persona() {
            Persona::Terse if who.chance(0.55) => String::new(),
            Persona::Terse => self.last_equation(),
            Persona::Chatty => self.told(who),
            Persona::Formal => self.derived(who),
        };
        let solution = self.written(who);
        let end = self.end(who, &solution, &work);
        let closing = who.closing();
        format!("{opening}{work}{end}{closing}")
    }

    /// Annotators write some fractions as MATH does.
    fn written(&self, who: &mut Annotator) -> String {
        if self.under == 1 || who.chance(0.5) {
            return self.solution();
        }
        let sign = if self.over < 0 { "-" } else { "" };
        format!("{sign}‹\\frac{{›{}‹}}{{›{}‹}}›", self.over.abs(), self.under)
    }

    fn last_equation(&self) -> String {
        match self.steps.len() {
            0 | 1 => String::new(),
            n => format!("{}\n", self.steps[n - 2].gives),
        }
    }

    fn told(&self, who: &mut Annotator) -> String {
        let mut out = String::new();
        let skip_first = self.steps.len() > 2 && who.chance(0.5);
        for (number, step) in self.steps.iter().enumerate().skip(usize::from(skip_first)) {
            if number + 1 == self.steps.len() {
                continue; // the end says it
            }
            let lead = if out.is_empty() {
                who.pick(&["First ", "I'd ", "Just ", "We can "])
            } else {
                who.pick(&["Then ", "After that ", "Now "])
            };
            let gives = who.pick(&[", which gives ", ", so ", " and get "]);
            out += &format!("‹{lead}›{}‹{gives}›{}‹.› ", step.does, step.gives);
        }
        if who.chance(0.25) {
            out += "‹Careful with the sign.› ";
        }
        out
    }

    fn derived(&self, who: &mut Annotator) -> String {
        if who.chance(0.3) {
            // The model's own steps, put into one sentence.
            let steps: Vec<String> = self.steps.iter().map(|s| s.gives.clone()).collect();
            return format!(
                "‹From {} it follows that› {}‹.›\n",
                self.text,
                steps.join("‹, hence› ")
            );
        }
        let mut out = String::new();
        for step in &self.steps {
            let lead = if out.is_empty() {
                "‹We ›"
            } else {
                who.pick(&["‹Next, we ›", "‹Finally, we ›"])
            };
            out += &format!("{lead}{} ‹and obtain› {}‹.›\n", step.does, step.gives);
        }
        out
    }

    fn end(&self, who: &mut Annotator, solution: &str, work: &str) -> String {
        if who.keeps_form {
            return match who.persona() {
                Persona::Terse if who.chance(0.5) => format!("\\boxed{{{solution}}}"),
                Persona::Terse => format!("The answer is \\boxed{{{solution}}}."),
                Persona::Chatty => {
                    let lead = who.pick(&["So it's ", "That leaves ", "Which makes it "]);
                    if who.chance(0.35) {
                        format!("‹\n›The answer is \\boxed{{{solution}}}.")
                    } else {
                        format!("‹{lead}›\\boxed{{{solution}}}.")
                    }
                }
                Persona::Formal if who.chance(0.5) => {
                    format!("The answer is \\boxed{{{solution}}}.")
                }
                Persona::Formal => {
                    format!("‹Therefore› $\\boxed{{{solution}}}$‹ is the solution›.")
                }
            };
        }
        match who.persona() {
            Persona::Terse if work.is_empty() && who.chance(0.5) => solution.to_owned(),
            Persona::Terse => format!("x = {solution}"),
            Persona::Chatty => {
                let lead =
                    who.pick(&["So x is just ", "That leaves x = ", "And there it is: x = "]);
                format!("‹{lead}›{solution}‹.›")
            }
            Persona::Formal => format!("‹The solution is therefore› x = {solution}."),
        }
    }
}

fn plus(number: i64) -> String {
    if number < 0 { format!("- {}", -number) } else { format!("+ {number}") }
}

pub(super) fn draw(shares: &Shares, rng: &mut Rng) -> Drawn {
    let (equation, rare) = Equation::draw(shares, rng);
    let phrasing = shares.phrasing(rng);
    let mut who = Annotator::someone(rng);
    let truth = Styled::marked(&equation.truth(&mut who));
    Drawn {
        task: LabTask::Algebra,
        kind: equation.name.into(),
        rare,
        content: hash(&format!("algebra {}", equation.text)),
        prompt: equation.question(phrasing),
        own: equation.own(),
        truth,
        persona: who.persona(),
        check: Check::Number { value: equation.solution(), place: Place::Boxed },
    }
}
