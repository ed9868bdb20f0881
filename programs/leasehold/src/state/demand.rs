use anchor_lang::prelude::*;

use crate::math::sum_tree::SumNode;

/// A demand for proof that a signed receipt is in the log. Address: `["demand", id of the receipt]`.
///
/// Whoever answers gets its rent, which pays for the answer; if nobody does, the claimant gets it back.
#[account]
#[derive(InitSpace, Debug)]
pub struct Demand {
    /// Layout version of this account.
    pub version: u8,
    pub bump: u8,
    /// Paid the rent.
    pub claimant: Pubkey,
    pub board: Pubkey,
    pub lease: Pubkey,
    /// Account of the supplier in whose log the receipt must be.
    pub supplier: Pubkey,
    /// The machine that signed it.
    pub slot: u16,
    pub generation: u32,
    /// Serial of the lease.
    pub serial: u32,
    /// Number of the receipt in the lease, and its leaf.
    pub seq: u64,
    pub leaf: SumNode,
    /// Round from which it can be enforced.
    pub due: u32,
    /// The batch in the log that contains this number, once it is shown.
    pub shown: Option<ShownBatch>,
}

impl Demand {
    pub const VERSION: u8 = 1;
}

/// A batch of the log that was shown.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownBatch {
    pub root: SumNode,
    pub count: u32,
    /// Index of the receipt in it.
    pub index: u32,
}
