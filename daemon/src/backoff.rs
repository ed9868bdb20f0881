//! Backoff after failures: pauses that double, and log lines that become rare.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// The pause after that many failures in a row: half a second, doubled each time, one minute at most.
pub fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST)
}

/// Failures in a row of one operation.
#[derive(Debug, Default)]
pub struct Backoff(u32);

impl Backoff {
    /// Counts a failure and returns the pause before the next attempt. Logs the first, second, fourth, eighth...
    /// failure in a row.
    pub fn fail(&mut self, error: &dyn Display) -> Duration {
        self.0 = self.0.saturating_add(1);
        if self.0.is_power_of_two() {
            match self.0 {
                1 => tracing::warn!("{error}"),
                times => tracing::warn!("{error} ({times} times in a row)"),
            }
        }
        pause(self.0)
    }

    /// Notes a success.
    pub fn reset(&mut self) {
        self.0 = 0;
    }
}

/// A [`Backoff`] for each operation that has failed, by key.
#[derive(Debug)]
pub struct Backoffs<K>(HashMap<K, (Backoff, Instant)>);

impl<K> Default for Backoffs<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Backoffs<K> {
    /// Counts a failure of an operation and returns the pause before its next attempt.
    pub fn fail(&mut self, key: K, error: &dyn Display) -> Duration {
        let now = Instant::now();
        let (backoff, until) = self.0.entry(key).or_insert_with(|| (Backoff::default(), now));
        let pause = backoff.fail(error);
        *until = now + pause;
        pause
    }

    /// Notes a success.
    pub fn reset(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// True while the pause after the operation's last failure lasts.
    pub fn is_paused(&self, key: &K) -> bool {
        self.0.get(key).is_some_and(|(_, until)| *until > Instant::now())
    }

    /// Operations whose pauses last.
    pub fn paused(&self) -> impl Iterator<Item = &K> {
        let now = Instant::now();
        self.0.iter().filter(move |(_, (_, until))| *until > now).map(|(key, _)| key)
    }

    /// Forgets the failures of the operations for which `keep` returns false.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| keep(key));
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
