use anchor_lang::prelude::*;

use crate::math::sum_tree::SumNode;

/// A signed receipt that somebody wants to see in the log. Address: `["demand", id of the receipt]`.
///
/// Whoever answers it gets its rent, which pays for the answer; where nobody does, the claimant gets it back.
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
    pub generation: u16,
    /// Serial of the lease.
    pub serial: u32,
    /// Number of the receipt in the lease, and its leaf.
    pub seq: u64,
    pub leaf: SumNode,
    /// Round from which it can be enforced.
    pub due: u32,
    /// The batch in the log that has this number in it, once it was shown.
    pub shown: Option<ShownBatch>,
}

impl Demand {
    pub const VERSION: u8 = 1;
}

/// What is known of a batch in the log.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownBatch {
    pub root: SumNode,
    pub count: u32,
    /// Place of the receipt in it.
    pub index: u32,
}
