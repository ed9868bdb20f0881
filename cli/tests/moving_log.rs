//! Log and archive move while they are read, each at its own pace. A real network can't be made to do so at
//! will. The end-to-end test of the node runs the same command against a real chain and a real archive.

mod server;

use std::process::{Command, Output};

use anchor_lang::Discriminator;
use bytemuck::Zeroable;
use leasehold::{
    math::mmr::Range,
    state::{BatchHeader, ComputeLog},
};
use leasehold_client::{
    address,
    record::{Proof, SignedReceipt},
    sample::{market, wallet},
};
use serde_json::{Value, json};
use server::{Response, Server};
use solana_pubkey::Pubkey;

/// The record of the vectors: batch 3 of the log is over the receipts.
struct Record {
    receipt: SignedReceipt,
    headers: Vec<BatchHeader>,
    proof: Proof,
}

fn record() -> Record {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/record.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let first = &vectors["receipts"][0];
    let signed = [bytes(&first["bytes"]), bytes(&first["signature"])].concat();
    let receipt = SignedReceipt::from_bytes(&signed).unwrap();
    let batches = vectors["log"]["batches"].as_array().unwrap();
    let header = |batch: &Value| bytemuck::pod_read_unaligned::<BatchHeader>(&bytes(&batch["bytes"]));
    let mut headers: Vec<_> = batches.iter().map(header).collect();
    // With the eighth all of them stand on one mountain, and every path gets longer.
    headers.push(BatchHeader { number: 7, ..headers[6] });
    let proof = json!({
        "receipt": receipt.to_base64(),
        "log": address::log(&supplier()).to_string(),
        "header": batches[3]["bytes"],
        "index": 3,
        "batch_path": [],
        "place": 0,
        "path": vectors["tree"]["paths"][0],
    });
    Record { receipt, headers, proof: serde_json::from_value(proof).unwrap() }
}

/// The supplier that the vectors' receipts name.
fn supplier() -> Pubkey {
    market().supplier(&wallet(0))
}

impl Record {
    /// The log's account with the first batches.
    fn account(&self, batches: usize) -> Vec<u8> {
        let mut log = ComputeLog::zeroed();
        (log.version, log.supplier) = (ComputeLog::VERSION, supplier());
        for header in &self.headers[..batches] {
            log.append(header).unwrap_or_else(|_| panic!("the sums fit"));
        }
        [ComputeLog::DISCRIMINATOR, bytemuck::bytes_of(&log)].concat()
    }

    /// Answer of an honest archive as of so many batches.
    fn answer(&self, batches: u64) -> Response {
        let mut range = Range::default();
        self.headers.iter().for_each(|header| range.append(header.leaf()));
        let batch_path = range.path(3, batches).unwrap();
        Response::ok(&serde_json::to_value(Proof { batch_path, ..self.proof.clone() }).unwrap())
    }
}

fn find(server: &Server, record: &Record) -> Output {
    let id = hex::encode(record.receipt.id());
    Command::new(env!("CARGO_BIN_EXE_leasehold"))
        .args(["receipt", "find", &id, "--archive", &server.url, "-u", &server.url, "--output", "json"])
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON, but: {error}"))
}

#[test]
fn a_receipt_is_proved_by_the_log_alone() {
    let record = record();
    let server = Server::start(record.account(7), [0xc1; 32], vec![record.answer(7)]);
    let found = find(&server, &record);
    let json = json(&found);
    assert_eq!((found.status.code(), &json["verified"]), (Some(0), &Value::Bool(true)), "{json:#}");
    assert_eq!((&json["log"]["batches"], &json["log"]["index"]), (&json!("7"), &json!("3")));
    let steps: Vec<_> = json["steps"].as_array().unwrap().iter().map(|step| &step["step"]).collect();
    assert_eq!(steps, ["signature", "cluster", "log", "supplier", "lease"]);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_provider_that_switches_searches_off_does_not_keep_a_receipt_from_being_proved() {
    let record = record();
    let server = Server::start(record.account(7), [0xc1; 32], vec![record.answer(7)]).without_searches();
    let found = find(&server, &record);
    let json = json(&found);
    assert_eq!((found.status.code(), &json["verified"]), (Some(0), &Value::Bool(true)), "{json:#}");
    let lease = &json["steps"][4]["detail"];
    assert!(
        lease
            .as_str()
            .unwrap()
            .contains("NOT looked up, since the RPC node does not serve getProgramAccounts")
    );
    assert_eq!(json["lease"]["looked_up"], false);
    // Where the search is needed, the method is named, with what to do.
    let args =
        ["lease", "list", "--market", "7", "--owner", "11111111111111111111111111111112", "-u", &server.url];
    let listed = Command::new(env!("CARGO_BIN_EXE_leasehold")).args(args).output().unwrap();
    let error = String::from_utf8(listed.stderr).unwrap();
    assert_eq!(listed.status.code(), Some(2), "{error}");
}

#[test]
fn an_archive_that_lags_behind_is_asked_again_for_the_log_as_it_is() {
    let record = record();
    let answers = vec![record.answer(7), Response::refused("409 Conflict"), record.answer(8)];
    let server = Server::start(record.account(8), [0xc1; 32], answers);
    let found = find(&server, &record);
    assert_eq!(found.status.code(), Some(0), "{:#}", json(&found));
    assert_eq!(json(&found)["log"]["batches"], "8");
    let path = format!("/v1/proofs/{}", hex::encode(record.receipt.id()));
    let renewed = format!("{path}?batches=8");
    assert_eq!(server.asked(), [path, renewed.clone(), renewed]);
}

#[test]
fn a_path_that_leads_elsewhere_proves_nothing() {
    let record = record();
    let forged = Proof { batch_path: vec![[9; 32]; 2], ..record.proof.clone() };
    let answer = Response::ok(&serde_json::to_value(forged).unwrap());
    let server = Server::start(record.account(7), [0xc1; 32], vec![answer; 8]);
    let found = find(&server, &record);
    let json = json(&found);
    assert_eq!((found.status.code(), &json["verified"]), (Some(1), &Value::Bool(false)));
    let step = json["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&step["step"], &step["proved"]), (&json!("log"), &json!(false)));
    assert!(step["detail"].as_str().unwrap().contains("as of 7 batches"), "{step}");
    assert_eq!(server.asked().len(), 5, "then it gives up");
}

#[test]
fn a_receipt_of_another_cluster_is_not_proved() {
    let record = record();
    let server = Server::start(record.account(7), [0xc2; 32], vec![record.answer(7)]);
    let found = find(&server, &record);
    assert_eq!(found.status.code(), Some(1));
    assert!(json(&found)["error"].as_str().unwrap().contains("another cluster"));
}

#[test]
fn an_account_that_is_no_log_proves_nothing() {
    let record = record();
    let server = Server::start(vec![0; 1_456], [0xc1; 32], vec![record.answer(7)]);
    let found = find(&server, &record);
    assert_eq!(found.status.code(), Some(1));
    assert!(json(&found)["error"].as_str().unwrap().contains("is not a compute log"));
}
