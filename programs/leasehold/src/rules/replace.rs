//! Replacing a machine of a lease: by which, from when on, and what the owner pays in.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{
        add, add32,
        matching::{self, Criteria, CutOff, Request},
        mul_div_floor,
    },
    rules::lease::{leave, left_until},
    state::{Board, Lease, MachineId, Slot, machine},
};

/// How a machine is replaced, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The slot that takes over, and its price and score: the hint that saves the search.
    pub slot: u16,
    pub hint: CutOff,
    /// First round of the new machine.
    pub from: u32,
    /// First round that the old machine does not serve any more.
    pub old_until: u32,
    /// Part of 65,536 of its price that the new machine costs less.
    pub cheaper_q16: u16,
    /// Payment units that the owner pays in for the new machine. What the old one leaves comes back when it is settled.
    pub deposit: u64,
    /// Payment units paid in for the lease in all then.
    pub total: u64,
}

/// Refuses unless the machine serves the lease and would go on.
pub fn require_replaceable(slot: &Slot, lease: &Lease, running: u32) -> Result<()> {
    require!(slot.serves(lease.serial), LeaseholdError::NotInLease);
    require!(left_until(running, slot) < slot.lease_agreed, LeaseholdError::LeaseOver);
    Ok(())
}

/// How the machine would be replaced at Unix time `now`, whatever it costs. The machines that the lease replaced before are
/// not picked.
pub fn quote(board: &Board, slots: &[Slot], lease: &Lease, wish: &Wish, now: i64) -> Result<Replacement> {
    let &Wish { old_slot, avoid, min_bond, hint, .. } = wish;
    lease.require_open()?;
    lease.require_hourly()?;
    require!(avoid.len() <= crate::constants::MAX_AVOID, LeaseholdError::AvoidsTooMany);
    let running = board.round_at(now)?;
    let old = machine(slots, old_slot)?;
    require_replaceable(old, lease, running)?;
    let from = add32(running, 1)?;
    require!(from < lease.until, LeaseholdError::LeaseOver);
    let avoided: Vec<u16> = avoid.iter().copied().chain(left_before(slots, lease)).collect();
    // The old machine is leased, so it can't replace itself.
    let criteria = Criteria { min_bond: min_bond.max(lease.criteria.min_bond), ..lease.criteria };
    let request = Request {
        criteria: &criteria,
        gpus: u32::from(old.traits.gpus),
        from,
        until: lease.until,
        round_secs: board.round_secs,
        seen: board.seen_round(now),
        avoid: &avoided,
    };
    let selection = matching::replacement(slots, &request, hint)?;
    let slot = selection.only().and_then(|index| u16::try_from(index).ok());
    let slot = slot.ok_or(LeaseholdError::NotEnoughGpus)?;
    let new = machine(slots, slot)?;
    let deposit = lease.rest(from).cost_ceil(new.hourly())?;
    Ok(Replacement {
        slot,
        hint: selection.cut_off,
        from,
        old_until: left_until(running, old),
        cheaper_q16: cheaper(old.hourly(), new.hourly()),
        deposit,
        total: add(lease.deposit, deposit)?,
    })
}

/// Slots whose machine the lease replaced before.
fn left_before<'a>(slots: &'a [Slot], lease: &'a Lease) -> impl Iterator<Item = u16> + 'a {
    let same = |left: &&MachineId| {
        slots.get(usize::from(left.slot)).is_some_and(|slot| slot.generation == left.generation)
    };
    lease.replaced.iter().filter(same).map(|left| left.slot)
}

/// Part of 65,536 of its price that a machine costs less than another, rounded down.
fn cheaper(old: u64, new: u64) -> u16 {
    let part = mul_div_floor(old.saturating_sub(new), 1 << 16, old).unwrap_or_default();
    u16::try_from(part).unwrap_or(u16::MAX)
}

/// How the owner wants a machine to be replaced.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub old_slot: u16,
    /// Slots that are not picked.
    pub avoid: &'a [u16],
    /// Least bond for each GPU in stake units, beside the least that the lease asks for.
    pub min_bond: u64,
    pub hint: Option<CutOff>,
    /// Most payment units to pay in.
    pub max_deposit: u64,
    /// True if the old machine is contested.
    pub contest: bool,
}

impl Wish<'_> {
    /// To replace that machine by any, whatever it costs.
    pub fn any(old_slot: u16) -> Self {
        Self { old_slot, avoid: &[], min_bond: 0, hint: None, max_deposit: u64::MAX, contest: false }
    }
}

/// Leaves the old machine with the running round, and puts the lease on the new one from the next round on.
pub fn apply(
    board: &mut Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    wish: &Wish,
    now: i64,
) -> Result<Replacement> {
    let replacement = quote(board, slots, lease, wish, now)?;
    let Replacement { slot, from, old_until, cheaper_q16, deposit, total, .. } = replacement;
    require!(deposit <= wish.max_deposit, LeaseholdError::CostsTooMuch);
    let old = slots.get_mut(usize::from(wish.old_slot)).ok_or(LeaseholdError::NoSuchSlot)?;
    // One that would have left at an earlier end isn't counted any more; the new one stays.
    if old.lease_until < lease.until {
        lease.machines = add32(lease.machines, 1)?;
    }
    let contested = if wish.contest { Slot::CONTESTED } else { 0 };
    leave(board, old, old_until, Slot::REPLACED | contested);
    old.cheaper_q16 = cheaper_q16;
    lease.replaced.push(MachineId { slot: wish.old_slot, generation: old.generation });
    let new = slots.get_mut(usize::from(slot)).ok_or(LeaseholdError::NoSuchSlot)?;
    new.begin_lease(lease.serial, from, lease.until);
    lease.unsettled = add32(lease.unsettled, 1)?;
    board.ledger.escrow = add(board.ledger.escrow, deposit)?;
    lease.deposit = total;
    Ok(replacement)
}
