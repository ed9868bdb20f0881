use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    state::{Market, Supplier},
};

#[derive(Accounts)]
pub struct CloseSupplier<'info> {
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
    pub supplier: Account<'info, Supplier>,
}

/// Closes the account of a supplier without machines and stake. Its lamports go to its authority.
pub fn close_supplier(ctx: Context<CloseSupplier>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CloseSupplier { market, supplier, .. } = ctx.accounts;
    require!(supplier.machines == 0, LeaseholdError::MachinesLeft);
    require!(supplier.stake.is_empty(), LeaseholdError::StakeLeft);
    market.members = market.members.checked_sub(1).ok_or(LeaseholdError::MathOverflow)?;
    Ok(())
}
