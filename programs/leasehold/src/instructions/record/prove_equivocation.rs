use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::MachineConvicted,
    instructions::{on_board, refuse_stray, signatures::signed},
    rules::{self, dispute::Namesake},
    state::{Board, Lease, Receipt, machine_mut},
};

#[event_cpi]
#[derive(Accounts)]
pub struct ProveEquivocation<'info> {
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    /// CHECK: its address.
    #[account(address = solana_sdk_ids::sysvar::instructions::ID)]
    pub instructions: UncheckedAccount<'info>,
}

impl ProveEquivocation<'_> {
    /// Refuses receipts that the key of the first did not sign both. Returns the id of the second.
    fn validate(&self, receipt: &Receipt, other: &Namesake) -> Result<[u8; 32]> {
        require!(receipt.is_well_formed(), LeaseholdError::ReceiptMalformed);
        let signed = signed(&self.instructions, 2, Receipt::MESSAGE_LEN)?;
        let id = other.id(receipt);
        let both = signed.message(0)? == receipt.message() && signed.message(1)? == Receipt::message_of(&id);
        require!(both && signed.key == receipt.node_key, LeaseholdError::WrongReceipt);
        Ok(id)
    }
}

/// Slashes the bond of a machine that signed two receipts with the same number: `receipt`, and another one with its head but
/// for the time. Anybody may. The instruction before must be that of the Ed25519 program which checks both signatures.
pub fn prove_equivocation(ctx: Context<ProveEquivocation>, receipt: Receipt, other: Namesake) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let id = ctx.accounts.validate(&receipt, &other)?;
    let ProveEquivocation { board, lease, .. } = &mut *ctx.accounts;
    let slashed = on_board(board, |board, slots| {
        rules::dispute::accused(board, slots, lease, &receipt)?;
        other.require_contradicting(&receipt, lease)?;
        let machine = machine_mut(slots, receipt.slot)?;
        rules::dispute::convict(board, machine, lease)
    })?;
    let (lease, slot) = (ctx.accounts.lease.key(), receipt.slot);
    emit_cpi!(MachineConvicted { lease, slot, receipt: id, slashed });
    Ok(())
}
