use serde::{Deserialize, Serialize};

/// What kind of text a token is.
///
/// `numbers`, `symbols` and `words` are the classes of the paper's Figures 8 to 10, which say no rule; the one here is that of
/// [`TokenClass::of`]. The others are taken out of them because they turn out to be masked for other reasons: a carriage return or a code
/// fence is a matter of format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenClass {
    /// Has a letter.
    Words,
    /// Has a digit and no letter.
    Numbers,
    /// Has neither, but something that is seen: punctuation, operators, brackets.
    Symbols,
    /// Nothing but white space: spaces, tabs, new lines.
    Whitespace,
    /// Has a carriage return, whatever else it has.
    CarriageReturn,
    /// Has two back-ticks in a row, whatever else it has: a code fence or a piece of one.
    CodeFence,
    /// The token with which an answer ends.
    EndOfTurn,
    /// Any other special token: what a user's text does not consist of.
    Special,
    /// No whole character of the text: an added token, or bytes that no character can be made of.
    Fragment,
}

impl TokenClass {
    /// Every class with its name, in the order in which tables show them.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("words", Self::Words),
        ("numbers", Self::Numbers),
        ("symbols", Self::Symbols),
        ("whitespace", Self::Whitespace),
        ("carriage_return", Self::CarriageReturn),
        ("code_fence", Self::CodeFence),
        ("end_of_turn", Self::EndOfTurn),
        ("special", Self::Special),
        ("fragment", Self::Fragment),
    ];

    /// The class of a token by its `text` as it stands in the rendered conversation, leading space included; the first rule that holds
    /// decides:
    ///
    /// 1. `special` tokens are [`Special`](Self::Special); which of them ends the turn is not a matter of text, so callers who know it
    ///    say [`EndOfTurn`](Self::EndOfTurn) themselves (`Sequence::classes`);
    /// 2. a carriage return in it: [`CarriageReturn`](Self::CarriageReturn);
    /// 3. two back-ticks in a row: [`CodeFence`](Self::CodeFence);
    /// 4. empty, or nothing but the replacement character: [`Fragment`](Self::Fragment);
    /// 5. only white space: [`Whitespace`](Self::Whitespace);
    /// 6. a letter of any script: [`Words`](Self::Words), so `x2` and `'s` are words;
    /// 7. a digit of any script: [`Numbers`](Self::Numbers), so ` 3.` and `-1` are numbers;
    /// 8. else [`Symbols`](Self::Symbols).
    ///
    /// ```
    /// use unforget::select::TokenClass;
    /// assert_eq!(TokenClass::of(" return", false), TokenClass::Words);
    /// assert_eq!(TokenClass::of("):\r\n", false), TokenClass::CarriageReturn);
    /// assert_eq!(TokenClass::of("<|eot_id|>", true), TokenClass::Special);
    /// ```
    pub fn of(text: &str, special: bool) -> Self {
        if special {
            Self::Special
        } else if text.contains('\r') {
            Self::CarriageReturn
        } else if text.contains("``") {
            Self::CodeFence
        } else if text.chars().all(|c| c == char::REPLACEMENT_CHARACTER) {
            Self::Fragment
        } else if text.chars().all(char::is_whitespace) {
            Self::Whitespace
        } else if text.chars().any(char::is_alphabetic) {
            Self::Words
        } else if text.chars().any(char::is_numeric) {
            Self::Numbers
        } else {
            Self::Symbols
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// The class called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_own_name_and_place() {
        for (place, (name, class)) in TokenClass::NAMES.into_iter().enumerate() {
            assert_eq!(class as usize, place);
            assert_eq!(class.name(), name);
            assert_eq!(TokenClass::named(name), Some(class));
        }
        assert_eq!(TokenClass::named("verbs"), None);
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let check = |text: &str, class| assert_eq!(TokenClass::of(text, false), class, "{text:?}");
        check(" the", TokenClass::Words);
        check("x2", TokenClass::Words);
        check("é", TokenClass::Words);
        check("中", TokenClass::Words);
        check(" 3.", TokenClass::Numbers);
        check("½", TokenClass::Numbers);
        check(" (", TokenClass::Symbols);
        check("`", TokenClass::Symbols);
        check("```", TokenClass::CodeFence);
        check("```python\n", TokenClass::CodeFence);
        check("\n\n    ", TokenClass::Whitespace);
        check(" \r\n", TokenClass::CarriageReturn);
        check("```\r\n", TokenClass::CarriageReturn);
        check("", TokenClass::Fragment);
        check("\u{fffd}\u{fffd}", TokenClass::Fragment);
    }
}
