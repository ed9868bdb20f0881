use anchor_lang::{AnchorDeserialize, Discriminator};
use leasehold::{
    instruction::{CancelLease, OpenLease},
    instructions::OpenLeaseArgs,
};
use leasehold_client::{
    board::BoardData,
    sample::{NOW, priced, request, wallet},
    search::{Request, pick},
};
use leasehold_operate::sample::view;
use proptest::prelude::*;

use super::*;

/// Boards with one machine each at 360 a round of ten minutes and more.
fn boards(count: u32) -> Vec<BoardData> {
    (0..count).map(|index| priced(index, &[360 + u64::from(index)])).collect()
}

fn chosen(boards: &[BoardData], request: &Request) -> Allocation {
    let views: Vec<_> = boards.iter().map(|board| board.view().unwrap()).collect();
    pick(&view().account, &views, NOW, request).unwrap()
}

fn opening(count: u32, most: Option<u64>, group: Option<u64>) -> Plan {
    let allocation = chosen(&boards(count), &request(count));
    let most = view().payment.money(most.unwrap_or(allocation.deposit));
    plan(&view(), &allocation, wallet(9), most, Name { nonce: 77, group }, &[]).unwrap()
}

fn args(plan: &Plan) -> Vec<OpenLeaseArgs> {
    let instructions = plan.steps.iter().flat_map(|step| &step.instructions);
    let args = instructions.map(|open| {
        assert!(open.data.starts_with(OpenLease::DISCRIMINATOR));
        OpenLeaseArgs::try_from_slice(&open.data[8..]).unwrap()
    });
    args.collect()
}

#[test]
fn parts_that_fit_are_opened_by_one_transaction() {
    let plan = opening(3, None, Some(5));
    assert_eq!(plan.title, "Open leases of 3 GPUs on 3 boards");
    assert_eq!((plan.steps.len(), plan.growths.len(), plan.is_undone()), (1, 3, false));
    assert_eq!(plan.steps[0].what, "open the leases on boards 0, 1, 2");
    let args = args(&plan);
    assert!(args.iter().all(|args| args.group == Some(5) && args.gpus == 1 && args.nonce == 77));
    assert_eq!(args.iter().map(|args| args.max_deposit).collect::<Vec<_>>(), [360, 361, 362]);
    assert_eq!((plan.spends.len(), plan.spends[0].money.amount), (1, 360 + 361 + 362));
    let details = plan.details();
    assert_eq!((&details["group"], &details["deposit"]["amount"]), (&"5".into(), &"1083".into()));
    let lease = view().board(1).lease(&wallet(9), 77).to_string();
    assert_eq!(
        (&details["leases"][1]["lease"], &details["leases"][1]["slots"][0]),
        (&lease.clone().into(), &0.into())
    );
    let term = "from 1970-01-07T22:50:00Z to 1970-01-07T23:50:00Z";
    assert_eq!(plan.facts[3].text, format!("{lease} on board 1, 1 GPU in 1 machine for 0.000361 {term}"));
    let text = |label| plan.facts.iter().find(|fact| fact.label == label).unwrap().text.as_str();
    // A tenth of each deposit, rounded down.
    assert_eq!(text("Market's fee:"), "10 percent, out of the machines' pay; 0.000108 at most");
    assert!(text("Held back:").starts_with("20 percent of each machine's pay"));
    assert!(plan.facts.iter().any(|fact| fact.text == "any class, the cheapest first"));
    assert_eq!(details["criteria"]["policy"], "cheapest");
}

#[test]
fn more_parts_than_fit_are_opened_by_several_and_undone_by_as_many() {
    let plan = opening(9, None, Some(5));
    assert!(plan.steps.len() > 1 && plan.undoing() == plan.steps.len());
    let mut leases = Vec::new();
    for step in &plan.steps {
        assert!(len(&wallet(9), &step.instructions) <= PACKET_BYTES);
        let undo = step.undo.as_ref().unwrap();
        assert!(len(&wallet(9), &undo.instructions) <= PACKET_BYTES, "it is undone at once as well");
        assert_eq!((undo.owner, undo.group), (wallet(9), 5));
        assert_eq!(undo.instructions.len(), step.instructions.len());
        for ((open, cancel), lease) in step.instructions.iter().zip(&undo.instructions).zip(&undo.leases) {
            assert!(cancel.data.starts_with(CancelLease::DISCRIMINATOR));
            for instruction in [open, cancel] {
                assert!(instruction.accounts.iter().any(|meta| meta.pubkey == *lease));
            }
        }
        leases.extend(undo.leases.clone());
    }
    let all: Vec<_> = (0..9).map(|index| view().board(index).lease(&wallet(9), 77)).collect();
    assert_eq!(leases, all, "each once");
    // Opening and cancelling may take 36 minutes of an hour's lease: four rounds of six, and 5 percent of two.
    assert_eq!(plan.steps.len(), 3);
    let expected: u64 = (360..369).map(|price| price * (2_400 + 60) / 3_600).sum();
    assert_eq!(plan.details()["undoing"]["amount"], expected.to_string());
    let told = plan.facts.iter().find(|fact| fact.name == Some("undoing")).unwrap();
    assert!(told.text.starts_with("the others are cancelled, within 36 minutes if"), "{}", told.text);
    let deposits: u64 = plan.steps.iter().map(|step| step.undo.as_ref().unwrap().deposit.amount).sum();
    assert_eq!(deposits, plan.spends[0].money.amount);
}

#[test]
fn undoing_is_announced_dearer_if_more_may_be_deposited() {
    let cost = |most| {
        let plan = opening(9, Some(most), Some(5));
        plan.details()["undoing"]["amount"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let quoted: u64 = (360..369).sum();
    let (least, most) = (cost(quoted), cost(10 * quoted));
    assert!(most >= 10 * least && most <= 10 * quoted, "{least}, {most}");
}

#[test]
fn a_group_gets_a_number_if_the_user_gives_no_number() {
    let numbers = |plan: &Plan| args(plan).iter().map(|args| args.group).collect::<Vec<_>>();
    let own = numbers(&opening(9, None, None));
    assert!(own[0].is_some_and(|number| number > 0) && own.iter().all(|number| *number == own[0]));
    assert_ne!(numbers(&opening(9, None, None))[0], own[0], "another each time");
}

#[test]
fn leases_of_one_round_are_opened_by_one_transaction_or_not_at_all() {
    let open = |count: u32| {
        let allocation = chosen(&boards(count), &Request { length: "1r".parse().unwrap(), ..request(count) });
        plan(
            &view(),
            &allocation,
            wallet(9),
            view().payment.money(allocation.deposit),
            Name { nonce: 77, group: None },
            &[],
        )
    };
    assert!(open(2).is_ok());
    let refused = open(9).unwrap_err();
    assert!(refused.code() == 3 && refused.to_string().contains("can't be cancelled"), "{refused}");
}

#[test]
fn units_are_bounded_by_what_was_measured() {
    let json = include_str!("../../../../../docs/bench.json");
    let bench: Value = serde_json::from_str(json).unwrap();
    let mut allocation = chosen(&boards(2), &request(2));
    let bound = |picked: &mut Part, machines: u16| {
        picked.quote.slots = (0..machines).collect();
        units(picked)
    };
    let part = &mut allocation.parts[0];
    for (name, machines) in [
        ("open_lease", 1),
        ("open_lease_strict", 1),
        ("open_lease_1000", 1_000),
        ("open_lease_1000_strict", 1_000),
        ("open_lease_6000", 6_000),
        ("open_lease_6000_strict", 6_000),
    ] {
        let measured = bench[name]["6144"]["cu"].as_u64().unwrap();
        // Room for an address that takes 40 attempts to be found, at 1,500 units each.
        assert!(u64::from(bound(part, machines)) >= measured + 40 * 1_500, "{name}");
    }
    assert!(bound(part, 6_144) <= MAX_UNITS, "a full board");
    assert!(2 * bound(part, 4_000) <= MAX_UNITS, "most of two boards");
    part.quote.deposit = WIDE_DEPOSIT;
    assert_eq!(units(part), MAX_UNITS, "by itself");
}

#[test]
fn parts_of_many_machines_have_transactions_of_their_own() {
    let mut allocation = chosen(&boards(3), &request(3));
    for part in &mut allocation.parts {
        part.quote.slots = (0..6_000).collect();
    }
    let most = view().payment.money(allocation.deposit);
    let plan = plan(&view(), &allocation, wallet(9), most, Name { nonce: 77, group: None }, &[]).unwrap();
    assert_eq!(plan.steps.iter().map(|step| step.instructions.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

proptest! {
    #[test]
    fn shares_cover_each_part_and_sum_up_to_what_is_allowed(
        deposits in prop::collection::vec(0u64..1 << 60, 1..8),
        spare in 0u64..1 << 60,
    ) {
        let mut allocation = chosen(&boards(2), &request(2));
        let part = allocation.parts[0].clone();
        allocation.parts = deposits.iter().map(|deposit| {
            let mut part = part.clone();
            part.quote.deposit = *deposit;
            part
        }).collect();
        allocation.deposit = deposits.iter().sum();
        let most = allocation.deposit + spare;
        let shares = shares(&allocation, most).unwrap();
        prop_assert_eq!(shares.iter().sum::<u64>(), most);
        prop_assert!(shares.iter().zip(&deposits).all(|(share, deposit)| share >= deposit));
        prop_assert!(allocation.deposit == 0 || super::shares(&allocation, allocation.deposit - 1).is_err());
    }
}
