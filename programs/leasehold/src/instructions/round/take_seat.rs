use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    rules,
    state::{Board, Keeper, Market},
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
    let TakeSeat { market, keeper, board, .. } = ctx.accounts;
    rules::seat::take(&mut *board.load_mut()?, keeper, seat, market.params.keeper_bond, now()?)
}
