use anchor_lang::{AnchorDeserialize, Discriminator};
use leasehold::{
    instructions::{MeterArgs, OpenLeaseArgs},
    math::matching::Criteria,
    state::{Meter, Traits},
};
use leasehold_client::{
    board::BoardData,
    probe::SigningKey,
    quote::ANY,
    sample::{NOW, change, priced, wallet},
    search::pick_metered,
};
use leasehold_operate::sample::view;

use super::*;
use crate::commands::lease::leased::{Leased, tests::sample};

pub fn spender() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

/// Lease 1 of the sample on slot 0 alone, metered: vouchers have taken 600 of 2,400.
pub fn metered() -> Leased {
    let mut leased = sample(1);
    let spender = Pubkey::new_from_array(spender().verifying_key().to_bytes());
    leased.lease.meter = Some(Meter { spender, seq: 5, units: 250, paid: 600, owes_hour: false });
    (leased.lease.machines, leased.lease.unsettled) = (1, 1);
    (leased.lease.paid, leased.lease.fees) = (540, 60);
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
fn the_leased_machine_is_named_and_compared_with_the_quoted_one() {
    let boards = [board(0, &[800, 700])];
    let quote = pick_metered(&view().account, &[boards[0].view().unwrap()], NOW, &ANY, 6, &[], meter(5_000))
        .unwrap()
        .quote;
    assert_eq!(quote.slots, [2]);
    for (slot, differs) in [(2, false), (1, true)] {
        let mut opened = boards[0].clone();
        change(&mut opened, |_, slots| slots[usize::from(slot)].lease = 3);
        let got = Got::new(&opened.view().unwrap(), 3, &quote).unwrap();
        assert_eq!((got.slot, got.differs, got.text().contains("NOT")), (slot, differs, differs));
    }
    assert!(Got::new(&boards[0].view().unwrap(), 3, &quote).is_none());
}

#[test]
fn a_metered_lease_is_opened_on_the_cheapest_machine_that_allows_it() {
    let boards = [board(0, &[900]), board(1, &[800, 700]), board(2, &[])];
    let views = boards.each_ref().map(|board| board.view().unwrap());
    let found = pick_metered(&view().account, &views, NOW, &ANY, 6, &[], meter(5_000)).unwrap();
    let plan = plan(&view(), &found, NOW, wallet(9), Name { nonce: 77, group: Some(4) }, &nobody()).unwrap();
    assert_eq!(plan.title, "Open a metered lease on board 1");
    assert_eq!((plan.spends[0].money.amount, plan.growths.len()), (5_000, 1));
    let [step] = &plan.steps[..] else { panic!() };
    let [open] = &step.instructions[..] else { panic!() };
    assert!(open.data.starts_with(leasehold::instruction::OpenLease::DISCRIMINATOR));
    let args = OpenLeaseArgs::try_from_slice(&open.data[8..]).unwrap();
    assert_eq!((args.gpus, args.rounds, args.max_deposit, args.group), (1, 6, 5_000, Some(4)));
    assert_eq!((args.meter, args.criteria.metered), (Some(meter(5_000)), true));
    let details = plan.details();
    assert_eq!((&details["slots"], &details["refundable"]["amount"]), (&vec![2].into(), &"4930".into()));
    let criteria = Criteria { class: Some(0), ..ANY };
    let found = pick_metered(&view().account, &views, NOW, &criteria, 6, &[], meter(5_000)).unwrap();
    let classed =
        super::plan(&view(), &found, NOW, wallet(9), Name { nonce: 78, group: None }, &nobody()).unwrap();
    assert_eq!(classed.facts[3].text, "nobody");
    assert_eq!(classed.facts[4].text, "RTX 4090 (number 0), the cheapest first");
    assert_eq!((&details["spender"], &details["nonce"]), (&wallet(5).to_string().into(), &"77".into()));
    // A tenth of 700 an hour, of which all six rounds are reserved.
    assert_eq!(
        (&details["standby"]["amount"], &details["voucher_limit"]["amount"]),
        (&"70".into(), &"4930".into())
    );
}

/// The default of a metered lease.
fn nobody() -> Offered {
    Offered::new(&keys::Home("/nowhere".into()), wallet(6), 0, &keys::Choice::Nobody).unwrap()
}
