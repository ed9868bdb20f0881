//! Leases, machines and services to test receipts with.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod answers;
pub mod model;
pub mod upstream;

use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_client::record::{
    CallToken, SignedCall, SignedReceipt, SignedVoucher, receipt::prefix, voucher,
};
use leasehold_node::leases::{Leases, Meter, Numbers, RunningLease};
use leasehold_node::receipts::store::{MachineKey, NewReceipt, PARTS, Work};
use leasehold_node::receipts::{Model, ProxySettings, Receipts, Settings};
use leasehold_node::{Feed, Machine, Serving};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

pub const BOARD: Pubkey = Pubkey::new_from_array([3; 32]);
pub const CLUSTER: [u8; 8] = [7; 8];
pub const ROUND_SECS: u32 = 600;
pub const MODEL: [u8; 32] = [0x0d; 32];

/// Account of the machines' supplier.
pub const SUPPLIER: Pubkey = Pubkey::new_from_array([8; 32]);

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

pub fn machine(slot: u32) -> Arc<Machine> {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&slot.to_le_bytes());
    Arc::new(Machine {
        program: Pubkey::new_from_array([1; 32]),
        market: Pubkey::new_from_array([2; 32]),
        board: BOARD,
        slot,
        generation: 1,
        round_secs: Some(ROUND_SECS),
        key: SigningKey::from_bytes(&seed),
    })
}

pub fn key(slot: u32) -> MachineKey {
    MachineKey::of(&machine(slot)).unwrap()
}

pub fn address(serial: u32) -> Pubkey {
    let mut bytes = [4; 32];
    bytes[..4].copy_from_slice(&serial.to_le_bytes());
    Pubkey::new_from_array(bytes)
}

/// A lease by the hour that runs now.
pub fn lease(serial: u32) -> RunningLease {
    // The same whenever a test asks.
    static ROUND: OnceLock<u32> = OnceLock::new();
    let round = *ROUND.get_or_init(|| (now_ms() / 1_000) as u32 / ROUND_SECS);
    RunningLease {
        serial,
        address: address(serial),
        buyer: Pubkey::new_from_array([5; 32]),
        owner: Pubkey::new_from_array(owner().verifying_key().to_bytes()),
        supplier: SUPPLIER,
        mint: Pubkey::new_from_array([6; 32]),
        cluster: CLUSTER,
        class: 2,
        begins: round - 1,
        from: round - 1,
        until: round + 100,
        round_secs: ROUND_SECS,
        phase_secs: 0,
        generation: 1,
        meter: None,
        numbers: Numbers::default(),
        paused: false,
    }
}

/// Owner of every lease.
pub fn owner() -> SigningKey {
    SigningKey::from_bytes(&[13; 32])
}

pub fn spender() -> SigningKey {
    SigningKey::from_bytes(&[11; 32])
}

/// A lease that is paid by use, and runs now.
pub fn metered(serial: u32, deposit: u64) -> RunningLease {
    let spender = Pubkey::new_from_array(spender().verifying_key().to_bytes());
    RunningLease { meter: Some(Meter { spender, deposit, paid: 0, units: 0 }), ..lease(serial) }
}

pub fn work(price: u64) -> Work {
    let now = now_ms();
    Work {
        model: MODEL,
        request: [1; 32],
        response: [2; 32],
        units: 800,
        tokens_in: 10,
        tokens_out: 20,
        price: u128::from(price) * u128::from(PARTS),
        start_ms: now,
        end_ms: now,
    }
}

pub fn new(slot: u32, lease: &RunningLease, price: u64) -> NewReceipt {
    NewReceipt { machine: machine(slot), lease: Arc::new(lease.clone()), work: work(price), limit: None }
}

/// A voucher of the lease's spender for everything up to that price, to the machine in slot 0.
pub fn signed_voucher(lease: &RunningLease, price: u64) -> SignedVoucher {
    let voucher = leasehold::state::Voucher {
        lease: lease.address.to_bytes(),
        cluster: lease.cluster,
        node_key: machine(0).key.verifying_key().to_bytes(),
        supplier: prefix(&lease.supplier),
        generation: lease.generation,
        from: lease.from,
        seq: price,
        units: price,
        price,
        ..voucher::blank()
    };
    SignedVoucher::sign(&spender(), voucher)
}

/// A token to call a lease with, good for a minute.
pub fn call_token(lease: &RunningLease) -> CallToken {
    CallToken { lease: lease.address, from: lease.begins, expiry: now_ms() / 1_000 + 60 }
}

/// That token of the lease's spender or owner, as a client sends it.
pub fn api_key(lease: &RunningLease) -> String {
    let key = if lease.meter.is_some() { spender() } else { owner() };
    SignedCall::sign(&key, call_token(lease)).encode()
}

pub fn settings(folder: &Path) -> Settings {
    let model = Model { id: MODEL, price_in: 1_000_000, price_out: 2_000_000 };
    Settings {
        database: folder.join("receipts.db"),
        listen: "127.0.0.1:0".parse().unwrap(),
        public: Some("127.0.0.1:0".parse().unwrap()),
        source: "https://node.example".into(),
        exposure_limit: 100,
        exposure_per_spender: 800,
        leases: None,
        models: [("tiny".to_owned(), Arc::new(model))].into(),
        proxy: None,
    }
}

pub fn proxy_settings(upstream: SocketAddr) -> ProxySettings {
    let upstream = format!("http://{upstream}").parse().unwrap();
    ProxySettings { gpus: 8, template_tokens: 0, ..ProxySettings::new(upstream) }
}

/// A client that takes answers as they come.
pub fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    client.no_gzip().no_brotli().no_deflate().no_zstd().build().unwrap()
}

/// A running service, and the feed of its leases.
pub struct Service {
    pub receipts: Receipts,
    pub feed: Feed,
    pub http: reqwest::Client,
}

impl Service {
    pub async fn start(settings: Settings, leases: &[(u16, RunningLease)]) -> Self {
        let slots = leases.iter().map(|(slot, _)| u32::from(*slot));
        let machines = slots.map(|slot| (*machine(slot)).clone()).collect();
        let feed = Feed::new(&Serving { machines, keepers: None });
        feed.set_leases(of(leases));
        let receipts = Receipts::start(settings, feed.machines(), feed.signable()).await.unwrap();
        Self { receipts, feed, http: client() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.receipts.local_addr())
    }

    pub fn public(&self, path: &str) -> String {
        format!("http://{}{path}", self.receipts.public_addr().unwrap())
    }

    /// Status and JSON of the answer.
    pub async fn post(&self, url: &str, body: &Value) -> (u16, Value) {
        read(self.http.post(url).json(body).send().await.unwrap()).await
    }

    pub async fn get(&self, url: &str) -> (u16, Value) {
        read(self.http.get(url).send().await.unwrap()).await
    }
}

pub async fn read(response: reqwest::Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

pub fn of(leases: &[(u16, RunningLease)]) -> Leases {
    let entries = leases.iter().map(|(slot, lease)| ((BOARD, *slot), Some(lease.clone())));
    Leases { machines: entries.collect(), ..Leases::default() }
}

/// A report of an answer, as the inference server sends it.
pub fn report(slot: u32, price: u64) -> Value {
    let now = now_ms();
    json!({
        "slot": slot, "model": hex::encode(MODEL), "request": "01".repeat(32), "response": "02".repeat(32),
        "units": "800", "tokens_in": 10, "tokens_out": 20, "price": price.to_string(),
        "start_ms": now, "end_ms": now,
    })
}

/// The receipt of an answer of the API, with its signature checked.
pub fn receipt_of(answer: &Value) -> SignedReceipt {
    let signed = SignedReceipt::from_base64(answer["receipt"].as_str().unwrap()).unwrap();
    signed.verify().unwrap();
    assert_eq!(answer["id"], hex::encode(signed.id()));
    signed
}
