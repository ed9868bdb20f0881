use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseCancelled,
    instructions::{now, on_board, refuse_stray},
    rules,
    state::{Board, Lease, Supplier},
};

#[event_cpi]
#[derive(Accounts)]
pub struct GiveNotice<'info> {
    /// The lease's owner, or the authority of the machine's supplier.
    pub signer: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    /// The machine's supplier, if it gives the notice.
    pub supplier: Option<Account<'info, Supplier>>,
}

/// Gives notice: a metered lease ends six rounds after the running one. Its owner and the machine's supplier may.
pub fn give_notice(ctx: Context<GiveNotice>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let GiveNotice { signer, board, lease, supplier, .. } = &mut *ctx.accounts;
    let by_owner = signer.key() == lease.owner;
    let supplier = supplier.as_ref().filter(|supplier| supplier.authority == signer.key()).map(Key::key);
    let now = now()?;
    let until = on_board(board, |board, slots| {
        rules::meter::give_notice(board, slots, lease, by_owner, supplier, now)
    })?;
    emit_cpi!(LeaseCancelled { lease: ctx.accounts.lease.key(), until, cancel_secs: 0 });
    Ok(())
}
