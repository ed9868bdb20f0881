//! Markets: as read from the chain, as described by files, and plans about them.

pub mod create;
pub mod file;
pub mod params;
pub mod proposal;
mod view;

use leasehold::error::LeaseholdError;
use solana_pubkey::Pubkey;

pub use self::view::{MarketView, is_of_names, name};
use crate::{failure::Failure, plan::Plan};

/// Refuses a wallet that is not the market's authority.
pub fn require_authority(market: &MarketView, wallet: &Pubkey) -> Result<(), Failure> {
    if market.account.authority != *wallet {
        let values = format!("its authority is {}, and {wallet} signs", market.account.authority);
        return Err(Failure::rule(LeaseholdError::WrongAuthority, values));
    }
    Ok(())
}

/// A plan about a market: "Pause market 7".
pub fn about(market: &MarketView, what: &str) -> Plan {
    Plan::new(format!("{what} market {}", market.account.id)).fact(
        "Market:",
        "market",
        market.reference.address,
    )
}
