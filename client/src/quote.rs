//! Quotes for opening, extending, cancelling and settling a lease, and for replacing a machine: the program's own
//! rules, on the board as it was read. Each quote makes every refusal that the program makes, by the same error.

mod burned;
mod leave;
mod trial;

use leasehold::{
    constants::SECS_PER_HOUR,
    instructions::{MeterArgs, OpenLeaseArgs},
    math::{
        add,
        matching::{self, Criteria, CutOff, Place, Policy, Selection},
        pricing::rate,
        settlement::{self, Burned, Left, Service, Terms},
    },
    rules::{extend, meter, open, settle},
    state::{Lease, Market, Slot, SlotState},
};
use solana_pubkey::Pubkey;

use self::trial::Trial;
use crate::{board::BoardView, error::Refusal};

pub use self::{
    burned::{reasons, sum},
    leave::{Cancellation, Contest, Departure, Notice, Replacement, cancellation, notice, replacement},
};
pub use leasehold::rules::settle::Settlement;

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
    /// Cut-off of the choice: pass it with the instruction.
    pub hint: CutOff,
    pub criteria: Criteria,
    /// Number of GPUs asked for; the machines have `selection.gpus`.
    pub gpus: u32,
    pub rounds: u32,
    /// Slots that were not to be picked.
    pub avoid: Vec<u16>,
    /// Copy of the market's parameters that the lease would keep.
    pub terms: Terms,
    /// Set where the lease would be paid by use.
    pub meter: Option<MeterArgs>,
}

impl Quote {
    /// Arguments to open the lease with, for at most `max_deposit` payment units. It belongs to `owner`; no other lease of the
    /// buyer on the board has that `nonce`.
    pub fn args(&self, nonce: u64, owner: Pubkey, max_deposit: u64, group: Option<u64>) -> OpenLeaseArgs {
        OpenLeaseArgs {
            nonce,
            owner,
            criteria: self.criteria,
            gpus: self.gpus,
            rounds: self.rounds,
            max_deposit,
            group,
            hint: Some(self.hint),
            meter: self.meter,
            avoid: self.avoid.clone(),
            access: None,
        }
    }
}

/// Criteria that every machine meets which was up in the last quorate round: change those that matter.
pub const ANY: Criteria = Criteria {
    class: None,
    min_gpus: 0,
    max_gpus: u8::MAX,
    min_speed: 0,
    place: Place::Anywhere,
    min_score: 0,
    max_price: u64::MAX,
    min_bond: 0,
    policy: Policy::Cheapest,
    metered: false,
    allow_unseen: false,
};

/// Most GPUs of a machine if the buyer of so many says nothing else: no machine has more than were asked for.
pub fn max_gpus(gpus: u32) -> u8 {
    u8::try_from(gpus).unwrap_or(u8::MAX)
}

/// Picks machines with `gpus` GPUs in all for `rounds` rounds from the next one on, at Unix time `now`; none in the slots
/// `avoid`.
pub fn quote(
    market: &Market,
    board: &BoardView,
    now: i64,
    criteria: &Criteria,
    gpus: u32,
    rounds: u32,
    avoid: &[u16],
) -> Result<Quote, Refusal> {
    pick(market, board, now, args(criteria, gpus, rounds, avoid, None))
}

/// Picks the machine of a lease paid by use: as [`quote`], of machines that allow it and have at least `criteria.min_gpus`
/// GPUs, for a deposit of the buyer's choice.
pub fn quote_metered(
    market: &Market,
    board: &BoardView,
    now: i64,
    criteria: &Criteria,
    rounds: u32,
    avoid: &[u16],
    meter: MeterArgs,
) -> Result<Quote, Refusal> {
    let criteria = Criteria { metered: true, ..*criteria };
    let gpus = u32::from(criteria.min_gpus.max(1));
    pick(market, board, now, args(&criteria, gpus, rounds, avoid, Some(meter)))
}

fn args(
    criteria: &Criteria,
    gpus: u32,
    rounds: u32,
    avoid: &[u16],
    meter: Option<MeterArgs>,
) -> OpenLeaseArgs {
    OpenLeaseArgs {
        nonce: 0,
        owner: Pubkey::default(),
        criteria: *criteria,
        gpus,
        rounds,
        max_deposit: u64::MAX,
        group: None,
        hint: None,
        meter,
        avoid: avoid.to_vec(),
        access: None,
    }
}

fn pick(market: &Market, board: &BoardView, now: i64, args: OpenLeaseArgs) -> Result<Quote, Refusal> {
    let opening = open::quote(market, board.header, board.slots, now, &args)?;
    let OpenLeaseArgs { criteria, gpus, rounds, meter, avoid, .. } = args;
    Ok(Quote {
        slots: opening.selection.slots().filter_map(|slot| u16::try_from(slot).ok()).collect(),
        deposit: opening.deposit,
        from: opening.from,
        until: opening.until,
        hint: opening.selection.cut_off,
        selection: opening.selection,
        criteria,
        gpus,
        rounds,
        avoid,
        terms: opening.terms,
        meter,
    })
}

/// When a lease would run, and which machines count as up: what the program's choice takes from a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// First round of the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    pub round_secs: u32,
    /// Round in which a machine must have been up; `None` if too long ago.
    pub seen: Option<u32>,
}

impl Moment {
    /// For a lease of so many rounds that is opened on the board at Unix time `now`.
    pub fn new(board: &BoardView, now: i64, rounds: u32) -> Result<Self, Refusal> {
        let header = board.header;
        Ok(Moment {
            from: header.round_after(now)?,
            until: open::until(header, now, rounds)?,
            round_secs: header.round_secs,
            seen: header.seen_round(now),
        })
    }

    /// True if a lease with these criteria could have that machine: the program's own choice among this one alone.
    pub fn fits(&self, slot: &Slot, criteria: &Criteria) -> bool {
        let Moment { from, until, round_secs, seen } = *self;
        let request = matching::Request { criteria, gpus: 1, from, until, round_secs, seen, avoid: &[] };
        matching::select(std::slice::from_ref(slot), &request, None).is_ok()
    }
}

/// Payment units that vouchers can take of a metered lease that is opened at Unix time `now`, before its first round; 0 if it
/// would be paid by the hour.
pub fn voucher_limit(board: &BoardView, quote: &Quote, now: i64) -> Result<u64, Refusal> {
    let machine = quote.slots.first().and_then(|slot| board.slot(*slot));
    let (Some(machine), Some(_)) = (machine, quote.meter) else { return Ok(0) };
    let (mut machine, lease) = (*machine, opened(board, quote));
    machine.begin_lease(lease.serial, lease.from, lease.until);
    Ok(meter::voucher_limit(board.header, &lease, &machine, now)?)
}

/// The lease as the program opens it; by nobody, since its meter does not depend on that.
fn opened(board: &BoardView, quote: &Quote) -> Lease {
    let Quote { from, until, terms, ref selection, deposit, .. } = *quote;
    let serial = board.header.next_serial;
    let opening = open::Opening { serial, from, until, terms, selection: selection.clone(), deposit };
    let nobody = Pubkey::default();
    opening.lease(&quote.args(0, nobody, deposit, None), nobody, nobody, 0)
}

/// Payment units of a machine's pay that come back to the lease's owner if all its rounds are closed, because its supplier
/// forfeited it: what another would lose as damages.
pub fn forfeited_pay(lease: &Lease, slot: &Slot) -> Result<u64, Refusal> {
    if !slot.is(SlotState::Suspended) {
        return Ok(0);
    }
    // One that is barred loses as much; it is burned.
    let barred = Slot { state: SlotState::Barred as u8, ..*slot };
    Ok(settle::outcome(lease, &barred)?.burned.damages)
}

/// Payment units that the owner gets back if it changes its mind in the first round of a lease, the machines having served
/// that: of a lease by the hour if it is cancelled, of one paid by use, without vouchers, if notice is given.
pub fn refundable(board: &BoardView, quote: &Quote) -> Result<u64, Refusal> {
    let (rounds, left) = match quote.meter {
        None => (1, Left::Cancelled),
        Some(_) => {
            let hour = u32::try_from(SECS_PER_HOUR).unwrap_or(u32::MAX);
            let rounds = board.header.rounds_in(hour).saturating_add(1);
            (rounds, Left::Ended { owes_hour: true })
        }
    };
    // The last round can't be left.
    let (rounds, left) = if rounds < quote.rounds { (rounds, left) } else { (quote.rounds, Left::No) };
    let mut refund = quote.deposit;
    for slot in quote.slots.iter().filter_map(|slot| board.slot(*slot)) {
        let price =
            if quote.meter.is_some() { rate(slot.hourly(), quote.terms.standby_bps)? } else { slot.hourly() };
        let service = Service { price, agreed: quote.rounds, rounds, up: rounds, left, ..Service::default() };
        let outcome = settlement::last(&service, &quote.terms)?;
        refund = refund.saturating_sub(add(outcome.payment.gross()?, outcome.burned.total()?)?);
    }
    Ok(refund)
}

/// A lease that runs longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// First round after it, and rounds agreed on in all.
    pub until: u32,
    pub rounds: u32,
    /// Slots of the machines that are not committed for so long: they leave at the old end.
    pub leaving: Vec<u16>,
    /// Payment units that its owner adds, and those paid in for it in all then.
    pub deposit: u64,
    pub total: u64,
}

/// Cost of `rounds` more rounds of a lease, or the rule that forbids extending it: one is that more than `max_leaving` machines
/// are not committed for so long. A metered lease costs nothing more.
pub fn extension(
    market: &Market,
    board: &BoardView,
    now: i64,
    lease: &Lease,
    rounds: u32,
    max_leaving: u32,
) -> Result<Extension, Refusal> {
    let mut trial = Trial::new(board, lease);
    let allowed = extend::Allowance { max_deposit: u64::MAX, max_leaving };
    let extended = trial
        .apply(|board, slots, lease| extend::apply(market, board, slots, lease, now, rounds, allowed))?;
    let stays = |slot: &Slot| slot.serves(lease.serial) && slot.lease_until == lease.until;
    let leaving = trial.machines().filter(|(_, slot)| stays(slot)).map(|(index, _)| index).collect();
    let extend::Extension { until, rounds, deposit, total, .. } = extended;
    Ok(Extension { until, rounds, leaving, deposit, total })
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

/// How a lease stands by the rounds that are closed: payment units, and stake units in `slash`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Each machine that is not settled for good, with its slot.
    pub machines: Vec<(u16, settle::Standing)>,
    /// Earned for rounds up, fees included; the part of it that is kept until the machines' ends.
    pub earned: u64,
    pub kept: u64,
    /// Burned at the machines' ends, by reason.
    pub burned: Burned,
    /// Stake that machines lose.
    pub slash: u64,
}

/// How a lease stands now.
pub fn standing(board: &BoardView, lease: &Lease) -> Result<Standing, Refusal> {
    let mut standing = Standing::default();
    for (index, slot) in board.leased(lease.serial) {
        let machine = settle::standing(lease, slot)?;
        standing.earned = add(standing.earned, machine.earned)?;
        standing.kept = add(standing.kept, machine.kept)?;
        standing.burned = sum(standing.burned, machine.burned)?;
        standing.slash = add(standing.slash, machine.slash)?;
        standing.machines.push((index, machine));
    }
    Ok(standing)
}

#[cfg(test)]
mod tests;
