//! Keepers who vote together, alone or with a buyer.

use leasehold::state::{Params, RoundRules};
use leasehold_client::instruction;
use leasehold_tests::*;

use crate::{BOND, Before, gross, less, net, slashed};

/// The usual board: 13 seats, 9 votes make a machine down, 5 make it up.
fn committee(machines: u16, leased: u32, rounds: u32) -> Scene {
    let rules = RoundRules { seats: 13, threshold: 9, ..rules() };
    Scene::under(rules, Params { up_votes: 5, ..params() }, machines).leasing(leased, rounds)
}

/// Ends a round. The first `liars` keepers vote every machine down, or stay away; the others have heard them all.
fn round(scene: &mut Scene, liars: usize, stay_away: bool) {
    scene.world.end_round();
    for (index, keeper) in scene.keepers.iter().enumerate() {
        if index >= liars || !stay_away {
            scene.world.vote(keeper, |_| index >= liars);
        }
    }
    scene.world.pass(300);
    let close = instruction::close_round(&scene.world.board());
    scene.world.ok(&[close], &[&scene.buyer]);
}

/// Compute for nothing, for ever: formerly, five seats kept every machine from being paid.
#[test]
fn attack_five_of_thirteen_seats_veto_what_machines_are_paid() {
    for (liars, stay_away) in [(5, false), (5, true), (8, false), (8, true)] {
        let mut scene = committee(1, 1, 10);
        let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
        let liar = scene.keepers[0].wallet.insecure_clone();
        let before = Before::new(&scene.world, &[&supplier, &buyer, &liar]);
        for _ in 0..10 {
            round(&mut scene, liars, stay_away);
        }
        scene.world.settle(&buyer, 1);
        // The deposit has left the buyer's wallet before; a rounding remainder comes back.
        let rest = (scene.world.lease(1).deposit - gross(10)) as i64;
        let found = before.gains(&scene.world);
        assert_eq!(found, [(net(gross(10)), 0), (rest, 0), (0, 0)], "{liars} liars");
        assert_eq!(scene.world.slot(0).lease_up, 10);
    }
}

/// Formerly, nine seats took 65 percent of all leased bonds in one round, most of it for the buyer.
#[test]
fn attack_nine_seats_of_a_new_board_take_bonds() {
    for lies in [1, 6] {
        let mut scene = committee(5, 5, 6);
        let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
        let keepers: Vec<_> =
            scene.keepers[..9].iter().map(|keeper| keeper.wallet.insecure_clone()).collect();
        let mut wallets = vec![&supplier, &buyer];
        wallets.extend(&keepers);
        let before = Before::new(&scene.world, &wallets);
        for index in 0..6 {
            round(&mut scene, if index < lies { 9 } else { 0 }, false);
        }
        scene.world.settle(&buyer, 1);
        let found = before.gains(&scene.world);
        let deposit = scene.world.lease(1).deposit;
        // One round is always allowed. All of what five more cost the bonds is burned.
        let (up, over) = (6 - lies, lies - 1);
        let lost = 5 * slashed(BOND, over);
        assert_eq!(found[0], (5 * net(gross(up)), less(lost)));
        assert_eq!(
            found[1],
            ((deposit - 5 * gross(up)) as i64, 0),
            "the buyer gets what it did not have back"
        );
        assert!(found[2..].iter().all(|gain| *gain == (0, 0)), "{found:?}");
        assert_eq!(scene.world.with_board(|board, _| board.ledger.slashed), lost);
    }
}

/// Whoever keeps a keeper from voting earns no more: as much as it would have been paid is burned.
#[test]
fn attack_keepers_who_knock_keepers_out() {
    let earned = |absent: usize| {
        let mut scene = committee(1, 1, 20);
        scene.world.fund_keepers(&scene.buyer, 100 * USD);
        let keepers: Vec<_> = scene.keepers.iter().map(|keeper| keeper.wallet.insecure_clone()).collect();
        let wallets: Vec<_> = keepers.iter().collect();
        let before = Before::new(&scene.world, &wallets);
        let pool = scene.world.with_board(|board, _| board.ledger.keeper_pool);
        for _ in 0..3 {
            round(&mut scene, absent, true);
        }
        let ledger = scene.world.with_board(|board, _| board.ledger);
        (before.gains(&scene.world), ledger.burning, pool - ledger.keeper_pool)
    };
    let fee = params().keeper_fee as i64;
    let (all, burned, spent) = earned(0);
    assert_eq!((&all[..], burned, spent), (&[(3 * fee, 0); 13][..], 0, 39 * fee as u64));
    for absent in [1, 4, 8] {
        let (some, burned, spent) = earned(absent);
        assert!(some[..absent].iter().all(|gain| *gain == (0, 0)));
        assert_eq!(some[absent..], all[absent..], "the others earn the same");
        assert_eq!((burned, spent), (3 * absent as u64 * fee as u64, 39 * fee as u64));
    }
}

/// Where too few keepers vote to call anybody down, a dark machine is not slashed; nor is it paid.
#[test]
fn attack_darkness_on_a_board_with_few_voters() {
    let mut scene = committee(1, 1, 20);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &buyer]);
    for index in 0..20 {
        scene.world.end_round();
        for keeper in &scene.keepers[..8] {
            scene.world.vote(keeper, |_| index < 5);
        }
        scene.world.pass(300);
        let close = instruction::close_round(&scene.world.board());
        scene.world.ok(&[close], &[&buyer]);
    }
    let slot = scene.world.slot(0);
    assert_eq!((slot.lease_up, slot.lease_down, slot.lease_unseen), (5, 0, 15));
    scene.world.settle(&buyer, 1);
    let back = scene.world.lease(1).deposit - gross(5);
    assert_eq!(before.gains(&scene.world), [(net(gross(5)), 0), (back as i64, 0)]);
}
