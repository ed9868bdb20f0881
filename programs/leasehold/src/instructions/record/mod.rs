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
pub mod skip_receipts;
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
pub use skip_receipts::*;
pub use verify_receipt::*;

use anchor_lang::prelude::*;

use crate::{error::LeaseholdError, state::Demand};

/// Pays a demand's fee to whoever ends it; what is left in its account is its rent.
fn pay_fee<'info>(demand: &Account<'info, Demand>, to: &Signer<'info>) -> Result<()> {
    let (demand_info, to) = (demand.to_account_info(), to.to_account_info());
    let left = demand_info.lamports().checked_sub(demand.fee).ok_or(LeaseholdError::MathOverflow)?;
    let paid = to.lamports().checked_add(demand.fee).ok_or(LeaseholdError::MathOverflow)?;
    **demand_info.try_borrow_mut_lamports()? = left;
    **to.try_borrow_mut_lamports()? = paid;
    Ok(())
}
