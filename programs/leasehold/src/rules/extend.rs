//! Extending a lease: whether its machines are committed for so long, and what that costs.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{add, add32, sub, sub32},
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
    /// Machines that are not committed for so long: they leave at the old end.
    pub leaving: u32,
    /// Payment units that its owner adds, and those paid in for it in all then.
    pub deposit: u64,
    pub total: u64,
}

/// What the owner of a lease allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Most payment units to add.
    pub max_deposit: u64,
    /// Most machines that may leave at the old end. At least one has to stay.
    pub max_leaving: u32,
}

/// Cost of `rounds` more rounds at Unix time `now`: 0 if the lease is metered. Refused if more than `max_leaving` machines
/// are not committed for so long.
pub fn quote(
    market: &Market,
    board: &Board,
    slots: &[Slot],
    lease: &Lease,
    now: i64,
    rounds: u32,
    max_leaving: u32,
) -> Result<Extension> {
    extend(market, board, slots, lease, now, rounds, max_leaving)
}

/// Moves the end of a lease and of its machines that are committed for so long.
pub fn apply(
    market: &Market,
    board: &mut Board,
    slots: &mut [Slot],
    lease: &mut Lease,
    now: i64,
    rounds: u32,
    allowed: Allowance,
) -> Result<Extension> {
    let extension = extend(market, board, slots, lease, now, rounds, allowed.max_leaving)?;
    require!(extension.deposit <= allowed.max_deposit, LeaseholdError::CostsTooMuch);
    board.ledger.escrow = add(board.ledger.escrow, extension.deposit)?;
    lease.terms.rounds = extension.rounds;
    lease.until = extension.until;
    lease.deposit = extension.total;
    lease.machines = sub32(lease.machines, extension.leaving)?;
    Ok(extension)
}

/// True if a machine that serves the lease goes on until round `until`.
fn goes_on(slot: &Slot, until: u32) -> bool {
    slot.is(SlotState::Leased) && !slot.has(Slot::ABANDONED) && slot.committed_until >= until
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
    max_leaving: u32,
) -> Result<Extension> {
    require!(!market.paused, LeaseholdError::MarketPaused);
    lease.require_open()?;
    require!(board.round_at(now)? < lease.until, LeaseholdError::LeaseOver);
    let total = add32(lease.terms.rounds, rounds)?;
    require!(rounds > 0 && total <= market.params.max_rounds, LeaseholdError::LeaseLength);
    let until = add32(lease.until, rounds)?;
    let (mut deposit, mut leaving, mut staying) = (0, 0u32, 0u32);
    for mut slot in slots.into_iter().filter(|slot| slot.serves(lease.serial)) {
        if slot.lease_until < lease.until {
            continue; // left at an earlier end
        }
        if !goes_on(&slot, until) {
            leaving = leaving.wrapping_add(1);
            require!(leaving <= max_leaving, LeaseholdError::MachineNotCommitted);
            continue;
        }
        staying = staying.wrapping_add(1);
        // Of a metered lease too, whose deposit does not grow: nothing that is computed from its price may overflow.
        lease.terms.span(until.wrapping_sub(slot.lease_from)).cost_ceil(slot.hourly())?;
        let further = sub(lease.deposit_of(&slot, until)?, lease.deposit_of(&slot, slot.lease_until)?)?;
        deposit = add(deposit, further)?;
        slot.write(|slot| (slot.lease_until, slot.lease_agreed) = (until, until));
    }
    require!(staying > 0, LeaseholdError::MachineNotCommitted);
    Ok(Extension { until, rounds: total, leaving, deposit, total: add(lease.deposit, deposit)? })
}
