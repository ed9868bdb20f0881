use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseSettled,
    instructions::refuse_stray,
    math::{
        Exact, add,
        settlement::{self, Payment},
        slashing::Split,
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
    let over = board.next_round >= lease.settles_from();

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
    share_out(board, lease, split, keeper)
}

/// Books a slash that is split already.
pub fn share_out(
    board: &mut Board,
    lease: &mut Lease,
    split: Split,
    keeper: Option<&mut Keeper>,
) -> Result<()> {
    lease.compensate(split.total()?, split.buyer)?;
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
    if lease.meter.is_some() {
        return Ok(sum); // vouchers pay it
    }
    for slot in slots.iter_mut().filter(|slot| slot.lease == serial) {
        let payment = settlement::interim(&slot.service(slot.lease_until, 0), &terms)?;
        slot.lease_settled = slot.lease_up;
        slot.accrued = add(slot.accrued, payment.net)?;
        sum.payment = sum.payment.plus(payment);
    }
    Ok(sum)
}

/// Upper bounds of the compute units that settling a machine for good takes: one without a round down or
/// unknown whose amounts are narrow, the same with wide ones, and any other.
/// `settle_lease_sets_aside_as_many_units_as_a_machine_takes` measures them at their worst.
const PLAIN_UNITS: u32 = 120;
const WIDE_UNITS: u32 = 340;
const OTHER_UNITS: u32 = 850;
/// What a settlement may spend on machines, of the 1.4 million units of a transaction.
const BUDGET_UNITS: u32 = 1_000_000;

/// Pays and slashes for good, and sets the machines free: as many as the transaction can. Where that is not
/// all of them, because thousands were down, the next settlement goes on.
fn finish(slots: &mut [Slot], lease: &Lease) -> Exact<Sum> {
    let (serial, terms, mut sum) = (lease.serial, lease.terms, Sum::default());
    let mut budget = BUDGET_UNITS;
    // Then the last payment of a machine that was always up is one like those in mid-term.
    let simple = lease.meter.is_none() && terms.cancel_secs == 0;
    // Then what such a machine earns takes less than 48 bits, if its price takes 32.
    let secs = u64::from(terms.round_secs).wrapping_mul(u64::from(terms.rounds));
    let narrow = if secs < 1 << 27 { u64::from(u32::MAX) } else { 0 };
    for slot in slots.iter_mut().filter(|slot| slot.lease == serial) {
        if simple && slot.served_all() {
            let units = if slot.price <= narrow { PLAIN_UNITS } else { WIDE_UNITS };
            let Some(left) = budget.checked_sub(units) else { break };
            budget = left;
            let payment = settlement::interim(&slot.service(slot.lease_until, 0), &terms)?;
            slot.accrued = add(slot.accrued, payment.net)?;
            slot.release(SlotState::Idle);
            sum.payment = sum.payment.plus(payment);
        } else {
            let Some(left) = budget.checked_sub(OTHER_UNITS) else { break };
            budget = left;
            part(slot, lease, &mut sum)?;
        }
        sum.machines = sum.machines.wrapping_add(1);
    }
    Ok(sum)
}

/// Settles a machine that was not up all the time or is not paid by the hour, which may cost stake but earns
/// nothing. Apart from the loop, which it would slow down.
#[inline(never)]
fn part(slot: &mut Slot, lease: &Lease, sum: &mut Sum) -> Exact<()> {
    let mut service = lease.service(slot, slot.lease_until);
    if lease.meter.is_some() {
        service.price = 0;
    }
    let outcome = settlement::last(&service, &lease.terms)?;
    slot.leave(&outcome)?;
    sum.payment = sum.payment.plus(outcome.payment);
    sum.slashed = add(sum.slashed, outcome.slash)?;
    sum.slashed_machines = sum.slashed_machines.wrapping_add(u32::from(outcome.slash > 0));
    Ok(())
}
