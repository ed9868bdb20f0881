//! Machines that are replaced, or fail in mid-lease.

use leasehold::{
    error::LeaseholdError,
    instructions::{Offer, ReplaceNodeArgs},
    rules::replace::Wish,
    state::{LeaseState, RoundRules, Slot, SlotState},
};
use leasehold_client::{board::BoardData, instruction, quote};
use leasehold_tests::{Scene, anything, params, replacement, rules};
use solana_signer::Signer;

use crate::{BOND, PRICE, attest, deposit, finish, gross, is_up, net};

/// Replaces a machine as a quote says. Returns the deposit.
fn replace(scene: &mut Scene, slot: u16, contest: bool) -> u64 {
    let data = BoardData::new(&scene.world.data(&scene.world.board().address)).expect("a board");
    let (view, lease) = (data.view().expect("a board"), scene.world.lease(1));
    let quote = quote::replacement(&view, scene.world.now(), &lease, &Wish { contest, ..Wish::any(slot) })
        .expect("a replacement");
    let before = scene.world.payments_of(&scene.buyer.pubkey());
    let replace = scene.world.replace_instruction(&scene.buyer, 1, quote.args(quote.deposit));
    scene.world.ok(&[replace], &[&scene.buyer]);
    let cost = before - scene.world.payments_of(&scene.buyer.pubkey());
    assert_eq!(cost, quote.deposit);
    assert_eq!(scene.world.slot(quote.slot).lease, 1);
    cost
}

/// Rules under which a machine that is down in four rounds is abandoned.
fn strict(machines: u16, leased: u32, rounds: u32) -> Scene {
    Scene::under(RoundRules { sla_bps: 10_000, ..rules() }, params(), machines).leasing(leased, rounds)
}

#[test]
fn a_machine_is_replaced_from_the_next_round_on() {
    let mut scene = Scene::leased(3, 2, 100);
    for _ in 0..9 {
        attest(&mut scene, is_up);
    }
    attest(&mut scene, |machine| machine != 1);

    // The eleventh round runs, and is the last of machine 1; machine 2 serves the 89 after it.
    assert_eq!(replace(&mut scene, 1, false), deposit(89));
    let new = scene.world.slot(2);
    assert_eq!(new.lease_until - new.lease_from, 89);
    attest(&mut scene, is_up);
    scene.world.settle(&scene.buyer, 1);
    let old = scene.world.slot(1);
    // Eleven rounds, ten of them up: paid for. It was down in the last hour, so it is bound for as many.
    assert_eq!((old.accrued, old.bond, old.lease), (net(gross(10)), BOND, 0));
    assert!(old.is(SlotState::Idle) && old.has(Slot::BOUND));
    assert_eq!(old.committed_until, old.lease_until + 10);
    assert_eq!(scene.world.lease(1).refund_due, deposit(100) - gross(10));

    for _ in 0..89 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(100)));
    assert_eq!(scene.world.slot(1).accrued, net(gross(10)));
    assert_eq!(scene.world.slot(2).accrued, net(gross(89)));
    let lease = scene.world.lease(1);
    assert_eq!(lease.deposit, 2 * deposit(100) + deposit(89));
    assert_eq!(lease.paid + lease.fees, gross(100) + gross(10) + gross(89));
    finish(scene, &[]);
}

#[test]
fn an_abandoned_machine_loses_its_bond_when_its_replacement_is_settled() {
    let mut scene = strict(3, 2, 20);
    for _ in 0..4 {
        attest(&mut scene, |machine| machine != 0);
    }
    // It is up again, but stays abandoned.
    attest(&mut scene, is_up);
    replace(&mut scene, 0, false);
    assert_eq!(scene.world.slot(0).bond, BOND);
    attest(&mut scene, is_up);
    scene.world.settle(&scene.buyer, 1);
    let old = scene.world.slot(0);
    // Two rounds up, and four down, of which one is always allowed: a fifth of its pay.
    assert_eq!((old.bond, old.accrued), (0, net(gross(2) - gross(2) / 5)));
    assert!(old.is(SlotState::Suspended) && !old.has(Slot::BOUND), "what was abandoned is not bound");
    assert_eq!(scene.world.lease(1).slashed, BOND);
    for _ in 0..14 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.lease(1).slashed, BOND);
    // Suspended until its bond is whole: no lease takes it, though it is up.
    let args = scene.world.lease_args(&scene.buyer, anything(), 3, 1);
    let open = scene.world.open_instruction(&scene.buyer, args);
    scene.world.fails(open, &[&scene.buyer], LeaseholdError::NotEnoughGpus);
    finish(scene, &[]);
}

/// A machine that its owner left to blame is counted on until it is free, whoever leases it.
#[test]
fn a_bound_machine_that_stays_down_is_abandoned_without_a_lease() {
    let mut scene = strict(2, 1, 100);
    for _ in 0..20 {
        attest(&mut scene, is_up);
    }
    replace(&mut scene, 0, true);
    attest(&mut scene, is_up);
    scene.world.settle(&scene.buyer, 1);
    assert_eq!((scene.world.slot(0).bond, scene.world.slot(0).bound_down), (BOND, 0));
    for down in 1..4 {
        attest(&mut scene, |machine| machine != 0);
        assert_eq!((scene.world.slot(0).bond, scene.world.slot(0).bound_down), (BOND, down));
    }
    attest(&mut scene, |machine| machine != 0);
    let slot = scene.world.slot(0);
    assert_eq!((slot.bond, scene.world.with_board(|board, _| board.ledger.slashed)), (0, BOND));
    assert!(slot.is(SlotState::Suspended) && !slot.has(Slot::BOUND));
    // What it earned in its lease stays its own, but for what its owner contested.
    assert_eq!(slot.accrued, net(gross(21) - 2 * PRICE));
    scene.world.assert_invariants();
    finish(scene, &[]);
}

#[test]
fn a_forfeited_machine_is_replaced_and_loses_its_bond() {
    let mut scene = Scene::leased(3, 1, 10);
    attest(&mut scene, is_up);
    scene.world.forfeit(&scene.supplier, &[0]);
    replace(&mut scene, 0, false);
    attest(&mut scene, is_up);
    scene.world.settle(&scene.buyer, 1);
    let old = scene.world.slot(0);
    // Of the two rounds it had to serve, it served one, and may miss one.
    assert_eq!((old.bond, old.accrued), (0, net(gross(1))));
    assert_eq!(scene.world.lease(1).refund_due, deposit(10) - gross(1));
    for _ in 0..8 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    // Machine 1 served all but the first two rounds.
    assert_eq!(scene.world.slot(1).accrued, net(gross(8)));
    finish(scene, &[]);
}

#[test]
fn a_machine_forfeited_in_mid_lease_earns_nothing_more_and_pays_its_owner_damages() {
    let mut scene = Scene::leased(2, 2, 6);
    attest(&mut scene, is_up);
    attest(&mut scene, is_up);
    scene.world.forfeit(&scene.supplier, &[1]);
    assert!(scene.world.slot(1).is(SlotState::Suspended));
    for _ in 0..4 {
        // It still answers, but is not paid.
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    let (slot, lease) = (scene.world.slot(1), scene.world.lease(1));
    let damages = gross(2) / 5;
    assert_eq!((slot.accrued, slot.bond), (net(gross(2) - damages), 0));
    assert_eq!((slot.up, slot.down), (2, 0));
    assert_eq!((lease.slashed, lease.burned), (BOND, 0));
    assert_eq!(lease.refund_due, 2 * deposit(6) - gross(6) - gross(2) + damages);
    finish(scene, &[]);
}

#[test]
fn a_more_expensive_machine_costs_its_price_and_the_old_ones_rest_comes_back() {
    let mut scene = Scene::leased(2, 1, 30);
    let committed_until = scene.world.round() + 100;
    let offer = Offer { slot: 1, price: 3 * PRICE, committed_until, bond: 0 };
    let key = scene.supplier.wallet.pubkey();
    let reprice = instruction::reprice_machines(&scene.world.board(), key, vec![offer]);
    scene.world.ok(&[reprice], &[&scene.supplier.wallet]);
    attest(&mut scene, |_| false);

    // 28 rounds at three times the price.
    let cost = (3 * PRICE * 600 * 28).div_ceil(3_600);
    let stingy = ReplaceNodeArgs { max_deposit: cost - 1, ..replacement(0) };
    let stingy = scene.world.replace_instruction(&scene.buyer, 1, stingy);
    scene.world.fails(stingy, &[&scene.buyer], LeaseholdError::CostsTooMuch);
    assert_eq!(replace(&mut scene, 0, false), cost);
    assert_eq!(scene.world.lease(1).deposit, deposit(30) + cost);
    attest(&mut scene, |_| false);
    scene.world.settle(&scene.buyer, 1);
    assert_eq!((scene.world.lease(1).refund_due, scene.world.slot(0).accrued), (deposit(30), 0));
    finish(scene, &[]);
}

/// The lease is cancelled while a machine that was replaced is not settled yet, and its replacement has not begun.
#[test]
fn a_replacement_that_has_not_begun_serves_its_first_round_when_the_lease_is_cancelled() {
    let mut scene = Scene::leased(2, 1, 100);
    for _ in 0..20 {
        attest(&mut scene, is_up);
    }
    replace(&mut scene, 0, false);
    let cancel = scene.world.cancel_instruction(&scene.buyer, 1, &[]);
    scene.world.ok(&[cancel], &[&scene.buyer]);
    let running = scene.world.round();
    assert_eq!(
        (scene.world.slot(0).lease_until, scene.world.slot(1).lease_until),
        (running + 1, running + 2)
    );
    assert_eq!(scene.world.lease(1).until, running + 2);
    attest(&mut scene, is_up);
    attest(&mut scene, is_up);
    scene.world.settle(&scene.buyer, 1);
    // A twentieth of 78 rounds is 2,340 seconds.
    let exit = PRICE * 2_340 / 3_600;
    let lease = scene.world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.state), (gross(21) + gross(1) + exit, LeaseState::Settled));
    assert_eq!(lease.burned, 0);
    finish(scene, &[]);
}

#[test]
fn replacing_a_machine_fails_when_no_other_fits() {
    let mut scene = Scene::leased(2, 2, 10);
    attest(&mut scene, |machine| machine == 0);
    let replace = scene.world.replace_instruction(&scene.buyer, 1, replacement(1));
    scene.world.fails(replace, &[&scene.buyer], LeaseholdError::NotEnoughGpus);
    finish(scene, &[]);
}
