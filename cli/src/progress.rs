//! What takes more than a second is seen to go on, on standard error.

use std::{
    io::{self, IsTerminal},
    pin::pin,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::timeout;

/// Transactions that are sent or simulated: a bar on a terminal, a line for each elsewhere.
pub struct Progress {
    /// "Sending".
    verb: &'static str,
    of: usize,
    begun: usize,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins with so many transactions before it.
    pub fn start(verb: &'static str, of: usize) -> Self {
        // One needs no bar: its line says everything.
        let bar = (of > 1 && io::stderr().is_terminal()).then(|| bar(verb, of));
        Progress { verb, of, begun: 0, bar }
    }

    /// Notes that the next transaction is on its way.
    pub fn step(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(u64::try_from(self.begun).unwrap_or(u64::MAX));
                bar.set_message(what.to_owned());
            }
            None => eprintln!("{}", line(self.verb, self.begun, self.of, what)),
        }
        self.begun = self.begun.saturating_add(1);
    }

    /// Clears the bar, as dropping does where something failed.
    pub fn finish(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(verb: &str, begun: usize, of: usize, what: &str) -> String {
    format!("{verb} transaction {} of {of}: {what}", begun.saturating_add(1))
}

fn bar(verb: &'static str, of: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(of).unwrap_or(u64::MAX)).with_prefix(verb);
    // A template that can't be read leaves the bar that there is.
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} ({eta} left) {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// Waits for something, and shows on a terminal that it goes on where it takes more than a second.
pub async fn patiently<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(Duration::from_secs(1), &mut work).await {
        return done;
    }
    // Draws nothing where standard error is no terminal.
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    let done = work.await;
    spinner.finish_and_clear();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_counted_from_one() {
        assert_eq!(line("Sending", 0, 3, "list machines"), "Sending transaction 1 of 3: list machines");
    }

    #[test]
    fn a_bar_tells_how_many_are_done() {
        let bar = ProgressBar::hidden();
        let mut progress = Progress { verb: "Sending", of: 3, begun: 0, bar: Some(bar.clone()) };
        progress.step("one");
        assert_eq!((bar.position(), bar.message()), (0, "one".to_owned()), "the first is on its way");
        progress.step("two");
        assert_eq!((bar.position(), bar.message()), (1, "two".to_owned()));
        assert!(!bar.is_finished());
        drop(progress);
        assert!(bar.is_finished());
    }

    #[tokio::test]
    async fn what_is_quick_is_only_waited_for() {
        assert_eq!(patiently("Reading", async { 5 }).await, 5);
    }
}
