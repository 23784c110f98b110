//! What the probe sets said while models were trained: what is learned and what is forgotten, step by step.

use crate::error::Result;
use crate::experiment::results::Results;
use crate::plot::palette::{INK, label, look};
use crate::plot::{Axis, Look, Measured, Panel, Plot, SCORES, line_keys};
use crate::probe::{Role, Row};
use crate::select::TokenClass;
use crate::stats;

use super::figure::Figure;
use super::summary::arms;
use super::tables::arm;
use crate::table::{Cell, Table};

/// The trainings of one arm that were watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched<'a> {
    /// The arm's name.
    pub arm: &'a str,
    /// What was found, one list for each seed.
    pub seeds: Vec<&'a [Row]>,
}

impl<'a> Watched<'a> {
    /// The arms of an experiment at their chosen rates, those that were watched.
    pub fn of(results: &'a Results) -> Vec<Self> {
        let watched = arms(results).into_iter().map(|arm| {
            let runs = results.runs.iter().filter(|run| run.arm == arm && run.chosen);
            let seeds: Vec<&[Row]> =
                runs.map(|run| run.probes.as_slice()).filter(|rows| !rows.is_empty()).collect();
            Self { arm, seeds }
        });
        watched.filter(|watched| !watched.seeds.is_empty()).collect()
    }

    /// At each step the mean and the spread over those seeds that have a value there; `value` is given a seed's rows of one step.
    fn curve(&self, value: impl Fn(&[&Row]) -> Option<f64>) -> Vec<Measured> {
        let mut steps: Vec<usize> =
            self.seeds.iter().flat_map(|rows| rows.iter().map(|row| row.step)).collect();
        steps.sort_unstable();
        steps.dedup();
        let at = |step: &usize| {
            let of_seed = |rows: &&[Row]| {
                value(&rows.iter().filter(|row| row.step == *step).collect::<Vec<_>>())
            };
            let values: Vec<f64> = self.seeds.iter().filter_map(of_seed).collect();
            Measured::over_seeds(*step as f64, &values)
        };
        steps.iter().filter_map(at).collect()
    }
}

/// One quantity that is drawn on axes of its own.
struct Quantity {
    heading: String,
    axis: &'static str,
    /// Whether it is a share in percent.
    percent: bool,
    /// Of each arm that has it, in the order of the arms.
    curves: Vec<Option<Vec<Measured>>>,
}

impl Quantity {
    fn of(
        heading: &str,
        axis: &'static str,
        percent: bool,
        watched: &[Watched<'_>],
        value: impl Fn(&[&Row]) -> Option<f64>,
    ) -> Option<Self> {
        let curves =
            watched.iter().map(|arm| Some(arm.curve(&value)).filter(|curve| !curve.is_empty()));
        let curves: Vec<Option<Vec<Measured>>> = curves.collect();
        curves.iter().any(Option::is_some).then(|| Self {
            heading: heading.into(),
            axis,
            percent,
            curves,
        })
    }

    /// The score of the sets of a role, or their loss if none is graded.
    fn of_role(name: &str, role: Role, watched: &[Watched<'_>]) -> Option<Self> {
        let mean = |rows: &[&Row], value: fn(&Row) -> Option<f64>| {
            let rows = rows.iter().filter(|row| row.role == role);
            stats::mean(&rows.filter_map(|row| value(row)).collect::<Vec<_>>())
        };
        let score = |rows: &[&Row]| Some(100.0 * mean(rows, |row| row.score)?);
        let loss = |rows: &[&Row]| mean(rows, |row| row.loss);
        Self::of(&format!("{name}: right answers"), "score, percent", true, watched, score).or_else(
            || {
                Self::of(
                    &format!("{name}: surprisal of the given answers"),
                    "loss, nats per token",
                    false,
                    watched,
                    loss,
                )
            },
        )
    }

    fn panel(&self, looks: &[Look]) -> Panel {
        let all = || self.curves.iter().flatten().flatten();
        let last = all().map(|point| point.x).fold(1.0, f64::max);
        let values = all().flat_map(Measured::ends);
        let y = match self.percent {
            true => Axis::around(self.axis, values, SCORES).within(0.0, 100.0),
            false => Axis::around(self.axis, values, 1e-3).within(0.0, f64::INFINITY),
        };
        let panel = Panel::new(Axis::new("optimiser step", 0.0, 1.02 * last), y);
        let curves = self.curves.iter().zip(looks);
        curves.fold(panel.heading(&self.heading, INK), |panel, (curve, look)| match curve {
            Some(curve) => {
                panel.seeds(curve, look.color).marks(curve.iter().map(Measured::at), *look, 4.0)
            }
            None => panel,
        })
    }

    /// Base and end of each arm.
    fn ends(&self) -> Vec<Option<(f64, f64)>> {
        let ends = |curve: &Option<Vec<Measured>>| {
            let curve = curve.as_ref()?;
            Some((curve.first()?.y, curve.last()?.y))
        };
        self.curves.iter().map(ends).collect()
    }
}

/// The curves of target and non-target sets and of the drift from the base, and the loss of each class of tokens: as far as they were measured.
///
/// # Errors
/// When a table cannot be made.
pub fn figures(watched: &[Watched<'_>]) -> Result<Vec<Figure>> {
    let all = [curves(watched)?, classes(watched)?];
    Ok(all.into_iter().flatten().collect())
}

fn curves(watched: &[Watched<'_>]) -> Result<Option<Figure>> {
    let drift = |rows: &[&Row]| rows.iter().find_map(|row| row.kl);
    let target = Quantity::of_role("target", Role::Target, watched);
    let others = Quantity::of_role("non-target sets, mean", Role::NonTarget, watched);
    let drift =
        Quantity::of("drift on training data", "KL(base ‖ model), nats", false, watched, drift);
    let title = title(watched, &target, &others, &drift);
    let shown: Vec<Quantity> = [target, others, drift].into_iter().flatten().collect();
    let plot = plot(watched, &shown, title, 200);
    Ok(match shown.is_empty() {
        true => None,
        false => Some(Figure { name: "probes", plot, table: looks(watched) }),
    })
}

/// The loss of each class, on the target's answers where they are scored, which are the same for all arms; else on the training data.
fn classes(watched: &[Watched<'_>]) -> Result<Option<Figure>> {
    let rows = || watched.iter().flat_map(|arm| arm.seeds.iter().copied().flatten());
    let there = |role: Role| rows().any(|row| row.role == role && !row.classes.is_empty());
    let Some(role) =
        [Role::Target, Role::Training, Role::NonTarget].into_iter().find(|role| there(*role))
    else {
        return Ok(None);
    };
    let of_class = |(name, _): &(&'static str, TokenClass)| {
        let loss = |rows: &[&Row]| {
            // all tokens of the class alike, over the sets of the role
            let found =
                rows.iter().filter(|row| row.role == role).filter_map(|row| row.classes.get(*name));
            let (tokens, sum) = found.fold((0, 0.0), |(n, sum), class| {
                (n + class.tokens, sum + class.tokens as f64 * class.loss)
            });
            (tokens > 0).then(|| sum / tokens as f64)
        };
        Quantity::of(&name.replace('_', " "), "nats per token", false, watched, loss)
    };
    let shown: Vec<Quantity> = TokenClass::NAMES.iter().filter_map(of_class).collect();
    let what = match role {
        Role::Target => "the target's answers",
        Role::Training => "training answers",
        Role::NonTarget => "the non-target sets' answers",
    };
    let changes = shown.iter().flat_map(|class| {
        let ends = class.ends();
        ends.into_iter()
            .flatten()
            .map(|(base, end)| (end - base, class.heading.as_str()))
            .collect::<Vec<_>>()
    });
    let most = changes.max_by(|one, other| one.0.abs().total_cmp(&other.0.abs()));
    let title = match most {
        Some((change, class)) => format!(
            "Of the classes of tokens in {what}, the loss of {class} moves most, by {change:+.2} nats"
        ),
        None => format!("Loss of the classes of tokens in {what}"),
    };
    let plot = plot(watched, &shown, title, 130);
    Ok(Some(Figure { name: "probe_classes", plot, table: classes_table(watched) }))
}

fn plot(watched: &[Watched<'_>], shown: &[Quantity], title: String, height: u32) -> Plot {
    let arms: Vec<&str> = watched.iter().map(|arm| arm.arm).collect();
    let looks: Vec<Look> = arms.iter().map(|arm| look(arm, &arms)).collect();
    Plot::new(title)
        .note("Step 0 is the base model. Mark: a look at the probe sets, mean over seeds; thin: lowest and highest seed.")
        .panels(shown.iter().map(|quantity| quantity.panel(&looks)))
        .legend(line_keys(&arms, &arms))
        .size(960, 150 + height * shown.len() as u32)
}

/// Says of several arms which ends where on the non-target sets; of one, where it goes.
fn title(
    watched: &[Watched<'_>],
    target: &Option<Quantity>,
    others: &Option<Quantity>,
    drift: &Option<Quantity>,
) -> String {
    let ends = |quantity: &Quantity| -> Vec<(String, f64, f64)> {
        let pairs = watched.iter().zip(quantity.ends());
        pairs
            .filter_map(|(arm, ends)| ends.map(|(base, end)| (label(arm.arm), base, end)))
            .collect()
    };
    if let Some(quantity) = others {
        let mut all = ends(quantity);
        all.sort_by(|one, other| one.2.total_cmp(&other.2));
        let unit = if quantity.percent { " %" } else { " nats" };
        if let [low, .., high] = all.as_slice() {
            return format!(
                "The non-target probe sets begin at {:.1}{unit} and end lowest for {} ({:.1}) and highest for {} ({:.1})",
                low.1, low.0, low.2, high.0, high.2
            );
        }
    }
    let named = [
        ("the target probe", target),
        ("the mean of the non-target probes", others),
        ("the drift from the base", drift),
    ];
    let parts: Vec<String> = named
        .iter()
        .filter_map(|(name, quantity)| {
            let quantity = quantity.as_ref()?;
            let (_, base, end) = ends(quantity).into_iter().next()?;
            Some(match quantity.percent {
                true => format!("{name} goes from {base:.1} to {end:.1} %"),
                false => format!("{name} goes from {base:.3} to {end:.3} nats"),
            })
        })
        .collect();
    match parts.is_empty() {
        true => "What the probe sets said while models were trained".into(),
        false => format!("While training, {}", parts.join(", ")),
    }
}

/// One probe set of one arm: base and end of each of its quantities, means over seeds.
struct Ends<'a> {
    arm: &'a str,
    probe: &'a str,
    role: Role,
    looks: usize,
    score: Option<(f64, f64)>,
    loss: Option<(f64, f64)>,
    kl: Option<(f64, f64)>,
}

/// Base and end of every probe set, for reading; means over seeds.
pub fn ends(watched: &[Watched<'_>]) -> Table {
    let mut rows = Vec::new();
    for arm in watched {
        let mut sets: Vec<(&str, Role)> = Vec::new();
        for row in arm.seeds.iter().copied().flatten() {
            if !sets.iter().any(|(name, _)| *name == row.probe) {
                sets.push((&row.probe, row.role));
            }
        }
        for (probe, role) in sets {
            let curve = |value: fn(&Row) -> Option<f64>| {
                arm.curve(|rows| value(rows.iter().find(|row| row.probe == probe)?))
            };
            let ends = |value: fn(&Row) -> Option<f64>| {
                let curve = arm.curve(|rows| value(rows.iter().find(|row| row.probe == probe)?));
                Some((curve.first()?.y, curve.last()?.y))
            };
            rows.push(Ends {
                arm: arm.arm,
                probe,
                role,
                looks: curve(|_| Some(0.0)).len(),
                score: ends(|row| row.score),
                loss: ends(|row| row.loss),
                kl: ends(|row| row.kl),
            });
        }
    }
    Table::new("What the probe sets said while models were trained, each arm at its chosen rate")
        .legend(
            "Means over seeds. %: right answers in the right form. loss: mean surprisal of the given answers' tokens, in nats. KL: mean divergence KL(base ‖ model) \
             at the training answers' tokens after the last step, in nats.",
        )
        .rows(&rows)
        .column("arm", |row| label(row.arm))
        .column("probe set", |row| row.probe)
        .column("role", |row| match row.role {
            Role::Training => "training",
            Role::Target => "target",
            Role::NonTarget => "non-target",
        })
        .column("looks", |row| row.looks)
        .column("base %", |row| Cell::percent(row.score.map(|ends| ends.0)))
        .column("end %", |row| Cell::percent(row.score.map(|ends| ends.1)))
        .column("base loss", |row| Cell::number(row.loss.map(|ends| ends.0), 3))
        .column("end loss", |row| Cell::number(row.loss.map(|ends| ends.1), 3))
        .column("KL", |row| Cell::number(row.kl.map(|ends| ends.1), 4))
        .table()
}

/// Every probe set of every seed at every look.
pub fn looks(watched: &[Watched<'_>]) -> Table {
    let role = |role: Role| match role {
        Role::Training => "training",
        Role::Target => "target",
        Role::NonTarget => "non_target",
    };
    Table::default()
        .named("probes")
        .rows(&rows(watched))
        .file("arm", |(name, ..)| arm(name))
        .file("seed", |(_, seed, _)| *seed)
        .file("step", |(.., row)| row.step)
        .file("probe", |(.., row)| &row.probe)
        .file("role", |(.., row)| role(row.role))
        .file("examples", |(.., row)| row.examples)
        .file("loss", |(.., row)| row.loss)
        .file("kl", |(.., row)| row.kl)
        .file("score", |(.., row)| row.score)
        .file("skill", |(.., row)| row.skill)
        .file("form", |(.., row)| row.form)
        .table()
}

/// The same, class by class.
fn classes_table(watched: &[Watched<'_>]) -> Table {
    let all = rows(watched);
    let all: Vec<_> = all
        .iter()
        .flat_map(|(arm, seed, row)| {
            row.classes.iter().map(move |class| (*arm, *seed, *row, class))
        })
        .collect();
    Table::default()
        .rows(&all)
        .file("arm", |(name, ..)| arm(name))
        .file("seed", |(_, seed, ..)| *seed)
        .file("step", |(.., row, _)| row.step)
        .file("probe", |(.., row, _)| &row.probe)
        .file("class", |(.., (name, _))| *name)
        .file("tokens", |(.., (_, class))| class.tokens)
        .file("loss", |(.., (_, class))| class.loss)
        .table()
}

/// Arm, place of the seed among the arm's, and row.
fn rows<'a>(watched: &[Watched<'a>]) -> Vec<(&'a str, usize, &'a Row)> {
    let of_arm = |arm: &Watched<'a>| {
        let name = arm.arm;
        let seeds = arm.seeds.clone().into_iter().enumerate();
        seeds.flat_map(move |(seed, rows)| rows.iter().map(move |row| (name, seed + 1, row)))
    };
    watched.iter().flat_map(of_arm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ClassLoss;
    use crate::report::{Report, html, sample};

    /// One look at a training set, a target and two others.
    fn look_at(step: usize, target: f64, others: [f64; 2], kl: f64) -> Vec<Row> {
        let row = |probe: &str, role: Role| Row {
            step,
            probe: probe.into(),
            role,
            examples: 50,
            loss: Some(1.0 - 0.01 * step as f64),
            classes: [("words", 0.5), ("code_fence", 3.0 - 0.1 * step as f64)]
                .map(|(name, loss)| (name.to_string(), ClassLoss { tokens: 10, loss }))
                .into(),
            kl: None,
            score: None,
            skill: None,
            form: None,
        };
        let graded =
            |probe: &str, role: Role, score: f64| Row { score: Some(score), ..row(probe, role) };
        vec![
            Row { kl: Some(kl), ..row("training", Role::Training) },
            graded("code", Role::Target, target),
            graded("word", Role::NonTarget, others[0]),
            graded("sql", Role::NonTarget, others[1]),
        ]
    }

    fn watched_results() -> Results {
        let mut results = sample::results();
        for run in results.runs.iter_mut().filter(|run| run.chosen) {
            let fall = if run.arm == "ground_truth" { 0.3 } else { 0.05 };
            let of_seed = 0.02 * run.seed as f64;
            run.probes = look_at(0, 0.5, [0.8, 0.6], 0.0);
            run.probes.extend(look_at(20, 0.6, [0.8 - fall / 2.0, 0.6], 0.1));
            run.probes.extend(look_at(40, 0.7 - of_seed, [0.8 - fall, 0.6], 0.2));
        }
        results
    }

    #[test]
    fn curves_are_means_over_seeds_of_means_over_sets() {
        let results = watched_results();
        let watched = Watched::of(&results);
        assert_eq!(watched.len(), 7);
        assert_eq!(watched[0].seeds.len(), 3);
        let target = Quantity::of_role("target", Role::Target, &watched).unwrap();
        let last = *target.curves[0].as_ref().unwrap().last().unwrap();
        // 0.70, 0.68 and 0.66
        assert!((last.y - 68.0).abs() < 1e-9, "{last:?}");
        assert!((last.low - 66.0).abs() < 1e-9, "{last:?}");
        let others = Quantity::of_role("others", Role::NonTarget, &watched).unwrap();
        let (base, end) = others.ends()[0].unwrap();
        assert!((base - 70.0).abs() < 1e-9 && (end - 55.0).abs() < 1e-9, "{base} {end}");
    }

    #[test]
    fn the_figures_say_what_happened_and_are_on_the_page_with_their_tables() {
        let results = watched_results();
        let figures = figures(&Watched::of(&results)).unwrap();
        let names: Vec<&str> = figures.iter().map(|figure| figure.name).collect();
        assert_eq!(names, ["probes", "probe_classes"]);
        assert!(
            figures[0].plot.title.starts_with(
                "The non-target probe sets begin at 70.0 % and end lowest for ground truth (55.0)"
            ),
            "{}",
            figures[0].plot.title
        );
        assert_eq!(figures[0].plot.panels.len(), 3);
        assert_eq!(figures[0].table.height(), 7 * 3 * 3 * 4);
        assert!(
            figures[1].plot.title.contains("code fence moves most, by -4.00"),
            "{}",
            figures[1].plot.title
        );
        assert_eq!(figures[1].plot.panels.len(), 2);
        for figure in &figures {
            assert!(!figure.plot.svg().unwrap().contains("NaN"));
        }
        let report = Report::of(results.clone()).unwrap();
        let (tables, figures) = (report.tables(), report.figures().unwrap());
        let page = html::page(&report, &tables, &tables[0], &sample::provenance(), &figures);
        let page = page.unwrap();
        assert_eq!(page.matches("<svg ").count(), 2 * 7);
        assert!(page.contains("drift on training data"));
        let printed = report.text();
        assert!(printed.contains("What the probe sets said"), "{printed}");
        assert!(printed.contains("non-target") && printed.contains("0.2000"), "{printed}");
    }

    #[test]
    fn sets_that_are_not_graded_are_drawn_by_their_loss() {
        let mut rows = look_at(0, 0.5, [0.5, 0.5], 0.0);
        rows.extend(look_at(10, 0.5, [0.5, 0.5], 0.3));
        rows.iter_mut().for_each(|row| row.score = None);
        let watched = [Watched { arm: "stm(2.5)", seeds: vec![&rows] }];
        let figures = figures(&watched).unwrap();
        let title = &figures[0].plot.title;
        assert_eq!(
            title,
            "While training, the target probe goes from 1.000 to 0.900 nats, the mean of the non-target probes goes from 1.000 to 0.900 nats, the drift from the base goes from 0.000 to 0.300 nats"
        );
        assert!(super::figures(&[]).unwrap().is_empty());
        let ends = ends(&watched);
        assert!(ends.cells("base %").unwrap()[0].is_nothing());
        assert_eq!(ends.cells("KL").unwrap()[0].shown(), "0.3000");
    }
}
