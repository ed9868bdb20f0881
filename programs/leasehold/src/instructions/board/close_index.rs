use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    rules,
    state::{PriceIndex, SLOTS_OFFSET, split},
};

#[derive(Accounts)]
pub struct CloseIndex<'info> {
    /// CHECK: only gets the rent that it paid.
    #[account(mut)]
    pub payer: UncheckedAccount<'info>,
    /// CHECK: the address that the index names: its board, another one that has its address now, or no account.
    pub board: UncheckedAccount<'info>,
    #[account(
        mut,
        close = payer,
        has_one = payer @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard
    )]
    pub price_index: AccountLoader<'info, PriceIndex>,
}

/// Closes a price index whose board is closed. The rent goes to whoever created it. Anybody may.
pub fn close_index(ctx: Context<CloseIndex>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CloseIndex { board, price_index, .. } = ctx.accounts;
    let data = board.try_borrow_data()?;
    // Nothing else of the program can be at a board's address.
    let exists = *board.owner == crate::ID && data.len() >= SLOTS_OFFSET;
    let board = if exists { Some(split(&data)?.0) } else { None };
    rules::index::require_closable(board, &*price_index.load()?)
}
