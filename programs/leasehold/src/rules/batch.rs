//! Batches of receipts: which one the log takes next from a machine.

use anchor_lang::prelude::*;

use crate::{
    constants::CLOCK_SKEW_MS,
    error::LeaseholdError,
    instructions::Batch,
    state::{Board, Lane, MAX_BATCH, Slot},
};

/// Latest time, in Unix milliseconds, that a receipt in the log can have at Unix time `now`.
///
/// # Errors
/// `MathOverflow` before 1970.
pub fn latest_ms(now: i64) -> Result<u64> {
    let now = u64::try_from(now).map_err(|_| LeaseholdError::MathOverflow)?;
    Ok(now.saturating_mul(1_000).saturating_add(CLOCK_SKEW_MS))
}

/// True if the batch with that number is the lane's next.
pub fn is_next(lane: &Lane, number: u32) -> bool {
    number == lane.batches
}

/// Refuses a batch that does not follow the last one of its machine. `lane` has adopted the machine in `slot`; `latest`
/// is from [`latest_ms`].
pub fn follows(board: &Board, slot: &Slot, lane: &Lane, batch: &Batch, latest: u64) -> Result<()> {
    require!((1..=MAX_BATCH).contains(&batch.count), LeaseholdError::BatchSize);
    require!(is_next(lane, batch.number), LeaseholdError::BatchOutOfOrder);
    let existed = (1..board.next_serial).contains(&batch.lease);
    // The slot keeps no record of earlier leases, except that their serials are lower.
    let reached = slot.lease == 0 || batch.lease <= slot.lease;
    require!(existed && reached, LeaseholdError::NoSuchLease);
    require!(batch.lease >= lane.lease, LeaseholdError::BatchOutOfOrder);
    let free = lane.next_seq_in(slot.generation, batch.lease);
    let fits = batch.first_seq.checked_add(u64::from(batch.count)).is_some();
    require!(batch.first_seq >= free && fits, LeaseholdError::NumberTaken);
    // When the lease began is not checked: a machine may have left it and come back.
    let in_order =
        batch.first_ms >= lane.last_ms && batch.first_ms <= batch.last_ms && batch.last_ms <= latest;
    require!(in_order, LeaseholdError::BatchTimes);
    Ok(())
}
