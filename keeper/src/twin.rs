//! Notices another process that votes with the same key: on the chain, where no lock reaches.

use std::collections::{BTreeMap, HashMap};

use leasehold::state::Seat;
use solana_pubkey::Pubkey;

/// Rounds of a board whose votes are remembered.
const ROUNDS: usize = 64;

/// A vote.
#[derive(Debug)]
struct Vote {
    /// Root of the answers behind it.
    root: [u8; 32],
    is_confirmed: bool,
}

/// The votes that this process has sent.
#[derive(Debug, Default)]
pub struct Votes(HashMap<Pubkey, Board>);

#[derive(Debug)]
struct Board {
    /// The round after the one that ran when this process saw the board first. Votes on it and on later rounds were sent while
    /// this process ran, even if its RPC node lagged at first.
    since: u32,
    /// Votes by round.
    sent: BTreeMap<u32, Vote>,
}

impl Votes {
    /// Notes a vote before it is sent.
    pub fn note(&mut self, board: Pubkey, round: u32, root: [u8; 32]) {
        let sent = &mut self.0.entry(board).or_insert(Board { since: u32::MAX, sent: BTreeMap::new() }).sent;
        sent.insert(round, Vote { root, is_confirmed: false });
        while sent.len() > ROUNDS {
            sent.pop_first();
        }
    }

    /// Notes that a vote has taken effect, whatever an RPC node that lags behind shows later.
    pub fn confirm(&mut self, board: &Pubkey, round: u32) {
        if let Some(vote) = self.0.get_mut(board).and_then(|board| board.sent.get_mut(&round)) {
            vote.is_confirmed = true;
        }
    }

    /// True if a vote is known to have taken effect.
    pub fn is_confirmed(&self, board: &Pubkey, round: u32) -> bool {
        self.0.get(board).and_then(|board| board.sent.get(&round)).is_some_and(|vote| vote.is_confirmed)
    }

    /// The round of a vote in this keeper's seat that another process has sent, if there is one. `running`: the round that
    /// runs.
    pub fn foreign(&mut self, board: Pubkey, running: u32, seat: &Seat) -> Option<u32> {
        let next = running.saturating_add(1);
        let seen = self.0.entry(board).or_insert(Board { since: next, sent: BTreeMap::new() });
        seen.since = seen.since.min(next);
        let round = seat.last_round;
        let is_vote = seat.submissions > 0 && round >= seen.since;
        let is_own = seen.sent.get(&round).is_some_and(|vote| vote.root == seat.pong_root);
        (is_vote && !is_own).then_some(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(last_round: u32, root: u8) -> Seat {
        Seat { last_round, pong_root: [root; 32], submissions: 1, taken: 1, ..bytemuck::Zeroable::zeroed() }
    }

    #[test]
    fn a_vote_that_was_confirmed_is_remembered_and_one_that_was_only_sent_is_not() {
        let (mut votes, board) = (Votes::default(), Pubkey::new_from_array([7; 32]));
        votes.note(board, 101, [2; 32]);
        assert!(!votes.is_confirmed(&board, 101));
        votes.confirm(&board, 101);
        votes.confirm(&board, 102);
        assert!(votes.is_confirmed(&board, 101) && !votes.is_confirmed(&board, 102));
        assert!(!votes.is_confirmed(&Pubkey::default(), 101));
    }

    #[test]
    fn only_votes_on_rounds_of_this_processs_time_must_be_its_own() {
        let (mut votes, board) = (Votes::default(), Pubkey::new_from_array([7; 32]));
        assert_eq!(votes.foreign(board, 100, &seat(99, 1)), None, "of the process before");
        assert_eq!(votes.foreign(board, 101, &seat(100, 1)), None, "of the process before, shown late");
        votes.note(board, 101, [2; 32]);
        assert_eq!(votes.foreign(board, 102, &seat(101, 2)), None);
        assert_eq!(votes.foreign(board, 102, &seat(101, 3)), Some(101), "the other was faster");
        assert_eq!(votes.foreign(board, 103, &seat(102, 3)), Some(102), "nothing was sent");
        let taken = Seat { submissions: 0, ..seat(102, 0) };
        assert_eq!(
            votes.foreign(board, 103, &taken),
            None,
            "the round in which the seat was taken is no vote"
        );
    }
}
