//! Probing, voting, closing.

use std::time::Duration;

use leasehold_keeper::{
    memory::Chore,
    planner::{Action, Policy},
    prober::Fault,
};

use crate::scene::{ROUND, ROUND_SECS, SUBMIT_SECS, Scene, begin};

/// The first second of the running round, in which the one before is voted on.
fn vote_scene() -> Scene {
    let mut scene = Scene::new();
    scene.policy.probe = false;
    scene.probed(ROUND - 1);
    scene
}

fn vote() -> Vec<String> {
    vec![format!("submit {} from 0 on 9", ROUND - 1)]
}

#[test]
fn a_round_is_voted_on_from_its_end_to_the_last_second_of_the_window() {
    let mut scene = vote_scene();
    for (second, planned) in [
        (begin(ROUND) - 1, vec![]),
        (begin(ROUND), vote()),
        (begin(ROUND) + i64::from(SUBMIT_SECS), vote()),
        (begin(ROUND) + i64::from(SUBMIT_SECS) + 1, vec![]),
    ] {
        scene.at(second);
        assert_eq!(scene.steps(), planned, "at {second}");
    }
}

#[test]
fn a_window_as_long_as_a_round_ends_with_it() {
    let mut scene = vote_scene();
    scene.header().submit_secs = ROUND_SECS;
    scene.at(begin(ROUND + 1) - 1);
    assert_eq!(scene.steps(), vote());
    // The program would take it until now, were it still the round that ended last.
    scene.at(begin(ROUND + 1));
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn a_vote_covers_the_slots_there_were_when_the_round_ended() {
    let mut scene = vote_scene();
    scene.header().resize(ROUND, 12);
    assert_eq!(scene.steps(), vote());
    scene.header().resize(ROUND, 15);
    assert_eq!(scene.steps(), vote());
    scene.header().resized_round = ROUND - 1;
    assert_eq!(scene.steps(), [format!("submit {} from 0 on 15", ROUND - 1)]);
}

#[test]
fn a_closed_round_is_not_voted_on() {
    let mut scene = vote_scene();
    scene.header().next_round = ROUND;
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn nobody_votes_twice() {
    let mut scene = vote_scene();
    scene.votes(ROUND - 1, &[1]);
    assert_eq!(scene.steps(), vote());
    scene.votes(ROUND - 1, &[0, 1]);
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn votes_on_an_earlier_round_are_counted_first() {
    let mut scene = vote_scene();
    scene.header().next_round = ROUND - 2;
    scene.votes(ROUND - 2, &[0, 1]);
    let steps: Vec<_> = {
        // Whose turn it is depends on the round; wait until it is everybody's.
        scene.plan();
        scene.at(begin(ROUND) + 60);
        scene.steps()
    };
    assert_eq!(steps, [format!("close {}", ROUND - 2)]);
}

#[test]
fn without_answers_there_is_no_vote() {
    let mut scene = Scene::new();
    scene.policy.probe = false;
    assert_eq!(scene.steps(), [""; 0]);
    scene.probed(ROUND - 2);
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn a_keeper_that_hears_nobody_does_not_call_everybody_down() {
    let mut scene = Scene::new();
    scene.policy.probe = false;
    scene.deaf(ROUND - 1);
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn a_round_that_was_not_probed_as_it_should_be_is_not_voted_on() {
    let mut scene = Scene::new();
    scene.policy.probe = false;
    scene.faulty(ROUND - 1, Fault::Busy { missed: 3, attempts: 18 });
    assert_eq!(scene.steps(), [""; 0]);
    scene.at(begin(ROUND + 1));
    scene.probed(ROUND);
    assert_eq!(scene.steps(), [format!("submit {ROUND} from 0 on 9")], "the next one is");
}

#[test]
fn a_vote_that_failed_is_tried_again_while_its_window_is_open() {
    let mut scene = vote_scene();
    let chore = scene.plan().actions[0].chore();
    let quarter = Duration::from_secs(u64::from(SUBMIT_SECS) / 4);
    for _ in 0..20 {
        scene.memory.begin(chore);
        let now = scene.snapshot.now_ms;
        scene.memory.fail(&chore, now, quarter);
    }
    scene.at(begin(ROUND) + i64::from(SUBMIT_SECS) / 4);
    assert_eq!(scene.steps(), vote());
}

/// A board without machines. The keeper voted on a round so many before the one that ended last.
fn empty_scene(rounds: u32) -> Scene {
    let mut scene = Scene::new();
    scene.fleet(ROUND, &[], &[]);
    scene.header().seats[0].last_round = ROUND - 1 - rounds;
    scene
}

#[test]
fn a_board_without_machines_is_voted_on_as_often_as_keeps_the_seat() {
    // A third of a day is 48 rounds of ten minutes.
    assert_eq!(empty_scene(48).steps(), [""; 0]);
    assert_eq!(empty_scene(49).steps(), vote());
    let mut scene = empty_scene(48);
    scene.at(begin(ROUND) + 1);
    assert_eq!(scene.steps(), vote());
    // Nobody is called down: the vote is of no machine.
    let plan = scene.plan();
    let [Action::SubmitRound { answers, slots, .. }] = plan.actions.as_slice() else { panic!("{plan:?}") };
    assert!(answers.report.answers.is_empty() && answers.report.stats.targets == 0);
    assert_eq!(answers.report.submission(*slots).bitmap, [0, 0]);

    scene.votes(ROUND - 1, &[0]);
    assert_eq!(scene.steps(), [""; 0], "once");
    scene.votes(ROUND - 1, &[]);
    scene.policy.probe = false;
    assert_eq!(scene.steps(), [""; 0], "not where it is not to vote");
}

#[test]
fn in_long_rounds_a_board_without_machines_is_voted_on_in_each() {
    let mut scene = empty_scene(0);
    let day = 86_400;
    let running = u32::try_from(begin(ROUND) / day).unwrap();
    scene.header().round_secs = 86_400;
    scene.header().next_round = running - 1;
    scene.header().seats[0].last_round = running - 2;
    scene.fleet(running, &[], &[]);
    scene.at(i64::from(running) * day);
    assert_eq!(scene.steps(), [format!("submit {} from 0 on 9", running - 1)]);
}

#[test]
fn a_seat_is_not_kept_by_votes_that_would_call_a_machine_down() {
    let mut scene = empty_scene(100);
    scene.fleet(ROUND, &[0], &[]);
    assert_eq!(scene.steps(), [format!("probe {ROUND}: 1")], "it is asked first");
    scene.fleet(ROUND - 1, &[], &[]);
    assert_eq!(scene.steps(), [""; 0], "somebody may have come since");
    scene.snapshot.boards[0].fleet = None;
    assert_eq!(scene.steps(), [""; 0]);
    scene.fleet(ROUND, &[], &[]);
    scene.deaf(ROUND - 1);
    assert_eq!(scene.steps(), [""; 0], "whoever left since was not heard");
}

#[test]
fn a_lost_seat_ends_probing_and_voting() {
    let mut scene = vote_scene();
    scene.policy.probe = true;
    assert_eq!(scene.steps().len(), 2);
    scene.sit(0, 9);
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn the_running_round_is_probed_once() {
    let mut scene = Scene::new();
    let plan = scene.plan();
    let [action @ Action::ProbeRound { round: ROUND, targets, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(targets.len(), 1);

    scene.memory.begin(action.chore());
    assert_eq!(scene.steps(), [""; 0], "while it is under way");
    let now = scene.snapshot.now_ms;
    scene.memory.end(&action.chore(), now);
    scene.probed(ROUND);
    scene.at(begin(ROUND) + 100);
    assert_eq!(scene.steps(), [""; 0], "once it is done");

    scene.at(begin(ROUND + 1));
    scene.fleet(ROUND + 1, &[0, 3], &[]);
    scene.votes(ROUND, &[0]);
    assert_eq!(scene.steps(), [format!("probe {}: 2", ROUND + 1)], "and the next one");
}

#[test]
fn probing_ends_before_the_round_does() {
    let mut scene = Scene::new();
    let time = |scene: &mut Scene| match scene.plan().actions.as_slice() {
        [Action::ProbeRound { time, .. }] => Some(*time),
        _ => None,
    };
    assert_eq!(time(&mut scene), Some(Duration::from_secs(597)));
    scene.at(begin(ROUND + 1) - 18);
    assert_eq!(time(&mut scene), Some(Duration::from_secs(15)));
    scene.at(begin(ROUND + 1) - 17);
    assert_eq!(time(&mut scene), None, "a hasty look is no look");
    scene.at(begin(ROUND));
    scene.policy.probe_for = Duration::from_secs(60);
    assert_eq!(time(&mut scene), Some(Duration::from_secs(60)));
}

#[test]
fn nothing_is_probed_from_slots_read_in_another_round() {
    let mut scene = Scene::new();
    scene.fleet(ROUND - 1, &[0], &[]);
    assert_eq!(scene.steps(), [""; 0]);
    scene.fleet(ROUND, &[], &[]);
    assert_eq!(scene.steps(), [""; 0], "nor a board without machines");
    scene.snapshot.boards[0].fleet = None;
    assert_eq!(scene.steps(), [""; 0], "nor slots that could not be read");
}

/// Votes of all three seats; the turns of seats 0, 1 and 2 come in an order that depends on the round.
fn close_scene(next_round: u32) -> Scene {
    let mut scene = vote_scene();
    scene.header().next_round = next_round;
    scene.votes(next_round, &[0, 1, 2]);
    scene.at(begin(next_round + 1) + 10);
    scene
}

#[test]
fn a_round_is_closed_as_soon_as_everybody_has_voted() {
    // 2,899,998 is a multiple of three: it begins with the first of three seats.
    let round = ROUND - 2;
    assert_eq!(round % 3, 0);
    let mut scene = close_scene(round);
    assert_eq!(scene.steps(), [format!("close {round}")]);
    scene.votes(round, &[0, 1]);
    scene.at(begin(round + 1) + i64::from(SUBMIT_SECS));
    assert_eq!(scene.steps(), [""; 0], "one may still vote");
    scene.at(begin(round + 1) + i64::from(SUBMIT_SECS) + 1);
    assert_eq!(scene.steps(), [format!("close {round}")], "nobody may any more");
}

#[test]
fn a_vacant_seat_is_not_waited_for() {
    let round = ROUND - 2;
    let mut scene = close_scene(round);
    scene.votes(round, &[0, 1]);
    assert_eq!(scene.steps(), [""; 0]);
    scene.header().seats[2].taken = 0;
    // Of two seats, it is the first one's turn in an even round.
    assert_eq!(scene.steps(), [format!("close {round}")]);
}

#[test]
fn turns_to_close_go_round_the_seats() {
    // Seat 0 comes first, last and second in three rounds in a row.
    for (round, turn) in [(ROUND - 2, 0), (ROUND - 1, 2), (ROUND, 1)] {
        let mut scene = close_scene(round);
        let plan = scene.plan();
        let wait = plan.wake_ms.filter(|_| plan.actions.is_empty()).map(|wake| wake - scene.snapshot.now_ms);
        assert_eq!(wait.unwrap_or_default(), turn * 3_000, "round {round}");
    }
}

#[test]
fn when_the_one_whose_turn_it_is_fails_the_next_one_closes() {
    // Seat 0 comes third, seconds 6 to 9 after the round can be closed.
    let round = ROUND - 1;
    let mut scene = close_scene(round);
    let plan = scene.plan();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.wake_ms, Some(scene.snapshot.now_ms + 6_000));
    scene.snapshot.now_ms += 5_999;
    assert_eq!(scene.steps(), [""; 0]);
    scene.snapshot.now_ms += 1;
    assert_eq!(scene.steps(), [format!("close {round}")]);
}

#[test]
fn a_turn_counts_anew_where_the_round_could_not_be_closed_in_between() {
    // Seat 0 comes third of three, or last of four.
    let round = ROUND - 1;
    let mut scene = close_scene(round);
    scene.plan();
    // Somebody takes a seat and may still vote.
    scene.sit(3, 7);
    scene.snapshot.now_ms += 5_000;
    assert_eq!(scene.steps(), [""; 0]);
    scene.votes(round, &[0, 1, 2, 3]);
    scene.snapshot.now_ms += 5_000;
    let plan = scene.plan();
    assert!(plan.actions.is_empty());
    let turn = i64::from((4 - round % 4) % 4);
    assert_eq!(plan.wake_ms, Some(scene.snapshot.now_ms + turn * 3_000));
}

#[test]
fn a_lost_race_is_not_run_again() {
    let round = ROUND - 2;
    let mut scene = close_scene(round);
    let chore = Chore::CloseRound { board: scene.board(), next_round: round };
    assert_eq!(scene.plan().actions[0].chore(), chore);
    scene.memory.begin(chore);
    assert_eq!(scene.steps(), [""; 0]);
    // Refused, since another keeper was faster; the node may not know that yet.
    let now = scene.snapshot.now_ms;
    scene.memory.end(&chore, now);
    scene.snapshot.now_ms += 500;
    assert_eq!(scene.steps(), [""; 0]);
    scene.snapshot.now_ms += 500;
    scene.header().next_round = round + 1;
    scene.votes(0, &[]);
    assert_eq!(scene.steps(), [""; 0]);
}

#[test]
fn keepers_without_a_seat_come_last_and_only_where_asked_to() {
    let round = ROUND - 2;
    let mut scene = close_scene(round);
    scene.sit(0, 9);
    assert_eq!(scene.steps(), [""; 0]);
    scene.policy.turn = Duration::ZERO;
    assert_eq!(scene.steps(), [""; 0]);
    scene.policy = Policy { crank: true, ..Policy::default() };
    let plan = scene.plan();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.wake_ms, Some(scene.snapshot.now_ms + 9_000));
    scene.snapshot.now_ms += 9_000;
    assert_eq!(scene.steps(), [format!("close {round}")]);
}

#[test]
fn turns_are_shorter_in_short_rounds() {
    let mut scene = close_scene(ROUND - 1);
    scene.header().round_secs = 10;
    scene.header().submit_secs = 5;
    let next_round = scene.header().next_round;
    scene.at((i64::from(next_round) + 1) * 10);
    // A quarter of ten seconds, cut in three.
    assert_eq!(scene.plan().wake_ms, Some(scene.snapshot.now_ms + 2 * 833));
}

#[test]
fn a_keeper_that_runs_once_waits_for_no_turn() {
    let mut scene = close_scene(ROUND - 1);
    scene.policy.turn = Duration::ZERO;
    assert_eq!(scene.steps(), [format!("close {}", ROUND - 1)]);
}

#[test]
fn rounds_without_votes_are_stepped_over_once_a_lease_waits_for_it() {
    let mut scene = vote_scene();
    scene.memory = Default::default();
    scene.policy.turn = Duration::ZERO;
    scene.header().next_round = ROUND - 10;
    let over = begin(ROUND - 4) + i64::from(SUBMIT_SECS) + 1;
    let lease_ends_with = |scene: &mut Scene, until| scene.fleet(ROUND - 4, &[], &[(1, until)]);

    scene.at(over);
    assert_eq!(scene.steps(), [""; 0], "nobody waits");
    lease_ends_with(&mut scene, ROUND - 3);
    assert_eq!(scene.steps(), [""; 0], "its last round runs");
    lease_ends_with(&mut scene, ROUND - 4);
    assert_eq!(scene.steps(), [format!("close {}", ROUND - 10)]);
    scene.at(over - 1);
    assert_eq!(scene.steps(), [""; 0], "somebody may still vote on its last round");
    scene.at(over);
    lease_ends_with(&mut scene, ROUND - 10);
    assert!(scene.steps().iter().all(|step| step.starts_with("settle")), "its rounds are all closed");
}

#[test]
fn rounds_without_votes_are_stepped_over_before_the_history_is_all_stale() {
    let mut scene = vote_scene();
    scene.memory = Default::default();
    scene.policy.turn = Duration::ZERO;
    scene.at(begin(ROUND) + i64::from(SUBMIT_SECS) + 1);
    scene.header().next_round = ROUND - 63;
    assert_eq!(scene.steps(), [""; 0]);
    scene.header().next_round = ROUND - 64;
    assert_eq!(scene.steps(), [format!("close {}", ROUND - 64)]);
}

#[test]
fn the_next_look_is_no_later_than_the_next_event() {
    let mut scene = Scene::new();
    scene.policy.probe = false;
    assert_eq!(scene.plan().wake_ms, Some(begin(ROUND + 1) * 1_000), "the next vote");
    scene.votes(ROUND - 1, &[0]);
    let over = begin(ROUND) + i64::from(SUBMIT_SECS) + 1;
    assert_eq!(scene.plan().wake_ms, Some(over * 1_000), "the end of this one");
}

#[test]
fn rounds_begin_at_the_boards_own_second() {
    let mut scene = vote_scene();
    scene.header().phase_secs = 250;
    for (second, planned) in [
        (begin(ROUND), vec![]),
        (begin(ROUND) + 249, vec![]),
        (begin(ROUND) + 250, vote()),
        (begin(ROUND) + 250 + i64::from(SUBMIT_SECS), vote()),
        (begin(ROUND) + 251 + i64::from(SUBMIT_SECS), vec![]),
    ] {
        scene.at(second);
        assert_eq!(scene.steps(), planned, "at {second}");
    }
    // The round that runs is probed until its end, not until that of another board's round.
    scene.policy.probe = true;
    scene.at(begin(ROUND) + 300);
    let plan = scene.plan();
    let time = plan.actions.iter().find_map(|action| match action {
        Action::ProbeRound { round: ROUND, time, .. } => Some(*time),
        _ => None,
    });
    assert_eq!(time, Some(Duration::from_secs(547)));
}
