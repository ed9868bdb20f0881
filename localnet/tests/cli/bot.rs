//! The example bot against a local network.

use std::process::Command;

use crate::stage::{Stage, binary};

fn run(stage: &Stage, name: &str, args: &[&str]) -> (bool, String) {
    let keypair = stage.keypair(name).display().to_string();
    let mut command = Command::new(binary("leasehold-bot"));
    command.args(["--url", stage.network.rpc_url(), "--keypair", &keypair]).args(args);
    let output = tokio::task::block_in_place(|| command.output()).expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("text"))
}

/// Has a keeper see the machines of both boards once.
async fn await_seen(stage: &Stage) {
    stage.keep_on(&stage.market.board(1)).await;
    stage.pass(1).await;
    stage.vote(1, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_leases_the_cheapest_machine_of_all_boards_within_its_limit() {
    let stage = Stage::new(&["supplier", "buyer"]).await;
    stage.play("group/1-lists", "supplier");
    await_seen(&stage).await;

    let (ok, text) = run(&stage, "buyer", &["--max-price", "299999"]);
    assert!(ok && text.contains("no machine is free for 299999 at most"), "{text}");
    let lease = async |board: u32| {
        let board = stage.market.board(board).address;
        stage.fetch().lease_of(&board, 1).await.expect("an answer")
    };
    for board in [0, 1] {
        assert!(lease(board).await.is_none());
    }

    let (ok, text) = run(&stage, "buyer", &["--max-price", "350000", "--rounds", "12"]);
    assert!(ok, "{text}");
    // Two hours at 0.30.
    assert!(text.contains("cheapest: slot 0 of board 1 for 600000 in all"), "{text}");
    assert!(text.contains("event LeaseOpened: "), "{text}");
    let opened = lease(1).await.expect("the lease").account;
    assert_eq!((opened.owner, opened.deposit), (stage.address("buyer"), 600_000));
    assert_eq!(opened.until - opened.from, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_says_why_it_cannot_lease() {
    let stage = Stage::new(&["supplier", "buyer"]).await;
    stage.play("group/1-lists", "supplier");
    let (ok, text) = run(&stage, "buyer", &["--max-price", "350000"]);
    assert!(ok && text.contains("no machine is free"), "nobody has seen them: {text}");
    await_seen(&stage).await;
    let (ok, text) = run(&stage, "buyer", &["--market", "7", "--max-price", "350000"]);
    assert!(!ok && text.contains("the market cannot be read"), "{text}");
    let (ok, text) = run(&stage, "buyer", &["--rounds", "10001", "--max-price", "350000"]);
    assert!(!ok && text.starts_with("error: "), "{text}");
    // The authority has no tokens to pay with.
    let (ok, text) = run(&stage, "authority", &["--max-price", "350000"]);
    assert!(!ok && text.contains("cheapest: slot 0 of board 1"), "{text}");
    assert!(text.contains("error: ") && !text.contains("custom program error"), "{text}");
}
