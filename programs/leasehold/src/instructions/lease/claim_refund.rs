use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::RefundClaimed,
    instructions::{refuse_stray, tokens::*},
    math::sub,
    rules::claim::due,
    state::{Board, Lease},
};

#[event_cpi]
#[derive(Accounts)]
pub struct ClaimRefund<'info> {
    /// The lease's owner, or anybody on its behalf.
    pub signer: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    pub tokens: Tokens<'info>,
}

impl ClaimRefund<'_> {
    fn validate(&self) -> Result<()> {
        self.tokens.validate_payment(&self.board.key(), &*self.board.load()?)?;
        self.tokens.validate_claim(self.signer.key, &self.lease.owner)
    }
}

/// Pays the owner of a lease what was not spent.
pub fn claim_refund(ctx: Context<ClaimRefund>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let ClaimRefund { board, lease, tokens, .. } = &mut *ctx.accounts;
    let amount = due(core::mem::take(&mut lease.refund_due))?;
    let signer = {
        let mut board = board.load_mut()?;
        board.ledger.refunds = sub(board.ledger.refunds, amount)?;
        board.signer()
    };
    let owner = lease.owner;
    tokens.give(board.to_account_info(), &signer.seeds(), amount)?;
    emit_cpi!(RefundClaimed { lease: ctx.accounts.lease.key(), owner, amount });
    Ok(())
}
