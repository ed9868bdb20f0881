//! One file for each instruction, grouped by the object it changes.

pub mod board;
pub mod lease;
pub mod market;
pub mod record;
pub mod round;
pub mod signatures;
pub mod supplier;
pub mod tokens;

pub use board::*;
pub use lease::*;
pub use market::*;
pub use record::*;
pub use round::*;
pub use supplier::*;
pub use tokens::*;

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    state::{Board, Slot, split_mut},
};

/// Refuses accounts beyond those that the instruction names.
pub fn refuse_stray(remaining: &[AccountInfo]) -> Result<()> {
    require!(remaining.is_empty(), LeaseholdError::StrayAccount);
    Ok(())
}

/// Applies a rule to a board's header and slots.
#[inline(always)]
pub fn on_board<T>(
    board: &AccountLoader<Board>,
    rule: impl FnOnce(&mut Board, &mut [Slot]) -> Result<T>,
) -> Result<T> {
    let info: &AccountInfo = board.as_ref();
    let mut data = info.try_borrow_mut_data()?;
    let (board, slots) = split_mut(&mut data)?;
    rule(board, slots)
}

/// Unix time of the cluster.
pub fn now() -> Result<i64> {
    Ok(Clock::get()?.unix_timestamp)
}
