//! Seats: who may take one, and when it can be left.

use anchor_lang::prelude::*;

use crate::{
    constants::{SEAT_ABANDONED_SECS, SEAT_IDLE_SECS},
    error::LeaseholdError,
    math::{add, add32, sub, sub32},
    state::{Board, Keeper, Seat},
};

/// Refuses a seat that somebody holds, and a second one for the same wallet.
pub fn require_free(board: &Board, index: u8, wallet: &Pubkey) -> Result<()> {
    let seated = board.seats.iter().any(|seat| !seat.is_vacant() && seat.keeper == *wallet);
    require!(!seated, LeaseholdError::SecondSeat);
    require!(board.seat(index)?.is_vacant(), LeaseholdError::SeatTaken);
    Ok(())
}

/// Seats a keeper and bonds its stake.
pub fn take(board: &mut Board, keeper: &mut Keeper, index: u8, bond: u64, now: i64) -> Result<()> {
    require_free(board, index, &keeper.authority)?;
    let last_round = board.round_at(now)?;
    keeper.stake.bond(bond)?;
    keeper.locked = add(keeper.locked, bond)?;
    keeper.seats = add32(keeper.seats, 1)?;
    *board.seat_mut(index)? =
        Seat { keeper: keeper.authority, bond, last_round, taken: 1, ..bytemuck::Zeroable::zeroed() };
    Ok(())
}

/// Seconds that a seat may go without a submission before anybody may vacate it: a day, two rounds at least.
pub fn idle_secs(board: &Board) -> i64 {
    SEAT_IDLE_SECS.max(i64::from(board.round_secs).saturating_mul(2))
}

/// Refuses to leave a seat whose vote waits to be counted.
pub fn require_counted(board: &Board, index: u8) -> Result<()> {
    let waits = board.tally.submitted.checked_shr(u32::from(index)).is_some_and(|mask| mask & 1 == 1);
    require!(!waits, LeaseholdError::VoteNotCounted);
    Ok(())
}

/// Who empties a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaver {
    /// Its keeper. `forfeits_fees`: what is not claimed goes back to the pool, for a keeper whose token account refuses it.
    Keeper { forfeits_fees: bool },
    /// Anybody else, at that Unix time.
    Anybody { now: i64 },
}

/// Refuses to empty a seat that the keeper doesn't hold, whose vote is not counted or whose fees are not claimed. Anybody
/// may only empty one that is idle for a day, and one with unclaimed fees after 30 days. Returns the stake units bonded to
/// the seat.
#[inline(always)]
pub fn require_leavable(board: &Board, keeper: &Keeper, index: u8, leaver: Leaver) -> Result<u64> {
    require_keys_eq!(board.market, keeper.market, LeaseholdError::WrongMarket);
    let seat = board.seat(index)?;
    require!(!seat.is_vacant(), LeaseholdError::SeatVacant);
    require_keys_eq!(seat.keeper, keeper.authority, LeaseholdError::WrongKeeper);
    require_counted(board, index)?;
    let may_forfeit = match leaver {
        Leaver::Keeper { forfeits_fees } => forfeits_fees,
        Leaver::Anybody { now } => {
            let idle_from = board.round_end(seat.last_round).saturating_add(idle_secs(board));
            require!(now > idle_from, LeaseholdError::SeatInUse);
            now > board.round_end(seat.last_round).saturating_add(SEAT_ABANDONED_SECS)
        }
    };
    require!(seat.earned == 0 || may_forfeit, LeaseholdError::FeesLeft);
    Ok(seat.bond)
}

/// Vacates a seat; its bond goes back to the keeper's free stake, and fees that are not claimed to the pool.
pub fn leave(board: &mut Board, keeper: &mut Keeper, index: u8, leaver: Leaver) -> Result<()> {
    let bond = require_leavable(board, keeper, index, leaver)?;
    keeper.stake.unbond(bond)?;
    keeper.locked = sub(keeper.locked, bond)?;
    keeper.seats = sub32(keeper.seats, 1)?;
    let earned = board.seat(index)?.earned;
    board.ledger.keeper_fees = sub(board.ledger.keeper_fees, earned)?;
    board.ledger.keeper_pool = add(board.ledger.keeper_pool, earned)?;
    *board.seat_mut(index)? = bytemuck::Zeroable::zeroed();
    Ok(())
}
