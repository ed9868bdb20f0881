//! Bounds the challenges in flight for one address. One process may answer for many machines there; more datagrams than
//! its buffer holds would be lost.
//!
//! A challenge is in flight until it is answered, and for [`ProberConfig::settle`] at most: after that time it was read or
//! lost, and silent machines can't keep their neighbours from being probed. The bound is one for all boards that are
//! probed at the same time; each of them may always have a few in flight, so that none waits for another.

use super::ProberConfig;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Challenges that each board may have in flight for an address, whatever the other boards have.
const FLOOR: usize = 16;

/// Challenges in flight for each address, over all boards.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<IpAddr, Weak<AtomicUsize>>>>);

impl Flights {
    fn to(&self, addresses: impl Iterator<Item = Option<IpAddr>>) -> Vec<Arc<AtomicUsize>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, count| count.strong_count() > 0);
        let mut of = |address: Option<IpAddr>| {
            let Some(address) = address else { return Arc::default() };
            let known = flights.get(&address).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let count = Arc::default();
                flights.insert(address, Arc::downgrade(&count));
                count
            })
        };
        addresses.map(&mut of).collect()
    }
}

/// The addresses of a board's machines, and the machines that wait for them. A machine is its index in the schedule.
#[derive(Debug)]
pub(super) struct Lanes {
    settle: Duration,
    lanes: Vec<Lane>,
    /// Lane of each machine.
    of: Vec<usize>,
    /// Number of the attempt that is in flight; 0 if none is.
    flying: Vec<u32>,
    /// When attempts settle: machine and number of the attempt, in order.
    settling: VecDeque<(Instant, usize, u32)>,
    /// Machines that waited and may be probed now; they count as in flight.
    firsts: VecDeque<usize>,
    retries: VecDeque<usize>,
    waiting: usize,
}

#[derive(Debug)]
struct Lane {
    bound: usize,
    all_boards: Arc<AtomicUsize>,
    in_flight: usize,
    firsts: VecDeque<usize>,
    retries: VecDeque<usize>,
}

impl Lanes {
    /// Machine i answers at `addresses[i]`; with `None` it waits for no other.
    pub(super) fn new(flights: &Flights, addresses: &[Option<IpAddr>], config: &ProberConfig) -> Self {
        let mut numbers = HashMap::new();
        let of = addresses.iter().map(|address| {
            let next = numbers.len();
            *numbers.entry(*address).or_insert(next)
        });
        let of: Vec<_> = of.collect();
        let mut distinct: Vec<_> = numbers.into_iter().collect();
        distinct.sort_unstable_by_key(|(_, number)| *number);
        let bound = |address: &Option<IpAddr>| match address {
            Some(_) => config.max_in_flight_per_address.max(1),
            None => usize::MAX,
        };
        let bounds: Vec<_> = distinct.iter().map(|(address, _)| bound(address)).collect();
        let all_boards = flights.to(distinct.into_iter().map(|(address, _)| address));
        let lanes =
            all_boards.into_iter().zip(bounds).map(|(all_boards, bound)| Lane::new(all_boards, bound));
        Self {
            settle: config.settle,
            lanes: lanes.collect(),
            flying: vec![0; of.len()],
            of,
            settling: VecDeque::new(),
            firsts: VecDeque::new(),
            retries: VecDeque::new(),
            waiting: 0,
        }
    }

    /// True if the machine may be probed now; it counts as in flight then. Otherwise it waits.
    pub(super) fn admit(&mut self, index: usize, is_retry: bool) -> bool {
        let lane = &mut self.lanes[self.of[index]];
        let nobody_waits = lane.firsts.is_empty() && (!is_retry || lane.retries.is_empty());
        if nobody_waits && lane.enter() {
            return true;
        }
        if is_retry { &mut lane.retries } else { &mut lane.firsts }.push_back(index);
        self.waiting += 1;
        false
    }

    /// The next machine that waited for its first attempt and may be probed now.
    pub(super) fn next_first(&mut self) -> Option<usize> {
        self.firsts.pop_front()
    }

    /// The next machine that waited for another attempt and may be probed now.
    pub(super) fn next_retry(&mut self) -> Option<usize> {
        self.retries.pop_front()
    }

    /// Attempt `number` for a machine that was admitted is sent.
    pub(super) fn sent(&mut self, index: usize, number: u32, now: Instant) {
        self.flying[index] = number;
        self.settling.push_back((now + self.settle, index, number));
    }

    /// A machine that was admitted is not probed after all.
    pub(super) fn pass(&mut self, index: usize) {
        self.leave(self.of[index]);
    }

    /// The machine's attempt is no longer in flight.
    pub(super) fn landed(&mut self, index: usize) {
        if std::mem::take(&mut self.flying[index]) > 0 {
            self.leave(self.of[index]);
        }
    }

    /// Settles the attempts that are due.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some(&(at, index, number)) = self.settling.front().filter(|(at, ..)| *at <= now) {
            debug_assert!(at <= now);
            self.settling.pop_front();
            if self.flying[index] == number {
                self.landed(index);
            }
        }
    }

    /// When a machine that waits may be probed, unless an answer makes room before; `None` if none waits.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.settling.front().filter(|_| self.waiting > 0).map(|(at, ..)| *at)
    }

    /// Makes room, and lets in who waits: first attempts before others.
    fn leave(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        lane.in_flight -= 1;
        lane.all_boards.fetch_sub(1, Relaxed);
        while !(lane.firsts.is_empty() && lane.retries.is_empty()) && lane.enter() {
            self.firsts.extend(lane.firsts.front());
            if lane.firsts.pop_front().is_none() {
                self.retries.extend(lane.retries.pop_front());
            }
            self.waiting -= 1;
        }
    }
}

impl Lane {
    fn new(all_boards: Arc<AtomicUsize>, bound: usize) -> Self {
        Self { bound, all_boards, in_flight: 0, firsts: VecDeque::new(), retries: VecDeque::new() }
    }

    fn enter(&mut self) -> bool {
        let floor = FLOOR.min(self.bound);
        let within = |all: usize| (all < self.bound || self.in_flight < floor).then(|| all.saturating_add(1));
        let enters = self.all_boards.fetch_update(Relaxed, Relaxed, within).is_ok();
        self.in_flight += usize::from(enters);
        enters
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.all_boards.fetch_sub(self.in_flight, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_millis(250);

    fn lanes(flights: &Flights, addresses: &[u8], bound: usize) -> Lanes {
        let config =
            ProberConfig { max_in_flight_per_address: bound, settle: SETTLE, ..ProberConfig::default() };
        let addresses: Vec<_> = addresses.iter().map(|last| Some([192, 0, 2, *last].into())).collect();
        Lanes::new(flights, &addresses, &config)
    }

    fn admitted(lanes: &mut Lanes, now: Instant) -> usize {
        (0..lanes.of.len())
            .filter(|index| lanes.admit(*index, false).then(|| lanes.sent(*index, 1, now)).is_some())
            .count()
    }

    #[test]
    fn the_bound_is_one_for_all_boards_and_none_waits_for_another() {
        let (flights, now) = (Flights::default(), Instant::now());
        let [mut first, mut second] = [100, 100].map(|machines| lanes(&flights, &vec![1; machines], 40));
        assert_eq!((admitted(&mut first, now), admitted(&mut second, now)), (40, FLOOR));
        // An address of its own has a bound of its own.
        let mut other = lanes(&flights, &[2; 100], 40);
        assert_eq!(admitted(&mut other, now), 40);
        // A round that is given up leaves nothing behind.
        drop((first, second));
        assert_eq!(admitted(&mut lanes(&flights, &[1; 100], 40), now), 40);
    }

    #[test]
    fn machines_of_this_process_wait_for_nobody() {
        let (flights, now) = (Flights::default(), Instant::now());
        let config = ProberConfig { max_in_flight_per_address: 1, settle: SETTLE, ..ProberConfig::default() };
        let mut lanes = Lanes::new(&flights, &[None; 5], &config);
        assert_eq!(admitted(&mut lanes, now), 5);
    }

    #[test]
    fn an_answer_and_the_time_to_settle_make_room() {
        let now = Instant::now();
        let mut lanes = lanes(&Flights::default(), &[1; 6], 2);
        assert_eq!(admitted(&mut lanes, now), 2);
        assert_eq!((lanes.wake(), lanes.next_first()), (Some(now + SETTLE), None));
        lanes.landed(1);
        lanes.landed(1);
        assert_eq!(
            [lanes.next_first(), lanes.next_first()],
            [Some(2), None],
            "one answer makes room for one"
        );
        lanes.sent(2, 1, now + SETTLE / 2);
        lanes.settle(now + SETTLE);
        assert_eq!([lanes.next_first(), lanes.next_first()], [Some(3), None]);
        lanes.pass(3);
        assert_eq!(lanes.next_first(), Some(4), "a machine that answered meanwhile is passed over");
    }

    #[test]
    fn first_attempts_go_before_others() {
        let now = Instant::now();
        let mut lanes = lanes(&Flights::default(), &[1; 4], 1);
        assert!(lanes.admit(0, false));
        lanes.sent(0, 1, now);
        assert!(!lanes.admit(1, true) && !lanes.admit(2, false));
        lanes.landed(0);
        assert_eq!((lanes.next_retry(), lanes.next_first()), (None, Some(2)));
        lanes.pass(2);
        assert_eq!(lanes.next_retry(), Some(1));
    }
}
