use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    state::{Market, Supplier},
};

#[derive(Accounts)]
pub struct RequestUnstake<'info> {
    pub authority: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(
        mut,
        has_one = authority @ LeaseholdError::WrongAuthority,
        has_one = market @ LeaseholdError::WrongMarket
    )]
    pub supplier: Account<'info, Supplier>,
}

/// Requests free stake back. It can be withdrawn after the market's unbonding time.
pub fn request_unstake(ctx: Context<RequestUnstake>, amount: u64) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let unbonding_secs = ctx.accounts.market.params.unbonding_secs;
    ctx.accounts.supplier.stake.request(amount, now()?, unbonding_secs)
}
