use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::StakeDeposited,
    instructions::{refuse_stray, tokens::*},
    state::{Market, Supplier},
};

#[event_cpi]
#[derive(Accounts)]
pub struct DepositStake<'info> {
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

/// Adds to a supplier's free stake.
pub fn deposit_stake(ctx: Context<DepositStake>, amount: u64) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let DepositStake { authority, market, supplier, tokens, .. } = &mut *ctx.accounts;
    tokens.validate_stake(market)?;
    supplier.stake.deposit(amount)?;
    tokens.take(authority, amount)?;
    emit_cpi!(StakeDeposited {
        market: ctx.accounts.market.key(),
        owner: ctx.accounts.supplier.key(),
        amount
    });
    Ok(())
}
