//! Which tokens do the damage, as tables and a figure.

use super::figure::Figure;
use crate::influence::{EDGES, Group, Influence};
use crate::metric::PAPER_THRESHOLD;
use crate::plot::palette::{GRAY, INK, look};
use crate::plot::{Axis, Measured, Panel, Plot, keys};
use crate::table::{Cell, Table};

/// The groups' table: by range of perplexity or by class.
pub fn table(title: String, what: &str, groups: &[Group]) -> Table {
    let mean = |group: &Group| {
        let (low, high) = (group.low, group.high);
        Cell::number(group.mean, 4).read(format!("{:+.4} [{low:+.4}, {high:+.4}]", group.mean))
    };
    Table::new(title)
        .rows(groups)
        .keyed(what, "group", |group| &group.name)
        .keyed("tokens", "tokens", |group| group.tokens)
        .file("perplexity", |group| group.perplexity)
        .keyed("change for each token [95 %]", "mean", mean)
        .file("low", |group| group.low)
        .file("high", |group| group.high)
        .keyed("share of harm %", "share_of_harm", |group| Cell::percent(group.share_of_harm))
        .table()
        .legend("Change: of the other data's mean surprisal in nats, for a step of length 1 along the gradient of one token alone; above 0 is harm. Intervals draw answers again.")
}

/// Every token, for a file.
pub fn tokens(influence: &Influence) -> Table {
    let all: Vec<(usize, &crate::influence::TokenInfluence)> = influence
        .tokens
        .iter()
        .enumerate()
        .flat_map(|(at, tokens)| tokens.iter().map(move |token| (at, token)))
        .collect();
    let mut table = Table::default()
        .rows(&all)
        .file("answer", |row| row.0)
        .file("position", |row| row.1.position)
        .file("text", |row| &row.1.text)
        .file("class", |row| row.1.class.name())
        .file("perplexity", |row| row.1.perplexity)
        .table();
    for (at, other) in influence.others.iter().enumerate() {
        let on = all.iter().map(|(_, token)| Cell::number(token.on[at], 6));
        table = table.column(&other.name, on);
    }
    table
}

/// The groups of each of the others, for a file.
pub fn classes(influence: &Influence, groups: &[Vec<Group>]) -> Table {
    let names = influence.others.iter().map(|other| other.name.as_str());
    let rows: Vec<(&str, &Group)> = names
        .zip(groups)
        .flat_map(|(name, groups)| groups.iter().map(move |group| (name, group)))
        .collect();
    Table::default()
        .rows(&rows)
        .file("other", |row| row.0)
        .file("group", |row| &row.1.name)
        .file("tokens", |row| row.1.tokens)
        .file("perplexity", |row| row.1.perplexity)
        .file("mean", |row| row.1.mean)
        .file("low", |row| row.1.low)
        .file("high", |row| row.1.high)
        .file("share_of_harm", |row| row.1.share_of_harm)
        .table()
}

/// Mean influence over ranges of the token perplexity, a line for each of the others.
pub fn figure(influence: &Influence) -> Figure {
    let names: Vec<&str> = influence.others.iter().map(|other| other.name.as_str()).collect();
    let groups: Vec<Vec<Group>> =
        (0..names.len()).map(|on| influence.by_perplexity(on, &EDGES)).collect();
    let ends = groups.iter().flatten().flat_map(|group| [group.low, group.high, 0.0]);
    let y = Axis::around("change of surprisal for one token, nats", ends, 1e-6);
    let highest = groups.iter().flatten().map(|group| group.perplexity).fold(10.0, f64::max);
    let x = Axis::log("perplexity of the token", 0.95, 1.5 * highest);
    let mut panel = Panel::new(x, y).level(0.0, "no change", GRAY).upright(
        PAPER_THRESHOLD,
        PAPER_THRESHOLD.to_string(),
        INK,
    );
    for (name, groups) in names.iter().zip(&groups) {
        let look = look(name, &names);
        let points: Vec<Measured> = groups
            .iter()
            .map(|group| Measured {
                x: group.perplexity,
                y: group.mean,
                low: group.low,
                high: group.high,
            })
            .collect();
        panel = panel
            .line(points.iter().map(Measured::at), look.stroke(1.5))
            .error_bars(&points, look.color)
            .marks(points.iter().map(Measured::at), look, 4.0);
    }
    let all: Vec<_> = influence.tokens.iter().flatten().collect();
    let surprising = || all.iter().filter(|token| token.perplexity > PAPER_THRESHOLD);
    // a share of what all tokens do in one direction, over all others
    let share = |sign: f64| {
        let sum = |on: &[f64]| on.iter().map(|on| (sign * on).max(0.0)).sum::<f64>();
        let whole: f64 = all.iter().map(|token| sum(&token.on)).sum();
        let part: f64 = surprising().map(|token| sum(&token.on)).sum();
        100.0 * part / whole.max(f64::MIN_POSITIVE)
    };
    let title = format!(
        "Tokens above {PAPER_THRESHOLD} are {:.0} % of {}; they do {:.0} % of the harm and {:.0} % of the good",
        100.0 * surprising().count() as f64 / all.len().max(1) as f64,
        influence.answers,
        share(1.0),
        share(-1.0)
    );
    let plot = Plot::new(title)
        .note("To first order, of one step on one token; bars are 95 % intervals over answers.")
        .panel(panel)
        .legend(keys(&names, &names))
        .size(720, 380);
    let table = classes(influence, &groups);
    Figure { name: "influence", plot, table }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::{Other, TokenInfluence};
    use crate::select::TokenClass;

    #[test]
    fn the_heading_says_what_is_drawn() {
        let token = |perplexity, on| TokenInfluence {
            position: 1,
            text: "a".into(),
            class: TokenClass::Words,
            perplexity,
            on: vec![on],
        };
        let influence = Influence {
            answers: "the answers".into(),
            others: vec![Other {
                name: "word".into(),
                surprisal: 1.0,
                gradient_norm: 1.0,
                curvature: 0.0,
            }],
            tokens: vec![
                vec![token(1.2, -0.5), token(8.0, 3.0)],
                vec![token(1.2, 1.0), token(2.0, 0.0)],
            ],
        };
        let figure = figure(&influence);
        assert_eq!(
            figure.plot.title,
            "Tokens above 2.5 are 25 % of the answers; they do 75 % of the harm and 0 % of the good"
        );
        assert_eq!(figure.table.height(), 3);
        assert_eq!(tokens(&influence).height(), 4);
        let text = table("t".into(), "perplexity", &influence.by_perplexity(0, &EDGES)).text(120);
        assert!(text.contains("5 to 10") && text.contains("+3.0000 [+3.0000, +3.0000]"), "{text}");
    }
}
