//! Rounds: when they are voted on and closed, what a vote must be, and how votes become verdicts.

use anchor_lang::prelude::*;

pub use crate::math::rounds::{at, end, start};

use crate::{
    error::LeaseholdError,
    math::{
        add, add32, sub,
        tally::{self, Quorum, Verdicts},
    },
    state::{Board, Slot, Tally, ring_bit},
};

/// A round that can be voted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    pub round: u32,
    /// Slots that a vote covers: as many as there were when the round ended.
    pub slots: u32,
    /// Bit for each seat that has voted on it already.
    pub submitted: u16,
}

impl Ballot {
    /// True if the seat has voted already.
    pub fn has_voted(&self, seat: u8) -> bool {
        self.submitted.checked_shr(u32::from(seat)).is_some_and(|mask| mask & 1 == 1)
    }
}

/// Bytes of the bitmap of a vote that covers so many slots.
pub const fn bitmap_len(slots: u32) -> usize {
    slots.div_ceil(8) as usize
}

/// Seconds in which a round runs and can be voted on, all of them inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub round: u32,
    /// First and last Unix second of the round.
    pub begins: i64,
    pub ends: i64,
    /// First and last Unix second at which a vote on it is taken.
    pub opens: i64,
    pub closes: i64,
}

/// Last Unix second of a round's submit window.
#[inline(always)]
fn submit_ends(board: &Board, round: u32) -> i64 {
    board.round_end(round).saturating_add(i64::from(board.submit_secs))
}

/// When a round runs and is voted on.
pub fn window(board: &Board, round: u32) -> Window {
    let opens = board.round_end(round);
    let round_secs = i64::from(board.round_secs);
    // A vote is taken only while the next round runs, which ends a second before a submit window of the same length.
    let next_ends = opens.saturating_add(round_secs).saturating_sub(1);
    let closes = submit_ends(board, round).min(next_ends);
    Window { round, begins: opens.saturating_sub(round_secs), ends: opens.saturating_sub(1), opens, closes }
}

/// The vote that can be given on a round at Unix time `now`. Refused unless the round ended last, its submit window is open,
/// it is not closed, and no votes on an earlier round wait to be counted.
#[inline(always)]
pub fn ballot(board: &Board, round: u32, now: i64) -> Result<Ballot> {
    let running = board.round_at(now)?;
    let in_window = round.checked_add(1) == Some(running) && now <= submit_ends(board, round);
    require!(in_window, LeaseholdError::OutsideSubmitWindow);
    require!(round >= board.next_round, LeaseholdError::RoundClosed);
    let is_voting = board.is_voting();
    require!(!is_voting || board.tally.round == round, LeaseholdError::EarlierRoundOpen);
    Ok(Ballot { round, slots: board.slots_at(running), submitted: board.tally.submitted })
}

/// Counts a seat's vote on the round that ended last.
pub fn submit(
    board: &mut Board,
    seat: u8,
    round: u32,
    pong_root: [u8; 32],
    bitmap: &[u8],
    now: i64,
) -> Result<()> {
    let ballot = ballot(board, round, now)?;
    require!(bitmap.len() == bitmap_len(ballot.slots), LeaseholdError::BitmapLength);
    require!(tally::is_padded(bitmap, ballot.slots), LeaseholdError::BitmapPadding);
    require!(!ballot.has_voted(seat), LeaseholdError::AlreadySubmitted);

    let Tally { round: voted, submitted, planes, .. } = &mut board.tally;
    *voted = round;
    *submitted |= 1u16.wrapping_shl(u32::from(seat));
    tally::add_vote(planes, bitmap);

    let seat = board.seat_mut(seat)?;
    seat.pong_root = pong_root;
    seat.last_round = round;
    seat.submissions = seat.submissions.wrapping_add(1);
    Ok(())
}

/// Effect of closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Skips all rounds before this one: nobody voted on them, and their submit windows are over.
    Skip(u32),
    /// Skips the rounds before this one, and counts the votes on it.
    Count(u32),
}

impl Closing {
    /// First round that is not closed then.
    pub fn next_round(&self) -> Option<u32> {
        match self {
            Closing::Skip(until) => Some(*until),
            Closing::Count(round) => round.checked_add(1),
        }
    }
}

/// Last Unix second until which the waiting votes are counted only if every seat has voted; `None` if no vote waits.
pub fn count_waits_until(board: &Board) -> Option<i64> {
    board.is_voting().then(|| submit_ends(board, board.tally.round))
}

/// Effect of closing at Unix time `now`. Votes are counted once every seat has voted or the submit window is over.
/// Without votes, every round whose submit window is over is skipped.
#[inline(always)]
pub fn closing(board: &Board, now: i64) -> Result<Closing> {
    let Some(waits_until) = count_waits_until(board) else {
        let over = board.round_at(now.saturating_sub(i64::from(board.submit_secs)).saturating_sub(1))?;
        require!(over > board.next_round, LeaseholdError::NothingToClose);
        return Ok(Closing::Skip(over));
    };
    let everybody = board.tally.submitted & board.taken_seats() == board.taken_seats();
    require!(everybody || now > waits_until, LeaseholdError::NothingToClose);
    Ok(Closing::Count(board.tally.round))
}

/// Closes what can be closed.
#[inline(always)]
pub fn close(board: &mut Board, slots: &mut [Slot], keeper_fee: u64, now: i64) -> Result<()> {
    match closing(board, now)? {
        Closing::Skip(until) => board.pass_over(until),
        Closing::Count(round) => {
            board.pass_over(round);
            record(board, slots, round);
            pay_keepers(board, keeper_fee)?;
            bytemuck::bytes_of_mut(&mut board.tally).fill(0);
            board.next_round = add32(round, 1)?;
        }
    }
    Ok(())
}

/// Writes the verdicts of a round into counters and histories. Apart from its caller, so that the loop has the registers.
#[inline(never)]
fn record(board: &mut Board, slots: &mut [Slot], round: u32) {
    let submitted = board.tally.submitted;
    if let Some(votes) = board.votes.get_mut(ring_bit(round) as usize) {
        *votes = submitted;
    }
    let abandon_rounds = u32::from(board.abandon_rounds);
    // The highest bits, turned so that this round's is the first of them.
    let streak = u64::MAX
        .wrapping_shl(u64::BITS.wrapping_sub(abandon_rounds))
        .rotate_right(63u32.wrapping_sub(ring_bit(round)));
    let pass = Pass {
        round,
        bit: 1u64.wrapping_shl(ring_bit(round)),
        voted: board.voted_rounds(),
        abandon_rounds,
        streak,
    };
    let quorum = Quorum::new(submitted.count_ones(), u32::from(board.threshold));
    for (index, chunk) in slots.chunks_mut(64).enumerate() {
        pass.over(chunk, quorum.verdicts(&board.tally.planes, index));
    }
}

/// One pass over the slots for a round. Counters wrap after 2³² rounds: 1,300 years if a round has ten seconds.
struct Pass {
    round: u32,
    /// The round's bit in the histories.
    bit: u64,
    /// Remembered rounds that had votes, this one included.
    voted: u64,
    abandon_rounds: u32,
    /// The last `abandon_rounds` bits of the histories, up to this round: down in all of them is abandoned.
    streak: u64,
}

impl Pass {
    /// Writes the verdicts of 64 machines. Most are up, so runs of those have a loop of their own.
    fn over(&self, mut slots: &mut [Slot], Verdicts { mut up, mut down }: Verdicts) {
        loop {
            let run = (up.trailing_ones() as usize).min(slots.len());
            let (ups, others) = slots.split_at_mut(run);
            for slot in ups {
                self.up(slot);
            }
            let Some((slot, rest)) = others.split_first_mut() else { return };
            // A slot is left, so the run is shorter than a word.
            down >>= run;
            if down & 1 != 0 {
                self.down(slot);
            } else {
                self.unknown(slot);
            }
            (up, down) = ((up >> run) >> 1, down >> 1);
            slots = rest;
        }
    }

    #[inline(always)]
    fn is_leased(&self, slot: &Slot) -> bool {
        self.round >= slot.lease_from && self.round < slot.lease_until
    }

    #[inline(always)]
    fn up(&self, slot: &mut Slot) {
        if slot.attested_from > self.round {
            return self.unknown(slot);
        }
        slot.history_up |= self.bit;
        slot.up = slot.up.wrapping_add(1);
        if self.is_leased(slot) {
            slot.lease_up = slot.lease_up.wrapping_add(1);
        }
    }

    #[inline(always)]
    fn down(&self, slot: &mut Slot) {
        if slot.attested_from > self.round {
            return self.unknown(slot);
        }
        slot.history_up &= !self.bit;
        slot.history_down |= self.bit;
        slot.down = slot.down.wrapping_add(1);
        if !self.is_leased(slot) {
            return;
        }
        slot.lease_down = slot.lease_down.wrapping_add(1);
        let in_lease = self.round.wrapping_sub(slot.lease_from).saturating_add(1);
        let down = slot.history_down & !slot.history_up & self.voted;
        if slot.lease != 0 && in_lease >= self.abandon_rounds && down & self.streak == self.streak {
            slot.flags |= Slot::ABANDONED;
        }
    }

    #[inline(always)]
    fn unknown(&self, slot: &mut Slot) {
        slot.history_up &= !self.bit;
        slot.history_down &= !self.bit;
    }
}

/// Pays every seat that voted in a round that reached its quorum, however it voted.
fn pay_keepers(board: &mut Board, keeper_fee: u64) -> Result<()> {
    let submitted = board.tally.submitted;
    let count = submitted.count_ones();
    if count < u32::from(board.threshold) {
        return Ok(());
    }
    let fee = keeper_fee.min(board.ledger.keeper_pool.checked_div(u64::from(count)).unwrap_or_default());
    let mut voted = submitted;
    for seat in &mut board.seats {
        if voted & 1 == 1 {
            seat.earned = add(seat.earned, fee)?;
            board.ledger.keeper_pool = sub(board.ledger.keeper_pool, fee)?;
            board.ledger.keeper_fees = add(board.ledger.keeper_fees, fee)?;
        }
        voted >>= 1;
    }
    Ok(())
}
