use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::NodeReplaced,
    instructions::{book, now, refuse_stray, tokens::*},
    math::{
        add,
        matching::{self, CutOff},
        pricing::{self, Span},
        settlement::{self, Outcome},
        sub,
    },
    state::{Board, Lease, Slot, machine_mut, split_mut},
};

#[event_cpi]
#[derive(Accounts)]
pub struct ReplaceNode<'info> {
    pub owner: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        mut,
        has_one = owner @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard
    )]
    pub lease: Box<Account<'info, Lease>>,
    pub tokens: Tokens<'info>,
}

/// Swaps a machine that is down, abandoned or retired for the first that fits the lease's criteria, from
/// the next round on.
///
/// The old machine is settled with the rounds closed so far. What is left of its deposit pays for the new
/// one; the owner adds at most `max_deposit` where that is not enough.
pub fn replace_node(
    ctx: Context<ReplaceNode>,
    old_slot: u16,
    max_deposit: u64,
    hint: Option<CutOff>,
) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let ReplaceNode { owner, board, lease, tokens, .. } = &mut *ctx.accounts;
    lease.require_open()?;
    lease.require_hourly()?;
    let key = board.key();
    let swap = {
        let info = board.to_account_info();
        let mut data = info.try_borrow_mut_data()?;
        let (board, slots) = split_mut(&mut data)?;
        tokens.validate_payment(&key, board)?;
        let from = board.round_at(now()?)?.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
        require!(from < lease.until, LeaseholdError::LeaseOver);
        // Chosen while the old machine is still leased, so that it cannot replace itself.
        let selection = matching::select(slots, &lease.criteria, lease.until, 1, hint)?;
        let new_slot = selection.slots().next().ok_or(LeaseholdError::NotEnoughMachines)?;
        let (outcome, freed) = dismiss(board, machine_mut(slots, old_slot)?, lease)?;
        let cost = engage(slots, new_slot, lease, from)?;
        book(board, lease, outcome.payment, outcome.slash, None)?;
        let deposit = cost.saturating_sub(freed);
        board.ledger.escrow = add(board.ledger.escrow, deposit)?;
        Swap {
            outcome,
            deposit,
            new_slot: u16::try_from(new_slot).map_err(|_| LeaseholdError::MathOverflow)?,
        }
    };
    require!(swap.deposit <= max_deposit, LeaseholdError::CostsTooMuch);
    lease.deposit = add(lease.deposit, swap.deposit)?;
    if swap.deposit > 0 {
        tokens.take(owner, swap.deposit)?;
    }
    emit_cpi!(NodeReplaced {
        lease: ctx.accounts.lease.key(),
        old_slot,
        new_slot: swap.new_slot,
        paid: swap.outcome.payment.net,
        slashed: swap.outcome.slash,
        deposit: swap.deposit,
    });
    Ok(())
}

struct Swap {
    outcome: Outcome,
    /// What the owner adds.
    deposit: u64,
    new_slot: u16,
}

/// Settles a machine with the rounds closed so far and sets it free. Returns how it leaves, and how much of
/// its deposit is left.
fn dismiss(board: &Board, slot: &mut Slot, lease: &Lease) -> Result<(Outcome, u64)> {
    require!(slot.lease == lease.serial, LeaseholdError::NotInLease);
    require!(slot.is_forfeited() || board.is_down(slot), LeaseholdError::MachineNotDown);
    let terms = &lease.terms;
    let until = board.next_round.clamp(slot.lease_from, slot.lease_until);
    let before = pricing::gross(slot.price, terms.round_secs, slot.lease_settled)?;
    let outcome = settlement::last(&lease.service(slot, until), terms)?;
    let deposit = Span::of_rounds(terms.round_secs, slot.lease_until.wrapping_sub(slot.lease_from));
    let freed = sub(deposit.cost_ceil(slot.price)?, add(before, outcome.payment.gross()?)?)?;
    slot.lease_until = until;
    slot.leave(&outcome)?;
    Ok((outcome, freed))
}

/// Puts the lease on a machine from the next round on. Returns what that costs.
fn engage(slots: &mut [Slot], index: usize, lease: &Lease, from: u32) -> Result<u64> {
    let slot = slots.get_mut(index).ok_or(LeaseholdError::NoSuchSlot)?;
    slot.begin_lease(lease.serial, from, lease.until);
    Ok(Span::of_rounds(lease.terms.round_secs, lease.until.wrapping_sub(from)).cost_ceil(slot.price)?)
}
