//! How far things are: bars on a terminal, plain lines with elapsed seconds elsewhere (CI).

use std::{
    fmt::Display,
    io::IsTerminal,
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The one way to tell the user how far things are; clones share one screen.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Screen>);

#[derive(Debug)]
struct Screen {
    bars: MultiProgress,
    is_terminal: bool,
    since: Instant,
}

/// One thing that takes long. Dropped without [`Step::done`], it counts as failed.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    bar: ProgressBar,
    name: String,
    since: Instant,
    ended: bool,
}

impl Progress {
    /// Looks whether standard error is a terminal.
    pub fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self(Arc::new(Screen { bars: MultiProgress::new(), is_terminal, since: Instant::now() }))
    }

    /// Begins a step that cannot tell how long it is.
    pub fn step(&self, name: impl Into<String>) -> Step {
        self.begin(name.into(), ProgressBar::new_spinner(), "{spinner} {prefix:<28} {wide_msg} {elapsed}")
    }

    /// Begins a step of so many parts.
    pub fn parts(&self, name: impl Into<String>, parts: usize) -> Step {
        let bar = ProgressBar::new(parts as u64);
        self.begin(name.into(), bar, "{spinner} {prefix:<28} [{bar:20}] {pos}/{len} {wide_msg} {elapsed}")
    }

    /// Prints a line above the bars.
    pub fn say(&self, line: impl Display) {
        if self.0.is_terminal {
            self.0.bars.suspend(|| eprintln!("{line}"));
        } else {
            eprintln!("[{:6.1} s] {line}", self.elapsed().as_secs_f64());
        }
    }

    /// The time since the program began.
    pub fn elapsed(&self) -> Duration {
        self.0.since.elapsed()
    }

    fn begin(&self, name: String, bar: ProgressBar, template: &str) -> Step {
        if self.0.is_terminal {
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(name.clone());
            self.0.bars.add(bar.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
        } else {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
            self.say(format_args!("{name} …"));
        }
        Step { progress: self.clone(), bar, name, since: Instant::now(), ended: false }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Step {
    /// Says what is being done right now.
    pub fn now(&self, what: impl Display) {
        self.bar.set_message(what.to_string());
        if !self.progress.0.is_terminal {
            self.progress.say(format_args!("{}: {what}", self.name));
        }
    }

    /// One more part is done.
    pub fn advance(&self) {
        self.bar.inc(1);
    }

    /// Ends the step well.
    pub fn done(mut self, what: impl Display) {
        self.end("✓", &what);
    }

    fn end(&mut self, mark: &str, what: &dyn Display) {
        self.ended = true;
        self.bar.finish_and_clear();
        self.progress.0.bars.remove(&self.bar);
        let seconds = self.since.elapsed().as_secs_f64();
        self.progress.say(format_args!("{mark} {:<28} {what} ({seconds:.1} s)", self.name));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            self.end("✗", &"failed");
        }
    }
}
