//! Earnings and losses of machines.

use leasehold::state::{LeaseState, SlotState};
use leasehold_client::instruction;
use leasehold_tests::{COMMITTED, Scene, USD, signing_machine};
use solana_signer::Signer;

use crate::{BOND, attest, attest_each, attest_void, deposit, finish, gross, is_up, net, slashed};

#[test]
fn machines_that_are_always_up_are_paid_in_full() {
    let mut scene = Scene::leased(6, 4, 7);
    for _ in 0..7 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);

    let lease = scene.world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    assert_eq!(lease.deposit, 4 * deposit(7));
    assert_eq!(lease.paid, 4 * net(gross(7)));
    assert_eq!(lease.fees, 4 * (gross(7) - net(gross(7))));
    // The rounding remainders of the machines.
    assert_eq!(lease.refunded, 4 * (deposit(7) - gross(7)));
    assert_eq!(lease.slashed, 0);
    for slot in 0..4 {
        let slot = scene.world.slot(slot);
        assert_eq!((slot.accrued, slot.bond), (net(gross(7)), BOND));
        assert_eq!((slot.up, slot.down), (7, 0));
        assert!(slot.is(SlotState::Idle));
    }
    // The others were attested as well, and earned nothing.
    assert_eq!((scene.world.slot(5).up, scene.world.slot(5).accrued), (7, 0));
    finish(scene, &[]);
}

#[test]
fn a_machine_that_is_partly_down_is_paid_for_the_rest_and_slashed_beyond_its_allowance() {
    let mut scene = Scene::leased(4, 4, 20);
    for round in 0..20 {
        // Machine 3 is down in rounds 2, 7 and 11; machine 2 in round 5, which is allowed.
        attest(&mut scene, |machine| match machine {
            2 => round != 5,
            3 => ![2, 7, 11].contains(&round),
            _ => true,
        });
    }
    let before = scene.world.stake_of(&scene.buyer.pubkey());
    scene.world.settle(&scene.buyer, 1);

    // 1 of 20 rounds is allowed, so 2 are over it: their price is burned, and a part of the bond.
    let lease = scene.world.lease(1);
    assert_eq!((lease.burned, lease.slashed), (gross(2), slashed(2)));
    assert_eq!(lease.paid, 2 * net(gross(20)) + net(gross(19)) + net(gross(17) - gross(2)));
    assert_eq!(lease.paid + lease.fees + lease.refunded + lease.burned, lease.deposit);
    let ledger = scene.world.with_board(|board, _| board.ledger);
    assert_eq!((ledger.slashed, ledger.burning), (slashed(2), gross(2)));

    assert!(scene.world.slot(2).is(SlotState::Idle));
    let slot = scene.world.slot(3);
    assert!(slot.is(SlotState::Suspended));
    assert_eq!((slot.bond, slot.up, slot.down), (BOND - slashed(2), 17, 3));
    assert_eq!(scene.world.stake_of(&scene.buyer.pubkey()), before, "nobody is paid for it");
    finish(scene, &[]);
}

#[test]
fn void_rounds_count_at_a_machines_own_ratio_where_half_of_its_rounds_were_judged() {
    let mut scene = Scene::leased(3, 3, 10);
    for round in 0..10 {
        match round {
            0..4 => attest(&mut scene, is_up),
            // Machine 1 down once, machine 2 unseen: judged by two votes that differ.
            4 => {
                let votes: [(usize, &dyn Fn(u32) -> bool); 2] =
                    [(0, &|machine| machine != 1), (1, &|machine| machine == 0)];
                attest_each(&mut scene, &votes);
            }
            _ => attest_void(&mut scene),
        }
    }
    let slots = (0..3).map(|slot| scene.world.slot(slot));
    let counters: Vec<_> = slots.map(|s| (s.lease_up, s.lease_down, s.lease_unseen)).collect();
    assert_eq!(counters, [(5, 0, 0), (4, 1, 0), (4, 0, 1)]);
    scene.world.settle(&scene.buyer, 1);

    // 5 of 10 rounds were judged: enough. Machine 0 was up in all of them, the others in 4 of 5.
    assert_eq!(scene.world.slot(0).accrued, net(gross(10)));
    assert_eq!(scene.world.slot(1).accrued, net(gross(8)));
    assert_eq!(scene.world.slot(2).accrued, net(gross(8)));
    // One round may be down in any lease, and an unseen one costs nothing.
    assert_eq!((scene.world.lease(1).slashed, scene.world.lease(1).burned), (0, 0));
    finish(scene, &[]);
}

#[test]
fn half_of_an_odd_number_of_rounds_is_rounded_up() {
    let mut scene = Scene::leased(1, 1, 7);
    for round in 0..7 {
        if round < 3 { attest(&mut scene, is_up) } else { attest_void(&mut scene) }
    }
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(3)));
    finish(scene, &[]);

    let mut scene = Scene::leased(1, 1, 7);
    for round in 0..7 {
        if round < 4 { attest(&mut scene, is_up) } else { attest_void(&mut scene) }
    }
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(7)));
    finish(scene, &[]);
}

/// Invariant 10.
#[test]
fn rounds_that_are_all_void_pay_nobody_and_slash_nobody() {
    let mut scene = Scene::leased(3, 3, 5);
    for _ in 0..5 {
        attest_void(&mut scene);
    }
    scene.world.settle(&scene.buyer, 1);
    let lease = scene.world.lease(1);
    assert_eq!((lease.paid, lease.fees, lease.slashed), (0, 0, 0));
    assert_eq!(lease.refund_due, 3 * deposit(5));
    for slot in 0..3 {
        let slot = scene.world.slot(slot);
        assert_eq!((slot.accrued, slot.bond, slot.up, slot.down), (0, BOND, 0, 0));
        assert!(slot.is(SlotState::Idle));
    }
    finish(scene, &[]);
}

#[test]
fn a_machine_that_is_always_down_earns_nothing_and_loses_a_part_of_its_bond() {
    let mut scene = Scene::leased(2, 2, 3);
    for _ in 0..3 {
        attest(&mut scene, |machine| machine == 1);
    }
    scene.world.settle(&scene.buyer, 1);
    let slot = scene.world.slot(0);
    assert_eq!((slot.accrued, slot.bond, slot.down), (0, BOND - slashed(2), 3));
    assert_eq!(scene.world.lease(1).refund_due, deposit(3) + deposit(3) - gross(3));
    finish(scene, &[]);
}

#[test]
fn a_machine_down_beyond_a_weeks_allowance_is_abandoned_though_it_comes_back() {
    let mut scene = Scene::leased(2, 2, 200);
    for round in 0..200 {
        // 50 rounds of a week may be down: machine 0 is down in 51, machine 1 in 50.
        attest(&mut scene, |machine| !(10..61 - machine).contains(&round));
    }
    scene.world.settle(&scene.buyer, 1);
    // Its own allowance is ten of 200 rounds: 40 beyond that.
    assert_eq!((scene.world.slot(0).bond, scene.world.slot(1).bond), (0, BOND - slashed(40)));
    // Both are paid for the rounds up, less damages, which a fifth of it bounds.
    let [abandoned, slashed] = [149, 150].map(|up| gross(up) - gross(up) / 5);
    assert_eq!(scene.world.slot(0).accrued, net(abandoned));
    assert_eq!(scene.world.slot(1).accrued, net(slashed));
    assert_eq!(scene.world.lease(1).burned, gross(149) / 5 + gross(150) / 5);
    finish(scene, &[]);
}

#[test]
fn rounds_before_and_after_a_lease_never_count_for_it() {
    let mut scene = Scene::listed(2);
    // The round that runs when the lease opens, and an earlier one that is closed only afterwards.
    scene.world.end_round();
    scene.world.open(&scene.buyer, leasehold_tests::anything(), 2, 3);
    for keeper in 0..3 {
        scene.world.vote(&scene.keepers[keeper], |_| false);
    }
    crate::close(&mut scene.world);
    attest(&mut scene, |_| false);
    for _ in 0..3 {
        attest(&mut scene, is_up);
    }
    attest(&mut scene, |_| false);
    attest(&mut scene, |_| false);
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.lease(1).slashed, 0);
    for slot in 0..2 {
        let slot = scene.world.slot(slot);
        assert_eq!(slot.accrued, net(gross(3)));
        // The machines were listed in the first round, so it has no verdict for them.
        assert_eq!((slot.up, slot.down), (3, 3));
    }
    finish(scene, &[]);
}

/// Standby price, vouchers, damages and an early end; then everybody leaves.
#[test]
fn a_metered_lease_from_its_opening_until_everybody_has_left() {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0)]);
    scene.world.open_metered(&scene.buyer, 50 * USD, 100);
    scene.world.end_round();
    for round in 0..20 {
        attest(&mut scene, |_| ![2, 7, 11].contains(&round));
        if round % 6 == 5 {
            let redeem = scene.world.redeem_instructions(1, &scene.world.voucher(1, round * USD / 4));
            scene.world.ok(&redeem, &[&scene.supplier.wallet]);
            scene.world.settle(&scene.buyer, 1);
        }
    }
    let (board, lease) = (scene.world.board(), scene.world.lease_address(1));
    let notice = instruction::give_notice(&board, scene.buyer.pubkey(), lease, None);
    scene.world.ok(&[notice], &[&scene.buyer]);
    for _ in 0..9 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    // The running round and an hour more; 24 rounds up at a tenth of the price, less two of the three down: one of 27 is allowed.
    let standby = |rounds: u64| crate::PRICE / 10 * 600 * rounds / 3_600;
    let (lease, vouchers) = (scene.world.lease(1), 17 * USD / 4);
    assert_eq!((lease.paid + lease.fees, lease.burned), (vouchers + standby(24) - standby(2), standby(2)));
    assert_eq!(lease.refund_due, 50 * USD - vouchers - standby(24));
    finish(scene, &[]);
}

/// Rounds down cost compute units: so many machines take several transactions.
#[test]
fn a_lease_with_thousands_of_machines_down_is_settled_in_several_transactions() {
    let machines = 2_300;
    let mut scene = Scene::leased(machines, machines.into(), 2);
    for _ in 0..2 {
        attest(&mut scene, |_| false);
    }
    let mut steps = 0;
    while scene.world.lease(1).state != LeaseState::Settled {
        scene.world.settle(&scene.buyer, 1);
        scene.world.assert_invariants();
        steps += 1;
        assert!(steps < 10, "every step settles some");
    }
    assert!(steps > 1);
    let (lease, machines) = (scene.world.lease(1), u64::from(machines));
    assert_eq!((lease.paid, lease.refund_due), (0, machines * deposit(2)));
    assert_eq!(lease.slashed, machines * slashed(1));
    finish(scene, &[]);
}
