//! Batches of receipts: which one the log takes next from a machine.

use anchor_lang::prelude::*;

use crate::{
    constants::CLOCK_SKEW_MS,
    error::LeaseholdError,
    instructions::Batch,
    state::{Board, Lane, MAX_BATCH},
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

/// Refuses a batch that does not follow the last one of its machine. `lane` has adopted that machine; `latest` is from
/// [`latest_ms`].
///
/// A machine may append what it signed in an earlier lease while it serves the next one, which may be older. So the lease
/// is not compared with others: numbers run on through all of a machine's leases.
pub fn follows(board: &Board, lane: &Lane, batch: &Batch, latest: u64) -> Result<()> {
    require!((1..=MAX_BATCH).contains(&batch.count), LeaseholdError::BatchSize);
    require!(is_next(lane, batch.number), LeaseholdError::BatchOutOfOrder);
    require!((1..board.next_serial).contains(&batch.lease), LeaseholdError::NoSuchLease);
    let fits = batch.first_seq.checked_add(u64::from(batch.count)).is_some();
    require!(batch.first_seq >= lane.next_seq && fits, LeaseholdError::NumberTaken);
    let in_order =
        batch.first_ms >= lane.last_ms && batch.first_ms <= batch.last_ms && batch.last_ms <= latest;
    require!(in_order, LeaseholdError::BatchTimes);
    Ok(())
}
