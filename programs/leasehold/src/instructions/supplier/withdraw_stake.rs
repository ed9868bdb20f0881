use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::StakeWithdrawn,
    instructions::{now, refuse_stray, tokens::*},
    state::{Market, Supplier},
};

#[event_cpi]
#[derive(Accounts)]
pub struct WithdrawStake<'info> {
    pub authority: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(
        mut,
        has_one = authority @ LeaseholdError::WrongAuthority,
        has_one = market @ LeaseholdError::WrongMarket
    )]
    pub supplier: Account<'info, Supplier>,
    pub tokens: Tokens<'info>,
}

/// Pays out a supplier's stake that has unbonded.
pub fn withdraw_stake(ctx: Context<WithdrawStake>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let WithdrawStake { market, supplier, tokens, .. } = &mut *ctx.accounts;
    tokens.validate_stake(market)?;
    let amount = supplier.stake.withdraw(now()?)?;
    tokens.give(market.to_account_info(), &market.signer().seeds(), amount)?;
    emit_cpi!(StakeWithdrawn {
        market: ctx.accounts.market.key(),
        owner: ctx.accounts.supplier.key(),
        amount
    });
    Ok(())
}
