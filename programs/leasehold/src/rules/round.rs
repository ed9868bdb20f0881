//! Rounds: when they are voted on and closed, what a vote must be, and how votes become verdicts.

use anchor_lang::prelude::*;

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
    /// Last Unix second at which a vote is taken.
    pub until: i64,
    /// Bit for each seat that has voted on it already.
    pub submitted: u16,
}

impl Ballot {
    /// Whether a seat has voted already.
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

/// When a round runs and is voted on.
pub fn window(board: &Board, round: u32) -> Window {
    let opens = board.round_end(round);
    let begins = opens.saturating_sub(i64::from(board.round_secs));
    // A vote needs the next round to run still, which ends a second before a time to submit as long.
    let next_ends = board.round_end(round.saturating_add(1)).saturating_sub(1);
    let closes = submit_end(board, round).min(next_ends);
    Window { round, begins, ends: opens.saturating_sub(1), opens, closes }
}

/// Last Unix second of the time to submit for a round, were the rounds after it as long as one likes.
fn submit_end(board: &Board, round: u32) -> i64 {
    board.round_end(round).saturating_add(i64::from(board.submit_secs))
}

/// The vote that a round can take at Unix time `now`: it ended last, its time to submit is not over, it is not closed,
/// and no votes on an earlier one wait to be counted.
#[inline(always)]
pub fn ballot(board: &Board, round: u32, now: i64) -> Result<Ballot> {
    let running = board.round_at(now)?;
    let until = window(board, round).closes;
    let in_window = round.checked_add(1) == Some(running) && now <= until;
    require!(in_window, LeaseholdError::OutsideSubmitWindow);
    require!(round >= board.next_round, LeaseholdError::RoundClosed);
    let is_voting = board.is_voting();
    require!(!is_voting || board.tally.round == round, LeaseholdError::EarlierRoundOpen);
    Ok(Ballot { round, slots: board.slots_at(running), until, submitted: board.tally.submitted })
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

/// What closing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Steps over all rounds before this one: nobody voted on them, and their time to submit is over.
    PassOver(u32),
    /// Steps over the rounds before this one, and counts the votes on it.
    Count(u32),
}

impl Closing {
    /// First round that is not closed then.
    pub fn next_round(&self) -> Option<u32> {
        match self {
            Closing::PassOver(until) => Some(*until),
            Closing::Count(round) => round.checked_add(1),
        }
    }
}

/// Last Unix second at which the votes that wait can't be counted unless every seat has voted; `None` if none wait.
pub fn count_waits_until(board: &Board) -> Option<i64> {
    board.is_voting().then(|| submit_end(board, board.tally.round))
}

/// What closing would do at Unix time `now`: count the round that was voted on once every seat has voted or the time to
/// submit is over; without votes, step over every round whose time is over.
#[inline(always)]
pub fn closing(board: &Board, now: i64) -> Result<Closing> {
    let Some(waits_until) = count_waits_until(board) else {
        let over = board.round_at(now.saturating_sub(i64::from(board.submit_secs)).saturating_sub(1))?;
        require!(over > board.next_round, LeaseholdError::NothingToClose);
        return Ok(Closing::PassOver(over));
    };
    let everybody = board.tally.submitted & board.taken_seats() == board.taken_seats();
    require!(everybody || now > waits_until, LeaseholdError::NothingToClose);
    Ok(Closing::Count(board.tally.round))
}

/// Closes what can be closed.
#[inline(always)]
pub fn close(board: &mut Board, slots: &mut [Slot], keeper_fee: u64, now: i64) -> Result<()> {
    match closing(board, now)? {
        Closing::PassOver(until) => board.pass_over(until),
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

/// Writes the verdicts of a round into counters and histories.
fn record(board: &mut Board, slots: &mut [Slot], round: u32) {
    let submitted = board.tally.submitted;
    if let Some(votes) = board.votes.get_mut(ring_bit(round) as usize) {
        *votes = submitted;
    }
    let pass = Pass {
        round,
        bit: 1u64.wrapping_shl(ring_bit(round)),
        voted: board.voted_rounds(),
        abandon_rounds: u32::from(board.abandon_rounds),
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
        if slot.lease != 0 && self.down_in_a_row(slot) >= self.abandon_rounds {
            slot.flags |= Slot::ABANDONED;
        }
    }

    #[inline(always)]
    fn unknown(&self, slot: &mut Slot) {
        slot.history_up &= !self.bit;
        slot.history_down &= !self.bit;
    }

    /// Number of down verdicts in a row up to this round, within the lease; at most 64.
    fn down_in_a_row(&self, slot: &Slot) -> u32 {
        let down = slot.history_down & !slot.history_up & self.voted;
        // Turned so that this round is the highest bit and earlier ones follow below.
        let turned = down.rotate_left(63u32.wrapping_sub(ring_bit(self.round)));
        let in_lease = self.round.wrapping_sub(slot.lease_from).saturating_add(1);
        turned.leading_ones().min(in_lease)
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
    for (index, seat) in (0u32..).zip(board.seats.iter_mut()) {
        if submitted.wrapping_shr(index) & 1 == 1 {
            seat.earned = add(seat.earned, fee)?;
            board.ledger.keeper_pool = sub(board.ledger.keeper_pool, fee)?;
            board.ledger.keeper_fees = add(board.ledger.keeper_fees, fee)?;
        }
    }
    Ok(())
}
