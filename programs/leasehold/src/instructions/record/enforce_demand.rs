use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::MachineConvicted,
    instructions::{
        now,
        record::{convict, require_own_keeper},
        refuse_stray,
    },
    state::{Board, Demand, Keeper, Lease, SlotState, split_mut},
};

#[event_cpi]
#[derive(Accounts)]
pub struct EnforceDemand<'info> {
    pub caller: Signer<'info>,
    /// CHECK: only gets the rent that it paid.
    #[account(mut)]
    pub claimant: UncheckedAccount<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    #[account(
        mut,
        close = claimant,
        has_one = claimant @ LeaseholdError::WrongAuthority,
        has_one = lease @ LeaseholdError::WrongReceipt
    )]
    pub demand: Box<Account<'info, Demand>>,
    /// Gets the caller's part of what is slashed; without it that part is burned.
    #[account(mut)]
    pub keeper: Option<Account<'info, Keeper>>,
}

/// Ends a demand that nobody answered in time: the machine loses its whole bond. Where it has lost that
/// already, or is gone, the demand just ends. Anybody may.
pub fn enforce_demand(ctx: Context<EnforceDemand>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let EnforceDemand { caller, board, lease, demand, keeper, .. } = &mut *ctx.accounts;
    require_own_keeper(keeper.as_deref(), caller.key, &board.load()?.market)?;
    let info = board.to_account_info();
    let slashed = {
        let mut data = info.try_borrow_mut_data()?;
        let (board, slots) = split_mut(&mut data)?;
        require!(board.round_at(now()?)? >= demand.due, LeaseholdError::AnswerNotDue);
        let slot = slots.get_mut(usize::from(demand.slot));
        let there = slot.filter(|slot| slot.generation == demand.generation && !slot.is(SlotState::Barred));
        match there {
            Some(slot) => convict(board, slot, lease, keeper.as_deref_mut())?,
            None => 0,
        }
    };
    lease.demands = lease.demands.checked_sub(1).ok_or(LeaseholdError::MathOverflow)?;
    let (slot, receipt) = (demand.slot, demand.leaf.hash);
    emit_cpi!(MachineConvicted { lease: ctx.accounts.lease.key(), slot, receipt, slashed });
    Ok(())
}
