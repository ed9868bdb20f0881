use leasehold::state::Meter;
use leasehold_client::{
    board::BoardData,
    probe::SigningKey,
    quote::ANY,
    sample::{change, wallet},
};

use anchor_lang::{AnchorDeserialize, Discriminator};
use leasehold::{instructions::OpenLeaseArgs, state::Traits};

use super::*;
use crate::{
    chain::tests::view,
    commands::lease::leased::{Leased, tests::sample},
    failure::tests::rule,
    pick::tests::{NOW, priced},
};

pub fn spender() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

/// Lease 1 of the sample on slot 0 alone, metered: vouchers have taken 600 of 2,400.
pub fn metered() -> Leased {
    let mut leased = sample(1);
    let spender = Pubkey::new_from_array(spender().verifying_key().to_bytes());
    leased.lease.meter = Some(Meter { spender, seq: 5, units: 250 });
    leased.lease.machines = 1;
    change(&mut leased.data.account, |_, slots| slots[1].lease = 0);
    leased
}

/// A board whose machines at these prices allow metered leases, after one that doesn't.
fn board(index: u32, prices: &[u64]) -> BoardData {
    let mut data = priced(index, &[&[1], prices].concat());
    change(&mut data, |_, slots| slots[1..].iter_mut().for_each(|slot| slot.traits.flags = Traits::METERED));
    data
}

fn meter(deposit: u64) -> MeterArgs {
    MeterArgs { spender: wallet(5), deposit }
}

#[test]
fn the_machine_that_was_leased_is_told_and_whether_it_is_the_quoted_one() {
    let boards = [board(0, &[800, 700])];
    let quote = pick(&view(), &[boards[0].view().unwrap()], NOW, &ANY, 6, meter(5_000)).unwrap().quote;
    assert_eq!(quote.slots, [2]);
    for (slot, differs) in [(2, false), (1, true)] {
        let mut opened = boards[0].clone();
        change(&mut opened, |_, slots| slots[usize::from(slot)].lease = quote.serial);
        let got = Got::new(&opened.view().unwrap(), &quote).unwrap();
        assert_eq!((got.slot, got.differs, got.text().contains("ANOTHER")), (slot, differs, differs));
    }
    assert!(Got::new(&boards[0].view().unwrap(), &quote).is_none());
}

#[test]
fn a_metered_lease_is_opened_on_the_cheapest_machine_that_allows_it() {
    let boards = [board(0, &[900]), board(1, &[800, 700]), board(2, &[])];
    let views = boards.each_ref().map(|board| board.view().unwrap());
    let found = pick(&view(), &views, NOW, &ANY, 6, meter(5_000)).unwrap();
    let plan = plan(&view(), &found, wallet(9), Some(4));
    assert_eq!(plan.title, "Open metered lease 1:3");
    assert_eq!((plan.spends[0].money.amount, plan.growths.len()), (5_000, 1));
    let [step] = &plan.steps[..] else { panic!() };
    let [open] = &step.instructions[..] else { panic!() };
    assert!(open.data.starts_with(leasehold::instruction::OpenLease::DISCRIMINATOR));
    let args = OpenLeaseArgs::try_from_slice(&open.data[8..]).unwrap();
    assert_eq!((args.machines, args.rounds, args.max_deposit, args.group), (1, 6, 5_000, Some(4)));
    assert_eq!((args.meter, args.criteria.metered), (Some(meter(5_000)), true));
    let details = plan.details();
    assert_eq!((&details["slots"], &details["refundable"]["amount"]), (&vec![2].into(), &"5000".into()));
    let criteria = Criteria { class: Some(0), ..ANY };
    let found = pick(&view(), &views, NOW, &criteria, 6, meter(5_000)).unwrap();
    let classed = super::plan(&view(), &found, wallet(9), None);
    assert_eq!(classed.facts[2].text, "RTX 4090 (number 0), the cheapest first");
    assert_eq!((&details["spender"], &details["notice_rounds"]), (&wallet(5).to_string().into(), &6.into()));
    let best = Criteria { policy: Policy::Best, ..ANY };
    let mut good = board(3, &[5_000]);
    change(&mut good, |_, slots| slots[1].score = 9_999);
    let views = [views[1], good.view().unwrap()];
    assert_eq!(pick(&view(), &views, NOW, &best, 6, meter(1)).unwrap().board.header.index, 3);
}

#[test]
fn what_the_market_does_not_allow_is_refused() {
    let boards = [board(0, &[]), board(1, &[360])];
    let views = boards.each_ref().map(|board| board.view().unwrap());
    let refused = |market: &MarketView, views: &[BoardView], rounds, deposit| {
        rule(pick(market, views, NOW, &ANY, rounds, meter(deposit)).unwrap_err())
    };
    let mut market = view();
    assert_eq!(refused(&market, &views[..1], 6, 1), "NotEnoughMachines");
    assert_eq!(refused(&market, &views, 6, 0), "AmountIsZero");
    assert_eq!(refused(&market, &views, 10_001, 1), "LeaseLength");
    market.account.paused = true;
    assert_eq!(refused(&market, &views, 6, 1), "MarketPaused");
}

#[test]
fn a_quote_tells_what_comes_back_and_how_it_is_ended() {
    let boards = [board(0, &[360])];
    let views = boards.each_ref().map(|board| board.view().unwrap());
    let found = pick(&view(), &views, NOW, &ANY, 6, meter(5_000)).unwrap();
    let offer = Some(MeteredOffer::new(&view(), &found));
    let quote = MeteredQuote { fits: true, offer };
    let mint = crate::amount::short(&view().payment.mint);
    let key = Pubkey::default();
    let expected = format!(
        "Board:       0\nMachine:     RTX 4090 with 1 GPU (slot 1, key {key})\n\
         Rounds:      6 (1001 to 1006)\nTime:        1970-01-07T22:50:00Z to 1970-01-07T23:50:00Z\n\
         Deposit:     0.005 of {mint}\nRefundable:  0.005 of {mint}: all that no voucher takes\n\
         Notice:      6 rounds of 600 seconds, from either side\n\
         Price:       by use, as the machine's node asks: it is not on the chain"
    );
    assert_eq!(quote.to_string(), expected);
    let json = serde_json::to_value(quote).unwrap();
    assert_eq!((&json["offer"]["refundable"]["amount"], &json["offer"]["slot"]), (&"5000".into(), &1.into()));
    let none = MeteredQuote { fits: false, offer: None };
    assert_eq!(none.to_string(), "No machine like it can be leased now, metered.");
}
