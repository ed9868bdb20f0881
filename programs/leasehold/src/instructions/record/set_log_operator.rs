use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    state::{ComputeLog, Supplier},
};

#[derive(Accounts)]
pub struct SetLogOperator<'info> {
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut, has_one = supplier @ LeaseholdError::WrongSupplier)]
    pub log: AccountLoader<'info, ComputeLog>,
}

/// Sets the wallet that may append to a log.
pub fn set_log_operator(ctx: Context<SetLogOperator>, operator: Pubkey) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.log.load_mut()?.operator = operator;
    Ok(())
}
