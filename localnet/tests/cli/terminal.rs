//! The question before anything is signed, at a terminal.

use std::process::Command;

use rexpect::{
    process::WaitStatus,
    session::{PtySession, spawn_command},
};

use crate::stage::{Stage, binary};

/// Milliseconds in which each answer must come.
const PATIENCE: u64 = 30_000;
const QUESTION: &str = "Sign and send? [y/N] ";

fn ask(stage: &Stage, args: &str) -> PtySession {
    let mut command = Command::new(binary("leasehold"));
    command.args(args.split_whitespace()).envs(stage.env("supplier"));
    let mut session = spawn_command(command, Some(PATIENCE)).expect("a terminal");
    session.exp_string("At most:").expect("what it can cost comes before the question");
    session
}

fn code(mut session: PtySession) -> Option<i32> {
    session.exp_eof().expect("it ends");
    match session.process().wait().expect("a status") {
        WaitStatus::Exited(_, code) => Some(code),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_before_somebody_at_a_terminal_agrees() {
    let stage = Stage::new(&["supplier"]).await;
    let registered = async || {
        let supplier = stage.fetch().supplier(&stage.market.address, &stage.address("supplier")).await;
        supplier.expect("an answer").is_some()
    };
    for answer in ["n", "", "maybe"] {
        let mut session = ask(&stage, "supplier register");
        session.exp_string(QUESTION).expect("the question");
        session.send_line(answer).expect("an answer");
        session.exp_string("not signed: nobody agreed").expect("the reason");
        assert_eq!(code(session), Some(4), "{answer:?}");
    }
    assert!(!registered().await);

    let mut session = ask(&stage, "supplier register");
    session.exp_string(QUESTION).expect("the question");
    session.send_line("y").expect("an answer");
    session.exp_string("Signature: ").expect("what was sent");
    assert_eq!(code(session), Some(0));
    assert!(registered().await);

    // At a terminal, too, nobody is asked who has agreed already or sends nothing.
    for (args, code_of) in [("supplier stake 5 --yes", 0), ("supplier stake 5 --dry-run", 0)] {
        let mut session = ask(&stage, args);
        let rest = session.exp_eof().expect("it ends");
        assert!(!rest.contains(QUESTION), "{rest}");
        assert_eq!(code(session), Some(code_of));
    }
}
