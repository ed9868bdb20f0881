//! Machines on a board: their conditions, and how they leave their leases and the board.

use anchor_lang::prelude::*;

use crate::{
    constants::{EVICT_AFTER_SECS, MAX_SLOTS},
    error::LeaseholdError,
    instructions::{Machine, Offer},
    math::{add, add32, pricing, sub, sub32},
    state::{Board, Market, Params, Slot, SlotState, Supplier, Traits},
};

/// Stake units that a machine of these traits is bonded with.
pub fn bond(params: &Params, traits: &Traits) -> Result<u64> {
    let class = params.class(traits.class)?;
    Ok(pricing::bond(params.bond_unit, class.weight_bps, traits.gpus)?)
}

/// Refuses a machine that nobody could lease, or reach.
pub fn require_listable(machine: &Machine) -> Result<()> {
    require!(machine.traits.gpus > 0, LeaseholdError::NoGpus);
    require!(machine.traits.flags & !Traits::METERED == 0, LeaseholdError::ReservedBits);
    require!(machine.price > 0, LeaseholdError::PriceIsZero);
    let endpoint = &machine.endpoint;
    require!(endpoint.ip != [0; 16] && endpoint.port() != 0, LeaseholdError::EndpointEmpty);
    Ok(())
}

/// Refuses a listing on a market that is paused, and one without machines.
pub fn require_listing(market: &Market, machines: usize) -> Result<()> {
    require!(!market.paused, LeaseholdError::MarketPaused);
    require!(machines > 0, LeaseholdError::NoMachines);
    Ok(())
}

/// Slots that a board of `slots` can still add.
pub fn room(slots: usize) -> usize {
    MAX_SLOTS.saturating_sub(slots)
}

/// Refuses a slot that holds a machine already.
pub fn require_vacant(slot: &Slot) -> Result<()> {
    require!(slot.is(SlotState::Vacant), LeaseholdError::SlotTaken);
    Ok(())
}

/// Refuses new conditions for a machine that is leased or barred, and conditions that no machine may have.
/// `next_round` is the round after the one that runs.
pub fn require_offer(
    market: &Market,
    board: &Board,
    slot: &Slot,
    offer: &Offer,
    next_round: u32,
) -> Result<()> {
    require!(slot.lease == 0, LeaseholdError::MachineLeased);
    require!(!slot.is(SlotState::Barred), LeaseholdError::MachineBarred);
    require!(offer.price > 0, LeaseholdError::PriceIsZero);
    board.require_commitment(offer.committed_until, next_round, market.params.max_rounds)
}

/// Gives a machine new conditions, and makes its bond whole out of its supplier's free stake.
pub fn reprice(
    market: &Market,
    board: &mut Board,
    slot: &mut Slot,
    supplier: &mut Supplier,
    offer: &Offer,
    next_round: u32,
) -> Result<()> {
    require_offer(market, board, slot, offer, next_round)?;
    let missing = bond(&market.params, &slot.traits)?.saturating_sub(slot.bond);
    supplier.stake.bond(missing)?;
    board.ledger.bonds = add(board.ledger.bonds, missing)?;
    slot.bond = add(slot.bond, missing)?;
    slot.price = offer.price;
    slot.committed_until = offer.committed_until;
    slot.state = SlotState::Idle as u8;
    if slot.attested_from == Slot::UNATTESTED {
        slot.attested_from = next_round;
    }
    Ok(())
}

/// Refuses to forfeit a machine that serves no lease in round `round`. A lease that is over is settled: its machine
/// broke no promise.
pub fn require_forfeitable(slot: &Slot, round: u32) -> Result<()> {
    let serves = slot.lease != 0 && round < slot.lease_until && slot.is(SlotState::Leased);
    require!(serves, LeaseholdError::MachineNotLeased);
    Ok(())
}

/// Takes a machine out of its lease: it gets no verdicts from now on, and loses its bond when the lease is settled.
pub fn forfeit(slot: &mut Slot, round: u32) -> Result<()> {
    require_forfeitable(slot, round)?;
    slot.state = SlotState::Suspended as u8;
    slot.attested_from = Slot::UNATTESTED;
    Ok(())
}

/// Refuses to retire a machine that is leased, whose earnings are not claimed or whose bond can still be disputed;
/// anybody but its supplier may only retire one whose commitment has been over for 30 days.
///
/// `round` is the round that runs at Unix time `now`.
#[inline(always)]
pub fn require_retirable(board: &Board, slot: &Slot, by_supplier: bool, now: i64, round: u32) -> Result<()> {
    if !by_supplier {
        let over = board.round_end(slot.committed_until.wrapping_sub(1));
        require!(now > over.saturating_add(EVICT_AFTER_SECS), LeaseholdError::EvictionTooEarly);
    }
    require!(slot.lease == 0, LeaseholdError::MachineLeased);
    require!(slot.accrued == 0, LeaseholdError::EarningsLeft);
    require!(!slot.is_disputable(round), LeaseholdError::DisputesOpen);
    Ok(())
}

/// Takes a machine off its board. Its whole bond goes back to its supplier's free stake.
#[inline(always)]
pub fn retire(
    board: &mut Board,
    slot: &mut Slot,
    supplier: &mut Supplier,
    by_supplier: bool,
    now: i64,
    round: u32,
) -> Result<()> {
    require_retirable(board, slot, by_supplier, now, round)?;
    supplier.stake.unbond(slot.bond)?;
    supplier.machines = sub32(supplier.machines, 1)?;
    board.ledger.bonds = sub(board.ledger.bonds, slot.bond)?;
    board.machines = sub32(board.machines, 1)?;
    slot.vacate();
    Ok(())
}

/// Counts machines that are new on a board.
pub fn count_listed(board: &mut Board, supplier: &mut Supplier, bond: u64) -> Result<()> {
    supplier.stake.bond(bond)?;
    supplier.machines = add32(supplier.machines, 1)?;
    board.ledger.bonds = add(board.ledger.bonds, bond)?;
    board.machines = add32(board.machines, 1)?;
    Ok(())
}
