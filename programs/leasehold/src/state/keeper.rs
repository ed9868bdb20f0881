use anchor_lang::prelude::*;

use crate::state::StakeLedger;

/// Somebody who attests and settles. Address: `["keeper", market, authority]`.
#[account]
#[derive(InitSpace, Debug)]
pub struct Keeper {
    /// Layout version of this account.
    pub version: u8,
    pub bump: u8,
    pub market: Pubkey,
    pub authority: Pubkey,
    /// Bond, and the caller's part of slashes that this keeper settled.
    pub stake: StakeLedger,
    /// Bond that its seats hold, in stake units.
    pub locked: u64,
    /// Seats on boards.
    pub seats: u32,
    /// Room for drawing seats by lot.
    pub reserved: [u8; 64],
}

impl Keeper {
    pub const VERSION: u8 = 1;
}
