use leasehold_client::sender::SendError;
use solana_instruction::Instruction;
use solana_signature::Signature;

use super::*;
use crate::{
    executor::script::{Script, no_word, receipt, refusal},
    send::{self, rehearse, tests::run},
};

/// Transactions that can be sent in any order.
fn plan(parts: usize) -> Plan {
    let instruction = Instruction { program_id: leasehold::ID, accounts: vec![], data: vec![] };
    Plan::new("List").steps("list", vec![instruction; parts])
}

/// A node on which these fail, by their places, of so many transactions.
fn node<const N: usize>(parts: u8, failures: [(u8, SendError); N]) -> Script {
    let mut failures = Vec::from(failures);
    (0..parts).fold(Script::default(), |script, place| {
        match failures.iter().position(|(failing, _)| *failing == place) {
            Some(found) => script.then(Err(failures.remove(found).1), &[]),
            None => script.then(Ok(receipt(place)), &[]),
        }
    })
}

fn unconfirmed(number: u8) -> SendError {
    SendError::Unconfirmed { signature: Signature::from([number; 64]) }
}

#[tokio::test]
async fn all_are_sent_eight_at_a_time_and_reported_in_the_plans_order() {
    let script = node(20, []);
    let (ended, done) = run(&script, &plan(20)).await;
    assert!(ended.is_ok());
    assert_eq!((script.sent.get(), script.most_flying.get(), script.simulated.get()), (20, 8, 0));
    let expected = (0..20u8)
        .map(|place| Transaction::confirmed(&format!("list, part {} of 20", place + 1), &receipt(place)));
    assert_eq!(done, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn those_that_follow_each_other_are_sent_one_at_a_time() {
    let script = node(3, []);
    let (ended, _) = run(&script, &plan(2).step("then", vec![])).await;
    assert!(ended.is_ok());
    assert_eq!((script.sent.get(), script.most_flying.get()), (3, 1));
}

#[tokio::test]
async fn none_is_begun_after_one_has_failed_and_those_on_their_way_are_waited_for() {
    let script = node(40, [(11, refusal())]);
    let (ended, done) = run(&script, &plan(40)).await;
    let sent = script.sent.get();
    assert!(sent < 20, "{sent}");
    assert_eq!((script.begun_late.get(), done.len()), (0, sent - 1));
    assert!(done.iter().all(|transaction| transaction.what != "list, part 12 of 40"));
    let partial = ended.unwrap_err();
    assert_eq!(partial.code(), 5);
    let text = partial.to_string();
    assert!(text.starts_with(&format!("{} of 40 transactions took effect, then: ", sent - 1)), "{text}");
    assert!(!text.contains("unknown too"), "{text}");
}

#[tokio::test]
async fn those_of_which_nothing_is_known_are_named_beside_what_was_refused() {
    let script = node(8, [(1, unconfirmed(41)), (3, refusal()), (5, unconfirmed(42))]);
    let (ended, done) = run(&script, &plan(8)).await;
    let partial = ended.unwrap_err();
    assert_eq!((partial.code(), done.len()), (5, 5));
    let text = partial.to_string();
    for number in [41, 42] {
        assert!(text.contains(&Signature::from([number; 64]).to_string()), "{text}");
    }
    assert!(text.contains("Fewer GPUs fit than were asked for"), "{text}");
}

#[tokio::test]
async fn nothing_known_of_one_is_uncertain_where_nothing_took_effect_too() {
    let (ended, done) = run(&node(2, [(0, no_word()), (1, refusal())]), &plan(2)).await;
    let failure = ended.unwrap_err();
    assert_eq!((failure.code(), done.len()), (5, 0));
    assert!(failure.to_string().contains(&Signature::from([9; 64]).to_string()), "{failure}");
    let (ended, _) = run(&node(2, [(0, unconfirmed(41)), (1, unconfirmed(42))]), &plan(2)).await;
    let text = ended.unwrap_err().to_string();
    for number in [41, 42] {
        assert_eq!(text.matches(&Signature::from([number; 64]).to_string()).count(), 1, "{text}");
    }
}

#[tokio::test]
async fn where_all_are_refused_nothing_changed() {
    let (ended, done) = run(&node(2, [(0, refusal()), (1, refusal())]), &plan(2)).await;
    assert_eq!((ended.unwrap_err().code(), done.len()), (3, 0));
}

#[tokio::test]
async fn a_dry_run_simulates_eight_at_a_time_and_tells_them_in_the_plans_order() {
    let (script, mut done) = (Script::default(), Vec::new());
    assert!(rehearse(&script, &plan(20), &mut done).await.is_ok());
    assert_eq!((script.sent.get(), script.simulated.get(), script.most_flying.get()), (0, 20, 8));
    let expected = (1..=20).map(|part| Transaction::simulated(&format!("list, part {part} of 20"), 9));
    assert_eq!(done, expected.collect::<Vec<_>>());
    let script = Script::that_refuses();
    let refused = rehearse(&script, &plan(20), &mut Vec::new()).await.unwrap_err();
    assert_eq!((refused.code(), script.simulated.get(), script.begun_late.get()), (3, 8, 0));
}

#[tokio::test]
async fn what_took_effect_before_a_stop_is_known() {
    let (script, mut done, plan) = (node(20, []), Vec::new(), plan(20));
    let some_time = async {
        for _ in 0..12 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = send::send(&script, &plan, &mut done) => panic!("it was not stopped"),
        () = some_time => {}
    }
    assert!(!done.is_empty() && done.len() < script.sent.get(), "{} of {}", done.len(), script.sent.get());
}
