use super::*;

#[test]
fn forged_and_missing_receipts_differ_from_what_could_not_be_read() {
    let forged = Failure::from(RecordError::NotInBatch);
    assert_eq!(forged.code(), 1);
    assert_eq!(forged.to_string(), "not proved: the receipt is not in the batch: ask another archive");
    assert_eq!(Failure::from(ArchiveError::Unknown { id: "00".to_owned() }).code(), 1);
    assert_eq!(Failure::from(ArchiveError::TooLarge).code(), 2);
    assert_eq!(Failure::from(FetchError::Clock).code(), 2);
    assert_eq!(Failure::NoSalt.code(), 2);
    let error = RecordError::Base64;
    assert_eq!(Failure::NoReceipt { path: "x".into(), error }.code(), 2);
}

#[test]
fn a_voucher_that_was_sent_differs_from_one_that_was_not() {
    let url = || "http://127.0.0.1:1".parse().unwrap();
    let unreachable = || NodeError::Unreachable { url: url(), error: "Connection refused".to_owned() };
    assert_eq!(Failure::from(unreachable()).code(), 2);
    assert_eq!(Failure::from(NodeError::Unacknowledged(Box::new(unreachable()))).code(), 5);
}

#[test]
fn what_was_refused_differs_from_what_nobody_agreed_to() {
    let refusal = Refusal::from(leasehold::error::LeaseholdError::NotEnoughGpus);
    assert_eq!(Failure::from(refusal).code(), 3);
    let with = Failure::rule(refusal, "3 fit, and 5 are asked for");
    assert_eq!((with.code(), with.refusal()), (3, Some(refusal)));
    assert_eq!(with.to_string(), format!("{refusal} (3 fit, and 5 are asked for)"));
    assert_eq!((Failure::Declined.code(), Failure::NoTerminal.code()), (4, 4));
    assert!(Failure::NoTerminal.to_string().contains("--yes"));
    assert_eq!(Failure::Unknown { copies: vec![Signature::default()] }.code(), 5);
    assert_eq!(Failure::Config(ConfigError::NoHome).code(), 2);
    assert_eq!(Failure::Interrupted.code(), 130);
}

#[test]
fn what_was_offered_before_a_stop_is_named() {
    let offered = vec![Signature::from([1; 64]), Signature::from([2; 64])];
    let names = format!("{}, {}: look each up", offered[0], offered[1]);
    let stopped = Failure::Stopped { done: 1, of: 4, offered: offered.clone() };
    assert_eq!(stopped.code(), 5);
    let text = stopped.to_string();
    assert!(text.starts_with("stopped: 1 of 4 transactions") && text.contains(&names), "{text}");
    let anew = Failure::Unknown { copies: offered }.to_string();
    assert!(anew.contains(&names), "{anew}");
}
