//! Signs of life from outside, and addresses to which this host never could send.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Signs of life are kept to this precision.
const TICK: Duration = Duration::from_millis(100);
/// Signs of life older than this are forgotten: longer than the longest round.
const MEMORY: Duration = Duration::from_secs(2 * 3_600);

/// What a keeper has heard, shared by the rounds of all boards.
#[derive(Debug)]
pub struct Hearing {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Ticks since the start in which somebody was heard.
    ticks: BTreeSet<u64>,
    /// Time between two polls of the RPC node.
    pause: Duration,
    /// Addresses to which every datagram of the last round failed.
    unsendable: HashSet<IpAddr>,
    /// The same of all addresses of a family: IPv4, IPv6.
    mute: [bool; 2],
}

impl Default for Hearing {
    fn default() -> Self {
        Self { start: Instant::now(), state: Mutex::default() }
    }
}

impl Hearing {
    /// Notes a valid answer of a machine, or one of the RPC node that shows that the cluster goes on.
    pub fn note(&self) {
        self.note_at(Instant::now());
    }

    pub(super) fn note_at(&self, now: Instant) {
        let (tick, mut state) = (self.tick(now), self.lock());
        state.ticks.insert(tick);
        let oldest = tick.saturating_sub(ticks(MEMORY));
        while state.ticks.first().is_some_and(|first| *first < oldest) {
            state.ticks.pop_first();
        }
    }

    /// Sets how often the RPC node is polled: a silence shorter than that is no sign.
    pub fn expect_every(&self, pause: Duration) {
        self.lock().pause = pause;
    }

    /// True if somebody was heard between the two moments, or close to them.
    pub(super) fn heard_between(&self, from: Instant, until: Instant) -> bool {
        let state = self.lock();
        let pause = ticks(state.pause);
        let (from, until) = (self.tick(from).saturating_sub(pause), self.tick(until).saturating_add(pause));
        state.ticks.range(from..=until).next().is_some()
    }

    /// True if this host could not send to the address in the last round either: it has no IPv6, say, or a firewall that
    /// forbids it. Such a machine counts as down, since else one that is listed at such an address would keep the keeper from
    /// voting on all others for ever.
    pub(super) fn is_unsendable(&self, ip: IpAddr) -> bool {
        let state = self.lock();
        let [v4, v6] = state.mute;
        state.unsendable.contains(&ip) || if ip.is_ipv4() { v4 } else { v6 }
    }

    /// Notes to which addresses a round's datagrams could be sent at all.
    pub(super) fn note_sends(&self, sends: impl Iterator<Item = (IpAddr, bool)>) {
        let mut state = self.lock();
        let mut families = [None; 2];
        for (ip, sent) in sends {
            if sent {
                state.unsendable.remove(&ip);
            } else {
                state.unsendable.insert(ip);
            }
            let [v4, v6] = &mut families;
            let any = if ip.is_ipv4() { v4 } else { v6 };
            *any = Some(any.unwrap_or_default() || sent);
        }
        for (mute, any) in state.mute.iter_mut().zip(families) {
            *mute = any.map_or(*mute, |sent| !sent);
        }
    }

    fn tick(&self, at: Instant) -> u64 {
        ticks(at.saturating_duration_since(self.start))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_shorter_than_the_pause_between_polls_is_no_sign() {
        let hearing = Hearing::default();
        let at = |secs| hearing.start + Duration::from_secs(secs);
        hearing.note_at(at(100));
        assert!(hearing.heard_between(at(90), at(104)));
        assert!(!hearing.heard_between(at(101), at(115)));
        hearing.expect_every(Duration::from_secs(5));
        assert!(hearing.heard_between(at(101), at(115)));
        assert!(!hearing.heard_between(at(106), at(120)));
        hearing.note_at(at(100 + 3 * 3_600));
        assert_eq!(hearing.lock().ticks.len(), 1, "old signs are forgotten");
    }

    #[test]
    fn an_address_that_failed_for_a_round_is_known_until_it_works_again() {
        let hearing = Hearing::default();
        let (v4, other, v6): (IpAddr, IpAddr, IpAddr) =
            ("1.1.1.1".parse().unwrap(), "1.1.1.2".parse().unwrap(), "2606:4700::1".parse().unwrap());
        assert!(!hearing.is_unsendable(v4) && !hearing.is_unsendable(v6));
        hearing.note_sends([(v4, false), (other, true), (v6, false)].into_iter());
        assert!(hearing.is_unsendable(v4) && !hearing.is_unsendable(other));
        assert!(hearing.is_unsendable("2606:4700::2".parse().unwrap()), "the whole family");
        hearing.note_sends([(v4, true), (other, true)].into_iter());
        assert!(!hearing.is_unsendable(v4) && hearing.is_unsendable(v6));
        hearing.note_sends([(v6, true)].into_iter());
        assert!(!hearing.is_unsendable(v6));
    }
}
