//! What the program says: on stdout what was asked for, on stderr the rest. Nothing in it steers the terminal but its own colors, and nothing
//! panics when nobody can be told.

use clap::ValueEnum;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use unforget::error::{Error, Plain, Result};
use unforget::progress;
use unforget::table::{Layout, Table, WIDTH};

/// When signs, verdicts and headings are colored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// Where stdout is a terminal and `NO_COLOR` is not set
    Auto,
    /// Into files and pipes as well
    Always,
    /// Nowhere
    Never,
}

impl Color {
    /// Whether stdout gets colors.
    pub fn wanted(self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }
}

/// How tables are printed; the first call decides.
static LAYOUT: OnceLock<Layout> = OnceLock::new();

/// Prints tables as wide as the terminal, or with all columns if they are `wide` or no terminal shows them.
pub fn set_layout(color: Color, wide: bool) {
    let all = Layout::plain(WIDTH);
    let layout = match progress::stdout_columns() {
        Some(width) if !wide => Layout { width, fit: true, ..all },
        _ => all,
    };
    let _ = LAYOUT.set(Layout { color: color.wanted(), ..layout });
}

/// How tables are printed.
pub fn layout() -> Layout {
    LAYOUT.get().copied().unwrap_or(Layout::plain(WIDTH))
}

/// Prints a table with its title and legend.
pub fn print_table(table: &Table) {
    print_painted(&table.text_in(layout()));
}

/// Prints a table's headings and rows. Where no terminal is known they are as long as they are.
pub fn print_lines(table: &Table) {
    let Layout { width, fit, color } = layout();
    let width = if fit { width } else { usize::MAX };
    print_painted(&table.lines_in(Layout { width, fit, color }));
}

/// Prints text that has no control characters but the colors of this program.
pub fn print_painted(text: &str) {
    end_if_lost(io::stdout().lock().write_all(text.as_bytes()));
}

/// How a piece of text is told from the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A heading, a name, the finding.
    Bold,
    /// Right, or more.
    Green,
    /// Wrong, or less.
    Red,
}

/// Text in this style where stdout gets colors.
pub fn paint(text: &str, style: Style) -> String {
    if layout().color { styled(text, style) } else { text.to_owned() }
}

fn styled(text: &str, style: Style) -> String {
    let code = match style {
        Style::Bold => 1,
        Style::Green => 32,
        Style::Red => 31,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// Help with its headings and options in bold: they begin a line, or stand after two blanks in it.
pub fn painted_help(text: &str) -> String {
    let line = |line: &str| {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let name = match text.find("  ") {
            _ if indent == 0 && (text.ends_with(':') || text.starts_with("Usage: ")) => {
                text.find(':').map_or(0, |colon| colon + 1)
            }
            Some(end) if (2..=6).contains(&indent) => end,
            None if (2..=6).contains(&indent) && text.starts_with('-') => text.len(),
            _ => 0,
        };
        let (name, rest) = text.split_at(name);
        let name = if name.is_empty() { String::new() } else { styled(name, Style::Bold) };
        format!("{}{name}{rest}\n", &line[..indent])
    };
    text.lines().map(line).collect()
}

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
    use super::{escaped, painted_help};

    #[test]
    fn help_has_bold_headings_and_names_and_is_else_the_same() {
        let help = "Does.\n\nUsage: x [OPTIONS]\n\nOptions:\n      --rate <RATE>  Peak\n                     rate\n  -h, --help\n";
        let painted = painted_help(help);
        for bold in ["Usage:", "Options:", "--rate <RATE>", "-h, --help"] {
            assert!(painted.contains(&format!("\u{1b}[1m{bold}\u{1b}[0m")), "{bold}: {painted:?}");
        }
        assert_eq!(painted.matches("\u{1b}[1m").count(), 4, "{painted:?}");
        assert_eq!(painted.replace("\u{1b}[1m", "").replace("\u{1b}[0m", ""), help);
    }

    #[test]
    fn control_characters_are_escapes_of_json() {
        let text = "\u{1b}[31m\u{7f}\u{9b}2Jé\n";
        let json = escaped(&serde_json::to_string_pretty(text).unwrap());
        assert!(!json.chars().any(char::is_control), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
