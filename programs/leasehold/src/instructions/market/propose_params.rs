use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    rules,
    state::{Market, Params},
};

/// Accounts of instructions that only the market's authority may send.
#[derive(Accounts)]
pub struct Govern<'info> {
    pub authority: Signer<'info>,
    #[account(mut, has_one = authority @ LeaseholdError::WrongAuthority)]
    pub market: Box<Account<'info, Market>>,
}

/// Proposes parameters. A second proposal replaces the first. Pass `None` to withdraw the pending proposal.
pub fn propose_params(ctx: Context<Govern>, params: Option<Params>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let market = &mut ctx.accounts.market;
    market.pending_params = match params {
        Some(params) => Some(rules::market::proposal(market, params, now()?)?),
        None => None,
    };
    Ok(())
}
