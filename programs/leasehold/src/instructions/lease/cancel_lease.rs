use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseCancelled,
    instructions::{now, refuse_stray},
    math::pricing,
    state::{Board, Lease, LeaseState, split_mut},
};

#[event_cpi]
#[derive(Accounts)]
pub struct CancelLease<'info> {
    pub owner: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        mut,
        has_one = owner @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard
    )]
    pub lease: Box<Account<'info, Lease>>,
}

/// Ends a lease with the round that runs, its first at the earliest. The owner owes machines that kept their promise an hour, or
/// 5 percent of the time that was left, the lesser; it is settled as any other.
pub fn cancel_lease(ctx: Context<CancelLease>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CancelLease { board, lease, .. } = &mut *ctx.accounts;
    lease.require_open()?;
    lease.require_hourly()?;
    let info = board.to_account_info();
    let mut data = info.try_borrow_mut_data()?;
    let (board, slots) = split_mut(&mut data)?;
    // Machines were off the market for the round to come: whoever takes and leaves them owes it.
    let last = board.round_at(now()?)?.max(lease.from);
    let until = last.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
    let rest = lease.until.checked_sub(until).filter(|rest| *rest > 0).ok_or(LeaseholdError::LeaseOver)?;
    for slot in slots.iter_mut().filter(|slot| slot.lease == lease.serial) {
        slot.lease_until = until;
    }
    lease.state = LeaseState::Cancelled;
    lease.until = until;
    lease.terms.cancel_secs = pricing::cancel_secs(lease.terms.round_secs, rest)?;
    let cancel_secs = lease.terms.cancel_secs;
    drop(data);
    emit_cpi!(LeaseCancelled { lease: ctx.accounts.lease.key(), until, cancel_secs });
    Ok(())
}
