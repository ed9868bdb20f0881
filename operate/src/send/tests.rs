use std::slice;

use leasehold_client::sample;

use super::*;
use crate::executor::script::{Script, address, receipt, refusal};

pub async fn run(script: &Script, plan: &Plan) -> (Result<(), Failure>, Vec<Transaction>) {
    let mut done = Vec::new();
    let checked = if plan.is_undone() { check(script, plan).await } else { Ok(()) };
    let ended = match checked {
        Ok(()) => send(script, plan, &mut done).await,
        refused => refused,
    };
    (ended, done)
}

fn settled(settled: u32, state: LeaseState) -> Lease {
    Lease { machines: 6_000, unsettled: 6_000 - settled, state, ..sample::lease(1) }
}

fn settling() -> Plan {
    let mut plan = Plan::new("Settle").step("settle lease", vec![]);
    plan.steps[0].again = Some(Again { lease: address(&sample::lease(1)), most: 6 });
    plan
}

#[tokio::test]
async fn a_lease_is_settled_until_it_is_settled() {
    let script = Script::default()
        .then(Ok(receipt(1)), &[settled(2_500, LeaseState::Open)])
        .then(Ok(receipt(2)), &[settled(5_000, LeaseState::Open)])
        .then(Ok(receipt(3)), &[settled(6_000, LeaseState::Settled)]);
    let (ended, done) = run(&script, &settling()).await;
    assert!(ended.is_ok() && script.simulated.get() == 0);
    assert_eq!(done, [1, 2, 3].map(|number| Transaction::confirmed("settle lease", &receipt(number))));
}

#[tokio::test]
async fn settling_stops_where_it_does_not_go_on() {
    let stuck = settled(2_500, LeaseState::Open);
    let script = Script::default().then(Ok(receipt(1)), slice::from_ref(&stuck));
    let script = script.then(Ok(receipt(2)), slice::from_ref(&stuck));
    let (ended, done) = run(&script, &settling()).await;
    let partial = ended.unwrap_err();
    assert_eq!((partial.code(), done.len()), (5, 2), "not known to be done");
    assert!(partial.to_string().contains("3500 machines are not known to be settled"), "{partial}");
    let script = Script::default().then(Ok(receipt(1)), &[stuck]).then(Err(refusal()), &[]);
    let (ended, done) = run(&script, &settling()).await;
    let partial = ended.unwrap_err();
    assert_eq!((partial.code(), done.len()), (5, 1));
    assert!(partial.to_string().starts_with("1 of 6 transactions took effect"), "{partial}");
}

#[tokio::test]
async fn a_step_that_fails_ends_a_plan() {
    let plan = Plan::new("Two").step("one", vec![]).step("two", vec![]);
    let (first, done) = run(&Script::default().then(Err(refusal()), &[]), &plan).await;
    assert_eq!((first.unwrap_err().code(), done.len()), (3, 0));
    let script = Script::default().then(Ok(receipt(1)), &[]).then(Err(refusal()), &[]);
    let (second, done) = run(&script, &plan).await;
    assert_eq!((second.unwrap_err().code(), done.len()), (5, 1));
}

#[tokio::test]
async fn a_dry_run_sends_nothing() {
    let (script, mut done) = (Script::default(), Vec::new());
    let plan = Plan::new("Two").step("one", vec![]).step("two", vec![]);
    assert!(rehearse(&script, &plan, &mut done).await.is_ok());
    assert_eq!((script.sent.get(), done.len()), (0, 2));
    assert_eq!(done[0].to_string(), "Simulated: one, 9 compute units");
}
