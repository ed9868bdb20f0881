//! Backoff after failures: pauses that double, and log lines that become rare.

use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// The pause after that many failures in a row: half a second, doubled each time, one minute at most.
pub fn pause(failures: u32) -> Duration {
    pause_within(failures, Duration::MAX)
}

/// As [`pause`], and a quarter of the window at most in which the operation must succeed.
pub fn pause_within(failures: u32, window: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(2u32.saturating_pow(doublings)).min(longest(window))
}

/// The longest pause of an operation that must succeed within a window: a quarter of it, so that it is tried several times
/// in each; one minute at most.
fn longest(window: Duration) -> Duration {
    (window / 4).min(LONGEST)
}

/// Failures in a row of one operation.
#[derive(Debug)]
pub struct Backoff {
    failures: u32,
    window: Duration,
    /// When the row began, and its last failure.
    row: Option<(Instant, String)>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::within(Duration::MAX)
    }
}

impl Backoff {
    /// Of an operation that must succeed within a window, such as that of a vote: no pause is longer than a quarter of it.
    pub fn within(window: Duration) -> Self {
        Self { failures: 0, window, row: None }
    }

    /// Sets the window of pauses from now on.
    pub fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Counts a failure and returns the pause before the next attempt. Logs the first, second, fourth, eighth...
    /// failure in a row, and each that differs from the one before.
    pub fn fail(&mut self, error: &dyn Display) -> Duration {
        self.fail_of(None, error)
    }

    fn fail_of(&mut self, key: Option<&str>, error: &dyn Display) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let text = error.to_string();
        let is_other = self.row.as_ref().is_none_or(|(_, last)| *last != text);
        if is_other || self.failures.is_power_of_two() {
            match self.failures {
                1 => tracing::warn!(key, "{error}"),
                times => tracing::warn!(key, times, "{error} ({times} times in a row)"),
            }
        }
        let since = self.row.take().map_or_else(Instant::now, |(since, _)| since);
        self.row = Some((since, text));
        pause_within(self.failures, self.window)
    }

    /// Notes a success. Logs it if it ends a row of failures.
    pub fn reset(&mut self) {
        self.reset_of(None);
    }

    fn reset_of(&mut self, key: Option<&str>) {
        if let Some((since, error)) = self.row.take() {
            let (times, secs) = (self.failures, since.elapsed().as_secs());
            tracing::info!(key, times, secs, "over after {times} failures in a row, {secs} s: {error}");
        }
        self.failures = 0;
    }
}

/// A [`Backoff`] for each operation that has failed, by key.
#[derive(Debug)]
pub struct Backoffs<K> {
    failed: HashMap<K, (Backoff, Instant)>,
    window: Duration,
}

impl<K> Default for Backoffs<K> {
    fn default() -> Self {
        Self::within(Duration::MAX)
    }
}

impl<K> Backoffs<K> {
    /// As [`Backoff::within`].
    pub fn within(window: Duration) -> Self {
        Self { failed: HashMap::new(), window }
    }

    /// Sets the window of pauses from now on.
    pub fn set_window(&mut self, window: Duration) {
        self.window = window;
    }
}

impl<K: Eq + Hash + Debug> Backoffs<K> {
    /// Counts a failure of an operation and returns the pause before its next attempt. Log lines have its key.
    pub fn fail(&mut self, key: K, error: &dyn Display) -> Duration {
        let (now, name) = (Instant::now(), format!("{key:?}"));
        let (backoff, until) = self.failed.entry(key).or_insert_with(|| (Backoff::default(), now));
        backoff.set_window(self.window);
        let pause = backoff.fail_of(Some(&name), error);
        *until = now + pause;
        pause
    }

    /// Notes a success.
    pub fn reset(&mut self, key: &K) {
        if let Some((mut backoff, _)) = self.failed.remove(key) {
            backoff.reset_of(Some(&format!("{key:?}")));
        }
    }

    /// True while the pause after the operation's last failure lasts.
    pub fn is_paused(&self, key: &K) -> bool {
        self.failed.get(key).is_some_and(|(_, until)| *until > Instant::now())
    }

    /// Operations whose pauses last.
    pub fn paused(&self) -> impl Iterator<Item = &K> {
        let now = Instant::now();
        self.failed.iter().filter(move |(_, (_, until))| *until > now).map(|(key, _)| key)
    }

    /// Forgets the failures of the operations for which `keep` returns false.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.failed.retain(|key, _| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<_> = (0..10).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [500, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }

    #[test]
    fn no_pause_is_longer_than_a_quarter_of_the_window() {
        for secs in [5u32, 20, 60, 300, 3_600] {
            let window = Duration::from_secs(secs.into());
            let mut backoffs = Backoffs::within(window);
            let (mut backoff, mut late) = (Backoff::within(window), Backoff::default());
            late.set_window(window);
            for _ in 0..40 {
                for pause in [backoff.fail(&"down"), late.fail(&"down"), backoffs.fail(1, &"down")] {
                    assert!(pause <= window / 4 && pause <= LONGEST, "{pause:?} in {window:?}");
                }
            }
            assert_eq!(backoff.fail(&"down"), (window / 4).min(LONGEST));
        }
    }

    #[test]
    fn a_success_ends_the_row_of_failures() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.fail(&"down"), Duration::from_millis(500));
        assert_eq!(backoff.fail(&"down"), Duration::from_secs(1));
        backoff.reset();
        assert_eq!(backoff.fail(&"down"), Duration::from_millis(500));
    }

    #[test]
    fn failures_are_counted_for_each_key() {
        let mut backoffs = Backoffs::default();
        assert_eq!(backoffs.fail("board", &"down"), pause(1));
        assert_eq!(backoffs.fail("board", &"down"), pause(2));
        assert_eq!(backoffs.fail("lease", &"gone"), pause(1));
        assert!(backoffs.is_paused(&"board") && !backoffs.is_paused(&"log"));
        assert_eq!(backoffs.paused().count(), 2);
        backoffs.reset(&"board");
        assert!(!backoffs.is_paused(&"board"));
        assert_eq!(backoffs.fail("board", &"down"), pause(1));
        backoffs.retain(|key| *key == "board");
        assert_eq!(backoffs.fail("lease", &"gone"), pause(1));
        assert_eq!(backoffs.fail("board", &"down"), pause(2));
    }
}
