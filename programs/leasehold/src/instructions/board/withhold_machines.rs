use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, on_board, refuse_stray},
    rules,
    state::{Board, Supplier, machine_mut},
};

#[derive(Accounts)]
pub struct WithholdMachines<'info> {
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Withholds machines that are neither leased nor bound from new leases, at once and whatever their commitment.
/// `reprice_machines` offers them again.
pub fn withhold_machines(ctx: Context<WithholdMachines>, machines: Vec<u16>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    require!(!machines.is_empty(), LeaseholdError::NoMachines);
    let WithholdMachines { supplier, board, .. } = ctx.accounts;
    let now = now()?;
    on_board(board, |board, slots| {
        let round = board.round_at(now)?;
        for index in machines {
            let slot = machine_mut(slots, index)?;
            require_keys_eq!(slot.supplier, supplier.key(), LeaseholdError::WrongSupplier);
            rules::machine::withhold(slot, round)?;
        }
        Ok(())
    })
}
