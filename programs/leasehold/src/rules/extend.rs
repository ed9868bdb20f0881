//! Extending a lease: whether its machines are committed for so long, and what that costs.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{add, add32, sub},
    rules::SlotAccess,
    state::{Board, Lease, Market, Slot, SlotState},
};

/// A lease that runs longer, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// First round after it.
    pub until: u32,
    /// Rounds agreed on in all.
    pub rounds: u32,
    /// Payment units that its owner adds, and those paid in for it in all then.
    pub deposit: u64,
    pub total: u64,
}

/// Cost of `rounds` more rounds at Unix time `now`: 0 if the lease is metered.
pub fn quote(
    market: &Market,
    board: &Board,
    slots: &[Slot],
    lease: &Lease,
    now: i64,
    rounds: u32,
) -> Result<Extension> {
    extend(market, board, slots, lease, now, rounds)
}

/// Moves the end of a lease and of its machines, for at most `max_deposit` payment units.
pub fn apply(
    market: &Market,
    board: &mut Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    now: i64,
    rounds: u32,
    max_deposit: u64,
) -> Result<Extension> {
    let extension = extend(market, board, slots, lease, now, rounds)?;
    require!(extension.deposit <= max_deposit, LeaseholdError::CostsTooMuch);
    board.ledger.escrow = add(board.ledger.escrow, extension.deposit)?;
    lease.terms.rounds = extension.rounds;
    lease.until = extension.until;
    lease.deposit = extension.total;
    Ok(extension)
}

/// Moves the end of a lease's machines. Each costs the deposit for its whole time less the deposit it had.
#[inline(always)]
fn extend<S: SlotAccess>(
    market: &Market,
    board: &Board,
    slots: impl IntoIterator<Item = S>,
    lease: &Lease,
    now: i64,
    rounds: u32,
) -> Result<Extension> {
    require!(!market.paused, LeaseholdError::MarketPaused);
    lease.require_open()?;
    require!(board.round_at(now)? < lease.until, LeaseholdError::LeaseOver);
    let total = add32(lease.terms.rounds, rounds)?;
    require!(rounds > 0 && total <= market.params.max_rounds, LeaseholdError::LeaseLength);
    let until = add32(lease.until, rounds)?;
    let mut deposit = 0;
    for mut slot in slots.into_iter().filter(|slot| slot.lease == lease.serial) {
        let committed = slot.is(SlotState::Leased) && slot.committed_until >= until;
        require!(committed, LeaseholdError::MachineNotCommitted);
        let further = sub(lease.deposit_of(&slot, until)?, lease.deposit_of(&slot, slot.lease_until)?)?;
        deposit = add(deposit, further)?;
        slot.write(|slot| slot.lease_until = until);
    }
    Ok(Extension { until, rounds: total, deposit, total: add(lease.deposit, deposit)? })
}
