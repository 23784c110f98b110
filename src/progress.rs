//! What a person sees while something takes long: bars on stderr, nothing when that is no terminal; a few lines in a notebook.

use crate::error::{Plain, Word};
use crate::interruption::Working;
use std::io::Write;
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
    Lines,
}

/// What a line of progress in a notebook begins with; such lines say how fast a machine was, not what came out.
pub const LINE: &str = "· ";

impl Progress {
    /// Shows nothing.
    pub fn quiet() -> Self {
        Self { place: Place::Nowhere }
    }

    /// Bars on stderr if that is a terminal.
    #[cfg(feature = "cli")]
    pub fn on_stderr() -> Self {
        use indicatif::{MultiProgress, ProgressDrawTarget};
        use std::io::IsTerminal;
        let bars = || MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        Self {
            place: match std::io::stderr().is_terminal() {
                true => Place::Bars(bars()),
                false => Place::Nowhere,
            },
        }
    }

    /// Nothing but notes: a build without the command line has no bars.
    #[cfg(not(feature = "cli"))]
    pub fn on_stderr() -> Self {
        Self::quiet()
    }

    /// Lines on stdout, as a notebook's cell shows them: it has no bars, and what it prints to stderr looks like a mistake. A piece of work has
    /// a line after 2 seconds, 4, 8, and so on up to one in a minute, so that hours do not flood the page.
    pub fn lines() -> Self {
        Self { place: Place::Lines }
    }

    /// A bar for `total` pieces of work; it appears once the work has taken two seconds.
    pub fn bar(&self, what: &str, total: usize) -> Bar {
        self.start(what, total as u64, "{msg:32} {bar:30} {pos}/{len}  {eta} left")
    }

    /// A bar for `total` bytes, with the speed.
    pub fn bytes(&self, what: &str, total: u64) -> Bar {
        let template = "{msg:32} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        self.start(what, total, template)
    }

    #[cfg_attr(not(feature = "cli"), allow(unused_variables))]
    fn start(&self, what: &str, total: u64, template: &'static str) -> Bar {
        Bar {
            what: Word(what).to_string(),
            total,
            #[cfg(feature = "cli")]
            template,
            place: self.place.clone(),
            said: Mutex::new(FIRST),
            started: Instant::now(),
            #[cfg(feature = "cli")]
            shown: Mutex::new(None),
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
            Place::Nowhere => {
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
    #[cfg(feature = "cli")]
    template: &'static str,
    place: Place,
    /// When the next line is due, from the start.
    said: Mutex<Duration>,
    started: Instant,
    #[cfg(feature = "cli")]
    shown: Mutex<Option<indicatif::ProgressBar>>,
    _working: Working,
}

/// Work that is done sooner shows nothing.
const FIRST: Duration = Duration::from_secs(2);
/// The longest time without a line.
const LONGEST: Duration = Duration::from_secs(60);

impl Bar {
    /// Says how many pieces are done.
    pub fn set(&self, done: usize) {
        match &self.place {
            Place::Nowhere => {}
            Place::Lines => self.say(done),
            #[cfg(feature = "cli")]
            Place::Bars(bars) => self.draw(bars, done),
        }
    }

    #[cfg(feature = "cli")]
    fn draw(&self, bars: &indicatif::MultiProgress, done: usize) {
        use indicatif::{ProgressBar, ProgressStyle};
        if self.started.elapsed() < FIRST {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(|broken| broken.into_inner());
        let bar = shown.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(self.template);
            let bar = ProgressBar::new(self.total).with_elapsed(self.started.elapsed());
            bars.add(
                bar.with_style(style.expect("the template is well formed"))
                    .with_message(self.what.clone()),
            )
        });
        bar.set_position(done as u64);
    }

    fn say(&self, done: usize) {
        let elapsed = self.started.elapsed();
        let mut due = self.said.lock().unwrap_or_else(|broken| broken.into_inner());
        if elapsed < *due {
            return;
        }
        *due = elapsed + elapsed.min(LONGEST);
        let left = elapsed.as_secs_f64() * (self.total as f64 / done.max(1) as f64 - 1.0);
        println!(
            "{LINE}{}: {done} of {}, about {:.0} s left",
            self.what,
            self.total,
            left.max(0.0)
        );
    }
}

#[cfg(feature = "cli")]
impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.shown.get_mut().unwrap_or_else(|broken| broken.into_inner()).take()
        {
            bar.finish_and_clear();
        }
    }
}
