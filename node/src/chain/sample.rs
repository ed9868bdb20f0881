//! A machine's receipts and batches, for unit tests.

use crate::leases::RunningLease;
pub use crate::leases::sample::*;
use crate::machines::Machine;
use crate::receipts::store::{BatchKey, MachineKey, NewReceipt, PARTS, SealedBatch, Store, Work};
use leasehold::math::sum_tree::SumNode;
use leasehold::state::BatchHeader;
use std::path::Path;
use std::sync::Arc;

pub fn machine_key() -> MachineKey {
    MachineKey { board: BOARD, slot: PLACE.1, generation: 2 }
}

/// Batch of the machine with that number and ten receipts.
pub fn batch(number: u32) -> SealedBatch {
    let header = BatchHeader {
        board: BOARD,
        node_key: machine().key.verifying_key().to_bytes(),
        lease: 5,
        generation: 2,
        number,
        count: 10,
        first_seq: u64::from(number) * 10,
        root: SumNode { hash: [number as u8; 32], units: 1, price: 2 },
        first_ms: u64::from(ROUND + 9) * 600_000,
        last_ms: u64::from(ROUND + 9) * 600_000 + 1,
        source: [0; 32],
        slot: PLACE.1,
        reserved: [0; 6],
    };
    SealedBatch { key: BatchKey::of(&header), header, source: "http://node".to_owned(), log_index: None }
}

/// A database with `count` receipts of the machine in the lease.
pub async fn store_with(path: &Path, machine: &Machine, lease: &RunningLease, count: u64) -> Store {
    let store = Store::open(path).await.unwrap();
    let new = new_receipt(&Arc::new(machine.clone()), &Arc::new(lease.clone()));
    store.append((0..count).map(|_| new.clone()).collect()).await.unwrap();
    store
}

/// A receipt of the machine in the lease, to be signed.
pub fn new_receipt(machine: &Arc<Machine>, lease: &Arc<RunningLease>) -> NewReceipt {
    let work = Work {
        model: [1; 32],
        request: [2; 32],
        response: [3; 32],
        units: 1,
        tokens_in: 1,
        tokens_out: 1,
        price: PARTS.into(),
        start_ms: 1,
        end_ms: 2,
    };
    NewReceipt { machine: machine.clone(), lease: lease.clone(), work, limit: None }
}
