//! `leasehold-node check`: nodes on real sockets, and an RPC node that knows one board.

mod common;

use anchor_lang::AccountSerialize;
use axum::routing::post;
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::STANDARD};
use common::{machine, public};
use leasehold::state::Slot;
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_client::sample::{self, snapshot};
use leasehold_node::check::{self, CheckOptions, Report, Status};
use leasehold_node::{Machine, Node, NodeConfig, Serving};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_leasehold-node");

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn key() -> SigningKey {
    machine(0).key
}

/// A keypair file that only its owner can open, in a folder of its own.
fn keypair(key: &SigningKey) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("machine.json");
    write_secret(&path, &format!("{:?}", key.to_keypair_bytes()));
    (folder, path)
}

fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// A machine that is not listed yet, as `check` names its place.
fn unlisted(key: SigningKey) -> Machine {
    let nowhere = Pubkey::default();
    Machine { program: leasehold::ID, market: nowhere, board: nowhere, generation: 0, key, ..machine(0) }
}

fn options() -> CheckOptions {
    CheckOptions {
        config: None,
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        keypairs: vec![],
        endpoints: vec![],
        rpcs: vec![],
        nvidia_smi: "/does/not/exist".into(),
        profile: None,
        nvidia_ctk: "/does/not/exist".into(),
        sshd: "/does/not/exist".into(),
    }
}

async fn node(machine: Machine) -> Node {
    let serving = Serving { machines: vec![machine], keepers: None };
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    Node::bind(NodeConfig { listen, serving, ..NodeConfig::default() }).await.unwrap()
}

/// Status and text of a check's row with advice, or else of its first row.
fn row<'a>(report: &'a Report, check: &str) -> (Status, &'a str) {
    let of = || report.rows.iter().filter(|row| row.check == check);
    let row = of().find(|row| row.advice.is_some()).or_else(|| of().next());
    row.map(|row| (row.status, row.found.as_str())).unwrap_or_else(|| panic!("no {check} in\n{report}"))
}

#[tokio::test]
async fn a_machine_is_tried_before_it_is_listed() {
    let (_folder, path) = keypair(&key());
    let report = check::run(&CheckOptions { keypairs: vec![path.clone()], ..options() }).await;
    assert!(report.is_passed(), "{report}");
    let (status, found) = row(&report, "probe");
    assert!(status == Status::Ok && found.starts_with("1 machines answer at 127.0.0.1:"), "{report}");
    assert!(found.contains("keepers elsewhere can't reach that address"), "{report}");
    assert_eq!(
        (row(&report, "rpc").0, row(&report, "gpus").0),
        (Status::Warning, Status::Warning),
        "{report}"
    );

    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let report = check::run(&CheckOptions { keypairs: vec![path], ..options() }).await;
    assert!(row(&report, "files").1.starts_with("other users can open"), "{report}");
}

#[test]
fn the_exit_code_tells_errors_and_json_has_every_row() {
    let (_folder, path) = keypair(&key());
    let run = |more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["check", "--listen", "127.0.0.1:0", "--nvidia-smi", "/does/not/exist"]);
        command.args(more).output().unwrap()
    };
    let passed = run(&["--keypair", path.to_str().unwrap(), "--json"]);
    assert_eq!(passed.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&passed.stdout).unwrap();
    let probe = json["rows"].as_array().unwrap().iter().find(|row| row["check"] == "probe").unwrap();
    assert_eq!((&probe["status"], &probe["advice"]), (&json!("ok"), &Value::Null));

    let failed = run(&["--keypair", "/no/such/file"]);
    let text = String::from_utf8(failed.stdout).unwrap();
    assert!(failed.status.code() == Some(1) && text.starts_with("ERROR    configuration"), "{text}");
    assert!(text.contains("To do: ") && text.ends_with("1 errors, 0 warnings\n"), "{text}");
    let nothing = run(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(String::from_utf8(nothing.stderr).unwrap().contains("--config FILE is missing"));
}

#[tokio::test]
async fn another_key_at_the_endpoint_is_told_from_silence() {
    let (_folder, path) = keypair(&key());
    let other = node(unlisted(SigningKey::from_bytes(&[8; 32]))).await;
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = |endpoint: SocketAddr| CheckOptions {
        keypairs: vec![path.clone()],
        endpoints: vec![endpoint],
        ..options()
    };
    let report = check::run(&at(other.local_addr())).await;
    assert!(!report.is_passed(), "{report}");
    assert!(row(&report, "probe").1.contains("another key answers: slot 0"), "{report}");
    let report = check::run(&at(closed)).await;
    assert!(!report.is_passed() && row(&report, "probe").1.starts_with("no answer at "), "{report}");
}

#[tokio::test]
async fn a_second_node_with_the_same_key_is_noticed() {
    let (_folder, path) = keypair(&key());
    let second = node(unlisted(key())).await;
    let endpoints = vec![second.local_addr()];
    let report = check::run(&CheckOptions { keypairs: vec![path], endpoints, ..options() }).await;
    assert_eq!(
        row(&report, "key"),
        (Status::Error, "1 answers came, of which this process sent 0"),
        "{report}"
    );
}

#[tokio::test]
async fn the_node_that_runs_is_asked_in_its_own_place() {
    let (_folder, path) = keypair(&key());
    let running = node(unlisted(key())).await;
    let listen = vec![running.local_addr()];
    let report = check::run(&CheckOptions { keypairs: vec![path], listen, ..options() }).await;
    assert!(report.is_passed(), "{report}");
    assert!(row(&report, "listen").1.starts_with("another process listens on UDP 127.0.0.1:"), "{report}");
    assert_eq!(row(&report, "probe").0, Status::Ok, "{report}");
}

/// An RPC node with the sample's market and this board, whose cluster has this clock and genesis.
async fn rpc(slot: Slot, clock: i64, genesis: [u8; 32]) -> String {
    let (sample, board) = (snapshot(), board_of(slot));
    let mut market = Vec::new();
    sample.market.try_serialize(&mut market).unwrap();
    let answer = async move |Json(request): Json<Value>| {
        let address = request["params"][0].as_str().unwrap_or_default();
        let result = if request["method"] == "getGenesisHash" {
            json!(Pubkey::new_from_array(genesis).to_string())
        } else {
            let (data, owner) = match address {
                address if address.starts_with("SysvarC1ock") => {
                    let mut data = vec![0; 40];
                    data[32..].copy_from_slice(&clock.to_le_bytes());
                    (data, "Sysvar1111111111111111111111111111111111111".to_owned())
                }
                address if address == sample.address.to_string() => (market, leasehold::ID.to_string()),
                _ => (board, leasehold::ID.to_string()),
            };
            let value = json!({
                "data": [STANDARD.encode(&data), "base64"], "executable": false, "lamports": 1, "owner": owner,
                "rentEpoch": 0, "space": data.len(),
            });
            json!({ "context": { "slot": 1 }, "value": value })
        };
        Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret-key", listener.local_addr().unwrap());
    let router = Router::new().route("/secret-key", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A board of the sample's market with one slot.
fn board_of(slot: Slot) -> Vec<u8> {
    let mut header = *snapshot().boards[0].data.view().unwrap().header;
    header.slots = 1;
    sample::board_data(&header, &[slot]).bytes().to_vec()
}

fn slot(endpoint: SocketAddr) -> Slot {
    let SocketAddr::V4(v4) = endpoint else { panic!("IPv4") };
    let mut slot = sample::slot(1);
    slot.node_key = public(&key()).to_bytes();
    slot.endpoint.ip = v4.ip().to_ipv6_mapped().octets();
    slot.endpoint.port = v4.port().to_le_bytes();
    slot
}

/// A configuration of the machine in slot 0 of the sample's board.
fn config(folder: &Path, rpc: &str, generation: u32, round_secs: u32) -> PathBuf {
    let sample = snapshot();
    let (path, supplier) = (folder.join("node.toml"), sample::slot(1).supplier);
    let text = format!(
        "program = \"{}\"\nmarket = \"{}\"\nboard = \"{}\"\nround_secs = {round_secs}\n\
         [[machine]]\nslot = 0\ngeneration = {generation}\nseed = \"{}\"\n[chain]\nrpc = \"{rpc}\"\nsupplier = \"{supplier}\"\n",
        leasehold::ID,
        sample.address,
        sample.boards[0].address,
        hex::encode(key().to_bytes())
    );
    write_secret(&path, &text);
    path
}

/// A port that is free.
fn free() -> SocketAddr {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_listed_machine_is_compared_with_its_board() {
    let (folder, listen) = (tempfile::tempdir().unwrap(), free());
    let listed = slot(listen);
    let url = rpc(listed, now(), sample::GENESIS).await;
    let checked = async |generation, round_secs| {
        let config = config(folder.path(), &url, generation, round_secs);
        check::run(&CheckOptions { config: Some(config), listen: vec![listen], ..options() }).await
    };
    let report = checked(listed.generation, 600).await;
    assert!(report.is_passed(), "{report}");
    assert!(row(&report, "board").1.starts_with("1 machines are listed on board"), "{report}");
    assert!(row(&report, "probe").1.starts_with(&format!("1 machines answer at {listen}")), "{report}");
    assert!(row(&report, "endpoint").1.contains("not public"), "{report}");
    for check in ["rpc", "clock", "cluster clock"] {
        assert_eq!(row(&report, check).0, Status::Ok, "{report}");
    }
    assert!(!report.to_string().contains("secret-key"), "{report}");

    let report = checked(listed.generation + 1, 600).await;
    let expected =
        format!("generation is {} in the configuration and {}", listed.generation + 1, listed.generation);
    assert!(!report.is_passed() && row(&report, "board").1.contains(&expected), "{report}");
    let report = checked(listed.generation, 60).await;
    assert!(row(&report, "board").1.contains("round_secs is 60 in the configuration and 600"), "{report}");
}

#[tokio::test]
async fn rpc_nodes_of_two_clusters_and_a_clock_far_off_are_errors() {
    let (_folder, path) = keypair(&key());
    let here = rpc(slot(free()), now(), sample::GENESIS).await;
    let elsewhere = rpc(slot(free()), now() - 6_000, [7; 32]).await;
    let rpcs = vec![here, elsewhere, "http://127.0.0.1:1/secret-key".to_owned()];
    let report = check::run(&CheckOptions { keypairs: vec![path], rpcs, ..options() }).await;
    let errors: Vec<_> = report.rows.iter().filter(|row| row.status == Status::Error).collect();
    let found = |part: &str| errors.iter().any(|row| row.found.contains(part));
    assert!(found("are of different clusters") && found("that is 10 rounds of 600 s"), "{report}");
    assert!(found("http://127.0.0.1:1: ") && !report.to_string().contains("secret-key"), "{report}");
}

/// A program that prints a text.
fn program(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\n")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn what_letting_tenants_in_needs_is_looked_at() {
    let (_folder, path) = keypair(&key());
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("container");
    std::fs::create_dir(&profile).unwrap();
    program(&profile, "check", "ok\tpodman is there\nerror\tno image\tpull one\nnonsense");
    let nvidia_ctk = program(folder.path(), "nvidia-ctk", "NVIDIA Container Toolkit CLI version 1.17.7");
    let listen = free();
    let sshd = program(folder.path(), "sshd", &format!("port {}\npasswordauthentication yes", listen.port()));
    let all = CheckOptions {
        keypairs: vec![path.clone()],
        listen: vec![listen],
        profile: Some(profile.clone()),
        nvidia_ctk,
        sshd,
        ..options()
    };
    let report = check::run(&all).await;
    let has = |status: Status, check: &str, found: &str| {
        let mut rows = report.rows.iter();
        assert!(
            rows.any(|row| row.status == status && row.check == check && row.found.contains(found)),
            "{status} {check} {found} in\n{report}"
        );
    };
    has(Status::Ok, "profile", "podman is there");
    has(Status::Error, "profile", "no image");
    has(Status::Error, "profile", "unreadable row: nonsense");
    has(Status::Error, "toolkit", "1.17.7 is older than 1.17.8");
    has(Status::Error, "sshd", "at which tenants are let in");
    has(Status::Warning, "sshd", "takes passwords");
    has(Status::Ok, "ssh port", "come in here");

    std::fs::write(profile.join("check"), "#!/bin/sh\necho broken >&2; exit 1\n").unwrap();
    let report = check::run(&CheckOptions { profile: Some(profile), ..all.clone() }).await;
    assert!(report.rows.iter().any(|row| row.found.ends_with("failed: broken")), "{report}");
    let report = check::run(&CheckOptions { profile: Some("vm".into()), ..all.clone() }).await;
    let missing = "cannot run /usr/lib/leasehold/profiles/vm/check";
    assert!(report.rows.iter().any(|row| row.found.starts_with(missing)), "{report}");
    let report = check::run(&CheckOptions { profile: None, ..all }).await;
    assert!(row(&report, "access").1.starts_with("tenants are not let in"), "{report}");
}
