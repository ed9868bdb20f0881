use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    math::sub32,
    rules,
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
    rules::keeper::require_closable(keeper)?;
    market.members = sub32(market.members, 1)?;
    Ok(())
}
