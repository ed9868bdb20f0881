//! Makes and signs receipts, and measures the time for signing.

use crate::leases::RunningLease;
use crate::machines::Machine;
use leasehold::state::Receipt;
use leasehold_client::record::SignedReceipt;
use leasehold_client::record::receipt::{blank, prefix};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Parts of a payment unit: prices are for a million tokens.
pub const PARTS: u32 = 1_000_000;

/// One answer, as the inference server or the proxy reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// sha256 of the model's manifest.
    pub model: [u8; 32],
    /// sha256(salt | request) and sha256(salt | response).
    pub request: [u8; 32],
    pub response: [u8; 32],
    /// Compute units: GPU-milliseconds.
    pub units: u64,
    pub tokens_in: u32,
    pub tokens_out: u32,
    /// Price in [`PARTS`] of payment units. The receipt's is in whole units, and the rest is carried to the lease's next.
    pub price: u128,
    /// Begin and end of the work in Unix milliseconds.
    pub start_ms: u64,
    pub end_ms: u64,
}

/// Signs with the machines' keys.
#[derive(Debug, Default)]
pub struct Signer {
    signed: AtomicU64,
    nanos: AtomicU64,
}

impl Signer {
    /// Signs the receipt with number `seq` of the machine in the lease, for `price` payment units.
    pub(crate) fn sign(
        &self,
        machine: &Machine,
        lease: &RunningLease,
        seq: u64,
        work: &Work,
        price: u64,
    ) -> SignedReceipt {
        let receipt = Receipt {
            cluster: lease.cluster,
            board: prefix(&machine.board),
            lease: lease.serial,
            generation: machine.generation,
            node_key: machine.key.verifying_key().to_bytes(),
            supplier: prefix(&lease.supplier),
            seq,
            buyer: lease.buyer.to_bytes(),
            model: work.model,
            request: work.request,
            response: work.response,
            units: work.units,
            tokens_in: work.tokens_in,
            tokens_out: work.tokens_out,
            price,
            mint: lease.mint.to_bytes(),
            start_ms: work.start_ms,
            end_ms: work.end_ms,
            class: lease.class,
            slot: u16::try_from(machine.slot).unwrap_or(u16::MAX),
            ..blank()
        };
        let start = Instant::now();
        let signed = SignedReceipt::sign(&machine.key, receipt);
        self.nanos.fetch_add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.signed.fetch_add(1, Relaxed);
        signed
    }

    /// Receipts signed so far, and the time for it.
    pub fn spent(&self) -> (u64, Duration) {
        (self.signed.load(Relaxed), Duration::from_nanos(self.nanos.load(Relaxed)))
    }
}
