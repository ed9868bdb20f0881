use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::{
    error::LeaseholdError,
    math::{
        Exact, add, add32,
        mmr::{self, MAX_PEAKS},
    },
    state::{BatchHeader, SKIP, Slot},
};

/// Header of a supplier's compute log: a Merkle mountain range over batches of receipts. The machines' lanes follow it. Address: `["log", supplier]`.
#[account(zero_copy)]
#[derive(Debug)]
pub struct ComputeLog {
    pub supplier: Pubkey,
    /// Wallet that may append besides the supplier's authority: usually the node's.
    pub operator: Pubkey,
    /// Number of batches: leaves of the range.
    pub batches: u64,
    /// Their sums: receipts, compute units, payment units.
    pub receipts: u64,
    pub units: u64,
    pub price: u64,
    /// See [`Peaks`](mmr::Peaks).
    pub peaks: [[u8; 32]; MAX_PEAKS],
    /// Number of lanes after this header.
    pub lanes: u32,
    /// Layout version of this account.
    pub version: u8,
    /// Bump of this account's address.
    pub bump: u8,
    pub padding: [u8; 2],
    pub reserved: [u64; 8],
}

const _: () = assert!(core::mem::size_of::<ComputeLog>() == 1_448);

/// A lane: the state of the batches of one slot.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Lane {
    /// Index of the board in its market.
    pub board: u32,
    /// Generation of the machine that appended or skipped last.
    pub generation: u32,
    /// Lease in which it did last.
    pub lease: u32,
    /// Number of its batches.
    pub batches: u32,
    /// Least number that its next receipt can have, in whichever lease.
    pub next_seq: u64,
    /// `last_ms` of its last batch.
    pub last_ms: u64,
    pub slot: u16,
    /// Reserved, zero.
    pub reserved: [u8; 6],
}

const _: () = assert!(core::mem::size_of::<Lane>() == 40);

impl Lane {
    /// Lanes are sorted by this.
    pub fn key(&self) -> (u32, u16) {
        (self.board, self.slot)
    }

    /// Resets the lane if another machine is in the slot now.
    pub fn adopt(&mut self, slot: &Slot) {
        if self.generation != slot.generation {
            *self =
                Lane { board: self.board, slot: self.slot, generation: slot.generation, ..Lane::zeroed() };
        }
    }

    /// Leaves out the next [`SKIP`] numbers, in a lease. Returns the least one that is left.
    pub fn skip(&mut self, lease: u32) -> Result<u64> {
        self.next_seq = add(self.next_seq, SKIP)?;
        self.lease = lease;
        Ok(self.next_seq)
    }

    /// Advances the lane past a batch.
    pub fn advance(&mut self, header: &BatchHeader) -> Result<()> {
        self.lease = header.lease;
        self.next_seq = header.next_seq();
        self.last_ms = header.last_ms;
        self.batches = add32(self.batches, 1)?;
        Ok(())
    }
}

/// Bytes before the lanes: Anchor's discriminator and the header.
pub const LANES_OFFSET: usize = 8 + core::mem::size_of::<ComputeLog>();

/// Size in bytes of the account of a log with that many lanes.
pub const fn log_len(lanes: usize) -> usize {
    LANES_OFFSET.saturating_add(lanes.saturating_mul(core::mem::size_of::<Lane>()))
}

impl ComputeLog {
    pub const VERSION: u8 = 1;

    /// Appends a batch. Returns its index in the log.
    pub fn append(&mut self, header: &BatchHeader) -> Exact<u64> {
        let index = self.batches;
        mmr::append(&mut self.peaks, index, header.leaf())?;
        self.batches = add(index, 1)?;
        self.receipts = add(self.receipts, u64::from(header.count))?;
        self.units = add(self.units, header.root.units)?;
        self.price = add(self.price, header.root.price)?;
        Ok(index)
    }

    /// True if the batch is in the log at that index.
    pub fn holds(&self, header: &BatchHeader, index: u64, path: &[[u8; 32]]) -> bool {
        mmr::verify(&self.peaks, self.batches, header.leaf(), index, path)
    }
}

/// Header and lanes of a log's account, whose owner and discriminator the caller has checked.
pub fn split_log_mut(data: &mut [u8]) -> Result<(&mut ComputeLog, &mut [Lane])> {
    require!(data.len() >= LANES_OFFSET, LeaseholdError::LogMalformed);
    let (header, lanes) = data.split_at_mut(LANES_OFFSET);
    let header = header.get_mut(8..).ok_or(LeaseholdError::LogMalformed)?;
    Ok((
        bytemuck::try_from_bytes_mut(header).map_err(|_| LeaseholdError::LogMalformed)?,
        bytemuck::try_cast_slice_mut(lanes).map_err(|_| LeaseholdError::LogMalformed)?,
    ))
}

/// As [`split_log_mut`], to read.
pub fn split_log(data: &[u8]) -> Result<(&ComputeLog, &[Lane])> {
    let header = data.get(8..LANES_OFFSET).ok_or(LeaseholdError::LogMalformed)?;
    let lanes = data.get(LANES_OFFSET..).ok_or(LeaseholdError::LogMalformed)?;
    Ok((
        bytemuck::try_from_bytes(header).map_err(|_| LeaseholdError::LogMalformed)?,
        bytemuck::try_cast_slice(lanes).map_err(|_| LeaseholdError::LogMalformed)?,
    ))
}
