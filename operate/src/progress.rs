//! Progress bar and spinner for slow operations, on standard error.

use std::{
    io::{self, IsTerminal},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::timeout;

use crate::text::{print_stderr, shown};

/// Progress of transactions: a bar on a terminal, a line for each elsewhere.
pub struct Progress {
    /// "Sending", or "Sent" if several are in flight at a time.
    verb: &'static str,
    of: usize,
    /// Number started, or finished if several are in flight at a time.
    count: usize,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts with so many transactions ahead.
    pub fn start(verb: &'static str, of: usize) -> Self {
        // One needs no bar: its line says everything.
        let bar = (of > 1 && io::stderr().is_terminal()).then(|| bar(verb, of));
        Progress { verb, of, count: 0, bar }
    }

    /// Counts a transaction that starts.
    pub fn step(&mut self, what: &str) {
        let before = self.count;
        self.count = before.saturating_add(1);
        self.show(before, what);
    }

    /// Counts a transaction that finished.
    pub fn finished(&mut self, what: &str) {
        self.count = self.count.saturating_add(1);
        self.show(self.count, what);
    }

    fn show(&self, done: usize, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
                bar.set_message(what.to_owned());
            }
            None => print_stderr(format!("{} transaction {} of {}: {what}", self.verb, self.count, self.of)),
        }
    }

    /// Prints a line beside the count.
    pub fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(shown(text)),
            None => print_stderr(text),
        }
    }

    /// Clears the bar, as dropping does.
    pub fn finish(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(verb: &'static str, of: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(of).unwrap_or(u64::MAX)).with_prefix(verb);
    // With a wrong template the default style stays.
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} ({eta} left) {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// Runs the work, with a spinner on a terminal if it takes more than a second.
pub async fn with_spinner<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(Duration::from_secs(1), &mut work).await {
        return done;
    }
    let _spinner = Spinner::start(what);
    work.await
}

/// True while a spinner is drawn: spinners may be nested.
static SPINS: AtomicBool = AtomicBool::new(false);

/// A spinner, drawn until it is dropped.
struct Spinner(ProgressBar);

impl Spinner {
    fn start(what: &'static str) -> Option<Self> {
        if SPINS.swap(true, Ordering::Relaxed) {
            return None;
        }
        // Draws nothing if standard error is not a terminal.
        let spinner = ProgressBar::new_spinner().with_message(what);
        spinner.enable_steady_tick(Duration::from_millis(100));
        Some(Spinner(spinner))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        SPINS.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_tells_how_many_are_done() {
        let bar = ProgressBar::hidden();
        let mut progress = Progress { verb: "Sending", of: 3, count: 0, bar: Some(bar.clone()) };
        progress.step("one");
        assert_eq!((bar.position(), bar.message()), (0, "one".to_owned()), "the first is on its way");
        progress.step("two");
        assert_eq!((bar.position(), bar.message()), (1, "two".to_owned()));
        assert!(!bar.is_finished());
        drop(progress);
        assert!(bar.is_finished());
    }

    #[test]
    fn a_bar_counts_those_that_are_finished_where_several_are_on_their_way() {
        let bar = ProgressBar::hidden();
        let mut progress = Progress { verb: "Sent", of: 3, count: 0, bar: Some(bar.clone()) };
        progress.finished("two");
        assert_eq!((bar.position(), bar.message()), (1, "two".to_owned()));
        progress.finished("one");
        assert_eq!((bar.position(), bar.message()), (2, "one".to_owned()));
    }

    #[tokio::test]
    async fn what_is_quick_is_only_waited_for() {
        assert_eq!(with_spinner("Reading", async { 5 }).await, 5);
    }

    #[test]
    fn one_spinner_is_drawn_at_a_time() {
        let first = Spinner::start("Reading leases").unwrap();
        assert!(Spinner::start("Reading the market").is_none());
        drop(first);
        assert!(Spinner::start("Reading the market").is_some());
    }
}
