use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::DemandAnswered,
    instructions::{on_board, record::pay_fee, refuse_stray},
    math::sum_tree::{SumNode, climb},
    rules,
    state::{Board, Demand, Lease},
};

#[event_cpi]
#[derive(Accounts)]
pub struct AnswerDemand<'info> {
    /// Gets the demand's fee.
    #[account(mut)]
    pub answerer: Signer<'info>,
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

impl AnswerDemand<'_> {
    /// Refuses a path that does not lead from the receipt to the batch that was shown.
    fn validate(&self, path: &[SumNode]) -> Result<()> {
        let shown = self.demand.shown.ok_or(LeaseholdError::BatchNotShown)?;
        let proven = climb(self.demand.leaf, shown.index, shown.count, path);
        let leads = proven.is_some_and(|proven| proven.root == shown.root);
        require!(leads, LeaseholdError::NotInLog);
        Ok(())
    }
}

/// Second half of the answer: shows the receipt in that batch, which ends the demand. Anybody may, and is paid the demand's
/// fee.
pub fn answer_demand(ctx: Context<AnswerDemand>, path: Vec<SumNode>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate(&path)?;
    let AnswerDemand { answerer, board, lease, demand, .. } = &mut *ctx.accounts;
    on_board(board, |_, slots| rules::dispute::release(slots, lease, demand))?;
    pay_fee(demand, answerer)?;
    let receipt = demand.leaf.hash;
    emit_cpi!(DemandAnswered { lease: ctx.accounts.lease.key(), receipt });
    Ok(())
}
