use anchor_lang::prelude::*;

use crate::{
    events::EarningsClaimed,
    instructions::{on_board, refuse_stray, tokens::*},
    math::{add, sub},
    rules::claim::due,
    state::{Board, Slot, Supplier},
};

#[event_cpi]
#[derive(Accounts)]
pub struct ClaimEarnings<'info> {
    /// The supplier's authority, or anybody on its behalf.
    pub signer: Signer<'info>,
    pub supplier: Account<'info, Supplier>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    pub tokens: Tokens<'info>,
}

impl ClaimEarnings<'_> {
    fn validate(&self) -> Result<()> {
        self.tokens.validate_payment(&self.board.key(), &*self.board.load()?)?;
        self.tokens.validate_claim(self.signer.key, &self.supplier.authority)
    }
}

/// Pays a supplier the earnings of all its machines on a board.
pub fn claim_earnings(ctx: Context<ClaimEarnings>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let supplier = ctx.accounts.supplier.key();
    let (amount, board) = on_board(&ctx.accounts.board, |board, slots| {
        let amount = due(collect(slots, &supplier)?)?;
        board.ledger.accrued = sub(board.ledger.accrued, amount)?;
        Ok((amount, board.signer()))
    })?;
    ctx.accounts.tokens.give(ctx.accounts.board.to_account_info(), &board.seeds(), amount)?;
    emit_cpi!(EarningsClaimed { board: ctx.accounts.board.key(), supplier, amount });
    Ok(())
}

/// Takes the earnings out of a supplier's slots.
fn collect(slots: &mut [Slot], supplier: &Pubkey) -> Result<u64> {
    let theirs = slots.iter_mut().filter(|slot| slot.accrued > 0 && slot.supplier == *supplier);
    let mut amount = 0;
    for slot in theirs {
        amount = add(amount, core::mem::take(&mut slot.accrued))?;
    }
    Ok(amount)
}
