//! What a person sees while something takes long: a line for each piece of work, redrawn on a terminal; a few plain lines in a file, a pipe
//! or a notebook.

use crate::error::{Plain, Word};
use crate::interruption::Working;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where progress is shown.
#[derive(Debug, Clone)]
pub struct Progress {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Nowhere,
    #[cfg(feature = "cli")]
    Bars(indicatif::MultiProgress),
    /// On stdout, as a notebook shows it.
    Lines,
    /// On stderr that is no terminal.
    Log,
}

/// What a line of progress in a notebook begins with; such lines say how fast a machine was, not what came out.
pub const LINE: &str = "· ";

impl Progress {
    /// Shows nothing.
    pub fn quiet() -> Self {
        Self { place: Place::Nowhere }
    }

    /// On stderr: bars if that is a terminal, else a plain line for a piece of work after 10 seconds, 20, 40, and so on up to one in a minute.
    pub fn on_stderr() -> Self {
        #[cfg(feature = "cli")]
        if std::io::stderr().is_terminal() {
            use indicatif::{MultiProgress, ProgressDrawTarget};
            let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
            return Self { place: Place::Bars(bars) };
        }
        Self { place: Place::Log }
    }

    /// Lines on stdout, as a notebook's cell shows them: it has no bars, and what it prints to stderr looks like a mistake. A piece of work has
    /// a line after 2 seconds, 4, 8, and so on up to one in a minute, so that hours do not flood the page.
    pub fn lines() -> Self {
        Self { place: Place::Lines }
    }

    /// A bar for `total` pieces of work; it appears once the work has taken two seconds.
    pub fn bar(&self, what: &str, total: usize) -> Bar {
        self.start(what, total as u64, false)
    }

    /// A bar for `total` bytes, with the speed.
    pub fn bytes(&self, what: &str, total: u64) -> Bar {
        self.start(what, total, true)
    }

    fn start(&self, what: &str, total: u64, bytes: bool) -> Bar {
        let first = match self.place {
            Place::Log => Duration::from_secs(10),
            _ => Duration::from_secs(2),
        };
        Bar {
            what: Word(what).to_string(),
            total,
            bytes,
            place: self.place.clone(),
            state: Mutex::new(State {
                begun: Instant::now(),
                before: 0,
                due: first,
                #[cfg(feature = "cli")]
                shown: None,
            }),
            _working: Working::begin(),
        }
    }

    /// A line on stderr, above any bars.
    pub fn note(&self, line: &str) {
        match &self.place {
            #[cfg(feature = "cli")]
            Place::Bars(bars) => {
                // a bar's terminal can go away; the line is lost with it
                let _ = bars.println(Plain(line).to_string());
            }
            Place::Lines => println!("{LINE}{}", Plain(line)),
            Place::Nowhere | Place::Log => {
                let _ = writeln!(std::io::stderr(), "{}", Plain(line));
            }
        }
    }
}

/// One bar. Goes away when dropped.
#[derive(Debug)]
pub struct Bar {
    what: String,
    total: u64,
    /// Whether bytes are counted.
    bytes: bool,
    place: Place,
    state: Mutex<State>,
    _working: Working,
}

#[derive(Debug)]
struct State {
    begun: Instant,
    /// What an earlier try had done by then.
    before: u64,
    /// When the next line is due, from the beginning.
    due: Duration,
    #[cfg(feature = "cli")]
    shown: Option<indicatif::ProgressBar>,
}

/// The longest time without a line.
const LONGEST: Duration = Duration::from_secs(60);

impl Bar {
    /// Says that an earlier try had done so many pieces: the time left is reckoned from what this one does.
    pub fn resume_at(&self, done: usize) {
        let mut state = self.state.lock().unwrap_or_else(|broken| broken.into_inner());
        (state.begun, state.before) = (Instant::now(), done as u64);
    }

    /// Says how many pieces are done.
    pub fn set(&self, done: usize) {
        self.set_with(done, String::new);
    }

    /// The same with a few words of how it stands, such as the loss; they are asked for when somebody looks.
    pub fn set_with(&self, done: usize, now: impl FnOnce() -> String) {
        if matches!(self.place, Place::Nowhere) {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(|broken| broken.into_inner());
        let elapsed = state.begun.elapsed();
        if elapsed < state.due {
            return;
        }
        let (done, before) = (done as u64, state.before);
        let view = View {
            what: &self.what,
            done,
            total: self.total,
            bytes: self.bytes,
            now: now(),
            speed: done.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(1e-3),
        };
        match &self.place {
            Place::Nowhere => {}
            Place::Lines => println!("{LINE}{}", view.sentence()),
            Place::Log => {
                let _ = writeln!(std::io::stderr(), "{}", view.sentence());
            }
            #[cfg(feature = "cli")]
            Place::Bars(bars) => {
                let line = view.line(columns(true, 2).unwrap_or(80));
                let bar = state.shown.get_or_insert_with(|| {
                    let style = indicatif::ProgressStyle::with_template("{msg}");
                    let bar = indicatif::ProgressBar::new(self.total);
                    bars.add(bar.with_style(style.expect("the template is well formed")))
                });
                bar.set_message(line);
                return;
            }
        }
        state.due = elapsed + elapsed.min(LONGEST);
    }
}

#[cfg(feature = "cli")]
impl Drop for Bar {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(|broken| broken.into_inner());
        if let Some(bar) = state.shown.take() {
            bar.finish_and_clear();
        }
    }
}

/// How a piece of work stands.
struct View<'a> {
    what: &'a str,
    done: u64,
    total: u64,
    bytes: bool,
    now: String,
    /// Pieces in a second.
    speed: f64,
}

impl View<'_> {
    /// The time that the rest takes at this speed; unknown before the first piece.
    fn left(&self) -> Option<String> {
        let rest = self.total.saturating_sub(self.done);
        (self.speed > 0.0 && rest > 0).then(|| duration(rest as f64 / self.speed))
    }

    fn count(&self) -> String {
        match self.bytes {
            true => {
                let (done, total) = (size(self.done as f64), size(self.total as f64));
                format!("{done}/{total}  {}/s", size(self.speed))
            }
            false => format!("{}/{}", self.done, self.total),
        }
    }

    fn sentence(&self) -> String {
        let count = self.count().replacen('/', " of ", 1);
        let mut parts = vec![format!("{}: {count}", self.what)];
        parts.extend((!self.now.is_empty()).then(|| self.now.clone()));
        parts.extend(self.left().map(|left| format!("about {left} left")));
        parts.join(", ")
    }

    /// One line of at most `width` columns: what, a bar, the count, how it stands, the time left. Where these do not fit, the bar is shorter or
    /// missing, then how it stands.
    #[cfg(feature = "cli")]
    fn line(&self, width: usize) -> String {
        /// Columns of a long name, and of a bar.
        const NAME: (usize, usize) = (12, 34);
        const BAR: (usize, usize) = (6, 30);
        let width = width.saturating_sub(1);
        let left = self.left().map(|left| format!("{left} left"));
        let with = |now: &str| {
            let parts = [Some(self.count()), Some(now.to_owned()), left.clone()];
            let parts: Vec<String> =
                parts.into_iter().flatten().filter(|p| !p.is_empty()).collect();
            parts.join("  ")
        };
        // its first words are the most important
        let first = self.now.split("  ").next().unwrap_or_default();
        let all = [with(&self.now), with(first), with("")];
        let fits = |right: &&String| NAME.0 + 2 + right.chars().count() <= width;
        let right = all.iter().find(fits).unwrap_or(&all[2]);
        let room = width.saturating_sub(right.chars().count() + 2);
        let long = self.what.chars().count();
        let name = long.min(NAME.1).min(room.saturating_sub(BAR.0 + 2).max(NAME.0.min(room)));
        let what = match long > name {
            true => self.what.chars().take(name.saturating_sub(1)).chain(['…']).collect(),
            false => self.what.to_owned(),
        };
        let bar = room.saturating_sub(name + 2).min(BAR.1);
        let bar = if bar < BAR.0 {
            String::new()
        } else {
            let full = (bar as u64 * self.done.min(self.total) / self.total.max(1)) as usize;
            format!("{}{}  ", "█".repeat(full), "░".repeat(bar - full))
        };
        format!("{what}  {bar}{right}").chars().take(width).collect()
    }
}

/// At least a second: work that is not done takes time.
fn duration(seconds: f64) -> String {
    let seconds = seconds.ceil().max(1.0) as u64;
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5999 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

fn size(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    let decimals = usize::from(unit > 0 && value < 99.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// How many columns the terminal has that stdout leads to; none where it leads to something else. `COLUMNS` says otherwise in both cases.
pub fn stdout_columns() -> Option<usize> {
    columns(std::io::stdout().is_terminal(), 1)
}

/// The same of a terminal or something else with the number `descriptor`.
fn columns(is_terminal: bool, descriptor: i32) -> Option<usize> {
    /// Of a terminal that does not say.
    const USUAL: usize = 80;
    /// Fewer are no terminal that anybody reads.
    const LEAST: usize = 20;
    let given = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok());
    if let Some(columns) = given.filter(|columns| *columns >= LEAST) {
        return Some(columns);
    }
    is_terminal.then(|| asked(descriptor).filter(|found| *found >= LEAST).unwrap_or(USUAL))
}

/// What the terminal itself says.
#[cfg(unix)]
fn asked(descriptor: i32) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a place to write to; a descriptor that is not open is an error.
    let asked = unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ, &mut size) };
    (asked == 0).then_some(usize::from(size.ws_col))
}

#[cfg(not(unix))]
fn asked(_descriptor: i32) -> Option<usize> {
    None
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    fn view<'a>(what: &'a str, done: u64, total: u64, speed: f64) -> View<'a> {
        View { what, done, total, bytes: false, now: String::new(), speed }
    }

    #[test]
    fn a_line_fits_the_terminal_and_keeps_count_and_time() {
        let long = "sampling self-output of a model with a long name";
        for width in [20, 40, 60, 80, 120, 200] {
            for what in ["runs", long] {
                let now = "loss 1.234  8150 tokens/s".to_owned();
                let line = View { now, ..view(what, 945, 2048, 30.0) }.line(width);
                assert!(line.chars().count() < width, "{width}: {line}");
                assert!(width < 40 || line.contains("945/2048"), "{width}: {line}");
                assert!(width < 40 || line.ends_with("37 s left"), "{width}: {line}");
                assert!(width < 60 || line.contains("loss 1.234"), "{width}: {line}");
            }
        }
        let line = view(long, 945, 2048, 30.0).line(80);
        assert_eq!(
            line,
            "sampling self-output of a model w…  ██████████░░░░░░░░░░░░  945/2048  37 s left"
        );
    }

    #[test]
    fn what_is_not_done_has_time_left_and_what_has_not_begun_no_estimate() {
        assert_eq!(view("runs", 1, 14, 0.5).sentence(), "runs: 1 of 14, about 26 s left");
        assert_eq!(view("runs", 1, 14, 1e6).sentence(), "runs: 1 of 14, about 1 s left");
        assert_eq!(view("runs", 0, 14, 0.0).sentence(), "runs: 0 of 14");
        assert_eq!(view("runs", 14, 14, 2.0).sentence(), "runs: 14 of 14");
        let file = View { bytes: true, ..view("model", 25_000_000, 500_000_000, 1.26e6) };
        assert_eq!(file.sentence(), "model: 25.0 MB of 500 MB  1.3 MB/s, about 7 min left");
        assert_eq!(duration(7300.0), "2 h 1 min");
    }

    #[test]
    fn a_resumed_work_reckons_with_its_own_speed() {
        let bar = Progress::quiet().bar("training", 100);
        bar.resume_at(90);
        let state = bar.state.lock().unwrap();
        assert_eq!((state.before, state.begun.elapsed() < Duration::from_secs(1)), (90, true));
    }
}
