//! `help("Scored")` in a cell: what a name of the prelude is, and what can be called on it.
//!
//! The kernel completes no names of this crate, since it cannot look into the shared library that cells see. What is shown here was gathered
//! from the sources; a test gathers it again and compares.

use super::{Media, Show, escaped};
use std::fmt::Write as _;

/// `# Name`, a line that says what it is, then a line for each field and function: its signature, a tab, what it says of itself.
const ALL: &str = include_str!("help.txt");

/// What [`help`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    title: String,
    about: String,
    /// Signature and first sentence.
    entries: Vec<(&'static str, &'static str)>,
}

/// What `name` is and what can be called on it; an empty name, or one that the prelude does not have, lists all.
///
/// ```
/// use unforget::display::{Show, help};
/// assert!(help("Scored").media().text.contains("mask(&self, rule: &str)"));
/// ```
pub fn help(name: &str) -> Help {
    let sections = || ALL.split("# ").filter_map(|section| section.split_once('\n'));
    let wanted = name.trim().trim_end_matches("()");
    if let Some((name, rest)) = sections().find(|(known, _)| *known == wanted) {
        let (about, entries) = rest.split_once('\n').unwrap_or((rest, ""));
        return Help {
            title: name.to_owned(),
            about: about.to_owned(),
            entries: entries.lines().filter_map(|line| line.split_once('\t')).collect(),
        };
    }
    let near = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &wanted.to_lowercase());
    let nearest = sections().map(|(known, _)| known).max_by(|a, b| near(a).total_cmp(&near(b)));
    let about = match (wanted.is_empty(), nearest) {
        (false, Some(nearest)) => {
            format!("There is no `{wanted}`; did you mean help(\"{nearest}\")?")
        }
        _ => "help(\"NAME\") shows one of them.".to_owned(),
    };
    let entries = sections().map(|(known, rest)| (known, rest.lines().next().unwrap_or_default()));
    Help { title: "The names that a notebook knows".to_owned(), about, entries: entries.collect() }
}

impl Show for Help {
    fn media(&self) -> Media {
        let mut text = format!("{}: {}\n", self.title, self.about);
        let mut html = format!(
            "<p><b><code>{}</code></b>: {}</p>\n<table>\n",
            escaped(&self.title),
            escaped(&self.about)
        );
        for (signature, says) in &self.entries {
            // writing to a string cannot fail
            let _ = writeln!(text, "  {signature}\n      {says}");
            let _ = writeln!(
                html,
                "<tr><td style=\"text-align:left\"><code>{}</code></td><td style=\"text-align:left\">{}</td></tr>",
                escaped(signature),
                escaped(says)
            );
        }
        html.push_str("</table>");
        Media { html: Some(html), ..Media::text(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_its_methods_and_a_wrong_one_the_nearest() {
        let scored = help("Scored").media();
        assert!(scored.text.contains("mask(&self"), "{}", scored.text);
        assert!(scored.html.unwrap().contains("<code>mask(&amp;self"));
        assert!(help("finetune()").media().text.contains("finetune(cx: &Context"));
        let wrong = help("Scord");
        assert!(wrong.about.contains("help(\"Scored\")"), "{}", wrong.about);
        assert!(help("").entries.len() > 20);
    }
}
