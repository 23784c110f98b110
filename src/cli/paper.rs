use super::output::Reads;
use super::template::Template;
use super::terminal::{print_table, say, show};
use super::{Common, print_json};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use unforget::error::Result;
use unforget::paper::{self, Desk, Exhibit, ExhibitOptions, Made, claims};
use unforget::store::Output;

const TABLES: &str = "\
Examples:
  unforget table                 what there is, and what each needs
  unforget table 3               the paper's Table 3 at lab scale, with five seeds
  unforget table 3 --quick       one seed and few items: whether it works, not what comes out
  unforget table 3 --recipe      its recipe, for `unforget run`
  unforget table all --out results/paper

Results that another table has computed are reused, and the same call resumes what was stopped.";

/// `unforget table`
#[derive(Args)]
#[command(after_help = TABLES)]
pub struct Table {
    /// Number of the table, `format` or `as-published` for ours, or `all`; without it, list them
    number: Option<String>,
    #[command(flatten)]
    options: PaperOptions,
}

/// `unforget figure`
#[derive(Args)]
pub struct Figure {
    /// Number of the figure, or `all`; without it, list them
    number: Option<String>,
    #[command(flatten)]
    options: PaperOptions,
}

/// `unforget claims`
#[derive(Args)]
pub struct Claims {
    #[command(flatten)]
    options: PaperOptions,
}

#[derive(Args)]
struct PaperOptions {
    /// Seeds 1 to N at each arm's chosen rate [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// One seed, two rates, few items: a quick check that it works
    #[arg(long)]
    quick: bool,
    /// Another model: a folder, or owner/name on the hub; the tasks stay the lab's
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    template: Template,
    /// Folder for tables and figures [default: results/paper; with --quick nothing is written unless it is named]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print the numbers as JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Print the recipe and compute nothing
    #[arg(long)]
    recipe: bool,
}

/// Computes all tables, figures and claims and writes them to `folder`.
pub fn all(common: &Common, folder: &Path) -> Result<()> {
    let number = || Some("all".to_owned());
    let options = || PaperOptions {
        seeds: None,
        quick: false,
        model: None,
        template: Template::default(),
        out: Some(folder.to_owned()),
        json: false,
        recipe: false,
    };
    let (table, figure) = (options(), options());
    Table { number: number(), options: table }.run(common)?;
    Figure { number: number(), options: figure }.run(common)?;
    let options = options();
    Claims { options }.run(common)
}

impl Table {
    pub fn run(&self, common: &Common) -> Result<()> {
        self.options.exhibits(common, "table", self.number.as_deref())
    }
}

impl Figure {
    pub fn run(&self, common: &Common) -> Result<()> {
        self.options.exhibits(common, "figure", self.number.as_deref())
    }
}

impl Claims {
    pub fn run(&self, common: &Common) -> Result<()> {
        let output = self.options.output(common, "claims")?;
        let cx = common.context()?;
        let desk = Desk::new(&cx, self.options.desk()?);
        let found = claims::judged(&desk)?;
        if let (Some(folder), Some(output)) = (self.options.folder(), output) {
            let write = || claims::write(&found, &folder.join("claims"), &desk);
            for file in output.write(write)? {
                cx.progress.note(&format!("wrote {}", file.display()));
            }
        }

        if self.options.json {
            return print_json(&found);
        }
        for table in &claims::tables(&found) {
            print_table(table);
            say!();
        }
        Ok(())
    }
}

impl PaperOptions {
    fn desk(&self) -> Result<ExhibitOptions> {
        Ok(ExhibitOptions {
            seeds: self.seeds,
            quick: self.quick,
            model: self.model.clone(),
            template: self.template.options()?,
        })
    }

    fn folder(&self) -> Option<PathBuf> {
        let usual = (!self.quick).then(|| Path::new("results/paper").to_path_buf());
        self.out.clone().or(usual)
    }

    /// Where the exhibit `id` goes, if anywhere; what stands there is its own.
    fn output(&self, common: &Common, id: &str) -> Result<Option<Output>> {
        let Some(folder) = self.folder() else { return Ok(None) };
        let older = Made::read(&folder.join(id)).is_ok_and(|made| made.exhibit == id);
        let output = Output::within("--out", &folder, &[id]).older(older);
        let reads = Reads::new(common)?.model(self.model.as_deref().unwrap_or("lab"));
        reads.check(std::slice::from_ref(&output))?;
        Ok(Some(output))
    }

    fn exhibits(&self, common: &Common, kind: &str, number: Option<&str>) -> Result<()> {
        let ours = |exhibit: &&Exhibit| {
            !exhibit.id.starts_with("table-") && !exhibit.id.starts_with("figure-")
        };
        let of_kind = |exhibit: &&Exhibit| {
            exhibit.id.starts_with(&format!("{kind}-")) || (kind == "table" && ours(exhibit))
        };
        let all: Vec<&Exhibit> = paper::exhibits().iter().filter(of_kind).collect();
        let chosen = match number {
            None => return self.list(&all),
            Some("all") => all.into_iter().filter(|exhibit| exhibit.why_not().is_none()).collect(),
            Some(number) => {
                let id = format!("{kind}-{number}");
                let named =
                    all.into_iter().find(|exhibit| exhibit.id == number || exhibit.id == id);
                vec![match named {
                    Some(exhibit) => exhibit,
                    None => paper::named(&id)?,
                }]
            }
        };
        if self.recipe {
            for exhibit in chosen {
                let Some(recipe) = exhibit.recipe else {
                    exhibit.compute(&Desk::new(&common.context()?, self.desk()?))?;
                    continue;
                };
                show!("{}", paper::recipe_text(recipe)?);
            }
            return Ok(());
        }
        for exhibit in &chosen {
            self.output(common, exhibit.id)?;
        }
        let cx = common.context()?;
        let desk = Desk::new(&cx, self.desk()?);
        let mut documents = Vec::new();
        for exhibit in &chosen {
            let shown = exhibit.compute(&desk)?;
            if let (Some(folder), Some(output)) = (self.folder(), self.output(common, exhibit.id)?)
            {
                let page =
                    output.write(|| shown.write(&folder.join(exhibit.id), exhibit, &desk))?;
                cx.progress.note(&format!("wrote {}", page.display()));
            }

            if self.json {
                documents.push(json!({"id": exhibit.id, "title": exhibit.title, "recipe": exhibit.recipe, "tables": shown.tables}));
                continue;
            }
            say!("{}: {}\n", exhibit.heading(), exhibit.title);
            for table in &shown.tables {
                print_table(table);
                say!();
            }
            for figure in &shown.figures {
                say!("figure: {}", figure.plot.title);
            }
        }
        match (self.json, documents.as_slice()) {
            (false, _) => Ok(()),
            (true, [one]) => print_json(one),
            (true, several) => print_json(&several),
        }
    }

    fn list(&self, all: &[&Exhibit]) -> Result<()> {
        if self.json {
            let rows = all.iter().map(|exhibit| {
                json!({"id": exhibit.id, "title": exhibit.title, "recipe": exhibit.recipe, "why_not": exhibit.why_not()})
            });
            return print_json(&rows.collect::<Vec<_>>());
        }
        for exhibit in all {
            say!("{:13} {}", exhibit.id, exhibit.title);
            match exhibit.why_not() {
                Some(why) => say!("{:13}   not here: {why}", ""),
                None => say!("{:13}   recipe {}", "", exhibit.recipe.unwrap_or_default()),
            }
        }
        Ok(())
    }
}
