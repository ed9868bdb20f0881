use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseSettled,
    instructions::refuse_stray,
    math::{
        Exact, add,
        settlement::{self, Payment, Terms},
    },
    state::{Board, Keeper, Lease, LeaseState, Slot, SlotState, split_mut},
};

#[event_cpi]
#[derive(Accounts)]
pub struct SettleLease<'info> {
    pub caller: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    /// Gets the caller's part of what is slashed; without it that part is burned.
    #[account(mut)]
    pub keeper: Option<Account<'info, Keeper>>,
}

impl SettleLease<'_> {
    fn validate(&self) -> Result<()> {
        require!(self.lease.state != LeaseState::Settled, LeaseholdError::LeaseSettled);
        if let Some(keeper) = &self.keeper {
            require_keys_eq!(keeper.authority, self.caller.key(), LeaseholdError::WrongAuthority);
            require_keys_eq!(keeper.market, self.board.load()?.market, LeaseholdError::WrongMarket);
        }
        Ok(())
    }
}

/// Pays the machines of a lease for the rounds they were up. Once every round of the lease is closed, also
/// refunds the rest and slashes, for good. Anybody may, at any time and as often as they like.
pub fn settle_lease(ctx: Context<SettleLease>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let SettleLease { board, lease, keeper, .. } = &mut *ctx.accounts;
    let info = board.to_account_info();
    let mut data = info.try_borrow_mut_data()?;
    let (board, slots) = split_mut(&mut data)?;
    let over = board.next_round >= lease.until;

    let sum = if over { finish(slots, lease)? } else { advance(slots, lease)? };
    lease.settled = lease.settled.saturating_add(sum.machines);
    book(board, lease, sum.payment, sum.slashed, keeper.as_deref_mut())?;
    let mut refunded = 0;
    if lease.settled == lease.machines {
        refunded = lease.finish()?;
        board.ledger.refund(refunded)?;
    }
    let state = lease.state;
    drop(data);
    emit_cpi!(LeaseSettled {
        lease: ctx.accounts.lease.key(),
        state,
        paid: sum.payment.net,
        fees: sum.payment.fee,
        refunded,
        slashed: sum.slashed,
        slashed_machines: sum.slashed_machines,
    });
    Ok(())
}

/// Books what leaves a lease's escrow and its machines' bonds.
pub fn book(
    board: &mut Board,
    lease: &mut Lease,
    payment: Payment,
    slashed: u64,
    keeper: Option<&mut Keeper>,
) -> Result<()> {
    board.ledger.pay(payment, lease.pay(payment)?)?;
    if slashed == 0 {
        return Ok(());
    }
    let split = lease.terms.split.of(slashed)?;
    lease.compensate(slashed, split.buyer)?;
    let callers = board.ledger.slash(split, keeper.is_some())?;
    if let Some(keeper) = keeper {
        keeper.stake.unbond(callers)?;
    }
    Ok(())
}

/// What a settlement did to all machines of a lease.
#[derive(Default)]
struct Sum {
    payment: Payment,
    slashed: u64,
    slashed_machines: u32,
    /// Machines settled for good.
    machines: u32,
}

/// Pays rounds up in mid-term.
fn advance(slots: &mut [Slot], lease: &Lease) -> Exact<Sum> {
    let (serial, terms, mut sum) = (lease.serial, lease.terms, Sum::default());
    for slot in slots.iter_mut().filter(|slot| slot.lease == serial) {
        let payment = settlement::interim(&slot.service(slot.lease_until), &terms)?;
        slot.lease_settled = slot.lease_up;
        slot.accrued = add(slot.accrued, payment.net)?;
        sum.payment = sum.payment.plus(payment);
    }
    Ok(sum)
}

/// Upper bounds of the compute units that settling a machine for good takes: one without a round down or
/// unknown, and any other.
const PLAIN_UNITS: u32 = 150;
const OTHER_UNITS: u32 = 500;
/// What a settlement may spend on machines, of the 1.4 million units of a transaction.
const BUDGET_UNITS: u32 = 1_000_000;

/// Pays and slashes for good, and sets the machines free: as many as the transaction can. Where that is not
/// all of them, because thousands were down, the next settlement goes on.
fn finish(slots: &mut [Slot], lease: &Lease) -> Exact<Sum> {
    let (serial, terms, mut sum) = (lease.serial, lease.terms, Sum::default());
    let (cut_short, mut budget) = (terms.cancel_secs > 0, BUDGET_UNITS);
    for slot in slots.iter_mut().filter(|slot| slot.lease == serial) {
        // Then its last payment is one like those in mid-term.
        let plain = slot.served_all() && !cut_short;
        let Some(left) = budget.checked_sub(if plain { PLAIN_UNITS } else { OTHER_UNITS }) else { break };
        budget = left;
        sum.machines = sum.machines.wrapping_add(1);
        if plain {
            let payment = settlement::interim(&slot.service(slot.lease_until), &terms)?;
            slot.accrued = add(slot.accrued, payment.net)?;
            slot.release(SlotState::Idle);
            sum.payment = sum.payment.plus(payment);
        } else {
            part(slot, &terms, &mut sum)?;
        }
    }
    Ok(sum)
}

/// Settles a machine that was not up all the time. Apart from the loop, which it would slow down.
#[inline(never)]
fn part(slot: &mut Slot, terms: &Terms, sum: &mut Sum) -> Exact<()> {
    let outcome = settlement::last(&slot.service(slot.lease_until), terms)?;
    slot.leave(&outcome)?;
    sum.payment = sum.payment.plus(outcome.payment);
    sum.slashed = add(sum.slashed, outcome.slash)?;
    sum.slashed_machines = sum.slashed_machines.wrapping_add(u32::from(outcome.slash > 0));
    Ok(())
}
