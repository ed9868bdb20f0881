//! Order and times of probes. Pure, so that it is tested without a network.

use super::ProbeTiming;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be probed: for the first time, or again after a timeout.
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
    /// Machines whose last attempt timed out.
    again: VecDeque<usize>,
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
            again: VecDeque::new(),
            timeouts: BinaryHeap::new(),
            in_flight: 0,
            open: offsets.len(),
        }
    }

    /// The next machine to probe at `now`; it counts as probed. First attempts go before retries, so that silent machines
    /// never keep others from being probed.
    pub(super) fn next(&mut self, now: Instant) -> Option<usize> {
        self.expire(now);
        while self.in_flight < self.max_in_flight {
            let index = match self.starts.front() {
                Some(&(at, index)) if at <= now => {
                    self.starts.pop_front();
                    index
                }
                _ => self.again.pop_front()?,
            };
            if self.states[index] != State::Due {
                continue;
            }
            let doublings = self.sent[index].min(16);
            self.sent[index] += 1;
            self.states[index] = State::InFlight;
            self.in_flight += 1;
            self.timeouts.push(Reverse((now + self.attempt_timeout.saturating_mul(1 << doublings), index)));
            return Some(index);
        }
        None
    }

    /// Machine `index` has answered, to whichever attempt.
    pub(super) fn answered(&mut self, index: usize) {
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
        let start = self.starts.front().filter(|_| self.in_flight < self.max_in_flight).map(|(at, _)| *at);
        timeout.into_iter().chain(start).min()
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
            if self.sent[index] < self.attempts {
                self.states[index] = State::Due;
                self.again.push_back(index);
            } else {
                self.states[index] = State::GivenUp;
                self.open -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: ProbeTiming = ProbeTiming {
        window: Duration::from_secs(5),
        attempts: 3,
        attempt_timeout: Duration::from_secs(1),
        deadline: Duration::from_secs(20),
    };

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn all(schedule: &mut Schedule, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| schedule.next(now)).collect()
    }

    #[test]
    fn a_silent_machine_is_asked_thrice_with_doubling_timeouts() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, &[secs(0)], &TIMING, 10);
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
        let mut schedule = Schedule::new(start, &[secs(0), secs(0)], &TIMING, 10);
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
        let mut schedule = Schedule::new(start, &[secs(0); 5], &TIMING, 2);
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
        let mut schedule = Schedule::new(start, &[secs(3), secs(1), secs(2)], &TIMING, 10);
        assert!(all(&mut schedule, start).is_empty());
        assert_eq!(schedule.wake(), Some(start + secs(1)));
        assert_eq!(all(&mut schedule, start + secs(2)), [1, 2]);
        assert_eq!(all(&mut schedule, start + secs(3)), [0, 1, 2]);
    }

    #[test]
    fn nobody_to_ask_is_over_at_once() {
        let schedule = Schedule::new(Instant::now(), &[], &TIMING, 10);
        assert!(schedule.is_over());
        assert_eq!(schedule.wake(), None);
    }
}
