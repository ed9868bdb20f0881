pub mod answer_demand;
pub mod append_batches;
pub mod close_log;
pub mod create_log;
pub mod demand_receipt;
pub mod enforce_demand;
pub mod open_lanes;
pub mod prove_equivocation;
pub mod set_log_operator;
pub mod show_batch;
pub mod verify_receipt;

pub use answer_demand::*;
pub use append_batches::*;
pub use close_log::*;
pub use create_log::*;
pub use demand_receipt::*;
pub use enforce_demand::*;
pub use open_lanes::*;
pub use prove_equivocation::*;
pub use set_log_operator::*;
pub use show_batch::*;
pub use verify_receipt::*;

use anchor_lang::prelude::*;

use crate::{error::LeaseholdError, state::Keeper};

/// Refuses a keeper's account that is not the caller's, or of another market.
pub fn require_own_keeper(keeper: Option<&Keeper>, caller: &Pubkey, market: &Pubkey) -> Result<()> {
    if let Some(keeper) = keeper {
        require_keys_eq!(keeper.authority, *caller, LeaseholdError::WrongAuthority);
        require_keys_eq!(keeper.market, *market, LeaseholdError::WrongMarket);
    }
    Ok(())
}
