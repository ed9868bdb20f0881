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

use crate::error::LeaseholdError;

/// Refuses accounts that the instruction has no use for.
pub fn refuse_stray(remaining: &[AccountInfo]) -> Result<()> {
    require!(remaining.is_empty(), LeaseholdError::StrayAccount);
    Ok(())
}

/// Unix time of the cluster.
pub fn now() -> Result<i64> {
    Ok(Clock::get()?.unix_timestamp)
}
