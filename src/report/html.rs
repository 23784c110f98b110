//! The experiment as one page for a browser: no network, light and dark, wide and narrow, mouse and keyboard.

use super::figure::Figure;
use super::finding::Finding;
use super::protocol::Protocol;
use super::{Provenance, Report};
use crate::answers::{BeforeAfter, GivenAnswer};
use crate::error::{Error, Result};
use crate::experiment::results::{Results, TokenExample, TokenView};
use crate::metric::PAPER_THRESHOLD;
use crate::plot::Plot;
use crate::plot::palette::{INK, PAPER, label};
use crate::table::{Printed, Table, significant};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, HtmlEscape, UndefinedBehavior, Value, context};
use serde::Serialize;
use std::fmt::Write as _;

const TEMPLATE: &str = include_str!("report.html");
/// The perplexity that gets the full color of the heat map.
const HOTTEST: f64 = 1000.0;

/// The whole page.
pub fn page(
    report: &Report,
    shown: &[Table],
    front: &Table,
    provenance: &Provenance,
    figures: &[Figure],
) -> Result<String> {
    let results = &*report.summary.results;
    let hero = figures.iter().find(|figure| figure.name == "skills").map(Picture::of);
    let rest = figures.iter().filter(|figure| figure.name != "skills");
    let figures: Result<Vec<Picture>> = rest.map(Picture::of).collect();
    let example = report.before_after();
    let protocols = Protocol::all(results).into_iter();
    let protocols: Vec<(String, &str)> =
        protocols.map(|protocol| (protocol.words(), protocol.reason())).collect();
    let values = context! {
        finding => report.finding.as_ref().map(Finding::paragraph),
        hero => Serde(hero.transpose()?),
        example => example.as_ref().map(before_after),
        rule => BeforeAfter::RULE,
        answered => !results.answers.is_empty(),
        protocols => protocols,
        worked => results.seconds.map(duration),
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
    environment.add_global("pictures", Value::from_safe_string(PICTURES.to_owned()));
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
{{ pictures }}
.ink-fill { fill: CanvasText; } .ink-line { stroke: CanvasText; } .paper-fill { fill: Canvas; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{%- for figure in figures %}
<figure>
{{ figure.picture | safe }}
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

/// How a [`Picture`] stands on a page: on a narrow one its narrow drawing is shown.
const PICTURES: &str = "\
figure { margin: 1.5rem 0; } figure svg { display: block; max-width: 100%; height: auto; }
figure h3 { font-size: 1.1rem; margin: 0 0 .3rem; max-width: 46rem; }
.narrow { display: none; }
@media (max-width: 45rem) { .wide { display: none; } .narrow { display: block; } .narrow svg { width: 100%; } }";

/// A figure inside the page.
#[derive(Serialize)]
pub(crate) struct Picture {
    name: &'static str,
    title: String,
    /// Heading, note and both drawings.
    picture: String,
    /// The table, for who cannot see the picture.
    table: Printed,
}

impl Picture {
    pub(crate) fn of(figure: &Figure) -> Result<Self> {
        // Black and white become the page's own ink and paper, so that the picture follows light and dark.
        let drawn = |plot: Plot| -> Result<String> {
            let (width, height) = plot.size;
            let svg = plot.svg()?;
            let fixed = format!("width=\"{width}\" height=\"{height}\"");
            let svg = svg.replacen(&fixed, &format!("{fixed} role=\"img\""), 1);
            let svg = svg.replace(&format!("fill=\"{}\"", INK.hex()), "class=\"ink-fill\"");
            let svg = svg.replace(&format!("stroke=\"{}\"", INK.hex()), "class=\"ink-line\"");
            Ok(svg.replace(&format!("fill=\"{}\"", PAPER.hex()), "class=\"paper-fill\""))
        };
        // the page says title and note in its own words, once for both drawings
        let plot = figure.plot.clone().untitled();
        Ok(Self {
            name: figure.name,
            title: figure.plot.title.clone(),
            picture: format!(
                "<h3>{}</h3>\n<p class=\"soft\">{}</p>\n<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>",
                HtmlEscape(&figure.plot.title),
                HtmlEscape(&figure.plot.note),
                drawn(plot.clone())?,
                drawn(plot.narrow())?
            ),
            table: Table::of(&figure.plot.title, &figure.table.frame()?).printed(),
        })
    }
}

/// One question with the answers of several models, the first place that differs marked. It needs no style sheet: colors are translucent, so that it reads on
/// white and on black.
pub fn before_after(example: &BeforeAfter) -> String {
    let mut html = format!(
        "<section class=\"before-after\">\n<p><b>{} ({})</b></p>\n<p style=\"white-space:pre-wrap\">{}</p>\n",
        HtmlEscape(&example.item),
        HtmlEscape(&example.task),
        HtmlEscape(&example.question)
    );
    for GivenAnswer { model, answer, right, differs } in &example.answers {
        let (sign, color) = match right {
            true => ("✓ right", "rgba(0,158,115,.9)"),
            false => ("✗ wrong", "rgba(213,94,0,.9)"),
        };
        let mut text = String::new();
        let at = differs.clone().unwrap_or(answer.len()..answer.len());
        let _ = write!(text, "{}", HtmlEscape(&answer[..at.start]));
        if differs.is_some() {
            const MARK: &str = "background:rgba(240,140,58,.45);color:inherit;border-radius:2px";
            let marked = &answer[at.clone()];
            let marked = if marked.is_empty() { "∎" } else { marked };
            let _ = write!(text, "<mark style=\"{MARK}\">{}</mark>", HtmlEscape(marked));
        }
        let _ = write!(text, "{}", HtmlEscape(&answer[at.end..]));
        let _ = write!(
            html,
            "<div style=\"border-left:4px solid {color};padding:.1rem .8rem;margin:.6rem 0\"><b>{}</b>: {sign}\n<pre style=\"white-space:pre-wrap;margin:.2rem 0\">{text}</pre></div>\n",
            HtmlEscape(model)
        );
    }
    html.push_str("</section>");
    html
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
    use crate::plot::Color;
    use crate::report::{sample, tables};
    use std::collections::BTreeMap;

    fn made() -> String {
        let report = Report::of(sample::results()).unwrap();
        let (results, figures) = (&report.summary.results, report.figures().unwrap());
        let front = tables::front(results);
        page(&report, &report.tables(), &front, &sample::provenance(), &figures).unwrap()
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
        assert_eq!(page.matches("<svg ").count(), 2 * 5);
        assert!(!page.contains("NaN"));
    }

    /// The colors of a page's themes, light and dark, by name.
    fn themes(page: &str) -> [BTreeMap<String, Color>; 2] {
        let mut found = BTreeMap::new();
        let mut themes = Vec::new();
        for block in page.split(":root").skip(1).take(2) {
            let block = &block[block.find('{').unwrap()..block.find('}').unwrap()];
            for part in block.split("--").skip(1) {
                let (name, value) = part.split_once(": #").unwrap();
                let value = &value[..value.find(';').unwrap()];
                let wide = match value.len() {
                    3 => value.chars().flat_map(|digit| [digit, digit]).collect(),
                    _ => value.to_owned(),
                };
                let part = |at: usize| u8::from_str_radix(&wide[at..at + 2], 16).unwrap();
                found.insert(name.to_owned(), Color(part(0), part(2), part(4)));
            }
            themes.push(found.clone());
        }
        themes.try_into().unwrap()
    }

    /// `share` of one color over another.
    fn mixed(share: f64, Color(r, g, b): Color, Color(r2, g2, b2): Color) -> Color {
        let mix = |one: u8, other: u8| {
            (share * f64::from(one) + (1.0 - share) * f64::from(other)).round() as u8
        };
        Color(mix(r, r2), mix(g, g2), mix(b, b2))
    }

    #[test]
    fn text_can_be_read_on_every_ground_in_light_and_dark() {
        let pages = [TEMPLATE, include_str!("samples.html"), include_str!("../audit/report.html")];
        for page in pages {
            for theme in themes(page) {
                let of = |name: &str| theme.get(name).copied();
                let (ink, paper) = (of("ink").unwrap(), of("paper").unwrap());
                let tint = of("tint").unwrap_or(paper);
                let mut pairs = vec![("ink", ink, paper), ("ink", ink, tint)];
                for name in ["soft", "link", "good", "bad"] {
                    pairs.extend(
                        of(name)
                            .into_iter()
                            .flat_map(|color| [(name, color, paper), (name, color, tint)]),
                    );
                }
                if let Some(hot) = of("hot") {
                    pairs.push(("the hottest token", ink, hot));
                    // struck: pale text on a pale ground
                    let ground = mixed(0.45, hot, tint);
                    pairs.push(("a struck token", mixed(0.78, ink, ground), ground));
                    pairs.push(("a struck token", mixed(0.78, ink, tint), tint));
                }
                // an axis' numbers are of ink with an opacity of 0.8
                pairs.push(("an axis", mixed(0.8, ink, paper), paper));
                for (what, text, ground) in pairs {
                    let contrast = text.contrast(ground);
                    assert!(
                        contrast >= 4.5,
                        "{what}: {} on {}: {contrast:.2}",
                        text.hex(),
                        ground.hex()
                    );
                }
            }
        }
        assert!(TEMPLATE.contains("var(--ink) 78%") && TEMPLATE.contains("calc(var(--h) * 45%)"));
    }

    #[test]
    fn what_was_found_comes_before_everything_else() {
        let mut results = sample::results();
        results.answers = sample::answers(&results).into();
        let report = Report::of(results).unwrap();
        let (figures, front) = (report.figures().unwrap(), tables::front(&report.summary.results));
        let made =
            page(&report, &report.tables(), &front, &sample::provenance(), &figures).unwrap();
        let finding = HtmlEscape(&report.finding.as_ref().unwrap().paragraph()).to_string();
        let hero = HtmlEscape(&report.skills().unwrap().plot.title).to_string();
        let example = report.before_after().unwrap();
        assert!(example.answers.iter().map(|given| given.right).eq([true, false, true]));
        let order = [
            finding.as_str(),
            &hero,
            "One answer, before and after",
            "id=\"tokens\"",
            "id=\"figures\"",
            "id=\"tables\"",
            "id=\"runs\"",
        ];
        let places = order.map(|part| made.find(part).unwrap_or_else(|| panic!("{part}")));
        assert!(places.is_sorted(), "{places:?}");
        // each figure has one heading, and two drawings of which one is shown
        for figure in &figures {
            let title = HtmlEscape(&figure.plot.title).to_string();
            assert_eq!(made.matches(&format!("<h3>{title}</h3>")).count(), 1, "{title}");
            assert!(!made.contains(&format!(">\n{title}\n</text>")));
        }
        // folded but for the first screen
        let tables = &made[places[5]..places[6]];
        assert_eq!(tables.matches("<details class=\"table\">").count(), report.tables().len());
        // the time of the work, not that of the last call
        assert!(made.contains("all runs together took 12 min 34 s"));
        let mut quick = sample::results();
        quick.seconds = Some(61.0);
        let report = Report::of(quick).unwrap();
        let made = page(&report, &[], &front, &sample::provenance(), &[]).unwrap();
        assert!(made.contains("all runs together took 1 min 1 s"), "it is the results' own");
    }

    #[test]
    fn an_example_is_text_with_one_mark_in_each_answer_that_differs() {
        let given = |model: &str, answer: &str, right, differs| GivenAnswer {
            model: model.into(),
            answer: answer.into(),
            right,
            differs,
        };
        let example = BeforeAfter {
            task: "word".into(),
            item: "word/1".into(),
            question: "1 < 2 & 3?".into(),
            answers: vec![
                given("base", "3 > 1: <b>", true, None),
                given("<i>", "3 > 2: <b>", false, Some(4..5)),
                given("short", "3", false, Some(1..1)),
            ],
        };
        let html = before_after(&example);
        assert!(!html.contains("<i>") && html.contains("1 &lt; 2 &amp; 3?"), "{html}");
        assert!(
            html.contains(">2</mark>: &lt;b&gt;") && html.contains(">∎</mark></pre>"),
            "{html}"
        );
        assert_eq!(html.matches("<mark").count(), 2);
        assert_eq!(html.matches("wrong").count(), 2);
    }

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(
            (duration(12.4), duration(754.0), duration(7384.0)),
            ("12 s".into(), "12 min 34 s".into(), "2 h 3 min".into())
        );
    }
}
