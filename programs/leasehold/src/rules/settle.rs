//! Settling a lease: what its machines are paid and lose, and what its owner gets back.

use anchor_lang::prelude::*;

pub use crate::math::settlement::settles_from;

use crate::{
    error::LeaseholdError,
    math::{
        Exact, add,
        settlement::{self, Outcome, Payment},
        sub,
    },
    rules::{SlotAccess, ledger::book},
    state::{Board, Keeper, Lease, LeaseState, Slot, SlotState},
};

/// Effect of a settlement on all machines of a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// True if all rounds of the lease are closed, so that machines are settled for good.
    pub is_final: bool,
    /// Payment units to suppliers and for fees.
    pub payment: Payment,
    /// Payment units back to the owner, once all machines are settled for good.
    pub refunded: u64,
    /// Stake units lost, and by how many machines.
    pub slashed: u64,
    pub slashed_machines: u32,
    /// Machines settled for good.
    pub machines: u32,
}

/// Upper bounds of the compute units that settling a machine for good takes: one without a round down or
/// unknown whose amounts are narrow, the same with wide ones, and any other.
/// `settle_lease_sets_aside_as_many_units_as_a_machine_takes` measures them at their worst.
const PLAIN_UNITS: u32 = 120;
const WIDE_UNITS: u32 = 340;
const OTHER_UNITS: u32 = 850;
/// Compute units that one settlement may spend on machines, of the 1.4 million of a transaction.
pub const BUDGET_UNITS: u32 = 1_000_000;

/// How a machine leaves its lease before round `until`, if all rounds before it are closed.
#[inline(always)]
pub fn outcome(lease: &Lease, slot: &Slot, until: u32) -> Exact<Outcome> {
    settlement::last(&lease.service(slot, until), &lease.terms)
}

/// True if all rounds are closed that a lease waits for which settles for good from round `settles_from` on, where
/// `next_round` is the first round that is not closed.
#[inline(always)]
pub fn is_due(next_round: u32, settles_from: u32) -> bool {
    next_round >= settles_from
}

/// True if all rounds are closed that the lease waits for, so that it is settled for good.
pub fn is_final(board: &Board, lease: &Lease) -> bool {
    is_due(board.next_round, lease.settles_from())
}

/// Why a machine loses stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlashCause {
    /// Down in more rounds than it may: loses a part of its bond, or all of it.
    Downtime,
    /// Down for too many rounds in a row: loses all of it.
    Abandoned,
    /// Taken out of its lease by its supplier: loses all of it.
    Forfeited,
    /// Lied in its receipts: has lost all of it already.
    Convicted,
}

/// Why a machine of the lease loses stake if that is settled as it stands; `None` if it keeps its promise.
pub fn slash_cause(lease: &Lease, slot: &Slot) -> Option<SlashCause> {
    let service = lease.service(slot, slot.lease_until);
    if service.broke_promise {
        return Some(if slot.is(SlotState::Barred) {
            SlashCause::Convicted
        } else if slot.flags & Slot::ABANDONED != 0 {
            SlashCause::Abandoned
        } else {
            SlashCause::Forfeited
        });
    }
    (!settlement::keeps_sla(&service, &lease.terms)).then_some(SlashCause::Downtime)
}

/// Effect of settling now. It goes on, as the program would in further transactions, until `budget` compute units
/// are spent: [`BUDGET_UNITS`] for the next transaction, `u32::MAX` for all of them together.
pub fn quote(board: &Board, slots: &[Slot], lease: &Lease, budget: u32) -> Result<Settlement> {
    let mut sum = settle(board, slots, lease, budget)?;
    if lease.settled.saturating_add(sum.machines) == lease.machines {
        sum.refunded = sub(lease.remaining()?, sum.payment.gross()?)?;
    }
    Ok(sum)
}

/// Settles the lease: writes its machines, books what they are paid and lose and, with the last machine, the refund.
#[inline(always)]
pub fn apply(
    board: &mut Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    keeper: Option<&mut Keeper>,
) -> Result<Settlement> {
    let mut sum = settle(board, slots, lease, BUDGET_UNITS)?;
    lease.settled = lease.settled.saturating_add(sum.machines);
    book(board, lease, sum.payment, sum.slashed, keeper)?;
    if lease.settled == lease.machines {
        sum.refunded = lease.finish()?;
        board.ledger.refund(sum.refunded)?;
    }
    Ok(sum)
}

/// Settles the machines; the refund is still missing.
#[inline(always)]
fn settle<S: SlotAccess>(
    board: &Board,
    slots: impl IntoIterator<Item = S>,
    lease: &Lease,
    budget: u32,
) -> Result<Settlement> {
    require!(lease.state != LeaseState::Settled, LeaseholdError::LeaseSettled);
    let is_final = is_final(board, lease);
    let sum = if is_final { finish(slots, lease, budget)? } else { advance(slots, lease)? };
    Ok(Settlement { is_final, ..sum })
}

/// Pays rounds up in mid-term. Apart from its caller, so that the loop has the registers.
#[inline(never)]
fn advance<S: SlotAccess>(slots: impl IntoIterator<Item = S>, lease: &Lease) -> Exact<Settlement> {
    let (serial, terms, mut sum) = (lease.serial, lease.terms, Settlement::default());
    if lease.meter.is_some() {
        return Ok(sum); // vouchers pay it
    }
    for mut slot in slots.into_iter().filter(|slot| slot.lease == serial) {
        let payment = settlement::interim(&slot.service(slot.lease_until, 0), &terms)?;
        let accrued = add(slot.accrued, payment.net)?;
        slot.write(|slot| {
            slot.lease_settled = slot.lease_up;
            slot.accrued = accrued;
        });
        sum.payment = sum.payment.plus(payment);
    }
    Ok(sum)
}

/// Pays and slashes for good, and sets the machines free: as many as the budget allows. Where that is not all of
/// them, because thousands were down, the next settlement goes on.
#[inline(always)]
fn finish<S: SlotAccess>(
    slots: impl IntoIterator<Item = S>,
    lease: &Lease,
    mut budget: u32,
) -> Exact<Settlement> {
    let (serial, terms, mut sum) = (lease.serial, lease.terms, Settlement::default());
    // Then the last payment of a machine that was always up is one like those in mid-term.
    let simple = lease.meter.is_none() && terms.cancel_secs == 0;
    // Then what such a machine earns takes less than 48 bits, if its price takes 32.
    let secs = u64::from(terms.round_secs).wrapping_mul(u64::from(terms.rounds));
    let narrow = if secs < 1 << 27 { u64::from(u32::MAX) } else { 0 };
    for mut slot in slots.into_iter().filter(|slot| slot.lease == serial) {
        if simple && slot.served_all() {
            let units = if slot.price <= narrow { PLAIN_UNITS } else { WIDE_UNITS };
            let Some(left) = budget.checked_sub(units) else { break };
            budget = left;
            let payment = settlement::interim(&slot.service(slot.lease_until, 0), &terms)?;
            let accrued = add(slot.accrued, payment.net)?;
            slot.write(|slot| {
                slot.accrued = accrued;
                slot.release(SlotState::Idle);
            });
            sum.payment = sum.payment.plus(payment);
        } else {
            let Some(left) = budget.checked_sub(OTHER_UNITS) else { break };
            budget = left;
            finish_other(slot, lease, &mut sum)?;
        }
        sum.machines = sum.machines.wrapping_add(1);
    }
    Ok(sum)
}

/// Settles a machine that was not up all the time or is not paid by the hour, which may cost stake but earns
/// nothing. Apart from the loop, which it would slow down.
#[inline(never)]
fn finish_other<S: SlotAccess>(mut slot: S, lease: &Lease, sum: &mut Settlement) -> Exact<()> {
    let outcome = outcome(lease, &slot, slot.lease_until)?;
    let (accrued, bond) = slot.after(&outcome)?;
    slot.write(|slot| slot.leave_with(accrued, bond, outcome.slash > 0));
    sum.payment = sum.payment.plus(outcome.payment);
    sum.slashed = add(sum.slashed, outcome.slash)?;
    sum.slashed_machines = sum.slashed_machines.wrapping_add(u32::from(outcome.slash > 0));
    Ok(())
}
