use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::MachineConvicted,
    instructions::{now, on_board, record::pay_fee, refuse_stray},
    rules,
    state::{Board, Demand, Lease},
};

#[event_cpi]
#[derive(Accounts)]
pub struct EnforceDemand<'info> {
    /// Gets the demand's fee.
    #[account(mut)]
    pub caller: Signer<'info>,
    /// CHECK: only gets the rent that it paid.
    #[account(mut)]
    pub claimant: UncheckedAccount<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    #[account(
        mut,
        close = claimant,
        has_one = claimant @ LeaseholdError::WrongClaimant,
        has_one = lease @ LeaseholdError::WrongReceipt
    )]
    pub demand: Box<Account<'info, Demand>>,
}

/// Enforces a demand that was not answered in time: the machine loses its whole bond, unless it has lost it already. Anybody
/// may, and is paid the demand's fee.
pub fn enforce_demand(ctx: Context<EnforceDemand>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let EnforceDemand { caller, board, lease, demand, .. } = &mut *ctx.accounts;
    let now = now()?;
    let slashed = on_board(board, |board, slots| rules::dispute::enforce(board, slots, lease, demand, now))?;
    pay_fee(demand, caller)?;
    let (slot, receipt) = (demand.slot, demand.leaf.hash);
    emit_cpi!(MachineConvicted { lease: ctx.accounts.lease.key(), slot, receipt, slashed });
    Ok(())
}
