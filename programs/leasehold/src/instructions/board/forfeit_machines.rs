use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    state::{Board, Slot, SlotState, Supplier, machine_mut, split_mut},
};

#[derive(Accounts)]
pub struct ForfeitMachines<'info> {
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Takes machines out of leases that run. They earn nothing from now on and lose their whole bonds when the
/// leases are settled, after which they can be retired.
pub fn forfeit_machines(ctx: Context<ForfeitMachines>, machines: Vec<u16>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    require!(!machines.is_empty(), LeaseholdError::NoMachines);
    let ForfeitMachines { supplier, board, .. } = ctx.accounts;
    let info = board.to_account_info();
    let round = board.load()?.round_at(now()?)?;
    let mut data = info.try_borrow_mut_data()?;
    let (_, slots) = split_mut(&mut data)?;
    for index in machines {
        let slot = machine_mut(slots, index)?;
        require_keys_eq!(slot.supplier, supplier.key(), LeaseholdError::WrongSupplier);
        // A lease that is over is settled: its machine broke no promise.
        let serves = slot.lease != 0 && round < slot.lease_until && slot.is(SlotState::Leased);
        require!(serves, LeaseholdError::MachineNotLeased);
        slot.state = SlotState::Suspended as u8;
        slot.attested_from = Slot::UNATTESTED;
    }
    Ok(())
}
