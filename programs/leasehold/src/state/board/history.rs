use crate::{
    constants::HISTORY_ROUNDS,
    state::{Board, Slot},
};

/// Verdict of a round on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Up,
    Down,
    /// The round was quorate, but decided neither: not paid, and not slashed.
    Unseen,
    /// Too few keepers voted on the round: nobody could be up in it.
    Void,
}

/// Length of the rings of rounds.
pub const RING: u32 = u64::BITS;
const _: () = assert!(RING as usize == HISTORY_ROUNDS);

/// Place of a round in the rings.
pub const fn ring_bit(round: u32) -> u32 {
    round % RING
}

/// Ring with the bits of the `count` rounds before round `until`.
#[inline(always)]
pub fn ring_mask(until: u32, count: u32) -> u64 {
    if count == 0 {
        return 0;
    }
    let highest = u64::MAX.wrapping_shl(RING.wrapping_sub(count.min(RING)));
    highest.rotate_right(RING.wrapping_sub(1).wrapping_sub(ring_bit(until.wrapping_sub(1))))
}

impl Board {
    /// Verdict of a closed round on a machine; `None` if the board no longer remembers the round.
    pub fn verdict(&self, slot: &Slot, round: u32) -> Option<Verdict> {
        let age = self.next_round.checked_sub(round)?;
        if age == 0 || age > RING {
            return None;
        }
        let bit = 1u64.wrapping_shl(ring_bit(round));
        Some(match (self.quorate & bit != 0, slot.history_up & bit != 0, slot.history_down & bit != 0) {
            (false, ..) => Verdict::Void,
            (true, true, _) => Verdict::Up,
            (true, false, true) => Verdict::Down,
            (true, false, false) => Verdict::Unseen,
        })
    }

    /// Remembered rounds in which the machine was down, as a ring.
    #[inline(always)]
    pub fn down_rounds(&self, slot: &Slot) -> u64 {
        slot.history_down & !slot.history_up & self.quorate
    }

    /// Closes all rounds before `until` without verdicts: too few keepers voted on them.
    pub fn pass_over(&mut self, until: u32) {
        let rounds = until.saturating_sub(self.next_round).min(RING);
        for past in 1..=rounds {
            let place = ring_bit(until.wrapping_sub(past));
            if let Some(votes) = self.votes.get_mut(place as usize) {
                *votes = 0;
            }
            self.quorate &= !1u64.wrapping_shl(place);
        }
        self.next_round = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_the_rounds_before() {
        for until in [1u32, 5, 63, 64, 65, 1_000] {
            for count in 0..=70u32 {
                let rounds = (0..count.min(RING)).map(|past| until.wrapping_sub(1).wrapping_sub(past));
                let expected = rounds.fold(0, |mask, round| mask | 1u64 << ring_bit(round));
                assert_eq!(ring_mask(until, count), expected, "{count} rounds before {until}");
            }
        }
    }
}
