use anchor_lang::prelude::*;

use crate::{
    constants::EVICT_AFTER_SECS,
    error::LeaseholdError,
    instructions::{now, refuse_stray, shrink},
    math::sub,
    state::{Board, Slot, SlotState, Supplier, machine_mut, split_mut},
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

/// Takes machines off a board. An idle one leaves with its whole bond; its earnings must be claimed first.
/// A leased one is suspended: it earns nothing from now on and loses its whole bond when its lease is
/// settled, after which it can be retired.
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
                let evictable = slot.lease == 0 && now > over.saturating_add(EVICT_AFTER_SECS);
                require!(evictable, LeaseholdError::EvictionTooEarly);
            }
            if slot.lease != 0 {
                // A lease that is over is settled first: its machine broke no promise.
                let running = round < slot.lease_until && !slot.is(SlotState::Suspended);
                require!(running, LeaseholdError::MachineLeased);
                slot.state = SlotState::Suspended as u8;
                slot.attested_from = Slot::UNATTESTED;
                continue;
            }
            require!(slot.accrued == 0, LeaseholdError::EarningsLeft);
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
