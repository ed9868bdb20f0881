//! States that random sequences hardly reach: machines that are bound, and a metered lease that runs short.

use leasehold::{
    instructions::{MeterArgs, Offer, OpenLeaseArgs},
    math::matching::Criteria,
};
use leasehold_tests::{
    PAYMENTS, STAKES, START,
    model::{Action, BUYERS, LeaseId, Native},
    public, spender,
};

use crate::{Setting, picks, play::Play, strict, usual, voting::attest_slots};

fn begin(setting: Setting) -> Play<Native> {
    let Setting { rules, params, .. } = setting;
    let native = Native::new(rules, params.clone(), START, (PAYMENTS, STAKES));
    Play::begin(native, rules, params)
}

/// In rounds of ten seconds, two rounds down abandon a machine that may be down once. The machine in slot 0 serves a lease alone, is down once, and its owner cancels: it is bound for some rounds.
fn bound() -> Play<Native> {
    let mut play = begin(strict());
    for id in play.model.leases() {
        play.must(Action::CancelLease { by: id.buyer, lease: id, contest: vec![] }).expect("open");
    }
    attest_slots(&mut play, &[]);
    attest_slots(&mut play, &[]);
    for id in play.model.leases() {
        play.must(Action::SettleLease { lease: id }).expect("over");
    }
    let mut args = picks::args(&play.model, 0, BUYERS[0], 1, 20);
    args.avoid = (1..12).collect();
    open(&mut play, args);
    for _ in 0..8 {
        attest_slots(&mut play, &[]);
    }
    attest_slots(&mut play, &[0]);
    let id = last_lease(&play);
    play.must(Action::CancelLease { by: id.buyer, lease: id, contest: vec![] }).expect("open");
    attest_slots(&mut play, &[]);
    play.must(Action::SettleLease { lease: id }).expect("over");
    let machine = play.model.boards[&0].machine(0).expect("listed");
    assert!(machine.is_bound(play.model.round(0)) && machine.stint.is_none(), "{machine:?}");
    play
}

/// It is abandoned in the round before its next lease begins, and up in every round of that.
#[test]
fn attack_a_bound_machine_is_not_pardoned_by_its_next_lease() {
    let mut play = bound();
    let until = play.model.boards[&0].machine(0).expect("listed").committed_until;
    let rounds = until - play.model.round(0) - 3;
    attest_slots(&mut play, &[0]);
    attest_slots(&mut play, &[]);
    let mut args = picks::args(&play.model, 0, BUYERS[0], 1, rounds.min(2));
    args.avoid = (1..12).collect();
    open(&mut play, args);
    let bond = play.model.boards[&0].machine(0).expect("listed").bond;
    attest_slots(&mut play, &[0]);
    for _ in 0..3 {
        attest_slots(&mut play, &[]);
    }
    let id = last_lease(&play);
    play.must(Action::SettleLease { lease: id }).expect("over");
    let machine = play.model.boards[&0].machine(0).expect("listed");
    assert!(bond > 0 && machine.bond == 0 && machine.suspended, "{machine:?}");
    let lease = play.model.lease(id).expect("exists");
    assert_eq!(lease.slashed, bond);
}

/// Once its time is over, new conditions bind it no more.
#[test]
fn a_machine_that_was_bound_is_free_again() {
    let mut play = bound();
    let machine = play.model.boards[&0].machine(0).expect("listed").clone();
    let (price, until) = (machine.price, machine.committed_until);
    let by = play.model.boards[&0].slots[0].owner;
    let withhold = Action::WithholdMachines { by, board: 0, slots: vec![0] };
    play.act(withhold.clone()).expect("compared").expect_err("it is bound");
    while play.model.round(0) < until {
        attest_slots(&mut play, &[]);
    }
    let offer = Offer { slot: 0, price: price + 1, committed_until: until + 90, bond: 0 };
    play.must(Action::RepriceMachines { by, board: 0, offers: vec![offer] }).expect("it is free");
    play.must(withhold).expect("it is free");
}

/// A metered lease whose deposit is short is settled, topped up, and settled again: its machine gets the same as if it was
/// settled once.
#[test]
fn a_short_deposit_that_is_topped_up_pays_the_machine_in_full() {
    let mut play = begin(usual());
    let mut args = picks::args(&play.model, 0, BUYERS[0], 1, 40);
    args.criteria = Criteria { metered: true, ..args.criteria };
    let hour = 35_100;
    args.meter = Some(MeterArgs { spender: public(&spender()), deposit: hour });
    open(&mut play, args);
    let id = last_lease(&play);
    for _ in 0..26 {
        attest_slots(&mut play, &[]);
    }
    play.must(Action::SettleLease { lease: id }).expect("it runs");
    assert_eq!(play.model.lease(id).expect("exists").remaining(), 0, "the deposit is spent");
    let (by, amount) = (BUYERS[0], 7 * hour);
    play.must(Action::TopUpLease { by, lease: id, amount }).expect("it runs");
    let once = {
        let mut play = play.fork();
        end(&mut play, id);
        play.model.lease(id).expect("exists").clone()
    };
    attest_slots(&mut play, &[]);
    play.must(Action::SettleLease { lease: id }).expect("it runs");
    end(&mut play, id);
    let twice = play.model.lease(id).expect("exists");
    assert_eq!((twice.paid, twice.fees, twice.refunded), (once.paid, once.fees, once.refunded));
    // 40 rounds of ten minutes, and nothing that is not paid.
    let price = once.deposit - once.refunded;
    assert!((6 * hour..7 * hour).contains(&price), "{price}");
}

/// Everybody is up until the lease is over and can be settled; then it is.
fn end(play: &mut Play<Native>, id: LeaseId) {
    let lease = play.model.lease(id).expect("exists");
    let last = lease.until + lease.voucher_rounds();
    while play.model.boards[&0].next_round < last {
        attest_slots(play, &[]);
    }
    play.must(Action::SettleLease { lease: id }).expect("over");
}

fn open(play: &mut Play<Native>, args: OpenLeaseArgs) {
    let by = BUYERS[0];
    play.must(Action::OpenLease { by, owner: by, board: 0, args: Box::new(args) }).expect("the machine fits");
}

fn last_lease(play: &Play<Native>) -> LeaseId {
    let serial = |id: &LeaseId| play.model.lease(*id).expect("exists").serial;
    play.model.leases().into_iter().max_by_key(serial).expect("a lease")
}
