//! What is done with machines that are listed.

use leasehold::{
    error::LeaseholdError,
    instructions::Offer,
    math::{add, pricing},
    state::{Slot, SlotState},
};
use leasehold_client::{board::BoardView, error::Refusal, listing};
use solana_pubkey::Pubkey;

use super::list::commitment;
use crate::{chain::MarketView, criteria::Length, failure::Failure, plan::Plan, table::count};

/// New prices and commitments; what is not named stays.
pub fn reprice(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    now: i64,
    slots: &[u16],
    price: Option<&str>,
    length: Option<Length>,
) -> Result<Plan, Failure> {
    if price.is_none() && length.is_none() {
        return Err(Failure::Input("nothing changes: pass --price, --for or both".to_owned()));
    }
    let price = price.map(|price| market.payment.parse(price)).transpose()?;
    if price.is_some_and(|price| price.amount == 0) {
        return Err(Refusal::from(LeaseholdError::PriceIsZero).into());
    }
    let until = length.map(|length| commitment(market, view, now, length)).transpose()?;
    let (mut offers, mut missing) = (Vec::new(), 0);
    for (index, slot) in machines(market, view, authority, slots)? {
        refuse_where(index, slot.lease != 0, LeaseholdError::MachineLeased)?;
        refuse_where(index, slot.is(SlotState::Barred), LeaseholdError::MachineBarred)?;
        let committed_until = until.as_ref().map_or(slot.committed_until, |(until, _)| *until);
        let class = market.account.class(slot.traits.class).map_err(Refusal::from)?;
        let unit = market.account.params.bond_unit;
        let whole = pricing::bond(unit, class.weight_bps, slot.traits.gpus).map_err(Refusal::from)?;
        missing = add(missing, whole.saturating_sub(slot.bond)).map_err(Refusal::from)?;
        offers.push(Offer {
            slot: index,
            price: price.map_or(slot.price, |price| price.amount),
            committed_until,
        });
    }
    let board = market.board(view.header.index);
    let mut plan = Plan::new(format!("Reprice {} on board {}", count(offers.len(), "machine"), board.index))
        .fact_as("Slots:", "slots", joined(slots), slots.to_vec());
    if let Some(price) = price {
        plan = plan.money("Price:", "price", price);
    }
    if let Some((until, end)) = until {
        plan = plan.fact_as("Promised until:", "committed_until", format!("{end} (round {until})"), until);
    }
    Ok(plan
        .money("Bonded anew:", "bonded", market.stake.money(missing))
        .steps("reprice machines", listing::reprice(&board, authority, &offers)))
}

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
        refuse_where(index, slot.lease != 0, LeaseholdError::MachineLeased)?;
        refuse_where(index, slot.accrued != 0, LeaseholdError::EarningsLeft)?;
        refuse_where(index, slot.is_disputable(round), LeaseholdError::DisputesOpen)?;
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
    slots: &[u16],
) -> Result<Plan, Failure> {
    let mut bonds = 0;
    for (index, slot) in machines(market, view, authority, slots)? {
        let serves = slot.lease != 0 && slot.is(SlotState::Leased);
        refuse_where(index, !serves, LeaseholdError::MachineNotLeased)?;
        bonds = add(bonds, slot.bond).map_err(Refusal::from)?;
    }
    let board = market.board(view.header.index);
    Ok(Plan::new(format!(
        "Take {} of board {} out of their leases",
        count(slots.len(), "machine"),
        board.index
    ))
    .fact_as("Slots:", "slots", joined(slots), slots.to_vec())
    .money("Bonds LOST:", "lost", market.stake.money(bonds))
    .steps("forfeit machines", listing::forfeit(&board, authority, slots)))
}

/// The slots, all of which must hold machines of the supplier.
fn machines<'a>(
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

/// A refusal that names the slot, which the program's own can't.
fn refused(slot: u16, error: LeaseholdError) -> Failure {
    Failure::rule(error, format!("slot {slot}"))
}

fn joined(slots: &[u16]) -> String {
    slots.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold::instruction as data;
    use leasehold_client::{
        board::BoardData,
        sample::{change, snapshot, wallet},
    };

    use super::*;
    use crate::chain::tests::view;

    const NOW: i64 = 600_000;

    /// Slots 0 and 1 of supplier 0 are leased, 2 is vacant, 3 of supplier 1 is idle with a part of its bond.
    fn board() -> BoardData {
        let mut data = snapshot().boards.remove(0).data;
        change(&mut data, |_, slots| (slots[3].bond, slots[3].accrued) = (40, 0));
        data
    }

    fn text(result: Result<Plan, Failure>) -> String {
        let failure = result.unwrap_err();
        assert_eq!(failure.code(), 3, "{failure}");
        failure.to_string()
    }

    #[test]
    fn a_new_price_keeps_the_commitment_and_makes_the_bond_whole() {
        let data = board();
        let view_of = data.view().unwrap();
        let reprice = |supplier, slots: &[u16], price, length| {
            reprice(&view(), &view_of, wallet(supplier), NOW, slots, price, length)
        };
        let plan = reprice(1, &[3], Some("0.5"), None).unwrap();
        let offers =
            |plan: &Plan| Vec::<Offer>::try_from_slice(&plan.steps[0].instructions[0].data[8..]).unwrap();
        assert_eq!(offers(&plan), [Offer { slot: 3, price: 500_000, committed_until: 2_000 }]);
        assert_eq!(plan.details()["bonded"]["amount"], "60");
        let longer = reprice(1, &[3], None, Some(Length::Rounds(5))).unwrap();
        assert_eq!(offers(&longer), [Offer { slot: 3, price: 360, committed_until: 1_006 }]);
        assert_eq!(reprice(1, &[3], None, None).unwrap_err().code(), 2);
        assert!(text(reprice(0, &[0], Some("1"), None)).ends_with("(slot 0)"));
        assert!(text(reprice(1, &[3, 2], Some("1"), None)).ends_with("(slot 2)"));
        assert!(text(reprice(1, &[9], Some("1"), None)).ends_with("(slot 9)"));
        assert!(text(reprice(0, &[3], Some("1"), None)).ends_with("(slot 3)"));
        assert_eq!(reprice(1, &[3], Some("0"), None).unwrap_err().code(), 3);
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
    }

    #[test]
    fn forfeiting_tells_what_is_lost() {
        let data = board();
        let plan = forfeit(&view(), &data.view().unwrap(), wallet(0), &[0, 1]).unwrap();
        assert!(plan.steps[0].instructions[0].data.starts_with(data::ForfeitMachines::DISCRIMINATOR));
        assert_eq!((&plan.details()["lost"]["amount"], plan.facts[0].text.as_str()), (&"200".into(), "0, 1"));
        assert!(text(forfeit(&view(), &data.view().unwrap(), wallet(1), &[3])).ends_with("(slot 3)"));
    }
}
