//! The cluster's clock, estimated between two readings of it.
//!
//! Leases begin and end by the cluster's clock. While the RPC node answers, that clock is what it says. While it does not,
//! the clock is taken to go on as this host's does, so that a lease ends without the chain.
//!
//! A halted cluster's clock stands still, and so do its leases: a tenant whose lease would have ended stays. But for an hour
//! at most ([`HALT`]): then the lease counts as over although its clock does not say so, and the tenant is shut out and
//! frozen. Nothing is wiped, since that waits for the finalized end. When the cluster goes on, its clock counts again.

use std::time::Duration;

/// How long a tenant stays at most beyond the end of its lease by this host's clock, while the cluster stands still.
pub const HALT: Duration = Duration::from_secs(3_600);

/// An estimate of the cluster's clock. Times are this host's, since any moment, and never go back.
#[derive(Clone, Copy, Debug)]
pub struct ClusterClock {
    /// Unix second that was read last, and when it was read.
    shown: i64,
    read: Option<Duration>,
    /// When that second was read for the first time: since then the clock went on, or stands still.
    advanced: Duration,
    /// How long a reading counts.
    fresh: Duration,
}

impl ClusterClock {
    /// Before the first reading: the cluster's clock is taken to be this host's, `unix_secs`.
    pub fn unread(unix_secs: i64, at: Duration, fresh: Duration) -> Self {
        Self { shown: unix_secs, read: None, advanced: at, fresh }
    }

    /// The same, but never less than `unix_secs`, which the chain has shown before this process.
    pub fn started_at(self, unix_secs: i64) -> Self {
        Self { shown: self.shown.max(unix_secs), ..self }
    }

    /// Notes a reading; `at` is when it was asked for.
    pub fn note(&mut self, shown: i64, at: Duration) {
        if self.read.is_none() || shown > self.shown {
            (self.shown, self.advanced) = (shown, at);
        }
        // A clock that is behind is an older answer, or the cluster stands still.
        self.read = Some(at);
    }

    /// Unix second of the cluster at a time, estimated.
    pub fn now(&self, at: Duration) -> i64 {
        let own = self.later(self.advanced, at);
        let read = self.read.filter(|read| at.saturating_sub(*read) <= self.fresh);
        let halt = i64::try_from(HALT.as_secs()).unwrap_or(i64::MAX);
        read.map_or(own, |read| self.later(read, at).max(own.saturating_sub(halt)))
    }

    fn later(&self, since: Duration, at: Duration) -> i64 {
        let secs = at.saturating_sub(since).as_secs();
        self.shown.saturating_add(i64::try_from(secs).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// A clock that showed 1,000 at second 100.
    fn clock() -> ClusterClock {
        let mut clock = ClusterClock::unread(5, secs(50), secs(30));
        assert_eq!(clock.now(secs(60)), 15);
        clock.note(1_000, secs(100));
        clock
    }

    #[test]
    fn it_goes_on_while_the_rpc_node_is_away() {
        let clock = clock();
        for (at, now) in [(100, 1_000), (101, 1_001), (130, 1_030), (131, 1_031), (9_100, 10_000)] {
            assert_eq!(clock.now(secs(at)), now);
        }
    }

    #[test]
    fn it_stands_still_with_a_halted_cluster_for_an_hour_at_most() {
        let mut clock = clock();
        for at in (105..3_700).step_by(5) {
            clock.note(1_000, secs(at));
            assert_eq!((clock.now(secs(at)), clock.now(secs(at + 4))), (1_000, 1_004));
        }
        clock.note(1_000, secs(3_800));
        assert_eq!(clock.now(secs(3_800)), 1_100, "an hour behind this host's");
        assert_eq!(clock.now(secs(3_831)), 4_731, "nobody says any more that it stands still");
        clock.note(1_001, secs(3_832));
        assert_eq!(clock.now(secs(3_832)), 1_001, "the cluster goes on");
    }

    #[test]
    fn an_older_answer_does_not_turn_it_back() {
        let mut clock = clock();
        clock.note(900, secs(101));
        assert_eq!(clock.now(secs(101)), 1_000);
    }
}
