use anchor_lang::prelude::*;

use crate::{
    constants::DEMAND_SEED,
    error::LeaseholdError,
    events::ReceiptDemanded,
    instructions::{now, refuse_stray, signatures::signed},
    rules,
    state::{Board, Demand, Lease, Receipt, split},
};

#[event_cpi]
#[derive(Accounts)]
#[instruction(id: [u8; 32])]
pub struct DemandReceipt<'info> {
    /// Pays the demand's rent, which goes to whoever answers.
    #[account(mut)]
    pub claimant: Signer<'info>,
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    #[account(
        init,
        payer = claimant,
        space = 8 + Demand::INIT_SPACE,
        seeds = [DEMAND_SEED, id.as_ref()],
        bump
    )]
    pub demand: Box<Account<'info, Demand>>,
    /// CHECK: its address.
    #[account(address = solana_sdk_ids::sysvar::instructions::ID)]
    pub instructions: UncheckedAccount<'info>,
    pub system_program: Program<'info, System>,
}

/// Demands proof that a receipt is in the log. Anybody may. The instruction before must be that of the Ed25519 program
/// which checks the machine's signature.
pub fn demand_receipt(ctx: Context<DemandReceipt>, id: [u8; 32]) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let DemandReceipt { claimant, board, lease, demand, instructions, .. } = &mut *ctx.accounts;
    let signed = signed(instructions, 1, Receipt::LEN)?;
    let receipt = Receipt::read(signed.message(0)?).ok_or(LeaseholdError::ReceiptMalformed)?;
    require!(receipt.id() == id && receipt.node_key == signed.key, LeaseholdError::WrongReceipt);

    board.load()?;
    let info = board.to_account_info();
    let data = info.try_borrow_data()?;
    let (board, slots) = split(&data)?;
    let slot = receipt.slot;
    let (machine, due) = rules::dispute::demand(board, slots, lease, &receipt, now()?)?;
    demand.set_inner(Demand {
        version: Demand::VERSION,
        bump: ctx.bumps.demand,
        claimant: claimant.key(),
        board: lease.board,
        lease: lease.key(),
        supplier: machine.supplier,
        slot,
        generation: receipt.generation,
        serial: lease.serial,
        seq: receipt.seq,
        leaf: receipt.leaf(),
        due,
        shown: None,
    });
    drop(data);
    emit_cpi!(ReceiptDemanded { lease: ctx.accounts.lease.key(), slot, receipt: id, due });
    Ok(())
}
