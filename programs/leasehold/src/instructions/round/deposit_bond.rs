use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::StakeDeposited,
    instructions::{refuse_stray, tokens::*},
    state::{Keeper, Market},
};

#[event_cpi]
#[derive(Accounts)]
pub struct DepositBond<'info> {
    pub authority: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(
        mut,
        has_one = authority @ LeaseholdError::WrongAuthority,
        has_one = market @ LeaseholdError::WrongMarket
    )]
    pub keeper: Account<'info, Keeper>,
    pub tokens: Tokens<'info>,
}

/// Adds to a keeper's free stake, of which seats take their bonds.
pub fn deposit_bond(ctx: Context<DepositBond>, amount: u64) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let DepositBond { authority, market, keeper, tokens, .. } = &mut *ctx.accounts;
    tokens.validate_stake(market)?;
    keeper.stake.deposit(amount)?;
    tokens.take(authority, amount)?;
    emit_cpi!(StakeDeposited { market: ctx.accounts.market.key(), owner: ctx.accounts.keeper.key(), amount });
    Ok(())
}
