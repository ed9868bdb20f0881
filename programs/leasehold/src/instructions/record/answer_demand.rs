use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::DemandAnswered,
    instructions::refuse_stray,
    math::{
        sub32,
        sum_tree::{SumNode, climb},
    },
    state::{Demand, Lease},
};

#[event_cpi]
#[derive(Accounts)]
pub struct AnswerDemand<'info> {
    /// Gets the demand's rent.
    #[account(mut)]
    pub answerer: Signer<'info>,
    #[account(mut)]
    pub lease: Box<Account<'info, Lease>>,
    #[account(mut, close = answerer, has_one = lease @ LeaseholdError::WrongReceipt)]
    pub demand: Box<Account<'info, Demand>>,
}

/// Second half of the answer: shows the receipt in that batch, which ends the demand. Anybody may.
pub fn answer_demand(ctx: Context<AnswerDemand>, path: Vec<SumNode>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let AnswerDemand { lease, demand, .. } = &mut *ctx.accounts;
    let shown = demand.shown.ok_or(LeaseholdError::BatchNotShown)?;
    let proven =
        climb(demand.leaf, shown.index, shown.count, &path).filter(|proven| proven.root == shown.root);
    require!(proven.is_some(), LeaseholdError::NotInLog);
    lease.demands = sub32(lease.demands, 1)?;
    let receipt = demand.leaf.hash;
    emit_cpi!(DemandAnswered { lease: ctx.accounts.lease.key(), receipt });
    Ok(())
}
