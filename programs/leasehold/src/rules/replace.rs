//! Replacing a machine of a lease: which may be, by which, and what the owner adds.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{
        Exact, add,
        matching::{self, CutOff},
        pricing,
        settlement::Outcome,
        sub,
    },
    rules::{ledger::book, settle},
    state::{Board, Lease, Slot, machine},
};

/// How a machine is replaced, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The slot that takes over, and its price and score: the hint that saves the search.
    pub slot: u16,
    pub hint: CutOff,
    /// First round of the new machine.
    pub from: u32,
    /// First round that the old machine is not settled for, and how it leaves.
    pub old_until: u32,
    pub outcome: Outcome,
    /// Payment units that the owner adds: what the new machine costs beyond what is left of the old one's deposit.
    pub deposit: u64,
    /// Payment units paid in for the lease in all then.
    pub total: u64,
}

/// Refuses unless the machine is in the lease, and was down in the last closed round or broke its promise for good.
pub fn require_replaceable(board: &Board, slot: &Slot, lease: &Lease) -> Result<()> {
    require!(slot.lease == lease.serial, LeaseholdError::NotInLease);
    require!(slot.has_broken_promise() || board.is_down(slot), LeaseholdError::MachineNotDown);
    Ok(())
}

/// How the machine of `old_slot` would be replaced at Unix time `now`.
pub fn quote(
    board: &Board,
    slots: &[Slot],
    lease: &Lease,
    now: i64,
    old_slot: u16,
    hint: Option<CutOff>,
) -> Result<Replacement> {
    lease.require_open()?;
    lease.require_hourly()?;
    let from = board.round_after(now)?;
    require!(from < lease.until, LeaseholdError::LeaseOver);
    let old = machine(slots, old_slot)?;
    require_replaceable(board, old, lease)?;
    // The old machine is leased, so it can't replace itself.
    let selection = matching::select(slots, &lease.criteria, lease.until, 1, hint)?;
    let found = selection.slots().find_map(|index| Some((u16::try_from(index).ok()?, slots.get(index)?)));
    let (slot, new) = found.ok_or(LeaseholdError::NotEnoughMachines)?;

    // The old machine is settled with the rounds closed so far.
    let old_until = board.next_round.clamp(old.lease_from, old.lease_until);
    let outcome = settle::outcome(lease, old, old_until)?;
    let freed = unspent(old, lease, &outcome)?;
    let cost = lease.terms.span(lease.until.wrapping_sub(from)).cost_ceil(new.price)?;
    let deposit = cost.saturating_sub(freed);
    let total = add(lease.deposit, deposit)?;
    Ok(Replacement { slot, hint: selection.cut_off, from, old_until, outcome, deposit, total })
}

/// Unspent part of the deposit of a machine that leaves.
fn unspent(slot: &Slot, lease: &Lease, outcome: &Outcome) -> Exact<u64> {
    let before = pricing::gross(slot.price, lease.terms.round_secs, slot.lease_settled)?;
    sub(lease.deposit_of(slot, slot.lease_until)?, add(before, outcome.payment.gross()?)?)
}

/// Settles the old machine, puts the lease on the new one from the next round on, and books both. The owner adds at
/// most `max_deposit` payment units.
pub fn apply(
    board: &mut Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    now: i64,
    old_slot: u16,
    hint: Option<CutOff>,
    max_deposit: u64,
) -> Result<Replacement> {
    let replacement = quote(board, slots, lease, now, old_slot, hint)?;
    let Replacement { slot, from, old_until, outcome, deposit, total, .. } = replacement;
    require!(deposit <= max_deposit, LeaseholdError::CostsTooMuch);
    let old = slots.get_mut(usize::from(old_slot)).ok_or(LeaseholdError::NoSuchSlot)?;
    old.lease_until = old_until;
    old.leave(&outcome)?;
    let new = slots.get_mut(usize::from(slot)).ok_or(LeaseholdError::NoSuchSlot)?;
    new.begin_lease(lease.serial, from, lease.until);
    book(board, lease, outcome.payment, outcome.slash, None)?;
    board.ledger.escrow = add(board.ledger.escrow, deposit)?;
    lease.deposit = total;
    Ok(replacement)
}
