use anchor_lang::prelude::*;

use crate::{
    constants::MAX_SOURCE,
    error::LeaseholdError,
    events::BatchesAppended,
    instructions::{now, refuse_stray},
    math::sum_tree::SumNode,
    rules,
    state::{BatchHeader, Board, ComputeLog, Supplier, split, split_log_mut},
};

/// A batch of receipts to append. The program adds the rest of its header.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub slot: u16,
    /// Serial of the lease.
    pub lease: u32,
    /// Number of batches of this machine before this one, so that a batch that is sent twice is refused.
    pub number: u32,
    pub count: u32,
    /// Number of the first receipt; not lower than the lane's next one.
    pub first_seq: u64,
    pub root: SumNode,
    /// `end_ms` of the first and of the last receipt.
    pub first_ms: u64,
    pub last_ms: u64,
}

#[event_cpi]
#[derive(Accounts)]
pub struct AppendBatches<'info> {
    /// The log's operator, or the supplier's authority.
    pub operator: Signer<'info>,
    pub supplier: Account<'info, Supplier>,
    #[account(mut, has_one = supplier @ LeaseholdError::WrongSupplier)]
    pub log: AccountLoader<'info, ComputeLog>,
    pub board: AccountLoader<'info, Board>,
}

impl AppendBatches<'_> {
    fn validate(&self, source: &str, batches: &[Batch]) -> Result<()> {
        rules::log::require_operator(&*self.log.load()?, &self.supplier, self.operator.key)?;
        require_keys_eq!(self.board.load()?.market, self.supplier.market, LeaseholdError::WrongMarket);
        require!((1..=MAX_SOURCE).contains(&source.len()), LeaseholdError::SourceLength);
        require!(!batches.is_empty(), LeaseholdError::NoBatches);
        Ok(())
    }
}

/// Appends batches of receipts to the log of their machines' supplier. All machines are of one board; `source` is the
/// URL of the receipts.
pub fn append_batches(ctx: Context<AppendBatches>, source: String, batches: Vec<Batch>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate(&source, &batches)?;
    let AppendBatches { supplier, log, board, .. } = ctx.accounts;
    let latest = rules::batch::latest_ms(now()?)?;
    let mut headers = Vec::with_capacity(batches.len());
    let first;
    {
        let (log_info, board_info) = (log.to_account_info(), board.to_account_info());
        let (mut log_data, board_data) = (log_info.try_borrow_mut_data()?, board_info.try_borrow_data()?);
        let (log, lanes) = split_log_mut(&mut log_data)?;
        let (board, slots) = split(&board_data)?;
        let hash = solana_sha256_hasher::hash(source.as_bytes()).to_bytes();
        first = log.batches;
        for batch in &batches {
            let slot = rules::log::own_machine(slots, batch.slot, &supplier.key())?;
            let lane = rules::log::lane_mut(lanes, board.index, batch.slot)?;
            lane.adopt(slot);
            rules::batch::follows(board, lane, batch, latest)?;
            let header = batch.header(*board_info.key, slot.node_key, slot.generation, hash);
            lane.advance(&header)?;
            log.append(&header)?;
            headers.push(header);
        }
    }
    emit_cpi!(BatchesAppended { log: ctx.accounts.log.key(), first, source, headers });
    Ok(())
}

impl Batch {
    /// Its header: of the machine with that key and generation. `source` is the sha256 of the URL of the receipts.
    pub fn header(
        &self,
        board: Pubkey,
        node_key: [u8; 32],
        generation: u32,
        source: [u8; 32],
    ) -> BatchHeader {
        BatchHeader {
            board,
            node_key,
            lease: self.lease,
            generation,
            number: self.number,
            count: self.count,
            first_seq: self.first_seq,
            root: self.root,
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            source,
            slot: self.slot,
            reserved: [0; 6],
        }
    }
}
