//! Cancelling, extending and transferring leases.

use leasehold::{error::LeaseholdError, rules::extend::Allowance, state::LeaseState};
use leasehold_client::instruction;
use leasehold_tests::{Scene, anything};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{BOND, PRICE, attest, deposit, finish, gross, is_up, net, slashed};

fn cancel(scene: &mut Scene) {
    let cancel = scene.world.cancel_instruction(&scene.buyer, 1, &[]);
    scene.world.ok(&[cancel], &[&scene.buyer]);
}

fn extend_instruction(scene: &Scene, rounds: u32, max_deposit: u64) -> Instruction {
    scene.world.extend_instruction(&scene.buyer, 1, rounds, Allowance { max_deposit, max_leaving: 0 })
}

/// Price of so many seconds.
fn cancellation(secs: u64) -> u64 {
    PRICE * secs / 3_600
}

#[test]
fn cancelling_before_the_start_costs_a_twentieth() {
    let mut scene = Scene::listed(3);
    scene.world.open(&scene.buyer, anything(), 3, 21);
    cancel(&mut scene);
    let lease = scene.world.lease(1);
    assert_eq!((lease.state, lease.until), (LeaseState::Cancelled, lease.from + 1));

    scene.world.end_round();
    attest(&mut scene, |machine| machine != 2);
    scene.world.settle(&scene.buyer, 1);
    for slot in 0..2 {
        assert_eq!(scene.world.slot(slot).accrued, net(gross(1) + cancellation(600)));
    }
    // One round of 21 may be down, but a machine that was never up earns nothing.
    assert_eq!((scene.world.slot(2).accrued, scene.world.slot(2).bond), (0, BOND));
    let unspent = deposit(21) - gross(1) - cancellation(600);
    assert_eq!(scene.world.lease(1).refund_due, 2 * unspent + deposit(21));
    finish(scene, &[]);
}

#[test]
fn cancelling_a_long_lease_early_costs_an_hour() {
    let mut scene = Scene::leased(1, 1, 200);
    for _ in 0..3 {
        attest(&mut scene, is_up);
    }
    // The fourth round runs and counts; 196 are left, of which a twentieth is more than an hour, the most for 33 hours.
    cancel(&mut scene);
    attest(&mut scene, is_up);
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(4) + PRICE));
    assert_eq!(scene.world.lease(1).refund_due, deposit(200) - gross(4) - PRICE);
    finish(scene, &[]);
}

#[test]
fn cancelling_late_costs_a_twentieth_of_the_rest() {
    let mut scene = Scene::leased(1, 1, 20);
    for _ in 0..17 {
        attest(&mut scene, is_up);
    }
    cancel(&mut scene);
    attest(&mut scene, is_up);
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(18) + cancellation(60)));
    finish(scene, &[]);
}

#[test]
fn cancelling_fails_in_the_last_round() {
    let mut scene = Scene::leased(1, 1, 3);
    attest(&mut scene, is_up);
    attest(&mut scene, is_up);
    let cancel = scene.world.cancel_instruction(&scene.buyer, 1, &[]);
    scene.world.fails(cancel, &[&scene.buyer], LeaseholdError::LeaseOver);
    finish(scene, &[]);
}

#[test]
fn a_machine_that_broke_its_promise_gets_nothing_for_a_cancellation() {
    let mut scene = Scene::leased(3, 3, 100);
    scene.world.forfeit(&scene.supplier, &[2]);
    for round in 0..7 {
        // Machine 1 is down in six rounds, one more than allowed, but never in four in a row.
        attest(&mut scene, |machine| machine != 1 || round == 3);
    }
    cancel(&mut scene);
    attest(&mut scene, is_up);
    scene.world.settle(&scene.buyer, 1);
    // 92 rounds were left, a twentieth of which is 2,760 seconds.
    assert_eq!(scene.world.slot(0).accrued, net(gross(8) + cancellation(2_760)));
    // Of the 8 rounds it served, one could be down: five more cost a fifth of its pay, and all of the exit.
    assert_eq!(scene.world.slot(1).accrued, net(gross(2) - gross(2) / 5));
    assert_eq!((scene.world.slot(2).accrued, scene.world.lease(1).burned), (0, gross(2) / 5));
    // The bond is measured against the 100 rounds agreed on, of which five could be down.
    assert_eq!([0, 1, 2].map(|slot| scene.world.slot(slot).bond), [BOND, BOND - slashed(1), 0]);
    finish(scene, &[]);
}

#[test]
fn an_extended_lease_costs_what_a_longer_one_would_have_cost() {
    let mut scene = Scene::leased(4, 3, 7);
    attest(&mut scene, is_up);
    let extend = extend_instruction(&scene, 4, 3 * (deposit(11) - deposit(7)));
    scene.world.ok(&[extend], &[&scene.buyer]);
    let lease = scene.world.lease(1);
    assert_eq!(lease.deposit, 3 * deposit(11));
    assert_eq!((lease.until - lease.from, lease.terms.rounds), (11, 11));
    for _ in 1..11 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    for slot in 0..3 {
        assert_eq!(scene.world.slot(slot).accrued, net(gross(11)));
    }
    finish(scene, &[]);
}

#[test]
fn a_lease_is_extended_in_its_last_round_but_not_after_it() {
    let mut scene = Scene::leased(1, 1, 2);
    attest(&mut scene, is_up);
    let extend = extend_instruction(&scene, 1, u64::MAX);
    scene.world.ok(&[extend], &[&scene.buyer]);
    attest(&mut scene, is_up);
    attest(&mut scene, is_up);
    let extend = extend_instruction(&scene, 1, u64::MAX);
    scene.world.fails(extend, &[&scene.buyer], LeaseholdError::LeaseOver);
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(3)));
    finish(scene, &[]);
}

#[test]
fn the_new_owner_of_a_lease_gets_its_refund() {
    let mut scene = Scene::leased(2, 2, 4);
    let heir = scene.world.wallet();
    let transfer =
        instruction::transfer_lease(scene.buyer.pubkey(), scene.world.lease_address(1), heir.pubkey());
    scene.world.ok(&[transfer], &[&scene.buyer]);
    // The former owner can't change the lease any more.
    let cancel = scene.world.cancel_instruction(&scene.buyer, 1, &[]);
    scene.world.fails(cancel, &[&scene.buyer], LeaseholdError::WrongAuthority);
    for _ in 0..4 {
        attest(&mut scene, |machine| machine == 0);
    }
    scene.world.settle(&scene.buyer, 1);

    let (board, address, lease) = (scene.world.board(), scene.world.lease_address(1), scene.world.lease(1));
    assert!(lease.refund_due > 0 && lease.slashed > 0);
    let market = scene.world.market;
    let claim = |wallet: &Keypair| {
        let key = wallet.pubkey();
        instruction::claim_refund(&board, key, address, market.payment_account(&key))
    };
    scene.world.fails(claim(&scene.buyer), &[&scene.buyer], LeaseholdError::WrongDestination);
    let before = scene.world.payments_of(&heir.pubkey());
    scene.world.ok(&[claim(&heir)], &[&heir]);
    assert_eq!(scene.world.payments_of(&heir.pubkey()), before + lease.refund_due);
    // The buyer paid the account's rent, and gets it back.
    scene.world.end_disputes();
    let lamports = scene.world.lamports(&scene.buyer.pubkey());
    let close = instruction::close_lease(&board, scene.buyer.pubkey(), address);
    scene.world.ok(&[close], &[&heir]);
    assert!(scene.world.lamports(&scene.buyer.pubkey()) > lamports);
    finish(scene, &[&heir]);
}
