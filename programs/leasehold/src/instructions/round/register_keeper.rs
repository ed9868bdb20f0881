use anchor_lang::prelude::*;

use crate::{
    constants::KEEPER_SEED,
    instructions::refuse_stray,
    math::add32,
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

/// Opens a keeper's account. A seat needs stake; settling leases does not.
pub fn register_keeper(ctx: Context<RegisterKeeper>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let RegisterKeeper { authority, market, keeper, .. } = ctx.accounts;
    market.members = add32(market.members, 1)?;
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
