use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{record::BatchProof, refuse_stray},
    state::{ComputeLog, Demand, ShownBatch},
};

#[derive(Accounts)]
pub struct ShowBatch<'info> {
    #[account(mut)]
    pub demand: Box<Account<'info, Demand>>,
    #[account(constraint = log.load()?.supplier == demand.supplier @ LeaseholdError::WrongSupplier)]
    pub log: AccountLoader<'info, ComputeLog>,
}

/// First half of an answer to a demand: shows the batch that contains the receipt's number. Anybody may.
pub fn show_batch(ctx: Context<ShowBatch>, batch: BatchProof) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let ShowBatch { demand, log } = ctx.accounts;
    batch.require_in(&*log.load()?)?;
    let header = &batch.header;
    let same = header.board == demand.board
        && header.lease == demand.serial
        && (header.slot, header.generation) == (demand.slot, demand.generation);
    require!(same, LeaseholdError::WrongReceipt);
    let index = header.index_of(demand.seq).ok_or(LeaseholdError::WrongReceipt)?;
    demand.shown = Some(ShownBatch { root: header.root, count: header.count, index });
    Ok(())
}
