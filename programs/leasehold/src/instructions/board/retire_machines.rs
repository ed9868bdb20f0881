use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, on_board, refuse_stray, shrink},
    rules,
    state::{Board, Supplier, machine_mut},
};

#[derive(Accounts)]
pub struct RetireMachines<'info> {
    /// The supplier's authority; anybody, from 30 days after a machine's commitment.
    pub signer: Signer<'info>,
    #[account(mut)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Retires machines that are not leased: takes them off the board and frees their bonds, once the dispute window of
/// their last lease is over. Their earnings must be claimed first.
///
/// Only `forfeit_machines` takes machines out of leases: what a supplier signs here can't come to mean something else
/// because its machine was leased in the meantime.
pub fn retire_machines(ctx: Context<RetireMachines>, machines: Vec<u16>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    require!(!machines.is_empty(), LeaseholdError::NoMachines);
    let RetireMachines { signer, supplier, board } = ctx.accounts;
    let by_supplier = signer.key() == supplier.authority;
    let now = now()?;
    let round = on_board(board, |board, slots| {
        let round = board.round_at(now)?;
        for index in machines {
            let slot = machine_mut(slots, index)?;
            require_keys_eq!(slot.supplier, supplier.key(), LeaseholdError::WrongSupplier);
            rules::machine::retire(board, slot, supplier, by_supplier, now, round)?;
        }
        Ok(round)
    })?;
    shrink(board.as_ref(), round, supplier.as_ref(), usize::MAX)?;
    Ok(())
}
