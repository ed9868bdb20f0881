use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseExtended,
    instructions::{refuse_stray, tokens::*},
    rules,
    state::{Board, Lease},
};

#[event_cpi]
#[derive(Accounts)]
pub struct TopUpLease<'info> {
    /// Pays the deposit. What is not spent is refunded to the lease's owner.
    pub payer: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    pub tokens: Tokens<'info>,
}

/// Adds to the deposit of a metered lease. Anybody may.
pub fn top_up_lease(ctx: Context<TopUpLease>, amount: u64) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let TopUpLease { payer, board, lease, tokens, .. } = &mut *ctx.accounts;
    {
        let key = board.key();
        let mut board = board.load_mut()?;
        tokens.validate_payment(&key, &board)?;
        rules::meter::top_up(&mut board, lease, amount)?;
    }
    let until = lease.until;
    tokens.take(payer, amount)?;
    emit_cpi!(LeaseExtended { lease: ctx.accounts.lease.key(), until, leaving: 0, deposit: amount });
    Ok(())
}
