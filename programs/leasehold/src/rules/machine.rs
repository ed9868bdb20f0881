//! Machines on a board: their conditions, and how they leave their leases and the board.

use anchor_lang::prelude::*;

use crate::{
    constants::{DISPUTE_SECS, EVICT_AFTER_SECS, MAX_PROFILES, MAX_SLOTS},
    error::LeaseholdError,
    instructions::{Machine, Offer},
    math::{add, add32, pricing, sub, sub32},
    state::{Board, Endpoint, Market, Params, Slot, SlotState, Supplier, Traits},
};

/// Stake units that a machine of these traits is bonded with: the market's minimum, or `per_gpu` for each of its GPUs if that
/// is more. A supplier may bond more to attract long leases.
pub fn bond(params: &Params, traits: &Traits, per_gpu: u64) -> Result<u64> {
    let class = params.class(traits.class)?;
    let least = pricing::bond(params.bond_unit, class.weight_bps, traits.gpus)?;
    let wanted = per_gpu.checked_mul(u64::from(traits.gpus)).ok_or(LeaseholdError::MathOverflow)?;
    Ok(least.max(wanted))
}

/// Refuses a machine that nobody could lease, or reach.
///
/// Its price times its GPUs must fit 64 bits: nothing that computes with it checks again.
pub fn require_listable(machine: &Machine) -> Result<()> {
    require!(machine.traits.gpus > 0, LeaseholdError::NoGpus);
    require!(machine.traits.flags & !Traits::METERED == 0, LeaseholdError::ReservedBits);
    require_price(machine.price, machine.traits.gpus)?;
    require_endpoint(&machine.endpoint)?;
    let known = machine.profile.is_none_or(|profile| usize::from(profile) < MAX_PROFILES);
    require!(known, LeaseholdError::ProfileOutOfRange);
    Ok(())
}

/// Refuses a price of 0 per GPU, and one that times the number of GPUs does not fit 64 bits.
fn require_price(price: u64, gpus: u8) -> Result<()> {
    require!(price > 0, LeaseholdError::PriceIsZero);
    require!(price.checked_mul(u64::from(gpus)).is_some(), LeaseholdError::PriceTooHigh);
    Ok(())
}

/// Refuses an endpoint without an address or a port.
fn require_endpoint(endpoint: &Endpoint) -> Result<()> {
    require!(endpoint.ip != [0; 16] && endpoint.port() != 0, LeaseholdError::EndpointEmpty);
    Ok(())
}

/// Changes a machine's address, also while it is leased.
pub fn relocate(slot: &mut Slot, endpoint: Endpoint) -> Result<()> {
    require_endpoint(&endpoint)?;
    require!(!slot.is(SlotState::Barred), LeaseholdError::MachineBarred);
    slot.endpoint = endpoint;
    Ok(())
}

/// Withholds a machine that is in no lease: it fits no request until it is offered again.
///
/// # Errors
/// `MachineLeased`, `MachineBound`, or `MachineBarred`. `round` is the round that runs.
pub fn withhold(slot: &mut Slot, round: u32) -> Result<()> {
    require!(slot.lease == 0, LeaseholdError::MachineLeased);
    require!(!slot.is(SlotState::Barred), LeaseholdError::MachineBarred);
    require!(!slot.is_bound(round), LeaseholdError::MachineBound);
    slot.state = SlotState::Suspended as u8;
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

/// Refuses new conditions that the machine can't have now. `next_round` is the round after the one that runs.
///
/// One that is leased can only have its commitment shortened, to its lease's end at least, since an extension at the old price
/// is the owner's choice alone otherwise. One that is bound keeps its commitment, and its price can only fall.
pub fn require_offer(
    market: &Market,
    board: &Board,
    slot: &Slot,
    offer: &Offer,
    next_round: u32,
) -> Result<()> {
    require!(!slot.is(SlotState::Barred), LeaseholdError::MachineBarred);
    require_price(offer.price, slot.traits.gpus)?;
    if slot.is_bound(next_round.saturating_sub(1)) {
        let allowed = offer.price <= slot.price && offer.committed_until == slot.committed_until;
        require!(allowed, LeaseholdError::MachineBound);
    }
    if slot.lease != 0 {
        let shorter = offer.committed_until <= slot.committed_until;
        let covers = offer.committed_until >= slot.lease_until.max(next_round);
        require!(offer.price == slot.price && shorter && covers, LeaseholdError::MachineLeased);
        return Ok(());
    }
    if slot.is_bound(next_round.saturating_sub(1)) {
        return Ok(());
    }
    board.require_commitment(offer.committed_until, next_round, market.params.max_rounds)
}

/// Gives a machine new conditions. One that is not leased can be leased from now on: its bond is made whole out of its
/// supplier's free stake, and filled up to `bond` stake units for each GPU if that is more.
pub fn reprice(
    market: &Market,
    board: &mut Board,
    slot: &mut Slot,
    supplier: &mut Supplier,
    offer: &Offer,
    next_round: u32,
) -> Result<()> {
    require_offer(market, board, slot, offer, next_round)?;
    let was_bound = slot.is_bound(next_round.saturating_sub(1));
    slot.price = offer.price;
    slot.committed_until = offer.committed_until;
    if slot.lease != 0 {
        return Ok(());
    }
    if !was_bound {
        // Or the new commitment would bind it again.
        slot.flags &= !Slot::BOUND;
    }
    let missing = bond(&market.params, &slot.traits, offer.bond)?.saturating_sub(slot.bond);
    supplier.stake.bond(missing)?;
    board.ledger.bonds = add(board.ledger.bonds, missing)?;
    slot.bond = add(slot.bond, missing)?;
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
    slot.flags &= !Slot::BOUND;
    slot.attested_from = Slot::UNATTESTED;
    Ok(())
}

/// Refuses to retire a machine that is leased or bound, whose earnings are not claimed or whose bond can still be disputed;
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
    require!(!slot.is_bound(round), LeaseholdError::MachineBound);
    require!(slot.demands == 0, LeaseholdError::DemandsLeft);
    require!(!is_disputable(board, slot, round), LeaseholdError::DisputesOpen);
    Ok(())
}

/// True if the dispute window of its last lease is open: a receipt may still cost it its bond.
pub fn is_disputable(board: &Board, slot: &Slot, round: u32) -> bool {
    // A machine that was never leased has no window.
    let until = slot.lease_until.saturating_add(board.rounds_in(DISPUTE_SECS));
    slot.bond > 0 && slot.lease_until > 0 && round < until
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
    slot.vacate()
}

/// Counts machines that are new on a board.
pub fn count_listed(board: &mut Board, supplier: &mut Supplier, bond: u64) -> Result<()> {
    supplier.stake.bond(bond)?;
    supplier.machines = add32(supplier.machines, 1)?;
    board.ledger.bonds = add(board.ledger.bonds, bond)?;
    board.machines = add32(board.machines, 1)?;
    Ok(())
}
