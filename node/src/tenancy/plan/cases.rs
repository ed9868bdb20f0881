//! Single decisions of the planner.

use super::*;
use crate::tenancy::sample::{BEGINS, ENDS, key, lease, prepared, room, sight};

/// A look at a time of the cluster; the chain was read.
fn look(now: i64) -> Look {
    Look { now, at: Duration::from_secs(1_000), is_read: true, ..Look::default() }
}

fn finalized(slot: u64, now: i64, lease: Option<Lease>) -> Option<Finalized> {
    Some(Finalized { slot, now, lease })
}

/// A machine, what was done to it, and all steps that follow one look. Every step succeeds.
#[derive(Clone, Default)]
struct Machine {
    record: Record,
    runtime: Runtime,
}

impl Machine {
    fn serving(lease: &Lease) -> Self {
        let mut machine = Machine { record: prepared(lease), runtime: Runtime::default() };
        machine.steps(&look(BEGINS + 10));
        machine
    }

    fn sees(&mut self, slot: u64, lease: Option<Lease>) -> &mut Self {
        self.record.observe(sight(slot, lease));
        self
    }

    fn plan(&mut self, look: &Look) -> Plan {
        plan(&self.record, &mut self.runtime, look)
    }

    fn steps(&mut self, look: &Look) -> Vec<&'static str> {
        let mut names = Vec::new();
        while let Some(action) = self.plan(look).next {
            before(&mut self.record, &action);
            names.push(match &action {
                Action::Begin { wipe: true, .. } => "begin anew",
                Action::Begin { wipe: false, .. } => "begin again",
                Action::End { .. } => "end",
                Action::Admit(_) => "admit",
                Action::Shut => "shut",
                Action::Freeze(_) => "freeze",
                Action::Thaw(_) => "thaw",
            });
            after(&mut self.record, &mut self.runtime, &action, Some(room()));
            assert!(names.len() < 20, "{names:?}");
        }
        names
    }

    fn keys(&self) -> Option<(u8, u32)> {
        self.runtime.pass.as_ref().map(|pass| (pass.access.0[0], pass.access_epoch))
    }
}

#[test]
fn a_lease_is_prepared_before_it_begins_and_let_in_when_it_begins() {
    let mut machine = Machine::default();
    assert_eq!(
        (machine.steps(&look(0)), machine.plan(&look(0)).answers),
        (vec![], false),
        "the chain was not read"
    );
    machine.sees(9, None);
    assert!(machine.plan(&look(0)).answers);
    machine.sees(10, Some(lease(5)));
    let early = look(BEGINS - 100);
    assert!(machine.plan(&early).answers, "the lease has not begun");
    assert!(!machine.plan(&look(BEGINS)).answers, "it has begun, and nothing is prepared");
    assert_eq!(machine.steps(&early), ["begin anew", "thaw"]);
    assert_eq!(machine.steps(&look(BEGINS)), ["admit"]);
    assert!(machine.plan(&look(BEGINS)).answers);
    assert_eq!(machine.keys(), Some((1, 0)));
}

#[test]
fn a_begin_hook_that_fails_is_tried_again_and_the_machine_stays_dark() {
    let mut machine = Machine::default();
    machine.sees(10, Some(lease(5)));
    let now = look(BEGINS + 1);
    failed(&mut machine.runtime, now.at, Duration::from_secs(5));
    assert_eq!((machine.plan(&now).next, machine.plan(&now).answers), (None, false));
    let later = Look { at: now.at + Duration::from_secs(5), ..now };
    assert_eq!(machine.steps(&later), ["begin anew", "thaw", "admit"]);
    assert!(machine.plan(&later).answers);
}

#[test]
fn the_end_shuts_and_freezes_at_once_and_wipes_when_it_is_finalized() {
    let mut machine = Machine::serving(&lease(5));
    assert!(machine.plan(&look(ENDS - 1)).next.is_none());
    let end = look(ENDS);
    assert_eq!(machine.steps(&end), ["shut", "freeze"]);
    assert_eq!(machine.plan(&end).awaits.unwrap().lease, lease(5).id);
    let early = Look { finalized: finalized(20, ENDS - 1, Some(lease(5))), ..look(ENDS) };
    assert!(machine.steps(&early).is_empty(), "it is not over there");
    let older = Look { finalized: finalized(9, ENDS, None), ..look(ENDS) };
    assert!(machine.steps(&older).is_empty(), "the lease was not opened yet there");
    let over = Look { finalized: finalized(20, ENDS, Some(lease(5))), ..look(ENDS) };
    assert_eq!(machine.steps(&over), ["end"]);
    assert_eq!(machine.record.stage, Stage::Clean);
}

#[test]
fn an_extension_seen_after_the_end_thaws_and_lets_in_again() {
    let mut machine = Machine::serving(&lease(5));
    assert_eq!(machine.steps(&look(ENDS)), ["shut", "freeze"]);
    machine.sees(11, Some(Lease { ends: ENDS + 600, ..lease(5) }));
    assert_eq!(machine.steps(&look(ENDS + 1)), ["thaw", "admit"]);
}

#[test]
fn an_extension_in_time_renews_and_cuts_nobody() {
    let mut machine = Machine::serving(&lease(5));
    machine.sees(11, Some(Lease { ends: ENDS + 600, ..lease(5) }));
    assert_eq!(machine.steps(&look(ENDS - 1)), ["admit"]);
    assert!(machine.steps(&look(ENDS)).is_empty());
}

#[test]
fn a_lease_that_was_over_stays_over_while_the_clock_of_a_halted_cluster_wavers() {
    let mut machine = Machine::serving(&lease(5));
    assert_eq!(machine.steps(&look(ENDS)), ["shut", "freeze"]);
    for now in [ENDS - 3, ENDS, ENDS - 3] {
        assert!(machine.steps(&look(now)).is_empty());
    }
    assert_eq!(machine.steps(&look(ENDS - SLACK - 1)), ["thaw", "admit"], "the clock was wrong");
}

#[test]
fn before_the_end_nothing_changes_while_the_rpc_node_is_away_and_after_it_the_door_is_shut() {
    let mut machine = Machine::serving(&lease(5));
    let away = |now| Look { is_read: false, ..look(now) };
    assert!(machine.steps(&away(ENDS - 1)).is_empty());
    // A node that starts then lets in whom the record names.
    machine.runtime = Runtime::default();
    assert_eq!(machine.steps(&away(ENDS - 1)), ["thaw", "admit"]);
    assert!(machine.plan(&away(ENDS - 1)).answers);
    assert_eq!(machine.steps(&away(ENDS)), ["shut", "freeze"]);
    assert!(!machine.plan(&away(ENDS)).answers, "nobody knows whether it is in another lease");
}

#[test]
fn a_lease_that_ends_early_is_over_with_its_round_and_a_forfeited_machine_at_once() {
    let mut machine = Machine::serving(&lease(5));
    // Cancelled, replaced or given notice: the slot names an earlier end.
    machine.sees(11, Some(Lease { ends: BEGINS + 600, ..lease(5) }));
    assert_eq!(machine.steps(&look(BEGINS + 599)), ["admit"], "a shorter certificate");
    assert_eq!(machine.steps(&look(BEGINS + 600)), ["shut", "freeze"]);
    let mut machine = Machine::serving(&lease(5));
    machine.sees(11, None);
    assert_eq!(machine.steps(&look(BEGINS + 11)), ["shut", "freeze"]);
}

#[test]
fn another_key_cuts_the_former_one_even_if_the_door_refuses_the_new_one() {
    let mut machine = Machine::serving(&lease(5));
    machine.sees(11, Some(Lease { access: Some(key(2)), access_epoch: 1, ..lease(5) }));
    let now = look(BEGINS + 20);
    assert_eq!(machine.clone().steps(&now), ["shut", "admit"]);
    assert_eq!(machine.plan(&now).next, Some(Action::Shut));
    after(&mut machine.record, &mut machine.runtime, &Action::Shut, None);
    refused(&mut machine.runtime, now.at, Duration::from_secs(1));
    assert_eq!((machine.plan(&now).next, machine.keys()), (None, None));
    let later = Look { at: now.at + Duration::from_secs(1), ..now };
    machine.steps(&later);
    assert_eq!(machine.keys(), Some((2, 1)));
}

#[test]
fn the_same_key_in_another_epoch_cuts_too() {
    let mut machine = Machine::serving(&lease(5));
    machine.sees(11, Some(Lease { access_epoch: 1, ..lease(5) }));
    assert_eq!(machine.steps(&look(BEGINS + 20)), ["shut", "admit"]);
}

#[test]
fn a_transfer_shuts_and_freezes_until_the_new_owner_says_who_gets_in() {
    let transferred = Lease { access: None, access_epoch: 1, ..lease(5) };
    for wipe in [false, true] {
        let mut machine = Machine::serving(&lease(5));
        let now = look(BEGINS + 20);
        machine.sees(11, Some(transferred.clone()));
        assert_eq!(machine.steps(&now), ["shut", "freeze"]);
        assert!(machine.plan(&now).answers && machine.plan(&now).awaits.is_none());
        let data_epoch = if wipe { 2 } else { 0 };
        let set = Lease { access: Some(key(2)), access_epoch: 2, data_epoch, ..lease(5) };
        machine.sees(12, Some(set.clone()));
        if wipe {
            assert!(machine.steps(&now).is_empty(), "the wipe is not final");
            let final_now = Look { finalized: finalized(13, BEGINS + 20, Some(set)), ..now.clone() };
            assert_eq!(machine.steps(&final_now), ["end", "begin anew", "thaw", "admit"]);
            assert!(machine.plan(&now).answers);
        } else {
            assert_eq!(machine.steps(&now), ["thaw", "admit"]);
        }
        assert_eq!(machine.keys(), Some((2, 2)));
    }
}

#[test]
fn an_owner_that_has_its_data_wiped_does_not_take_the_machine_down() {
    let mut machine = Machine::serving(&lease(5));
    let wiped = Lease { access_epoch: 1, data_epoch: 1, ..lease(5) };
    machine.sees(11, Some(wiped.clone()));
    let now = Look { finalized: finalized(12, BEGINS + 20, Some(wiped)), ..look(BEGINS + 20) };
    let mut steps = Vec::new();
    while let Some(action) = machine.plan(&now).next {
        before(&mut machine.record, &action);
        assert!(machine.plan(&now).answers, "while {action:?} runs");
        after(&mut machine.record, &mut machine.runtime, &action, Some(room()));
        steps.push(action);
    }
    assert_eq!(steps.len(), 5, "{steps:?}");
    let Stage::Prepared { tenancy, .. } = &machine.record.stage else { panic!() };
    assert_eq!(tenancy.data_epoch, 1);
    // But a machine whose hook fails serves nobody.
    machine.sees(12, Some(Lease { access_epoch: 2, data_epoch: 2, ..lease(5) }));
    failed(&mut machine.runtime, now.at, Duration::from_secs(5));
    assert!(!machine.plan(&now).answers);
}

#[test]
fn a_lease_without_a_key_is_prepared_and_lets_nobody_in() {
    let mut machine = Machine::default();
    machine.sees(10, Some(Lease { access: None, ..lease(5) }));
    assert_eq!(machine.steps(&look(BEGINS + 1)), ["begin anew", "thaw"]);
    assert!(machine.plan(&look(BEGINS + 1)).answers && machine.keys().is_none());
    machine.sees(11, Some(Lease { access_epoch: 1, ..lease(5) }));
    assert_eq!(machine.steps(&look(BEGINS + 2)), ["admit"]);
}

#[test]
fn two_leases_in_a_row_are_wiped_between_them_though_the_node_slept() {
    let mut machine = Machine::serving(&lease(5));
    machine.runtime = Runtime::default();
    let next = Lease { begins: ENDS + 600, ends: ENDS + 1_200, ..lease(6) };
    machine.sees(50, Some(next));
    let asleep = look(ENDS + 700);
    assert_eq!(machine.steps(&asleep), ["freeze"]);
    assert!(!machine.plan(&asleep).answers);
    let now = Look { finalized: finalized(49, ENDS + 690, None), ..asleep };
    assert_eq!(machine.steps(&now), ["end", "begin anew", "thaw", "admit"]);
}

#[test]
fn an_end_hook_that_has_begun_is_finished_whatever_the_chain_says() {
    let mut machine = Machine::serving(&lease(5));
    let over = Look { finalized: finalized(20, ENDS, None), ..look(ENDS) };
    machine.steps(&look(ENDS));
    let action = machine.plan(&over).next.unwrap();
    assert!(matches!(action, Action::End { .. }) && before(&mut machine.record, &action));
    machine.runtime = Runtime::default();
    machine.sees(21, Some(Lease { ends: ENDS + 600, ..lease(5) }));
    assert_eq!(machine.steps(&look(ENDS))[..2], ["end", "begin anew"]);
}

#[test]
fn a_paused_tenant_is_shut_out_and_frozen() {
    let mut machine = Machine::serving(&lease(5));
    let paused = Look { is_paused: true, ..look(BEGINS + 20) };
    assert_eq!(machine.steps(&paused), ["shut", "freeze"]);
    assert!(machine.plan(&paused).answers);
    assert_eq!(machine.steps(&look(BEGINS + 30)), ["thaw", "admit"]);
}

#[test]
fn a_host_that_was_started_anew_begins_again_without_a_wipe() {
    let mut machine = Machine::serving(&lease(5));
    machine.runtime = Runtime::default();
    machine.record.rebooted("another");
    let now = look(BEGINS + 20);
    assert!(!machine.plan(&now).answers);
    assert_eq!(machine.steps(&now), ["begin again", "thaw", "admit"]);
    assert!(machine.plan(&now).answers);
}
