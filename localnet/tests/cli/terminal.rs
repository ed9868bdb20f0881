//! The question before signing, and live views, at a terminal.

use std::process::Command;

use rexpect::{
    process::WaitStatus,
    session::{PtySession, spawn_command},
};

use crate::stage::{Stage, binary};

/// Milliseconds within which each expected text must come; far more than a busy machine needs.
const TIMEOUT: u64 = 300_000;
const QUESTION: &str = "Sign and send? [y/N] ";

fn ask(stage: &Stage, args: &str) -> PtySession {
    let mut command = Command::new(binary("leasehold"));
    command.args(args.split_whitespace()).envs(stage.env("supplier"));
    let mut session = spawn_command(command, Some(TIMEOUT)).expect("a terminal");
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
async fn nothing_is_signed_at_a_terminal_before_it_is_confirmed() {
    let stage = Stage::new(&["supplier"]).await;
    let registered = async || {
        let supplier = stage.fetch().supplier(&stage.market.address, &stage.address("supplier")).await;
        supplier.expect("an answer").is_some()
    };
    for answer in ["n", "", "maybe"] {
        let mut session = ask(&stage, "supplier register");
        session.exp_string(QUESTION).expect("the question");
        session.send_line(answer).expect("an answer");
        session.exp_string("aborted: not confirmed").expect("the reason");
        assert_eq!(code(session), Some(4), "{answer:?}");
    }
    assert!(!registered().await);

    let mut session = ask(&stage, "supplier register");
    session.exp_string(QUESTION).expect("the question");
    session.send_line("y").expect("an answer");
    session.exp_string("Signature: ").expect("what was sent");
    assert_eq!(code(session), Some(0));
    assert!(registered().await);

    // With `--yes` or `--dry-run` nothing is asked, even at a terminal.
    for (args, code_of) in [("supplier stake 5 --yes", 0), ("supplier stake 5 --dry-run", 0)] {
        let mut session = ask(&stage, args);
        let rest = session.exp_eof().expect("it ends");
        assert!(!rest.contains(QUESTION), "{rest}");
        assert_eq!(code(session), Some(code_of));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_watch_redraws_until_ctrl_c() {
    let stage = Stage::new(&["supplier", "buyer"]).await;
    stage.play("group/1-lists", "supplier");
    stage.pass(1).await;
    stage.vote(1, &[]).await;
    let run = |args: &str| {
        let mut command = Command::new(binary("leasehold"));
        let output = command.args(args.split_whitespace()).envs(stage.env("buyer")).output();
        assert!(output.expect("it runs").status.success(), "{args}");
    };
    run("lease open --gpus 2 --for 1h --board 0 --yes");
    stage.pass(1).await;
    stage.vote(1, &[1]).await;

    let mut command = Command::new(binary("leasehold"));
    command.args(["lease", "watch", "0:1", "--interval", "1"]).envs(stage.env("buyer"));
    let mut session = spawn_command(command, Some(TIMEOUT)).expect("a terminal");
    session.exp_string("down").expect("the machine that is down");
    // The view is drawn again.
    session.exp_string("down").expect("it is drawn again");
    session.send_control('c').expect("Ctrl-C");
    assert_eq!(code(session), Some(130));
}
