use anchor_lang::prelude::*;

use crate::{
    constants::SUPPLIER_SEED,
    instructions::refuse_stray,
    math::add32,
    state::{Market, StakeLedger, Supplier},
};

#[derive(Accounts)]
pub struct RegisterSupplier<'info> {
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(mut)]
    pub market: Box<Account<'info, Market>>,
    #[account(
        init,
        payer = authority,
        space = 8 + Supplier::INIT_SPACE,
        seeds = [SUPPLIER_SEED, market.key().as_ref(), authority.key().as_ref()],
        bump
    )]
    pub supplier: Account<'info, Supplier>,
    pub system_program: Program<'info, System>,
}

/// Opens a supplier's account.
pub fn register_supplier(ctx: Context<RegisterSupplier>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let RegisterSupplier { authority, market, supplier, .. } = ctx.accounts;
    market.members = add32(market.members, 1)?;
    supplier.set_inner(Supplier {
        version: Supplier::VERSION,
        bump: ctx.bumps.supplier,
        market: market.key(),
        authority: authority.key(),
        stake: StakeLedger::default(),
        machines: 0,
        reserved: [0; 96],
    });
    Ok(())
}
