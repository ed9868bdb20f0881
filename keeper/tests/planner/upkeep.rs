//! Demands, price indexes, and what is to be burned.

use leasehold_keeper::memory::Chore;

use crate::scene::{ROUND, Scene, begin, demand};

const DAY_MS: i64 = 86_400_000;

/// A board without anything to do.
fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.policy.probe = false;
    scene.fleet(ROUND, &[0], &[]);
    scene
}

#[test]
fn a_demand_is_enforced_from_its_end_on() {
    let mut scene = scene();
    let due = begin(ROUND) + 40;
    scene.read().demands.push(demand(due));
    let plan = scene.plan();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.wake_ms, Some(due * 1_000));
    scene.at(due);
    assert_eq!(scene.steps(), [format!("enforce a demand of {due}")]);
    let address = scene.read().demands[0].address;
    scene.memory.begin(Chore::EnforceDemand { board: scene.board(), demand: address });
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn a_day_of_a_price_index_is_recorded_when_it_is_over() {
    let mut scene = scene();
    scene.read().indexes = vec![(0, begin(ROUND)), (3, begin(ROUND) + 1)];
    assert_eq!(scene.steps(), ["record class 0"]);
    scene.at(begin(ROUND) + 1);
    assert_eq!(scene.steps(), ["record class 0", "record class 3"]);
}

/// Half a day goes by, in which others close the rounds.
fn half_a_day(scene: &mut Scene) {
    scene.snapshot.now_ms += DAY_MS / 2;
    let now = scene.snapshot.now_ms / 1_000;
    scene.header().next_round = scene.header().round_at(now).unwrap();
}

#[test]
fn what_is_to_be_burned_is_burned_a_day_later() {
    let mut scene = scene();
    let board = scene.board();
    scene.header().ledger.slashed = 70;
    assert_eq!(scene.steps(), [""; 0]);
    half_a_day(&mut scene);
    scene.header().ledger.burning = 5;
    assert_eq!(scene.steps(), [""; 0]);
    half_a_day(&mut scene);
    assert_eq!(scene.steps(), ["burn 70 stake units"]);
    // More was slashed since: it goes with the rest. The next day begins when there is something again.
    scene.header().ledger.slashed = 90;
    assert_eq!(scene.steps(), ["burn 90 stake units"]);
    scene.memory.begin(Chore::BurnSlashed { board });
    scene.header().ledger.slashed = 0;
    let now = scene.snapshot.now_ms;
    scene.memory.end(&Chore::BurnSlashed { board }, now);
    assert_eq!(scene.steps(), [""; 0]);
    scene.header().ledger.slashed = 1;
    half_a_day(&mut scene);
    assert_eq!(scene.steps(), ["burn 5 payment units"]);
}
