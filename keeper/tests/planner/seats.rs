//! Taking seats, and being paid for them.

use leasehold_keeper::{memory::Chore, planner::Advice};

use crate::scene::{Scene, wallet};

/// A keeper without a seat before a board with two vacant ones, 3 and 4.
fn newcomer() -> Scene {
    let mut scene = Scene::new();
    scene.policy.probe = false;
    scene.policy.take_seat = true;
    scene.sit(0, 9);
    scene.registered(5_000);
    scene
}

#[test]
fn a_vacant_seat_is_taken_where_asked_to() {
    let mut scene = newcomer();
    // Which one depends on the wallet, so that keepers who start together don't want the same.
    assert_eq!(scene.steps(), ["take seat 4, register false, deposit 0"]);
    scene.snapshot.me = wallet(1);
    scene.sit(1, 8);
    assert_eq!(scene.steps(), ["take seat 3, register false, deposit 0"]);
    scene.policy.take_seat = false;
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn nobody_takes_a_second_seat_of_a_board() {
    let mut scene = newcomer();
    scene.sit(0, 0);
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn seats_are_taken_one_at_a_time() {
    let mut scene = newcomer();
    let mut second = scene.snapshot.boards[0].clone();
    second.board = scene.snapshot.market.board(1);
    scene.snapshot.boards.push(second);
    assert_eq!(scene.steps().len(), 1);
    scene.memory.begin(Chore::TakeSeat { board: scene.board() });
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn a_full_committee_is_waited_for() {
    let mut scene = newcomer();
    scene.sit(3, 10);
    scene.sit(4, 11);
    let plan = scene.plan();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.advice, [Advice::NoVacantSeat(0)]);
    scene.header().seats[1].taken = 0;
    assert_eq!(scene.steps(), ["take seat 1, register false, deposit 0"]);
}

#[test]
fn an_account_and_a_bond_come_first() {
    let mut scene = newcomer();
    scene.snapshot.keeper = None;
    assert_eq!(scene.plan().advice, [Advice::NotRegistered]);
    scene.policy.bond = true;
    scene.snapshot.stake = 999;
    let account = scene.snapshot.market.stake_account(&wallet(0));
    let missing = Advice::WalletStakeMissing { board: 0, held: 999, needed: 1_000, account };
    let plan = scene.plan();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.advice, [missing]);
    scene.snapshot.stake = 1_000;
    assert_eq!(scene.steps(), ["take seat 4, register true, deposit 1000"]);
}

#[test]
fn only_missing_stake_is_bonded() {
    let mut scene = newcomer();
    scene.registered(400);
    assert_eq!(scene.plan().advice, [Advice::StakeMissing { board: 0, free: 400, needed: 1_000 }]);
    assert_eq!(scene.steps(), [""; 0]);
    scene.policy.bond = true;
    scene.snapshot.stake = 600;
    assert_eq!(scene.steps(), ["take seat 4, register false, deposit 600"]);
    scene.snapshot.params.keeper_bond = 400;
    assert_eq!(scene.steps(), ["take seat 4, register false, deposit 0"]);
}

#[test]
fn the_operator_gets_advice_on_steps_that_only_he_can_take() {
    let mut scene = newcomer();
    scene.policy.take_seat = false;
    scene.snapshot.missing = vec![7];
    scene.snapshot.lamports = 999_999;
    let advice = scene.plan().advice;
    let low = Advice::LowLamports { wallet: wallet(0), lamports: 999_999 };
    assert_eq!(advice, [Advice::NoSuchBoard(7), low, Advice::NoWork]);
    for advice in advice {
        let line = advice.to_string();
        assert!(line.contains(": "), "{line}");
    }
    scene.policy.crank = true;
    scene.snapshot.missing.clear();
    scene.snapshot.lamports = 1_000_000;
    assert_eq!(scene.plan().advice, []);
}

#[test]
fn fees_are_claimed_once_they_are_worth_it() {
    let mut scene = Scene::new();
    scene.policy.probe = false;
    scene.header().seats[0].earned = 499;
    assert_eq!(scene.steps(), [""; 0]);
    scene.policy.claim_fees = Some(500);
    assert_eq!(scene.steps(), [""; 0]);
    scene.header().seats[0].earned = 500;
    assert_eq!(scene.steps(), ["claim from 0"]);
    scene.policy.claim_fees = Some(0);
    scene.header().seats[0].earned = 0;
    assert_eq!(scene.steps(), [""; 0]);
}
