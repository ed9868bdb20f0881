//! Rate limit: how many signatures the node verifies for one source address.
//!
//! A fixed array of token buckets, chosen by a keyed hash of the address: memory is bounded, nothing is evicted, and
//! nobody without the key can pick two addresses that share a bucket. Each bucket is one number, the time at which it
//! would be full again (the generic cell rate algorithm of ITU-T I.371), so that admitting a datagram is one
//! compare-and-swap.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// 512 KiB of buckets.
const BUCKETS: usize = 1 << 16;
/// A source that was quiet may send this many seconds' worth at once.
const BURST_SECS: u64 = 2;
const SECOND: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Limiter {
    hasher: RandomState,
    start: Instant,
    /// When each bucket is full again, in nanoseconds after `start`.
    full_at: Box<[AtomicU64]>,
    /// Nanoseconds for one token.
    interval: AtomicU64,
}

impl Limiter {
    /// Admits `rate` datagrams per second of each address (of each /64 network, for IPv6).
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        let limiter = Self {
            hasher: RandomState::new(),
            start: Instant::now(),
            full_at: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            interval: AtomicU64::new(0),
        };
        limiter.set_rate(rate);
        limiter
    }

    pub(crate) fn set_rate(&self, rate: NonZeroU32) {
        self.interval.store((SECOND / u64::from(rate.get())).max(1), Relaxed);
    }

    /// Takes a token from the source's bucket. Returns false if it is empty.
    pub(crate) fn admit(&self, source: IpAddr, now: Instant) -> bool {
        let now = nanos(now.saturating_duration_since(self.start));
        let interval = self.interval.load(Relaxed);
        let bucket = &self.full_at[self.bucket(source)];
        bucket
            .fetch_update(Relaxed, Relaxed, |full_at| {
                let full_at = full_at.max(now).saturating_add(interval);
                (full_at <= now.saturating_add(BURST_SECS * SECOND)).then_some(full_at)
            })
            .is_ok()
    }

    fn bucket(&self, source: IpAddr) -> usize {
        let hash = match source.to_canonical() {
            IpAddr::V4(v4) => self.hasher.hash_one(v4.octets()),
            // Whoever has one IPv6 address usually has the 2^64 addresses of its network.
            IpAddr::V6(v6) => self.hasher.hash_one(&v6.octets()[..8]),
        };
        hash as usize % BUCKETS
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(rate: u32) -> Limiter {
        Limiter::new(NonZeroU32::new(rate).unwrap())
    }

    fn admitted(limiter: &Limiter, source: &str, count: usize, at: Duration) -> usize {
        let source = source.parse().unwrap();
        (0..count).filter(|_| limiter.admit(source, limiter.start + at)).count()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let limiter = limiter(100);
        assert_eq!(admitted(&limiter, "192.0.2.1", 1000, Duration::ZERO), 200);
        assert_eq!(admitted(&limiter, "192.0.2.1", 1000, Duration::from_secs(1)), 100);
        assert_eq!(admitted(&limiter, "192.0.2.1", 1000, Duration::from_millis(1500)), 50);
        assert_eq!(admitted(&limiter, "192.0.2.1", 1000, Duration::from_secs(3600)), 200);
    }

    #[test]
    fn sources_do_not_take_each_others_tokens() {
        let limiter = limiter(10);
        assert_eq!(admitted(&limiter, "192.0.2.1", 100, Duration::ZERO), 20);
        // Two addresses share a bucket by chance once in 65,536; out of fifty, never half of them.
        let free =
            (1..=50).filter(|n| admitted(&limiter, &format!("198.51.100.{n}"), 1, Duration::ZERO) == 1);
        assert!(free.count() > 25);
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_a_mapped_address_is_its_ipv4_one() {
        let limiter = limiter(10);
        assert_eq!(admitted(&limiter, "2001:db8::1", 100, Duration::ZERO), 20);
        assert_eq!(admitted(&limiter, "2001:db8::ffff:2", 100, Duration::ZERO), 0);
        assert_eq!(
            limiter.bucket("::ffff:192.0.2.7".parse().unwrap()),
            limiter.bucket("192.0.2.7".parse().unwrap())
        );
    }

    #[test]
    fn a_changed_rate_applies_at_once() {
        let limiter = limiter(1);
        assert_eq!(admitted(&limiter, "192.0.2.1", 100, Duration::ZERO), 2);
        limiter.set_rate(NonZeroU32::new(1000).unwrap());
        assert_eq!(admitted(&limiter, "192.0.2.1", 5000, Duration::from_secs(2)), 2000);
    }
}
