use crate::{
    constants::HISTORY_ROUNDS,
    state::{Board, Slot},
};

/// Verdict of a round on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Up,
    Down,
    Unknown,
}

/// Length of the rings of rounds.
const RING: u32 = u64::BITS;
const _: () = assert!(RING as usize == HISTORY_ROUNDS);

/// Place of a round in the rings.
pub const fn ring_bit(round: u32) -> u32 {
    round % RING
}

impl Board {
    /// Verdict of a closed round on a machine; `None` if the board no longer remembers the round.
    pub fn verdict(&self, slot: &Slot, round: u32) -> Option<Verdict> {
        let age = self.next_round.checked_sub(round)?;
        if age == 0 || usize::try_from(age).ok()? > HISTORY_ROUNDS {
            return None;
        }
        let bit = 1u64.wrapping_shl(ring_bit(round));
        let voted = self.votes.get(usize::try_from(ring_bit(round)).ok()?).is_some_and(|seats| *seats != 0);
        Some(match (voted, slot.history_up & bit != 0, slot.history_down & bit != 0) {
            (true, true, _) => Verdict::Up,
            (true, false, true) => Verdict::Down,
            _ => Verdict::Unknown,
        })
    }

    /// Bit `r % 64` for each remembered round r that had a vote.
    pub fn voted_rounds(&self) -> u64 {
        self.votes.iter().rev().fold(0, |mask, seats| (mask << 1) | u64::from(*seats != 0))
    }

    /// Closes all rounds before `until` without verdicts: nobody voted on them.
    pub fn pass_over(&mut self, until: u32) {
        let rounds = until.saturating_sub(self.next_round).min(RING);
        for past in 1..=rounds {
            if let Some(votes) = self.votes.get_mut(ring_bit(until.wrapping_sub(past)) as usize) {
                *votes = 0;
            }
        }
        self.next_round = until;
    }
}
