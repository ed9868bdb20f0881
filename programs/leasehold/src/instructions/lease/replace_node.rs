use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::NodeReplaced,
    instructions::{now, on_board, refuse_stray, tokens::*},
    math::matching::CutOff,
    rules::{self, replace::Replacement},
    state::{Board, Lease},
};

#[event_cpi]
#[derive(Accounts)]
pub struct ReplaceNode<'info> {
    pub owner: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        mut,
        has_one = owner @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard
    )]
    pub lease: Box<Account<'info, Lease>>,
    pub tokens: Tokens<'info>,
}

impl ReplaceNode<'_> {
    fn validate(&self) -> Result<()> {
        self.tokens.validate_payment(&self.board.key(), &*self.board.load()?)
    }
}

/// Replaces a machine that is down, abandoned, forfeited or barred by the first one that fits the lease's criteria,
/// from the next round on.
///
/// The old machine is settled with the rounds closed so far. What is left of its deposit pays for the new
/// one; the owner adds at most `max_deposit` where that is not enough.
pub fn replace_node(
    ctx: Context<ReplaceNode>,
    old_slot: u16,
    max_deposit: u64,
    hint: Option<CutOff>,
) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let ReplaceNode { owner, board, lease, tokens, .. } = &mut *ctx.accounts;
    let now = now()?;
    let Replacement { slot: new_slot, outcome, deposit, .. } = on_board(board, |board, slots| {
        rules::replace::apply(board, slots, lease, now, old_slot, hint, max_deposit)
    })?;
    if deposit > 0 {
        tokens.take(owner, deposit)?;
    }
    emit_cpi!(NodeReplaced {
        lease: ctx.accounts.lease.key(),
        old_slot,
        new_slot,
        paid: outcome.payment.net,
        slashed: outcome.slash,
        deposit,
    });
    Ok(())
}
