use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, on_board, refuse_stray},
    rules,
    state::{Board, Market},
};

#[derive(Accounts)]
pub struct CloseRound<'info> {
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
}

/// Counts the votes on a round, and skips the rounds before it that nobody voted on. If no vote is waiting, skips
/// every round whose submit window is over. Anybody may.
pub fn close_round(ctx: Context<CloseRound>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let (now, params) = (now()?, &ctx.accounts.market.params);
    on_board(&ctx.accounts.board, |board, slots| rules::round::close(board, slots, params, now))
}
