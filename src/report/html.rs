//! The experiment as one page for a browser: no network, light and dark, wide and narrow, mouse and keyboard.

use super::Provenance;
use super::figure::Figure;
use crate::error::{Error, Result};
use crate::experiment::results::{Results, TokenExample, TokenView};
use crate::metric::PAPER_THRESHOLD;
use crate::plot::palette::{INK, PAPER, label};
use crate::table::{Printed, Table, significant};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

const TEMPLATE: &str = include_str!("report.html");
/// The perplexity that gets the full color of the heat map.
const HOTTEST: f64 = 1000.0;

/// The whole page.
pub fn page(
    results: &Results,
    shown: &[Table],
    front: &Table,
    provenance: &Provenance,
    figures: &[Figure],
) -> Result<String> {
    let figures: Result<Vec<Picture>> = figures.iter().map(Picture::of).collect();
    let values = context! {
        provenance => Serde(provenance),
        name => results.name.as_str(),
        target => results.target.as_str(),
        non_target => Serde(&results.non_target),
        base_items => results.base.iter().map(|task| task.items.len()).collect::<Vec<_>>(),
        seeds => seeds(results),
        took => duration(provenance.times.seconds),
        tables => Serde(shown.iter().map(Table::printed).collect::<Vec<_>>()),
        front => Serde(front.printed()),
        figures => Serde(figures?),
        items => Serde(items(results)),
        threshold => PAPER_THRESHOLD,
        margin => results.margin,
        hottest => HOTTEST,
    };
    filled("report.html", TEMPLATE, values)
}

/// A page from its template; what others wrote is text in it, not markup.
pub(crate) fn filled(name: &str, template: &str, values: Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .render_named_str(name, template, values)
        .map_err(Error::library("filling in a page of the report"))
}

/// A page of figures, each with its table folded below it, and of tables, in plain HTML that needs no network.
pub fn figures(title: &str, figures: &[Figure], tables: &[Table]) -> Result<String> {
    const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
body { margin: 0 auto; padding: 1.5rem; max-width: 74rem; font: 1rem/1.5 system-ui, sans-serif; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; max-width: 56rem; }
p { max-width: 56rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .6rem; text-align: right; border-bottom: 1px solid #8886; }
th:first-child { text-align: left; padding-left: 0; font-weight: 500; }
figure { margin: 2rem 0; } figure svg { max-width: 100%; height: auto; }
.ink-fill { fill: CanvasText; } .ink-line { stroke: CanvasText; } .paper-fill { fill: Canvas; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{%- for figure in figures %}
<figure aria-label="{{ figure.title }}">
{{ figure.svg | safe }}
<details><summary>Its table</summary>
<div class="scroll" tabindex="0" role="region" aria-label="table of {{ figure.name }}">
<table>
<thead><tr>{% for column in figure.table.columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in figure.table.rows %}
<tr>{% for cell in row %}{% if loop.first %}<th scope="row">{{ cell }}</th>{% else %}<td>{{ cell }}</td>{% endif %}{% endfor %}</tr>
{%- endfor %}
</tbody>
</table>
</div>
</details>
</figure>
{%- endfor %}
{%- for table in tables %}
<h2>{{ table.title }}</h2>
<div class="scroll" tabindex="0" role="region" aria-label="{{ table.title }}">
<table>
<thead><tr>{% for column in table.columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in table.rows %}
<tr>{% for cell in row %}{% if loop.first %}<th scope="row">{{ cell }}</th>{% else %}<td>{{ cell }}</td>{% endif %}{% endfor %}</tr>
{%- endfor %}
</tbody>
</table>
</div>
<p>{{ table.legend }}</p>
{%- endfor %}
</body>
</html>
"#;
    let figures: Result<Vec<Picture>> = figures.iter().map(Picture::of).collect();
    let tables: Vec<Printed> = tables.iter().map(Table::printed).collect();
    let values = context! { title => title, figures => Serde(figures?), tables => Serde(tables) };
    filled("tables.html", PAGE, values)
}

/// A figure inside the page.
#[derive(Serialize)]
pub(crate) struct Picture {
    name: &'static str,
    title: String,
    svg: String,
    /// The table, for who cannot see the picture.
    table: Printed,
}

impl Picture {
    pub(crate) fn of(figure: &Figure) -> Result<Self> {
        // Black and white become the page's own ink and paper, so that the picture follows light and dark.
        let svg = figure.plot.svg()?;
        let svg = svg.replace(&format!("fill=\"{}\"", INK.hex()), "class=\"ink-fill\"");
        let svg = svg.replace(&format!("stroke=\"{}\"", INK.hex()), "class=\"ink-line\"");
        let svg = svg.replace(&format!("fill=\"{}\"", PAPER.hex()), "class=\"paper-fill\"");
        Ok(Self {
            name: figure.name,
            title: figure.plot.title.clone(),
            svg,
            table: Table::of(&figure.plot.title, &figure.table.frame()?).printed(),
        })
    }
}

/// One training item, in each arm's version.
#[derive(Serialize)]
struct Item {
    id: String,
    versions: Vec<Version>,
}

#[derive(Serialize)]
struct Version {
    arm: String,
    label: String,
    tokens: Vec<Token>,
    styled: bool,
}

#[derive(Serialize)]
struct Token {
    text: String,
    completion: bool,
    learned: bool,
    style: bool,
    perplexity: Option<f64>,
    shown_perplexity: Option<String>,
    /// 0 for certain, 1 for [`HOTTEST`] and more.
    heat: String,
}

fn items(results: &Results) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for example in &results.examples {
        let version = Version::of(example);
        match items.iter_mut().find(|item| item.id == example.item) {
            Some(item) => item.versions.push(version),
            None => items.push(Item { id: example.item.clone(), versions: vec![version] }),
        }
    }
    items
}

impl Version {
    fn of(example: &TokenExample) -> Self {
        Self {
            arm: example.arm.clone(),
            label: label(&example.arm),
            tokens: example.tokens.iter().map(Token::of).collect(),
            styled: example.tokens.iter().any(|token| token.style),
        }
    }
}

impl Token {
    fn of(token: &TokenView) -> Self {
        let heat = token
            .perplexity
            .map_or(0.0, |perplexity| (perplexity.ln() / HOTTEST.ln()).clamp(0.0, 1.0));
        Self {
            // A line's end and a tab are tokens too and must be seen.
            text: token.text.replace('\r', "␍").replace('\n', "↵\n").replace('\t', "⇥\t"),
            completion: token.completion,
            learned: token.learned,
            style: token.style,
            perplexity: token.perplexity,
            shown_perplexity: token.perplexity.map(significant),
            heat: format!("{heat:.3}"),
        }
    }
}

fn seeds(results: &Results) -> Vec<u64> {
    let mut seeds: Vec<u64> = results.runs.iter().map(|run| run.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

/// `12 min 34 s`
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Report, sample, tables};

    fn made() -> String {
        let report = Report::of(sample::results()).unwrap();
        let (results, figures) = (&report.summary.results, report.figures().unwrap());
        let front = tables::front(results);
        page(results, &report.tables(), &front, &sample::provenance(), &figures).unwrap()
    }

    #[test]
    fn the_page_needs_no_network() {
        let page = made();
        let allowed = "http://www.w3.org/2000/svg";
        for scheme in ["http://", "https://", "src=", "@import", "url("] {
            for (place, _) in page.match_indices(scheme) {
                assert!(
                    page[place..].starts_with(allowed),
                    "{}",
                    &page[place..(place + 60).min(page.len())]
                );
            }
        }
    }

    #[test]
    fn what_others_wrote_is_text_and_not_markup() {
        let page = made();
        assert!(page.contains("&lt;it&gt;") && page.contains("&lt;b&gt;&amp;&lt;&#x2f;b&gt;"));
        assert!(!page.contains("<it>") && !page.contains("<b>&"));
    }

    #[test]
    fn every_token_arm_and_figure_is_on_the_page() {
        let (page, results) = (made(), sample::results());
        let tokens: usize = results.examples.iter().map(|example| example.tokens.len()).sum();
        assert_eq!(page.matches("tabindex=\"-1\"").count(), tokens);
        assert_eq!(page.matches("<svg ").count(), 4);
        assert!(!page.contains("NaN"));
    }

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(
            (duration(12.4), duration(754.0), duration(7384.0)),
            ("12 s".into(), "12 min 34 s".into(), "2 h 3 min".into())
        );
    }
}
