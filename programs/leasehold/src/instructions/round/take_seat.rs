use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    math::add,
    state::{Board, Keeper, Market, Seat},
};

#[derive(Accounts)]
pub struct TakeSeat<'info> {
    pub authority: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(
        mut,
        has_one = authority @ LeaseholdError::WrongAuthority,
        has_one = market @ LeaseholdError::WrongMarket
    )]
    pub keeper: Account<'info, Keeper>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
}

/// Takes a vacant seat of a board's committee, first come, and bonds stake to it.
pub fn take_seat(ctx: Context<TakeSeat>, seat: u8) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let TakeSeat { authority, market, keeper, board } = ctx.accounts;
    let mut board = board.load_mut()?;
    let round = board.round_at(now()?)?;
    let seated = board.seats.iter().any(|seat| !seat.is_vacant() && seat.keeper == authority.key());
    require!(!seated, LeaseholdError::SecondSeat);
    let seat = board.seat_mut(seat)?;
    require!(seat.is_vacant(), LeaseholdError::SeatTaken);
    let bond = market.params.keeper_bond;
    keeper.stake.bond(bond)?;
    keeper.locked = add(keeper.locked, bond)?;
    keeper.seats = keeper.seats.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
    *seat =
        Seat { keeper: authority.key(), bond, last_round: round, taken: 1, ..bytemuck::Zeroable::zeroed() };
    Ok(())
}
