//! Cancelling a lease: when it ends then, and what its owner owes for leaving.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{Exact, add32, mul_div_floor, settlement},
    rules::lease::{self, left_until},
    state::{Board, Lease, LeaseState, Slot},
};

/// A lease that ends early, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// The round that runs: each machine serves it, or its first round if that is later.
    pub running: u32,
    /// First round after its end.
    pub until: u32,
    /// How many rounds earlier that is.
    pub rest: u32,
    /// Most seconds of machine time that its owner owes for each machine; less for those that were down beyond their
    /// allowance.
    pub exit_secs: u64,
}

/// How the lease would end if it were cancelled at Unix time `now`: each machine serves the round that runs, or its first if
/// that is later, since it was off the market for that one.
pub fn quote(board: &Board, slots: &[Slot], lease: &Lease, now: i64) -> Result<Cancellation> {
    let cancellation = leavable(board, lease, now)?;
    let ends = slots.iter().filter(|slot| slot.serves(lease.serial));
    let until = ends.map(|slot| slot.lease_until.min(left_until(cancellation.running, slot))).max();
    Ok(Cancellation { until: until.unwrap_or_default().max(cancellation.until), ..cancellation })
}

/// The same without a look at the machines, some of which may not have begun.
fn leavable(board: &Board, lease: &Lease, now: i64) -> Result<Cancellation> {
    lease.require_open()?;
    lease.require_hourly()?;
    let running = board.round_at(now)?;
    let until = add32(running.max(lease.from), 1)?;
    let rest = rest(lease.until, until).ok_or(LeaseholdError::LeaseOver)?;
    let terms = &lease.terms;
    let exit_secs = settlement::exit_at_most(terms.round_secs, terms.rounds, rest);
    Ok(Cancellation { running, until, rest, exit_secs })
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
/// `NotInLease` if a contested slot does not serve the lease, `LeaseOver` if it would not be left early; `LeaseNotOpen`,
/// `LeaseMetered`.
pub fn apply(
    board: &Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    contest: &[u16],
    now: i64,
) -> Result<Cancellation> {
    let cancellation = leavable(board, lease, now)?;
    require_contestable(slots, lease, contest, cancellation.running)?;
    let until = leave(board, &mut *slots, lease, cancellation.running);
    for index in contest {
        if let Some(slot) = slots.get_mut(usize::from(*index)) {
            slot.flags |= Slot::CONTESTED;
        }
    }
    lease.state = LeaseState::Cancelled;
    lease.until = until.max(cancellation.until);
    Ok(Cancellation { until: lease.until, ..cancellation })
}

/// Refuses to contest a machine that does not serve the lease, or that would not serve it beyond round `running` and its own
/// first: it is not left early.
pub fn require_contestable(slots: &[Slot], lease: &Lease, contest: &[u16], running: u32) -> Result<()> {
    for index in contest {
        let slot = slots.get(usize::from(*index)).filter(|slot| slot.serves(lease.serial));
        let slot = slot.ok_or(LeaseholdError::NotInLease)?;
        require!(left_until(running, slot) < slot.lease_until, LeaseholdError::LeaseOver);
    }
    Ok(())
}

/// Leaves every machine that would serve the lease beyond round `running` and its own first. Returns the end of the last.
#[inline(never)]
fn leave(board: &Board, slots: &mut [Slot], lease: &Lease, running: u32) -> u32 {
    let mut last = 0;
    for slot in slots.iter_mut().filter(|slot| slot.serves(lease.serial)) {
        let until = left_until(running, slot);
        if slot.lease_until > until {
            lease::leave(board, slot, until, 0);
        }
        last = last.max(slot.lease_until);
    }
    last
}
