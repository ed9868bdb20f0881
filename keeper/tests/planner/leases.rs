//! Settling.

use leasehold_keeper::{memory::Chore, snapshot::LeaseSnapshot};

use crate::scene::{ROUND, Scene, lease};

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
fn closing_rounds_waits_for_no_vote_where_a_lease_does() {
    // Nobody votes: rounds are skipped only where a machine's last one is among them.
    let mut scene = scene(&[(3, ROUND - 1)]);
    scene.header().next_round = ROUND - 2;
    scene.plan();
    scene.snapshot.now_ms += 9_000;
    assert_eq!(scene.steps(), [format!("close {}", ROUND - 2)]);
    scene.fleet(ROUND, &[0], &[(3, ROUND)]);
    assert_eq!(scene.steps(), [""; 0]);
}

/// A lease that runs on for long, whose machines have two hours of unpaid time up.
fn running() -> Scene {
    let mut scene = scene(&[]);
    let lease = LeaseSnapshot { unpaid: 12, keepers_part: 40, ..lease(ROUND + 500) };
    scene.read().leases.insert(3, lease);
    scene
}

#[test]
fn a_running_lease_is_settled_while_the_keeper_pool_is_below_a_days_pay() {
    let mut scene = running();
    assert_eq!(scene.steps(), [""; 0]);
    // Five seats, 144 rounds, and the least fee of ten units.
    scene.header().ledger.keeper_pool = 5 * 144 * 10;
    assert_eq!(scene.steps(), [""; 0]);
    scene.header().ledger.keeper_pool -= 1;
    assert_eq!(scene.steps(), ["settle 3 in mid-term"]);
    scene.header().ledger.keeper_pool = 0;
    assert_eq!(scene.steps(), ["settle 3 in mid-term"]);
    // A market without a least fee pays nothing from an empty pool.
    scene.snapshot.params.keeper_fee = 0;
    assert_eq!(scene.steps(), ["settle 3 in mid-term"]);
    scene.snapshot.params.keeper_fee_max = 0;
    assert_eq!(scene.steps(), [""; 0], "nobody is paid on this market");
}

#[test]
fn a_settlement_in_mid_term_must_be_worth_a_transaction() {
    let mut scene = running();
    scene.header().ledger.keeper_pool = 0;
    scene.read().leases.get_mut(&3).unwrap().unpaid = 5;
    assert_eq!(scene.steps(), [""; 0], "less than an hour");
    scene.read().leases.get_mut(&3).unwrap().unpaid = 6;
    assert_eq!(scene.steps(), ["settle 3 in mid-term"]);
    scene.read().leases.get_mut(&3).unwrap().keepers_part = 0;
    assert_eq!(scene.steps(), [""; 0], "no fee for keepers");
}

#[test]
fn leases_that_are_due_are_settled_before_those_that_run() {
    let mut scene = running();
    scene.header().ledger.keeper_pool = 0;
    for serial in 1..=30 {
        let due_from = if serial <= 26 { ROUND + 500 } else { ROUND - 1 };
        let lease = LeaseSnapshot { unpaid: 12, keepers_part: 40, ..lease(due_from) };
        scene.read().leases.insert(3 * serial, lease);
    }
    assert_eq!(scene.steps(), ["settle 81", "settle 84", "settle 87", "settle 90"]);
}

#[test]
fn a_metered_lease_whose_deposit_is_used_up_is_ended() {
    let mut scene = running();
    scene.read().leases.get_mut(&3).unwrap().is_short = true;
    assert_eq!(scene.steps(), ["end 3"]);
    let chore = Chore::GiveNotice { board: scene.board(), serial: 3 };
    scene.memory.begin(chore);
    assert_eq!(scene.steps(), [""; 0]);
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
        assert_eq!(scene.memory.fail(&chore, now, std::time::Duration::from_secs(60)), failures);
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
