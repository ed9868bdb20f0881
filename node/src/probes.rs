//! What the answers to probes and the lease watch tell each other: the machines that the board says are others', and the
//! keepers that were heard.

use leasehold_client::probe::Pubkey;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rounds of which it is remembered for each keeper that it was heard.
const ROUNDS: usize = 4;

/// A machine's place: board, and index of the slot on it as challenges name it.
type Place = (Pubkey, u32);

/// Shared by a node's answers to probes and its lease watch. Without a lease watch, nothing is noted.
#[derive(Debug, Default)]
pub struct Probes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Wallets that hold a seat, by board.
    seats: HashMap<Pubkey, HashSet<Pubkey>>,
    /// Places whose machine is not the configured one, or another supplier's.
    strangers: HashSet<Place>,
    heard: HashMap<Place, HashMap<Pubkey, Recent>>,
    /// Places that may answer; `None`: all of them, since no tenancies are followed.
    ready: Option<HashSet<Place>>,
}

/// The last rounds in which a keeper was heard. Each keeper has its own, so that none can push out another's.
#[derive(Debug, Default)]
struct Recent {
    rounds: [Option<u32>; ROUNDS],
    next: usize,
}

impl Recent {
    fn note(&mut self, round: u32) {
        if !self.rounds.contains(&Some(round)) {
            self.rounds[self.next] = Some(round);
            self.next = (self.next + 1) % ROUNDS;
        }
    }
}

impl Probes {
    /// For a node that follows tenancies: no machine answers before [`Probes::set_ready`] names it.
    pub(crate) fn guarded() -> Self {
        Self(Mutex::new(Inner { ready: Some(HashSet::new()), ..Inner::default() }))
    }

    /// Sets the machines that answer: those that serve no lease, or are prepared for theirs.
    pub(crate) fn set_ready(&self, places: impl IntoIterator<Item = Place>) {
        self.lock().ready = Some(places.into_iter().collect());
    }

    /// True if the machine may answer, as far as its tenancy goes.
    pub(crate) fn is_ready(&self, place: &Place) -> bool {
        self.lock().ready.as_ref().is_none_or(|ready| ready.contains(place))
    }

    /// Sets the wallets that hold seats of a board. Only they count as heard: anybody can sign a challenge.
    pub fn set_seats(&self, board: Pubkey, keepers: impl IntoIterator<Item = Pubkey>) {
        let keepers: HashSet<_> = keepers.into_iter().collect();
        let inner = &mut *self.lock();
        for (_, heard) in inner.heard.iter_mut().filter(|((of, _), _)| *of == board) {
            heard.retain(|keeper, _| keepers.contains(keeper));
        }
        inner.seats.insert(board, keepers);
    }

    /// True if the keeper holds a seat of the board; `None` if the seats are not known.
    pub(crate) fn holds_seat(&self, board: &Pubkey, keeper: &Pubkey) -> Option<bool> {
        Some(self.lock().seats.get(board)?.contains(keeper))
    }

    /// Sets the places where, by the board, there is another machine than the configured one, or another supplier's. The node
    /// does not answer for them.
    pub fn set_strangers(&self, places: impl IntoIterator<Item = Place>) {
        self.lock().strangers = places.into_iter().collect();
    }

    /// True if the board says that another machine is at the place.
    pub fn is_stranger(&self, place: &Place) -> bool {
        self.lock().strangers.contains(place)
    }

    /// Notes that a keeper sent the machine a valid challenge for a round.
    pub fn note(&self, place: Place, keeper: Pubkey, round: u32) {
        let inner = &mut *self.lock();
        if inner.seats.get(&place.0).is_some_and(|keepers| keepers.contains(&keeper)) {
            inner.heard.entry(place).or_default().entry(keeper).or_default().note(round);
        }
    }

    /// Number of keepers with a seat that sent the machine a valid challenge for a round.
    pub fn heard(&self, place: &Place, round: u32) -> usize {
        let inner = self.lock();
        let keepers = inner.heard.get(place).into_iter().flat_map(HashMap::values);
        keepers.filter(|recent| recent.rounds.contains(&Some(round))).count()
    }

    // Every change is complete at each step, so that a panic elsewhere leaves it intact.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: Pubkey = Pubkey::new_from_array([1; 32]);
    const PLACE: Place = (BOARD, 3);

    fn keeper(number: u8) -> Pubkey {
        Pubkey::new_from_array([number; 32])
    }

    #[test]
    fn keepers_with_seats_are_heard_once_a_round() {
        let probes = Probes::default();
        probes.note(PLACE, keeper(1), 5);
        assert_eq!(probes.heard(&PLACE, 5), 0, "nobody is known to hold a seat");
        probes.set_seats(BOARD, [1, 2, 3].map(keeper));
        for number in [1, 2, 2, 9] {
            probes.note(PLACE, keeper(number), 5);
        }
        probes.note(PLACE, keeper(3), 6);
        assert_eq!((probes.heard(&PLACE, 5), probes.heard(&PLACE, 6)), (2, 1));
        assert_eq!(probes.heard(&(BOARD, 4), 5), 0, "each machine hears for itself");
        probes.set_seats(BOARD, [keeper(1)]);
        assert_eq!(probes.heard(&PLACE, 5), 1, "whoever lost its seat does not count");
    }

    #[test]
    fn a_node_with_tenancies_answers_for_the_machines_that_are_named() {
        assert!(Probes::default().is_ready(&PLACE));
        let probes = Probes::guarded();
        assert!(!probes.is_ready(&PLACE));
        probes.set_ready([PLACE]);
        assert!(probes.is_ready(&PLACE) && !probes.is_ready(&(BOARD, 4)));
        probes.set_ready([]);
        assert!(!probes.is_ready(&PLACE));
    }

    #[test]
    fn a_keeper_that_names_many_rounds_only_loses_its_own() {
        let probes = Probes::default();
        probes.set_seats(BOARD, [1, 2].map(keeper));
        probes.note(PLACE, keeper(1), 5);
        for round in 5..100 {
            probes.note(PLACE, keeper(2), round);
        }
        assert_eq!((probes.heard(&PLACE, 5), probes.heard(&PLACE, 99)), (1, 1));
    }
}
