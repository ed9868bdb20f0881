//! Things that go wrong again and again: one line at first, seldom ones after that.

use std::{collections::HashMap, fmt::Display, hash::Hash, time::Duration};

/// Longest pause after a failure.
const LONGEST: Duration = Duration::from_secs(60);

/// Counts failures in a row of whatever `K` names.
#[derive(Debug)]
pub struct Troubles<K>(HashMap<K, u32>);

impl<K> Default for Troubles<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Troubles<K> {
    /// Notes a failure, logs the first, second, fourth, eighth… in a row, and returns how many there were.
    pub fn note(&mut self, what: K, error: &dyn Display) -> u32 {
        let count = self.0.entry(what).or_default();
        *count = count.saturating_add(1);
        if count.is_power_of_two() {
            match *count {
                1 => tracing::warn!("{error}"),
                times => tracing::warn!("{error} ({times} times in a row)"),
            }
        }
        *count
    }

    /// Notes that it works, again or as ever.
    pub fn clear(&mut self, what: &K) {
        self.0.remove(what);
    }

    /// Forgets whatever is not worth keeping.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.0.retain(|what, _| keep(what));
    }
}

/// How long to wait after that many failures in a row: half a second, one, two… up to a minute.
pub fn pause(failures: u32) -> Duration {
    let doubled = 2u32.saturating_pow(failures.saturating_sub(1).min(16));
    Duration::from_millis(500).saturating_mul(doubled).min(LONGEST)
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
    fn failures_are_counted_for_each_thing_until_it_works() {
        let mut troubles = Troubles::default();
        assert_eq!(troubles.note("board", &"down"), 1);
        assert_eq!(troubles.note("board", &"down"), 2);
        assert_eq!(troubles.note("lease", &"gone"), 1);
        troubles.clear(&"board");
        assert_eq!(troubles.note("board", &"down"), 1);
        troubles.retain(|what| *what == "board");
        assert_eq!(troubles.note("lease", &"gone"), 1);
    }
}
