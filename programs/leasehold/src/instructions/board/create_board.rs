use anchor_lang::prelude::*;
use anchor_spl::token_interface::{Mint, TokenAccount, TokenInterface};

use crate::{
    constants::{BOARD_SEED, PAYMENT_VAULT_SEED},
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    math::{add32, rounds},
    state::{Board, Market, SLOTS_OFFSET},
};

#[derive(Accounts)]
pub struct CreateBoard<'info> {
    /// Pays, and gets the rent back when the board is closed.
    #[account(mut)]
    pub creator: Signer<'info>,
    #[account(mut, has_one = payment_mint @ LeaseholdError::WrongMint)]
    pub market: Box<Account<'info, Market>>,
    #[account(
        init,
        payer = creator,
        space = SLOTS_OFFSET,
        seeds = [BOARD_SEED, market.key().as_ref(), &market.next_board.to_le_bytes()],
        bump
    )]
    pub board: AccountLoader<'info, Board>,
    pub payment_mint: Box<InterfaceAccount<'info, Mint>>,
    #[account(
        init,
        payer = creator,
        seeds = [PAYMENT_VAULT_SEED, board.key().as_ref()],
        bump,
        token::mint = payment_mint,
        token::authority = board,
        token::token_program = token_program
    )]
    pub payment_vault: Box<InterfaceAccount<'info, TokenAccount>>,
    pub token_program: Interface<'info, TokenInterface>,
    pub system_program: Program<'info, System>,
}

/// Adds an empty board to a market. Anybody may.
pub fn create_board(ctx: Context<CreateBoard>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CreateBoard { creator, market, board, .. } = ctx.accounts;
    let mut board = board.load_init()?;
    board.version = Board::VERSION;
    board.bump = ctx.bumps.board;
    board.vault_bump = ctx.bumps.payment_vault;
    board.market = market.key();
    board.creator = creator.key();
    board.genesis = market.genesis;
    board.index = market.next_board;
    board.phase_secs = rounds::phase(market.next_board, market.rules.round_secs);
    board.next_serial = 1;
    board.adopt(&market.rules);
    board.up_votes = market.params.up_votes;
    board.next_round = board.round_at(now()?)?;
    market.next_board = add32(market.next_board, 1)?;
    market.boards = add32(market.boards, 1)?;
    Ok(())
}
