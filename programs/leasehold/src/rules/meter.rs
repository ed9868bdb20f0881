//! Metered leases: vouchers, top-ups and notice.

use anchor_lang::prelude::*;

use crate::{
    constants::NOTICE_ROUNDS,
    error::LeaseholdError,
    math::{add, add32, settlement::Payment},
    rules::ledger::book,
    state::{Board, Lease, LeaseState, Meter, Slot, Voucher, machine_mut},
};

/// Deposit of a metered lease once `amount` payment units are added, which must be more than 0.
pub fn topped_up(lease: &Lease, amount: u64) -> Result<u64> {
    lease.require_open()?;
    lease.require_metered()?;
    require!(amount > 0, LeaseholdError::AmountIsZero);
    Ok(add(lease.deposit, amount)?)
}

/// Adds to the deposit of a metered lease.
pub fn top_up(board: &mut Board, lease: &mut Lease, amount: u64) -> Result<()> {
    let deposit = topped_up(lease, amount)?;
    board.ledger.escrow = add(board.ledger.escrow, amount)?;
    lease.deposit = deposit;
    Ok(())
}

/// The meter of a lease that still takes vouchers.
///
/// # Errors
/// `LeaseSettled`, or `LeaseNotMetered`.
pub fn payable(lease: &Lease) -> Result<&Meter> {
    require!(lease.state != LeaseState::Settled, LeaseholdError::LeaseSettled);
    Ok(lease.meter.as_ref().ok_or(LeaseholdError::LeaseNotMetered)?)
}

/// True if a voucher is for that machine of the lease at `address`, and not for a lease that had its address before.
/// `genesis` is the genesis hash of the cluster.
pub fn is_for(voucher: &Voucher, address: &Pubkey, lease: &Lease, machine: &Slot, genesis: &[u8; 32]) -> bool {
    let of_lease = voucher.lease == address.to_bytes() && voucher.from == lease.from;
    let to_machine = voucher.node_key == machine.node_key && voucher.generation == machine.generation;
    let of_supplier = machine.supplier.as_ref().starts_with(&voucher.supplier);
    of_lease && to_machine && of_supplier && genesis.starts_with(&voucher.cluster)
}

/// Pays the machine of a metered lease what a voucher of its spender adds to those before.
pub fn redeem(
    board: &mut Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    slot: u16,
    voucher: &Voucher,
) -> Result<Payment> {
    let payment = lease.redeem(voucher.price)?;
    let machine = machine_mut(slots, slot)?;
    require!(machine.lease == lease.serial, LeaseholdError::NotInLease);
    machine.accrued = add(machine.accrued, payment.net)?;
    book(board, lease, payment, 0, None)?;
    let meter = lease.meter.as_mut().ok_or(LeaseholdError::LeaseNotMetered)?;
    meter.seq = meter.seq.max(voucher.seq);
    meter.units = meter.units.max(voucher.units);
    Ok(payment)
}

/// Where a metered lease would end by a notice given at Unix time `now`, exclusive.
pub fn notice(board: &Board, lease: &Lease, now: i64) -> Result<u32> {
    lease.require_open()?;
    lease.require_metered()?;
    let until = add32(board.round_after(now)?, NOTICE_ROUNDS)?;
    require!(until < lease.until, LeaseholdError::NoticeTooLate);
    Ok(until)
}

/// True if notice may be given to a lease with that machine. `by_owner`: by the lease's owner. `supplier`: account of
/// the signer's, which must be that of the machine otherwise.
pub fn may_give_notice(machine: &Slot, by_owner: bool, supplier: Option<Pubkey>) -> bool {
    by_owner || supplier == Some(machine.supplier)
}

/// Gives notice. `by_owner` is false where `supplier`, an account of the signer's, must be that of the machine.
pub fn give_notice(
    board: &Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    by_owner: bool,
    supplier: Option<Pubkey>,
    now: i64,
) -> Result<u32> {
    let until = notice(board, lease, now)?;
    let slot = slots.iter_mut().find(|slot| slot.lease == lease.serial).ok_or(LeaseholdError::NotInLease)?;
    require!(may_give_notice(slot, by_owner, supplier), LeaseholdError::WrongAuthority);
    slot.lease_until = until;
    lease.state = LeaseState::Cancelled;
    lease.until = until;
    Ok(until)
}
