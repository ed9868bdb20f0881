//! A board: one account with a header and up to 6,144 slots, one for each machine.

mod header;
mod history;
mod ledger;
mod slot;
mod traits;

pub use header::*;
pub use history::*;
pub use ledger::*;
pub use slot::*;
pub use traits::*;

use anchor_lang::prelude::*;

use crate::error::LeaseholdError;

/// Bytes before the slots: Anchor's discriminator and the header.
pub const SLOTS_OFFSET: usize = 8 + core::mem::size_of::<Board>();

/// Size in bytes of the account of a board with that many slots.
pub const fn board_len(slots: usize) -> usize {
    SLOTS_OFFSET.saturating_add(slots.saturating_mul(core::mem::size_of::<Slot>()))
}

/// Lamports of rent that the last slot of a board of that size costs.
pub fn slot_rent(len: usize) -> Result<u64> {
    let rent = Rent::get()?;
    let before = rent.minimum_balance(len.saturating_sub(core::mem::size_of::<Slot>()));
    Ok(rent.minimum_balance(len).saturating_sub(before))
}

/// Header and slots of a board's account, whose owner and discriminator the caller has checked.
pub fn split(data: &[u8]) -> Result<(&Board, &[Slot])> {
    let header = data.get(8..SLOTS_OFFSET).ok_or(LeaseholdError::BoardMalformed)?;
    let slots = data.get(SLOTS_OFFSET..).ok_or(LeaseholdError::BoardMalformed)?;
    Ok((
        bytemuck::try_from_bytes(header).map_err(|_| LeaseholdError::BoardMalformed)?,
        bytemuck::try_cast_slice(slots).map_err(|_| LeaseholdError::BoardMalformed)?,
    ))
}

/// As [`split`], to write.
pub fn split_mut(data: &mut [u8]) -> Result<(&mut Board, &mut [Slot])> {
    require!(data.len() >= SLOTS_OFFSET, LeaseholdError::BoardMalformed);
    let (header, slots) = data.split_at_mut(SLOTS_OFFSET);
    let header = header.get_mut(8..).ok_or(LeaseholdError::BoardMalformed)?;
    Ok((
        bytemuck::try_from_bytes_mut(header).map_err(|_| LeaseholdError::BoardMalformed)?,
        bytemuck::try_cast_slice_mut(slots).map_err(|_| LeaseholdError::BoardMalformed)?,
    ))
}
