//! What the program says: on stdout what was asked for, on stderr the rest. Nothing in it steers the terminal, and nothing panics when nobody
//! can be told.

use std::fmt;
use std::io::{self, Write};
use unforget::error::{Error, Plain, Result};

/// Prints a line on stdout.
macro_rules! say {
    () => { $crate::cli::terminal::print(format_args!("\n")) };
    ($($part:tt)*) => { $crate::cli::terminal::print(format_args!("{}\n", format_args!($($part)*))) };
}

/// Prints lines on stdout that bring their own ends.
macro_rules! show {
    ($($part:tt)*) => { $crate::cli::terminal::print(format_args!($($part)*)) };
}

/// Prints a line on stderr.
macro_rules! tell {
    ($($part:tt)*) => { $crate::cli::terminal::note(format_args!($($part)*)) };
}

pub(super) use {say, show, tell};

/// Prints on stdout; see [`end_if_lost`].
pub fn print(text: fmt::Arguments<'_>) {
    end_if_lost(write!(io::stdout().lock(), "{}", Plain(text)));
}

/// Prints a line on stderr; when that is gone there is nobody left to tell.
pub fn note(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{}", Plain(text));
}

/// Prints a value as JSON for machines. Every control character is one of JSON's escapes, so a terminal shows it and a reader gets it back.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(Error::library("writing JSON"))?;
    print(format_args!("{}\n", escaped(&text)));
    Ok(())
}

/// serde escapes those below U+0020 only; outside of strings JSON has no others.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// Ends the program where stdout cannot be written: with an error, or quietly where a reader such as `head` has seen enough. What the verb
/// writes to files is there by then.
pub fn end_if_lost(written: io::Result<()>) {
    let Err(error) = written else { return };
    if error.kind() != io::ErrorKind::BrokenPipe {
        note(format_args!(
            "error: standard output: writing failed: {error}; files that the call writes are there, only what it prints is lost"
        ));
    }
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn control_characters_are_escapes_of_json() {
        let text = "\u{1b}[31m\u{7f}\u{9b}2Jé\n";
        let json = escaped(&serde_json::to_string_pretty(text).unwrap());
        assert!(!json.chars().any(char::is_control), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
