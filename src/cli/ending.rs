//! How an experiment ends on the terminal: what was found, what it is read from, where the page is and what to run next.

use super::terminal::{Style, layout, paint, print_painted, print_table, say, tell};
use std::ops::Range;
use std::path::Path;
use unforget::answers::{BeforeAfter, GivenAnswer};
use unforget::error::{Plain, Word};
use unforget::plot::palette::{BASE, label};
use unforget::report::Report;
use unforget::report::summary::{ArmSummary, TaskRow};
use unforget::table::wrap;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// What fits one screen: a sentence, a bar for each skill, one answer.
    Screen,
    /// The finding and the table it is read from.
    Main,
    /// All tables before them.
    All,
}

/// Prints the end of an experiment whose page is `page`; `next` are calls to go on with, each with what it does.
pub fn print(report: &Report, ending: Ending, page: Option<&Path>, next: &[(&str, &str)]) {
    let width = layout().width.min(100);
    let main = report.main_table();
    if ending == Ending::All {
        for table in report.tables().iter().filter(|table| **table != main) {
            print_table(table);
            say!();
        }
    }
    match ending {
        Ending::Screen => {
            let sentence = report.finding.as_ref().map(|finding| finding.sentence.as_str());
            let summary = report.first().1;
            let skills = skills(&summary.arms, width);
            let answer = report.before_after().map(|shown| answer(&shown, width));
            let sentence = sentence.map(|text| bold(&wrap(&Plain(text).to_string(), width)) + "\n");
            for part in [sentence, skills, answer].into_iter().flatten() {
                print_painted(&(part + "\n"));
            }
        }
        Ending::Main | Ending::All => {
            print_table(&main);
            if let Some(finding) = &report.finding {
                let [first, rest @ ..] = &finding.sentences;
                let rest = rest.join(" ");
                say!();
                print_painted(&(bold(&wrap(&Plain(first).to_string(), width)) + "\n"));
                say!("{}\n", wrap(&rest, width));
            }
        }
    }
    if let Some(page) = page {
        tell!("page  {}", page.display());
    }
    for (at, (call, does)) in next.iter().enumerate() {
        tell!("{}  {call}  ({does})", if at == 0 { "next" } else { "    " });
    }
}

fn bold(text: &str) -> String {
    paint(text, Style::Bold)
}

/// `ground_truth` is what learns every token.
fn name(arm: &str) -> String {
    if arm == "ground_truth" { "all tokens".to_owned() } else { label(arm) }
}

/// A row for each task, and for each model the percentage that is right with a bar; as many models as fit. `None` without arms.
fn skills(arms: &[ArmSummary], width: usize) -> Option<String> {
    /// Columns of a number, of the shortest bar, and between two models.
    const NUMBER: usize = 3;
    const BAR: usize = 6;
    const GAP: usize = 2;
    let base = arms.first().filter(|_| arms.len() > 1)?;
    let task = |at: usize| {
        let target = if at == 0 { " (target)" } else { "" };
        format!("{}{target}", Word(&base.tasks[at].task))
    };
    let first = (0..base.tasks.len()).map(|at| task(at).chars().count()).max()?.clamp(11, 24);
    let room = width.saturating_sub(first);
    let shown = (room / (GAP + NUMBER + 1 + BAR)).clamp(1, arms.len());
    let cell = room / shown - GAP;
    let cut = |text: &str, to: usize| text.chars().take(to).collect::<String>();
    let mut out = format!("{:first$}", cut("% right", first));
    for arm in &arms[..shown] {
        out +=
            &format!("{}{:cell$}", " ".repeat(GAP), cut(&Word(name(&arm.arm)).to_string(), cell));
    }
    out = out.trim_end().to_owned() + "\n";
    for at in 0..base.tasks.len() {
        let mut line = format!("{:first$}", cut(&task(at), first));
        for arm in &arms[..shown] {
            let Some(row) = arm.tasks.get(at) else { continue };
            let percent = 100.0 * row.score.value;
            let text = format!("{percent:NUMBER$.0} {}", bar(percent / 100.0, cell - NUMBER - 1));
            let blanks = cell.saturating_sub(text.chars().count());
            let text = match clear(row) {
                Some(change) if change > 0.0 => paint(&text, Style::Green),
                Some(_) => paint(&text, Style::Red),
                None => text,
            };
            line += &format!("{}{text}{}", " ".repeat(GAP), " ".repeat(blanks));
        }
        out += line.trim_end();
        out.push('\n');
    }
    let left_out = &arms[shown..];
    if !left_out.is_empty() {
        let names: Vec<String> = left_out.iter().map(|arm| name(&arm.arm)).collect();
        out +=
            &(wrap(&format!("not shown at this width: {}", Word(names.join(", "))), width) + "\n");
    }
    Some(out)
}

/// The change against base in points, where it is larger than two standard errors.
fn clear(row: &TaskRow) -> Option<f64> {
    let points = row.points?;
    points.se.filter(|se| points.value.abs() > 2.0 * se).map(|_| points.value)
}

/// A bar of at most `cells` characters, drawn in eighths of them.
fn bar(share: f64, cells: usize) -> String {
    const EIGHTHS: [char; 8] = ['█', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * 8.0 * cells as f64).round() as usize;
    let mut bar = EIGHTHS[0].to_string().repeat(eighths / 8);
    bar.extend((!eighths.is_multiple_of(8)).then(|| EIGHTHS[eighths % 8]));
    bar
}

/// The question and each answer in a line or two, with the first difference from the answer before marked.
fn answer(shown: &BeforeAfter, width: usize) -> String {
    let question = format!("{} asks: {}", Word(&shown.task), one_line(&shown.question).0);
    let mut out = wrap(&cut_at(&question, 2 * width - 8), width) + "\n";
    let names: Vec<String> = shown
        .answers
        .iter()
        .map(|given| if given.model == BASE { "base".into() } else { name(&given.model) })
        .collect();
    let first = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(16);
    for (given, name) in shown.answers.iter().zip(&names) {
        let (grade, style) = match given.right {
            true => ("right", Style::Green),
            false => ("wrong", Style::Red),
        };
        let name: String = Word(name).to_string().chars().take(first).collect();
        let (text, mark) = window(given, width.saturating_sub(first + 9));
        out += &format!("{name:first$}  {}  {text}\n", paint(grade, style));
        if let Some(mark) = mark {
            let marks = "^".repeat(mark.len().max(1));
            let before = " ".repeat(first + 9 + mark.start);
            out += &format!("{before}{} first difference from base\n", paint(&marks, Style::Red));
        }
    }
    out
}

/// The answer in one line of `width` characters that shows the place where it differs, and where in it that is.
fn window(given: &GivenAnswer, width: usize) -> (String, Option<Range<usize>>) {
    /// Characters that are shown before the difference at least.
    const BEFORE: usize = 12;
    let (line, places) = one_line(&given.answer);
    let line: Vec<char> = line.chars().collect();
    let mark = given.differs.as_ref().map(|at| places[at.start]..places[at.end]);
    let end = mark.as_ref().map_or(0, |mark| mark.end);
    let from = match &mark {
        Some(mark) if end >= width => mark.start.saturating_sub(BEFORE),
        _ => 0,
    };
    let mut text: Vec<char> = line.iter().skip(from).copied().collect();
    if text.len() > width {
        text.truncate(width.saturating_sub(1));
        text.push('…');
    }
    if from > 0
        && let Some(first) = text.first_mut()
    {
        *first = '…';
    }
    let shown = text.len();
    let mark = mark.map(|mark| (mark.start - from).min(shown)..(mark.end - from).min(shown));
    (text.into_iter().collect(), mark)
}

/// Text in one line, with a sign for the end of each, and where each of its bytes then stands, counted in characters.
fn one_line(text: &str) -> (String, Vec<usize>) {
    let (mut line, mut places, mut count) = (String::new(), Vec::new(), 0);
    for c in text.chars() {
        let shown = if c == '\n' { " ⏎ ".to_owned() } else { Word(c).to_string() };
        places.extend(std::iter::repeat_n(count, c.len_utf8()));
        count += shown.chars().count();
        line += &shown;
    }
    places.push(count);
    (line, places)
}

fn cut_at(text: &str, longest: usize) -> String {
    match text.chars().count() > longest {
        true => text.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unforget::stats::{Estimate, Spread};

    fn given(answer: &str, differs: Option<Range<usize>>) -> GivenAnswer {
        GivenAnswer { model: "ground_truth".into(), answer: answer.into(), right: false, differs }
    }

    #[test]
    fn an_answer_in_one_line_shows_where_it_differs() {
        let check =
            |answer: &str, differs: Range<usize>, width: usize, line: &str, marked: &str| {
                let (text, mark) = window(&given(answer, Some(differs)), width);
                assert_eq!(text, line);
                let mark = mark.unwrap();
                let found: String = text.chars().skip(mark.start).take(mark.len()).collect();
                assert_eq!(found, marked, "{text}");
            };
        check("1 + 2\nis 4", 9..10, 40, "1 + 2 ⏎ is 4", "4");
        check("é\u{1b}x", 3..4, 40, "é\\u{1b}x", "x");
        // a place far behind is brought into view
        let long = format!("{}END and more", "a ".repeat(40));
        check(&long, 80..83, 30, "… a a a a a END and more", "END");
        // an answer that breaks off differs at its end
        check("1 +", 3..3, 40, "1 +", "");
        let (text, mark) = window(&given("a".repeat(50).as_str(), None), 10);
        assert_eq!((text.as_str(), mark), ("aaaaaaaaa…", None));
    }

    fn row(arm: &str, percents: [f64; 6]) -> ArmSummary {
        let estimate = |value: f64| Estimate { value, se: Some(0.05) };
        let names = ["code", "algebra", "word", "choice", "sql", "follow"];
        let task = |(name, percent): (&&str, f64)| TaskRow {
            task: (*name).to_owned(),
            score: estimate(percent / 100.0),
            skill: estimate(percent / 100.0),
            points: (arm != BASE).then_some(Estimate { value: percent - 50.0, se: Some(5.0) }),
            form_kept: 1.0,
        };
        ArmSummary {
            arm: arm.to_owned(),
            learning_rate: None,
            seeds: 1,
            target: estimate(0.5),
            target_spread: Spread { min: 0.5, max: 0.5 },
            non_target: None,
            non_target_spread: None,
            change: None,
            target_form_kept: 1.0,
            non_target_form_kept: None,
            masked_share: None,
            perplexity_given_prompt: None,
            perplexity_of_text_alone: None,
            median_given_prompt: None,
            median_of_text_alone: None,
            relative_weight_change: None,
            tasks: names.iter().zip(percents).map(task).collect(),
        }
    }

    #[test]
    fn six_skills_of_five_models_fit_eighty_columns() {
        let arms = ["base", "ground_truth", "stm(2.5)", "random_mask(2.5)", "self_output"];
        let rows: Vec<ArmSummary> =
            arms.iter().map(|arm| row(arm, [50.0, 0.0, 100.0, 26.0, 7.0, 93.0])).collect();
        let text = skills(&rows, 80).unwrap();
        assert_eq!(text.lines().count(), 7, "{text}");
        for width in [40, 80, 100] {
            let text = skills(&rows, width).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        }
        for part in ["code (target)", "base", "all tokens", "STM 2.5", "random mask", "self-output"]
        {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert!(text.contains("word           100 ███████  100 ███████"), "{text}");
        // what does not fit is named
        let text = skills(&rows, 40).unwrap();
        assert!(text.contains("not shown at this width: "), "{text}");
        assert_eq!(skills(&rows[..1], 80), None);
    }

    #[test]
    fn bars_are_as_long_as_shares() {
        let check = |share: f64, expected: &str| assert_eq!(bar(share, 4), expected);
        check(0.0, "");
        check(0.25, "█");
        check(0.5 + 1.0 / 32.0, "██▏");
        check(1.0, "████");
        check(1.2, "████");
    }
}
