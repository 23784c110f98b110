//! The paper's tables and figures, from the command line and as a library, tried with one seed and few items.

use std::process::{Command, Output};
use unforget::context::Context;
use unforget::model::DeviceChoice;
use unforget::paper::{Desk, ExhibitOptions, exhibits, named};
use unforget::progress::Progress;
use unforget::store::Store;
use unforget::table::{Cell, Table};

fn command(folder: &std::path::Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_unforget"))
        .args(line.split_whitespace())
        .args(["--quiet", "--store"])
        .arg(folder.join("store"))
        .current_dir(folder)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn every_table_and_figure_is_listed_with_its_recipe_or_the_reason_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let tables = stdout(&command(folder.path(), "table"));
    let figures = stdout(&command(folder.path(), "figure"));
    for exhibit in exhibits() {
        let list = match exhibit.id.starts_with("figure") {
            true => &figures,
            false => &tables,
        };
        let at = list.lines().position(|line| line.starts_with(&format!("{} ", exhibit.id)));
        let at = at.unwrap_or_else(|| panic!("{} is not in {list}", exhibit.id));
        let below = list.lines().nth(at + 1).unwrap();
        let wanted = match exhibit.why_not() {
            Some(_) => "not here: ".to_owned(),
            None => format!("recipe {}", exhibit.recipe.unwrap()),
        };
        assert!(below.contains(&wanted), "{below}");
    }
}

#[test]
fn a_recipe_is_printed_and_what_cannot_be_computed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = stdout(&command(folder.path(), "table 4 --recipe"));
    assert!(recipe.contains("name = \"table-4\"") && recipe.contains("[variants.dora"));
    for (line, part) in [
        ("table 10", "commercial model"),
        ("table 77", "did you mean `table-7`"),
        ("figure 3 --seeds 0", "0"),
    ] {
        let output = command(folder.path(), line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(part), "{line}: {errors}");
    }
}

#[test]
fn a_table_is_printed_and_written_with_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let text = stdout(&command(folder.path(), "table 1 --quick --out out"));
    for part in ["ground truth", "self-output", "perplexity, Llama 8B", "4.83", "1.16"] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    let page = std::fs::read_to_string(folder.path().join("out/table-1/README.md")).unwrap();
    assert!(page.starts_with("# Table 1: ") && page.contains("| 4.83 |"), "{page}");
    let csv = folder.path().join("out/table-1/tables/perplexity-algebra.csv");
    let csv = std::fs::read_to_string(csv).unwrap();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let json = stdout(&command(folder.path(), "table 1 --quick --json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["id"], "table-1");
    let perplexity = |row: usize| json["tables"][0]["rows"][row][2]["value"].as_f64().unwrap();
    // ground truth surprises the model more than its own answers
    assert!(perplexity(0) > perplexity(2), "{json}");
}

fn number(table: &Table, row: usize, column: &str) -> f64 {
    let cells = table.cells(column).unwrap_or_else(|| panic!("{column}: {:?}", table.headings()));
    cells[row].value().unwrap_or_else(|| panic!("{column}: {:?}", cells[row])).value
}

#[test]
fn norms_ranks_and_spectra_come_from_the_same_runs() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let cx = Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap();
    let options = ExhibitOptions { quick: true, ..ExhibitOptions::default() };
    let desk = Desk::new(&cx, options);
    let norms = named("table-7").unwrap().compute(&desk).unwrap();
    let table = &norms.tables[0];
    assert_eq!(table.height(), 4 * 2); // arms and rates
    for row in 0..table.height() {
        assert!(number(table, row, "‖Δ‖") > 0.0);
        let rank = number(table, row, "entropy rank");
        assert!((1.0..=16.0).contains(&rank), "{rank}");
    }
    // the higher of an arm's two rates moves the weights further
    assert!(number(table, 1, "‖Δ‖") > number(table, 0, "‖Δ‖"));
    let ranks = named("figure-13").unwrap().compute(&desk).unwrap();
    let values = named("figure-14").unwrap().compute(&desk).unwrap();
    assert_eq!(values.tables[0].height(), 4 * 16); // blocks and singular values
    for row in 1..16 {
        assert!(
            number(&values.tables[0], row, "ground truth")
                <= number(&values.tables[0], row - 1, "ground truth")
        );
    }
    let largest = number(&ranks.tables[0], 2, "largest");
    assert!((largest - number(&values.tables[0], 0, "ground truth")).abs() < 1e-9);
    let cost = &norms.tables[1];
    assert!(number(cost, 0, "tokens read") > number(cost, 0, "learned"));
    assert!(number(cost, 0, "area %") > 0.0);
}

#[test]
fn one_target_after_the_other_fills_the_whole_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let cx = Context::new(store, DeviceChoice::Cpu, Progress::quiet()).unwrap();
    let options = ExhibitOptions { quick: true, ..ExhibitOptions::default() };
    let shown = named("table-19").unwrap().compute(&Desk::new(&cx, options)).unwrap();
    let matrix = &shown.tables[0];
    // base, then two stages of each arm; six tasks
    assert_eq!((matrix.height(), matrix.headings().len()), (1 + 2 * 3, 2 + 6));
    let mut columns = matrix.headings().into_iter().filter_map(|name| matrix.cells(name));
    assert!(!columns.any(|cells| cells.iter().any(Cell::is_nothing)), "{matrix:?}");
    assert_eq!(shown.tables[1].height(), 3);
}
