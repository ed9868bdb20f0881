//! Cancelling a lease: when it ends then, and what its owner owes for leaving.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{add32, pricing},
    state::{Board, Lease, LeaseState, Slot},
};

/// A lease that ends early, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// First round after its end.
    pub until: u32,
    /// How many rounds earlier that is.
    pub rest: u32,
    /// Seconds of machine time that its owner owes each machine that kept its promise.
    pub cancel_secs: u32,
}

/// How the lease would end if it were cancelled at Unix time `now`: with the round that runs, its first at the
/// earliest, since its machines were off the market for that one.
pub fn quote(board: &Board, lease: &Lease, now: i64) -> Result<Cancellation> {
    lease.require_open()?;
    lease.require_hourly()?;
    let until = add32(board.round_at(now)?.max(lease.from), 1)?;
    let rest = lease.until.checked_sub(until).filter(|rest| *rest > 0).ok_or(LeaseholdError::LeaseOver)?;
    Ok(Cancellation { until, rest, cancel_secs: pricing::cancel_secs(lease.terms.round_secs, rest)? })
}

/// Ends the lease early. It is settled as any other.
pub fn apply(board: &Board, slots: &mut [Slot], lease: &mut Lease, now: i64) -> Result<Cancellation> {
    let cancellation = quote(board, lease, now)?;
    for slot in slots.iter_mut().filter(|slot| slot.lease == lease.serial) {
        slot.lease_until = cancellation.until;
    }
    cancellation.note(lease);
    Ok(cancellation)
}

impl Cancellation {
    /// The lease as it is once it is cancelled.
    pub fn note(&self, lease: &mut Lease) {
        lease.state = LeaseState::Cancelled;
        lease.until = self.until;
        lease.terms.cancel_secs = self.cancel_secs;
    }
}
