//! Compute logs: who may append, which lanes can be opened in one, where numbering resumes after a loss, and when a log can be
//! closed.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    state::{ComputeLog, Lane, Slot, Supplier, machine},
};

/// Refuses a lane for a slot that is not on the board or is not the supplier's. `supplier` is the address of its
/// account.
pub fn require_own_slot(slots: &[Slot], index: u16, supplier: &Pubkey) -> Result<()> {
    let slot = slots.get(usize::from(index)).ok_or(LeaseholdError::NoSuchSlot)?;
    require_keys_eq!(slot.supplier, *supplier, LeaseholdError::WrongSupplier);
    Ok(())
}

/// Index at which a new lane keeps `lanes` sorted. Refuses a slot that has a lane. `board` is the board's index in its
/// market.
pub fn new_lane(lanes: &[Lane], board: u32, slot: u16) -> Result<usize> {
    match lanes.binary_search_by_key(&(board, slot), Lane::key) {
        Ok(_) => err!(LeaseholdError::LaneExists),
        Err(index) => Ok(index),
    }
}

/// Refuses a signer that is neither the log's operator nor the authority of its supplier.
pub fn require_operator(log: &ComputeLog, supplier: &Supplier, signer: &Pubkey) -> Result<()> {
    let allowed = *signer == log.operator || *signer == supplier.authority;
    require!(allowed, LeaseholdError::WrongAuthority);
    Ok(())
}

/// The machine in a slot, which must be the supplier's. `supplier` is the address of its account.
pub fn own_machine<'a>(slots: &'a [Slot], index: u16, supplier: &Pubkey) -> Result<&'a Slot> {
    let slot = machine(slots, index)?;
    require_keys_eq!(slot.supplier, *supplier, LeaseholdError::WrongSupplier);
    Ok(slot)
}

/// The lane of a slot. `board` is the board's index in its market.
pub fn lane_mut(lanes: &mut [Lane], board: u32, slot: u16) -> Result<&mut Lane> {
    let place = lanes.binary_search_by_key(&(board, slot), Lane::key).map_err(|_| LeaseholdError::NoLane)?;
    lanes.get_mut(place).ok_or_else(|| LeaseholdError::NoLane.into())
}

/// Leaves out the next numbers of a machine in the lease that it serves: its node lost its database, and does not know which
/// of them it has signed. Returns the number from which it can go on. `lane` is the machine's.
pub fn skip(slot: &Slot, lane: &mut Lane, lease: u32) -> Result<u64> {
    require!(lease != 0 && slot.lease == lease, LeaseholdError::NotInLease);
    lane.adopt(slot);
    lane.skip(lease)
}

/// Refuses to close the log of a supplier that has machines.
pub fn require_closable(supplier: &Supplier) -> Result<()> {
    require!(supplier.machines == 0, LeaseholdError::MachinesLeft);
    Ok(())
}
