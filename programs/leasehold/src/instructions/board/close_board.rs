use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{refuse_stray, tokens::*},
    math::sub32,
    rules,
    state::{Board, Market},
};

#[derive(Accounts)]
pub struct CloseBoard<'info> {
    #[account(mut)]
    pub creator: Signer<'info>,
    #[account(mut)]
    pub market: Box<Account<'info, Market>>,
    #[account(
        mut,
        close = creator,
        has_one = creator @ LeaseholdError::WrongAuthority,
        has_one = market @ LeaseholdError::WrongMarket
    )]
    pub board: AccountLoader<'info, Board>,
    pub tokens: Tokens<'info>,
}

/// Closes an empty board and its payment vault. The rent goes to the board's creator.
pub fn close_board(ctx: Context<CloseBoard>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CloseBoard { creator, market, board, tokens } = ctx.accounts;
    let signer = {
        let key = board.key();
        let board = board.load()?;
        tokens.validate_payment(&key, &board)?;
        rules::board::require_closable(&board)?;
        board.signer()
    };
    market.boards = sub32(market.boards, 1)?;
    tokens.close_vault(board.to_account_info(), &signer.seeds(), creator.to_account_info())
}
