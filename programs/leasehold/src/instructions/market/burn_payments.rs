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
    /// The board's creator, if an unused keeper pool is to be burned too.
    pub creator: Option<Signer<'info>>,
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

/// Burns the payment units of a board that are to be burned. Anybody may. If the board's creator signs and the board has no
/// machines and leases, burns its keeper pool too, so that the board can be closed.
pub fn burn_payments(ctx: Context<BurnPayments>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let (amount, signer) = {
        let mut board = ctx.accounts.board.load_mut()?;
        let by_creator = ctx.accounts.creator.as_ref().is_some_and(|creator| creator.key() == board.creator);
        (due(take_burnable(&mut board, by_creator)?)?, board.signer())
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
