use anchor_lang::prelude::*;

use crate::{
    constants::NOTICE_ROUNDS,
    error::LeaseholdError,
    events::LeaseCancelled,
    instructions::{now, refuse_stray},
    state::{Board, Lease, LeaseState, Supplier, split_mut},
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
    /// Where the supplier gives notice.
    pub supplier: Option<Account<'info, Supplier>>,
}

/// Ends a metered lease an hour from now. Until then the machine can redeem its last voucher.
pub fn give_notice(ctx: Context<GiveNotice>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let GiveNotice { signer, board, lease, supplier, .. } = &mut *ctx.accounts;
    lease.require_open()?;
    require!(lease.meter.is_some(), LeaseholdError::LeaseNotMetered);
    let info = board.to_account_info();
    let mut data = info.try_borrow_mut_data()?;
    let (board, slots) = split_mut(&mut data)?;
    let next_round = board.round_at(now()?)?.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
    let until = next_round.checked_add(NOTICE_ROUNDS).ok_or(LeaseholdError::MathOverflow)?;
    require!(until < lease.until, LeaseholdError::NoticeTooLate);
    let slot = slots.iter_mut().find(|slot| slot.lease == lease.serial).ok_or(LeaseholdError::NotInLease)?;
    let suppliers = supplier
        .as_ref()
        .is_some_and(|supplier| supplier.authority == signer.key() && supplier.key() == slot.supplier);
    require!(suppliers || signer.key() == lease.owner, LeaseholdError::WrongAuthority);
    slot.lease_until = until;
    lease.state = LeaseState::Cancelled;
    lease.until = until;
    drop(data);
    emit_cpi!(LeaseCancelled { lease: ctx.accounts.lease.key(), until, cancel_secs: 0 });
    Ok(())
}
