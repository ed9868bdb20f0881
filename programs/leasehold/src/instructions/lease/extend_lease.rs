use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseExtended,
    instructions::{now, on_board, refuse_stray, tokens::*},
    rules::{
        self,
        extend::{Allowance, Extension},
    },
    state::{Board, Lease, Market},
};

#[event_cpi]
#[derive(Accounts)]
pub struct ExtendLease<'info> {
    pub owner: Signer<'info>,
    /// Pays the deposit: the owner, or whoever pays for it.
    pub payer: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        mut,
        has_one = owner @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard
    )]
    pub lease: Box<Account<'info, Lease>>,
    pub tokens: Tokens<'info>,
}

impl ExtendLease<'_> {
    fn validate(&self) -> Result<()> {
        self.tokens.validate_payment(&self.board.key(), &*self.board.load()?)
    }
}

/// Extends a lease by more rounds, at the prices and terms it was opened with. A metered lease costs nothing more. Up to
/// `max_leaving` machines that are not committed for so long leave at the old end.
pub fn extend_lease(
    ctx: Context<ExtendLease>,
    rounds: u32,
    max_deposit: u64,
    max_leaving: u32,
) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let ExtendLease { payer, market, board, lease, tokens, .. } = &mut *ctx.accounts;
    let now = now()?;
    let allowed = Allowance { max_deposit, max_leaving };
    let Extension { until, leaving, deposit, .. } = on_board(board, |board, slots| {
        rules::extend::apply(market, board, slots, lease, now, rounds, allowed)
    })?;
    if deposit > 0 {
        tokens.take(payer, deposit)?;
    }
    emit_cpi!(LeaseExtended { lease: ctx.accounts.lease.key(), until, leaving, deposit });
    Ok(())
}
