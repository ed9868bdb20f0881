use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    state::{Keeper, Market},
};

#[derive(Accounts)]
pub struct RequestUnbond<'info> {
    pub authority: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(
        mut,
        has_one = authority @ LeaseholdError::WrongAuthority,
        has_one = market @ LeaseholdError::WrongMarket
    )]
    pub keeper: Account<'info, Keeper>,
}

/// Requests free stake back. It can be withdrawn after the market's unbonding time.
pub fn request_unbond(ctx: Context<RequestUnbond>, amount: u64) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let unbonding_secs = ctx.accounts.market.params.unbonding_secs;
    ctx.accounts.keeper.stake.request(amount, now()?, unbonding_secs)
}
