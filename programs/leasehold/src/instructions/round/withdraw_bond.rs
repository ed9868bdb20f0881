use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::StakeWithdrawn,
    instructions::{now, refuse_stray, tokens::*},
    state::{Keeper, Market},
};

#[event_cpi]
#[derive(Accounts)]
pub struct WithdrawBond<'info> {
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

/// Pays out a keeper's stake that has unbonded.
pub fn withdraw_bond(ctx: Context<WithdrawBond>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let WithdrawBond { market, keeper, tokens, .. } = &mut *ctx.accounts;
    tokens.validate_stake(market)?;
    let amount = keeper.stake.withdraw(now()?)?;
    tokens.give(market.to_account_info(), &market.signer().seeds(), amount)?;
    emit_cpi!(StakeWithdrawn { market: ctx.accounts.market.key(), owner: ctx.accounts.keeper.key(), amount });
    Ok(())
}
