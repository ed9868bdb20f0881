//! What a lease costs, before it is opened, extended, repaired or settled: computed by the program's own
//! functions on the board as it was read.

use leasehold::{
    error::LeaseholdError,
    instructions::{MeterArgs, OpenLeaseArgs},
    math::{
        add,
        matching::{self, Criteria, CutOff, Place, Policy, Selection},
        pricing::{self, Span},
        settlement::{self, Outcome, Payment, Service, Terms},
        sub,
    },
    state::{Lease, LeaseState, Slot, SlotState},
};

use crate::{board::BoardView, error::Refusal};

/// The machines that a lease opened on the same board state gets, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    pub selection: Selection,
    /// Slots picked, in order.
    pub slots: Vec<u16>,
    /// Payment units to deposit.
    pub deposit: u64,
    /// First round of the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    /// Price and score of the last machine: pass it with the instruction.
    pub hint: CutOff,
    /// Serial that the lease would have.
    pub serial: u32,
    pub criteria: Criteria,
    pub rounds: u32,
    /// Set where the lease would be paid by use.
    pub meter: Option<MeterArgs>,
}

impl Quote {
    /// What to open the lease with, for at most `max_deposit` payment units.
    pub fn args(&self, max_deposit: u64, cluster: Option<u64>) -> OpenLeaseArgs {
        OpenLeaseArgs {
            serial: u64::from(self.serial),
            criteria: self.criteria,
            // A board has 6,144 slots at most.
            machines: u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
            rounds: self.rounds,
            max_deposit,
            cluster,
            hint: Some(self.hint),
            meter: self.meter,
        }
    }
}

/// Criteria that every machine meets; change what matters.
pub const ANY: Criteria = Criteria {
    class: None,
    min_gpus: 0,
    min_speed: 0,
    place: Place::Anywhere,
    min_score: 0,
    max_price: u64::MAX,
    policy: Policy::Cheapest,
    metered: false,
};

/// Picks `machines` machines for `rounds` rounds from the next on, at Unix time `now`. Whether the market is
/// paused, or allows so many rounds, stands in the market's account.
pub fn quote(
    board: &BoardView,
    now: i64,
    criteria: &Criteria,
    machines: u32,
    rounds: u32,
) -> Result<Quote, Refusal> {
    if machines == 0 {
        return Err(LeaseholdError::NoMachines.into());
    }
    if criteria.metered {
        return Err(LeaseholdError::MeterMismatch.into());
    }
    pick(board, now, criteria, machines, rounds)
}

/// Picks the machine of a lease paid by use: as [`quote`], of machines that allow it, for a deposit of the
/// buyer's choice.
pub fn quote_metered(
    board: &BoardView,
    now: i64,
    criteria: &Criteria,
    rounds: u32,
    meter: MeterArgs,
) -> Result<Quote, Refusal> {
    if meter.deposit == 0 {
        return Err(LeaseholdError::AmountIsZero.into());
    }
    let criteria = Criteria { metered: true, ..*criteria };
    let quote = pick(board, now, &criteria, 1, rounds)?;
    Ok(Quote { deposit: meter.deposit, meter: Some(meter), ..quote })
}

fn pick(
    board: &BoardView,
    now: i64,
    criteria: &Criteria,
    machines: u32,
    rounds: u32,
) -> Result<Quote, Refusal> {
    let from = next_round(board, now)?;
    let until = from.checked_add(rounds).ok_or(LeaseholdError::MathOverflow)?;
    let selection = matching::select(board.slots, criteria, until, machines, None)?;
    let deposit = selection.deposit(board.slots, Span::of_rounds(board.header.round_secs, rounds))?;
    Ok(Quote {
        slots: selection.slots().filter_map(|slot| u16::try_from(slot).ok()).collect(),
        deposit,
        from,
        until,
        hint: selection.cut_off,
        selection,
        serial: board.header.next_serial,
        criteria: *criteria,
        rounds,
        meter: None,
    })
}

/// Whether a lease with these criteria until round `until`, exclusive, could have that machine: the program's
/// own choice among this one alone.
pub fn fits(slot: &Slot, criteria: &Criteria, until: u32) -> bool {
    let hint = CutOff { price: slot.price, score: slot.score };
    matching::select(std::slice::from_ref(slot), criteria, until, 1, Some(hint)).is_ok()
}

/// Payment units that the owner gets back of a lease by the hour that is cancelled in its first round, having
/// been served: what it costs to change one's mind. `terms` are those the lease would be opened with.
pub fn refundable(board: &BoardView, quote: &Quote, terms: &Terms) -> Result<u64, Refusal> {
    let Some(rest) = quote.rounds.checked_sub(1).filter(|rest| *rest > 0) else { return Ok(0) };
    let terms = Terms { cancel_secs: pricing::cancel_secs(terms.round_secs, rest)?, ..*terms };
    quote.slots.iter().filter_map(|slot| board.slot(*slot)).try_fold(quote.deposit, |left, slot| {
        Ok(sub(left, owed_if_up(slot.price, quote.rounds, 1, &terms)?)?)
    })
}

/// Payment units, fees included, that a machine is owed in all that was up in every one of `rounds` rounds.
fn owed_if_up(price: u64, agreed: u32, rounds: u32, terms: &Terms) -> Result<u64, Refusal> {
    let service = Service { price, agreed, rounds, up: rounds, ..Service::default() };
    Ok(settlement::last(&service, terms)?.payment.gross()?)
}

/// What cancelling a lease by the hour would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// The lease's last round then, and how many rounds earlier that is.
    pub last: u32,
    pub rest: u32,
    /// Payment units that come back, where every machine is up until then: more where one is not.
    pub refund: u64,
}

/// What cancelling a lease by the hour would do now, or why it can't be cancelled.
pub fn cancellation(board: &BoardView, now: i64, lease: &Lease) -> Result<Cancellation, Refusal> {
    lease.require_open()?;
    lease.require_hourly()?;
    // With the round that runs, its first at the earliest.
    let last = board.header.round_at(now)?.max(lease.from);
    let until = last.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
    let rest = lease.until.checked_sub(until).filter(|rest| *rest > 0).ok_or(LeaseholdError::LeaseOver)?;
    let round_secs = lease.terms.round_secs;
    let terms = Terms { cancel_secs: pricing::cancel_secs(round_secs, rest)?, ..lease.terms };
    let refund = board.leased(lease.serial).try_fold(0, |sum, (_, slot)| {
        let agreed = slot.lease_until.saturating_sub(slot.lease_from);
        let held = Span::of_rounds(round_secs, agreed).cost_ceil(slot.price)?;
        let owed = owed_if_up(slot.price, agreed, until.saturating_sub(slot.lease_from), &terms)?;
        Ok::<_, Refusal>(add(sum, held.saturating_sub(owed))?)
    })?;
    Ok(Cancellation { last, rest, refund })
}

/// Payment units that `rounds` more rounds of a lease cost, or why it cannot be extended. One that is paid by
/// use costs nothing more.
pub fn extension(board: &BoardView, now: i64, lease: &Lease, rounds: u32) -> Result<u64, Refusal> {
    lease.require_open()?;
    if next_round(board, now)? > lease.until {
        return Err(LeaseholdError::LeaseOver.into());
    }
    let until = lease.until.checked_add(rounds).ok_or(LeaseholdError::MathOverflow)?;
    let mut deposit = 0;
    for (_, slot) in board.leased(lease.serial) {
        if !slot.is(SlotState::Leased) || slot.committed_until < until {
            return Err(LeaseholdError::MachineNotCommitted.into());
        }
        let price = if lease.meter.is_some() { 0 } else { slot.price };
        let cost = |until: u32| {
            Span::of_rounds(lease.terms.round_secs, until.wrapping_sub(slot.lease_from)).cost_ceil(price)
        };
        deposit = add(deposit, sub(cost(until)?, cost(slot.lease_until)?)?)?;
    }
    Ok(deposit)
}

/// How a machine of a lease would be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The slot that takes over, and its price and score to pass with the instruction.
    pub slot: u16,
    pub hint: CutOff,
    /// How the old machine leaves.
    pub outcome: Outcome,
    /// Payment units that the owner adds.
    pub deposit: u64,
}

/// What replacing the machine of `old_slot` would do, or why it cannot be replaced.
pub fn replacement(
    board: &BoardView,
    now: i64,
    lease: &Lease,
    old_slot: u16,
) -> Result<Replacement, Refusal> {
    lease.require_open()?;
    lease.require_hourly()?;
    let from = next_round(board, now)?;
    if from >= lease.until {
        return Err(LeaseholdError::LeaseOver.into());
    }
    let old = board.slot(old_slot).ok_or(LeaseholdError::NoSuchSlot)?;
    if old.is(SlotState::Vacant) {
        return Err(LeaseholdError::SlotVacant.into());
    }
    if old.lease != lease.serial {
        return Err(LeaseholdError::NotInLease.into());
    }
    if !old.is_forfeited() && !board.header.is_down(old) {
        return Err(LeaseholdError::MachineNotDown.into());
    }
    let selection = matching::select(board.slots, &lease.criteria, lease.until, 1, None)?;
    let (new_slot, new) = selection
        .slots()
        .find_map(|index| Some((u16::try_from(index).ok()?, board.slots.get(index)?)))
        .ok_or(LeaseholdError::NotEnoughMachines)?;

    let terms = &lease.terms;
    let until = board.header.next_round.clamp(old.lease_from, old.lease_until);
    let before = pricing::gross(old.price, terms.round_secs, old.lease_settled)?;
    let outcome = settlement::last(&lease.service(old, until), terms)?;
    let deposit = Span::of_rounds(terms.round_secs, old.lease_until.wrapping_sub(old.lease_from));
    let freed = sub(deposit.cost_ceil(old.price)?, add(before, outcome.payment.gross()?)?)?;
    let cost = Span::of_rounds(terms.round_secs, lease.until.wrapping_sub(from)).cost_ceil(new.price)?;
    Ok(Replacement { slot: new_slot, hint: selection.cut_off, outcome, deposit: cost.saturating_sub(freed) })
}

/// What settling a lease would do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Whether every round of the lease is closed, so that it would be settled for good.
    pub is_final: bool,
    /// Payment units to suppliers and for fees.
    pub payment: Payment,
    /// Payment units back to the owner.
    pub refunded: u64,
    /// Stake units lost, and by how many machines.
    pub slashed: u64,
    pub slashed_machines: u32,
}

/// What settling a lease would do now; an error once it is settled.
pub fn settlement(board: &BoardView, lease: &Lease) -> Result<Settlement, Refusal> {
    if lease.state == LeaseState::Settled {
        return Err(LeaseholdError::LeaseSettled.into());
    }
    let mut sum =
        Settlement { is_final: board.header.next_round >= lease.settles_from(), ..Default::default() };
    for (_, slot) in board.leased(lease.serial) {
        let mut service = lease.service(slot, slot.lease_until);
        if lease.meter.is_some() {
            service.price = 0; // vouchers pay it
        }
        let outcome = if sum.is_final {
            settlement::last(&service, &lease.terms)?
        } else {
            Outcome { payment: settlement::interim(&service, &lease.terms)?, slash: 0 }
        };
        sum.payment = sum.payment.plus(outcome.payment);
        sum.slashed = add(sum.slashed, outcome.slash)?;
        sum.slashed_machines = sum.slashed_machines.saturating_add(u32::from(outcome.slash > 0));
    }
    if sum.is_final {
        sum.refunded = sub(lease.remaining()?, sum.payment.gross()?)?;
    }
    Ok(sum)
}

fn next_round(board: &BoardView, now: i64) -> Result<u32, Refusal> {
    Ok(board.header.round_at(now)?.checked_add(1).ok_or(LeaseholdError::MathOverflow)?)
}

#[cfg(test)]
mod tests;
