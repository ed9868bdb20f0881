use anchor_lang::prelude::*;
use anchor_spl::token_interface::{self, Mint, TokenAccount, TokenInterface};

use crate::{
    constants::STAKE_VAULT_SEED,
    error::LeaseholdError,
    events::SlashedBurned,
    instructions::refuse_stray,
    rules::claim::due,
    state::{Board, Market},
};

#[event_cpi]
#[derive(Accounts)]
pub struct BurnSlashed<'info> {
    #[account(has_one = stake_mint @ LeaseholdError::WrongMint)]
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut)]
    pub stake_mint: Box<InterfaceAccount<'info, Mint>>,
    #[account(mut, seeds = [STAKE_VAULT_SEED, market.key().as_ref()], bump = market.stake_vault_bump)]
    pub stake_vault: Box<InterfaceAccount<'info, TokenAccount>>,
    pub token_program: Interface<'info, TokenInterface>,
}

/// Burns slashed stake. Anybody may.
pub fn burn_slashed(ctx: Context<BurnSlashed>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let amount = due(core::mem::take(&mut ctx.accounts.board.load_mut()?.ledger.slashed))?;
    let market = &ctx.accounts.market;
    let accounts = token_interface::Burn {
        mint: ctx.accounts.stake_mint.to_account_info(),
        from: ctx.accounts.stake_vault.to_account_info(),
        authority: market.to_account_info(),
    };
    let signer = market.signer();
    let seeds = signer.seeds();
    let signer = [&seeds[..]];
    let program = ctx.accounts.token_program.key();
    token_interface::burn(CpiContext::new_with_signer(program, accounts, &signer), amount)?;
    emit_cpi!(SlashedBurned { board: ctx.accounts.board.key(), amount });
    Ok(())
}
