use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, on_board, refuse_stray},
    rules,
    state::{Board, Supplier, machine_mut},
};

#[derive(Accounts)]
pub struct ForfeitMachines<'info> {
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Forfeits machines: takes them out of running leases. They earn nothing from now on and lose their whole bonds when
/// the leases are settled; after that they can retire.
pub fn forfeit_machines(ctx: Context<ForfeitMachines>, machines: Vec<u16>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    require!(!machines.is_empty(), LeaseholdError::NoMachines);
    let ForfeitMachines { supplier, board, .. } = ctx.accounts;
    let now = now()?;
    on_board(board, |board, slots| {
        let round = board.round_at(now)?;
        for index in machines {
            let slot = machine_mut(slots, index)?;
            require_keys_eq!(slot.supplier, supplier.key(), LeaseholdError::WrongSupplier);
            rules::machine::forfeit(slot, round)?;
        }
        Ok(())
    })
}
