//! Leases: how an owner leaves machines early, and the end of a lease's account.

use anchor_lang::prelude::*;

use crate::{
    constants::{BLAME_SECS, DISPUTE_SECS},
    error::LeaseholdError,
    math::settlement::{self, Left, Terms},
    state::{Board, Lease, LeaseState, Slot, ring_mask},
};

/// Leaves a machine before the time agreed on: its last round is the one before `until`. `flags` say how:
/// [`Slot::REPLACED`], [`Slot::CONTESTED`].
#[inline(always)]
pub fn leave(board: &Board, slot: &mut Slot, until: u32, flags: u8) {
    slot.lease_until = until;
    slot.flags |= Slot::LEFT | flags;
    if !slot.has(Slot::BOUND) {
        slot.bound_down = 0;
    }
    if was_dark(board, slot) {
        slot.flags |= Slot::DARK;
    }
}

/// True if the machine was down in the hour before its end, or in its last 64 rounds if that is less, as far as rounds are
/// closed. Those that are not are judged when they are closed.
#[inline(always)]
fn was_dark(board: &Board, slot: &Slot) -> bool {
    let closed = board.next_round.min(slot.lease_until);
    let first = slot.lease_until.saturating_sub(blame_rounds(board)).max(slot.lease_from);
    board.down_rounds(slot) & ring_mask(closed, closed.saturating_sub(first)) != 0
}

/// Rounds before its end in which a machine that was down is not blameless.
#[inline(always)]
pub fn blame_rounds(board: &Board) -> u32 {
    board.rounds_in(BLAME_SECS).min(u64::BITS)
}

/// First round in which a machine that was left is not bound any more, once all its rounds in the lease are closed: the
/// same that its settlement finds, so that rounds down count before it too.
pub fn bound_until(board: &Board, slot: &Slot) -> u32 {
    let terms = Terms {
        round_secs: board.round_secs,
        phase_secs: board.phase_secs,
        rounds: 0,
        min_rounds: 0,
        slash_multiplier_bps: 0,
        fee_bps: 0,
        keeper_share_bps: 0,
        sla_bps: board.sla_bps,
        hold_bps: 0,
        standby_bps: 0,
    };
    // How it was left does not matter, only that it was.
    let rounds = settlement::bound_rounds(&slot.service(0, Left::Cancelled), &terms);
    slot.lease_until.saturating_add(rounds)
}

/// First round that a machine which is left at Unix time `now` does not serve any more: it serves the running round, or its
/// first.
#[inline(always)]
pub fn left_until(running: u32, slot: &Slot) -> u32 {
    running.max(slot.lease_from).saturating_add(1)
}

/// First round after the lease's dispute window.
pub fn undisputed_from(board: &Board, lease: &Lease) -> u32 {
    lease.until.saturating_add(board.rounds_in(DISPUTE_SECS))
}

/// Refuses to close the account of a lease that is not settled, whose receipts are demanded or can still be, or that
/// holds money of its owner.
pub fn require_closable(board: &Board, lease: &Lease, now: i64) -> Result<()> {
    require!(lease.state == LeaseState::Settled, LeaseholdError::LeaseNotSettled);
    require!(lease.demands == 0, LeaseholdError::DemandsLeft);
    require!(lease.refund_due == 0, LeaseholdError::LeaseHoldsMoney);
    require!(board.round_at(now)? >= undisputed_from(board, lease), LeaseholdError::DisputesOpen);
    Ok(())
}
