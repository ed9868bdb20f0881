//! Estimates the cluster's time between two readings of its clock.
//!
//! Rounds begin and end by the cluster's clock, which may be seconds away from this host's. The clock's account holds
//! whole seconds of a past block, so that every reading is a lower bound. The estimate is the latest such bound of the
//! last minute: never ahead of the cluster unless its clock stood still, and seldom more than two seconds behind.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Readings older than this are forgotten, so that the estimate follows a cluster slower than this host.
const MEMORY: Duration = Duration::from_secs(60);

/// The cluster's time, estimated.
#[derive(Debug)]
pub struct ClusterClock {
    start: Instant,
    /// When a reading came, and how far it was ahead of the time since `start`, in milliseconds.
    readings: VecDeque<(Duration, i64)>,
}

impl Default for ClusterClock {
    fn default() -> Self {
        Self { start: Instant::now(), readings: VecDeque::new() }
    }
}

impl ClusterClock {
    /// Notes a reading that has just come.
    pub fn note(&mut self, unix_secs: i64) {
        self.note_at(self.start.elapsed(), unix_secs);
    }

    /// Unix time of the cluster in milliseconds; `None` before the first reading.
    pub fn now_ms(&self) -> Option<i64> {
        self.at(self.start.elapsed())
    }

    /// Unix time of the cluster in milliseconds at a moment, by all readings so far.
    pub fn ms_at(&self, at: Instant) -> Option<i64> {
        self.at(at.saturating_duration_since(self.start))
    }

    fn note_at(&mut self, at: Duration, unix_secs: i64) {
        self.readings.push_back((at, unix_secs.saturating_mul(1_000).saturating_sub(millis(at))));
        while self.readings.len() > 1
            && self.readings.front().is_some_and(|(then, _)| at.saturating_sub(*then) > MEMORY)
        {
            self.readings.pop_front();
        }
    }

    fn at(&self, at: Duration) -> Option<i64> {
        self.readings.iter().map(|(_, ahead)| ahead.saturating_add(millis(at))).max()
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: f64) -> Duration {
        Duration::from_secs_f64(secs)
    }

    #[test]
    fn there_is_no_time_before_the_first_reading() {
        assert_eq!(ClusterClock::default().at(secs(1.0)), None);
    }

    #[test]
    fn time_goes_on_between_readings() {
        let mut clock = ClusterClock::default();
        clock.note_at(secs(10.0), 1_000);
        assert_eq!(clock.at(secs(10.0)), Some(1_000_000));
        assert_eq!(clock.at(secs(12.5)), Some(1_002_500));
    }

    #[test]
    fn the_latest_of_several_bounds_counts() {
        let mut clock = ClusterClock::default();
        clock.note_at(secs(10.0), 1_000);
        // The same second, read again and late in it: a weaker bound.
        clock.note_at(secs(10.9), 1_000);
        assert_eq!(clock.at(secs(11.0)), Some(1_001_000));
        // A reading right after the second turned: a stronger one.
        clock.note_at(secs(11.1), 1_002);
        assert_eq!(clock.at(secs(11.1)), Some(1_002_000));
    }

    #[test]
    fn a_jump_ahead_is_seen_at_once() {
        let mut clock = ClusterClock::default();
        clock.note_at(secs(1.0), 1_000);
        clock.note_at(secs(2.0), 5_000);
        assert_eq!(clock.at(secs(2.0)), Some(5_000_000));
    }

    #[test]
    fn a_slow_cluster_is_followed_after_a_minute() {
        let mut clock = ClusterClock::default();
        for second in 0..=120 {
            // Loses half a second in each.
            clock.note_at(secs(f64::from(second)), 1_000 + i64::from(second / 2));
        }
        let late = clock.at(secs(120.0)).expect("a reading") - 1_060_000;
        assert!((0..=31_000).contains(&late), "{late} ms");
    }

    #[test]
    fn the_last_reading_is_kept_however_old() {
        let mut clock = ClusterClock::default();
        clock.note_at(secs(0.0), 1_000);
        assert_eq!(clock.at(secs(500.0)), Some(1_500_000));
    }
}
