use anchor_lang::{prelude::*, solana_program::program::set_return_data};

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    math::sum_tree::{SumNode, climb},
    state::{BatchHeader, ComputeLog},
};

/// Proof that a batch is in a log.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct BatchProof {
    pub header: BatchHeader,
    /// Index of the batch in the log.
    pub index: u64,
    /// Sibling hashes on the path to its peak, lowest first.
    pub path: Vec<[u8; 32]>,
}

impl BatchProof {
    pub fn require_in(&self, log: &ComputeLog) -> Result<()> {
        require!(log.holds(&self.header, self.index, &self.path), LeaseholdError::NotInLog);
        Ok(())
    }
}

/// Return data of `verify_receipt`.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// Number of the receipt among its machine's.
    pub seq: u64,
    pub header: BatchHeader,
    /// Sums over all receipts of the batch before it.
    pub units_before: u64,
    pub price_before: u64,
}

#[derive(Accounts)]
pub struct VerifyReceipt<'info> {
    pub log: AccountLoader<'info, ComputeLog>,
}

/// Verifies that a receipt is in a log. Changes nothing; returns a `VerifiedReceipt`.
///
/// The caller takes `leaf`, which is id, units and price, from the receipt itself: the program sees the receipt's hash
/// only.
pub fn verify_receipt(
    ctx: Context<VerifyReceipt>,
    leaf: SumNode,
    place: u32,
    path: Vec<SumNode>,
    batch: BatchProof,
) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    batch.require_in(&*ctx.accounts.log.load()?)?;
    let proven = climb(leaf, place, batch.header.count, &path).ok_or(LeaseholdError::NotInLog)?;
    require!(proven.root == batch.header.root, LeaseholdError::NotInLog);
    let verified = VerifiedReceipt {
        seq: batch.header.first_seq.saturating_add(u64::from(place)),
        header: batch.header,
        units_before: proven.units_before,
        price_before: proven.price_before,
    };
    let mut data = Vec::with_capacity(core::mem::size_of::<VerifiedReceipt>());
    verified.serialize(&mut data)?;
    set_return_data(&data);
    Ok(())
}

/// Verifies that a batch is in a log, and thereby the sums in its header. Changes nothing.
pub fn verify_batch(ctx: Context<VerifyReceipt>, batch: BatchProof) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    batch.require_in(&*ctx.accounts.log.load()?)
}
