//! What a person sees while something takes long: bars on stderr, nothing when that is no terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where progress is shown.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
}

impl Progress {
    /// Shows nothing.
    pub fn quiet() -> Self {
        Self { bars: None }
    }

    /// Bars on stderr if that is a terminal.
    pub fn on_stderr() -> Self {
        let bars = || MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        Self {
            bars: std::io::stderr().is_terminal().then(bars),
        }
    }

    /// A bar for `total` pieces of work; it appears once the work has taken two seconds.
    pub fn bar(&self, what: &str, total: usize) -> Bar {
        self.start(
            what,
            total as u64,
            "{msg:32} {bar:30} {pos}/{len}  {eta} left",
        )
    }

    /// A bar for `total` bytes, with the speed.
    pub fn bytes(&self, what: &str, total: u64) -> Bar {
        let template = "{msg:32} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        self.start(what, total, template)
    }

    fn start(&self, what: &str, total: u64, template: &'static str) -> Bar {
        let bars = self.bars.clone();
        Bar {
            what: what.to_string(),
            total,
            template,
            bars,
            started: Instant::now(),
            shown: Mutex::new(None),
        }
    }

    /// A line on stderr, above any bars.
    pub fn note(&self, line: &str) {
        match &self.bars {
            Some(bars) => {
                // a bar's terminal can go away; the line is lost with it
                let _ = bars.println(line);
            }
            None => eprintln!("{line}"),
        }
    }
}

/// One bar. Goes away when dropped.
#[derive(Debug)]
pub struct Bar {
    what: String,
    total: u64,
    template: &'static str,
    bars: Option<MultiProgress>,
    started: Instant,
    shown: Mutex<Option<ProgressBar>>,
}

impl Bar {
    /// Says how many pieces are done.
    pub fn set(&self, done: usize) {
        let Some(bars) = &self.bars else { return };
        if self.started.elapsed() < Duration::from_secs(2) {
            return;
        }
        let mut shown = self
            .shown
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
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
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self
            .shown
            .get_mut()
            .unwrap_or_else(|broken| broken.into_inner())
            .take()
        {
            bar.finish_and_clear();
        }
    }
}
