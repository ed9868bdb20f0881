use anchor_lang::prelude::*;

use crate::state::StakeLedger;

/// Account of a supplier, which lists machines. Address: `["supplier", market, authority]`. Bonds are in the slots.
///
/// Lamports above this account's own rent are returned rent of slots; see `reclaim_rent`.
#[account]
#[derive(InitSpace, Debug)]
pub struct Supplier {
    /// Layout version of this account.
    pub version: u8,
    pub bump: u8,
    pub market: Pubkey,
    pub authority: Pubkey,
    /// Stake that is not bonded to a machine.
    pub stake: StakeLedger,
    /// Number of its machines on all boards.
    pub machines: u32,
    /// Reserved for the supplier's reputation.
    pub reserved: [u8; 96],
}

impl Supplier {
    pub const VERSION: u8 = 1;
}
