use anchor_lang::prelude::*;

use crate::{
    constants::SEAT_IDLE_SECS,
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    math::sub,
    state::{Board, Keeper},
};

#[derive(Accounts)]
pub struct LeaveSeat<'info> {
    /// The keeper's authority; anybody, once the seat has not submitted for a day.
    pub signer: Signer<'info>,
    #[account(mut)]
    pub keeper: Account<'info, Keeper>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Vacates a seat. Its bond goes back to the keeper's free stake; its fees must be claimed first.
pub fn leave_seat(ctx: Context<LeaveSeat>, seat: u8) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let LeaveSeat { signer, keeper, board } = ctx.accounts;
    let mut board = board.load_mut()?;
    require_keys_eq!(board.market, keeper.market, LeaseholdError::WrongMarket);
    let held = *board.seat(seat)?;
    require!(!held.is_vacant(), LeaseholdError::SeatVacant);
    require_keys_eq!(held.keeper, keeper.authority, LeaseholdError::WrongKeeper);
    if signer.key() != keeper.authority {
        let patience = SEAT_IDLE_SECS.max(i64::from(board.round_secs).saturating_mul(2));
        let idle_from = board.round_end(held.last_round).saturating_add(patience);
        require!(now()? > idle_from, LeaseholdError::SeatInUse);
    }
    require!(board.tally.submitted & (1 << seat) == 0, LeaseholdError::VoteNotCounted);
    require!(held.earned == 0, LeaseholdError::FeesLeft);
    keeper.stake.unbond(held.bond)?;
    keeper.locked = sub(keeper.locked, held.bond)?;
    keeper.seats = keeper.seats.checked_sub(1).ok_or(LeaseholdError::MathOverflow)?;
    *board.seat_mut(seat)? = bytemuck::Zeroable::zeroed();
    Ok(())
}
