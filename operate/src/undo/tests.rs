use anchor_lang::Discriminator;
use leasehold::instruction::CancelLease;
use leasehold_client::sample;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::*;
use crate::{
    amount::Token,
    executor::script::{Script, address, no_word, receipt, refusal},
    plan::Plan,
    send::tests::run,
};

/// The lease that a part opens: 20 rounds of ten minutes for 2,400.
fn lease(number: u32) -> Lease {
    Lease { group: Some(5), ..sample::lease(number) }
}

/// The same, cancelled in its first round: 19 rounds are left, of which 5 percent are 570 seconds.
fn cancelled(number: u32) -> Lease {
    let mut lease = lease(number);
    (lease.state, lease.until) = (LeaseState::Cancelled, lease.from + 1);
    lease
}

pub fn undo(number: u32) -> Undo {
    let token = Token { mint: Pubkey::default(), decimals: 0 };
    let data = CancelLease::DISCRIMINATOR.to_vec();
    let cancel = Instruction { program_id: leasehold::ID, accounts: vec![], data };
    let (lease, what) = (lease(number), format!("cancel part {number}"));
    Undo {
        what,
        instructions: vec![cancel],
        leases: vec![address(&lease)],
        owner: lease.owner,
        group: 5,
        market: sample::market().address,
        deposit: token.money(2_400),
    }
}

/// Three parts, each a transaction of its own.
pub fn plan() -> Plan {
    let plan = Plan::new("Open").step("one", vec![]).step("two", vec![]).step("three", vec![]);
    let mut plan = plan;
    for (step, number) in plan.steps.iter_mut().zip(1..) {
        step.undo = Some(undo(number));
    }
    plan
}

pub fn opened(parts: u32) -> Script {
    (1..=parts).fold(Script::default(), |script, part| script.then(Ok(receipt(1)), &[lease(part)]))
}

#[tokio::test]
async fn parts_that_all_open_stay_open() {
    let script = opened(3);
    let (ended, done) = run(&script, &plan()).await;
    assert!(ended.is_ok());
    assert_eq!((done.len(), script.sent.get(), script.simulated.get()), (3, 3, 3));
}

#[tokio::test]
async fn what_is_refused_for_certain_is_refused_before_anything_is_sent() {
    let script = Script::that_refuses();
    let (ended, done) = run(&script, &plan()).await;
    assert_eq!((ended.unwrap_err().code(), done.len(), script.sent.get()), (3, 0, 0));
}

#[tokio::test]
async fn a_part_that_fails_first_leaves_nothing_to_undo() {
    let (ended, done) = run(&Script::default().then(Err(refusal()), &[]), &plan()).await;
    assert!(matches!(ended, Err(Failure::Refused(_))) && done.is_empty());
}

#[tokio::test]
async fn a_part_that_fails_has_the_others_cancelled_the_last_first() {
    let script = opened(2).then(Err(refusal()), &[]);
    let script = script.then(Ok(receipt(2)), &[cancelled(2)]).then(Ok(receipt(3)), &[cancelled(1)]);
    let (ended, done) = run(&script, &plan()).await;
    let undone = ended.unwrap_err();
    // A round of 600 seconds and 570 seconds, of 12,000 that cost 2,400, and that twice.
    assert!(
        matches!(&undone, Failure::Undone { cost, flags: GroupFlags { group: 5, .. }, .. } if cost.amount == 2 * 234)
    );
    assert_eq!((undone.code(), done.len()), (3, 4));
    let text = undone.to_string();
    assert!(text.contains("The leases opened"), "{text}");
    assert!(text.contains("costs 468 of ") && text.contains("--group 5"), "{text}");
    let told = |number, part: &str| Transaction::confirmed(part, &receipt(number));
    assert_eq!(done[2..], [told(2, "cancel part 2"), told(3, "cancel part 1")]);
}

#[tokio::test]
async fn a_node_that_is_behind_leaves_all_that_was_deposited_as_the_cost() {
    let script = opened(1).then(Err(refusal()), &[]).then(Ok(receipt(2)), &[]);
    let undone = run(&script, &plan()).await.0.unwrap_err();
    assert!(matches!(undone, Failure::Undone { cost, .. } if cost.amount == 2_400));
}

#[tokio::test]
async fn what_can_not_be_cancelled_is_named() {
    let script = opened(2).then(Err(refusal()), &[]);
    let script = script.then(Err(refusal()), &[]).then(Ok(receipt(3)), &[cancelled(1)]);
    let (ended, done) = run(&script, &plan()).await;
    let failure = ended.unwrap_err();
    let Failure::NotUndone { open, unknown, .. } = &failure else { panic!("{failure}") };
    assert_eq!((&open[..], unknown.len()), (&[address(&lease(2))][..], 0));
    assert_eq!((failure.code(), done.len()), (5, 3), "the other one is cancelled all the same");
    assert!(
        failure.to_string().contains("cancel each of these by `leasehold lease cancel ADDRESS`"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_cancellation_without_word_is_looked_up() {
    let script = opened(1).then(Err(refusal()), &[]).then(Err(no_word()), &[cancelled(1)]);
    assert!(matches!(run(&script, &plan()).await.0, Err(Failure::Undone { .. })));
    let script = opened(1).then(Err(refusal()), &[]).then(Err(no_word()), &[]);
    assert_eq!(run(&script, &plan()).await.0.unwrap_err().code(), 5, "still open");
}

#[tokio::test]
async fn a_part_without_word_whose_leases_are_there_is_done() {
    let script = opened(1).then(Err(no_word()), &[lease(2)]).then(Ok(receipt(3)), &[lease(3)]);
    let (ended, done) = run(&script, &plan()).await;
    assert!(ended.is_ok() && done.len() == 3);
}

#[tokio::test]
async fn a_part_that_was_signed_again_names_no_copy_as_the_effective_one() {
    let earlier = solana_signature::Signature::from([8; 64]);
    let script = opened(1).then(Err(no_word()), &[lease(2)]).then(Ok(receipt(3)), &[lease(3)]);
    let (ended, done) = run(&script.signed_before(earlier), &plan()).await;
    assert!(ended.is_ok());
    let last = solana_signature::Signature::from([9; 64]);
    assert_eq!(done[1].to_string(), format!("Signature: one of {earlier}, {last}"));
    let json = serde_json::to_value(&done).unwrap();
    assert_eq!(json[1]["signature"], serde_json::Value::Null);
    assert_eq!(json[1]["copies"], serde_json::json!([earlier.to_string(), last.to_string()]));
    assert!(json[0].get("copies").is_none(), "others have one");
}

#[tokio::test]
async fn a_part_without_word_that_opens_late_is_cancelled_as_well() {
    let script = opened(1).then(Err(no_word()), &[]);
    let script = script.then(Ok(receipt(2)), &[cancelled(1), lease(2)]);
    let script = script.then(Ok(receipt(3)), &[cancelled(2)]);
    let (ended, done) = run(&script, &plan()).await;
    assert!(matches!(ended, Err(Failure::Undone { cost, .. }) if cost.amount == 2 * 234));
    assert_eq!(done.len(), 3);
}

#[tokio::test]
async fn a_part_without_word_and_without_leases_stays_unknown() {
    let script = opened(1).then(Err(no_word()), &[]).then(Ok(receipt(2)), &[cancelled(1)]);
    let failure = run(&script, &plan()).await.0.unwrap_err();
    let Failure::NotUndone { open, unknown, .. } = &failure else { panic!("{failure}") };
    assert_eq!((open.len(), &unknown[..]), (0, &[address(&lease(2))][..]));
    assert_eq!(failure.code(), 5);
}

#[tokio::test]
async fn leases_of_others_are_never_taken_for_the_buyers() {
    // At an address of the buyer's, so by the buyer's nonce.
    let foreign = Lease { owner: sample::wallet(1), ..lease(2) };
    let other = Lease { group: Some(6), ..lease(2) };
    for stranger in [foreign, other] {
        let script = opened(1).then(Err(no_word()), &[stranger]).then(Ok(receipt(2)), &[cancelled(1)]);
        let failure = run(&script, &plan()).await.0.unwrap_err();
        assert!(failure.to_string().contains("came too late"), "{failure}");
        assert_eq!((failure.code(), script.sent.get()), (3, 3), "only the first is cancelled");
    }
}

/// A node that says of a transaction that it took effect need not tell the truth.
#[tokio::test]
async fn what_is_not_known_for_a_lease_of_the_plan_is_not_cancelled() {
    let earlier = Lease { group: Some(4), ..lease(1) };
    let nothing: &[Lease] = &[];
    for found in [std::slice::from_ref(&earlier), nothing] {
        let script = Script::default().then(Ok(receipt(1)), found).then(Err(refusal()), &[]);
        let failure = run(&script, &plan()).await.0.unwrap_err();
        let Failure::NotUndone { open, unknown, .. } = &failure else { panic!("{failure}") };
        assert_eq!((open.len(), &unknown[..]), (0, &[address(&lease(1))][..]));
        assert_eq!((failure.code(), script.sent.get()), (5, 2), "nothing is cancelled");
    }
}

#[tokio::test]
async fn a_lease_that_was_there_before_is_never_taken_for_one_of_the_plan() {
    // The same wallet's, by the same number, from another terminal.
    let script = Script::default().with(&[lease(2)]);
    let (ended, done) = run(&script, &plan()).await;
    let failure = ended.unwrap_err();
    assert!(failure.to_string().contains("has opened a lease with that nonce"), "{failure}");
    assert_eq!((failure.code(), done.len(), script.sent.get()), (3, 0, 0));
}

#[tokio::test]
async fn what_is_cancelled_already_is_not_cancelled_again() {
    let script = Script::default().then(Ok(receipt(1)), &[cancelled(1)]).then(Err(refusal()), &[]);
    let undone = run(&script, &plan()).await.0.unwrap_err();
    assert!(matches!(undone, Failure::Undone { cost, .. } if cost.amount == 234), "{undone}");
    assert_eq!(script.sent.get(), 2);
}
