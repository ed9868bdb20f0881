use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    math::sub32,
    rules,
    state::{Board, Lease},
};

#[derive(Accounts)]
pub struct CloseLease<'info> {
    /// CHECK: only gets the rent that it paid.
    #[account(mut)]
    pub buyer: UncheckedAccount<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        mut,
        close = buyer,
        has_one = buyer @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard
    )]
    pub lease: Box<Account<'info, Lease>>,
}

/// Closes the account of a settled lease that holds no money, once its dispute window is over. The rent goes to
/// whoever opened it. Anybody may.
pub fn close_lease(ctx: Context<CloseLease>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CloseLease { board, lease, .. } = ctx.accounts;
    let mut board = board.load_mut()?;
    rules::lease::require_closable(&board, lease, now()?)?;
    board.leases = sub32(board.leases, 1)?;
    Ok(())
}
