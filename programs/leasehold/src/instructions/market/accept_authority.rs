use anchor_lang::prelude::*;

use crate::{error::LeaseholdError, instructions::refuse_stray, state::Market};

#[derive(Accounts)]
pub struct AcceptAuthority<'info> {
    pub new_authority: Signer<'info>,
    #[account(
        mut,
        constraint = market.pending_authority == Some(new_authority.key()) @ LeaseholdError::WrongAuthority
    )]
    pub market: Box<Account<'info, Market>>,
}

/// Accepts an offered market: the signer becomes its authority.
pub fn accept_authority(ctx: Context<AcceptAuthority>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let market = &mut ctx.accounts.market;
    market.authority = ctx.accounts.new_authority.key();
    market.pending_authority = None;
    Ok(())
}
