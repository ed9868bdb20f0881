//! Compute logs: which lanes can be opened in one, and when it can be closed.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    state::{Lane, Slot, Supplier},
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

/// Refuses to close the log of a supplier that has machines.
pub fn require_closable(supplier: &Supplier) -> Result<()> {
    require!(supplier.machines == 0, LeaseholdError::MachinesLeft);
    Ok(())
}
