//! Rounds without votes, and keepers that vanish.

use leasehold::{error::LeaseholdError, state::Verdict};
use leasehold_client::instruction;
use leasehold_tests::Scene;
use solana_signer::Signer;

use crate::{attest, attest_each, close, finish, gross, is_up, net};

/// Verdicts of a machine in the last `count` closed rounds, the oldest first.
fn verdicts(scene: &Scene, slot: usize, count: u32) -> Vec<Verdict> {
    scene.world.with_board(|board, slots| {
        (board.next_round - count..board.next_round)
            .map(|round| board.verdict(&slots[slot], round).expect("remembered"))
            .collect()
    })
}

#[test]
fn rounds_that_nobody_voted_for_are_void_and_passed_over_together() {
    use Verdict::{Down, Up, Void};
    let mut scene = Scene::leased(2, 2, 10);
    attest(&mut scene, is_up);
    // Three rounds without a vote, then one with: closing it steps over them.
    for _ in 0..3 {
        scene.world.end_round();
    }
    attest(&mut scene, |machine| machine == 0);
    assert_eq!(verdicts(&scene, 0, 5), [Up, Void, Void, Void, Up]);
    assert_eq!(verdicts(&scene, 1, 5), [Up, Void, Void, Void, Down]);

    // The rest passes without anybody, and is stepped over in one go.
    let next = scene.world.with_board(|board, _| board.next_round);
    for _ in 0..5 {
        scene.world.end_round();
    }
    scene.world.pass(300);
    close(&mut scene.world);
    assert_eq!(scene.world.with_board(|board, _| board.next_round), next + 5);
    assert_eq!(verdicts(&scene, 0, 6), [Up, Void, Void, Void, Void, Void]);
    scene.world.settle(&scene.buyer, 1);
    // Two of ten rounds were judged: too few to pay for the others.
    assert_eq!(scene.world.slot(0).accrued, net(gross(2)));
    assert_eq!(scene.world.slot(1).accrued, net(gross(1)));
    finish(scene, &[]);
}

/// Older verdicts at the same places of the history must not reappear.
#[test]
fn a_board_without_votes_for_a_thousand_rounds_remembers_no_verdict() {
    let mut scene = Scene::listed(2);
    for _ in 0..70 {
        attest(&mut scene, |machine| machine == 0);
    }
    scene.world.pass(1_000 * 600);
    scene.world.end_round();
    scene.world.pass(300);
    close(&mut scene.world);
    assert_eq!(verdicts(&scene, 0, 64), [Verdict::Void; 64]);
    assert_eq!(verdicts(&scene, 1, 64), [Verdict::Void; 64]);
    let counters = |slot| {
        let slot = scene.world.slot(slot);
        (slot.up, slot.down)
    };
    // Listed in the first round, which has no verdict for them.
    assert_eq!((counters(0), counters(1)), ((69, 0), (0, 69)));
    finish(scene, &[]);
}

#[test]
fn a_keeper_that_vanishes_costs_no_verdict_while_the_threshold_is_met() {
    let mut scene = Scene::leased(1, 1, 3);
    for _ in 0..3 {
        attest_each(&mut scene, &[(0, &is_up), (2, &is_up)]);
    }
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.slot(0).accrued, net(gross(3)));
    finish(scene, &[]);
}

#[test]
fn the_seat_of_a_keeper_that_vanished_is_free_for_another_after_a_day() {
    let mut scene = Scene::leased(1, 1, 300);
    // Two of three vanish: rounds are void, and nobody is slashed for it.
    attest_each(&mut scene, &[(0, &|_| false)]);
    assert_eq!(verdicts(&scene, 0, 1), [Verdict::Void]);

    let (board, gone) = (scene.world.board(), scene.keepers[1].account);
    let evict = |by: &Scene| instruction::leave_seat(&board, by.buyer.pubkey(), gone, 1, false);
    let early = evict(&scene);
    scene.world.fails(early, &[&scene.buyer], LeaseholdError::SeatInUse);
    scene.world.pass(86_400);
    let leave = evict(&scene);
    scene.world.ok(&[leave], &[&scene.buyer]);
    // Its bond is its own again.
    let keeper: leasehold::state::Keeper = scene.world.account(&gone);
    assert_eq!((keeper.stake.free, keeper.locked, keeper.seats), (1_000_000_000_000, 0, 0));

    let newcomer = scene.world.keeper(1);
    let former = std::mem::replace(&mut scene.keepers[1], newcomer);
    attest_each(&mut scene, &[(0, &is_up), (1, &is_up)]);
    assert_eq!(verdicts(&scene, 0, 1), [Verdict::Up]);
    finish(scene, &[&former.wallet]);
}

#[test]
fn keepers_are_paid_whatever_they_voted() {
    let mut scene = Scene::leased(2, 2, 40);
    for _ in 0..20 {
        attest(&mut scene, is_up);
    }
    scene.world.settle(&scene.buyer, 1);
    let pool = scene.world.with_board(|board, _| board.ledger.keeper_pool);
    // 40 percent of the fees; the pay of the first two hours is kept until the end.
    let interim = gross(20) - 2 * crate::PRICE;
    let fees = 2 * (interim - net(interim));
    assert_eq!(pool, fees * 4_000 / 10_000);
    attest_each(&mut scene, &[(0, &is_up), (1, &is_up), (2, &|_| false)]);
    let earned = scene.world.with_board(|board, _| board.seats.map(|seat| seat.earned));
    // The pool holds less than three of the least fees, so it is shared out evenly.
    assert_eq!(earned[..3], [pool / 3; 3]);
    assert_eq!(scene.world.with_board(|board, _| board.ledger.keeper_pool), pool % 3);
    finish(scene, &[]);
}
