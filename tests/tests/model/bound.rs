//! A machine that is bound: states that random sequences hardly reach.

use leasehold_tests::{
    PAYMENTS, STAKES, START,
    model::{Action, BUYERS, LeaseId, Native},
};

use crate::{Setting, picks, play::Play, strict, voting::attest_slots};

/// Rounds of ten seconds, in which two rounds down abandon a machine that may be down once.
fn market() -> Play<Native> {
    let Setting { rules, params, .. } = strict();
    let native = Native::new(rules, params.clone(), START, (PAYMENTS, STAKES));
    Play::begin(native, rules, params)
}

/// The machine in slot 0 serves a lease alone, is down once, and its owner cancels: it is bound for some rounds.
fn bound() -> Play<Native> {
    let mut play = market();
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

fn open(play: &mut Play<Native>, args: leasehold::instructions::OpenLeaseArgs) {
    let by = BUYERS[0];
    play.must(Action::OpenLease { by, owner: by, board: 0, args: Box::new(args) }).expect("the machine fits");
}

fn last_lease(play: &Play<Native>) -> LeaseId {
    let serial = |id: &LeaseId| play.model.lease(*id).expect("exists").serial;
    play.model.leases().into_iter().max_by_key(serial).expect("a lease")
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
    let offer =
        leasehold::instructions::Offer { slot: 0, price: price + 1, committed_until: until + 90, bond: 0 };
    play.must(Action::RepriceMachines { by, board: 0, offers: vec![offer] }).expect("it is free");
    play.must(withhold).expect("it is free");
}
