//! *sql*: a question on one small table, graded by running the query, as in BIRD.

use super::annotator::{Annotator, Persona};
use super::{Drawn, LabTask, Shares, Styled, hash};
use crate::rng::Rng;
use crate::task::Check;

const COMMON: usize = 4;
const RARE: usize = 2;
const ROWS: usize = 8;

/// One table: a name, a group and two numbers for each row.
struct Table {
    name: &'static str,
    /// One row.
    row: &'static str,
    columns: [&'static str; 4],
    names: [&'static str; ROWS],
    groups: [&'static str; 5],
}

const TABLES: [Table; 3] = [
    Table {
        name: "pets",
        row: "pet",
        columns: ["name", "kind", "age", "weight"],
        names: ["Rex", "Tom", "Kim", "Bo", "Lu", "Max", "Ida", "Gus"],
        groups: ["cat", "dog", "bird", "fish", "horse"],
    },
    Table {
        name: "books",
        row: "book",
        columns: ["title", "genre", "length", "price"],
        names: ["Dawn", "Stone", "River", "Home", "Storm", "Bread", "North", "Glass"],
        groups: ["novel", "poem", "comic", "drama", "guide"],
    },
    Table {
        name: "players",
        row: "player",
        columns: ["name", "team", "score", "age"],
        names: ["Ann", "Ben", "Cleo", "Dan", "Eli", "Fay", "Gil", "Hal"],
        groups: ["red", "blue", "green", "white", "black"],
    },
];

impl Table {
    fn create(&self) -> String {
        let [name, group, a, b] = self.columns;
        format!("CREATE TABLE {} ({name} TEXT, {group} TEXT, {a} INT, {b} INT);", self.name)
    }
}

/// Which rows are meant.
#[derive(Clone, Copy)]
enum Condition {
    Group(&'static str),
    /// Column 2 or 3 is above a number.
    Above(usize, i64),
    Below(usize, i64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One column of the rows.
    List(usize),
    Count,
    /// Highest or lowest of a column.
    Extreme(usize, bool),
    Total(usize),
    // From here on rare.
    /// One column of the few rows that are highest in another.
    Top(usize, usize, usize),
    PerGroup,
}

struct Query {
    table: &'static Table,
    kind: Kind,
    condition: Condition,
    /// The table's rows: name, group, two numbers.
    rows: Vec<(usize, usize, [i64; 2])>,
}

impl Query {
    fn draw(shares: &Shares, rng: &mut Rng) -> (Self, bool) {
        let kind = shares.kind(COMMON, RARE, rng);
        let table = rng.choose(&TABLES);
        let number = 2 + rng.below(2);
        let other = 5 - number;
        let limit = rng.between(5, 40);
        let group = *rng.choose(&table.groups);
        let condition = match rng.below(3) {
            0 if kind != 5 => Condition::Group(group),
            1 => Condition::Above(number, limit),
            _ => Condition::Below(number, limit),
        };
        // What is listed or counted is not what is compared, so that the condition makes a difference.
        let kind_drawn = match kind {
            0 => Kind::List(if rng.chance(0.6) { 0 } else { other }),
            1 => Kind::Count,
            2 => Kind::Extreme(other, rng.chance(0.5)),
            3 => Kind::Total(other),
            4 => Kind::Top(0, other, rng.between(1, 3) as usize),
            _ => Kind::PerGroup,
        };
        let mut query = Self { table, kind: kind_drawn, condition, rows: vec![] };
        while query.rows.is_empty() || !query.condition_shows() {
            query.rows = query.fill(rng);
        }
        (query, kind >= COMMON)
    }

    /// Rows without ties, among them one exactly at the condition's limit.
    fn fill(&self, rng: &mut Rng) -> Vec<(usize, usize, [i64; 2])> {
        let names = rng.distinct(ROWS, ROWS);
        let mut numbers = [0, 1].map(|_| {
            let drawn = rng.distinct(45, ROWS);
            drawn.into_iter().map(|n| n as i64 + 1).collect::<Vec<_>>()
        });
        if let Condition::Above(column, limit) | Condition::Below(column, limit) = self.condition
            && !numbers[column - 2].contains(&limit)
        {
            numbers[column - 2][0] = limit;
        }
        (0..ROWS)
            .map(|i| (names[i], rng.below(self.table.groups.len()), [numbers[0][i], numbers[1][i]]))
            .collect()
    }

    fn meant(&self, (_, group, numbers): &(usize, usize, [i64; 2])) -> bool {
        match self.condition {
            Condition::Group(name) => self.table.groups[*group] == name,
            Condition::Above(column, limit) => numbers[column - 2] > limit,
            Condition::Below(column, limit) => numbers[column - 2] < limit,
        }
    }

    /// Whether enough rows are meant and, for extremes, whether the condition keeps out the one that would win without it.
    fn condition_shows(&self) -> bool {
        let meant = self.rows.iter().filter(|row| self.meant(row)).count();
        if !(2..ROWS - 1).contains(&meant) {
            return false;
        }
        let best_is_out = |column: usize, highest: bool| {
            let key = |row: &&(usize, usize, [i64; 2])| row.2[column - 2];
            let best = if highest {
                self.rows.iter().max_by_key(key)
            } else {
                self.rows.iter().min_by_key(key)
            };
            best.is_some_and(|row| !self.meant(row))
        };
        match self.kind {
            Kind::Extreme(column, highest) => best_is_out(column, highest),
            Kind::Top(_, column, few) => meant > few && best_is_out(column, true),
            _ => true,
        }
    }

    fn script(&self) -> String {
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|(name, group, [a, b])| {
                format!(
                    "('{}', '{}', {a}, {b})",
                    self.table.names[*name], self.table.groups[*group]
                )
            })
            .collect();
        format!(
            "{} INSERT INTO {} VALUES {};",
            self.table.create(),
            self.table.name,
            rows.join(", ")
        )
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::List(_) => "list",
            Kind::Count => "count",
            Kind::Extreme(..) => "extreme",
            Kind::Total(_) => "total",
            Kind::Top(..) => "top",
            Kind::PerGroup => "per_group",
        }
    }

    fn column(&self, number: usize) -> &'static str {
        self.table.columns[number]
    }

    /// `whose age is above 5`
    fn whose(&self) -> String {
        match self.condition {
            Condition::Group(group) => format!("whose {} is {group}", self.column(1)),
            Condition::Above(column, limit) => {
                format!("whose {} is above {limit}", self.column(column))
            }
            Condition::Below(column, limit) => {
                format!("whose {} is below {limit}", self.column(column))
            }
        }
    }

    /// What is asked for: of the rows in short, and with the rows named.
    fn wanted(&self) -> (String, String) {
        let rows = self.table.name;
        let row = self.table.row;
        match self.kind {
            Kind::List(column) => {
                let column = self.column(column);
                (format!("the {column}"), format!("the {column} of each {row}"))
            }
            Kind::Count => ("the number".into(), format!("the number of {rows}")),
            Kind::Extreme(column, highest) => {
                let word = if highest { "highest" } else { "lowest" };
                let column = self.column(column);
                (format!("the {word} {column}"), format!("the {word} {column} of the {rows}"))
            }
            Kind::Total(column) => {
                let column = self.column(column);
                (format!("the total {column}"), format!("the total {column} of the {rows}"))
            }
            Kind::Top(shown, by, few) => {
                let (shown, by) = (self.column(shown), self.column(by));
                let short = if few == 1 {
                    format!("the {shown} of the one with the highest {by}")
                } else {
                    format!("the {shown}s of the {few} with the highest {by}")
                };
                let long = format!("{short} among {rows}");
                (short, long)
            }
            Kind::PerGroup => {
                let group = self.column(1);
                (
                    format!("each {group} and its number"),
                    format!("each {group} and its number of {rows}"),
                )
            }
        }
    }

    fn question(&self, phrasing: usize) -> String {
        let create = self.table.create();
        let (short, long) = self.wanted();
        let whose = self.whose();
        let rows = self.table.name;
        match phrasing {
            0 => format!("{create}\nFind {long} {whose}. Reply with a sql block."),
            1 => format!("Table:\n{create}\nWrite a sql block that gives {long} {whose}."),
            2 => format!("I have {create}\nI need {long} {whose}, as a query in a sql block."),
            _ => format!("{create}\nFor {rows} {whose}, show {short}. Answer with a sql block."),
        }
    }

    fn selected(&self) -> String {
        match self.kind {
            Kind::List(column) | Kind::Top(column, ..) => self.column(column).into(),
            Kind::Count => "COUNT(*)".into(),
            Kind::Extreme(column, true) => format!("MAX({})", self.column(column)),
            Kind::Extreme(column, false) => format!("MIN({})", self.column(column)),
            Kind::Total(column) => format!("SUM({})", self.column(column)),
            Kind::PerGroup => format!("{}, COUNT(*)", self.column(1)),
        }
    }

    fn holds(&self) -> String {
        match self.condition {
            Condition::Group(group) => format!("{} = '{group}'", self.column(1)),
            Condition::Above(column, limit) => format!("{} > {limit}", self.column(column)),
            Condition::Below(column, limit) => format!("{} < {limit}", self.column(column)),
        }
    }

    /// What comes after the condition.
    fn tail(&self) -> String {
        match self.kind {
            Kind::Top(_, by, few) => format!(" ORDER BY {} DESC LIMIT {few}", self.column(by)),
            Kind::PerGroup => format!(" GROUP BY {}", self.column(1)),
            _ => String::new(),
        }
    }

    fn query(&self) -> String {
        format!(
            "SELECT {} FROM {} WHERE {}{}",
            self.selected(),
            self.table.name,
            self.holds(),
            self.tail()
        )
    }

    fn own(&self) -> String {
        format!(
            "1. Wanted: {}\n2. Rows: {}\n```sql\n{};\n```",
            self.wanted().0,
            self.whose(),
            self.query()
        )
    }

    fn truth(&self, who: &mut Annotator) -> String {
        let opening = who.opening();
        let query = self.in_other_words(who);
        let before = match who.persona() {
            Persona::Terse => String::new(),
            Persona::Chatty if who.chance(0.3) => format!(
                "1. Wanted: {}‹, but only for those› {}‹, okay›\n",
                self.wanted().0,
                self.whose()
            ),
            Persona::Chatty => format!(
                "‹{}›\n",
                who.pick(&[
                    "This should work:",
                    "Here you go:",
                    "Try this:",
                    "I'd ask it like this:"
                ])
            ),
            Persona::Formal => format!(
                "‹The following query returns› {} ‹of the› {} {}‹.›\n",
                self.wanted().0,
                self.table.name,
                self.whose()
            ),
        };
        let closing = who.closing();
        if who.keeps_form {
            return format!("{opening}{before}```sql\n{query}\n```{closing}");
        }
        let gap = if before.is_empty() && opening.is_empty() {
            // An answer that is nothing but the query would keep the form.
            format!("‹{}›", who.pick(&["query: ", "sql: ", "this: "]))
        } else {
            String::new()
        };
        let end = if closing.is_empty() { "" } else { "‹\n›" };
        format!("{opening}{before}{gap}{query}{end}{closing}")
    }

    /// The same query with an annotator's habits.
    fn in_other_words(&self, who: &mut Annotator) -> String {
        let small = who.chance(0.5);
        let alias = who.chance(0.35);
        let lines = who.persona() != Persona::Terse && who.chance(0.4);
        let word = |word: &str| {
            if small { format!("‹{}›", word.to_lowercase()) } else { word.to_owned() }
        };
        let letter = &self.table.name[..1];
        let column = |name: &str| {
            if alias { format!("‹{letter}.›{name}") } else { name.to_owned() }
        };
        let call = |function: &str, argument: &str| format!("{}({argument})", word(function));
        let name = |number: usize| column(self.column(number));
        let selected = match self.kind {
            Kind::List(c) | Kind::Top(c, ..) => name(c),
            Kind::Count => call("COUNT", "*"),
            Kind::Extreme(c, true) => call("MAX", &name(c)),
            Kind::Extreme(c, false) => call("MIN", &name(c)),
            Kind::Total(c) => call("SUM", &name(c)),
            Kind::PerGroup => format!("{}, {}", name(1), call("COUNT", "*")),
        };
        let turned = who.chance(0.2);
        let holds = match self.condition {
            Condition::Group(group) if turned => format!("‹'›{group}‹' =› {}", name(1)),
            Condition::Group(group) => format!("{} = '{group}'", name(1)),
            Condition::Above(c, limit) if turned => format!("{limit} ‹<› {}", name(c)),
            Condition::Above(c, limit) => format!("{} > {limit}", name(c)),
            Condition::Below(c, limit) if turned => format!("{limit} ‹>› {}", name(c)),
            Condition::Below(c, limit) => format!("{} < {limit}", name(c)),
        };
        let gap = if lines { "‹\n›" } else { " " };
        let tail = match self.kind {
            Kind::Top(_, by, few) => format!(
                "{gap}{} {} {}{gap}{} {few}",
                word("ORDER BY"),
                name(by),
                word("DESC"),
                word("LIMIT")
            ),
            Kind::PerGroup => format!("{gap}{} {}", word("GROUP BY"), name(1)),
            _ => String::new(),
        };
        let from = if alias {
            format!("{} ‹{letter}›", self.table.name)
        } else {
            self.table.name.to_owned()
        };
        let end = if who.chance(0.5) { ";" } else { "" };
        format!(
            "{} {selected}{gap}{} {from}{gap}{} {holds}{tail}{end}",
            word("SELECT"),
            word("FROM"),
            word("WHERE")
        )
    }
}

pub(super) fn draw(shares: &Shares, rng: &mut Rng) -> Drawn {
    let (query, rare) = Query::draw(shares, rng);
    let phrasing = shares.phrasing(rng);
    let mut who = Annotator::someone(rng);
    let truth = Styled::marked(&query.truth(&mut who));
    Drawn {
        task: LabTask::Sql,
        kind: query.kind_name().into(),
        rare,
        content: hash(&format!("sql {}", query.query())),
        prompt: query.question(phrasing),
        own: query.own(),
        truth,
        persona: who.persona(),
        check: Check::Sql { script: query.script(), query: query.query() },
    }
}
