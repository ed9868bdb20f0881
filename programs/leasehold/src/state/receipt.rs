use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::{
    math::{
        digest::{Domain, digest},
        sum_tree::SumNode,
    },
    state::{Board, Lease, Slot, SlotState},
};

/// Receipt: what a machine signs for each answer, version 2. All numbers are little-endian; `tests/vectors/record.json`
/// has examples.
///
/// The first 130 bytes, the *head*, say which number it is of which machine in which lease, and when it was signed. The
/// signature is Ed25519 of the machine's key over [`Receipt::message`].
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
    /// Generation of the machine's slot, which excludes any other machine that was or will be in it.
    pub generation: u32,
    /// Ed25519 key of the machine.
    pub node_key: [u8; 32],
    /// First 8 bytes of the address of its supplier's account.
    pub supplier: [u8; 8],
    /// Number of the receipt: no other one of this machine has it. Numbers run on through all leases of a machine.
    pub seq: u64,
    /// Unix milliseconds in which it was signed.
    pub end_ms: u64,
    /// The machine's slot on the board.
    pub slot: u16,
    /// Hardware class of the machine.
    pub class: u16,
    /// Reserved, zero.
    pub flags: u16,
    /// Reserved, zero.
    pub reserved: u16,
    /// Wallet that is billed: `buyer` of the lease.
    pub buyer: [u8; 32],
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
    /// Unix milliseconds in which the work began.
    pub start_ms: u64,
}

const _: () = assert!(core::mem::size_of::<Receipt>() == Receipt::LEN);
const _: () = assert!(core::mem::offset_of!(Receipt, class) == Receipt::HEAD_LEN);

impl Receipt {
    pub const LEN: usize = 328;
    pub const TAG: [u8; 16] = *b"LEASEHOLD:RCPT:2";
    /// Bytes of the head.
    pub const HEAD_LEN: usize = 130;
    /// Bytes that are signed.
    pub const MESSAGE_LEN: usize = 48;

    /// Reads a receipt; `None` if the bytes are no receipt of this version and program.
    pub fn read(bytes: &[u8]) -> Option<Receipt> {
        let receipt: Receipt = (bytes.len() == Self::LEN).then(|| bytemuck::pod_read_unaligned(bytes))?;
        receipt.is_well_formed().then_some(receipt)
    }

    /// True if it is a receipt of this version and program.
    pub fn is_well_formed(&self) -> bool {
        let ours = self.tag == Self::TAG && self.program == crate::ID.to_bytes();
        ours && (self.flags, self.reserved) == (0, 0) && self.start_ms <= self.end_ms
    }

    pub fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }

    /// Id of the answer: a hash over the head, and over the hash of the rest.
    pub fn id(&self) -> [u8; 32] {
        self.id_with(&self.rest())
    }

    /// Hash of all that follows the head.
    pub fn rest(&self) -> [u8; 32] {
        let (_, rest) = self.bytes().split_at(Self::HEAD_LEN);
        digest(Domain::ReceiptRest, &[rest])
    }

    /// Id of the receipt with this head whose rest has that hash.
    pub fn id_with(&self, rest: &[u8; 32]) -> [u8; 32] {
        let (head, _) = self.bytes().split_at(Self::HEAD_LEN);
        digest(Domain::Receipt, &[head, rest])
    }

    /// What the machine's key signs: the tag, and the id.
    pub fn message(&self) -> [u8; Self::MESSAGE_LEN] {
        Self::message_of(&self.id())
    }

    /// What is signed for the receipt with that id.
    pub fn message_of(id: &[u8; 32]) -> [u8; Self::MESSAGE_LEN] {
        let mut message = [0; Self::MESSAGE_LEN];
        let (tag, rest) = message.split_at_mut(Self::TAG.len());
        tag.copy_from_slice(&Self::TAG);
        rest.copy_from_slice(id);
        message
    }

    /// Its leaf in the batch.
    pub fn leaf(&self) -> SumNode {
        SumNode { hash: self.id(), units: self.units, price: self.price }
    }

    /// True if it names that machine's key, supplier and generation, and the machine is in its slot.
    pub fn is_by(&self, machine: &Slot) -> bool {
        self.has_key(machine) && self.has_supplier(machine) && self.generation == machine.generation
    }

    /// True if the slot holds a machine with the key that the receipt names.
    pub fn has_key(&self, machine: &Slot) -> bool {
        !machine.is(SlotState::Vacant) && machine.node_key == self.node_key
    }

    /// True if it names the machine's supplier.
    pub fn has_supplier(&self, machine: &Slot) -> bool {
        machine.supplier.as_ref().starts_with(&self.supplier)
    }

    /// True if it names the cluster of that board.
    pub fn has_cluster(&self, board: &Board) -> bool {
        board.genesis.starts_with(&self.cluster)
    }

    /// True if it names that board and that lease.
    pub fn is_of(&self, board: &Pubkey, lease: u32) -> bool {
        board.as_ref().starts_with(&self.board) && self.lease == lease
    }

    /// True if it was signed for this lease, and not for one before that had its serial: on a board whose market was
    /// closed and created again. A receipt whose time is before the lease must be refused by whoever is given it.
    pub fn is_under(&self, lease: &Lease) -> bool {
        self.is_of(&lease.board, lease.serial) && is_after_begin(self.end_ms, lease)
    }
}

/// True if the lease had begun at that Unix millisecond.
pub fn is_after_begin(ms: u64, lease: &Lease) -> bool {
    ms >= u64::try_from(lease.begins()).unwrap_or_default().saturating_mul(1_000)
}
