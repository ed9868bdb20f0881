use anchor_lang::prelude::*;

use crate::{
    constants::EVICT_AFTER_SECS,
    error::LeaseholdError,
    instructions::{now, refuse_stray, shrink},
    math::sub,
    state::{Board, Supplier, machine_mut, split_mut},
};

#[derive(Accounts)]
pub struct RetireMachines<'info> {
    /// The supplier's authority; anybody, once a machine's commitment has been over for 30 days.
    pub signer: Signer<'info>,
    #[account(mut)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Takes machines that are not leased off a board, with their whole bonds, a day after their last lease.
/// Their earnings must be claimed first. Machines are taken out of leases by `forfeit_machines` alone: what a
/// supplier signs can't come to mean another thing because somebody leased the machine meanwhile.
pub fn retire_machines(ctx: Context<RetireMachines>, machines: Vec<u16>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    require!(!machines.is_empty(), LeaseholdError::NoMachines);
    let RetireMachines { signer, supplier, board } = ctx.accounts;
    let owner = signer.key() == supplier.authority;
    let info = board.to_account_info();
    let now = now()?;
    let round = board.load()?.round_at(now)?;
    {
        let mut data = info.try_borrow_mut_data()?;
        let (board, slots) = split_mut(&mut data)?;
        for index in machines {
            let slot = machine_mut(slots, index)?;
            require_keys_eq!(slot.supplier, supplier.key(), LeaseholdError::WrongSupplier);
            if !owner {
                let over = board.round_end(slot.committed_until.wrapping_sub(1));
                let evictable = now > over.saturating_add(EVICT_AFTER_SECS);
                require!(evictable, LeaseholdError::EvictionTooEarly);
            }
            require!(slot.lease == 0, LeaseholdError::MachineLeased);
            require!(slot.accrued == 0, LeaseholdError::EarningsLeft);
            require!(!slot.is_disputable(round), LeaseholdError::DisputesOpen);
            supplier.stake.unbond(slot.bond)?;
            supplier.machines = supplier.machines.checked_sub(1).ok_or(LeaseholdError::MathOverflow)?;
            board.ledger.bonds = sub(board.ledger.bonds, slot.bond)?;
            board.machines = board.machines.checked_sub(1).ok_or(LeaseholdError::MathOverflow)?;
            slot.vacate();
        }
    }
    shrink(&info, round, supplier.as_ref(), usize::MAX)?;
    Ok(())
}
