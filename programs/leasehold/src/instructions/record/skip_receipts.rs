use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    rules,
    state::{Board, ComputeLog, Supplier, split, split_log_mut},
};

#[derive(Accounts)]
pub struct SkipReceipts<'info> {
    /// The log's operator, or the supplier's authority.
    pub operator: Signer<'info>,
    pub supplier: Account<'info, Supplier>,
    #[account(mut, has_one = supplier @ LeaseholdError::WrongSupplier)]
    pub log: AccountLoader<'info, ComputeLog>,
    pub board: AccountLoader<'info, Board>,
}

impl SkipReceipts<'_> {
    fn validate(&self) -> Result<()> {
        rules::log::require_operator(&*self.log.load()?, &self.supplier, self.operator.key)?;
        require_keys_eq!(self.board.load()?.market, self.supplier.market, LeaseholdError::WrongMarket);
        Ok(())
    }
}

/// Leaves out the next 2^20 numbers of a machine's receipts, in the lease that it serves. A node that lost its database
/// calls it, and goes on from the lane's new number: it can't sign one of those again that it signed before.
pub fn skip_receipts(ctx: Context<SkipReceipts>, slot: u16, lease: u32) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let SkipReceipts { supplier, log, board, .. } = ctx.accounts;
    let (log_info, board_info) = (log.to_account_info(), board.to_account_info());
    let (mut log_data, board_data) = (log_info.try_borrow_mut_data()?, board_info.try_borrow_data()?);
    let (_, lanes) = split_log_mut(&mut log_data)?;
    let (board, slots) = split(&board_data)?;
    let machine = rules::log::own_machine(slots, slot, &supplier.key())?;
    let lane = rules::log::lane_mut(lanes, board.index, slot)?;
    rules::log::skip(machine, lane, lease)?;
    Ok(())
}
