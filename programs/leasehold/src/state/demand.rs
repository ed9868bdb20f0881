use anchor_lang::prelude::*;

use crate::math::sum_tree::SumNode;

/// A demand for proof that a signed receipt is in the log. Address: `["demand", id of the receipt]`.
///
/// While it is open, it holds the machine's bond. Its rent returns to the claimant; the fee that the claimant paid into it
/// goes to whoever answers or, from `due` on, to whoever enforces it.
#[account]
#[derive(InitSpace, Debug)]
pub struct Demand {
    /// Layout version of this account.
    pub version: u8,
    pub bump: u8,
    /// Paid rent and fee.
    pub claimant: Pubkey,
    /// First 8 bytes of the genesis hash of the cluster.
    pub cluster: [u8; 8],
    pub board: Pubkey,
    pub lease: Pubkey,
    /// Account of the supplier in whose log the receipt must be.
    pub supplier: Pubkey,
    /// The machine that signed it.
    pub node_key: [u8; 32],
    pub slot: u16,
    pub generation: u32,
    /// Serial of the lease.
    pub serial: u32,
    /// Number of the receipt, and its leaf.
    pub seq: u64,
    pub leaf: SumNode,
    /// Unix seconds from which it can be enforced.
    pub due: i64,
    /// Lamports that answering or enforcing it earns.
    pub fee: u64,
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
