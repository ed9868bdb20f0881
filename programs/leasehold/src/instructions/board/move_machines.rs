use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{on_board, refuse_stray},
    rules,
    state::{Board, Endpoint, Supplier, machine_mut},
};

/// New address of a machine.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub slot: u16,
    pub endpoint: Endpoint,
}

#[derive(Accounts)]
pub struct MoveMachines<'info> {
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Changes the addresses of machines, leased ones too.
pub fn move_machines(ctx: Context<MoveMachines>, moves: Vec<Move>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    require!(!moves.is_empty(), LeaseholdError::NoMachines);
    let MoveMachines { supplier, board, .. } = ctx.accounts;
    on_board(board, |_, slots| {
        for Move { slot, endpoint } in moves {
            let slot = machine_mut(slots, slot)?;
            require_keys_eq!(slot.supplier, supplier.key(), LeaseholdError::WrongSupplier);
            rules::machine::relocate(slot, endpoint)?;
        }
        Ok(())
    })
}
