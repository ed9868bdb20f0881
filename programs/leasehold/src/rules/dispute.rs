//! Disputes over receipts: deadlines of demands, and convictions.

use anchor_lang::prelude::*;

use crate::{
    constants::{ANSWER_SECS, DEMAND_SECS, RECORD_SECS},
    error::LeaseholdError,
    math::{add32, sub32},
    rules::ledger::book_slash,
    state::{Board, Demand, Lease, Receipt, Slot, SlotState},
};

/// The machine that signed a receipt under the lease, while it can still lose its bond.
///
/// # Errors
/// `WrongReceipt`, `WrongMachine`, or `MachineBarred`.
pub fn accused<'a>(slots: &'a [Slot], lease: &Lease, receipt: &Receipt) -> Result<&'a Slot> {
    require!(receipt.is_under(lease), LeaseholdError::WrongReceipt);
    let machine = slots.get(usize::from(receipt.slot)).filter(|machine| receipt.is_by(machine));
    let machine = machine.ok_or(LeaseholdError::WrongMachine)?;
    require!(!machine.is(SlotState::Barred), LeaseholdError::MachineBarred);
    Ok(machine)
}

/// True if two receipts under one lease convict the machine that signed both: they have the same number but differ.
pub fn contradict(one: &Receipt, other: &Receipt) -> bool {
    let same_machine = (one.slot, one.generation) == (other.slot, other.generation);
    let same_number = one.seq == other.seq && one.cluster == other.cluster;
    same_machine && same_number && one != other
}

/// Rounds in which a receipt that is not in the log can be demanded, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemandWindow {
    pub first: u32,
    pub last: u32,
}

impl DemandWindow {
    /// Round from which a demand made at Unix time `now` can be enforced.
    pub fn due(&self, board: &Board, now: i64) -> Result<u32> {
        let round = board.round_at(now)?;
        require!(round >= self.first, LeaseholdError::DemandTooEarly);
        require!(round <= self.last, LeaseholdError::DemandTooLate);
        Ok(add32(round, board.rounds_in(ANSWER_SECS))?)
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
    Ok(DemandWindow { first: receipt_due(board, receipt, left)?, last: left.saturating_add(board.rounds_in(DEMAND_SECS)) })
}

/// Demands a receipt at Unix time `now`. Returns the machine that signed it, and the round from which the demand can be
/// enforced.
pub fn demand<'a>(
    board: &Board,
    slots: &'a [Slot],
    lease: &mut Lease,
    receipt: &Receipt,
    now: i64,
) -> Result<(&'a Slot, u32)> {
    let machine = accused(slots, lease, receipt)?;
    let due = demand_window(board, lease, machine, receipt)?.due(board, now)?;
    lease.demands = add32(lease.demands, 1)?;
    Ok((machine, due))
}

/// Round in which the machine's service in the lease is over at the latest: it may have been replaced.
pub fn round_left(machine: &Slot, lease: &Lease) -> u32 {
    match machine.lease {
        serial if serial == lease.serial => lease.until,
        0 => lease.until.min(machine.lease_until),
        _ => lease.until.min(machine.lease_from),
    }
}

/// Round by which a receipt must be in the log: some rounds after it was signed. A later time than the machine's service
/// counts as the end of that, so that no machine can put the deadline off.
pub fn receipt_due(board: &Board, receipt: &Receipt, left: u32) -> Result<u32> {
    let seconds = receipt.end_ms.checked_div(1_000).and_then(|secs| i64::try_from(secs).ok());
    let ended = board.round_at(seconds.ok_or(LeaseholdError::MathOverflow)?).unwrap_or(u32::MAX);
    Ok(ended.min(left).saturating_add(board.rounds_in(RECORD_SECS)))
}

/// Convicts a machine: takes its whole bond and bars it, so that it can only retire. Returns the stake units lost.
///
/// The owner of the lease is compensated only while the machine serves it: the slot keeps no record of earlier leases, and
/// a supplier could have its machine lie in the lease of a friend.
pub fn convict(
    board: &mut Board,
    slot: &mut Slot,
    lease: &mut Lease,
) -> Result<u64> {
    require!(!slot.is(SlotState::Barred), LeaseholdError::MachineBarred);
    let slashed = core::mem::take(&mut slot.bond);
    slot.state = SlotState::Barred as u8;
    slot.attested_from = Slot::UNATTESTED;
    book_slash(board, lease, slashed)?;
    Ok(slashed)
}

/// The machine that loses its bond if the demand is enforced at Unix time `now`; `None` if it is gone or has lost it
/// already.
///
/// # Errors
/// `AnswerNotDue`.
pub fn enforcement<'a>(
    board: &Board,
    slots: &'a [Slot],
    demand: &Demand,
    now: i64,
) -> Result<Option<&'a Slot>> {
    require!(board.round_at(now)? >= demand.due, LeaseholdError::AnswerNotDue);
    let slot = slots.get(usize::from(demand.slot));
    Ok(slot.filter(|slot| slot.generation == demand.generation && !slot.is(SlotState::Barred)))
}

/// Ends a demand that nobody answered in time: the machine is convicted, unless it has been already or is gone. Returns
/// the stake units lost.
pub fn enforce(
    board: &mut Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    demand: &Demand,
    now: i64,
) -> Result<u64> {
    let is_there = enforcement(board, slots, demand, now)?.is_some();
    lease.demands = sub32(lease.demands, 1)?;
    match slots.get_mut(usize::from(demand.slot)).filter(|_| is_there) {
        Some(slot) => convict(board, slot, lease),
        None => Ok(0),
    }
}
