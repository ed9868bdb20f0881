use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    math::sub32,
    state::{Keeper, Market},
};

#[derive(Accounts)]
pub struct CloseKeeper<'info> {
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(mut)]
    pub market: Box<Account<'info, Market>>,
    #[account(
        mut,
        close = authority,
        has_one = authority @ LeaseholdError::WrongAuthority,
        has_one = market @ LeaseholdError::WrongMarket
    )]
    pub keeper: Account<'info, Keeper>,
}

/// Closes the account of a keeper that has no seats or stake. Its lamports go to its authority.
pub fn close_keeper(ctx: Context<CloseKeeper>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CloseKeeper { market, keeper, .. } = ctx.accounts;
    require!(keeper.seats == 0, LeaseholdError::SeatsLeft);
    require!(keeper.stake.is_empty(), LeaseholdError::StakeLeft);
    market.members = sub32(market.members, 1)?;
    Ok(())
}
