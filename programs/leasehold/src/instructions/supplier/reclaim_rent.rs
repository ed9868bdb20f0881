use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    math::{add, sub},
    rules::claim::due,
    state::Supplier,
};

#[derive(Accounts)]
pub struct ReclaimRent<'info> {
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(mut, has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
}

/// Pays out the rent of slots that was returned: what the supplier's account holds above its own rent.
pub fn reclaim_rent(ctx: Context<ReclaimRent>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let (supplier, authority) =
        (ctx.accounts.supplier.to_account_info(), ctx.accounts.authority.to_account_info());
    let own = Rent::get()?.minimum_balance(supplier.data_len());
    let surplus = due(supplier.lamports().saturating_sub(own))?;
    **supplier.try_borrow_mut_lamports()? = sub(supplier.lamports(), surplus)?;
    **authority.try_borrow_mut_lamports()? = add(authority.lamports(), surplus)?;
    Ok(())
}
