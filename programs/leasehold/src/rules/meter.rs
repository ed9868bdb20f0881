//! Metered leases: vouchers, top-ups and notice.

use anchor_lang::prelude::*;

use crate::{
    constants::NOTICE_SECS,
    error::LeaseholdError,
    math::{Exact, add, add32, pricing::gross, settlement::Payment, sub},
    rules::{
        lease::{leave, left_until},
        ledger::book,
    },
    state::{Board, Lease, LeaseState, Meter, Slot, Voucher},
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

/// True if a voucher is for the lease at `address`, and not for one that had its address before, and names `machine`, which is
/// in its slot. `genesis` is the genesis hash of the cluster.
pub fn is_for(
    voucher: &Voucher,
    address: &Pubkey,
    lease: &Lease,
    machine: &Slot,
    genesis: &[u8; 32],
) -> bool {
    let of_lease = voucher.lease == address.to_bytes() && voucher.from == lease.from;
    let to_machine = voucher.node_key == machine.node_key && voucher.generation == machine.generation;
    let of_supplier = machine.supplier.as_ref().starts_with(&voucher.supplier);
    of_lease && to_machine && of_supplier && genesis.starts_with(&voucher.cluster)
}

/// The machine of a metered lease.
pub fn machine<'a>(slots: &'a [Slot], lease: &Lease) -> Result<&'a Slot> {
    let slot = slots.iter().find(|slot| slot.lease == lease.serial);
    slot.ok_or_else(|| LeaseholdError::NotInLease.into())
}

/// Payment units of the deposit that vouchers can't take at Unix time `now`: the machine's standby price from its first round
/// until an hour from now, or until its end if that is earlier.
pub fn reserve(board: &Board, lease: &Lease, machine: &Slot, now: i64) -> Result<u64> {
    let hour = add32(board.round_after(now)?, board.rounds_in(NOTICE_SECS))?;
    let rounds = hour.min(machine.lease_until).saturating_sub(machine.lease_from);
    Ok(gross(lease.hourly(machine)?, lease.terms.round_secs, rounds)?)
}

/// Payment units that vouchers can pay in all at Unix time `now`, fees included.
pub fn voucher_limit(board: &Board, lease: &Lease, machine: &Slot, now: i64) -> Result<u64> {
    Ok(lease.deposit.saturating_sub(reserve(board, lease, machine, now)?))
}

/// Payment that a voucher for `price` in all adds to those before at Unix time `now`, as far as the deposit reaches.
pub fn payment(board: &Board, lease: &Lease, machine: &Slot, price: u64, now: i64) -> Result<Payment> {
    let before = payable(lease)?.paid;
    let owed = price.min(voucher_limit(board, lease, machine, now)?);
    require!(owed > before, LeaseholdError::VoucherRedeemed);
    Ok(Payment::difference(owed, before, lease.terms.fee_bps)?)
}

/// Pays the machine of a metered lease what a voucher of its spender adds to those before.
pub fn redeem(
    board: &mut Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    voucher: &Voucher,
    now: i64,
) -> Result<Payment> {
    let machine = slots.get_mut(usize::from(voucher.slot)).filter(|machine| machine.lease == lease.serial);
    let machine = machine.ok_or(LeaseholdError::NotInLease)?;
    let payment = payment(board, lease, machine, voucher.price, now)?;
    machine.accrued = add(machine.accrued, payment.net)?;
    book(board, lease, payment)?;
    let meter = lease.meter.as_mut().ok_or(LeaseholdError::LeaseNotMetered)?;
    meter.seq = meter.seq.max(voucher.seq);
    meter.units = meter.units.max(voucher.units);
    meter.paid = add(meter.paid, payment.gross()?)?;
    Ok(payment)
}

/// Who ends a metered lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ender {
    Owner,
    Supplier,
    Anybody,
}

/// Who the signer of a notice is. `supplier`: the signer's account as a supplier, if it gave one.
pub fn ender(lease: &Lease, machine: &Slot, signer: &Pubkey, supplier: Option<Pubkey>) -> Ender {
    if supplier == Some(machine.supplier) {
        Ender::Supplier
    } else if *signer == lease.owner {
        Ender::Owner
    } else {
        Ender::Anybody
    }
}

/// Where a metered lease would end, exclusive, if it were ended at Unix time `now`: an hour after the running round.
///
/// With the running round, and the machine's first at the earliest, if its deposit does not cover the next hour's standby
/// price. Then anybody may, with the machine's first hour at the earliest: so nobody is paid for the rest of an hour that it
/// did not serve because a stranger, or another wallet of its supplier, ended it. And if its supplier ends it while vouchers have
/// paid less than the standby price did.
///
/// # Errors
/// `StandbyCovered` to anybody else, `NoticeTooLate`, `LeaseNotOpen`, `LeaseNotMetered`.
pub fn notice(board: &Board, lease: &Lease, machine: &Slot, ender: Ender, now: i64) -> Result<u32> {
    lease.require_open()?;
    lease.require_metered()?;
    let running = board.round_at(now)?;
    let at_once = match ender {
        Ender::Supplier => is_unused(lease, machine)?,
        Ender::Owner | Ender::Anybody => false,
    };
    let at_once = at_once || is_short(board, lease, machine, now)?;
    require!(at_once || ender != Ender::Anybody, LeaseholdError::StandbyCovered);
    let until = if at_once {
        let first_hour = add32(machine.lease_from, board.rounds_in(NOTICE_SECS))?;
        let least = if ender == Ender::Anybody { first_hour } else { 0 };
        left_until(running, machine).max(least)
    } else {
        add32(board.round_after(now)?, board.rounds_in(NOTICE_SECS))?
    };
    require!(until < lease.until, LeaseholdError::NoticeTooLate);
    Ok(until)
}

/// True if vouchers have left less of the deposit than the standby price until an hour from now.
pub fn is_short(board: &Board, lease: &Lease, machine: &Slot, now: i64) -> Result<bool> {
    let left = sub(lease.deposit, payable(lease)?.paid)?;
    Ok(left < reserve(board, lease, machine, now)?)
}

/// True if vouchers have paid less than the standby price of the rounds in which the machine was up.
fn is_unused(lease: &Lease, machine: &Slot) -> Result<bool> {
    let standby: Exact<u64> = gross(lease.hourly(machine)?, lease.terms.round_secs, machine.lease_up);
    Ok(payable(lease)?.paid < standby?)
}

/// Ends a metered lease early. Its owner owes a blameless machine for an hour at least, unless its supplier ends it.
pub fn give_notice(
    board: &Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    ender: Ender,
    now: i64,
) -> Result<u32> {
    let until = notice(board, lease, machine(slots, lease)?, ender, now)?;
    let slot = slots.iter_mut().find(|slot| slot.lease == lease.serial).ok_or(LeaseholdError::NotInLease)?;
    if ender == Ender::Supplier {
        (slot.lease_until, slot.lease_agreed) = (until, until);
    } else {
        leave(board, slot, until, 0);
    }
    if let Some(meter) = &mut lease.meter {
        meter.owes_hour = ender != Ender::Supplier;
    }
    lease.state = LeaseState::Cancelled;
    lease.until = until;
    Ok(until)
}
