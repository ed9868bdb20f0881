use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    rules::{self, view::LeaseView},
    state::{Board, Lease, split},
};

#[derive(Accounts)]
pub struct ViewLease<'info> {
    pub board: AccountLoader<'info, Board>,
    #[account(has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
}

/// Returns a lease as it stands, with what its settlement would do now. Changes nothing.
pub fn view_lease(ctx: Context<ViewLease>) -> Result<LeaseView> {
    refuse_stray(ctx.remaining_accounts)?;
    let ViewLease { board, lease } = ctx.accounts;
    board.load()?;
    let info = board.to_account_info();
    let data = info.try_borrow_data()?;
    let (board, slots) = split(&data)?;
    rules::view::lease(board, slots, lease)
}
