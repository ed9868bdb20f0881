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
    /// The lease's owner, the authority of the machine's supplier, or anybody once the deposit is short.
    pub signer: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    /// The machine's supplier, if it gives the notice.
    pub supplier: Option<Account<'info, Supplier>>,
}

/// Ends a metered lease an hour after the running round. Its owner and the machine's supplier may; the supplier with the
/// running round if vouchers have paid less than the standby price. Anybody may if the deposit does not cover the next hour's
/// standby price: with the running round, and the machine's first hour at the earliest.
pub fn give_notice(ctx: Context<GiveNotice>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let GiveNotice { signer, board, lease, supplier, .. } = &mut *ctx.accounts;
    let supplier = supplier.as_ref().filter(|supplier| supplier.authority == signer.key()).map(Key::key);
    let now = now()?;
    let until = on_board(board, |board, slots| {
        let machine = rules::meter::machine(slots, lease)?;
        let ender = rules::meter::ender(lease, machine, signer.key, supplier);
        rules::meter::give_notice(board, slots, lease, ender, now)
    })?;
    emit_cpi!(LeaseCancelled { lease: ctx.accounts.lease.key(), until, contested: Vec::new() });
    Ok(())
}
