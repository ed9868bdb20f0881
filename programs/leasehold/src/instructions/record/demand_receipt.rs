use anchor_lang::prelude::*;

use crate::{
    constants::{ANSWER_ROUNDS, DEMAND_ROUNDS, DEMAND_SEED, RECORD_ROUNDS},
    error::LeaseholdError,
    events::ReceiptDemanded,
    instructions::{now, refuse_stray, signatures::signed},
    state::{Board, Demand, Lease, Receipt, Slot, SlotState, split},
};

#[event_cpi]
#[derive(Accounts)]
#[instruction(id: [u8; 32])]
pub struct DemandReceipt<'info> {
    /// Pays the rent, which whoever answers gets.
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

/// Demands to be shown a receipt in the log. The machine's signature over it is checked by the Ed25519
/// program in the instruction before.
pub fn demand_receipt(ctx: Context<DemandReceipt>, id: [u8; 32]) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let DemandReceipt { claimant, board, lease, demand, instructions, .. } = &mut *ctx.accounts;
    let signed = signed(instructions, 1, Receipt::LEN)?;
    let receipt = Receipt::read(signed.message(0)?).ok_or(LeaseholdError::ReceiptMalformed)?;
    require!(receipt.id() == id && receipt.node_key == signed.key, LeaseholdError::WrongReceipt);
    require!(receipt.is_under(lease), LeaseholdError::WrongReceipt);

    board.load()?;
    let info = board.to_account_info();
    let data = info.try_borrow_data()?;
    let (board, slots) = split(&data)?;
    let slot = receipt.slot;
    let machine = slots.get(usize::from(slot)).filter(|machine| receipt.is_by(machine));
    let machine = machine.ok_or(LeaseholdError::WrongMachine)?;
    require!(!machine.is(SlotState::Barred), LeaseholdError::MachineBarred);
    let round = board.round_at(now()?)?;
    let left = round_left(machine, lease);
    require!(round >= receipt_due(board, &receipt, left)?, LeaseholdError::DemandTooEarly);
    require!(round <= left.saturating_add(DEMAND_ROUNDS), LeaseholdError::DemandTooLate);
    let due = round.checked_add(ANSWER_ROUNDS).ok_or(LeaseholdError::MathOverflow)?;
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
    lease.demands = lease.demands.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
    drop(data);
    emit_cpi!(ReceiptDemanded { lease: ctx.accounts.lease.key(), slot, receipt: id, due });
    Ok(())
}

/// Round in which the machine's service in the lease is over, at the latest: it may have been replaced.
pub fn round_left(machine: &Slot, lease: &Lease) -> u32 {
    match machine.lease {
        serial if serial == lease.serial => lease.until,
        0 => lease.until.min(machine.lease_until),
        _ => lease.until.min(machine.lease_from),
    }
}

/// Round by which a receipt must be in the log: some rounds after it was signed. A time after the machine has
/// left counts as that, so that no machine puts the day off.
pub fn receipt_due(board: &Board, receipt: &Receipt, left: u32) -> Result<u32> {
    let seconds = receipt.end_ms.checked_div(1_000).and_then(|secs| i64::try_from(secs).ok());
    let ended = board.round_at(seconds.ok_or(LeaseholdError::MathOverflow)?).unwrap_or(u32::MAX);
    Ok(ended.min(left).saturating_add(RECORD_ROUNDS))
}
