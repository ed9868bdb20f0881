use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{
        record::{Batch, BatchProof},
        refuse_stray,
    },
    state::{ComputeLog, Demand, ShownBatch},
};

#[derive(Accounts)]
pub struct ShowBatch<'info> {
    #[account(mut)]
    pub demand: Box<Account<'info, Demand>>,
    #[account(constraint = log.load()?.supplier == demand.supplier @ LeaseholdError::WrongSupplier)]
    pub log: AccountLoader<'info, ComputeLog>,
}

/// A batch of the log, without what a demand says already of its machine.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct BatchToShow {
    pub batch: Batch,
    /// sha256 of the URL of the receipts.
    pub source: [u8; 32],
    /// Index of the batch in the log.
    pub index: u64,
    /// Sibling hashes on the path to its peak, lowest first.
    pub path: Vec<[u8; 32]>,
}

impl BatchToShow {
    /// Proof that it is in the log, as a batch of the machine that the demand names.
    fn proof(self, demand: &Demand) -> BatchProof {
        let BatchToShow { batch, source, index, path } = self;
        let header = batch.header(demand.board, demand.node_key, demand.generation, source);
        BatchProof { header, index, path }
    }
}

/// First half of an answer to a demand: shows the batch that contains the receipt's number. Anybody may.
pub fn show_batch(ctx: Context<ShowBatch>, shown: BatchToShow) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let ShowBatch { demand, log } = ctx.accounts;
    let proof = shown.proof(demand);
    proof.require_in(&*log.load()?)?;
    let header = &proof.header;
    let same = (header.slot, header.lease) == (demand.slot, demand.serial);
    let index = header.index_of(demand.seq).filter(|_| same).ok_or(LeaseholdError::WrongReceipt)?;
    demand.shown = Some(ShownBatch { root: header.root, count: header.count, index });
    Ok(())
}
