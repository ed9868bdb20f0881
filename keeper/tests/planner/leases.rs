//! Settling.

use leasehold_keeper::{memory::Chore, planner::Action};

use crate::scene::{ROUND, Scene};

/// A board with leases, and nothing to do but to settle them.
fn scene(leases: &[(u32, u32)]) -> Scene {
    let mut scene = Scene::new();
    scene.policy.probe = false;
    scene.fleet(ROUND, &[0], leases);
    scene
}

#[test]
fn a_lease_is_settled_once_its_last_round_is_closed() {
    // Lease 3 is the first of three seats' turn.
    let mut scene = scene(&[(3, ROUND)]);
    scene.header().next_round = ROUND - 1;
    assert_eq!(scene.steps(), [""; 0]);
    scene.header().next_round = ROUND;
    assert_eq!(scene.steps(), ["settle 3"]);
    scene.header().next_round = ROUND + 70;
    assert_eq!(scene.steps(), ["settle 3"]);
}

#[test]
fn the_keepers_account_is_named_where_it_has_one() {
    let mut scene = scene(&[(3, ROUND - 1)]);
    scene.registered(0);
    assert_eq!(scene.steps(), ["settle 3 for the keeper"]);
    let plan = scene.plan();
    let [Action::SettleLease { keeper, board, .. }] = plan.actions.as_slice() else { panic!("{plan:?}") };
    assert_eq!(*keeper, Some(board.market.keeper(&scene.snapshot.me)));
}

#[test]
fn a_settled_lease_is_not_settled_again() {
    let mut scene = scene(&[(3, ROUND - 1)]);
    assert_eq!(scene.steps(), ["settle 3"]);
    scene.memory.begin(Chore::SettleLease { board: scene.board(), serial: 3 });
    assert_eq!(scene.steps(), [""; 0], "while it is under way");
    let now = scene.snapshot.now_ms;
    scene.memory.end(&Chore::SettleLease { board: scene.board(), serial: 3 }, now);
    scene.snapshot.now_ms += 500;
    assert_eq!(scene.steps(), [""; 0], "while the node lags behind");
    // Its machines are free again.
    scene.fleet(ROUND, &[0], &[]);
    scene.snapshot.now_ms += 5_000;
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn leases_are_shared_out_among_the_seats() {
    let mut scene = scene(&[(3, ROUND - 1), (4, ROUND - 1), (5, ROUND - 1), (6, ROUND - 1)]);
    assert_eq!(scene.steps(), ["settle 3", "settle 6"]);
    // The others' keepers don't settle theirs.
    scene.snapshot.now_ms += 6_000;
    assert_eq!(scene.steps(), ["settle 3", "settle 4", "settle 5", "settle 6"]);
}

#[test]
fn only_some_leases_of_a_board_are_settled_at_a_time() {
    let leases: Vec<_> = (1..=30).map(|serial| (3 * serial, ROUND - 1)).collect();
    let mut scene = scene(&leases);
    assert_eq!(scene.steps(), ["settle 3", "settle 6", "settle 9", "settle 12"]);
}

#[test]
fn a_failure_is_tried_again_after_a_growing_pause() {
    let mut scene = scene(&[(3, ROUND - 1)]);
    let chore = Chore::SettleLease { board: scene.board(), serial: 3 };
    for (failures, pause_ms) in [(1, 500), (2, 1_000), (3, 2_000), (4, 4_000)] {
        assert_eq!(scene.steps(), ["settle 3"]);
        scene.memory.begin(chore);
        let now = scene.snapshot.now_ms;
        assert_eq!(scene.memory.fail(&chore, now), failures);
        scene.snapshot.now_ms += pause_ms - 1;
        let plan = scene.plan();
        assert!(plan.actions.is_empty());
        assert_eq!(plan.wake_ms, Some(scene.snapshot.now_ms + 1));
        scene.snapshot.now_ms += 1;
    }
}

#[test]
fn without_a_seat_leases_are_settled_only_where_asked_to() {
    let mut scene = scene(&[(3, ROUND - 1)]);
    scene.sit(0, 9);
    assert_eq!(scene.steps(), [""; 0]);
    scene.policy.crank = true;
    scene.plan();
    scene.snapshot.now_ms += 9_000;
    assert_eq!(scene.steps(), ["settle 3"]);
}
