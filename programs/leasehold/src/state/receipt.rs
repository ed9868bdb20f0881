use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::{
    math::{
        digest::{Domain, digest},
        sum_tree::SumNode,
    },
    state::{Lease, Slot, SlotState},
};

/// Receipt: what a machine signs for each answer, version 1. All numbers are little-endian; `tests/vectors/record.json`
/// has examples.
///
/// The signature is Ed25519 of the machine's key over these 320 bytes, which begin with a tag of their own.
#[derive(AnchorSerialize, AnchorDeserialize, Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Receipt {
    /// [`Receipt::TAG`].
    pub tag: [u8; 16],
    /// This program.
    pub program: [u8; 32],
    /// First 8 bytes of the genesis hash of the cluster it runs on.
    pub cluster: [u8; 8],
    /// First 8 bytes of the board's address.
    pub board: [u8; 8],
    /// Serial of the lease on that board.
    pub lease: u32,
    pub generation: u32,
    /// Ed25519 key of the machine.
    pub node_key: [u8; 32],
    /// Wallet that is billed: `buyer` of the lease.
    pub buyer: [u8; 32],
    /// Number of receipts of this machine in this lease before this one.
    pub seq: u64,
    /// sha256 of the model's manifest.
    pub model: [u8; 32],
    /// sha256(salt | request) and sha256(salt | response); the salt goes to the caller alone.
    pub request: [u8; 32],
    pub response: [u8; 32],
    /// Compute units, as agreed between machine and buyer.
    pub units: u64,
    pub tokens_in: u32,
    pub tokens_out: u32,
    /// Payment units.
    pub price: u64,
    /// Mint of the payment units.
    pub mint: [u8; 32],
    /// Unix milliseconds in which the work began and the receipt was signed.
    pub start_ms: u64,
    pub end_ms: u64,
    /// Hardware class of the machine.
    pub class: u16,
    /// Reserved, zero.
    pub flags: u16,
    /// The machine's slot on the board and the slot's generation, which exclude any other listing of the same key.
    pub slot: u16,
    pub padding: u16,
}

const _: () = assert!(core::mem::size_of::<Receipt>() == Receipt::LEN);

impl Receipt {
    pub const LEN: usize = 320;
    pub const TAG: [u8; 16] = *b"LEASEHOLD:RCPT:1";

    /// Reads a receipt; `None` if the bytes are no receipt of this version and program.
    pub fn read(bytes: &[u8]) -> Option<Receipt> {
        let receipt: Receipt = (bytes.len() == Self::LEN).then(|| bytemuck::pod_read_unaligned(bytes))?;
        let ours = receipt.tag == Self::TAG && receipt.program == crate::ID.to_bytes();
        let plain = receipt.flags == 0 && receipt.start_ms <= receipt.end_ms;
        (ours && plain).then_some(receipt)
    }

    pub fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }

    /// Id of the answer.
    pub fn id(&self) -> [u8; 32] {
        digest(Domain::Receipt, &[self.bytes()])
    }

    /// Its leaf in the batch.
    pub fn leaf(&self) -> SumNode {
        SumNode { hash: self.id(), units: self.units, price: self.price }
    }

    /// True if `machine` is the one that the receipt names.
    pub fn is_by(&self, machine: &Slot) -> bool {
        !machine.is(SlotState::Vacant)
            && machine.node_key == self.node_key
            && machine.generation == self.generation
    }

    /// True if it names that board and that lease.
    pub fn is_of(&self, board: &Pubkey, lease: u32) -> bool {
        board.as_ref().starts_with(&self.board) && self.lease == lease
    }

    /// True if it was signed for this lease, and not for one that had its address before. A receipt whose time is before
    /// the lease must be refused by whoever is given it.
    pub fn is_under(&self, lease: &Lease) -> bool {
        let begin = u64::from(lease.from).saturating_mul(u64::from(lease.terms.round_secs));
        self.is_of(&lease.board, lease.serial) && self.end_ms >= begin.saturating_mul(1_000)
    }
}
