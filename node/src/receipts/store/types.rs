//! Types of the store.

use crate::leases::{Meter, RunningLease};
use crate::machines::Machine;
use crate::receipts::signer::Work;
use leasehold::state::BatchHeader;
use leasehold_client::probe::Pubkey;
use leasehold_client::record::SignedReceipt;
use std::sync::Arc;

/// A machine: its place and the generation of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MachineKey {
    pub board: Pubkey,
    pub slot: u16,
    pub generation: u32,
}

/// A batch: the machine, and the number of its batches before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchKey {
    pub machine: MachineKey,
    pub number: u32,
}

/// A receipt to be numbered, signed and stored.
#[derive(Clone, Debug)]
pub struct NewReceipt {
    pub machine: Arc<Machine>,
    pub lease: Arc<RunningLease>,
    pub work: Work,
    /// The receipt of a metered lease is refused beyond this exposure. `None` for an answer that the caller has already.
    pub limit: Option<Exposure>,
}

/// The most payment units that may be used before anybody has signed for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// By one lease.
    pub lease: u64,
    /// By all leases of one spender that were used in the last hour.
    pub spender: u64,
}

/// Totals of a machine's receipts in a lease so far, and the amount that the buyer signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tab {
    pub machine: MachineKey,
    /// Serial of the lease.
    pub lease: u32,
    pub address: Pubkey,
    /// First round of the lease.
    pub from: u32,
    pub cluster: [u8; 8],
    /// Key that signs vouchers; `None` if the lease is not metered.
    pub spender: Option<Pubkey>,
    /// Number of the next receipt. Lower numbers may have been left out after a database was lost.
    pub seq: u64,
    /// Compute units and payment units of the receipts so far; of those of a lost database, what vouchers have paid.
    pub units: u64,
    pub price: u64,
    /// Millionths of a payment unit of these receipts' work that are in none of their prices.
    pub rest: u32,
    /// Payment units that vouchers had paid before the first receipt: for those of a lost database.
    pub paid: u64,
    /// Number of the first receipt that is in no batch.
    pub sealed: u64,
    /// `end_ms` of the last one.
    pub last_ms: u64,
    /// Price in the best voucher, 0 if there is none.
    pub signed_price: u64,
}

/// Receipts of one machine in one lease that are in no batch yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealed {
    pub machine: MachineKey,
    /// Serial of the lease.
    pub lease: u32,
    pub first_seq: u64,
    pub count: u64,
    /// `end_ms` of the first of them.
    pub first_ms: u64,
}

/// A sealed batch. Nothing of it changes but its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBatch {
    pub key: BatchKey,
    pub header: BatchHeader,
    /// URL of its receipts, whose hash is in the header.
    pub source: String,
    /// Its place in the supplier's log; `None` if it is not known to be there.
    pub log_index: Option<u64>,
}

/// State of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// Not known to be in the log.
    Sealed,
    /// In the log.
    Posted,
}

/// A stored receipt.
#[derive(Clone, Debug)]
pub struct Kept {
    pub signed: SignedReceipt,
    /// The batch it is in, and its place there; `None` if it is not sealed yet.
    pub batch: Option<(BatchKey, u32)>,
}

impl MachineKey {
    /// `None` if no board can have the slot.
    pub fn of(machine: &Machine) -> Option<Self> {
        let Machine { board, generation, .. } = *machine;
        Some(Self { board, slot: u16::try_from(machine.slot).ok()?, generation })
    }
}

impl BatchKey {
    pub fn of(header: &BatchHeader) -> Self {
        let BatchHeader { board, slot, generation, number, .. } = *header;
        Self { machine: MachineKey { board, slot, generation }, number }
    }
}

impl Tab {
    /// Payment units that may still be billed: unsigned use stays within `limit`, all use within what vouchers can pay.
    pub fn allowance(&self, limit: u64, meter: &Meter) -> u64 {
        let signed = self.signed_price.max(meter.paid);
        signed.saturating_add(limit).min(meter.deposit).saturating_sub(self.price)
    }

    /// Payment units that nobody has signed for.
    pub fn debt(&self, paid: u64) -> u64 {
        self.price.saturating_sub(self.signed_price.max(self.paid).max(paid))
    }
}
