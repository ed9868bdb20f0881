use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::CompensationClaimed,
    instructions::{refuse_stray, tokens::*},
    math::sub,
    rules::claim::due,
    state::{Board, Lease, Market},
};

#[event_cpi]
#[derive(Accounts)]
pub struct ClaimCompensation<'info> {
    /// The lease's owner, or anybody on its behalf.
    pub signer: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    pub tokens: Tokens<'info>,
}

impl ClaimCompensation<'_> {
    fn validate(&self) -> Result<()> {
        self.tokens.validate_stake(&self.market)?;
        self.tokens.validate_claim(self.signer.key, &self.lease.owner)
    }
}

/// Pays the owner of a lease its part of the stake that the lease's machines lost.
pub fn claim_compensation(ctx: Context<ClaimCompensation>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let ClaimCompensation { market, board, lease, tokens, .. } = &mut *ctx.accounts;
    let amount = due(core::mem::take(&mut lease.compensation_due))?;
    {
        let mut board = board.load_mut()?;
        board.ledger.compensation = sub(board.ledger.compensation, amount)?;
    }
    let owner = lease.owner;
    tokens.give(market.to_account_info(), &market.signer().seeds(), amount)?;
    emit_cpi!(CompensationClaimed { lease: ctx.accounts.lease.key(), owner, amount });
    Ok(())
}
