//! Quotes for opening, extending, cancelling and settling a lease, and for replacing a machine: the program's own
//! rules, on the board as it was read. Each quote makes every refusal that the program makes, by the same error.

use leasehold::{
    instructions::{MeterArgs, OpenLeaseArgs},
    math::{
        matching::{self, Criteria, CutOff, Place, Policy, Selection},
        pricing,
        settlement::{Service, Terms},
    },
    rules::{cancel, extend, open, replace, settle},
    state::{Lease, Market, Slot},
};

use crate::{board::BoardView, error::Refusal};

pub use leasehold::rules::{extend::Extension, replace::Replacement, settle::Settlement};

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
    /// Copy of the market's parameters that the lease would keep.
    pub terms: Terms,
    /// Set where the lease would be paid by use.
    pub meter: Option<MeterArgs>,
}

impl Quote {
    /// Arguments to open the lease with, for at most `max_deposit` payment units.
    pub fn args(&self, max_deposit: u64, group: Option<u64>) -> OpenLeaseArgs {
        OpenLeaseArgs {
            serial: u64::from(self.serial),
            criteria: self.criteria,
            // A board has 6,144 slots at most.
            machines: u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
            rounds: self.rounds,
            max_deposit,
            group,
            hint: Some(self.hint),
            meter: self.meter,
        }
    }
}

/// Criteria that every machine meets: change those that matter.
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

/// Picks `machines` machines for `rounds` rounds from the next one on, at Unix time `now`.
pub fn quote(
    market: &Market,
    board: &BoardView,
    now: i64,
    criteria: &Criteria,
    machines: u32,
    rounds: u32,
) -> Result<Quote, Refusal> {
    pick(market, board, now, criteria, machines, rounds, None)
}

/// Picks the machine of a lease paid by use: as [`quote`], of machines that allow it, for a deposit of the
/// buyer's choice.
pub fn quote_metered(
    market: &Market,
    board: &BoardView,
    now: i64,
    criteria: &Criteria,
    rounds: u32,
    meter: MeterArgs,
) -> Result<Quote, Refusal> {
    let criteria = Criteria { metered: true, ..*criteria };
    pick(market, board, now, &criteria, 1, rounds, Some(meter))
}

fn pick(
    market: &Market,
    board: &BoardView,
    now: i64,
    criteria: &Criteria,
    machines: u32,
    rounds: u32,
    meter: Option<MeterArgs>,
) -> Result<Quote, Refusal> {
    let args = OpenLeaseArgs {
        serial: u64::from(board.header.next_serial),
        criteria: *criteria,
        machines,
        rounds,
        max_deposit: u64::MAX,
        group: None,
        hint: None,
        meter,
    };
    let opening = open::quote(market, board.header, board.slots, now, &args)?;
    Ok(Quote {
        slots: opening.selection.slots().filter_map(|slot| u16::try_from(slot).ok()).collect(),
        deposit: opening.deposit,
        from: opening.from,
        until: opening.until,
        hint: opening.selection.cut_off,
        selection: opening.selection,
        serial: opening.serial,
        criteria: *criteria,
        rounds,
        terms: opening.terms,
        meter,
    })
}

/// True if a lease with these criteria until round `until`, exclusive, could have that machine: the program's own
/// choice among this one alone.
pub fn fits(slot: &Slot, criteria: &Criteria, until: u32) -> bool {
    let hint = CutOff { price: slot.price, score: slot.score };
    matching::select(std::slice::from_ref(slot), criteria, until, 1, Some(hint)).is_ok()
}

/// Payment units that the owner gets back of a lease by the hour that is cancelled in its first round, having
/// been served: the rest of the deposit is the cost of a change of mind. Of a lease paid by use, the whole deposit: only
/// vouchers take from it.
pub fn refundable(board: &BoardView, quote: &Quote) -> Result<u64, Refusal> {
    if quote.meter.is_some() {
        return Ok(quote.deposit);
    }
    let until = quote.from.saturating_add(1);
    let Some(rest) = cancel::rest(quote.until, until) else { return Ok(0) };
    let cancel_secs = pricing::cancel_secs(quote.terms.round_secs, rest)?;
    let terms = Terms { cancel_secs, ..quote.terms };
    let machines = quote.slots.iter().filter_map(|slot| board.slot(*slot));
    let services = machines.map(|slot| Service {
        price: slot.price,
        agreed: quote.rounds,
        rounds: until.saturating_sub(quote.from),
        ..Service::default()
    });
    Ok(cancel::refund(&terms, quote.deposit, services)?)
}

/// Effect of cancelling a lease by the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// First round after the lease then, and how many rounds earlier that is.
    pub until: u32,
    pub rest: u32,
    /// Seconds of machine time owed to each machine that keeps its promise.
    pub cancel_secs: u32,
    /// Payment units that come back, where every machine is up until then: more where one is not.
    pub refund: u64,
}

/// Effect of cancelling a lease by the hour now, or the rule that forbids it.
pub fn cancellation(board: &BoardView, now: i64, lease: &Lease) -> Result<Cancellation, Refusal> {
    let cancelled = cancel::quote(board.header, lease, now)?;
    let refund = cancelled.refund(lease, board.slots)?;
    let cancel::Cancellation { until, rest, cancel_secs } = cancelled;
    Ok(Cancellation { until, rest, cancel_secs, refund })
}

/// Cost of `rounds` more rounds of a lease, or the rule that forbids extending it. A metered lease costs nothing more.
pub fn extension(
    market: &Market,
    board: &BoardView,
    now: i64,
    lease: &Lease,
    rounds: u32,
) -> Result<Extension, Refusal> {
    Ok(extend::quote(market, board.header, board.slots, lease, now, rounds)?)
}

/// Effect of replacing the machine of `old_slot`, or the rule that forbids it.
pub fn replacement(
    board: &BoardView,
    now: i64,
    lease: &Lease,
    old_slot: u16,
) -> Result<Replacement, Refusal> {
    Ok(replace::quote(board.header, board.slots, lease, now, old_slot, None)?)
}

/// Effect of settling a lease now, in as many transactions as that takes; an error once it is settled.
pub fn settlement(board: &BoardView, lease: &Lease) -> Result<Settlement, Refusal> {
    Ok(settle::quote(board.header, board.slots, lease, u32::MAX)?)
}

/// Effect of the next transaction that settles a lease: as [`settlement`], but for leases of which thousands of
/// machines were down.
pub fn next_settlement(board: &BoardView, lease: &Lease) -> Result<Settlement, Refusal> {
    Ok(settle::quote(board.header, board.slots, lease, settle::BUDGET_UNITS)?)
}

#[cfg(test)]
mod tests;
