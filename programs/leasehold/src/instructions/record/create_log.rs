use anchor_lang::prelude::*;

use crate::{
    constants::LOG_SEED,
    error::LeaseholdError,
    instructions::refuse_stray,
    state::{ComputeLog, LANES_OFFSET, Supplier},
};

#[derive(Accounts)]
pub struct CreateLog<'info> {
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(
        init,
        payer = authority,
        space = LANES_OFFSET,
        seeds = [LOG_SEED, supplier.key().as_ref()],
        bump
    )]
    pub log: AccountLoader<'info, ComputeLog>,
    pub system_program: Program<'info, System>,
}

/// Creates a supplier's compute log, to which `operator` may append.
pub fn create_log(ctx: Context<CreateLog>, operator: Pubkey) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CreateLog { supplier, log, .. } = ctx.accounts;
    let mut log = log.load_init()?;
    log.version = ComputeLog::VERSION;
    log.bump = ctx.bumps.log;
    log.supplier = supplier.key();
    log.operator = operator;
    Ok(())
}
