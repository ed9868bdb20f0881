//! A machine's batches and the tasks' tools, for unit tests.

use super::headers::OwnLog;
use super::settings::RecordSettings;
use super::tools::Tools;
pub use crate::leases::sample::*;
use crate::receipts::store::{BatchKey, MachineKey, SealedBatch, Store};
use leasehold::math::sum_tree::SumNode;
use leasehold::state::BatchHeader;
use leasehold_archive::Db;
use leasehold_client::probe::SigningKey;
use leasehold_client::sender::Sender;
use solana_keypair::Keypair;
use std::sync::Arc;
use std::time::Duration;

pub fn machine_key() -> MachineKey {
    MachineKey { board: BOARD, slot: PLACE.1, generation: 2 }
}

/// Batch of the machine with that number and ten receipts.
pub fn batch(number: u32) -> SealedBatch {
    let header = BatchHeader {
        board: BOARD,
        node_key: machine().key.verifying_key().to_bytes(),
        slot: PLACE.1,
        generation: 2,
        lease: 5,
        number,
        count: 10,
        first_seq: u64::from(number) * 10,
        root: SumNode { hash: [number as u8; 32], units: 1, price: 2 },
        first_ms: u64::from(ROUND + 9) * 600_000,
        last_ms: u64::from(ROUND + 9) * 600_000 + 1,
        source: [0; 32],
    };
    SealedBatch { key: BatchKey::of(&header), header, source: "http://node".to_owned(), log_index: None }
}

/// Tools with databases in `folder` and an RPC node that can't be reached.
pub(super) async fn tools(folder: &std::path::Path) -> Tools {
    let operator = SigningKey::from_bytes(&[4; 32]);
    let settings = RecordSettings {
        supplier: SUPPLIER,
        headers: folder.join("log.db"),
        batch: Duration::from_secs(3_600),
        redeem: Duration::from_secs(3_600),
    };
    let log = leasehold_client::address::log(&SUPPLIER);
    let headers = OwnLog::new(log, Db::open_file(&settings.headers).await.unwrap());
    let rpc = Arc::new(nobody());
    let payer = Arc::new(Keypair::new_from_array(operator.to_bytes()));
    Tools {
        settings,
        source: "http://node".to_owned(),
        log,
        operator: OPERATOR,
        sender: Sender::new(Arc::clone(&rpc), payer),
        rpc,
        store: Store::open(&folder.join("receipts.db")).await.unwrap(),
        headers,
        metrics: Arc::default(),
        hurry: tokio::sync::Notify::new(),
    }
}
