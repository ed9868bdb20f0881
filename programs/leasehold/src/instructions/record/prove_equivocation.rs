use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::MachineConvicted,
    instructions::{on_board, record::require_own_keeper, refuse_stray, signatures::signed},
    rules,
    state::{Board, Keeper, Lease, Receipt, machine_mut},
};

#[event_cpi]
#[derive(Accounts)]
pub struct ProveEquivocation<'info> {
    pub caller: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    /// CHECK: its address.
    #[account(address = solana_sdk_ids::sysvar::instructions::ID)]
    pub instructions: UncheckedAccount<'info>,
}

/// Slashes the bond of a machine that signed two receipts with the same number. Anybody may. The instruction before
/// must be that of the Ed25519 program which checks both signatures.
pub fn prove_equivocation(ctx: Context<ProveEquivocation>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let ProveEquivocation { board, lease, instructions, .. } = &mut *ctx.accounts;
    let signed = signed(instructions, 2, Receipt::LEN)?;
    let read = |index| -> Result<Receipt> {
        let receipt = Receipt::read(signed.message(index)?).ok_or(LeaseholdError::ReceiptMalformed)?;
        let same = receipt.node_key == signed.key && receipt.is_under(lease);
        require!(same, LeaseholdError::WrongReceipt);
        Ok(receipt)
    };
    let (one, other) = (read(0)?, read(1)?);
    require!(rules::dispute::contradict(&one, &other), LeaseholdError::NoEquivocation);
    let slashed = on_board(board, |board, slots| {
        rules::dispute::accused(slots, lease, &one)?;
        let machine = machine_mut(slots, one.slot)?;
        rules::dispute::convict(board, machine, lease)
    })?;
    let slot = one.slot;
    emit_cpi!(MachineConvicted { lease: ctx.accounts.lease.key(), slot, receipt: other.id(), slashed });
    Ok(())
}
