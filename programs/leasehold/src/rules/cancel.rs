//! Cancelling a lease: when it ends then, and what its owner owes for leaving.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{
        Exact, add, add32, mul_div_floor,
        settlement::{self, Left, Service},
    },
    rules::{SlotAccess, lease},
    state::{Board, Lease, LeaseState, Slot},
};

/// A lease that ends early, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// First round after its end; a machine that has not begun then serves its first round, see [`Cancellation::end`].
    pub until: u32,
    /// How many rounds earlier that is.
    pub rest: u32,
    /// Most seconds of machine time that its owner owes for each machine; less for those that were down beyond their
    /// allowance.
    pub exit_secs: u64,
}

/// How the lease would end if it were cancelled at Unix time `now`: with the round that runs, its first at the
/// earliest, since its machines were off the market for that one.
pub fn quote(board: &Board, lease: &Lease, now: i64) -> Result<Cancellation> {
    lease.require_open()?;
    lease.require_hourly()?;
    let until = add32(board.round_at(now)?.max(lease.from), 1)?;
    let rest = rest(lease.until, until).ok_or(LeaseholdError::LeaseOver)?;
    let terms = &lease.terms;
    let exit_secs = settlement::exit_at_most(terms.round_secs, terms.rounds, rest);
    Ok(Cancellation { until, rest, exit_secs })
}

/// Rounds by which a lease ends earlier that was to end before round `agreed` and ends before round `until`. `None` if
/// that is no earlier: the last round can't be left.
#[inline(always)]
pub fn rest(agreed: u32, until: u32) -> Option<u32> {
    agreed.checked_sub(until).filter(|rest| *rest > 0)
}

/// Most payment units that a cancelled lease costs which served so many rounds, whatever machines its deposit was for:
/// its pay, what leaving costs, and as much as half of its last two hours for contesting.
pub fn cost_at_most(deposit: u64, round_secs: u32, rounds: u32, served: u32, exit_secs: u64) -> Exact<u64> {
    let secs = |rounds: u32| u64::from(round_secs).saturating_mul(u64::from(rounds));
    let owed = secs(served).saturating_add(exit_secs);
    Ok(mul_div_floor(deposit, owed, secs(rounds).max(1))?.min(deposit))
}

/// Ends the lease early and contests some of its machines. It is settled as any other.
///
/// # Errors
/// `NotInLease` if a contested slot does not serve the lease, `LeaseNotOpen`, `LeaseMetered`, `LeaseOver`.
pub fn apply(
    board: &Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    contest: &[u16],
    now: i64,
) -> Result<Cancellation> {
    let cancellation = quote(board, lease, now)?;
    require_contestable(slots, lease, contest)?;
    let until = leave(board, &mut *slots, lease, &cancellation);
    for index in contest {
        if let Some(slot) = slots.get_mut(usize::from(*index)) {
            slot.flags |= Slot::CONTESTED;
        }
    }
    lease.state = LeaseState::Cancelled;
    lease.until = until;
    Ok(cancellation)
}

/// Refuses to contest a machine that does not serve the lease.
pub fn require_contestable(slots: &[Slot], lease: &Lease, contest: &[u16]) -> Result<()> {
    let serves = |index: &u16| slots.get(usize::from(*index)).is_some_and(|slot| slot.serves(lease.serial));
    require!(contest.iter().all(serves), LeaseholdError::NotInLease);
    Ok(())
}

/// Leaves every machine that would serve the lease beyond its end then. Returns the first round after all of them.
#[inline(never)]
fn leave<S: SlotAccess>(
    board: &Board,
    slots: impl IntoIterator<Item = S>,
    lease: &Lease,
    cancellation: &Cancellation,
) -> u32 {
    let mut last = cancellation.until;
    for mut slot in slots.into_iter().filter(|slot| slot.serves(lease.serial)) {
        let until = cancellation.end(&slot);
        if slot.lease_until > until {
            slot.write(|slot| lease::leave(board, slot, until, 0));
        }
        last = last.max(until);
    }
    last
}

impl Cancellation {
    /// First round that a machine which serves the lease does not serve any more: it serves its first round at least, since
    /// it was off the market for that.
    pub fn end(&self, slot: &Slot) -> u32 {
        self.until.max(slot.lease_from.saturating_add(1)).min(slot.lease_until)
    }

    /// Payment units that come back to the owner of the lease if every machine is up until its end and none is contested.
    /// More comes back where one is not up.
    pub fn refund(&self, lease: &Lease, slots: &[Slot]) -> Result<u64> {
        let mut left = lease.remaining()?;
        for slot in slots.iter().filter(|slot| slot.lease == lease.serial) {
            let outcome = settlement::last(&self.service(lease, slot)?, &lease.terms)?;
            left = left.saturating_sub(add(outcome.payment.gross()?, outcome.burned.total()?)?);
        }
        Ok(left)
    }

    /// Service of a machine of the lease once it is cancelled, if the machine is up in all rounds from now on.
    pub fn service(&self, lease: &Lease, slot: &Slot) -> Result<Service> {
        let service = lease.service(slot)?;
        let end = self.end(slot);
        if !slot.serves(lease.serial) || slot.lease_until <= end {
            return Ok(service);
        }
        let rounds = end.saturating_sub(slot.lease_from);
        let known = service.down.saturating_add(service.unseen);
        Ok(Service { rounds, up: rounds.saturating_sub(known), left: Left::Cancelled, ..service })
    }
}
