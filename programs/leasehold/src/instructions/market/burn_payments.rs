use anchor_lang::prelude::*;
use anchor_spl::token_interface::{self, Mint, TokenAccount, TokenInterface};

use crate::{
    constants::PAYMENT_VAULT_SEED,
    events::PaymentsBurned,
    instructions::refuse_stray,
    rules::{board::take_burnable, claim::due},
    state::Board,
};

#[event_cpi]
#[derive(Accounts)]
pub struct BurnPayments<'info> {
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut)]
    pub payment_mint: Box<InterfaceAccount<'info, Mint>>,
    #[account(
        mut,
        seeds = [PAYMENT_VAULT_SEED, board.key().as_ref()],
        bump = board.load()?.vault_bump,
        token::mint = payment_mint
    )]
    pub payment_vault: Box<InterfaceAccount<'info, TokenAccount>>,
    pub token_program: Interface<'info, TokenInterface>,
}

/// Burns the payment units of a board that are to be burned; of a board without machines and leases, its keeper pool too.
/// Anybody may.
pub fn burn_payments(ctx: Context<BurnPayments>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let (amount, signer) = {
        let mut board = ctx.accounts.board.load_mut()?;
        (due(take_burnable(&mut board)?)?, board.signer())
    };
    let accounts = token_interface::Burn {
        mint: ctx.accounts.payment_mint.to_account_info(),
        from: ctx.accounts.payment_vault.to_account_info(),
        authority: ctx.accounts.board.to_account_info(),
    };
    let seeds = signer.seeds();
    let signer = [&seeds[..]];
    let program = ctx.accounts.token_program.key();
    token_interface::burn(CpiContext::new_with_signer(program, accounts, &signer), amount)?;
    emit_cpi!(PaymentsBurned { board: ctx.accounts.board.key(), amount });
    Ok(())
}
