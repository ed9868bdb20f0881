//! Earnings and losses of machines.

use leasehold::state::{LeaseState, SlotState};
use leasehold_client::instruction;
use leasehold_tests::{STAKE, Scene};
use solana_signer::Signer;

use crate::{attest, attest_each, attest_unknown, deposit, finish, gross, is_up, net, split};

/// Bond of each machine, in stake units.
const BOND: u64 = 100 * STAKE;

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

    // 1 of 20 rounds is allowed, so 2 are over it: twice 2 / 20 of the bond.
    let slashed = BOND * 2 * 2 / 20;
    let lease = scene.world.lease(1);
    assert_eq!(lease.slashed, slashed);
    assert_eq!(lease.paid, 2 * net(gross(20)) + net(gross(19)) + net(gross(17)));
    assert_eq!(lease.paid + lease.fees + lease.refunded, lease.deposit);
    let [buyers, burned, markets, callers] = split(slashed);
    assert_eq!(lease.compensation_due, buyers);
    let ledger = scene.world.with_board(|board, _| board.ledger);
    // The caller named no keeper's account, so its part is burned too.
    assert_eq!((ledger.to_burn, ledger.market_stake), (burned + callers, markets));

    assert!(scene.world.slot(2).is(SlotState::Idle));
    let slot = scene.world.slot(3);
    assert!(slot.is(SlotState::Suspended));
    assert_eq!((slot.bond, slot.up, slot.down), (BOND - slashed, 17, 3));

    let board = scene.world.board();
    let key = scene.buyer.pubkey();
    let wallet = scene.world.market.stake_account(&key);
    let claim = instruction::claim_compensation(&board, key, world.lease_address(1), wallet);
    scene.world.ok(&[claim], &[&scene.buyer]);
    assert_eq!(scene.world.stake_of(&key), before + buyers);
    finish(scene, &[]);
}

#[test]
fn a_keeper_that_settles_gets_the_callers_part() {
    let mut scene = Scene::leased(2, 2, 2);
    for _ in 0..2 {
        attest(&mut scene, |machine| machine == 0);
    }
    let (board, keeper) = (scene.world.board(), &scene.keepers[1]);
    let settle =
        instruction::settle_lease(&board, keeper.wallet.pubkey(), world.lease_address(1), Some(keeper.account));
    scene.world.ok(&[settle], &[&keeper.wallet]);
    let account: leasehold::state::Keeper = scene.world.account(&keeper.account);
    assert_eq!(account.stake.free, split(BOND)[3]);
    assert_eq!(scene.world.with_board(|board, _| board.ledger.to_burn), split(BOND)[1]);
    finish(scene, &[]);
}

#[test]
fn unknown_rounds_count_at_a_machines_own_ratio_where_half_of_its_rounds_are_known() {
    let mut scene = Scene::leased(3, 3, 10);
    for round in 0..10 {
        match round {
            0..4 => attest(&mut scene, is_up),
            // Machine 1 down once, machine 2 judged by two votes that differ.
            4 => {
                let votes: [(usize, &dyn Fn(u32) -> bool); 2] =
                    [(0, &|machine| machine != 1), (1, &|machine| machine == 0)];
                attest_each(&mut scene, &votes);
            }
            _ => attest_unknown(&mut scene),
        }
    }
    let counters: Vec<_> =
        (0..3).map(|slot| scene.world.slot(slot)).map(|s| (s.lease_up, s.lease_down)).collect();
    assert_eq!(counters, [(5, 0), (4, 1), (4, 0)]);
    scene.world.settle(&scene.buyer, 1);

    // 5 of 10 rounds are known: enough. Machine 0 was up in all of them, machine 1 in 4 of 5.
    assert_eq!(scene.world.slot(0).accrued, net(gross(10)));
    assert_eq!(scene.world.slot(1).accrued, net(gross(8)));
    // 4 of 10 are not enough: the rounds up alone.
    assert_eq!(scene.world.slot(2).accrued, net(gross(4)));
    // One round down, and none of ten is allowed.
    assert_eq!(scene.world.lease(1).slashed, BOND * 2 / 10);
    finish(scene, &[]);
}

#[test]
fn half_of_an_odd_number_of_rounds_is_rounded_up() {
    let mut scene = Scene::leased(1, 1, 7);
    for round in 0..7 {
        if round < 3 { attest(&mut scene, is_up) } else { attest_unknown(&mut scene) }
    }
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(3)));
    finish(scene, &[]);

    let mut scene = Scene::leased(1, 1, 7);
    for round in 0..7 {
        if round < 4 { attest(&mut scene, is_up) } else { attest_unknown(&mut scene) }
    }
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(7)));
    finish(scene, &[]);
}

/// Invariant 10.
#[test]
fn all_unknown_pays_nobody_and_slashes_nobody() {
    let mut scene = Scene::leased(3, 3, 5);
    for _ in 0..5 {
        attest_unknown(&mut scene);
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
fn a_machine_that_is_always_down_earns_nothing_and_loses_its_bond() {
    let mut scene = Scene::leased(2, 2, 3);
    for _ in 0..3 {
        attest(&mut scene, |machine| machine == 1);
    }
    scene.world.settle(&scene.buyer, 1);
    let slot = scene.world.slot(0);
    assert_eq!((slot.accrued, slot.bond, slot.down), (0, 0, 3));
    assert_eq!(scene.world.lease(1).refund_due, deposit(3) + deposit(3) - gross(3));
    finish(scene, &[]);
}

#[test]
fn a_machine_abandoned_for_four_rounds_loses_its_whole_bond_though_it_comes_back() {
    let mut scene = Scene::leased(2, 2, 100);
    for round in 0..100 {
        // Machine 0 is down four rounds in a row, machine 1 in four that are apart.
        attest(&mut scene, |machine| match machine {
            0 => !(10..14).contains(&round),
            _ => ![10, 11, 12, 20].contains(&round),
        });
    }
    scene.world.settle(&scene.buyer, 1);
    // Four down are within the allowance of five in a hundred.
    assert_eq!(scene.world.slot(1).bond, BOND);
    assert_eq!(scene.world.slot(0).bond, 0);
    // It is still paid for the rounds it was up.
    assert_eq!(scene.world.slot(0).accrued, net(gross(96)));
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
    assert_eq!(lease.slashed, machines * BOND);
    assert_eq!(lease.compensation_due, split(machines * BOND)[0]);
    finish(scene, &[]);
}
