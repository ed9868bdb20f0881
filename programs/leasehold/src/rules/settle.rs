//! Settling a lease: what its machines are paid and lose, what is burned, and what its owner gets back.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{
        Exact, add,
        settlement::{self, Burned, Leaving, Outcome, Payment},
        sub, sub32,
    },
    rules::{
        SlotAccess,
        index::{ClassPay, Near},
        ledger::{book, book_burn, book_refund, book_slash},
    },
    state::{Board, Lease, LeaseState, Slot, SlotState},
};

/// Effect of a settlement on the machines of a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Machines settled for good, of those that were left.
    pub machines: u32,
    /// True if the lease is settled with them.
    pub is_final: bool,
    /// Payment units to suppliers and for fees.
    pub payment: Payment,
    /// Payment units back to the owner.
    pub refunded: u64,
    /// Payment units burned.
    pub burned: u64,
    /// Stake units lost, all of them burned, and by how many machines.
    pub slashed: u64,
    pub slashed_machines: u32,
}

/// Upper bounds of the compute units that settling a machine takes: one that was up in every round agreed on and whose
/// amounts are narrow, or one in mid-term; the same with wide amounts; any other.
/// `settle_lease_sets_aside_as_many_units_as_a_machine_takes` measures them at their worst.
const PLAIN_UNITS: u32 = 130;
const WIDE_UNITS: u32 = 700;
const OTHER_UNITS: u32 = 1_400;
/// Units that counting a machine for the price index adds if it is of another class than the lease's first, or its price is
/// very high.
const FAR_UNITS: u32 = 80;
/// Compute units that one settlement may spend on machines, of the 1.4 million of a transaction.
pub const BUDGET_UNITS: u32 = 1_200_000;

/// How a machine leaves its lease, if all its rounds are closed.
#[inline(always)]
pub fn outcome(lease: &Lease, slot: &Slot) -> Exact<Outcome> {
    let service = lease.service(slot)?;
    match &lease.meter {
        None => settlement::last(&service, &lease.terms),
        Some(meter) => {
            let most = sub(lease.deposit, meter.paid)?;
            settlement::last_within(&service, &lease.terms, lease.standby_paid()?, most)
        }
    }
}

/// True if all rounds are closed that a machine of the lease waits for: its own, and those in which its last voucher can be
/// redeemed.
#[inline(always)]
pub fn is_due(board: &Board, lease: &Lease, slot: &Slot) -> bool {
    board.next_round >= lease.settles_from(slot.lease_until)
}

/// True if all rounds are closed that the lease waits for, so that it is settled for good.
pub fn is_over(board: &Board, lease: &Lease) -> bool {
    board.next_round >= lease.settles_from(lease.until)
}

/// Why a machine loses stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlashCause {
    /// Down in more rounds than it may: loses a part of its bond, or all of it.
    Downtime,
    /// Down in too many of 64 rounds: loses all of it.
    Abandoned,
    /// Taken out of its lease by its supplier: loses all of it.
    Forfeited,
    /// Convicted over a receipt: has lost all of it already.
    Convicted,
}

/// Why a machine of the lease loses stake if that is settled as it stands; `None` if it keeps its promise.
pub fn slash_cause(lease: &Lease, slot: &Slot) -> Exact<Option<SlashCause>> {
    let service = lease.service(slot)?;
    Ok(match service.leaving {
        Leaving::Barred => Some(SlashCause::Convicted),
        Leaving::Abandoned => Some(SlashCause::Abandoned),
        Leaving::Forfeited => Some(SlashCause::Forfeited),
        Leaving::Served => (outcome(lease, slot)?.slash > 0).then_some(SlashCause::Downtime),
    })
}

/// Effect of settling now. It goes on, as the program would in further transactions, until `budget` compute units
/// are spent: [`BUDGET_UNITS`] for the next transaction, `u32::MAX` for all of them together.
pub fn quote(board: &Board, slots: &[Slot], lease: &Lease, budget: u32) -> Result<Settlement> {
    let (mut sum, _) = settle(board, slots, lease, budget)?;
    if sum.is_final {
        let left = sub(lease.remaining()?, sum.payment.gross()?)?;
        sum.refunded = sub(left, sum.burned)?;
    }
    Ok(sum)
}

/// Settles the lease: writes its machines, books what they are paid and lose, what is burned and what comes back.
#[inline(always)]
pub fn apply(board: &mut Board, slots: &mut [Slot], lease: &mut Lease) -> Result<Settlement> {
    let (mut sum, index) = settle(board, slots, lease, BUDGET_UNITS)?;
    index.book(board);
    lease.unsettled = sub32(lease.unsettled, sum.machines)?;
    book(board, lease, sum.payment)?;
    book_burn(board, lease, sum.burned)?;
    book_slash(board, lease, sum.slashed)?;
    if sum.is_final {
        sum.refunded = lease.remaining()?;
        lease.state = LeaseState::Settled;
    }
    book_refund(board, lease, sum.refunded)?;
    Ok(sum)
}

/// Settles the machines of a lease: for good where all rounds of a machine are closed, else for its rounds up so far.
#[inline(always)]
fn settle<S: SlotAccess>(
    board: &Board,
    slots: impl IntoIterator<Item = S>,
    lease: &Lease,
    budget: u32,
) -> Result<(Settlement, ClassPay)> {
    require!(lease.state != LeaseState::Settled, LeaseholdError::LeaseSettled);
    let (mut sum, index) = walk(board, slots, lease, budget)?;
    sum.is_final = sum.machines == lease.unsettled;
    Ok((sum, index))
}

/// What the loop over the machines knows of the lease.
struct Pass<'a> {
    board: &'a Board,
    lease: &'a Lease,
    sum: Settlement,
    index: ClassPay,
}

/// Settles as many machines as the budget allows. Where that is not all of them, because thousands were down, the next
/// settlement goes on.
#[inline(always)]
fn walk<S: SlotAccess>(
    board: &Board,
    slots: impl IntoIterator<Item = S>,
    lease: &Lease,
    budget: u32,
) -> Exact<(Settlement, ClassPay)> {
    let mut pass = Pass { board, lease, sum: Settlement::default(), index: ClassPay::new(board, lease) };
    if lease.meter.is_some() {
        pass.metered(slots)?;
    } else if is_over(board, lease) {
        pass.hourly::<true, S>(slots, budget)?;
    } else {
        pass.hourly::<false, S>(slots, budget)?;
    }
    Ok((pass.sum, pass.index))
}

impl Pass<'_> {
    /// Settles the machines of a lease by the hour. `OVER`: all its rounds are closed, so that every machine is settled for
    /// good. Apart from its caller, so that the loop has the registers.
    #[inline(never)]
    fn hourly<const OVER: bool, S: SlotAccess>(
        &mut self,
        slots: impl IntoIterator<Item = S>,
        budget: u32,
    ) -> Exact<()> {
        let (serial, terms) = (self.lease.serial, self.lease.terms);
        // Then what a machine earns takes less than 48 bits, if its price takes 32.
        let secs = u64::from(terms.round_secs).wrapping_mul(u64::from(terms.rounds));
        let narrow = if secs < 1 << 27 { u64::from(u32::MAX) } else { 0 };
        let next_round = self.board.next_round;
        // Plain machines are paid out of what is set aside here, so that the loop need not count.
        let mut spare = budget.saturating_sub(self.lease.unsettled.saturating_mul(PLAIN_UNITS));
        let (mut payment, mut machines) = (Payment::default(), 0u32);
        // The class of all machines, or else of the first.
        let mut near = self.index.near(self.lease.criteria.class);
        for mut slot in slots.into_iter().filter(|slot| slot.lease == serial) {
            if !OVER && slot.lease_settled == slot.lease_up && next_round < slot.lease_until {
                continue; // nothing new: thousands of them leave room for those that are not paid yet
            }
            let plain = if OVER { slot.served_all() } else { next_round < slot.lease_until };
            if !plain {
                let Some(left) = spare.checked_sub(OTHER_UNITS) else { break };
                spare = left;
                self.other(slot)?;
                continue;
            }
            let price = slot.hourly();
            let paid = if price <= narrow {
                settlement::paid_narrow(price, slot.lease_settled, slot.lease_up, &terms, OVER)
            } else {
                let Some(left) = spare.checked_sub(WIDE_UNITS) else { break };
                spare = left;
                settlement::paid_between(price, slot.lease_settled, slot.lease_up, &terms, OVER)?
            };
            if !near.count(&slot) {
                let Some(left) = spare.checked_sub(FAR_UNITS) else { break };
                spare = left;
                self.count_far(&slot, &mut near);
            }
            let accrued = add(slot.accrued, paid.net)?;
            slot.write(|slot| {
                slot.accrued = accrued;
                slot.lease_settled = slot.lease_up;
                if OVER {
                    slot.release(SlotState::Idle);
                }
            });
            payment = payment.plus(paid);
            machines = machines.wrapping_add(u32::from(OVER));
        }
        self.index.add(&near);
        self.sum.payment = self.sum.payment.plus(payment);
        self.sum.machines = self.sum.machines.wrapping_add(machines);
        Ok(())
    }

    /// Counts a machine for the price index that the loop can't count: one of another class, or with a very high price.
    #[inline(never)]
    fn count_far(&mut self, slot: &Slot, near: &mut Near) {
        if near.is_unset() {
            *near = self.index.near(Some(slot.traits.class));
        }
        self.index.count(slot);
    }

    /// Settles the one machine of a metered lease.
    fn metered<S: SlotAccess>(&mut self, slots: impl IntoIterator<Item = S>) -> Exact<()> {
        let Some(slot) = slots.into_iter().find(|slot| slot.lease == self.lease.serial) else {
            return Ok(());
        };
        if is_due(self.board, self.lease, &slot) { self.settle(slot) } else { self.standby(slot) }
    }

    /// Settles a machine for good that was not up all the time, or was left early. Apart from the loop, which it would slow
    /// down.
    #[inline(never)]
    fn other<S: SlotAccess>(&mut self, slot: S) -> Exact<()> {
        self.index.count(&slot);
        self.settle(slot)
    }

    /// Settles a machine for good.
    fn settle<S: SlotAccess>(&mut self, mut slot: S) -> Exact<()> {
        let Pass { lease, sum, .. } = self;
        let outcome = outcome(lease, &slot)?;
        let burned = outcome.burned.total()?;
        let (accrued, bond) = slot.after(outcome.payment.net, outcome.slash)?;
        if slot.has(Slot::LEFT) && lease.meter.is_none() {
            sum.refunded = add(sum.refunded, leftover(lease, &slot, &outcome, burned)?)?;
        }
        slot.write(|slot| {
            slot.accrued = accrued;
            slot.bond = bond;
            slot.lease_settled = slot.lease_up;
            if slot.leaving() != Leaving::Served || slot.has(Slot::FADED) {
                slot.flags &= !Slot::BOUND;
            } else if outcome.bound > 0 {
                slot.bind(slot.lease_until.saturating_add(outcome.bound));
            }
            slot.release(slot.state_after(outcome.slash > 0, slot.bond > 0 && slot.has(Slot::BOUND)));
        });
        sum.payment = sum.payment.plus(outcome.payment);
        sum.burned = add(sum.burned, burned)?;
        sum.slashed = add(sum.slashed, outcome.slash)?;
        sum.slashed_machines = sum.slashed_machines.wrapping_add(u32::from(outcome.slash > 0));
        sum.machines = sum.machines.wrapping_add(1);
        Ok(())
    }

    /// Pays the standby price of a metered machine in mid-term.
    fn standby<S: SlotAccess>(&mut self, mut slot: S) -> Exact<()> {
        let Some(meter) = &self.lease.meter else { return Ok(()) };
        let most = sub(self.lease.deposit, meter.paid)?;
        let before = self.lease.standby_paid()?;
        let service = self.lease.service(&slot)?;
        let payment = settlement::interim_within(&service, &self.lease.terms, before, most)?;
        let accrued = add(slot.accrued, payment.net)?;
        slot.write(|slot| {
            slot.accrued = accrued;
            slot.lease_settled = slot.lease_up;
        });
        self.sum.payment = self.sum.payment.plus(payment);
        Ok(())
    }
}

/// Payment units of a machine's deposit that come back to the owner who left it.
fn leftover(lease: &Lease, slot: &Slot, outcome: &Outcome, burned: u64) -> Exact<u64> {
    let before = settlement::owed_before_end(slot.hourly(), slot.lease_settled, &lease.terms)?;
    let spent = add(add(before, outcome.payment.gross()?)?, burned)?;
    sub(lease.deposit_of(slot, slot.lease_agreed)?, spent)
}

/// What a machine of the lease has kept back for its end, and what its end would burn, as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Payment units for its rounds up, and those of them that are kept until its end.
    pub earned: u64,
    pub kept: u64,
    pub burned: Burned,
    pub slash: u64,
}

/// How a machine stands in its lease with the rounds closed so far.
pub fn standing(lease: &Lease, slot: &Slot) -> Exact<Standing> {
    let service = lease.service(slot)?;
    let earned = crate::math::pricing::gross(service.price, lease.terms.round_secs, service.up)?;
    let kept = settlement::kept(earned, service.price, lease.terms.hold_bps)?;
    let Outcome { burned, slash, .. } = outcome(lease, slot)?;
    Ok(Standing { earned, kept, burned, slash })
}
