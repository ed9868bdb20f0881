//! When rounds are voted on and closed: the program's own rules, for whoever plans ahead.

use leasehold::{rules::round, state::Board};

pub use leasehold::rules::round::{Ballot, Window, bitmap_len, window};

/// The round that runs at a Unix time; 0 before the first one begins. `phase_secs`: second of a round's length at which the
/// board's rounds begin.
pub fn round_at(round_secs: u32, phase_secs: u32, now: i64) -> u32 {
    round::at(round_secs, phase_secs, now.max(phase_secs.into())).unwrap_or(u32::MAX)
}

/// The vote that can be given at Unix time `now`: on the round that ended last. `None` once its time is over or it is
/// closed, and while votes on an earlier round wait to be counted.
pub fn ballot(board: &Board, now: i64) -> Option<Ballot> {
    let round = board.round_at(now).ok()?.checked_sub(1)?;
    round::ballot(board, round, now).ok()
}

/// First round that would not be closed after a `close_round` at Unix time `now`; `None` if it would be refused.
pub fn closable(board: &Board, now: i64) -> Option<u32> {
    round::closing(board, now).ok()?.next_round()
}

/// Unix second from which the votes that wait can be counted whoever has voted; `None` if none wait.
pub fn counted_from(board: &Board) -> Option<i64> {
    Some(round::count_waits_until(board)?.saturating_add(1))
}

/// A vote's bitmap: bit i is set where machine i answered.
pub fn bitmap(slots: u32, answered: impl Fn(u16) -> bool) -> Vec<u8> {
    let mut bytes = vec![0; bitmap_len(slots)];
    for slot in 0..u16::try_from(slots).unwrap_or(u16::MAX) {
        if answered(slot)
            && let Some(byte) = bytes.get_mut(usize::from(slot / 8))
        {
            *byte |= 1 << (slot % 8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use leasehold::{math::tally, state::Tally};

    use super::*;
    use crate::sample::{NEXT_ROUND, change, snapshot};

    /// The sample's board with nobody's vote, changed.
    fn board(changed: impl FnOnce(&mut Board)) -> Board {
        let mut data = snapshot().boards.remove(0).data;
        change(&mut data, |board, _| {
            board.tally = bytemuck::Zeroable::zeroed();
            changed(board);
        });
        *data.view().unwrap().header
    }

    /// Round 1,000 runs from 600,000 to 600,599 and can be voted on from 600,600 to 600,900.
    #[test]
    fn a_round_is_voted_on_from_its_end_for_the_time_to_submit() {
        let board = board(|_| {});
        let expected =
            Window { round: NEXT_ROUND, begins: 600_000, ends: 600_599, opens: 600_600, closes: 600_900 };
        assert_eq!(window(&board, NEXT_ROUND), expected);
        assert_eq!(round_at(600, 0, 600_599), NEXT_ROUND);
        assert_eq!((round_at(600, 7, 600_006), round_at(600, 7, -1)), (NEXT_ROUND - 1, 0));
        let at = |now| ballot(&board, now).map(|ballot| ballot.round);
        assert_eq!(at(600_599), None, "round 999 is closed");
        assert_eq!(at(600_600), Some(NEXT_ROUND));
        assert_eq!(at(600_900), Some(NEXT_ROUND));
        assert_eq!(at(600_901), None);
    }

    #[test]
    fn a_time_to_submit_of_a_whole_round_ends_with_the_next_round() {
        let board = board(|board| board.submit_secs = 600);
        assert_eq!(window(&board, NEXT_ROUND).closes, 601_199);
        assert_eq!(ballot(&board, 601_199).map(|ballot| ballot.round), Some(NEXT_ROUND));
        assert_eq!(ballot(&board, 601_200).map(|ballot| ballot.round), Some(NEXT_ROUND + 1));
    }

    #[test]
    fn votes_that_wait_hold_up_the_next_round() {
        let waiting = board(|board| (board.tally.round, board.tally.submitted) = (NEXT_ROUND, 0b10));
        let open = ballot(&waiting, 600_700).unwrap();
        assert!(open.has_voted(1) && !open.has_voted(0) && !open.has_voted(16));
        assert_eq!(ballot(&waiting, 601_300), None, "round 1,000 is to be closed first");
    }

    #[test]
    fn a_vote_covers_the_slots_there_were_when_the_round_ended() {
        let grown = board(|board| (board.resized_round, board.slots_before) = (NEXT_ROUND + 1, 3));
        assert_eq!(ballot(&grown, 600_600).unwrap().slots, 3);
        let earlier = board(|board| (board.resized_round, board.slots_before) = (NEXT_ROUND, 3));
        assert_eq!(ballot(&earlier, 600_600).unwrap().slots, 4);
    }

    #[test]
    fn a_round_closes_when_everybody_has_voted_or_the_time_is_over() {
        let voted =
            |submitted| board(|board| board.tally = Tally { round: NEXT_ROUND, submitted, ..board.tally });
        assert_eq!(closable(&voted(0b01), 600_900), None);
        assert_eq!(closable(&voted(0b01), 600_901), Some(NEXT_ROUND + 1));
        assert_eq!(closable(&voted(0b11), 600_601), Some(NEXT_ROUND + 1));
    }

    #[test]
    fn rounds_nobody_voted_for_are_passed_over_after_their_time() {
        let board = board(|_| {});
        assert_eq!(closable(&board, 600_900), None);
        assert_eq!(closable(&board, 600_901), Some(NEXT_ROUND + 1));
        assert_eq!(closable(&board, 700_000), Some(1_166));
        assert_eq!(closable(&board, 0), None);
    }

    #[test]
    fn bitmaps_are_as_the_program_reads_them() {
        assert_eq!((bitmap_len(0), bitmap_len(1), bitmap_len(8), bitmap_len(6_144)), (0, 1, 1, 768));
        assert_eq!(bitmap(10, |slot| slot == 0 || slot >= 9), [1, 2]);
        let all = bitmap(13, |_| true);
        assert!(tally::is_padded(&all, 13));
        let mut planes = [[0; leasehold::constants::WORDS]; leasehold::constants::PLANES];
        tally::add_vote(&mut planes, &bitmap(6_144, |slot| slot == 6_143));
        assert_eq!((planes[0][95], planes[0][0]), (1 << 63, 0));
    }
}
