//! Order and times of probes. Pure, so that it is tested without a network.

use super::ProbeTiming;
use super::lanes::Lanes;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be probed, for the first time or again after a timeout; it may wait for its address.
    Due,
    InFlight,
    Answered,
    /// All attempts were used up.
    GivenUp,
}

#[derive(Debug)]
pub(super) struct Schedule {
    attempts: u32,
    attempt_timeout: Duration,
    max_in_flight: usize,
    states: Vec<State>,
    sent: Vec<u32>,
    /// First attempts by time.
    starts: VecDeque<(Instant, usize)>,
    /// Further attempts by time.
    retries: BinaryHeap<Reverse<(Instant, usize)>>,
    /// How long each machine's further attempts are put off, so that machines whose attempts were lost together are not
    /// probed together again.
    spread: Vec<Duration>,
    lanes: Lanes,
    /// Timeouts of the attempts under way.
    timeouts: BinaryHeap<Reverse<(Instant, usize)>>,
    in_flight: usize,
    /// Machines that have neither answered nor used up their attempts.
    open: usize,
}

impl Schedule {
    /// Machine i begins at `offsets[i]` after `start`.
    pub(super) fn new(
        start: Instant,
        offsets: &[Duration],
        timing: &ProbeTiming,
        max_in_flight: usize,
        lanes: Lanes,
    ) -> Self {
        let mut starts: Vec<_> =
            offsets.iter().enumerate().map(|(index, offset)| (start + *offset, index)).collect();
        starts.sort_unstable();
        Self {
            attempts: timing.attempts.max(1),
            attempt_timeout: timing.attempt_timeout,
            max_in_flight: max_in_flight.max(1),
            states: vec![State::Due; offsets.len()],
            sent: vec![0; offsets.len()],
            starts: starts.into(),
            retries: BinaryHeap::new(),
            spread: offsets.iter().map(|offset| spread(*offset, timing)).collect(),
            lanes,
            timeouts: BinaryHeap::new(),
            in_flight: 0,
            open: offsets.len(),
        }
    }

    /// The next machine to probe at `now`; it counts as probed. First attempts go before retries, so that silent machines
    /// never keep others from being probed.
    pub(super) fn next(&mut self, now: Instant) -> Option<usize> {
        self.expire(now);
        self.lanes.settle(now);
        while self.in_flight < self.max_in_flight {
            let index = self.candidate(now)?;
            if self.states[index] != State::Due {
                self.lanes.pass(index);
                continue;
            }
            let doublings = self.sent[index].min(16);
            self.sent[index] += 1;
            self.states[index] = State::InFlight;
            self.in_flight += 1;
            self.lanes.sent(index, self.sent[index], now);
            self.timeouts.push(Reverse((now + self.attempt_timeout.saturating_mul(1 << doublings), index)));
            return Some(index);
        }
        None
    }

    /// The next machine that is due and whose address has room.
    fn candidate(&mut self, now: Instant) -> Option<usize> {
        if let Some(index) = self.lanes.next_first() {
            return Some(index);
        }
        while let Some((_, index)) = self.starts.pop_front_if(|(at, _)| *at <= now) {
            if self.lanes.admit(index, false) {
                return Some(index);
            }
        }
        if let Some(index) = self.lanes.next_retry() {
            return Some(index);
        }
        while let Some(&Reverse((at, index))) = self.retries.peek()
            && at <= now
        {
            self.retries.pop();
            if self.lanes.admit(index, true) {
                return Some(index);
            }
        }
        None
    }

    /// Machine `index` has answered, to whichever attempt.
    pub(super) fn answered(&mut self, index: usize) {
        self.lanes.landed(index);
        match self.states[index] {
            State::InFlight => {
                self.in_flight -= 1;
                self.open -= 1;
            }
            State::Due => self.open -= 1,
            State::Answered | State::GivenUp => {}
        }
        self.states[index] = State::Answered;
    }

    /// When [`Schedule::next`] may return a machine again, unless an answer makes room before; `None` if none is left.
    pub(super) fn wake(&self) -> Option<Instant> {
        let timeout = self.timeouts.peek().map(|Reverse((at, _))| *at);
        if self.in_flight >= self.max_in_flight {
            return timeout;
        }
        let start = self.starts.front().map(|(at, _)| *at);
        let retry = self.retries.peek().map(|Reverse((at, _))| *at);
        timeout.into_iter().chain(start).chain(retry).chain(self.lanes.wake()).min()
    }

    /// True if every machine has answered or used up its attempts.
    pub(super) fn is_over(&self) -> bool {
        self.open == 0
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&Reverse((at, index))) = self.timeouts.peek() {
            if at > now {
                return;
            }
            self.timeouts.pop();
            // The attempt was answered before its timeout.
            if self.states[index] != State::InFlight {
                continue;
            }
            self.in_flight -= 1;
            self.lanes.landed(index);
            if self.sent[index] < self.attempts {
                self.states[index] = State::Due;
                self.retries.push(Reverse((at + self.spread[index], index)));
            } else {
                self.states[index] = State::GivenUp;
                self.open -= 1;
            }
        }
    }
}

/// A quarter of the first timeout at most, at random as the offsets are.
fn spread(offset: Duration, timing: &ProbeTiming) -> Duration {
    let share = offset.as_secs_f64() / timing.window.as_secs_f64();
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    timing.attempt_timeout.mul_f64(share / 4.0)
}

#[cfg(test)]
mod tests {
    use super::super::ProberConfig;
    use super::super::lanes::Flights;
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const TIMING: ProbeTiming = ProbeTiming {
        window: Duration::from_secs(5),
        attempts: 3,
        attempt_timeout: Duration::from_secs(1),
        deadline: Duration::from_secs(20),
    };

    /// Each machine has an address of its own.
    fn schedule(start: Instant, offsets: &[Duration], max_in_flight: usize) -> Schedule {
        let addresses = (1u32..).map(|last| Some(IpAddr::V4(Ipv4Addr::from_bits(last)))).take(offsets.len());
        let addresses: Vec<_> = addresses.collect();
        let lanes = Lanes::new(&Flights::default(), &addresses, &ProberConfig::default());
        Schedule::new(start, offsets, &TIMING, max_in_flight, lanes)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn all(schedule: &mut Schedule, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| schedule.next(now)).collect()
    }

    #[test]
    fn a_silent_machine_is_asked_thrice_with_doubling_timeouts() {
        let start = Instant::now();
        let mut schedule = schedule(start, &[secs(0)], 10);
        let mut sent = Vec::new();
        while let Some(at) = schedule.wake() {
            sent.extend(all(&mut schedule, at).iter().map(|_| at - start));
        }
        assert_eq!(sent, [secs(0), secs(1), secs(3)]);
        assert!(schedule.is_over());
    }

    #[test]
    fn an_answer_ends_the_attempts_even_when_it_is_late() {
        let start = Instant::now();
        let mut schedule = schedule(start, &[secs(0), secs(0)], 10);
        assert_eq!(all(&mut schedule, start), [0, 1]);
        schedule.answered(0);
        assert_eq!(all(&mut schedule, start + secs(1)), [1]);
        schedule.answered(1);
        schedule.answered(1);
        assert!(schedule.is_over());
        assert!(all(&mut schedule, start + secs(60)).is_empty());
    }

    #[test]
    fn no_more_are_in_flight_than_allowed_and_first_attempts_go_first() {
        let start = Instant::now();
        let mut schedule = schedule(start, &[secs(0); 5], 2);
        assert_eq!(all(&mut schedule, start), [0, 1]);
        assert_eq!(schedule.wake(), Some(start + secs(1)));
        schedule.answered(1);
        assert_eq!(all(&mut schedule, start), [2]);
        // 0 and 2 time out; 3 and 4 have not been asked yet and come before them.
        assert_eq!(all(&mut schedule, start + secs(1)), [3, 4]);
        assert_eq!(all(&mut schedule, start + secs(2)), [0, 2]);
    }

    #[test]
    fn starts_keep_to_their_time() {
        let start = Instant::now();
        let mut schedule = schedule(start, &[secs(3), secs(1), secs(2)], 10);
        assert!(all(&mut schedule, start).is_empty());
        assert_eq!(schedule.wake(), Some(start + secs(1)));
        assert_eq!(all(&mut schedule, start + secs(2)), [1, 2]);
        assert_eq!(all(&mut schedule, start + secs(3)), [0]);
        assert_eq!(all(&mut schedule, start + Duration::from_millis(3_100)), [1, 2]);
    }

    #[test]
    fn nobody_to_ask_is_over_at_once() {
        let schedule = schedule(Instant::now(), &[], 10);
        assert!(schedule.is_over());
        assert_eq!(schedule.wake(), None);
    }

    #[test]
    fn retries_of_machines_that_fell_silent_together_are_spread() {
        let start = Instant::now();
        let offsets: Vec<_> = (0..=4).map(secs).collect();
        // Probed at once, as after a pause of this host.
        let mut schedule = schedule(start, &offsets, 10);
        let at = start + secs(5);
        assert_eq!(all(&mut schedule, at).len(), 5);
        let mut retries = Vec::new();
        while retries.len() < 5 {
            let now = schedule.wake().unwrap();
            retries.extend(all(&mut schedule, now).iter().map(|index| (*index, (now - at).as_millis())));
        }
        assert_eq!(retries, [(0, 1_000), (1, 1_050), (2, 1_100), (3, 1_150), (4, 1_200)]);
    }

    #[test]
    fn what_is_in_flight_for_one_address_is_bounded() {
        let (start, settle) = (Instant::now(), Duration::from_millis(250));
        let config = ProberConfig { max_in_flight_per_address: 2, settle, ..ProberConfig::default() };
        let [crowded, alone] = [1, 2].map(|last| Some(IpAddr::V4(Ipv4Addr::from_bits(last))));
        let lanes = Lanes::new(&Flights::default(), &[crowded, crowded, crowded, crowded, alone], &config);
        let mut schedule = Schedule::new(start, &[secs(0); 5], &TIMING, 10, lanes);
        assert_eq!(all(&mut schedule, start), [0, 1, 4]);
        schedule.answered(1);
        assert_eq!(all(&mut schedule, start), [2]);
        // Silent machines keep a live one from nothing.
        assert_eq!(schedule.wake(), Some(start + settle));
        assert_eq!(all(&mut schedule, start + settle), [3]);
        schedule.answered(3);
        schedule.answered(4);
        assert_eq!(all(&mut schedule, start + secs(1)), [0, 2]);
        while let Some(at) = schedule.wake() {
            all(&mut schedule, at);
        }
        assert!(schedule.is_over());
    }
}
