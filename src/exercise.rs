//! Exercises of the notebooks: the cell says what has to hold, computed from what a reader's lines gave, not written down beforehand.
//!
//! ```
//! use unforget::exercise::check;
//! let share = 15.7;
//! let judgment = check(
//!     format!("The rule masks {share} % of the tokens"),
//!     &[(share >= 9.0, "too few; a lower threshold masks more"), (share <= 11.0, "too many; a higher threshold masks fewer")],
//! );
//! assert!(!judgment.right);
//! assert_eq!(judgment.why, "The rule masks 15.7 % of the tokens: too many; a higher threshold masks fewer.");
//! ```

use std::fmt::Display;

/// Whether an answer to an exercise holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgment {
    /// Whether it holds.
    pub right: bool,
    /// Why, or what to try.
    pub why: String,
}

/// Judges what was `found` by `conditions`, each with what to try where it does not hold; the first that does not is said.
pub fn check(found: impl Display, conditions: &[(bool, &str)]) -> Judgment {
    match conditions.iter().find(|(holds, _)| !holds) {
        Some((_, hint)) => Judgment { right: false, why: format!("{found}: {hint}.") },
        None => Judgment { right: true, why: format!("{found}.") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_condition_that_does_not_hold_is_said() {
        let judge = |one, other| check("4 tokens", &[(one, "too few"), (other, "too many")]);
        assert_eq!(judge(false, false).why, "4 tokens: too few.");
        assert_eq!(
            judge(true, false),
            Judgment { right: false, why: "4 tokens: too many.".into() }
        );
        assert_eq!(judge(true, true), Judgment { right: true, why: "4 tokens.".into() });
    }
}
