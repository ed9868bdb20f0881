use anchor_lang::prelude::*;

use crate::{
    constants::KEEPER_SEED,
    error::LeaseholdError,
    instructions::refuse_stray,
    state::{Keeper, Market, StakeLedger},
};

#[derive(Accounts)]
pub struct RegisterKeeper<'info> {
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(mut)]
    pub market: Box<Account<'info, Market>>,
    #[account(
        init,
        payer = authority,
        space = 8 + Keeper::INIT_SPACE,
        seeds = [KEEPER_SEED, market.key().as_ref(), authority.key().as_ref()],
        bump
    )]
    pub keeper: Account<'info, Keeper>,
    pub system_program: Program<'info, System>,
}

/// Opens a keeper's account. It needs stake for a seat, none to be paid for settling.
pub fn register_keeper(ctx: Context<RegisterKeeper>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let RegisterKeeper { authority, market, keeper, .. } = ctx.accounts;
    market.members = market.members.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
    keeper.set_inner(Keeper {
        version: Keeper::VERSION,
        bump: ctx.bumps.keeper,
        market: market.key(),
        authority: authority.key(),
        stake: StakeLedger::default(),
        locked: 0,
        seats: 0,
        reserved: [0; 64],
    });
    Ok(())
}
