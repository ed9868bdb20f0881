//! Retiring, withholding and moving machines, and forfeiting their leases.

use leasehold::{
    error::LeaseholdError,
    instructions::Move,
    math::add,
    rules::machine::{self, require_retirable},
    state::{Board, Lease, Slot, SlotState},
};
use leasehold_client::{board::BoardView, error::Refusal, fetch::Fetched, listing, quote::forfeited_pay};
use leasehold_operate::{
    failure::Failure,
    market::MarketView,
    plan::Plan,
    table::{count, joined},
    time::{rfc3339, start_of},
};
use serde_json::json;
use solana_pubkey::Pubkey;

use super::endpoint::address;

/// Moves that are shown line by line.
const MOVES_SHOWN: usize = 8;

pub fn retire(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    now: i64,
    slots: &[u16],
) -> Result<Plan, Failure> {
    let round = view.header.round_at(now).map_err(Refusal::from)?;
    let mut bonds = 0;
    for (index, slot) in machines(market, view, authority, slots)? {
        require_retirable(view.header, slot, true, now, round)
            .map_err(|error| refused_machine(view.header, index, slot, error))?;
        bonds = add(bonds, slot.bond).map_err(Refusal::from)?;
    }
    let board = market.board(view.header.index);
    let retire = listing::retire(&board, authority, market.reference.supplier(&authority), slots);
    Ok(Plan::new(format!("Retire {} from board {}", count(slots.len(), "machine"), board.index))
        .fact_as("Slots:", "slots", joined(slots), slots.to_vec())
        .money("Bonds freed:", "bonds", market.stake.money(bonds))
        .steps("retire machines", retire))
}

pub fn forfeit(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    now: i64,
    leases: &[Fetched<Lease>],
    slots: &[u16],
) -> Result<Plan, Failure> {
    let round = view.header.round_at(now).map_err(Refusal::from)?;
    let (mut bonds, mut pay) = (0, 0);
    for (index, slot) in machines(market, view, authority, slots)? {
        let mut trial = *slot;
        machine::forfeit(&mut trial, round).map_err(|error| refused(index, error))?;
        bonds = add(bonds, slot.bond).map_err(Refusal::from)?;
        let lease = leases.iter().find(|lease| lease.account.serial == slot.lease);
        let lease = lease.ok_or_else(|| {
            Failure::Input(format!(
                "the lease of slot {index} was not found: try again, or with another --url"
            ))
        })?;
        pay = add(pay, forfeited_pay(&lease.account, &trial)?).map_err(Refusal::from)?;
    }
    let pay = market.payment.money(pay);
    let board = market.board(view.header.index);
    Ok(Plan::new(format!("Forfeit {} of board {}", count(slots.len(), "machine"), board.index))
        .fact_as("Slots:", "slots", joined(slots), slots.to_vec())
        .money("Bonds LOST:", "lost", market.stake.money(bonds))
        .money_as("Pay LOST:", "pay_lost", format!("{pay}, which goes back to the owners of the leases"), pay)
        .steps("forfeit machines", listing::forfeit(&board, authority, slots)))
}

/// Withholds machines from new leases.
pub fn withhold(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    now: i64,
    slots: &[u16],
) -> Result<Plan, Failure> {
    let round = view.header.round_at(now).map_err(Refusal::from)?;
    for (index, slot) in machines(market, view, authority, slots)? {
        let mut trial = *slot;
        machine::withhold(&mut trial, round)
            .map_err(|error| refused_machine(view.header, index, slot, error))?;
    }
    let them = if slots.len() == 1 { "it" } else { "them" };
    let effect = format!("not offered to buyers until `leasehold machine reprice` offers {them} again");
    let board = market.board(view.header.index);
    Ok(Plan::new(format!("Withhold {} on board {}", count(slots.len(), "machine"), board.index))
        .fact_as("Slots:", "slots", joined(slots), slots.to_vec())
        .fact("Effect:", "effect", effect)
        .steps("withhold machines", listing::withhold(&board, authority, slots)))
}

/// Changes addresses of machines.
pub fn relocate(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    moves: &[Move],
) -> Result<Plan, Failure> {
    let slots: Vec<_> = moves.iter().map(|to| to.slot).collect();
    let mut values = Vec::new();
    let mut plan = Plan::default();
    for ((index, slot), to) in machines(market, view, authority, &slots)?.into_iter().zip(moves) {
        let mut trial = *slot;
        machine::relocate(&mut trial, to.endpoint).map_err(|error| refused(index, error))?;
        let [old, new] = [&slot.endpoint, &to.endpoint].map(address);
        if values.len() < MOVES_SHOWN {
            plan = plan.note("Slot:", format!("{index} from {old} to {new}"));
        }
        values.push(json!({ "slot": index, "from": old, "to": new }));
    }
    let left = values.len().saturating_sub(MOVES_SHOWN);
    if left > 0 {
        plan = plan.note("Slot:", format!("and {} more", count(left, "machine")));
    }
    let board = market.board(view.header.index);
    plan.title = format!("Move {} of board {}", count(moves.len(), "machine"), board.index);
    Ok(plan
        .fact_as("Machines:", "moves", values.len(), values)
        .steps("move machines", listing::relocate(&board, authority, moves)))
}

/// Until when a machine is bound, and why.
pub fn bound(board: &Board, slot: &Slot) -> String {
    format!("bound until {}: {BOUND}", rfc3339(start_of(board, slot.committed_until)))
}

/// Why a machine is bound.
pub const BOUND: &str = "its last owner left early, and contested it or had seen it down";

fn refused_machine(board: &Board, index: u16, slot: &Slot, error: impl Into<Refusal>) -> Failure {
    let refusal = error.into();
    if refusal == LeaseholdError::MachineBound.into() {
        return Failure::rule(refusal, format!("slot {index}, {}", bound(board, slot)));
    }
    refused(index, refusal)
}

/// The slots, all of which must hold machines of the supplier.
pub fn machines<'a>(
    market: &MarketView,
    view: &BoardView<'a>,
    authority: Pubkey,
    slots: &[u16],
) -> Result<Vec<(u16, &'a Slot)>, Failure> {
    let supplier = market.reference.supplier(&authority);
    let machine = |index: &u16| {
        let slot = view.slot(*index).ok_or_else(|| refused(*index, LeaseholdError::NoSuchSlot))?;
        refuse_where(*index, slot.is(SlotState::Vacant), LeaseholdError::SlotVacant)?;
        refuse_where(*index, slot.supplier != supplier, LeaseholdError::WrongSupplier)?;
        Ok((*index, slot))
    };
    slots.iter().map(machine).collect()
}

fn refuse_where(slot: u16, refuse: bool, error: LeaseholdError) -> Result<(), Failure> {
    if refuse { Err(refused(slot, error)) } else { Ok(()) }
}

/// A refusal with the slot.
pub fn refused(slot: u16, error: impl Into<Refusal>) -> Failure {
    Failure::rule(error, format!("slot {slot}"))
}

#[cfg(test)]
pub mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::{
        board::BoardData,
        sample::{UNTIL, change, snapshot, wallet},
    };
    use leasehold_operate::sample::{rule, view};

    use super::*;

    pub const NOW: i64 = 600_000;

    /// Slots 0 and 1 of supplier 0 are leased, 2 is vacant, 3 of supplier 1 is idle with a part of its bond.
    pub fn board() -> BoardData {
        let mut data = snapshot().boards.remove(0).data;
        change(&mut data, |_, slots| (slots[3].bond, slots[3].accrued) = (40, 0));
        data
    }

    fn leases() -> Vec<Fetched<Lease>> {
        let leases = snapshot().boards.remove(0).leases.into_iter();
        leases.map(|(address, account)| Fetched { address, lamports: 1, account }).collect()
    }

    pub fn text(result: Result<Plan, Failure>) -> String {
        let failure = result.unwrap_err();
        assert_eq!(failure.code(), 3, "{failure}");
        failure.to_string()
    }

    #[test]
    fn only_free_machines_without_earnings_and_disputes_are_retired() {
        let mut data = board();
        let plan = retire(&view(), &data.view().unwrap(), wallet(1), NOW, &[3]).unwrap();
        assert!(plan.steps[0].instructions[0].data.starts_with(data::RetireMachines::DISCRIMINATOR));
        assert_eq!(plan.details()["bonds"]["amount"], "40");
        let leased = text(retire(&view(), &data.view().unwrap(), wallet(0), NOW, &[0]));
        assert!(leased.ends_with("(slot 0)"), "{leased}");
        change(&mut data, |_, slots| slots[3].accrued = 1);
        let earned = text(retire(&view(), &data.view().unwrap(), wallet(1), NOW, &[3]));
        change(&mut data, |_, slots| (slots[3].accrued, slots[3].lease_until) = (0, 990));
        let disputable = text(retire(&view(), &data.view().unwrap(), wallet(1), NOW, &[3]));
        assert!(earned != disputable && disputable.ends_with("(slot 3)"), "{earned} {disputable}");
        let missing = text(retire(&view(), &data.view().unwrap(), wallet(1), NOW, &[9]));
        assert!(missing.ends_with("choose a slot that the board has (slot 9)"), "{missing}");
    }

    #[test]
    fn only_machines_that_are_neither_leased_nor_bound_are_withheld() {
        let mut data = board();
        let plan = withhold(&view(), &data.view().unwrap(), wallet(1), NOW, &[3]).unwrap();
        assert!(plan.steps[0].instructions[0].data.starts_with(data::WithholdMachines::DISCRIMINATOR));
        let leased = withhold(&view(), &data.view().unwrap(), wallet(0), NOW, &[0]).unwrap_err();
        assert_eq!(rule(leased), "MachineLeased");
        change(&mut data, |_, slots| slots[3].bind(1_500));
        for refused in [
            withhold(&view(), &data.view().unwrap(), wallet(1), NOW, &[3]),
            retire(&view(), &data.view().unwrap(), wallet(1), NOW, &[3]),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.to_string().contains("slot 3, bound until 1970-01-11T10:00:00Z: "), "{refused}");
            assert_eq!(rule(refused), "MachineBound");
        }
    }

    #[test]
    fn forfeiting_tells_what_is_lost() {
        let (data, leases) = (board(), leases());
        let forfeit = |wallet, now, slots: &[u16]| {
            super::forfeit(&view(), &data.view().unwrap(), wallet, now, &leases, slots)
        };
        let plan = forfeit(wallet(0), NOW, &[0, 1]).unwrap();
        // A fifth of eight rounds at 60, and of ten.
        assert_eq!(plan.details()["pay_lost"]["amount"], (96 + 120).to_string());
        assert!(plan.steps[0].instructions[0].data.starts_with(data::ForfeitMachines::DISCRIMINATOR));
        assert_eq!((&plan.details()["lost"]["amount"], plan.facts[0].text.as_str()), (&"200".into(), "0, 1"));
        assert_eq!(plan.title, "Forfeit 2 machines of board 0");
        assert!(text(forfeit(wallet(1), NOW, &[3])).ends_with("(slot 3)"));
        let last = i64::from(UNTIL - 1) * 600;
        assert!(forfeit(wallet(0), last, &[0]).is_ok());
        let over = forfeit(wallet(0), last + 600, &[0]).unwrap_err();
        assert_eq!(rule(over), "MachineNotLeased");
    }
}
