use anchor_lang::prelude::*;

use crate::state::StakeLedger;

/// Account of a keeper, which votes on rounds and settles leases. Address: `["keeper", market, authority]`.
#[account]
#[derive(InitSpace, Debug)]
pub struct Keeper {
    /// Layout version of this account.
    pub version: u8,
    pub bump: u8,
    pub market: Pubkey,
    pub authority: Pubkey,
    /// Stake units that are not bonded to a seat.
    pub stake: StakeLedger,
    /// Stake units bonded to its seats.
    pub locked: u64,
    /// Number of its seats on all boards.
    pub seats: u32,
    /// Reserved for seats by lot.
    pub reserved: [u8; 64],
}

impl Keeper {
    pub const VERSION: u8 = 1;
}
