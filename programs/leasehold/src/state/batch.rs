use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::math::{
    digest::{Domain, digest},
    sum_tree::SumNode,
};

/// Most receipts of a batch: its paths have 16 nodes, which fit the transaction that answers a demand.
pub const MAX_BATCH: u32 = 1 << 16;

/// Numbers that `skip_receipts` leaves out, 2^20. A machine signs no number that is so far or farther above its lane's next
/// one, as `confirmed` on the chain: so what a node signed before it lost its database is below where it resumes.
pub const SKIP: u64 = 1 << 20;

/// A batch of receipts of one machine in one lease, in the order of their numbers and without gaps. Between batches there may
/// be gaps. Its hash is a leaf of the supplier's compute log.
#[derive(AnchorSerialize, AnchorDeserialize, Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BatchHeader {
    pub board: Pubkey,
    /// Key of the machine that was in the slot when the batch was appended.
    pub node_key: [u8; 32],
    /// Serial of the lease.
    pub lease: u32,
    pub generation: u32,
    /// Number of batches of this machine before this one.
    pub number: u32,
    /// Number of receipts, at least one.
    pub count: u32,
    /// `seq` of the first receipt.
    pub first_seq: u64,
    /// Root of the tree over them, with their sums.
    pub root: SumNode,
    /// `end_ms` of the first and of the last, Unix milliseconds.
    pub first_ms: u64,
    pub last_ms: u64,
    /// sha256 of the URL of the receipts.
    pub source: [u8; 32],
    pub slot: u16,
    /// Reserved, zero.
    pub reserved: [u8; 6],
}

const _: () = assert!(core::mem::size_of::<BatchHeader>() == BatchHeader::LEN);

impl BatchHeader {
    pub const LEN: usize = 192;
    pub const TAG: [u8; 16] = *b"LEASEHOLD:BTCH:2";

    /// Its leaf in the log.
    pub fn leaf(&self) -> [u8; 32] {
        digest(Domain::Batch, &[&Self::TAG, bytemuck::bytes_of(self)])
    }

    /// `seq` of the first receipt after it.
    pub fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.count))
    }

    /// Index in the batch of the receipt with that `seq`; `None` if it is in another batch.
    pub fn index_of(&self, seq: u64) -> Option<u32> {
        let index = u32::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        (index < self.count).then_some(index)
    }
}
