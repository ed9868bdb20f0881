use anchor_lang::{
    prelude::*,
    system_program::{Transfer, transfer},
};
use bytemuck::Zeroable;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    math::add32,
    rules,
    state::{Board, ComputeLog, Lane, Supplier, log_len, split, split_log_mut},
};

#[derive(Accounts)]
pub struct OpenLanes<'info> {
    /// Pays the lanes' rent, and gets it back when the log is closed.
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut, has_one = supplier @ LeaseholdError::WrongSupplier)]
    pub log: AccountLoader<'info, ComputeLog>,
    pub board: AccountLoader<'info, Board>,
    pub system_program: Program<'info, System>,
}

impl OpenLanes<'_> {
    /// Refuses slots of other suppliers. Returns the board's index.
    fn validate(&self, machines: &[u16]) -> Result<u32> {
        require!(!machines.is_empty(), LeaseholdError::NoMachines);
        let info = self.board.to_account_info();
        let data = info.try_borrow_data()?;
        self.board.load()?;
        let (board, slots) = split(&data)?;
        require_keys_eq!(board.market, self.supplier.market, LeaseholdError::WrongMarket);
        let supplier = self.supplier.key();
        for machine in machines {
            rules::log::require_own_slot(slots, *machine, &supplier)?;
        }
        Ok(board.index)
    }

    /// Grows the log's account by `count` lanes.
    fn grow(&self, count: usize) -> Result<()> {
        let log = self.log.to_account_info();
        let lanes = (self.log.load()?.lanes as usize).saturating_add(count);
        let missing = Rent::get()?.minimum_balance(log_len(lanes)).saturating_sub(log.lamports());
        if missing > 0 {
            let from = self.authority.to_account_info();
            let accounts = Transfer { from, to: log.clone() };
            transfer(CpiContext::new(self.system_program.key(), accounts), missing)?;
        }
        log.resize(log_len(lanes))?;
        Ok(())
    }
}

/// Opens lanes in a log for machines of a board. A slot keeps its lane for later machines.
pub fn open_lanes(ctx: Context<OpenLanes>, machines: Vec<u16>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let board = ctx.accounts.validate(&machines)?;
    ctx.accounts.grow(machines.len())?;
    let info = ctx.accounts.log.to_account_info();
    let mut data = info.try_borrow_mut_data()?;
    let (log, lanes) = split_log_mut(&mut data)?;
    for slot in machines {
        let used = log.lanes as usize;
        let taken = lanes.get(..used).ok_or(LeaseholdError::LogMalformed)?;
        let place = rules::log::new_lane(taken, board, slot)?;
        // The last of these is still empty: rotating them by one opens a gap.
        let moved = lanes.get_mut(place..=used).ok_or(LeaseholdError::LogMalformed)?;
        moved.rotate_right(1);
        if let Some(lane) = moved.first_mut() {
            *lane = Lane { board, slot, ..Lane::zeroed() };
        }
        log.lanes = add32(log.lanes, 1)?;
    }
    Ok(())
}
