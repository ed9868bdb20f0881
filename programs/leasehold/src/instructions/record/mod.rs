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

use crate::{
    error::LeaseholdError,
    instructions::share_out,
    math::add,
    state::{Board, Keeper, Lease, Slot, SlotState},
};

/// Takes the whole bond of a machine that lied, and bars it: it can only leave.
///
/// The owner of the lease is compensated only while the machine serves it. Of leases that it served before the
/// slot keeps no record, and a supplier could have its machine lie in the lease of a friend.
pub fn convict(
    board: &mut Board,
    slot: &mut Slot,
    lease: &mut Lease,
    keeper: Option<&mut Keeper>,
) -> Result<u64> {
    require!(!slot.is(SlotState::Barred), LeaseholdError::MachineBarred);
    let slashed = core::mem::take(&mut slot.bond);
    let mut split = lease.terms.split.of(slashed)?;
    if slot.lease != lease.serial {
        split.burn = add(split.burn, core::mem::take(&mut split.buyer))?;
    }
    slot.state = SlotState::Barred as u8;
    slot.attested_from = Slot::UNATTESTED;
    share_out(board, lease, split, keeper)?;
    Ok(slashed)
}

/// Refuses a keeper's account that is not the caller's.
pub fn require_own_keeper(keeper: Option<&Keeper>, caller: &Pubkey, market: &Pubkey) -> Result<()> {
    if let Some(keeper) = keeper {
        require_keys_eq!(keeper.authority, *caller, LeaseholdError::WrongAuthority);
        require_keys_eq!(keeper.market, *market, LeaseholdError::WrongMarket);
    }
    Ok(())
}
