use anchor_lang::prelude::*;

use crate::state::StakeLedger;

/// Somebody who lists machines. Address: `["supplier", market, authority]`. Bonds lie in the slots.
///
/// Lamports above this account's rent are rent of slots that came back; see `reclaim_rent`.
#[account]
#[derive(InitSpace, Debug)]
pub struct Supplier {
    /// Layout version of this account.
    pub version: u8,
    pub bump: u8,
    pub market: Pubkey,
    pub authority: Pubkey,
    /// Stake that no machine is bonded with.
    pub stake: StakeLedger,
    /// Machines on boards, listed or suspended.
    pub machines: u32,
    /// Room for the operator's reputation and compute log.
    pub reserved: [u8; 96],
}

impl Supplier {
    pub const VERSION: u8 = 1;
}
