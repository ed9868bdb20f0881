//! `leasehold` as a process: its commands for receipts and call tokens.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use leasehold::state::{Receipt, SlotState};
use leasehold_archive::Archive;
use leasehold_client::record::{SignedCall, SignedReceipt};
use solana_keypair::{Keypair, write_keypair_file};
use solana_signer::Signer;

use crate::world::{World, machine_key, pubkey, spender};

/// Path of `leasehold`, which cargo built beside this test.
fn binary() -> PathBuf {
    let binary = std::env::current_exe().expect("this test's path");
    let binary = binary.parent().and_then(Path::parent).expect("the folder above `deps`").join("leasehold");
    assert!(binary.is_file(), "{} does not exist; run `cargo build -p leasehold-cli`", binary.display());
    binary
}

/// Runs `leasehold` with the buyer's wallet.
async fn run(world: &World, args: &[&str]) -> Output {
    let wallet = world.folder.path().join("buyer.json");
    if !wallet.exists() {
        write_keypair_file(&world.buyer, &wallet).expect("a keypair file");
    }
    let mut command = tokio::process::Command::new(binary());
    command.args(["--yes", "--url", world.network.rpc_url(), "--keypair"]).arg(wallet).args(args);
    command.output().await.expect("it runs")
}

/// Runs a command, which must succeed. Returns its output.
async fn printed(world: &World, args: &[&str]) -> String {
    let output = run(world, args).await;
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Writes a receipt to a file, as in a node's response header. Returns the path.
fn file(world: &World, name: &str, signed: &SignedReceipt) -> String {
    let file = world.folder.path().join(name);
    std::fs::write(&file, signed.to_base64()).expect("a file");
    file.into_os_string().into_string().expect("a path")
}

/// Demands a receipt.
pub async fn demand(world: &World, wanted: &SignedReceipt) {
    let wanted = file(world, "wanted", wanted);
    printed(world, &["receipt", "demand", "--market", "1", &wanted]).await;
}

/// Signs a call token with the lease's spender key.
pub async fn token(world: &World) {
    let key = Keypair::new_from_array(spender().to_bytes());
    let file = world.folder.path().join("spender.json");
    write_keypair_file(&key, &file).expect("a keypair file");
    let key = file.to_str().expect("a path");
    let text = printed(world, &["lease", "token", "0:1", "--market", "1", "--spender-keypair", key]).await;
    let signed = SignedCall::decode(text.trim()).expect("a token");
    signed.verify(&pubkey(&spender())).expect("the spender's");
    assert_eq!(signed.token.lease, world.lease_address());
}

/// Verifies a receipt, and finds it by its id.
pub async fn prove(world: &World, archive: &Archive, signed: &SignedReceipt) {
    let archive = format!("http://{}", archive.local_addr());
    let run = async |args: &[&str]| {
        let args = [&["--output", "json-compact", "receipt"], args, &["--archive", &archive]].concat();
        let output = run(world, &args).await;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), report)
    };
    let path = file(world, "receipt", signed);
    let id = hex::encode(signed.id());
    for args in [&["verify", &path][..], &["find", &id]] {
        let (code, report) = run(args).await;
        assert_eq!((code, &report["verified"], &report["id"]), (Some(0), &true.into(), &id.as_str().into()));
        assert_eq!(report["machine"]["slot"], signed.receipt.slot);
        assert_eq!(report["supplier"]["wallet"], world.supplier.pubkey().to_string(), "{report}");
    }
    // Another price, signed by the machine, but not in its log.
    let forged = file(world, "forged", &contradiction(signed));
    assert_eq!(run(&["verify", &forged]).await.0, Some(1));
    assert_eq!(run(&["find", &"00".repeat(32)]).await.0, Some(1));
}

/// A second receipt with the same number, signed by the machine.
fn contradiction(signed: &SignedReceipt) -> SignedReceipt {
    SignedReceipt::sign(&machine_key(), Receipt { price: signed.receipt.price + 1, ..signed.receipt })
}

/// Proves an equivocation: the machine loses its bond.
pub async fn convict(world: &World, signed: &SignedReceipt) {
    let (one, other) = (file(world, "one", signed), file(world, "other", &contradiction(signed)));
    let command = |with: &str| ["receipt", "convict", "--market", "1", &one, with].map(str::to_owned);
    let refused = async |with: &str, rule: &str| {
        let args = command(with);
        let output = run(world, &args.each_ref().map(String::as_str)).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(3) && text.contains(rule), "{text}");
    };
    refused(&one, "two different receipts").await;
    let args = command(&other);
    printed(world, &args.each_ref().map(String::as_str)).await;
    let board = world.fetch().board(world.board().address).await.expect("the board");
    let machine = board.view().expect("a board").slots[0];
    assert!(machine.is(SlotState::Barred) && machine.bond == 0);
    refused(&other, "lost its bond").await;
}
