//! Disputes over receipts: deadlines of demands, and convictions.

use anchor_lang::prelude::*;

use crate::{
    constants::{ANSWER_SECS, DEMAND_SECS, DISPUTE_SECS, RECORD_SECS, ROUND_SECS},
    error::LeaseholdError,
    math::{add, add32, sub32},
    state::{Board, Demand, Lease, Receipt, Slot, SlotState, is_after_begin},
};

// Every demand ends before the dispute window does: each window may be a round longer, since it is rounded up to rounds.
const _: () = assert!(DISPUTE_SECS > DEMAND_SECS + ANSWER_SECS + 2 * *ROUND_SECS.end());

/// The machine that signed a receipt under the lease, while it can still lose its bond.
///
/// # Errors
/// `OtherCluster`, `OtherBoard`, `OtherLease`, `WrongMachine`, `OtherSupplier`, `OtherGeneration`, or `MachineBarred`.
pub fn accused<'a>(board: &Board, slots: &'a [Slot], lease: &Lease, receipt: &Receipt) -> Result<&'a Slot> {
    require!(receipt.has_cluster(board), LeaseholdError::OtherCluster);
    require!(lease.board.as_ref().starts_with(&receipt.board), LeaseholdError::OtherBoard);
    require!(receipt.is_under(lease), LeaseholdError::OtherLease);
    let machine = slots.get(usize::from(receipt.slot)).filter(|machine| receipt.has_key(machine));
    let machine = machine.ok_or(LeaseholdError::WrongMachine)?;
    require!(receipt.has_supplier(machine), LeaseholdError::OtherSupplier);
    require!(receipt.generation == machine.generation, LeaseholdError::OtherGeneration);
    require!(!machine.is(SlotState::Barred), LeaseholdError::MachineBarred);
    Ok(machine)
}

/// A receipt that has the machine, lease and number of another one: where it may differ from it.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namesake {
    pub end_ms: u64,
    /// See [`Receipt::rest`].
    pub rest: [u8; 32],
}

impl Namesake {
    /// Where that receipt may differ from others of its number.
    pub fn of(receipt: &Receipt) -> Self {
        Namesake { end_ms: receipt.end_ms, rest: receipt.rest() }
    }

    /// Its id, given the other one.
    pub fn id(&self, other: &Receipt) -> [u8; 32] {
        Receipt { end_ms: self.end_ms, ..*other }.id_with(&self.rest)
    }

    /// Refuses one that does not convict the machine which signed both: it is the same receipt, or was signed before the
    /// lease.
    pub fn require_contradicting(&self, other: &Receipt, lease: &Lease) -> Result<()> {
        require!(*self != Namesake::of(other), LeaseholdError::NoEquivocation);
        require!(is_after_begin(self.end_ms, lease), LeaseholdError::OtherLease);
        Ok(())
    }
}

/// Rounds in which a receipt that is not in the log can be demanded, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemandWindow {
    pub first: u32,
    pub last: u32,
}

impl DemandWindow {
    /// Unix second from which a demand made at Unix time `now` can be enforced.
    pub fn due(&self, board: &Board, now: i64) -> Result<i64> {
        let round = board.round_at(now)?;
        require!(round >= self.first, LeaseholdError::DemandTooEarly);
        require!(round <= self.last, LeaseholdError::DemandTooLate);
        Ok(now.saturating_add(i64::from(ANSWER_SECS)))
    }
}

/// When a machine's receipt in a lease can be demanded.
pub fn demand_window(
    board: &Board,
    lease: &Lease,
    machine: &Slot,
    receipt: &Receipt,
) -> Result<DemandWindow> {
    let left = round_left(machine, lease);
    let last = left.saturating_add(board.rounds_in(DEMAND_SECS));
    Ok(DemandWindow { first: receipt_due(board, receipt, left)?, last })
}

/// The machine that a demand of its receipt at Unix time `now` would accuse, and the Unix second from which the demand could
/// be enforced.
pub fn demandable<'a>(
    board: &Board,
    slots: &'a [Slot],
    lease: &Lease,
    receipt: &Receipt,
    now: i64,
) -> Result<(&'a Slot, i64)> {
    let machine = accused(board, slots, lease, receipt)?;
    let due = demand_window(board, lease, machine, receipt)?.due(board, now)?;
    Ok((machine, due))
}

/// Demands a receipt at Unix time `now`: from now on the demand holds the bond of the machine that signed it. Returns that
/// machine, and the Unix second from which the demand can be enforced.
pub fn demand(
    board: &Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    receipt: &Receipt,
    now: i64,
) -> Result<(Slot, i64)> {
    let (machine, due) = demandable(board, slots, lease, receipt, now)?;
    let machine =
        Slot { demands: machine.demands.checked_add(1).ok_or(LeaseholdError::MathOverflow)?, ..*machine };
    let slot = slots.get_mut(usize::from(receipt.slot)).ok_or(LeaseholdError::NoSuchSlot)?;
    *slot = machine;
    lease.demands = add32(lease.demands, 1)?;
    Ok((machine, due))
}

/// First round in which the machine serves the lease no more, or a later one if the board does not know it: a slot keeps
/// only its last lease.
pub fn round_left(machine: &Slot, lease: &Lease) -> u32 {
    let is_last = machine.lease == 0 || machine.lease == lease.serial;
    lease.until.min(if is_last { machine.lease_until } else { machine.lease_from })
}

/// Round by which a receipt must be in the log: some time after it was signed. A later time than the machine's service
/// counts as the end of that, so that no machine can put the deadline off.
pub fn receipt_due(board: &Board, receipt: &Receipt, left: u32) -> Result<u32> {
    let seconds = receipt.end_ms.checked_div(1_000).and_then(|secs| i64::try_from(secs).ok());
    let ended = board.round_at(seconds.ok_or(LeaseholdError::MathOverflow)?).unwrap_or(u32::MAX);
    Ok(ended.min(left).saturating_add(board.rounds_in(RECORD_SECS)))
}

/// Convicts a machine: burns its whole bond and bars it, so that it can only retire. Returns the stake units lost.
pub fn convict(board: &mut Board, slot: &mut Slot, lease: &mut Lease) -> Result<u64> {
    require!(!slot.is(SlotState::Barred), LeaseholdError::MachineBarred);
    let slashed = core::mem::take(&mut slot.bond);
    slot.state = SlotState::Barred as u8;
    slot.flags &= !Slot::BOUND;
    slot.attested_from = Slot::UNATTESTED;
    board.ledger.slash(slashed)?;
    lease.slashed = add(lease.slashed, slashed)?;
    Ok(slashed)
}

/// True if the machine is the one that the demand names. It is, as long as the demand is open.
pub fn is_accused(machine: &Slot, demand: &Demand) -> bool {
    machine.generation == demand.generation && machine.node_key == demand.node_key
}

/// Ends a demand: it holds the machine's bond no longer.
pub fn release(slots: &mut [Slot], lease: &mut Lease, demand: &Demand) -> Result<()> {
    lease.demands = sub32(lease.demands, 1)?;
    let slot = slots.get_mut(usize::from(demand.slot)).filter(|slot| is_accused(slot, demand));
    if let Some(slot) = slot {
        slot.demands = slot.demands.checked_sub(1).ok_or(LeaseholdError::MathOverflow)?;
    }
    Ok(())
}

/// The machine that loses its bond if the demand is enforced at Unix time `now`; `None` if it has lost it already.
///
/// # Errors
/// `AnswerNotDue`.
pub fn enforcement<'a>(slots: &'a [Slot], demand: &Demand, now: i64) -> Result<Option<&'a Slot>> {
    require!(now >= demand.due, LeaseholdError::AnswerNotDue);
    let slot = slots.get(usize::from(demand.slot));
    Ok(slot.filter(|slot| is_accused(slot, demand) && !slot.is(SlotState::Barred)))
}

/// Ends a demand that nobody answered in time: the machine is convicted, unless it has been already. Returns the stake units
/// lost.
pub fn enforce(
    board: &mut Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    demand: &Demand,
    now: i64,
) -> Result<u64> {
    let convicts = enforcement(slots, demand, now)?.is_some();
    release(slots, lease, demand)?;
    match slots.get_mut(usize::from(demand.slot)).filter(|_| convicts) {
        Some(slot) => convict(board, slot, lease),
        None => Ok(0),
    }
}
