//! Cancelling a lease: when it ends then, and what its owner owes for leaving.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{
        Exact, add32, mul_div_floor, pricing,
        settlement::{self, Service, Terms},
    },
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
    let rest = rest(lease.until, until).ok_or(LeaseholdError::LeaseOver)?;
    Ok(Cancellation { until, rest, cancel_secs: pricing::cancel_secs(lease.terms.round_secs, rest)? })
}

/// Rounds by which a lease ends earlier that was to end before round `agreed` and ends before round `until`. `None` if
/// that is no earlier: the last round can't be left.
#[inline(always)]
pub fn rest(agreed: u32, until: u32) -> Option<u32> {
    agreed.checked_sub(until).filter(|rest| *rest > 0)
}

/// Payment units that come back to the owner of a cancelled lease if every machine is up until its end: what its escrow
/// holds, `remaining`, less what each machine is owed by its final settlement. More comes back where one is not up.
///
/// `terms` are those of the lease once it is cancelled, `services` those of its machines until it ends.
pub fn refund(terms: &Terms, remaining: u64, services: impl IntoIterator<Item = Service>) -> Exact<u64> {
    services.into_iter().try_fold(remaining, |left, service| {
        let up = Service { up: service.rounds, down: 0, broke_promise: false, ..service };
        Ok(left.saturating_sub(settlement::last(&up, terms)?.payment.gross()?))
    })
}

/// Most payment units that a cancelled lease costs which served so many rounds, whatever machines its deposit was for:
/// the deposit less [`refund`] is never more, since the deposit of each machine is rounded up, and its pay down.
pub fn cost_at_most(deposit: u64, round_secs: u32, rounds: u32, served: u32, cancel_secs: u32) -> Exact<u64> {
    let secs = |rounds: u32| u64::from(round_secs).saturating_mul(u64::from(rounds));
    let owed = secs(served).saturating_add(u64::from(cancel_secs));
    Ok(mul_div_floor(deposit, owed, secs(rounds).max(1))?.min(deposit))
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
    /// Payment units that come back to the owner of the lease if every machine is up until its end. See [`refund`].
    pub fn refund(&self, lease: &Lease, slots: &[Slot]) -> Result<u64> {
        let terms = Terms { cancel_secs: self.cancel_secs, ..lease.terms };
        let machines = slots.iter().filter(|slot| slot.lease == lease.serial);
        let services = machines.map(|slot| lease.service(slot, self.until));
        Ok(refund(&terms, lease.remaining()?, services)?)
    }

    /// The lease as it is once it is cancelled.
    pub fn note(&self, lease: &mut Lease) {
        lease.state = LeaseState::Cancelled;
        lease.until = self.until;
        lease.terms.cancel_secs = self.cancel_secs;
    }
}
